//! Whether a live link lives (rules L-1 to L-3): any complete record that opens proves life, nothing else does.

use crate::config::Timings;
use crate::time::Mono;

/// What is known of a live link's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Vitals {
    /// When the last record opened.
    pub heard: Mono,
    /// When the ping that is not answered yet was sent.
    pub pinged: Option<Mono>,
    /// Since when something waits and the socket takes nothing of it.
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

/// Judges a link whose last ping was sent at `pinged_at`. At most one ping is under way, however late we are.
#[must_use]
pub(crate) fn pulse(now: Mono, vitals: &Vitals, pinged_at: Mono, timings: &Timings) -> Pulse {
    let silent_at = vitals.heard + timings.silent_after;
    if now >= silent_at {
        return Pulse::Silent;
    }
    let slow_at = vitals.stalled.map(|since| since + timings.write_timeout);
    if slow_at.is_some_and(|at| now >= at) {
        return Pulse::Slow;
    }
    let next = |at: Mono| slow_at.map_or(at, |slow| at.min(slow));
    // On a busy link the round trip is measured all the same (rule S-6).
    let ping_at = (vitals.heard + timings.ping_after).min(pinged_at + timings.measure_every);
    match vitals.pinged {
        Some(_) => Pulse::Beating(next(silent_at)),
        None if now < ping_at => Pulse::Beating(next(ping_at)),
        None => Pulse::Ping(next(silent_at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Mono {
        Mono(millis * 1_000_000)
    }

    fn judge(now: u64, pinged: Option<u64>, stalled: Option<u64>) -> Pulse {
        let vitals = Vitals { heard: at(0), pinged: pinged.map(at), stalled: stalled.map(at) };
        pulse(at(now), &vitals, at(0), &Timings::default())
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
    fn s_6_a_busy_link_is_measured_every_minute() {
        let busy = |now| {
            let vitals = Vitals { heard: at(now), pinged: None, stalled: None };
            pulse(at(now), &vitals, at(0), &Timings::default())
        };
        assert_eq!(busy(30_000), Pulse::Beating(at(35_000)));
        assert_eq!(busy(59_000), Pulse::Beating(at(60_000)));
        assert_eq!(busy(60_000), Pulse::Ping(at(75_000)));
    }
}
