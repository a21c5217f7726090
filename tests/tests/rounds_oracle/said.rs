//! What either machine says and where it is, in the words in which the two are compared.

use std::collections::BTreeSet;

use timed_core::rounds::{OwnVote, Polka, Timeout, Timer};
use timed_core::{BlockHash, Round, Step, VoteKind};

/// Something that a machine wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Said {
    /// A round begins.
    Round(Round),
    /// A fresh block is wanted for a round.
    Ask(Round),
    /// A proposal is made: round, round of the polka that it refers to, block.
    Propose(Round, Option<Round>, BlockHash),
    /// A vote is cast.
    Vote(OwnVote),
    /// A time-out is set.
    Schedule(Timer),
    /// The height is final: round of the quorum, block.
    Decide(Round, BlockHash),
}

/// How far a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) round: Round,
    pub(crate) step: Step,
    pub(crate) locked: Option<Polka>,
    pub(crate) valid: Option<Polka>,
}

/// What was said in answer to one input: in order, apart from questions and time-outs, which bind nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    binding: Vec<Said>,
    rest: BTreeSet<Said>,
}

impl Answer {
    pub(crate) fn new(said: &[Said]) -> Self {
        let (rest, binding) =
            said.iter().partition::<Vec<Said>, _>(|said| matches!(said, Said::Ask(_) | Said::Schedule(_)));
        Self { binding, rest: rest.into_iter().collect() }
    }

    /// A leader that proposes a block again sets its propose time-out with us, and not in the driver, where line
    /// 19 comes in place of line 21. It has its own proposal at once, so that the time-out comes to nothing.
    pub(crate) fn without_time_out_of_proposing_again(mut self) -> Self {
        for said in self.binding.clone() {
            if let Said::Propose(led, Some(_), _) = said {
                self.forget(Timeout::Propose, led);
            }
        }
        self
    }

    /// A quorum of prevotes for a block can allow both line 34 and line 36 in one answer. The paper leaves open
    /// which is first. The driver may set the prevote time-out and then precommit; ours precommits, and then there
    /// is nothing to wait for.
    pub(crate) fn without_time_out_of_a_step_that_is_over(mut self) -> Self {
        for said in self.binding.clone() {
            if let Said::Vote(OwnVote { kind: VoteKind::Precommit, round: over, block: Some(_) }) = said {
                self.forget(Timeout::Prevote, over);
            }
        }
        self
    }

    fn forget(&mut self, of: Timeout, at: Round) {
        self.rest.retain(|said| {
            !matches!(said, Said::Schedule(Timer { round, timeout, .. }) if (*timeout, *round) == (of, at))
        });
    }
}
