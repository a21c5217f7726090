//! What survives a restart: the trait that a store implements, one in memory, and one on a disk.

mod memory;
#[cfg(feature = "redb")]
mod redb;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use timed_core::{BlockHash, FinalBlock, Height, Record, RecordKey, StoredBlock, TxId};

pub use self::memory::MemoryStore;
#[cfg(feature = "redb")]
pub use self::redb::{RedbError, RedbStore};

/// Keeps what a key has promised, and the chain.
///
/// The methods are plain functions, called on threads of tokio's blocking pool; `write` never twice at once, the
/// others at any time beside it. While `write` does not return, the node promises nothing more: it neither votes nor
/// acknowledges, and it holds up the end of the runtime ([`Handle::shutdown`](crate::Handle::shutdown)).
///
/// What [`Store::write`] was given is durable when it returns: it must survive a power cut, and an older record must
/// never come back. A vote that is forgotten after it was sent is how a masternode comes to contradict itself.
pub trait Store: Send + Sync + 'static {
    /// Everything that was written, for a node that starts: of each key its newest record; of transactions those
    /// that were not removed, in the order in which they came; and the newest block as [`RecordKey::Tip`].
    ///
    /// # Errors
    /// If that cannot be read: the node does not start.
    fn records(&self) -> Result<Vec<Record>, StoreError>;

    /// Makes all of these durable, in their order: a prefix of them may be so after a crash, and nothing else.
    ///
    /// # Errors
    /// If that is not certain: the node sends nothing that depends on it, and halts.
    fn write(&self, batch: &[Write]) -> Result<(), StoreError>;

    /// Blocks of consecutive heights from `from` to `to`: no more than `max_bytes` together, but the first one in
    /// any case, if it is stored.
    ///
    /// # Errors
    /// If they cannot be read, or are not what was written: the peer that catches up asks another.
    fn blocks(&self, from: Height, to: Height, max_bytes: usize) -> Result<Vec<StoredBlock>, StoreError>;

    /// Where a transaction is, for [`Handle::transaction`](crate::Handle::transaction) and applications that carry
    /// each only once. A store without an index knows of none.
    ///
    /// # Errors
    /// If the index cannot be read.
    fn find(&self, id: &TxId) -> Result<Option<Inclusion>, StoreError> {
        let _ = id;
        Ok(None)
    }

    /// The height of the block with a hash, for [`Handle::height_of`](crate::Handle::height_of). A store without an
    /// index knows of none.
    ///
    /// # Errors
    /// If the index cannot be read.
    fn height_of(&self, hash: &BlockHash) -> Result<Option<Height>, StoreError> {
        let _ = hash;
        Ok(None)
    }
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn records(&self) -> Result<Vec<Record>, StoreError> {
        (**self).records()
    }

    fn write(&self, batch: &[Write]) -> Result<(), StoreError> {
        (**self).write(batch)
    }

    fn blocks(&self, from: Height, to: Height, max_bytes: usize) -> Result<Vec<StoredBlock>, StoreError> {
        (**self).blocks(from, to, max_bytes)
    }

    fn find(&self, id: &TxId) -> Result<Option<Inclusion>, StoreError> {
        (**self).find(id)
    }

    fn height_of(&self, hash: &BlockHash) -> Result<Option<Height>, StoreError> {
        (**self).height_of(hash)
    }
}

/// Why a store cannot go on, in its own words.
pub type StoreError = Box<dyn Error + Send + Sync>;

/// One thing to be made durable.
#[derive(Clone, Debug)]
pub enum Write {
    /// A record: replaces the earlier one of its key. An empty [`RecordKey::Transaction`] may be dropped together
    /// with the earlier one.
    Record(RecordKey, Bytes),
    /// The next block: its height is one more than the newest that is stored.
    Block {
        /// The block and its certificate.
        block: Arc<FinalBlock>,
        /// The same, encoded: what [`Store::blocks`] answers with.
        bytes: Bytes,
        /// The transactions that it carries, in their order, as the application said: their records go.
        included: Vec<TxId>,
    },
}

/// Where a committed transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// The block's height.
    pub height: Height,
    /// Its position in the block, from 0.
    pub index: u32,
}
