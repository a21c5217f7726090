//! What this node has said at one height, and the form in which that is kept across restarts (rule C-13).

use std::collections::BTreeMap;

use crate::chain::round::Polka;
use crate::event::{SignedProposal, Step};
use crate::ids::{BlockHash, Height, Round};
use crate::wire::block::VoteKind;
use crate::wire::message::Vote;

/// A vote of this node's. Signing it again gives the same bytes, so no signature is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub struct OwnVote {
    /// Prevote or precommit.
    pub kind: VoteKind,
    /// The round.
    pub round: Round,
    /// The block; none for nil.
    pub block: Option<BlockHash>,
}

/// A proposal of this node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct OwnProposal {
    /// The round.
    pub round: Round,
    /// The round of the polka that it refers to.
    pub valid_round: Option<Round>,
    /// The block.
    pub block: BlockHash,
}

/// The voting record. The valid block is no part of it: it is stored with its polka, see
/// [`Act::Valid`](super::Act::Valid).
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct Record {
    /// The height.
    pub height: Height,
    /// The round.
    pub round: Round,
    /// How far the round was.
    pub step: Step,
    /// The lock.
    pub locked: Option<Polka>,
    /// Votes of others and its own because of which this node entered the round: whoever is left behind in an
    /// earlier one can follow only if it is shown them, and there may be nobody else who has them.
    pub reasons: Vec<Vote>,
    /// Proposals made, by ascending round.
    pub proposals: Vec<OwnProposal>,
    /// Votes cast, by ascending round, the prevote before the precommit.
    pub votes: Vec<OwnVote>,
}

/// Everything said: at most one proposal a round, and one vote a round and kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub(super) struct Own {
    proposals: BTreeMap<Round, OwnProposal>,
    votes: BTreeMap<(Round, VoteKind), OwnVote>,
}

impl Own {
    pub(super) fn from_record(record: &Record) -> Self {
        Self {
            proposals: record.proposals.iter().map(|proposal| (proposal.round, *proposal)).collect(),
            votes: record.votes.iter().map(|vote| ((vote.round, vote.kind), *vote)).collect(),
        }
    }

    pub(super) fn proposals(&self) -> impl Iterator<Item = OwnProposal> {
        self.proposals.values().copied()
    }

    /// Notes a vote; false if there is one of that round and kind.
    pub(super) fn vote(&mut self, vote: OwnVote) -> bool {
        let free = !self.votes.contains_key(&(vote.round, vote.kind));
        if free {
            self.votes.insert((vote.round, vote.kind), vote);
        }
        free
    }

    pub(super) fn voted(&self, vote: &OwnVote) -> bool {
        self.votes.get(&(vote.round, vote.kind)) == Some(vote)
    }

    pub(super) fn votes(&self) -> impl Iterator<Item = OwnVote> {
        self.votes.values().copied()
    }

    pub(super) fn propose(&mut self, proposal: &SignedProposal) {
        let own =
            OwnProposal { round: proposal.round, valid_round: proposal.valid_round, block: proposal.block };
        self.proposals.entry(own.round).or_insert(own);
    }

    pub(super) fn has_proposed(&self, round: Round) -> bool {
        self.proposals.contains_key(&round)
    }

    pub(super) fn proposed(&self, proposal: &SignedProposal) -> bool {
        let own = self.proposals.get(&proposal.round);
        own.is_some_and(|own| (own.block, own.valid_round) == (proposal.block, proposal.valid_round))
    }

    /// Rounds that are over for good: nothing is ever said in them again.
    pub(super) fn forget_before(&mut self, round: Round) {
        self.proposals = self.proposals.split_off(&round);
        self.votes = self.votes.split_off(&(round, VoteKind::Prevote));
    }
}
