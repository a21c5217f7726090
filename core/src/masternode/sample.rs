//! Which heartbeats are kept as proof of who was there: some of each period are as good as all of them.
//!
//! A heartbeat names the newest of the others that its signer has verified. In two intervals each masternode makes
//! two heartbeats, and names with one of them or the other each heartbeat of the first interval; half an interval
//! more is for the way and for clocks that differ. So [`WINDOW`] of each period shows who was there, and who saw it.

use std::time::Duration;

use crate::time::Wall;

/// One sample in so many intervals of heartbeats: five minutes.
const PERIOD: u32 = 30;
/// A sample is of the first so many half intervals of its period.
const WINDOW: u32 = 5;

/// Between two samples, where masternodes make a heartbeat in each such interval.
#[must_use]
pub fn sample_period(heartbeat: Duration) -> Duration {
    heartbeat * PERIOD
}

/// Whether a heartbeat that was signed then belongs to a sample.
pub(crate) fn is_sampled(wall: Wall, heartbeat: Duration) -> bool {
    let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let into = wall.0.checked_rem(ms(sample_period(heartbeat))).unwrap_or(0);
    into < ms(heartbeat * WINDOW / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_and_a_half_intervals_of_each_thirty_are_sampled() {
        let heartbeat = Duration::from_secs(10);
        assert_eq!(sample_period(heartbeat), Duration::from_secs(300));
        let sampled = |ms: u64| is_sampled(Wall(1_800_000_000_000 + ms), heartbeat);
        assert_eq!([0, 24_999, 25_000, 299_999, 300_000].map(sampled), [true, true, false, false, true]);
        assert!(
            is_sampled(Wall(7), Duration::ZERO) == is_sampled(Wall(8), Duration::ZERO),
            "no division by zero"
        );
    }
}
