//! The votes of one height: who has voted what in which round, what a quorum says, whose votes contradict each
//! other (rules C-9, C-10, C-12, C-16). Everything given to it has been verified.
//!
//! A masternode's first vote of a round and kind counts, no other. A certificate stands as a whole beside them:
//! if one of its signers has voted twice and we have counted the other vote, the votes one by one would never
//! show what the quorum wants, and whoever is locked on it could not convince us.

mod tally;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::chain::round::Outcome;
use crate::event::{Evidence, Statement};
use crate::ids::{BlockHash, Height, Round, Signature};
use crate::registry::{MasternodeIndex, Registry};
use crate::seats::SeatSet;
use crate::wire::block::{Certificate, VoteKind};
use crate::wire::message::{Held, MAX_ROUNDS_HELD, RoundHeld, Vote};
use tally::{Cast, Counted, Tally};

/// Rounds before the present one whose votes are kept.
pub(crate) const PAST_ROUNDS: u32 = 7;
/// Rounds after the next one whose votes are kept, a voter: its latest.
pub(crate) const LATER_ROUNDS: usize = 2;
/// Polkas kept of rounds whose votes are gone, beside that of the valid block.
pub(crate) const OLD_POLKAS: usize = 4;

/// The votes of one height.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub(crate) struct Votes {
    height: Height,
    registry: Arc<Registry>,
    /// The round that the machine is in.
    round: Round,
    rounds: BTreeMap<Round, RoundVotes>,
    /// Polkas that came whole, and those of rounds whose votes are gone.
    polkas: BTreeMap<Round, Certificate>,
    /// The round of the valid block, whose polka stays however old it is.
    valid: Option<Round>,
    /// The certificate that decides, if it came whole or its round's votes are gone.
    commit: Option<Certificate>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
struct RoundVotes {
    prevotes: Tally,
    precommits: Tally,
}

impl RoundVotes {
    const fn of(&self, kind: VoteKind) -> &Tally {
        match kind {
            VoteKind::Prevote => &self.prevotes,
            VoteKind::Precommit => &self.precommits,
        }
    }

    const fn of_mut(&mut self, kind: VoteKind) -> &mut Tally {
        match kind {
            VoteKind::Prevote => &mut self.prevotes,
            VoteKind::Precommit => &mut self.precommits,
        }
    }

    fn voters(&self) -> SeatSet {
        SeatSet(self.prevotes.voters().0 | self.precommits.voters().0)
    }
}

/// What became of a vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// It counts.
    Counted,
    /// It tells nothing new, or nothing that matters here.
    Ignored,
    /// Its voter has voted otherwise before, and that is what counts. Told once a round and kind.
    Equivocation(Box<Evidence>),
}

/// Whether a vote of some round is kept.
enum Room {
    Free,
    /// In place of the same voter's vote of that earlier round.
    InPlaceOf(Round),
    Taken,
}

impl Votes {
    /// No votes yet of a height that `registry` decides.
    pub(crate) const fn new(height: Height, registry: Arc<Registry>) -> Self {
        Self {
            height,
            registry,
            round: Round(0),
            rounds: BTreeMap::new(),
            polkas: BTreeMap::new(),
            valid: None,
            commit: None,
        }
    }

    /// Votes and certificates kept.
    pub(crate) fn kept(&self) -> (usize, usize) {
        let votes = self.rounds.values().map(|round| round.prevotes.len() + round.precommits.len()).sum();
        (votes, self.polkas.len() + usize::from(self.commit.is_some()))
    }

    /// The first round that still matters when the machine is in `round`.
    pub(crate) const fn first_kept(round: Round) -> Round {
        Round(round.0.saturating_sub(PAST_ROUNDS))
    }

