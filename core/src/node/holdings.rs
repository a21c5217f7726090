//! How full the tables of a node are (contract C8).

use crate::limits::{Holding, holding};
use crate::node::{Node, Parked};
use crate::wire::message::Lane;

/// Deadlines of the node that belong to no connection and no destination.
const OWN_TIMERS: usize = 16;

impl Node {
    /// Every table that peers, the application or time can fill: how much it holds, and how much it may. A pure
    /// getter that takes time proportional to the number of connections, for tests, metrics and whoever wonders
    /// where memory goes; what the bounds add up to is [`Limits::worst_case_bytes`](crate::Limits::worst_case_bytes).
    #[must_use]
    pub fn holdings(&self) -> Vec<Holding> {
        let limits = &self.config.limits;
        let live = self.links.iter().filter(|(_, link)| link.peering().is_some()).count();
        let parked = |parked: &&Parked| matches!(parked, Parked::Hello(_) | Parked::Answer(_));
        let timers = self.links.len() + 2 * limits.known_peers + OWN_TIMERS;
        let own = [
            holding("live links", live, limits.max_peers),
            holding("unauthenticated connections", self.unauthenticated.len(), limits.unauthenticated),
            holding("connections that wait for their turn", self.deferred.len(), limits.unauthenticated),
            holding("own dials under way", self.dialing.len(), limits.dialing),
            holding("destinations that wait for room to dial", self.waiting.len(), 2 * limits.known_peers),
            holding("answers that wait for a write", self.gate.parked().filter(parked).count(), limits.gate),
            holding("deadlines", self.timers.len(), timers),
            self.fullest(Lane::Control, "bytes of the fullest control lane", limits.control_lane),
            self.fullest(Lane::Payload, "bytes of the fullest payload lane", limits.payload_lane),
            self.fullest(Lane::Relay, "bytes of the fullest relay lane", limits.relay_lane),
            self.fullest(Lane::Bulk, "bytes of the fullest bulk lane", limits.bulk_lane),
            self.frames.holding(),
            self.seeds.holding(),
            self.bans.holding(),
            self.saving.holding(),
        ];
        let parts = self.pool.holdings().into_iter().chain(self.addresses.holdings());
        let chain = self.chain.iter().flat_map(|chain| chain.holdings(limits.max_peers));
        own.into_iter().chain(parts).chain(self.scores.holdings()).chain(chain).collect()
    }

    fn fullest(&self, lane: Lane, what: &'static str, bound: usize) -> Holding {
        let held = self.links.iter().map(|(_, link)| link.out.held(lane)).max().unwrap_or(0);
        holding(what, held, bound)
    }
}
