//! The flight recorder: what a node has done of late, kept in memory, so that it can be run again later and
//! elsewhere, step by step, in the same machine.
//!
//! A [`Recorder`] stands in the door of a [`Node`] and behind its provider of cryptography. It keeps each call with
//! its clocks, and what no call says: what was opened, which signatures verified, what this node signed, what was
//! drawn. The machines are deterministic (contract C7), so that is all. [`replay`] runs it again, and compares what the
//! node says, command by command, with the digests of what it said then.
//!
//! # What is in a recording, and what is not
//!
//! No key: neither the node's, nor a channel's, nor what either is made from. A replay has no use for keys, since it
//! is told what they opened and signed. The seed of the random numbers is not in it either: with it, whoever has the
//! recording would know the handshake keys that are drawn next, and when this node will dial. The numbers that were
//! drawn are in it one by one, and only those that are no keys. Nor is the secret of the address book, by which a
//! teller of addresses could fill the book; the places that it chose are.
//!
//! What was said is in it, in clear, with the addresses of everybody: unless it is redacted ([`Flight::redacted`]).
//!
//! # How much
//!
//! A ring of so many bytes as [`Recorder::start`] is told, in segments of some megabytes. Each begins with the state of
//! all machines, so the oldest can go. A recorder that has no room for the state keeps nothing for a minute, then
//! tries again.

mod digest;
mod entry;
mod file;
mod playback;
mod redact;
mod replay;
mod scribe;
mod tape;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::command::{Command, Transmit};
use crate::config::{Config, ConfigError};
use crate::crypto::{Provider, witnessed};
use crate::ids::{ConnId, NodeId};
use crate::input::Input;
use crate::journal::Record;
use crate::node::{Core, Node, Refused};
use crate::time::{Mono, Now, Wall};
use crate::wire::codec::state::{NotWritten, append};
use crate::witness::{self, Duty};

use entry::Entry;
use scribe::Scribe;
use tape::Tape;

pub use file::{Content, Flight, FlightError};
pub use replay::{ReplayError, Replayed, replay};

/// The least room of a recorder: less than two states of a small network is of no use.
pub const LEAST_ROOM: usize = 1 << 20;

/// A [`Node`] that is recorded. It has the same door; see there.
#[derive(Debug)]
pub struct Recorder {
    node: Node,
    /// With the node while that is called, and here otherwise.
    scribe: Option<Box<Scribe>>,
    recording: Recording,
    now: Mono,
}

/// What is being recorded, for whoever wants it written down: from another thread too, and after a panic.
#[derive(Clone)]
pub struct Recording {
    node: NodeId,
    tape: Arc<Mutex<Tape>>,
}

