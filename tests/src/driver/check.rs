//! What holds after every call, whatever the calls are.

use std::collections::{BTreeMap, BTreeSet};

use timed_core::{Command, ConnId, Counters, Event, Limits, NodeId};

/// A connection as the shell knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Dialing,
    Accepted,
    Live(NodeId),
    /// The node ordered its end.
    Ordered,
}

/// Watches one node.
#[derive(Clone, Debug)]
pub(super) struct Check {
    limits: Limits,
    open: BTreeMap<ConnId, State>,
    used: BTreeSet<ConnId>,
    counters: Counters,
    ups: u64,
    downs: u64,
    dials: u64,
    pub(super) stale: u64,
    pub(super) fatal: bool,
    pub(super) stopped: bool,
}

impl Check {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            open: BTreeMap::new(),
            used: BTreeSet::new(),
            counters: Counters::default(),
            ups: 0,
            downs: 0,
            dials: 0,
            stale: 0,
            fatal: false,
            stopped: false,
        }
    }

    fn opened(&mut self, conn: ConnId, state: State) {
        assert!(self.used.insert(conn), "{conn} was given out twice");
        let same = |(other, _): (&ConnId, _)| other.index() == conn.index();
        assert!(!self.open.iter().any(same), "the index of {conn} is in use");
        self.open.insert(conn, state);
    }

    pub(super) fn accepted(&mut self, conn: ConnId) {
        assert!(!self.fatal, "accepted after the halt");
        self.opened(conn, State::Accepted);
    }

    /// The shell tells the end of a connection.
    pub(super) fn closed(&mut self, conn: ConnId) {
        if self.open.remove(&conn).is_none() {
            self.stale += 1;
        }
    }

    pub(super) fn is_open(&self, conn: ConnId) -> bool {
        self.open.contains_key(&conn)
    }

    pub(super) fn command(&mut self, command: &Command) {
        match command {
            Command::Dial { conn, .. } => {
                assert!(!self.fatal && !self.stopped, "dials after the end");
                self.dials += 1;
                self.opened(*conn, State::Dialing);
            }
            Command::Send { conn } => {
                let state = self.open.get(conn);
                assert!(state.is_some_and(|state| *state != State::Ordered), "{conn}: send in {state:?}");
            }
            Command::Reading { conn, .. } => assert!(self.is_open(*conn)),
            Command::Close { conn, .. } => {
                let before = self.open.insert(*conn, State::Ordered);
                assert!(before.is_some_and(|state| state != State::Ordered), "{conn}: close in {before:?}");
            }
            Command::Produce { .. }
            | Command::Validate { .. }
            | Command::Commit { .. }
            | Command::Load { .. }
            | Command::Resolve { .. } => {}
            Command::Persist { .. } => assert!(!self.fatal && !self.stopped, "writes after the end"),
            Command::Event(event) => self.event(event),
        }
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::LinkUp { conn, peer, .. } => {
                assert!(!self.fatal, "a link after the halt");
                self.ups += 1;
                let before = self.open.insert(*conn, State::Live(*peer));
                assert!(matches!(before, Some(State::Dialing | State::Accepted)), "{conn}: up in {before:?}");
            }
            Event::LinkDown { conn, peer, .. } => {
                self.downs += 1;
                // The order to close follows, unless the socket is gone.
                let state = self.open.get_mut(conn);
                if let Some(state) = state {
                    assert_eq!(*state, State::Live(*peer), "{conn} goes down");
                    *state = State::Accepted;
                }
            }
            Event::Fatal(_) => {
                assert!(!self.fatal, "halts twice");
                self.fatal = true;
            }
            Event::Stopped => {
                assert!(self.open.is_empty(), "stopped with open connections: {:?}", self.open);
                assert!(!self.stopped, "stops twice");
                self.stopped = true;
            }
            _ => {}
        }
    }

    /// After a call whose commands are all taken.
    pub(super) fn settled(&self) {
        let mut peers = BTreeSet::new();
        for state in self.open.values() {
            if let State::Live(peer) = state {
                assert!(peers.insert(*peer), "two live links with {peer}");
            }
        }
        assert!(peers.len() <= self.limits.max_peers, "{} live sessions", peers.len());
        let count = |wanted| self.open.values().filter(|state| **state == wanted).count();
        assert!(count(State::Accepted) <= self.limits.unauthenticated, "{:?}", self.open);
        assert!(count(State::Dialing) <= self.limits.dialing, "{:?}", self.open);
    }

    /// What the node says of itself agrees with what it was seen to do.
    pub(super) fn counters(&mut self, now: Counters, connected: usize) {
        let old = self.counters;
        let grows = [
            (old.dials, now.dials, "dials"),
            (old.knocks, now.knocks, "knocks"),
            (old.probes, now.probes, "probes"),
            (old.probes_answered, now.probes_answered, "probes_answered"),
            (old.links_up, now.links_up, "links_up"),
            (old.links_down, now.links_down, "links_down"),
            (old.stale_inputs, now.stale_inputs, "stale_inputs"),
            (old.clock_backwards, now.clock_backwards, "clock_backwards"),
            (old.freezes, now.freezes, "freezes"),
            (old.unknown_frames, now.unknown_frames, "unknown_frames"),
            (old.inbound_refused, now.inbound_refused, "inbound_refused"),
            (old.heartbeats, now.heartbeats, "heartbeats"),
            (old.heartbeat_repeats, now.heartbeat_repeats, "heartbeat_repeats"),
            (old.heartbeats_invalid, now.heartbeats_invalid, "heartbeats_invalid"),
            (old.block_requests, now.block_requests, "block_requests"),
            (old.block_races, now.block_races, "block_races"),
            (old.block_answers_unasked, now.block_answers_unasked, "block_answers_unasked"),
            (old.block_requests_failed, now.block_requests_failed, "block_requests_failed"),
            (old.blocks_fetched, now.blocks_fetched, "blocks_fetched"),
            (old.blocks_surplus, now.blocks_surplus, "blocks_surplus"),
            (old.blocks_rejected, now.blocks_rejected, "blocks_rejected"),
            (old.block_requests_served, now.block_requests_served, "block_requests_served"),
            (old.block_requests_refused, now.block_requests_refused, "block_requests_refused"),
            (old.blocks_served, now.blocks_served, "blocks_served"),
            (old.block_bytes_served, now.block_bytes_served, "block_bytes_served"),
        ];
        for (before, after, name) in grows {
            assert!(before <= after, "{name} fell from {before} to {after}");
        }
        assert_eq!(now.links_up, self.ups);
        assert_eq!(now.links_down, self.downs);
        assert_eq!(now.dials, self.dials);
        assert_eq!(now.stale_inputs, self.stale, "inputs with a stale id");
        let live = self.open.values().filter(|state| matches!(state, State::Live(_))).count();
        assert_eq!(connected, live, "sessions in the pool and links told");
        self.counters = now;
    }
}
