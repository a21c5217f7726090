//! The node: routes inputs to the machines and applies their effects; no policy of its own.

use std::net::SocketAddr;

use crate::command::{Command, Transmit};
use crate::config::{Config, ConfigError};
use crate::crypto::Provider;
use crate::event::CloseReason;
use crate::ids::ConnId;
use crate::input::Input;
use crate::journal::Record;
use crate::time::{Mono, Now};

/// An inbound connection that the core does not take; the shell closes the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub CloseReason);

/// One node of the network.
#[derive(Debug)]
pub struct Node {
    crypto: Box<dyn Provider>,
}

impl Node {
    /// Sets a node up. `seed` is drawn once from the system's entropy; `journal` holds the records of earlier
    /// starts.
    ///
    /// # Errors
    /// If the configuration contradicts itself, the registry or the key.
    pub fn new(
        _config: Config,
        crypto: Box<dyn Provider>,
        _seed: [u8; 32],
        _journal: impl IntoIterator<Item = Record>,
        _now: Now,
    ) -> Result<Self, ConfigError> {
        Ok(Self { crypto })
    }

    /// A connection came in.
    ///
    /// # Errors
    /// If the node is stopping.
    pub fn accept(&mut self, _now: Now, _from: SocketAddr) -> Result<ConnId, Refused> {
        Err(Refused(CloseReason::Shutdown))
    }

    /// Takes one input. May be called any number of times before the commands are drained.
    pub fn handle(&mut self, _now: Now, _input: Input<'_>) {
        let _ = &self.crypto;
    }

    /// The next command, in order.
    pub fn next_command(&mut self) -> Option<Command> {
        None
    }

    /// Appends at most `budget` bytes for a connection to `out`.
    pub fn transmit(&mut self, _now: Now, _conn: ConnId, _budget: usize, _out: &mut Vec<u8>) -> Transmit {
        Transmit::Drained
    }

    /// The one timer: call [`Node::handle`] when this time has passed.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        None
    }
}
