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
//!
//! Three numbers are kept apart. A peer's *tip* is what it says, and enough to ask it. What has been *heard*
//! decides about [`Sync::state`], and with it whether this node may propose: so no peer alone can set it
//! (`heard.rs`). What is *applied* was verified here.

mod heard;
mod incoming;
mod pace;
mod peers;
mod schedule;
pub(crate) mod serving;
#[cfg(test)]
mod tests;
mod wanted;
mod window;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use crate::chain::effects::{Effect, Effects};
use crate::event::{Offence, SyncState};
use crate::ids::{Height, NodeId};
use crate::limits::{
    COMMITS_UNDER_WAY, FETCHED_BYTES, Holding, LEAST_SYNC_WINDOW, SYNC_BLOCK_LEAST, SYNC_PEER_BYTES, holding,
};
use crate::registry::Registry;
use crate::rng::Rng;
use crate::time::Mono;
use crate::wire::block::FinalBlock;
use crate::wire::message::{BlockPart, BlocksEnd, Served};
use heard::Heard;
use incoming::{Arrival, Incoming};
use peers::{Distrusted, Peer};
pub(crate) use schedule::RANGE;
use wanted::Wanted;
use window::Window;

/// What the scheduler is told once.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
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

/// What catching up has come to since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Counts {
    /// Requests sent.
    pub(crate) requests: u64,
    /// Of these, for what another peer was asked before.
    pub(crate) races: u64,
    /// Missing blocks that came.
    pub(crate) blocks: u64,
    /// Blocks that came and were not missing any more.
    pub(crate) surplus: u64,
    /// Requests that brought nothing in time.
    pub(crate) timeouts: u64,
    /// Requests of which others brought the rest.
    pub(crate) overtaken: u64,
    /// Requests answered with "busy".
    pub(crate) busy: u64,
    /// Requests answered with "nothing", or with no block.
    pub(crate) nothing: u64,
    /// Answers to no request that is open: not asked for, or too late.
    pub(crate) unsolicited: u64,
    /// Answers that contradict themselves or the request.
    pub(crate) malformed: u64,
    /// Blocks that did not verify.
    pub(crate) rejected: u64,
}

/// A block that was given out to be verified.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
struct Handed {
    height: Height,
    from: NodeId,
    bytes: usize,
}

/// The scheduler of catching up: one a node, the only one that asks for blocks (SYNC-01a).
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Sync {
    settings: Settings,
    rng: Rng,
    applied: Height,
    peers: BTreeMap<NodeId, Peer>,
    distrusted: Distrusted,
    /// Of the heights above `applied`, each up to the frontier of `wanted` is in exactly one of four places: in
    /// `window`, in `handed`, in `wanted`, or in what is missing of at least one `Peer::incoming`.
    wanted: Wanted,
    window: Window,
    handed: Option<Handed>,
    /// Blocks that came this way, are applied, and are not durable.
    committing: VecDeque<(Height, usize)>,
    heard: Heard,
    /// Bytes of a block, as lately seen.
    typical: usize,
    /// From a request to the first part of its answer, as lately seen.
    usual_answer: Duration,
    next_id: u64,
    counts: Counts,
    state: SyncState,
    due: Option<Mono>,
}

impl Sync {
    /// A scheduler of a node `own` whose newest durable block is `tip` (0 for none). `rng` is its own stream.
    pub(crate) fn new(settings: Settings, registry: &Registry, own: NodeId, tip: Height, rng: Rng) -> Self {
        let window = settings.window.max(LEAST_SYNC_WINDOW);
        Self {
            settings: Settings { window, ..settings },
            rng,
            applied: tip,
            peers: BTreeMap::new(),
            distrusted: Distrusted::default(),
            wanted: Wanted::above(tip),
            window: Window::default(),
            handed: None,
            committing: VecDeque::new(),
            heard: Heard::new(registry, own),
            typical: TYPICAL_AT_FIRST,
            usual_answer: schedule::SILENCE,
            next_id: 1,
            counts: Counts::default(),
            state: SyncState::Synced,
            due: None,
        }
    }

    /// The registry in force at the next height has changed.
    pub(crate) fn registered(&mut self, now: Mono, registry: &Registry, effects: &mut Effects) {
        self.heard.registered(registry);
        self.settle(now, effects);
    }

    /// A link became live, or took the place of another; `tip` is what its handshake told.
    pub(crate) fn peer_up(&mut self, now: Mono, peer: NodeId, tip: Height, effects: &mut Effects) {
        self.release(&peer);
        self.peers.insert(peer, Peer::new(tip, now));
        self.settle(now, effects);
    }

