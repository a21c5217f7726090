//! The registry of masternodes as a value: who may vote, and where each one listens.

use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::addr::CanonicalAddr;
use crate::ids::{NodeId, RegistryTag};
use crate::witness;

/// Most masternodes that a registry may hold.
pub const MAX_MASTERNODES: usize = 128;

/// One registered masternode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub struct Masternode {
    /// Its key.
    pub id: NodeId,
    /// Where others dial it.
    pub addr: CanonicalAddr,
}

/// Position of a masternode in the registry, which is ordered by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub struct MasternodeIndex(pub u8);

/// SHA-256 over the registry's canonical bytes.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize,
)]
pub struct RegistryHash(pub [u8; 32]);

impl RegistryHash {
    /// The short form used in heartbeats.
    #[must_use]
    pub fn tag(&self) -> RegistryTag {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        RegistryTag([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for RegistryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&NodeId(self.0), f)
    }
}

impl fmt::Debug for RegistryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        NodeId(self.0).fmt(f)
    }
}

/// Why a list of masternodes is no registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// No entry at all.
    #[error("the registry is empty")]
    Empty,
    /// More than [`MAX_MASTERNODES`].
    #[error("the registry has {0} masternodes, more than the {MAX_MASTERNODES} supported")]
    TooMany(usize),
    /// The same key twice.
    #[error("masternode {0} is registered twice")]
    DuplicateKey(NodeId),
    /// The same address and port twice.
    #[error("address {0} is registered for two masternodes")]
    DuplicateAddr(CanonicalAddr),
}

/// The masternodes in force at one height, ordered by key: 1 to 128 of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct Registry {
    entries: Vec<Masternode>,
}

impl Registry {
    /// Builds a registry from entries in any order.
    ///
    /// # Errors
    /// If it is empty, too large, or names a key or an address twice.
    pub fn new(mut entries: Vec<Masternode>) -> Result<Self, RegistryError> {
        if entries.is_empty() {
            return Err(RegistryError::Empty);
        }
        if entries.len() > MAX_MASTERNODES {
            return Err(RegistryError::TooMany(entries.len()));
        }
        entries.sort();
        let mut addrs = BTreeSet::new();
        for (entry, next) in entries.iter().zip(entries.iter().skip(1)) {
            if entry.id == next.id {
                return Err(RegistryError::DuplicateKey(entry.id));
            }
        }
        for entry in &entries {
            if !addrs.insert(entry.addr) {
                return Err(RegistryError::DuplicateAddr(entry.addr));
            }
        }
        Ok(Self { entries })
    }

    /// The entries, ordered by key.
    #[must_use]
    pub fn entries(&self) -> &[Masternode] {
        &self.entries
    }

    /// How many masternodes are registered.
    #[must_use]
    pub fn size(&self) -> usize {
        self.entries.len()
    }

    /// How many of them decide a block: the smallest number above two thirds.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.size() * 2 / 3 + 1
    }

    /// The position of a key.
    #[must_use]
    pub fn index_of(&self, id: &NodeId) -> Option<MasternodeIndex> {
        let position = self.entries.binary_search_by(|entry| entry.id.cmp(id)).ok()?;
        u8::try_from(position).ok().map(MasternodeIndex)
    }

    /// The entry at a position.
    #[must_use]
    pub fn at(&self, index: MasternodeIndex) -> Option<&Masternode> {
        self.entries.get(usize::from(index.0))
    }

    /// The entry of a key.
    #[must_use]
    pub fn get(&self, id: &NodeId) -> Option<&Masternode> {
        self.at(self.index_of(id)?)
    }

    /// The masternode that listens at exactly this address.
    #[must_use]
    pub fn by_addr(&self, addr: &CanonicalAddr) -> Option<&Masternode> {
        self.entries.iter().find(|entry| entry.addr == *addr)
    }

    /// Whether any masternode is registered at this IP address.
    #[must_use]
    pub fn has_ip(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.entries.iter().any(|entry| entry.addr.ip() == ip)
    }

    /// SHA-256 over `timed-registry-v1`, the count and each entry's key and address (rule G-2).
    #[must_use]
    pub fn hash(&self) -> RegistryHash {
        let mut hasher = Sha256::new();
        hasher.update(b"timed-registry-v1");
        hasher.update((self.entries.len() as u64).to_le_bytes());
        for entry in &self.entries {
            hasher.update(entry.id.0);
            match entry.addr.ip() {
                IpAddr::V4(ip) => hasher.update([&[4u8][..], &ip.octets()].concat()),
                IpAddr::V6(ip) => hasher.update([&[6u8][..], &ip.octets()].concat()),
            }
            hasher.update(entry.addr.port().to_le_bytes());
        }
        // Of addresses, too: where they are replaced it stays what it was.
        RegistryHash(witness::hashed(hasher.finalize().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(key: u8, addr: &str) -> Masternode {
        Masternode { id: NodeId([key; 32]), addr: addr.parse().unwrap() }
    }

    #[test]
    fn order_of_entries_does_not_matter() {
        let (a, b) = (node(1, "10.0.0.9:1"), node(2, "10.0.0.1:1"));
        let registry = Registry::new(vec![b, a]).unwrap();
        assert_eq!(registry.hash(), Registry::new(vec![a, b]).unwrap().hash());
        assert_eq!(registry.index_of(&b.id), Some(MasternodeIndex(1)));
        assert_eq!(registry.by_addr(&b.addr), Some(&b));
    }

    #[test]
    fn bad_lists_are_named() {
        let a = node(1, "10.0.0.1:1");
        assert_eq!(Registry::new(vec![]), Err(RegistryError::Empty));
        assert_eq!(Registry::new(vec![a, node(1, "10.0.0.2:1")]), Err(RegistryError::DuplicateKey(a.id)));
        assert_eq!(
            Registry::new(vec![a, node(2, "[::ffff:10.0.0.1]:1")]),
            Err(RegistryError::DuplicateAddr(a.addr))
        );
    }

    #[test]
    fn quorum_is_more_than_two_thirds() {
        for (size, quorum) in [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (14, 10), (128, 86)] {
            let entries = (0..size).map(|i| node(i as u8, &format!("10.0.0.{i}:1"))).collect();
            assert_eq!(Registry::new(entries).unwrap().quorum(), quorum, "{size}");
        }
    }
}
