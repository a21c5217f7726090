//! What this node has asked for of the transactions that peers offer (rule X-3). Each is asked for from one peer
//! at a time; a peer that does not deliver holds nothing up for longer than [`SILENT`], or [`PATIENCE`] if it
//! delivers a little.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::ids::{NodeId, TxId};
use crate::limits::{Holding, MAX_OFFERED, holding};
use crate::time::Mono;

/// A peer that delivers nothing for so long is asked for nothing of what it was.
pub(crate) const SILENT: Duration = Duration::from_secs(3);
/// A peer has so long to deliver all that it was asked for.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// Transactions asked of one peer and not delivered, at most.
pub(super) const MAX_WANTED: usize = MAX_OFFERED;

/// Who delivers a transaction, and who would.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
struct Wanted {
    of: NodeId,
    other: Option<NodeId>,
}

/// A peer that owes transactions.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
struct Debtor {
    owes: usize,
    /// When it began to owe.
    since: Mono,
    /// When it delivered last, or was asked first.
    delivered: Mono,
    /// Whether it delivered since it was asked last: only then is it asked again for the same.
    prompt: bool,
}

impl Debtor {
    fn deadline(&self) -> Mono {
        (self.delivered + SILENT).min(self.since + PATIENCE)
    }
}

/// What to tell the peer that made an offer.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(super) enum Answer {
    /// These are wanted; none: go on.
    Want(Vec<TxId>),
    /// It still owes what it was asked for.
    Nothing,
}

/// All that was asked for and has not come.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Asking {
    wanted: BTreeMap<TxId, Wanted>,
    debtors: BTreeMap<NodeId, Debtor>,
}

impl Asking {
    pub(super) fn holding(&self, peers: usize) -> Holding {
        holding("transactions asked for", self.wanted.len(), peers * MAX_OFFERED)
    }

    /// A peer offers these, of which `lacking` tells what this node would have.
    pub(super) fn offered(
        &mut self,
        now: Mono,
        from: NodeId,
        ids: &[TxId],
        lacking: impl Fn(&TxId) -> bool,
    ) -> Answer {
        let again = self.debtors.get(&from).is_some_and(|debtor| debtor.prompt);
        let (mut ask, mut seen) = (Vec::new(), BTreeSet::new());
        for id in ids.iter().take(MAX_OFFERED).filter(|id| lacking(id) && seen.insert(**id)) {
            match self.wanted.get_mut(id) {
                None => {
                    if self.owe(now, from) {
                        self.wanted.insert(*id, Wanted { of: from, other: None });
                        ask.push(*id);
                    }
                }
                // It could not send all at once, and says that it still has the rest.
                Some(wanted) if wanted.of == from => {
                    if again {
                        ask.push(*id);
                    }
                }
                Some(wanted) => {
                    wanted.other.get_or_insert(from);
                }
            }
        }
        match self.debtors.get_mut(&from) {
            Some(_) if ask.is_empty() => Answer::Nothing,
            Some(debtor) => {
                debtor.prompt = false;
                Answer::Want(ask)
            }
            None => Answer::Want(ask),
        }
    }

    /// Whether a peer was asked for this, and owes it still.
    pub(super) fn is_owed(&self, id: &TxId, by: &NodeId) -> bool {
        self.wanted.get(id).is_some_and(|wanted| wanted.of == *by)
    }

    /// A transaction is here, or is not needed any more. Answers the peer that was asked for it and owes nothing
    /// more: it may go on.
    pub(super) fn settled(&mut self, now: Mono, id: &TxId, from: Option<NodeId>) -> Option<NodeId> {
        let wanted = self.wanted.remove(id)?;
        let debtor = self.debtors.get_mut(&wanted.of)?;
        debtor.owes -= 1;
        if from == Some(wanted.of) {
            debtor.delivered = now;
            debtor.prompt = true;
        }
        if debtor.owes > 0 {
            return None;
        }
        self.debtors.remove(&wanted.of);
        Some(wanted.of)
    }

    /// When the next peer's patience ends.
    pub(super) fn deadline(&self) -> Option<Mono> {
        self.debtors.values().map(Debtor::deadline).min()
    }

    /// Gives up on whoever is overdue; answers what to ask of whom instead.
    pub(super) fn overdue(&mut self, now: Mono) -> BTreeMap<NodeId, Vec<TxId>> {
        let overdue: Vec<NodeId> = self
            .debtors
            .iter()
            .filter(|(_, debtor)| debtor.deadline() <= now)
            .map(|(peer, _)| *peer)
            .collect();
        let mut ask = BTreeMap::new();
        for peer in overdue {
            self.give_up(now, peer, &mut ask);
        }
        ask
    }

    /// A peer is gone; answers what to ask of whom instead.
    pub(super) fn gone(&mut self, now: Mono, peer: NodeId) -> BTreeMap<NodeId, Vec<TxId>> {
        for wanted in self.wanted.values_mut().filter(|wanted| wanted.other == Some(peer)) {
            wanted.other = None;
        }
        let mut ask = BTreeMap::new();
        self.give_up(now, peer, &mut ask);
        ask
    }

