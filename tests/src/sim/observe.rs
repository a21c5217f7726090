//! What a process shows to the outside: its live links, its dials, and the facts it reports.

use std::collections::VecDeque;

use timed_core::{
    CanonicalAddr, CloseReason, ConnId, DialedBecause, Direction, Event, LinkTag, NodeId, Summary,
};

use super::clock::SimTime;

/// Facts kept of one process; heartbeats and snapshots are counted only.
const FACTS_KEPT: usize = 20_000;

/// A live link as one end reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveLink {
    /// Its connection.
    pub conn: ConnId,
    /// The other end.
    pub peer: NodeId,
    /// Who dialed.
    pub direction: Direction,
    /// Why it was dialed.
    pub because: DialedBecause,
    /// Its name, the same at both ends.
    pub session: LinkTag,
    /// Since when.
    pub since: SimTime,
}

/// Everything that one process has shown since its start.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When it started.
    pub started: SimTime,
    /// Its live links, as `LinkUp` and `LinkDown` say, in the order in which they came up.
    pub live: Vec<LiveLink>,
    /// `Dial` commands: when and where to, oldest first.
    pub dials: Vec<(SimTime, CanonicalAddr)>,
    /// Facts, oldest first, without heartbeats, snapshots and replies.
    pub facts: VecDeque<(SimTime, Event)>,
    /// Heartbeats verified for the first time.
    pub heartbeats: u64,
    /// The newest snapshot.
    pub summary: Option<Summary>,
    /// Bytes written to sockets.
    pub bytes_sent: u64,
    /// Wake-ups.
    pub wakes: u64,
}

impl Seen {
    pub(crate) const fn new(started: SimTime) -> Self {
        Self {
            started,
            live: Vec::new(),
            dials: Vec::new(),
            facts: VecDeque::new(),
            heartbeats: 0,
            summary: None,
            bytes_sent: 0,
            wakes: 0,
        }
    }

    /// The live link to a peer.
    #[must_use]
    pub fn link(&self, peer: &NodeId) -> Option<&LiveLink> {
        self.live.iter().find(|link| link.peer == *peer)
    }

    /// How many facts are of a kind.
    #[must_use]
    pub fn count(&self, is: impl Fn(&Event) -> bool) -> usize {
        self.facts.iter().filter(|(_, event)| is(event)).count()
    }

    /// The facts from a time on.
    pub fn facts_since(&self, since: SimTime) -> impl Iterator<Item = &Event> {
        self.facts.iter().filter(move |(at, _)| *at >= since).map(|(_, event)| event)
    }

    /// Dials from a time on.
    #[must_use]
    pub fn dials_since(&self, since: SimTime) -> usize {
        self.dials.iter().rev().take_while(|(at, _)| *at >= since).count()
    }

    /// Reasons for which live links ended from a time on.
    #[must_use]
    pub fn downs_since(&self, since: SimTime) -> Vec<(NodeId, CloseReason)> {
        let down = |event: &Event| match event {
            Event::LinkDown { peer, reason, .. } => Some((*peer, *reason)),
            _ => None,
        };
        self.facts_since(since).filter_map(down).collect()
    }

    /// Takes a fact in.
    pub(crate) fn event(&mut self, now: SimTime, event: &Event) {
        match event {
            Event::LinkUp { conn, peer, direction, because, session, .. } => self.live.push(LiveLink {
                conn: *conn,
                peer: *peer,
                direction: *direction,
                because: *because,
                session: *session,
                since: now,
            }),
            Event::LinkDown { conn, .. } => self.live.retain(|link| link.conn != *conn),
            Event::Heartbeat { .. } => {
                self.heartbeats += 1;
                return;
            }
            Event::Summary(summary) => {
                self.summary = Some(*summary);
                return;
            }
            Event::Sample(_) => return,
            Event::Reply { .. } => return,
            _ => {}
        }
        if self.facts.len() == FACTS_KEPT {
            self.facts.pop_front();
        }
        self.facts.push_back((now, event.clone()));
    }
}
