//! The store as a whole: what is there at the next start, whatever happened in between.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use redb::{Database, TableDefinition};
use timed_core::{CommitPace, Ticket, TxId};

use super::samples::{Disk, application, block, hash, id, store_on};
use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn journal(&self) -> PathBuf {
        self.0.path().join("timed.redb")
    }

    fn blocks(&self) -> PathBuf {
        self.0.path().join("timed.blocks.redb")
    }

    fn open(&self) -> Result<(Store, Vec<Record>), StoreError> {
        Store::open(self.journal())
    }

    /// A closed store with a record and blocks of one transaction each.
    fn written(&self, heights: u64) {
        let (mut store, _) = self.open().unwrap();
        store.put(RecordKey::Boot, Bytes::from_static(b"the highest boot epoch")).unwrap();
        let blocks = (1..=heights).map(|height| block(height, &[&height.to_le_bytes()]));
        let application = application(&store);
        assert_eq!(store.append_blocks(blocks, &*application).unwrap(), Height(heights));
    }
}

fn boot() -> Record {
    Record { key: RecordKey::Boot, bytes: Bytes::from_static(b"the highest boot epoch") }
}

fn tip(height: u64) -> Record {
    Record { key: RecordKey::Tip, bytes: block(height, &[&height.to_le_bytes()]).encode() }
}

#[test]
fn everything_is_there_at_the_next_start() {
    let folder = Folder::new();
    assert_eq!(folder.open().unwrap().1, []);
    folder.written(300);
    let (mut store, records) = folder.open().unwrap();
    assert_eq!(records, [boot(), tip(300)]);
    let reader = store.reader();
    assert_eq!(reader.latest().unwrap().unwrap().height, Height(300));
    let stored = reader.block(Height(7)).unwrap().unwrap();
    assert_eq!(FinalBlock::decode(&stored.bytes).unwrap(), block(7, &[&7_u64.to_le_bytes()]));
    assert_eq!(reader.block(Height(301)).unwrap(), None);
    assert_eq!(reader.block(Height(0)).unwrap(), None);
    assert_eq!(reader.height_of(hash(42)).unwrap(), Some(Height(42)));
    assert_eq!(reader.height_of(hash(301)).unwrap(), None);
    let place = Inclusion { height: Height(123), index: 0 };
    assert_eq!(reader.find_transaction(id(&123_u64.to_le_bytes())).unwrap(), Some(place));
    assert_eq!(reader.find_transaction(TxId([9; 32])).unwrap(), None);

    let one = stored.bytes.len();
    let heights = |from, count, bytes| -> Vec<u64> {
        reader.range(Height(from), count, bytes).unwrap().iter().map(|block| block.height.0).collect()
    };
    assert_eq!(heights(1, 3, usize::MAX), [1, 2, 3]);
    assert_eq!(heights(299, 10, usize::MAX), [299, 300]);
    assert_eq!(heights(10, 10, 2 * one), [10, 11]);
    assert_eq!(heights(10, 10, 1), [10], "one at least");
    assert!(heights(10, 0, usize::MAX).is_empty());
    assert!(heights(301, 10, usize::MAX).is_empty());

    let error = store.append_blocks([block(302, &[])], &*application(&store)).unwrap_err();
    assert!(matches!(error, StoreError::NotNext { newest: Height(300), given: Height(302), .. }), "{error}");
    assert_eq!(store.append_blocks([block(301, &[])], &*application(&store)).unwrap(), Height(301));
    drop(store);
    assert!(matches!(reader.latest(), Err(StoreError::Closed { .. })));
}

#[test]
fn a_transaction_stays_where_it_came_first() {
    let folder = Folder::new();
    let (mut store, _) = folder.open().unwrap();
    let application = application(&store);
    let place = |store: &Store| store.reader().find_transaction(id(b"twice")).unwrap();
    let expected = Some(Inclusion { height: Height(1), index: 1 });
    store.append_blocks([block(1, &[b"once", b"twice"]), block(2, &[b"twice"])], &*application).unwrap();
    assert_eq!(place(&store), expected);
    store.append_blocks([block(3, &[b"twice"])], &*application).unwrap();
    assert_eq!(place(&store), expected);
}

