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
