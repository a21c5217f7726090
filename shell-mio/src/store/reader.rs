//! Blocks for other threads: reads see what is durable, and neither wait for the writer nor hold it up.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable};
use timed_core::{BlockHash, Height, StoredBlock, TxId};

use super::StoreError;
use super::chain::{BLOCKS, HEIGHTS, TRANSACTIONS, row};
use super::file::DbFile;

/// Reads durable blocks, from any thread, until the store is closed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BlockReader {
    db: Weak<Database>,
    file: DbFile,
}

/// Durable blocks as the daemon reads them for its API, whichever store keeps them. A call may wait for a disk, and
/// never for whoever writes.
pub trait Blocks: Send + Sync + 'static {
    /// See [`BlockReader::latest`].
    ///
    /// # Errors
    /// If the store is closed, the disk refuses, or the block is damaged.
    fn latest(&self) -> Result<Option<StoredBlock>, StoreError>;
    /// See [`BlockReader::block`].
    ///
    /// # Errors
    /// As [`Blocks::latest`].
    fn block(&self, height: Height) -> Result<Option<StoredBlock>, StoreError>;
    /// See [`BlockReader::height_of`].
    ///
    /// # Errors
    /// As [`Blocks::latest`].
    fn height_of(&self, hash: BlockHash) -> Result<Option<Height>, StoreError>;
    /// See [`BlockReader::find_transaction`].
    ///
    /// # Errors
    /// As [`Blocks::latest`].
    fn find_transaction(&self, id: TxId) -> Result<Option<Inclusion>, StoreError>;
}

impl Blocks for BlockReader {
    fn latest(&self) -> Result<Option<StoredBlock>, StoreError> {
        Self::latest(self)
    }

    fn block(&self, height: Height) -> Result<Option<StoredBlock>, StoreError> {
        Self::block(self, height)
    }

    fn height_of(&self, hash: BlockHash) -> Result<Option<Height>, StoreError> {
        Self::height_of(self, hash)
    }

    fn find_transaction(&self, id: TxId) -> Result<Option<Inclusion>, StoreError> {
        Self::find_transaction(self, id)
    }
}

/// Where a committed transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// The block's height.
    pub height: Height,
    /// Its position in the block, from 0.
    pub index: u32,
}

impl BlockReader {
    pub(super) const fn new(db: Weak<Database>, file: DbFile) -> Self {
        Self { db, file }
    }

    /// The newest block; `None` if there is none yet.
    ///
    /// # Errors
    /// If the store is closed, the disk refuses, or the block is damaged.
    pub fn latest(&self) -> Result<Option<StoredBlock>, StoreError> {
        self.read(|txn| match txn.open_table(BLOCKS)?.last()? {
            None => Ok(Ok(None)),
            Some((height, found)) => Ok(self.whole(Height(height.value()), found.value()).map(Some)),
        })?
    }

    /// The block of a height; `None` if it is not there.
    ///
    /// # Errors
    /// As [`BlockReader::latest`].
    pub fn block(&self, height: Height) -> Result<Option<StoredBlock>, StoreError> {
        self.read(|txn| {
            let found = txn.open_table(BLOCKS)?.get(height.0)?;
            Ok(found.map(|found| self.whole(height, found.value())).transpose())
        })?
    }

    /// Blocks of consecutive heights, the first of height `from`: at most `max_blocks`, and no more than
    /// `max_bytes` together, but one at least if that one is there.
    ///
    /// # Errors
    /// As [`BlockReader::latest`].
    pub fn range(
        &self,
        from: Height,
        max_blocks: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredBlock>, StoreError> {
        self.read(|txn| {
            let (mut blocks, mut bytes) = (Vec::new(), 0_usize);
            for entry in txn.open_table(BLOCKS)?.range(from.0..)?.take(max_blocks) {
                let (height, found) = entry?;
                let block = match self.whole(Height(height.value()), found.value()) {
                    Ok(block) => block,
                    Err(error) => return Ok(Err(error)),
                };
                bytes = bytes.saturating_add(block.bytes.len());
                if bytes > max_bytes && !blocks.is_empty() {
                    break;
                }
                blocks.push(block);
            }
            Ok(Ok(blocks))
        })?
    }

    /// The height of the block with this hash.
    ///
    /// # Errors
    /// As [`BlockReader::latest`].
    pub fn height_of(&self, hash: BlockHash) -> Result<Option<Height>, StoreError> {
        self.read(|txn| Ok(txn.open_table(HEIGHTS)?.get(&hash.0)?.map(|height| Height(height.value()))))
    }

    /// Where a transaction is; `None` if no durable block carries it.
    ///
    /// # Errors
    /// As [`BlockReader::latest`].
    pub fn find_transaction(&self, id: TxId) -> Result<Option<Inclusion>, StoreError> {
        Ok(self.find_transactions(&[id])?.pop().flatten())
    }

    /// Where each of these transactions is, all seen at one moment.
    ///
    /// # Errors
    /// As [`BlockReader::latest`].
    pub fn find_transactions(&self, ids: &[TxId]) -> Result<Vec<Option<Inclusion>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.read(|txn| {
            let places = txn.open_table(TRANSACTIONS)?;
            let find = |id: &TxId| {
                let place = places.get(&id.0)?.map(|place| place.value());
                Ok(place.map(|(height, index)| Inclusion { height: Height(height), index }))
            };
            ids.iter().map(find).collect()
        })
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::Closed { path: self.file.path.clone() };
        let db: Arc<Database> = self.db.upgrade().ok_or_else(closed)?;
        self.file.guarded(|| {
            let begun = db.begin_read().map_err(redb::Error::from);
            begun.and_then(|txn| read(&txn)).map_err(|error| self.file.failed("read", error))
        })
    }

    fn whole(&self, height: Height, found: &[u8]) -> Result<StoredBlock, StoreError> {
        match row(height, found) {
            Some(bytes) => Ok(StoredBlock { height, bytes: Bytes::copy_from_slice(bytes) }),
            None => Err(self.file.damaged(format!("the block of height {height} is not as it was written"))),
        }
    }
}
