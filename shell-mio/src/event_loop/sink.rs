//! Where events go.

use std::fmt;
use std::time::Duration;

use timed_core::{Event, Mono, TransportCause};

use crate::store::StoreError;

/// Receives events on the loop's thread: it must never block, or every connection waits for it.
///
/// Every event of the core passes, in order, but for [`Event::Reply`], which goes to whoever asked. Any
/// `FnMut(&Event)` is a sink that leaves the shell's own events alone.
pub trait EventSink {
    /// A fact from the core.
    fn event(&mut self, event: &Event);

    /// A fact from the shell itself.
    fn shell_event(&mut self, event: &ShellEvent) {
        let _ = event;
    }

    /// The loop has done a turn: at least once a second, and after every batch of arrivals. A loop that hangs says
    /// nothing, which is what a watchdog looks for.
    fn turned(&mut self, at: Mono) {
        let _ = at;
    }
}

impl<F: FnMut(&Event)> EventSink for F {
    fn event(&mut self, event: &Event) {
        self(event);
    }
}

/// What the shell itself reports.
#[derive(Debug)]
#[non_exhaustive]
pub enum ShellEvent {
    /// SIGHUP: the operator wants the configuration read again.
    Reload,
    /// SIGUSR2: the operator wants what is recorded written down.
    Record,
    /// The core is asked to stop; there are 8 s for it.
    Stopping(StopCause),
    /// No connection can be accepted for now: this machine is out of descriptors or memory. Those who
    /// connect wait in the kernel. Told at the first failure of a row.
    AcceptPaused {
        /// Why.
        cause: TransportCause,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// Accepting works again.
    AcceptResumed {
        /// How many attempts failed in between.
        failures: u32,
    },
    /// A record or a block could not be made durable. [`Event::Fatal`] follows.
    StoreFailed(StoreError),
    /// Stored blocks could not be read for a peer, which got none. Told once in a run.
    LoadFailed(StoreError),
    /// The application has so many questions before it that it is asked no more for now. Told once until it
    /// answers.
    ApplicationBehind,
    /// The application cannot go on. The core is asked to stop.
    ApplicationFailed(String),
}

/// Who wants the shell to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// SIGTERM or SIGINT.
    Signal,
    /// [`Remote::stop`](crate::Remote::stop) or a [`Request::Stop`](timed_core::Request::Stop).
    Order,
    /// The application cannot go on.
    Application,
}

impl fmt::Display for StopCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signal => "signal",
            Self::Order => "order",
            Self::Application => "application",
        })
    }
}
