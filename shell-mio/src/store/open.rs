//! Opening: an existing file is checked as a whole and never replaced; a new one appears complete or not at all.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use timed_core::{Record, RecordKey};

use super::StoreError;

/// Records by [`RecordKey::name`].
pub(super) const JOURNAL: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("journal");
/// What the file says about itself.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const SCHEMA_KEY: &str = "schema";
/// Raised whenever an older version would misread what this one writes.
const SCHEMA: u64 = 1;
/// redb's page cache; its own default is a gigabyte.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

pub(super) fn open(path: &Path) -> Result<(Database, Vec<Record>), StoreError> {
    match fs::metadata(path) {
        Ok(found) if found.len() == 0 => Err(corrupt(path, "the file is empty")),
        Ok(_) => open_existing(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((create(path)?, Vec::new())),
        Err(error) => Err(StoreError::Io { action: "read", path: path.into(), error }),
    }
}

/// redb asserts what it believes about its own pages: on a damaged file such an assertion is an answer.
fn open_existing(path: &Path) -> Result<(Database, Vec<Record>), StoreError> {
    catch_unwind(AssertUnwindSafe(|| {
        let mut db = builder().open(path).map_err(|error| database_error("open", path, error))?;
        if !db.check_integrity().map_err(|error| database_error("check", path, error))? {
            return Err(corrupt(path, "checksums do not match"));
        }
        let journal = read_journal(&db, path)?;
        Ok((db, journal))
    }))
    .unwrap_or_else(|_| Err(corrupt(path, "its structure is inconsistent")))
}

fn read_journal(db: &Database, path: &Path) -> Result<Vec<Record>, StoreError> {
    let lift = |error: redb::Error| other_error("read", path, error);
    let txn = db.begin_read().map_err(|error| lift(error.into()))?;
    let meta = match txn.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Err(corrupt(path, "it is no database of timed")),
        other => other.map_err(|error| lift(error.into()))?,
    };
    match meta.get(SCHEMA_KEY).map_err(|error| lift(error.into()))?.map(|schema| schema.value()) {
        Some(SCHEMA) => {}
        Some(other) => {
            return Err(StoreError::Newer { path: path.into(), detail: format!("schema {other}") });
        }
        None => return Err(corrupt(path, "it does not name its schema")),
    }
    let table = txn.open_table(JOURNAL).map_err(|error| lift(error.into()))?;
    let mut journal = Vec::new();
    for entry in table.iter().map_err(|error| lift(error.into()))? {
        let (name, bytes) = entry.map_err(|error| lift(error.into()))?;
        let key = RecordKey::ALL.into_iter().find(|key| key.name() == name.value()).ok_or_else(|| {
            StoreError::Newer { path: path.into(), detail: format!("record {:?}", name.value()) }
        })?;
        journal.push(Record { key, bytes: Bytes::copy_from_slice(bytes.value()) });
    }
    Ok(journal)
}

/// Builds the file under another name: a crash on the way leaves no half database behind.
fn create(path: &Path) -> Result<Database, StoreError> {
    let io = |error: io::Error| StoreError::Io { action: "create", path: path.into(), error };
    let building = PathBuf::from(format!("{}.new", path.display()));
    match fs::remove_file(&building) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let file =
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&building).map_err(io)?;
    let db = builder().create_file(file).map_err(|error| database_error("create", path, error))?;
    write_schema(&db).map_err(|error| other_error("create", path, error))?;
    fs::rename(&building, path).map_err(io)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)?;
    Ok(db)
}

fn write_schema(db: &Database) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    txn.open_table(META)?.insert(SCHEMA_KEY, SCHEMA)?;
    txn.open_table(JOURNAL)?;
    txn.commit()?;
    Ok(())
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn corrupt(path: &Path, detail: impl Into<String>) -> StoreError {
    StoreError::Corrupt { path: path.into(), detail: detail.into() }
}

fn database_error(action: &'static str, path: &Path, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: path.into() },
        DatabaseError::UpgradeRequired(version) => {
            corrupt(path, format!("it has the unknown file format {version}"))
        }
        error => other_error(action, path, error.into()),
    }
}

