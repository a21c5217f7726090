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
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub(crate) struct RoundMachine {
    round: Round,
    step: Step,
    locked: Option<Polka>,
    valid: Option<Polka>,
    done: Done,
}

/// What is done "for the first time" only, in the present round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
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

#[cfg(test)]
mod tests {
    use super::*;

    const X: BlockHash = BlockHash([1; 32]);
    const Y: BlockHash = BlockHash([2; 32]);
    const NOTHING: Facts = Facts {
        proposal: None,
        prevotes: Outcome::Open,
        polka_is_valid: false,
        precommits: Outcome::Open,
        later: None,
    };

    fn machine(round: u32, step: Step, locked: Option<(u32, BlockHash)>) -> RoundMachine {
        let locked = locked.map(|(round, block)| (Round(round), block));
        let mut machine = RoundMachine::resumed(Round(round), locked, locked);
        machine.start(Round(round), step, &mut Vec::new());
        machine
    }

    fn proposed(block: BlockHash, valid_round: Option<u32>, fit: Option<Fit>) -> Facts {
        let seen = Seen { block, valid_round: valid_round.map(Round), shown: true, fit };
        Facts { proposal: Some(seen), ..NOTHING }
    }

    /// Applies rules until none holds.
    fn settle(machine: &mut RoundMachine, facts: &Facts) -> Vec<Move> {
        let mut moves = Vec::new();
        while machine.advance(facts, &mut moves) {}
        moves
    }

    fn prevote(round: u32, block: Option<BlockHash>) -> Vec<Move> {
        vec![Move::Vote(VoteKind::Prevote, Round(round), block)]
    }

    #[test]
    fn line_11_a_round_begins_with_its_time_out() {
        let mut moves = Vec::new();
        let mut machine = RoundMachine::default();
        assert_eq!(settle(&mut machine, &proposed(X, None, Some(Fit::Fit))), []);
        machine.start(Round(2), Step::Propose, &mut moves);
        assert_eq!(moves, [Move::Began(Round(2)), Move::Schedule(Timeout::Propose, Round(2))]);
        assert_eq!((machine.round(), machine.step()), (Round(2), Step::Propose));
    }

    #[test]
    fn line_22_a_fresh_proposal_is_prevoted_unless_another_block_is_locked() {
        let (fit, unfit) = (Some(Fit::Fit), Some(Fit::Unfit));
        for (locked, fit, vote) in [
            (None, fit, Some(X)),
            (None, unfit, None),
            (Some((1, X)), fit, Some(X)),
            (Some((1, X)), unfit, None),
            (Some((1, Y)), fit, None),
            (Some((1, Y)), unfit, None),
            // Nothing that could still be found out about it would change this.
            (Some((1, Y)), None, None),
        ] {
            let mut machine = machine(2, Step::Propose, locked);
            let moves = settle(&mut machine, &proposed(X, None, fit));
            assert_eq!((moves, machine.step()), (prevote(2, vote), Step::Prevote), "{locked:?} {fit:?}");
        }
    }

    #[test]
    fn line_28_a_block_with_a_polka_is_prevoted_unless_a_later_polka_is_locked() {
        let (fit, unfit) = (Some(Fit::Fit), Some(Fit::Unfit));
        for (locked, shown, fit, vote) in [
            (None, 0, fit, Some(X)),
            (None, 0, unfit, None),
            (Some((1, Y)), 1, fit, Some(X)),
            (Some((1, Y)), 2, fit, Some(X)),
            (Some((1, Y)), 0, fit, None),
            (Some((1, Y)), 0, None, None),
            (Some((1, X)), 0, fit, Some(X)),
            (Some((1, X)), 0, unfit, None),
        ] {
            let mut machine = machine(3, Step::Propose, locked);
            let moves = settle(&mut machine, &proposed(X, Some(shown), fit));
            assert_eq!(
                (moves, machine.step()),
                (prevote(3, vote), Step::Prevote),
                "{locked:?} {shown} {fit:?}"
            );
        }
    }

    #[test]
    fn lines_22_and_28_wait_for_what_they_need() {
        let unseen =
            |facts: Facts| Facts { proposal: facts.proposal.map(|p| Seen { shown: false, ..p }), ..facts };
        for (step, facts) in [
            (Step::Propose, NOTHING),
            // Its validity is not known.
            (Step::Propose, proposed(X, None, None)),
            // Its polka is not here, or cannot be one.
            (Step::Propose, unseen(proposed(X, Some(0), Some(Fit::Fit)))),
            (Step::Propose, unseen(proposed(X, Some(0), Some(Fit::Unfit)))),
            (Step::Propose, proposed(X, Some(2), Some(Fit::Fit))),
            (Step::Propose, proposed(X, Some(3), Some(Fit::Fit))),
            // The prevote is cast.
            (Step::Prevote, proposed(X, None, Some(Fit::Fit))),
            (Step::Precommit, proposed(X, None, Some(Fit::Fit))),
            (Step::Decided, proposed(X, None, Some(Fit::Fit))),
        ] {
            assert_eq!(settle(&mut machine(2, step, None), &facts), [], "{step:?} {facts:?}");
        }
    }

    #[test]
    fn line_34_the_prevote_time_out_is_set_once_and_only_after_the_own_prevote() {
        let split = Facts { prevotes: Outcome::Split, ..NOTHING };
        let without_the_block = Facts { prevotes: Outcome::Block(X), ..NOTHING };
        for facts in [split, without_the_block] {
            let mut prevoted = machine(1, Step::Prevote, None);
            assert_eq!(settle(&mut prevoted, &facts), [Move::Schedule(Timeout::Prevote, Round(1))]);
            assert_eq!(settle(&mut prevoted, &facts), []);
            for step in [Step::Waiting, Step::Propose, Step::Precommit, Step::Decided] {
                assert_eq!(settle(&mut machine(1, step, None), &facts), [], "{step:?}");
            }
        }
    }

