//! What keys have signed about blocks: every signature that a process ever makes is noted where it is made, so
//! that no way around the records escapes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use timed_core::crypto::{Authenticity, Handshake, Provider, WeakKey};
use timed_core::{Height, NodeId, Round, Signature};
use zeroize::Zeroizing;

/// Of what kind a statement is: a key makes one of each for a height and round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatementKind {
    /// A proposal.
    Proposal,
    /// A prevote.
    Prevote,
    /// A precommit.
    Precommit,
}

/// What a statement is about: two different ones of a key about the same are an equivocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// The height.
    pub height: Height,
    /// The round.
    pub round: Round,
    /// The kind.
    pub kind: StatementKind,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of height {} round {}", self.kind, self.height, self.round)
    }
}

/// A signed statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) subject: Subject,
    /// The bytes that were signed.
    pub(crate) content: Vec<u8>,
    pub(crate) signature: Signature,
}

impl Signed {
    /// What a message to be signed says about a block; `None` if it says nothing about one.
    fn read(message: &[u8], signature: Signature) -> Option<Self> {
        let after = |domain: &[u8]| message.strip_prefix(domain)?.get(32..);
        let (kind, rest) = if let Some(rest) = after(b"timed-proposal-v1") {
            (StatementKind::Proposal, rest)
        } else {
            match after(b"timed-vote-v1")?.split_first()? {
                (0, rest) => (StatementKind::Prevote, rest),
                (_, rest) => (StatementKind::Precommit, rest),
            }
        };
        let (height, rest) = rest.split_first_chunk()?;
        let (round, _) = rest.split_first_chunk()?;
        let subject = Subject {
            height: Height(u64::from_le_bytes(*height)),
            round: Round(u32::from_le_bytes(*round)),
            kind,
        };
        Some(Self { subject, content: message.to_vec(), signature })
    }

    /// Whether the signature stands somewhere in these bytes.
    pub(crate) fn is_in(&self, bytes: &[u8]) -> bool {
        bytes.windows(self.signature.0.len()).any(|window| window == self.signature.0)
    }
}

/// The statements of one process that nobody has taken note of yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notary(Arc<Mutex<Vec<Signed>>>);

impl Notary {
    /// Takes what was signed since the last look.
    pub(crate) fn take(&self) -> Vec<Signed> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A provider whose statements are noted here.
    pub(crate) fn watch(&self, inner: Box<dyn Provider>) -> Box<dyn Provider> {
        Box::new(Watched { inner, notary: self.clone() })
    }
}

#[derive(Debug)]
struct Watched {
    inner: Box<dyn Provider>,
    notary: Notary,
}

impl Provider for Watched {
    fn node_id(&self) -> NodeId {
        self.inner.node_id()
    }

    fn sign(&mut self, message: &[u8]) -> Signature {
        let signature = self.inner.sign(message);
        if let Some(signed) = Signed::read(message, signature) {
            self.notary.0.lock().unwrap_or_else(PoisonError::into_inner).push(signed);
        }
        signature
    }

    fn verify(&mut self, signer: &NodeId, message: &[u8], signature: &Signature) -> Authenticity {
        self.inner.verify(signer, message, signature)
    }

    fn trust(&mut self, keys: &[NodeId]) -> Result<(), WeakKey> {
        self.inner.trust(keys)
    }

    fn initiate(&mut self, prologue: &[u8], ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        self.inner.initiate(prologue, ephemeral)
    }

    fn respond(&mut self, prologue: &[u8], ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        self.inner.respond(prologue, ephemeral)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::null_crypto::NullProvider;
    use timed_core::wire::signing;
    use timed_core::{BlockHash, GenesisHash, VoteKind};

    #[test]
    fn votes_and_proposals_are_noted_and_nothing_else() {
        let notary = Notary::default();
        let mut provider = notary.watch(Box::new(NullProvider::new(NodeId([1; 32]))));
        let (genesis, block) = (GenesisHash([7; 32]), BlockHash([8; 32]));
        let (height, round) = (Height(0x0102_0304_0506), Round(0x0a0b));
        let bytes = [
            signing::vote(&genesis, VoteKind::Prevote, height, round, None),
            signing::vote(&genesis, VoteKind::Precommit, height, round, Some(&block)),
            signing::proposal(&genesis, height, round, Some(Round(1)), &block),
            b"timed-heartbeat-v1 and more than that, surely more than thirty-two bytes of it".to_vec(),
        ];
        let signatures = bytes.each_ref().map(|bytes| provider.sign(bytes));
        let noted = notary.take();
        let kinds = [StatementKind::Prevote, StatementKind::Precommit, StatementKind::Proposal];
        assert_eq!(noted.len(), kinds.len());
        for (signed, (kind, signature)) in noted.iter().zip(kinds.into_iter().zip(signatures)) {
            assert_eq!(signed.subject, Subject { height, round, kind });
            assert_eq!(signed.signature, signature);
            assert!(signed.is_in(&[&b"before"[..], &signature.0, b"after"].concat()));
            assert!(!signed.is_in(&signature.0[1..]));
        }
        assert_eq!(notary.take(), []);
    }
}
