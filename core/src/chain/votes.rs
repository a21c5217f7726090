//! The votes of one height: who has voted what in which round, what a quorum says, whose votes contradict each
//! other (rules C-9, C-10, C-12, C-16). Everything given to it has been verified.

mod tally;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::chain::round::Outcome;
use crate::event::{Evidence, Statement};
use crate::ids::{BlockHash, Height, Round, Signature};
use crate::registry::{MasternodeIndex, Registry};
use crate::seats::SeatSet;
use crate::wire::block::{Certificate, VoteKind};
use crate::wire::message::{Held, MAX_ROUNDS_HELD, RoundHeld, Vote};
use tally::{Cast, Tally};

/// Rounds before the present one whose votes are kept.
pub(crate) const PAST_ROUNDS: u32 = 7;
/// Later rounds whose votes are kept, a voter: its newest.
pub(crate) const LATER_ROUNDS: usize = 2;
/// Polkas kept of rounds whose votes are gone.
pub(crate) const OLD_POLKAS: usize = 4;

/// The votes of one height.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Votes {
    height: Height,
    registry: Arc<Registry>,
    /// The round that the machine is in.
    round: Round,
    rounds: BTreeMap<Round, RoundVotes>,
    /// Polkas of rounds before those, for proposals that refer to them.
    old: BTreeMap<Round, Certificate>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
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
    /// It tells nothing new, or nothing that matters any more.
    Ignored,
    /// Its voter has voted otherwise before, which is what counts. Told once a round and kind.
    Equivocation(Box<Evidence>),
}

impl Votes {
    /// No votes yet of a height that `registry` decides.
    pub(crate) const fn new(height: Height, registry: Arc<Registry>) -> Self {
        Self { height, registry, round: Round(0), rounds: BTreeMap::new(), old: BTreeMap::new() }
    }

    /// The machine enters a round: earlier votes go, but not polkas.
    pub(crate) fn enter(&mut self, round: Round) {
        self.round = round;
        let first = self.first_kept();
        let kept = self.rounds.split_off(&first);
        let quorum = self.registry.quorum();
        for (round, votes) in std::mem::replace(&mut self.rounds, kept) {
            if let Outcome::Block(block) = votes.prevotes.outcome(quorum) {
                self.old.insert(round, self.build(&votes.prevotes, VoteKind::Prevote, round, block));
            }
        }
        while self.old.len() > OLD_POLKAS {
            self.old.pop_first();
        }
    }

    fn first_kept(&self) -> Round {
        Round(self.round.0.saturating_sub(PAST_ROUNDS))
    }

    /// Whether there is nothing to learn from a vote: it need not be verified.
    pub(crate) fn known(&self, vote: &Vote) -> bool {
        let Some(seat) = self.registry.index_of(&vote.voter) else { return true };
        if vote.height != self.height || vote.round < self.first_kept() {
            return true;
        }
        let Some(tally) = self.rounds.get(&vote.round).map(|votes| votes.of(vote.kind)) else { return false };
        tally.cast(seat).is_some_and(|cast| cast.block == vote.block) || tally.told(seat)
    }

    /// Whether exactly this vote, as part of a certificate, has been verified before.
    pub(crate) fn verified(
        &self,
        kind: VoteKind,
        round: Round,
        block: Option<BlockHash>,
        seat: MasternodeIndex,
        signature: &Signature,
    ) -> bool {
        let tally = self.rounds.get(&round).map(|votes| votes.of(kind));
        tally
            .and_then(|tally| tally.cast(seat))
            .is_some_and(|c| c.block == block && c.signature == *signature)
    }

    /// Adds a verified vote.
    pub(crate) fn add(&mut self, vote: &Vote) -> Added {
        let seat = self.registry.index_of(&vote.voter).filter(|_| vote.height == self.height);
        let Some(seat) = seat else { return Added::Ignored };
        self.count(vote.kind, vote.round, seat, Cast { block: vote.block, signature: vote.signature })
    }

    fn count(&mut self, kind: VoteKind, round: Round, seat: MasternodeIndex, cast: Cast) -> Added {
        if round < self.first_kept() || !self.make_room(round, seat) {
            return Added::Ignored;
        }
        let tally = self.rounds.entry(round).or_default().of_mut(kind);
        match tally.cast(seat).copied() {
            None => {
                tally.insert(seat, cast);
                Added::Counted
            }
            Some(first) if first.block == cast.block || !tally.tell(seat) => Added::Ignored,
            Some(first) => self
                .evidence(kind, round, seat, [first, cast])
                .map_or(Added::Ignored, |evidence| Added::Equivocation(Box::new(evidence))),
        }
    }

