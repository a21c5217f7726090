//! The chain: blocks by height without a gap, heights by hash, and where each transaction is.

use std::sync::Arc;

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    WriteTransaction,
};
use sha2::{Digest, Sha256};
use timed_core::{FinalBlock, Height, TxId};

use super::StoreError;
use super::file::DbFile;
use super::reader::BlockReader;
use crate::application::{Application, Commitment};

/// Blocks by height, each as a [row](row).
pub(super) const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
/// Heights by block hash.
pub(super) const HEIGHTS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("heights");
/// Height and position in the block by transaction id.
pub(super) const TRANSACTIONS: TableDefinition<'_, &[u8; 32], (u64, u32)> =
    TableDefinition::new("transactions");
/// Raised whenever an older version would misread what this one writes.
const SCHEMA: u64 = 1;
/// Bytes of blocks in one transaction at most, but for the last block's.
const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// The first bytes of a row.
const CHECKSUM: usize = 8;

/// The open file of blocks.
#[derive(Debug)]
pub(super) struct Chain {
    /// Readers hold it weakly: it closes with the writer.
    db: Arc<Database>,
    file: DbFile,
    /// Whether the file, as it is on the disk, says where its free pages are.
    sealed: bool,
}

/// Whether a commit is to leave the file such that it opens at once after a crash. That costs a second flush;
/// without it the next open walks through the whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seal {
    /// Together with the commit.
    Now,
    /// When there is time: [`Chain::seal`].
    Later,
}

impl Chain {
    /// Opens the file and checks that its ends fit, or creates it.
    pub(super) fn open(file: &DbFile) -> Result<Self, StoreError> {
        let create = |txn: &WriteTransaction| create_tables(txn).map_err(redb::Error::from);
        file.open(SCHEMA, create, |db| Self::checked(db, file.clone()))
    }

    fn checked(db: Database, file: DbFile) -> Result<Self, StoreError> {
        check(&db, &file)?;
        Ok(Self { db: Arc::new(db), file, sealed: true })
    }

    /// Opens what is on a disk of a test.
    #[cfg(test)]
    pub(super) fn on(db: Database, file: DbFile) -> Result<Self, StoreError> {
        if db.begin_read().unwrap().list_tables().unwrap().count() == 0 {
            super::file::initialise(&db, SCHEMA, |txn| Ok(create_tables(txn)?)).unwrap();
        }
        Self::checked(db, file)
    }

    pub(super) fn reader(&self) -> BlockReader {
        BlockReader::new(Arc::downgrade(&self.db), self.file.clone())
    }

    /// The newest height; 0 if there is no block.
    pub(super) fn newest(&self) -> Result<Height, StoreError> {
        let txn = self.db.begin_read().map_err(|error| self.file.failed("read", error))?;
        newest(&txn).map_err(|error| self.file.failed("read", error))
    }

    /// Begins a transaction that takes blocks.
    pub(super) fn begin(&mut self) -> Result<Group<'_>, StoreError> {
        let newest = self.newest()?;
        let txn = self.db.begin_write().map_err(|error| self.file.failed("write to", error))?;
        Ok(Group { chain: self, txn, newest, bytes: 0, places: Vec::new() })
    }

    /// Whether [`Chain::seal`] has something to do.
    pub(super) const fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Makes the file open at once after a crash.
    pub(super) fn seal(&mut self) -> Result<(), StoreError> {
        if self.sealed { Ok(()) } else { self.begin()?.commit(Seal::Now) }
    }
}

/// Blocks that become durable together.
pub(super) struct Group<'c> {
    chain: &'c mut Chain,
    txn: WriteTransaction,
    newest: Height,
    bytes: usize,
    /// Where the transactions of these blocks are: written in the order of ids, which touches fewest pages.
    places: Vec<(TxId, (u64, u32))>,
}

