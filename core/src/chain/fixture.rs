//! What the tests of this folder share: keys that anybody can sign with, registries, votes, and a chain.

use sha2::{Digest, Sha256};
use std::time::Duration;
use zeroize::Zeroizing;

use crate::chain::slots::Grid;
use crate::chain::validity::{Context, Parent, draft};
use crate::crypto::{Authenticity, Handshake, Provider, WeakKey};
use crate::ids::{BlockHash, GenesisHash, Height, NodeId, Round, Signature};
use crate::registry::{Masternode, MasternodeIndex, Registry};
use crate::time::Wall;
use crate::wire::block::{Block, Certificate, FinalBlock, Outline, VoteKind};
use crate::wire::message::Vote;
use crate::wire::signing;

pub(crate) const GENESIS: GenesisHash = GenesisHash([9; 32]);
/// Start of the first slot.
pub(crate) const NOON: u64 = 1_700_000_000_000;
pub(crate) const INTERVAL: u64 = 10_000;

/// Signs with a hash over key and message, so a test can sign as anybody; counts what it verifies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    pub(crate) verified: usize,
    pub(crate) trusted: Vec<NodeId>,
}

pub(crate) fn sign_as(id: &NodeId, message: &[u8]) -> Signature {
    let half: [u8; 32] = Sha256::new().chain_update(id.0).chain_update(message).finalize().into();
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&half);
    Signature(signature)
}

impl Provider for Keys {
    fn node_id(&self) -> NodeId {
        id(0)
    }
    fn sign(&mut self, message: &[u8]) -> Signature {
        sign_as(&id(0), message)
    }
    fn verify(&mut self, signer: &NodeId, message: &[u8], signature: &Signature) -> Authenticity {
        self.verified += 1;
        if sign_as(signer, message) == *signature { Authenticity::Genuine } else { Authenticity::Forged }
    }
    fn trust(&mut self, keys: &[NodeId]) -> Result<(), WeakKey> {
        if let Some(weak) = keys.iter().find(|key| key.0 == [0; 32]) {
            return Err(WeakKey(*weak));
        }
        self.trusted = keys.to_vec();
        Ok(())
    }
    fn initiate(&mut self, _prologue: &[u8], _ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        unreachable!("blocks open no channels")
    }
    fn respond(&mut self, _prologue: &[u8], _ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        unreachable!("blocks open no channels")
    }
}

/// The key of a masternode by its position in [`registry`].
pub(crate) fn id(node: usize) -> NodeId {
    NodeId([u8::try_from(node + 1).unwrap(); 32])
}

pub(crate) fn masternode(node: usize) -> Masternode {
    Masternode { id: id(node), addr: format!("10.0.0.{}:24100", node + 1).parse().unwrap() }
}

pub(crate) fn registry(size: usize) -> Registry {
    Registry::new((0..size).map(masternode).collect()).unwrap()
}

pub(crate) fn grid() -> Grid {
    Grid::new(Wall(NOON), Duration::from_millis(INTERVAL))
}

/// A signed vote of a masternode.
pub(crate) fn vote(
    node: usize,
    kind: VoteKind,
    height: Height,
    round: Round,
    block: Option<BlockHash>,
) -> Vote {
    let signature = sign_as(&id(node), &signing::vote(&GENESIS, kind, height, round, block.as_ref()));
    Vote { kind, height, round, block, voter: id(node), signature }
}

/// The votes of some masternodes, in ascending order, for a block.
pub(crate) fn certificate(
    nodes: impl IntoIterator<Item = usize>,
    kind: VoteKind,
    height: Height,
    round: Round,
    block: BlockHash,
) -> Certificate {
    let nodes: Vec<usize> = nodes.into_iter().collect();
    let signers = nodes.iter().map(|node| MasternodeIndex(u8::try_from(*node).unwrap())).collect();
    let signatures =
        nodes.iter().map(|node| vote(*node, kind, height, round, Some(block)).signature).collect();
    Certificate { kind, height, round, block, signers, signatures }
}

/// Final blocks from height 1 on, each decided in round 0 of its slot by everybody.
pub(crate) fn chain(registry: &Registry, length: u64) -> Vec<FinalBlock> {
    let mut parent = Parent::default();
    let mut certificate_of_parent = None;
    (1..=length)
        .map(|height| {
            let context = Context { grid: grid(), parent, registry, registry_hash: registry.hash() };
            let payload = format!("payload of {height}").into_bytes();
            let wall = Wall(NOON + height * INTERVAL);
            let outline = Outline::of(&payload);
            let header = draft(&context, Round(0), wall, certificate_of_parent.as_ref(), &outline);
            let hash = header.hash(&GENESIS);
            parent = Parent::of(&header, hash);
            let everybody = 0..registry.size();
            let certificate = certificate(everybody, VoteKind::Precommit, Height(height), Round(0), hash);
            let before = certificate_of_parent.replace(certificate.clone());
            let block = Block { header, certificate: before.map(Box::new), payload: payload.into() };
            FinalBlock { block, certificate }
        })
        .collect()
}
