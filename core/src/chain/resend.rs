//! What may have been lost is said again (rule C-12): a node that is stuck tells what it holds, and whoever hears
//! it sends what is missing.

use std::time::Duration;

use crate::chain::Chain;
use crate::chain::consensus::Consensus;
use crate::chain::effects::{Effect, Effects};
use crate::event::Step;
use crate::ids::{Height, NodeId};
use crate::time::{Mono, Now};
use crate::wire::block::Certificate;
use crate::wire::message::{self, Held, Message};

/// What is held is told no more than so many times a slot, whatever times out.
pub(crate) const HELD_A_SLOT: u32 = 10;

/// When to tell what is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(super) struct Resend {
    next: Option<Mono>,
    last: Option<Mono>,
}

impl Resend {
    /// A height begins.
    pub(super) fn begin(&mut self, now: Mono, interval: Duration) {
        *self = Self { next: Some(now + interval / 5), last: None };
    }

    /// A round has timed out.
    pub(super) fn hasten(&mut self, now: Mono) {
        self.next = self.next.map(|next| next.min(now));
    }

    /// The height is decided.
    pub(super) fn rest(&mut self) {
        self.next = None;
    }

    /// When something is to be told, if nothing happens until then.
    pub(super) fn deadline(&self) -> Option<Mono> {
        self.next
    }

    /// Whether it is to be told now.
    fn due(&mut self, now: Mono, interval: Duration) -> bool {
        if self.next.is_none_or(|next| next > now) {
            return false;
        }
        let earliest = self.last.map(|last| last + interval / HELD_A_SLOT).filter(|earliest| *earliest > now);
        if earliest.is_some() {
            self.next = earliest;
            return false;
        }
        *self = Self { next: Some(now + interval / 5), last: Some(now) };
        true
    }
}

impl Chain {
    /// Tells every masternode what is held of a height that is stuck.
    pub(super) fn resend_due(&mut self, now: Now, effects: &mut Effects) {
        if self.resend.due(now.mono, self.settings.interval)
            && let Some(held) = self.held()
        {
            Self::broadcast(Message::Held(Box::new(held)), effects);
        }
    }

    /// Tells one masternode, because a link to it is new.
    pub(super) fn tell_held(&self, peer: NodeId, effects: &mut Effects) {
        if let Some(held) = self.held() {
            effects.push(Effect::Send(peer, Message::Held(Box::new(held))));
        }
    }

    /// `None` also of a node that does not vote: it follows by the tips, and nobody heeds what it says of a height.
    pub(super) fn held(&self) -> Option<Held> {
        let under_way = |consensus: &&Consensus| consensus.step() != Step::Decided && self.speaks_one_day();
        let consensus = self.consensus.as_ref().filter(under_way)?;
        let round = consensus.round();
        let complete = |block: &_| self.candidates.payload(block).is_some();
        Some(Held {
            height: consensus.height(),
            round,
            proposal: consensus.proposed(round).filter(complete),
            rounds: consensus.held(),
        })
    }

    /// Somebody tells what it holds: it is sent what it lacks and we have.
    pub(super) fn held_came(&mut self, now: Now, from: NodeId, held: &Held, effects: &mut Effects) {
        let spacing = self.settings.interval / 20;
        let Some(linked) = self.linked.get_mut(&from) else { return };
        if linked.answered.is_some_and(|last| now.mono.since(last) < spacing) {
            return;
        }
        linked.answered = Some(now.mono);
        // Whoever works on a height has the one before.
        self.peer_has(now, from, Height(held.height.0.saturating_sub(1)), effects);
        let mut answer = |message| effects.push(Effect::Send(from, message));
        match &self.consensus {
            Some(consensus) if consensus.height() == held.height => {
                self.answer_held(consensus, held, &mut answer);
            }
            _ if held.height > self.commits.height() => {}
            _ => match self.certificate_of(held.height) {
                Some(certificate) => answer(Message::Commit(Box::new(certificate))),
                None => {
                    let tip = self.tip();
                    answer(Message::Tip(message::Tip { height: tip.height, block: tip.hash }));
                }
            },
        }
    }

