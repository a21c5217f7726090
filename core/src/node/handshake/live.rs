//! A link becomes live, and replaces what was there.

use crate::event::{CloseReason, ClosedBy, DialedBecause, Event};
use crate::ids::ConnId;
use crate::link::liveness::Vitals;
use crate::link::rates::Meter;
use crate::link::{Confirmed, Link, Origin, Peering, Phase};
use crate::net::pool::Destination;
use crate::node::{Node, TimerKey};
use crate::time::Now;
use crate::wire::message::{Ballot, DialerRank, Introduction};

impl Node {
    /// A link is admitted: it is live, and replaces what was there (rule B-2).
    pub(super) fn go_live(
        &mut self,
        now: Now,
        conn: ConnId,
        them: &Introduction,
        because: DialedBecause,
        ballot: Ballot,
        confirmed: Confirmed,
    ) {
        self.make_place(now, &them.node);
        let Some(link) = self.links.get_mut(conn) else { return };
        let (Phase::HelloParked(mut channel) | Phase::AwaitHello(mut channel)) =
            std::mem::replace(&mut link.phase, Phase::Closing(None))
        else {
            return;
        };
        channel.records.widen();
        let direction = link.direction();
        let remote = link.remote;
        let origin = link.origin;
        let vitals = Vitals { heard: now.mono, pinged: None, stalled: None };
        link.phase = Phase::Live(
            channel,
            Box::new(Peering {
                peer: them.node,
                boot: them.boot,
                proof: Some(Box::new(them.proof)),
                ballot,
                because,
                advertised: them.advertised,
                observed: them.observed,
                agent: them.agent.clone(),
                height: them.height,
                since: now.mono,
                since_wall: now.wall,
                confirmed,
                vitals,
                meter: Meter::new(now.mono),
                paused: None,
            }),
        );
        if confirmed == Confirmed::ByBoth {
            self.confirm();
        }
        self.unauthenticated.retain(|waiting| waiting.conn != conn);
        self.leave_dialing(conn);
        self.timers.set(TimerKey::Link(conn), Some(now.mono + self.config.timings.ping_after));
        let (mut replaced, mut rival) = (None, None);
        if let Some(peer) = self.pool.get_mut(&them.node) {
            peer.register.raise(ballot);
            if peer.dialing.in_flight == Some(conn) {
                peer.dialing.in_flight = None;
            }
            rival = peer.dialing.in_flight;
            replaced = peer.up(now, conn, direction);
        }
        self.call_off(now, rival, &ballot);
        self.counters.links_up += 1;
        let session = ballot.session.tag();
        self.event(Event::LinkUp { conn, peer: them.node, remote, direction, because, session });
        let mut events = Vec::new();
        self.masternode.session_up(now, &them.node, session, &mut events);
        self.emit(now, events);
        self.touch(now);
        self.arm_masternode();
        if let Some(old) = replaced {
            let older =
                self.links.get(old).and_then(Link::peering).is_some_and(|p| p.boot.epoch < them.boot.epoch);
            let reason = if older { CloseReason::Ghost } else { CloseReason::Duplicate };
            self.end(now, old, reason, ClosedBy::Us);
        }
        self.ping(now, conn);
        self.tell_absence(now, conn);
        self.count_votes();
        self.arm_probes();
        self.chain_link_up(now, them);
        self.timers.set(TimerKey::Dial(Destination::Peer(them.node)), None);
        if let Origin::Dialed { addr, .. } = origin {
            self.address_verified(now, them.node, addr);
            self.next_waiting(now);
        }
        self.exchange_link_up(now, &them.node);
    }

    /// A dial of ours that has not consumed an ordinal yet has lost its purpose: it must not replace the link
    /// that just became live. One whose `Hello` is out is left to the ballot, and so is a canonical one whose
    /// handshake overlaps with a link dialed from the other side (rule B-5).
    fn call_off(&mut self, now: Now, rival: Option<ConnId>, live: &Ballot) {
        let Some(link) = rival.and_then(|conn| self.links.get(conn)) else { return };
        let conn = link.conn;
        let superfluous = match link.phase {
            Phase::Dialing => true,
            // The live link was dialed from the other side: if that was not canonical, ours is.
            Phase::AwaitReply(_) | Phase::HelloParked(_) => live.dialer == DialerRank::Canonical,
            _ => false,
        };
        if superfluous {
            self.end(now, conn, CloseReason::Duplicate, ClosedBy::Us);
        }
    }
}
