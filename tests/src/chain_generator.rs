//! Chains of any length, made without a network: valid final blocks, signed with the masternodes' own keys.
//!
//! For long catch-ups that need no waiting: [`ChainGenerator`] gives the blocks one by one; a test puts them on
//! simulated disks, `cargo run -p timed-tests --bin chain` into the stores of data directories.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use timed_core::crypto::Provider;
use timed_core::wire::block::Outline;
use timed_core::wire::signing;
use timed_core::{
    Block, BlockHash, Certificate, CertificateHash, FinalBlock, Header, Height, NodeId, Registry,
    RegistryChange, Round, SeatSet, StoredBlock, VoteKind, Wall,
};

use crate::chain_auditor::{Origin, change, leader};

/// Whether a masternode signs the block of a height.
pub type SignsAt = dyn Fn(Height, &NodeId) -> bool;

/// Who signs the block of a height.
pub enum Signers {
    /// Every masternode whose key is here.
    All,
    /// As few as decide.
    Quorum,
    /// Those whom this names.
    Those(Box<SignsAt>),
}

/// Makes a chain block by block.
pub struct ChainGenerator {
    origin: Origin,
    keys: BTreeMap<NodeId, Box<dyn Provider>>,
    signers: Signers,
    payload: Box<dyn FnMut(Height) -> Bytes>,
    changes: BTreeMap<Height, Vec<RegistryChange>>,
    registry: Registry,
    /// Registries that are in force from a later height on.
    coming: BTreeMap<Height, Registry>,
    tip: Tip,
}

#[derive(Debug, Default)]
struct Tip {
    height: Height,
    hash: BlockHash,
    certificate: Option<Box<Certificate>>,
}

impl fmt::Debug for ChainGenerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainGenerator(at height {})", self.tip.height)
    }
}

impl ChainGenerator {
    /// A chain from its first block on: one block a slot, the first in the slot after the genesis, empty ones,
    /// each signed by all. `keys` are those of a quorum of the registry at least, leaders included.
    #[must_use]
    pub fn new(origin: Origin, keys: impl IntoIterator<Item = Box<dyn Provider>>) -> Self {
        Self {
            registry: origin.registry.clone(),
            origin,
            keys: keys.into_iter().map(|key| (key.node_id(), key)).collect(),
            signers: Signers::All,
            payload: Box::new(|_| Bytes::new()),
            changes: BTreeMap::new(),
            coming: BTreeMap::new(),
            tip: Tip::default(),
        }
    }

    /// Sets who signs.
    #[must_use]
    pub fn signed_by(mut self, signers: Signers) -> Self {
        self.signers = signers;
        self
    }

    /// Sets what the blocks carry.
    #[must_use]
    pub fn with_payload(mut self, payload: impl FnMut(Height) -> Bytes + 'static) -> Self {
        self.payload = Box::new(payload);
        self
    }

    /// Sets what blocks change in the registry, in force two heights later.
    #[must_use]
    pub fn with_changes(mut self, changes: BTreeMap<Height, Vec<RegistryChange>>) -> Self {
        self.changes = changes;
        self
    }

    /// The next block.
    ///
    /// # Panics
    /// If the keys at hand cannot decide it, or a change leaves no registry.
    pub fn make(&mut self) -> FinalBlock {
        let height = self.tip.height.next();
        if let Some(registry) = self.coming.remove(&height) {
            self.registry = registry;
        }
        let payload = (self.payload)(height);
        let certificate = self.tip.certificate.take();
        let header = Header {
            height,
            round: Round(0),
            slot: slot(&self.origin, height),
            parent: self.tip.hash,
            certificate: certificate.as_ref().map_or_else(CertificateHash::default, |parent| parent.hash()),
            payload: Outline::of(&payload).root(),
            registry: self.registry.hash(),
            proposer: leader(&self.registry, height, 0),
        };
        let hash = header.hash(&self.origin.genesis);
        let made = self.certify(height, hash);
        self.tip = Tip { height, hash, certificate: Some(Box::new(made.clone())) };
        if let Some(changes) = self.changes.get(&height) {
            // Changes of the block before are in force one height earlier, and stay so.
            let last = self.coming.last_key_value().map_or(&self.registry, |(_, registry)| registry);
            let next = change(last, changes).expect("changes that leave a registry");
            self.coming.insert(Height(height.0 + 2), next);
        }
        FinalBlock { block: Block { header, certificate, payload }, certificate: made }
    }

    /// The next block as it is stored.
    ///
    /// # Panics
    /// As [`ChainGenerator::make`].
    pub fn store(&mut self) -> StoredBlock {
        let block = self.make();
        StoredBlock { height: block.block.header.height, bytes: block.encode() }
    }

    fn certify(&mut self, height: Height, hash: BlockHash) -> Certificate {
        let bytes = signing::vote(&self.origin.genesis, VoteKind::Precommit, height, Round(0), Some(&hash));
        let most = match self.signers {
            Signers::All | Signers::Those(_) => usize::MAX,
            Signers::Quorum => self.registry.quorum(),
        };
        let (mut signers, mut signatures) = (SeatSet::EMPTY, Vec::new());
        for entry in self.registry.entries() {
            let signs = match &self.signers {
                Signers::All | Signers::Quorum => signatures.len() < most,
                Signers::Those(sign) => sign(height, &entry.id),
            };
            if let Some(key) = self.keys.get_mut(&entry.id).filter(|_| signs) {
                self.registry.index_of(&entry.id).into_iter().for_each(|seat| signers.insert(seat));
                signatures.push(key.sign(&bytes));
            }
        }
        assert!(signatures.len() >= self.registry.quorum(), "too few keys to decide height {height}");
        let kind = VoteKind::Precommit;
        Certificate { kind, height, round: Round(0), block: hash, signers, signatures }
    }
}

