//! A running digest of what a node said: eight bytes a step, so that it costs next to nothing. It tells two runs
//! apart; it is no protection against anybody.

use crate::command::{Command, Transmit};
use crate::event::CloseReason;
use crate::flight::entry::{Sink, feed};
use crate::ids::ConnId;
use crate::journal::RecordKey;

/// The digest so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest {
    /// Of the commands, in their order.
    said: Sum,
    /// Of what was accepted and sent. A replay takes the commands later than the recorded run did, so the two are
    /// apart.
    sent: Sum,
    commands: u32,
}

/// Of pieces, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum(u64);

impl Digest {
    /// Of nothing.
    pub(super) const NONE: Self = Self { said: Sum(0), sent: Sum(0), commands: 0 };

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    /// How many commands, and the sum of everything.
    pub(super) const fn value(&self) -> (u32, u64) {
        (self.commands, self.said.0 ^ self.sent.0.rotate_left(32))
    }

    pub(super) fn accepted(&mut self, accepted: Result<ConnId, CloseReason>) {
        match accepted {
            Ok(conn) => self.sent.word(u64::from(conn.generation()) << 32 | u64::from(conn.index())),
            Err(reason) => self.sent.word(u64::MAX ^ u64::from(reason.code())),
        }
    }

    /// What is about to be sealed.
    pub(super) fn plain(&mut self, bytes: &[u8]) {
        self.sent.bytes(bytes);
    }

    pub(super) fn transmitted(&mut self, length: usize, left: Transmit) {
        self.sent.word((length as u64) << 1 | u64::from(left == Transmit::More));
    }

    pub(super) fn command(&mut self, command: &Command) {
        self.commands = self.commands.wrapping_add(1);
        let fed = match command {
            // It holds the book's secret, which no recording has.
            Command::Persist { ticket, key: RecordKey::AddressBook, record } => {
                self.said.word(ticket.0);
                self.said.word(record.len() as u64);
                Ok(())
            }
            command => feed(command, Sink::Sum(&mut self.said)),
        };
        if fed.is_err() {
            self.said.word(u64::MAX);
        }
    }
}

impl Sum {
    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (self.0 >> 29);
    }

    /// Takes the length too, so that two fields never run into each other.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64 ^ 0x9e37_79b9_7f4a_7c15);
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.word(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            self.word(rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }
}
