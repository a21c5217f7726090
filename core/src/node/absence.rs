//! Planned absences: this node's own announcement, and what the peers have announced (rule L-5).

use std::time::Duration;

use crate::event::{Drain, Event, PeerAbsence, Reply};
use crate::ids::{ConnId, NodeId};
use crate::input::QuorumLoss;
use crate::net::absence::{Absence, LONGEST};
use crate::net::pool::Destination;
use crate::node::{Node, Run};
use crate::seats::SeatSet;
use crate::time::{Mono, Now};
use crate::wire::message::{Lane, Message, Role};
use crate::wire::peers;

/// Announcements come no faster. Each may be taken back at any time, so that peers hear two words in this time at
/// most, which the rate of `liveness` grants.
const ANNOUNCED_APART: Duration = Duration::from_secs(2);

/// This node's own absence.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Leave {
    announced: Option<Duration>,
    /// When it has said so last.
    said: Option<Mono>,
}

impl Leave {
    /// For how long this node will be away at most, if it has said so.
    pub(super) const fn announced(&self) -> Option<Duration> {
        self.announced
    }

    fn wire(&self) -> Message {
        let seconds = self.announced.map_or(0, |lasts| lasts.as_secs());
        Message::Absence(peers::Absence { seconds: u32::try_from(seconds).unwrap_or(u32::MAX) })
    }
}

impl Node {
    /// The operator is about to stop this node for a while.
    pub(super) fn order_drain(&mut self, now: Now, lasts: Duration, loss: QuorumLoss) -> Reply {
        if lasts < Duration::from_secs(1) || lasts > LONGEST {
            return Reply::Refused("an absence lasts from a second to a day");
        }
        let order = self.planned(Some(lasts));
        if order.left < order.quorum && loss == QuorumLoss::Refused {
            return Reply::QuorumLost(Drain { absence: self.leave.announced, ..order });
        }
        if self.leave.said.is_some_and(|at| now.mono.since(at) < ANNOUNCED_APART) {
            return Reply::Refused("the last announcement was less than two seconds ago");
        }
        self.announce(now, order)
    }

    /// This node stays after all.
    pub(super) fn order_undrain(&mut self, now: Now) -> Reply {
        let order = self.planned(None);
        if self.leave.announced.is_none() {
            return Reply::Drain(order);
        }
        self.announce(now, order)
    }

    fn planned(&self, absence: Option<Duration>) -> Drain {
        // Who died a moment ago is still active by its heartbeats; its link tells better.
        let stays = |id: &NodeId| {
            let peer = self.pool.get(id);
            peer.is_some_and(|peer| peer.live.is_some() && peer.dialing.absence == Absence::None)
        };
        let registry = &self.config.registry;
        let acts = self.identity.role == Role::Masternode && registry.index_of(&self.identity.node).is_some();
        let quorum = if acts { registry.quorum() } else { 0 };
        Drain { absence, told: 0, left: self.masternode.active_others().filter(stays).count(), quorum }
    }

    fn announce(&mut self, now: Now, order: Drain) -> Reply {
        if self.run != Run::Working {
            return Reply::Refused("the node is stopping");
        }
        let said = order.absence.map_or(self.leave.said, |_| Some(now.mono));
        self.leave = Leave { announced: order.absence, said };
        let frame = self.frames.encode(&self.leave.wire());
        let conns: Vec<ConnId> = self.pool.live().map(|(_, conn)| conn).collect();
        for conn in &conns {
            self.deliver(now, *conn, Lane::Control, &frame);
        }
        self.touch(now);
        Reply::Drain(Drain { told: conns.len(), ..order })
    }

    /// A link has become live while an absence of this node is announced: its peer has forgotten of it.
    pub(super) fn tell_absence(&mut self, now: Now, conn: ConnId) {
        if self.leave.announced.is_some() {
            let frame = self.frames.encode(&self.leave.wire());
            self.deliver(now, conn, Lane::Control, &frame);
        }
    }

    /// A live peer says that it is about to be away, or that it is not.
    pub(super) fn absence_announced(&mut self, from: NodeId, said: peers::Absence) {
        let Some(peer) = self.pool.get_mut(&from).filter(|peer| peer.live.is_some()) else { return };
        let (before, heard) = (peer.dialing.absence, Absence::said(said.seconds));
        if before == heard {
            return;
        }
        peer.dialing.absence = heard;
        let absence = match heard {
            Absence::Announced(lasts) => PeerAbsence::Announced(lasts),
            _ => PeerAbsence::TakenBack,
        };
        self.event(Event::Absence { peer: from, absence });
    }

    /// Looks whether a peer is still away when its time has come: from now on it is missed.
    pub(super) fn absence_over(&mut self, now: Now, destination: Destination) {
        let Some(dialing) = self.pool.dialing_mut(destination) else { return };
        if dialing.absence.expires(now.mono)
            && let Destination::Peer(peer) = destination
        {
            self.touch(now);
            self.event(Event::Absence { peer, absence: PeerAbsence::Overdue });
        }
    }

    /// When to ask about a destination again: not after its peer is missed.
    pub(super) fn or_missed(&self, destination: Destination, at: Option<Mono>) -> Option<Mono> {
        let missed = self.pool.dialing(destination).and_then(|dialing| dialing.absence.until());
        at.into_iter().chain(missed).min()
    }

    /// The masternodes that are away as announced.
    pub(super) fn absent_seats(&self) -> SeatSet {
        let away = self.pool.peers().filter(|peer| peer.dialing.absence.is_away());
        away.filter_map(|peer| peer.masternode).collect()
    }
}
