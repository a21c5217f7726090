//! The operator's list of peers that always have a place (rule S-3).

use std::net::IpAddr;

use crate::addr::CanonicalAddr;
use crate::config::Bootstrap;
use crate::ids::NodeId;
use crate::registry::Registry;

/// The list, as it was configured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reserved(Vec<Bootstrap>);

impl Reserved {
    pub(crate) const fn new(entries: Vec<Bootstrap>) -> Self {
        Self(entries)
    }

    /// Whether this key is on it.
    pub(crate) fn has_key(&self, id: &NodeId) -> bool {
        self.0.iter().any(|entry| entry.id == Some(*id))
    }

    /// Whether this address is on it without a key: whoever answers a dial there is meant. Who only says that it
    /// listens there is not.
    pub(crate) fn has_addr(&self, addr: &CanonicalAddr) -> bool {
        self.0.iter().any(|entry| entry.id.is_none() && entry.addr == *addr)
    }

    /// Whether an entry is at this IP address: such a source is no stranger (rule S-1).
    pub(crate) fn has_ip(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|entry| entry.addr.ip() == ip)
    }

    /// How many peers it has besides `me` and the registered ones, which have their places anyway. A name may have
    /// given one key several addresses: that is one peer.
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
            !self.0.iter().take(index).any(same)
        };
        self.0.iter().enumerate().filter(|(index, entry)| counts(entry) && first(*index, entry)).count()
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
        let list = Reserved::new(vec![
            Bootstrap { addr: addr(7), id: Some(key) },
            Bootstrap { addr: addr(8), id: None },
        ]);
        assert!(list.has_key(&key) && !list.has_key(&NodeId([8; 32])));
        assert!(list.has_addr(&addr(8)) && !list.has_addr(&addr(7)), "at 7 only the key counts");
        assert!(list.has_ip("::ffff:10.0.0.7".parse().unwrap()) && !list.has_ip("10.0.0.9".parse().unwrap()));
    }

    #[test]
    fn s_3_each_peer_that_is_not_registered_has_one_place() {
        let me = NodeId([1; 32]);
        let entry = |last, id| Bootstrap { addr: addr(last), id };
        let registry = Registry::new(vec![Masternode { id: NodeId([2; 32]), addr: addr(2) }]).unwrap();
        let list = Reserved::new(vec![
            entry(1, None),
            entry(1, Some(me)),
            entry(2, None),
            entry(9, Some(NodeId([2; 32]))),
            entry(3, Some(NodeId([3; 32]))),
            entry(4, Some(NodeId([3; 32]))),
            entry(5, None),
            entry(5, None),
        ]);
        assert_eq!(list.beside(&registry, me, Some(addr(1))), 2);
    }
}
