//! The fair end of a schedule: from now on everything is delivered at once, every timer fires in time. What
//! must stand then, and for how long.

use std::time::Duration;

use timed_core::{LinkTag, Mono};

use super::bounds::{Cast, Identities};
use super::host::Down;
use super::model::Model;
use super::step::{HostIx, Side};
use super::wire::State;

/// From the last disturbance until everything must be as it stays.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);
/// How long it is watched then.
const WATCHED: Duration = Duration::from_secs(30);
/// Steps at one instant before it counts as a live-lock.
const STEPS_AT_ONCE: usize = 2_000;

/// How a good ending came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The link that stands.
    pub session: LinkTag,
    /// How long it took until nothing changed any more.
    pub settled_after: Duration,
    /// Links that came up at one host on the way, at most.
    pub ups: u32,
}

impl Model {
    /// Lets the network behave well for 90 s and judges what stands.
    ///
    /// # Errors
    /// Everything that is not as it must be.
    pub fn end_fairly(&mut self) -> Result<Ending, Vec<String>> {
        let begun = self.now;
        let end = begun + SETTLES_WITHIN + WATCHED;
        let before: Vec<u32> = self.hosts.iter().map(|host| host.ups).collect();
        let mut faults = Vec::new();
        loop {
            self.deliver_everything(&mut faults);
            match self.next_due().filter(|(due, _)| *due <= end) {
                Some((due, _)) if faults.is_empty() => self.pass(due.max(self.now)),
                _ => break,
            }
        }
        self.now = self.now.max(end);
        let session = self.judge(begun + SETTLES_WITHIN, &mut faults);
        let ups = self.hosts.iter().zip(before).map(|(host, before)| host.ups - before).max().unwrap_or(0);
        if self.bounds.identities() == Identities::Plain && ups > 1 {
            faults.push(format!("{ups} links came up at one host until one lasted"));
        }
        faults.extend(self.faults().iter().cloned());
        match session {
            Some(session) if faults.is_empty() => {
                Ok(Ending { session, settled_after: self.settled(begun), ups })
            }
            _ => Err(faults),
        }
    }

    fn deliver_everything(&mut self, faults: &mut Vec<String>) {
        for _ in 0..STEPS_AT_ONCE {
            let steps = self.deliverable();
            let Some(step) = steps.first() else { return };
            self.perform(*step);
        }
        faults.push("deliveries never end".to_owned());
    }

    fn settled(&self, begun: Mono) -> Duration {
        let last = self.ends().map(|ix| self.hosts[ix.at()].last_change.max(self.hosts[ix.at()].last_dial));
        last.max().unwrap_or(begun).since(begun)
    }

    /// The hosts that end with a link: all of a pair; of twins the one that has it.
    fn ends(&self) -> impl Iterator<Item = HostIx> {
        self.hosts
            .iter()
            .filter(|host| self.bounds.cast == Cast::Pair || host.is_linked())
            .map(|host| host.ix)
    }

    fn judge(&mut self, settled_by: Mono, faults: &mut Vec<String>) -> Option<LinkTag> {
        let ends: Vec<HostIx> = self.ends().collect();
        if ends.len() != 2 {
            faults.push(format!("{} processes have a live link, not two", ends.len()));
        }
        let mut sessions = Vec::new();
        for ix in &ends {
            let host = &self.hosts[ix.at()];
            if host.last_change > settled_by {
                faults.push(format!("{ix}: its link still changes"));
            }
            if host.last_dial > settled_by {
                faults.push(format!("{ix}: it still dials"));
            }
            let peers = self.at(*ix, |host, around| host.peers(around));
            if peers.len() != 1 {
                faults.push(format!("{ix}: {} live links at the end", peers.len()));
            }
            sessions.extend(peers.iter().map(|peer| peer.session));
        }
        for host in &self.hosts {
            if self.bounds.cast == Cast::Pair && host.down == Down::Halted {
                faults.push(format!("{}: halted, although its key runs nowhere else", host.ix));
            }
        }
        self.judge_connections(&ends, faults);
        match sessions.as_slice() {
            [one, other] if one == other => Some(*one),
            [_, _] => {
                faults.push("the two ends name different sessions".to_owned());
                None
            }
            _ => None,
        }
    }

    /// Between the ends of the link no other connection is left, not even at one end.
    fn judge_connections(&self, ends: &[HostIx], faults: &mut Vec<String>) {
        let between = |(key, conn): &(_, &super::wire::Conn)| {
            [Side::Dialer, Side::Acceptor].iter().all(|side| ends.contains(&conn.host(*key, *side)))
        };
        let left: Vec<_> = self.wire.iter().filter(between).collect();
        let whole = left.iter().filter(|(_, conn)| {
            conn.state == State::Up && conn.end(Side::Dialer).is_some() && conn.end(Side::Acceptor).is_some()
        });
        if (left.len(), whole.count()) != (1, 1) {
            let names: Vec<String> =
                left.iter().map(|(key, conn)| format!("{key} {:?}", conn.state)).collect();
            faults.push(format!("connections left: [{}], not one whole one", names.join(", ")));
        }
    }
}
