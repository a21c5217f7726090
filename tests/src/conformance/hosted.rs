//! What arms of shells in this process have in common: what a shell is asked, and how a test holds its core.

use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use timed_core::{
    Command, Config, ConnId, Core, Event, Input, Mono, Node, Now, Refused, Reply, Request, Transmit,
};

/// A shell that runs one node on a thread of its own.
pub trait Hosted: Sized + 'static {
    /// Its name in tables.
    const NAME: &'static str;

    /// Starts a node with what its directory has.
    ///
    /// # Errors
    /// In words, if it does not start.
    fn start(plan: &Plan) -> Result<Self, String>;

    /// Ends it without a word to anybody; the kernel closes its sockets.
    fn kill(self);

    /// Keeps it from running for so long.
    fn freeze(&self, time: Duration);

    /// Asks it, and gives the answer if there is one.
    fn ask(&self, request: Request) -> Option<Reply>;

    /// What it has told since the last look.
    fn facts(&self) -> Vec<Event>;
}

/// What a shell is told.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What its node is told.
    pub config: Config,
    /// The seed of its key.
    pub key: [u8; 32],
    /// Its entropy.
    pub draws: [u8; 32],
    /// Where it listens and dials from.
    pub listen: SocketAddr,
    /// For its durable state: there is nothing in it yet.
    pub dir: PathBuf,
}

/// What a test does to the thread of a core from outside, at the core's next command.
#[derive(Debug, Default)]
pub(super) struct Reins {
    killed: AtomicBool,
    /// For how long the thread is to stand still, in ms.
    frozen: AtomicU64,
}

impl Reins {
    /// Unwinds whatever drives the core.
    pub(super) fn kill(&self) {
        self.killed.store(true, Ordering::Release);
    }

    /// Holds it up for so long.
    pub(super) fn freeze(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.frozen.store(millis, Ordering::Release);
    }

    fn pull(&self) {
        if self.killed.load(Ordering::Acquire) {
            resume_unwind(Box::new("killed"));
        }
        let frozen = self.frozen.swap(0, Ordering::AcqRel);
        if frozen > 0 {
            thread::sleep(Duration::from_millis(frozen));
        }
    }
}

/// A core that can be unwound or held up at any moment.
pub(super) struct Held {
    pub(super) node: Node,
    pub(super) reins: Arc<Reins>,
}

impl Core for Held {
    fn accept(&mut self, now: Now, from: SocketAddr) -> Result<ConnId, Refused> {
        self.node.accept(now, from)
    }

    fn handle(&mut self, now: Now, input: Input<'_>) {
        self.node.handle(now, input);
    }

    fn next_command(&mut self) -> Option<Command> {
        self.reins.pull();
        self.node.next_command()
    }

    fn transmit(&mut self, now: Now, conn: ConnId, budget: usize, out: &mut Vec<u8>) -> Transmit {
        self.node.transmit(now, conn, budget, out)
    }

    fn deadline(&self) -> Option<Mono> {
        self.node.deadline()
    }
}

/// What a node has told and nobody has looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Told(Arc<Mutex<Vec<Event>>>);

impl Told {
    pub(super) fn tell(&self, event: &Event) {
        if !matches!(event, Event::Summary(_) | Event::Reply { .. }) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
        }
    }

    pub(super) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
