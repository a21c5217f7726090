//! An independent reading of the rules for final blocks (C-1 to C-7): what a chain must be, whoever made it.

use std::collections::BTreeMap;
use std::time::Duration;

use timed_core::crypto::{Authenticity, Provider};
use timed_core::limits::MAX_PAYLOAD;
use timed_core::wire::block::Outline;
use timed_core::wire::signing;
use timed_core::{
    Block, BlockHash, Certificate, CertificateHash, FinalBlock, GenesisHash, Header, Height, Masternode,
    NodeId, Registry, RegistryChange, VoteKind, Wall,
};

/// What all nodes of a network agree on from the start.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Hash of the genesis file.
    pub genesis: GenesisHash,
    /// Start of the first slot.
    pub genesis_time: Wall,
    /// Length of a slot.
    pub interval: Duration,
    /// The registry in force at the first height.
    pub registry: Registry,
}

/// Follows one chain from its first block, and says what is wrong with the next one.
#[derive(Debug)]
pub struct ChainAuditor {
    origin: Origin,
    provider: Box<dyn Provider>,
    /// Registries by the height from which they are in force.
    registries: BTreeMap<Height, Registry>,
    tip: Option<Link>,
}

/// What the next block must refer to.
#[derive(Clone, Copy, Debug)]
struct Link {
    height: Height,
    hash: BlockHash,
    slot: Wall,
}

impl ChainAuditor {
    /// An auditor of the chain of this origin; `provider` checks the signatures, whoever's it is.
    #[must_use]
    pub fn new(origin: Origin, provider: Box<dyn Provider>) -> Self {
        let registries = BTreeMap::from([(Height(1), origin.registry.clone())]);
        Self { origin, provider, registries, tip: None }
    }

    /// The network's identity.
    #[must_use]
    pub const fn genesis(&self) -> &GenesisHash {
        &self.origin.genesis
    }

    /// Height of the newest block that was taken.
    #[must_use]
    pub fn height(&self) -> Height {
        self.tip.map_or(Height(0), |tip| tip.height)
    }

    /// The registry in force at a height, as far as the blocks below have been taken.
    #[must_use]
    pub fn registry_at(&self, height: Height) -> &Registry {
        self.registries.range(..=height).next_back().map_or(&self.origin.registry, |(_, registry)| registry)
    }

    /// Takes the next block of the chain, and what it changes in the registry.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn take(&mut self, block: &FinalBlock, changes: &[RegistryChange]) -> Result<BlockHash, String> {
        let header = &block.block.header;
        let hash = header.hash(&self.origin.genesis);
        self.check_header(header)?;
        self.check_parent(&block.block)?;
        self.check_payload(&block.block)?;
        self.certifies(&block.certificate, header.height, &hash)?;
        if FinalBlock::decode(&block.encode()).as_ref() != Ok(block) {
            return Err("C-2: its bytes are not its own again".to_owned());
        }
        if !changes.is_empty() {
            let from = Height(header.height.0 + 2);
            let next = change(self.registry_at(from), changes)?;
            self.registries.insert(from, next);
        }
        self.tip = Some(Link { height: header.height, hash, slot: header.slot });
        Ok(hash)
    }

    /// Whether a certificate makes a block final (rule C-4).
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn certifies(
        &mut self,
        certificate: &Certificate,
        height: Height,
        hash: &BlockHash,
    ) -> Result<(), String> {
        if (certificate.kind, certificate.height, certificate.block) != (VoteKind::Precommit, height, *hash) {
            return Err(format!("C-4: the certificate is of something else: {certificate:?}"));
        }
        let registry = self.registry_at(height).clone();
        let signers: Vec<_> = certificate.signers.iter().collect();
        if signers.len() != certificate.signatures.len() || signers.len() < registry.quorum() {
            return Err(format!(
                "C-4: {} signers, {} signatures, {} needed",
                signers.len(),
                certificate.signatures.len(),
                registry.quorum()
            ));
        }
        let genesis = &self.origin.genesis;
        let bytes = signing::vote(genesis, VoteKind::Precommit, height, certificate.round, Some(hash));
        for (seat, signature) in signers.iter().zip(&certificate.signatures) {
            let Some(signer) = registry.at(*seat) else {
                return Err(format!("C-4: nobody sits on seat {}", seat.0));
            };
            if self.provider.verify(&signer.id, &bytes, signature) != Authenticity::Genuine {
                return Err(format!("C-4: the signature of {} is forged", signer.id));
            }
        }
        Ok(())
    }

    fn check_header(&self, header: &Header) -> Result<(), String> {
        let next = self.height().next();
        if header.height != next {
            return Err(format!("C-1: height {} follows, not {next}", header.height));
        }
        let registry = self.registry_at(header.height);
        if header.registry != registry.hash() {
            return Err(format!("C-7: registry {}, not {}", header.registry, registry.hash()));
        }
        let leader = leader(registry, header.height, u64::from(header.round.0));
        if header.proposer != leader {
            return Err(format!("C-5: proposed by {}, not by {leader}", header.proposer));
        }
        let interval = u64::try_from(self.origin.interval.as_millis()).unwrap_or(u64::MAX);
        let since = header.slot.0.checked_sub(self.origin.genesis_time.0);
        if since.is_none_or(|since| since % interval != 0) {
            return Err(format!("C-6: {} is no start of a slot", header.slot.0));
        }
        if self.tip.is_some_and(|tip| tip.slot >= header.slot) {
            return Err(format!("C-6: slot {} is not after its parent's", header.slot.0));
        }
        Ok(())
    }

    fn check_parent(&mut self, block: &Block) -> Result<(), String> {
        let header = &block.header;
        let parent = self.tip.map_or_else(BlockHash::default, |tip| tip.hash);
        if header.parent != parent {
            return Err(format!("C-1: the parent is {}, not {parent}", header.parent));
        }
        match (&block.certificate, self.tip) {
            (None, None) if header.certificate == CertificateHash::default() => Ok(()),
            (Some(certificate), Some(tip)) if certificate.hash() == header.certificate => {
                self.certifies(certificate, tip.height, &tip.hash)
            }
            _ => Err("C-2: the parent's certificate is not the one named".to_owned()),
        }
    }

    fn check_payload(&self, block: &Block) -> Result<(), String> {
        let outline = Outline::of(&block.payload);
        if block.payload.len() > MAX_PAYLOAD || outline.root() != block.header.payload {
            return Err(format!("C-3: {} bytes are not the payload named", block.payload.len()));
        }
        Ok(())
    }
}

