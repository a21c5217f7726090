//! What masternodes are told of the transactions that wait here (rule X-3): everything on a new link, and what
//! was submitted here again every [`PASS`] until it is in a block, since a push or an answer may be lost.
//!
//! A peer is offered one slice of ids at a time. It answers with what it wants of them, and with an empty want
//! when it wants no more: that draws the next slice. So the peer sets the pace. What is served at once is bounded;
//! the rest of a want is offered again behind it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::chain::mempool::waiting::{Holder, Place, Waiting, cost};
use crate::ids::{NodeId, TxId};
use crate::limits::{Holding, MAX_OFFERED, holding};
use crate::registry::MAX_MASTERNODES;
use crate::time::Mono;

/// How often what was submitted here is offered again.
pub(crate) const PASS: Duration = Duration::from_secs(5);
/// The time in which a peer is served as much as the mempool can hold: an honest one wants each transaction once.
pub(super) const SERVED_WINDOW: Duration = Duration::from_secs(10);

/// A masternode on a live link, and how far it has been told.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
struct Told {
    /// The next place to offer.
    at: Place,
    /// Where the pass ends.
    until: Place,
    /// Whose transactions are offered; of everybody if none.
    only: Option<Holder>,
    /// When the offer was made that it has not answered.
    unanswered: Option<Mono>,
    /// When the window began, and what was served in it.
    served: (Mono, usize),
}

/// What a want is answered.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Served {
    /// These at once.
    pub(super) transactions: Vec<Bytes>,
    /// Then these are offered again.
    pub(super) rest: Vec<TxId>,
}

/// The masternodes that are told.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(super) struct Offering {
    peers: BTreeMap<NodeId, Told>,
    /// Bytes served at once.
    at_once: usize,
    /// Bytes served to one peer in a window.
    budget: usize,
    /// Where the order ended at the last pass: what came since has had less than [`PASS`] to reach a block.
    settled: Place,
    next_pass: Option<Mono>,
    /// Turns with each push to a few.
    turn: usize,
}

impl Offering {
    /// Nobody is told yet.
    pub(super) const fn new(at_once: usize, budget: usize) -> Self {
        Self { peers: BTreeMap::new(), at_once, budget, settled: Place::START, next_pass: None, turn: 0 }
    }

    pub(super) fn holding(&self) -> Holding {
        holding("masternodes that are told of transactions", self.peers.len(), MAX_MASTERNODES)
    }

    /// A link to a masternode stands: answers the first offer, if this is news.
    pub(super) fn up(&mut self, now: Mono, peer: NodeId, waiting: &Waiting) -> Vec<TxId> {
        if self.peers.contains_key(&peer) {
            return Vec::new();
        }
        let told =
            Told { at: Place::START, until: waiting.end(), only: None, unanswered: None, served: (now, 0) };
        self.peers.insert(peer, told);
        self.next(now, &peer, waiting)
    }

    /// A link has ended, or its peer is no masternode any more.
    pub(super) fn down(&mut self, peer: &NodeId) {
        self.peers.remove(peer);
    }

    /// A peer wants no more of what it was offered: answers the next offer.
    pub(super) fn answered(&mut self, now: Mono, peer: &NodeId, waiting: &Waiting) -> Vec<TxId> {
        if let Some(told) = self.peers.get_mut(peer) {
            told.unanswered = None;
        }
        self.next(now, peer, waiting)
    }

    /// A peer wants these.
    pub(super) fn serve(&mut self, now: Mono, peer: &NodeId, ids: &[TxId], waiting: &Waiting) -> Served {
        let mut served = Served::default();
        let Some(told) = self.peers.get_mut(peer) else { return served };
        if now.since(told.served.0) >= SERVED_WINDOW {
            told.served = (now, 0);
        }
        let mut room = self.at_once;
        for (id, bytes) in ids.iter().filter_map(|id| Some((*id, waiting.get(id)?))) {
            let cost = cost(bytes.len());
            // At least one, however large.
            if cost > room && !served.transactions.is_empty() {
                served.rest.push(id);
            } else if told.served.1 + cost <= self.budget {
                told.served.1 += cost;
                room = room.saturating_sub(cost);
                served.transactions.push(bytes.clone());
            }
        }
        if !served.rest.is_empty() {
            told.unanswered = Some(now);
        }
        served
    }

    /// A few of the masternodes, others each time.
    pub(super) fn some(&mut self, count: usize) -> Vec<NodeId> {
        self.turn = self.turn.wrapping_add(1);
        let skip = self.turn % self.peers.len().max(1);
        self.peers.keys().cycle().skip(skip).take(count.min(self.peers.len())).copied().collect()
    }

    /// When the next pass is due.
    pub(super) const fn deadline(&self) -> Option<Mono> {
        self.next_pass
    }

    /// Sees to it that a pass follows while something waits that was submitted here.
    pub(super) fn arm(&mut self, now: Mono) {
        self.next_pass.get_or_insert(now + PASS);
    }

    /// Begins a pass if it is due; answers what to offer to whom.
    pub(super) fn pass(&mut self, now: Mono, waiting: &Waiting) -> Vec<(NodeId, Vec<TxId>)> {
        if self.next_pass.is_none_or(|at| now < at) {
            return Vec::new();
        }
        let any = waiting.starting_at(Place::START, Some(Holder::Here)).next().is_some();
        self.next_pass = any.then(|| now + PASS);
        let until = std::mem::replace(&mut self.settled, waiting.end());
        let free = |told: &Told| told.unanswered.is_none_or(|since| now.since(since) >= PASS);
        let peers: Vec<NodeId> =
            self.peers.iter().filter(|(_, told)| free(told)).map(|(peer, _)| *peer).collect();
        let mut offers = Vec::new();
        for peer in peers {
            let mut ids = self.next(now, &peer, waiting);
            if ids.is_empty()
                && let Some(told) = self.peers.get_mut(&peer)
            {
                *told = Told { at: Place::START, until, only: Some(Holder::Here), ..*told };
                ids = self.next(now, &peer, waiting);
            }
            offers.push((peer, ids));
        }
        offers
    }

    /// The next slice for a peer; empty at the end of its pass.
    fn next(&mut self, now: Mono, peer: &NodeId, waiting: &Waiting) -> Vec<TxId> {
        let Some(told) = self.peers.get_mut(peer) else { return Vec::new() };
        let slice: Vec<(Place, TxId)> = waiting
            .starting_at(told.at, told.only)
            .take_while(|(place, _)| *place < told.until)
            .take(MAX_OFFERED)
            .collect();
        told.at = slice.last().map_or(told.until, |(place, _)| place.next());
        told.unanswered = slice.last().map(|_| now);
        slice.into_iter().map(|(_, id)| id).collect()
    }
}