/// The voting record of a masternode that has signed a block and nothing since, as
/// [`RecordKey::Voting`](timed_core::RecordKey) holds it: without it whoever has blocks abstains (rule C-13).
#[must_use]
pub fn voting_record_of(last: &FinalBlock, node: NodeId) -> Bytes {
    const VERSION: u8 = 1;
    const DECIDED: u8 = 4;
    let Header { height, round, proposer, .. } = last.block.header;
    let block = last.certificate.block;
    let mut record = vec![VERSION, 0];
    record.extend(height.0.to_le_bytes());
    record.extend(round.0.to_le_bytes());
    record.extend([DECIDED, 1]);
    record.extend(round.0.to_le_bytes());
    record.extend(block.0);
    // No votes of others: the round is the first.
    record.push(0);
    let proposed = proposer == node;
    record.push(u8::from(proposed));
    if proposed {
        record.extend(round.0.to_le_bytes());
        record.push(0);
        record.extend(block.0);
    }
    record.push(2);
    for kind in [VoteKind::Prevote, VoteKind::Precommit] {
        record.extend(round.0.to_le_bytes());
        record.push(u8::from(kind == VoteKind::Precommit));
        record.push(1);
        record.extend(block.0);
    }
    Bytes::from(record)
}

/// The slot of a generated block: the height-th after the genesis.
fn slot(origin: &Origin, height: Height) -> Wall {
    let interval = u64::try_from(origin.interval.as_millis()).unwrap_or(u64::MAX);
    Wall(origin.genesis_time.0.saturating_add(height.0.saturating_mul(interval)))
}

/// When the first slot must have started for a chain of so many blocks to lie wholly in the past.
#[must_use]
pub fn genesis_time_before(now: Wall, interval: Duration, blocks: u64) -> Wall {
    let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
    Wall(now.0.saturating_sub(interval.saturating_mul(blocks + 2)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain_auditor::ChainAuditor;
    use crate::driver::Crypto;
    use timed_core::{GenesisHash, Masternode};

    const SECOND: Duration = Duration::from_secs(1);

    fn entry(crypto: Crypto, seat: u8) -> Masternode {
        let addr = format!("10.0.0.{seat}:1").parse().expect("an address");
        Masternode { id: crypto.provider(seat).node_id(), addr }
    }

    fn origin(crypto: Crypto) -> Origin {
        Origin {
            genesis: GenesisHash([9; 32]),
            genesis_time: Wall(1_000_000),
            interval: SECOND,
            registry: Registry::new((1..=4).map(|seat| entry(crypto, seat)).collect()).expect("a registry"),
        }
    }

    #[test]
    fn what_is_made_is_a_chain_by_every_rule() {
        for crypto in [Crypto::Null, Crypto::Noise] {
            for signers in [Signers::All, Signers::Quorum] {
                let keys = (1..=4).map(|seat| crypto.provider(seat));
                let mut generator = ChainGenerator::new(origin(crypto), keys)
                    .signed_by(signers)
                    .with_payload(|height| Bytes::from(vec![7; if height.0 % 2 == 1 { 20_000 } else { 0 }]));
                let mut auditor = ChainAuditor::new(origin(crypto), crypto.provider(1));
                for height in 1..=12 {
                    let stored = generator.store();
                    assert_eq!(stored.height, Height(height));
                    let block = FinalBlock::decode(&stored.bytes).expect("an encoded block");
                    assert_eq!(auditor.take(&block, &[]), Ok(block.certificate.block));
                }
            }
        }
    }

    #[test]
    fn changes_of_the_registry_are_in_force_two_heights_later() {
        let crypto = Crypto::Null;
        let moved = Masternode { addr: "10.9.9.9:1".parse().expect("an address"), ..entry(crypto, 2) };
        let changes = BTreeMap::from([
            (Height(3), vec![RegistryChange::Put(entry(crypto, 5))]),
            (Height(4), vec![RegistryChange::Remove(entry(crypto, 1).id)]),
            (Height(9), vec![RegistryChange::Put(moved)]),
        ]);
        let keys = (1..=5).map(|seat| crypto.provider(seat));
        let mut generator = ChainGenerator::new(origin(crypto), keys).with_changes(changes.clone());
        let mut auditor = ChainAuditor::new(origin(crypto), crypto.provider(1));
        for height in (1..=15).map(Height) {
            let block = generator.make();
            let changed = changes.get(&height).map_or(&[][..], Vec::as_slice);
            assert_eq!(auditor.take(&block, changed), Ok(block.certificate.block), "{height}");
        }
        let sizes = [4, 5, 6, 10, 11].map(|height| auditor.registry_at(Height(height)).size());
        assert_eq!(sizes, [4, 5, 4, 4, 4]);
        assert_eq!(auditor.registry_at(Height(10)).by_addr(&moved.addr), None);
        assert_eq!(auditor.registry_at(Height(11)).by_addr(&moved.addr), Some(&moved));
    }

    #[test]
    fn a_chain_lies_in_the_past_if_its_genesis_does() {
        let now = Wall(1_800_000_000_000);
        let genesis_time = genesis_time_before(now, SECOND, 100);
        let origin = Origin { genesis_time, ..origin(Crypto::Null) };
        let mut generator = ChainGenerator::new(origin, (1..=4).map(|seat| Crypto::Null.provider(seat)));
        let last = (0..100).map(|_| generator.make()).last().expect("a block");
        assert_eq!(last.block.header.slot + 2 * SECOND, now);
    }
}
