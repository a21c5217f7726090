//! What the core reports: typed facts with stable reason codes, and the answers to requests.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::addr::CanonicalAddr;
use crate::ids::{BlockHash, BootEpoch, ConnId, Height, LinkTag, NodeId, RequestId};
use crate::registry::MasternodeIndex;
use crate::time::Wall;

/// The number of a [`CloseReason`] of a later version; never that of a known one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnknownCode(u16);

macro_rules! reason_codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal $text:literal $hint:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$vdoc])* #[doc = concat!("Code ", stringify!($code), ", `", $text, "`: ", $hint, ".")] $variant,)*
            /// `unknown`: the peer gave a reason that this version does not know.
            Unknown(UnknownCode),
        }

        impl $name {
            /// Every known reason, in the order of their codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The number on the wire; never given to another reason.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self { $(Self::$variant => $code,)* Self::Unknown(UnknownCode(code)) => code }
            }

            /// The reason of a number; one that this version does not know keeps the number, over which the
            /// peer's signature is made.
            #[must_use]
            pub const fn from_code(code: u16) -> Self {
                match code { $($code => Self::$variant,)* _ => Self::Unknown(UnknownCode(code)) }
            }

            /// The stable name in logs, metrics and the API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* Self::Unknown(_) => "unknown" }
            }

            /// What happened, in words for an operator.
            #[must_use]
            pub const fn describe(self) -> &'static str {
                match self {
                    $(Self::$variant => $hint,)*
                    Self::Unknown(_) => "the peer gave a reason that this version does not know",
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

reason_codes! {
    /// Why a connection ended or a handshake was refused: one code on the wire, in logs, metrics and `/why`
    /// (rule R-1 of `core/PROTOCOL.md`).
    CloseReason {
        Duplicate = 1 "duplicate" "another link of this pair has the higher ballot and stays",
        Shutdown = 2 "shutdown" "the node is stopping",
        OperatorDisconnect = 3 "operator_disconnect" "the operator disconnected this peer",
        OperatorHold = 4 "operator_hold" "the operator of the other node keeps it apart from this one",
        Slow = 5 "slow" "the peer took no bytes for the write time-out, or its control lane is full",
        Silent = 6 "silent" "nothing was heard for the liveness time-out",
        HandshakeTimeout = 7 "handshake_timeout" "the handshake was not done in time",
        DialTimeout = 8 "dial_timeout" "the connection was not established in time",
        Evicted = 9 "evicted" "too many unauthenticated connections; this one was the oldest of the largest group",
        Ghost = 10 "ghost" "the link belonged to an earlier start of the peer",
        KnockLost = 11 "knock_lost" "the peer had this link and lost it, as its knock says",
        KnockDone = 12 "knock_done" "the knock was answered; nothing more to do on this connection",
        NotWanted = 13 "not_wanted" "this node has no use for a link to the peer",
        SlotsFull = 14 "slots_full" "all connection slots are taken",
        WrongMagic = 20 "wrong_magic" "the peer does not speak this protocol",
        WrongNetwork = 21 "wrong_network" "the peer belongs to another network",
        WrongGenesis = 22 "wrong_genesis" "the peer has another genesis file",
        VersionUnsupported = 23 "version_unsupported" "the two nodes have no protocol version in common",
        Downgrade = 24 "downgrade" "the signed versions differ from the preambles",
        BadHandshake = 25 "bad_handshake" "a handshake message was malformed or did not decrypt",
        BadSignature = 26 "bad_signature" "the identity's signature over this channel is wrong",
        WrongIdentity = 27 "wrong_identity" "another node answered at the address than the one expected",
        SelfConnection = 29 "self_connection" "the node reached itself",
        StaleEpoch = 30 "stale_epoch" "a later start of this key has been seen",
        KeyInUse = 31 "key_in_use" "another running process uses the same key",
        EpochInFuture = 32 "epoch_in_future" "the boot epoch is more than a day ahead: one of the two clocks is wrong",
        OrdinalOutOfRange = 33 "ordinal_out_of_range" "the dial ordinal is implausibly far ahead",
        BadRecord = 40 "bad_record" "a record was oversized, empty or did not decrypt",
        BadFrame = 41 "bad_frame" "a frame exceeded the limit of its kind or lane",
        BadMessage = 42 "bad_message" "a known message did not decode",
        UnexpectedMessage = 43 "unexpected_message" "a message that is not allowed in this state or on this lane",
        RejectHint = 50 "reject_hint" "an unauthenticated cleartext reject arrived: only a hint, anyone on the path can forge it",
        PeerClosed = 60 "peer_closed" "the peer closed without a word",
        ConnectionRefused = 61 "connection_refused" "nothing listens at the address",
        ConnectionReset = 62 "connection_reset" "the connection was reset",
        Unreachable = 63 "unreachable" "no route to the address",
        NetworkTimeout = 64 "network_timeout" "the operating system gave up on the connection",
        LocalResources = 65 "local_resources" "this machine is out of files, ports or buffers",
        NetworkError = 66 "network_error" "the operating system reported another error",
        Halted = 70 "halted" "this node halted; its log says why",
    }
}

/// Why a socket is gone, as the shell saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportCause {
    /// The shell closed it, as commanded.
    Commanded,
    /// End of stream from the peer.
    Eof,
    /// Nothing listens there.
    Refused,
    /// Reset or broken pipe.
    Reset,
    /// No route, network down, or not permitted.
    Unreachable,
    /// The kernel's own time-out.
    TimedOut,
    /// Out of descriptors, ports or memory on this machine.
    LocalResources,
    /// Anything else.
    Other,
}

