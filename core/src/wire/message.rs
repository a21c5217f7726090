//! Every message: its kind, the lane it travels on, its largest size, and its fields.

use bytes::Bytes;

use crate::addr::CanonicalAddr;
use crate::event::{CloseReason, DialedBecause, Direction};
use crate::ids::{
    BlockHash, BootEpoch, BootNonce, DialOrdinal, GenesisHash, Height, LinkTag, NodeId, SessionHash,
    Signature,
};
use crate::limits::{MAX_DATAGRAM, MAX_INTRODUCTION};
use crate::registry::{MAX_MASTERNODES, MasternodeIndex};
use crate::wire::preamble::{NetworkId, Version, VersionRange};

/// One of the four independent streams of a link, in strict order of precedence (rule W-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lane {
    /// Handshake, goodbye, ping, heartbeats, votes.
    Control = 0,
    /// Chunks of a proposed block.
    Payload = 1,
    /// Transactions, addresses, application messages: drops its oldest when full.
    Relay = 2,
    /// Blocks for a peer that catches up.
    Bulk = 3,
}

impl Lane {
    /// All lanes, most urgent first.
    pub const ALL: [Self; 4] = [Self::Control, Self::Payload, Self::Relay, Self::Bulk];

    /// The lane of a record's first byte.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Control),
            1 => Some(Self::Payload),
            2 => Some(Self::Relay),
            3 => Some(Self::Bulk),
            _ => None,
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal on $lane:ident, body at most $max:expr;)*) => {
        /// What a frame carries. Unknown kinds are skipped and counted (rule W-6).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Kind { $($(#[$doc])* $name = $code,)* }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The kind of a code.
            #[must_use]
            pub const fn from_code(code: u16) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }

            /// The code on the wire.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self { $(Self::$name => $code,)* }
            }

            /// The only lane on which the kind may travel.
            #[must_use]
            pub const fn lane(self) -> Lane {
                match self { $(Self::$name => Lane::$lane,)* }
            }

            /// Bytes of its body at most.
            #[must_use]
            pub const fn max_body(self) -> usize {
                match self { $(Self::$name => $max,)* }
            }
        }
    };
}

kinds! {
    /// [`Hello`], from the dialer.
    Hello = 1 on Control, body at most MAX_INTRODUCTION;
    /// [`HelloAck`], from the acceptor.
    HelloAck = 2 on Control, body at most MAX_INTRODUCTION;
    /// [`Goodbye`], the last frame of either side.
    Goodbye = 3 on Control, body at most 64;
    /// [`Ping`].
    Ping = 4 on Control, body at most 16;
    /// [`Pong`].
    Pong = 5 on Control, body at most 16;
    /// [`Heartbeat`].
    Heartbeat = 16 on Control, body at most 512 + MAX_MASTERNODES * 32;
    /// An opaque application message, to direct peers only.
    Datagram = 48 on Relay, body at most MAX_DATAGRAM;
}

/// The largest body of a kind that this version does not know.
pub const MAX_UNKNOWN_BODY: usize = MAX_DATAGRAM;

/// A decoded message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// See [`Hello`].
    Hello(Box<Hello>),
    /// See [`HelloAck`].
    HelloAck(Box<HelloAck>),
    /// See [`Goodbye`].
    Goodbye(Goodbye),
    /// See [`Ping`].
    Ping(Ping),
    /// See [`Pong`].
    Pong(Pong),
    /// See [`Heartbeat`].
    Heartbeat(Box<Heartbeat>),
    /// Opaque bytes for the application.
    Datagram(Bytes),
}

impl Message {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Hello(_) => Kind::Hello,
            Self::HelloAck(_) => Kind::HelloAck,
            Self::Goodbye(_) => Kind::Goodbye,
            Self::Ping(_) => Kind::Ping,
            Self::Pong(_) => Kind::Pong,
            Self::Heartbeat(_) => Kind::Heartbeat,
            Self::Datagram(_) => Kind::Datagram,
        }
    }
}

/// One start of a key's process. A higher epoch is a later start; two nonces at one epoch are two processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boot {
    /// Counts the starts.
    pub epoch: BootEpoch,
    /// Random.
    pub nonce: BootNonce,
}

/// What a handshake is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Intent {
    /// A lasting session.
    Session(DialedBecause),
    /// To make the canonical dialer dial (rule D-3); never becomes live.
    Knock,
}

impl Intent {
    /// The stable name in logs and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session(because) => because.as_str(),
            Self::Knock => "knock",
        }
    }
}

/// What a node is to the network, as it says itself; the registry decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Acts as a masternode.
    Masternode,
    /// Follows.
    Observer,
}

