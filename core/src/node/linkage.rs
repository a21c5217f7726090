//! The life of one connection: accepted, live, looked at, ended. Every end of a link passes one door,
//! [`Node::end`], once.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::command::{Command, Transmit};
use crate::event::{CloseReason, ClosedBy, Event, TransportCause};
use crate::ids::{ConnId, DialOrdinal};
use crate::link::liveness::{Pulse, pulse};
use crate::link::outbound::{Frame, Queued};
use crate::link::{Confirmed, Link, Origin, Peering, Phase};
use crate::net::pool::Destination;
use crate::net::unauthenticated::Waiting;
use crate::node::{Node, TimerKey};
use crate::time::Now;
use crate::wire::message::{Goodbye, Lane, Message, Ping};

impl Node {
    pub(super) fn accepted(&mut self, now: Now, from: SocketAddr) -> ConnId {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let origin = self.source_of(from);
        self.make_room(now, origin);
        let conn = self.links.insert_with(|conn| Link::new(conn, from, Origin::Accepted));
        self.unauthenticated.push(Waiting { conn, ip: from.ip(), origin });
        self.timers.set(TimerKey::Link(conn), Some(now.mono + self.config.timings.handshake_timeout));
        conn
    }

    /// The shell reports that a socket is gone.
    pub(super) fn closed(&mut self, now: Now, conn: ConnId, cause: TransportCause) {
        if self.links.get(conn).is_none() {
            self.counters.stale_inputs += 1;
            return;
        }
        self.end(now, conn, cause.reason(), ClosedBy::Network);
        self.links.remove(conn);
    }

    /// The one door through which a link ends. The first call decides reason and blame; later ones change
    /// nothing.
    pub(super) fn end(&mut self, now: Now, conn: ConnId, reason: CloseReason, by: ClosedBy) {
        let Some(link) = self.links.get_mut(conn) else { return };
        if link.end.is_some() {
            return;
        }
        link.end = Some((reason, by));
        let phase = std::mem::replace(&mut link.phase, Phase::Closing(None));
        let (origin, remote, proven) = (link.origin, link.remote, link.peer);
        let mut peering = None;
        link.phase = Phase::Closing(match phase {
            Phase::Live(channel, live) => {
                peering = Some(live);
                Some(channel)
            }
            Phase::HelloParked(channel)
            | Phase::AwaitHello(channel)
            | Phase::AnswerParked(channel, _)
            | Phase::AwaitAck(channel, _) => Some(channel),
            Phase::Dialing | Phase::AwaitReply(_) | Phase::AwaitPreamble => None,
            Phase::Closing(channel) => channel,
        });
        if let Some(channel) = link.channel_mut() {
            channel.stop_reading();
        }
        link.raw_in = Vec::new();
        self.timers.set(TimerKey::Link(conn), None);
        self.unauthenticated.retain(|waiting| waiting.conn != conn);
        if let Some(peering) = peering {
            self.live_ended(now, conn, &peering, reason, by);
        } else {
            match origin {
                Origin::Dialed { .. } => self.dial_over(now, conn, reason, by),
                Origin::Accepted if matches!(reason, CloseReason::KnockDone | CloseReason::ProbeDone) => {}
                Origin::Accepted => {
                    self.event(Event::InboundFailed { from: remote, peer: proven, reason, by });
                }
            }
        }
        if by != ClosedBy::Network {
            self.commands.push_back(Command::Close { conn, reason });
        }
    }

    fn live_ended(&mut self, now: Now, conn: ConnId, peering: &Peering, reason: CloseReason, by: ClosedBy) {
        let peer = peering.peer;
        let destination = Destination::Peer(peer);
        let longest = self.pool.longest_backoff(destination);
        let mut current = false;
        let mut highest = DialOrdinal(0);
        if let Some(record) = self.pool.get_mut(&peer) {
            highest = record.highest;
            // A link that was replaced ends without a trace in its peer's record (rule P-2).
            if record.live.is_some_and(|live| live.conn == conn) {
                current = true;
                record.down(now, reason, by, longest, &self.config.timings, &mut self.rng);
            }
        }
        if by == ClosedBy::Us {
            self.farewell(conn, peering.confirmed, Goodbye { reason, highest });
        }
        let lasted = now.mono.since(peering.since);
        self.counters.links_down += 1;
        self.event(Event::LinkDown { conn, peer, reason, by, lasted });
        self.note_end(now, peer, conn, reason, by);
        let mut events = Vec::new();
        self.masternode.session_down(now, &peer, peering.ballot.session.tag(), &mut events);
        self.emit(now, events);
        self.arm_masternode();
        if current {
            self.chain_link_down(now, peer);
            self.pursue(now, destination);
            self.ask_for_names(now);
            self.arm_exchange(now);
        }
    }

    /// The last frame on a link: whatever else waited is dropped.
    ///
    /// While the dialer has not been heard on the link, our answer may be among it. Without the answer it could
    /// not read the goodbye, so then the control lane is kept.
    fn farewell(&mut self, conn: ConnId, confirmed: Confirmed, goodbye: Goodbye) {
        let Some(link) = self.links.get_mut(conn) else { return };
        match confirmed {
            Confirmed::NotYet => link.out.abandon_all_but_control(),
            Confirmed::ByBoth => link.out.abandon(),
        }
        let frame = self.frames.encode(&Message::Goodbye(goodbye));
        if self.queue_frame(conn, Lane::Control, &frame) == Queued::Full {
            if let Some(link) = self.links.get_mut(conn) {
                link.out.abandon();
            }
            self.queue_frame(conn, Lane::Control, &frame);
        }
    }

