//! The round machine of "The latest gossip on BFT consensus" (arXiv 1807.04938, algorithm 1): its state and its
//! rules, whose line numbers are cited. Rule C-10.
//!
//! A rule looks at the state and at the [`Facts`] of the machine's round, not at the message that came last: the
//! order in which messages come makes no difference beyond what the algorithm itself lets it make.

use crate::chain::timeouts::Timeout;
use crate::event::Step;
use crate::ids::{BlockHash, Round};
use crate::wire::block::VoteKind;

/// A round and the block that a quorum prevoted in it.
pub type Polka = (Round, BlockHash);

/// The state of the algorithm for one height (lines 2 to 9).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RoundMachine {
    round: Round,
    step: Step,
    locked: Option<Polka>,
    valid: Option<Polka>,
    done: Done,
}

/// What is done "for the first time" only, in the present round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Done {
    /// Line 34.
    prevotes: bool,
    /// Line 36.
    polka: bool,
    /// Line 47.
    precommits: bool,
}

/// What is known of the machine's round, and of later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The leader's proposal.
    pub(crate) proposal: Option<Seen>,
    /// What the prevotes say.
    pub(crate) prevotes: Outcome,
    /// Whether the block that a quorum prevoted is here and valid.
    pub(crate) polka_is_valid: bool,
    /// What the precommits say.
    pub(crate) precommits: Outcome,
    /// A later round in which more than a third have voted.
    pub(crate) later: Option<Round>,
}

/// A proposal as the machine sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The block.
    pub(crate) block: BlockHash,
    /// The round of the polka that the leader refers to.
    pub(crate) valid_round: Option<Round>,
    /// Whether that polka is here.
    pub(crate) shown: bool,
    /// Whether this node may vote for it; none while it is not known.
    pub(crate) fit: Option<Fit>,
}

/// Whether a node may vote for a proposal, its locks aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fit {
    /// Its block is valid; a fresh one came in time.
    Fit,
    /// Its block is invalid, or a fresh one came too late or too early.
    Unfit,
}

/// What the votes of one round and kind say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    /// Fewer than a quorum have voted.
    Open,
    /// A quorum has voted, but not for one thing.
    Split,
    /// A quorum wants no block.
    Nil,
    /// A quorum wants this block.
    Block(BlockHash),
}

/// What the machine wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// A round has begun (line 11).
    Began(Round),
    /// A time-out is to be set.
    Schedule(Timeout, Round),
    /// A vote is to be cast.
    Vote(VoteKind, Round, Option<BlockHash>),
    /// The valid value has changed (line 42): it must be durable before a vote that comes after this.
    Valid(Polka),
}

impl RoundMachine {
    /// The state that a record tells of. It waits for [`RoundMachine::start`].
    pub(crate) fn resumed(round: Round, locked: Option<Polka>, valid: Option<Polka>) -> Self {
        Self { round, locked, valid, ..Self::default() }
    }

    /// The round it is in.
    pub(crate) const fn round(&self) -> Round {
        self.round
    }

    /// How far it is.
    pub(crate) const fn step(&self) -> Step {
        self.step
    }

    /// The block that it alone prevotes from now on, unless a later polka is shown.
    pub(crate) const fn locked(&self) -> Option<Polka> {
        self.locked
    }

    /// The block that it proposes when it leads.
    pub(crate) const fn valid(&self) -> Option<Polka> {
        self.valid
    }

    /// Line 11: a round begins, at `step` if votes of it have been cast in an earlier life.
    pub(crate) fn start(&mut self, round: Round, step: Step, moves: &mut Vec<Move>) {
        self.round = round;
        self.step = step;
        self.done = Done::default();
        moves.push(Move::Began(round));
        if step == Step::Propose {
            // Line 21. The leader waits no longer for its own application than the others wait for it.
            moves.push(Move::Schedule(Timeout::Propose, round));
        }
    }

    /// Line 51: the height is decided, nothing moves any more.
    pub(crate) fn decide(&mut self) {
        self.step = Step::Decided;
    }

    /// Applies the first rule that holds; false if none does.
    pub(crate) fn advance(&mut self, facts: &Facts, moves: &mut Vec<Move>) -> bool {
        if matches!(self.step, Step::Waiting | Step::Decided) {
            return false;
        }
        self.skip(facts, moves)
            || self.prevote(facts, moves)
            || self.polka(facts, moves)
            || self.no_polka(facts, moves)
            || self.prevotes_split(facts, moves)
            || self.precommits_split(facts, moves)
    }

