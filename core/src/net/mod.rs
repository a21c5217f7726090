//! Connections between nodes: who dials, which duplicate survives, when to try again, who is let in.

pub mod backoff;
pub mod ballot;
pub mod dialer;
pub mod direction;
pub mod epoch;
pub mod knock;
pub(crate) mod peer;
pub(crate) mod pool;
pub(crate) mod reserved;
pub mod slots;
pub mod unauthenticated;
