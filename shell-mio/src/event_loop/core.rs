//! What the loop asks of the machine that it drives.

use std::net::SocketAddr;

use timed_core::flight::Recorder;
use timed_core::{Command, ConnId, Input, Mono, Node, Now, Refused, Transmit};

/// The door of [`timed_core::Node`], so that a recorder may stand in it.
pub trait Core {
    /// See [`Node::accept`].
    ///
    /// # Errors
    /// If the connection is not taken.
    fn accept(&mut self, now: Now, from: SocketAddr) -> Result<ConnId, Refused>;
    /// See [`Node::handle`].
    fn handle(&mut self, now: Now, input: Input<'_>);
    /// See [`Node::next_command`].
    fn next_command(&mut self) -> Option<Command>;
    /// See [`Node::transmit`].
    fn transmit(&mut self, now: Now, conn: ConnId, budget: usize, out: &mut Vec<u8>) -> Transmit;
    /// See [`Node::deadline`].
    fn deadline(&self) -> Option<Mono>;
}

impl Core for Recorder {
    fn accept(&mut self, now: Now, from: SocketAddr) -> Result<ConnId, Refused> {
        Self::accept(self, now, from)
    }

    fn handle(&mut self, now: Now, input: Input<'_>) {
        Self::handle(self, now, input);
    }

    fn next_command(&mut self) -> Option<Command> {
        Self::next_command(self)
    }

    fn transmit(&mut self, now: Now, conn: ConnId, budget: usize, out: &mut Vec<u8>) -> Transmit {
        Self::transmit(self, now, conn, budget, out)
    }

    fn deadline(&self) -> Option<Mono> {
        Self::deadline(self)
    }
}

impl Core for Node {
    fn accept(&mut self, now: Now, from: SocketAddr) -> Result<ConnId, Refused> {
        Self::accept(self, now, from)
    }

    fn handle(&mut self, now: Now, input: Input<'_>) {
        Self::handle(self, now, input);
    }

    fn next_command(&mut self) -> Option<Command> {
        Self::next_command(self)
    }

    fn transmit(&mut self, now: Now, conn: ConnId, budget: usize, out: &mut Vec<u8>) -> Transmit {
        Self::transmit(self, now, conn, budget, out)
    }

    fn deadline(&self) -> Option<Mono> {
        Self::deadline(self)
    }
}
