//! What may come of a request.

use timed_core::{BanTarget, Drain, MempoolInfo, NodeId, Reply};

use crate::store::{Inclusion, StoreError};

/// Why there is no answer, or not the one that was wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The node has ended.
    #[error("the node has ended")]
    Ended,
    /// The node knows no such peer.
    #[error("this node knows no such peer")]
    UnknownPeer,
    /// The request names more than one peer.
    #[error("more than one peer has this address or these digits")]
    AmbiguousPeer,
    /// The request names this very node.
    #[error("this is the node itself")]
    IsSelf,
    /// The order cannot be carried out now.
    #[error("{0}")]
    Refused(&'static str),
    /// A transaction is empty or larger than 64 KiB.
    #[error("a transaction has 1 to 65536 bytes, not {0}")]
    TransactionSize(usize),
    /// So much waits already that no more is taken.
    #[error("{transactions} transactions of {bytes} bytes wait already", transactions = .0.transactions, bytes = .0.bytes)]
    MempoolFull(MempoolInfo),
    /// The node is about to be away: another one takes transactions.
    #[error("this node is about to be away, as it has announced: another one takes transactions")]
    Draining,
    /// Without this node those who are left could not decide blocks; nothing was announced.
    #[error("without this node {left} masternodes are left, and {quorum} decide blocks", left = .0.left, quorum = .0.quorum)]
    QuorumLost(Drain),
    /// No earlier order to connect seeks this peer.
    #[error("no earlier order seeks this peer")]
    NotOrdered,
    /// No ban is on exactly this target. If it is an address: the ban that covers it.
    #[error("no ban is on exactly this target")]
    NotBanned(Option<BanTarget>),
    /// The store could not be read.
    #[error("the store could not be read: {0}")]
    Store(StoreError),
    /// A defect: the core has given an answer of another kind.
    #[error("the node gave an answer of another kind")]
    OfAnotherKind,
}

/// What became of an order to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connecting {
    /// A dial has begun.
    Dialing,
    /// A live session stands already.
    AlreadyConnected(NodeId),
}

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionState {
    /// In a durable block.
    Committed(Inclusion),
    /// It waits here to be in a block.
    Pending,
    /// Neither.
    Unknown,
}

/// Splits the core's refusals from its answers.
pub(crate) fn refused(reply: Reply) -> Result<Reply, RequestError> {
    Err(match reply {
        Reply::UnknownPeer => RequestError::UnknownPeer,
        Reply::AmbiguousPeer => RequestError::AmbiguousPeer,
        Reply::IsSelf => RequestError::IsSelf,
        Reply::Refused(why) => RequestError::Refused(why),
        Reply::TransactionSize(bytes) => RequestError::TransactionSize(bytes),
        Reply::MempoolFull(held) => RequestError::MempoolFull(held),
        Reply::Draining => RequestError::Draining,
        Reply::QuorumLost(drain) => RequestError::QuorumLost(drain),
        Reply::NotOrdered => RequestError::NotOrdered,
        Reply::NotBanned(covered) => RequestError::NotBanned(covered),
        answer => return Ok(answer),
    })
}