    /// The machine enters a round. The votes of those long past go; of their certificates the newest stay, and
    /// that of `valid`.
    pub(crate) fn enter(&mut self, round: Round, valid: Option<Round>) {
        (self.round, self.valid) = (round, valid);
        let first = Self::first_kept(round);
        for past in self.rounds.range(..first).map(|(past, _)| *past).collect::<Vec<_>>() {
            if let Some(polka) = self.certificate(VoteKind::Prevote, past) {
                self.polkas.insert(past, polka);
            }
            self.commit = self.commit.take().or_else(|| self.certificate(VoteKind::Precommit, past));
            self.rounds.remove(&past);
        }
        self.drop_old_polkas();
    }

    /// Whether there is nothing to learn from a vote: it need not be verified.
    pub(crate) fn known(&self, vote: &Vote) -> bool {
        let Some(seat) = self.seat_of(vote) else { return true };
        matches!(self.room(vote.round, seat), Room::Taken)
            || self.rounds.get(&vote.round).is_some_and(|votes| votes.of(vote.kind).knows(seat, vote.block))
    }

    /// The signatures of a certificate that have not been verified as votes before.
    pub(crate) fn unverified(
        &self,
        certificate: &Certificate,
    ) -> impl Iterator<Item = (MasternodeIndex, Signature)> {
        let here = self.rounds.get(&certificate.round).filter(|_| certificate.height == self.height);
        let tally = here.map(|votes| votes.of(certificate.kind));
        let block = Some(certificate.block);
        certificate.signers.iter().zip(certificate.signatures.iter().copied()).filter(
            move |(seat, signature)| {
                let cast = Cast { block, signature: *signature };
                !tally.is_some_and(|tally| tally.holds(*seat, &cast))
            },
        )
    }

    /// Adds a verified vote.
    pub(crate) fn add(&mut self, vote: &Vote) -> Added {
        let Some(seat) = self.seat_of(vote) else { return Added::Ignored };
        self.count(vote.kind, vote.round, seat, Cast { block: vote.block, signature: vote.signature })
    }

    /// Takes a verified certificate, its votes and the whole of it. Tells who turns out to have equivocated.
    pub(crate) fn take(&mut self, certificate: &Certificate) -> Vec<Evidence> {
        let Certificate { kind, height, round, block, .. } = *certificate;
        let mut found = Vec::new();
        if height != self.height {
            return found;
        }
        for (seat, signature) in certificate.signers.iter().zip(&certificate.signatures) {
            let cast = Cast { block: Some(block), signature: *signature };
            if let Added::Equivocation(evidence) = self.count(kind, round, seat, cast) {
                found.push(*evidence);
            }
        }
        let old = round < Self::first_kept(self.round);
        match kind {
            _ if self.outcome(kind, round) == Outcome::Block(block) => {}
            VoteKind::Precommit => self.commit = self.commit.take().or_else(|| Some(certificate.clone())),
            VoteKind::Prevote if old || self.rounds.contains_key(&round) => {
                self.polkas.entry(round).or_insert_with(|| certificate.clone());
                self.drop_old_polkas();
            }
            // All of its signers have been seen in later rounds: the machine is about to follow them.
            VoteKind::Prevote => {}
        }
        found
    }

    /// What the votes of one kind and round say.
    pub(crate) fn outcome(&self, kind: VoteKind, round: Round) -> Outcome {
        if let Some(whole) = self.whole(kind, round) {
            return Outcome::Block(whole.block);
        }
        self.rounds.get(&round).map_or(Outcome::Open, |votes| votes.of(kind).outcome(self.registry.quorum()))
    }

    /// The polkas held of rounds before one.
    pub(crate) fn polkas_before(&self, round: Round) -> impl Iterator<Item = (Round, BlockHash)> {
        let whole = self.polkas.range(..round).map(|(at, polka)| (*at, polka.block));
        let quorum = self.registry.quorum();
        let counted =
            self.rounds.range(..round).filter_map(move |(at, votes)| match votes.prevotes.outcome(quorum) {
                Outcome::Block(block) => Some((*at, block)),
                Outcome::Open | Outcome::Split | Outcome::Nil => None,
            });
        whole.chain(counted)
    }

