//! What is told about blocks: whether this node produces and why not, how far it has caught up, who equivocated.

use std::fmt;
use std::time::Duration;

use crate::ids::{BlockHash, Height, NodeId, Round, Signature};
use crate::wire::block::VoteKind;
use crate::wire::message::{RoundHeld, Vote};

/// How a final block came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub enum CommittedVia {
    /// This node followed the votes.
    Consensus,
    /// It was fetched from a peer.
    Sync,
}

impl CommittedVia {
    /// The stable name in logs and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consensus => "consensus",
            Self::Sync => "sync",
        }
    }
}

/// Whether this node proposes when it leads a round (rule C-14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub enum Producing {
    /// It does.
    Yes,
    /// It does not.
    No(NotProducing),
}

impl Default for Producing {
    fn default() -> Self {
        Self::No(NotProducing::Starting)
    }
}

/// Why a node does not propose blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[non_exhaustive]
pub enum NotProducing {
    /// This network makes no blocks.
    NoChain,
    /// It has not looked yet.
    Starting,
    /// It does not act as a masternode.
    Observer,
    /// It says goodbye.
    Stopping,
    /// It knows of final blocks that it does not have.
    Syncing {
        /// The newest one it has.
        height: Height,
        /// The newest one it has heard of.
        target: Height,
    },
    /// Live links, this node included, do not reach a quorum.
    NoQuorum {
        /// Masternodes linked, this one included.
        linked: usize,
        /// How many are needed.
        needed: usize,
        /// How many are registered.
        registered: usize,
    },
    /// The operator's `min_peers` forbids it.
    MinPeers {
        /// Other masternodes linked.
        linked: usize,
        /// How many the operator demands.
        required: usize,
        /// Whether a quorum is linked, so that it is `min_peers` alone that forbids the block.
        quorum: bool,
    },
    /// This node's clock disagrees with the others' by more than blocks tolerate.
    Clock {
        /// By how much the others are ahead, in milliseconds.
        offset_ms: i64,
    },
    /// The voting record is lost or older than what this key has signed: this node abstains (rule C-13).
    VotingRecord {
        /// It abstains until a block above this height is final.
        until_above: Height,
    },
}

impl NotProducing {
    /// Every reason code, for those who show all of them.
    pub const CODES: [&str; 9] = [
        "no_chain",
        "starting",
        "observer",
        "stopping",
        "syncing",
        "no_quorum",
        "min_peers",
        "clock",
        "voting_record",
    ];

    /// The stable reason code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoChain => "no_chain",
            Self::Starting => "starting",
            Self::Observer => "observer",
            Self::Stopping => "stopping",
            Self::Syncing { .. } => "syncing",
            Self::NoQuorum { .. } => "no_quorum",
            Self::MinPeers { .. } => "min_peers",
            Self::Clock { .. } => "clock",
            Self::VotingRecord { .. } => "voting_record",
        }
    }
}

impl fmt::Display for NotProducing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoChain => f.write_str("this network makes no blocks"),
            Self::Starting => f.write_str("the node is starting"),
            Self::Observer => f.write_str("this node is not a masternode"),
            Self::Stopping => f.write_str("the node is stopping"),
            Self::Syncing { height, target } => {
                write!(f, "catching up: at height {height}, the network is at {target}")
            }
            Self::NoQuorum { linked, needed, registered } => write!(
                f,
                "{linked} of {registered} masternodes are linked, this one included; a block needs {needed}"
            ),
            Self::MinPeers { linked, required, quorum } => {
                write!(f, "block.min_peers demands {required} linked masternodes, {linked} are linked")?;
                if *quorum { f.write_str("; a quorum could decide without it") } else { Ok(()) }
            }
            Self::Clock { offset_ms } => write!(
                f,
                "your clock: the other masternodes are {} ms {} this one",
                offset_ms.unsigned_abs(),
                if *offset_ms > 0 { "ahead of" } else { "behind" }
            ),
            Self::VotingRecord { until_above } => write!(
                f,
                "the voting record is lost or out of date: this node abstains until a block above height \
                 {until_above} is final"
            ),
        }
    }
}

/// How far this node has caught up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub enum SyncState {
    /// It has every block that it has heard of.
    #[default]
    Synced,
    /// It fetches blocks.
    Syncing {
        /// The newest one it has.
        height: Height,
        /// The newest one it has heard of.
        target: Height,
    },
    /// It lacks blocks and nobody linked has them.
    Stalled {
        /// The newest one it has.
        height: Height,
        /// The newest one it has heard of.
        target: Height,
    },
}

impl SyncState {
    /// The stable name in logs and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Syncing { .. } => "syncing",
            Self::Stalled { .. } => "stalled",
        }
    }

    /// The newest height that it has heard of, where it does not have it.
    #[must_use]
    pub const fn target(self) -> Option<Height> {
        match self {
            Self::Synced => None,
            Self::Syncing { target, .. } | Self::Stalled { target, .. } => Some(target),
        }
    }
}

