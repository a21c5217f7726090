//! The one table of bounds: every queue, map and buffer of the core has its row here (contract C8).

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
/// Memory that a frame costs beside its bytes while it waits: its place in the queue, its counters, and what
/// the allocator adds.
pub(crate) const FRAME_COST: usize = 96;
/// Buffers of frames up to this size are used again.
pub(crate) const FRAME_REUSED: usize = 8 * 1024;
/// Bytes kept a registered masternode: its newest heartbeat and the digests of the last few, at most.
pub(crate) const MASTERNODE_BYTES: usize = 6 * 1024;
/// Attempts kept a peer for `/why`.
pub const ATTEMPTS_KEPT: usize = 8;
/// Characters of a peer's agent text at most.
pub const MAX_AGENT: usize = 32;
/// Requests taken from the API in one wake-up of the shell.
pub const REQUESTS_PER_WAKE: usize = 50;

/// Bounds that may differ from node to node. All byte values are of payload; see
/// [`Limits::worst_case_bytes`] for what they add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Live sessions at most.
    pub max_peers: usize,
    /// Connections that have not proven an identity, at most.
    pub unauthenticated: usize,
    /// How many of these are kept for source addresses in the registry.
    pub unauthenticated_kept: usize,
    /// Own dials whose handshake is not done, at most.
    pub dialing: usize,
    /// Peers remembered, registered masternodes included.
    pub known_peers: usize,
    /// Addresses known to be our own, at most.
    pub own_addrs: usize,
    /// Bytes waiting in the control lane of a link before it is closed as slow.
    pub control_lane: usize,
    /// Bytes waiting in the payload lane of a link.
    pub payload_lane: usize,
    /// Bytes waiting in the relay lane of a link before the oldest is dropped.
    pub relay_lane: usize,
    /// Bytes waiting in the bulk lane of a link.
    pub bulk_lane: usize,
    /// Handshake answers parked behind a record at most.
    pub gate: usize,
    /// Free frame buffers kept for reuse.
    pub frame_pool: usize,
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
        Self {
            max_peers: 50.max(registry + 20),
            unauthenticated: 64,
            unauthenticated_kept: 16,
            dialing: 32,
            known_peers: 1024,
            own_addrs: 64,
            control_lane: 256 * 1024,
            payload_lane: 2 * 1024 * 1024,
            relay_lane: 256 * 1024,
            bulk_lane: 1024 * 1024,
            gate: 128,
            frame_pool: 64,
        }
    }

    /// Bytes that the core can hold at most with these limits: the sum of every row, at its bound.
    #[must_use]
    pub const fn worst_case_bytes(&self) -> usize {
        // Lanes out, one partial frame a lane in, one partial record, and the state of a link itself.
        let reassembly = 4 * MAX_DATAGRAM + MAX_RECORD_PLAINTEXT + RECORD_OVERHEAD + RECORD_PREFIX;
        let link =
            self.control_lane + self.payload_lane + self.relay_lane + self.bulk_lane + reassembly + 2 * 1024;
        let unauthenticated = 4 * 1024;
        let peer = 2 * 1024;
        self.max_peers * link
            + (self.unauthenticated + self.dialing) * unauthenticated
            + self.known_peers * peer
            + self.frame_pool * MAX_DATAGRAM
            + self.own_addrs * 64
            + self.gate * 512
            + MAX_MASTERNODES * MASTERNODE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_leaves_room_for_the_registry() {
        assert_eq!(Limits::for_registry(4).max_peers, 50);
        assert_eq!(Limits::for_registry(128).max_peers, 148);
    }
}
