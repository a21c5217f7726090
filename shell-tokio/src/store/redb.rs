//! A durable store in two files of a directory, by [redb](::redb).
//!
//! The records are a file of their own: it stays small, it is checked as a whole at every start, and a vote costs
//! one flush. The blocks may be many: their file opens at once after a crash too, each block is checked when it is
//! read, and what is damaged there can be fetched again from peers without touching a promise.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition, TableError, WriteTransaction,
};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use timed_core::{BlockHash, FinalBlock, Height, Record, RecordKey, StoredBlock, TxId};

use super::{Inclusion, Store, StoreError, Write};

/// What a file says about itself: its schema.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("timed_tokio");
/// Raised whenever an older version would misread what this one writes.
const SCHEMA: u64 = 1;
/// Records by [`RecordKey::name`].
const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
/// Transactions that wait, by id: their number in the order of arrival, and their bytes.
const WAITING: TableDefinition<'_, &[u8; 32], (u64, &[u8])> = TableDefinition::new("waiting");
/// Blocks by height: a checksum, and the block as it was encoded.
const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
/// Height and position in the block by transaction id.
const PLACES: TableDefinition<'_, &[u8; 32], (u64, u32)> = TableDefinition::new("places");
/// Height by block hash. Made anew from the blocks where it is not whole.
const HEIGHTS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("heights");
/// The first bytes of a block's row.
const CHECKSUM: usize = 8;
/// Page caches; redb's own default is a gigabyte.
const CACHE: [usize; 2] = [4 * 1024 * 1024, 16 * 1024 * 1024];

/// Why a [`RedbStore`] cannot be used. Nothing is ever overwritten to get past one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedbError {
    /// Another process, or another store of this one, has it open.
    #[error("{path} is in use", path = .0.display())]
    InUse(PathBuf),
    /// A later version has written it.
    #[error("{path} was written by a later version of timed-tokio", path = .0.display())]
    Newer(PathBuf),
    /// The content is not what was written.
    #[error("{path} is damaged: {detail}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The operating system refused.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its words.
        error: io::Error,
    },
}

/// The durable store: `records.redb` and `blocks.redb` in a directory of their own.
#[derive(Debug)]
pub struct RedbStore {
    records: DbFile,
    blocks: DbFile,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Transactions that a durable block carries and the records still have. They go with the next write; after a
    /// crash the index of the blocks tells them.
    settled: BTreeSet<TxId>,
    /// The number of the newest transaction.
    newest: u64,
}

#[derive(Debug)]
struct DbFile {
    db: Database,
    path: PathBuf,
}

