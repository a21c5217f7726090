//! Answers to requests: plain values, taken from the node's one pool at one instant.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::addr::CanonicalAddr;
use crate::ban::{Ban, BanCause, BanTarget};
use crate::event::{
    Activity, CloseReason, ClosedBy, ConsensusInfo, DialedBecause, Direction, Evidence, Excessive,
    MempoolInfo, Offence, Producing, SlotClass, SlotCounts, SyncState, TrafficClass, TxState,
};
use crate::ids::{BlockHash, BootEpoch, Height, LinkTag, NodeId, TxId};
use crate::recorded::Word;
use crate::registry::MasternodeIndex;
use crate::time::Wall;
use crate::wire::message::Lane;

/// What health checks and scrapes read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
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
    /// How its places for links are used.
    pub slots: SlotCounts,
    /// Addresses of others, beside the registry.
    pub addresses: AddressCounts,
    /// Start of that block's slot; zero before the first block.
    pub last_slot: Wall,
    /// Whether this node proposes blocks.
    pub producing: Producing,
    /// How far it has caught up.
    pub sync: SyncState,
    /// What waits to be in a block.
    pub mempool: MempoolInfo,
    /// The median by which the peers' signed clocks are ahead of ours, in milliseconds (negative: behind).
    pub clock_offset_ms: i64,
    /// For how long at most this node has announced to be away (rule L-5); none if it has not.
    pub leaving: Option<Duration>,
}

/// What the address book holds (rule P-3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct AddressCounts {
    /// Addresses of others that this node reached itself.
    pub tried: usize,
    /// Addresses that it was told.
    pub heard: usize,
    /// Addresses that it leaves alone for a while.
    pub tombstones: usize,
}

/// Links of one node, counted from its one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
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
    /// Links that are not expected, because the peer is away as it has announced (rule L-5).
    pub absent: usize,
}

/// The answer to a [`Request`](crate::Request).
#[derive(Clone, Debug, Hash, serde::Deserialize, serde::Serialize)]
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
    Dialing {
        /// A live peer that says it listens there, without a proof: the dial shows whether it does.
        claimed_by: Option<NodeId>,
    },
    /// To `Connect`: a live session stands already.
    AlreadyConnected(NodeId),
    /// To `Forget`: done.
    Forgotten,
    /// To `Forget`: no earlier `Connect` seeks this peer.
    NotOrdered,
    /// To `Disconnect`: closed, and held apart. `None` is the unknown node behind a bare address.
    Disconnected(Option<NodeId>),
    /// To `Send`: how many peers it was queued for.
    Sent(usize),
    /// To `Submit`: durable here; it waits to be in a block, or did so already.
    Submitted(TxId),
    /// To `Submit`: an empty transaction, or one of more than 64 KiB, that is this many bytes long.
    TransactionSize(usize),
    /// To `Submit`: so much waits already that no more is taken.
    MempoolFull(MempoolInfo),
    /// To `Transaction`.
    Transaction(TxState),
    /// To `Evidence`: newest first.
    Evidence(Vec<Evidence>),
    /// To `Consensus`; none if this network makes no blocks.
    Consensus(Option<Box<ConsensusInfo>>),
    /// To `Ban`: in force, and durable.
    Banned {
        /// The ban.
        ban: Box<Ban>,
        /// How many registered masternodes it concerns: this node has no link to them until it ends.
        masternodes: usize,
    },
    /// To `Unban`: it is lifted, for good.
    Unbanned(Box<Ban>),
    /// To `Unban`: no ban is on exactly this target. If it is an address, the ban that covers it.
    NotBanned(Option<BanTarget>),
    /// To `Bans`: oldest first.
    Bans(Vec<Ban>),
    /// To `Reconfigure`: in force.
    Reconfigured,
    /// To `Drain` and `Undrain`.
    Drain(Drain),
    /// To `Drain`: those who are left could not decide blocks; nothing was announced.
    QuorumLost(Drain),
    /// To `Submit`: this node is about to be away; another one takes transactions.
    Draining,
    /// To `Stop`.
    Stopping,
    /// The request names no peer that this node knows.
    UnknownPeer,
    /// The request names more than one peer.
    AmbiguousPeer,
    /// The request names this very node.
    IsSelf,
    /// The order cannot be carried out now.
    Refused(#[serde(deserialize_with = "crate::recorded::word")] Word),
}

