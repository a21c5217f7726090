//! The consensus of one height among several nodes, without links, cryptography or an engine: what the real
//! [`timed_core::rounds::Consensus`] says is carried from one to the other by a storm that a seed draws, or in
//! every way there is.
//!
//! A correct node is a [`Life`]: the consensus in memory, a disk that is as slow as a disk may be, and nothing
//! that leaves before it is durable. A crash takes the memory and what was not durable. Traitors say whatever
//! they like with their own keys. Signatures are made up, but no two different statements have the same.
//!
//! [`Storm`] draws schedules, [`explore`] goes through all of them within bounds.

mod dice;
mod explore;
mod ground;
mod life;
mod storm;
mod traitor;
mod word;

pub use dice::Dice;
pub use explore::{Bounds, Found, explore};
pub use ground::Ground;
pub use life::{Disk, Life};
pub use storm::{Plan, Storm, Tally};
pub use traitor::Traitors;
pub use word::{Body, Word};
