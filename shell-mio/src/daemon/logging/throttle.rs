//! What keeps a remote from filling the log: a token bucket for each kind of line.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Whether a line may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may; so many of its kind were left out since the last.
    Write {
        /// How many.
        suppressed: u64,
    },
    /// It is left out and counted.
    Suppress,
}

/// Buckets by kind of line. The kinds must be few: a reason, a registered peer; never a remote's choice.
#[derive(Debug)]
pub(super) struct Throttle<K> {
    burst: u32,
    refill: Duration,
    buckets: BTreeMap<K, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: u32,
    refilled: Instant,
    suppressed: u64,
}

impl<K: Ord> Throttle<K> {
    /// Buckets of `burst` lines that regain one each `refill`.
    pub(super) const fn new(burst: u32, refill: Duration) -> Self {
        Self { burst, refill, buckets: BTreeMap::new() }
    }

    /// Asks for one line of a kind.
    pub(super) fn admit(&mut self, kind: K, now: Instant) -> Verdict {
        let full = Bucket { tokens: self.burst, refilled: now, suppressed: 0 };
        let bucket = self.buckets.entry(kind).or_insert(full);
        while bucket.tokens < self.burst && now.duration_since(bucket.refilled) >= self.refill {
            bucket.tokens += 1;
            bucket.refilled += self.refill;
        }
        if bucket.tokens == 0 {
            bucket.suppressed += 1;
            return Verdict::Suppress;
        }
        if bucket.tokens == self.burst {
            bucket.refilled = now;
        }
        bucket.tokens -= 1;
        Verdict::Write { suppressed: std::mem::take(&mut bucket.suppressed) }
    }
}

/// Whether the n-th failure in a row is worth a line: the first, and whenever the count has doubled.
pub(super) const fn doubled(failures: u32) -> bool {
    failures <= 1 || failures.is_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_one_a_period_with_the_count_of_the_rest() {
        let start = Instant::now();
        let minute = Duration::from_secs(60);
        let mut throttle = Throttle::new(2, minute);
        assert_eq!(throttle.admit('a', start), Verdict::Write { suppressed: 0 });
        assert_eq!(throttle.admit('a', start), Verdict::Write { suppressed: 0 });
        for _ in 0..1000 {
            assert_eq!(throttle.admit('a', start + minute / 2), Verdict::Suppress);
        }
        assert_eq!(throttle.admit('b', start + minute / 2), Verdict::Write { suppressed: 0 });
        assert_eq!(throttle.admit('a', start + minute), Verdict::Write { suppressed: 1000 });
        assert_eq!(throttle.admit('a', start + minute), Verdict::Suppress);
        assert_eq!(throttle.admit('a', start + minute * 60), Verdict::Write { suppressed: 1 });
        assert_eq!(throttle.admit('a', start + minute * 60), Verdict::Write { suppressed: 0 });
        assert_eq!(throttle.admit('a', start + minute * 60), Verdict::Suppress);
    }

    #[test]
    fn a_row_of_failures_is_told_logarithmically() {
        assert_eq!((1..=360).filter(|failures| doubled(*failures)).count(), 9);
    }
}
