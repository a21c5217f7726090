//! Whether a live link lives (rules L-1 to L-3): any complete record that opens proves life, nothing else does.

use std::time::Duration;

use crate::config::Timings;
use crate::time::Mono;

/// What is known of a live link's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vitals {
    /// When the last record opened.
    pub heard: Mono,
    /// When the ping that is not answered yet was sent.
    pub pinged: Option<Mono>,
    /// Since when bytes wait that the socket does not take.
    pub stalled: Option<Mono>,
}

/// What to do about a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulse {
    /// Nothing before this time.
    Beating(Mono),
    /// Send a ping; look again at this time.
    Ping(Mono),
    /// Close as silent.
    Silent,
    /// Close as slow.
    Slow,
}

/// Judges a link. At most one ping is under way, however late we are.
#[must_use]
pub(crate) fn pulse(now: Mono, vitals: &Vitals, timings: &Timings) -> Pulse {
    let silent_at = vitals.heard + timings.silent_after;
    if now >= silent_at {
        return Pulse::Silent;
    }
    let slow_at = vitals.stalled.map(|since| since + timings.write_timeout);
    if slow_at.is_some_and(|at| now >= at) {
        return Pulse::Slow;
    }
    let next = |at: Mono| slow_at.map_or(at, |slow| at.min(slow));
    let ping_at = vitals.heard + timings.ping_after;
    match vitals.pinged {
        Some(_) => Pulse::Beating(next(silent_at)),
        None if now < ping_at => Pulse::Beating(next(ping_at)),
        None => Pulse::Ping(next(silent_at)),
    }
}

/// How a link does, 0 (about to be closed) to 100: the time left before it counts as silent, less one point a
/// 10 ms of round-trip time above 100 ms, at most 30, less 40 while bytes wait that the socket does not take.
#[must_use]
pub(crate) fn health(now: Mono, vitals: &Vitals, rtt: Option<Duration>, timings: &Timings) -> u8 {
    let quiet = now.since(vitals.heard);
    let spare = timings.silent_after.saturating_sub(quiet);
    let grace = timings.silent_after.saturating_sub(timings.ping_after);
    let alive = if grace.is_zero() {
        100
    } else {
        u64::try_from(spare.as_millis() * 100 / grace.as_millis().max(1)).unwrap_or(100).min(100)
    };
    let late = rtt.map_or(0, |rtt| {
        u64::try_from(rtt.saturating_sub(Duration::from_millis(100)).as_millis() / 10).unwrap_or(30).min(30)
    });
    let stalled = if vitals.stalled.is_some() { 40 } else { 0 };
    u8::try_from(alive.saturating_sub(late + stalled)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Mono {
        Mono(millis * 1_000_000)
    }

    fn judge(now: u64, pinged: Option<u64>, stalled: Option<u64>) -> Pulse {
        let vitals = Vitals { heard: at(0), pinged: pinged.map(at), stalled: stalled.map(at) };
        pulse(at(now), &vitals, &Timings::default())
    }

    #[test]
    fn idle_links_are_pinged_once_and_silent_ones_closed() {
        assert_eq!(judge(4_999, None, None), Pulse::Beating(at(5_000)));
        assert_eq!(judge(5_000, None, None), Pulse::Ping(at(15_000)));
        assert_eq!(judge(9_000, Some(5_000), None), Pulse::Beating(at(15_000)));
        assert_eq!(judge(15_000, Some(5_000), None), Pulse::Silent);
    }

    #[test]
    fn bytes_that_wait_too_long_close() {
        assert_eq!(judge(4_000, None, Some(1_000)), Pulse::Beating(at(5_000)));
        assert_eq!(judge(5_500, None, Some(1_000)), Pulse::Ping(at(6_000)));
        assert_eq!(judge(6_000, Some(5_500), Some(1_000)), Pulse::Slow);
    }

    #[test]
    fn health_falls_with_silence_distance_and_waiting_bytes() {
        let timings = Timings::default();
        let fresh = Vitals { heard: at(0), pinged: None, stalled: None };
        assert_eq!(health(at(0), &fresh, None, &timings), 100);
        assert_eq!(health(at(10_000), &fresh, None, &timings), 50);
        assert_eq!(health(at(15_000), &fresh, None, &timings), 0);
        assert_eq!(health(at(0), &fresh, Some(Duration::from_millis(200)), &timings), 90);
        let stalled = Vitals { stalled: Some(at(0)), ..fresh };
        assert_eq!(health(at(0), &stalled, Some(Duration::from_secs(9)), &timings), 30);
    }
}
