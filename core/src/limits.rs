//! The one table of bounds: every queue, map and buffer of the core has its row here (contract C8).

use crate::event::{Enforce, TrafficClass};
use crate::registry::MAX_MASTERNODES;

/// Plaintext bytes in a record at most, lane byte included.
pub const MAX_RECORD_PLAINTEXT: usize = 16 * 1024;
/// Bytes that sealing adds to a record.
pub const RECORD_OVERHEAD: usize = 16;
/// Length prefix of a record.
pub const RECORD_PREFIX: usize = 2;
/// Length and kind in front of a frame's body.
pub const FRAME_HEADER: usize = 6;
/// Body of a `Hello` and of its answer at most.
pub const MAX_INTRODUCTION: usize = 1024;
/// Plaintext bytes in a record at most that comes before its sender's identity is proven to an acceptor.
pub const HELLO_RECORD: usize = 1 + FRAME_HEADER + MAX_INTRODUCTION;
/// Body of an opaque application message at most.
pub const MAX_DATAGRAM: usize = 64 * 1024;
/// Bytes of a transaction at most.
pub const MAX_TRANSACTION: usize = 64 * 1024;
/// Bytes of a chunk of a payload; the last one may be shorter.
pub const CHUNK: usize = 15 * 1024;
/// Chunks of a payload at most.
pub const MAX_CHUNKS: usize = 70;
/// Bytes of a payload that this node assembles, at most.
pub const MAX_ASSEMBLED: usize = 1024 * 1024;
/// Bytes of a valid payload at most.
pub const MAX_PAYLOAD: usize = MAX_CHUNKS * CHUNK;
/// Bytes of an encoded certificate at most.
pub const MAX_CERTIFICATE: usize = 64 + 16 + MAX_MASTERNODES * 64;
/// Bytes of an encoded final block at most.
pub const MAX_FINAL_BLOCK: usize = MAX_PAYLOAD + 2 * MAX_CERTIFICATE + 256;
/// Bytes of a part of an encoded block on the bulk lane.
pub const PART: usize = 32 * 1024;
/// Blocks that came by catching up and are applied, but not durable yet, at most.
pub const COMMITS_UNDER_WAY: usize = 64;
/// While catching up, no more blocks are here or asked for than the window has this many bytes.
pub const SYNC_BLOCK_LEAST: usize = 2 * 1024;
/// A window smaller than this is enlarged to it: requests to two peers, and what they have brought.
pub(crate) const LEAST_SYNC_WINDOW: usize = 4 * MAX_FINAL_BLOCK;
/// A fetched block's place beside its bytes.
pub(crate) const FETCHED_BYTES: usize = 256;
/// A live peer's places in catching up and in serving.
pub(crate) const SYNC_PEER_BYTES: usize = 1024;
/// Ids in one offer of transactions at most.
pub const MAX_OFFERED: usize = 512;
/// Addresses told in one message at most.
pub const MAX_TOLD: usize = 64;
/// Bytes of an address that is told, at most: node, address, age.
pub const TOLD_BYTES: usize = 32 + 19 + 4;
/// Payloads of the height under way that are put together or kept, at most: the newest proposal's and the one
/// of the valid block.
pub(crate) const PAYLOADS: usize = 3;
/// Blocks proposed at one height that are remembered, but for their payloads.
pub(crate) const CANDIDATES: usize = 12;
/// Proposals of the next height that are kept until it begins.
pub(crate) const EARLY_PROPOSALS: usize = 2;
/// A proposal that is remembered: its certificate, its outline, and the rest.
pub(crate) const PROPOSAL_BYTES: usize = 1024 + MAX_CERTIFICATE + MAX_CHUNKS * 32;
/// A vote that is counted, in a tree that may be half empty.
pub(crate) const VOTE_BYTES: usize = 256;
/// Rounds of a height whose votes are kept at most: past ones, the present and the next, and two later ones of
/// each voter.
pub(crate) const ROUNDS_KEPT: usize = 12;
/// The same of a height that has not begun: the first, the next, and two later ones.
pub(crate) const EARLY_ROUNDS_KEPT: usize = 4;
/// Certificates of a height that are kept as such: a polka a round that its votes do not show, those of the newest
/// rounds whose votes are gone, that of the valid block, and the one that decides.
pub(crate) const CERTIFICATES_KEPT: usize = ROUNDS_KEPT + 8;
/// A round of a height: everybody's prevote and precommit.
const ROUND_BYTES: usize = 2 * MAX_MASTERNODES * VOTE_BYTES;
/// The consensus of one height: votes, certificates, and the votes because of which the round was entered.
pub(crate) const HEIGHT_BYTES: usize =
    ROUNDS_KEPT * ROUND_BYTES + CERTIFICATES_KEPT * MAX_CERTIFICATE + MAX_MASTERNODES * VOTE_BYTES;