/// Who proposes in a round (rule C-5).
#[must_use]
pub fn leader(registry: &Registry, height: Height, round: u64) -> NodeId {
    let entries = registry.entries();
    let turn = (u128::from(height.0) + u128::from(round)) % entries.len() as u128;
    entries[usize::try_from(turn).unwrap_or(0)].id
}

/// A registry after changes (rule C-7).
///
/// # Errors
/// If there is no such registry.
pub fn change(registry: &Registry, changes: &[RegistryChange]) -> Result<Registry, String> {
    let mut entries: Vec<Masternode> = registry.entries().to_vec();
    for change in changes {
        match change {
            RegistryChange::Put(masternode) => {
                entries.retain(|entry| entry.id != masternode.id);
                entries.push(*masternode);
            }
            RegistryChange::Remove(id) => entries.retain(|entry| entry.id != *id),
        }
    }
    Registry::new(entries).map_err(|error| format!("C-7: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain_generator::ChainGenerator;
    use crate::driver::Crypto;
    use timed_core::Signature;

    fn origin() -> Origin {
        let at = |seat: u8| format!("10.0.0.{seat}:1").parse().expect("an address");
        let entry = |seat| Masternode { id: Crypto::Null.provider(seat).node_id(), addr: at(seat) };
        Origin {
            genesis: GenesisHash([9; 32]),
            genesis_time: Wall(1_000_000),
            interval: Duration::from_secs(1),
            registry: Registry::new((1..=4).map(entry).collect()).expect("a registry"),
        }
    }

    fn chain(length: usize) -> Vec<FinalBlock> {
        let keys = (1..=4).map(|seat| Crypto::Null.provider(seat));
        let mut generator = ChainGenerator::new(origin(), keys);
        (0..length).map(|_| generator.make()).collect()
    }

    /// What is wrong with the second block once it is spoilt.
    fn spoilt(spoil: impl FnOnce(&mut FinalBlock)) -> String {
        let mut chain = chain(2);
        let mut auditor = ChainAuditor::new(origin(), Crypto::Null.provider(1));
        auditor.take(&chain[0], &[]).expect("a valid first block");
        spoil(&mut chain[1]);
        auditor.take(&chain[1], &[]).expect_err("a spoilt block")
    }

    #[test]
    fn every_rule_is_looked_at() {
        let begins = |what: String, rule: &str| assert!(what.starts_with(rule), "{what}");
        begins(spoilt(|block| block.block.header.height = Height(3)), "C-1: height");
        begins(spoilt(|block| block.block.header.parent = BlockHash([1; 32])), "C-1: the parent");
        begins(spoilt(|block| block.block.header.slot.0 += 1), "C-6: ");
        begins(spoilt(|block| block.block.header.slot.0 -= 1_000), "C-6: ");
        begins(spoilt(|block| block.block.header.registry.0[0] ^= 1), "C-7: ");
        begins(spoilt(|block| block.block.header.proposer.0[0] ^= 1), "C-5: ");
        begins(spoilt(|block| block.block.payload = b"more".as_slice().into()), "C-3: ");
        begins(spoilt(|block| block.block.certificate = None), "C-2: ");
        // What the vote decides on is the whole header.
        begins(
            spoilt(|block| block.block.header.slot.0 += 1_000),
            "C-4: the certificate is of something else",
        );
        begins(spoilt(|block| block.certificate.signatures[0] = Signature([1; 64])), "C-4: the signature");
        begins(spoilt(|block| block.certificate.signatures.truncate(3)), "C-4: 4 signers, 3 signatures");
        begins(spoilt(|block| block.certificate.round.0 += 1), "C-4: the signature");
        let few = |block: &mut FinalBlock| {
            block.certificate.signers = block.certificate.signers.iter().take(2).collect();
            block.certificate.signatures.truncate(2);
        };
        begins(spoilt(few), "C-4: 2 signers, 2 signatures, 3 needed");
    }
}