    /// A node told its own tip: in a `Tip`, in a heartbeat that it signed, in a certificate that it sent. From
    /// nodes without a live link it is ignored (SYNC-02b).
    pub(crate) fn tip(&mut self, now: Mono, peer: NodeId, height: Height, effects: &mut Effects) {
        // Every vote tells one. What is here already changes nothing: not what is asked, not what is believed.
        if height <= self.applied {
            return;
        }
        let Some(peer) = self.peers.get_mut(&peer).filter(|peer| peer.tip < height) else { return };
        if peer.tip <= self.applied {
            peer.above_since = now;
        }
        peer.tip = height;
        self.settle(now, effects);
    }

    /// A link ended and no other of the peer is live.
    pub(crate) fn peer_down(&mut self, now: Mono, peer: NodeId, effects: &mut Effects) {
        self.release(&peer);
        self.peers.remove(&peer);
        self.settle(now, effects);
    }

    /// A verified certificate says that this height is final.
    pub(crate) fn certified(&mut self, now: Mono, height: Height, effects: &mut Effects) {
        if self.heard.certified(height) {
            self.settle(now, effects);
        }
    }

    /// A final block was verified, by whatever path, and is being committed: the next one wanted follows it.
    /// Repeats are no-ops.
    pub(crate) fn applied(&mut self, now: Mono, height: Height, effects: &mut Effects) {
        if height <= self.applied {
            return;
        }
        self.applied = height;
        match self.handed.take_if(|handed| handed.height <= height) {
            Some(handed) if handed.height == height => {
                self.committing.push_back((height, handed.bytes));
                self.heard.fetched(now);
                if let Some(peer) = self.peers.get_mut(&handed.from) {
                    peer.delivered = Some(now);
                }
            }
            _ => self.heard.decided(),
        }
        self.window.advance(height);
        self.wanted.advance(height);
        for peer in self.peers.values_mut() {
            peer.above_since = now;
        }
        self.heard.moved(now);
        self.settle(now, effects);
    }

    /// This node's blocks are durable up to this height.
    pub(crate) fn durable(&mut self, height: Height) {
        while self.committing.front().is_some_and(|(oldest, _)| *oldest <= height) {
            self.committing.pop_front();
        }
    }

    /// A part of a block arrived (rule Y-3).
    pub(crate) fn part(&mut self, now: Mono, from: NodeId, part: BlockPart, effects: &mut Effects) {
        let (id, height) = (part.id, part.height);
        let known = self.is_here(height);
        let incoming = self.incoming(&from, part.id);
        let first = incoming.as_ref().filter(|asked| !asked.brought()).map(|asked| now.since(asked.asked));
        let arrival = incoming.map(|incoming| incoming.part(now, part, known));
        if let Some(took) = first.filter(|_| matches!(arrival, Some(Ok(_)))) {
            self.usual_answer = (self.usual_answer * 3 + took) / 4;
        }
        match arrival {
            None => self.unasked(from, id, effects),
            Some(Ok(Arrival::Piece)) => {}
            Some(Ok(Arrival::Block(height, bytes))) => self.arrived(now, from, height, bytes),
            Some(Ok(Arrival::Known)) => {
                self.counts.surplus += 1;
                // It was here when its first part came, and may have been dropped since.
                self.restore(height);
            }
            Some(Err(_)) => {
                self.counts.malformed += 1;
                self.release(&from);
                self.fail(now, &from);
                self.settle(now, effects);
            }
        }
    }

    /// The end of an answer arrived (rule Y-3).
    pub(crate) fn end(&mut self, now: Mono, from: NodeId, end: BlocksEnd, effects: &mut Effects) {
        let Some(incoming) = self.incoming(&from, end.id) else {
            return self.unasked(from, end.id, effects);
        };
        let (brought, whole) = (incoming.brought(), incoming.is_between_blocks());
        let missing = incoming.missing();
        self.release(&from);
        match end.served {
            Served::All if brought && whole => {}
            Served::All | Served::Nothing if !brought && whole => {
                self.counts.nothing += 1;
                // It does not have what it told of.
                if let (Some(missing), Some(peer)) = (missing, self.peers.get_mut(&from)) {
                    peer.tip = peer.tip.min(Height(missing.first.0.saturating_sub(1)));
                }
                self.fail(now, &from);
            }
            Served::Busy(retry_ms) => {
                self.counts.busy += 1;
                if let Some(peer) = self.peers.get_mut(&from) {
                    peer.busy(now, Duration::from_millis(retry_ms.into()), &mut self.rng);
                }
            }
            Served::All | Served::Nothing => {
                self.counts.malformed += 1;
                self.fail(now, &from);
            }
        }
        self.settle(now, effects);
    }

