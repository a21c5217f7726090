//! Where nodes are: what the others say of us (rule P-7), and whether a peer is where it says (rule P-6).

use std::net::IpAddr;

use crate::addr::CanonicalAddr;
use crate::command::Command;
use crate::event::{CloseReason, Event, Warning};
use crate::ids::{ConnId, NodeId};
use crate::link::{Link, Origin};
use crate::net::observed::Observed;
use crate::net::peer::Outcome;
use crate::net::probe::{self, Allowance, Situation};
use crate::node::{Node, TimerKey};
use crate::time::{Mono, Now};
use crate::wire::message::Intent;

/// What is kept of it beside the records of peers.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Reach {
    pub(super) observed: Observed,
    /// Probes that may be made, and answered.
    asking: Allowance,
    pub(super) answering: Allowance,
    /// Dials that strangers' knocks may draw.
    pub(super) drawn: Allowance,
}

impl Node {
    /// Where each linked masternode sees us.
    pub(super) fn votes(&self) -> impl Iterator<Item = IpAddr> {
        let masternodes = self.pool.live().filter(|(peer, _)| peer.masternode.is_some());
        masternodes.filter_map(|(_, conn)| Some(self.links.get(conn)?.peering()?.observed?.ip()))
    }

    /// A link has come up, or the registry has changed: so may where we are.
    pub(super) fn count_votes(&mut self) {
        let registry = &self.config.registry;
        let others = registry.entries().iter().filter(|entry| entry.id != self.identity.node).count();
        let votes: Vec<IpAddr> = self.votes().collect();
        let news = self.reach.observed.learn(votes, others);
        let (Some(seen), Some(advertised)) = (self.reach.observed.learned(), self.identity.advertised) else {
            return;
        };
        let seen_at = CanonicalAddr::new((seen, advertised.port()).into()).ok();
        self.pool.seen_at(seen_at, &self.config.registry);
        if news.is_some_and(|ip| ip != advertised.ip()) {
            self.event(Event::Warning(Warning::SeenElsewhere { advertised, seen }));
        }
    }

    /// Whoever was dialed at an address has proven its key there.
    pub(super) fn reached(&mut self, now: Now, conn: ConnId, addr: CanonicalAddr) {
        let proven = self.links.get(conn).and_then(|link| link.peer);
        if let Some(peer) = proven.and_then(|id| self.pool.get_mut(&id)) {
            peer.reached = Some((addr, now.mono));
        }
    }

    /// When the advertised addresses of linked observers are to be probed.
    fn probes(&self) -> impl Iterator<Item = (Mono, NodeId, CanonicalAddr)> {
        self.pool.live().filter(|(peer, _)| peer.masternode.is_none()).filter_map(|(peer, conn)| {
            let link = self.links.get(conn)?;
            let peering = link.peering()?;
            let advertised = peering.advertised.filter(|addr| !self.pool.owns(addr));
            let situation = Situation {
                advertised,
                source: link.remote.ip(),
                direction: link.direction(),
                since: peering.since,
                reached: peer.reached,
                probes: peer.probes,
            };
            Some((probe::next_probe(&situation)?, peer.id, advertised?))
        })
    }

    pub(super) fn arm_probes(&mut self) {
        let next = self.probes().map(|(at, ..)| at).min();
        self.timers.set(TimerKey::Probes, next);
    }

    pub(super) fn probes_due(&mut self, now: Now) {
        let due: Vec<_> = self.probes().filter(|(at, ..)| *at <= now.mono).collect();
        let mut crowded = false;
        for (_, id, addr) in due {
            let under_way = self.dialing.iter().filter(|conn| self.is_probe(**conn)).count();
            let room = under_way < probe::UNDER_WAY && self.dialing.len() < self.config.limits.dialing;
            crowded = !room || !self.reach.asking.take(now.mono);
            if crowded {
                break;
            }
            self.probe(now, id, addr);
        }
        self.arm_probes();
        if crowded {
            // What had no room waits for some.
            self.timers.set(TimerKey::Probes, Some(now.mono + Allowance::PART));
        }
    }

    fn is_probe(&self, conn: ConnId) -> bool {
        let origin = self.links.get(conn).map(|link| link.origin);
        matches!(origin, Some(Origin::Dialed { intent: Intent::Probe, .. }))
    }

    /// Beside the live link: not a dial of the pair, so the gate is not asked and nothing is booked with it.
    fn probe(&mut self, now: Now, id: NodeId, addr: CanonicalAddr) {
        if let Some(peer) = self.pool.get_mut(&id) {
            peer.probes.begun(now.mono);
        }
        let origin = Origin::Dialed { addr, expect: Some(id), intent: Intent::Probe };
        let conn = self.links.insert_with(|conn| Link::new(conn, addr.socket(), origin));
        self.dialing.insert(conn);
        self.counters.dials += 1;
        self.counters.probes += 1;
        self.timers.set(TimerKey::Link(conn), Some(now.mono + self.config.timings.dial_timeout));
        self.commands.push_back(Command::Dial { conn, addr });
    }

    /// A probe ended. Only whether the peer proved its key there counts, whatever else it answered.
    pub(super) fn probe_over(
        &mut self,
        now: Now,
        (addr, expect, proven): (CanonicalAddr, Option<NodeId>, Option<NodeId>),
        outcome: Outcome,
        reason: CloseReason,
    ) {
        let Some(id) = expect else { return };
        if reason == CloseReason::SelfConnection {
            self.dial_learned(now, addr, None, reason);
        }
        let here = proven == Some(id);
        if here {
            self.address_verified(now, id, addr);
        } else {
            self.book_learned(now, (addr, expect, proven), outcome, reason);
        }
        if let Some(peer) = self.pool.get_mut(&id) {
            if here { peer.probes.succeeded() } else { peer.probes.failed() }
        }
        let reason = if here { CloseReason::ProbeDone } else { reason };
        self.event(Event::Probed { peer: id, addr, reason });
        self.arm_probes();
    }
}
