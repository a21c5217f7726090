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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InForce {
    /// The registry.
    pub(crate) registry: Registry,
    /// Its hash.
    pub(crate) hash: RegistryHash,
}

/// Which registry is in force at which height, as far as the blocks that were taken in tell.
#[derive(Clone, Debug, PartialEq, Eq)]
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

    /// A node starts with a durable tip: blocks up to it whose changes are not recorded changed nothing.
    pub(crate) fn resume_at(&mut self, tip: Height) {
        self.taken_in = self.taken_in.max(tip);
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
        let covers = registries.first().is_some_and(|(from, _)| *from <= taken_in)
            && registries.last().is_some_and(|(from, _)| *from <= in_force_from(taken_in));
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
