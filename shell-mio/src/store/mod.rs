//! The durable store: what this key has promised, and the chain. Written by one thread, in the order that the
//! core asks for.
//!
//! | file | mechanism |
//! |---|---|
//! | `file` | opening and creating a database file, its schema, its errors |
//! | `journal` | records of the core, and transactions that were acknowledged here |
//! | `chain` | blocks by height, heights by hash, the index of transactions |
//! | `reader` | blocks for other threads |
//! | `writer` | the thread: group commit, order, failures |
//!
//! The two are files of their own. The journal stays small: it is checked as a whole at every start, and a vote
//! costs one flush. The blocks may be many: their file opens at once, after a crash too, each block is checked
//! when it is read, and what is damaged there can be fetched again from peers without touching a promise.

mod chain;
mod file;
mod journal;
mod reader;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use timed_core::{FinalBlock, Height, Record, RecordKey};

use self::chain::Chain;
use self::file::{DbFile, Holds};
use self::journal::{Journal, Waiting};
use crate::application::{Application, ApplicationError};

pub use self::reader::{BlockReader, Blocks, Inclusion};
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
    /// The journal's content is damaged.
    #[error(
        "database {path} is damaged: {detail}. Move this one file away, leave all others, and start again; never put \
         an older copy in its place: it holds what this key has promised to the network. Without it the node takes \
         no part in a block or a few, until it cannot contradict itself, and bans, the address book and transactions \
         that only this node held are gone",
        path = path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The chain's content is damaged.
    #[error(
        "the chain in {path} is damaged: {detail}. Every node has the same: move this one file away, leave all \
         others, and start again: the blocks are fetched from peers. Without a peer that has them, restore this \
         file from a backup",
        path = path.display()
    )]
    DamagedChain {
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
    /// So much waits for the disk that no more is taken.
    #[error("database {path} does not keep up: {waiting} records of {bytes} bytes wait for the disk", path = path.display())]
    Overloaded {
        /// The file.
        path: PathBuf,
        /// How many wait.
        waiting: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// A block is not the next one of the chain.
    #[error("database {path} ends at height {newest}: a block of height {given} cannot follow", path = path.display())]
    NotNext {
        /// The file.
        path: PathBuf,
        /// The newest height in it.
        newest: Height,
        /// The height of the block.
        given: Height,
    },
    /// The application could not take a block in.
    #[error("the application cannot take in the block of height {height}: {error}")]
    Application {
        /// The block's height.
        height: Height,
        /// The application's words.
        error: ApplicationError,
    },
    /// The run that wrote it has ended.
    #[error("database {path} is closed", path = path.display())]
    Closed {
        /// The file.
        path: PathBuf,
    },
    /// Another shell's store, in its own words.
    #[error("{0}")]
    Other(String),
}

/// An open store. Give it to [`Shell::run`](crate::Shell::run), which writes through it.
#[derive(Debug)]
pub struct Store {
    journal: Journal,
    chain: Chain,
}

impl Store {
    /// Opens the store at `path`, or creates it where there is no file, and reads every record of earlier
    /// starts: the journal for [`Node::new`](timed_core::Node::new). The newest block is among them as
    /// [`RecordKey::Tip`]; transactions that wait for a block come last, in the order of their arrival.
    ///
    /// The blocks are in a second file beside it: `timed.blocks.redb` for `timed.redb`.
    ///
    /// # Errors
    /// If a file is in use, damaged, of a later version, or cannot be read, written or created. An existing
    /// file is then left as it is.
    pub fn open(path: impl AsRef<Path>) -> Result<(Self, Vec<Record>), StoreError> {
        let path = path.as_ref();
        let (journal, records, waiting) =
            Journal::open(&DbFile { path: path.into(), holds: Holds::Journal })?;
        let chain = Chain::open(&DbFile { path: blocks_beside(path), holds: Holds::Blocks })?;
        Self::joined(journal, records, waiting, chain)
    }

    /// The two files may be of two moments: the journal lets go of a transaction after its block is durable.
    fn joined(
        mut journal: Journal,
        mut records: Vec<Record>,
        waiting: Waiting,
        chain: Chain,
    ) -> Result<(Self, Vec<Record>), StoreError> {
        let reader = chain.reader();
        records.extend(reader.latest()?.map(|tip| Record { key: RecordKey::Tip, bytes: tip.bytes }));
        let ids: Vec<_> = waiting.iter().map(|(id, _)| *id).collect();
        for ((id, bytes), place) in waiting.into_iter().zip(reader.find_transactions(&ids)?) {
            match place {
                Some(_) => journal.settle(&[id]),
                None => records.push(Record { key: RecordKey::Transaction(id), bytes }),
            }
        }
        journal.tidy()?;
        Ok((Self { journal, chain }, records))
    }

    /// The file of the records.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.journal.path()
    }

    /// A door to the blocks for any thread; it works until the store is closed.
    #[must_use]
    pub fn reader(&self) -> BlockReader {
        self.chain.reader()
    }

    /// Writes a record to a store that no loop runs on.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn put(&mut self, key: RecordKey, bytes: Bytes) -> Result<(), StoreError> {
        self.journal.write(&[(key, bytes)], &BTreeSet::new())
    }

    /// Appends blocks to a store that no loop runs on, thousands a second; answers the newest height. They
    /// must follow one another and what is stored; nothing else about them is checked.
    ///
    /// # Errors
    /// If a block is not the next one, or the disk or the application refuses. Blocks before it may be stored.
    pub fn append_blocks(
        &mut self,
        blocks: impl IntoIterator<Item = FinalBlock>,
        application: &dyn Application,
    ) -> Result<Height, StoreError> {
        let mut blocks = blocks.into_iter().peekable();
        while blocks.peek().is_some() {
            let mut group = self.chain.begin()?;
            while group.has_room() {
                let Some(block) = blocks.next() else { break };
                let commitment = group.add(&block, &block.encode(), application)?;
                self.journal.settle(&commitment.included);
            }
            group.commit(chain::Seal::Later)?;
        }
        self.chain.seal()?;
        self.journal.tidy()?;
        self.chain.newest()
    }
}

/// `timed.redb` keeps its blocks in `timed.blocks.redb`.
fn blocks_beside(path: &Path) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(".blocks");
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}
