//! The handle that other threads hold.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use timed_core::{Reply, Request, Summary};
use tokio::sync::oneshot;

use super::clock;
use super::inbox::{Asked, Shared};
use super::latencies::Latencies;

/// Reaches a running node from any thread. Nothing here waits for what drives it, and nothing makes that wait.
#[derive(Clone)]
pub struct Remote(Arc<dyn Driven>);

/// What drives a node, as a [`Remote`] reaches it: the loop of this crate, or another shell that the daemon is put
/// around ([`hosting`](crate::daemon::hosting)).
pub trait Driven: Send + Sync + 'static {
    /// Takes a request, or says why not; does not wait.
    ///
    /// # Errors
    /// If too many wait, or the node has ended.
    fn ask(&self, request: Request, answer: Answer) -> Result<(), Busy>;
    /// See [`Remote::summary`].
    fn summary(&self) -> Summary;
    /// See [`Remote::counters`].
    fn counters(&self) -> LoopCounters;
    /// See [`Remote::last_tick_age`].
    fn last_tick_age(&self) -> Duration;
    /// See [`Remote::stop`].
    fn stop(&self);
}

/// Where the answer to a request goes. Dropped, it says that the node has ended.
#[derive(Debug)]
pub struct Answer(oneshot::Sender<Reply>);

impl Answer {
    /// Hands the answer over, if anybody still waits for it.
    pub fn give(self, reply: Reply) {
        let _ = self.0.send(reply);
    }
}

/// The loop of this crate.
struct Loop {
    requests: SyncSender<Asked>,
    shared: Arc<Shared>,
}

impl Driven for Loop {
    fn ask(&self, request: Request, answer: Answer) -> Result<(), Busy> {
        self.requests.try_send(Asked { request, answer: answer.0 }).map_err(|error| match error {
            TrySendError::Full(_) => Busy::QueueFull,
            TrySendError::Disconnected(_) => Busy::Stopped,
        })?;
        self.shared.notify();
        Ok(())
    }

    fn summary(&self) -> Summary {
        self.shared.snapshot().summary
    }

    fn counters(&self) -> LoopCounters {
        self.shared.snapshot().counters
    }

    fn last_tick_age(&self) -> Duration {
        clock::mono().since(self.shared.snapshot().turned)
    }

    fn stop(&self) {
        self.shared.order_stop();
    }
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// Too many requests wait already; ask again later.
    #[error("the node has too many requests waiting")]
    QueueFull,
    /// The loop has ended.
    #[error("the node has stopped")]
    Stopped,
}

/// Why a request was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoReply {
    /// Not in time.
    #[error("the node did not answer in time")]
    TimedOut,
    /// The loop ended before it answered.
    #[error("the node stopped before it answered")]
    Stopped,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").finish_non_exhaustive()
    }
}

impl Remote {
    pub(super) fn new(requests: SyncSender<Asked>, shared: Arc<Shared>) -> Self {
        Self::to(Loop { requests, shared })
    }

    /// A remote of another shell's.
    #[must_use]
    pub fn to(driven: impl Driven) -> Self {
        Self(Arc::new(driven))
    }

    /// Asks the core. At most [`REQUESTS_PER_WAKE`](timed_core::REQUESTS_PER_WAKE) requests are taken in one
    /// turn of the loop and at most 256 wait.
    ///
    /// # Errors
    /// If too many requests wait, or the loop has ended.
    pub fn request(&self, request: Request) -> Result<PendingReply, Busy> {
        let (answer, pending) = oneshot::channel();
        self.0.ask(request, Answer(answer))?;
        Ok(PendingReply(pending))
    }

    /// The core's newest summary; all zero before the first.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.0.summary()
    }

    /// What the loop has done since its start, as of its last turn.
    #[must_use]
    pub fn counters(&self) -> LoopCounters {
        self.0.counters()
    }

    /// How long ago the core last had the chance to act. The loop turns at least once a second, so that more
    /// than a few seconds mean that it hangs or the machine is overloaded. Before the first turn: the time
    /// since the shell was bound.
    #[must_use]
    pub fn last_tick_age(&self) -> Duration {
        self.0.last_tick_age()
    }

    /// Stops the loop: the first call lets the core say goodbye, within 8 s; the second ends it at once. Works
    /// also before the run has begun.
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// Totals of the loop since its start, and a few gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoopCounters {
    /// Turns of the loop.
    pub turns: u64,
    /// Ticks given because the deadline had passed.
    pub ticks: u64,
    /// System calls that read from a connection.
    pub reads: u64,
    /// System calls that wrote to a connection.
    pub writes: u64,
    /// Bytes read from connections.
    pub bytes_in: u64,
    /// Bytes written to connections.
    pub bytes_out: u64,
    /// Connections dialed.
    pub dialed: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections that the core did not take.
    pub refused: u64,
    /// Times that accepting failed for want of descriptors or memory.
    pub accept_failures: u64,
    /// Requests taken from other threads.
    pub requests: u64,
    /// Records and blocks made durable.
    pub records: u64,
    /// Blocks that the application has taken in.
    pub blocks: u64,
    /// Ranges of blocks read for peers.
    pub loads: u64,
    /// Connections closed before the peer had taken everything, because too many lingered.
    pub linger_cut: u64,
    /// Connections open or being dialed at present.
    pub open: u64,
    /// Closed connections whose last bytes are under way at present.
    pub lingering: u64,
    /// Bytes taken from the core that wait for a socket at present.
    pub pending_bytes: u64,
    /// Nanoseconds by which the last tick came after its deadline.
    pub lag_last_ns: u64,
    /// The longest of these.
    pub lag_max_ns: u64,
    /// By how much ticks came after their deadlines.
    pub lag: Latencies,
    /// From the command to write a record or a block until it was durable.
    pub store: Latencies,
    /// The longest of these, in nanoseconds.
    pub store_max_ns: u64,
    /// Nanoseconds spent working rather than waiting for events.
    pub busy_ns: u64,
    /// The longest turn, in nanoseconds.
    pub turn_max_ns: u64,
}

/// An answer under way: a future, or [`PendingReply::wait`] on a plain thread.
#[derive(Debug)]
#[must_use]
pub struct PendingReply(oneshot::Receiver<Reply>);

impl PendingReply {
    /// Blocks this thread until the answer is there.
    ///
    /// # Errors
    /// If it does not come in time, or the loop ends before it.
    pub fn wait(self, timeout: Duration) -> Result<Reply, NoReply> {
        let until = Instant::now() + timeout;
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut reply = pin!(self);
        loop {
            if let Poll::Ready(answer) = reply.as_mut().poll(&mut Context::from_waker(&waker)) {
                return answer;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(NoReply::TimedOut);
            }
            thread::park_timeout(left);
        }
    }
}

impl Future for PendingReply {
    type Output = Result<Reply, NoReply>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(|_| NoReply::Stopped)
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