/// Schema 1 had one table of records, and no blocks.
#[test]
fn a_store_of_the_first_schema_is_taken_over() {
    let folder = Folder::new();
    let db = Database::create(folder.journal()).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(TableDefinition::<&str, u64>::new("meta")).unwrap().insert("schema", 1).unwrap();
    let journal = TableDefinition::<&str, &[u8]>::new("journal");
    txn.open_table(journal).unwrap().insert("boot", &boot().bytes[..]).unwrap();
    txn.commit().unwrap();
    drop(db);
    for _ in 0..2 {
        assert_eq!(folder.open().unwrap().1, [boot()]);
    }
    folder.written(3);
    assert_eq!(folder.open().unwrap().1, [boot(), tip(3)]);
}

#[test]
fn a_later_version_s_file_is_refused() {
    for (path, schema, key) in [
        (Folder::journal as fn(&Folder) -> PathBuf, 3, "boot"),
        (Folder::journal, 0, "boot"),
        (Folder::journal, 2, "vote"),
        (Folder::blocks, 2, "boot"),
    ] {
        let folder = Folder::new();
        folder.written(2);
        let db = Database::open(path(&folder)).unwrap();
        let txn = db.begin_write().unwrap();
        txn.open_table(TableDefinition::<&str, u64>::new("meta")).unwrap().insert("schema", schema).unwrap();
        let journal = TableDefinition::<&str, &[u8]>::new("journal");
        txn.open_table(journal).unwrap().insert(key, &b"?"[..]).unwrap();
        txn.commit().unwrap();
        drop(db);
        let error = folder.open().unwrap_err();
        assert!(matches!(error, StoreError::Newer { .. }), "{error:?}");
        assert!(error.to_string().contains(path(&folder).to_str().unwrap()), "{error}");
    }
}

