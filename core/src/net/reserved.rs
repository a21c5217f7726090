//! The operator's list of peers that always have a place (rule S-3).

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::addr::CanonicalAddr;
use crate::config::{Bootstrap, NewSeed, PeerList, Seed};
use crate::ids::{NodeId, SeedId};
use crate::limits::SEED_ADDRESSES;
use crate::registry::Registry;

/// The list, as it was configured, and what the names on it stand for.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Reserved {
    entries: Vec<Bootstrap>,
    /// Those that are listed by name.
    names: BTreeMap<SeedId, Name>,
}

#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
struct Name {
    id: Option<NodeId>,
    addrs: Vec<CanonicalAddr>,
}

impl Reserved {
    pub(crate) fn new(entries: Vec<Bootstrap>, seeds: &[Seed]) -> Self {
        let reserved = (0..).zip(seeds).filter(|(_, seed)| seed.list == PeerList::Reserved);
        let name = |(number, seed): (u32, &Seed)| (SeedId(number), Name { id: seed.id, addrs: Vec::new() });
        Self { entries, names: reserved.map(name).collect() }
    }

    /// Another list holds from now on; names that stay keep their addresses.
    pub(crate) fn reconfigure(&mut self, entries: Vec<Bootstrap>, seeds: &[NewSeed]) {
        let before = std::mem::take(&mut self.names);
        let name = |new: &NewSeed| {
            let old = new.before.and_then(|number| before.get(&number)).filter(|old| old.id == new.seed.id);
            let addrs = old.map(|old| old.addrs.clone()).unwrap_or_default();
            (new.number, Name { id: new.seed.id, addrs })
        };
        let reserved = seeds.iter().filter(|new| new.seed.list == PeerList::Reserved);
        self.names = reserved.map(name).collect();
        self.entries = entries;
    }

    /// What a name stands for now.
    pub(crate) fn resolved(&mut self, seed: SeedId, addrs: &[CanonicalAddr]) {
        if let Some(name) = self.names.get_mut(&seed) {
            name.addrs = addrs.iter().copied().take(SEED_ADDRESSES).collect();
        }
    }

    /// Whether this key is on it.
    pub(crate) fn has_key(&self, id: &NodeId) -> bool {
        let ids = self.entries.iter().map(|entry| entry.id).chain(self.names.values().map(|name| name.id));
        ids.flatten().any(|reserved| reserved == *id)
    }

    /// Whether this address is on it without a key: whoever answers a dial there is meant. Who only says that it
    /// listens there is not.
    pub(crate) fn has_addr(&self, addr: &CanonicalAddr) -> bool {
        let named = |name: &Name| name.id.is_none() && name.addrs.contains(addr);
        self.entries.iter().any(|entry| entry.id.is_none() && entry.addr == *addr)
            || self.names.values().any(named)
    }

    /// Whether an entry is at this IP address: such a source is no stranger (rule S-1).
    pub(crate) fn has_ip(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let named = self.names.values().flat_map(|name| &name.addrs);
        self.entries.iter().map(|entry| &entry.addr).chain(named).any(|addr| addr.ip() == ip)
    }

    /// How many peers it has besides `me` and the registered ones, which have their places anyway. One key at
    /// several addresses is one peer, and so is a name.
    pub(crate) fn beside(&self, registry: &Registry, me: NodeId, own: Option<CanonicalAddr>) -> usize {
        let counts = |entry: &Bootstrap| match entry.id {
            Some(id) => id != me && registry.get(&id).is_none(),
            None => Some(entry.addr) != own && registry.by_addr(&entry.addr).is_none(),
        };
        let first = |index: usize, entry: &Bootstrap| {
            let same = |other: &Bootstrap| match entry.id {
                Some(_) => other.id == entry.id,
                None => other == entry,
            };
            !self.entries.iter().take(index).any(same)
        };
        let elsewhere = |name: &&Name| match name.id {
            Some(id) => {
                id != me
                    && registry.get(&id).is_none()
                    && !self.entries.iter().any(|entry| entry.id == Some(id))
            }
            None => true,
        };
        let listed = self.entries.iter().enumerate();
        listed.filter(|(index, entry)| counts(entry) && first(*index, entry)).count()
            + self.names.values().filter(elsewhere).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Masternode;

    fn addr(last: u8) -> CanonicalAddr {
        format!("10.0.0.{last}:24100").parse().unwrap()
    }

    #[test]
    fn s_3_an_entry_is_a_key_or_whoever_answers_at_an_address() {
        let key = NodeId([7; 32]);
        let list = Reserved::new(
            vec![Bootstrap { addr: addr(7), id: Some(key) }, Bootstrap { addr: addr(8), id: None }],
            &[],
        );
        assert!(list.has_key(&key) && !list.has_key(&NodeId([8; 32])));
        assert!(list.has_addr(&addr(8)) && !list.has_addr(&addr(7)), "at 7 only the key counts");
        assert!(list.has_ip("::ffff:10.0.0.7".parse().unwrap()) && !list.has_ip("10.0.0.9".parse().unwrap()));
    }

    #[test]
    fn s_3_each_peer_that_is_not_registered_has_one_place() {
        let me = NodeId([1; 32]);
        let entry = |last, id| Bootstrap { addr: addr(last), id };
        let registry = Registry::new(vec![Masternode { id: NodeId([2; 32]), addr: addr(2) }]).unwrap();
        let list = Reserved::new(
            vec![
                entry(1, None),
                entry(1, Some(me)),
                entry(2, None),
                entry(9, Some(NodeId([2; 32]))),
                entry(3, Some(NodeId([3; 32]))),
                entry(4, Some(NodeId([3; 32]))),
                entry(5, None),
                entry(5, None),
            ],
            &[],
        );
        assert_eq!(list.beside(&registry, me, Some(addr(1))), 2);
    }

    #[test]
    fn s_3_a_name_is_whoever_answers_where_it_leads_or_its_key() {
        let seed = |id, list| Seed { id, list };
        let key = NodeId([7; 32]);
        let seeds = [
            seed(None, PeerList::Bootstrap),
            seed(None, PeerList::Reserved),
            seed(Some(key), PeerList::Reserved),
        ];
        let mut list = Reserved::new(Vec::new(), &seeds);
        let registry = Registry::new(vec![Masternode { id: NodeId([2; 32]), addr: addr(2) }]).unwrap();
        assert_eq!(list.beside(&registry, NodeId([1; 32]), None), 2);
        list.resolved(SeedId(0), &[addr(5)]);
        list.resolved(SeedId(1), &[addr(6)]);
        list.resolved(SeedId(2), &[addr(7)]);
        assert_eq!([5, 6, 7].map(|last| list.has_addr(&addr(last))), [false, true, false]);
        assert!(list.has_key(&key) && list.has_ip(addr(7).ip()) && !list.has_ip(addr(5).ip()));
        list.resolved(SeedId(1), &[addr(8)]);
        assert_eq!([6, 8].map(|last| list.has_addr(&addr(last))), [false, true]);
    }
}
