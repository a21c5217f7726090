//! The journal: one record of each kind, and the transactions that were acknowledged here and are in no block.

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use timed_core::{Record, RecordKey, TxId};

use super::StoreError;
use super::file::{DbFile, set_schema};

/// Records by [`RecordKey::name`].
pub(super) const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("journal");
/// Transactions that wait, by id: their number in the order of arrival, and their bytes.
const PENDING: TableDefinition<'_, &[u8; 32], (u64, &[u8])> = TableDefinition::new("pending");
/// Raised whenever an older version would misread what this one writes.
const SCHEMA: u64 = 2;
/// Knew records only, and of them only the boot epochs.
const SCHEMA_BEFORE_BLOCKS: u64 = 1;

/// The open journal.
#[derive(Debug)]
pub(super) struct Journal {
    db: Database,
    file: DbFile,
    /// The transactions in the file, but for those settled.
    pending: BTreeSet<TxId>,
    /// Transactions that a durable block carries and the file still has.
    settled: Vec<TxId>,
    /// The number of the next transaction.
    next: u64,
}

/// Transactions that wait, oldest first.
pub(super) type Waiting = Vec<(TxId, Bytes)>;

impl Journal {
    /// Opens the file and checks it as a whole, or creates it.
    pub(super) fn open(file: &DbFile) -> Result<(Self, Vec<Record>, Waiting), StoreError> {
        let create = |txn: &WriteTransaction| create_tables(txn).map_err(redb::Error::from);
        file.open(SCHEMA, create, |db| Self::read(checked(db, file)?, file.clone()))
    }

    /// Opens what is on a disk of a test.
    #[cfg(test)]
    pub(super) fn on(db: Database, file: DbFile) -> Result<(Self, Vec<Record>, Waiting), StoreError> {
        if db.begin_read().unwrap().list_tables().unwrap().count() == 0 {
            super::file::initialise(&db, SCHEMA, |txn| Ok(create_tables(txn)?)).unwrap();
        }
        Self::read(checked(db, &file)?, file)
    }

    fn read(db: Database, file: DbFile) -> Result<(Self, Vec<Record>, Waiting), StoreError> {
        let failed = |error: redb::Error| file.failed("read", error);
        let txn = db.begin_read().map_err(|error| failed(error.into()))?;
        let schema = file.schema(&txn)?;
        if !(SCHEMA_BEFORE_BLOCKS..=SCHEMA).contains(&schema) {
            return Err(file.newer(format!("schema {schema}")));
        }
        let records = read_records(&txn).map_err(failed)?.into_iter().map(|(name, bytes)| {
            let key = RecordKey::ALL.into_iter().find(|key| key.name() == name);
            key.map(|key| Record { key, bytes }).ok_or_else(|| file.newer(format!("record {name:?}")))
        });
        let records = records.collect::<Result<Vec<_>, _>>()?;
        if schema == SCHEMA_BEFORE_BLOCKS {
            migrate(&db).map_err(failed)?;
        }
        let txn = db.begin_read().map_err(|error| failed(error.into()))?;
        let mut numbered = read_pending(&txn).map_err(failed)?;
        numbered.sort_unstable_by_key(|(number, ..)| *number);
        let next = numbered.last().map_or(0, |(number, ..)| number.saturating_add(1));
        let waiting: Waiting = numbered.into_iter().map(|(_, id, bytes)| (id, bytes)).collect();
        let pending = waiting.iter().map(|(id, _)| *id).collect();
        Ok((Self { db, file, pending, settled: Vec::new(), next }, records, waiting))
    }

    pub(super) fn path(&self) -> &Path {
        &self.file.path
    }

    /// Makes records durable, in one flush. Transactions among `committed` are durable in a block; an empty one
    /// will never be in a block and goes.
    pub(super) fn write(
        &mut self,
        records: &[(RecordKey, Bytes)],
        committed: &BTreeSet<TxId>,
    ) -> Result<(), StoreError> {
        self.try_write(records, committed).map_err(|error| self.file.failed("write to", error))
    }

    fn try_write(
        &mut self,
        records: &[(RecordKey, Bytes)],
        committed: &BTreeSet<TxId>,
    ) -> Result<(), redb::Error> {
        let txn = self.db.begin_write()?;
        {
            let mut by_name = txn.open_table(RECORDS)?;
            let mut pending = txn.open_table(PENDING)?;
            for id in self.settled.drain(..) {
                pending.remove(&id.0)?;
            }
            for (key, bytes) in records {
                match key {
                    RecordKey::Transaction(id) if bytes.is_empty() => {
                        self.pending.remove(id);
                        pending.remove(&id.0)?;
                    }
                    RecordKey::Transaction(id) if committed.contains(id) || !self.pending.insert(*id) => {}
                    RecordKey::Transaction(id) => {
                        pending.insert(&id.0, (self.next, &bytes[..]))?;
                        self.next += 1;
                    }
                    key => {
                        by_name.insert(key.name(), &bytes[..])?;
                    }
                }
            }
        }
        txn.commit()?;
        Ok(())
    }

    /// A block carries these, and will be durable before the next write here: then the file lets go of those it
    /// has.
    pub(super) fn settle(&mut self, included: &[TxId]) {
        self.settled.extend(included.iter().filter(|id| self.pending.remove(id)));
    }

    /// Lets go of what is settled now.
    pub(super) fn tidy(&mut self) -> Result<(), StoreError> {
        if self.settled.is_empty() { Ok(()) } else { self.write(&[], &BTreeSet::new()) }
    }

    /// Whether something is settled and still in the file.
    pub(super) fn is_tidy(&self) -> bool {
        self.settled.is_empty()
    }
}

fn checked(mut db: Database, file: &DbFile) -> Result<Database, StoreError> {
    if db.check_integrity().map_err(|error| file.database_error("check", error))? {
        Ok(db)
    } else {
        Err(file.damaged("checksums do not match"))
    }
}

fn create_tables(txn: &WriteTransaction) -> Result<(), redb::TableError> {
    txn.open_table(RECORDS)?;
    txn.open_table(PENDING)?;
    Ok(())
}

fn migrate(db: &Database) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    create_tables(&txn)?;
    set_schema(&txn, SCHEMA)?;
    txn.commit()?;
    Ok(())
}

fn read_records(txn: &ReadTransaction) -> Result<Vec<(String, Bytes)>, redb::Error> {
    let mut records = Vec::new();
    for entry in txn.open_table(RECORDS)?.iter()? {
        let (name, bytes) = entry?;
        records.push((name.value().to_owned(), Bytes::copy_from_slice(bytes.value())));
    }
    Ok(records)
}

fn read_pending(txn: &ReadTransaction) -> Result<Vec<(u64, TxId, Bytes)>, redb::Error> {
    let mut pending = Vec::new();
    for entry in txn.open_table(PENDING)?.iter()? {
        let (id, row) = entry?;
        let (number, bytes) = row.value();
        pending.push((number, TxId(*id.value()), Bytes::copy_from_slice(bytes)));
    }
    Ok(pending)
}
