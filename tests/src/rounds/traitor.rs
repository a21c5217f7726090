//! Keys in the wrong hands: they sign whatever they like, and know everything that was ever said.

use std::collections::BTreeMap;

use timed_core::rounds::{OwnVote, Timeliness};
use timed_core::wire::message::Vote;
use timed_core::{BlockHash, Certificate, MasternodeIndex, Round, SeatSet, VoteKind};

use super::dice::Dice;
use super::ground::Ground;
use super::word::{Body, Word};

/// Everything that was ever said, and what traitors make of it.
#[derive(Clone, Debug, Default)]
pub struct Traitors {
    seats: SeatSet,
    /// Blocks that were ever proposed.
    blocks: Vec<BlockHash>,
    /// Who has voted for what.
    support: BTreeMap<(VoteKind, Round, BlockHash), SeatSet>,
    /// The latest round that anybody spoke of.
    latest: Round,
}

impl Traitors {
    /// Traitors at these seats.
    pub fn new(seats: SeatSet) -> Self {
        Self { seats, ..Self::default() }
    }

    /// Notes what was said.
    pub fn overhear(&mut self, ground: &Ground, word: &Word) {
        match word {
            Word::Vote(Vote { kind, round, block, voter, .. }) => {
                self.latest = self.latest.max(*round);
                if let (Some(block), Some(seat)) = (block, ground.registry.index_of(voter)) {
                    self.support.entry((*kind, *round, *block)).or_default().insert(seat);
                }
            }
            Word::Proposal { proposal, .. } => self.see(proposal.block),
            Word::Certificate(_) | Word::Block(_) => {}
        }
    }

    fn see(&mut self, block: BlockHash) {
        if !self.blocks.contains(&block) {
            self.blocks.push(block);
        }
    }

    /// A lie: what some receivers are told.
    pub fn lie(&mut self, ground: &Ground, dice: &mut Dice, fresh: BlockHash) -> Option<Word> {
        let seats: Vec<MasternodeIndex> = self.seats.iter().collect();
        let seat = *dice.pick(&seats)?;
        let round = dice.round(self.latest.0 + 2);
        let known = dice.pick(&self.blocks).copied();
        match dice.below(8) {
            0 if self.seats.contains(ground.leader(round)) => {
                let block = known.filter(|_| dice.falls(1, 2)).unwrap_or(fresh);
                self.see(block);
                let shown = dice.falls(1, 2).then(|| dice.round(round.0 + 1));
                let polka = shown.and_then(|shown| self.certificate(ground, VoteKind::Prevote, shown, block));
                let body = if dice.falls(1, 4) { Body::Withheld } else { Body::Sent };
                let proposal = ground.proposal(round, shown, block);
                Some(Word::Proposal { proposal, polka, body, timeliness: Timeliness::Timely })
            }
            0 | 1 => {
                let (kind, round, block) = *dice.pick(&self.support.keys().copied().collect::<Vec<_>>())?;
                self.certificate(ground, kind, round, block).map(Word::Certificate)
            }
            _ => {
                let kind = if dice.falls(1, 2) { VoteKind::Prevote } else { VoteKind::Precommit };
                let block = known.filter(|_| dice.falls(2, 3));
                Some(Word::Vote(ground.vote(seat, OwnVote { kind, round, block })))
            }
        }
    }

    /// The certificate that all who voted so and all traitors can make, if it is one.
    fn certificate(
        &self,
        ground: &Ground,
        kind: VoteKind,
        round: Round,
        block: BlockHash,
    ) -> Option<Certificate> {
        let voted = self.support.get(&(kind, round, block)).copied().unwrap_or_default();
        let signers = SeatSet(voted.0 | self.seats.0);
        (signers.len() >= ground.registry.quorum()).then(|| ground.certificate(kind, round, block, signers))
    }
}
