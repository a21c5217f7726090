//! What the driver asks of the machine that it drives, so that a test may stand in it.

use std::net::SocketAddr;

use timed_core::{Command, ConnId, Input, Mono, Node, Now, Refused, Transmit};

/// The door of [`timed_core::Node`].
pub(crate) trait Core: Send + 'static {
    fn accept(&mut self, now: Now, from: SocketAddr) -> Result<ConnId, Refused>;
    fn handle(&mut self, now: Now, input: Input<'_>);
    fn next_command(&mut self) -> Option<Command>;
    fn transmit(&mut self, now: Now, conn: ConnId, budget: usize, out: &mut Vec<u8>) -> Transmit;
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
