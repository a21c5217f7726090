//! Every message: its kind, the lane it travels on, its largest size, and its fields.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::addr::CanonicalAddr;
use crate::event::{CloseReason, DialedBecause, Direction};
use crate::ids::{
    BlockHash, BootEpoch, BootNonce, DialOrdinal, GenesisHash, Height, LinkTag, NodeId, RegistryTag, Round,
    SessionHash, Signature, TxId,
};
use crate::limits::{
    CHUNK, MAX_CERTIFICATE, MAX_CHUNKS, MAX_DATAGRAM, MAX_INTRODUCTION, MAX_OFFERED, MAX_TOLD,
    MAX_TRANSACTION, PART, TOLD_BYTES,
};
use crate::registry::{MAX_MASTERNODES, MasternodeIndex};
use crate::seats::SeatSet;
use crate::wire::block::{Certificate, Header, Outline, VoteKind};
use crate::wire::peers::{Absence, GetPeers, PeerAddress};
use crate::wire::preamble::{NetworkId, Version, VersionRange};

pub use crate::wire::lane::Lane;

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
    /// [`Absence`].
    Absence = 6 on Control, body at most 16;
    /// [`Heartbeat`].
    Heartbeat = 16 on Control, body at most 512 + MAX_MASTERNODES * 32;
    /// [`Proposal`], from the leader of a round.
    Proposal = 32 on Control, body at most 512 + MAX_CERTIFICATE + MAX_CHUNKS * 32;
    /// [`Vote`].
    Vote = 33 on Control, body at most 192;
    /// Prevotes of a quorum for one block: a [`Certificate`].
    Polka = 34 on Control, body at most MAX_CERTIFICATE;
    /// Precommits of a quorum for one block: a [`Certificate`].
    Commit = 35 on Control, body at most MAX_CERTIFICATE;
    /// [`Held`]: what the sender has of a height, so that the receiver sends what it lacks.
    Held = 36 on Control, body at most 256;
    /// [`Tip`].
    Tip = 37 on Control, body at most 64;
    /// [`GetPayload`].
    GetPayload = 38 on Control, body at most 64;
    /// [`GetBlocks`].
    GetBlocks = 39 on Control, body at most 64;
    /// [`Chunk`] of a proposed payload.
    Chunk = 40 on Payload, body at most CHUNK + 64;
    /// An opaque application message, to direct peers only.
    Datagram = 48 on Relay, body at most MAX_DATAGRAM;
    /// A transaction's bytes: at least one.
    Transaction = 49 on Relay, body at most MAX_TRANSACTION;
    /// Ids of transactions that the sender has.
    TransactionOffer = 50 on Relay, body at most 2 + MAX_OFFERED * 32;
    /// Ids of offered transactions that the sender lacks.
    TransactionWant = 51 on Relay, body at most 2 + MAX_OFFERED * 32;
    /// [`GetPeers`].
    GetPeers = 52 on Relay, body at most 16;
    /// Every [`PeerAddress`] told, in answer to [`GetPeers`].
    Peers = 53 on Relay, body at most 2 + MAX_TOLD * TOLD_BYTES;
    /// [`BlockPart`], in answer to [`GetBlocks`].
    BlockPart = 64 on Bulk, body at most PART + 64;
    /// [`BlocksEnd`], the last answer to [`GetBlocks`].
    BlocksEnd = 65 on Bulk, body at most 64;
}

/// The largest body of a kind that this version does not know.
pub const MAX_UNKNOWN_BODY: usize = MAX_DATAGRAM;

