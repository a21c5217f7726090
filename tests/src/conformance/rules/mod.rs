//! The cases, in the order of the document.

use super::table::Case;

mod handshake;
mod liveness;
mod opening;
mod records;

/// All of them.
pub(super) const ALL: &[&[Case]] = &[opening::CASES, handshake::CASES, records::CASES, liveness::CASES];