    /// The next block to verify, once: `None` while it is not here, while the one before has been neither
    /// applied nor rejected, and while too much is applied that is not durable (64 blocks, or the bytes of half
    /// a window).
    pub(crate) fn next_block(&mut self, now: Mono, effects: &mut Effects) -> Option<Fetched> {
        let committing: usize = self.committing.iter().map(|(_, bytes)| bytes).sum();
        if self.handed.is_some()
            || self.committing.len() >= COMMITS_UNDER_WAY
            || committing >= self.settings.window / 2
        {
            return None;
        }
        let height = self.applied.next();
        let kept = self.window.take(height)?;
        self.handed = Some(Handed { height, from: kept.from, bytes: kept.bytes.len() });
        match FinalBlock::decode(&kept.bytes) {
            Ok(block) if block.block.header.height == height => {
                Some(Fetched { height, block, bytes: kept.bytes, from: kept.from })
            }
            _ => {
                effects.push(Effect::Offence(kept.from, Offence::InvalidBlock));
                self.rejected(now, kept.from, height, effects);
                None
            }
        }
    }

    /// A block of [`Sync::next_block`] did not verify: nothing else of whoever served it is used, and it is not
    /// asked for a while.
    pub(crate) fn rejected(&mut self, now: Mono, from: NodeId, height: Height, effects: &mut Effects) {
        self.counts.rejected += 1;
        self.distrusted.add(now, from);
        self.release(&from);
        if self.handed.take_if(|handed| handed.height == height).is_some() {
            self.restore(height);
        }
        for height in self.window.drop_from(&from) {
            self.restore(height);
        }
        self.settle(now, effects);
    }

    /// The deadline has passed. Harmless at any time.
    pub(crate) fn tick(&mut self, now: Mono, effects: &mut Effects) {
        self.settle(now, effects);
    }

    /// When something is to be done without an input; after [`Sync::tick`] never in the past.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        self.due
    }

    /// How far this node has caught up. One block that votes are about to bring does not count as lacking.
    pub(crate) fn state(&self) -> SyncState {
        self.state
    }

    /// The highest height that this node has reason to believe final: it must not propose at or below it.
    pub(crate) fn heard(&self) -> Height {
        self.heard.target(self.applied)
    }

    pub(crate) fn holdings(&self, peers: usize) -> [Holding; 4] {
        [
            holding("peers in catching up", self.peers.len(), peers),
            holding("bytes of blocks fetched", self.window.bytes(), self.settings.window),
            holding("fetched blocks that are not durable", self.committing.len(), COMMITS_UNDER_WAY),
            self.distrusted.holding(),
        ]
    }

    /// What it has come to.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    fn incoming(&mut self, from: &NodeId, id: u64) -> Option<&mut Incoming> {
        self.peers.get_mut(from)?.incoming.as_mut().filter(|incoming| incoming.id == id)
    }

    /// An answer to no request that is open. It may have been given up as late; but what was asked of nobody was
    /// not asked of the peer either (rule A-3).
    fn unasked(&mut self, from: NodeId, id: u64, effects: &mut Effects) {
        self.counts.unsolicited += 1;
        if id >= self.next_id {
            effects.push(Effect::Offence(from, Offence::Unasked));
        }
    }

    /// Whether a block needs no fetching any more.
    fn is_here(&self, height: Height) -> bool {
        height <= self.applied
            || self.window.contains(height)
            || self.handed.is_some_and(|handed| handed.height == height)
    }

    /// A whole block came, in answer to a request.
    fn arrived(&mut self, now: Mono, from: NodeId, height: Height, bytes: Bytes) {
        if self.is_here(height) {
            self.counts.surplus += 1;
            return;
        }
        self.counts.blocks += 1;
        self.typical = (self.typical * 7 + bytes.len()) / 8;
        self.window.keep(height, bytes, from);
        self.heard.progress(now);
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.useful();
        }
    }
}

/// Bytes of a block, before any was seen.
const TYPICAL_AT_FIRST: usize = 8 * 1024;

const _: () = {
    assert!(LEAST_SYNC_WINDOW / SYNC_BLOCK_LEAST > schedule::RANGE_BLOCKS);
    // Nodes of trees are half empty at worst.
    assert!(2 * size_of::<(Height, window::Kept)>() <= FETCHED_BYTES);
    assert!(2 * (size_of::<(NodeId, Peer)>() + serving::CLIENT) <= SYNC_PEER_BYTES);
};