impl TransportCause {
    /// The reason code of a close that nobody commanded.
    #[must_use]
    pub const fn reason(self) -> CloseReason {
        match self {
            Self::Commanded | Self::Eof => CloseReason::PeerClosed,
            Self::Refused => CloseReason::ConnectionRefused,
            Self::Reset => CloseReason::ConnectionReset,
            Self::Unreachable => CloseReason::Unreachable,
            Self::TimedOut => CloseReason::NetworkTimeout,
            Self::LocalResources => CloseReason::LocalResources,
            Self::Other => CloseReason::NetworkError,
        }
    }
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// This node.
    Us,
    /// The peer, with a goodbye or a refusal.
    Peer,
    /// The network or the operating system.
    Network,
}

impl ClosedBy {
    /// The stable name in logs and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Peer => "peer",
            Self::Network => "network",
        }
    }
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The peer dialed us.
    Inbound,
    /// We dialed the peer.
    Outbound,
}

impl Direction {
    /// The stable name in logs and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// Why a session was dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DialedBecause {
    /// The direction rule says so (rule D-1).
    Canonical,
    /// The side that should have dialed could not (rule D-4).
    Fallback,
    /// The operator asked for it.
    Manual,
}

impl DialedBecause {
    /// The stable name in logs and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Canonical => "canonical",
            Self::Fallback => "fallback",
            Self::Manual => "manual",
        }
    }
}

/// A fact. The shell turns it into log lines, metrics and server-sent events; the core never logs.
#[derive(Clone, Debug)]
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
    /// A dial did not lead to a session.
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
        /// Its content.
        payload: Bytes,
    },
    /// A fresh snapshot for health checks and scrapes, at most every 250 ms.
    Summary(Summary),
    /// Something an operator should know.
    Warning(Warning),
    /// The answer to a request.
    Reply {
        /// The request's id.
        id: RequestId,
        /// The answer.
        reply: Reply,
    },
    /// The node halts: it sends nothing any more. The shell shows the reason and exits with 1.
    Fatal(Fatal),
    /// Every connection is closed after [`Request::Stop`](crate::Request::Stop) or [`Event::Fatal`].
    Stopped,
}

/// What a knock was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Self, a live session, or a valid heartbeat younger than 35 s.
    Active,
    /// None of these.
    Inactive,
}

/// Something an operator should know and can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// An item signed with our key that this process did not make.
    ForeignSignature {
        /// The peer that brought it.
        via: NodeId,
    },
}

/// Why the node halted.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    Internal(&'static str),
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

/// What health checks and scrapes read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Masternodes active in this node's view, itself included if it is one.
    pub active_masternodes: usize,
    /// Live sessions.
    pub connected_peers: usize,
    /// Height of the newest final block.
    pub height: Height,
    /// Hash of that block.
    pub tip: BlockHash,
    /// Links of this node.
    pub links: LinkCounts,
    /// The median by which the peers' signed clocks are ahead of ours, in milliseconds (negative: behind).
    pub clock_offset_ms: i64,
}

