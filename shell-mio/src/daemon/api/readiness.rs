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

/// A masternode needs a quorum, itself included; an observer needs somebody to hear from.
fn peers(summary: &Summary, place: Place) -> Check {
    let name = "peers";
    if place.own == 0 {
        let detail = format!("{} peers are connected; an observer needs one", summary.connected_peers);
        return Check { name, ok: summary.connected_peers > 0, detail };
    }
    let up = summary.links.up + place.own;
    // Where fewer links are possible than a quorum needs, all of them are enough.
    let needed = place.quorum.min(summary.links.expected + place.own);
    // Before the first summary nothing is known, which is not readiness.
    let known = summary.links.expected > 0 || place.quorum <= place.own;
    let detail = format!("{up} of the {needed} masternodes needed are connected, this node included");
    Check { name, ok: known && up >= needed, detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timed_core::LinkCounts;

    fn failing(expected: usize, up: usize, offset: i64, place: Place, tick_ms: u64) -> Vec<&'static str> {
        let links = LinkCounts { expected, up, ..LinkCounts::default() };
        let summary = Summary { links, connected_peers: up, clock_offset_ms: offset, ..Summary::default() };
        checks(&summary, place, Duration::from_millis(tick_ms))
            .into_iter()
            .filter(|check| !check.ok)
            .map(|check| check.name)
            .collect()
    }

    #[test]
    fn ready_means_a_quorum_a_clock_and_a_living_loop() {
        let four = Place { quorum: 3, own: 1 };
        assert!(failing(3, 2, 0, four, 0).is_empty());
        assert_eq!(failing(3, 1, 0, four, 0), ["peers"]);
        assert_eq!(failing(0, 0, 0, four, 0), ["peers"]);
        assert_eq!(failing(3, 3, -5_001, four, 3_000), ["clock", "last_tick"]);
        let alone = Place { quorum: 1, own: 1 };
        assert!(failing(0, 0, 0, alone, 0).is_empty());
        let observer = Place { quorum: 3, own: 0 };
        assert_eq!(failing(0, 0, 0, observer, 0), ["peers"]);
        assert!(failing(0, 1, 0, observer, 0).is_empty());
    }
}
