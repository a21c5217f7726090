//! No dial inside back-off (rule D-5), by a reading of its own: whoever could not be reached at all is not tried
//! again too soon, unless it has called meanwhile or somebody asks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use timed_core::{CanonicalAddr, Config, ConnId, Mono, NodeId, Now, Request};

use super::host::{Phase, Socket};

/// What one process knows of addresses that it could not reach, by its own clock.
#[derive(Debug, Default)]
pub(crate) struct DialRules {
    under_way: BTreeMap<ConnId, CanonicalAddr>,
    failed: BTreeMap<CanonicalAddr, Failed>,
    /// What an operator has asked for and has not got.
    ordered: BTreeSet<CanonicalAddr>,
    /// The latest reading of its clock, which it takes for the time where the clock falls behind (contract C4).
    latest: Mono,
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    /// Dials in a row that reached nobody.
    times: u32,
    last: Mono,
}

impl DialRules {
    /// It dials. Says what is wrong with that, if anything is.
    pub(crate) fn dials(
        &mut self,
        now: Now,
        config: &Config,
        conn: ConnId,
        addr: CanonicalAddr,
    ) -> Result<(), String> {
        self.under_way.insert(conn, addr);
        if self.ordered.remove(&addr) {
            return Ok(());
        }
        // Another address of one node, or the probe of a stranger's, has a record of its own.
        let Some(failed) = self.failed.get(&addr).filter(|_| config.registry.by_addr(&addr).is_some()) else {
            return Ok(());
        };
        self.latest = self.latest.max(now.mono);
        let (waited, least) = (self.latest.since(failed.last), least_wait(config, failed.times));
        if waited < least {
            return Err(format!(
                "dials {addr} {waited:?} after the last of {} dials that reached nobody, sooner than {least:?}",
                failed.times
            ));
        }
        Ok(())
    }

    /// A dial has reached somebody.
    pub(crate) fn connected(&mut self, conn: ConnId) {
        if let Some(addr) = self.under_way.remove(&conn) {
            self.failed.remove(&addr);
        }
    }

    /// A connection is lost: if it was being dialed, nobody was reached.
    pub(crate) fn lost(&mut self, now: Now, socket: &Socket, conn: ConnId) {
        if let Some(addr) = self.under_way.remove(&conn)
            && socket.phase == Phase::Dialing
        {
            self.latest = self.latest.max(now.mono);
            let times = self.failed.get(&addr).map_or(0, |failed| failed.times);
            self.failed.insert(addr, Failed { times: times + 1, last: self.latest });
        }
    }

    /// A link that the peer has dialed, or a knock that was promised a dial, ends the wait.
    pub(crate) fn called(&mut self, peer: &NodeId, config: &Config) {
        if let Some(entry) = config.registry.get(peer) {
            self.failed.remove(&entry.addr);
        }
    }

    /// It has raised its epoch, and tries everybody again as after a start (rule E-5).
    pub(crate) fn began_anew(&mut self) {
        self.failed.clear();
    }

    /// An operator may ask for a dial at any time: it comes at once, or after the one that is under way.
    pub(crate) fn ordered(&mut self, request: &Request) {
        if let Request::Connect { addr, .. } = request {
            self.ordered.insert(*addr);
        }
    }
}

/// Half of what the last failure doubled the wait to. Every second failure counts: a knock that reaches nobody is
/// none, and is followed by a dial in earnest.
fn least_wait(config: &Config, times: u32) -> Duration {
    let doubled = config.timings.backoff_first * (1 << times.div_ceil(2).min(10));
    doubled.min(config.timings.backoff_masternode) / 2
}
