//! One database file: an existing one is never replaced, a new one appears complete or not at all; what redb
//! reports becomes an error that names the file and says what to do.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError, ReadTransaction, TableDefinition, TableError};

use super::StoreError;

/// What a file says about itself.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const SCHEMA_KEY: &str = "schema";

/// A database file as its errors name it.
#[derive(Clone, Debug)]
pub(super) struct DbFile {
    pub(super) path: PathBuf,
    pub(super) holds: Holds,
}

/// What a file is for, and thereby what its damage means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// What this key has promised: nobody else has it.
    Journal,
    /// What every node of the network has.
    Blocks,
}

impl Holds {
    /// redb's page cache; its own default is a gigabyte.
    const fn cache_bytes(self) -> usize {
        match self {
            Self::Journal => 4 * 1024 * 1024,
            Self::Blocks => 16 * 1024 * 1024,
        }
    }
}

impl DbFile {
    /// Opens the file with `open`, or creates it where there is none and gives it the schema.
    ///
    /// redb asserts what it believes about its own pages: on a damaged file such an assertion is an answer.
    pub(super) fn open<T>(
        &self,
        schema: u64,
        create: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
        open: impl FnOnce(Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match fs::metadata(&self.path) {
            Ok(found) if found.len() == 0 => return Err(self.damaged("the file is empty")),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return open(self.create(schema, create)?);
            }
            Err(error) => return Err(self.io("read", error)),
        }
        self.guarded(|| {
            let db = self.builder().open(&self.path).map_err(|error| self.database_error("open", error))?;
            open(db)
        })
    }

    /// Runs what a damaged file may make redb panic in.
    pub(super) fn guarded<T>(&self, read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        catch_unwind(AssertUnwindSafe(read))
            .unwrap_or_else(|_| Err(self.damaged("its structure is inconsistent")))
    }

    /// The file's schema.
    pub(super) fn schema(&self, txn: &ReadTransaction) -> Result<u64, StoreError> {
        let meta = match txn.open_table(META) {
            Err(TableError::TableDoesNotExist(_)) => return Err(self.damaged("it is no database of timed")),
            other => other.map_err(|error| self.failed("read", error))?,
        };
        let schema = meta.get(SCHEMA_KEY).map_err(|error| self.failed("read", error))?;
        schema.map(|schema| schema.value()).ok_or_else(|| self.damaged("it does not name its schema"))
    }

    pub(super) fn newer(&self, detail: String) -> StoreError {
        StoreError::Newer { path: self.path.clone(), detail }
    }

    /// Builds the file under another name: a crash on the way leaves no half database behind.
    fn create(
        &self,
        schema: u64,
        create: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<Database, StoreError> {
        let io = |error| self.io("create", error);
        let building = PathBuf::from(format!("{}.new", self.path.display()));
        match fs::remove_file(&building) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&building)
            .map_err(io)?;
        let db = self.builder().create_file(file).map_err(|error| self.database_error("create", error))?;
        initialise(&db, schema, create).map_err(|error| self.failed("create", error))?;
        fs::rename(&building, &self.path).map_err(io)?;
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))
            .and_then(|directory| directory.sync_all())
            .map_err(io)?;
        Ok(db)
    }

    fn builder(&self) -> Builder {
        let mut builder = Builder::new();
        builder.set_cache_size(self.holds.cache_bytes());
        builder
    }

    /// The error of a file with wrong content.
    pub(super) fn damaged(&self, detail: impl Into<String>) -> StoreError {
        let (path, detail) = (self.path.clone(), detail.into());
        match self.holds {
            Holds::Journal => StoreError::Corrupt { path, detail },
            Holds::Blocks => StoreError::DamagedChain { path, detail },
        }
    }

    fn io(&self, action: &'static str, error: io::Error) -> StoreError {
        StoreError::Io { action, path: self.path.clone(), error }
    }

    pub(super) fn database_error(&self, action: &'static str, error: DatabaseError) -> StoreError {
        match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: self.path.clone() },
            DatabaseError::UpgradeRequired(version) => {
                self.damaged(format!("it has the unknown file format {version}"))
            }
            error => self.failed(action, error),
        }
    }

    /// Tells damage from a disk that merely refuses.
    pub(super) fn failed(&self, action: &'static str, error: impl Into<redb::Error>) -> StoreError {
        use io::ErrorKind::{InvalidData, Other, UnexpectedEof};
        match error.into() {
            redb::Error::Io(error) if !matches!(error.kind(), InvalidData | UnexpectedEof) => {
                self.io(action, error)
            }
            redb::Error::Io(error) => self.damaged(error.to_string()),
            redb::Error::Corrupted(detail) => self.damaged(detail),
            error @ (redb::Error::PreviousIo | redb::Error::DatabaseClosed) => {
                self.io(action, io::Error::new(Other, error.to_string()))
            }
            error => self.damaged(error.to_string()),
        }
    }
}