/// The remedy that the message names: without its file the chain begins anew, and no promise is touched.
#[test]
fn a_damaged_chain_is_refused_and_can_be_moved_away() {
    type Damage = fn(&redb::WriteTransaction);
    let damages: [Damage; 5] = [
        |txn| drop(txn.open_table(chain::BLOCKS).unwrap().remove(2).unwrap()),
        |txn| drop(txn.open_table(chain::BLOCKS).unwrap().remove(1).unwrap()),
        |txn| drop(txn.open_table(chain::BLOCKS).unwrap().remove(5).unwrap()),
        |txn| drop(txn.open_table(chain::HEIGHTS).unwrap().remove(&hash(3).0).unwrap()),
        |txn| drop(txn.open_table(chain::BLOCKS).unwrap().insert(5, &[0; 500][..]).unwrap()),
    ];
    for damage in damages {
        let folder = Folder::new();
        folder.written(5);
        let db = Database::open(folder.blocks()).unwrap();
        let txn = db.begin_write().unwrap();
        damage(&txn);
        txn.commit().unwrap();
        drop(db);
        let error = folder.open().unwrap_err();
        assert!(matches!(error, StoreError::DamagedChain { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(folder.blocks().to_str().unwrap()) && text.contains("move this one file away"));
        fs::rename(folder.blocks(), folder.0.path().join("away")).unwrap();
        assert_eq!(folder.open().unwrap().1, [boot()]);
    }
}

/// Damage anywhere in the journal is found or does not matter: no damaged file gives other records.
#[test]
fn no_flipped_bit_gives_other_records() {
    let folder = Folder::new();
    folder.written(0);
    let found = with_flipped_bits(&folder.journal(), 100, |at| match folder.open() {
        Ok((_, records)) => {
            assert_eq!(records, [boot()], "byte {at}");
            false
        }
        Err(error) => {
            assert!(matches!(error, StoreError::Corrupt { .. }), "byte {at}: {error:?}");
            true
        }
    });
    assert!(found > 8, "only {found}");
}

/// Damage to blocks is found at the start or when they are read: nobody is given another block.
#[test]
fn no_flipped_bit_gives_another_block() {
    let folder = Folder::new();
    folder.written(60);
    let blocks: Vec<_> =
        (1..=60_u64).map(|height| block(height, &[&height.to_le_bytes()]).encode()).collect();
    let found = with_flipped_bits(&folder.blocks(), 150, |at| {
        let damaged = |error: &StoreError| {
            assert!(matches!(error, StoreError::DamagedChain { .. }), "byte {at}: {error:?}");
        };
        let (store, _) = match folder.open() {
            Ok(opened) => opened,
            Err(error) => {
                damaged(&error);
                return true;
            }
        };
        let mut found = false;
        for (height, bytes) in (1..).zip(&blocks) {
            match store.reader().block(Height(height)) {
                Ok(Some(stored)) => assert_eq!(stored.bytes, bytes, "byte {at}"),
                // A damaged page of the tree hides what it leads to.
                Ok(None) => found = true,
                Err(error) => {
                    damaged(&error);
                    found = true;
                }
            }
        }
        found
    });
    assert!(found > 8, "only {found}");
}

/// Calls `look` with the file damaged at one byte after another; counts how often it answers `true`.
fn with_flipped_bits(path: &Path, tries: usize, mut look: impl FnMut(usize) -> bool) -> usize {
    let whole = fs::read(path).unwrap();
    let used: Vec<usize> = (0..whole.len()).filter(|&at| at < 512 || whole[at] != 0).collect();
    let mut found = 0;
    for &at in used.iter().step_by(1 + used.len() / tries) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(path, &damaged).unwrap();
        found += usize::from(look(at));
    }
    found
}

#[test]
fn transactions_that_wait_are_there_again_in_their_order() {
    let folder = Folder::new();
    let transactions: Vec<Bytes> = (0..50_u8).map(|n| vec![n; 1 + usize::from(n) * 100].into()).collect();
    let records: Vec<_> =
        transactions.iter().map(|bytes| (RecordKey::Transaction(id(bytes)), bytes.clone())).collect();
    for part in records.chunks(7) {
        let (mut store, _) = folder.open().unwrap();
        store.journal.write(part, &Default::default()).unwrap();
    }
    let (mut store, found) = folder.open().unwrap();
    assert!(found.iter().map(|record| (record.key, record.bytes.clone())).eq(records.iter().cloned()));
    // Gone with the block that carries them, although nobody told the journal.
    let carried: Vec<&[u8]> = transactions.iter().step_by(2).map(|bytes| &bytes[..]).collect();
    let carrying = application(&store);
    let mut group = store.chain.begin().unwrap();
    let block = block(1, &carried);
    group.add(&block, &block.encode(), &*carrying).unwrap();
    group.commit(chain::Seal::Now).unwrap();
    drop(store);
    for _ in 0..2 {
        let found = folder.open().unwrap().1;
        assert_eq!(found[0].key, RecordKey::Tip);
        let rest = records.iter().skip(1).step_by(2).cloned();
        assert!(found[1..].iter().map(|record| (record.key, record.bytes.clone())).eq(rest));
    }
}

/// Kills the process, and cuts the power, before every flush of a run that mixes everything. What was answered as
/// durable is there; the chain has no gap; a transaction waits or is in a block, never both and never neither.
#[test]
fn a_crash_at_any_flush_loses_nothing_that_was_answered() {
    let (journal, blocks) = (Disk::default(), Disk::default());
    let (store, _) = store_on(&journal, &blocks).unwrap();
    let carrying = application(&store);
    let crashes = Crashes::default();
    for disk in [&journal, &blocks] {
        let (crashes, journal, blocks) = (crashes.clone(), journal.clone(), blocks.clone());
        disk.on_flush(move || crashes.look(&journal, &blocks));
    }
    let (wake, woken) = std::sync::mpsc::channel();
    let mut writer = store.start(carrying, move || wake.send(()).unwrap_or_default()).unwrap();
    for height in 1..=HEIGHTS {
        let transaction = Bytes::from(format!("transaction {height}"));
        writer.persist(Ticket(3 * height), RecordKey::Transaction(id(&transaction)), transaction).unwrap();
        let vote = Bytes::copy_from_slice(&height.to_le_bytes());
        writer.persist(Ticket(3 * height + 1), RecordKey::Voting, vote).unwrap();
        // Carries the transaction of the height before.
        let block = Arc::new(block(height, &[format!("transaction {}", height - 1).as_bytes()]));
        let bytes = block.encode();
        let pace = if height % 3 == 0 { CommitPace::Live } else { CommitPace::CatchUp };
        writer.commit(Ticket(3 * height + 2), block, bytes, pace).unwrap();
        while height % 4 == 0 && crashes.answered() < 3 * height + 2 {
            match writer.next_answer() {
                Some(Answer::Durable { ticket, .. }) => crashes.answer(ticket.0),
                Some(Answer::Committed(..)) => {}
                Some(other) => panic!("{other:?}"),
                None => woken.recv_timeout(Duration::from_secs(10)).unwrap(),
            }
        }
    }
    writer.close(Instant::now() + Duration::from_secs(10));
    crashes.look(&journal, &blocks);
    assert!(crashes.looks.load(Relaxed) > 60, "{crashes:?}");
}

const HEIGHTS: u64 = 40;

/// What a start would find.
#[derive(Clone, Debug, Default)]
struct Crashes {
    /// The newest ticket that was answered as durable.
    answered: Arc<AtomicU64>,
    looks: Arc<AtomicU64>,
}

impl Crashes {
    fn answer(&self, ticket: u64) {
        self.answered.store(ticket, Relaxed);
    }

    fn answered(&self) -> u64 {
        self.answered.load(Relaxed)
    }

    fn look(&self, journal: &Disk, blocks: &Disk) {
        self.looks.fetch_add(1, Relaxed);
        // A cut may also take what was written to one disk and not to the other.
        self.check(&journal.image(), &blocks.image());
        self.check(&journal.flushed(), &blocks.flushed());
        self.check(&journal.flushed(), &blocks.image());
        self.check(&journal.image(), &blocks.flushed());
    }

    fn check(&self, journal: &[u8], blocks: &[u8]) {
        let answered = self.answered();
        let (store, records) = store_on(&Disk::with(journal), &Disk::with(blocks)).unwrap();
        let newest = store.chain.newest().unwrap().0;
        assert!(newest >= (answered + 1) / 3 - u64::from(answered > 0), "{newest} {answered}");
        let stored = store.reader().range(Height(1), usize::MAX, usize::MAX).unwrap();
        assert!(stored.iter().map(|block| block.height.0).eq(1..=newest));
        let vote = records.iter().find(|record| record.key == RecordKey::Voting);
        let vote = vote.map_or(0, |vote| u64::from_le_bytes(vote.bytes[..].try_into().unwrap()));
        assert!(vote >= answered.saturating_sub(1) / 3, "{vote} {answered}");
        assert!(vote <= newest + 1, "the vote at {vote} overtook block {newest}");
        for height in 1..=HEIGHTS {
            let id = id(format!("transaction {height}").as_bytes());
            let waits = records.iter().any(|record| record.key == RecordKey::Transaction(id));
            let place = store.reader().find_transaction(id).unwrap();
            assert_eq!(place.is_some(), height < newest, "{height} {newest}");
            assert!(!(waits && place.is_some()), "{height} waits and is in a block");
            assert!(waits || place.is_some() || answered < 3 * height, "{height} is lost");
        }
    }
}
