//! Blocks that nobody signed, as large as those of four masternodes.

use bytes::Bytes;
use timed_core::{
    Block, BlockHash, Certificate, CertificateHash, FinalBlock, Header, Height, MasternodeIndex, NodeId,
    PayloadRoot, RegistryHash, Round, SeatSet, Signature, VoteKind, Wall,
};
use timed_mio::application::FifoPayload;

/// A block that carries these.
pub(crate) fn block(height: u64, transactions: &[Bytes]) -> FinalBlock {
    let header = Header {
        height: Height(height),
        round: Round(0),
        slot: Wall(height * 1000),
        parent: hash(height - 1),
        certificate: CertificateHash::default(),
        payload: PayloadRoot::default(),
        registry: RegistryHash::default(),
        proposer: NodeId::default(),
    };
    let parent = (height > 1).then(|| Box::new(certificate(height - 1)));
    let payload = FifoPayload::assemble(transactions);
    FinalBlock { block: Block { header, certificate: parent, payload }, certificate: certificate(height) }
}

/// So many transactions of 250 bytes, no two alike.
pub(crate) fn transactions(height: u64, count: u64) -> Vec<Bytes> {
    let transaction = |index: u64| {
        let mut bytes = vec![0; 250];
        bytes[..8].copy_from_slice(&height.to_le_bytes());
        bytes[8..16].copy_from_slice(&index.to_le_bytes());
        bytes.into()
    };
    (0..count).map(transaction).collect()
}

fn certificate(height: u64) -> Certificate {
    Certificate {
        kind: VoteKind::Precommit,
        height: Height(height),
        round: Round(0),
        block: hash(height),
        signers: (0..4).map(MasternodeIndex).collect::<SeatSet>(),
        signatures: vec![Signature([height.to_le_bytes()[0]; 64]); 4],
    }
}

/// Spread as real hashes are: the index of hashes is written all over.
fn hash(height: u64) -> BlockHash {
    let mut hash = [0xb1; 32];
    hash[..8].copy_from_slice(&height.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    BlockHash(hash)
}
