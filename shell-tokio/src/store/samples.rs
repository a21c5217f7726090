//! Blocks that nobody signed, for tests of what does not look at signatures.

use std::sync::Arc;

use bytes::Bytes;
use timed_core::{
    Block, BlockHash, Certificate, CertificateHash, FinalBlock, Header, Height, NodeId, PayloadRoot,
    RegistryHash, Round, SeatSet, TxId, VoteKind, Wall,
};

use super::Write;
use crate::application::FifoPayload;

/// The hash that sample blocks of a height have.
pub(crate) fn hash(height: u64) -> BlockHash {
    let mut hash = [0xb1; 32];
    hash[..8].copy_from_slice(&height.to_be_bytes());
    BlockHash(hash)
}

/// A block with these transactions.
pub(crate) fn block(height: u64, transactions: &[&[u8]]) -> FinalBlock {
    let transactions: Vec<_> = transactions.iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect();
    let header = Header {
        height: Height(height),
        round: Round(0),
        slot: Wall(height * 1000),
        parent: hash(height.saturating_sub(1)),
        certificate: CertificateHash::default(),
        payload: PayloadRoot::default(),
        registry: RegistryHash::default(),
        proposer: NodeId::default(),
    };
    let certificate = Certificate {
        kind: VoteKind::Precommit,
        height: Height(height),
        round: Round(0),
        block: hash(height),
        signers: SeatSet::EMPTY,
        signatures: Vec::new(),
    };
    let payload = FifoPayload::assemble(&transactions);
    FinalBlock { block: Block { header, certificate: None, payload }, certificate }
}

/// What a store is told of a block.
pub(crate) fn write(block: &FinalBlock) -> Write {
    let included = FifoPayload::transactions(&block.block.payload).unwrap_or_default();
    Write::Block {
        block: Arc::new(block.clone()),
        bytes: block.encode(),
        included: included.iter().map(|bytes| TxId::of(bytes)).collect(),
    }
}

pub(crate) fn id(transaction: &[u8]) -> TxId {
    TxId::of(transaction)
}