/// What the making of blocks holds at most, beside transactions and catching up: the payloads of a height, what
/// is proposed at it, the votes of the heights before, under way and after, and blocks on their way to the disk.
pub const CHAIN_BYTES: usize = PAYLOADS * MAX_PAYLOAD
    + (CANDIDATES + EARLY_PROPOSALS) * PROPOSAL_BYTES
    + 2 * HEIGHT_BYTES
    + EARLY_ROUNDS_KEPT * (ROUND_BYTES + MAX_CERTIFICATE)
    + (1 + COMMITS_UNDER_WAY) * (MAX_CERTIFICATE + 512)
    + EVIDENCE_KEPT * 1024;
/// Proofs of equivocation kept at most.
pub(crate) const EVIDENCE_KEPT: usize = 64;
/// Own proposals of the latest rounds in the voting record, at most.
pub(crate) const OWN_PROPOSALS: usize = 8;
/// Own votes of the latest rounds in the voting record, at most.
pub(crate) const OWN_VOTES: usize = 16;
/// Memory that a waiting transaction costs beside its bytes: its places in the tables, and what the allocator
/// adds.
pub const TRANSACTION_COST: usize = 512;
/// The inclusion of one transaction in a block is remembered for so many bytes of the mempool.
pub(crate) const RECENT_FOR: usize = 256;
/// Such a memory.
pub(crate) const RECENT_BYTES: usize = 64;
/// The id of a waiting transaction that a block includes which is not durable yet.
pub(crate) const INCLUDED_BYTES: usize = 32;
/// A transaction that was asked for.
pub(crate) const WANTED_BYTES: usize = 256;
/// Memory that a frame costs beside its bytes while it waits: its place in the queue, its counters, and what
/// the allocator adds.
pub(crate) const FRAME_COST: usize = 96;
/// Buffers of frames up to this size are used again.
pub(crate) const FRAME_REUSED: usize = 8 * 1024;
/// State of one connection beside its buffers and lanes.
pub(crate) const CONNECTION_BYTES: usize = 3 * 1024;
/// A known peer with its attempts, the times of its links, and its timer.
pub(crate) const PEER_BYTES: usize = 2 * 1024 + 512;
/// An address that is sought without a key, with its attempts and its timer.
pub(crate) const TARGET_BYTES: usize = 1024;
/// A destination that waits for room to dial.
pub(crate) const WAITING_BYTES: usize = 128;
/// A configured peer, which is kept twice.
pub(crate) const CONFIGURED_BYTES: usize = 192;
/// Bootstrap peers that are known by name, at most.
pub const MAX_SEEDS: usize = 64;
/// Addresses of one name at most.
pub(crate) const SEED_ADDRESSES: usize = 16;
/// Such a name, with its addresses.
pub(crate) const SEED_BYTES: usize = 2 * 1024;
/// An address in the book, in a tree and a bucket that may be half empty.
pub(crate) const ADDRESS_BYTES: usize = 320;
/// A book of fewer addresses than this has this many places: one in each bucket of each table at least.
pub(crate) const ADDRESSES_LEAST: usize = 256;
/// A ban with its note.
pub(crate) const BAN_BYTES: usize = 512;
/// An order about bans whose answer waits until its record is durable.
pub(crate) const ORDER_BYTES: usize = 1024;
/// Orders about bans that wait for their records at most.
pub(crate) const ORDERS_WAITING: usize = 64;
/// What is known of the conduct of one key.
pub(crate) const SCORE_BYTES: usize = 256;
/// An address known to be our own.
pub(crate) const OWN_ADDR_BYTES: usize = 128;
/// A word parked behind a record.
pub(crate) const PARKED_BYTES: usize = 64;
/// Room for this many commands is kept once they are taken.
pub(crate) const COMMANDS_KEPT: usize = 256;
/// A command in the queue.
pub(crate) const COMMAND_BYTES: usize = 288;
/// The buffer from which messages to the application are cut.
pub(crate) const ARRIVALS_ROOM: usize = 16 * 1024;
/// The node itself: configuration, identity, counters.
pub(crate) const NODE_BYTES: usize = 32 * 1024;
/// Bytes kept a registered masternode: its newest heartbeat and the digests of the last few, at most.
pub(crate) const MASTERNODE_BYTES: usize = 6 * 1024;
/// Attempts kept a peer for `/why`.
pub const ATTEMPTS_KEPT: usize = 8;
/// Characters of a peer's agent text at most.
pub const MAX_AGENT: usize = 32;
/// Requests taken from the API in one wake-up of the shell.
pub const REQUESTS_PER_WAKE: usize = 50;

