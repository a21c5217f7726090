//! Work for inbound connections that have proven nothing, within its budget (rule S-7). What is over it waits its
//! turn, as long as the handshake's deadline lets it.

use std::net::SocketAddr;

use crate::ids::ConnId;
use crate::link::Phase;
use crate::link::handshake;
use crate::net::effort::Step;
use crate::net::unauthenticated::Origin;
use crate::node::{Node, Parked, TimerKey};
use crate::time::Now;

impl Node {
    /// Whose place and whose budget a source has.
    pub(super) fn source_of(&self, addr: SocketAddr) -> Origin {
        if self.expected_ip(addr) { Origin::Registered } else { Origin::Stranger }
    }

    /// An inbound connection needs a key agreement or an answer: done now, or when it is its turn.
    pub(super) fn step_for_unproven(&mut self, now: Now, conn: ConnId) {
        let Some(link) = self.links.get(conn) else { return };
        let origin = self.source_of(link.remote);
        let before = self.deferred.iter().filter_map(|conn| self.links.get(*conn));
        let first =
            before.filter(|link| !link.is_closing()).all(|link| self.source_of(link.remote) != origin);
        if first && self.effort.spend(now.mono, origin) == Step::Now {
            return self.do_step(now, conn);
        }
        self.counters.handshakes_deferred += 1;
        self.deferred.push_back(conn);
        self.arm_deferred(now);
    }

    /// The next turns of those who wait.
    pub(super) fn deferred_due(&mut self, now: Now) {
        for conn in std::mem::take(&mut self.deferred) {
            let Some(link) = self.links.get(conn).filter(|link| !link.is_closing()) else { continue };
            match self.effort.spend(now.mono, self.source_of(link.remote)) {
                Step::Now => self.do_step(now, conn),
                Step::At(_) => self.deferred.push_back(conn),
            }
        }
        self.arm_deferred(now);
    }

    fn arm_deferred(&mut self, now: Now) {
        let sources = self.deferred.iter().filter_map(|conn| self.links.get(*conn));
        let next = sources.map(|link| self.effort.next(now.mono, self.source_of(link.remote))).min();
        self.timers.set(TimerKey::Unproven, next);
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