    /// The certificate of a round, if a quorum voted for a block, with every signature held.
    pub(crate) fn certificate(&self, kind: VoteKind, round: Round) -> Option<Certificate> {
        let Outcome::Block(block) = self.outcome(kind, round) else { return None };
        let whole = self.whole(kind, round).into_iter();
        let mut all: BTreeMap<MasternodeIndex, Signature> =
            whole.flat_map(|whole| whole.signers.iter().zip(whole.signatures.iter().copied())).collect();
        let casts = self.rounds.get(&round).into_iter().flat_map(|votes| votes.of(kind).casts());
        let agreeing = casts.filter(|(_, cast)| cast.block == Some(block));
        all.extend(agreeing.map(|(seat, cast)| (seat, cast.signature)));
        let signers = all.keys().copied().collect();
        Some(Certificate {
            kind,
            height: self.height,
            round,
            block,
            signers,
            signatures: all.into_values().collect(),
        })
    }

    /// The round and the block of the commit certificate, if there is one.
    pub(crate) fn committed(&self) -> Option<(Round, BlockHash)> {
        let whole = self.commit.as_ref().map(|whole| (whole.round, whole.block));
        whole.or_else(|| {
            self.rounds.keys().find_map(|round| match self.outcome(VoteKind::Precommit, *round) {
                Outcome::Block(block) => Some((*round, block)),
                _ => None,
            })
        })
    }

    /// The latest round after the present one in which more than a third have voted (line 55): at least one of
    /// them is correct, and every quorum has so many correct ones.
    pub(crate) fn later(&self) -> Option<Round> {
        let needed = self.registry.size() / 3 + 1;
        let mut later = self.rounds.range(self.round.next()..).rev();
        later.find(|(_, votes)| votes.voters().len() >= needed).map(|(round, _)| *round)
    }

    /// Votes that take whoever lacks them along into a round: precommits of a quorum in the one before (line 47),
    /// or votes of more than a third in it (line 55). None for the first round, which needs no reason.
    pub(crate) fn reasons(&self, round: Round) -> Vec<Vote> {
        let Some(before) = round.0.checked_sub(1).map(Round) else { return Vec::new() };
        let (quorum, third) = (self.registry.quorum(), self.registry.size() / 3 + 1);
        let precommits = self.rounds.get(&before).map(|votes| &votes.precommits);
        if let Some(tally) = precommits.filter(|tally| tally.casts().count() >= quorum) {
            let casts = tally.casts().take(quorum);
            return casts.filter_map(|(s, cast)| self.vote(VoteKind::Precommit, before, s, cast)).collect();
        }
        let kinds = [VoteKind::Prevote, VoteKind::Precommit];
        let votes = self.rounds.get(&round).into_iter().flat_map(|votes| {
            kinds
                .into_iter()
                .flat_map(move |kind| votes.of(kind).casts().map(move |(seat, cast)| (kind, seat, cast)))
        });
        let mut reasons = BTreeMap::new();
        for (kind, seat, cast) in votes {
            reasons.entry(seat).or_insert_with(|| self.vote(kind, round, seat, cast));
        }
        reasons.into_values().flatten().take(third).collect()
    }

    /// Whose votes are held of the next round and of those before, by ascending round (rule C-12).
    pub(crate) fn held(&self) -> Vec<RoundHeld> {
        let newest = self.rounds.range(..=self.round.next()).rev().take(MAX_ROUNDS_HELD);
        let mut held: Vec<RoundHeld> = newest
            .map(|(round, votes)| RoundHeld {
                round: *round,
                prevotes: votes.prevotes.voters(),
                precommits: votes.precommits.voters(),
            })
            .collect();
        held.reverse();
        held
    }

