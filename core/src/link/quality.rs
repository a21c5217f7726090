//! How well a live link does (rule S-6): a score of what was really seen, from 0 (about to be closed) to 100
//! (prompt and drained).

use std::time::Duration;

use crate::config::Timings;
use crate::link::liveness::Vitals;
use crate::time::Mono;

/// A pong that took longer is late.
pub(crate) const LATE_PONG: Duration = Duration::from_secs(2);
/// A link below this health is poor.
pub(crate) const POOR_BELOW: u8 = 50;
/// What a late pong costs, and what late pongs cost at most.
const LATE_COST: u8 = 10;
const LATE_AT_MOST: u8 = 30;

/// What was seen of the live link to a peer. It decides nothing about who is linked to whom but where an observer
/// has a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Quality {
    /// The round trip, smoothed over some eight pings.
    pub(crate) rtt: Option<Duration>,
    /// The shortest round trip of this link.
    best: Duration,
    /// Points for pongs that came late; halved with each that did not.
    late: u8,
    /// When the newest ping was sent.
    pub(crate) pinged_at: Mono,
    /// When the peer last brought something that was new here, or asked for.
    pub(crate) useful_at: Option<Mono>,
    /// Since when the link has been poor.
    pub(crate) poor_since: Option<Mono>,
}

impl Quality {
    /// A link that is live from now on.
    pub(crate) fn new(now: Mono) -> Self {
        Self { pinged_at: now, ..Self::default() }
    }

    /// A ping was answered after this time.
    pub(crate) fn ponged(&mut self, took: Duration) {
        self.best = self.rtt.map_or(took, |_| self.best.min(took));
        self.rtt = Some(self.rtt.map_or(took, |rtt| (rtt * 7 + took) / 8));
        self.late = if took > LATE_PONG { (self.late + LATE_COST).min(LATE_AT_MOST) } else { self.late / 2 };
    }

    /// Looks at the link's health now; answers how long it has been poor.
    pub(crate) fn judged(&mut self, now: Mono, health: u8) -> Option<Duration> {
        if health >= POOR_BELOW {
            self.poor_since = None;
            return None;
        }
        Some(now.since(*self.poor_since.get_or_insert(now)))
    }
}

/// The health of a link: the share that is left of the time until it counts as silent; less
/// - one point a 10 ms of smoothed round trip above 100 ms, at most 30,
/// - one point a 10 ms by which that is more than twice the shortest one, at most 20,
/// - 10 points a late pong of late, at most 30, and 10 while one is late,
/// - 20 to 40 points while bytes wait that the socket does not take, by how long they have,
/// - 3 points a link of this peer beyond this one that came up within the last hour, at most 15.
#[must_use]
pub(crate) fn health(
    now: Mono,
    vitals: &Vitals,
    quality: &Quality,
    reconnects: u32,
    timings: &Timings,
) -> u8 {
    let share = |part: Duration, whole: Duration, points: u64| {
        u64::try_from(part.as_millis() * u128::from(points) / whole.as_millis().max(1))
            .unwrap_or(points)
            .min(points)
    };
    let spare = timings.silent_after.saturating_sub(now.since(vitals.heard));
    let alive = share(spare, timings.silent_after.saturating_sub(timings.ping_after), 100);
    let rtt = quality.rtt.unwrap_or_default();
    let far = share(rtt.saturating_sub(Duration::from_millis(100)), Duration::from_millis(300), 30);
    let slower = share(rtt.saturating_sub(quality.best * 2), Duration::from_millis(200), 20);
    let late_now = vitals.pinged.is_some_and(|sent| now.since(sent) > LATE_PONG);
    let late = u64::from(quality.late) + if late_now { u64::from(LATE_COST) } else { 0 };
    // What was queued at this very moment has not waited for anybody.
    let stalled = vitals.stalled.filter(|since| *since < now);
    let stalled = stalled.map_or(0, |since| 20 + share(now.since(since), timings.write_timeout, 20));
    let restless = u64::from(reconnects.min(5)) * 3;
    u8::try_from(alive.saturating_sub(far + slower + late + stalled + restless)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Mono {
        Mono(millis * 1_000_000)
    }

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn fresh() -> (Vitals, Quality) {
        (Vitals { heard: at(0), pinged: None, stalled: None }, Quality::new(at(0)))
    }

    fn judge(now: u64, vitals: &Vitals, quality: &Quality, reconnects: u32) -> u8 {
        health(at(now), vitals, quality, reconnects, &Timings::default())
    }

    #[test]
    fn s_6_health_falls_with_silence_and_waiting_bytes() {
        let (vitals, quality) = fresh();
        assert_eq!([0, 5_000, 10_000, 15_000].map(|now| judge(now, &vitals, &quality, 0)), [100, 100, 50, 0]);
        let stalled = Vitals { stalled: Some(at(0)), ..vitals };
        assert_eq!([0, 1, 2_500, 5_000].map(|now| judge(now, &stalled, &quality, 0)), [100, 80, 70, 60]);
    }

    #[test]
    fn s_6_health_falls_with_distance_and_with_a_rising_round_trip() {
        let (vitals, mut quality) = fresh();
        quality.ponged(millis(200));
        assert_eq!(judge(0, &vitals, &quality, 0), 90);
        (0..50).for_each(|_| quality.ponged(millis(520)));
        // 420 ms above 100 ms: 30 points; 118 ms above twice the best: 11 points.
        assert_eq!(judge(0, &vitals, &quality, 0), 59);
    }

    #[test]
    fn s_6_round_trips_are_smoothed() {
        let (_, mut quality) = fresh();
        quality.ponged(millis(80));
        quality.ponged(millis(880));
        assert_eq!(quality.rtt, Some(millis(180)));
        (0..60).for_each(|_| quality.ponged(millis(80)));
        assert!(quality.rtt.unwrap() < millis(82));
    }

    #[test]
    fn s_6_late_pongs_cost_and_are_forgotten() {
        let (vitals, mut quality) = fresh();
        let waiting = Vitals { heard: at(2_000), pinged: Some(at(0)), ..vitals };
        assert_eq!([2_000, 2_001].map(|now| judge(now, &waiting, &quality, 0)), [100, 90]);
        (0..9).for_each(|_| quality.ponged(millis(2_001)));
        assert_eq!(judge(0, &vitals, &quality, 0), 40);
        (0..200).for_each(|_| quality.ponged(millis(50)));
        assert_eq!(judge(0, &vitals, &quality, 0), 100);
    }

    #[test]
    fn s_6_reconnects_cost() {
        let (vitals, quality) = fresh();
        assert_eq!(
            [0, 1, 5, 50].map(|reconnects| judge(0, &vitals, &quality, reconnects)),
            [100, 97, 85, 85]
        );
    }

    #[test]
    fn s_6_how_long_a_link_has_been_poor() {
        let (_, mut quality) = fresh();
        assert_eq!(quality.judged(at(1_000), POOR_BELOW), None);
        assert_eq!(quality.judged(at(2_000), POOR_BELOW - 1), Some(millis(0)));
        assert_eq!(quality.judged(at(9_000), 0), Some(millis(7_000)));
        assert_eq!(quality.judged(at(9_500), 100), None);
        assert_eq!(quality.judged(at(9_900), 0), Some(millis(0)));
    }
}
