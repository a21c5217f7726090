//! Totals by reason, counted where the log lines are made.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use timed_core::{CloseReason, CommittedVia};

/// What is counted by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Total {
    /// Live links that ended.
    LinkClosed,
    /// Dials that led to no session.
    DialFailed,
    /// Inbound handshakes that led to no session.
    InboundFailed,
}

/// What is counted about blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChainTotal {
    /// Final blocks that came by this node's own votes.
    CommittedByConsensus,
    /// Final blocks that were fetched.
    CommittedBySync,
    /// Proposals of this node.
    Proposed,
    /// Rounds after the first of a height.
    LaterRound,
    /// Proofs of equivocation.
    Equivocation,
}

impl From<CommittedVia> for ChainTotal {
    fn from(via: CommittedVia) -> Self {
        match via {
            CommittedVia::Consensus => Self::CommittedByConsensus,
            CommittedVia::Sync => Self::CommittedBySync,
        }
    }
}

/// Upper bounds of the lateness of blocks, in milliseconds: from a fast network's to a round that failed.
const LATENESS_BOUNDS_MS: [u64; 13] =
    [10, 25, 50, 100, 200, 300, 500, 1_000, 2_000, 3_000, 5_000, 10_000, 30_000];

/// The names of warnings; the last stands for those of later versions.
const WARNINGS: [&str; 17] = [
    "cache_set_aside",
    "clock_backwards",
    "clock_skew",
    "epoch_in_future",
    "epoch_raised",
    "foreign_signature",
    "frozen",
    "key_in_use",
    "masternodes_banned",
    "own_address",
    "seen_elsewhere",
    "self_suspected",
    "version_unsupported",
    "wrong_genesis",
    "wrong_magic",
    "wrong_network",
    "other",
];

/// Counters by reason, shared between the event loop and the API.
#[derive(Debug)]
pub(crate) struct Totals {
    by_reason: [Vec<AtomicU64>; 3],
    chain: [AtomicU64; 5],
    /// Blocks by lateness: a place for each bound, and one for those beyond the last.
    lateness: [AtomicU64; LATENESS_BOUNDS_MS.len() + 1],
    lateness_sum_ms: AtomicU64,
    /// Thousandths of a block a second while this node catches up; zero while it does not.
    sync_rate: AtomicU64,
    suppressed: AtomicU64,
    warnings: [AtomicU64; WARNINGS.len()],
}

impl Totals {
    /// All zero.
    pub(crate) fn new() -> Self {
        let zeros = || CloseReason::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        Self {
            by_reason: [zeros(), zeros(), zeros()],
            chain: Default::default(),
            lateness: Default::default(),
            lateness_sum_ms: AtomicU64::new(0),
            sync_rate: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
            warnings: Default::default(),
        }
    }

    /// Counts one.
    pub(crate) fn count(&self, total: Total, reason: CloseReason) {
        let position = CloseReason::ALL.iter().position(|known| *known == reason);
        let counters = &self.by_reason[total as usize];
        if let Some(counter) = position.and_then(|position| counters.get(position)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts one about blocks.
    pub(crate) fn count_chain(&self, total: ChainTotal) {
        self.chain[total as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a block that became final so long after the start of its slot.
    pub(crate) fn count_lateness(&self, late: Duration) {
        let late = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        let place = LATENESS_BOUNDS_MS.iter().position(|bound| late <= *bound);
        self.lateness[place.unwrap_or(LATENESS_BOUNDS_MS.len())].fetch_add(1, Ordering::Relaxed);
        self.lateness_sum_ms.fetch_add(late, Ordering::Relaxed);
    }

    /// Notes how fast this node catches up: blocks a second, zero while it does not.
    pub(crate) fn set_sync_rate(&self, rate: f64) {
        // Saturates: no disk stores 10^16 blocks a second.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        self.sync_rate.store((rate * 1000.0) as u64, Ordering::Relaxed);
    }

    /// How fast this node catches up: blocks a second, if that is known.
    pub(crate) fn sync_rate(&self) -> Option<f64> {
        let rate = self.sync_rate.load(Ordering::Relaxed);
        (rate > 0).then_some(rate as f64 / 1000.0)
    }

    /// A total about blocks.
    pub(super) fn chain(&self, total: ChainTotal) -> u64 {
        self.chain[total as usize].load(Ordering::Relaxed)
    }

    /// Counts a log line that was left out.
    pub(crate) fn count_suppressed(&self) {
        self.suppressed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a warning to the operator, by its stable name.
    pub(crate) fn count_warning(&self, name: &str) {
        let position = WARNINGS.iter().position(|known| *known == name);
        if let Some(counter) = self.warnings.get(position.unwrap_or(WARNINGS.len() - 1)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Warnings to the operator, by name.
    pub(super) fn warnings(&self) -> impl Iterator<Item = (&'static str, u64)> {
        WARNINGS.into_iter().zip(self.warnings.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Log lines that were left out.
    pub(super) fn suppressed(&self) -> u64 {
        self.suppressed.load(Ordering::Relaxed)
    }

    /// Blocks that were not later than each bound, in seconds; last those of any lateness.
    pub(super) fn lateness(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds =
            LATENESS_BOUNDS_MS.into_iter().map(|bound| Some(Duration::from_millis(bound))).chain([None]);
        bounds.zip(&self.lateness).scan(0, |below, (bound, count)| {
            *below += count.load(Ordering::Relaxed);
            Some((bound, *below))
        })
    }

    /// The lateness of all blocks together.
    pub(super) fn lateness_sum(&self) -> Duration {
        Duration::from_millis(self.lateness_sum_ms.load(Ordering::Relaxed))
    }

    /// Reasons that were counted at least once.
    pub(super) fn of(&self, total: Total) -> impl Iterator<Item = (CloseReason, u64)> {
        let counters = self.by_reason[total as usize].iter().map(|counter| counter.load(Ordering::Relaxed));
        CloseReason::ALL.iter().copied().zip(counters).filter(|(_, count)| *count > 0)
    }
}
