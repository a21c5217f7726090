//! Failures that networks of this kind have had, where no other test of the layer in question has the case: at the
//! door of one node, and in whole networks. `FIELD_FAILURES.md` says where the others are, and `table` that it
//! is right.

#![allow(clippy::unwrap_used)]

mod handshakes;
mod network;
mod sessions;
mod table;

use std::time::Duration;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