impl RedbStore {
    /// Opens the store in a directory, or creates both. May take long only if the records are many.
    ///
    /// # Errors
    /// If it is in use, damaged, of a later version, or cannot be read, written or created.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, RedbError> {
        let directory = directory.as_ref();
        let [records, blocks] = ["records.redb", "blocks.redb"].map(|name| directory.join(name));
        fs::create_dir_all(directory).map_err(|error| RedbError::Io { path: directory.into(), error })?;
        let [record_cache, block_cache] = CACHE;
        let mut records = DbFile::open(records, record_cache, |txn| {
            txn.open_table(RECORDS)?;
            txn.open_table(WAITING).map(|_| ())
        })?;
        let blocks = DbFile::open(blocks, block_cache, |txn| {
            txn.open_table(BLOCKS)?;
            txn.open_table(HEIGHTS)?;
            txn.open_table(PLACES).map(|_| ())
        })?;
        records.check_integrity()?;
        blocks.check_ends()?;
        blocks.complete_heights()?;
        // The directory itself must survive a power cut, too.
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| RedbError::Io { path: directory.into(), error })?;
        let newest = records.reading(|| {
            let txn = records.db.begin_read()?;
            let mut newest = 0;
            for entry in txn.open_table(WAITING)?.iter()? {
                newest = newest.max(entry?.1.value().0);
            }
            Ok(newest)
        })?;
        Ok(Self { records, blocks, waiting: Mutex::new(Waiting { settled: BTreeSet::new(), newest }) })
    }

    /// The height of the newest block; 0 before the first.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn newest(&self) -> Result<Height, RedbError> {
        self.blocks.newest()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_records(&self, run: &[Write]) -> Result<(), RedbError> {
        self.records.guarded(|txn: WriteTransaction| {
            let mut known = self.waiting();
            {
                let mut waiting = txn.open_table(WAITING)?;
                for id in &known.settled {
                    waiting.remove(&id.0)?;
                }
                let mut records = txn.open_table(RECORDS)?;
                for write in run {
                    let Write::Record(key, bytes) = write else { continue };
                    match key {
                        RecordKey::Transaction(id) if bytes.is_empty() => {
                            waiting.remove(&id.0)?;
                        }
                        RecordKey::Transaction(id) => {
                            if waiting.get(&id.0)?.is_none() && self.place(id)?.is_none() {
                                known.newest += 1;
                                waiting.insert(&id.0, (known.newest, &bytes[..]))?;
                            }
                        }
                        key => {
                            records.insert(key.name(), &bytes[..])?;
                        }
                    }
                }
            }
            txn.commit()?;
            known.settled.clear();
            Ok(())
        })
    }

    fn write_blocks(&self, run: &[Write]) -> Result<(), RedbError> {
        self.blocks.guarded(|mut txn: WriteTransaction| {
            {
                let mut blocks = txn.open_table(BLOCKS)?;
                let mut places = txn.open_table(PLACES)?;
                let mut heights = txn.open_table(HEIGHTS)?;
                for write in run {
                    let Write::Block { block, bytes, included } = write else { continue };
                    let height = block.block.header.height;
                    let newest = blocks.last()?.map_or(0, |(height, _)| height.value());
                    if height.0 != newest + 1 {
                        let detail = format!("it ends at height {newest}: {height} cannot follow");
                        return Err(::redb::Error::Corrupted(detail));
                    }
                    let mut row = blocks.insert_reserve(height.0, CHECKSUM + bytes.len())?;
                    let (checksum, rest) = row.as_mut().split_at_mut(CHECKSUM);
                    checksum.copy_from_slice(&checksum_of(height, bytes));
                    rest.copy_from_slice(bytes);
                    drop(row);
                    heights.insert(&block.certificate.block.0, height.0)?;
                    for (index, id) in (0..).zip(included) {
                        // One that is there twice stays where it came first.
                        if places.get(&id.0)?.is_none() {
                            places.insert(&id.0, (height.0, index))?;
                        }
                    }
                }
            }
            // A second flush, so that the file opens at once after a crash, however long the chain is.
            txn.set_quick_repair(true);
            txn.commit()?;
            Ok(())
        })?;
        let mut known = self.waiting();
        for write in run {
            if let Write::Block { included, .. } = write {
                known.settled.extend(included);
            }
        }
        Ok(())
    }

    fn place(&self, id: &TxId) -> Result<Option<Inclusion>, ::redb::Error> {
        let txn = self.blocks.db.begin_read()?;
        let place = txn.open_table(PLACES)?.get(&id.0)?.map(|place| place.value());
        Ok(place.map(|(height, index)| Inclusion { height: Height(height), index }))
    }

    fn read_records(&self) -> Result<Vec<Record>, ::redb::Error> {
        let txn = self.records.db.begin_read()?;
        let table = txn.open_table(RECORDS)?;
        let mut records = Vec::new();
        for key in RecordKey::ALL {
            if let Some(found) = table.get(key.name())? {
                records.push(Record { key, bytes: Bytes::copy_from_slice(found.value()) });
            }
        }
        let mut waiting = Vec::new();
        for entry in txn.open_table(WAITING)?.iter()? {
            let (id, found) = entry?;
            let (number, bytes) = found.value();
            let id = TxId(*id.value());
            // A block may have become durable just before a crash.
            if self.place(&id)?.is_none() {
                let record = Record { key: RecordKey::Transaction(id), bytes: Bytes::copy_from_slice(bytes) };
                waiting.push((number, record));
            }
        }
        waiting.sort_unstable_by_key(|(number, _)| *number);
        records.extend(waiting.into_iter().map(|(_, record)| record));
        Ok(records)
    }
}

impl Store for RedbStore {
    fn records(&self) -> Result<Vec<Record>, StoreError> {
        let mut records = self.records.reading(|| self.read_records())?;
        let newest = self.blocks.newest()?;
        if let Some(tip) = self.blocks(newest, newest, 0)?.pop() {
            records.push(Record { key: RecordKey::Tip, bytes: tip.bytes });
        }
        Ok(records)
    }

