//! One connection: from the first byte to the last. Records become a session, the session's frames a
//! handshake, the handshake a live link. What a link may do in the network is decided above, in `net`.

pub(crate) mod arrivals;
pub(crate) mod handshake;
pub(crate) mod liveness;
pub(crate) mod outbound;
pub(crate) mod quality;
pub(crate) mod rates;

use std::net::SocketAddr;

use crate::addr::CanonicalAddr;
use crate::crypto::{HANDSHAKE_REPLY_OVERHEAD, Handshake, Session};
use crate::event::{CloseReason, ClosedBy, DialedBecause, Direction};
use crate::ids::{ConnId, Height, NodeId, SessionHash, Signature};
use crate::limits::{CONNECTION_BYTES, Limits};
use crate::link::liveness::Vitals;
use crate::link::outbound::{Frame, Outbound, Queued};
use crate::link::rates::Meter;
use crate::time::{Mono, Wall};
use crate::wire::frame::FrameReader;
use crate::wire::message::{Ballot, Boot, Hello, Intent, Lane};
use crate::wire::preamble::{PREAMBLE, Preamble};
use crate::wire::record::RecordReader;

/// Length of the acceptor's reply: preamble, handshake message, and the preamble repeated inside it.
pub(crate) const REPLY: usize = PREAMBLE + HANDSHAKE_REPLY_OVERHEAD + PREAMBLE;

/// Whose idea a connection was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) enum Origin {
    /// We dialed.
    Dialed {
        addr: CanonicalAddr,
        /// The key that must be proven, if it is known.
        expect: Option<NodeId>,
        intent: Intent,
    },
    /// It came in.
    Accepted,
}

/// An established channel and what it is reading.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Channel {
    #[serde(skip, default = "crate::crypto::replayed_session")]
    pub(crate) session: Box<dyn Session>,
    pub(crate) hash: SessionHash,
    pub(crate) theirs: Preamble,
    pub(crate) records: RecordReader,
    frames: [FrameReader; 4],
}

impl Channel {
    pub(crate) fn new(
        session: Box<dyn Session>,
        hash: SessionHash,
        theirs: Preamble,
        records: RecordReader,
    ) -> Self {
        Self { session, hash, theirs, records, frames: Default::default() }
    }

    /// Frees what is held of records and frames that never were complete: nothing is read any more.
    pub(crate) fn stop_reading(&mut self) {
        self.records = RecordReader::new();
        self.frames = Default::default();
    }

    pub(crate) fn reader(&mut self, lane: Lane) -> &mut FrameReader {
        let [control, payload, relay, bulk] = &mut self.frames;
        match lane {
            Lane::Control => control,
            Lane::Payload => payload,
            Lane::Relay => relay,
            Lane::Bulk => bulk,
        }
    }
}

/// What a live link knows beyond its channel.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Peering {
    pub(crate) peer: NodeId,
    pub(crate) boot: Boot,
    /// The proof of the boot, until it is kept with the peer.
    pub(crate) proof: Option<Box<Signature>>,
    pub(crate) ballot: Ballot,
    pub(crate) because: DialedBecause,
    pub(crate) advertised: Option<CanonicalAddr>,
    /// Where the peer sees us.
    pub(crate) observed: Option<CanonicalAddr>,
    pub(crate) agent: String,
    pub(crate) height: Height,
    pub(crate) since: Mono,
    pub(crate) since_wall: Wall,
    /// Whether the peer has shown that it considers the link live, too.
    pub(crate) confirmed: Confirmed,
    pub(crate) vitals: Vitals,
    pub(crate) meter: Meter,
    pub(crate) paused: Option<Pause>,
}

/// A live link that is not read for a while, because its peer sends too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Pause {
    pub(crate) since: Mono,
    pub(crate) until: Mono,
}

/// Whether both ends are known to hold a link as live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) enum Confirmed {
    /// The acceptor has answered and heard nothing yet.
    NotYet,
    /// Both.
    ByBoth,
}

