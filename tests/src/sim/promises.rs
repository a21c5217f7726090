//! What one process has signed about blocks, on its way to the disk and to the wire: nothing is to leave before
//! a record that holds it is durable (rule C-13).

use std::collections::{BTreeMap, VecDeque};

use timed_core::{Height, Ticket};

use super::notary::{Notary, Signed, Statement, Subject, read_voting_record};

/// Statements are forgotten when they are so many heights old.
const KEPT_HEIGHTS: u64 = 3;

/// The statements of one process.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    pub(crate) notary: Notary,
    /// Signed, and not seen on the wire yet.
    inside: Vec<Signed>,
    /// Records on their way to the disk.
    records: VecDeque<(Ticket, Vec<Statement>)>,
    /// What a durable record of this process or an earlier one has held.
    durable: BTreeMap<Subject, Statement>,
}

/// A statement on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// A durable record holds it.
    Recorded(Statement),
    /// None does.
    Loose(Statement),
}

impl Promises {
    /// The promises of a process that starts with this voting record.
    pub(crate) fn of(record: Option<&[u8]>) -> Self {
        let mut promises = Self::default();
        let statements = record.and_then(read_voting_record).unwrap_or_default();
        promises.hold(&statements);
        promises
    }

    fn hold(&mut self, statements: &[Statement]) {
        self.durable.extend(statements.iter().map(|statement| (statement.subject, *statement)));
    }

    /// Takes in what was signed since the last look.
    pub(crate) fn note(&mut self) {
        for signed in self.notary.take() {
            let oldest = Height(signed.statement.subject.height.0.saturating_sub(KEPT_HEIGHTS));
            self.inside.retain(|other| other.statement.subject.height >= oldest);
            self.durable.retain(|subject, _| subject.height >= oldest);
            self.inside.push(signed);
        }
    }

    /// A voting record was given out. Returns whether it can be read.
    pub(crate) fn record(&mut self, ticket: Ticket, record: &[u8]) -> bool {
        let statements = read_voting_record(record);
        let readable = statements.is_some();
        self.records.push_back((ticket, statements.unwrap_or_default()));
        readable
    }

    /// The write of a ticket ended well. Returns what it made binding.
    pub(crate) fn durable(&mut self, ticket: Ticket) -> Vec<Statement> {
        // Records become durable in order; those of other keys are not kept here.
        match self.records.front() {
            Some((first, _)) if *first == ticket => {}
            _ => return Vec::new(),
        }
        let statements = self.records.pop_front().map(|(_, statements)| statements).unwrap_or_default();
        self.hold(&statements);
        statements
    }

    /// Bytes leave: returns the statements in them.
    pub(crate) fn leaving(&mut self, bytes: &[u8]) -> Vec<Departure> {
        let mut departed = Vec::new();
        let durable = &self.durable;
        self.inside.retain(|signed| {
            let leaves = signed.is_in(bytes);
            if leaves {
                let statement = signed.statement;
                departed.push(match durable.get(&statement.subject) {
                    Some(held) if *held == statement => Departure::Recorded(statement),
                    _ => Departure::Loose(statement),
                });
            }
            !leaves
        });
        departed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::null_crypto::NullProvider;
    use timed_core::wire::signing;
    use timed_core::{BlockHash, GenesisHash, NodeId, Round, Signature, VoteKind};

    const BLOCK: BlockHash = BlockHash([8; 32]);

    fn sign(promises: &mut Promises, height: u64, block: Option<&BlockHash>) -> Signature {
        let mut provider = promises.notary.watch(Box::new(NullProvider::new(NodeId([1; 32]))));
        let genesis = GenesisHash([7; 32]);
        let bytes = signing::vote(&genesis, VoteKind::Prevote, Height(height), Round(0), block);
        let signature = provider.sign(&bytes);
        promises.note();
        signature
    }

    /// A voting record with one prevote of round 0.
    fn record(height: u64, block: Option<&BlockHash>) -> Vec<u8> {
        let mut bytes = vec![1, 0];
        bytes.extend(height.to_le_bytes());
        bytes.extend([0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(block.is_some())]);
        bytes.extend(block.map_or(&[][..], |block| &block.0));
        bytes
    }

    fn is_loose(departed: &[Departure]) -> bool {
        match departed {
            [Departure::Recorded(_)] => false,
            [Departure::Loose(_)] => true,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_leaves_before_its_record_is_seen() {
        let mut promises = Promises::default();
        let [first, second, third] = [1, 2, 3].map(|height| sign(&mut promises, height, Some(&BLOCK)));
        assert!(promises.record(Ticket(4), &record(1, Some(&BLOCK))));
        assert!(promises.record(Ticket(6), &record(2, Some(&BLOCK))));
        assert!(promises.durable(Ticket(1)).is_empty());
        assert_eq!(promises.durable(Ticket(4)).len(), 1);
        assert!(!is_loose(&promises.leaving(&first.0)));
        assert_eq!(promises.leaving(&first.0), [], "once");
        assert!(is_loose(&promises.leaving(&second.0)));
        assert!(is_loose(&promises.leaving(&third.0)));
    }

    #[test]
    fn a_record_of_something_else_does_not_count() {
        for held in [record(1, None), record(2, Some(&BLOCK)), record(1, Some(&BlockHash([9; 32])))] {
            let mut promises = Promises::default();
            let signature = sign(&mut promises, 1, Some(&BLOCK));
            assert!(promises.record(Ticket(1), &held));
            promises.durable(Ticket(1));
            assert!(is_loose(&promises.leaving(&signature.0)));
        }
        assert!(!Promises::default().record(Ticket(1), b"something else"));
    }

    #[test]
    fn a_restart_knows_what_its_record_holds() {
        let mut promises = Promises::of(Some(&record(7, None)));
        let signature = sign(&mut promises, 7, None);
        assert!(!is_loose(&promises.leaving(&signature.0)));
        for height in 1..100 {
            sign(&mut promises, height, None);
        }
        assert_eq!(promises.inside.len(), 4, "what is old is forgotten");
    }
}
