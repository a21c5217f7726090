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
//! A transaction that was acknowledged here stays here, across restarts, until the application reports it. What
//! others brought is a copy: it may give way, because whoever acknowledged it keeps it and offers it again.

mod asking;
mod offering;
mod recent;
mod waiting;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::chain::effects::{Binding, Effect, Effects, Recipients};
pub(crate) use crate::chain::mempool::asking::SILENT;
use crate::chain::mempool::asking::{Answer, Asking};
use crate::chain::mempool::offering::Offering;
pub(crate) use crate::chain::mempool::offering::PASS;
use crate::chain::mempool::recent::Recent;
use crate::chain::mempool::waiting::{Full, Holder, Record, Waiting};
use crate::config::ConfigError;
use crate::event::{Event, MempoolInfo, Reply, TxState};
use crate::ids::{NodeId, RequestId, TxId};
use crate::journal::RecordKey;
use crate::limits::{Holding, Limits, MAX_TRANSACTION, RECENT_FOR};
use crate::registry::MasternodeIndex;
use crate::time::Mono;
use crate::wire::message::{Message, Role};

/// Masternodes to which an observer pushes what is submitted at it. Each pushes to all others, so more would only
/// multiply the copies; should none of them do it, the next pass of offers reaches all.
const PUSHED_BY_OBSERVER: usize = 3;

/// What a transaction is that a peer brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brought {
    /// This node had asked the peer for it.
    Asked,
    /// Nobody asked for it, and it was new here.
    New,
    /// Neither.
    Unasked,
}

/// What waits to be in a block, and who is to be told of it.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Mempool {
    role: Role,
    waiting: Waiting,
    recent: Recent,
    asking: Asking,
    offering: Offering,
}