    /// Counts one more on a peer, if it does not owe too many.
    fn owe(&mut self, now: Mono, peer: NodeId) -> bool {
        let fresh = Debtor { owes: 0, since: now, delivered: now, prompt: false };
        let debtor = self.debtors.entry(peer).or_insert(fresh);
        let room = debtor.owes < MAX_WANTED;
        debtor.owes += usize::from(room);
        room
    }

    fn give_up(&mut self, now: Mono, peer: NodeId, ask: &mut BTreeMap<NodeId, Vec<TxId>>) {
        if self.debtors.remove(&peer).is_none() {
            return;
        }
        let lost: Vec<(TxId, Option<NodeId>)> = self
            .wanted
            .iter()
            .filter(|(_, wanted)| wanted.of == peer)
            .map(|(id, wanted)| (*id, wanted.other))
            .collect();
        for (id, other) in lost {
            self.wanted.remove(&id);
            if let Some(other) = other.filter(|other| self.owe(now, *other)) {
                self.wanted.insert(id, Wanted { of: other, other: None });
                ask.entry(other).or_default().push(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Mono = Mono(1_000_000_000);

    fn node(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    fn ids(numbers: std::ops::Range<usize>) -> Vec<TxId> {
        numbers.map(|number| TxId::of(&number.to_le_bytes())).collect()
    }

    #[test]
    fn each_is_asked_of_one_peer_and_of_another_when_that_one_is_silent() {
        let mut asking = Asking::default();
        let wanted = ids(0..3);
        assert_eq!(asking.offered(T0, node(1), &wanted, |_| true), Answer::Want(wanted.clone()));
        assert_eq!(asking.offered(T0, node(2), &wanted, |_| true), Answer::Want(vec![]));
        assert_eq!(asking.deadline(), Some(T0 + SILENT));
        assert!(asking.overdue(T0 + SILENT - Duration::from_nanos(1)).is_empty());
        let mut again = wanted.clone();
        again.sort_unstable();
        assert_eq!(asking.overdue(T0 + SILENT), BTreeMap::from([(node(2), again)]));
        assert!(asking.overdue(T0 + SILENT + SILENT).is_empty());
        assert_eq!((asking.deadline(), asking.wanted.len()), (None, 0));
    }

    #[test]
    fn a_trickle_buys_no_more_than_the_patience() {
        let mut asking = Asking::default();
        let mut rest = ids(0..100);
        let mut now = T0;
        while now < T0 + PATIENCE {
            assert!(asking.overdue(now).is_empty());
            assert_eq!(asking.offered(now, node(1), &rest, |_| true), Answer::Want(rest.clone()));
            assert_eq!(asking.settled(now, &rest.remove(0), Some(node(1))), None);
            assert!(asking.deadline() <= Some(T0 + PATIENCE));
            now = now + SILENT - Duration::from_nanos(1);
        }
        assert!(asking.overdue(T0 + PATIENCE).is_empty());
        assert!(asking.wanted.is_empty() && asking.debtors.is_empty());
    }

    #[test]
    fn whoever_delivers_nothing_is_not_asked_again_for_the_same() {
        let mut asking = Asking::default();
        let wanted = ids(0..4);
        assert_eq!(asking.offered(T0, node(1), &wanted, |_| true), Answer::Want(wanted.clone()));
        assert_eq!(asking.offered(T0, node(1), &wanted, |_| true), Answer::Nothing);
        assert_eq!(asking.settled(T0, &wanted[0], Some(node(1))), None);
        assert_eq!(asking.offered(T0, node(1), &wanted[1..], |_| true), Answer::Want(wanted[1..].to_vec()));
        assert_eq!(asking.offered(T0, node(1), &wanted[1..], |_| true), Answer::Nothing);
    }

    #[test]
    fn c8_a_peer_owes_a_bounded_number() {
        let mut asking = Asking::default();
        for slice in 0..4 {
            let _ =
                asking.offered(T0, node(1), &ids(slice * MAX_OFFERED..(slice + 1) * MAX_OFFERED), |_| true);
        }
        assert_eq!((asking.wanted.len(), asking.debtors[&node(1)].owes), (MAX_WANTED, MAX_WANTED));
        assert!(asking.gone(T0, node(1)).is_empty());
        assert!(asking.wanted.is_empty() && asking.debtors.is_empty());
    }

    #[test]
    fn a_peer_that_is_gone_is_asked_for_nothing() {
        let mut asking = Asking::default();
        let wanted = ids(0..1);
        for peer in [1, 2] {
            let _ = asking.offered(T0, node(peer), &wanted, |_| true);
        }
        assert!(asking.gone(T0, node(2)).is_empty());
        assert!(asking.gone(T0, node(1)).is_empty() && asking.wanted.is_empty());
    }

    #[test]
    fn the_last_one_delivered_lets_the_peer_go_on() {
        let mut asking = Asking::default();
        let wanted = ids(0..2);
        let _ = asking.offered(T0, node(1), &wanted, |_| true);
        assert_eq!(asking.settled(T0, &wanted[0], Some(node(2))), None);
        assert_eq!(asking.settled(T0, &wanted[1], Some(node(1))), Some(node(1)));
        assert_eq!(asking.settled(T0, &wanted[1], Some(node(1))), None);
    }
}