/// The value that decides which of two links of a pair stays (rule B-1). Compared field by field, in this
/// order; made only of facts that both ends signed, hence the same at both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// Boot epoch of the end with the lower key, then of the other.
    pub epochs: (BootEpoch, BootEpoch),
    /// The dial's ordinal.
    pub ordinal: DialOrdinal,
    /// Whether the canonical dialer dialed.
    pub dialer: DialerRank,
    /// The handshake hash.
    pub session: SessionHash,
}

/// Who dialed, as a ballot ranks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DialerRank {
    /// The other side: a fallback or an operator's dial.
    Other,
    /// The canonical dialer of the pair.
    Canonical,
}

/// What both ends tell of themselves in the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// The node's key.
    pub node: NodeId,
    /// Where it can be dialed.
    pub advertised: Option<CanonicalAddr>,
    /// This start of its process.
    pub boot: Boot,
    /// The highest start of the *other* end's key that it has seen.
    pub seen: Option<Boot>,
    /// The versions it speaks.
    pub versions: VersionRange,
    /// The version of this link, chosen from both preambles.
    pub chosen: Version,
    /// Optional abilities; unknown bits are ignored.
    pub features: u64,
    /// The network.
    pub network: NetworkId,
    /// The genesis file.
    pub genesis: GenesisHash,
    /// Height of its newest final block.
    pub height: Height,
    /// Hash of that block.
    pub tip: BlockHash,
    /// Its role.
    pub role: Role,
    /// Its software: at most 32 printable ASCII characters.
    pub agent: String,
}

/// The dialer's proof of identity (rule H-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Who dials.
    pub from: Introduction,
    /// Whom it expects to answer; none if it knows only the address. Another acceptor refuses.
    pub to: Option<NodeId>,
    /// 1 + the highest ordinal seen for this pair.
    pub ordinal: DialOrdinal,
    /// What for.
    pub intent: Intent,
    /// With a knock: the knocker's register for this pair.
    pub register: Option<Ballot>,
    /// Over `signing::hello`.
    pub signature: Signature,
}

/// The acceptor's proof of identity, and its answer (rule H-4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloAck {
    /// Who answers.
    pub from: Introduction,
    /// The highest ordinal that it has seen for this pair, this dial's included.
    pub highest: DialOrdinal,
    /// The answer.
    pub answer: Answer,
    /// Over `signing::hello_ack`.
    pub signature: Signature,
}

/// What a `Hello` is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The link is live at the acceptor.
    Accepted,
    /// To a knock: the canonical dialer dials at once.
    WillDial,
    /// To a knock: it keeps the link that stands.
    HaveSession,
    /// Refused, with the reason.
    Refused(CloseReason),
}

/// The last frame of a side that closes in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goodbye {
    /// Why it closes.
    pub reason: CloseReason,
    /// The highest dial ordinal it knows of the pair.
    pub highest: DialOrdinal,
}

/// Asks for a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// Repeated in the answer.
    pub token: u64,
}

/// A sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The ping's.
    pub token: u64,
}

/// A masternode's signed statement that it lives, what it is linked to, and whom it has heard (rule M-1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The network.
    pub network: NetworkId,
    /// Its signer: a registered masternode.
    pub signer: NodeId,
    /// The signer's boot epoch.
    pub epoch: BootEpoch,
    /// Counts the heartbeats of this epoch, from 1.
    pub sequence: u64,
    /// The signer's wall clock.
    pub wall: crate::time::Wall,
    /// Height of its newest final block.
    pub height: Height,
    /// Hash of that block.
    pub tip: BlockHash,
    /// Its live links to masternodes, by ascending index.
    pub links: Vec<LinkEntry>,
    /// Authenticated connections beyond one a peer.
    pub duplicates: u16,
    /// Other masternodes' newest heartbeats whose signatures it verified itself, by ascending index.
    pub witnessed: Vec<Witness>,
    /// Over `signing::heartbeat`.
    pub signature: Signature,
}

/// A live link as one end signs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkEntry {
    /// The other end.
    pub peer: MasternodeIndex,
    /// Who dialed, seen from the signer.
    pub direction: Direction,
    /// Why it was dialed.
    pub because: DialedBecause,
    /// The link's name.
    pub session: LinkTag,
}

/// Another masternode's heartbeat that the signer verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Witness {
    /// Its signer.
    pub signer: MasternodeIndex,
    /// Its sequence.
    pub sequence: u64,
    /// The first eight bytes of the SHA-256 of its signing bytes.
    pub digest: [u8; 8],
}
