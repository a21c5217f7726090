//! Proofs of equivocation: found, kept once each, bounded, durable (rule C-16).

use crate::chain::durable::{Damaged, Reader, put_count, put_statement};
use crate::event::{Evidence, Statement, StatementKind};
use crate::ids::{Height, NodeId, Round};
use crate::limits::{EVIDENCE_KEPT, Holding, holding};

const VERSION: u8 = 1;

/// The proofs that this node holds, in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
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
    pub(crate) fn holding(&self) -> Holding {
        holding("proofs of equivocation", self.proofs.len(), EVIDENCE_KEPT)
    }

    /// Keeps a proof. With too many, the oldest of whoever has most gives way, so that nobody's floods hide
    /// another's.
    pub(crate) fn note(&mut self, proof: Evidence) -> Noted {
        if self.knows(&proof.first) {
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

    /// Whether its author's equivocation there is known: then nothing is to be learned from another statement.
    pub(crate) fn knows(&self, statement: &Statement) -> bool {
        let about = subject(statement);
        self.proofs.iter().any(|known| subject(&known.first) == about)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::durable::tests::assert_strict;
    use crate::chain::fixture;
    use crate::event::SignedProposal;
    use crate::ids::{BlockHash, Signature};
    use crate::wire::block::VoteKind;

    fn vote(node: usize, kind: VoteKind, height: u64, block: u8) -> Statement {
        let block = (block > 0).then_some(BlockHash([block; 32]));
        Statement::Vote(fixture::vote(node, kind, Height(height), Round(1), block))
    }

    fn proposal(height: u64, valid_round: Option<u32>, block: u8) -> Statement {
        Statement::Proposal(SignedProposal {
            height: Height(height),
            round: Round(1),
            valid_round: valid_round.map(Round),
            block: BlockHash([block; 32]),
            proposer: fixture::id(2),
            signature: Signature([block; 64]),
        })
    }

    fn proof(node: usize, height: u64) -> Evidence {
        let (a, b) = (vote(node, VoteKind::Prevote, height, 1), vote(node, VoteKind::Prevote, height, 2));
        conflict(&a, &b).unwrap()
    }

    #[test]
    fn prod_06_two_statements_conflict_if_one_author_may_not_have_made_both() {
        let (prevote, precommit) = (VoteKind::Prevote, VoteKind::Precommit);
        let first = vote(2, prevote, 5, 1);
        let found = conflict(&first, &vote(2, prevote, 5, 2)).unwrap();
        assert_eq!((found.node, &found.first), (fixture::id(2), &first));
        assert!(conflict(&first, &vote(2, prevote, 5, 0)).is_some());
        assert!(conflict(&proposal(5, None, 1), &proposal(5, None, 2)).is_some());
        assert!(conflict(&proposal(5, None, 1), &proposal(5, Some(0), 1)).is_some());
        for innocent in [
            first.clone(),
            vote(3, prevote, 5, 2),
            vote(2, precommit, 5, 2),
            vote(2, prevote, 6, 2),
            proposal(5, None, 2),
        ] {
            assert_eq!(conflict(&first, &innocent), None, "{innocent:?}");
        }
        // Another signature under the same words is no contradiction.
        let mut again = first.clone();
        if let Statement::Vote(vote) = &mut again {
            vote.signature = Signature([1; 64]);
        }
        assert_eq!(conflict(&first, &again), None);
    }

    #[test]
    fn each_equivocation_is_noted_once() {
        let mut log = EvidenceLog::default();
        assert_eq!(log.note(proof(2, 5)), Noted::New);
        let third = conflict(&vote(2, VoteKind::Prevote, 5, 1), &vote(2, VoteKind::Prevote, 5, 3)).unwrap();
        assert_eq!(log.note(third), Noted::Known);
        assert_eq!(log.note(proof(2, 6)), Noted::New);
        assert_eq!(log.note(proof(3, 5)), Noted::New);
        assert_eq!(log.proofs().len(), 3);
    }

    #[test]
    fn a_flood_of_one_hides_nobody_else() {
        let mut log = EvidenceLog::default();
        assert_eq!(log.note(proof(7, 1)), Noted::New);
        for height in 0..500 {
            assert_eq!(log.note(proof(2, height)), Noted::New);
            assert!(log.proofs().len() <= EVIDENCE_KEPT);
        }
        assert_eq!(log.note(proof(9, 1)), Noted::New);
        let of = |node| log.proofs().iter().filter(|proof| proof.node == fixture::id(node)).count();
        assert_eq!((of(7), of(9), of(2)), (1, 1, EVIDENCE_KEPT - 2));
        // The newest of the flood are kept.
        assert_eq!(log.proofs().iter().map(|proof| proof.first.height()).max(), Some(Height(499)));
    }

    #[test]
    fn the_log_round_trips_and_nothing_else_is_read() {
        let mut log = EvidenceLog::default();
        assert_strict(&log.encode(), EvidenceLog::decode, EvidenceLog::encode);
        let _ = log.note(proof(2, 5));
        let _ = log.note(conflict(&proposal(5, None, 1), &proposal(5, Some(0), 2)).unwrap());
        let _ = log.note(
            conflict(&vote(1, VoteKind::Precommit, 5, 0), &vote(1, VoteKind::Precommit, 5, 2)).unwrap(),
        );
        assert_strict(&log.encode(), EvidenceLog::decode, EvidenceLog::encode);
        // Two statements that do not contradict each other, and one proof twice.
        let innocent = Evidence { second: vote(2, VoteKind::Prevote, 6, 2), ..proof(2, 5) };
        assert_eq!(EvidenceLog::decode(&EvidenceLog { proofs: vec![innocent] }.encode()), Err(Damaged));
        let twice = EvidenceLog { proofs: vec![proof(2, 5), proof(2, 5)] };
        assert_eq!(EvidenceLog::decode(&twice.encode()), Err(Damaged));
        let mut full = EvidenceLog::default();
        for height in 0..100 {
            let _ = full.note(proof(2, height));
        }
        assert_eq!(EvidenceLog::decode(&full.encode()), Ok(full));
    }
}
