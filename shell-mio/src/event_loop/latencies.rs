//! How long something took, counted by bounds: what a histogram is made of.

use std::time::Duration;

/// Durations by bounds, from a tenth of a millisecond to ten seconds; small enough to be copied once a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    counts: [u64; Self::BOUNDS_US.len() + 1],
    sum_ns: u64,
}

impl Latencies {
    /// Upper bounds in microseconds, included.
    const BOUNDS_US: [u64; 14] = [
        100, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
        2_500_000, 10_000_000,
    ];

    /// Counts one.
    pub(super) fn note(&mut self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let place = Self::BOUNDS_US.partition_point(|bound| bound * 1_000 < took);
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.sum_ns = self.sum_ns.saturating_add(took);
    }

    /// Each bound, and how many were not longer; last those of any length, without a bound.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds =
            Self::BOUNDS_US.into_iter().map(|bound| Some(Duration::from_micros(bound))).chain([None]);
        bounds.zip(self.counts).scan(0, |below, (bound, count)| {
            *below += count;
            Some((bound, *below))
        })
    }

    /// All of them together.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_counts_what_is_not_longer() {
        let mut taken = Latencies::default();
        for micros in [0, 100, 101, 10_000_000, 10_000_001] {
            taken.note(Duration::from_micros(micros));
        }
        let counts: Vec<u64> = taken.cumulative().map(|(_, count)| count).collect();
        assert_eq!((counts[0], counts[1], counts[12], counts[13], counts[14]), (2, 3, 3, 4, 5));
        let last = taken.cumulative().last();
        assert_eq!((last, taken.sum()), (Some((None, 5)), Duration::from_micros(20_000_202)));
    }
}
