//! The production shell under the suite.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use timed_core::crypto::noise::NoiseProvider;
use timed_core::{Event, Node, Reply, Request};
use timed_mio::application::FifoPayload;
use timed_mio::{Exit, Remote, Shell, ShellConfig, Store, StoreError};
use zeroize::Zeroizing;

use super::hosted::{Held, Hosted, Plan, Reins, Told};

/// The thread that writes for a killed loop closes the store by then.
const STORE_FREE_WITHIN: Duration = Duration::from_secs(10);
/// An answer of the node's is there by then.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// A node on the loop of `timed-mio`.
#[derive(Debug)]
pub struct Mio {
    remote: Remote,
    reins: Arc<Reins>,
    told: Told,
    thread: Option<JoinHandle<Exit>>,
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
        let (remote, reins, told) = (shell.remote(), Arc::new(Reins::default()), Told::default());
        let (held, sink) = (Held { node, reins: Arc::clone(&reins) }, told.clone());
        let thread = thread::spawn(move || shell.run(held, store, move |event: &Event| sink.tell(event)));
        Ok(Self { remote, reins, told, thread: Some(thread) })
    }

    fn kill(self) {
        drop(self);
    }

    fn freeze(&self, time: Duration) {
        self.reins.freeze(time);
        // Wakes the loop, which goes to sleep on its way to the answer.
        let asked = self.remote.request(Request::Status);
        drop(asked.map(|asked| asked.wait(time + ANSWERS_WITHIN)));
    }

    fn ask(&self, request: Request) -> Option<Reply> {
        self.remote.request(request).ok()?.wait(ANSWERS_WITHIN).ok()
    }

    fn facts(&self) -> Vec<Event> {
        self.told.take()
    }
}

impl Drop for Mio {
    fn drop(&mut self) {
        self.reins.kill();
        drop(self.remote.request(Request::Status));
        if let Some(thread) = self.thread.take() {
            // It has unwound, or had come to its end before.
            drop(thread.join());
        }
    }
}