    /// The certificate of the tip, with every signature held, if that is the height asked for.
    fn certificate_of(&self, height: Height) -> Option<Certificate> {
        let tip = self.commits.tip().filter(|tip| tip.parent.height == height)?;
        let late = self.past.as_ref().and_then(Consensus::commit);
        Some(late.unwrap_or_else(|| tip.certificate.clone()))
    }

    fn answer_held(&self, consensus: &Consensus, held: &Held, answer: &mut impl FnMut(Message)) {
        let proposal = |round| self.candidates.proposal(round).map(|p| Message::Proposal(Box::new(p)));
        if let Some(certificate) = consensus.commit() {
            // With the proposal it needs but the payload.
            if held.proposal != Some(certificate.block) {
                let of = self.candidates.signed().find(|signed| signed.block == certificate.block);
                of.and_then(|signed| proposal(signed.round)).into_iter().for_each(&mut *answer);
            }
            answer(Message::Commit(Box::new(certificate)));
            return;
        }
        // A polka goes as a unit: its votes may not all be the first ones that the other has of their voters.
        let quorum = consensus.registry().quorum();
        let round = held.round.max(consensus.round());
        let shown = consensus.valid().map(|(round, _)| round);
        let referred = self.candidates.signed().filter(|signed| signed.round == round);
        for polka in shown.into_iter().chain(referred.filter_map(|signed| signed.valid_round)) {
            let there = held.rounds.iter().find(|there| there.round == polka);
            if there.is_none_or(|there| there.prevotes.len() < quorum || round > polka)
                && let Some(polka) = consensus.polka(polka)
            {
                // With what it is a polka for: whoever leads next without either wastes its round.
                let newest = self.candidates.signed().filter(|signed| signed.block == polka.block).last();
                let lacks = held.proposal != Some(polka.block);
                let carries = newest.filter(|signed| lacks && signed.round != round);
                answer(Message::Polka(Box::new(polka)));
                carries.and_then(|signed| proposal(signed.round)).into_iter().for_each(&mut *answer);
            }
        }
        if held.proposal.is_none() || round > held.round {
            proposal(round).into_iter().for_each(&mut *answer);
        }
        for vote in consensus.lacking(held) {
            answer(Message::Vote(Box::new(vote)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    #[test]
    fn c_12_a_stuck_height_is_told_of_every_fifth_of_a_slot() {
        let (mut resend, begun) = (Resend::default(), Mono(1_000));
        assert!(!resend.due(begun, INTERVAL), "no height is under way");
        resend.begin(begun, INTERVAL);
        for round in 1..4 {
            let due = begun + INTERVAL / 5 * round;
            assert_eq!(resend.deadline(), Some(due));
            assert!(!resend.due(Mono(due.0 - 1), INTERVAL));
            assert!(resend.due(due, INTERVAL));
        }
        resend.rest();
        assert_eq!(resend.deadline(), None);
        assert!(!resend.due(begun + INTERVAL * 9, INTERVAL), "it is decided");
    }

    #[test]
    fn c_12_time_outs_hasten_it_within_bounds() {
        let (mut resend, begun) = (Resend::default(), Mono(1_000));
        resend.begin(begun, INTERVAL);
        let first = begun + Duration::from_millis(10);
        resend.hasten(first);
        assert_eq!(resend.deadline(), Some(first));
        assert!(resend.due(first, INTERVAL));
        // However often a round times out: ten times a slot.
        let spacing = INTERVAL / HELD_A_SLOT;
        resend.hasten(first + spacing / 2);
        assert!(!resend.due(first + spacing / 2, INTERVAL));
        assert_eq!(resend.deadline(), Some(first + spacing));
        assert!(resend.due(first + spacing, INTERVAL));
        // What is due later than now is hastened, what is due earlier stays.
        resend.hasten(first + INTERVAL);
        assert_eq!(resend.deadline(), Some(first + spacing + INTERVAL / 5));
    }
}
