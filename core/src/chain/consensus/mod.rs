//! The consensus of one height (rules C-8 to C-13): the round machine, the votes, the proposals, and what this
//! node has said. Plain data: no clock, no cryptography, no input or output. What goes in has been verified, and
//! what comes out is a list of [`Act`]s to be carried out in order.
//!
//! The order of life: [`Consensus::new`] when the first message of the height comes or the height before is
//! decided; messages are kept from then on. [`Consensus::start`] when the height's slot has come and the block
//! before is durable. [`Act::Decide`] once; votes that come later still enter [`Consensus::commit`].
//!
//! Before anything leaves that an `Act::Vote` or [`Consensus::propose`] gave rise to, [`Consensus::record`] as it
//! is *after* the call must be durable. Then a vote comes back through [`Consensus::vote`], like everybody's.

mod act;
mod own;
mod proposals;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::chain::proposer::leader;
use crate::chain::round::{Facts, Move, Outcome, Polka, RoundMachine, Seen};
use crate::chain::timeouts::Timer;
use crate::chain::votes::{Added, Votes};
use crate::event::{SignedProposal, Statement, Step};
use crate::ids::{BlockHash, Height, Round};
use crate::registry::{MasternodeIndex, Registry};
use crate::wire::block::{Certificate, VoteKind};
use crate::wire::message::{Held, RoundHeld, Vote};
pub use act::{Act, Acts, NotDue, Timeliness, Verdict, Voice};
use own::Own;
pub use own::{OwnProposal, OwnVote, Record};
use proposals::Proposals;

/// The consensus of one height.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct Consensus {
    height: Height,
    registry: Arc<Registry>,
    seat: Option<MasternodeIndex>,
    voice: Voice,
    machine: RoundMachine,
    votes: Votes,
    proposals: Proposals,
    own: Own,
    /// Votes because of which the round was entered.
    reasons: Vec<Vote>,
    /// The step in which an earlier life of this node left the machine's round.
    resumed: Option<Step>,
    decision: Decision,
}

/// How far the decision is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
enum Decision {
    Open,
    /// A quorum has precommitted a block that is not known to be valid here.
    Certified,
    Decided(Round),
}

impl Consensus {
    /// Votes and certificates kept.
    pub(crate) fn kept(&self) -> (usize, usize) {
        self.votes.kept()
    }

    /// A height at which nothing has been heard yet. `seat` is this node's position in `registry`, which is the
    /// one in force at this height; none for an observer.
    pub fn new(height: Height, registry: Arc<Registry>, seat: Option<MasternodeIndex>, voice: Voice) -> Self {
        Self {
            height,
            votes: Votes::new(height, Arc::clone(&registry)),
            registry,
            seat,
            voice: if seat.is_some() { voice } else { Voice::Silent },
            machine: RoundMachine::default(),
            proposals: Proposals::default(),
            own: Own::default(),
            reasons: Vec::new(),
            resumed: None,
            decision: Decision::Open,
        }
    }

    /// Puts back what this node has recorded of this height, in an earlier life or before it gave the height up:
    /// to be called before [`Consensus::start`]. `polka` is that of the valid block, which was stored with it.
    /// False, and nothing done, for a record of another height or when this height has begun.
    #[must_use]
    pub fn resume(&mut self, record: Record, polka: Option<&Certificate>) -> bool {
        if record.height != self.height || self.machine.step() != Step::Waiting {
            return false;
        }
        let polka = polka.filter(|polka| {
            polka.height == self.height && polka.kind == VoteKind::Prevote && polka.round <= record.round
        });
        let valid = polka.map(|polka| (polka.round, polka.block));
        self.machine = RoundMachine::resumed(record.round, record.locked, valid);
        self.resumed = Some(record.step);
        self.own = Own::from_record(&record);
        self.enter(self.round());
        for reason in &record.reasons {
            self.votes.add(reason);
        }
        self.reasons = record.reasons;
        polka.into_iter().for_each(|polka| drop(self.votes.take(polka)));
        true
    }

    /// The height begins: at round 0, where the record left it, or where the others are. What is in the record is
    /// said again. A second call does nothing.
    pub fn start(&mut self) -> Acts {
        let mut acts = Acts::new();
        if self.machine.step() == Step::Waiting {
            if self.voice == Voice::Speaks {
                acts.extend(self.own.votes().map(Act::Vote));
            }
            let step = match self.resumed.take() {
                // A record may have been written before the height began.
                None | Some(Step::Waiting) => Step::Propose,
                // The decision was not durable: it is made again, from votes that are heard again.
                Some(Step::Decided) => Step::Precommit,
                Some(step) => step,
            };
            let (round, step) =
                self.votes.later().map_or((self.round(), step), |later| (later, Step::Propose));
            let mut moves = Vec::new();
            self.machine.start(round, step, &mut moves);
            self.carry_out(moves, &mut acts);
        }
        self.settle(&mut acts);
        acts
    }