/// This node in short.
#[derive(Clone, Debug, Hash, serde::Deserialize, serde::Serialize)]
pub struct Status {
    /// Its key.
    pub node: NodeId,
    /// Where others dial it.
    pub advertised: Option<CanonicalAddr>,
    /// Its position in the registry, if it is a masternode.
    pub masternode: Option<MasternodeIndex>,
    /// Boot epoch of this start.
    pub epoch: BootEpoch,
    /// The IP address at which a quorum of the masternodes has seen this node last (rule P-7).
    pub external_ip: Option<IpAddr>,
    /// At which addresses the linked masternodes see it, and how many at each; most first.
    pub seen_as: Vec<(IpAddr, usize)>,
    /// What health checks see.
    pub summary: Summary,
    /// Bans in force, in the order of [`BanCause::ALL`].
    pub bans: [usize; BanCause::ALL.len()],
    /// What is under way.
    pub pending: Pending,
    /// Totals since the start.
    pub counters: Counters,
}

/// What is under way at one moment: connections that are no sessions yet, and bytes that peers have not taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct Pending {
    /// Inbound connections that have not proven an identity.
    pub unauthenticated: usize,
    /// Of these, those whose next step waits for its turn (rule S-7).
    pub deferred: usize,
    /// Own dials whose handshake is not done.
    pub dialing: usize,
    /// Memory that what waits in the outbound lanes of all links holds, in the order of [`Lane::ALL`].
    pub queued_bytes: [usize; Lane::ALL.len()],
    /// For how long the slowest live peer has taken nothing although something waits for it. At
    /// [`Timings::write_timeout`](crate::Timings::write_timeout) it is closed as slow.
    pub stalled: Duration,
}

/// Totals since the start: every one only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct Counters {
    /// Dials made, knocks and probes included.
    pub dials: u64,
    /// Knocks made.
    pub knocks: u64,
    /// Probes of advertised addresses made.
    pub probes: u64,
    /// Probes of others answered.
    pub probes_answered: u64,
    /// Links that became live.
    pub links_up: u64,
    /// Live links that ended.
    pub links_down: u64,
    /// Inputs with a stale [`ConnId`](crate::ConnId).
    pub stale_inputs: u64,
    /// Clock readings that went backwards.
    pub clock_backwards: u64,
    /// Times that this process was frozen.
    pub freezes: u64,
    /// Frames of kinds that this version does not know.
    pub unknown_frames: u64,
    /// Inbound connections refused or evicted before they were authenticated.
    pub inbound_refused: u64,
    /// Steps of inbound handshakes that had to wait for their turn (rule S-7).
    pub handshakes_deferred: u64,
    /// Dials to candidates from the address book.
    pub candidates: u64,
    /// Of these, those that did not lead to a session.
    pub candidates_failed: u64,
    /// Requests of others for addresses that came too soon to be answered.
    pub address_requests_ignored: u64,
    /// Messages with addresses that nobody had asked for.
    pub addresses_unasked: u64,
    /// Connections and handshakes refused for a ban: by address before anything is read, by key after it is
    /// proven.
    pub inbound_banned: u64,
    /// Bans that came into force, in the order of [`BanCause::ALL`].
    pub bans: [u64; BanCause::ALL.len()],
    /// Offences of authenticated peers, in the order of [`Offence::ALL`].
    pub offences: [u64; Offence::ALL.len()],
    /// Messages beyond a rate that is enforced, in the order of [`TrafficClass::ALL`].
    pub rate_exceeded: [u64; TrafficClass::ALL.len()],
    /// Messages beyond a rate that is only observed, in the same order.
    pub rate_observed: [u64; TrafficClass::ALL.len()],
    /// Heartbeats verified for the first time.
    pub heartbeats: u64,
    /// Heartbeats received again.
    pub heartbeat_repeats: u64,
    /// Heartbeats refused.
    pub heartbeats_invalid: u64,
    /// Votes verified for the first time.
    pub votes: u64,
    /// Proposals, votes, certificates, chunks and blocks that were not what they must be.
    pub block_items_invalid: u64,
    /// Requests for blocks sent.
    pub block_requests: u64,
    /// Of these, for what another peer had been asked before.
    pub block_races: u64,
    /// Parts and ends of answers to no open request.
    pub block_answers_unasked: u64,
    /// Requests for blocks that were answered too late, wrongly, with less than promised or not at all.
    pub block_requests_failed: u64,
    /// Missing blocks that came in answer.
    pub blocks_fetched: u64,
    /// Blocks that came in answer and were not missing any more.
    pub blocks_surplus: u64,
    /// Blocks that came in answer and did not verify.
    pub blocks_rejected: u64,
    /// Requests of others for blocks that were taken on.
    pub block_requests_served: u64,
    /// Requests of others for blocks that were not: busy, or nothing to serve.
    pub block_requests_refused: u64,
    /// Blocks handed out to others.
    pub blocks_served: u64,
    /// Bytes of these.
    pub block_bytes_served: u64,
}

/// One live session.
#[derive(Clone, Debug, Hash, serde::Deserialize, serde::Serialize)]
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
    /// What its place among the live links is held by (rule S-3).
    pub class: SlotClass,
    /// The round-trip time, smoothed, if it was measured.
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
    /// What it sends too much of at present.
    pub excessive: Option<Excessive>,
    /// The peer's software, as it says.
    pub agent: String,
}