/// A decoded message.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
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
    /// See [`Absence`].
    Absence(Absence),
    /// See [`Heartbeat`].
    Heartbeat(Box<Heartbeat>),
    /// See [`Proposal`].
    Proposal(Box<Proposal>),
    /// See [`Vote`].
    Vote(Box<Vote>),
    /// A certificate of prevotes.
    Polka(Box<Certificate>),
    /// A certificate of precommits.
    Commit(Box<Certificate>),
    /// See [`Held`].
    Held(Box<Held>),
    /// See [`Tip`].
    Tip(Tip),
    /// See [`GetPayload`].
    GetPayload(GetPayload),
    /// See [`GetBlocks`].
    GetBlocks(GetBlocks),
    /// See [`Chunk`].
    Chunk(Box<Chunk>),
    /// Opaque bytes for the application.
    Datagram(Bytes),
    /// A transaction, opaque to the core.
    Transaction(Bytes),
    /// Transactions that the sender has.
    TransactionOffer(Vec<TxId>),
    /// Transactions that the sender would have.
    TransactionWant(Vec<TxId>),
    /// See [`GetPeers`].
    GetPeers(GetPeers),
    /// Addresses that the sender has reached, ascending.
    Peers(Vec<PeerAddress>),
    /// See [`BlockPart`].
    BlockPart(Box<BlockPart>),
    /// See [`BlocksEnd`].
    BlocksEnd(BlocksEnd),
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
            Self::Absence(_) => Kind::Absence,
            Self::Heartbeat(_) => Kind::Heartbeat,
            Self::Proposal(_) => Kind::Proposal,
            Self::Vote(_) => Kind::Vote,
            Self::Polka(_) => Kind::Polka,
            Self::Commit(_) => Kind::Commit,
            Self::Held(_) => Kind::Held,
            Self::Tip(_) => Kind::Tip,
            Self::GetPayload(_) => Kind::GetPayload,
            Self::GetBlocks(_) => Kind::GetBlocks,
            Self::Chunk(_) => Kind::Chunk,
            Self::Datagram(_) => Kind::Datagram,
            Self::Transaction(_) => Kind::Transaction,
            Self::TransactionOffer(_) => Kind::TransactionOffer,
            Self::TransactionWant(_) => Kind::TransactionWant,
            Self::GetPeers(_) => Kind::GetPeers,
            Self::Peers(_) => Kind::Peers,
            Self::BlockPart(_) => Kind::BlockPart,
            Self::BlocksEnd(_) => Kind::BlocksEnd,
        }
    }
}

/// One start of a key's process. A higher epoch is a later start; two nonces at one epoch are two processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub struct Boot {
    /// Counts the starts.
    pub epoch: BootEpoch,
    /// Random.
    pub nonce: BootNonce,
}

/// A start of a key's process, and that key's word that there was one: nobody else can make it up (rule E-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ProvenBoot {
    /// The start.
    pub boot: Boot,
    /// Over `signing::boot`, by the key whose process started.
    pub proof: Signature,
}

/// What a handshake is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub enum Intent {
    /// A lasting session.
    Session(DialedBecause),
    /// To make the canonical dialer dial (rule D-3); never becomes live.
    Knock,
    /// To learn whether the address leads to the node that advertises it (rule P-6); never becomes live.
    Probe,
}

impl Intent {
    /// The stable name in logs and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session(because) => because.as_str(),
            Self::Knock => "knock",
            Self::Probe => "probe",
        }
    }
}

/// What a node is to the network, as it says itself; the registry decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub enum Role {
    /// Acts as a masternode.
    Masternode,
    /// Follows.
    Observer,
}

/// The value that decides which of two links of a pair stays (rule B-1). Compared field by field, in this
/// order; made only of facts that both ends signed, hence the same at both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub enum DialerRank {
    /// The other side: a fallback or an operator's dial.
    Other,
    /// The canonical dialer of the pair.
    Canonical,
}

/// What both ends tell of themselves in the handshake.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Introduction {
    /// The node's key.
    pub node: NodeId,
    /// Where it can be dialed.
    pub advertised: Option<CanonicalAddr>,
    /// This start of its process.
    pub boot: Boot,
    /// Over `signing::boot`: what others show of this start to a process with the same key.
    pub proof: Signature,
    /// The highest start of the *other* end's key that it has seen.
    pub seen: Option<ProvenBoot>,
    /// Where it sees the other end: the dialer where it dialed, the acceptor the source (rule P-7).
    pub observed: Option<CanonicalAddr>,
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
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Answer {
    /// The link is live at the acceptor.
    Accepted,
    /// To a knock: the canonical dialer dials at once.
    WillDial,
    /// To a knock: it keeps the link that stands.
    HaveSession,
    /// Refused, with the reason.
    Refused(CloseReason),
    /// To a probe: this is the node that was meant.
    Here,
}

/// The last frame of a side that closes in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Goodbye {
    /// Why it closes.
    pub reason: CloseReason,
    /// The highest dial ordinal it knows of the pair.
    pub highest: DialOrdinal,
}