impl Group<'_> {
    /// Hands the next block to the application and adds it, with what it carries. At a start the core asks once
    /// more what the two newest blocks change: they are handed to the application and are there already.
    pub(super) fn add(
        &mut self,
        block: &FinalBlock,
        bytes: &[u8],
        application: &dyn Application,
    ) -> Result<Commitment, StoreError> {
        let height = block.block.header.height;
        let again = self.is_stored(block).map_err(|error| self.chain.file.failed("read", error))?;
        if !again && height.0 != self.newest.0.saturating_add(1) {
            let path = self.chain.file.path.clone();
            return Err(StoreError::NotNext { path, newest: self.newest, given: height });
        }
        let commitment =
            application.commit(block).map_err(|error| StoreError::Application { height, error })?;
        if again {
            return Ok(commitment);
        }
        self.insert(height, block, bytes).map_err(|error| self.chain.file.failed("write to", error))?;
        let indexed = (0..).zip(&commitment.included).map(|(index, id)| (*id, (height.0, index)));
        self.places.extend(indexed);
        self.newest = height;
        self.bytes += bytes.len();
        Ok(commitment)
    }

    /// Whether this very block is among the two newest.
    fn is_stored(&self, block: &FinalBlock) -> Result<bool, redb::Error> {
        let height = block.block.header.height;
        if height > self.newest || self.newest.0 - height.0 >= 2 {
            return Ok(false);
        }
        let heights = self.txn.open_table(HEIGHTS)?;
        let stored = heights.get(&block.certificate.block.0)?.map(|height| height.value());
        Ok(stored == Some(height.0))
    }

    fn insert(&self, height: Height, block: &FinalBlock, bytes: &[u8]) -> Result<(), redb::Error> {
        let mut blocks = self.txn.open_table(BLOCKS)?;
        let mut row = blocks.insert_reserve(height.0, CHECKSUM + bytes.len())?;
        let (checksum, rest) = row.as_mut().split_at_mut(CHECKSUM);
        checksum.copy_from_slice(&checksum_of(height, bytes));
        rest.copy_from_slice(bytes);
        self.txn.open_table(HEIGHTS)?.insert(&block.certificate.block.0, height.0)?;
        Ok(())
    }

    /// Whether another block may be added.
    pub(super) const fn has_room(&self) -> bool {
        self.bytes < GROUP_BYTES
    }

    /// Makes all of it durable.
    pub(super) fn commit(mut self, seal: Seal) -> Result<(), StoreError> {
        self.places.sort_unstable();
        self.index().map_err(|error| self.chain.file.failed("write to", error))?;
        let Self { chain, mut txn, .. } = self;
        txn.set_quick_repair(seal == Seal::Now);
        chain.sealed = seal == Seal::Now;
        txn.commit().map_err(|error| chain.file.failed("write to", error))
    }

    /// A transaction that is there twice stays where it came first.
    fn index(&self) -> Result<(), redb::Error> {
        let mut transactions = self.txn.open_table(TRANSACTIONS)?;
        let mut last = None;
        for (id, place) in &self.places {
            if last == Some(id) {
                continue;
            }
            last = Some(id);
            let earlier = transactions.insert(&id.0, place)?.map(|earlier| earlier.value());
            if let Some(earlier) = earlier {
                transactions.insert(&id.0, earlier)?;
            }
        }
        Ok(())
    }
}

/// The encoded block in a row; `None` if it is not what was written for that height.
pub(super) fn row(height: Height, row: &[u8]) -> Option<&[u8]> {
    let (checksum, bytes) = row.split_first_chunk::<CHECKSUM>()?;
    (*checksum == checksum_of(height, bytes)).then_some(bytes)
}

/// Against damage, not against forgery: whoever can write the file can write a checksum too.
fn checksum_of(height: Height, bytes: &[u8]) -> [u8; CHECKSUM] {
    let digest = Sha256::new().chain_update(height.0.to_le_bytes()).chain_update(bytes).finalize();
    digest.first_chunk().copied().unwrap_or_default()
}

fn create_tables(txn: &WriteTransaction) -> Result<(), redb::TableError> {
    txn.open_table(BLOCKS)?;
    txn.open_table(HEIGHTS)?;
    txn.open_table(TRANSACTIONS)?;
    Ok(())
}

fn newest(txn: &ReadTransaction) -> Result<Height, redb::Error> {
    let newest = txn.open_table(BLOCKS)?.last()?.map_or(0, |(height, _)| height.value());
    Ok(Height(newest))
}

/// What holds of every chain and can be seen without reading it all: as many blocks as the newest height says, a
/// hash for each, and a newest block that is whole.
fn check(db: &Database, file: &DbFile) -> Result<(), StoreError> {
    let failed = |error: redb::Error| file.failed("read", error);
    let txn = db.begin_read().map_err(|error| failed(error.into()))?;
    let schema = file.schema(&txn)?;
    if schema != SCHEMA {
        return Err(file.newer(format!("schema {schema}")));
    }
    let newest = newest(&txn).map_err(failed)?;
    let (blocks, hashes) = counts(&txn).map_err(failed)?;
    if blocks != newest.0 || hashes != newest.0 {
        return Err(file.damaged(format!("it has {blocks} blocks and {hashes} hashes up to height {newest}")));
    }
    let Some(tip) = tip(&txn, newest).map_err(failed)? else { return Ok(()) };
    let whole = row(newest, &tip).and_then(|bytes| FinalBlock::decode(bytes).ok());
    match whole.filter(|tip| tip.block.header.height == newest && tip.certificate.height == newest) {
        Some(_) => Ok(()),
        None => Err(file.damaged(format!("the newest block, of height {newest}, is not as it was written"))),
    }
}

fn counts(txn: &ReadTransaction) -> Result<(u64, u64), redb::Error> {
    Ok((txn.open_table(BLOCKS)?.len()?, txn.open_table(HEIGHTS)?.len()?))
}

fn tip(txn: &ReadTransaction, newest: Height) -> Result<Option<Vec<u8>>, redb::Error> {
    Ok(txn.open_table(BLOCKS)?.get(newest.0)?.map(|row| row.value().to_vec()))
}
