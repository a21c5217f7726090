//! Group commit: whatever waits while one commit is under way goes into the next one together.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, TrySendError, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use redb::Database;
use timed_core::{RecordKey, Ticket};

use super::open::{JOURNAL, other_error};
use super::{Store, StoreError};

/// Records that wait for the disk at most. The core parks far fewer handshakes behind them.
pub(crate) const QUEUE: usize = 1024;

/// Where records go. Lives on the loop's thread; the disk is on another.
#[derive(Debug)]
pub(crate) struct Writer {
    path: PathBuf,
    queue: SyncSender<Write>,
    commits: Receiver<Commit>,
    thread: JoinHandle<()>,
    /// Handed to the thread, not yet answered, oldest first.
    waiting: VecDeque<Ticket>,
    /// How many of the oldest are durable.
    durable: usize,
    health: Health,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Sound,
    /// A write failed. Nothing is written any more, so that no later record overtakes a lost one.
    Failed,
}

#[derive(Debug)]
struct Write {
    key: RecordKey,
    bytes: Bytes,
}

/// The thread's word on a group: how many records are durable, or why they and all later ones are not.
type Commit = Result<usize, StoreError>;

/// What became of a record.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It is durable, and so is every earlier one.
    Durable(Ticket),
    /// It is lost, as is every later one.
    Lost(Ticket),
    /// Why records are lost; comes once, before them.
    Broken(StoreError),
}

impl Store {
    /// Starts the thread that writes. It calls `wake` whenever [`Writer::next_answer`] has something new.
    pub(crate) fn start(self, wake: impl Fn() + Send + 'static) -> io::Result<Writer> {
        let (queue, writes) = sync_channel(QUEUE);
        let (report, commits) = channel();
        let path = self.path.clone();
        let thread = thread::Builder::new().name("timed-store".into()).spawn(move || {
            // However this thread ends, its report is closed first and the loop woken then.
            let wake = Alarm(wake);
            let report = report;
            write_groups(&self, &writes, &report, &wake.0);
        })?;
        let waiting = VecDeque::new();
        Ok(Writer { path, queue, commits, thread, waiting, durable: 0, health: Health::Sound })
    }
}

struct Alarm<F: Fn()>(F);

impl<F: Fn()> Drop for Alarm<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl Writer {
    /// Hands a record to the thread; answered by [`Writer::next_answer`], in order.
    ///
    /// # Errors
    /// If so many records wait that this one, and every later one, is lost.
    pub(crate) fn persist(&mut self, ticket: Ticket, key: RecordKey, bytes: Bytes) -> Result<(), StoreError> {
        self.waiting.push_back(ticket);
        if self.health == Health::Failed {
            return Ok(());
        }
        match self.queue.try_send(Write { key, bytes }) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(_)) => {
                self.health = Health::Failed;
                Err(StoreError::Overloaded { path: self.path.clone(), waiting: self.waiting.len() - 1 })
            }
        }
    }

    /// What became of the oldest record that has not been answered, if that is known.
    pub(crate) fn next_answer(&mut self) -> Option<Answer> {
        while self.durable == 0 && self.health == Health::Sound {
            match self.commits.try_recv() {
                Ok(Ok(records)) => self.durable += records,
                Ok(Err(error)) => {
                    self.health = Health::Failed;
                    return Some(Answer::Broken(error));
                }
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => {
                    self.health = Health::Failed;
                    let error = io::Error::other("its thread has ended");
                    return Some(Answer::Broken(StoreError::Io {
                        action: "write to",
                        path: self.path.clone(),
                        error,
                    }));
                }
            }
        }
        let ticket = self.waiting.pop_front()?;
        if self.durable == 0 {
            return Some(Answer::Lost(ticket));
        }
        self.durable -= 1;
        Some(Answer::Durable(ticket))
    }

    /// Writes what still waits and closes the database; gives up after `patience`.
    pub(crate) fn close(self, patience: Duration) {
        let until = Instant::now() + patience;
        drop(self.queue);
        while self.commits.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
        while !self.thread.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
        if self.thread.is_finished() {
            let _ = self.thread.join();
        }
    }
}

/// The thread: ends when the loop has dropped its end of the queue, or with the first failure.
fn write_groups(store: &Store, writes: &Receiver<Write>, report: &Sender<Commit>, wake: &impl Fn()) {
    while let Ok(first) = writes.recv() {
        let mut group = vec![first];
        group.extend(writes.try_iter().take(QUEUE));
        let outcome = commit(&store.db, &group);
        let verdict =
            outcome.map(|()| group.len()).map_err(|error| other_error("write to", &store.path, error));
        let failed = verdict.is_err();
        if report.send(verdict).is_err() || failed {
            return;
        }
        wake();
    }
}

fn commit(db: &Database, group: &[Write]) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    {
        let mut journal = txn.open_table(JOURNAL)?;
        for write in group {
            journal.insert(write.key.name(), &write.bytes[..])?;
        }
    }
    txn.commit()?;
    Ok(())
}
