//! The durable store: records of the core, written in groups by a thread of its own.

mod open;
mod writer;

use std::path::{Path, PathBuf};

use timed_core::Record;

pub(crate) use self::writer::{Answer, Writer};

/// Why the store cannot be used. Every message names the file; nothing is ever overwritten to get past one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has it open.
    #[error("database {path} is in use by another process", path = path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Its content is damaged.
    #[error(
        "database {path} is damaged: {detail}. It holds what this key has promised to the network: restore the \
         whole data directory from a healthy copy of this same node, or start with a new key",
        path = path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// A later version of timed has written it.
    #[error("database {path} was written by a later version of timed ({detail}); this version cannot use it", path = path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The operating system refused.
    #[error("cannot {action} database {path}: {error}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        error: std::io::Error,
    },
    /// So many records wait for the disk that no more are taken.
    #[error("database {path} does not keep up: {waiting} records wait for the disk", path = path.display())]
    Overloaded {
        /// The file.
        path: PathBuf,
        /// How many wait.
        waiting: usize,
    },
}

/// An open database. Give it to [`Shell::run`](crate::Shell::run), which writes through it.
#[derive(Debug)]
pub struct Store {
    db: redb::Database,
    path: PathBuf,
}

impl Store {
    /// Opens the database at `path`, or creates it where there is no file, and reads every record of earlier
    /// starts: the journal for [`Node::new`](timed_core::Node::new).
    ///
    /// # Errors
    /// If the file is in use, damaged, of a later version, or cannot be read, written or created. An existing
    /// file is then left as it is.
    pub fn open(path: impl AsRef<Path>) -> Result<(Self, Vec<Record>), StoreError> {
        let path = path.as_ref();
        let (db, journal) = open::open(path)?;
        Ok((Self { db, path: path.into() }, journal))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
