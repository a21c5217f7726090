//! Connections between nodes: who dials, which duplicate survives, when to try again, who is let in.

pub(crate) mod absence;
pub mod backoff;
pub mod ballot;
pub mod bans;
pub(crate) mod book;
pub(crate) mod breaker;
pub mod dialer;
pub mod direction;
pub(crate) mod effort;
pub mod epoch;
pub(crate) mod exchange;
pub mod knock;
pub mod observed;
pub(crate) mod peer;
pub(crate) mod pool;
pub mod probe;
pub(crate) mod reserved;
pub(crate) mod scores;
pub(crate) mod seeds;
pub mod slots;
pub mod unauthenticated;
pub(crate) mod wishes;
