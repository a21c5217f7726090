//! Blocks and certificates as they travel and are stored, and their hashes (rules C-1 to C-4).

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::ids::{
    BlockHash, CertificateHash, ChunkHash, GenesisHash, Height, NodeId, PayloadRoot, Round, Signature,
};
use crate::limits::{CHUNK, MAX_PAYLOAD};
use crate::registry::RegistryHash;
use crate::seats::SeatSet;
use crate::time::Wall;
use crate::wire::codec::{self, BadBody};
use crate::witness;

/// What a block's hash is made of, and thereby all that a vote decides on (rule C-1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct Header {
    /// Its height; the first block has height 1.
    pub height: Height,
    /// The round in which it was proposed first.
    pub round: Round,
    /// Start of its slot (rule C-6).
    pub slot: Wall,
    /// Hash of the block before it; all zero at height 1.
    pub parent: BlockHash,
    /// Hash of the certificate of the block before it; all zero at height 1.
    pub certificate: CertificateHash,
    /// Root of its payload.
    pub payload: PayloadRoot,
    /// The registry in force at its height.
    pub registry: RegistryHash,
    /// The leader of its height and round.
    pub proposer: NodeId,
}

impl Header {
    /// SHA-256 over `timed-block-v1`, the genesis hash and every field (rule C-1).
    #[must_use]
    pub fn hash(&self, genesis: &GenesisHash) -> BlockHash {
        let mut hasher = Sha256::new();
        hasher.update(b"timed-block-v1");
        hasher.update(genesis.0);
        hasher.update(self.height.0.to_le_bytes());
        hasher.update(self.round.0.to_le_bytes());
        hasher.update(self.slot.0.to_le_bytes());
        hasher.update(self.parent.0);
        hasher.update(self.certificate.0);
        hasher.update(self.payload.0);
        hasher.update(self.registry.0);
        hasher.update(self.proposer.0);
        BlockHash(hasher.finalize().into())
    }
}

/// The two kinds of votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub enum VoteKind {
    /// The first vote of a round.
    Prevote,
    /// The second: more than two thirds of them decide.
    Precommit,
}

impl VoteKind {
    /// The stable name in logs and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prevote => "prevote",
            Self::Precommit => "precommit",
        }
    }
}

/// Votes of one kind, height and round for one block by a quorum of the registry in force at that height
/// (rule C-4): of precommits, the proof that the block is final; of prevotes, a polka.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct Certificate {
    /// What the votes are.
    pub kind: VoteKind,
    /// Their height.
    pub height: Height,
    /// Their round.
    pub round: Round,
    /// Their block.
    pub block: BlockHash,
    /// Who voted, by position in the registry.
    pub signers: SeatSet,
    /// One signature a signer, in the order of positions.
    pub signatures: Vec<Signature>,
}

impl Certificate {
    /// SHA-256 over `timed-certificate-v1` and the certificate's encoding (rule C-4).
    #[must_use]
    pub fn hash(&self) -> CertificateHash {
        let mut bytes = b"timed-certificate-v1".to_vec();
        codec::encode_certificate(self, &mut bytes);
        CertificateHash(Sha256::digest(&bytes).into())
    }
}

/// A payload as a proposal announces it: what its root is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct Outline {
    /// Bytes of the payload.
    pub length: u32,
    /// One hash a chunk of 15 KiB; the last chunk may be shorter. An empty payload has none.
    pub chunks: Vec<ChunkHash>,
}

impl Outline {
    /// The outline of a payload.
    #[must_use]
    pub fn of(payload: &[u8]) -> Self {
        Self {
            length: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            chunks: payload.chunks(CHUNK).map(chunk_hash).collect(),
        }
    }

    /// Whether the length is within bounds and fits the number of chunks.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        let length = usize::try_from(self.length).unwrap_or(usize::MAX);
        length <= MAX_PAYLOAD && self.chunks.len() == length.div_ceil(CHUNK)
    }

    /// SHA-256 over `timed-payload-v1`, the length and the hashes of the chunks (rule C-3).
    #[must_use]
    pub fn root(&self) -> PayloadRoot {
        let mut hasher = Sha256::new();
        hasher.update(b"timed-payload-v1");
        hasher.update(self.length.to_le_bytes());
        for chunk in &self.chunks {
            hasher.update(chunk.0);
        }
        PayloadRoot(hasher.finalize().into())
    }
}