impl Mempool {
    /// What was acknowledged in earlier starts and is in no block: the journal's `Transaction` records. An
    /// observer keeps nothing but what is submitted at it.
    ///
    /// # Errors
    /// If a record is not what was acknowledged.
    pub(crate) fn new(
        limits: &Limits,
        role: Role,
        journal: impl IntoIterator<Item = (TxId, Bytes)>,
    ) -> Result<Self, ConfigError> {
        let mut waiting = Waiting::new(limits.mempool);
        for (id, bytes) in journal.into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
            if TxId::of(&bytes) != id {
                return Err(ConfigError::DamagedRecord(RecordKey::Transaction(id).name()));
            }
            waiting.restore(id, bytes);
        }
        Ok(Self {
            role,
            waiting,
            recent: Recent::new(limits.mempool / RECENT_FOR),
            asking: Asking::default(),
            // Half a lane: what is served at once is not what makes the lane drop its oldest.
            offering: Offering::new(limits.relay_lane / 2, limits.mempool),
        })
    }

    /// The registry has changed what this node is.
    pub(crate) fn act_as(&mut self, role: Role) {
        self.role = role;
    }

    /// A transaction from the operator or the application (rules ). The request is answered with an
    /// [`Event::Reply`]: at once if the transaction is refused or was acknowledged before, else by
    /// [`Mempool::durable`].
    pub(crate) fn submit(&mut self, request: RequestId, bytes: &Bytes, effects: &mut Effects) {
        if bytes.is_empty() || bytes.len() > MAX_TRANSACTION {
            effects.push(reply(request, Reply::TransactionSize(bytes.len())));
            return;
        }
        let id = TxId::of(bytes);
        if self.recent.contains(&id) || self.waiting.record(&id) == Some(Record::Durable) {
            effects.push(reply(request, Reply::Submitted(id)));
            return;
        }
        match self.waiting.write(id, bytes) {
            Ok(()) => {
                let then = Binding::Transaction(request, id);
                effects.push(Effect::Persist(RecordKey::Transaction(id), bytes.clone(), then));
            }
            Err(Full) => effects.push(reply(request, Reply::MempoolFull(self.info()))),
        }
    }

    /// The record of a submitted transaction is durable ([`Binding::Transaction`]): it waits for a block, is
    /// pushed to masternodes, and the request is answered.
    pub(crate) fn durable(&mut self, now: Mono, request: RequestId, id: TxId, effects: &mut Effects) {
        // A second request for the same, or a copy of it that came from a peer: whoever is to have it has it.
        let pushed = self.waiting.get(&id).is_some();
        match self.waiting.written(id) {
            Some(bytes) => {
                self.settled(now, &id, None, effects);
                self.offering.arm(now);
                if !pushed {
                    self.push(Message::Transaction(bytes), effects);
                }
            }
            // A block was faster, and its commit could not remove a record that was not there yet.
            None => effects.push(removal(id)),
        }
        effects.push(reply(request, Reply::Submitted(id)));
    }

    /// A transaction came from a peer, whose seat in the registry in force is given (rule X-3). Tells whether it was
    /// asked for.
    pub(crate) fn received(
        &mut self,
        now: Mono,
        from: NodeId,
        seat: Option<MasternodeIndex>,
        bytes: &Bytes,
        effects: &mut Effects,
    ) -> Brought {
        if self.role == Role::Observer {
            return Brought::Unasked;
        }
        let id = TxId::of(bytes);
        let brought = if self.asking.is_owed(&id, &from) { Brought::Asked } else { Brought::Unasked };
        self.settled(now, &id, Some(from), effects);
        if !self.lacks(&id) || self.waiting.bring(id, bytes, holder(from, seat)).is_err() {
            return brought;
        }
        let brought = if brought == Brought::Asked { brought } else { Brought::New };
        let to = match seat {
            Some(author) => Recipients::Forward { author, from },
            None => Recipients::Masternodes,
        };
        effects.push(Effect::Broadcast(to, Message::Transaction(bytes.clone())));
        brought
    }

    /// A peer has these transactions.
    pub(crate) fn offered(
        &mut self,
        now: Mono,
        from: NodeId,
        seat: Option<MasternodeIndex>,
        ids: &[TxId],
        effects: &mut Effects,
    ) {
        if self.role == Role::Observer || ids.is_empty() {
            return;
        }
        let room = self.waiting.has_room(holder(from, seat));
        let lacking = |id: &TxId| room && !self.recent.contains(id) && self.waiting.record(id).is_none();
        if let Answer::Want(ids) = self.asking.offered(now, from, ids, lacking) {
            effects.push(Effect::Send(from, Message::TransactionWant(ids)));
        }
    }

    /// A peer wants these of the transactions that it was offered; none: it wants no more of them.
    pub(crate) fn wanted(&mut self, now: Mono, from: NodeId, ids: &[TxId], effects: &mut Effects) {
        if ids.is_empty() {
            let next = self.offering.answered(now, &from, &self.waiting);
            offer(from, next, effects);
            return;
        }
        let served = self.offering.serve(now, &from, ids, &self.waiting);
        for bytes in served.transactions {
            effects.push(Effect::Send(from, Message::Transaction(bytes)));
        }
        offer(from, served.rest, effects);
    }

    /// A session is live, with a registered masternode or another: a masternode is offered what waits here.
    /// Harmless for one that is known to be live; to be called again for all when the registry has changed.
    pub(crate) fn peer_up(&mut self, now: Mono, peer: NodeId, role: Role, effects: &mut Effects) {
        match role {
            Role::Masternode => {
                self.offering.arm(now);
                let first = self.offering.up(now, peer, &self.waiting);
                offer(peer, first, effects);
            }
            Role::Observer => self.offering.down(&peer),
        }
    }

    /// A session has ended.
    pub(crate) fn peer_down(&mut self, now: Mono, peer: NodeId, effects: &mut Effects) {
        self.offering.down(&peer);
        let instead = self.asking.gone(now, peer);
        want(instead, effects);
    }

    /// When [`Mempool::tick`] is due.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        [self.asking.deadline(), self.offering.deadline()].into_iter().flatten().min()
    }

    /// Does what is due: asks elsewhere for what a peer did not deliver, offers again what still waits.
    pub(crate) fn tick(&mut self, now: Mono, effects: &mut Effects) {
        let instead = self.asking.overdue(now);
        want(instead, effects);
        for (peer, ids) in self.offering.pass(now, &self.waiting) {
            offer(peer, ids, effects);
        }
    }

    /// For a payload of `max_bytes`: what waits, oldest first, no more than fits with the application's
    /// framing. It goes on waiting until it is reported as included or stale.
    pub(crate) fn take(&self, max_bytes: usize) -> Vec<Bytes> {
        self.waiting.take(max_bytes)
    }

    /// The application has put these into a block (rule X-4). Their records go with the block's commit.
    pub(crate) fn included(&mut self, now: Mono, ids: &[TxId], effects: &mut Effects) {
        for id in ids {
            self.waiting.forget(id);
            self.recent.insert(id);
            self.settled(now, id, None, effects);
        }
    }

    /// The application has taken a block in that may not be durable yet. Answers those of its transactions that wait
    /// here, for [`Mempool::included`] once it is; there may be far more others, of which nothing need be kept.
    pub(crate) fn about_to_be_included(
        &mut self,
        now: Mono,
        ids: &[TxId],
        effects: &mut Effects,
    ) -> Vec<TxId> {
        let mut waiting = Vec::new();
        for id in ids {
            if self.waiting.record(id).is_some() {
                waiting.push(*id);
            } else {
                self.recent.insert(id);
                self.settled(now, id, None, effects);
            }
        }
        waiting.shrink_to_fit();
        waiting
    }

    /// The application will never put these into a block: their records are removed.
    pub(crate) fn stale(&mut self, ids: &[TxId], effects: &mut Effects) {
        for id in ids {
            if self.waiting.forget(id) == Some(Record::Durable) {
                effects.push(removal(*id));
            }
        }
    }

    pub(crate) fn holdings(&self, peers: usize) -> [Holding; 4] {
        [self.waiting.holding(), self.recent.holding(), self.asking.holding(peers), self.offering.holding()]
    }

    /// How much waits.
    pub(crate) const fn info(&self) -> MempoolInfo {
        self.waiting.info()
    }

    /// Whether a transaction waits here.
    pub(crate) fn state(&self, id: &TxId) -> TxState {
        if self.waiting.get(id).is_some() { TxState::Pending } else { TxState::NotPending }
    }

    fn lacks(&self, id: &TxId) -> bool {
        !self.recent.contains(id) && self.waiting.record(id).is_none()
    }

    /// A transaction need not be asked for any more. Whoever has thereby delivered all may go on.
    fn settled(&mut self, now: Mono, id: &TxId, from: Option<NodeId>, effects: &mut Effects) {
        if let Some(done) = self.asking.settled(now, id, from) {
            effects.push(Effect::Send(done, Message::TransactionWant(Vec::new())));
        }
    }

    fn push(&mut self, transaction: Message, effects: &mut Effects) {
        match self.role {
            Role::Masternode => effects.push(Effect::Broadcast(Recipients::Masternodes, transaction)),
            Role::Observer => {
                let few = self.offering.some(PUSHED_BY_OBSERVER);
                effects.extend(few.into_iter().map(|peer| Effect::Send(peer, transaction.clone())));
            }
        }
    }
}

const fn holder(peer: NodeId, seat: Option<MasternodeIndex>) -> Holder {
    match seat {
        Some(_) => Holder::Masternode(peer),
        None => Holder::Other(peer),
    }
}

fn reply(id: RequestId, reply: Reply) -> Effect {
    Effect::Event(Event::Reply { id, reply })
}

fn removal(id: TxId) -> Effect {
    Effect::Persist(RecordKey::Transaction(id), Bytes::new(), Binding::Nothing)
}

fn offer(to: NodeId, ids: Vec<TxId>, effects: &mut Effects) {
    if !ids.is_empty() {
        effects.push(Effect::Send(to, Message::TransactionOffer(ids)));
    }
}

fn want(asks: BTreeMap<NodeId, Vec<TxId>>, effects: &mut Effects) {
    effects.extend(asks.into_iter().map(|(from, ids)| Effect::Send(from, Message::TransactionWant(ids))));
}
