//! Whether the node is ready to serve, as a list of checks.

use std::time::Duration;

use serde::Serialize;
use timed_core::{NotProducing, Producing, Summary, SyncState};

/// A last tick older than this means that the loop hangs.
const TICK_WITHIN: Duration = Duration::from_secs(3);
/// Peers' signed clocks may differ from ours by this much.
const CLOCK_WITHIN_MS: u64 = 5_000;
/// A node that lacks no more blocks than this is about to have them.
const BEHIND_AT_MOST: u64 = 2;

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    name: &'static str,
    pub(super) ok: bool,
    detail: String,
}

/// What this node is in its network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Masternodes that decide together.
    pub(super) quorum: usize,
    /// Masternodes that this node itself counts for: one or none.
    pub(super) own: usize,
}

/// The checks of one moment.
pub(super) fn checks(summary: &Summary, place: Place, last_tick: Duration) -> Vec<Check> {
    vec![
        peers(summary, place),
        clock(summary),
        Check {
            name: "last_tick",
            ok: last_tick < TICK_WITHIN,
            detail: format!("the core last acted {} ms ago", last_tick.as_millis()),
        },
        sync(summary),
        staying(summary),
    ]
}

/// A clock that keeps this node from proposing is off, however little that is.
fn clock(summary: &Summary) -> Check {
    let offset = summary.clock_offset_ms;
    let (ok, detail) = match summary.producing {
        Producing::No(why @ NotProducing::Clock { .. }) => (false, why.to_string()),
        _ => (
            offset.unsigned_abs() <= CLOCK_WITHIN_MS,
            format!("the peers' clocks are {} ms {}", offset.unsigned_abs(), side(offset)),
        ),
    };
    Check { name: "clock", ok, detail }
}

const fn side(offset: i64) -> &'static str {
    if offset < 0 { "behind" } else { "ahead" }
}

/// A node that lacks blocks answers with what is old.
fn sync(summary: &Summary) -> Check {
    let height = summary.height;
    let (ok, detail) = match (summary.producing, summary.sync) {
        (Producing::No(why @ NotProducing::NoChain), _) => (true, why.to_string()),
        (Producing::No(why @ NotProducing::Starting), _) => (false, why.to_string()),
        (_, SyncState::Synced) => (true, format!("synced at height {height}")),
        (_, SyncState::Syncing { target, .. }) => (
            target.0.saturating_sub(height.0) <= BEHIND_AT_MOST,
            format!("catching up: at height {height}, the network is at {target}"),
        ),
        (_, SyncState::Stalled { target, .. }) => (
            false,
            format!("at height {height}, the network is at {target}, and no linked peer has what is missing"),
        ),
    };
    Check { name: "sync", ok, detail }
}

/// Whoever balances load over nodes turns to another one before this one stops.
fn staying(summary: &Summary) -> Check {
    let detail = match summary.leaving {
        Some(lasts) => format!("this node is about to be away for up to {} s, as ordered", lasts.as_secs()),
        None => "no absence is announced".to_owned(),
    };
    Check { name: "staying", ok: summary.leaving.is_none(), detail }
}

/// A masternode needs a quorum, itself included; an observer needs somebody to hear from.
fn peers(summary: &Summary, place: Place) -> Check {
    let name = "peers";
    if place.own == 0 {
        let detail = format!("{} peers are connected; an observer needs one", summary.connected_peers);
        return Check { name, ok: summary.connected_peers > 0, detail };
    }
    let up = summary.links.up + place.own;
    // Where fewer links are possible than a quorum needs, all of them are enough.
    let needed = place.quorum.min(summary.links.expected + summary.links.absent + place.own);
    // Before the first summary nothing is known, which is not readiness.
    let known = summary.links.expected > 0 || place.quorum <= place.own;
    let detail = format!("{up} of the {needed} masternodes needed are connected, this node included");
    Check { name, ok: known && up >= needed, detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timed_core::{Height, LinkCounts};

    const FOUR: Place = Place { quorum: 3, own: 1 };

    fn failing(expected: usize, up: usize, offset: i64, place: Place, tick_ms: u64) -> Vec<&'static str> {
        let links = LinkCounts { expected, up, ..LinkCounts::default() };
        let producing = Producing::No(NotProducing::Observer);
        let connected_peers = up;
        let summary =
            Summary { links, connected_peers, clock_offset_ms: offset, producing, ..Summary::default() };
        names(&summary, place, tick_ms)
    }

    fn names(summary: &Summary, place: Place, tick_ms: u64) -> Vec<&'static str> {
        let checks = checks(summary, place, Duration::from_millis(tick_ms)).into_iter();
        checks.filter(|check| !check.ok).map(|check| check.name).collect()
    }

    #[test]
    fn a_node_that_lacks_blocks_is_not_ready_but_one_a_block_late_is() {
        let links = LinkCounts { expected: 3, up: 3, ..LinkCounts::default() };
        let at = |producing, sync| {
            let summary = Summary { links, height: Height(7), producing, sync, ..Summary::default() };
            names(&summary, FOUR, 0)
        };
        let syncing = |target| SyncState::Syncing { height: Height(7), target: Height(target) };
        let ready: [&str; 0] = [];
        assert_eq!(at(Producing::Yes, SyncState::Synced), ready);
        assert_eq!(at(Producing::Yes, syncing(9)), ready);
        assert_eq!(at(Producing::Yes, syncing(10)), ["sync"]);
        let stalled = SyncState::Stalled { height: Height(7), target: Height(8) };
        assert_eq!(at(Producing::Yes, stalled), ["sync"]);
        assert_eq!(at(Producing::No(NotProducing::Starting), SyncState::Synced), ["sync"]);
        assert_eq!(at(Producing::No(NotProducing::Clock { offset_ms: 300 }), SyncState::Synced), ["clock"]);
    }

    #[test]
    fn ready_means_a_quorum_a_clock_and_a_living_loop() {
        assert!(failing(3, 2, 0, FOUR, 0).is_empty());
        assert_eq!(failing(3, 1, 0, FOUR, 0), ["peers"]);
        assert_eq!(failing(0, 0, 0, FOUR, 0), ["peers"]);
        assert_eq!(failing(3, 3, -5_001, FOUR, 3_000), ["clock", "last_tick"]);
        let without = LinkCounts { expected: 1, up: 1, absent: 2, ..LinkCounts::default() };
        let producing = Producing::No(NotProducing::Observer);
        let two_away = Summary { links: without, producing, ..Summary::default() };
        assert_eq!(names(&two_away, FOUR, 0), ["peers"], "who is away as announced is no part of a quorum");
        let leaving = Some(Duration::from_secs(9));
        let links = LinkCounts { expected: 3, up: 3, ..LinkCounts::default() };
        assert_eq!(names(&Summary { links, leaving, producing, ..Summary::default() }, FOUR, 0), ["staying"]);
        let alone = Place { quorum: 1, own: 1 };
        assert!(failing(0, 0, 0, alone, 0).is_empty());
        let observer = Place { quorum: 3, own: 0 };
        assert_eq!(failing(0, 0, 0, observer, 0), ["peers"]);
        assert!(failing(0, 1, 0, observer, 0).is_empty());
    }
}
