//! Proof of who was there: signed heartbeats of all masternodes, kept in the data directory, handed out, and judged
//! offline with nothing but the network's genesis file.
//!
//! | file | mechanism |
//! |---|---|
//! | `text` | the form of a proof: lines that anybody can read and check |
//! | `keeper` | the two files in which a running node keeps the newest |
//! | `proof` | what a proof shows, and which of its lines are none |
//! | `verbs` | `timed attest export` and `timed attest verify` |

mod keeper;
mod proof;
mod text;
mod verbs;

pub(crate) use keeper::{Keeper, opened};
pub(crate) use text::Head;
pub(crate) use verbs::{export, verify};
