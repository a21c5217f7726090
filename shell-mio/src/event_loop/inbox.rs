//! What other threads leave for the loop, and what the loop leaves for them.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};

use timed_core::{Mono, Reply, Request, Summary};
use tokio::sync::oneshot;

use super::clock;
use super::remote::LoopCounters;

/// Requests that wait at most.
pub(super) const QUEUE: usize = 256;

/// A request, and where its answer goes.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) answer: oneshot::Sender<Reply>,
}

/// What the loop shows to other threads, replaced as a whole at the end of a turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot {
    pub(super) summary: Summary,
    pub(super) counters: LoopCounters,
    /// When the loop last finished a turn.
    pub(super) turned: Mono,
}

/// What the loop and the other threads both hold.
#[derive(Debug)]
pub(crate) struct Shared {
    waker: mio::Waker,
    /// Something was left since the loop last looked. Saves the system call of waking an awake loop.
    news: AtomicBool,
    /// Orders to stop so far.
    stops: AtomicU32,
    snapshot: Mutex<Snapshot>,
}

impl Shared {
    pub(super) fn new(waker: mio::Waker) -> Self {
        let snapshot = Snapshot {
            summary: Summary::default(),
            counters: LoopCounters::default(),
            turned: clock::mono(),
        };
        Self { waker, news: AtomicBool::new(false), stops: AtomicU32::new(0), snapshot: Mutex::new(snapshot) }
    }

    /// Tells the loop that something waits for it. Call after leaving it.
    pub(crate) fn notify(&self) {
        if !self.news.swap(true, Ordering::AcqRel) {
            // The only failure is a full event counter, and then the loop is being woken already.
            let _: io::Result<()> = self.waker.wake();
        }
    }

    pub(super) fn order_stop(&self) {
        self.stops.fetch_add(1, Ordering::AcqRel);
        self.notify();
    }

    /// Whether something was left since the last call. Whatever was left before this call can be taken after.
    pub(super) fn take_news(&self) -> bool {
        self.news.load(Ordering::Relaxed) && self.news.swap(false, Ordering::AcqRel)
    }

    pub(super) fn stops_ordered(&self) -> u32 {
        self.stops.load(Ordering::Acquire)
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows a new snapshot, unless somebody reads the old one just now: the next turn brings another.
    pub(super) fn publish(&self, snapshot: Snapshot) {
        match self.snapshot.try_lock() {
            Ok(mut shown) => *shown = snapshot,
            Err(TryLockError::Poisoned(shown)) => *shown.into_inner() = snapshot,
            Err(TryLockError::WouldBlock) => {}
        }
    }
}