/// Where a round stands.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize,
)]
pub enum Step {
    /// The height's slot has not come, or the block before is not durable yet.
    #[default]
    Waiting,
    /// A proposal is awaited.
    Propose,
    /// This node has prevoted.
    Prevote,
    /// This node has precommitted.
    Precommit,
    /// The height is decided.
    Decided,
}

impl Step {
    /// The stable name in logs and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Propose => "propose",
            Self::Prevote => "prevote",
            Self::Precommit => "precommit",
            Self::Decided => "decided",
        }
    }
}

/// The height under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct ConsensusInfo {
    /// The height.
    pub height: Height,
    /// The round.
    pub round: Round,
    /// How far it is.
    pub step: Step,
    /// The round's leader.
    pub leader: NodeId,
    /// The round's proposal, if it is here.
    pub proposal: Option<BlockHash>,
    /// The lock that this node holds.
    pub locked: Option<(Round, BlockHash)>,
    /// Whose votes are held, by round.
    pub votes: Vec<RoundHeld>,
    /// How many votes decide.
    pub quorum: usize,
    /// When the next thing happens by itself.
    pub next: Option<Duration>,
}

/// What a masternode signed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub enum Statement {
    /// A vote.
    Vote(Vote),
    /// A proposal.
    Proposal(SignedProposal),
}

/// What a statement decides on: of each, a masternode signs one a height and round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatementKind {
    /// What its leader proposes for a round.
    Proposal,
    /// A round's first vote.
    Prevote,
    /// Its second.
    Precommit,
}

impl StatementKind {
    /// The stable name in logs and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proposal => "proposal",
            Self::Prevote => "prevote",
            Self::Precommit => "precommit",
        }
    }
}

impl Statement {
    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> StatementKind {
        match self {
            Self::Proposal(_) => StatementKind::Proposal,
            Self::Vote(Vote { kind: VoteKind::Prevote, .. }) => StatementKind::Prevote,
            Self::Vote(Vote { kind: VoteKind::Precommit, .. }) => StatementKind::Precommit,
        }
    }

    /// Who signed it.
    #[must_use]
    pub const fn author(&self) -> NodeId {
        match self {
            Self::Vote(vote) => vote.voter,
            Self::Proposal(proposal) => proposal.proposer,
        }
    }

    /// Its height.
    #[must_use]
    pub const fn height(&self) -> Height {
        match self {
            Self::Vote(vote) => vote.height,
            Self::Proposal(proposal) => proposal.height,
        }
    }

    /// Its round.
    #[must_use]
    pub const fn round(&self) -> Round {
        match self {
            Self::Vote(vote) => vote.round,
            Self::Proposal(proposal) => proposal.round,
        }
    }

    /// Its block; none in a vote for none.
    #[must_use]
    pub const fn block(&self) -> Option<BlockHash> {
        match self {
            Self::Vote(vote) => vote.block,
            Self::Proposal(proposal) => Some(proposal.block),
        }
    }

    /// Its author's signature.
    #[must_use]
    pub const fn signature(&self) -> Signature {
        match self {
            Self::Vote(vote) => vote.signature,
            Self::Proposal(proposal) => proposal.signature,
        }
    }

    /// Whether another one is the same but for the signature.
    #[must_use]
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        let unsigned = |statement: &Self| {
            let valid_round = match statement {
                Self::Vote(_) => None,
                Self::Proposal(proposal) => proposal.valid_round,
            };
            let (height, round) = (statement.height(), statement.round());
            (statement.kind(), statement.author(), height, round, statement.block(), valid_round)
        };
        unsigned(self) == unsigned(other)
    }
}

/// The signed part of a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct SignedProposal {
    /// Its height.
    pub height: Height,
    /// Its round.
    pub round: Round,
    /// The round of the polka it refers to.
    pub valid_round: Option<Round>,
    /// The block.
    pub block: BlockHash,
    /// The leader who signed it.
    pub proposer: NodeId,
    /// Over `signing::proposal`.
    pub signature: Signature,
}

/// Two contradicting statements of one masternode for one height and round, both with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct Evidence {
    /// Who equivocated.
    pub node: NodeId,
    /// The statement that came first.
    pub first: Statement,
    /// The other.
    pub second: Statement,
}

/// What waits to be in a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct MempoolInfo {
    /// Transactions.
    pub transactions: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// Where a transaction is, as far as the core knows: committed ones are the store's to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub enum TxState {
    /// It waits to be in a block.
    Pending,
    /// It does not wait here.
    NotPending,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_among_the_codes() {
        let height = Height(1);
        let all = [
            NotProducing::NoChain,
            NotProducing::Starting,
            NotProducing::Observer,
            NotProducing::Stopping,
            NotProducing::Syncing { height, target: height },
            NotProducing::NoQuorum { linked: 1, needed: 3, registered: 4 },
            NotProducing::MinPeers { linked: 1, required: 3, quorum: false },
            NotProducing::Clock { offset_ms: 1 },
            NotProducing::VotingRecord { until_above: height },
        ];
        assert_eq!(all.map(|why| why.code()), NotProducing::CODES);
    }
}
