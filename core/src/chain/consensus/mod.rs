//! The consensus of one height (rules C-8 to C-13): the round machine, the votes, the proposals, and what this
//! node has said. Plain data: no clock, no cryptography, no input or output. What goes in has been verified, and
//! what comes out is a list of [`Act`]s to be carried out in order.
//!
//! The order of life: [`Consensus::new`] when the first message of the height comes or the height before is
//! decided; messages are kept from then on. [`Consensus::start`] when the height's slot has come and the block
//! before is durable. [`Act::Decide`] once; votes that come later still enter [`Consensus::decision`].
//!
//! Before anything leaves that an `Act::Vote` or [`Consensus::propose`] gave rise to, [`Consensus::record`] as it
//! is *after* the call must be durable. Then a vote comes back through [`Consensus::vote`], like everybody's.

mod own;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::chain::proposer::leader;
use crate::chain::round::{Facts, Fit, Move, Outcome, Polka, RoundMachine, Seen};
use crate::chain::timeouts::Timeout;
use crate::chain::votes::{Added, PAST_ROUNDS, Votes};
use crate::event::{Evidence, SignedProposal, Statement, Step};
use crate::ids::{BlockHash, Height, Round, Signature};
use crate::registry::{MasternodeIndex, Registry};
use crate::wire::block::{Certificate, VoteKind};
use crate::wire::message::{Held, RoundHeld, Vote};
use own::Own;
pub(crate) use own::{OwnProposal, OwnVote, Record};

/// Blocks whose validity is remembered.
const JUDGED: usize = 32;

/// The consensus of one height.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Consensus {
    height: Height,
    registry: Arc<Registry>,
    seat: Option<MasternodeIndex>,
    voice: Voice,
    machine: RoundMachine,
    votes: Votes,
    /// The first proposal of each round's leader.
    proposals: BTreeMap<Round, Heard>,
    judged: BTreeMap<BlockHash, Verdict>,
    own: Own,
    /// The step in which an earlier life of this node left the machine's round.
    resumed: Option<Step>,
    decision: Decision,
}

/// Whether this node says anything at this height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Voice {
    /// It proposes and votes, if it is registered.
    Speaks,
    /// It follows and decides, without a word: an observer, or a masternode that abstains (rule C-13).
    Silent,
}

/// Whether a block is valid, as this node has found out: its payload is complete and the application agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    /// It is.
    Valid,
    /// It is not.
    Invalid,
}

/// Whether the slot of a fresh proposal fitted this node's clock when it came (rule C-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Timeliness {
    /// It did, or the block was proposed before, and then it does not matter.
    Timely,
    /// It did not: no prevote for it, and no blame.
    Untimely,
}

/// How far the decision is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Decision {
    Open,
    /// A quorum has precommitted a block that is not known to be valid here.
    Certified,
    Decided(Round),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Heard {
    block: BlockHash,
    valid_round: Option<Round>,
    signature: Signature,
    timeliness: Timeliness,
    /// Whether the leader's equivocation has been told.
    told: bool,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// A round begins.
    RoundStarted(Round),
    /// This node leads the round. Propose the valid block again, with its polka sent in front of it, or a new
    /// one; then call [`Consensus::propose`].
    Propose(Round, Option<Polka>),
    /// Call [`Consensus::timeout`] after [`timeouts::after`](crate::chain::timeouts::after).
    Schedule(Timeout, Round),
    /// Make this polka durable together with its block, before any vote that comes after this.
    Valid(Box<Certificate>),
    /// Sign this vote; make [`Consensus::record`] durable; send the vote, and hand it to [`Consensus::vote`].
    Vote(OwnVote),
    /// The height is final at a block that is not known to be valid here: fetch it. Told once.
    Certified(Box<Certificate>),
    /// The height is final, the block is here. Told once, and the last act but [`Act::Equivocation`].
    Decide(Box<Certificate>),
    /// Somebody contradicts himself.
    Equivocation(Box<Evidence>),
    /// A statement with this node's own key that its record does not know. It is silent from now on.
    Foreign(Box<Statement>),
}

/// Acts, in order.
pub(crate) type Acts = Vec<Act>;

/// Why an own proposal is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooLate {
    /// The round is over, or has timed out, or this node has proposed in it, or does not lead it.
    Round,
}

impl Consensus {
    /// A height at which nothing has been heard yet. `seat` is this node's position in `registry`, which is the
    /// one in force at this height; none for an observer.
    pub(crate) fn new(
        height: Height,
        registry: Arc<Registry>,
        seat: Option<MasternodeIndex>,
        voice: Voice,
    ) -> Self {
        Self {
            height,
            votes: Votes::new(height, Arc::clone(&registry)),
            registry,
            seat,
            voice: if seat.is_some() { voice } else { Voice::Silent },
            machine: RoundMachine::default(),
            proposals: BTreeMap::new(),
            judged: BTreeMap::new(),
            own: Own::default(),
            resumed: None,
            decision: Decision::Open,
        }
    }

