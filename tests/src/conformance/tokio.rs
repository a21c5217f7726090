//! The embedding shell under the suite: a runtime of one thread for each node.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ::tokio::runtime::{Builder, Handle as Runtime};
use ::tokio::time::timeout;
use timed_core::crypto::Provider;
use timed_core::crypto::noise::NoiseProvider;
use timed_core::{Event, Node as Core, Reply, Request};
use timed_tokio::application::FifoPayload;
use timed_tokio::{Handle, Node, Notice, RedbStore, SocketOptions, Surroundings, SystemClock, Tcp};
use zeroize::Zeroizing;

use super::hosted::{Held, Hosted, Plan, Reins, Told};

/// An answer of the node's is there by then.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// What a killed node was writing is written by then.
const STORE_FREE_WITHIN: Duration = Duration::from_secs(10);

/// A node on the driver of `timed-tokio`.
#[derive(Debug)]
pub struct Tokio {
    handle: Handle,
    runtime: Runtime,
    reins: Arc<Reins>,
    told: Told,
    thread: Option<JoinHandle<()>>,
}

impl Hosted for Tokio {
    const NAME: &'static str = "shell-tokio";

    fn start(plan: &Plan) -> Result<Self, String> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let store = RedbStore::open(plan.dir.join("store")).map_err(|error| error.to_string())?;
        let store = Arc::new(store);
        let surroundings = Surroundings {
            network: Tcp { dial_from: Some(plan.listen.ip()), sockets: SocketOptions::default() },
            clock: Arc::new(SystemClock::new()),
            listen: Some(plan.listen),
            names: Vec::new(),
        };
        let provider = Box::new(NoiseProvider::new(Zeroizing::new(plan.key)));
        let (id, reins, told) = (provider.node_id(), Arc::new(Reins::default()), Told::default());
        let (config, draws, held_by) = (plan.config.clone(), plan.draws, Arc::clone(&reins));
        let make = move |records, now| {
            let node = Core::new(config, provider, draws, records, now)?;
            Ok(Held { node, reins: held_by })
        };
        let application = FifoPayload::new(store.clone());
        let node = Node::spawn_core(surroundings, id, store, application, make);
        let (handle, mut events) = runtime.block_on(node).map_err(|error| error.to_string())?;
        let (driven, sink) = (handle.clone(), told.clone());
        let inside = runtime.handle().clone();
        let thread = thread::spawn(move || {
            let _ = runtime.block_on(async {
                while let Some(notice) = events.next().await {
                    if let Notice::Core(event) = notice {
                        sink.tell(&event);
                    }
                }
                driven.ended().await
            });
            // As a crash: what was being written at that moment is, and nothing else.
            runtime.shutdown_timeout(STORE_FREE_WITHIN);
        });
        Ok(Self { handle, runtime: inside, reins, told, thread: Some(thread) })
    }

    fn kill(self) {
        drop(self);
    }

    fn freeze(&self, time: Duration) {
        self.reins.freeze(time);
        // Wakes the driver, which goes to sleep on its way to the answer.
        drop(self.request(Request::Status, time + ANSWERS_WITHIN));
    }

    fn ask(&self, request: Request) -> Option<Reply> {
        self.request(request, ANSWERS_WITHIN)
    }

    fn facts(&self) -> Vec<Event> {
        self.told.take()
    }
}

impl Tokio {
    fn request(&self, request: Request, within: Duration) -> Option<Reply> {
        self.runtime.block_on(async { timeout(within, self.handle.request(request)).await.ok()?.ok() })
    }
}

impl Drop for Tokio {
    fn drop(&mut self) {
        self.reins.kill();
        // Wakes the driver, which unwinds on its way to the answer.
        drop(self.request(Request::Status, ANSWERS_WITHIN));
        if let Some(thread) = self.thread.take() {
            // It has ended in order: a driver that unwinds is caught by its runtime.
            drop(thread.join());
        }
    }
}
