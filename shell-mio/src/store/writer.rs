//! The thread that writes, in the order that the core asks for. Whatever waits while one commit is under way
//! goes into the next one together.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use timed_core::{CommitPace, FinalBlock, Height, RecordKey, Ticket, TxId};

use super::chain::{Chain, Seal};
use super::journal::Journal;
use super::{Store, StoreError};
use crate::application::{Application, Commitment};
use crate::threads::join_by;

/// Records and blocks that wait for the disk at most: more than the core ever has under way, which is as many
/// submitted transactions as its mempool holds, so that a disk that pauses is waited for.
const QUEUE: usize = 256 * 1024;
/// Their bytes at most. The core has a mempool and a few blocks under way.
const QUEUE_BYTES: usize = 512 * 1024 * 1024;
/// Records in one flush at most.
const GROUP: usize = 4096;
/// How long blocks of a node that catches up wait for more of them. Nothing else waits for that.
const GATHER: Duration = Duration::from_millis(2);
/// What can be put off is done when nobody has asked for anything for so long.
const IDLE: Duration = Duration::from_millis(10);

/// Where records and blocks go. Lives on the loop's thread; the disk is on another.
#[derive(Debug)]
pub(crate) struct Writer {
    path: PathBuf,
    queue: Sender<Write>,
    reports: Receiver<Word>,
    thread: JoinHandle<()>,
    /// Handed to the thread, not yet answered, oldest first.
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// How many of the oldest are durable.
    durable: usize,
    health: Health,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    ticket: Ticket,
    bytes: usize,
    since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Sound,
    /// A write failed. Nothing is written any more, so that nothing overtakes what is lost.
    Failed,
}

#[derive(Debug)]
enum Write {
    Record(RecordKey, Bytes),
    Block { block: Arc<FinalBlock>, bytes: Bytes, pace: CommitPace },
}

/// What the thread has done.
#[derive(Debug)]
enum Report {
    /// So many more are durable.
    Durable(usize),
    /// The application has taken in the block of this height.
    Committed(Height, Commitment),
}

/// A report, or why what waits and all that comes is lost.
type Word = Result<Report, StoreError>;

/// What became of a record or a block.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It is durable, and so is every earlier one.
    Durable {
        /// What it was handed over with.
        ticket: Ticket,
        /// How long it has waited.
        took: Duration,
    },
    /// The application has taken in the block of this height.
    Committed(Height, Commitment),
    /// It is lost, as is every later one.
    Lost(Ticket),
    /// Why; comes once, before them.
    Broken(StoreError),
}

impl Store {
    /// Starts the thread that writes and hands blocks to the application. It calls `wake` whenever
    /// [`Writer::next_answer`] has something new.
    pub(crate) fn start(
        self,
        application: Arc<dyn Application>,
        wake: impl Fn() + Send + 'static,
    ) -> io::Result<Writer> {
        let (queue, writes) = channel();
        let (report, reports) = channel();
        let path = self.path().to_owned();
        let thread = thread::Builder::new().name("timed-store".into()).spawn(move || {
            // However this thread ends, its reports are closed first and the loop woken then.
            let wake = Alarm(wake);
            let report = report;
            let Self { journal, chain } = self;
            let told = Told { report: &report, wake: &wake.0 };
            if let Err(error) = (Scribe { journal, chain, application, writes, told, next: None }).run() {
                let _ = report.send(Err(error));
            }
        })?;
        Ok(Writer {
            path,
            queue,
            reports,
            thread,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            durable: 0,
            health: Health::Sound,
        })
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
    /// If so much waits that this one, and every later one, is lost.
    pub(crate) fn persist(&mut self, ticket: Ticket, key: RecordKey, bytes: Bytes) -> Result<(), StoreError> {
        let size = bytes.len();
        self.enqueue(ticket, size, Write::Record(key, bytes))
    }

    /// Hands a block to the thread: answered by [`Answer::Committed`] and by its ticket.
    ///
    /// # Errors
    /// As [`Writer::persist`].
    pub(crate) fn commit(
        &mut self,
        ticket: Ticket,
        block: Arc<FinalBlock>,
        bytes: Bytes,
        pace: CommitPace,
    ) -> Result<(), StoreError> {
        let size = bytes.len();
        self.enqueue(ticket, size, Write::Block { block, bytes, pace })
    }

    fn enqueue(&mut self, ticket: Ticket, bytes: usize, write: Write) -> Result<(), StoreError> {
        let (waiting, waiting_bytes) = (self.waiting.len(), self.waiting_bytes);
        self.waiting.push_back(Waiting { ticket, bytes, since: Instant::now() });
        self.waiting_bytes += bytes;
        if self.health == Health::Failed {
            return Ok(());
        }
        if waiting >= QUEUE || (waiting > 0 && self.waiting_bytes > QUEUE_BYTES) {
            self.health = Health::Failed;
            return Err(StoreError::Overloaded { path: self.path.clone(), waiting, bytes: waiting_bytes });
        }
        // A thread that has ended is told by the answers.
        let _ = self.queue.send(write);
        Ok(())
    }

    /// What became of the oldest that has not been answered, if that is known.
    pub(crate) fn next_answer(&mut self) -> Option<Answer> {
        while self.durable == 0 && self.health == Health::Sound {
            match self.reports.try_recv() {
                Ok(Ok(Report::Durable(count))) => self.durable += count,
                Ok(Ok(Report::Committed(height, commitment))) => {
                    return Some(Answer::Committed(height, commitment));
                }
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
        let Waiting { ticket, bytes, since } = self.waiting.pop_front()?;
        self.waiting_bytes -= bytes;
        if self.durable == 0 {
            return Some(Answer::Lost(ticket));
        }
        self.durable -= 1;
        Some(Answer::Durable { ticket, took: since.elapsed() })
    }

    /// Writes what still waits and closes the store; gives up then.
    pub(crate) fn close(self, until: Instant) {
        drop(self.queue);
        while self.reports.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
        join_by(self.thread, until);
    }
}

/// How the thread tells the loop.
struct Told<'a, F: Fn()> {
    report: &'a Sender<Word>,
    wake: &'a F,
}

impl<F: Fn()> Told<'_, F> {
    fn tell(&self, report: Report) {
        // A loop that has ended does not want to know.
        let _ = self.report.send(Ok(report));
        (self.wake)();
    }
}

/// The thread: ends when the loop has dropped its end of the queue, or with the first failure.
struct Scribe<'a, F: Fn()> {
    journal: Journal,
    chain: Chain,
    application: Arc<dyn Application>,
    writes: Receiver<Write>,
    told: Told<'a, F>,
    /// Taken from the queue, of another kind than what came before it.
    next: Option<Write>,
}

