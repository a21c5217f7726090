//! What happened: a running hash over everything, which two runs of one seed must share (contract C7), and
//! the last events in a form that people read.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use timed_core::{Command, ConnId, Event, RecordKey, Request, Ticket, TransportCause};

use super::application::Answer;
use super::clock::SimTime;
use super::host::HostId;
use crate::checksum::Sum;

/// Events kept for the report of a failure.
const KEPT: usize = 400;
/// The hash of everything that happened in a world so far.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceHash(u64);

impl fmt::Debug for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Started,
    Exited(String),
    Accepted(ConnId, SocketAddr),
    Dialed(ConnId),
    Data(ConnId, usize),
    Closed(ConnId, TransportCause),
    Persisted(Ticket),
    PersistFailed(Ticket),
    Tick,
    Request(Request),
    Answer(Answer),
    Command(Box<Command>),
    Sent(ConnId, usize),
    Fault(String),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("starts"),
            Self::Exited(why) => write!(f, "exits: {why}"),
            Self::Accepted(conn, from) => write!(f, "-> accept {conn} from {from}"),
            Self::Dialed(conn) => write!(f, "-> Dialed {conn}"),
            Self::Data(conn, len) => write!(f, "-> Data {conn} {len} bytes"),
            Self::Closed(conn, cause) => write!(f, "-> Closed {conn} {cause:?}"),
            Self::Persisted(ticket) => write!(f, "-> Persisted {ticket}"),
            Self::PersistFailed(ticket) => write!(f, "-> PersistFailed {ticket}"),
            Self::Tick => f.write_str("-> Tick"),
            Self::Answer(answer) => answer_line(f, answer),
            Self::Request(Request::Submit(bytes)) => write!(f, "-> Request Submit {} bytes", bytes.len()),
            Self::Request(request) => write!(f, "-> Request {request:?}"),
            Self::Command(command) => write!(f, "{}", Spelt(command)),
            Self::Sent(conn, len) => write!(f, "<- {len} bytes on {conn}"),
            Self::Fault(what) => write!(f, "FAULT {what}"),
        }
    }
}

/// An answer with its bytes counted instead of shown.
fn answer_line(f: &mut fmt::Formatter<'_>, answer: &Answer) -> fmt::Result {
    match answer {
        Answer::Produced { height, round, payload, stale } => {
            let bytes = payload.as_ref().map(Bytes::len);
            write!(f, "-> Produced {height}/{round} {bytes:?} bytes, stale {stale:?}")
        }
        Answer::Validated { block, verdict } => write!(f, "-> Validated {block:?} {verdict:?}"),
        Answer::Committed { height, registry_changes, included } => {
            write!(f, "-> Committed {height}, {} included, {registry_changes:?}", included.len())
        }
        Answer::Loaded { load, blocks } => {
            let first = blocks.first().map(|block| block.height.0);
            write!(f, "-> Loaded {load}, {} blocks from {first:?}", blocks.len())
        }
        Answer::Resolved { seed, addrs } => write!(f, "-> Resolved {seed} {addrs:?}"),
    }
}

/// A command with its bytes counted instead of shown.
struct Spelt<'a>(&'a Command);

impl fmt::Display for Spelt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        command_line(f, self.0)
    }
}

fn command_line(f: &mut fmt::Formatter<'_>, command: &Command) -> fmt::Result {
    match command {
        Command::Event(event) => write!(f, "   {event:?}"),
        Command::Persist { ticket, key, record } if *key != RecordKey::Boot => {
            write!(f, "<- Persist {ticket} {key:?}, {} bytes", record.len())
        }
        Command::Produce { height, round, slot, by, max_bytes, transactions } => {
            let waiting = transactions.len();
            write!(f, "<- Produce {height}/{round} slot {} by {by:?}, {waiting} of {max_bytes} bytes", slot.0)
        }
        Command::Validate { block, height, payload, by } => {
            write!(f, "<- Validate {height} {block:?}, {} bytes by {by:?}", payload.len())
        }
        Command::Commit { ticket, hash, block, bytes, pace } => {
            let header = &block.block.header;
            let (height, round, slot) = (header.height, block.certificate.round, header.slot.0);
            let bytes = bytes.len();
            write!(f, "<- Commit {ticket} {height}/{round} {hash:?} slot {slot}, {bytes} bytes, {pace:?}")
        }
        command => write!(f, "<- {command:?}"),
    }
}

/// The running hash and the last events.
#[derive(Debug)]
pub(crate) struct Trace {
    sum: Sum,
    echo: Echo,
    ring: VecDeque<(SimTime, Option<HostId>, What)>,
}

