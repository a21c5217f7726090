//! An observer's poor links to other observers, replaced before they break (rule S-6): first another link, then
//! the goodbye. Links to masternodes and to reserved peers are kept whatever they are like.

use std::time::Duration;

use crate::event::{CloseReason, ClosedBy, SlotClass};
use crate::ids::NodeId;
use crate::net::peer::Peer;
use crate::net::pool::seeker;
use crate::net::slots::Seeker;
use crate::node::{Node, Run, TimerKey};
use crate::time::{Mono, Now};
use crate::wire::message::Role;

/// Between two looks at all links of one's own choice.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// A link is replaced when it has been poor for so long without a break.
pub(super) const POOR_FOR: Duration = Duration::from_secs(120);
/// How long the other link may take to become live.
const TRIED_FOR: Duration = Duration::from_secs(30);
/// Between the end of one attempt and the next.
const PAUSE: Duration = Duration::from_secs(300);

/// Where the replacing of poor links stands: one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(super) enum Replacing {
    /// None is under way, and none begins before this time.
    NotBefore(Mono),
    /// This link is poor; another one is sought until then.
    By {
        /// The peer of the poor link.
        poor: NodeId,
        /// The peer that is to take its place.
        other: NodeId,
        /// After this time it has failed.
        until: Mono,
    },
}

impl Node {
    /// Arms the timer where this node has links of its own choice: a masternode's are given by the registry.
    pub(super) fn watch_quality(&mut self, now: Now) {
        let chooses = self.run == Run::Working && self.identity.role == Role::Observer;
        self.timers.set(TimerKey::Quality, chooses.then(|| now.mono + LOOK_EVERY));
    }

    pub(super) fn look_at_quality(&mut self, now: Now) {
        self.watch_quality(now);
        let poor = self.longest_poor(now);
        match self.replacing {
            Replacing::By { poor, other, until } => self.replace(now, poor, other, until),
            Replacing::NotBefore(at) if now.mono < at => {}
            Replacing::NotBefore(_) => {
                if let Some(poor) = poor
                    && let Some(other) = self.turn_to_another(now)
                {
                    self.replacing = Replacing::By { poor, other, until: now.mono + TRIED_FOR };
                }
            }
        }
    }

    /// Judges every link of this node's choice; answers the one that has been poor for longest, and long enough.
    fn longest_poor(&mut self, now: Now) -> Option<NodeId> {
        let chosen = |peer: &Peer| seeker(peer) == Seeker::Us && self.pool.class(peer) == SlotClass::Observer;
        let healths: Vec<(NodeId, u8)> = self
            .pool
            .live()
            .filter(|(peer, _)| chosen(peer))
            .filter_map(|(peer, conn)| Some((peer.id, self.health(now, peer, conn)?)))
            .collect();
        let mut longest = None;
        for (id, health) in healths {
            let poor_for = self.pool.get_mut(&id).and_then(|peer| peer.quality.judged(now.mono, health));
            if let Some(poor_for) = poor_for.filter(|poor_for| *poor_for >= POOR_FOR) {
                longest = longest.max(Some((poor_for, id)));
            }
        }
        longest.map(|(_, id)| id)
    }

    /// Dials another observer, if there is a place and somebody to turn to: a candidate from the book that has
    /// neither failed nor refused, else one that has been here: any of those that have failed and refused least.
    fn turn_to_another(&mut self, now: Now) -> Option<NodeId> {
        if !self.pool.has_room() {
            return None;
        }
        let strikes = |peer: &Peer| peer.dialing.backoff.strikes();
        let candidate = self.choose_candidates(now, 1).pop();
        let blameless = |id: &NodeId| self.pool.get(id).is_none_or(|peer| strikes(peer) == 0);
        if let Some(candidate) = candidate.filter(|candidate| blameless(&candidate.id)) {
            let id = candidate.id;
            self.dial_candidate(now, candidate);
            return Some(id);
        }
        let free =
            |peer: &&Peer| peer.addr.is_some_and(|addr| !self.bans.concern(now.mono, &peer.id, addr.ip()));
        let known: Vec<&Peer> = self.pool.replacements(now.mono).filter(free).collect();
        let least = known.iter().map(|peer| strikes(peer)).min()?;
        let known: Vec<NodeId> =
            known.iter().filter(|peer| strikes(peer) == least).map(|peer| peer.id).collect();
        let which = usize::try_from(self.rng.below(known.len() as u64)).unwrap_or(0);
        let other = known.get(which).copied()?;
        self.dial_once(now, other);
        Some(other)
    }

    /// The poor link ends once the other one is live; it stays if that fails, or if it is poor no more.
    fn replace(&mut self, now: Now, poor: NodeId, other: NodeId, until: Mono) {
        let live = |id: &NodeId| self.pool.get(id).and_then(|peer| Some((peer, peer.live?.conn)));
        let old = live(&poor).filter(|(peer, _)| peer.quality.poor_since.is_some()).map(|(_, conn)| conn);
        let stands = live(&other).is_some();
        if !stands && old.is_some() && now.mono < until {
            return;
        }
        self.replacing = Replacing::NotBefore(now.mono + PAUSE);
        // Else the other one takes the place of a link that broke meanwhile, or is one more; or it had its chance.
        if let (true, Some(conn)) = (stands, old) {
            if let Some(peer) = self.pool.get_mut(&poor) {
                peer.seek_no_more();
            }
            self.end(now, conn, CloseReason::PoorLink, ClosedBy::Us);
        }
    }
}
