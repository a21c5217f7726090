//! The signed words of a handshake: composed when the boot record is durable, judged in the order of
//! rules H-3, H-4, E-3, E-4 and B-2.

use crate::addr::CanonicalAddr;
use crate::event::{Attempt, CloseReason, ClosedBy, DialedBecause, Direction, Event, KnockAnswer, Warning};
use crate::gate::Passage;
use crate::ids::{ConnId, DialOrdinal, NodeId};
use crate::link::handshake::{self, HelloTerms, Word};
use crate::link::liveness::Vitals;
use crate::link::{Channel, Confirmed, Link, Origin, Peering, Phase};
use crate::net::ballot::{self, Admission, Party, ordinal_plausible};
use crate::net::dialer::{Order, Side};
use crate::net::direction::{Dialer, End, dialer_of};
use crate::net::epoch::{self, Presence, Source};
use crate::net::knock;
use crate::net::pool::Destination;
use crate::node::{Node, Parked, Run, TimerKey};
use crate::time::Now;
use crate::wire::message::{
    Answer, Ballot, Boot, DialerRank, Goodbye, Hello, HelloAck, Intent, Introduction, Lane, Message,
};

impl Node {
    /// The channel stands. The dialer speaks next, once its boot epoch is durable (rule E-2).
    pub(super) fn established(&mut self, now: Now, conn: ConnId) {
        let Some(link) = self.links.get(conn) else { return };
        if !link.raw_out.is_empty() {
            self.ask_to_send(conn);
        }
        if matches!(self.links.get(conn).map(|link| &link.phase), Some(Phase::HelloParked(_))) {
            self.behind_boot(now, Parked::Hello(conn));
        }
    }

    fn behind_boot(&mut self, now: Now, parked: Parked) {
        let bound = self.config.limits.gate;
        let links = &self.links;
        self.gate.tidy(bound, |(Parked::Hello(conn) | Parked::Answer(conn))| {
            links.get(*conn).is_some_and(|link| !link.is_closing())
        });
        match self.gate.pass(self.boot_ticket, parked, bound) {
            Passage::Open(parked) => self.unpark(now, parked),
            Passage::Parked => {}
            Passage::Barred => {
                let (Parked::Hello(conn) | Parked::Answer(conn)) = parked;
                self.end(now, conn, CloseReason::LocalResources, ClosedBy::Us);
            }
        }
    }

    pub(super) fn send_hello(&mut self, now: Now, conn: ConnId) {
        let Some(link) = self.links.get_mut(conn) else { return };
        let Origin::Dialed { expect, intent, .. } = link.origin else { return };
        let Phase::HelloParked(channel) = std::mem::replace(&mut link.phase, Phase::Closing(None)) else {
            return;
        };
        let known = expect.and_then(|id| self.pool.get(&id));
        let seen = known.and_then(|peer| peer.seen);
        let register = known.filter(|_| intent == Intent::Knock).and_then(|peer| peer.register.get(now.mono));
        let ordinal = match intent {
            Intent::Session(_) => self.pool.next_ordinal(expect),
            Intent::Knock => known.map(|peer| peer.highest).unwrap_or_default(),
        };
        let terms = HelloTerms { to: expect, ordinal, intent, seen, register };
        let hello = Box::new(handshake::compose_hello(&channel, &self.identity, terms, self.crypto.as_mut()));
        let frame = self.frames.encode(&Message::Hello(hello.clone()));
        if let Some(link) = self.links.get_mut(conn) {
            link.phase = Phase::AwaitAck(channel, hello);
        }
        self.queue_frame(conn, Lane::Control, &frame);
    }

    /// Step 3 at the acceptor: prove, then wait for our own boot record before answering.
    pub(super) fn hello_arrived(&mut self, now: Now, conn: ConnId, hello: Box<Hello>) {
        let Some(link) = self.links.get_mut(conn) else { return };
        let Phase::AwaitHello(channel) = std::mem::replace(&mut link.phase, Phase::Closing(None)) else {
            return;
        };
        link.peer = None;
        link.phase = Phase::AnswerParked(channel, hello);
        self.behind_boot(now, Parked::Answer(conn));
    }

