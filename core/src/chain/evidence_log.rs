//! Proofs of equivocation: found, kept once each, bounded, durable (rule C-16).

use crate::chain::durable::{Damaged, Reader, put_count, put_statement};
use crate::event::{Evidence, Statement, StatementKind};
use crate::ids::{Height, NodeId, Round};
use crate::limits::EVIDENCE_KEPT;

const VERSION: u8 = 1;

/// The proofs that this node holds, in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EvidenceLog {
    proofs: Vec<Evidence>,
}

/// What a proof was to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Noted {
    /// New: it is kept, is to be made durable, and is told.
    New,
    /// Its author's equivocation there is known.
    Known,
}

/// The proof that two genuine statements contradict each other, if they do: one author, height, round and kind,
/// and another content. A signature alone makes no difference.
pub(crate) fn conflict(first: &Statement, second: &Statement) -> Option<Evidence> {
    if subject(first) != subject(second) || first.says_the_same_as(second) {
        return None;
    }
    Some(Evidence { node: first.author(), first: first.clone(), second: second.clone() })
}

fn subject(statement: &Statement) -> (NodeId, Height, Round, StatementKind) {
    (statement.author(), statement.height(), statement.round(), statement.kind())
}

impl EvidenceLog {
    /// Keeps a proof. With too many, the oldest of whoever has most gives way, so that nobody's floods hide
    /// another's.
    pub(crate) fn note(&mut self, proof: Evidence) -> Noted {
        let about = subject(&proof.first);
        if self.proofs.iter().any(|known| subject(&known.first) == about) {
            return Noted::Known;
        }
        self.proofs.push(proof);
        if self.proofs.len() > EVIDENCE_KEPT {
            let of = |node: &NodeId| self.proofs.iter().filter(|proof| proof.node == *node).count();
            let worst = self.proofs.iter().map(|proof| (of(&proof.node), proof.node)).max();
            let given_up =
                self.proofs.iter().position(|proof| worst.is_some_and(|(_, node)| node == proof.node));
            self.proofs.remove(given_up.unwrap_or(0));
        }
        Noted::New
    }

    /// The proofs, oldest first.
    pub(crate) fn proofs(&self) -> &[Evidence] {
        &self.proofs
    }

    /// The durable form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_count(self.proofs.len(), &mut out);
        for proof in &self.proofs {
            put_statement(&proof.first, &mut out);
            put_statement(&proof.second, &mut out);
        }
        out
    }

    /// Reads the durable form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, VERSION)?;
        let proofs = reader.list(EVIDENCE_KEPT, |reader| {
            conflict(&reader.statement()?, &reader.statement()?).ok_or(Damaged)
        })?;
        reader.end()?;
        let mut log = Self::default();
        for proof in proofs {
            if log.note(proof) == Noted::Known {
                return Err(Damaged);
            }
        }
        Ok(log)
    }
}