/// Gives a new database its schema and its tables.
pub(super) fn initialise(
    db: &Database,
    schema: u64,
    create: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    set_schema(&txn, schema)?;
    create(&txn)?;
    txn.commit()?;
    Ok(())
}

/// Makes the file say that it has this schema.
pub(super) fn set_schema(txn: &redb::WriteTransaction, schema: u64) -> Result<(), redb::Error> {
    txn.open_table(META)?.insert(SCHEMA_KEY, schema)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use redb::ReadableDatabase;

    use super::*;

    const SCHEMA: u64 = 7;
    const TABLE: TableDefinition<'_, u64, &str> = TableDefinition::new("table");

    fn file(folder: &tempfile::TempDir) -> DbFile {
        DbFile { path: folder.path().join("some.redb"), holds: Holds::Journal }
    }

    fn opened(file: &DbFile) -> Result<Database, StoreError> {
        let create = |txn: &redb::WriteTransaction| {
            txn.open_table(TABLE)?.insert(1, "one")?;
            Ok(())
        };
        file.open(SCHEMA, create, |db| {
            let txn = db.begin_read().map_err(|error| file.failed("read", error))?;
            assert_eq!(file.schema(&txn)?, SCHEMA);
            Ok(db)
        })
    }

    #[test]
    fn a_new_file_is_private_complete_and_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        fs::write(folder.path().join("some.redb.new"), b"left by a crash").unwrap();
        let db = opened(&file).unwrap();
        assert!(matches!(opened(&file), Err(StoreError::InUse { .. })));
        drop(db);
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file.path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let db = opened(&file).unwrap();
        let table = db.begin_read().unwrap().open_table(TABLE).unwrap();
        assert_eq!(table.get(1).unwrap().unwrap().value(), "one");
        let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["some.redb"]);
    }

    #[test]
    fn what_is_no_database_of_ours_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        let refused = || {
            let before = fs::read(&file.path).unwrap();
            let error = opened(&file).unwrap_err();
            assert!(error.to_string().contains(file.path.to_str().unwrap()), "{error}");
            assert!(fs::read(&file.path).unwrap() == before, "the file was changed");
            assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
        };
        for content in [&b""[..], b"x", b"redb", &[0; 100_000], &[0xff; 100_000]] {
            fs::write(&file.path, content).unwrap();
            refused();
        }
        fs::remove_file(&file.path).unwrap();
        drop(opened(&file).unwrap());
        let whole = fs::read(&file.path).unwrap();
        for len in [1, 64, 320, 4096, whole.len() / 2, whole.len() - 1] {
            fs::write(&file.path, &whole[..len]).unwrap();
            refused();
        }
        fs::remove_file(&file.path).unwrap();
        drop(Database::create(&file.path).unwrap());
        assert!(matches!(opened(&file), Err(StoreError::Corrupt { .. })));
        let directory = DbFile { path: folder.path().into(), holds: Holds::Blocks };
        assert!(matches!(opened(&directory), Err(StoreError::Io { .. })));
        let nowhere = DbFile { path: folder.path().join("no/such/folder"), holds: Holds::Blocks };
        assert!(matches!(opened(&nowhere), Err(StoreError::Io { action: "create", .. })));
    }
}
