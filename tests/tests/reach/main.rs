//! Where nodes are, and by whose word: one node and scripted peers that tell the truth or lie about it.

#![allow(clippy::unwrap_used)]

mod knocks;
mod names;
mod observed;
mod probes;
mod reconfigured;
mod twins;
