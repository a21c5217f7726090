//! Schedules that a seed draws: correct nodes, each a [`Pair`], hear of each other what comes through, in any
//! order, and of traitors whatever suits those. Traitors are at most a third, so that no quorum ever stands behind
//! an invalid block or behind two.

use timed_core::rounds::Verdict;
use timed_core::{Height, MasternodeIndex, Round, SeatSet};
use timed_tests::rounds::{Dice, Ground, Traitors, Word};

use super::pair::{Disagreement, Given, Hearing, Ledger, Pair};

/// A schedule ends in this round.
const LAST: Round = Round(10);
/// Different blocks that traitors propose, valid and invalid ones each.
const FORGED: usize = 6;

/// What came out of one schedule.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) inputs: usize,
    pub(crate) round: Round,
    pub(crate) locked: usize,
    pub(crate) decided: usize,
    /// Blocks that were proposed again.
    pub(crate) again: usize,
    /// Nodes that have seen somebody vote twice.
    pub(crate) accused: usize,
    /// Second proposals of a leader that a quorum has voted for.
    pub(crate) shown: usize,
    /// Polkas that came too late for line 42, and that ours would have proposed again.
    pub(crate) later_polkas: usize,
    /// Inputs that came with a second proposal, which could not be told in time.
    pub(crate) lost: usize,
}

struct Member {
    pair: Pair,
    inbox: Vec<Word>,
    /// Own votes, durable, on their way back.
    own: Vec<Word>,
}

pub(crate) struct Network {
    ground: Ground,
    dice: Dice,
    members: Vec<Member>,
    traitors: Traitors,
    ledger: Ledger,
    produced: u64,
    /// How many in a hundred words are lost.
    losses: usize,
    /// How much more often words arrive than lies are told and time-outs come.
    calmness: usize,
    /// How many lies are told to one time-out.
    mischief: usize,
    tally: Tally,
}

impl Network {
    /// Draws and runs one schedule among `size` masternodes.
    pub(crate) fn run(seed: u64, size: u8, hearing: Hearing) -> Result<Tally, Box<Disagreement>> {
        let mut network = Self::drawn(seed, size, hearing);
        let steps = usize::from(size) * (50 + network.dice.below(600));
        for at in 0..network.members.len() {
            network.members[at].pair.start()?;
            network.collect(at);
        }
        for _ in 0..steps {
            let over = |member: &Member| member.pair.consensus().round() >= LAST;
            if network.members.iter().any(over) || network.members.iter().all(|m| m.pair.decided().is_some())
            {
                break;
            }
            network.step()?;
        }
        Ok(network.tally())
    }

    fn drawn(seed: u64, size: u8, hearing: Hearing) -> Self {
        let mut dice = Dice::new(seed, size);
        let ground = Ground::new(Height(1 + u64::from(dice.small(16))), size);
        let mut seats: Vec<MasternodeIndex> = (0..size).map(MasternodeIndex).collect();
        let mut bad = SeatSet::EMPTY;
        for _ in 0..dice.below(usize::from((size - 1) / 3) + 1) {
            bad.insert(seats.remove(dice.below(seats.len())));
        }
        let member =
            |seat| Member { pair: Pair::new(&ground, seat, hearing), inbox: Vec::new(), own: Vec::new() };
        Self {
            members: seats.into_iter().map(member).collect(),
            traitors: Traitors::new(bad),
            ledger: Ledger::new(),
            produced: 0,
            losses: dice.below(50),
            calmness: 1 + dice.below(12),
            mischief: dice.below(6),
            tally: Tally::default(),
            ground,
            dice,
        }
    }

