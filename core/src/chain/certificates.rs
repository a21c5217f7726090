//! The proof that a block is final, or that a polka stood (rule C-4), and of a whole final block (rule Y-4).

use crate::chain::validity::{self, Context, Flaw};
use crate::crypto::{Authenticity, Provider};
use crate::ids::{BlockHash, GenesisHash, NodeId, Signature};
use crate::registry::Registry;
use crate::wire::block::{Certificate, FinalBlock, VoteKind};
use crate::wire::message::Vote;
use crate::wire::signing;

/// Why a certificate proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadCertificate {
    /// Fewer votes than decide.
    #[error("{votes} votes, where {quorum} decide")]
    NoQuorum {
        /// How many there are.
        votes: usize,
        /// How many would decide.
        quorum: usize,
    },
    /// It names a position that the registry does not have.
    #[error("a signer is not in the registry")]
    Stray,
    /// It has more or fewer signatures than signers.
    #[error("it has another number of signatures than of signers")]
    Count,
    /// A signature is not its signer's.
    #[error("the signature of {0} is forged")]
    Forged(NodeId),
}

/// Why a block is not the final one of its height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadBlock {
    /// It cannot stand at its height.
    #[error("{0}")]
    Flawed(#[from] Flaw),
    /// Its certificate is for something else.
    #[error("its certificate is for something else")]
    OfAnother,
    /// Its certificate proves nothing.
    #[error("{0}")]
    Unproven(#[from] BadCertificate),
}

impl BadBlock {
    /// Whether whoever served it must have known: it is not about a block that stands on another chain, or in
    /// another registry, than ours.
    pub(crate) const fn contradicts_itself(&self) -> bool {
        !matches!(self, Self::Flawed(Flaw::Height | Flaw::Parent | Flaw::Registry))
    }
}

/// Verifies that a quorum of `registry`, which must be the one in force at the certificate's height, cast the
/// votes that it claims. A signature that `already` knows as genuine for just this vote is not verified again.
///
/// # Errors
/// Says why it proves nothing. What needs no signature is checked first.
pub(crate) fn verify(
    certificate: &Certificate,
    registry: &Registry,
    genesis: &GenesisHash,
    crypto: &mut dyn Provider,
    already: impl Fn(&NodeId, &Signature) -> bool,
) -> Result<(), BadCertificate> {
    let votes = certificate.signers.len();
    if certificate.signatures.len() != votes {
        return Err(BadCertificate::Count);
    }
    if votes < registry.quorum() {
        return Err(BadCertificate::NoQuorum { votes, quorum: registry.quorum() });
    }
    let mut voters = Vec::with_capacity(votes);
    for seat in certificate.signers.iter() {
        voters.push(registry.at(seat).ok_or(BadCertificate::Stray)?.id);
    }
    let Certificate { kind, height, round, block, .. } = certificate;
    let message = signing::vote(genesis, *kind, *height, *round, Some(block));
    for (voter, signature) in voters.iter().zip(&certificate.signatures) {
        if !already(voter, signature) && crypto.verify(voter, &message, signature) == Authenticity::Forged {
            return Err(BadCertificate::Forged(*voter));
        }
    }
    Ok(())
}

/// Verifies a whole block and the certificate that makes it final, as the child of its parent. The
/// certificate of the parent inside it is compared, not verified again: the parent's own was, and a quorum
/// has signed this block with that certificate's hash in it.
///
/// # Errors
/// Says why it is not the final block of its height.
pub(crate) fn verify_final(
    block: &FinalBlock,
    context: &Context<'_>,
    genesis: &GenesisHash,
    crypto: &mut dyn Provider,
) -> Result<BlockHash, BadBlock> {
    let FinalBlock { block, certificate } = block;
    validity::judge_block(block, context)?;
    let hash = block.header.hash(genesis);
    let matches = certificate.kind == VoteKind::Precommit
        && certificate.height == block.header.height
        && certificate.round >= block.header.round
        && certificate.block == hash;
    if !matches {
        return Err(BadBlock::OfAnother);
    }
    verify(certificate, context.registry, genesis, crypto, |_, _| false)?;
    Ok(hash)
}

/// The vote of one masternode in a certificate, if it is there: `registry` as in [`verify`].
pub(crate) fn vote_of(certificate: &Certificate, registry: &Registry, voter: &NodeId) -> Option<Vote> {
    let seat = registry.index_of(voter)?;
    let mut votes = certificate.signers.iter().zip(&certificate.signatures);
    let (_, signature) = votes.find(|(signer, _)| *signer == seat)?;
    let Certificate { kind, height, round, block, .. } = *certificate;
    Some(Vote { kind, height, round, block: Some(block), voter: *voter, signature: *signature })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::fixture::{self, GENESIS, Keys, certificate, grid};
    use crate::chain::validity::Parent;
    use crate::ids::{Height, Round};
    use crate::registry::MasternodeIndex;

    const BLOCK: BlockHash = BlockHash([5; 32]);

    fn commit(nodes: impl IntoIterator<Item = usize>) -> Certificate {
        certificate(nodes, VoteKind::Precommit, Height(3), Round(1), BLOCK)
    }

    fn judge(certificate: &Certificate, registry: &Registry) -> (Result<(), BadCertificate>, usize) {
        let mut keys = Keys::default();
        let verdict = verify(certificate, registry, &GENESIS, &mut keys, |_, _| false);
        (verdict, keys.verified)
    }

    #[test]
    fn prod_02_a_quorum_of_the_registry_proves_and_nothing_less() {
        for size in 1..=30 {
            let registry = fixture::registry(size);
            let quorum = registry.quorum();
            assert_eq!(judge(&commit(0..quorum), &registry), (Ok(()), quorum), "{size}");
            assert_eq!(judge(&commit(size - quorum..size), &registry).0, Ok(()), "{size}");
            assert_eq!(judge(&commit(0..size), &registry), (Ok(()), size), "{size}");
            let votes = quorum - 1;
            assert_eq!(
                judge(&commit(0..votes), &registry),
                (Err(BadCertificate::NoQuorum { votes, quorum }), 0),
                "{size}"
            );
        }
    }

    #[test]
    fn a_signature_counts_for_its_own_seat_and_vote_alone() {
        let registry = fixture::registry(4);
        let forged = |change: &dyn Fn(&mut Certificate)| {
            let mut certificate = commit(0..3);
            change(&mut certificate);
            judge(&certificate, &registry).0
        };
        assert_eq!(forged(&|c| c.signatures.swap(0, 1)), Err(BadCertificate::Forged(fixture::id(0))));
        let first = Err(BadCertificate::Forged(fixture::id(0)));
        assert_eq!(forged(&|c| c.round = Round(2)), first);
        assert_eq!(forged(&|c| c.height = Height(4)), first);
        assert_eq!(forged(&|c| c.kind = VoteKind::Prevote), first);
        assert_eq!(forged(&|c| c.block = BlockHash([6; 32])), first);
        // The same vote of one masternode in two seats.
        let doubled = forged(&|c| c.signatures[2] = c.signatures[1]);
        assert_eq!(doubled, Err(BadCertificate::Forged(fixture::id(2))));
        // A vote for nothing never proves anything.
        let nil = fixture::vote(2, VoteKind::Precommit, Height(3), Round(1), None);
        assert_eq!(forged(&|c| c.signatures[2] = nil.signature), doubled);
        let of_another_network =
            verify(&commit(0..3), &registry, &GenesisHash([1; 32]), &mut Keys::default(), |_, _| false);
        assert_eq!(of_another_network, first);
        // More than a quorum does not help a forged one.
        let mut all = commit(0..4);
        all.signatures[3] = Signature([0; 64]);
        assert_eq!(judge(&all, &registry).0, Err(BadCertificate::Forged(fixture::id(3))));
    }

    #[test]
    fn stray_signers_and_signatures_are_refused_before_anything_is_verified() {
        let registry = fixture::registry(4);
        let refused = |change: &dyn Fn(&mut Certificate)| {
            let mut certificate = commit(0..4);
            change(&mut certificate);
            judge(&certificate, &registry)
        };
        assert_eq!(refused(&|c| c.signatures.truncate(3)), (Err(BadCertificate::Count), 0));
        assert_eq!(refused(&|c| c.signatures.push(c.signatures[0])), (Err(BadCertificate::Count), 0));
        for seat in [4, 127] {
            let stray = refused(&|c| {
                c.signers.insert(MasternodeIndex(seat));
                c.signatures.push(c.signatures[0]);
            });
            assert_eq!(stray, (Err(BadCertificate::Stray), 0), "{seat}");
        }
    }

    #[test]
    fn what_was_verified_before_is_not_verified_again() {
        let (registry, certificate) = (fixture::registry(4), commit(0..4));
        let known = [certificate.signatures[1], certificate.signatures[3]];
        let mut keys = Keys::default();
        let already = |_: &NodeId, signature: &Signature| known.contains(signature);
        assert_eq!(verify(&certificate, &registry, &GENESIS, &mut keys, already), Ok(()));
        assert_eq!(keys.verified, 2);
    }

    #[test]
    fn the_votes_in_a_certificate_are_votes() {
        let (registry, certificate) = (fixture::registry(5), commit([0, 2, 3, 4]));
        for node in [0, 2, 3, 4] {
            let vote = fixture::vote(node, VoteKind::Precommit, Height(3), Round(1), Some(BLOCK));
            assert_eq!(vote_of(&certificate, &registry, &fixture::id(node)), Some(vote));
        }
        assert_eq!(vote_of(&certificate, &registry, &fixture::id(1)), None);
        assert_eq!(vote_of(&certificate, &registry, &fixture::id(9)), None);
    }

    /// The contexts of a chain's heights.
    fn verify_chain(blocks: &[FinalBlock], registry: &Registry) -> Result<usize, (usize, BadBlock)> {
        let mut parent = Parent::default();
        let mut keys = Keys::default();
        for (at, block) in blocks.iter().enumerate() {
            let context = Context { grid: grid(), parent, registry, registry_hash: registry.hash() };
            let hash = verify_final(block, &context, &GENESIS, &mut keys).map_err(|bad| (at, bad))?;
            parent = Parent::of(&block.block.header, hash);
        }
        Ok(keys.verified)
    }

    #[test]
    fn a_chain_is_verified_block_by_block_each_signature_once() {
        let registry = fixture::registry(4);
        let chain = fixture::chain(&registry, 5);
        assert_eq!(verify_chain(&chain, &registry), Ok(20));
        for block in &chain {
            assert_eq!(FinalBlock::decode(&block.encode()).as_ref(), Ok(block));
        }
    }

    #[test]
    fn fork_01b_only_the_block_that_a_quorum_decided_passes() {
        let registry = fixture::registry(4);
        let sound = fixture::chain(&registry, 3);
        type Change = fn(&mut FinalBlock);
        let table: [(BadBlock, Change); 9] = [
            (BadBlock::Flawed(Flaw::Payload), |b| b.block.payload = bytes::Bytes::from_static(b"another")),
            (BadBlock::Flawed(Flaw::ParentCertificate), |b| b.block.certificate = None),
            (BadBlock::Flawed(Flaw::Parent), |b| b.block.header.parent = BlockHash([1; 32])),
            (BadBlock::Flawed(Flaw::Slot), |b| b.block.header.slot.0 += 1),
            (BadBlock::OfAnother, |b| b.block.header.slot.0 += fixture::INTERVAL),
            (BadBlock::OfAnother, |b| b.certificate.kind = VoteKind::Prevote),
            (BadBlock::OfAnother, |b| b.certificate.height = Height(1)),
            (BadBlock::OfAnother, |b| b.certificate.block = BlockHash([1; 32])),
            (BadBlock::Unproven(BadCertificate::Forged(fixture::id(0))), |b| b.certificate.round = Round(1)),
        ];
        for (line, (bad, change)) in table.into_iter().enumerate() {
            assert_eq!(bad.contradicts_itself(), bad != BadBlock::Flawed(Flaw::Parent), "line {line}");
            let mut chain = sound.clone();
            change(&mut chain[1]);
            assert_eq!(verify_chain(&chain, &registry), Err((1, bad)), "line {line}");
        }
        // Signed in a round in which the block was not proposed yet.
        let FinalBlock { mut block, .. } = sound[0].clone();
        block.header.round = Round(1);
        block.header.proposer = fixture::id(2);
        let hash = block.header.hash(&GENESIS);
        for (decided, verdict) in [(1, Ok(4)), (0, Err((0, BadBlock::OfAnother)))] {
            let certificate = certificate(0..4, VoteKind::Precommit, Height(1), Round(decided), hash);
            let decided = FinalBlock { block: block.clone(), certificate };
            assert_eq!(verify_chain(&[decided], &registry), verdict);
        }
        // A hole, and a block of another registry's chain.
        let hole = [sound[0].clone(), sound[2].clone()];
        assert_eq!(verify_chain(&hole, &registry), Err((1, BadBlock::Flawed(Flaw::Height))));
        let other = fixture::registry(5);
        assert_eq!(verify_chain(&sound, &other), Err((0, BadBlock::Flawed(Flaw::Registry))));
    }
}
