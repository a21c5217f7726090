//! The machine that a process runs: a node, or one with a recorder in its door.

use std::net::SocketAddr;

use timed_core::crypto::Provider;
use timed_core::flight::{Flight, Recorder};
use timed_core::{
    Command, Config, ConfigError, ConnId, Core, Input, Mono, Node, Now, Record, Refused, Transmit,
};

/// Whether what a node does is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// It is not.
    Off,
    /// It is, in a ring of so many bytes.
    In(usize),
}

/// A node, by its door.
#[derive(Debug)]
pub(crate) enum Machine {
    Plain(Box<Node>),
    /// With every command that was taken, written out.
    Recorded(Box<Recorder>, Vec<String>),
}

impl Machine {
    pub(crate) fn new(
        recording: Recording,
        config: Config,
        provider: Box<dyn Provider>,
        seed: [u8; 32],
        journal: impl IntoIterator<Item = Record>,
        now: Now,
    ) -> Result<Self, ConfigError> {
        Ok(match recording {
            Recording::Off => Self::Plain(Box::new(Node::new(config, provider, seed, journal, now)?)),
            Recording::In(room) => {
                let recorder = Recorder::start(config, provider, seed, journal, now, room)?;
                Self::Recorded(Box::new(recorder), Vec::new())
            }
        })
    }

    /// What is recorded, and every command that was taken so far.
    pub(crate) fn flight(&self, now: Now) -> Option<(Flight, &[String])> {
        match self {
            Self::Plain(_) => None,
            Self::Recorded(recorder, said) => Some((recorder.recording().take(now.wall), said)),
        }
    }

    pub(crate) fn node(&self) -> &Node {
        match self {
            Self::Plain(node) => node,
            Self::Recorded(recorder, _) => recorder.node(),
        }
    }

    /// For what no door has.
    pub(crate) fn plain(&mut self) -> Option<&mut Node> {
        match self {
            Self::Plain(node) => Some(node),
            Self::Recorded(..) => None,
        }
    }

    fn door(&mut self) -> &mut dyn Core {
        match self {
            Self::Plain(node) => &mut **node,
            Self::Recorded(recorder, _) => &mut **recorder,
        }
    }
}

impl Core for Machine {
    fn accept(&mut self, now: Now, from: SocketAddr) -> Result<ConnId, Refused> {
        self.door().accept(now, from)
    }

    fn handle(&mut self, now: Now, input: Input<'_>) {
        self.door().handle(now, input);
    }

    fn next_command(&mut self) -> Option<Command> {
        let command = self.door().next_command()?;
        if let Self::Recorded(_, said) = self {
            said.push(format!("{command:?}"));
        }
        Some(command)
    }

    fn transmit(&mut self, now: Now, conn: ConnId, budget: usize, out: &mut Vec<u8>) -> Transmit {
        self.door().transmit(now, conn, budget, out)
    }

    fn deadline(&self) -> Option<Mono> {
        self.node().deadline()
    }
}