/// Tells damage from a disk that merely refuses.
pub(super) fn other_error(action: &'static str, path: &Path, error: redb::Error) -> StoreError {
    use io::ErrorKind::{InvalidData, Other, UnexpectedEof};
    let error = match error {
        redb::Error::Io(error) if !matches!(error.kind(), InvalidData | UnexpectedEof) => error,
        redb::Error::Io(error) => return corrupt(path, error.to_string()),
        redb::Error::Corrupted(detail) => return corrupt(path, detail),
        error @ (redb::Error::PreviousIo | redb::Error::DatabaseClosed) => {
            io::Error::new(Other, error.to_string())
        }
        error => return corrupt(path, error.to_string()),
    };
    StoreError::Io { action, path: path.into(), error }
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn record(bytes: &'static [u8]) -> Record {
        Record { key: RecordKey::Boot, bytes: Bytes::from_static(bytes) }
    }

    /// A closed database that holds one record.
    fn written(path: &Path, bytes: &'static [u8]) {
        let (store, _) = Store::open(path).unwrap();
        let txn = store.db.begin_write().unwrap();
        txn.open_table(JOURNAL).unwrap().insert(RecordKey::Boot.name(), bytes).unwrap();
        txn.commit().unwrap();
    }

    fn refused(path: &Path) -> StoreError {
        let before = fs::read(path).unwrap();
        let error = Store::open(path).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(fs::read(path).unwrap() == before, "the file was changed");
        error
    }

    #[test]
    fn a_new_store_is_empty_private_and_there_again() {
        let folder = folder();
        let path = folder.path().join("timed.redb");
        fs::write(folder.path().join("timed.redb.new"), b"left by a crash").unwrap();
        let (store, journal) = Store::open(&path).unwrap();
        assert_eq!(journal, []);
        assert!(matches!(Store::open(&path), Err(StoreError::InUse { .. })));
        drop(store);
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions()) & 0o777,
            0o600
        );
        written(&path, b"one");
        assert_eq!(Store::open(&path).unwrap().1, [record(b"one")]);
        let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["timed.redb"]);
    }

    #[test]
    fn what_is_no_database_of_ours_is_refused_and_left_alone() {
        let folder = folder();
        let path = folder.path().join("timed.redb");
        for content in [&b""[..], b"x", b"redb", &[0; 100_000], &[0xff; 100_000]] {
            fs::write(&path, content).unwrap();
            let error = refused(&path);
            assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
        }
        fs::remove_file(&path).unwrap();
        written(&path, b"one");
        let whole = fs::read(&path).unwrap();
        for len in [1, 64, 320, 4096, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..len]).unwrap();
            let error = refused(&path);
            assert!(matches!(error, StoreError::Corrupt { .. }), "{len}: {error:?}");
        }
        fs::remove_file(&path).unwrap();
        drop(Database::create(&path).unwrap());
        assert!(matches!(Store::open(&path), Err(StoreError::Corrupt { .. })));
        assert!(matches!(Store::open(folder.path()), Err(StoreError::Io { .. })));
        let nowhere = folder.path().join("no/such/folder");
        assert!(matches!(Store::open(nowhere), Err(StoreError::Io { action: "create", .. })));
    }

    #[test]
    fn a_later_version_s_file_is_refused() {
        let folder = folder();
        let path = folder.path().join("timed.redb");
        for (schema, key) in [(SCHEMA + 1, "boot"), (SCHEMA, "vote")] {
            let (store, _) = Store::open(&path).unwrap();
            let txn = store.db.begin_write().unwrap();
            txn.open_table(META).unwrap().insert(SCHEMA_KEY, schema).unwrap();
            txn.open_table(JOURNAL).unwrap().insert(key, &b"?"[..]).unwrap();
            txn.commit().unwrap();
            drop(store);
            let error = Store::open(&path).unwrap_err();
            assert!(matches!(error, StoreError::Newer { .. }), "{error:?}");
            fs::remove_file(&path).unwrap();
        }
    }

    /// Damage anywhere is found or does not matter: no damaged file gives another journal.
    #[test]
    fn no_flipped_bit_gives_another_journal() {
        let folder = folder();
        let path = folder.path().join("timed.redb");
        written(&path, b"the highest boot epoch");
        let whole = fs::read(&path).unwrap();
        let mut found = 0;
        let used: Vec<usize> = (0..whole.len()).filter(|&at| at < 512 || whole[at] != 0).collect();
        for &at in used.iter().step_by(1 + used.len() / 100) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            fs::write(&path, &damaged).unwrap();
            match Store::open(&path) {
                Ok((_, journal)) => assert_eq!(journal, [record(b"the highest boot epoch")], "byte {at}"),
                Err(error) => {
                    assert!(matches!(error, StoreError::Corrupt { .. }), "byte {at}: {error:?}");
                    found += 1;
                }
            }
        }
        assert!(found > 8, "only {found}");
    }
}