/// One row of the sum of [`Limits::worst_case_bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRow {
    /// What is held.
    pub what: &'static str,
    /// The fields of [`Limits`] that bound it, those with the largest effect first; empty for what the protocol
    /// itself bounds.
    pub bounds: &'static str,
    /// Bytes at most.
    pub bytes: usize,
}

const fn row(what: &'static str, bounds: &'static str, bytes: usize) -> MemoryRow {
    MemoryRow { what, bounds, bytes }
}

/// A table of a running node: how much it holds, and how much it may; entries, or bytes where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// What is held.
    pub what: &'static str,
    /// How much of it.
    pub held: usize,
    /// How much at most.
    pub bound: usize,
}

pub(crate) const fn holding(what: &'static str, held: usize, bound: usize) -> Holding {
    Holding { what, held, bound }
}

/// Bounds that may differ from node to node; see [`Limits::worst_case_bytes`] for what they add up to. A lane's
/// bytes are those that its frames hold in memory, a little more than what goes out.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Limits {
    /// Live sessions at most.
    pub max_peers: usize,
    /// How many of these are kept for registered masternodes: never fewer than there are (rule S-3).
    pub masternode_slots: usize,
    /// Connections that have not proven an identity, at most.
    pub unauthenticated: usize,
    /// How many of these are kept for source addresses in the registry.
    pub unauthenticated_kept: usize,
    /// Own dials whose handshake is not done, at most.
    pub dialing: usize,
    /// Peers remembered, registered masternodes included: at least so many as are configured, and beside them as many
    /// as there are other masternodes, or places.
    pub known_peers: usize,
    /// Addresses known to be our own, at most.
    pub own_addrs: usize,
    /// Addresses of others in the book: half of them hearsay, a quarter tried, a quarter left alone for a while.
    /// At least 256.
    pub address_book: usize,
    /// Links below which an observer seeks more from its book (rule S-5); so many of the places that are not
    /// masternodes' it keeps for those that it seeks (rule S-3).
    pub outbound: usize,
    /// Bans in force at most, the operator's and this node's own; the latter give way.
    pub bans: usize,
    /// Keys whose conduct is remembered, at most; the least worth it gives way.
    pub scores: usize,
    /// Whether a score that reaches its bound has consequences (rules ).
    pub punish: Enforce,
    /// Bytes waiting in the control lane of a link before it is closed as slow.
    pub control_lane: usize,
    /// Bytes waiting in the payload lane of a link.
    pub payload_lane: usize,
    /// Bytes waiting in the relay lane of a link before the oldest is dropped.
    pub relay_lane: usize,
    /// Bytes waiting in the bulk lane of a link.
    pub bulk_lane: usize,
    /// Bytes of blocks that were fetched and are not applied yet; 0 where there is no chain.
    pub sync_window: usize,
    /// Bytes of loaded blocks that are being served.
    pub serving: usize,
    /// Bytes a second that are served to all peers that catch up together; half of that to one.
    pub serving_rate: usize,
    /// Bytes of memory that waiting transactions hold: their own, and [`TRANSACTION_COST`] for each. What is
    /// submitted here, and what others bring, may each be three quarters of it. 0 where there is no chain.
    pub mempool: usize,
    /// Handshake answers parked behind a record at most.
    pub gate: usize,
    /// Free frame buffers kept for reuse.
    pub frame_pool: usize,
    /// How fast a peer may send of its own accord.
    pub rates: RateLimits,
}

