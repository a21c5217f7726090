//! What decides whether a proven word is granted what it asks for: rules E-3, E-4, B-2, D-3 and S-3.

use std::net::IpAddr;

use crate::addr::CanonicalAddr;
use crate::event::{CloseReason, ClosedBy, DialedBecause, KnockAnswer, SlotClass};
use crate::ids::NodeId;
use crate::link::handshake::Word;
use crate::link::{Channel, Link, Phase};
use crate::net::absence::Absence;
use crate::net::ballot::{self, Admission, Party, ordinal_plausible};
use crate::net::dialer::{Order, Side};
use crate::net::direction::{Dialer, End, dialer_of};
use crate::net::epoch::{self, Presence};
use crate::net::knock;
use crate::net::pool::Destination;
use crate::net::slots::Verdict;
use crate::node::Node;
use crate::time::Now;
use crate::wire::message::{Answer, Ballot, DialerRank, Hello, HelloAck, Intent, Introduction};

/// What a handshake was granted.
pub(super) enum Granted {
    /// A live link with this ballot.
    Session(Ballot, DialedBecause),
    /// An answer to a knock.
    Knock(KnockAnswer),
    /// The answer to a probe: this is the node that was meant.
    Here,
}

/// Where a dial of ours went, and to whom, if that was known.
#[derive(Clone, Copy)]
pub(super) struct Dialed {
    pub(super) addr: CanonicalAddr,
    pub(super) expect: Option<NodeId>,
}

/// Who dialed the link whose ballot is built.
#[derive(Clone, Copy)]
enum DialedBy {
    Us,
    Them,
}

impl Node {
    /// Everything that decides whether a proven `Hello` is granted what it asks for.
    pub(super) fn judge_hello(
        &mut self,
        now: Now,
        source: IpAddr,
        channel: &Channel,
        hello: &Hello,
    ) -> Result<Granted, CloseReason> {
        let from = hello.from.node;
        if from == self.identity.node {
            return Err(if hello.from.boot == self.identity.boot {
                CloseReason::SelfConnection
            } else {
                CloseReason::KeyInUse
            });
        }
        if self.is_banned_key(now, &from) {
            self.counters.inbound_banned += 1;
            return Err(CloseReason::Banned);
        }
        if hello.to.is_some_and(|to| to != self.identity.node) {
            // Its ordinal and the epoch it has seen are another node's: they must not move a link of ours.
            return Err(CloseReason::WrongIdentity);
        }
        if self.shown(now, hello.from.seen).is_some() {
            // The answer would carry an epoch that is known to be stale (rule E-5); it is learned from after.
            return Err(CloseReason::StaleEpoch);
        }
        let session = match hello.intent {
            Intent::Session(because) => Some(because),
            Intent::Knock => None,
            Intent::Probe => return self.judge_probe(now, hello),
        };
        let Some(peer) = self.pool.ensure(from, &self.config.registry, now, &mut self.rng) else {
            return Err(CloseReason::SlotsFull);
        };
        let presence = if peer.live.is_some() { Presence::Live } else { Presence::Absent };
        epoch::judge(peer.seen_boot(), hello.from.boot, presence, now.wall)?;
        if !ordinal_plausible(peer.highest, hello.ordinal) {
            return Err(CloseReason::OrdinalOutOfRange);
        }
        peer.heard_ordinal(hello.ordinal);
        peer.advertises(hello.from.advertised, &self.config.registry);
        if peer.dialing.held.is_some_and(|until| until > now.mono) {
            return Err(CloseReason::OperatorHold);
        }
        let Some(because) = session else { return self.judge_knock(now, source, hello) };
        let Some(peer) = self.pool.get(&from) else { return Err(CloseReason::SlotsFull) };
        if self.pool.verdict(peer) == Verdict::Full {
            return Err(CloseReason::SlotsFull);
        }
        let ballot = self.ballot(channel, &hello.from, hello, DialedBy::Them);
        match peer.register.judge(now.mono, &ballot) {
            Admission::Admit => Ok(Granted::Session(ballot, because)),
            Admission::Refuse => Err(CloseReason::Duplicate),
        }
    }

    fn judge_knock(&mut self, now: Now, source: IpAddr, hello: &Hello) -> Result<Granted, CloseReason> {
        let from = hello.from.node;
        let Some(peer) = self.pool.get(&from) else { return Err(CloseReason::NotWanted) };
        let Some(addr) = peer.addr.filter(|_| self.pool.side(peer) != Side::Nobody) else {
            return Err(CloseReason::NotWanted);
        };
        let reached = peer.reached.map(|(addr, _)| addr);
        let place = knock::Place { addr, source, registered: self.registered_addr(&from), reached };
        if !place.is_vouched() {
            return Err(CloseReason::NotWanted);
        }
        if self.pool.verdict(peer) == Verdict::Full {
            return Err(CloseReason::SlotsFull);
        }
        let live = peer.live.map(|live| live.conn);
        let held = live
            .and_then(|conn| self.links.get(conn))
            .and_then(Link::peering)
            .map(|peering| knock::Held { ballot: peering.ballot, boot: peering.boot });
        let verdict = knock::judge(held, hello.from.boot, hello.register);
        if verdict.answer == KnockAnswer::WillDial {
            if !self.pool.seeks(Destination::Peer(from)) && !self.reach.drawn.take(now.mono) {
                return Err(CloseReason::NotWanted);
            }
            self.give_up_unconnected(now, from);
        }
        if let (Some(reason), Some(conn)) = (verdict.drop, live) {
            self.end(now, conn, reason, ClosedBy::Us);
        }
        Ok(Granted::Knock(verdict.answer))
    }

