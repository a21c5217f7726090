//! Places among the live links: who gives one up for a newcomer that is entitled to it (rule S-4).

use std::time::Duration;

use crate::event::{CloseReason, ClosedBy, SlotClass};
use crate::ids::{ConnId, NodeId};
use crate::link::quality;
use crate::net::peer::Peer;
use crate::net::slots::{Occupant, Use, Verdict, displaced};
use crate::node::Node;
use crate::time::Now;

/// What a link brought is remembered in its favour for so long.
const USEFUL_FOR: Duration = Duration::from_secs(600);

impl Node {
    /// The link of a peer is about to be live: where it needs one, an observer's place is freed.
    pub(super) fn make_place(&mut self, now: Now, newcomer: &NodeId) {
        let Some(peer) = self.pool.get(newcomer) else { return };
        if self.pool.verdict(peer) != Verdict::Displaces {
            return;
        }
        let observers: Vec<Occupant> = self
            .pool
            .live()
            .filter(|(peer, _)| self.pool.class(peer) == SlotClass::Observer)
            .filter_map(|(peer, conn)| self.occupant(now, peer, conn))
            .collect();
        let victim = displaced(&observers).and_then(|id| self.pool.get(&id)?.live);
        if let Some(link) = victim {
            self.end(now, link.conn, CloseReason::Displaced, ClosedBy::Us);
        }
    }

    fn occupant(&self, now: Now, peer: &Peer, conn: ConnId) -> Option<Occupant> {
        let useful = peer.quality.useful_at.is_some_and(|at| now.mono.since(at) < USEFUL_FOR);
        Some(Occupant {
            id: peer.id,
            health: self.health(now, peer, conn)?,
            brings: if useful { Use::Useful } else { Use::Idle },
            ip: self.links.get(conn)?.remote.ip(),
            since: peer.live?.since,
        })
    }

    /// Whether this node's operator has reserved a place for a peer, by its key or by the address at which it was
    /// found.
    pub(super) fn is_reserved(&self, id: &NodeId) -> bool {
        self.pool.is_reserved(id)
    }

    /// A peer has brought something that was new here, or that this node had asked for.
    pub(super) fn useful(&mut self, now: Now, from: &NodeId) {
        if let Some(peer) = self.pool.get_mut(from) {
            peer.quality.useful_at = Some(now.mono);
        }
    }

    /// The health of a peer's live link.
    pub(super) fn health(&self, now: Now, peer: &Peer, conn: ConnId) -> Option<u8> {
        let peering = self.links.get(conn)?.peering()?;
        let reconnects = peer.reconnects(now.mono);
        let timings = &self.config.timings;
        Some(quality::health(now.mono, &peering.vitals, &peer.quality, reconnects, timings))
    }
}
