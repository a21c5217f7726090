//! Serving blocks to peers that catch up, below everything else (rule Y-5).
//!
//! Parts are *pulled*: a served peer's bulk lane is topped up to [`LANE_FILL`], never more, so that a part is
//! never refused by a full lane and what waits in the core stays small. Whoever drains a link says so with
//! [`Serving::drained`].

use crate::chain::effects::Effects;
use crate::ids::{Height, LoadId, NodeId};
use crate::input::StoredBlock;
use crate::registry::Registry;
use crate::time::Mono;
use crate::wire::message::GetBlocks;

/// Bytes that serving lets wait on the bulk lane of one link.
pub(crate) const LANE_FILL: usize = 128 * 1024;

/// Everything that this node serves.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    bound: usize,
}

impl Serving {
    /// Serves nobody yet. `bound` is `Limits::serving`: bytes of loaded blocks held at most.
    pub(crate) fn new(bound: usize, registry: &Registry) -> Self {
        let _ = registry;
        Self { bound }
    }

    /// The registry in force at the next height has changed.
    pub(crate) fn registered(&mut self, registry: &Registry) {
        let _ = registry;
    }

    /// A peer asks for blocks; `tip` is this node's newest durable one. A request replaces the one before.
    pub(crate) fn get_blocks(
        &mut self,
        now: Mono,
        from: NodeId,
        get: GetBlocks,
        tip: Height,
        effects: &mut Effects,
    ) {
        let _ = (now, from, get, tip, effects);
    }

    /// The store answered a `Command::Load` of ours.
    pub(crate) fn loaded(
        &mut self,
        now: Mono,
        load: LoadId,
        blocks: Vec<StoredBlock>,
        effects: &mut Effects,
    ) {
        let _ = (now, load, blocks, effects);
    }

    /// Whether [`Serving::drained`] is of use for this peer now.
    pub(crate) fn is_serving(&self, peer: &NodeId) -> bool {
        let _ = peer;
        false
    }

    /// After a call of `transmit` for a link: so many bytes are still waiting on its bulk lane.
    pub(crate) fn drained(&mut self, now: Mono, peer: NodeId, waiting: usize, effects: &mut Effects) {
        let _ = (now, peer, waiting, effects);
    }

    /// A link ended: nothing more is served to it. Also when another link of the peer replaced it: its lanes
    /// are empty, and the peer asks again.
    pub(crate) fn peer_down(&mut self, now: Mono, peer: NodeId, effects: &mut Effects) {
        let _ = (now, peer, effects);
    }

    /// The deadline has passed. Harmless at any time.
    pub(crate) fn tick(&mut self, now: Mono, effects: &mut Effects) {
        let _ = (now, effects);
    }

    /// When something is to be done without an input; after [`Serving::tick`] never in the past.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        None
    }
}