    fn step(&mut self) -> Result<(), Box<Disagreement>> {
        let at = self.dice.below(self.members.len());
        match self.dice.below(1 + self.mischief + 8 * self.calmness) {
            lie if lie < self.mischief => self.lie(),
            time_out if time_out == self.mischief => {
                let timer = self.dice.pick(self.members[at].pair.timers()).copied();
                timer.map_or(Ok(()), |timer| self.give(at, &Given::TimeOut(timer)))?;
            }
            other if other % 8 == 0 && self.members[at].pair.is_asked() => {
                self.produced += 1;
                let fresh = Ground::block(100 + self.produced, Verdict::Valid);
                self.give(at, &Given::Produced(fresh))?;
            }
            other if other % 8 < 3 && !self.members[at].own.is_empty() => {
                let word = self.members[at].own.remove(0);
                self.hear(at, word)?;
            }
            _ => {
                let waiting = self.members[at].inbox.len();
                if waiting > 0 {
                    let word = self.members[at].inbox.swap_remove(self.dice.below(waiting));
                    if !self.dice.falls(self.losses, 100) {
                        self.hear(at, word)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Votes, certificates and proposals come through if they are what they must be.
    fn hear(&mut self, at: usize, word: Word) -> Result<(), Box<Disagreement>> {
        match word {
            Word::Vote(vote) if self.members[at].pair.reaches(vote.round) => {
                self.give(at, &Given::Vote(vote))
            }
            Word::Certificate(certificate) if self.members[at].pair.reaches(certificate.round) => {
                self.give(at, &Given::Certificate(certificate))
            }
            Word::Proposal { proposal, polka, .. } => {
                if let Some(polka) = polka {
                    self.hear(at, Word::Certificate(polka))?;
                }
                let possible = proposal.valid_round.is_none_or(|shown| shown < proposal.round);
                if possible && self.members[at].pair.reaches(proposal.round) {
                    self.give(at, &Given::Proposal(proposal))?;
                }
                Ok(())
            }
            Word::Vote(_) | Word::Certificate(_) | Word::Block(_) => Ok(()),
        }
    }

    fn give(&mut self, at: usize, given: &Given) -> Result<(), Box<Disagreement>> {
        let came = self.members[at].pair.give(given, &self.ledger)?;
        self.tally.lost += usize::from(!came);
        self.collect(at);
        Ok(())
    }

    fn lie(&mut self) {
        let verdict = if self.dice.falls(1, 4) { Verdict::Invalid } else { Verdict::Valid };
        let forged = Ground::block(self.dice.below(FORGED) as u64, verdict);
        let Some(word) = self.traitors.lie(&self.ground, &mut self.dice, forged) else { return };
        self.enter(&word);
        for at in 0..self.members.len() {
            if self.dice.falls(1, 2) {
                self.members[at].inbox.push(word.clone());
            }
        }
    }

    /// Takes what a node has said.
    fn collect(&mut self, at: usize) {
        for word in self.members[at].pair.take_out() {
            self.enter(&word);
            self.traitors.overhear(&self.ground, &word);
            for (other, member) in self.members.iter_mut().enumerate() {
                match &word {
                    Word::Vote(_) if other == at => member.own.push(word.clone()),
                    _ if other == at => {}
                    _ => member.inbox.push(word.clone()),
                }
            }
        }
    }

    fn enter(&mut self, word: &Word) {
        if let Word::Proposal { proposal, .. } = word
            && proposal.valid_round.is_none_or(|shown| shown < proposal.round)
        {
            self.tally.again += usize::from(proposal.valid_round.is_some());
            self.ledger.entry((proposal.round, proposal.block)).or_insert_with(|| proposal.clone());
        }
    }

    fn tally(mut self) -> Tally {
        for Member { pair, .. } in &self.members {
            let (ours, theirs) = pair.accused();
            assert_eq!(ours, theirs, "different voters are accused of voting twice");
            self.tally.inputs += pair.inputs();
            self.tally.round = self.tally.round.max(pair.consensus().round());
            self.tally.locked += usize::from(pair.consensus().locked().is_some());
            self.tally.decided += usize::from(pair.decided().is_some());
            self.tally.shown += pair.shown();
            self.tally.later_polkas += pair.later_polkas();
            self.tally.accused += usize::from(ours != SeatSet::EMPTY);
        }
        self.tally
    }
}