    /// Step 4 at the acceptor.
    pub(super) fn send_answer(&mut self, now: Now, conn: ConnId) {
        let Some(link) = self.links.get_mut(conn) else { return };
        let Phase::AnswerParked(channel, hello) = std::mem::replace(&mut link.phase, Phase::Closing(None))
        else {
            return;
        };
        let word = handshake::check_hello(
            &channel.hash,
            &channel.theirs,
            &self.identity,
            &hello,
            self.crypto.as_mut(),
        );
        let word = match word {
            Ok(word) => word,
            Err(reason) => {
                link.phase = Phase::AwaitHello(channel);
                self.end(now, conn, reason, ClosedBy::Us);
                return;
            }
        };
        let from = hello.from.node;
        link.peer = Some(from);
        let outcome = match word {
            Word::Incompatible(reason) => Err(reason),
            Word::Proven => self.judge_hello(now, &channel, &hello),
        };
        if self.run != Run::Working {
            self.restore_for_end(conn, channel);
            return;
        }
        let answer = match &outcome {
            Ok(Granted::Session(_)) => Answer::Accepted,
            Ok(Granted::Knock(KnockAnswer::WillDial)) => Answer::WillDial,
            Ok(Granted::Knock(KnockAnswer::HaveSession)) => Answer::HaveSession,
            Err(reason) => Answer::Refused(*reason),
        };
        let known = self.pool.get(&from);
        let seen = if from == self.identity.node {
            Some(self.identity.boot)
        } else {
            known.and_then(|peer| peer.seen)
        };
        let highest = known.map(|peer| peer.highest).unwrap_or_default();
        let ack = handshake::compose_ack(
            &channel,
            &self.identity,
            &hello,
            seen,
            highest,
            answer,
            self.crypto.as_mut(),
        );
        self.restore_for_end(conn, channel);
        let frame = self.frames.encode(&Message::HelloAck(Box::new(ack)));
        self.queue_frame(conn, Lane::Control, &frame);
        match outcome {
            Ok(Granted::Session(ballot)) => {
                let because = match hello.intent {
                    Intent::Session(because) => because,
                    Intent::Knock => DialedBecause::Canonical,
                };
                self.go_live(now, conn, &hello.from, because, ballot, Confirmed::NotYet);
            }
            Ok(Granted::Knock(answer)) => {
                self.event(Event::Knocked { peer: from, direction: Direction::Inbound, answer });
                self.note_inbound(now, from, "knock", CloseReason::KnockDone);
                self.end(now, conn, CloseReason::KnockDone, ClosedBy::Us);
                if answer == KnockAnswer::WillDial {
                    self.knocked(now, &hello.from);
                }
            }
            Err(reason) => {
                self.note_inbound(now, from, hello.intent.as_str(), reason);
                if reason == CloseReason::EpochInFuture {
                    self.event(Event::Warning(Warning::EpochInFuture { peer: from, by: ClosedBy::Us }));
                }
                self.end(now, conn, reason, ClosedBy::Us);
                self.learn_from_hello(now, &hello);
            }
        }
    }

    fn restore_for_end(&mut self, conn: ConnId, channel: Box<Channel>) {
        if let Some(link) = self.links.get_mut(conn) {
            if link.end.is_some() {
                link.phase = Phase::Closing(Some(channel));
            } else {
                link.phase = Phase::AwaitHello(channel);
            }
        }
    }

    /// Everything that decides whether a proven `Hello` is granted what it asks for.
    fn judge_hello(&mut self, now: Now, channel: &Channel, hello: &Hello) -> Result<Granted, CloseReason> {
        let from = hello.from.node;
        if from == self.identity.node {
            return Err(if hello.from.boot == self.identity.boot {
                CloseReason::SelfConnection
            } else {
                CloseReason::KeyInUse
            });
        }
        if hello.to.is_some_and(|to| to != self.identity.node) {
            // Its ordinal and the epoch it has seen are another node's: they must not move a link of ours.
            return Err(CloseReason::WrongIdentity);
        }
        if let Some(other) = hello.from.seen
            && epoch::supersedes(other, self.identity.boot)
        {
            // The answer would carry an epoch that is known to be stale (rule E-5); it is learned from after.
            return Err(CloseReason::StaleEpoch);
        }
        let Some(peer) = self.pool.ensure(from, &self.config.registry, now, &mut self.rng) else {
            return Err(CloseReason::SlotsFull);
        };
        let presence = if peer.live.is_some() { Presence::Live } else { Presence::Absent };
        epoch::judge(peer.seen, hello.from.boot, presence, now.wall)?;
        if !ordinal_plausible(peer.highest, hello.ordinal) {
            return Err(CloseReason::OrdinalOutOfRange);
        }
        peer.heard_ordinal(hello.ordinal);
        peer.advertises(hello.from.advertised, &self.config.registry);
        if peer.dialing.held.is_some_and(|until| until > now.mono) {
            return Err(CloseReason::OperatorHold);
        }
        if hello.intent == Intent::Knock {
            return self.judge_knock(now, hello);
        }
        let Some(peer) = self.pool.get(&from) else { return Err(CloseReason::SlotsFull) };
        if !self.pool.has_slot(peer, &self.config.limits) {
            return Err(CloseReason::SlotsFull);
        }
        let ballot = self.ballot(channel, &hello.from, hello, DialedBy::Them);
        match peer.register.judge(now.mono, &ballot) {
            Admission::Admit => Ok(Granted::Session(ballot)),
            Admission::Refuse => Err(CloseReason::Duplicate),
        }
    }

