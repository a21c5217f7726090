//! Bootstrap peers known by name (rule P-8): asking the name service, and seeking what it says.

use crate::addr::CanonicalAddr;
use crate::command::Command;
use crate::event::Direction;
use crate::ids::SeedId;
use crate::net::seeds::{Linked, Turn};
use crate::net::wishes::Wish;
use crate::node::{Node, Run, TimerKey};
use crate::time::Now;

impl Node {
    /// Asks about every name whose time has come and that has no link.
    pub(super) fn ask_for_names(&mut self, now: Now) {
        if self.seeds.is_empty() || self.run != Run::Working {
            return;
        }
        let linked = self.linked();
        let mut next = None;
        for turn in self.seeds.turns(now.mono, &linked, &mut self.rng) {
            match turn {
                Turn::Ask(seed) => self.commands.push_back(Command::Resolve { seed }),
                Turn::At(at) => next = next.into_iter().chain([at]).min(),
            }
        }
        self.timers.set(TimerKey::Names, next);
    }

    /// The name service has answered, now or long ago: what it says is sought from now on, what no name says any
    /// more is not.
    pub(super) fn resolved(&mut self, now: Now, seed: SeedId, addrs: &[CanonicalAddr]) {
        let Some((id, addrs)) = self.seeds.resolved(seed, addrs) else { return };
        if self.run != Run::Working {
            return;
        }
        self.pool.resolved(seed, &addrs);
        for addr in addrs {
            let wishes = Wish::Named.into();
            if let Some(destination) =
                self.pool.want(addr, id, wishes, &self.config.registry, now, &mut self.rng)
            {
                self.seeds.lend(addr);
                self.pursue(now, destination);
            }
        }
        self.forget_outdated(now);
    }

    /// What no name gives any more is sought no more.
    pub(super) fn forget_outdated(&mut self, now: Now) {
        let linked = self.linked();
        for addr in self.seeds.outdated(&linked) {
            for destination in self.pool.unnamed(&addr) {
                self.pursue(now, destination);
            }
        }
    }

    /// To whom there are links, and where these nodes were met. Where a peer says that it listens is no such place:
    /// anybody can say that of the address that a name leads to.
    fn linked(&self) -> Linked {
        let mut linked = Linked::default();
        for (peer, conn) in self.pool.live() {
            linked.ids.insert(peer.id);
            linked.addrs.extend(peer.found_at());
            let dialed = self.links.get(conn).filter(|link| link.direction() == Direction::Outbound);
            linked.addrs.extend(dialed.and_then(|link| CanonicalAddr::new(link.remote).ok()));
        }
        linked
    }
}
