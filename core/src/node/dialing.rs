//! Carrying out what the dial gate decides, and booking how each dial ended.

use crate::addr::CanonicalAddr;
use crate::command::Command;
use crate::event::{Attempt, CloseReason, ClosedBy, Direction, Event, Warning};
use crate::ids::{ConnId, NodeId};
use crate::link::handshake::{self, OpeningFault};
use crate::link::{Link, Origin, Phase};
use crate::net::dialer::{Decision, Order, Session};
use crate::net::peer::Outcome;
use crate::net::pool::Destination;
use crate::node::{Node, Run, TimerKey};
use crate::time::Now;
use crate::wire::message::Intent;

impl Node {
    /// Asks the gate about a destination and does what it says. Called whenever anything about the
    /// destination changed, and by its timer.
    pub(super) fn pursue(&mut self, now: Now, destination: Destination) {
        if self.run != Run::Working {
            return;
        }
        let longest = self.pool.longest_backoff(destination);
        let session = match destination {
            Destination::Peer(id) => self.pool.get(&id).map_or(Session::None, |peer| peer.session()),
            Destination::Addr(_) => Session::None,
        };
        if let Some(dialing) = self.pool.dialing_mut(destination) {
            dialing.settle(now.mono, session, longest, &self.config.timings, &mut self.rng);
            self.absence_over(now, destination);
        }
        let Some(decision) = self.pool.decide(now.mono, destination, &self.bans) else {
            self.timers.set(TimerKey::Dial(destination), None);
            return;
        };
        let again = match decision {
            // Whoever a ban kept away is pursued when it ends; any number of strangers may be banned until then.
            Decision::Banned(_) => None,
            _ => self.or_missed(destination, decision.until()),
        };
        self.timers.set(TimerKey::Dial(destination), again);
        match decision {
            Decision::Dial(because) => self.dial(now, destination, Intent::Session(because)),
            Decision::Knock => self.dial(now, destination, Intent::Knock),
            _ => {}
        }
    }

    fn dial(&mut self, now: Now, destination: Destination, intent: Intent) {
        if self.dialing.len() >= self.config.limits.dialing {
            if !self.pool.seeks(destination) {
                // Whoever knocked dials by itself when we do not: no queue of strangers.
                if let Some(dialing) = self.pool.dialing_mut(destination) {
                    dialing.order = Order::None;
                }
            } else if !self.waiting.contains(&destination) {
                self.waiting.push_back(destination);
            }
            return;
        }
        let Some(addr) = self.pool.addr_of(destination) else { return };
        let expect = match destination {
            Destination::Peer(id) => Some(id),
            Destination::Addr(_) => None,
        };
        let origin = Origin::Dialed { addr, expect, intent };
        let conn = self.links.insert_with(|conn| Link::new(conn, addr.socket(), origin));
        if let Some(dialing) = self.pool.dialing_mut(destination) {
            dialing.in_flight = Some(conn);
            if let Intent::Session(_) = intent {
                dialing.order = Order::None;
            }
        }
        self.dialing.insert(conn);
        self.counters.dials += 1;
        if intent == Intent::Knock {
            self.counters.knocks += 1;
        }
        self.timers.set(TimerKey::Link(conn), Some(now.mono + self.config.timings.dial_timeout));
        self.commands.push_back(Command::Dial { conn, addr });
    }

    /// The socket is connected: our preamble and key go out.
    pub(super) fn dialed(&mut self, now: Now, conn: ConnId) {
        let Some(link) = self.links.get_mut(conn) else {
            self.counters.stale_inputs += 1;
            return;
        };
        if !matches!(link.phase, Phase::Dialing) {
            self.counters.stale_inputs += 1;
            return;
        }
        match handshake::begin(link, &self.identity, self.crypto.as_mut(), &mut self.rng) {
            Ok(()) => {
                self.timers.set(TimerKey::Link(conn), Some(now.mono + self.config.timings.handshake_timeout));
                self.ask_to_send(conn);
            }
            Err(reason) => self.end(now, conn, reason, ClosedBy::Us),
        }
    }

    /// The opening bytes rule a session out. The acceptor says so in the clear; either way it is only a hint.
    pub(super) fn opening_failed(&mut self, now: Now, conn: ConnId, fault: OpeningFault) {
        let Some(link) = self.links.get_mut(conn) else { return };
        let remote = link.remote;
        let reason = fault.reason();
        if let OpeningFault::Incompatible(_) = fault {
            if link.direction() == Direction::Inbound {
                let reject = self.identity.preamble().encode_reject(reason);
                link.raw_out = reject.to_vec();
                self.ask_to_send(conn);
            } else {
                self.event(Event::Warning(Warning::Incompatible { addr: remote, reason }));
            }
        }
        self.end(now, conn, reason, ClosedBy::Us);
    }