/// Whether everything is printed as it happens: `TIMED_TRACE` is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Echo {
    On,
    Off,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self {
            sum: Sum::new(0),
            echo: if std::env::var_os("TIMED_TRACE").is_some() { Echo::On } else { Echo::Off },
            ring: VecDeque::with_capacity(KEPT),
        }
    }

    /// Takes note of something at a host, or in the world at large.
    pub(crate) fn note(&mut self, at: SimTime, host: Option<HostId>, what: What) {
        self.place(at, host);
        let conn = |kind: u64, conn: ConnId, number: usize| {
            let id = u64::from(conn.index()) << 32 | u64::from(conn.generation());
            (kind, id, number as u64)
        };
        let numbers = match &what {
            What::Data(id, len) => conn(1, *id, *len),
            What::Sent(id, len) => conn(2, *id, *len),
            What::Tick => (4, 0, 0),
            other => {
                self.sum.spell(other);
                (5, 0, 0)
            }
        };
        self.sum = self.sum.word(numbers.0).word(numbers.1).word(numbers.2);
        self.keep(at, host, what);
    }

    /// Takes note of a command.
    pub(crate) fn command(&mut self, at: SimTime, host: HostId, command: &Command) {
        self.place(at, Some(host));
        // Frequent, and of little interest to who reads a failure.
        let dull = match command {
            Command::Send { conn } => {
                self.sum = self.sum.word(3).word(conn.index().into()).word(conn.generation().into());
                true
            }
            Command::Event(Event::Heartbeat { signer, sequence, via }) => {
                self.sum = self.sum.bytes(&signer.0).word(*sequence).bytes(&via.0);
                true
            }
            Command::Event(Event::Sample(bytes)) => {
                self.sum = self.sum.bytes(bytes);
                true
            }
            Command::Persist { ticket, key, record } => {
                self.sum.spell(&format_args!("{ticket} {key:?}"));
                self.sum = self.sum.bytes(record);
                false
            }
            other => {
                self.sum.spell(&Spelt(other));
                matches!(other, Command::Event(Event::Summary(_)))
            }
        };
        if !dull {
            self.keep(at, Some(host), What::Command(Box::new(command.clone())));
        }
    }

    /// Takes the bytes that go over the wire.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.sum = self.sum.bytes(bytes);
    }

    /// The hash so far.
    pub(crate) const fn hash(&self) -> TraceHash {
        TraceHash(self.sum.finish())
    }

    fn place(&mut self, at: SimTime, host: Option<HostId>) {
        self.sum = self.sum.word(at.0).word(host.map_or(u64::MAX, |host| host.0 as u64));
    }

    fn keep(&mut self, at: SimTime, host: Option<HostId>, what: What) {
        if self.echo == Echo::On {
            eprint!("{}", line(at, host, &what));
        }
        if self.ring.len() == KEPT {
            self.ring.pop_front();
        }
        self.ring.push_back((at, host, what));
    }

    /// The last `count` events, oldest first, one a line.
    pub(crate) fn last(&self, count: usize) -> String {
        let mut text = String::new();
        for (at, host, what) in self.ring.iter().skip(self.ring.len().saturating_sub(count)) {
            text.push_str(&line(*at, *host, what));
        }
        text
    }
}

/// One event in a line that is not too long to read.
fn line(at: SimTime, host: Option<HostId>, what: &What) -> String {
    let host = host.map_or_else(|| "world".to_owned(), |host| host.to_string());
    let mut line = format!("  {at} {host:>5} {what}");
    if let Some((cut, _)) = line.char_indices().nth(360) {
        line.truncate(cut);
        line.push('…');
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_knows_order_time_and_bytes() {
        let run = |steps: &[(u64, &[u8])]| {
            let mut trace = Trace::new();
            for (at, bytes) in steps {
                trace.note(SimTime(*at), Some(HostId(1)), What::Tick);
                trace.bytes(bytes);
            }
            trace.hash()
        };
        let base = run(&[(1, b"a"), (2, b"b")]);
        assert_eq!(base, run(&[(1, b"a"), (2, b"b")]));
        assert_ne!(base, run(&[(1, b"b"), (2, b"a")]));
        assert_ne!(base, run(&[(1, b"a"), (3, b"b")]));
    }

    #[test]
    fn the_last_events_are_there_to_read() {
        let mut trace = Trace::new();
        for ticket in 0..1000 {
            trace.note(SimTime(ticket), Some(HostId(3)), What::Persisted(Ticket(ticket)));
        }
        let last = trace.last(2);
        assert_eq!(last.lines().count(), 2);
        assert!(last.ends_with("n3 -> Persisted 999\n"), "{last}");
    }
}
