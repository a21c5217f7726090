//! The registry in force at each height, and how blocks change it (rule C-7).

use std::collections::BTreeMap;

use crate::chain::durable::{Damaged, Reader, put_addr, put_count, put_height};
use crate::crypto::{Provider, WeakKey};
use crate::ids::{Height, NodeId};
use crate::input::RegistryChange;
use crate::registry::{MAX_MASTERNODES, Masternode, Registry, RegistryError, RegistryHash};

/// A block's changes are in force so many heights later.
const IN_FORCE_AFTER: u64 = 2;
const VERSION: u8 = 1;
/// Registries in one record at most: the one in force at the tip and those of the two heights that follow.
const MOST_RECORDED: usize = 3;

/// A registry with what is asked of it at every height.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct InForce {
    /// The registry.
    pub(crate) registry: Registry,
    /// Its hash.
    pub(crate) hash: RegistryHash,
}

/// Which registry is in force at which height, as far as the blocks that were taken in tell.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Registries {
    /// By the first height at which each is in force.
    since: BTreeMap<Height, InForce>,
    /// The newest block whose changes are known.
    taken_in: Height,
}

/// Why a block's changes leave the registry as it is: at every node for the same reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadChanges {
    /// They do not give a registry.
    #[error("{0}")]
    NoRegistry(#[from] RegistryError),
    /// A key is unusable.
    #[error("masternode {0} has an invalid or weak public key")]
    WeakKey(NodeId),
}

impl From<WeakKey> for BadChanges {
    fn from(key: WeakKey) -> Self {
        Self::WeakKey(key.0)
    }
}

impl InForce {
    fn new(registry: Registry) -> Self {
        let hash = registry.hash();
        Self { registry, hash }
    }
}

impl Registries {
    /// One registry, in force at the tip and, as far as is known, after it.
    pub(crate) fn new(registry: Registry, tip: Height) -> Self {
        Self { since: BTreeMap::from([(Height(0), InForce::new(registry))]), taken_in: tip }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.since.len()
    }

    /// The registry in force at a height; none if that follows from blocks that were not taken in yet, or is
    /// forgotten.
    pub(crate) fn at(&self, height: Height) -> Option<&InForce> {
        if height > in_force_from(self.taken_in) {
            return None;
        }
        self.since.range(..=height).next_back().map(|(_, registry)| registry)
    }

    /// The newest block whose changes are known: what it and its predecessors changed is in here.
    pub(crate) const fn taken_in(&self) -> Height {
        self.taken_in
    }

    /// At a start: no block up to this one has changed anything that is not in here. The record of a block's
    /// changes is written before the second block after it, so those of the two newest blocks may be missing:
    /// the application is to be asked for them again.
    pub(crate) fn resume_at(&mut self, height: Height) {
        self.taken_in = self.taken_in.max(height);
    }

    /// Takes in what the block after the last one changes; a repeat is a no-op. The new registry's keys become
    /// the trusted ones. Tells from which height on it is in force, if it is another.
    ///
    /// # Errors
    /// If the changes do not give a registry: then none of the block's changes counts, here and everywhere.
    pub(crate) fn take_in(
        &mut self,
        height: Height,
        changes: &[RegistryChange],
        crypto: &mut dyn Provider,
    ) -> Result<Option<Height>, BadChanges> {
        if height != self.taken_in.next() {
            return Ok(None);
        }
        self.taken_in = height;
        let Some((_, newest)) = self.since.last_key_value() else { return Ok(None) };
        let registry = changed(&newest.registry, changes)?;
        if registry == newest.registry {
            return Ok(None);
        }
        crypto.trust(&registry.entries().iter().map(|entry| entry.id).collect::<Vec<_>>())?;
        let from = in_force_from(height);
        self.since.insert(from, InForce::new(registry));
        Ok(Some(from))
    }

    /// Forgets the registries that were in force below a height only.
    pub(crate) fn forget_below(&mut self, height: Height) {
        let first = self.since.range(..=height).next_back().map(|(from, _)| *from);
        self.since.retain(|from, _| first.is_none_or(|first| *from >= first));
    }

