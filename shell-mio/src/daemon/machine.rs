//! The machine that a shell drives: a node, recorded or not as the operator has it.

use std::net::SocketAddr;

use timed_core::flight::{Recorder, Recording};
use timed_core::{Command, ConfigError, ConnId, Core, Input, Mono, Node, Now, Record, Refused, Transmit};

use super::hosting::Plan;

/// A node, recorded or not.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // There is one.
pub enum Machine {
    /// It is not.
    Plain(Node),
    /// It is.
    Recorded(Recorder),
}

impl Machine {
    /// Sets the node of a plan up, from its store's records and a seed of the system's entropy.
    ///
    /// # Errors
    /// As [`Node::new`].
    pub fn new(
        plan: &Plan<'_>,
        seed: [u8; 32],
        journal: impl IntoIterator<Item = Record>,
        now: Now,
    ) -> Result<Self, ConfigError> {
        let (config, crypto, recorder) = (plan.core_config(), plan.crypto(), plan.assembly.config.recorder);
        if recorder.enabled {
            Recorder::start(config, crypto, seed, journal, now, recorder.memory).map(Self::Recorded)
        } else {
            Node::new(config, crypto, seed, journal, now).map(Self::Plain)
        }
    }

    /// What is recorded of it, if anything is.
    #[must_use]
    pub fn recording(&self) -> Option<Recording> {
        match self {
            Self::Plain(_) => None,
            Self::Recorded(recorder) => Some(recorder.recording()),
        }
    }
}

impl Core for Machine {
    fn accept(&mut self, now: Now, from: SocketAddr) -> Result<ConnId, Refused> {
        match self {
            Self::Plain(node) => node.accept(now, from),
            Self::Recorded(recorder) => recorder.accept(now, from),
        }
    }

    fn handle(&mut self, now: Now, input: Input<'_>) {
        match self {
            Self::Plain(node) => node.handle(now, input),
            Self::Recorded(recorder) => recorder.handle(now, input),
        }
    }

    fn next_command(&mut self) -> Option<Command> {
        match self {
            Self::Plain(node) => node.next_command(),
            Self::Recorded(recorder) => recorder.next_command(),
        }
    }

    fn transmit(&mut self, now: Now, conn: ConnId, budget: usize, out: &mut Vec<u8>) -> Transmit {
        match self {
            Self::Plain(node) => node.transmit(now, conn, budget, out),
            Self::Recorded(recorder) => recorder.transmit(now, conn, budget, out),
        }
    }

    fn deadline(&self) -> Option<Mono> {
        match self {
            Self::Plain(node) => node.deadline(),
            Self::Recorded(recorder) => recorder.deadline(),
        }
    }
}