/// Links of one node, counted from its one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounts {
    /// How many should stand.
    pub expected: usize,
    /// How many of the expected ones stand.
    pub up: usize,
    /// Live sessions that the peer dialed.
    pub inbound: usize,
    /// Live sessions that we dialed.
    pub outbound: usize,
    /// Authenticated connections beyond one a peer.
    pub duplicates: usize,
}

/// The answer to a [`Request`](crate::Request).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reply {
    /// To `Status`.
    Status(Box<Status>),
    /// To `Peers`: ordered by node id.
    Peers(Vec<PeerInfo>),
    /// To `Matrix`.
    Matrix(Box<Matrix>),
    /// To `Masternodes`: ordered as the registry.
    Masternodes(Vec<MasternodeInfo>),
    /// To `Why`.
    Why(Box<Why>),
    /// To `Connect`: a dial has begun.
    Dialing,
    /// To `Connect`: a live session stands already.
    AlreadyConnected(NodeId),
    /// To `Disconnect`: closed, and held apart.
    Disconnected(NodeId),
    /// To `Send`: how many peers it was queued for.
    Sent(usize),
    /// To `Stop`.
    Stopping,
    /// The request names no peer that this node knows.
    UnknownPeer,
    /// The request names more than one peer.
    AmbiguousPeer,
    /// The request names this very node.
    IsSelf,
    /// The order cannot be carried out now.
    Refused(&'static str),
}

/// This node in short.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its key.
    pub node: NodeId,
    /// Where others dial it.
    pub advertised: Option<CanonicalAddr>,
    /// Its position in the registry, if it is a masternode.
    pub masternode: Option<MasternodeIndex>,
    /// Boot epoch of this start.
    pub epoch: BootEpoch,
    /// What health checks see.
    pub summary: Summary,
    /// Totals since the start.
    pub counters: Counters,
}

/// Totals since the start: every one only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Dials made, knocks included.
    pub dials: u64,
    /// Knocks made.
    pub knocks: u64,
    /// Links that became live.
    pub links_up: u64,
    /// Live links that ended.
    pub links_down: u64,
    /// Inputs with a stale [`ConnId`].
    pub stale_inputs: u64,
    /// Clock readings that went backwards.
    pub clock_backwards: u64,
    /// Times that this process was frozen.
    pub freezes: u64,
    /// Frames of kinds that this version does not know.
    pub unknown_frames: u64,
    /// Inbound connections refused or evicted before they were authenticated.
    pub inbound_refused: u64,
    /// Heartbeats verified for the first time.
    pub heartbeats: u64,
    /// Heartbeats received again.
    pub heartbeat_repeats: u64,
    /// Heartbeats refused.
    pub heartbeats_invalid: u64,
}

/// One live session.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// The peer's key.
    pub node: NodeId,
    /// The remote end of the socket.
    pub remote: SocketAddr,
    /// Where the peer says it can be dialed.
    pub advertised: Option<CanonicalAddr>,
    /// Who dialed.
    pub direction: Direction,
    /// Why it was dialed.
    pub because: DialedBecause,
    /// When it became live.
    pub since: Wall,
    /// How long it has been live.
    pub age: Duration,
    /// The link's name, the same at both ends.
    pub session: LinkTag,
    /// Whether the peer is a registered masternode.
    pub masternode: Option<MasternodeIndex>,
    /// The newest height it has told.
    pub height: Height,
    /// The newest round-trip time, if one was measured.
    pub rtt: Option<Duration>,
    /// 0 (about to be closed) to 100 (prompt and drained).
    pub health: u8,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes handed to the socket.
    pub bytes_out: u64,
    /// Bytes waiting in the outbound lanes.
    pub queued_bytes: usize,
    /// Links of this peer that became live within the last hour, this one excepted.
    pub reconnects_1h: u32,
    /// The peer's software, as it says.
    pub agent: String,
}