    fn judge_knock(&mut self, now: Now, hello: &Hello) -> Result<Granted, CloseReason> {
        let from = hello.from.node;
        let Some(peer) = self.pool.get(&from) else { return Err(CloseReason::NotWanted) };
        if peer.addr.is_none() || self.pool.side(peer) == Side::Nobody {
            return Err(CloseReason::NotWanted);
        }
        if !self.pool.has_slot(peer, &self.config.limits) {
            return Err(CloseReason::SlotsFull);
        }
        let live = peer.live.map(|live| live.conn);
        let held = live
            .and_then(|conn| self.links.get(conn))
            .and_then(Link::peering)
            .map(|peering| knock::Held { ballot: peering.ballot, boot: peering.boot });
        let verdict = knock::judge(held, hello.from.boot, hello.register);
        if verdict.answer == KnockAnswer::WillDial {
            self.give_up_unconnected(now, from);
        }
        if let (Some(reason), Some(conn)) = (verdict.drop, live) {
            self.end(now, conn, reason, ClosedBy::Us);
        }
        Ok(Granted::Knock(verdict.answer))
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
    fn knocked(&mut self, now: Now, from: &Introduction) {
        let destination = Destination::Peer(from.node);
        if let Some(dialing) = self.pool.dialing_mut(destination) {
            dialing.backoff.clear();
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

    /// The last step at the dialer.
    pub(super) fn ack_arrived(&mut self, now: Now, conn: ConnId, ack: &HelloAck) {
        let Some(link) = self.links.get_mut(conn) else { return };
        let Origin::Dialed { addr, expect, intent } = link.origin else { return };
        let Phase::AwaitAck(channel, hello) = std::mem::replace(&mut link.phase, Phase::Closing(None)) else {
            return;
        };
        let word = handshake::check_ack(
            &channel.hash,
            &channel.theirs,
            &self.identity,
            &hello,
            ack,
            self.crypto.as_mut(),
        );
        if word.is_ok() {
            link.peer = Some(ack.from.node);
        }
        let judged = word.and_then(|word| self.judge_ack(now, word, expect, &channel, &hello, ack));
        let accepted = ack.answer == Answer::Accepted;
        if let Some(link) = self.links.get_mut(conn) {
            link.phase = Phase::HelloParked(channel);
        }
        match judged {
            Ok(Granted::Session(ballot)) => {
                let because = match intent {
                    Intent::Session(because) => because,
                    Intent::Knock => DialedBecause::Canonical,
                };
                if expect.is_none() {
                    self.pool.resolve(addr, ack.from.node);
                }
                self.go_live(now, conn, &ack.from, because, ballot, Confirmed::ByBoth);
            }
            Ok(Granted::Knock(answer)) => {
                self.event(Event::Knocked { peer: ack.from.node, direction: Direction::Outbound, answer });
                self.end(now, conn, CloseReason::KnockDone, ClosedBy::Us);
            }
            Err(reason) => self.refused(now, conn, expect, addr, reason, accepted, ack),
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn refused(
        &mut self,
        now: Now,
        conn: ConnId,
        expect: Option<NodeId>,
        addr: CanonicalAddr,
        reason: CloseReason,
        accepted: bool,
        ack: &HelloAck,
    ) {
        let proven = self.links.get(conn).is_some_and(|link| link.peer.is_some());
        let by = if ack.answer == Answer::Refused(reason) && proven { ClosedBy::Peer } else { ClosedBy::Us };
        if accepted {
            // The acceptor holds the link as live: it learns why it ends.
            let highest = self.pool.get(&ack.from.node).map(|peer| peer.highest).unwrap_or_default();
            self.queue(conn, &Message::Goodbye(Goodbye { reason, highest }));
        }
        let incompatible = matches!(
            reason,
            CloseReason::WrongGenesis | CloseReason::WrongNetwork | CloseReason::VersionUnsupported
        );
        if incompatible && let Some(link) = self.links.get(conn) {
            self.event(Event::Warning(Warning::Incompatible { addr: link.remote, reason }));
        }
        if proven && reason == CloseReason::EpochInFuture {
            self.event(Event::Warning(Warning::EpochInFuture { peer: ack.from.node, by }));
        }
        if proven && expect.is_none() && reason == CloseReason::Duplicate {
            self.found(now, addr, ack.from.node, ack.highest);
        }
        let other = ack.from.seen.filter(|_| proven && by == ClosedBy::Peer);
        self.end(now, conn, reason, by);
        if let Some(other) = other {
            match reason {
                CloseReason::StaleEpoch => self.other_boot(now, ack.from.node, other, Source::Stale),
                CloseReason::KeyInUse => self.other_boot(now, ack.from.node, other, Source::InUse),
                _ => {}
            }
        }
    }

    /// A bare address leads to a node that we have, or are about to have, another link with.
    fn found(&mut self, now: Now, addr: CanonicalAddr, id: NodeId, highest: DialOrdinal) {
        if let Some(peer) = self.pool.ensure(id, &self.config.registry, now, &mut self.rng) {
            peer.heard_ordinal(highest);
            self.pool.resolve(addr, id);
            self.pursue(now, Destination::Peer(id));
        }
    }

    fn judge_ack(
        &mut self,
        now: Now,
        word: Word,
        expect: Option<NodeId>,
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
        if expect.is_some_and(|id| id != from) {
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
        let Some(peer) = self.pool.ensure(from, &self.config.registry, now, &mut self.rng) else {
            return Err(CloseReason::SlotsFull);
        };
        let presence = if peer.live.is_some() { Presence::Live } else { Presence::Absent };
        epoch::judge(peer.seen, ack.from.boot, presence, now.wall)?;
        peer.heard_ordinal(ack.highest);
        peer.advertises(ack.from.advertised, &self.config.registry);
        match (ack.answer, hello.intent) {
            (Answer::WillDial, Intent::Knock) => Ok(Granted::Knock(KnockAnswer::WillDial)),
            (Answer::HaveSession, Intent::Knock) => Ok(Granted::Knock(KnockAnswer::HaveSession)),
            (Answer::Accepted, Intent::Session(_)) => {
                let Some(peer) = self.pool.get(&from) else { return Err(CloseReason::SlotsFull) };
                if !self.pool.has_slot(peer, &self.config.limits) {
                    return Err(CloseReason::SlotsFull);
                }
                let ballot = self.ballot(channel, &ack.from, hello, DialedBy::Us);
                match peer.register.judge(now.mono, &ballot) {
                    Admission::Admit => Ok(Granted::Session(ballot)),
                    Admission::Refuse => Err(CloseReason::Duplicate),
                }
            }
            _ => Err(CloseReason::UnexpectedMessage),
        }
    }

    /// A link is admitted: it is live, and replaces what was there (rule B-2).
    fn go_live(
        &mut self,
        now: Now,
        conn: ConnId,
        them: &Introduction,
        because: DialedBecause,
        ballot: Ballot,
        confirmed: Confirmed,
    ) {
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
                ballot,
                because,
                advertised: them.advertised,
                agent: them.agent.clone(),
                height: them.height,
                since: now.mono,
                since_wall: now.wall,
                confirmed,
                vitals,
                rtt: None,
            }),
        );
        if confirmed == Confirmed::ByBoth {
            self.confirm();
        }
        self.unauthenticated.retain(|waiting| *waiting != conn);
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
        self.timers.set(TimerKey::Dial(Destination::Peer(them.node)), None);
        if let Origin::Dialed { .. } = origin {
            self.next_waiting(now);
        }
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

    /// What a refused `Hello` tells about our own key (rules E-5 and E-6).
    fn learn_from_hello(&mut self, now: Now, hello: &Hello) {
        let from = hello.from.node;
        let other: Option<Boot> = if from == self.identity.node {
            Some(hello.from.boot)
        } else {
            hello.from.seen.filter(|_| hello.to.is_none_or(|to| to == self.identity.node))
        };
        if let Some(other) = other.filter(|other| *other != self.identity.boot) {
            let source = if from == self.identity.node { Source::InUse } else { Source::Stale };
            self.other_boot(now, from, other, source);
        }
    }

    fn note_inbound(&mut self, now: Now, peer: NodeId, intent: &'static str, reason: CloseReason) {
        let attempt = Attempt {
            at: now.wall,
            direction: Direction::Inbound,
            intent,
            end: Some((reason, ClosedBy::Us)),
        };
        if let Some(peer) = self.pool.get_mut(&peer) {
            peer.dialing.note(attempt);
        }
    }
}

/// What a handshake was granted.
enum Granted {
    /// A live link with this ballot.
    Session(Ballot),
    /// An answer to a knock.
    Knock(KnockAnswer),
}

/// Who dialed the link whose ballot is built.
#[derive(Clone, Copy)]
enum DialedBy {
    Us,
    Them,
}