impl<F: Fn()> Scribe<'_, F> {
    fn run(mut self) -> Result<(), StoreError> {
        while let Some(write) = self.wait()? {
            match write {
                Write::Record(key, bytes) => self.write_records(key, bytes)?,
                Write::Block { block, bytes, pace } => self.write_blocks(block, bytes, pace)?,
            }
        }
        self.tidy()
    }

    /// The next write; does what was put off while there is none.
    fn wait(&mut self) -> Result<Option<Write>, StoreError> {
        if let Some(write) = self.next.take() {
            return Ok(Some(write));
        }
        if !self.chain.is_sealed() || !self.journal.is_tidy() {
            match self.writes.recv_timeout(IDLE) {
                Ok(write) => return Ok(Some(write)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => self.tidy()?,
            }
        }
        Ok(self.writes.recv().ok())
    }

    fn tidy(&mut self) -> Result<(), StoreError> {
        self.chain.seal()?;
        self.journal.tidy()
    }

    /// Writes a record together with the records right behind it.
    fn write_records(&mut self, key: RecordKey, bytes: Bytes) -> Result<(), StoreError> {
        let mut group = vec![(key, bytes)];
        while group.len() < GROUP {
            match self.writes.try_recv() {
                Ok(Write::Record(key, bytes)) => group.push((key, bytes)),
                Ok(block @ Write::Block { .. }) => {
                    self.next = Some(block);
                    break;
                }
                Err(_) => break,
            }
        }
        let committed = self.committed(&group)?;
        self.journal.write(&group, &committed)?;
        self.told.tell(Report::Durable(group.len()));
        Ok(())
    }

    /// Which of the transactions among these records a block carries already: the journal need not keep them.
    fn committed(&self, group: &[(RecordKey, Bytes)]) -> Result<BTreeSet<TxId>, StoreError> {
        let transaction = |(key, _): &(RecordKey, Bytes)| match key {
            RecordKey::Transaction(id) => Some(*id),
            _ => None,
        };
        let ids: Vec<_> = group.iter().filter_map(transaction).collect();
        let places = self.chain.reader().find_transactions(&ids)?;
        Ok(ids.into_iter().zip(places).filter_map(|(id, place)| place.map(|_| id)).collect())
    }

    /// Writes a block together with the blocks right behind it; while this node catches up, also with those
    /// that come within [`GATHER`].
    fn write_blocks(
        &mut self,
        block: Arc<FinalBlock>,
        bytes: Bytes,
        mut pace: CommitPace,
    ) -> Result<(), StoreError> {
        let until = Instant::now() + GATHER;
        let mut taken = Some((block, bytes));
        let mut count = 0;
        let mut group = self.chain.begin()?;
        while let Some((block, bytes)) = taken.take() {
            let commitment = group.add(&block, &bytes, &*self.application)?;
            count += 1;
            self.journal.settle(&commitment.included);
            self.told.tell(Report::Committed(block.block.header.height, commitment));
            if !group.has_room() {
                break;
            }
            let patience = match pace {
                CommitPace::Live => Duration::ZERO,
                CommitPace::CatchUp => until.saturating_duration_since(Instant::now()),
            };
            match self.writes.recv_timeout(patience) {
                Ok(Write::Block { block, bytes, pace: next }) => {
                    if next == CommitPace::Live {
                        pace = next;
                    }
                    taken = Some((block, bytes));
                }
                Ok(record @ Write::Record(..)) => self.next = Some(record),
                Err(_) => {}
            }
        }
        group.commit(match pace {
            CommitPace::Live => Seal::Later,
            CommitPace::CatchUp => Seal::Now,
        })?;
        self.told.tell(Report::Durable(count));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
