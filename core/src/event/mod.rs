//! What the core reports: typed facts with stable reason codes, and the answers to requests.

mod abuse;
mod chain;
mod reason;
mod reply;
mod slots;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use crate::addr::CanonicalAddr;
use crate::ban::{Ban, BanEnd, BanTarget};
use crate::ids::{BlockHash, BootEpoch, ConnId, Height, LinkTag, NodeId, RequestId, Round};
use crate::journal::RecordKey;
use crate::time::Wall;

pub use abuse::{Enforce, Excessive, Handling, Offence, RateUnit, TrafficClass};
pub use chain::{
    CommittedVia, ConsensusInfo, Evidence, MempoolInfo, NotProducing, Producing, SignedProposal, Statement,
    StatementKind, Step, SyncState, TxState,
};
pub use reason::{CloseReason, ClosedBy, DialedBecause, Direction, TransportCause, UnknownCode};
pub use reply::{
    AddressCounts, Attempt, Counters, Drain, LinkCounts, MasternodeInfo, Matrix, MatrixLink, MatrixNode,
    Next, Pair, PeerInfo, Pending, Reply, Status, Summary, Why,
};
pub use slots::{SlotClass, SlotCount, SlotCounts};

/// A fact. The shell turns it into log lines, metrics and server-sent events; the core never logs.
#[derive(Clone, Debug, Hash, serde::Deserialize, serde::Serialize)]
#[non_exhaustive]
pub enum Event {
    /// The node is set up; emitted once, before anything else.
    Started {
        /// Boot epoch of this start.
        epoch: BootEpoch,
        /// Bytes that the core can hold at most, from [`Limits`](crate::Limits).
        worst_case_bytes: usize,
    },
    /// A link became live.
    LinkUp {
        /// Its connection.
        conn: ConnId,
        /// The peer that proved its identity.
        peer: NodeId,
        /// The remote end of the socket.
        remote: SocketAddr,
        /// Who dialed.
        direction: Direction,
        /// Why it was dialed.
        because: DialedBecause,
        /// The link's name, the same at both ends.
        session: LinkTag,
    },
    /// A live link ended. Emitted when the decision falls, once a link.
    LinkDown {
        /// Its connection.
        conn: ConnId,
        /// The peer.
        peer: NodeId,
        /// Why.
        reason: CloseReason,
        /// Who ended it.
        by: ClosedBy,
        /// How long it had been live.
        lasted: Duration,
    },
    /// A dial did not lead to a session. Candidates from the address book are only counted: many of them are
    /// hearsay, and the next is tried instead.
    DialFailed {
        /// The peer, where the address is known to belong to one.
        peer: Option<NodeId>,
        /// Where we dialed.
        addr: CanonicalAddr,
        /// Why it failed.
        reason: CloseReason,
        /// Who ended it.
        by: ClosedBy,
        /// Failures in a row; shells log the first of a row and count the others.
        failures: u32,
        /// When it is tried again, if it is.
        retry_in: Option<Duration>,
    },
    /// An inbound handshake did not lead to a session. A remote can cause these at will: throttle them.
    InboundFailed {
        /// Where it came from.
        from: SocketAddr,
        /// The identity, where it was proven.
        peer: Option<NodeId>,
        /// Why.
        reason: CloseReason,
        /// Who ended it.
        by: ClosedBy,
    },
    /// The passive side asked the canonical dialer to dial (rule D-3).
    Knocked {
        /// The peer.
        peer: NodeId,
        /// Whether we knocked or were knocked at.
        direction: Direction,
        /// What was answered.
        answer: KnockAnswer,
    },
    /// A masternode became active or inactive in this node's view (rule M-4).
    Activity {
        /// The masternode.
        node: NodeId,
        /// Its new state.
        activity: Activity,
    },
    /// A masternode's heartbeat was verified for the first time.
    Heartbeat {
        /// Its signer.
        signer: NodeId,
        /// Its sequence within the boot epoch.
        sequence: u64,
        /// The peer that brought it.
        via: NodeId,
    },
    /// The periodic check of all peers (rule D-6).
    PeerCheck {
        /// Links that should stand.
        expected: usize,
        /// Links that stand.
        up: usize,
    },
    /// An opaque message from a peer to the application.
    Datagram {
        /// The peer that sent it.
        from: NodeId,
        /// Its content: part of a larger buffer, so copy what is kept for long.
        payload: Bytes,
    },
    /// A final block is durable here and with the application.
    BlockCommitted {
        /// Its height.
        height: Height,
        /// Its hash.
        hash: BlockHash,
        /// The round in which it was decided.
        round: Round,
        /// Start of its slot.
        slot: Wall,
        /// Who proposed it.
        proposer: NodeId,
        /// Bytes of its payload.
        payload_bytes: usize,
        /// How it came here.
        via: CommittedVia,
    },
    /// This node proposes a block.
    Proposed {
        /// Its height.
        height: Height,
        /// The round.
        round: Round,
        /// Its hash.
        block: BlockHash,
    },
    /// A round other than the first begins: the one before decided nothing.
    RoundStarted {
        /// The height.
        height: Height,
        /// The round.
        round: Round,
        /// Its leader.
        leader: NodeId,
    },
    /// Whether this node proposes blocks, and why not, has changed.
    Producing(Producing),
    /// Catching up has begun, goes on, or is done.
    Sync(SyncState),
    /// A masternode has signed two statements that contradict each other (rule C-16).
    Equivocation(Box<Evidence>),
    /// A ban is in force from now on.
    Banned(Box<Ban>),
    /// A ban is no longer in force.
    BanEnded {
        /// The ban.
        ban: Box<Ban>,
        /// Why it ended.
        end: BanEnd,
    },
    /// A peer exceeds the rate of a class of traffic. Told at the first excess of a row; counted in `Counters`.
    RateExceeded {
        /// The peer.
        peer: NodeId,
        /// The class.
        class: TrafficClass,
        /// Whether the limit is enforced.
        enforce: Enforce,
    },
    /// A peer broke a rule that no state of ours can explain (rule A-3). Told when its score passes a quarter, a
    /// half and the whole of the bound.
    Misbehaved {
        /// The peer.
        peer: NodeId,
        /// How.
        offence: Offence,
        /// Its score now.
        score: u32,
        /// The score at which it is banned, or slowed if it is a masternode.
        bound: u32,
    },
    /// A fresh snapshot for health checks and scrapes, at most every 250 ms.
    Summary(Summary),
    /// A probe of the address that a peer advertises is over (rule P-6).
    Probed {
        /// The peer.
        peer: NodeId,
        /// Its address.
        addr: CanonicalAddr,
        /// [`CloseReason::ProbeDone`] if the address leads to the peer, else how the dial ended.
        reason: CloseReason,
    },
    /// A heartbeat of a sample ([`sample_period`](crate::sample_period)), this node's own or one that it found valid:
    /// its body as it goes over the wire. Whoever keeps these can show later who was there, and who saw it (rule M-6).
    Sample(Bytes),
    /// A peer has announced to be away (rule L-5), or took that back, or has stayed away for longer.
    Absence {
        /// The peer.
        peer: NodeId,
        /// What it is.
        absence: PeerAbsence,
    },
    /// Something an operator should know.
    Warning(Warning),
    /// The answer to a request.
    Reply {
        /// The request's id.
        id: RequestId,
        /// The answer.
        reply: Reply,
    },
    /// The node halts: it sends nothing any more but goodbyes on live links. The shell shows the reason and exits with 1.
    Fatal(Fatal),
    /// Every connection is closed and every record durable, after [`Request::Stop`](crate::Request::Stop) or
    /// [`Event::Fatal`].
    Stopped,
}