/// SHA-256 of one chunk of a payload.
#[must_use]
pub fn chunk_hash(chunk: &[u8]) -> ChunkHash {
    ChunkHash(witness::hashed(Sha256::digest(chunk).into()))
}

/// A block: its header, the certificate of its parent, and its payload (rule C-2).
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Block {
    /// What its hash is made of.
    pub header: Header,
    /// The certificate of the block before it; none at height 1.
    pub certificate: Option<Box<Certificate>>,
    /// Opaque to the core.
    pub payload: Bytes,
}

/// A block with the certificate that makes it final: what is stored, served and synchronised.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct FinalBlock {
    /// The block.
    pub block: Block,
    /// Precommits for it.
    pub certificate: Certificate,
}

impl FinalBlock {
    /// Its canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        codec::encode_proven_block(&self.block, &self.certificate)
    }

    /// Reads canonical bytes. Only their form is checked: neither hashes nor signatures are.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadBody> {
        let told = witness::ask(|witness| witness.block(bytes)).flatten();
        let bytes = told.as_deref().unwrap_or(bytes);
        let (block, certificate) = codec::decode_proven_block(bytes, VoteKind::Precommit)?;
        Ok(Self { block, certificate })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    use super::*;
    use crate::wire::arbitrary::blocks::{certificate, header};

    /// Values one bit away in some field.
    fn neighbours(header: &Header) -> Vec<Header> {
        let mut all = Vec::new();
        let mut put = |change: &dyn Fn(&mut Header)| {
            let mut other = header.clone();
            change(&mut other);
            all.push(other);
        };
        for bit in 0..64 {
            put(&|h| h.height.0 ^= 1 << bit);
            put(&|h| h.slot.0 ^= 1 << bit);
        }
        for bit in 0..32 {
            put(&|h| h.round.0 ^= 1 << bit);
        }
        for at in 0..32 {
            put(&|h| h.parent.0[at] ^= 1);
            put(&|h| h.certificate.0[at] ^= 1);
            put(&|h| h.payload.0[at] ^= 1);
            put(&|h| h.registry.0[at] ^= 1);
            put(&|h| h.proposer.0[at] ^= 1);
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn every_field_of_a_header_counts(header in header(), genesis in any::<[u8; 32]>().prop_map(GenesisHash)) {
            let near = neighbours(&header);
            let hashes: BTreeSet<BlockHash> = near.iter().map(|other| other.hash(&genesis)).collect();
            prop_assert_eq!(hashes.len(), near.len());
            prop_assert!(!hashes.contains(&header.hash(&genesis)));
            prop_assert_ne!(header.hash(&genesis), header.hash(&GenesisHash([0; 32])));
        }

        #[test]
        fn every_part_of_a_certificate_counts(original in certificate(VoteKind::Precommit)) {
            let hash = original.hash();
            let changed = |change: &dyn Fn(&mut Certificate)| {
                let mut other = original.clone();
                change(&mut other);
                other.hash()
            };
            prop_assert_ne!(changed(&|c| c.kind = VoteKind::Prevote), hash);
            prop_assert_ne!(changed(&|c| c.height.0 ^= 1), hash);
            prop_assert_ne!(changed(&|c| c.round.0 ^= 1), hash);
            prop_assert_ne!(changed(&|c| c.block.0[0] ^= 1), hash);
            prop_assert_ne!(changed(&|c| c.signers.0 ^= 1), hash);
            for at in 0..original.signatures.len() {
                prop_assert_ne!(changed(&|c| c.signatures[at].0[63] ^= 1), hash);
            }
        }
    }

    #[test]
    fn the_root_holds_the_length_and_every_chunk_in_its_place() {
        let payload: Vec<u8> = (0..2 * CHUNK + 1).map(|at| (at / CHUNK) as u8).collect();
        let outline = Outline::of(&payload);
        assert!(outline.is_consistent() && outline.chunks.len() == 3);
        let mut others = vec![Outline { length: outline.length - 1, ..outline.clone() }];
        for (a, b) in [(0, 1), (1, 2)] {
            let mut other = outline.clone();
            other.chunks.swap(a, b);
            others.push(other);
        }
        others.push(Outline::of(&payload[..2 * CHUNK]));
        others.push(Outline::default());
        for other in others {
            assert_ne!(other.root(), outline.root());
        }
        assert_eq!(Outline::of(&[]), Outline::default());
    }
}