    /// Rule P-6. A prober is not remembered for it: it may be anybody, and nothing of a pair is at stake.
    fn judge_probe(&mut self, now: Now, hello: &Hello) -> Result<Granted, CloseReason> {
        if hello.to.is_none() {
            return Err(CloseReason::UnexpectedMessage);
        }
        let held = self.pool.get(&hello.from.node).and_then(|peer| peer.dialing.held);
        if held.is_some_and(|until| until > now.mono) {
            return Err(CloseReason::OperatorHold);
        }
        if self.reach.answering.take(now.mono) { Ok(Granted::Here) } else { Err(CloseReason::NotWanted) }
    }

    /// A dial of ours to a knocker that is not even connected was sent to a machine that was not there yet: it
    /// gives way to a fresh one.
    fn give_up_unconnected(&mut self, now: Now, knocker: NodeId) {
        let Some(dialing) = self.pool.dialing_mut(Destination::Peer(knocker)) else { return };
        let unconnected = dialing
            .in_flight
            .filter(|conn| self.links.get(*conn).is_some_and(|link| matches!(link.phase, Phase::Dialing)));
        if let Some(conn) = unconnected {
            // No longer this destination's dial: its end is booked nowhere.
            dialing.in_flight = None;
            self.end(now, conn, CloseReason::DialTimeout, ClosedBy::Us);
        }
    }

    /// A knock was answered `will_dial`: dial at once, unless the end of a link that it dropped has done so.
    pub(super) fn knocked(&mut self, now: Now, from: &Introduction) {
        let destination = Destination::Peer(from.node);
        if let Some(dialing) = self.pool.dialing_mut(destination) {
            dialing.backoff.clear();
            dialing.absence = Absence::None;
            dialing.settling = None;
            if dialing.in_flight.is_none() {
                dialing.order = Order::Knock;
            }
        }
        self.pursue(now, destination);
    }

    /// The link's ballot, the same at both ends (rule B-1).
    fn ballot(&self, channel: &Channel, them: &Introduction, hello: &Hello, by: DialedBy) -> Ballot {
        let addr = |id: &NodeId, advertised| self.registered_addr(id).or(advertised);
        let us = End { id: self.identity.node, addr: addr(&self.identity.node, self.identity.advertised) };
        let peer = End { id: them.node, addr: addr(&them.node, them.advertised) };
        let rank = match (dialer_of(&us, &peer), by) {
            (Dialer::First, DialedBy::Us) | (Dialer::Second, DialedBy::Them) => DialerRank::Canonical,
            _ => DialerRank::Other,
        };
        ballot::ballot(
            Party { id: self.identity.node, epoch: self.identity.boot.epoch },
            Party { id: them.node, epoch: them.boot.epoch },
            hello.ordinal,
            rank,
            channel.hash,
        )
    }

    pub(super) fn judge_ack(
        &mut self,
        now: Now,
        word: Word,
        dialed: Dialed,
        channel: &Channel,
        hello: &Hello,
        ack: &HelloAck,
    ) -> Result<Granted, CloseReason> {
        let from = ack.from.node;
        if from == self.identity.node {
            return Err(match ack.answer {
                Answer::Refused(CloseReason::KeyInUse) => CloseReason::KeyInUse,
                _ => CloseReason::SelfConnection,
            });
        }
        if dialed.expect.is_some_and(|id| id != from) {
            return Err(CloseReason::WrongIdentity);
        }
        if let Answer::Refused(reason) = ack.answer {
            if let Some(peer) = self.pool.get_mut(&from) {
                peer.heard_ordinal(ack.highest);
            }
            return Err(reason);
        }
        if let Word::Incompatible(reason) = word {
            return Err(reason);
        }
        if self.is_banned_key(now, &from) {
            return Err(CloseReason::Banned);
        }
        if hello.intent == Intent::Probe {
            let here = ack.answer == Answer::Here;
            return if here { Ok(Granted::Here) } else { Err(CloseReason::UnexpectedMessage) };
        }
        let Some(peer) = self.pool.ensure(from, &self.config.registry, now, &mut self.rng) else {
            return Err(CloseReason::SlotsFull);
        };
        let presence = if peer.live.is_some() { Presence::Live } else { Presence::Absent };
        epoch::judge(peer.seen_boot(), ack.from.boot, presence, now.wall)?;
        peer.heard_ordinal(ack.highest);
        peer.advertises(ack.from.advertised, &self.config.registry);
        match (ack.answer, hello.intent) {
            (Answer::WillDial, Intent::Knock) => Ok(Granted::Knock(KnockAnswer::WillDial)),
            (Answer::HaveSession, Intent::Knock) => Ok(Granted::Knock(KnockAnswer::HaveSession)),
            (Answer::Accepted, Intent::Session(because)) => {
                let Some(peer) = self.pool.get(&from) else { return Err(CloseReason::SlotsFull) };
                // Whoever answers at a reserved address is the reserved peer.
                let class = match (self.pool.class(peer), dialed.expect) {
                    (SlotClass::Observer, None) => self.pool.class_at(&dialed.addr),
                    (class, _) => class,
                };
                if self.pool.verdict_as(peer, class) == Verdict::Full {
                    return Err(CloseReason::SlotsFull);
                }
                let ballot = self.ballot(channel, &ack.from, hello, DialedBy::Us);
                match peer.register.judge(now.mono, &ballot) {
                    Admission::Admit => Ok(Granted::Session(ballot, because)),
                    Admission::Refuse => Err(CloseReason::Duplicate),
                }
            }
            _ => Err(CloseReason::UnexpectedMessage),
        }
    }
}