    /// A dial of ours ended without becoming live.
    pub(super) fn dial_over(&mut self, now: Now, conn: ConnId, reason: CloseReason, by: ClosedBy) {
        let Some(Origin::Dialed { addr, expect, intent }) = self.links.get(conn).map(|link| link.origin)
        else {
            return;
        };
        let destination = expect.map_or(Destination::Addr(addr), Destination::Peer);
        let proven = self.links.get(conn).and_then(|link| link.peer);
        self.leave_dialing(conn);
        if intent == Intent::Probe {
            self.probe_over(now, (addr, expect, proven), outcome(reason, by, proven), reason);
            self.next_waiting(now);
            return;
        }
        if let Destination::Peer(id) = destination
            && let Some(peer) = self.pool.get_mut(&id)
        {
            peer.not_chosen();
        }
        if !self.flies(destination, conn) {
            self.next_waiting(now);
            return;
        }
        let outcome = outcome(reason, by, proven);
        let longest = self.pool.longest_backoff(destination);
        let wall = now.wall;
        if let Some(dialing) = self.pool.dialing_mut(destination) {
            dialing.ended(now.mono, intent, outcome, longest, &self.config.timings, &mut self.rng);
            let end = Some((reason, by));
            dialing.note(Attempt { at: wall, direction: Direction::Outbound, intent: intent.as_str(), end });
        }
        let failed = matches!(intent, Intent::Session(_)) && !matches!(outcome, Outcome::Lost);
        if failed && self.is_candidate(&destination) {
            // Hearsay that leads nowhere is no news.
            self.counters.candidates_failed += 1;
        } else if failed && let Some(dialing) = self.pool.dialing(destination) {
            let failures = dialing.backoff.failures();
            let retry_in = dialing.backoff.until().map(|until| until.since(now.mono));
            self.event(Event::DialFailed { peer: expect, addr, reason, by, failures, retry_in });
        }
        self.dial_learned(now, addr, expect, reason);
        self.book_learned(now, (addr, expect, proven), outcome, reason);
        self.pursue(now, destination);
        self.next_waiting(now);
    }

    /// What the end of a dial tells about the address.
    pub(super) fn dial_learned(
        &mut self,
        now: Now,
        addr: CanonicalAddr,
        expect: Option<NodeId>,
        reason: CloseReason,
    ) {
        match reason {
            CloseReason::SelfConnection => {
                self.pool.is_own(addr);
                self.event(Event::Warning(Warning::OwnAddress(addr)));
            }
            CloseReason::WrongIdentity => {
                if let Some(id) = expect
                    && let Some(bare) = self.pool.unresolve(&id, now, &mut self.rng)
                {
                    self.pursue(now, bare);
                }
            }
            _ => {}
        }
    }

    pub(super) fn leave_dialing(&mut self, conn: ConnId) {
        self.dialing.remove(&conn);
    }

    /// There is room for another dial.
    pub(super) fn next_waiting(&mut self, now: Now) {
        while self.dialing.len() < self.config.limits.dialing {
            let Some(destination) = self.waiting.pop_front() else { return };
            self.pursue(now, destination);
        }
    }

    /// Remembers for `/why` how a link that was live ended.
    pub(super) fn note_end(
        &mut self,
        now: Now,
        peer: NodeId,
        conn: ConnId,
        reason: CloseReason,
        by: ClosedBy,
    ) {
        let Some(link) = self.links.get(conn) else { return };
        let (direction, intent) = match link.origin {
            Origin::Dialed { intent, .. } => (Direction::Outbound, intent.as_str()),
            Origin::Accepted => (Direction::Inbound, "session"),
        };
        let attempt = Attempt { at: now.wall, direction, intent, end: Some((reason, by)) };
        if let Some(peer) = self.pool.get_mut(&peer) {
            peer.dialing.note(attempt);
        }
    }

    /// The operator wants a link to a destination now.
    pub(super) fn connect(&mut self, now: Now, destination: Destination) {
        if let Some(dialing) = self.pool.dialing_mut(destination) {
            dialing.held = None;
            dialing.order = Order::Operator;
        }
        self.pursue(now, destination);
    }
}

/// How the end of a dial counts. A refusal counts as proven only after the peer's identity was.
fn outcome(reason: CloseReason, by: ClosedBy, proven: Option<NodeId>) -> Outcome {
    match (reason, proven) {
        (CloseReason::KnockDone, _) => Outcome::KnockAnswered,
        (CloseReason::Duplicate, _) => Outcome::Lost,
        (
            CloseReason::WrongGenesis | CloseReason::WrongNetwork | CloseReason::VersionUnsupported,
            Some(_),
        ) => Outcome::Incompatible,
        (CloseReason::WrongMagic | CloseReason::WrongNetwork | CloseReason::VersionUnsupported, None)
            if by == ClosedBy::Us =>
        {
            Outcome::IncompatibleHint
        }
        (
            CloseReason::SlotsFull | CloseReason::Displaced | CloseReason::Banned | CloseReason::Abuse,
            Some(_),
        ) => Outcome::NoPlace,
        (_, Some(_)) => Outcome::Refused,
        (_, None) => Outcome::Failed,
    }
}
