//! The two clocks of the protocol and the recognition of our own freezes (contract C4).
//!
//! The core never reads a clock: the shell samples both once per wake-up and hands them in as [`Now`].

use std::ops::{Add, Sub};
use std::time::Duration;

/// Monotonic time in nanoseconds from any origin. Every time-out uses it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize,
)]
pub struct Mono(pub u64);

/// Unix time in milliseconds. Used only inside signed values and for slots, never for a time-out.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize,
)]
pub struct Wall(pub u64);

/// Both clocks, sampled together once per wake-up by the shell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Now {
    /// Monotonic reading.
    pub mono: Mono,
    /// Wall reading.
    pub wall: Wall,
}

impl Mono {
    /// Time passed since `earlier`; zero if `earlier` lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(nanos(rhs)))
    }
}

impl Sub<Duration> for Mono {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(rhs)))
    }
}

impl Wall {
    /// Absolute distance between two wall readings.
    #[must_use]
    pub const fn distance(self, other: Self) -> Duration {
        Duration::from_millis(self.0.abs_diff(other.0))
    }

    /// Time passed since `earlier`; zero if `earlier` lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Wall {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Wall {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(rhs.as_millis()).unwrap_or(u64::MAX)))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A wake-up later than this after the deadline means that we ourselves were stopped.
pub(crate) const FREEZE_AFTER: Duration = Duration::from_secs(2);
/// At most this much frozen time is forgiven within [`FREEZE_WINDOW`].
pub(crate) const FREEZE_FORGIVEN: Duration = Duration::from_secs(60);
/// The window of [`FREEZE_FORGIVEN`].
pub(crate) const FREEZE_WINDOW: Duration = Duration::from_secs(600);

/// What a clock reading told about ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) enum Reading {
    /// Time went on as expected.
    Regular,
    /// The shell's clock went backwards by this much; it was clamped.
    Backwards(Duration),
    /// We were frozen for this long; every deadline was shifted by the second value.
    Frozen(Duration, Duration),
}

/// Turns the shell's monotonic clock into protocol time, which stands still while we are frozen.
///
/// All deadlines in the core are in protocol time. A freeze therefore shifts every one of them at once,
/// and nobody is declared dead for it.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Clock {
    now: Now,
    shell: Mono,
    /// Total time forgiven: shell time minus protocol time.
    offset: Duration,
    window_start: Mono,
    window_used: Duration,
}

impl Clock {
    pub(crate) const fn new(now: Now) -> Self {
        Self {
            now,
            shell: now.mono,
            offset: Duration::ZERO,
            window_start: now.mono,
            window_used: Duration::ZERO,
        }
    }

    /// The current protocol time.
    pub(crate) const fn now(&self) -> Now {
        self.now
    }

    /// Takes a reading. `deadline` is the earliest one in force, in protocol time.
    pub(crate) fn read(&mut self, reading: Now, deadline: Option<Mono>) -> Reading {
        self.now.wall = reading.wall;
        if reading.mono < self.shell {
            return Reading::Backwards(self.shell.since(reading.mono));
        }
        let awake = std::mem::replace(&mut self.shell, reading.mono);
        // We ran at the last reading: a deadline before it may be late, but not for being frozen.
        let late = deadline.map_or(Duration::ZERO, |at| reading.mono.since(self.to_shell(at).max(awake)));
        let mut outcome = Reading::Regular;
        if late > FREEZE_AFTER {
            if reading.mono.since(self.window_start) > FREEZE_WINDOW {
                self.window_start = reading.mono;
                self.window_used = Duration::ZERO;
            }
            let shift = late.min(FREEZE_FORGIVEN.saturating_sub(self.window_used));
            self.window_used += shift;
            self.offset += shift;
            outcome = Reading::Frozen(late, shift);
        }
        self.now.mono = (reading.mono - self.offset).max(self.now.mono);
        outcome
    }

    /// A protocol time as the shell's clock shows it.
    pub(crate) fn to_shell(&self, at: Mono) -> Mono {
        at + self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Now {
        Now { mono: Mono(secs * 1_000_000_000), wall: Wall(secs * 1000) }
    }

    #[test]
    fn freeze_shifts_deadlines_once_and_no_more_than_the_window_allows() {
        let mut clock = Clock::new(at(100));
        let deadline = at(105).mono;
        assert_eq!(clock.read(at(104), Some(deadline)), Reading::Regular);
        let Reading::Frozen(late, shift) = clock.read(at(135), Some(deadline)) else { panic!("not seen") };
        assert_eq!((late.as_secs(), shift.as_secs()), (30, 30));
        assert_eq!(clock.now().mono, deadline);
        assert_eq!(clock.to_shell(deadline), at(135).mono);
        assert_eq!(clock.read(at(136), Some(at(110).mono)), Reading::Regular);
        let Reading::Frozen(late, shift) = clock.read(at(240), Some(at(110).mono)) else {
            panic!("not seen")
        };
        assert_eq!((late.as_secs(), shift.as_secs()), (100, 30));
    }

    #[test]
    fn a_deadline_set_in_the_past_is_no_freeze() {
        let mut clock = Clock::new(at(100));
        assert_eq!(clock.read(at(110), None), Reading::Regular);
        assert_eq!(clock.read(at(110), Some(at(101).mono)), Reading::Regular);
        assert_eq!(clock.read(at(111), Some(at(101).mono)), Reading::Regular);
    }

    #[test]
    fn backwards_is_clamped() {
        let mut clock = Clock::new(at(100));
        assert_eq!(clock.read(at(99), None), Reading::Backwards(Duration::from_secs(1)));
        assert_eq!(clock.now().mono, at(100).mono);
    }
}