/// One end of a link as its owner signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixLink {
    /// The end with the lower registry index.
    pub a: NodeId,
    /// The other end.
    pub b: NodeId,
    /// The end that dialed.
    pub dialer: NodeId,
}

/// A pair of masternodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// The end with the lower registry index.
    pub a: NodeId,
    /// The other end.
    pub b: NodeId,
}

/// A masternode in the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixNode {
    /// Its key.
    pub node: NodeId,
    /// Its address in the registry.
    pub addr: CanonicalAddr,
    /// Age of the newest heartbeat that the matrix uses; zero for this node, `None` if there is none
    /// younger than 35 s.
    pub heard: Option<Duration>,
}

/// The whole network's links as this node knows them from signed heartbeats (rule M-5).
#[derive(Clone, Debug)]
pub struct Matrix {
    /// All masternodes, as in the registry.
    pub nodes: Vec<MatrixNode>,
    /// Links that are up: both ends name the same session.
    pub links: Vec<MatrixLink>,
    /// Links that should stand among all registered masternodes.
    pub expected: usize,
    /// Pairs that neither end lists (or of which no end is heard).
    pub missing: Vec<Pair>,
    /// Pairs that only one end lists.
    pub one_sided: Vec<Pair>,
    /// Pairs whose ends name different sessions.
    pub split: Vec<Pair>,
    /// Nodes that count authenticated connections beyond one a peer, and how many.
    pub duplicate: Vec<(NodeId, u16)>,
    /// Links that the higher address dialed, and why.
    pub wrong_direction: Vec<(Pair, DialedBecause)>,
}

impl Matrix {
    /// One line: `91/91 links, 0 duplicate, 0 split, 0 one-sided, 0 wrong direction`.
    #[must_use]
    pub fn verdict(&self) -> String {
        format!(
            "{}/{} links, {} duplicate, {} split, {} one-sided, {} wrong direction",
            self.links.len(),
            self.expected,
            self.duplicate.len(),
            self.split.len(),
            self.one_sided.len(),
            self.wrong_direction.len()
        )
    }
}

/// A registered masternode and what this node knows of it.
#[derive(Clone, Debug)]
pub struct MasternodeInfo {
    /// Its position in the registry.
    pub index: MasternodeIndex,
    /// Its key.
    pub node: NodeId,
    /// Its address in the registry.
    pub addr: CanonicalAddr,
    /// Whether it is active in this node's view.
    pub activity: Activity,
    /// Wall time of its newest valid heartbeat, as it signed it.
    pub last_heartbeat: Option<Wall>,
    /// How long ago that heartbeat was verified here.
    pub heard: Option<Duration>,
    /// Boot epoch of that heartbeat.
    pub epoch: Option<BootEpoch>,
    /// Sequence of that heartbeat.
    pub sequence: Option<u64>,
    /// Other masternodes that have named its newest attested heartbeat.
    pub witnesses: Vec<NodeId>,
    /// Whether its newest attested heartbeat is at most two and a half intervals old (rule M-6).
    pub attested: bool,
    /// How long it has been active without a break in this node's view.
    pub active_for: Option<Duration>,
}

/// Why this node is, or is not, connected to a peer.
#[derive(Clone, Debug)]
pub struct Why {
    /// The peer, where it is known.
    pub peer: Option<NodeId>,
    /// Where it would be dialed.
    pub addr: Option<CanonicalAddr>,
    /// Stable name of the decision in force.
    pub decision: &'static str,
    /// The decision in words.
    pub text: String,
    /// The rule of `core/PROTOCOL.md` that it follows.
    pub rule: &'static str,
    /// When it came into force, if that is known.
    pub since: Option<Wall>,
    /// What happens next, and in how long.
    pub next: Option<(&'static str, Duration)>,
    /// The live session, if there is one.
    pub session: Option<PeerInfo>,
    /// The last attempts, newest first, in both directions.
    pub attempts: Vec<Attempt>,
}

/// One attempt to connect, and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it ended, or when it became live.
    pub at: Wall,
    /// Who dialed.
    pub direction: Direction,
    /// The intent it was dialed with: `canonical`, `fallback`, `manual` or `knock`.
    pub intent: &'static str,
    /// How it ended; `None` while it is live.
    pub end: Option<(CloseReason, ClosedBy)>,
}
