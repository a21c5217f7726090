//! What the machines of this folder want done: the node does it, in this order.

use std::sync::Arc;

use bytes::Bytes;

use crate::command::{Command, CommitPace};
use crate::event::{Event, Offence};
use crate::ids::{BlockHash, NodeId, RequestId, TxId};
use crate::journal::RecordKey;
use crate::registry::{MasternodeIndex, Registry};
use crate::wire::block::FinalBlock;
use crate::wire::message::{Message, Proposal, Vote};

/// The effects of one call, in order.
pub(crate) type Effects = Vec<Effect>;

/// One thing to do.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) enum Effect {
    /// Queue a message on the link to one peer, if there is one.
    Send(NodeId, Message),
    /// Queue a message on several links.
    Broadcast(Recipients, Message),
    /// Write a record; when it is durable, hand `then` back to the chain. Nothing of it leaves before.
    Persist(RecordKey, Bytes, Binding),
    /// Make a final block durable and hand it to the application.
    Commit {
        /// Its hash.
        hash: BlockHash,
        /// The block.
        block: Arc<FinalBlock>,
        /// The same, encoded.
        bytes: Bytes,
        /// Whether the network waits for it.
        pace: CommitPace,
    },
    /// From the next height on another registry is in force.
    Registry(Registry),
    /// A command that binds nothing: produce, validate, load.
    Command(Command),
    /// A fact to tell.
    Event(Event),
    /// A peer broke a rule that no state of ours can explain (rule A-3).
    Offence(NodeId, Offence),
}

/// Which live links a message goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) enum Recipients {
    /// Every registered masternode.
    Masternodes,
    /// The registered masternodes to which the author of an item has no link, by its newest signed word, and
    /// not whoever brought it (rule C-15).
    Forward {
        /// Who signed the item.
        author: MasternodeIndex,
        /// Who brought it.
        from: NodeId,
    },
}

/// Own statements of one moment, which share a record.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Said {
    /// A proposal: its payload goes with it, and the polka that it refers to in front of it.
    pub(crate) proposal: Option<Box<Proposal>>,
    /// Votes.
    pub(crate) votes: Vec<Vote>,
}

/// What waits for a record to be durable (rule C-13).
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) enum Binding {
    /// What this node has signed: then it is sent, and its votes are counted like everybody's.
    Said(Box<Said>),
    /// An acknowledged transaction: then it waits for a block, is relayed, and the request is answered.
    Transaction(RequestId, TxId),
    /// Nothing waits.
    Nothing,
}
