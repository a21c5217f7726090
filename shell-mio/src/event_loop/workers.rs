//! Threads that work for the loop: the application's answers, blocks read for peers, names. Nothing waits for them,
//! and a slow one delays nothing but its own answers.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use bytes::Bytes;
use timed_core::limits::MAX_SEEDS;
use timed_core::{
    BlockHash, CanonicalAddr, Height, LoadId, Mono, PayloadVerdict, Round, SeedId, StoredBlock,
};

use super::clock;
use crate::application::{Application, ApplicationError, Offer, Wanted};
use crate::names::NameService;
use crate::store::{BlockReader, StoreError};
use crate::threads::join_by;

/// Jobs that wait for one worker at most. The core asks for a few a round, and for a few loads at a time.
pub(super) const QUEUE: usize = 32;

/// A thread that does one job after another.
#[derive(Debug)]
pub(super) struct Worker<Job, Done> {
    jobs: SyncSender<Job>,
    done: Receiver<Done>,
    thread: JoinHandle<()>,
}

impl<Job: Send + 'static, Done: Send + 'static> Worker<Job, Done> {
    /// Starts the thread. It calls `wake` whenever [`Worker::next`] has something new.
    fn start(
        name: &str,
        queue: usize,
        wake: impl Fn() + Send + 'static,
        mut work: impl FnMut(Job) -> Done + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel::<Job>(queue);
        let (tell, done) = channel();
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            while let Ok(job) = waiting.recv() {
                if tell.send(work(job)).is_err() {
                    return;
                }
                wake();
            }
        })?;
        Ok(Self { jobs, done, thread })
    }

    /// Hands over a job; gives it back if too many wait.
    pub(super) fn offer(&self, job: Job) -> Result<(), Job> {
        self.jobs.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => job,
        })
    }

    /// What has been done and not been taken yet.
    pub(super) fn next(&self) -> Option<Done> {
        self.done.try_recv().ok()
    }

    /// Lets go of the thread, and waits until then for the job that it may be doing.
    pub(super) fn close(self, until: Instant) {
        drop((self.jobs, self.done));
        join_by(self.thread, until);
    }
}

/// Something that the application is asked.
#[derive(Debug)]
pub(super) enum Question {
    /// A payload for a round.
    Produce { round: Round, by: Mono, wanted: Wanted },
    /// A verdict on a block's payload.
    Validate { block: BlockHash, height: Height, payload: Bytes },
}

/// What the application answers.
#[derive(Debug)]
pub(super) enum Word {
    Produced {
        height: Height,
        round: Round,
        offer: Offer,
    },
    Validated {
        block: BlockHash,
        verdict: PayloadVerdict,
    },
    /// It cannot go on.
    Failed(ApplicationError),
}

/// Starts the application's thread.
pub(super) fn application(
    application: Arc<dyn Application>,
    wake: impl Fn() + Send + 'static,
) -> io::Result<Worker<Question, Word>> {
    Worker::start("timed-application", QUEUE, wake, move |question| {
        let answer = catch_unwind(AssertUnwindSafe(|| ask(&*application, question)));
        answer.unwrap_or_else(|_| Err("it panicked".into())).unwrap_or_else(Word::Failed)
    })
}

fn ask(application: &dyn Application, question: Question) -> Result<Word, ApplicationError> {
    match question {
        Question::Produce { round, by, wanted } => {
            let height = wanted.height;
            // Nobody waits for it any more: the next question is due.
            let late = clock::mono() > by;
            let offer = if late { Offer::default() } else { application.produce(&wanted)? };
            Ok(Word::Produced { height, round, offer })
        }
        Question::Validate { block, height, payload } => {
            Ok(Word::Validated { block, verdict: application.validate(height, &payload)? })
        }
    }
}

/// A range of blocks for a peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) load: LoadId,
    pub(super) from: Height,
    pub(super) to: Height,
    pub(super) max_bytes: usize,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) load: LoadId,
    pub(super) blocks: Result<Vec<StoredBlock>, StoreError>,
}

/// Starts the thread that reads blocks.
pub(super) fn loader(
    reader: BlockReader,
    wake: impl Fn() + Send + 'static,
) -> io::Result<Worker<Load, Loaded>> {
    Worker::start("timed-loader", QUEUE, wake, move |Load { load, from, to, max_bytes }| {
        let heights = (to.0.saturating_add(1)).saturating_sub(from.0);
        let heights = usize::try_from(heights).unwrap_or(usize::MAX);
        Loaded { load, blocks: reader.range(from, heights, max_bytes) }
    })
}

/// What a name stands for.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) seed: SeedId,
    pub(super) addrs: Vec<CanonicalAddr>,
}

/// Starts the thread that asks the name service.
pub(super) fn resolver(
    names: Arc<dyn NameService>,
    wake: impl Fn() + Send + 'static,
) -> io::Result<Worker<SeedId, Resolved>> {
    Worker::start("timed-resolver", MAX_SEEDS, wake, move |seed| Resolved {
        seed,
        addrs: names.resolve(seed),
    })
}
