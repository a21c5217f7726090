//! What one process has signed about blocks, on its way to the disk and to the wire: nothing is to leave before
//! the record that holds it is durable (rule C-13).

use bytes::Bytes;
use timed_core::{Height, Ticket};

use super::notary::{Notary, Signed};

/// Statements that have left are forgotten at once, others when they are this many heights old.
const KEPT_HEIGHTS: u64 = 3;

/// The statements of one process that have not left yet.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    pub(crate) notary: Notary,
    waiting: Vec<(Signed, Bond)>,
}

/// What a statement is held by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bond {
    /// No record that was given out holds it.
    None,
    /// The record of this ticket.
    Record(Ticket),
    /// A durable record.
    Durable,
}

/// A statement on the wire.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// Its record is durable.
    Bound(Signed),
    /// It is not.
    Loose(Signed),
}

impl Promises {
    /// Takes in what was signed since the last look; `known` are statements that bind the key already.
    pub(crate) fn note(&mut self, known: impl Fn(&Signed) -> bool) {
        for signed in self.notary.take() {
            let bond = if known(&signed) { Bond::Durable } else { Bond::None };
            let oldest = signed.subject.height.0.saturating_sub(KEPT_HEIGHTS);
            self.waiting.retain(|(other, _)| other.subject.height >= Height(oldest));
            self.waiting.push((signed, bond));
        }
    }

    /// A record was given out: it holds the statements whose signatures it has.
    pub(crate) fn record(&mut self, ticket: Ticket, record: &Bytes) {
        for (signed, bond) in &mut self.waiting {
            if *bond == Bond::None && signed.is_in(record) {
                *bond = Bond::Record(ticket);
            }
        }
    }

    /// The record of a ticket is durable: returns the statements that are so thereby.
    pub(crate) fn durable(&mut self, ticket: Ticket) -> Vec<Signed> {
        let mut settled = Vec::new();
        for (signed, bond) in &mut self.waiting {
            if *bond == Bond::Record(ticket) {
                *bond = Bond::Durable;
                settled.push(signed.clone());
            }
        }
        settled
    }

    /// Bytes leave: returns the statements in them.
    pub(crate) fn leaving(&mut self, bytes: &[u8]) -> Vec<Departure> {
        let mut departed = Vec::new();
        self.waiting.retain(|(signed, bond)| {
            let leaves = signed.is_in(bytes);
            if leaves {
                let signed = signed.clone();
                departed.push(match bond {
                    Bond::Durable => Departure::Bound(signed),
                    Bond::None | Bond::Record(_) => Departure::Loose(signed),
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
    use timed_core::crypto::Provider;
    use timed_core::wire::signing;
    use timed_core::{GenesisHash, NodeId, Round, VoteKind};

    fn sign(promises: &Promises, height: u64) -> Bytes {
        let mut provider = promises.notary.watch(Box::new(NullProvider::new(NodeId([1; 32]))));
        let bytes = signing::vote(&GenesisHash([7; 32]), VoteKind::Prevote, Height(height), Round(0), None);
        Bytes::from([&b"head"[..], &provider.sign(&bytes).0].concat())
    }

    #[test]
    fn what_leaves_before_its_record_is_seen() {
        let mut promises = Promises::default();
        let [early, late, unrecorded] = [1, 2, 3].map(|height| sign(&promises, height));
        promises.note(|_| false);
        promises.record(Ticket(1), &early);
        promises.record(Ticket(2), &late);
        assert_eq!(promises.durable(Ticket(1)).len(), 1);
        let loose = |departed: Vec<Departure>| match &departed[..] {
            [Departure::Bound(_)] => false,
            [Departure::Loose(_)] => true,
            other => panic!("{other:?}"),
        };
        assert!(!loose(promises.leaving(&early)));
        assert_eq!(promises.leaving(&early), [], "once");
        assert!(loose(promises.leaving(&late)));
        assert!(loose(promises.leaving(&unrecorded)));
    }

    #[test]
    fn what_binds_already_may_leave_and_what_is_old_is_forgotten() {
        let mut promises = Promises::default();
        let again = sign(&promises, 1);
        promises.note(|_| true);
        assert!(matches!(promises.leaving(&again)[..], [Departure::Bound(_)]));
        for height in 1..100 {
            sign(&promises, height);
            promises.note(|_| false);
        }
        assert_eq!(promises.waiting.len(), 4);
    }
}