    #[test]
    fn line_36_a_polka_locks_once_and_only_before_the_precommit() {
        let facts = Facts { prevotes: Outcome::Block(X), polka_is_valid: true, ..NOTHING };
        let polka = (Round(4), X);
        let commits = [Move::Valid(polka), Move::Vote(VoteKind::Precommit, Round(4), Some(X))];
        for (step, moves, locked) in [
            (Step::Propose, &commits[..0], Some((Round(2), Y))),
            (Step::Prevote, &commits[..], Some(polka)),
            (Step::Precommit, &commits[..1], Some((Round(2), Y))),
        ] {
            let mut machine = machine(4, step, Some((2, Y)));
            assert_eq!(settle(&mut machine, &facts), moves, "{step:?}");
            assert_eq!(machine.locked(), locked, "{step:?}");
            assert_eq!(machine.valid() == Some(polka), step != Step::Propose);
            assert_eq!(settle(&mut machine, &facts), []);
        }
    }

    #[test]
    fn line_36_what_a_record_brought_back_is_not_made_durable_again() {
        let facts = Facts { prevotes: Outcome::Block(X), polka_is_valid: true, ..NOTHING };
        assert_eq!(settle(&mut machine(4, Step::Precommit, Some((4, X))), &facts), []);
    }

    #[test]
    fn line_44_a_quorum_for_nil_precommits_nil_and_keeps_the_lock() {
        let facts = Facts { prevotes: Outcome::Nil, ..NOTHING };
        let mut prevoted = machine(3, Step::Prevote, Some((1, Y)));
        assert_eq!(settle(&mut prevoted, &facts), [Move::Vote(VoteKind::Precommit, Round(3), None)]);
        assert_eq!((prevoted.step(), prevoted.locked()), (Step::Precommit, Some((Round(1), Y))));
        for step in [Step::Propose, Step::Precommit, Step::Decided] {
            assert_eq!(settle(&mut machine(3, step, None), &facts), [], "{step:?}");
        }
    }

    #[test]
    fn line_47_the_precommit_time_out_is_set_once_in_any_step() {
        for outcome in [Outcome::Split, Outcome::Nil, Outcome::Block(X)] {
            let facts = Facts { precommits: outcome, ..NOTHING };
            for step in [Step::Propose, Step::Prevote, Step::Precommit] {
                let mut machine = machine(1, step, None);
                assert_eq!(settle(&mut machine, &facts), [Move::Schedule(Timeout::Precommit, Round(1))]);
                assert_eq!(settle(&mut machine, &facts), []);
            }
            for step in [Step::Waiting, Step::Decided] {
                assert_eq!(settle(&mut machine(1, step, None), &facts), []);
            }
        }
    }

    #[test]
    fn line_55_more_than_a_third_in_a_later_round_take_it_along() {
        let later = |round| Facts { later: Some(Round(round)), ..NOTHING };
        for step in [Step::Propose, Step::Prevote, Step::Precommit] {
            let mut behind = machine(1, step, Some((0, X)));
            let moves = settle(&mut behind, &later(3));
            assert_eq!(moves, [Move::Began(Round(3)), Move::Schedule(Timeout::Propose, Round(3))]);
            assert_eq!((behind.round(), behind.step()), (Round(3), Step::Propose));
            assert_eq!((behind.locked(), behind.valid()), (Some((Round(0), X)), Some((Round(0), X))));
            assert_eq!(settle(&mut machine(1, step, None), &later(1)), []);
        }
        assert_eq!(settle(&mut machine(1, Step::Decided, None), &later(3)), []);
        assert_eq!(settle(&mut machine(1, Step::Waiting, None), &later(3)), []);
    }

    #[test]
    fn lines_57_to_67_time_outs_act_in_their_round_and_step_only() {
        let began = [Move::Began(Round(3)), Move::Schedule(Timeout::Propose, Round(3))];
        let nil = |kind| [Move::Vote(kind, Round(2), None)];
        for (timeout, step, moves) in [
            (Timeout::Propose, Step::Propose, &nil(VoteKind::Prevote)[..]),
            (Timeout::Prevote, Step::Prevote, &nil(VoteKind::Precommit)[..]),
            (Timeout::Precommit, Step::Propose, &began[..]),
            (Timeout::Precommit, Step::Prevote, &began[..]),
            (Timeout::Precommit, Step::Precommit, &began[..]),
            (Timeout::Propose, Step::Prevote, &[]),
            (Timeout::Propose, Step::Precommit, &[]),
            (Timeout::Prevote, Step::Propose, &[]),
            (Timeout::Prevote, Step::Precommit, &[]),
            (Timeout::Precommit, Step::Waiting, &[]),
            (Timeout::Precommit, Step::Decided, &[]),
        ] {
            for (round, moves) in [(2, moves), (1, &[]), (3, &[])] {
                let mut out = Vec::new();
                machine(2, step, None).timeout(timeout, Round(round), &mut out);
                assert_eq!(out, moves, "{timeout:?} of round {round} in {step:?}");
            }
        }
    }

    #[test]
    fn the_first_time_of_lines_34_36_and_47_is_that_of_each_round() {
        let facts = Facts { prevotes: Outcome::Split, precommits: Outcome::Split, ..NOTHING };
        let mut machine = machine(0, Step::Prevote, None);
        assert_eq!(settle(&mut machine, &facts).len(), 2);
        machine.start(Round(1), Step::Prevote, &mut Vec::new());
        assert_eq!(settle(&mut machine, &facts).len(), 2);
    }
}
