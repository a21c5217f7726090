//! Blocks that nobody signed.

use bytes::Bytes;
use timed_core::{
    Block, BlockHash, Certificate, CertificateHash, FinalBlock, Header, Height, NodeId, PayloadRoot,
    RegistryHash, Round, SeatSet, TxId, VoteKind, Wall,
};
use timed_mio::application::FifoPayload;

/// A block with these transactions.
pub(crate) fn block(height: u64, transactions: &[&[u8]]) -> FinalBlock {
    let hash = |height: u64| {
        let mut hash = [0xb1; 32];
        hash[..8].copy_from_slice(&height.to_be_bytes());
        BlockHash(hash)
    };
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
    let payload = payload(transactions);
    FinalBlock { block: Block { header, certificate: None, payload }, certificate }
}

pub(crate) fn payload(transactions: &[&[u8]]) -> Bytes {
    let transactions: Vec<_> = transactions.iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect();
    FifoPayload::assemble(&transactions)
}

pub(crate) fn id(transaction: &[u8]) -> TxId {
    FifoPayload::transactions(&payload(&[transaction])).unwrap()[0]
}