    /// A verified vote of this height: another's, or an own one whose record is durable.
    pub fn vote(&mut self, vote: &Vote) -> Acts {
        let mut acts = Acts::new();
        if vote.height == self.height {
            self.check_own(vote, &mut acts);
            if let Added::Equivocation(evidence) = self.votes.add(vote) {
                acts.push(Act::Equivocation(evidence));
            }
        }
        self.settle(&mut acts);
        acts
    }

    /// A verified proposal of this height, signed by the leader of its round. Its block may be judged before or
    /// after.
    pub fn proposal(&mut self, proposal: &SignedProposal, timeliness: Timeliness) -> Acts {
        let mut acts = Acts::new();
        if proposal.height == self.height {
            let own = self.is_own(self.leader(proposal.round)) && proposal.round >= self.first_kept();
            if own && !self.own.proposed(proposal) {
                self.disown(Statement::Proposal(proposal.clone()), &mut acts);
            }
            self.hear(proposal, timeliness, &mut acts);
        }
        self.settle(&mut acts);
        acts
    }

    /// This node's own proposal, in answer to [`Act::Propose`] and before its record is written: the record that
    /// is taken after this call holds it, together with the prevote for it. Until that record is durable the
    /// proposal is not to be told to anybody, in an answer to a [`Held`] neither.
    ///
    /// # Errors
    /// If nobody waits for it any more; then it must not be sent.
    pub fn propose(&mut self, proposal: &SignedProposal) -> Result<Acts, NotDue> {
        let leads = self.voice == Voice::Speaks && self.is_own(self.leader(proposal.round));
        let due = self.step() == Step::Propose && proposal.round == self.round();
        if !leads || !due || proposal.height != self.height || self.own.has_proposed(proposal.round) {
            return Err(NotDue);
        }
        self.own.propose(proposal);
        let mut acts = Acts::new();
        self.hear(proposal, Timeliness::Timely, &mut acts);
        self.judge(proposal.block, Verdict::Valid);
        self.settle(&mut acts);
        Ok(acts)
    }

    /// A block is found valid or invalid, whoever proposed it. The first word on a block stays.
    pub fn block_judged(&mut self, block: BlockHash, verdict: Verdict) -> Acts {
        let mut acts = Acts::new();
        self.judge(block, verdict);
        self.settle(&mut acts);
        acts
    }

    /// A verified certificate of this height: a polka or a commit.
    pub fn certificate(&mut self, certificate: &Certificate) -> Acts {
        let mut acts = Acts::new();
        if certificate.height == self.height {
            if let Some(vote) = self.own_vote_in(certificate) {
                self.check_own(&vote, &mut acts);
            }
            let found = self.votes.take(certificate);
            acts.extend(found.into_iter().map(|evidence| Act::Equivocation(Box::new(evidence))));
        }
        self.settle(&mut acts);
        acts
    }

    /// A time-out that was scheduled. One of another height or round, or of a step that is over, does nothing.
    pub fn timeout(&mut self, timer: Timer) -> Acts {
        let (mut acts, mut moves) = (Acts::new(), Vec::new());
        if timer.height == self.height {
            self.machine.timeout(timer.timeout, timer.round, &mut moves);
        }
        self.carry_out(moves, &mut acts);
        self.settle(&mut acts);
        acts
    }

    /// From now on this node says nothing at this height.
    pub fn silence(&mut self) {
        self.voice = Voice::Silent;
    }

    /// What must be durable before anything said so far may leave.
    pub fn record(&self) -> Record {
        Record {
            height: self.height,
            round: self.round(),
            step: self.resumed.unwrap_or(self.step()),
            locked: self.locked(),
            reasons: self.reasons.clone(),
            proposals: self.own.proposals().collect(),
            votes: self.own.votes().collect(),
        }
    }

    /// The height.
    pub const fn height(&self) -> Height {
        self.height
    }

    /// The round it is in.
    pub const fn round(&self) -> Round {
        self.machine.round()
    }

    /// How far that is.
    pub const fn step(&self) -> Step {
        self.machine.step()
    }

