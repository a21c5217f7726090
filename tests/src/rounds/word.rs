//! What nodes say to each other at one height.

use timed_core::rounds::Timeliness;
use timed_core::wire::message::Vote;
use timed_core::{BlockHash, Certificate, SignedProposal};

/// Something said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// A proposal, with the polka that it refers to in front of it, and perhaps with its block.
    Proposal {
        /// What is signed.
        proposal: SignedProposal,
        /// The polka of its valid round.
        polka: Option<Certificate>,
        /// Whether the block comes with it.
        body: Body,
        /// Whether the receiver finds it in time.
        timeliness: Timeliness,
    },
    /// A vote.
    Vote(Vote),
    /// A polka or a commit.
    Certificate(Certificate),
    /// A block, whoever proposed it.
    Block(BlockHash),
}

/// Whether a proposal's block is with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// It is.
    Sent,
    /// It is kept back.
    Withheld,
}