    /// Puts back what an earlier life of this node has recorded of this height: before [`Consensus::start`].
    /// `polka` is that of the valid block, which was stored with it. A record of another height, or one that
    /// comes when this height has begun, is refused.
    #[must_use]
    pub(crate) fn resume(&mut self, record: Record, polka: Option<&Certificate>) -> bool {
        if record.height != self.height || self.machine.step() != Step::Waiting {
            return false;
        }
        let polka = polka.filter(|polka| polka.height == self.height && polka.kind == VoteKind::Prevote);
        let valid = polka.map(|polka| (polka.round, polka.block));
        self.machine = RoundMachine::resumed(record.round, record.locked, valid);
        self.resumed = Some(record.step);
        self.own = Own::from_record(record);
        self.votes.enter(self.machine.round());
        polka.into_iter().for_each(|polka| drop(self.votes.take(polka)));
        true
    }

    /// The height begins, at round 0 or where the record left it: what is in the record is said again. A second
    /// call does nothing.
    pub(crate) fn start(&mut self) -> Acts {
        let mut acts = Acts::new();
        if self.machine.step() == Step::Waiting {
            let step = self.resumed.take().unwrap_or(Step::Propose);
            if self.voice == Voice::Speaks {
                acts.extend(self.own.votes().map(Act::Vote));
            }
            let mut moves = Vec::new();
            self.machine.start(self.machine.round(), step, &mut moves);
            self.carry_out(moves, &mut acts);
        }
        self.settle(&mut acts);
        acts
    }

    /// A verified vote of this height: another's, or an own one whose record is durable.
    pub(crate) fn vote(&mut self, vote: &Vote) -> Acts {
        let mut acts = Acts::new();
        self.check_own(vote, &mut acts);
        if let Added::Equivocation(evidence) = self.votes.add(vote) {
            acts.push(Act::Equivocation(evidence));
        }
        self.settle(&mut acts);
        acts
    }

    /// A verified proposal, signed by the leader of its round. Its block may be judged before or after.
    pub(crate) fn proposal(&mut self, proposal: &SignedProposal, timeliness: Timeliness) -> Acts {
        let mut acts = Acts::new();
        let own = self.is_own(self.leader(proposal.round)) && proposal.height == self.height;
        if own && !self.own.proposed(proposal.round, proposal.block) && proposal.round >= self.first_kept() {
            self.disown(Statement::Proposal(proposal.clone()), &mut acts);
        }
        self.hear(proposal, timeliness, &mut acts);
        self.settle(&mut acts);
        acts
    }

    /// This node's own proposal, in answer to [`Act::Propose`] and before its record is written: the record that
    /// is taken after this call holds it, together with the prevote for it.
    ///
    /// # Errors
    /// If the round does not wait for it any more; then it must not be sent.
    pub(crate) fn propose(&mut self, proposal: &SignedProposal) -> Result<Acts, TooLate> {
        let ours = self.voice == Voice::Speaks && self.is_own(self.leader(proposal.round));
        let due = self.machine.step() == Step::Propose && proposal.round == self.machine.round();
        if !ours || !due || proposal.height != self.height || self.own.has_proposed(proposal.round) {
            return Err(TooLate::Round);
        }
        self.own.propose(proposal);
        let mut acts = Acts::new();
        self.hear(proposal, Timeliness::Timely, &mut acts);
        self.judged.entry(proposal.block).or_insert(Verdict::Valid);
        self.settle(&mut acts);
        Ok(acts)
    }

    /// A block is found valid or invalid. The first word on a block stays.
    pub(crate) fn block_judged(&mut self, block: BlockHash, verdict: Verdict) -> Acts {
        let mut acts = Acts::new();
        if self.judged.len() >= JUDGED {
            self.forget();
        }
        if self.judged.len() < JUDGED {
            self.judged.entry(block).or_insert(verdict);
        }
        self.settle(&mut acts);
        acts
    }

    /// A verified certificate of this height: a polka or a commit.
    pub(crate) fn certificate(&mut self, certificate: &Certificate) -> Acts {
        let mut acts = Acts::new();
        if certificate.height == self.height {
            let own =
                certificate.signers.iter().zip(&certificate.signatures).find(|(seat, _)| self.is_own(*seat));
            if let Some((own, signature)) =
                own.and_then(|(seat, sig)| Some((self.registry.at(seat)?.id, *sig)))
            {
                let (kind, height, round) = (certificate.kind, certificate.height, certificate.round);
                let block = Some(certificate.block);
                self.check_own(&Vote { kind, height, round, block, voter: own, signature }, &mut acts);
            }
            let found = self.votes.take(certificate);
            acts.extend(found.into_iter().map(|evidence| Act::Equivocation(Box::new(evidence))));
        }
        self.settle(&mut acts);
        acts
    }

