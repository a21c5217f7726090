//! What all nodes of a height have in common, and statements made of it.

use std::sync::Arc;

use timed_core::rounds::{OwnVote, Verdict};
use timed_core::wire::message::Vote;
use timed_core::{
    BlockHash, Certificate, Height, Masternode, MasternodeIndex, NodeId, Registry, Round, SeatSet, Signature,
    SignedProposal, VoteKind,
};

/// A height and the registry that decides it.
#[derive(Clone, Debug)]
pub struct Ground {
    /// The height.
    pub height: Height,
    /// The registry.
    pub registry: Arc<Registry>,
}

impl Ground {
    /// A registry of `size` masternodes.
    ///
    /// # Panics
    /// If no registry can have that size.
    #[must_use]
    pub fn new(height: Height, size: u8) -> Self {
        let entry = |seat: u8| Masternode {
            id: NodeId([seat; 32]),
            addr: format!("10.0.0.{seat}:1").parse().expect("an address"),
        };
        let registry = Registry::new((0..size).map(entry).collect()).expect("a registry");
        Self { height, registry: Arc::new(registry) }
    }

    /// How many masternodes there are.
    ///
    /// # Panics
    /// Never: a registry has at most 128.
    #[must_use]
    pub fn size(&self) -> u8 {
        u8::try_from(self.registry.size()).expect("at most 128")
    }

    /// The leader of a round.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn leader(&self, round: Round) -> MasternodeIndex {
        let turn = (self.height.0 + u64::from(round.0)) % u64::from(self.size());
        MasternodeIndex(u8::try_from(turn).expect("it is below the size"))
    }

    /// The hash of a block, by number: every application finds it so.
    #[must_use]
    pub fn block(number: u64, verdict: Verdict) -> BlockHash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&(number << 1 | u64::from(verdict == Verdict::Invalid)).to_be_bytes());
        BlockHash(hash)
    }

    /// What every application says of a block.
    #[must_use]
    pub fn verdict(block: &BlockHash) -> Verdict {
        if block.0[7] & 1 == 1 { Verdict::Invalid } else { Verdict::Valid }
    }

    /// A vote, signed.
    #[must_use]
    pub fn vote(&self, seat: MasternodeIndex, vote: OwnVote) -> Vote {
        let OwnVote { kind, round, block } = vote;
        let mut signature = [seat.0; 64];
        signature[0] = match kind {
            VoteKind::Prevote => 1,
            VoteKind::Precommit => 2,
        };
        signature[1..5].copy_from_slice(&round.0.to_le_bytes());
        signature[5] = u8::from(block.is_some());
        signature[6..14].copy_from_slice(&block.unwrap_or_default().0[..8]);
        Vote {
            kind,
            height: self.height,
            round,
            block,
            voter: self.id(seat),
            signature: Signature(signature),
        }
    }

    /// A proposal of the leader of a round, signed.
    #[must_use]
    pub fn proposal(&self, round: Round, valid_round: Option<Round>, block: BlockHash) -> SignedProposal {
        let seat = self.leader(round);
        let mut signature = [seat.0; 64];
        signature[0] = 3;
        signature[1..5].copy_from_slice(&round.0.to_le_bytes());
        signature[5] = u8::from(valid_round.is_some());
        signature[6..10].copy_from_slice(&valid_round.unwrap_or_default().0.to_le_bytes());
        signature[10..18].copy_from_slice(&block.0[..8]);
        let (height, proposer) = (self.height, self.id(seat));
        SignedProposal { height, round, valid_round, block, proposer, signature: Signature(signature) }
    }

    /// A certificate of these signers.
    #[must_use]
    pub fn certificate(
        &self,
        kind: VoteKind,
        round: Round,
        block: BlockHash,
        signers: SeatSet,
    ) -> Certificate {
        let vote = OwnVote { kind, round, block: Some(block) };
        let signatures = signers.iter().map(|seat| self.vote(seat, vote).signature).collect();
        Certificate { kind, height: self.height, round, block, signers, signatures }
    }

    /// What is wrong with a certificate, if anything.
    #[must_use]
    pub fn fault(&self, certificate: &Certificate) -> Option<&'static str> {
        let Certificate { kind, height, round, block, signers, .. } = *certificate;
        if height != self.height {
            return Some("another height");
        }
        if signers.len() < self.registry.quorum() {
            return Some("no quorum");
        }
        let honest = self.certificate(kind, round, block, signers);
        (honest != *certificate).then_some("signatures that nobody made")
    }

    fn id(&self, seat: MasternodeIndex) -> NodeId {
        NodeId([seat.0; 32])
    }
}