    /// Lines 57 to 67: a time-out of another round or step changes nothing.
    pub(crate) fn timeout(&mut self, timeout: Timeout, round: Round, moves: &mut Vec<Move>) {
        if round != self.round {
            return;
        }
        match (timeout, self.step) {
            (Timeout::Propose, Step::Propose) => self.cast(VoteKind::Prevote, None, moves),
            (Timeout::Prevote, Step::Prevote) => self.cast(VoteKind::Precommit, None, moves),
            (Timeout::Precommit, Step::Propose | Step::Prevote | Step::Precommit) => {
                self.start(round.next(), Step::Propose, moves);
            }
            _ => {}
        }
    }

    /// Line 55: more than a third are in a later round.
    fn skip(&mut self, facts: &Facts, moves: &mut Vec<Move>) -> bool {
        let Some(later) = facts.later.filter(|later| *later > self.round) else { return false };
        self.start(later, Step::Propose, moves);
        true
    }

    /// Lines 22 and 28: the proposal is here, with the polka that it refers to.
    fn prevote(&mut self, facts: &Facts, moves: &mut Vec<Move>) -> bool {
        let Some(seen) = facts.proposal.filter(|_| self.step == Step::Propose) else { return false };
        let free = match (seen.valid_round, self.locked) {
            // Line 28: not before the polka is here.
            (Some(shown), _) if !seen.shown || shown >= self.round => return false,
            (_, None) => true,
            // Line 23.
            (None, Some((_, locked))) => locked == seen.block,
            // Line 29.
            (Some(shown), Some((at, locked))) => at <= shown || locked == seen.block,
        };
        let vote = match (free, seen.fit) {
            (false, _) | (_, Some(Fit::Unfit)) => None,
            (true, Some(Fit::Fit)) => Some(seen.block),
            (true, None) => return false,
        };
        self.cast(VoteKind::Prevote, vote, moves);
        true
    }

    /// Line 36: a quorum has prevoted a block that is here and valid.
    fn polka(&mut self, facts: &Facts, moves: &mut Vec<Move>) -> bool {
        let Outcome::Block(block) = facts.prevotes else { return false };
        if self.done.polka || self.step < Step::Prevote || !facts.polka_is_valid {
            return false;
        }
        self.done.polka = true;
        if self.valid != Some((self.round, block)) {
            self.valid = Some((self.round, block));
            moves.push(Move::Valid((self.round, block)));
        }
        if self.step == Step::Prevote {
            self.locked = Some((self.round, block));
            self.cast(VoteKind::Precommit, Some(block), moves);
        }
        true
    }

    /// Line 44: a quorum has prevoted nil.
    fn no_polka(&mut self, facts: &Facts, moves: &mut Vec<Move>) -> bool {
        let holds = self.step == Step::Prevote && facts.prevotes == Outcome::Nil;
        if holds {
            self.cast(VoteKind::Precommit, None, moves);
        }
        holds
    }

    /// Line 34: a quorum has prevoted.
    fn prevotes_split(&mut self, facts: &Facts, moves: &mut Vec<Move>) -> bool {
        let holds = self.step == Step::Prevote && facts.prevotes != Outcome::Open && !self.done.prevotes;
        if holds {
            self.done.prevotes = true;
            moves.push(Move::Schedule(Timeout::Prevote, self.round));
        }
        holds
    }

    /// Line 47: a quorum has precommitted.
    fn precommits_split(&mut self, facts: &Facts, moves: &mut Vec<Move>) -> bool {
        let holds = facts.precommits != Outcome::Open && !self.done.precommits;
        if holds {
            self.done.precommits = true;
            moves.push(Move::Schedule(Timeout::Precommit, self.round));
        }
        holds
    }

    fn cast(&mut self, kind: VoteKind, block: Option<BlockHash>, moves: &mut Vec<Move>) {
        self.step = match kind {
            VoteKind::Prevote => Step::Prevote,
            VoteKind::Precommit => Step::Precommit,
        };
        moves.push(Move::Vote(kind, self.round, block));
    }
}
