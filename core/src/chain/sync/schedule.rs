//! Who is asked for what (rule Y-2): one door, [`Sync::settle`], after everything that has changed something.
//!
//! Each idle peer is asked for the lowest range that nobody is asked for, at random among those that have it.
//! A peer holds its range while it brings something at least every [`DEADLINE`]; then what is missing of it is
//! asked of others. An idle peer *races* a range that has stood still for longer than answers usually take, at
//! once if the next block is in it, else when nothing new is left to ask: what comes first counts, and who was
//! overtaken is left alone for a while.
//! So a silent peer costs a few round trips, not three seconds. Masternodes race before anybody else: however
//! many strangers take requests only to sit on them, they are overtaken.

use std::time::Duration;

use super::heard::{Sources, Told};
use super::incoming::Incoming;
use super::wanted::Span;
use super::{Peer, Sync};
use crate::chain::effects::{Effect, Effects};
use crate::ids::{Height, NodeId};
use crate::limits::{MAX_FINAL_BLOCK, SYNC_BLOCK_LEAST};
use crate::time::Mono;
use crate::wire::message::{GetBlocks, Message};

/// A request that brings nothing for so long is given up; one that is not through after so long may be raced.
const DEADLINE: Duration = Duration::from_secs(3);
/// A request that has brought nothing at all for so long may be raced; sooner if answers usually come sooner.
pub(super) const SILENCE: Duration = Duration::from_millis(500);
/// It may be raced once so many times the usual time has passed, and never before [`LEAST_SILENCE`].
const UNUSUAL: u32 = 4;
const LEAST_SILENCE: Duration = Duration::from_millis(100);
/// A request that has brought something, but nothing more for so long, may be raced.
const STUTTER: Duration = Duration::from_millis(1500);
/// Bytes that a request is meant to bring.
pub(crate) const RANGE: usize = 256 * 1024;
/// Blocks that a request asks for at most.
pub(super) const RANGE_BLOCKS: usize = 512;

/// Blocks that a request asks for at least, if so many are missing.
const LEAST_SHARE: u64 = 16;

/// Whether a request may make room for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Urgency {
    /// It waits for room.
    Later,
    /// Nothing goes on without it: requests and blocks farthest from being applied make room.
    Lowest,
}

/// Which requests are raced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
enum Reach {
    /// The one for the very next block: nothing can be applied before it comes.
    Next,
    Everything,
}

/// Who is asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preference {
    None,
    Masternodes,
}

impl Sync {
    /// Decides everything anew: what is given up, what is asked, how far this node is, when to look again.
    pub(super) fn settle(&mut self, now: Mono, effects: &mut Effects) {
        self.give_up(now);
        self.end_overtaken(now);
        let told =
            self.peers.iter().map(|(id, peer)| Told { peer: *id, tip: peer.tip, delivered: peer.delivered });
        self.heard.weigh(now, told);
        self.race(now, Reach::Next, effects);
        self.ask(now, effects);
        self.race(now, Reach::Everything, effects);
        let has_source = self.peers.iter().any(|(id, peer)| {
            peer.tip > self.applied && self.distrusted.until(id).is_none_or(|until| until <= now)
        });
        let sources = if has_source { Sources::Some } else { Sources::None };
        self.state = self.heard.state(now, self.applied, sources);
        self.due = self.next_due(now);
    }

    /// Ends the request to a peer, if there is one: what is missing of it is wanted again.
    pub(super) fn release(&mut self, peer: &NodeId) {
        let Some(ended) = self.peers.get_mut(peer).and_then(|peer| peer.incoming.take()) else { return };
        for other in self.peers.values_mut().filter_map(|peer| peer.incoming.as_mut()) {
            other.raced_by.take_if(|by| *by == ended.id);
        }
        for height in ended.missing().into_iter().flat_map(|span| span.heights()) {
            self.restore(height);
        }
    }

    /// A height is wanted again, unless its block is here or somebody is asked for it.
    pub(super) fn restore(&mut self, height: Height) {
        let asked = |peer: &Peer| {
            let missing = peer.incoming.as_ref().and_then(Incoming::missing);
            missing.is_some_and(|span| span.contains(height))
        };
        if !self.is_here(height) && !self.peers.values().any(asked) {
            self.wanted.give_back(Span { first: height, last: height });
        }
    }