    fn write(&self, batch: &[Write]) -> Result<(), StoreError> {
        let is_block = |write: &Write| matches!(write, Write::Block { .. });
        for run in batch.chunk_by(|a, b| is_block(a) == is_block(b)) {
            match run.first() {
                Some(Write::Block { .. }) => self.write_blocks(run)?,
                _ => self.write_records(run)?,
            }
        }
        Ok(())
    }

    fn blocks(&self, from: Height, to: Height, max_bytes: usize) -> Result<Vec<StoredBlock>, StoreError> {
        let rows = self.blocks.reading(|| {
            let txn = self.blocks.db.begin_read()?;
            let (mut rows, mut bytes) = (Vec::new(), 0_usize);
            for entry in txn.open_table(BLOCKS)?.range(from.0..=to.0.max(from.0))? {
                let (height, row) = entry?;
                bytes = bytes.saturating_add(row.value().len());
                if bytes > max_bytes && !rows.is_empty() {
                    break;
                }
                rows.push((Height(height.value()), Bytes::copy_from_slice(row.value())));
            }
            Ok(rows)
        })?;
        let whole = |(height, row)| Ok(StoredBlock { height, bytes: self.blocks.whole(height, &row)? });
        rows.into_iter().map(whole).collect()
    }

    fn find(&self, id: &TxId) -> Result<Option<Inclusion>, StoreError> {
        Ok(self.blocks.reading(|| self.place(id))?)
    }

    fn height_of(&self, hash: &BlockHash) -> Result<Option<Height>, StoreError> {
        Ok(self.blocks.reading(|| {
            let txn = self.blocks.db.begin_read()?;
            Ok(txn.open_table(HEIGHTS)?.get(&hash.0)?.map(|height| Height(height.value())))
        })?)
    }
}

/// Against damage, not against forgery: whoever can write the file can write a checksum too.
fn checksum_of(height: Height, bytes: &[u8]) -> [u8; CHECKSUM] {
    let digest = Sha256::new().chain_update(height.0.to_le_bytes()).chain_update(bytes).finalize();
    digest.first_chunk().copied().unwrap_or_default()
}

impl DbFile {
    fn open(
        path: PathBuf,
        cache: usize,
        create: impl FnOnce(&WriteTransaction) -> Result<(), TableError>,
    ) -> Result<Self, RedbError> {
        match fs::metadata(&path) {
            Ok(found) if found.len() == 0 => return Err(damaged(&path, "it is empty")),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(&path, create)?,
            Err(error) => return Err(RedbError::Io { path, error }),
        }
        let mut builder = Builder::new();
        builder.set_cache_size(cache);
        let opened = catch_unwind(AssertUnwindSafe(|| builder.open(&path)));
        let db = match opened {
            Ok(Ok(db)) => db,
            Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => return Err(RedbError::InUse(path)),
            Ok(Err(error)) => return Err(failed(&path, error.into())),
            Err(_) => return Err(damaged(&path, "its structure is inconsistent")),
        };
        let file = Self { db, path };
        let schema = file.reading(|| {
            let txn = file.db.begin_read()?;
            match txn.open_table(META) {
                Ok(meta) => Ok(meta.get("schema")?.map(|schema| schema.value())),
                Err(TableError::TableDoesNotExist(_)) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })?;
        match schema {
            Some(SCHEMA) => Ok(file),
            Some(_) => Err(RedbError::Newer(file.path)),
            None => Err(file.damaged("it is no database of timed-tokio")),
        }
    }

    /// Builds the file under another name: a crash on the way leaves no half database behind.
    fn create(
        path: &Path,
        create: impl FnOnce(&WriteTransaction) -> Result<(), TableError>,
    ) -> Result<(), RedbError> {
        let io = |error| RedbError::Io { path: path.into(), error };
        let building = path.with_extension("new");
        match fs::remove_file(&building) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let made = || {
            let db = Builder::new().create(&building)?;
            let txn = db.begin_write()?;
            txn.open_table(META)?.insert("schema", SCHEMA)?;
            create(&txn)?;
            txn.commit()?;
            Ok(())
        };
        made().map_err(|error| failed(path, error))?;
        fs::rename(&building, path).map_err(io)
    }

    fn check_integrity(&mut self) -> Result<(), RedbError> {
        match self.db.check_integrity() {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.damaged("checksums do not match")),
            Err(error) => Err(failed(&self.path, error.into())),
        }
    }

