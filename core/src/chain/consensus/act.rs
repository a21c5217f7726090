//! What a height's consensus is told beside statements, and what it wants done.

use crate::chain::consensus::OwnVote;
use crate::chain::round::Polka;
use crate::chain::timeouts::Timer;
use crate::event::{Evidence, Statement};
use crate::ids::Round;
use crate::wire::block::Certificate;

/// Whether this node says anything at a height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub enum Voice {
    /// It proposes and votes, if it is registered.
    Speaks,
    /// It follows and decides, without a word: an observer, or a masternode that abstains (rule C-13).
    Silent,
}

/// Whether a block is valid, as this node has found out: its payload is complete and the application agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub enum Verdict {
    /// It is.
    Valid,
    /// It is not.
    Invalid,
}

/// Whether the slot of a fresh proposal fitted this node's clock when it came (rule C-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub enum Timeliness {
    /// It did, or the block is proposed again, and then it does not matter.
    Timely,
    /// It did not: no prevote for it, and no blame.
    Untimely,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A round begins.
    RoundStarted(Round),
    /// This node leads the round. It proposes the valid block again, with that block's polka sent in front of it,
    /// or else a new one; then [`Consensus::propose`](super::Consensus::propose) is called.
    Propose(Round, Option<Polka>),
    /// [`Consensus::timeout`](super::Consensus::timeout) is called after [`Timer::after`].
    Schedule(Timer),
    /// The valid block has changed: this polka and its block become durable before any vote that comes after
    /// this in the list leaves.
    Valid(Box<Certificate>),
    /// The vote is signed, [`Consensus::record`](super::Consensus::record) becomes durable, then the vote is sent
    /// and handed to [`Consensus::vote`](super::Consensus::vote).
    Vote(OwnVote),
    /// The height is final at a block that is not known to be valid here: it is to be fetched. Told once.
    Certified(Box<Certificate>),
    /// The height is final, and the block is here. Told once; nothing but [`Act::Equivocation`] and
    /// [`Act::Foreign`] comes after it.
    Decide(Box<Certificate>),
    /// Somebody contradicts himself.
    Equivocation(Box<Evidence>),
    /// A statement signed with this node's own key that its record does not know: the record is not the newest,
    /// or the key is used twice. The node is silent at this height from now on.
    Foreign(Box<Statement>),
}

/// Acts, in order.
pub type Acts = Vec<Act>;

/// Why an own proposal is not made: the round is over or has timed out, this node does not lead it or is silent,
/// or it has proposed in it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotDue;
