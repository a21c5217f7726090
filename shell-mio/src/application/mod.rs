//! What blocks carry: the trait that an application implements, and the application of the daemon.

mod fifo;

use std::error::Error;
use std::fmt::Debug;

use bytes::Bytes;
use timed_core::{FinalBlock, Height, PayloadVerdict, RegistryChange, TxId, Wall};

pub use self::fifo::FifoPayload;

/// Decides what blocks carry. The core never looks into a payload.
///
/// `produce` and `validate` are called one after another on a thread of their own, `commit` on the thread of the
/// store: a slow one delays neither the event loop nor the other two, but its answer. An answer after the time
/// that the core gave costs the round and nothing else.
///
/// An error says that the application cannot go on, as after a failing disk: the node halts. A panic is taken
/// as one.
pub trait Application: Debug + Send + Sync {
    /// Builds a payload for a block of this node's.
    ///
    /// # Errors
    /// If the application cannot go on.
    fn produce(&self, wanted: &Wanted) -> Result<Offer, ApplicationError>;

    /// Judges a payload that another masternode proposed for `height`. Every node must come to the same verdict
    /// from the same blocks before it, and in bounded time whatever the payload.
    ///
    /// # Errors
    /// If the application cannot go on.
    fn validate(&self, height: Height, payload: &Bytes) -> Result<PayloadVerdict, ApplicationError>;

    /// Takes a final block in, in ascending order of heights, within the transaction that stores the block and
    /// indexes the transactions named here. That transaction becomes durable a little later: after a crash,
    /// blocks that had been handed over may come again. At every start the two newest stored blocks do, because
    /// what they change in the registry may not be in force yet: the same block must be answered in the same way.
    ///
    /// # Errors
    /// If the application cannot go on.
    fn commit(&self, block: &FinalBlock) -> Result<Commitment, ApplicationError>;
}

/// Why an application cannot go on.
pub type ApplicationError = Box<dyn Error + Send + Sync>;

/// The block that a payload is wanted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its height.
    pub height: Height,
    /// Start of its slot.
    pub slot: Wall,
    /// Bytes of the payload at most.
    pub max_bytes: usize,
    /// Transactions that wait, oldest first.
    pub transactions: Vec<Bytes>,
}

/// A payload, and what need not be offered again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The payload; `None` for no block now, not even an empty one.
    pub payload: Option<Bytes>,
    /// Transactions that can never be included, for example because they are in an earlier block.
    pub stale: Vec<TxId>,
}

/// What a final block has brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commitment {
    /// What it changes in the registry, in force two heights later (rule C-7).
    pub registry_changes: Vec<RegistryChange>,
    /// The transactions that it carries, in their order.
    pub included: Vec<TxId>,
}
