//! What a shell asks of the machine that it drives.

use std::net::SocketAddr;

use crate::command::{Command, Transmit};
use crate::ids::ConnId;
use crate::input::Input;
use crate::node::{Node, Refused};
use crate::time::{Mono, Now};

/// The door of a [`Node`]. A [`Recorder`](crate::flight::Recorder) has the same, and so has whatever a test of a shell
/// puts in a node's place.
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
