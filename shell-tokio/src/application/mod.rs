//! What blocks carry: the trait that an application implements, and one that carries opaque transactions.

mod fifo;

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use timed_core::{FinalBlock, Height, PayloadVerdict, RegistryChange, TxId, Wall};

pub use self::fifo::FifoPayload;

/// Decides what blocks carry. The core never looks into a payload.
///
/// The methods are plain functions, called where they may block: `produce` and `validate` one after another on one
/// thread of tokio's blocking pool, `commit` one after another on another. A slow one delays neither the network nor
/// the other, but its own answer, and an answer after the time that the core gave costs the round and nothing else.
/// An application that is asynchronous itself uses [`tokio::runtime::Handle::block_on`] in them.
///
/// They must return: one that never does costs this node its part in making blocks, and holds up the end of the
/// runtime ([`Handle::shutdown`](crate::Handle::shutdown) says how to bound that).
///
/// An error says that the application cannot go on, as after a failing disk: the node stops with
/// [`Exit::Application`](crate::Exit::Application). A panic is taken as one.
pub trait Application: Send + Sync + 'static {
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

    /// Takes a final block in, in ascending order of heights, each height once while the node runs; the block is
    /// written by the store afterwards. What it changes in the registry must follow from the blocks alone.
    ///
    /// Before a node starts it hands over the stored blocks above [`Application::height`], and the two newest in any
    /// case; after a crash a block may come again that was taken in and not written by the store. An application that
    /// keeps its state itself answers one that it knows as it did the first time, and changes nothing.
    ///
    /// # Errors
    /// If the application cannot go on.
    fn commit(&self, block: &FinalBlock) -> Result<Commitment, ApplicationError>;

    /// The newest height that this application has taken in and kept, asked once before the node starts. One that
    /// keeps nothing answers 0, and is handed the whole chain at each start.
    fn height(&self) -> Height {
        Height(0)
    }
}

impl<A: Application + ?Sized> Application for Arc<A> {
    fn produce(&self, wanted: &Wanted) -> Result<Offer, ApplicationError> {
        (**self).produce(wanted)
    }

    fn validate(&self, height: Height, payload: &Bytes) -> Result<PayloadVerdict, ApplicationError> {
        (**self).validate(height, payload)
    }

    fn commit(&self, block: &FinalBlock) -> Result<Commitment, ApplicationError> {
        (**self).commit(block)
    }

    fn height(&self) -> Height {
        (**self).height()
    }
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
    /// Transactions that wait, oldest first: no more than fit.
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
    /// The transactions that it carries, in their order: they wait no longer, and the store indexes them.
    pub included: Vec<TxId>,
}
