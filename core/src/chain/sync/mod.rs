//! Catching up: which blocks are missing, whom to ask for them, and in what order they come out (rules Y-1 to
//! Y-4); `serving` is the other end (rule Y-5).
//!
//! Plain values in, effects out: nothing here verifies, stores or signs. The caller
//! - tells which peers are live and how far each says it is ([`Sync::peer_up`], [`Sync::tip`],
//!   [`Sync::peer_down`]), which heights it knows to be certified ([`Sync::certified`]), how far it is itself
//!   ([`Sync::applied`], [`Sync::durable`]), and who is registered ([`Sync::registered`]);
//! - hands in the answers ([`Sync::part`], [`Sync::end`]);
//! - calls [`Sync::tick`] when [`Sync::deadline`] has passed;
//! - takes blocks with [`Sync::next_block`] after any of these, as soon as it can verify the next one, and
//!   reports each as [`Sync::applied`] or [`Sync::rejected`].

pub(crate) mod serving;

use std::time::Duration;

use bytes::Bytes;

use crate::chain::effects::Effects;
use crate::event::SyncState;
use crate::ids::{Height, NodeId};
use crate::registry::Registry;
use crate::rng::Rng;
use crate::time::Mono;
use crate::wire::block::FinalBlock;
use crate::wire::message::{BlockPart, BlocksEnd};

/// What the scheduler is told once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// How long votes are given to bring a single missing block: min(1 s, interval / 4) at a masternode, zero
    /// at an observer, which gets no votes.
    pub(crate) grace: Duration,
    /// `Limits::sync_window`.
    pub(crate) window: usize,
}

/// A block out of the window: the next one that this node lacks. Nothing of it is verified; its height is what
/// its header says, and its bytes are canonical.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    /// Its height.
    pub(crate) height: Height,
    /// The block.
    pub(crate) block: FinalBlock,
    /// The same, encoded, as a commit wants it.
    pub(crate) bytes: Bytes,
    /// Who served it.
    pub(crate) from: NodeId,
}

/// The scheduler of catching up: one a node, the only one that asks for blocks (SYNC-01a).
#[derive(Clone, Debug)]
pub(crate) struct Sync {
    settings: Settings,
    rng: Rng,
    applied: Height,
}

impl Sync {
    /// A scheduler of a node whose newest durable block is `tip` (0 for none). `rng` is its own stream.
    pub(crate) fn new(settings: Settings, registry: &Registry, own: NodeId, tip: Height, rng: Rng) -> Self {
        let _ = (registry, own);
        Self { settings, rng, applied: tip }
    }

    /// The registry in force at the next height has changed.
    pub(crate) fn registered(&mut self, now: Mono, registry: &Registry, effects: &mut Effects) {
        let _ = (now, registry, effects);
    }

    /// A link became live, or was replaced; `tip` is what its handshake told.
    pub(crate) fn peer_up(&mut self, now: Mono, peer: NodeId, tip: Height, effects: &mut Effects) {
        let _ = (now, peer, tip, effects);
    }

    /// A node told its own tip: in a `Tip`, in a heartbeat that it signed, in a certificate that it sent. From
    /// nodes without a live link it is ignored (SYNC-02b).
    pub(crate) fn tip(&mut self, now: Mono, peer: NodeId, height: Height, effects: &mut Effects) {
        let _ = (now, peer, height, effects);
    }

    /// A link ended and no other of the peer is live.
    pub(crate) fn peer_down(&mut self, now: Mono, peer: NodeId, effects: &mut Effects) {
        let _ = (now, peer, effects);
    }

    /// A verified certificate says that this height is final.
    pub(crate) fn certified(&mut self, now: Mono, height: Height, effects: &mut Effects) {
        let _ = (now, height, effects);
    }

    /// A final block was verified, by whatever path, and is being committed: the next one wanted follows it.
    pub(crate) fn applied(&mut self, now: Mono, height: Height, effects: &mut Effects) {
        let _ = (now, effects);
        self.applied = self.applied.max(height);
    }

    /// This node's blocks are durable up to this height.
    pub(crate) fn durable(&mut self, now: Mono, height: Height, effects: &mut Effects) {
        let _ = (now, height, effects);
    }

    /// A part of a block arrived.
    pub(crate) fn part(&mut self, now: Mono, from: NodeId, part: BlockPart, effects: &mut Effects) {
        let _ = (now, from, part, effects);
    }

    /// The end of an answer arrived.
    pub(crate) fn end(&mut self, now: Mono, from: NodeId, end: BlocksEnd, effects: &mut Effects) {
        let _ = (now, from, end, effects);
    }

    /// The next block to verify, once: `None` while it is not here, while the one before has been neither
    /// applied nor rejected, and while too much is applied that is not durable (64 blocks, 8 MiB).
    pub(crate) fn next_block(&mut self, now: Mono, effects: &mut Effects) -> Option<Fetched> {
        let _ = (now, effects);
        None
    }

    /// A block of [`Sync::next_block`] did not verify: nothing else of whoever served it is used, and it is not
    /// asked for a while. Nobody is charged for it.
    pub(crate) fn rejected(&mut self, now: Mono, from: NodeId, height: Height, effects: &mut Effects) {
        let _ = (now, from, height, effects);
    }

    /// The deadline has passed. Harmless at any time.
    pub(crate) fn tick(&mut self, now: Mono, effects: &mut Effects) {
        let _ = (now, effects);
    }

    /// When something is to be done without an input; after [`Sync::tick`] never in the past.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        None
    }

    /// How far this node has caught up.
    pub(crate) fn state(&self) -> SyncState {
        SyncState::Synced
    }

    /// The highest height that this node has reason to believe final. It must not propose at or below it.
    pub(crate) fn heard(&self) -> Height {
        self.applied
    }
}