    /// The durable form: how far the blocks were taken in, and the registries from there on.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_height(self.taken_in, &mut out);
        let mut kept = self.clone();
        kept.forget_below(self.taken_in);
        put_count(kept.since.len(), &mut out);
        for (from, InForce { registry, .. }) in &kept.since {
            put_height(*from, &mut out);
            put_count(registry.size(), &mut out);
            for Masternode { id, addr } in registry.entries() {
                out.extend_from_slice(&id.0);
                put_addr(*addr, &mut out);
            }
        }
        out
    }

    /// Reads the durable form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, VERSION)?;
        let taken_in = reader.height()?;
        let registries = reader.list(MOST_RECORDED, |reader| {
            let from = reader.height()?;
            let entry = |reader: &mut Reader<'_>| Ok(Masternode { id: reader.node()?, addr: reader.addr()? });
            let entries = reader.list(MAX_MASTERNODES, entry)?;
            let registry = Registry::new(entries.clone()).map_err(|_| Damaged)?;
            let ordered = registry.entries() == entries.as_slice();
            if ordered { Ok((from, InForce::new(registry))) } else { Err(Damaged) }
        })?;
        reader.end()?;
        let ascending = registries.iter().zip(registries.iter().skip(1)).all(|((a, _), (b, _))| a < b);
        // One is in force at the block that was taken in last, the others are to come.
        let covers = registries.first().is_some_and(|(from, _)| *from <= taken_in)
            && registries
                .iter()
                .skip(1)
                .all(|(from, _)| taken_in < *from && *from <= in_force_from(taken_in));
        let since = registries.into_iter().collect();
        if ascending && covers { Ok(Self { since, taken_in }) } else { Err(Damaged) }
    }
}

const fn in_force_from(height: Height) -> Height {
    Height(height.0.saturating_add(IN_FORCE_AFTER))
}