    /// What holds of every chain and can be seen without reading it all.
    fn check_ends(&self) -> Result<(), RedbError> {
        let newest = self.newest()?;
        let (count, tip) = self.reading(|| {
            let txn = self.db.begin_read()?;
            let blocks = txn.open_table(BLOCKS)?;
            Ok((blocks.len()?, blocks.get(newest.0)?.map(|row| Bytes::copy_from_slice(row.value()))))
        })?;
        if count != newest.0 {
            return Err(self.damaged(format!("it has {count} blocks up to height {newest}")));
        }
        let Some(row) = tip else { return Ok(()) };
        let decoded = FinalBlock::decode(&self.whole(newest, &row)?);
        match decoded.ok().filter(|tip| tip.block.header.height == newest) {
            Some(_) => Ok(()),
            None => Err(self.damaged("the newest block is not as it was written")),
        }
    }

    /// The index of hashes, for a file that was begun without it. Takes as long as reading all blocks, once.
    fn complete_heights(&self) -> Result<(), RedbError> {
        let whole = self.reading(|| {
            let txn = self.db.begin_read()?;
            let count = match txn.open_table(HEIGHTS) {
                Ok(heights) => heights.len()?,
                Err(TableError::TableDoesNotExist(_)) => 0,
                Err(error) => return Err(error.into()),
            };
            Ok(count == txn.open_table(BLOCKS)?.len()?)
        })?;
        if whole {
            return Ok(());
        }
        self.guarded(|txn| {
            {
                let mut heights = txn.open_table(HEIGHTS)?;
                for entry in txn.open_table(BLOCKS)?.iter()? {
                    let (height, row) = entry?;
                    // One that has rotted is told when it is asked for.
                    let bytes = row.value().get(CHECKSUM..).map(Bytes::copy_from_slice).unwrap_or_default();
                    if let Ok(block) = FinalBlock::decode(&bytes) {
                        heights.insert(&block.certificate.block.0, height.value())?;
                    }
                }
            }
            txn.commit()?;
            Ok(())
        })
    }

    fn newest(&self) -> Result<Height, RedbError> {
        self.reading(|| {
            let txn = self.db.begin_read()?;
            Ok(Height(txn.open_table(BLOCKS)?.last()?.map_or(0, |(height, _)| height.value())))
        })
    }

    fn whole(&self, height: Height, row: &Bytes) -> Result<Bytes, RedbError> {
        match row.split_first_chunk::<CHECKSUM>() {
            Some((checksum, bytes)) if *checksum == checksum_of(height, bytes) => Ok(row.slice(CHECKSUM..)),
            _ => Err(self.damaged(format!("the block of height {height} is not as it was written"))),
        }
    }

    /// redb asserts what it believes about its own pages: on a damaged file such an assertion is an answer.
    fn reading<T>(&self, read: impl FnOnce() -> Result<T, ::redb::Error>) -> Result<T, RedbError> {
        catch_unwind(AssertUnwindSafe(read))
            .map_err(|_| self.damaged("its structure is inconsistent"))?
            .map_err(|error| failed(&self.path, error))
    }

    fn guarded<T>(
        &self,
        write: impl FnOnce(WriteTransaction) -> Result<T, ::redb::Error>,
    ) -> Result<T, RedbError> {
        self.reading(|| write(self.db.begin_write()?))
    }

    fn damaged(&self, detail: impl Into<String>) -> RedbError {
        damaged(&self.path, detail)
    }
}

fn damaged(path: &Path, detail: impl Into<String>) -> RedbError {
    RedbError::Damaged { path: path.into(), detail: detail.into() }
}

/// Tells damage from a disk that merely refuses.
fn failed(path: &Path, error: ::redb::Error) -> RedbError {
    use ::redb::Error::{Corrupted, DatabaseClosed, Io, PreviousIo};
    use io::ErrorKind::{InvalidData, Other, UnexpectedEof};
    let path = path.to_owned();
    match error {
        Io(error) if !matches!(error.kind(), InvalidData | UnexpectedEof) => RedbError::Io { path, error },
        Corrupted(detail) => RedbError::Damaged { path, detail },
        error @ (PreviousIo | DatabaseClosed) => {
            RedbError::Io { path, error: io::Error::new(Other, error.to_string()) }
        }
        error => RedbError::Damaged { path, detail: error.to_string() },
    }
}