/// How fast a peer may send of a class of traffic of its own accord (rule A-1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct RateLimit {
    /// Messages a second, or bytes where the class is counted in bytes; 0 counts as 1. `None`: four times what the
    /// schedules of an honest peer make at worst.
    pub per_second: Option<u64>,
    /// Whether what comes faster is dropped, or its sender slowed if it is a masternode.
    pub enforce: Enforce,
}

/// A rate for each class of traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct RateLimits([RateLimit; TrafficClass::ALL.len()]);

impl RateLimits {
    /// That of a class.
    #[must_use]
    pub fn of(&self, class: TrafficClass) -> RateLimit {
        self.0.get(class.index()).copied().unwrap_or_default()
    }

    /// Sets that of a class.
    pub fn set(&mut self, class: TrafficClass, limit: RateLimit) {
        if let Some(place) = self.0.get_mut(class.index()) {
            *place = limit;
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::for_registry(MAX_MASTERNODES.min(30))
    }
}

impl Limits {
    /// The limits of `max_peers = "auto"`: max(50, registry + 20) sessions.
    #[must_use]
    pub fn for_registry(registry: usize) -> Self {
        let max_peers = 50.max(registry + 20);
        Self {
            max_peers,
            masternode_slots: Self::auto_masternode_slots(max_peers, registry),
            unauthenticated: 64,
            unauthenticated_kept: 16,
            dialing: 32,
            known_peers: 1024,
            own_addrs: 64,
            address_book: 2048,
            outbound: 8,
            bans: 1024,
            scores: 1024,
            punish: Enforce::On,
            control_lane: 256 * 1024,
            payload_lane: 2 * 1024 * 1024,
            relay_lane: 256 * 1024,
            bulk_lane: 1024 * 1024,
            sync_window: 16 * 1024 * 1024,
            serving: 16 * 1024 * 1024,
            serving_rate: 32 * 1024 * 1024,
            mempool: 16 * 1024 * 1024,
            gate: 128,
            frame_pool: 64,
            rates: RateLimits::default(),
        }
    }

    /// The places of `masternode_slots = "auto"`: 40 % of all, at least 20, at most 30, never fewer than the registry,
    /// never above `max_peers`.
    #[must_use]
    pub fn auto_masternode_slots(max_peers: usize, registry: usize) -> usize {
        (max_peers * 2 / 5).clamp(20, 30).max(registry).min(max_peers)
    }

    /// Bytes that the core can hold at most with these limits: the sum of every row, at its bound.
    ///
    /// Two things are the shell's to bound: commands that it has not taken (each call queues a few, and at most
    /// one for every six bytes handed in), and connections that it was told to close and has not reported as
    /// closed (a few kilobytes each).
    #[must_use]
    pub fn worst_case_bytes(&self) -> usize {
        self.rows().iter().map(|row| row.bytes).sum()
    }

