//! The cases, in the order of the document.

use super::table::Case;

mod blocks;
mod bodies;
mod boots;
mod conduct;
mod dialing;
mod fetching;
mod handshake;
mod heartbeats;
mod liveness;
mod observer;
mod opening;
mod pairs;
mod records;

/// All of them.
pub(super) const ALL: &[&[Case]] = &[
    dialing::CASES,
    opening::CASES,
    handshake::CASES,
    boots::CASES,
    pairs::CASES,
    records::CASES,
    bodies::CASES,
    liveness::CASES,
    heartbeats::CASES,
    blocks::CASES,
    fetching::CASES,
    observer::CASES,
    conduct::CASES,
];
