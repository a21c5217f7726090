//! Virtual time: one time line for the world, two clocks for every host.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

use timed_core::{Mono, Now, Wall};

/// Wall time of a true clock when a world begins: 2027-01-15 08:00:00 UTC, in unix milliseconds.
pub const WALL_AT_START: u64 = 1_800_000_000_000;

/// A point on the world's time line, in nanoseconds since its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimTime(pub u64);

impl SimTime {
    /// Time passed since `earlier`; zero if that lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for SimTime {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(nanos(rhs)))
    }
}

impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// Whole nanoseconds of a duration.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The two clocks of one host: a monotonic one of any origin, and a wall clock that may be wrong and may step.
#[derive(Clone, Debug)]
pub struct HostClock {
    mono_origin: u64,
    mono_behind: u64,
    wall_error_ms: i64,
}

impl HostClock {
    /// A clock whose monotonic reading is `mono_origin` nanoseconds at the world's beginning and whose wall
    /// reading is right.
    #[must_use]
    pub const fn new(mono_origin: u64) -> Self {
        Self { mono_origin, mono_behind: 0, wall_error_ms: 0 }
    }

    /// Both readings at a time.
    #[must_use]
    pub fn read(&self, at: SimTime) -> Now {
        let true_wall = WALL_AT_START + at.0 / 1_000_000;
        Now {
            mono: Mono(self.mono_origin.saturating_add(at.0).saturating_sub(self.mono_behind)),
            wall: Wall(true_wall.saturating_add_signed(self.wall_error_ms)),
        }
    }

    /// When this host's monotonic clock shows `mono`; the beginning if that is before it.
    #[must_use]
    pub const fn time_of(&self, mono: Mono) -> SimTime {
        SimTime(mono.0.saturating_sub(self.mono_origin).saturating_add(self.mono_behind))
    }

    /// Makes the monotonic clock break its promise: it reads this much too little from now on.
    pub const fn set_mono_behind(&mut self, nanos: u64) {
        self.mono_behind = nanos;
    }

    /// Whether the monotonic clock reads too little.
    pub(crate) const fn is_behind(&self) -> bool {
        self.mono_behind > 0
    }

    /// Steps the wall clock by `ms` (negative: back).
    pub const fn step_wall(&mut self, ms: i64) {
        self.wall_error_ms = self.wall_error_ms.saturating_add(ms);
    }

    /// Sets how far the wall clock is ahead of the truth, in ms (negative: behind).
    pub const fn set_wall_error(&mut self, ms: i64) {
        self.wall_error_ms = ms;
    }

    /// Begins a new monotonic time line, as a reboot does.
    pub const fn reboot(&mut self, mono_origin: u64) {
        self.mono_origin = mono_origin;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_steps_and_mono_does_not() {
        let mut clock = HostClock::new(77);
        let before = clock.read(SimTime(5_000_000));
        assert_eq!((before.mono, before.wall), (Mono(5_000_077), Wall(WALL_AT_START + 5)));
        clock.step_wall(-86_400_000);
        let after = clock.read(SimTime(6_000_000));
        assert_eq!((after.mono, after.wall), (Mono(6_000_077), Wall(WALL_AT_START + 6 - 86_400_000)));
        assert_eq!(clock.time_of(after.mono), SimTime(6_000_000));
    }
}
