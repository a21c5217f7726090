//! What the tests of the store share: blocks that nobody signed, and disks that count, wait, fail and crash.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::{fmt, io};

use bytes::Bytes;
use redb::{Database, StorageBackend};
use timed_core::{
    Block, BlockHash, Certificate, CertificateHash, FinalBlock, Header, Height, NodeId, PayloadRoot, Record,
    Round, SeatSet, TxId, VoteKind, Wall,
};

use super::chain::Chain;
use super::file::{DbFile, Holds};
use super::journal::Journal;
use super::{Store, StoreError};
use crate::application::{Application, FifoPayload};

/// The hash that sample blocks of a height have.
pub(crate) fn hash(height: u64) -> BlockHash {
    let mut hash = [0xb1; 32];
    hash[..8].copy_from_slice(&height.to_be_bytes());
    BlockHash(hash)
}

/// A block with these transactions.
pub(crate) fn block(height: u64, transactions: &[&[u8]]) -> FinalBlock {
    let transactions: Vec<_> = transactions.iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect();
    let header = Header {
        height: Height(height),
        round: Round(0),
        slot: Wall(height * 1000),
        parent: hash(height.saturating_sub(1)),
        certificate: CertificateHash::default(),
        payload: PayloadRoot::default(),
        registry: timed_core::RegistryHash::default(),
        proposer: NodeId::default(),
    };
    let certificate = Certificate {
        kind: VoteKind::Precommit,
        height: Height(height),
        round: Round(0),
        block: hash(height),
        signers: SeatSet::EMPTY,
        signatures: Vec::new(),
    };
    let payload = FifoPayload::assemble(&transactions);
    FinalBlock { block: Block { header, certificate: None, payload }, certificate }
}

pub(crate) fn id(transaction: &[u8]) -> TxId {
    FifoPayload::transactions(&FifoPayload::assemble(&[Bytes::copy_from_slice(transaction)])).unwrap()[0]
}

pub(crate) fn application(store: &Store) -> Arc<dyn Application> {
    Arc::new(FifoPayload::new(store.reader()))
}

type OnFlush = Box<dyn FnMut() + Send>;

/// A disk in memory that counts, can be held up, can break, and knows what it would have after a crash.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    written: Arc<Mutex<Vec<u8>>>,
    flushed: Arc<Mutex<Vec<u8>>>,
    /// Called before each flush, by whoever flushes.
    on_flush: Arc<Mutex<Option<OnFlush>>>,
    pub(crate) syncs: Arc<AtomicUsize>,
    pub(crate) broken: Arc<AtomicBool>,
    pub(crate) held: Arc<Mutex<()>>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    /// The disk of a machine that starts again.
    pub(crate) fn with(image: &[u8]) -> Self {
        Self { written: Arc::new(Mutex::new(image.to_vec())), ..Self::default() }
    }

    /// What was written, whether flushed or not.
    pub(crate) fn image(&self) -> Vec<u8> {
        self.written.lock().unwrap().clone()
    }

    /// What a power cut leaves.
    pub(crate) fn flushed(&self) -> Vec<u8> {
        self.flushed.lock().unwrap().clone()
    }

    pub(crate) fn on_flush(&self, call: impl FnMut() + Send + 'static) {
        *self.on_flush.lock().unwrap() = Some(Box::new(call));
    }

    pub(crate) fn syncs(&self) -> usize {
        self.syncs.load(Ordering::Relaxed)
    }

    pub(crate) fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::Relaxed);
    }

    fn database(&self) -> Database {
        Database::builder().create_with_backend(self.clone()).unwrap()
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written.lock().unwrap().len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.written.lock().unwrap()[offset..offset + out.len()]);
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.written.lock().unwrap().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        drop(self.held.lock().unwrap());
        if let Some(call) = &mut *self.on_flush.lock().unwrap() {
            call();
        }
        self.syncs.fetch_add(1, Ordering::Relaxed);
        if self.broken.load(Ordering::Relaxed) {
            return Err(io::Error::other("disk on fire"));
        }
        *self.flushed.lock().unwrap() = self.image();
        Ok(())
    }
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        self.written.lock().unwrap()[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// A store on two disks, new or old.
pub(crate) fn store_on(journal: &Disk, blocks: &Disk) -> Result<(Store, Vec<Record>), StoreError> {
    let file = |holds| DbFile { path: "memory".into(), holds };
    let (journal, records, waiting) = Journal::on(journal.database(), file(Holds::Journal))?;
    let chain = Chain::on(blocks.database(), file(Holds::Blocks))?;
    Store::joined(journal, records, waiting, chain)
}