/// Asks for a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Ping {
    /// Repeated in the answer.
    pub token: u64,
}

/// A sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Pong {
    /// The ping's.
    pub token: u64,
}

/// A masternode's signed statement that it lives, what it is linked to, and whom it has heard (rule M-1).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
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
    /// The registry to whose positions the two lists refer.
    pub registry: RegistryTag,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct Witness {
    /// Its signer.
    pub signer: MasternodeIndex,
    /// Its sequence.
    pub sequence: u64,
    /// The first eight bytes of the SHA-256 of its signing bytes.
    pub digest: [u8; 8],
}

/// Most rounds that a [`Held`] tells of.
pub const MAX_ROUNDS_HELD: usize = 4;

/// What the leader of a round proposes (rule C-8).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Proposal {
    /// The proposed block's header. Its round is earlier than the proposal's if the block is proposed again.
    pub header: Header,
    /// The round that this proposal is for.
    pub round: Round,
    /// The round of the polka that the leader has seen for this block.
    pub valid_round: Option<Round>,
    /// The certificate of the block's parent, which its header names; none at height 1.
    pub certificate: Option<Box<Certificate>>,
    /// What the payload's root is made of.
    pub outline: Outline,
    /// Over `signing::proposal`, by the leader of the height and the proposal's round.
    pub signature: Signature,
}

/// One vote of a masternode (rule C-9).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub struct Vote {
    /// Prevote or precommit.
    pub kind: VoteKind,
    /// The height to be decided.
    pub height: Height,
    /// The round.
    pub round: Round,
    /// The block; `None` for none.
    pub block: Option<BlockHash>,
    /// Who votes.
    pub voter: NodeId,
    /// Over `signing::vote`.
    pub signature: Signature,
}

/// What the sender holds of the height that it works on (rule C-12). The receiver sends what is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Held {
    /// The height.
    pub height: Height,
    /// The round that the sender is in.
    pub round: Round,
    /// The proposal of that round, payload included, if the sender has all of it.
    pub proposal: Option<BlockHash>,
    /// Votes it holds, by ascending round, at most [`MAX_ROUNDS_HELD`].
    pub rounds: Vec<RoundHeld>,
}

/// Whose votes of one round somebody holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, Hash)]
pub struct RoundHeld {
    /// The round.
    pub round: Round,
    /// Whose prevotes.
    pub prevotes: SeatSet,
    /// Whose precommits.
    pub precommits: SeatSet,
}

/// The sender's newest final block, told when it changes to whoever may not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Tip {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub block: BlockHash,
}

/// Asks for chunks of a payload whose outline the sender has (rule C-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct GetPayload {
    /// The block's height.
    pub height: Height,
    /// The block.
    pub block: BlockHash,
    /// One bit a chunk that is missing, the lowest for the first.
    pub missing: u128,
}

/// One chunk of a proposed payload.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Chunk {
    /// The block's height.
    pub height: Height,
    /// The block.
    pub block: BlockHash,
    /// Which chunk.
    pub index: u16,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Asks for final blocks (rule Y-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct GetBlocks {
    /// Repeated in the answers.
    pub id: u64,
    /// The first height wanted.
    pub from: Height,
    /// The last height wanted: ranges asked of several peers then neither overlap nor leave a gap.
    pub to: Height,
    /// Bytes of encoded blocks wanted at most; one block is answered even if it is larger.
    pub max_bytes: u32,
}

/// A part of an encoded final block, in answer to [`GetBlocks`]. Parts come in order.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct BlockPart {
    /// The request's.
    pub id: u64,
    /// The block's height.
    pub height: Height,
    /// Which part of it, from 0.
    pub index: u16,
    /// How many parts it has.
    pub count: u16,
    /// The bytes.
    pub bytes: Bytes,
}

/// The last answer to [`GetBlocks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct BlocksEnd {
    /// The request's.
    pub id: u64,
    /// How far it was served.
    pub served: Served,
}

/// How a [`GetBlocks`] was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Served {
    /// Every block up to the last one or the bytes asked for, the sender's tip, or what it serves at once: one at least.
    All,
    /// The sender does not have the first block.
    Nothing,
    /// Not now: ask again after so many milliseconds, or ask somebody else.
    Busy(u32),
}