    /// A time-out that was scheduled. One of another round, or of a step that is over, does nothing.
    pub(crate) fn timeout(&mut self, timeout: Timeout, round: Round) -> Acts {
        let (mut acts, mut moves) = (Acts::new(), Vec::new());
        self.machine.timeout(timeout, round, &mut moves);
        self.carry_out(moves, &mut acts);
        self.settle(&mut acts);
        acts
    }

    /// From now on this node says nothing at this height.
    pub(crate) fn silence(&mut self) {
        self.voice = Voice::Silent;
    }

    /// What must be durable before anything said so far may leave.
    pub(crate) fn record(&self) -> Record {
        let step = match self.machine.step() {
            Step::Waiting => self.resumed.unwrap_or_default(),
            step => step,
        };
        self.own.record(self.height, self.machine.round(), step, self.machine.locked())
    }

    /// The height.
    pub(crate) const fn height(&self) -> Height {
        self.height
    }

    /// The round it is in.
    pub(crate) const fn round(&self) -> Round {
        self.machine.round()
    }

    /// How far that is.
    pub(crate) const fn step(&self) -> Step {
        self.machine.step()
    }

    /// Whether this node speaks.
    pub(crate) const fn voice(&self) -> Voice {
        self.voice
    }

    /// The lock.
    pub(crate) const fn locked(&self) -> Option<Polka> {
        self.machine.locked()
    }

    /// The block to propose again.
    pub(crate) const fn valid(&self) -> Option<Polka> {
        self.machine.valid()
    }

    /// The registry that decides.
    pub(crate) const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The leader of a round.
    pub(crate) fn leader(&self, round: Round) -> MasternodeIndex {
        leader(self.height, round, &self.registry)
    }

    /// The block that the leader of a round has proposed first.
    pub(crate) fn proposed(&self, round: Round) -> Option<BlockHash> {
        self.proposals.get(&round).map(|heard| heard.block)
    }

    /// What was found out about a block.
    pub(crate) fn verdict(&self, block: &BlockHash) -> Option<Verdict> {
        self.judged.get(block).copied()
    }

    /// Whether nothing is to be learned from a vote, so that it need not be verified.
    pub(crate) fn known(&self, vote: &Vote) -> bool {
        self.votes.known(vote)
    }

    /// The votes.
    pub(crate) const fn votes(&self) -> &Votes {
        &self.votes
    }

    /// Whose votes are held, for a [`Held`].
    pub(crate) fn held(&self) -> Vec<RoundHeld> {
        self.votes.held()
    }

    /// Votes that somebody lacks.
    pub(crate) fn lacking(&self, held: &Held) -> Vec<Vote> {
        self.votes.lacking(held)
    }

    /// The polka that a proposal refers to: it goes in front of the proposal, whoever sends it.
    pub(crate) fn polka(&self, round: Round) -> Option<Certificate> {
        self.votes.polka(round)
    }

    /// What decides the height, with every signature held by now.
    pub(crate) fn decision(&self) -> Option<Certificate> {
        self.votes.commit()
    }

    /// A block that is wanted whoever proposes it: a quorum has voted for it, and it is not known to be valid.
    pub(crate) fn wanted(&self) -> Option<BlockHash> {
        let unknown = |block: &BlockHash| !self.judged.contains_key(block);
        let certified = self.votes.commit().map(|commit| commit.block);
        certified.filter(unknown).or_else(|| match self.votes.outcome(VoteKind::Prevote, self.round()) {
            Outcome::Block(block) => Some(block).filter(unknown),
            _ => None,
        })
    }

    fn is_own(&self, seat: MasternodeIndex) -> bool {
        self.seat == Some(seat)
    }

    fn first_kept(&self) -> Round {
        Round(self.round().0.saturating_sub(PAST_ROUNDS))
    }