/// A registry after a block's changes, one after the other.
fn changed(registry: &Registry, changes: &[RegistryChange]) -> Result<Registry, BadChanges> {
    let mut entries: BTreeMap<NodeId, Masternode> =
        registry.entries().iter().map(|entry| (entry.id, *entry)).collect();
    for change in changes {
        match change {
            RegistryChange::Put(entry) => entries.insert(entry.id, *entry),
            RegistryChange::Remove(id) => entries.remove(id),
        };
    }
    Ok(Registry::new(entries.into_values().collect())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::durable::tests::assert_strict;
    use crate::chain::fixture::{Keys, id, masternode, registry};

    fn put(node: usize) -> RegistryChange {
        RegistryChange::Put(masternode(node))
    }

    fn remove(node: usize) -> RegistryChange {
        RegistryChange::Remove(id(node))
    }

    fn sizes(registries: &Registries, heights: std::ops::RangeInclusive<u64>) -> Vec<Option<usize>> {
        heights.map(|height| registries.at(Height(height)).map(|at| at.registry.size())).collect()
    }

    #[test]
    fn changes_are_in_force_two_heights_later_and_nobody_knows_further_ahead() {
        let mut registries = Registries::new(registry(4), Height(0));
        let mut keys = Keys::default();
        assert_eq!(sizes(&registries, 0..=3), [Some(4), Some(4), Some(4), None]);
        assert_eq!(registries.take_in(Height(1), &[put(4)], &mut keys), Ok(Some(Height(3))));
        assert_eq!(keys.trusted.len(), 5);
        assert_eq!(registries.take_in(Height(2), &[remove(0), remove(1)], &mut keys), Ok(Some(Height(4))));
        assert_eq!(registries.take_in(Height(3), &[], &mut keys), Ok(None));
        assert_eq!(sizes(&registries, 0..=6), [Some(4), Some(4), Some(4), Some(5), Some(3), Some(3), None]);
        let in_force = registries.at(Height(4)).unwrap();
        assert_eq!(in_force.hash, in_force.registry.hash());
        registries.forget_below(Height(3));
        assert_eq!(sizes(&registries, 2..=6), [None, Some(5), Some(3), Some(3), None]);
    }

    /// A registration between a proposal and its votes: the block under way is judged by what was in force.
    #[test]
    fn prod_04c_a_change_leaves_the_height_under_way_as_it_was() {
        let mut registries = Registries::new(registry(4), Height(6));
        let before = registries.at(Height(7)).cloned();
        let _ = registries.take_in(Height(7), &[put(4), put(5), put(6)], &mut Keys::default());
        assert_eq!(registries.at(Height(7)).cloned(), before);
        assert_eq!(registries.at(Height(8)).cloned(), before);
        assert_ne!(registries.at(Height(9)).cloned(), before);
    }

    #[test]
    fn a_block_is_taken_in_once_and_in_order() {
        let mut registries = Registries::new(registry(4), Height(5));
        let mut keys = Keys::default();
        for other in [0, 4, 5, 7] {
            assert_eq!(registries.take_in(Height(other), &[put(4)], &mut keys), Ok(None), "{other}");
        }
        assert_eq!(registries, Registries::new(registry(4), Height(5)));
        assert_eq!(registries.take_in(Height(6), &[put(4)], &mut keys), Ok(Some(Height(8))));
        assert_eq!(registries.take_in(Height(6), &[put(5)], &mut keys), Ok(None));
        assert_eq!(registries.at(Height(8)).map(|at| at.registry.size()), Some(5));
    }

    #[test]
    fn changes_that_give_no_registry_change_nothing_but_are_taken_in() {
        let weak = RegistryChange::Put(Masternode { id: NodeId([0; 32]), addr: masternode(200).addr });
        let same_addr = RegistryChange::Put(Masternode { id: id(9), addr: masternode(0).addr });
        let too_many: Vec<RegistryChange> = (0..129).map(put).collect();
        let nobody: Vec<RegistryChange> = (0..4).map(remove).collect();
        let table = [
            (vec![put(4), weak], BadChanges::WeakKey(NodeId([0; 32]))),
            (vec![put(4), same_addr], RegistryError::DuplicateAddr(masternode(0).addr).into()),
            (too_many, RegistryError::TooMany(129).into()),
            (nobody, RegistryError::Empty.into()),
        ];
        for (changes, bad) in table {
            let mut registries = Registries::new(registry(4), Height(5));
            let mut keys = Keys::default();
            assert_eq!(registries.take_in(Height(6), &changes, &mut keys), Err(bad));
            assert_eq!(registries, Registries::new(registry(4), Height(6)));
            assert!(keys.trusted.is_empty());
        }
    }

    #[test]
    fn changes_count_one_after_the_other() {
        let mut registries = Registries::new(registry(4), Height(0));
        let mut keys = Keys::default();
        let moved = Masternode { addr: masternode(7).addr, ..masternode(0) };
        let changes = [put(9), remove(9), remove(8), RegistryChange::Put(moved)];
        assert_eq!(registries.take_in(Height(1), &changes, &mut keys), Ok(Some(Height(3))));
        let at = &registries.at(Height(3)).unwrap().registry;
        assert_eq!((at.size(), at.get(&id(0))), (4, Some(&moved)));
        // What changes nothing in the end is no change.
        assert_eq!(registries.take_in(Height(2), &[put(9), remove(9)], &mut keys), Ok(None));
    }

    #[test]
    fn a_restart_finds_the_registries_of_the_heights_to_come() {
        let mut registries = Registries::new(registry(4), Height(0));
        let mut keys = Keys::default();
        for height in 1..=8u64 {
            let node = 3 + usize::try_from(height).unwrap();
            let _ = registries.take_in(Height(height), &[put(node)], &mut keys);
        }
        let read = Registries::decode(&registries.encode()).unwrap();
        assert_eq!(sizes(&read, 7..=11), [None, Some(10), Some(11), Some(12), None]);
        registries.forget_below(Height(8));
        assert_eq!(read, registries);
        // Two more blocks became durable, and with them whatever they changed.
        let mut resumed = read;
        resumed.resume_at(Height(10));
        assert_eq!(sizes(&resumed, 12..=13), [Some(12), None]);
        resumed.resume_at(Height(3));
        assert_eq!(resumed.taken_in, Height(10));
    }

    #[test]
    fn a_damaged_record_is_refused() {
        let mut registries = Registries::new(registry(2), Height(0));
        let _ = registries.take_in(Height(1), &[put(2)], &mut Keys::default());
        let bytes = registries.encode();
        assert_strict(&bytes, Registries::decode, Registries::encode);
        // In force from a height that is not known yet; none at all for the tip.
        let ahead = Registries {
            since: BTreeMap::from([
                (Height(0), InForce::new(registry(1))),
                (Height(4), InForce::new(registry(2))),
            ]),
            taken_in: Height(1),
        };
        assert_eq!(Registries::decode(&ahead.encode()), Err(Damaged));
        let none = Registries { since: BTreeMap::new(), taken_in: Height(1) };
        assert_eq!(Registries::decode(&none.encode()), Err(Damaged));
    }
}
