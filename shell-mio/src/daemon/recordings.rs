//! Recordings in the data directory: written whole and for this user alone, and not too many of them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use timed_core::flight::{Flight, Recording};
use tracing::{info, warn};

use super::data_dir::{DataDir, Existing, Secrecy, write_durably};
use super::metrics::RecorderNumbers;
use super::rfc3339;

const PREFIX: &str = "flight-";
const SUFFIX: &str = ".timed";

/// Why a recording is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// SIGUSR2.
    Signal,
    /// `timed record`.
    Order,
    /// The node halted.
    Fatal,
    /// The loop failed within a call.
    Panic,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signal => "signal",
            Self::Order => "order",
            Self::Fatal => "fatal",
            Self::Panic => "panic",
        })
    }
}

/// A recording that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) path: PathBuf,
    pub(crate) bytes: usize,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotWritten {
    /// The configuration has it so.
    #[error("the recorder is off: recorder.enabled is false")]
    Off,
    /// There is no state to begin with.
    #[error("nothing is recorded yet, or there is no room for it in recorder.memory")]
    Empty,
    /// The disk.
    #[error("cannot write {}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

/// Writes what a node's recorder holds. One at a time.
#[derive(Clone, Debug)]
pub(crate) struct Recordings(Option<Arc<Desk>>);

#[derive(Debug)]
struct Desk {
    recording: Recording,
    dir: PathBuf,
    keep: usize,
    writing: Mutex<()>,
    written: AtomicU64,
    failed: AtomicU64,
}

impl Recordings {
    /// Of this recorder, if there is one.
    pub(crate) fn new(recording: Option<Recording>, dir: &DataDir, keep: usize) -> Self {
        let dir = dir.path().to_owned();
        Self(recording.map(|recording| {
            let (written, failed) = (AtomicU64::new(0), AtomicU64::new(0));
            Arc::new(Desk { recording, dir, keep, writing: Mutex::new(()), written, failed })
        }))
    }

    /// Of no recorder.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// What there is, and what became of it so far.
    pub(crate) fn numbers(&self) -> Option<RecorderNumbers> {
        self.0.as_ref().map(|desk| RecorderNumbers {
            recorded: desk.recording.recorded(),
            written: desk.written.load(Ordering::Relaxed),
            failed: desk.failed.load(Ordering::Relaxed),
        })
    }

    /// Writes what is recorded now, and removes what is too old. Blocks; the loop waits only while the newest
    /// megabytes are copied.
    pub(crate) fn write(&self, cause: Cause) -> Result<Written, NotWritten> {
        let desk = self.0.as_ref().ok_or(NotWritten::Off)?;
        let _alone = desk.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let written = desk.write(cause);
        let count = if written.is_ok() { &desk.written } else { &desk.failed };
        count.fetch_add(1, Ordering::Relaxed);
        written
    }

    /// As [`Recordings::write`], and the log says what came of it. Without a recorder it says nothing, unless asked.
    pub(crate) fn write_and_tell(&self, cause: Cause) {
        match self.write(cause) {
            Ok(Written { path, bytes }) => {
                info!(file = %path.display(), bytes, %cause, "recording written; timed replay runs it again");
            }
            Err(NotWritten::Off) if cause != Cause::Signal => {}
            Err(error) => warn!(%cause, "no recording is written: {error}"),
        }
    }
}

impl Desk {
    fn write(&self, cause: Cause) -> Result<Written, NotWritten> {
        let flight = self.recording.take(crate::now().wall);
        if flight.is_empty() {
            return Err(NotWritten::Empty);
        }
        let path = self.dir.join(name(&flight, cause));
        let content = flight.encode();
        write_durably(&path, &content, Secrecy::Private, Existing::Replace)
            .map_err(|error| NotWritten::Io { path: path.clone(), error })?;
        prune(&self.dir, self.keep);
        Ok(Written { path, bytes: content.len() })
    }
}

/// In the order of time by their names.
fn name(flight: &Flight, cause: Cause) -> String {
    let time: String =
        rfc3339(flight.taken).chars().filter(|c| c.is_ascii_digit() || "TZ.".contains(*c)).collect();
    format!("{PREFIX}{time}-{cause}{SUFFIX}")
}

/// Removes the oldest recordings, and only recordings. What cannot be removed stays.
fn prune(dir: &Path, keep: usize) {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
    names.sort();
    for name in names.iter().rev().skip(keep) {
        let _ = std::fs::remove_file(dir.join(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_recordings_are_kept_and_nothing_else_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "flight-20260102T000000.000Z-signal.timed",
            "flight-20260103T000000.000Z-fatal.timed",
            "flight-20260101T000000.000Z-order.timed",
            "flight-notes.txt",
            "node_key",
        ] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        prune(dir.path(), 2);
        let mut left: Vec<String> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                "flight-20260102T000000.000Z-signal.timed",
                "flight-20260103T000000.000Z-fatal.timed",
                "flight-notes.txt",
                "node_key"
            ]
        );
    }

    #[test]
    fn without_a_recorder_nothing_is_written() {
        assert_eq!(Recordings::none().numbers(), None);
        assert!(matches!(Recordings::none().write(Cause::Order), Err(NotWritten::Off)));
    }
}
