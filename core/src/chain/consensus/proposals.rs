//! What has been proposed at one height, and what was found out about it.

use std::collections::BTreeMap;

use crate::chain::consensus::{Timeliness, Verdict};
use crate::chain::proposer::leader;
use crate::chain::round::Fit;
use crate::chain::votes::{LATER_ROUNDS, Votes};
use crate::event::{Evidence, SignedProposal, Statement};
use crate::ids::{BlockHash, Height, NodeId, Round, Signature};
use crate::registry::Registry;

/// Blocks whose validity is remembered at most.
const JUDGED: usize = 32;

/// The first proposal of each round, and the validity of blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub(super) struct Proposals {
    heard: BTreeMap<Round, Heard>,
    judged: BTreeMap<BlockHash, Verdict>,
}

/// A proposal. Its height and its author are those of the round.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub(super) struct Heard {
    pub(super) block: BlockHash,
    pub(super) valid_round: Option<Round>,
    signature: Signature,
    timeliness: Timeliness,
    /// Whether the leader's equivocation has been told.
    told: bool,
}

impl Heard {
    fn signed(&self, height: Height, round: Round, proposer: NodeId) -> SignedProposal {
        let Self { block, valid_round, signature, .. } = *self;
        SignedProposal { height, round, valid_round, block, proposer, signature }
    }
}

impl Proposals {
    /// Keeps a verified proposal, if it is the first of its round and of use when the machine is in round `now`.
    /// Tells the first that contradicts it.
    pub(super) fn hear(
        &mut self,
        proposal: &SignedProposal,
        timeliness: Timeliness,
        now: Round,
        registry: &Registry,
    ) -> Option<Evidence> {
        let SignedProposal { height, round, valid_round, block, proposer, signature } = *proposal;
        let by_leader = registry.index_of(&proposer) == Some(leader(height, round, registry));
        if !by_leader || valid_round.is_some_and(|shown| shown >= round) || round < Votes::first_kept(now) {
            return None;
        }
        if let Some(first) = self.heard.get_mut(&round) {
            if first.told || (first.block, first.valid_round) == (block, valid_round) {
                return None;
            }
            first.told = true;
            let first = Statement::Proposal(first.signed(height, round, proposer));
            return Some(Evidence { node: proposer, first, second: Statement::Proposal(proposal.clone()) });
        }
        if self.make_room(height, round, now, registry) {
            let heard = Heard { block, valid_round, signature, timeliness, told: false };
            self.heard.insert(round, heard);
        }
        None
    }

    /// Of the rounds after the next one only the latest of each leader are kept.
    fn make_room(&mut self, height: Height, round: Round, now: Round, registry: &Registry) -> bool {
        let next = now.next();
        if round <= next {
            return true;
        }
        let author = leader(height, round, registry);
        let later = self.heard.range(next.next()..).map(|(round, _)| *round);
        let by_author: Vec<Round> = later.filter(|at| leader(height, *at, registry) == author).collect();
        let Some(earliest) = by_author.first().filter(|_| by_author.len() >= LATER_ROUNDS) else {
            return true;
        };
        if *earliest < round {
            self.heard.remove(earliest);
        }
        *earliest < round
    }

    /// The first proposal of a round.
    pub(super) fn of(&self, round: Round) -> Option<&Heard> {
        self.heard.get(&round)
    }

    /// Notes what was found out about a block; the first word stays. Blocks that nothing refers to make room.
    pub(super) fn judge(&mut self, block: BlockHash, verdict: Verdict, in_use: impl Fn(&BlockHash) -> bool) {
        if self.judged.len() >= JUDGED {
            self.forget_blocks(in_use);
        }
        if self.judged.len() < JUDGED {
            self.judged.entry(block).or_insert(verdict);
        }
    }

    /// What was found out about a block.
    pub(super) fn verdict(&self, block: &BlockHash) -> Option<Verdict> {
        self.judged.get(block).copied()
    }

    /// Whether a block is known to be valid.
    pub(super) fn is_valid(&self, block: &BlockHash) -> bool {
        self.verdict(block) == Some(Verdict::Valid)
    }

    /// Whether this node may vote for a proposal, as far as it is known.
    pub(super) fn fit(&self, heard: &Heard) -> Option<Fit> {
        match (heard.timeliness, heard.valid_round, self.verdict(&heard.block)) {
            (Timeliness::Untimely, None, _) | (_, _, Some(Verdict::Invalid)) => Some(Fit::Unfit),
            (_, _, Some(Verdict::Valid)) => Some(Fit::Fit),
            (_, _, None) => None,
        }
    }

    /// The machine enters a round: proposals of rounds that no longer matter go.
    pub(super) fn enter(&mut self, round: Round) {
        self.heard = self.heard.split_off(&Votes::first_kept(round));
    }

    fn forget_blocks(&mut self, in_use: impl Fn(&BlockHash) -> bool) {
        let Self { heard, judged } = self;
        judged.retain(|block, _| in_use(block) || heard.values().any(|heard| heard.block == *block));
    }
}
