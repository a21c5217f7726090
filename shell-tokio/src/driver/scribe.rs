//! The task that has records and blocks written, in the order that the core asks for. Whatever waits while one group
//! is written goes into the next one together.

use std::collections::VecDeque;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use timed_core::{FinalBlock, Height, RecordKey, Ticket, TxId};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::workers::Answer;
use crate::application::{Application, Commitment};
use crate::limits::{WRITE_BYTES, WRITE_GROUP, WRITE_GROUP_BYTES, WRITES};
use crate::store::{Store, Write};

/// A record or a block on its way.
#[derive(Debug)]
pub(super) enum Job {
    Record { ticket: Ticket, key: RecordKey, bytes: Bytes },
    Block { ticket: Ticket, block: Arc<FinalBlock>, bytes: Bytes },
}

impl Job {
    const fn ticket(&self) -> Ticket {
        match self {
            Self::Record { ticket, .. } | Self::Block { ticket, .. } => *ticket,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Record { bytes, .. } | Self::Block { bytes, .. } => bytes.len(),
        }
    }
}

/// The driver's end: what it has handed over and not been answered about.
#[derive(Debug)]
pub(super) struct Desk {
    jobs: mpsc::Sender<Job>,
    /// Bytes of each, oldest first.
    waiting: VecDeque<(Ticket, usize)>,
    waiting_bytes: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Sound,
    /// Something was lost: nothing is written any more, so that nothing overtakes it.
    Failed,
}

/// So much waits for the disk that no more is taken.
#[derive(Debug)]
pub(super) struct Overloaded {
    pub(super) waiting: usize,
    pub(super) bytes: usize,
}

impl Desk {
    pub(super) fn new() -> (Self, mpsc::Receiver<Job>) {
        let (jobs, taken) = mpsc::channel(WRITES);
        let desk = Self { jobs, waiting: VecDeque::new(), waiting_bytes: 0, state: State::Sound };
        (desk, taken)
    }

    /// Hands something over.
    ///
    /// # Errors
    /// The first time that too much waits. What is handed over then, and everything later, is answered by
    /// [`Desk::lost`].
    pub(super) fn take(&mut self, job: Job) -> Result<(), Overloaded> {
        let bytes = job.bytes();
        let before = Overloaded { waiting: self.waiting.len(), bytes: self.waiting_bytes };
        self.waiting.push_back((job.ticket(), bytes));
        self.waiting_bytes += bytes;
        if self.state == State::Failed {
            return Ok(());
        }
        let full = before.waiting >= WRITES || (before.waiting > 0 && self.waiting_bytes > WRITE_BYTES);
        // A scribe that has ended has said why.
        if full || matches!(self.jobs.try_send(job), Err(mpsc::error::TrySendError::Full(_))) {
            self.state = State::Failed;
            return Err(before);
        }
        Ok(())
    }

    /// Something is durable.
    pub(super) fn settled(&mut self, ticket: Ticket) {
        if self.waiting.front().is_some_and(|(first, _)| *first == ticket)
            && let Some((_, bytes)) = self.waiting.pop_front()
        {
            self.waiting_bytes -= bytes;
        }
    }

    pub(super) fn fail(&mut self) {
        self.state = State::Failed;
    }

    /// The oldest that is lost, if something is.
    pub(super) fn lost(&mut self) -> Option<Ticket> {
        if self.state == State::Sound {
            return None;
        }
        let (ticket, bytes) = self.waiting.pop_front()?;
        self.waiting_bytes -= bytes;
        Some(ticket)
    }
}

/// What the blocks stored before the start have brought, for the core asks about the two newest again.
pub(crate) type Remembered = VecDeque<(Height, Commitment)>;

/// Writes until the driver has gone, or something fails.
pub(super) async fn scribe<S: Store, A: Application>(
    store: Arc<S>,
    application: Arc<A>,
    mut remembered: Remembered,
    mut jobs: mpsc::Receiver<Job>,
    driver: mpsc::Sender<Answer>,
) {
    while let Some(first) = jobs.recv().await {
        let mut bytes = first.bytes();
        let mut group = vec![first];
        while group.len() < WRITE_GROUP && bytes < WRITE_GROUP_BYTES {
            let Ok(next) = jobs.try_recv() else { break };
            bytes += next.bytes();
            group.push(next);
        }
        let (store, application) = (Arc::clone(&store), Arc::clone(&application));
        let written = spawn_blocking(move || {
            let answers = write(&*store, &*application, &mut remembered, group);
            (answers, remembered)
        });
        let answers = match written.await {
            Ok((Ok(answers), kept)) => {
                remembered = kept;
                answers
            }
            Ok((Err(failure), _)) => {
                let _ = driver.send(failure).await;
                return;
            }
            Err(_) => {
                let _ = driver.send(Answer::StoreFailed("it panicked".into())).await;
                return;
            }
        };
        for answer in answers {
            if driver.send(answer).await.is_err() {
                return;
            }
        }
    }
}

/// Has the application take the blocks in, then the store write everything.
fn write(
    store: &impl Store,
    application: &impl Application,
    remembered: &mut Remembered,
    group: Vec<Job>,
) -> Result<Vec<Answer>, Answer> {
    let mut answers = Vec::with_capacity(group.len());
    let mut writes = Vec::with_capacity(group.len());
    for job in group {
        let ticket = job.ticket();
        match job {
            Job::Record { key, bytes, .. } => writes.push(Write::Record(key, bytes)),
            Job::Block { block, bytes, .. } => {
                let height = block.block.header.height;
                let known = remembered.iter().find(|(stored, _)| *stored == height);
                let commitment = match known {
                    Some((_, commitment)) => commitment.clone(),
                    None => commit(application, &block).map_err(Answer::CommitFailed)?,
                };
                if known.is_none() {
                    let included: Vec<TxId> = commitment.included.clone();
                    writes.push(Write::Block { block, bytes, included });
                }
                answers.push(Answer::Committed(height, commitment));
            }
        }
        answers.push(Answer::Durable(ticket));
    }
    match store.write(&writes) {
        Ok(()) => Ok(answers),
        Err(error) => Err(Answer::StoreFailed(error.to_string().into())),
    }
}

/// Has the application take a block in; a panic is an error.
pub(crate) fn commit(application: &impl Application, block: &FinalBlock) -> Result<Commitment, Arc<str>> {
    let height = block.block.header.height;
    let failed = |why: &dyn Display| format!("at the block of height {height}: {why}").into();
    match catch_unwind(AssertUnwindSafe(|| application.commit(block))) {
        Ok(Ok(commitment)) => Ok(commitment),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(failed(&"it panicked")),
    }
}