    /// A peer did not answer as it should have.
    pub(super) fn fail(&mut self, now: Mono, peer: &NodeId) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.failed(now, &mut self.rng);
        }
    }

    fn give_up(&mut self, now: Mono) {
        let silent =
            |peer: &Peer| peer.incoming.as_ref().is_some_and(|asked| now >= asked.progress + DEADLINE);
        while let Some(peer) = self.peers.iter().find(|(_, peer)| silent(peer)).map(|(id, _)| *id) {
            self.counts.timeouts += 1;
            self.release(&peer);
            self.fail(now, &peer);
        }
    }

    /// Ends requests of which others have brought the rest.
    fn end_overtaken(&mut self, now: Mono) {
        let slow = |peer: &Peer| peer.incoming.as_ref().is_some_and(|asked| now >= self.race_from(asked));
        let slow: Vec<NodeId> = self.peers.iter().filter(|(_, peer)| slow(peer)).map(|(id, _)| *id).collect();
        for id in slow {
            let asked = self.peers.get(&id).and_then(|peer| peer.incoming.as_ref());
            if asked.is_some_and(|asked| asked.missing().is_some() && self.lacking(asked).is_none()) {
                self.counts.overtaken += 1;
                self.release(&id);
                self.fail(now, &id);
            }
        }
    }

    /// Asks idle peers for what nobody is asked for.
    fn ask(&mut self, now: Mono, effects: &mut Effects) {
        let blocks = u64::try_from(self.settings.window / SYNC_BLOCK_LEAST).unwrap_or(u64::MAX);
        let highest = Height(self.applied.0.saturating_add(blocks));
        loop {
            let first = self.wanted.first();
            let Some(peer) = self.idle_peer(now, first, Preference::None) else { return };
            let urgency = if self.first_asked().is_none_or(|asked| asked > first) {
                Urgency::Lowest
            } else {
                Urgency::Later
            };
            let tip = self.peers.get(&peer).map_or(first, |peer| peer.tip);
            let count = self.range(first, tip);
            // The window's edge moves with each block: a range waits until it has become worth asking for.
            let room = highest.0.saturating_sub(first.0).saturating_add(1);
            if first > highest || (tip > highest && room < count && urgency == Urgency::Later) {
                return;
            }
            if !self.has_room(urgency) {
                return;
            }
            let Some(span) = self.wanted.take(count, tip.min(highest)) else { return };
            self.request(now, peer, span, effects);
        }
    }

    /// Asks idle peers for what others have not brought.
    fn race(&mut self, now: Mono, reach: Reach, effects: &mut Effects) {
        loop {
            let stale = self.peers.values().filter_map(|peer| peer.incoming.as_ref());
            let stale = stale.filter(|asked| asked.raced_by.is_none() && now >= self.race_from(asked));
            let lowest = stale.filter_map(|asked| Some((self.lacking(asked)?, asked.id)));
            let Some((span, id)) = lowest.min_by_key(|(span, _)| span.first) else { return };
            if reach == Reach::Next && span.first > self.applied.next() {
                return;
            }
            let Some(peer) = self.idle_peer(now, span.first, Preference::Masternodes) else { return };
            let lowest = self.wanted.first() > span.first && self.first_asked() == Some(span.first);
            if !self.has_room(if lowest { Urgency::Lowest } else { Urgency::Later }) {
                return;
            }
            let tip = self.peers.get(&peer).map_or(span.last, |peer| peer.tip);
            self.counts.races += 1;
            let racer = self.request(now, peer, Span { last: span.last.min(tip), ..span }, effects);
            let raced = self.peers.values_mut().filter_map(|peer| peer.incoming.as_mut());
            if let Some(raced) = raced.into_iter().find(|asked| asked.id == id) {
                raced.raced_by = Some(racer);
            }
        }
    }

    fn request(&mut self, now: Mono, peer: NodeId, span: Span, effects: &mut Effects) -> u64 {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.counts.requests += 1;
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.incoming = Some(Incoming::new(id, span, now));
        }
        let max_bytes = u32::try_from(MAX_FINAL_BLOCK).unwrap_or(u32::MAX);
        let get = GetBlocks { id, from: span.first, to: span.last, max_bytes };
        effects.push(Effect::Send(peer, Message::GetBlocks(get)));
        id
    }

    /// When a peer that is not asked for anything may be asked: not while it is left alone, and not while votes
    /// may still bring the one block that is missing.
    fn free_from(&self, id: &NodeId, peer: &Peer) -> Option<Mono> {
        if peer.incoming.is_some() || peer.tip <= self.applied {
            return None;
        }
        let behind = self.heard.target(self.applied) > self.applied.next();
        let grace = if behind { Mono(0) } else { peer.above_since + self.settings.grace };
        let trusted = self.distrusted.until(id).unwrap_or_default();
        Some(peer.not_before().max(trusted).max(grace))
    }

    /// One of the idle peers that have a height, at random.
    fn idle_peer(&mut self, now: Mono, height: Height, preference: Preference) -> Option<NodeId> {
        let free = self.peers.iter().filter(|(id, peer)| {
            peer.tip >= height && self.free_from(id, peer).is_some_and(|from| from <= now)
        });
        let mut free: Vec<NodeId> = free.map(|(id, _)| *id).collect();
        if preference == Preference::Masternodes && free.iter().any(|id| self.heard.is_masternode(id)) {
            free.retain(|id| self.heard.is_masternode(id));
        }
        let nth = if free.len() > 1 { self.rng.below(free.len() as u64) } else { 0 };
        free.get(usize::try_from(nth).unwrap_or(0)).copied()
    }

    /// How many blocks to ask for at once: towards the end no more than a fair share, so that all peers come to
    /// it together.
    fn range(&self, first: Height, tip: Height) -> u64 {
        let full = (RANGE / self.typical.max(1)).clamp(1, RANGE_BLOCKS) as u64;
        let sources = self.peers.values().filter(|peer| peer.tip >= first).count().max(1);
        let share = tip.next().0.saturating_sub(first.0).div_ceil(sources as u64);
        full.min(share.max(LEAST_SHARE))
    }

    /// What a request asks for and is not here, from the first missing block to the last height.
    fn lacking(&self, asked: &Incoming) -> Option<Span> {
        let span = asked.missing()?;
        let first = span.heights().find(|height| !self.is_here(*height))?;
        Some(Span { first, ..span })
    }

    /// The lowest height that somebody is asked for and that is not here.
    fn first_asked(&self) -> Option<Height> {
        let asked = self.peers.values().filter_map(|peer| peer.incoming.as_ref());
        asked.filter_map(|asked| Some(self.lacking(asked)?.first)).min()
    }

    /// Whether another request may be sent: all that it may bring must fit into the window.
    fn has_room(&mut self, urgency: Urgency) -> bool {
        let bound = self.settings.window;
        while urgency == Urgency::Lowest && self.reserved() + MAX_FINAL_BLOCK > bound {
            let Some(peer) = self.farthest_asked() else { return false };
            self.release(&peer);
        }
        let reserved = self.reserved() + MAX_FINAL_BLOCK;
        while urgency == Urgency::Lowest
            && reserved + self.window.bytes() > bound
            && let Some(height) = self.window.drop_highest()
        {
            self.restore(height);
        }
        reserved + self.window.bytes() <= bound
    }

    /// Bytes that requests may still bring.
    fn reserved(&self) -> usize {
        self.peers.values().filter_map(|peer| peer.incoming.as_ref()).map(Incoming::reserved).sum()
    }

    /// Whoever is asked for the highest range, if it is not the lowest missing block.
    fn farthest_asked(&self) -> Option<NodeId> {
        let lowest = self.first_asked().unwrap_or_default().min(self.wanted.first());
        let asked = self.peers.iter().filter_map(|(id, peer)| Some((peer.incoming.as_ref()?, id)));
        let firsts = asked.map(|(asked, id)| (self.lacking(asked).map(|span| span.first), *id));
        // One that lacks nothing any more goes before all others.
        let farthest = firsts.max_by_key(|(first, _)| first.map_or(u64::MAX, |height| height.0));
        farthest.filter(|(first, _)| first.is_none_or(|first| first > lowest)).map(|(_, id)| id)
    }

    /// When something is to be decided without an input: later than now.
    fn next_due(&self, now: Mono) -> Option<Mono> {
        let asked = || self.peers.values().filter_map(|peer| peer.incoming.as_ref());
        let given_up = asked().map(|asked| asked.progress + DEADLINE);
        let free: Vec<Mono> = self.peers.iter().filter_map(|(id, peer)| self.free_from(id, peer)).collect();
        let idle = free.iter().any(|from| *from <= now);
        let raced =
            asked().filter(|asked| idle && asked.raced_by.is_none()).map(|asked| self.race_from(asked));
        let all = given_up.chain(free.iter().copied()).chain(raced).chain(self.heard.changes(self.applied));
        all.filter(|at| *at > now).min()
    }

    /// From when on another peer may be asked for the same.
    fn race_from(&self, asked: &Incoming) -> Mono {
        let silence = if asked.brought() {
            STUTTER
        } else {
            (self.usual_answer * UNUSUAL).clamp(LEAST_SILENCE, SILENCE)
        };
        (asked.progress + silence).min(asked.asked + DEADLINE)
    }
}