    /// The votes held here that somebody lacks and can use: those of its round, of later ones, and of rounds that
    /// it tells of (rule C-12).
    pub(crate) fn lacking(&self, held: &Held) -> Vec<Vote> {
        let mut votes = Vec::new();
        for (round, here) in self.rounds.iter().filter(|_| held.height == self.height) {
            let there = held.rounds.iter().find(|there| there.round == *round);
            if there.is_none() && *round < held.round {
                continue;
            }
            let there = there.copied().unwrap_or_default();
            for (kind, has) in [(VoteKind::Prevote, there.prevotes), (VoteKind::Precommit, there.precommits)]
            {
                let lacked = here.of(kind).casts().filter(|(seat, _)| !has.contains(*seat));
                votes.extend(lacked.filter_map(|(seat, cast)| self.vote(kind, *round, seat, cast)));
            }
        }
        votes
    }

    fn seat_of(&self, vote: &Vote) -> Option<MasternodeIndex> {
        self.registry.index_of(&vote.voter).filter(|_| vote.height == self.height)
    }

    fn whole(&self, kind: VoteKind, round: Round) -> Option<&Certificate> {
        match kind {
            VoteKind::Prevote => self.polkas.get(&round),
            VoteKind::Precommit => self.commit.as_ref().filter(|commit| commit.round == round),
        }
    }

    fn count(&mut self, kind: VoteKind, round: Round, seat: MasternodeIndex, cast: Cast) -> Added {
        match self.room(round, seat) {
            Room::Free => {}
            Room::InPlaceOf(earlier) => self.forget(earlier, seat),
            Room::Taken => return Added::Ignored,
        }
        match self.rounds.entry(round).or_default().of_mut(kind).count(seat, cast) {
            Counted::New => Added::Counted,
            Counted::Known => Added::Ignored,
            Counted::Contradicts(first) => {
                let evidence = self.evidence(kind, round, seat, [first, cast]);
                evidence.map_or(Added::Ignored, |evidence| Added::Equivocation(Box::new(evidence)))
            }
        }
    }

    /// Of the rounds after the next one only the latest of each voter are kept: it will not go back.
    fn room(&self, round: Round, seat: MasternodeIndex) -> Room {
        if round <= self.round.next() {
            return if round < Self::first_kept(self.round) { Room::Taken } else { Room::Free };
        }
        let later = self.rounds.range(self.round.next().next()..);
        let mut voted = later.filter(|(_, votes)| votes.voters().contains(seat)).map(|(round, _)| *round);
        let Some(earliest) = voted.next() else { return Room::Free };
        let rest: Vec<Round> = voted.collect();
        if earliest == round || rest.contains(&round) || 1 + rest.len() < LATER_ROUNDS {
            Room::Free
        } else if earliest < round {
            Room::InPlaceOf(earliest)
        } else {
            Room::Taken
        }
    }

    fn drop_old_polkas(&mut self) {
        let old = self.polkas.range(..Self::first_kept(self.round)).map(|(round, _)| *round);
        let old: Vec<Round> = old.filter(|old| Some(*old) != self.valid).collect();
        for round in old.iter().take(old.len().saturating_sub(OLD_POLKAS)) {
            self.polkas.remove(round);
        }
    }

    fn forget(&mut self, round: Round, seat: MasternodeIndex) {
        let Some(votes) = self.rounds.get_mut(&round) else { return };
        votes.prevotes.forget(seat);
        votes.precommits.forget(seat);
        if votes.voters() == SeatSet::EMPTY {
            self.rounds.remove(&round);
            self.polkas.remove(&round);
        }
    }

    fn vote(&self, kind: VoteKind, round: Round, seat: MasternodeIndex, cast: &Cast) -> Option<Vote> {
        let voter = self.registry.at(seat)?.id;
        let (height, block, signature) = (self.height, cast.block, cast.signature);
        Some(Vote { kind, height, round, block, voter, signature })
    }

    fn evidence(
        &self,
        kind: VoteKind,
        round: Round,
        seat: MasternodeIndex,
        [first, second]: [Cast; 2],
    ) -> Option<Evidence> {
        let first = self.vote(kind, round, seat, &first)?;
        let second = self.vote(kind, round, seat, &second)?;
        Some(Evidence { node: first.voter, first: Statement::Vote(first), second: Statement::Vote(second) })
    }
}