    /// Whether this node speaks.
    pub const fn voice(&self) -> Voice {
        self.voice
    }

    /// The lock.
    pub const fn locked(&self) -> Option<Polka> {
        self.machine.locked()
    }

    /// The block to propose again.
    pub const fn valid(&self) -> Option<Polka> {
        self.machine.valid()
    }

    /// The block that a leader of `round` proposes again: that of the latest polka of an earlier round that is here,
    /// whenever it came. Line 18 knows only polkas that came in their own round (line 42); whoever is locked on a
    /// later one would refuse a fresh block, and the round would be lost. What is proposed concerns no lock.
    pub fn again(&self, round: Round) -> Option<Polka> {
        let valid = self.valid().filter(|(shown, _)| *shown < round);
        let shown = self.votes.polkas_before(round).filter(|(_, block)| self.proposals.is_valid(block));
        valid.into_iter().chain(shown).max_by_key(|(shown, _)| *shown)
    }

    /// The registry that decides.
    pub const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The leader of a round.
    pub fn leader(&self, round: Round) -> MasternodeIndex {
        leader(self.height, round, &self.registry)
    }

    /// The block that the leader of a round has proposed first.
    pub fn proposed(&self, round: Round) -> Option<BlockHash> {
        self.proposals.of(round).map(|heard| heard.block)
    }

    /// What was found out about a block.
    pub fn verdict(&self, block: &BlockHash) -> Option<Verdict> {
        self.proposals.verdict(block)
    }

    /// The votes: what is known before it is verified, what a peer lacks, certificates.
    pub(crate) const fn votes(&self) -> &Votes {
        &self.votes
    }

    /// Whether nothing is to be learned from a vote, so that it need not be verified.
    pub fn known(&self, vote: &Vote) -> bool {
        self.votes.known(vote)
    }

    /// Whose votes are held, for a [`Held`].
    pub fn held(&self) -> Vec<RoundHeld> {
        self.votes.held()
    }

    /// Votes that the sender of a [`Held`] lacks.
    pub fn lacking(&self, held: &Held) -> Vec<Vote> {
        self.votes.lacking(held)
    }

    /// The polka that a proposal with this valid round refers to: it goes in front of the proposal, whoever sends
    /// it, for a receiver may have no other way to see that polka.
    pub fn polka(&self, round: Round) -> Option<Certificate> {
        self.votes.certificate(VoteKind::Prevote, round)
    }

    /// What makes the height final, with every signature held by now, whether its block is here or not.
    pub fn commit(&self) -> Option<Certificate> {
        let (round, _) = self.committed()?;
        self.votes.certificate(VoteKind::Precommit, round)
    }

    /// The round and the block of [`Consensus::commit`], which is not put together for that.
    pub fn committed(&self) -> Option<(Round, BlockHash)> {
        let Decision::Decided(round) = self.decision else { return self.votes.committed() };
        match self.votes.outcome(VoteKind::Precommit, round) {
            Outcome::Block(block) => Some((round, block)),
            Outcome::Open | Outcome::Split | Outcome::Nil => None,
        }
    }

    /// A block that is wanted whoever proposes it: a quorum has voted for it, and nothing is known of it.
    pub fn wanted(&self) -> Option<BlockHash> {
        let polka = match self.votes.outcome(VoteKind::Prevote, self.round()) {
            Outcome::Block(block) => Some(block),
            Outcome::Open | Outcome::Split | Outcome::Nil => None,
        };
        let committed = self.votes.committed().map(|(_, block)| block);
        [committed, polka].into_iter().flatten().find(|block| self.verdict(block).is_none())
    }

    fn is_own(&self, seat: MasternodeIndex) -> bool {
        self.seat == Some(seat)
    }

    fn first_kept(&self) -> Round {
        Votes::first_kept(self.round())
    }

    fn own_vote_in(&self, certificate: &Certificate) -> Option<Vote> {
        let Certificate { kind, height, round, block, .. } = *certificate;
        let mut signatures = certificate.signers.iter().zip(&certificate.signatures);
        let (seat, signature) = signatures.find(|(seat, _)| self.is_own(*seat))?;
        let voter = self.registry.at(seat)?.id;
        Some(Vote { kind, height, round, block: Some(block), voter, signature: *signature })
    }

    /// An own vote that is not in the record was cast by another process, or before the record was lost.
    fn check_own(&mut self, vote: &Vote, acts: &mut Acts) {
        let own = self.registry.index_of(&vote.voter).is_some_and(|seat| self.is_own(seat));
        let statement = OwnVote { kind: vote.kind, round: vote.round, block: vote.block };
        if own && vote.round >= self.first_kept() && !self.own.voted(&statement) {
            self.disown(Statement::Vote(vote.clone()), acts);
        }
    }

