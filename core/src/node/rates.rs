//! What a frame is charged before anything of it is looked at, and what becomes of one that is too many (rules A-1,
//! an observer's is dropped; a masternode's is not, unless it only asks for something, but its link is
//! read more slowly.

mod table;

use std::time::Duration;

use crate::command::{Command, Reading};
use crate::config::Config;
use crate::event::{Enforce, Event, Excessive, Handling, Offence, SyncState, TrafficClass};
use crate::ids::{ConnId, NodeId};
use crate::link::rates::{Excess, Meter, News, Passage, Pinged, Toll};
use crate::link::{Link, Pause};
use crate::net::scores::{Pace, Rank};
use crate::node::{Node, TimerKey};
use crate::registry::MAX_MASTERNODES;
use crate::time::{Mono, Now};
use crate::wire::frame::FrameKind;
use crate::wire::message::{Kind, Message};

pub(super) use table::Rates;

/// A signature that was verified in vain counts as so many messages more: what it cost is what bounds its rate.
const FORGED: u64 = 16;
/// A link is not read for no longer than this part of what its peer may wait for us: then it is read again, so that
/// neither of the two takes the other for dead or slow.
const PART_OF_PATIENCE: u32 = 4;

/// Whether a frame is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Metered {
    /// It is.
    Handle,
    /// It is one too many.
    Drop,
}

/// Whether something asks for an answer and says nothing. Beyond its rate nobody needs that answered, and answers may
/// cost far more than what asked for them.
const fn asks(toll: Toll) -> bool {
    let Some((class, _)) = toll.class else { return false };
    match class {
        TrafficClass::Liveness
        | TrafficClass::PayloadRequest
        | TrafficClass::BlockRequest
        | TrafficClass::TransactionOffer
        | TrafficClass::Addresses => true,
        TrafficClass::Heartbeat
        | TrafficClass::Consensus
        | TrafficClass::Payload
        | TrafficClass::Transaction
        | TrafficClass::Datagram
        | TrafficClass::Unknown
        | TrafficClass::Total => false,
    }
}

/// What the chain had come to before it was given a message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    forged: u64,
    answers: u64,
    news: u64,
}

impl Node {
    /// Charges a frame on a live link by its kind and its size.
    pub(super) fn meter(&mut self, now: Now, conn: ConnId, kind: FrameKind, body: usize) -> Metered {
        let Some(peering) = self.links.get_mut(conn).and_then(Link::peering_mut) else {
            return Metered::Handle;
        };
        let pinged = if peering.vitals.pinged.is_some() { Pinged::Waiting } else { Pinged::No };
        let Some(toll) = Toll::of(kind, body, pinged) else { return Metered::Handle };
        match peering.meter.pay(now.mono, &self.rates.rows, toll) {
            Passage::Free => Metered::Handle,
            Passage::Observed(excess) => {
                let peer = peering.peer;
                self.tell_excess(peer, excess, Enforce::Observe);
                Metered::Handle
            }
            Passage::Over(excess) => self.too_many(now, conn, toll, excess),
        }
    }

    fn too_many(&mut self, now: Now, conn: ConnId, toll: Toll, excess: Excess) -> Metered {
        let Some(peer) = self.links.get(conn).and_then(Link::peering).map(|peering| peering.peer) else {
            return Metered::Handle;
        };
        self.tell_excess(peer, excess, Enforce::On);
        let slowed = self.rank(&peer) != Rank::Other;
        let Some(peering) = self.links.get_mut(conn).and_then(Link::peering_mut) else {
            return Metered::Handle;
        };
        if slowed {
            peering.meter.owe(&self.rates.rows, toll);
            let wait = peering.meter.wait(now.mono, &self.rates.rows);
            self.pause(now, conn, wait);
            return if asks(toll) { Metered::Drop } else { Metered::Handle };
        }
        if peering.meter.has_lasted(now.mono) {
            self.offended(now, peer, Offence::Flood);
        }
        Metered::Drop
    }

    fn tell_excess(&mut self, peer: NodeId, Excess { class, news }: Excess, enforce: Enforce) {
        let counts = match enforce {
            Enforce::On => &mut self.counters.rate_exceeded,
            Enforce::Observe => &mut self.counters.rate_observed,
        };
        if let Some(count) = counts.get_mut(class.index()) {
            *count += 1;
        }
        if news == News::First {
            self.event(Event::RateExceeded { peer, class, enforce });
        }
    }

    // What a frame has cost beyond its kind and size, and what it is forgiven.

    /// What the chain has come to so far.
    pub(super) fn before(&self) -> Before {
        let counts = self.chain.as_ref().map(|chain| chain.counts()).unwrap_or_default();
        Before { forged: counts.forged, answers: counts.answers, news: counts.news }
    }

    /// The chain was given a message of this link: signatures that it verified in vain drain the link's bucket, and
    /// what was asked for is given back.
    pub(super) fn meter_chain(
        &mut self,
        now: Now,
        (conn, from): (ConnId, NodeId),
        kind: Kind,
        body: usize,
        before: Before,
    ) {
        let after = self.before();
        if after.news > before.news {
            self.useful(now, &from);
        }
        if after.answers > before.answers {
            self.forgive(conn, kind, body);
        }
        self.meter_forged(conn, TrafficClass::Consensus, after.forged - before.forged);
    }

