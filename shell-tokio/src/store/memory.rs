//! A store that forgets everything with its process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use timed_core::{BlockHash, Height, Record, RecordKey, StoredBlock, TxId};

use super::{Inclusion, Store, StoreError, Write};

/// Keeps everything in memory, the whole chain too: for observers, tests and experiments. Clones share their content,
/// so that a node can be started again within the process.
///
/// A masternode needs a durable one: a key whose voting record is lost abstains until it has seen the network pass
/// what it may have signed (rule C-13).
#[derive(Clone, Default)]
pub struct MemoryStore {
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    records: BTreeMap<RecordKey, Bytes>,
    /// Transactions that wait, by their number in the order of arrival.
    waiting: BTreeMap<u64, (TxId, Bytes)>,
    numbers: BTreeMap<TxId, u64>,
    next: u64,
    /// The block of height 1 first.
    blocks: Vec<Bytes>,
    places: BTreeMap<TxId, Inclusion>,
    heights: BTreeMap<BlockHash, Height>,
}

impl MemoryStore {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("blocks", &self.held().blocks.len()).finish_non_exhaustive()
    }
}

impl Held {
    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        match write {
            Write::Record(RecordKey::Transaction(id), bytes) => self.wait(*id, bytes),
            Write::Record(key, bytes) => {
                self.records.insert(*key, bytes.clone());
            }
            Write::Block { block, bytes, included } => {
                let height = block.block.header.height;
                if height.0 != self.newest() + 1 {
                    return Err(format!("a block of height {height} cannot follow {}", self.newest()).into());
                }
                self.blocks.push(bytes.clone());
                self.heights.insert(block.certificate.block, height);
                for (index, id) in (0..).zip(included) {
                    // One that is there twice stays where it came first.
                    self.places.entry(*id).or_insert(Inclusion { height, index });
                    self.forget(id);
                }
            }
        }
        Ok(())
    }

    fn wait(&mut self, id: TxId, bytes: &Bytes) {
        if bytes.is_empty() {
            self.forget(&id);
        } else if !self.places.contains_key(&id) && !self.numbers.contains_key(&id) {
            self.next += 1;
            self.numbers.insert(id, self.next);
            self.waiting.insert(self.next, (id, bytes.clone()));
        }
    }

    fn forget(&mut self, id: &TxId) {
        if let Some(number) = self.numbers.remove(id) {
            self.waiting.remove(&number);
        }
    }

    fn newest(&self) -> u64 {
        self.blocks.len() as u64
    }
}

impl Store for MemoryStore {
    fn records(&self) -> Result<Vec<Record>, StoreError> {
        let held = self.held();
        let records = held.records.iter().map(|(key, bytes)| (*key, bytes));
        let tip = held.blocks.last().map(|bytes| (RecordKey::Tip, bytes));
        let waiting = held.waiting.values().map(|(id, bytes)| (RecordKey::Transaction(*id), bytes));
        let all = records.chain(tip).chain(waiting);
        Ok(all.map(|(key, bytes)| Record { key, bytes: bytes.clone() }).collect())
    }

    fn write(&self, batch: &[Write]) -> Result<(), StoreError> {
        let mut held = self.held();
        batch.iter().try_for_each(|write| held.write(write))
    }

    fn blocks(&self, from: Height, to: Height, max_bytes: usize) -> Result<Vec<StoredBlock>, StoreError> {
        let held = self.held();
        let (mut found, mut bytes) = (Vec::new(), 0_usize);
        let Some(first) = from.0.checked_sub(1).and_then(|place| usize::try_from(place).ok()) else {
            return Ok(found);
        };
        for (height, block) in (from.0..=to.0).zip(held.blocks.iter().skip(first)) {
            bytes = bytes.saturating_add(block.len());
            if bytes > max_bytes && !found.is_empty() {
                break;
            }
            found.push(StoredBlock { height: Height(height), bytes: block.clone() });
        }
        Ok(found)
    }

    fn find(&self, id: &TxId) -> Result<Option<Inclusion>, StoreError> {
        Ok(self.held().places.get(id).copied())
    }

    fn height_of(&self, hash: &BlockHash) -> Result<Option<Height>, StoreError> {
        Ok(self.held().heights.get(hash).copied())
    }
}