    /// What that sum is made of.
    #[must_use]
    pub const fn rows(&self) -> [MemoryRow; 18] {
        // Out: the lanes. In: one partial frame a lane, and one partial record.
        let lanes = self.control_lane + self.payload_lane + self.relay_lane + self.bulk_lane;
        let record = RECORD_PREFIX + MAX_RECORD_PLAINTEXT + RECORD_OVERHEAD;
        let link = CONNECTION_BYTES + lanes + 4 * (FRAME_HEADER + MAX_DATAGRAM) + record;
        // An introduction in a partial frame, one on its way out, and the cleartext before them.
        let introduction = 2 * (FRAME_HEADER + MAX_INTRODUCTION) + FRAME_COST;
        let inbound = CONNECTION_BYTES + introduction + 2 * (RECORD_PREFIX + HELLO_RECORD + RECORD_OVERHEAD);
        let outbound = CONNECTION_BYTES + introduction + record;
        let known = PEER_BYTES + TARGET_BYTES + 2 * WAITING_BYTES + CONFIGURED_BYTES;
        let node = COMMANDS_KEPT * COMMAND_BYTES + ARRIVALS_ROOM + 2 * record + NODE_BYTES;
        [
            row(
                "live links",
                "max_peers, payload_lane, bulk_lane, control_lane, relay_lane",
                self.max_peers * link,
            ),
            row("unauthenticated connections", "unauthenticated", self.unauthenticated * inbound),
            row("own dials under way", "dialing", self.dialing * outbound),
            row("known peers", "known_peers", self.known_peers * known),
            row("free frame buffers", "frame_pool", self.frame_pool * (FRAME_REUSED + FRAME_COST)),
            row("own addresses", "own_addrs", self.own_addrs * OWN_ADDR_BYTES),
            row("names of peers", "", MAX_SEEDS * SEED_BYTES),
            row("the address book", "address_book", Self::book_bytes(self.address_book)),
            // Once in the table, once in a record on its way.
            row("bans", "bans", 2 * self.bans * BAN_BYTES + ORDERS_WAITING * ORDER_BYTES),
            row("scores", "scores", self.scores * SCORE_BYTES),
            row("answers that wait for a write", "gate", self.gate * PARKED_BYTES),
            row("the block under way", "", CHAIN_BYTES),
            row("blocks fetched", "sync_window", Self::sync_bytes(self.sync_window)),
            row("blocks served", "serving", self.serving),
            row("peers in catching up", "max_peers", self.max_peers * SYNC_PEER_BYTES),
            row("transactions", "mempool, max_peers", Self::mempool_bytes(self.mempool, self.max_peers)),
            row("heartbeats", "", MAX_MASTERNODES * MASTERNODE_BYTES),
            row("the node itself", "", node),
        ]
    }

    /// The tables, and their record on its way to the shell.
    const fn book_bytes(addresses: usize) -> usize {
        let addresses = if addresses < ADDRESSES_LEAST { ADDRESSES_LEAST } else { addresses };
        addresses * ADDRESS_BYTES
    }

    /// What waits, the ids that are remembered, those of blocks that are not durable yet, and those that were asked
    /// for.
    const fn mempool_bytes(mempool: usize, peers: usize) -> usize {
        if mempool == 0 {
            return 0;
        }
        mempool
            + mempool / RECENT_FOR * RECENT_BYTES
            + mempool / TRANSACTION_COST * INCLUDED_BYTES
            + peers * MAX_OFFERED * WANTED_BYTES
    }

    /// The window, the block that is being verified, decoded and encoded, and what is kept of blocks that are
    /// on their way to the disk.
    const fn sync_bytes(window: usize) -> usize {
        if window == 0 {
            return 0;
        }
        let window = if window < LEAST_SYNC_WINDOW { LEAST_SYNC_WINDOW } else { window };
        window
            + window / SYNC_BLOCK_LEAST * FETCHED_BYTES
            + 2 * MAX_FINAL_BLOCK
            + COMMITS_UNDER_WAY * (MAX_CERTIFICATE + FETCHED_BYTES)
    }
}

// What is assembled here is valid everywhere, what is valid fits into chunks, and each piece fits into a frame.
const _: () = {
    assert!(MAX_ASSEMBLED < MAX_PAYLOAD);
    assert!(MAX_TRANSACTION < MAX_ASSEMBLED);
    assert!(MAX_CHUNKS <= u128::BITS as usize);
    assert!(MAX_FINAL_BLOCK > MAX_PAYLOAD);
    assert!(CHUNK < PART && PART < MAX_DATAGRAM);
    assert!(MAX_TRANSACTION <= MAX_DATAGRAM);
    assert!(1 + FRAME_HEADER + CHUNK + 64 <= MAX_RECORD_PLAINTEXT);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_leaves_room_for_the_registry() {
        assert_eq!(Limits::for_registry(4).max_peers, 50);
        assert_eq!(Limits::for_registry(128).max_peers, 148);
    }

    #[test]
    fn auto_keeps_places_for_masternodes() {
        let slots = |max_peers, registry| Limits::auto_masternode_slots(max_peers, registry);
        assert_eq!([slots(50, 4), slots(70, 4), slots(200, 4)], [20, 28, 30]);
        assert_eq!([slots(200, 100), slots(10, 4), slots(10, 100)], [100, 10, 10]);
    }
}
