//! What is true of the chain in the whole world: one block a height, one statement a key and subject. Kept apart
//! from every host, across all their restarts.

use std::collections::{BTreeMap, BTreeSet};

use timed_core::{BlockHash, FinalBlock, Height, NodeId, Registry, RegistryChange};

use crate::chain_auditor::ChainAuditor;

use super::notary::{Statement, Subject};

/// The chain as it was decided, and who has said what about it.
#[derive(Debug)]
pub(crate) struct Ledger {
    auditor: ChainAuditor,
    /// The hash of each height, from height 1.
    finals: Vec<BlockHash>,
    uttered: BTreeMap<(NodeId, Subject), Uttered>,
    /// Keys that may contradict themselves.
    distrusted: BTreeSet<NodeId>,
}

/// A statement that a key is bound by.
#[derive(Debug)]
struct Uttered {
    statement: Statement,
    reach: Reach,
}

/// How far a statement got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// The signer's disk.
    Durable,
    /// The wire.
    Sent,
}

impl Ledger {
    pub(crate) fn new(auditor: ChainAuditor) -> Self {
        Self { auditor, finals: Vec::new(), uttered: BTreeMap::new(), distrusted: BTreeSet::new() }
    }

    /// Height of the newest block that is final anywhere.
    pub(crate) fn height(&self) -> Height {
        self.auditor.height()
    }

    /// The final block of a height.
    pub(crate) fn hash(&self, height: Height) -> Option<BlockHash> {
        self.finals.get(index(height)?).copied()
    }

    /// The registry in force at a height.
    pub(crate) fn registry_at(&self, height: Height) -> &Registry {
        self.auditor.registry_at(height)
    }

    /// From now on nothing is said of what this key contradicts.
    pub(crate) fn distrust(&mut self, key: NodeId) {
        self.distrusted.insert(key);
    }

    /// Somebody takes a block for final.
    pub(crate) fn decided(&mut self, block: &FinalBlock, changes: &[RegistryChange]) -> Result<(), String> {
        let height = block.block.header.height;
        let Some(known) = self.hash(height) else {
            let hash = self.auditor.take(block, changes)?;
            self.finals.push(hash);
            return Ok(());
        };
        let hash = block.block.header.hash(self.auditor.genesis());
        if hash != known {
            return Err(format!("FORK: two final blocks at height {height}: {known} and {hash}"));
        }
        self.auditor.certifies(&block.certificate, height, &hash)
    }

    /// A statement reached the signer's disk or the wire.
    pub(crate) fn uttered(&mut self, key: NodeId, statement: Statement, reach: Reach) -> Result<(), String> {
        let subject = statement.subject;
        let known = self.uttered.entry((key, subject)).or_insert(Uttered { statement, reach });
        if known.statement != statement && !self.distrusted.contains(&key) {
            let (first, second) = (known.statement, statement);
            return Err(format!("EQUIVOCATION: {subject}: {first:?} and {second:?}"));
        }
        known.reach = known.reach.max(reach);
        Ok(())
    }

    /// The key's disk was replaced in a network that loses what is sent: nothing of it may have been heard.
    pub(crate) fn forget(&mut self, key: NodeId) {
        self.uttered.retain(|(signer, _), _| *signer != key);
    }

    /// Whether a key has said exactly this on the wire, in this life or an earlier one.
    pub(crate) fn was_sent(&self, key: NodeId, statement: Statement) -> bool {
        let known = self.uttered.get(&(key, statement.subject));
        known.is_some_and(|known| known.reach == Reach::Sent && known.statement == statement)
    }

    /// The key's disk was replaced: what never left it, nobody will ever know of.
    pub(crate) fn forget_unsent(&mut self, key: NodeId) {
        self.uttered.retain(|(signer, _), uttered| *signer != key || uttered.reach == Reach::Sent);
    }
}

fn index(height: Height) -> Option<usize> {
    usize::try_from(height.0.checked_sub(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain_auditor::Origin;
    use crate::chain_generator::ChainGenerator;
    use crate::driver::Crypto;
    use crate::sim::notary::StatementKind;
    use std::time::Duration;
    use timed_core::{GenesisHash, Masternode, Round, Wall};

    fn origin() -> Origin {
        let entry = |seat: u8| Masternode {
            id: Crypto::Null.provider(seat).node_id(),
            addr: format!("10.0.0.{seat}:1").parse().expect("an address"),
        };
        Origin {
            genesis: GenesisHash([9; 32]),
            genesis_time: Wall(0),
            interval: Duration::from_secs(1),
            registry: Registry::new((1..=4).map(entry).collect()).expect("a registry"),
        }
    }

    fn ledger() -> Ledger {
        Ledger::new(ChainAuditor::new(origin(), Crypto::Null.provider(1)))
    }

    fn chain(payload: &'static [u8]) -> Vec<FinalBlock> {
        let mut generator = ChainGenerator::new(origin(), (1..=4).map(|seat| Crypto::Null.provider(seat)))
            .with_payload(move |_| payload.into());
        (0..3).map(|_| generator.make()).collect()
    }

    fn statement(block: u8) -> Statement {
        let subject = Subject { height: Height(1), round: Round(0), kind: StatementKind::Prevote };
        Statement { subject, valid_round: None, block: Some(BlockHash([block; 32])) }
    }

    #[test]
    fn two_blocks_at_a_height_are_a_fork_and_one_block_twice_is_none() {
        let (mut ledger, ours, theirs) = (ledger(), chain(b"ours"), chain(b"theirs"));
        for block in &ours {
            assert_eq!(ledger.decided(block, &[]), Ok(()));
        }
        assert_eq!(ledger.decided(&ours[1], &[]), Ok(()));
        assert_eq!((ledger.height(), ledger.hash(Height(2))), (Height(3), Some(ours[1].certificate.block)));
        let fork = ledger.decided(&theirs[1], &[]).expect_err("a fork");
        assert!(fork.starts_with("FORK"), "{fork}");
    }

    #[test]
    fn a_key_is_bound_by_what_it_said_until_its_disk_is_replaced() {
        let (mut ledger, key) = (ledger(), NodeId([1; 32]));
        assert_eq!(ledger.uttered(key, statement(1), Reach::Durable), Ok(()));
        assert_eq!(ledger.uttered(key, statement(1), Reach::Durable), Ok(()));
        assert!(ledger.uttered(key, statement(2), Reach::Durable).is_err());
        ledger.forget_unsent(key);
        assert_eq!(ledger.uttered(key, statement(2), Reach::Sent), Ok(()));
        ledger.forget_unsent(key);
        assert!(ledger.uttered(key, statement(1), Reach::Sent).is_err());
        ledger.distrust(key);
        assert_eq!(ledger.uttered(key, statement(1), Reach::Sent), Ok(()));
    }
}