    fn disown(&mut self, statement: Statement, acts: &mut Acts) {
        if self.voice == Voice::Speaks {
            self.silence();
            acts.push(Act::Foreign(Box::new(statement)));
        }
    }

    fn hear(&mut self, proposal: &SignedProposal, timeliness: Timeliness, acts: &mut Acts) {
        let evidence = self.proposals.hear(proposal, timeliness, self.machine.round(), &self.registry);
        acts.extend(evidence.map(|evidence| Act::Equivocation(Box::new(evidence))));
    }

    fn judge(&mut self, block: BlockHash, verdict: Verdict) {
        let wanted = [
            self.machine.locked().map(|(_, block)| block),
            self.machine.valid().map(|(_, block)| block),
            self.votes.committed().map(|(_, block)| block),
            self.wanted(),
        ];
        self.proposals.judge(block, verdict, |block| wanted.contains(&Some(*block)));
    }

    /// Applies rules until none holds.
    fn settle(&mut self, acts: &mut Acts) {
        loop {
            self.decide(acts);
            let mut moves = Vec::new();
            let facts = self.facts();
            if !self.machine.advance(&facts, &mut moves) {
                return;
            }
            self.carry_out(moves, acts);
        }
    }

    /// Line 49: a quorum has precommitted a block, in any round.
    fn decide(&mut self, acts: &mut Acts) {
        if matches!(self.decision, Decision::Decided(_)) {
            return;
        }
        let Some((round, block)) = self.votes.committed() else { return };
        let is_here = self.proposals.is_valid(&block);
        let told = self.decision != Decision::Open;
        self.decision = if is_here { Decision::Decided(round) } else { Decision::Certified };
        let Some(commit) = self.commit().map(Box::new) else { return };
        if is_here {
            self.machine.decide();
            acts.push(Act::Decide(commit));
        } else if !told {
            acts.push(Act::Certified(commit));
        }
    }

    fn facts(&self) -> Facts {
        let round = self.round();
        let prevotes = self.votes.outcome(VoteKind::Prevote, round);
        let seen = |heard: &proposals::Heard| Seen {
            block: heard.block,
            valid_round: heard.valid_round,
            shown: heard.valid_round.is_some_and(|shown| {
                self.votes.outcome(VoteKind::Prevote, shown) == Outcome::Block(heard.block)
            }),
            fit: self.proposals.fit(heard),
        };
        Facts {
            proposal: self.proposals.of(round).map(seen),
            prevotes,
            polka_is_valid: matches!(&prevotes, Outcome::Block(block) if self.proposals.is_valid(block)),
            precommits: self.votes.outcome(VoteKind::Precommit, round),
            later: self.votes.later(),
        }
    }

    fn carry_out(&mut self, moves: Vec<Move>, acts: &mut Acts) {
        for step in moves {
            match step {
                Move::Began(round) => self.begin(round, acts),
                Move::Schedule(timeout, round) => {
                    acts.push(Act::Schedule(Timer { height: self.height, round, timeout }));
                }
                Move::Valid((round, _)) => {
                    acts.extend(self.polka(round).map(|polka| Act::Valid(Box::new(polka))));
                }
                Move::Vote(kind, round, block) => self.say(OwnVote { kind, round, block }, acts),
            }
        }
    }

    /// Lines 14 to 19, as far as they do not need the block.
    fn begin(&mut self, round: Round, acts: &mut Acts) {
        self.reasons = self.votes.reasons(round);
        self.enter(round);
        acts.push(Act::RoundStarted(round));
        let leads = self.is_own(self.leader(round)) && self.voice == Voice::Speaks;
        if leads && self.step() == Step::Propose && !self.own.has_proposed(round) {
            acts.push(Act::Propose(round, self.again(round)));
        }
    }

    fn enter(&mut self, round: Round) {
        self.votes.enter(round, self.valid().map(|(shown, _)| shown));
        self.proposals.enter(round);
        self.own.forget_before(self.first_kept());
    }

    /// The one door to a vote: the one that is recorded of a round and kind is the only one that is ever cast.
    fn say(&mut self, vote: OwnVote, acts: &mut Acts) {
        if self.voice == Voice::Speaks && self.own.vote(vote) {
            acts.push(Act::Vote(vote));
        }
    }
}