/// What a recorder holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Bytes in the ring.
    pub bytes: usize,
    /// From the oldest state that is left to what was recorded last.
    pub span: Duration,
    /// States of the machine that were written so far.
    pub states: u64,
    /// Segments that gave way to newer ones so far.
    pub dropped: u64,
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Recording {
    fn with<T>(&self, act: impl FnOnce(&Tape) -> T) -> T {
        act(&self.tape.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Everything that is recorded now. Copies the segment under way, some megabytes at most.
    #[must_use]
    pub fn take(&self, now: Wall) -> Flight {
        let segments = self.with(Tape::segments);
        Flight { node: self.node, taken: now, content: Content::Original, segments }
    }

    /// How much there is.
    #[must_use]
    pub fn recorded(&self) -> Recorded {
        self.with(Tape::recorded)
    }
}

impl Recorder {
    /// Sets a node up as [`Node::new`] does, and records it in a ring of `room` bytes, [`LEAST_ROOM`] at least. The
    /// recording begins when the first commands are taken. What a single call adds may exceed the room for a moment.
    ///
    /// # Errors
    /// As [`Node::new`].
    pub fn start(
        config: Config,
        crypto: Box<dyn Provider>,
        seed: [u8; 32],
        journal: impl IntoIterator<Item = Record>,
        now: Now,
        room: usize,
    ) -> Result<Self, ConfigError> {
        let tape = Arc::new(Mutex::new(Tape::new(room.max(LEAST_ROOM))));
        let recording = Recording { node: crypto.node_id(), tape: Arc::clone(&tape) };
        let node = Node::new(config, witnessed(crypto), seed, journal, now)?;
        Ok(Self { node, scribe: Some(Box::new(Scribe::new(tape))), recording, now: now.mono })
    }

    /// What is being recorded.
    #[must_use]
    pub fn recording(&self) -> Recording {
        self.recording.clone()
    }

    /// The node itself, to look at.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }

    fn noting<T>(&mut self, note: impl FnOnce(&mut Scribe) -> T) -> Option<T> {
        self.scribe.as_deref_mut().map(note)
    }

    /// Begins a segment, if it is time to.
    fn look_at_room(&mut self) {
        let (scribe, now) = (self.scribe.as_deref_mut(), self.now);
        if let Some(scribe) = scribe.filter(|scribe| scribe.wants_state(now)) {
            let mut state = scribe.state();
            let written = self.node.write_state(&mut state);
            scribe.begin(now, written.is_ok().then_some(state));
        }
    }
}

/// A call with bytes: what is not opened of them is noted when it is over, and if it fails too.
struct Arriving<'a> {
    scribe: &'a mut Option<Box<Scribe>>,
    bytes: &'a [u8],
}

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        if let Some(scribe) = self.scribe {
            scribe.returned(self.bytes);
        }
    }
}

impl Core for Recorder {
    fn accept(&mut self, now: Now, from: SocketAddr) -> Result<ConnId, Refused> {
        self.now = now.mono;
        self.noting(|scribe| scribe.call(now, &Entry::Accept(from)));
        let accepted = witness::during(Duty::Record, &mut self.scribe, || self.node.accept(now, from));
        self.noting(|scribe| scribe.accepted(accepted.map_err(|refused| refused.0)));
        accepted
    }

    fn handle(&mut self, now: Now, input: Input<'_>) {
        self.now = now.mono;
        if let Input::Data { conn, bytes } = input {
            self.noting(|scribe| scribe.data(now, conn, bytes.len()));
            let arriving = Arriving { scribe: &mut self.scribe, bytes };
            witness::during(Duty::Record, arriving.scribe, || self.node.handle(now, input));
        } else {
            let entry = Entry::Input(input);
            self.noting(|scribe| scribe.call(now, &entry));
            if let Entry::Input(input) = entry {
                witness::during(Duty::Record, &mut self.scribe, || self.node.handle(now, input));
            }
        }
    }

    /// When all are taken, a new segment may begin.
    fn next_command(&mut self) -> Option<Command> {
        let command = self.node.next_command();
        match &command {
            Some(command) => self.noting(|scribe| scribe.command(command)),
            None => {
                self.noting(Scribe::drained);
                self.look_at_room();
                None
            }
        };
        command
    }

    fn transmit(&mut self, now: Now, conn: ConnId, budget: usize, out: &mut Vec<u8>) -> Transmit {
        self.now = now.mono;
        self.noting(|scribe| scribe.call(now, &Entry::Transmit(conn, budget)));
        let begun = out.len();
        let left =
            witness::during(Duty::Record, &mut self.scribe, || self.node.transmit(now, conn, budget, out));
        self.noting(|scribe| scribe.transmitted(out.len() - begun, left));
        left
    }

    fn deadline(&self) -> Option<Mono> {
        self.node.deadline()
    }
}

impl Node {
    /// Appends the state of all machines, for which every command has to be taken. Free buffers are dropped first: a
    /// state is without them, and node and replay have to go on alike.
    fn write_state(&mut self, out: &mut Vec<u8>) -> Result<(), NotWritten> {
        self.forget_free_buffers();
        append(self, out)
    }
}