    /// Of rounds later than the next one, only the newest of each voter are kept.
    fn make_room(&mut self, round: Round, seat: MasternodeIndex) -> bool {
        if round <= self.round.next() {
            return true;
        }
        let from = self.round.next().next();
        let voted = |votes: &RoundVotes| votes.voters().contains(seat);
        let rounds: Vec<Round> =
            self.rounds.range(from..).filter(|(_, votes)| voted(votes)).map(|(round, _)| *round).collect();
        let Some(lowest) =
            rounds.first().filter(|_| rounds.len() >= LATER_ROUNDS && !rounds.contains(&round))
        else {
            return true;
        };
        if *lowest > round {
            return false;
        }
        if let Some(votes) = self.rounds.get_mut(lowest) {
            votes.prevotes.remove(seat);
            votes.precommits.remove(seat);
            if votes.voters() == SeatSet::EMPTY {
                self.rounds.remove(lowest);
            }
        }
        true
    }

    /// Takes a verified certificate as a unit: it stands even where a signer's other vote was counted before.
    pub(crate) fn take(&mut self, certificate: &Certificate) -> Vec<Evidence> {
        if certificate.height != self.height {
            return Vec::new();
        }
        let (kind, round, block) = (certificate.kind, certificate.round, certificate.block);
        if round < self.first_kept() {
            if kind == VoteKind::Prevote {
                self.old.entry(round).or_insert_with(|| certificate.clone());
                while self.old.len() > OLD_POLKAS {
                    self.old.pop_first();
                }
            }
            return Vec::new();
        }
        let mut found = Vec::new();
        for (seat, signature) in certificate.signers.iter().zip(&certificate.signatures) {
            let cast = Cast { block: Some(block), signature: *signature };
            if let Added::Equivocation(evidence) = self.count(kind, round, seat, cast) {
                found.push(*evidence);
            }
        }
        let quorum = self.registry.quorum();
        let tally = self.rounds.entry(round).or_default().of_mut(kind);
        if tally.outcome(quorum) != Outcome::Block(block) {
            tally.take(certificate.clone());
        }
        found
    }

    /// What the votes of one kind and round say.
    pub(crate) fn outcome(&self, kind: VoteKind, round: Round) -> Outcome {
        self.rounds.get(&round).map_or(Outcome::Open, |votes| votes.of(kind).outcome(self.registry.quorum()))
    }

    /// The polka of a round, with every signature held.
    pub(crate) fn polka(&self, round: Round) -> Option<Certificate> {
        self.certificate(VoteKind::Prevote, round).or_else(|| self.old.get(&round).cloned())
    }

    /// Whether a quorum prevoted a block in a round.
    pub(crate) fn has_polka(&self, round: Round, block: BlockHash) -> bool {
        self.outcome(VoteKind::Prevote, round) == Outcome::Block(block)
            || self.old.get(&round).is_some_and(|polka| polka.block == block)
    }

    /// The certificate that decides the height, with every signature held.
    pub(crate) fn commit(&self) -> Option<Certificate> {
        self.rounds.keys().find_map(|round| self.certificate(VoteKind::Precommit, *round))
    }

    /// The certificate of a round, if a quorum voted for a block, with every signature held.
    pub(crate) fn certificate(&self, kind: VoteKind, round: Round) -> Option<Certificate> {
        let tally = self.rounds.get(&round)?.of(kind);
        let Outcome::Block(block) = tally.outcome(self.registry.quorum()) else { return None };
        Some(self.build(tally, kind, round, block))
    }

    fn build(&self, tally: &Tally, kind: VoteKind, round: Round, block: BlockHash) -> Certificate {
        let (signers, signatures) = tally.signatures(block);
        Certificate { kind, height: self.height, round, block, signers, signatures }
    }

    /// The latest round after the present one in which more than a third have voted (line 55).
    pub(crate) fn later(&self) -> Option<Round> {
        let needed = self.registry.size() / 3 + 1;
        let mut later = self.rounds.range(self.round.next()..).rev();
        later.find(|(_, votes)| votes.voters().len() >= needed).map(|(round, _)| *round)
    }

    /// Whose votes are held, of the present round, the next, and those before (rule C-12).
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

    /// Votes held here that somebody lacks and can use: those of its round, of later ones, and of rounds that it
    /// tells of (rule C-12).
    pub(crate) fn lacking(&self, held: &Held) -> Vec<Vote> {
        let mut votes = Vec::new();
        if held.height != self.height {
            return votes;
        }
        for (round, here) in &self.rounds {
            let there = held.rounds.iter().find(|there| there.round == *round);
            if there.is_none() && *round < held.round {
                continue;
            }
            let there = there.copied().unwrap_or_default();
            for (kind, has) in [(VoteKind::Prevote, there.prevotes), (VoteKind::Precommit, there.precommits)]
            {
                let casts = here.of(kind).casts().filter(|(seat, _)| !has.contains(*seat));
                votes.extend(casts.filter_map(|(seat, cast)| self.vote(kind, *round, seat, cast)));
            }
        }
        votes
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
        [a, b]: [Cast; 2],
    ) -> Option<Evidence> {
        let (first, second) = (self.vote(kind, round, seat, &a)?, self.vote(kind, round, seat, &b)?);
        Some(Evidence { node: first.voter, first: Statement::Vote(first), second: Statement::Vote(second) })
    }
}
