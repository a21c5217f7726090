//! What every store must do, done to each of ours.

use std::sync::Arc;

use timed_core::{Height, Record, RecordKey, TxId};

use super::samples::{block, hash, id, write};
use super::*;

fn record(key: RecordKey, bytes: &'static [u8]) -> Write {
    Write::Record(key, Bytes::from_static(bytes))
}

fn transaction(bytes: &'static [u8]) -> Write {
    record(RecordKey::Transaction(id(bytes)), bytes)
}

fn found(records: &[Record]) -> Vec<(RecordKey, &[u8])> {
    records.iter().map(|record| (record.key, &record.bytes[..])).collect()
}

fn waiting(store: &dyn Store) -> Vec<TxId> {
    let of = |record: &Record| match record.key {
        RecordKey::Transaction(id) => Some(id),
        _ => None,
    };
    store.records().unwrap().iter().filter_map(of).collect()
}

/// What every store must do. `again` is what there is after a restart.
fn check<S: Store>(again: impl Fn() -> S) {
    let store = again();
    assert_eq!(store.records().unwrap(), []);
    assert_eq!(store.blocks(Height(0), Height(9), 100).unwrap(), []);
    store.write(&[]).unwrap();
    store
        .write(&[
            record(RecordKey::Boot, b"old"),
            record(RecordKey::Voting, b"vote"),
            record(RecordKey::Boot, b"new"),
        ])
        .unwrap();
    store.write(&[transaction(b"z"), transaction(b"a"), transaction(b"m"), transaction(b"z")]).unwrap();
    drop(store);

    let store = again();
    assert_eq!(waiting(&store), [id(b"z"), id(b"a"), id(b"m")], "in the order in which they came");
    let records = store.records().unwrap();
    assert_eq!(found(&records)[..2], [(RecordKey::Boot, &b"new"[..]), (RecordKey::Voting, b"vote")]);
    let drop_m = Write::Record(RecordKey::Transaction(id(b"m")), Bytes::new());
    let blocks: Vec<_> =
        (1..=3).map(|height| block(height, if height == 2 { &[b"q", b"z"] } else { &[] })).collect();
    store.write(&[write(&blocks[0]), drop_m, write(&blocks[1]), write(&blocks[2])]).unwrap();
    assert!(store.write(&[write(&block(5, &[]))]).is_err(), "a gap");
    assert!(store.write(&[write(&block(3, &[]))]).is_err(), "a height twice");
    // One that a block carries already does not wait again.
    store.write(&[transaction(b"q"), record(RecordKey::Boot, b"newer")]).unwrap();
    drop(store);

    let store = again();
    assert_eq!(waiting(&store), [id(b"a")]);
    assert_eq!(store.find(&id(b"z")).unwrap(), Some(Inclusion { height: Height(2), index: 1 }));
    assert_eq!(store.find(&id(b"a")).unwrap(), None);
    assert_eq!(store.height_of(&hash(2)).unwrap(), Some(Height(2)));
    assert_eq!(store.height_of(&hash(4)).unwrap(), None);
    let records = store.records().unwrap();
    let tip = records.iter().find(|record| record.key == RecordKey::Tip).unwrap();
    assert_eq!(tip.bytes, blocks[2].encode());
    let heights = |from, to, max| -> Vec<u64> {
        let found = store.blocks(Height(from), Height(to), max).unwrap();
        for block in &found {
            let index = usize::try_from(block.height.0).unwrap() - 1;
            assert_eq!(block.bytes, blocks[index].encode());
        }
        found.iter().map(|block| block.height.0).collect()
    };
    assert_eq!(heights(1, 9, usize::MAX), [1, 2, 3]);
    assert_eq!(heights(2, 2, usize::MAX), [2]);
    assert_eq!(heights(2, 3, 1), [2], "one at least");
    assert_eq!(heights(4, 9, usize::MAX), [0; 0]);
    assert_eq!(heights(1, u64::MAX, blocks[0].encode().len() + 10), [1]);
}

#[test]
fn the_store_in_memory_is_a_store() {
    let store = MemoryStore::new();
    check(|| store.clone());
}

#[test]
fn a_shared_store_is_one() {
    let store = Arc::new(MemoryStore::new());
    check(|| Arc::clone(&store));
}

#[cfg(feature = "redb")]
mod on_disk {
    use super::*;

    #[test]
    fn the_store_on_disk_is_a_store() {
        let folder = tempfile::tempdir().unwrap();
        check(|| RedbStore::open(folder.path().join("store")).unwrap());
    }

    #[test]
    fn a_store_is_opened_once_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let open = || RedbStore::open(folder.path());
        let first = open().unwrap();
        assert!(matches!(open(), Err(RedbError::InUse(_))));
        drop(first);
        open().unwrap();
    }

    #[test]
    fn a_file_without_the_index_of_hashes_gets_it() {
        let folder = tempfile::tempdir().unwrap();
        let open = || RedbStore::open(folder.path());
        open().unwrap().write(&[write(&block(1, &[])), write(&block(2, &[]))]).unwrap();
        let file = ::redb::Database::open(folder.path().join("blocks.redb")).unwrap();
        let change = file.begin_write().unwrap();
        let heights = ::redb::TableDefinition::<&[u8; 32], u64>::new("heights");
        assert!(change.delete_table(heights).unwrap());
        change.commit().unwrap();
        drop(file);
        let store = open().unwrap();
        assert_eq!(store.height_of(&hash(2)).unwrap(), Some(Height(2)));
        store.write(&[write(&block(3, &[]))]).unwrap();
        assert_eq!(store.height_of(&hash(3)).unwrap(), Some(Height(3)));
    }

    #[test]
    fn what_is_damaged_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let open = || RedbStore::open(folder.path());
        open().unwrap().write(&[write(&block(1, &[b"x"])), record(RecordKey::Boot, b"b")]).unwrap();
        for name in ["records.redb", "blocks.redb"] {
            let path = folder.path().join(name);
            let whole = std::fs::read(&path).unwrap();
            for content in [&b"x"[..], &[0; 100_000], &whole[..whole.len() / 2]] {
                std::fs::write(&path, content).unwrap();
                let error = open().map(|_| ()).unwrap_err();
                assert!(error.to_string().contains(name), "{error}");
                assert!(std::fs::read(&path).unwrap() == content, "{name} was changed");
            }
            std::fs::write(&path, &whole).unwrap();
        }
        open().unwrap();
    }

    #[test]
    fn a_block_that_has_rotted_is_not_served() {
        let folder = tempfile::tempdir().unwrap();
        let store = RedbStore::open(folder.path()).unwrap();
        let rotting = block(1, &[b"some words that can be found in the file"]);
        store.write(&[write(&rotting), write(&block(2, &[]))]).unwrap();
        drop(store);
        let path = folder.path().join("blocks.redb");
        let mut file = std::fs::read(&path).unwrap();
        let at = file.windows(10).position(|window| window == b"some words").unwrap();
        file[at] ^= 1;
        std::fs::write(&path, file).unwrap();
        let store = RedbStore::open(folder.path()).unwrap();
        assert!(store.blocks(Height(1), Height(1), 1000).is_err());
        assert_eq!(store.blocks(Height(2), Height(2), 1000).unwrap().len(), 1);
    }
}
