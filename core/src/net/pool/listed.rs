//! For whose sake links are sought, and how that changes with the configuration's lists while the node runs.

use std::collections::BTreeSet;

use crate::addr::CanonicalAddr;
use crate::config::{MasternodeMode, Reconfiguration};
use crate::ids::NodeId;
use crate::net::dialer::Wanted;
use crate::net::pool::{Destination, Pool};
use crate::net::wishes::{Wish, Wishes};
use crate::registry::Registry;
use crate::rng::Rng;
use crate::time::Now;

impl Pool {
    /// All who seek a link there.
    pub(crate) fn sought_by(&self, destination: Destination) -> Wishes {
        let wishes = match destination {
            Destination::Peer(id) => self.peers.get(&id).map(|peer| peer.sought_by()),
            Destination::Addr(addr) => self.targets.get(&addr).map(|target| target.wishes),
        };
        wishes.unwrap_or_default()
    }

    /// The operator asks for this link no more. Answers whether it had.
    pub(crate) fn not_ordered(&mut self, destination: Destination) -> bool {
        if !self.sought_by(destination).has(Wish::Ordered) {
            return false;
        }
        match destination {
            Destination::Peer(id) => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.not_ordered();
                }
            }
            Destination::Addr(addr) => {
                if let Some(target) = self.targets.get_mut(&addr) {
                    target.wishes.remove(Wish::Ordered);
                    if target.wishes.wanted() == Wanted::No {
                        self.targets.remove(&addr);
                    }
                }
            }
        }
        true
    }

    /// Addresses whose node is yet to be learned.
    pub(crate) fn bare(&self) -> impl Iterator<Item = CanonicalAddr> {
        self.targets.keys().copied()
    }

    /// From now on these lists say whom the configuration seeks and for whom it keeps a place. Links stay, and so
    /// does whatever the registry, a name or an order of the operator's seeks.
    pub(crate) fn relisted(
        &mut self,
        new: &Reconfiguration,
        registry: &Registry,
        mode: MasternodeMode,
        now: Now,
        rng: &mut Rng,
    ) {
        let listed = || new.bootstrap.iter().chain(&new.reserved);
        let named = new.seeds.iter().filter_map(|name| name.seed.id);
        let ids: BTreeSet<NodeId> = listed().filter_map(|entry| entry.id).chain(named.clone()).collect();
        let bare = listed().filter(|entry| entry.id.is_none());
        let addrs: BTreeSet<CanonicalAddr> = bare.map(|entry| entry.addr).collect();
        for peer in self.peers.values_mut() {
            peer.relisted(ids.contains(&peer.id), &addrs);
        }
        self.targets.retain(|addr, target| {
            if !addrs.contains(addr) {
                target.wishes.remove(Wish::Configured);
            }
            target.wishes.wanted() == Wanted::Yes
        });
        self.reserved.reconfigure(new.reserved.clone(), &new.seeds);
        self.share_out(registry, mode);
        for entry in listed() {
            self.want(entry.addr, entry.id, Wish::Configured.into(), registry, now, rng);
        }
        for id in named {
            if let Some(peer) = self.get_mut(&id) {
                peer.wishes.join(Wish::Configured.into());
            }
        }
    }
}