/// What became of a peer's planned absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub enum PeerAbsence {
    /// It will be away for so long at most.
    Announced(Duration),
    /// It stays after all.
    TakenBack,
    /// It is still away, and missed from now on.
    Overdue,
}

/// What a knock was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub enum KnockAnswer {
    /// The canonical dialer dials at once.
    WillDial,
    /// It keeps the link that stands.
    HaveSession,
}

impl KnockAnswer {
    /// The stable name in logs and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WillDial => "will_dial",
            Self::HaveSession => "have_session",
        }
    }
}

/// A masternode as this node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub enum Activity {
    /// Self, a live session, or a valid heartbeat younger than 35 s.
    Active,
    /// None of these.
    Inactive,
}

/// Something an operator should know and can act on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[non_exhaustive]
pub enum Warning {
    /// This process did not run for a while; deadlines were shifted.
    Frozen {
        /// How late the wake-up was.
        late: Duration,
        /// How much of it was forgiven.
        forgiven: Duration,
    },
    /// The shell's monotonic clock went backwards.
    ClockBackwards(Duration),
    /// A peer's signed wall time is far from ours: its clock or ours.
    ClockSkew {
        /// The peer.
        peer: NodeId,
        /// The distance.
        skew: Duration,
        /// How many masternodes disagree with our clock at present.
        disagreeing: usize,
        /// How many agree.
        agreeing: usize,
    },
    /// A boot epoch was refused as more than a day ahead: one of two clocks is wrong (rule E-3).
    EpochInFuture {
        /// The peer.
        peer: NodeId,
        /// Who refused: the peer ours (our clock is likely to be wrong), or we the peer's.
        by: ClosedBy,
    },
    /// Peers have seen a later start of our key: we raise our boot epoch and try again.
    EpochRaised {
        /// The epoch now in use.
        to: BootEpoch,
    },
    /// Another process with our key is live at this peer.
    KeyInUse {
        /// The peer that says so.
        peer: NodeId,
        /// The other process's epoch.
        epoch: BootEpoch,
    },
    /// A configured or gossiped address turned out to be our own; it is not dialed again.
    OwnAddress(CanonicalAddr),
    /// A peer is incompatible (network, genesis, version), by its own proven word.
    Incompatible {
        /// Where it is.
        addr: SocketAddr,
        /// In which way.
        reason: CloseReason,
    },
    /// A third of the registered peers broke the same rule: the fault is likely to be ours, and nobody is
    /// punished for it (rule A-5).
    SelfSuspected {
        /// The rule.
        offence: Offence,
        /// How many registered masternodes.
        peers: usize,
    },
    /// A ban of the operator's cuts this node off from registered masternodes.
    MasternodesBanned {
        /// On whom.
        target: BanTarget,
        /// How many registered masternodes it concerns.
        masternodes: usize,
        /// How many, this node included if it is one, no ban keeps it from.
        left: usize,
        /// How many it takes to decide a block.
        quorum: usize,
    },
    /// A durable cache did not decode; this start goes on without it.
    CacheSetAside(RecordKey),
    /// A quorum of the masternodes sees this node at another IP address than the one it advertises.
    SeenElsewhere {
        /// What this node advertises.
        advertised: CanonicalAddr,
        /// Where they see it.
        seen: IpAddr,
    },
    /// An item signed with our key that this process did not make.
    ForeignSignature {
        /// The peer that brought it.
        via: NodeId,
    },
}

/// Why the node halted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[non_exhaustive]
pub enum Fatal {
    /// The same key runs in another, later process.
    KeyInUse {
        /// The peer that proved it.
        peer: NodeId,
        /// Our epoch.
        ours: BootEpoch,
        /// The other process's epoch.
        other: BootEpoch,
    },
    /// A record could not be made durable.
    PersistFailed,
    /// An invariant of our own does not hold.
    Internal(#[serde(deserialize_with = "crate::recorded::word")] crate::recorded::Word),
}

impl Fatal {
    /// The stable reason code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::KeyInUse { .. } => "key_in_use",
            Self::PersistFailed => "persist_failed",
            Self::Internal(_) => "internal",
        }
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyInUse { peer, ours, other } => write!(
                f,
                "the same node key runs in another process: {peer} has seen boot epoch {other}, ours is {ours}. \
                 Stop one of the two; a key must never run twice"
            ),
            Self::PersistFailed => f.write_str(
                "a record could not be made durable; nothing that depends on it was sent. \
                 Check the disk of the data directory, then start again",
            ),
            Self::Internal(what) => write!(f, "internal error: {what}"),
        }
    }
}
