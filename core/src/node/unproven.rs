//! Inbound connections that have proven nothing: their places (rule S-1), and the work that is done for them
//! within its budget (rule S-7). What is over it waits its turn, as long as the handshake's deadline lets it.

use std::net::SocketAddr;

use crate::event::{CloseReason, ClosedBy};
use crate::ids::ConnId;
use crate::link::Phase;
use crate::link::handshake;
use crate::net::effort::Step;
use crate::net::unauthenticated::{self, Origin};
use crate::node::{Node, Parked, TimerKey};
use crate::time::Now;

impl Node {
    /// Whose place and whose budget a source has.
    pub(super) fn source_of(&self, addr: SocketAddr) -> Origin {
        if self.expected_ip(addr) { Origin::Registered } else { Origin::Stranger }
    }

    /// Other addresses are registered now.
    pub(super) fn sources_changed(&mut self) {
        let mut unauthenticated = std::mem::take(&mut self.unauthenticated);
        let mut deferred = std::mem::take(&mut self.deferred);
        for waiting in unauthenticated.iter_mut().chain(&mut deferred) {
            waiting.origin = self.source_of(SocketAddr::new(waiting.ip, 0));
        }
        self.unauthenticated = unauthenticated;
        self.deferred = deferred;
    }

    /// Rule S-1: the newcomer is taken, the oldest of the largest crowd gives way.
    pub(super) fn make_room(&mut self, now: Now, origin: Origin) {
        let limits = &self.config.limits;
        let victim = unauthenticated::victim(
            &self.unauthenticated,
            origin,
            limits.unauthenticated,
            limits.unauthenticated_kept,
        );
        if let Some(victim) = victim {
            self.counters.inbound_refused += 1;
            self.end(now, victim, CloseReason::Evicted, ClosedBy::Us);
        }
    }

    /// An inbound connection needs a key agreement or an answer: done now, or when it is its turn.
    pub(super) fn step_for_unproven(&mut self, now: Now, conn: ConnId) {
        let Some(waiting) = self.unauthenticated.iter().find(|waiting| waiting.conn == conn).copied() else {
            return;
        };
        let mut before = self.deferred.iter().filter(|before| before.origin == waiting.origin);
        let first = !before.any(|before| self.is_open(before.conn));
        if first && self.effort.spend(now.mono, waiting.origin) == Step::Now {
            return self.do_step(now, conn);
        }
        self.counters.handshakes_deferred += 1;
        if self.deferred.len() >= self.config.limits.unauthenticated {
            // Those who have gone leave the queue with their turn, or for want of room.
            let links = &self.links;
            self.deferred.retain(|waiting| links.get(waiting.conn).is_some_and(|link| !link.is_closing()));
        }
        self.deferred.push_back(waiting);
        self.arm_deferred(now);
    }

    /// The next turns of those who wait.
    pub(super) fn deferred_due(&mut self, now: Now) {
        for waiting in std::mem::take(&mut self.deferred) {
            if !self.is_open(waiting.conn) {
                continue;
            }
            match self.effort.spend(now.mono, waiting.origin) {
                Step::Now => self.do_step(now, waiting.conn),
                Step::At(_) => self.deferred.push_back(waiting),
            }
        }
        self.arm_deferred(now);
    }

    fn arm_deferred(&mut self, now: Now) {
        let next = self.deferred.iter().map(|waiting| self.effort.next(now.mono, waiting.origin)).min();
        self.timers.set(TimerKey::Unproven, next);
    }

    fn is_open(&self, conn: ConnId) -> bool {
        self.links.get(conn).is_some_and(|link| !link.is_closing())
    }

    fn do_step(&mut self, now: Now, conn: ConnId) {
        match self.links.get(conn).map(|link| &link.phase) {
            Some(Phase::AwaitPreamble) => self.open_channel(now, conn),
            Some(Phase::AnswerParked(..)) => self.behind_boot(now, Parked::Answer(conn)),
            _ => {}
        }
    }

    /// The opening is complete: the channel is made.
    pub(super) fn open_channel(&mut self, now: Now, conn: ConnId) {
        let Some(link) = self.links.get_mut(conn) else { return };
        match handshake::open_channel(link, &self.identity, self.crypto.as_mut(), &mut self.rng) {
            Ok(()) => self.established(now, conn),
            Err(fault) => self.opening_failed(now, conn, fault),
        }
    }
}
