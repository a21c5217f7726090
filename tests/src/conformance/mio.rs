//! The production shell under the suite.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use timed_core::crypto::noise::NoiseProvider;
use timed_core::{Command, ConnId, Event, Input, Mono, Node, Now, Refused, Reply, Request, Transmit};
use timed_mio::application::FifoPayload;
use timed_mio::{Core, Exit, Remote, Shell, ShellConfig, Store, StoreError};
use zeroize::Zeroizing;

use super::loopback::{Hosted, Plan};

/// The thread that writes for a killed loop closes the store by then.
const STORE_FREE_WITHIN: Duration = Duration::from_secs(10);
/// An answer of the node's is there by then.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// A node on the loop of `timed-mio`.
#[derive(Debug)]
pub struct Mio {
    remote: Remote,
    reins: Arc<Reins>,
    told: Arc<Mutex<Vec<Event>>>,
    thread: Option<JoinHandle<Exit>>,
}

/// What a test does to the thread from outside.
#[derive(Debug, Default)]
struct Reins {
    killed: AtomicBool,
    /// For how long the thread is to stand still, in ms.
    frozen: AtomicU64,
}

/// A node whose loop can be unwound or held up at any moment.
struct Held {
    node: Node,
    reins: Arc<Reins>,
}

impl Core for Held {
    fn accept(&mut self, now: Now, from: std::net::SocketAddr) -> Result<ConnId, Refused> {
        self.node.accept(now, from)
    }

    fn handle(&mut self, now: Now, input: Input<'_>) {
        self.node.handle(now, input);
    }

    fn next_command(&mut self) -> Option<Command> {
        if self.reins.killed.load(Ordering::Acquire) {
            resume_unwind(Box::new("killed"));
        }
        let frozen = self.reins.frozen.swap(0, Ordering::AcqRel);
        if frozen > 0 {
            thread::sleep(Duration::from_millis(frozen));
        }
        self.node.next_command()
    }

    fn transmit(&mut self, now: Now, conn: ConnId, budget: usize, out: &mut Vec<u8>) -> Transmit {
        self.node.transmit(now, conn, budget, out)
    }

    fn deadline(&self) -> Option<Mono> {
        self.node.deadline()
    }
}

impl Hosted for Mio {
    const NAME: &'static str = "shell-mio";

    fn start(plan: &Plan) -> Result<Self, String> {
        let mut shell =
            Shell::bind(ShellConfig::listening_on(plan.listen)).map_err(|error| error.to_string())?;
        let began = Instant::now();
        let (store, journal) = loop {
            match Store::open(plan.dir.join("timed.redb")) {
                Ok(opened) => break opened,
                Err(StoreError::InUse { .. }) if began.elapsed() < STORE_FREE_WITHIN => {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(error.to_string()),
            }
        };
        shell.use_application(Arc::new(FifoPayload::new(store.reader())));
        let provider = Box::new(NoiseProvider::new(Zeroizing::new(plan.key)));
        let node = Node::new(plan.config.clone(), provider, plan.draws, journal, timed_mio::now())
            .map_err(|error| error.to_string())?;
        let (remote, reins) = (shell.remote(), Arc::new(Reins::default()));
        let told = Arc::new(Mutex::new(Vec::new()));
        let (held, sink) = (Held { node, reins: Arc::clone(&reins) }, Arc::clone(&told));
        let thread = thread::spawn(move || {
            shell.run(held, store, move |event: &Event| {
                if !matches!(event, Event::Summary(_) | Event::Reply { .. }) {
                    sink.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
                }
            })
        });
        Ok(Self { remote, reins, told, thread: Some(thread) })
    }

    fn kill(self) {
        drop(self);
    }

    fn freeze(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.reins.frozen.store(millis, Ordering::Release);
        // Wakes the loop, which goes to sleep on its way to the answer.
        let asked = self.remote.request(Request::Status);
        drop(asked.map(|asked| asked.wait(time + ANSWERS_WITHIN)));
    }

    fn ask(&self, request: Request) -> Option<Reply> {
        self.remote.request(request).ok()?.wait(ANSWERS_WITHIN).ok()
    }

    fn facts(&self) -> Vec<Event> {
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Mio {
    fn drop(&mut self) {
        self.reins.killed.store(true, Ordering::Release);
        drop(self.remote.request(Request::Status));
        if let Some(thread) = self.thread.take() {
            // It has unwound, or had come to its end before.
            drop(thread.join());
        }
    }
}
