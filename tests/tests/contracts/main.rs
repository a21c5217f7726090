//! The contracts C1 to C8 of the core's door, each of them a test. They hold for any calls, so most of them
//! are tried on lives that the driver draws from random bytes.

#![allow(clippy::unwrap_used)]

mod bounds;
mod faults;
mod freezes;
mod races;
mod rates;
mod recorded;
mod stale;