/// One end of a link as its owner signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct MatrixLink {
    /// The end with the lower registry index.
    pub a: NodeId,
    /// The other end.
    pub b: NodeId,
    /// The end that dialed.
    pub dialer: NodeId,
}

/// A pair of masternodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub struct Pair {
    /// The end with the lower registry index.
    pub a: NodeId,
    /// The other end.
    pub b: NodeId,
}

/// A masternode in the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
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
#[derive(Clone, Debug, Hash, serde::Deserialize, serde::Serialize)]
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
    /// Who is away as it has announced: links to them that are not up are neither expected nor listed (rule L-5).
    pub absent: Vec<NodeId>,
}

impl Matrix {
    /// One line: `91/91 links, 0 duplicate, 0 split, 0 one-sided, 0 wrong direction`, and who is away as announced.
    #[must_use]
    pub fn verdict(&self) -> String {
        let absent: Vec<String> =
            self.absent.iter().map(|node| node.to_string().chars().take(8).collect()).collect();
        let absent = match absent.is_empty() {
            true => String::new(),
            false => format!("; absent by announcement: {}", absent.join(", ")),
        };
        format!(
            "{}/{} links, {} duplicate, {} split, {} one-sided, {} wrong direction{absent}",
            self.links.len(),
            self.expected,
            self.duplicate.len(),
            self.split.len(),
            self.one_sided.len(),
            self.wrong_direction.len()
        )
    }
}

/// What a planned absence of this node means, at the moment it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct Drain {
    /// For how long at most the node has announced to be away; none if it stays.
    pub absence: Option<Duration>,
    /// How many live peers were told.
    pub told: usize,
    /// Other active masternodes that are linked with this node and have not announced to be away.
    pub left: usize,
    /// Masternodes that decide blocks together; 0 if this node is none of them, and is not missed.
    pub quorum: usize,
}

/// A registered masternode and what this node knows of it.
#[derive(Clone, Debug, Hash, serde::Deserialize, serde::Serialize)]
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
    /// Height of its newest final block, by its newest heartbeat; none for this node itself.
    pub height: Option<Height>,
    /// Other masternodes that have named its newest attested heartbeat.
    pub witnesses: Vec<NodeId>,
    /// Whether its newest attested heartbeat is at most two and a half intervals old (rule M-6).
    pub attested: bool,
    /// How long it has been active without a break in this node's view.
    pub active_for: Option<Duration>,
}

/// Why this node is, or is not, connected to a peer.
#[derive(Clone, Debug, Hash, serde::Deserialize, serde::Serialize)]
pub struct Why {
    /// The peer, where it is known.
    pub peer: Option<NodeId>,
    /// Where it would be dialed.
    pub addr: Option<CanonicalAddr>,
    /// Stable name of the decision in force.
    #[serde(deserialize_with = "crate::recorded::word")]
    pub decision: Word,
    /// The decision in words.
    pub text: String,
    /// The rule of `core/PROTOCOL.md` that it follows.
    #[serde(deserialize_with = "crate::recorded::word")]
    pub rule: Word,
    /// That rule in a few words.
    #[serde(deserialize_with = "crate::recorded::word")]
    pub rule_text: Word,
    /// Its position in the registry, if it is a masternode.
    pub masternode: Option<MasternodeIndex>,
    /// For whose sake this node seeks a link: `registry`, `configured`, `ordered`, `named`; empty if it takes one
    /// that the peer makes and seeks none.
    #[serde(deserialize_with = "crate::recorded::words")]
    pub sought_by: Vec<Word>,
    /// When it came into force, if that is known.
    pub since: Option<Wall>,
    /// The ban that keeps the two apart, if that is it.
    pub ban: Option<Ban>,
    /// What happens next; `None` where nothing does.
    pub next: Option<Next>,
    /// The live session, if there is one.
    pub session: Option<PeerInfo>,
    /// The last attempts, newest first, in both directions.
    pub attempts: Vec<Attempt>,
}

/// What happens next between two nodes if nothing changes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct Next {
    /// In words.
    #[serde(deserialize_with = "crate::recorded::word")]
    pub action: Word,
    /// In how long; `None` if it waits for an event and not for a time.
    pub within: Option<Duration>,
}

/// One attempt to connect, and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct Attempt {
    /// When it ended, or when it became live.
    pub at: Wall,
    /// Who dialed.
    pub direction: Direction,
    /// The intent it was dialed with: `canonical`, `fallback`, `manual` or `knock`.
    #[serde(deserialize_with = "crate::recorded::word")]
    pub intent: Word,
    /// How it ended; `None` while it is live.
    pub end: Option<(CloseReason, ClosedBy)>,
}