    /// An own vote that the record does not know was cast by a lost record's owner, or by another process.
    fn check_own(&mut self, vote: &Vote, acts: &mut Acts) {
        let own = self.registry.index_of(&vote.voter).is_some_and(|seat| self.is_own(seat));
        let statement = OwnVote { kind: vote.kind, round: vote.round, block: vote.block };
        if own && vote.height == self.height && vote.round >= self.first_kept() && !self.own.voted(&statement)
        {
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
        let by_leader = self.registry.index_of(&proposal.proposer) == Some(self.leader(proposal.round));
        let sound = proposal.valid_round.is_none_or(|shown| shown < proposal.round);
        if proposal.height != self.height || !by_leader || !sound || proposal.round < self.first_kept() {
            return;
        }
        let heard = Heard {
            block: proposal.block,
            valid_round: proposal.valid_round,
            signature: proposal.signature,
            timeliness,
            told: false,
        };
        let Some(first) = self.proposals.get_mut(&proposal.round) else {
            self.proposals.insert(proposal.round, heard);
            return;
        };
        if (first.block, first.valid_round) == (heard.block, heard.valid_round) || first.told {
            return;
        }
        first.told = true;
        let first = SignedProposal {
            valid_round: first.valid_round,
            block: first.block,
            signature: first.signature,
            ..proposal.clone()
        };
        acts.push(Act::Equivocation(Box::new(Evidence {
            node: proposal.proposer,
            first: Statement::Proposal(first),
            second: Statement::Proposal(proposal.clone()),
        })));
    }

    /// Applies rules until none holds.
    fn settle(&mut self, acts: &mut Acts) {
        let mut moves = Vec::new();
        loop {
            self.decide(acts);
            let facts = self.facts();
            if !self.machine.advance(&facts, &mut moves) {
                return;
            }
            self.carry_out(std::mem::take(&mut moves), acts);
        }
    }

    /// Line 49: a quorum has precommitted a block in any round.
    fn decide(&mut self, acts: &mut Acts) {
        if matches!(self.decision, Decision::Decided(_)) {
            return;
        }
        let Some(commit) = self.votes.commit() else { return };
        if self.judged.get(&commit.block) == Some(&Verdict::Valid) {
            self.decision = Decision::Decided(commit.round);
            self.machine.decide();
            acts.push(Act::Decide(Box::new(commit)));
        } else if self.decision == Decision::Open {
            self.decision = Decision::Certified;
            acts.push(Act::Certified(Box::new(commit)));
        }
    }

    fn facts(&self) -> Facts {
        let round = self.round();
        let prevotes = self.votes.outcome(VoteKind::Prevote, round);
        let is_valid = |block: &BlockHash| self.judged.get(block) == Some(&Verdict::Valid);
        Facts {
            proposal: self.proposals.get(&round).map(|heard| self.seen(heard)),
            prevotes,
            polka_is_valid: matches!(&prevotes, Outcome::Block(block) if is_valid(block)),
            precommits: self.votes.outcome(VoteKind::Precommit, round),
            later: self.votes.later(),
        }
    }

    fn seen(&self, heard: &Heard) -> Seen {
        let verdict = self.judged.get(&heard.block).copied();
        Seen {
            block: heard.block,
            valid_round: heard.valid_round,
            shown: heard.valid_round.is_some_and(|round| self.votes.has_polka(round, heard.block)),
            fit: match (heard.timeliness, heard.valid_round, verdict) {
                (Timeliness::Untimely, None, _) | (_, _, Some(Verdict::Invalid)) => Some(Fit::Unfit),
                (_, _, Some(Verdict::Valid)) => Some(Fit::Fit),
                (_, _, None) => None,
            },
        }
    }

    fn carry_out(&mut self, moves: Vec<Move>, acts: &mut Acts) {
        for step in moves {
            match step {
                Move::Began(round) => self.enter(round, acts),
                Move::Schedule(timeout, round) => acts.push(Act::Schedule(timeout, round)),
                Move::Valid((round, _)) => {
                    acts.extend(self.votes.polka(round).map(|p| Act::Valid(Box::new(p))))
                }
                Move::Vote(kind, round, block) => self.say(OwnVote { kind, round, block }, acts),
            }
        }
    }

    fn enter(&mut self, round: Round, acts: &mut Acts) {
        self.votes.enter(round);
        let first = self.first_kept();
        self.own.forget_before(first);
        self.proposals = self.proposals.split_off(&first);
        self.forget();
        acts.push(Act::RoundStarted(round));
        let leads = self.is_own(self.leader(round)) && self.voice == Voice::Speaks;
        if leads && self.machine.step() == Step::Propose && !self.own.has_proposed(round) {
            acts.push(Act::Propose(round, self.machine.valid()));
        }
    }

    /// The one door to a vote: a vote once recorded is the only one ever cast of its round and kind.
    fn say(&mut self, vote: OwnVote, acts: &mut Acts) {
        if self.voice == Voice::Speaks && self.own.vote(vote) {
            acts.push(Act::Vote(vote));
        }
    }

    /// Forgets the validity of blocks that nothing refers to.
    fn forget(&mut self) {
        let mut judged = std::mem::take(&mut self.judged);
        judged.retain(|block, _| self.refers_to(block));
        self.judged = judged;
    }

    fn refers_to(&self, block: &BlockHash) -> bool {
        let polkas = [self.machine.locked(), self.machine.valid()];
        polkas.into_iter().flatten().any(|(_, held)| held == *block)
            || self.proposals.values().any(|heard| heard.block == *block)
            || self.votes.commit().is_some_and(|commit| commit.block == *block)
    }
}
