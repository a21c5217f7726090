//! The signed words of a handshake: composed when the boot record is durable, judged in the order of
//! rules H-3, H-4, E-3, E-4 and B-2.

mod admission;
mod live;
mod twin;

use crate::addr::CanonicalAddr;
use crate::event::{Attempt, CloseReason, ClosedBy, Direction, Event, KnockAnswer, Warning};
use crate::gate::Passage;
use crate::ids::{ConnId, DialOrdinal, NodeId};
use crate::link::handshake::{self, HelloTerms, Regard, Word};
use crate::link::{Channel, Confirmed, Origin, Phase};
use crate::net::pool::Destination;
use crate::node::handshake::admission::{Dialed, Granted};
use crate::node::{Node, Parked, Run};
use crate::time::Now;
use crate::wire::message::{Answer, Goodbye, Hello, HelloAck, Intent, Lane, Message, ProvenBoot};

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

    pub(super) fn behind_boot(&mut self, now: Now, parked: Parked) {
        let bound = self.config.limits.gate;
        let links = &self.links;
        self.gate.tidy(bound, |parked| match parked {
            Parked::Hello(conn) | Parked::Answer(conn) => {
                links.get(*conn).is_some_and(|link| !link.is_closing())
            }
            Parked::Binding(_) | Parked::Commit(_) | Parked::Bans => true,
        });
        let (Parked::Hello(conn) | Parked::Answer(conn)) = parked else { return };
        match self.gate.pass(self.boot_ticket, parked, bound) {
            Passage::Open(parked) => self.unpark(now, parked),
            Passage::Parked => {}
            Passage::Barred => self.end(now, conn, CloseReason::LocalResources, ClosedBy::Us),
        }
    }

    pub(super) fn send_hello(&mut self, now: Now, conn: ConnId) {
        let Some(link) = self.links.get_mut(conn) else { return };
        let Origin::Dialed { addr, expect, intent } = link.origin else { return };
        let Phase::HelloParked(channel) = std::mem::replace(&mut link.phase, Phase::Closing(None)) else {
            return;
        };
        let known = expect.and_then(|id| self.pool.get(&id));
        let seen = known.and_then(|peer| peer.seen);
        let register = known.filter(|_| intent == Intent::Knock).and_then(|peer| peer.register.get(now.mono));
        let ordinal = match intent {
            Intent::Session(_) => self.pool.next_ordinal(expect),
            Intent::Knock | Intent::Probe => known.map(|peer| peer.highest).unwrap_or_default(),
        };
        let regard = Regard { seen, observed: Some(addr) };
        let terms = HelloTerms { to: expect, ordinal, intent, regard, register };
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
        self.step_for_unproven(now, conn);
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
        let source = link.remote;
        let outcome = match word {
            Word::Incompatible(reason) => Err(reason),
            Word::Proven => self.judge_hello(now, source.ip(), &channel, &hello),
        };
        if self.run != Run::Working {
            self.restore_for_end(conn, channel);
            return;
        }
        let answer = match &outcome {
            Ok(Granted::Session(..)) => Answer::Accepted,
            Ok(Granted::Knock(KnockAnswer::WillDial)) => Answer::WillDial,
            Ok(Granted::Knock(KnockAnswer::HaveSession)) => Answer::HaveSession,
            Ok(Granted::Here) => Answer::Here,
            Err(reason) => Answer::Refused(*reason),
        };
        let known = self.pool.get(&from);
        let seen = if from == self.identity.node {
            Some(ProvenBoot { boot: self.identity.boot, proof: self.identity.proof })
        } else {
            known.and_then(|peer| peer.seen)
        };
        let highest = known.map(|peer| peer.highest).unwrap_or_default();
        let ack = handshake::compose_ack(
            &channel,
            &self.identity,
            &hello,
            Regard { seen, observed: CanonicalAddr::new(source).ok() },
            highest,
            answer,
            self.crypto.as_mut(),
        );
        self.restore_for_end(conn, channel);
        let frame = self.frames.encode(&Message::HelloAck(Box::new(ack)));
        self.queue_frame(conn, Lane::Control, &frame);
        match outcome {
            Ok(Granted::Session(ballot, because)) => {
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
            Ok(Granted::Here) => {
                self.counters.probes_answered += 1;
                self.end(now, conn, CloseReason::ProbeDone, ClosedBy::Us);
            }
            Err(reason) => {
                self.note_inbound(now, from, hello.intent.as_str(), reason);
                if reason == CloseReason::EpochInFuture {
                    self.event(Event::Warning(Warning::EpochInFuture { peer: from, by: ClosedBy::Us }));
                }
                self.end(now, conn, reason, ClosedBy::Us);
                self.learn_from_hello(now, &hello, reason);
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

    /// The last step at the dialer.
    pub(super) fn ack_arrived(&mut self, now: Now, conn: ConnId, ack: &HelloAck) {
        let Some(link) = self.links.get_mut(conn) else { return };
        let Origin::Dialed { addr, expect, .. } = link.origin else { return };
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
        let judged =
            word.and_then(|word| self.judge_ack(now, word, Dialed { addr, expect }, &channel, &hello, ack));
        let accepted = ack.answer == Answer::Accepted;
        if expect.is_none_or(|id| id == ack.from.node) {
            self.reached(now, conn, addr);
        }
        if let Some(link) = self.links.get_mut(conn) {
            link.phase = Phase::HelloParked(channel);
        }
        match judged {
            Ok(Granted::Session(ballot, because)) => {
                if expect.is_none() {
                    self.pool.resolve(addr, ack.from.node);
                }
                self.go_live(now, conn, &ack.from, because, ballot, Confirmed::ByBoth);
            }
            Ok(Granted::Knock(answer)) => {
                self.event(Event::Knocked { peer: ack.from.node, direction: Direction::Outbound, answer });
                self.end(now, conn, CloseReason::KnockDone, ClosedBy::Us);
            }
            Ok(Granted::Here) => self.end(now, conn, CloseReason::ProbeDone, ClosedBy::Us),
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
        let ours = reason == CloseReason::Banned && by == ClosedBy::Us;
        if proven && expect.is_none() && (reason == CloseReason::Duplicate || ours) {
            self.found(now, addr, ack.from.node, ack.highest);
        }
        self.end(now, conn, reason, by);
        if proven && by == ClosedBy::Peer {
            self.learn_from_refusal(now, ack, reason);
        }
    }

    /// A bare address leads to a node that we have, or are about to have, another link with, or that is banned.
    fn found(&mut self, now: Now, addr: CanonicalAddr, id: NodeId, highest: DialOrdinal) {
        if let Some(peer) = self.pool.ensure(id, &self.config.registry, now, &mut self.rng) {
            peer.heard_ordinal(highest);
            self.pool.resolve(addr, id);
            self.pursue(now, Destination::Peer(id));
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
