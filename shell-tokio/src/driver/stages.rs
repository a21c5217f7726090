//! How a node comes to its end: it says goodbye, its last bytes leave, its store is written.

use std::sync::Arc;

use timed_core::{Core, Fatal, Input, Mono, Request};
use tokio::time::timeout;

use super::Driver;
use crate::events::ShellEvent;
use crate::handle::Ordered;
use crate::limits::{CLOSE_WITHIN, STOP_WITHIN};
use crate::network::Network;

/// How a node has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Exit {
    /// As asked: it said goodbye to everyone, and everything that it handed to its store is durable.
    Stopped,
    /// As asked by [`Handle::abort`](crate::Handle::abort): at once.
    Aborted,
    /// Stopping took longer than 8 s, or the store then longer than 1 s to write what waited: the rest was cut off,
    /// as in a crash. Nothing that was promised is lost.
    StopTimedOut,
    /// The core halted.
    Fatal(Fatal),
    /// The store could not write, and the core halted.
    Store(Arc<str>),
    /// The application could not go on.
    Application(Arc<str>),
    /// A defect of this library: its task has panicked, or its runtime was shut down under it.
    Lost,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Running,
    /// The core was asked to stop, or halted.
    Stopping {
        until: Mono,
    },
    /// The core has no connections any more; their last bytes may be under way.
    Stopped {
        until: Mono,
    },
    /// Nothing is under way any more.
    Done,
    Aborted,
}

impl Stage {
    pub(super) const fn until(self) -> Option<Mono> {
        match self {
            Self::Stopping { until } | Self::Stopped { until } => Some(until),
            Self::Running | Self::Done | Self::Aborted => None,
        }
    }
}

impl<N: Network, C: Core + Send + 'static> Driver<N, C> {
    /// A handle has given an order, or the last one was dropped: nobody could give one any more.
    pub(super) fn ordered(&mut self, held: bool) {
        self.doors.orders = held;
        let order = if held { *self.orders.borrow_and_update() } else { Ordered::Stop };
        match order {
            Ordered::Run => {}
            Ordered::Stop => self.ask_to_stop(),
            Ordered::Abort => self.stage = Stage::Aborted,
        }
    }

    /// Has the core say goodbye, unless it does so already.
    fn ask_to_stop(&mut self) {
        if self.stage == Stage::Running {
            let id = self.next_request();
            self.begin_to_stop();
            self.core.handle(self.now, Input::Request { id, request: Request::Stop });
            self.drain();
        }
    }

    pub(super) fn begin_to_stop(&mut self) {
        if self.stage == Stage::Running {
            self.stage = Stage::Stopping { until: self.now.mono + STOP_WITHIN };
            self.tell(ShellEvent::Stopping);
        }
    }

    /// The core has halted: it closes its connections now.
    pub(super) fn halted(&mut self, fatal: Fatal) {
        if self.stage == Stage::Running {
            self.stage = Stage::Stopping { until: self.now.mono + STOP_WITHIN };
        }
        self.failure.get_or_insert(Exit::Fatal(fatal));
    }

    /// Nothing is written any more.
    pub(super) fn store_failed(&mut self, why: Arc<str>) {
        self.desk.fail();
        self.tell(ShellEvent::StoreFailed(Arc::clone(&why)));
        self.failure.get_or_insert(Exit::Store(why));
    }

    pub(super) fn application_failed(&mut self, why: Arc<str>) {
        self.tell(ShellEvent::ApplicationFailed(Arc::clone(&why)));
        self.failure.get_or_insert(Exit::Application(why));
        self.ask_to_stop();
    }

    /// The core has no connections any more.
    pub(super) fn stopped(&mut self) {
        let until = self.stage.until().unwrap_or(self.now.mono + STOP_WITHIN);
        if !matches!(self.stage, Stage::Aborted | Stage::Done) {
            self.stage = Stage::Stopped { until };
            // From now on this waits for the tasks of connections alone.
            self.alive = None;
        }
    }

    pub(super) fn all_gone(&mut self) {
        if let Stage::Stopped { .. } = self.stage {
            self.stage = Stage::Done;
        }
    }

    pub(super) fn exit(&mut self) -> Option<Exit> {
        let over = |until: Mono| self.now.mono >= until;
        let exit = match self.stage {
            Stage::Running => return None,
            Stage::Aborted => Exit::Aborted,
            Stage::Done => Exit::Stopped,
            Stage::Stopped { until } if over(until) => Exit::Stopped,
            Stage::Stopping { until } if over(until) => Exit::StopTimedOut,
            Stage::Stopped { .. } | Stage::Stopping { .. } => return None,
        };
        Some(self.failure.take().unwrap_or(exit))
    }

    /// Ends every task: the store's when it has written what it was given, if that is soon.
    pub(super) async fn close(mut self, exit: Exit) -> Exit {
        self.connections.cut_all();
        for task in &self.helpers {
            task.abort();
        }
        let Self { desk, mut answers, mut scribe, arrivals, .. } = self;
        drop((desk, arrivals));
        // A scribe that waits for room to answer would never end.
        let rest = async {
            loop {
                tokio::select! {
                    _ = &mut scribe => break,
                    answer = answers.recv() => drop(answer),
                }
            }
        };
        if exit != Exit::Aborted && timeout(CLOSE_WITHIN, rest).await.is_err() {
            scribe.abort();
            // A call that is under way goes on: nothing can end it.
            return if exit == Exit::Stopped { Exit::StopTimedOut } else { exit };
        }
        exit
    }
}
