//! When a height begins (rule C-6): at the wall time of its slot, turned into a monotonic deadline that follows
//! a clock that is set.

use std::time::Duration;

use crate::time::{Mono, Now, Wall};

/// Wall time is read to the millisecond: a deadline that comes out different by less is left as it is.
const GRAIN: Duration = Duration::from_millis(2);

/// The deadline of a slot's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Pacing {
    at: Option<Mono>,
}

impl Pacing {
    /// When to look again whether `slot` has begun: never before it has, as long as nobody sets a clock.
    pub(crate) fn wake(&mut self, now: Now, slot: Wall) -> Mono {
        let at = now.mono + slot.since(now.wall);
        let kept = self.at.filter(|kept| *kept > now.mono && kept.since(at).max(at.since(*kept)) < GRAIN);
        *self.at.insert(kept.unwrap_or(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64, wall_ms: u64) -> Now {
        Now { mono: Mono(mono_ms * 1_000_000), wall: Wall(wall_ms) }
    }

    #[test]
    fn a_clock_that_is_set_moves_the_deadline() {
        let mut pacing = Pacing::default();
        assert_eq!(pacing.wake(at(0, 10_000), Wall(15_000)), Mono(5_000_000_000));
        assert_eq!(pacing.wake(at(1_000, 11_000), Wall(15_000)), Mono(5_000_000_000));
        // Forward, back, and past the slot.
        assert_eq!(pacing.wake(at(2_000, 14_000), Wall(15_000)), Mono(3_000_000_000));
        assert_eq!(pacing.wake(at(2_000, 9_000), Wall(15_000)), Mono(8_000_000_000));
        assert_eq!(pacing.wake(at(2_500, 99_000), Wall(15_000)), Mono(2_500_000_000));
    }

    #[test]
    fn a_reading_that_differs_by_its_own_grain_moves_nothing() {
        let mut pacing = Pacing::default();
        let first = pacing.wake(Now { mono: Mono(400_000), wall: Wall(1_000) }, Wall(2_000));
        let again = pacing.wake(Now { mono: Mono(1_300_000), wall: Wall(1_000) }, Wall(2_000));
        assert_eq!(first, again);
    }

    #[test]
    fn a_deadline_that_has_passed_without_its_slot_is_not_kept() {
        let mut pacing = Pacing::default();
        let first = pacing.wake(Now { mono: Mono(999_999), wall: Wall(1_000) }, Wall(2_000));
        let late = pacing.wake(Now { mono: Mono(1_000_000), wall: Wall(999) }, Wall(2_000));
        assert_eq!(late, first);
        assert!(pacing.wake(Now { mono: first, wall: Wall(1_999) }, Wall(2_000)) > first);
    }
}