/// How far a connection has come.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
pub(crate) enum Phase {
    /// We dial; the socket is not connected.
    Dialing,
    /// We dialed; our preamble and key are sent.
    AwaitReply(#[serde(skip, default = "crate::crypto::replayed_handshake")] Box<dyn Handshake>),
    /// They dialed; nothing has come that is complete.
    AwaitPreamble,
    /// We dialed; the channel stands, our `Hello` waits for a durable boot record.
    HelloParked(Box<Channel>),
    /// They dialed; the channel stands.
    AwaitHello(Box<Channel>),
    /// They dialed; their `Hello` waits for our durable boot record.
    AnswerParked(Box<Channel>, Box<Hello>),
    /// We dialed; our `Hello` is sent.
    AwaitAck(Box<Channel>, Box<Hello>),
    /// Both identities are proven and the link is admitted.
    Live(Box<Channel>, Box<Peering>),
    /// Commanded to close; what waits is still sent.
    Closing(Option<Box<Channel>>),
}

/// One connection.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Link {
    pub(crate) conn: ConnId,
    pub(crate) remote: SocketAddr,
    pub(crate) origin: Origin,
    pub(crate) phase: Phase,
    /// Bytes before there is a channel, in (partial) and out.
    pub(crate) raw_in: Vec<u8>,
    pub(crate) raw_out: Vec<u8>,
    pub(crate) out: Outbound,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// The proven identity, live or not.
    pub(crate) peer: Option<NodeId>,
    /// How it ended, once that is decided.
    pub(crate) end: Option<(CloseReason, ClosedBy)>,
}

impl Link {
    pub(crate) fn new(conn: ConnId, remote: SocketAddr, origin: Origin) -> Self {
        let phase = match origin {
            Origin::Dialed { .. } => Phase::Dialing,
            Origin::Accepted => Phase::AwaitPreamble,
        };
        Self {
            conn,
            remote,
            origin,
            phase,
            raw_in: Vec::new(),
            raw_out: Vec::new(),
            out: Outbound::default(),
            bytes_in: 0,
            bytes_out: 0,
            peer: None,
            end: None,
        }
    }

    pub(crate) const fn direction(&self) -> Direction {
        match self.origin {
            Origin::Dialed { .. } => Direction::Outbound,
            Origin::Accepted => Direction::Inbound,
        }
    }

    pub(crate) fn peering(&self) -> Option<&Peering> {
        match &self.phase {
            Phase::Live(_, peering) => Some(peering),
            _ => None,
        }
    }

    pub(crate) fn peering_mut(&mut self) -> Option<&mut Peering> {
        match &mut self.phase {
            Phase::Live(_, peering) => Some(peering),
            _ => None,
        }
    }

    pub(crate) const fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing(_))
    }

    pub(crate) fn channel_mut(&mut self) -> Option<&mut Channel> {
        match &mut self.phase {
            Phase::HelloParked(channel)
            | Phase::AwaitHello(channel)
            | Phase::AnswerParked(channel, _)
            | Phase::AwaitAck(channel, _)
            | Phase::Live(channel, _)
            | Phase::Closing(Some(channel)) => Some(channel),
            Phase::Dialing | Phase::AwaitReply(_) | Phase::AwaitPreamble | Phase::Closing(None) => None,
        }
    }

    pub(crate) fn queue(&mut self, lane: Lane, frame: Frame, limits: &Limits) -> Queued {
        self.out.push(lane, frame, limits)
    }

    /// Drops what waits and has not been begun: this node has stopped, a goodbye at most follows.
    pub(crate) fn fall_silent(&mut self) {
        self.raw_out = Vec::new();
        self.out.abandon();
    }

    /// Bytes that wait to be taken by [`Link::transmit`].
    pub(crate) fn waiting(&self) -> usize {
        self.raw_out.len() + self.out.bytes()
    }

    /// Appends at most `budget` bytes to `out`; what waits is sealed only here.
    pub(crate) fn transmit(&mut self, budget: usize, out: &mut Vec<u8>) {
        let begun = out.len();
        if !self.raw_out.is_empty() {
            if self.raw_out.len() > budget {
                return;
            }
            out.append(&mut self.raw_out);
            self.raw_out = Vec::new();
        }
        let room = budget - (out.len() - begun);
        let mut lanes = std::mem::take(&mut self.out);
        if let Some(channel) = self.channel_mut() {
            lanes.seal(channel.session.as_mut(), room, out);
        }
        self.out = lanes;
        self.bytes_out += (out.len() - begun) as u64;
    }
}

/// A connection's own state, its boxes, the cleartext of its opening, and its timer.
const _: () = {
    const BOXES: usize = size_of::<Channel>() + size_of::<Peering>() + size_of::<Hello>();
    assert!(2 * size_of::<Link>() + BOXES + 2 * 2 * REPLY + 512 <= CONNECTION_BYTES);
};