    /// Queues a message on one link and asks the shell to send, if nothing waited there.
    pub(super) fn queue(&mut self, conn: ConnId, message: &Message) {
        let frame = self.frames.encode(message);
        self.queue_frame(conn, message.kind().lane(), &frame);
    }

    /// As [`Node::queue`], for a frame that goes to several links. Answers whether it waits there now.
    pub(super) fn queue_frame(&mut self, conn: ConnId, lane: Lane, frame: &Frame) -> Queued {
        let Some(link) = self.links.get_mut(conn) else { return Queued::Full };
        let queued = link.queue(lane, Arc::clone(frame), &self.config.limits);
        if queued == Queued::First {
            // A socket that took all before and takes nothing now may never be asked for again: it counts from here.
            if let Some(peering) = link.peering_mut() {
                let now = self.clock.now().mono;
                peering.vitals.stalled.get_or_insert(now);
                self.timers.earlier(TimerKey::Link(conn), now + self.config.timings.write_timeout);
            }
            self.commands.push_back(Command::Send { conn });
        }
        queued
    }

    /// Queues on a live link; a full control lane closes it as slow (rule W-5).
    pub(super) fn deliver(&mut self, now: Now, conn: ConnId, lane: Lane, frame: &Frame) {
        if self.queue_frame(conn, lane, frame) == Queued::Full && lane == Lane::Control {
            self.end(now, conn, CloseReason::Slow, ClosedBy::Us);
        }
    }

    pub(super) fn ask_to_send(&mut self, conn: ConnId) {
        self.commands.push_back(Command::Send { conn });
    }

    pub(super) fn transmitted(
        &mut self,
        now: Now,
        conn: ConnId,
        budget: usize,
        out: &mut Vec<u8>,
    ) -> Transmit {
        let write_timeout = self.config.timings.write_timeout;
        let Some(link) = self.links.get_mut(conn) else {
            self.counters.stale_inputs += 1;
            return Transmit::Drained;
        };
        let begun = out.len();
        link.transmit(budget, out);
        let progress = out.len() > begun;
        let drained = link.waiting() == 0;
        if let Some(peering) = link.peering_mut() {
            let stalled = peering.vitals.stalled;
            peering.vitals.stalled = match stalled {
                _ if drained => None,
                Some(since) if !progress => Some(since),
                _ => Some(now.mono),
            };
            if peering.vitals.stalled.is_some() && stalled.is_none() {
                self.timers.earlier(TimerKey::Link(conn), now.mono + write_timeout);
            }
        }
        let served = link.peer.filter(|peer| self.chain.as_ref().is_some_and(|chain| chain.is_serving(peer)));
        if let Some(peer) = served {
            self.chain_drained(now, conn, peer);
        }
        let waits = self.links.get(conn).is_some_and(|link| link.waiting() > 0);
        if waits { Transmit::More } else { Transmit::Drained }
    }

    /// A link's timer: the hand-shake took too long, or a live link is to be looked at.
    pub(super) fn look_at_link(&mut self, now: Now, conn: ConnId) {
        if let Some(until) = self.resting_until(now, conn) {
            self.timers.set(TimerKey::Link(conn), Some(until));
            return;
        }
        let Some(link) = self.links.get_mut(conn) else { return };
        let Some(peering) = link.peering_mut() else {
            let reason = if matches!(link.phase, Phase::Dialing) {
                CloseReason::DialTimeout
            } else {
                CloseReason::HandshakeTimeout
            };
            self.end(now, conn, reason, ClosedBy::Us);
            return;
        };
        let pinged_at = self.pool.get(&peering.peer).map_or(now.mono, |peer| peer.quality.pinged_at);
        match pulse(now.mono, &peering.vitals, pinged_at, &self.config.timings) {
            Pulse::Beating(next) => self.timers.set(TimerKey::Link(conn), Some(next)),
            Pulse::Ping(next) => {
                self.timers.set(TimerKey::Link(conn), Some(next));
                self.ping(now, conn);
            }
            Pulse::Silent => self.end(now, conn, CloseReason::Silent, ClosedBy::Us),
            Pulse::Slow => self.end(now, conn, CloseReason::Slow, ClosedBy::Us),
        }
    }

    /// Asks for a sign of life. The token is the time, so that the answer tells the round trip.
    pub(super) fn ping(&mut self, now: Now, conn: ConnId) {
        if let Some(peering) = self.links.get_mut(conn).and_then(Link::peering_mut) {
            peering.vitals.pinged = Some(now.mono);
            if let Some(peer) = self.pool.get_mut(&peering.peer) {
                peer.quality.pinged_at = now.mono;
            }
            let frame = self.frames.encode(&Message::Ping(Ping { token: now.mono.0 }));
            self.deliver(now, conn, Lane::Control, &frame);
        }
    }

    /// Authenticated links beyond one a peer: those that are live in phase but not the pool's.
    pub(super) fn duplicates(&self) -> usize {
        let live = self.links.iter().filter(|(_, link)| link.peering().is_some()).count();
        live.saturating_sub(self.pool.live().count())
    }
}
