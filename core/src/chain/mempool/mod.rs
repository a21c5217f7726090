//! Transactions that wait to be in a block (rules of `core/PROTOCOL.md`).
//!
//! One [`Mempool`] belongs to each node. Its owner
//!
//! - hands in what is submitted here ([`Mempool::submit`]) and calls back when a record is durable
//!   ([`Mempool::durable`]),
//! - tells it of every live session, of its end, and of the three kinds of messages about transactions
//!   ([`Mempool::peer_up`], [`Mempool::peer_down`], [`Mempool::received`], [`Mempool::offered`],
//!   [`Mempool::wanted`]),
//! - takes transactions for a block ([`Mempool::take`]), and says which ones the application has put into a
//!   block or will never put into one ([`Mempool::included`], [`Mempool::stale`]),
//! - calls [`Mempool::tick`] when [`Mempool::deadline`] has passed.
//!
//! A transaction that was acknowledged here stays here, across restarts, until the application reports it.

use bytes::Bytes;

use crate::chain::effects::Effects;
use crate::config::ConfigError;
use crate::event::{MempoolInfo, TxState};
use crate::ids::{NodeId, RequestId, TxId};
use crate::limits::Limits;
use crate::registry::MasternodeIndex;
use crate::time::Mono;
use crate::wire::message::Role;

/// What waits to be in a block, and who is to be told of it.
#[derive(Clone, Debug)]
pub(crate) struct Mempool {
    info: MempoolInfo,
}

impl Mempool {
    /// What was acknowledged in earlier starts and is in no block: the journal's `Transaction` records. An
    /// observer keeps nothing but what is submitted at it.
    ///
    /// # Errors
    /// If a record is not what was acknowledged.
    pub(crate) fn new(
        _limits: &Limits,
        _role: Role,
        _journal: impl IntoIterator<Item = (TxId, Bytes)>,
    ) -> Result<Self, ConfigError> {
        Ok(Self { info: MempoolInfo::default() })
    }

    /// The registry has changed what this node is.
    pub(crate) fn act_as(&mut self, _role: Role) {}

    /// A transaction from the operator or the application (rules ). The request is answered with an
    /// [`Event::Reply`](crate::Event::Reply): at once if the transaction is refused or known as acknowledged,
    /// else by [`Mempool::durable`] once its record is.
    pub(crate) fn submit(&mut self, _request: RequestId, _bytes: &Bytes, _effects: &mut Effects) {}

    /// The record of a submitted transaction is durable
    /// ([`Binding::Transaction`](crate::chain::effects::Binding::Transaction)): it waits for a block, is
    /// pushed to masternodes, and the request is answered.
    pub(crate) fn durable(
        &mut self,
        _now: Mono,
        _request: RequestId,
        _id: TxId,
        _bytes: &Bytes,
        _effects: &mut Effects,
    ) {
    }

    /// A transaction came from a peer, whose seat in the registry in force is given (rule X-3).
    pub(crate) fn received(
        &mut self,
        _now: Mono,
        _from: NodeId,
        _seat: Option<MasternodeIndex>,
        _bytes: &Bytes,
        _effects: &mut Effects,
    ) {
    }

    /// A peer has these transactions.
    pub(crate) fn offered(&mut self, _now: Mono, _from: NodeId, _ids: &[TxId], _effects: &mut Effects) {}

    /// A peer wants these of the transactions that it was offered; none: it wants no more of them.
    pub(crate) fn wanted(&mut self, _now: Mono, _from: NodeId, _ids: &[TxId], _effects: &mut Effects) {}

    /// A session is live: a masternode is offered what waits here. Harmless for one that is known to be live;
    /// to be called again for all live sessions when the registry has changed.
    pub(crate) fn peer_up(&mut self, _now: Mono, _peer: NodeId, _role: Role, _effects: &mut Effects) {}

    /// A session has ended.
    pub(crate) fn peer_down(&mut self, _now: Mono, _peer: NodeId, _effects: &mut Effects) {}

    /// When [`Mempool::tick`] is due.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        None
    }

    /// Does what is due: asks elsewhere for what a peer did not deliver, offers again what still waits.
    pub(crate) fn tick(&mut self, _now: Mono, _effects: &mut Effects) {}

    /// For a payload of `max_bytes`: what waits, oldest first, no more than fits with the application's
    /// framing. It goes on waiting until it is reported as included or stale.
    pub(crate) fn take(&self, _max_bytes: usize) -> Vec<Bytes> {
        Vec::new()
    }

    /// The application has put these into a block (rule X-4). Their records go with the block's commit.
    pub(crate) fn included(&mut self, _ids: &[TxId]) {}

    /// The application will never put these into a block: their records are removed.
    pub(crate) fn stale(&mut self, _ids: &[TxId], _effects: &mut Effects) {}

    /// How much waits.
    pub(crate) fn info(&self) -> MempoolInfo {
        self.info
    }

    /// Whether a transaction waits here.
    pub(crate) fn state(&self, _id: &TxId) -> TxState {
        TxState::NotPending
    }
}
