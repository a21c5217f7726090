//! What keys have signed about blocks: every signature that a process ever makes is noted where it is made, so
//! that no way around the records escapes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use timed_core::crypto::{Authenticity, Handshake, Provider, WeakKey};
use timed_core::{BlockHash, GenesisHash, Height, NodeId, Round, Signature};
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

/// A statement about a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) subject: Subject,
    /// Of a proposal: the round of the polka that it refers to.
    pub(crate) valid_round: Option<Round>,
    /// The block; `None` for none.
    pub(crate) block: Option<BlockHash>,
}

impl Statement {
    /// What a message to be signed says about a block; `None` if it says nothing about one.
    fn read(message: &[u8]) -> Option<Self> {
        let after = |domain: &[u8]| message.strip_prefix(domain)?.get(size_of::<GenesisHash>()..);
        let (kind, rest) = match after(b"timed-proposal-v1") {
            Some(rest) => (StatementKind::Proposal, rest),
            None => match after(b"timed-vote-v1")?.split_first()? {
                (0, rest) => (StatementKind::Prevote, rest),
                (_, rest) => (StatementKind::Precommit, rest),
            },
        };
        let mut fields = Fields(rest);
        let subject = Subject { height: fields.height()?, round: fields.round()?, kind };
        let (valid_round, block) = match kind {
            StatementKind::Proposal => (fields.option(Fields::round)?, Some(fields.block()?)),
            StatementKind::Prevote | StatementKind::Precommit => (None, fields.option(Fields::block)?),
        };
        Some(Self { subject, valid_round, block })
    }
}

/// A signed statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) statement: Statement,
    pub(crate) signature: Signature,
}

impl Signed {
    /// Whether the signature stands somewhere in these bytes.
    pub(crate) fn is_in(&self, bytes: &[u8]) -> bool {
        let [first, ..] = self.signature.0;
        let mut windows = bytes.windows(self.signature.0.len());
        windows.any(|window| window[0] == first && window == self.signature.0)
    }
}

/// What a voting record holds: what its key has said at the record's height (rule C-13). `None` if the bytes are
/// no such record.
pub(crate) fn read_voting_record(record: &[u8]) -> Option<Vec<Statement>> {
    let (version, rest) = record.split_first()?;
    let mut fields = Fields(rest);
    let _silent_until = fields.option(Fields::height)?;
    let (height, _round, _step) = (fields.height()?, fields.round()?, fields.byte()?);
    let _locked = fields.option(|fields| Some((fields.round()?, fields.block()?)))?;
    for _ in 0..fields.byte()? {
        // Others' votes, by which the round was reached.
        let _kind_height_round = (fields.byte()?, fields.height()?, fields.round()?);
        let _voter: [u8; 32] = fields.array()?;
        let _block = fields.option(Fields::block)?;
        let _signature: [u8; 64] = fields.array()?;
    }
    let mut statements = Vec::new();
    for _ in 0..fields.byte()? {
        let kind = StatementKind::Proposal;
        let subject = Subject { height, round: fields.round()?, kind };
        let valid_round = fields.option(Fields::round)?;
        statements.push(Statement { subject, valid_round, block: Some(fields.block()?) });
    }
    for _ in 0..fields.byte()? {
        let round = fields.round()?;
        let kind = if fields.byte()? == 0 { StatementKind::Prevote } else { StatementKind::Precommit };
        let block = fields.option(Fields::block)?;
        statements.push(Statement { subject: Subject { height, round, kind }, valid_round: None, block });
    }
    match version {
        1 => {}
        2 => {
            // The question whether the key may speak is open.
            let _known_first = (fields.array::<8>()?, fields.array::<8>()?);
            for _ in 0..fields.byte()? {
                let _witness: [u8; 32] = fields.array()?;
            }
            let _unrecorded = fields.option(Fields::height)?;
        }
        _ => return None,
    }
    fields.0.is_empty().then_some(statements)
}

/// Reads little-endian fields from the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn height(&mut self) -> Option<Height> {
        self.array().map(|bytes| Height(u64::from_le_bytes(bytes)))
    }

    fn round(&mut self) -> Option<Round> {
        self.array().map(|bytes| Round(u32::from_le_bytes(bytes)))
    }

    fn block(&mut self) -> Option<BlockHash> {
        self.array().map(BlockHash)
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.byte()? == 0 { Some(None) } else { read(self).map(Some) }
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
        if let Some(statement) = Statement::read(message) {
            let signed = Signed { statement, signature };
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
    use timed_core::VoteKind;
    use timed_core::wire::signing;

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
        let said = [
            (StatementKind::Prevote, None, None),
            (StatementKind::Precommit, None, Some(block)),
            (StatementKind::Proposal, Some(Round(1)), Some(block)),
        ];
        assert_eq!(noted.len(), said.len());
        for (signed, ((kind, valid_round, block), signature)) in
            noted.iter().zip(said.into_iter().zip(signatures))
        {
            let subject = Subject { height, round, kind };
            assert_eq!(*signed, Signed { statement: Statement { subject, valid_round, block }, signature });
            assert!(signed.is_in(&[&b"before"[..], &signature.0, b"after"].concat()));
            assert!(!signed.is_in(&signature.0[1..]));
        }
        assert_eq!(notary.take(), []);
    }
}