    /// So many signatures that came with a class were verified in vain.
    pub(super) fn meter_forged(&mut self, conn: ConnId, class: TrafficClass, count: u64) {
        if count > 0
            && let Some(peering) = self.links.get_mut(conn).and_then(Link::peering_mut)
        {
            let toll = Toll::messages(class, count.saturating_mul(FORGED), 0);
            peering.meter.owe(&self.rates.rows, toll);
        }
    }

    fn forgive(&mut self, conn: ConnId, kind: Kind, body: usize) {
        if let Some(toll) = Toll::of(FrameKind::Known(kind), body, Pinged::No)
            && let Some(peering) = self.links.get_mut(conn).and_then(Link::peering_mut)
        {
            peering.meter.give_back(toll);
        }
    }

    /// A request of ours goes out on these links: its answers are not charged (rule A-2).
    pub(super) fn entitle(&mut self, conns: &[ConnId], request: &Message) {
        let Some(toll) = self.rates.entitlement(request) else { return };
        for conn in conns {
            if let Some(peering) = self.links.get_mut(*conn).and_then(Link::peering_mut) {
                peering.meter.give_back(toll);
            }
        }
    }

    // Reading more slowly.

    /// Bytes of a link were handled. One whose peer has the score for it, and is not banned for it, is left alone for
    /// a while (rule A-6).
    pub(super) fn slow_down(&mut self, now: Now, conn: ConnId) {
        let peer = self.links.get(conn).and_then(Link::peering).map(|peering| peering.peer);
        if peer.is_some_and(|peer| self.pace(now, &peer) == Pace::Slowed) {
            self.pause(now, conn, Duration::MAX);
        }
    }

    /// Leaves what a peer sends in the socket for a while.
    fn pause(&mut self, now: Now, conn: ConnId, wait: Duration) {
        let longest = self.longest_pause();
        let Some(peering) = self.links.get_mut(conn).and_then(Link::peering_mut) else { return };
        if peering.paused.is_some() {
            return;
        }
        let until = now.mono + wait.min(longest);
        peering.paused = Some(Pause { since: now.mono, until });
        self.commands.push_back(Command::Reading { conn, reading: Reading::Pause });
        self.timers.earlier(TimerKey::Link(conn), until);
    }

    /// The link's timer, while the link is not read: until when it is to rest, or none if it is read (again).
    pub(super) fn resting_until(&mut self, now: Now, conn: ConnId) -> Option<Mono> {
        let longest = self.longest_pause();
        let peering = self.links.get_mut(conn).and_then(Link::peering_mut)?;
        let mut pause = peering.paused?;
        if now.mono >= pause.until {
            let wait = peering.meter.wait(now.mono, &self.rates.rows);
            pause.until = (now.mono + wait).min(pause.since + longest);
        }
        if now.mono < pause.until {
            peering.paused = Some(pause);
            return Some(pause.until);
        }
        peering.paused = None;
        // What the peer said meanwhile has not been heard by our own doing.
        let heard = peering.vitals.heard + now.mono.since(pause.since);
        peering.vitals.heard = heard.min(now.mono);
        self.commands.push_back(Command::Reading { conn, reading: Reading::Resume });
        None
    }

    fn longest_pause(&self) -> Duration {
        let timings = &self.config.timings;
        let patience = timings.silent_after.saturating_sub(timings.ping_after).min(timings.write_timeout);
        patience / PART_OF_PATIENCE
    }

    // The table.

    /// Derives the rates anew if what they depend on has changed: the registry, or whether this node can know how
    /// large it is. What was used of the old ones is forgiven.
    pub(super) fn follow_rates(&mut self) {
        let masternodes = self.masternodes_assumed();
        if masternodes != self.rates.masternodes {
            self.derive_rates(masternodes);
        }
    }

    /// Other limits hold from now on.
    pub(super) fn rates_changed(&mut self) {
        self.derive_rates(self.masternodes_assumed());
    }

    fn derive_rates(&mut self, masternodes: usize) {
        let Config { timings, chain, limits, .. } = &self.config;
        self.rates = Rates::new(timings, chain.as_ref(), limits, masternodes);
        for peering in self.links.iter_mut().filter_map(Link::peering_mut) {
            peering.meter.forgive();
        }
    }

    /// How many masternodes honest peers may speak for: a node that lacks blocks may know of fewer than there are.
    fn masternodes_assumed(&self) -> usize {
        let behind = self.chain.as_ref().is_some_and(|chain| chain.sync_state() != SyncState::Synced);
        if behind { MAX_MASTERNODES } else { self.config.registry.size() }
    }

    /// What a live peer sends too much of at present, and what is done about it.
    pub(super) fn excessive(&self, now: Mono, peer: &NodeId, meter: &Meter) -> Option<Excessive> {
        let class = meter.recent(now)?;
        let enforce = self.config.limits.rates.of(class).enforce;
        let handling = match enforce {
            Enforce::Observe => Handling::Observed,
            Enforce::On if self.rank(peer) == Rank::Other => Handling::Dropped,
            Enforce::On => Handling::Slowed,
        };
        Some(Excessive { class, handling })
    }
}
