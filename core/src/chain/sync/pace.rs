//! How fast blocks are served: a bucket of time that bytes use up.

use std::time::Duration;

use crate::time::Mono;

/// How far ahead of its rate a bucket may run.
const BURST: Duration = Duration::from_millis(250);

/// Bytes a second, with a burst of a quarter of a second.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
pub(super) struct Pace {
    rate: u64,
    used_until: Mono,
}

impl Pace {
    pub(super) fn new(rate: usize) -> Self {
        Self { rate: u64::try_from(rate).unwrap_or(u64::MAX), used_until: Mono(0) }
    }

    /// From when on the next bytes may go.
    pub(super) fn free_from(&self) -> Mono {
        self.used_until - BURST
    }

    /// These bytes go now.
    pub(super) fn charge(&mut self, now: Mono, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let time = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate.max(1));
        let time = Duration::from_nanos(u64::try_from(time).unwrap_or(u64::MAX));
        self.used_until = self.used_until.max(now) + time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_at_the_rate_after_a_burst() {
        let mut pace = Pace::new(1_000_000);
        let (mut now, mut sent) = (Mono(0) + Duration::from_secs(50), 0u64);
        let end = now + Duration::from_secs(10);
        while now < end {
            if pace.free_from() <= now {
                pace.charge(now, 32_768);
                sent += 32_768;
            } else {
                assert!(pace.free_from() > now);
                now = pace.free_from();
            }
        }
        assert!((10_000_000..10_400_000).contains(&sent), "{sent}");
    }
}
