//! Slots: when a block may begin and which time stamps are believed (rule C-6).
//!
//! Slot k begins at `genesis_time + k · interval`. Wall time decides when a height begins and which slot its
//! block is of, nothing else: every time-out is monotonic.

use std::time::Duration;

use crate::config::ChainConfig;
use crate::time::Wall;

/// A clock of the network may be wrong by so much at most, however long its slots are.
const MOST_TOLERANCE: Duration = Duration::from_secs(2);
/// A fresh proposal is believed for two slots after its slot's start and so much more.
const LATE_BEYOND: Duration = Duration::from_secs(4);

/// The starts of all slots: the same at every node of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub(crate) struct Grid {
    genesis: u64,
    /// Milliseconds, at least one.
    interval: u64,
}

/// How a slot compares with a wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) enum Timeliness {
    /// Near enough.
    Timely,
    /// It begins later than clocks may differ.
    Early,
    /// It is long over.
    Late,
}

impl Grid {
    /// The grid that starts at `genesis_time`. A slot is one millisecond long at least.
    pub(crate) fn new(genesis_time: Wall, interval: Duration) -> Self {
        let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        Self { genesis: genesis_time.0, interval }
    }

    /// A network's grid.
    pub(crate) fn of(config: &ChainConfig) -> Self {
        Self::new(config.genesis_time, config.interval)
    }

    /// Length of a slot.
    pub(crate) const fn interval(&self) -> Duration {
        Duration::from_millis(self.interval)
    }

    /// Whether a slot begins at exactly this time.
    pub(crate) const fn is_start(&self, time: Wall) -> bool {
        match time.0.checked_sub(self.genesis) {
            Some(since) => since.is_multiple_of(self.interval),
            None => false,
        }
    }

    /// Start of the slot in force: the latest at or before a wall time. None before the first slot.
    pub(crate) fn in_force(&self, wall: Wall) -> Option<Wall> {
        let since = wall.0.checked_sub(self.genesis)?;
        Some(Wall(wall.0 - since % self.interval))
    }

    /// The first start after a wall time. At the end of time the last start stands for all that would follow.
    pub(crate) fn after(&self, wall: Wall) -> Wall {
        match self.in_force(wall) {
            None => Wall(self.genesis),
            Some(start) => Wall(start.0.checked_add(self.interval).unwrap_or(start.0)),
        }
    }

    /// The slot of a block whose parent is of slot `parent` (none at height 1) and that is made, or whose
    /// height begins, at wall time `wall`: the one in force, so that no outage is followed by a burst of
    /// back-dated blocks, or else the first after the parent's. It may lie ahead: then it is waited for.
    pub(crate) fn for_child(&self, parent: Option<Wall>, wall: Wall) -> Wall {
        let earliest = parent.map_or(Wall(self.genesis), |parent| self.after(parent));
        self.in_force(wall).map_or(earliest, |current| current.max(earliest))
    }

    /// How far another's clock may be ahead of ours: a quarter of a slot, two seconds at most.
    pub(crate) fn tolerance(&self) -> Duration {
        MOST_TOLERANCE.min(self.interval() / 4)
    }

    /// Whether a fresh proposal of a slot is believed at a wall time.
    pub(crate) fn timeliness(&self, slot: Wall, wall: Wall) -> Timeliness {
        if slot > wall + self.tolerance() {
            Timeliness::Early
        } else if slot + self.interval() + self.interval() + LATE_BEYOND < wall {
            Timeliness::Late
        } else {
            Timeliness::Timely
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000;
    const GENESIS: u64 = 1_700_000_000_123;

    fn grid(interval: u64) -> Grid {
        Grid::new(Wall(GENESIS), Duration::from_millis(interval))
    }

    fn at(after_genesis: u64) -> Wall {
        Wall(GENESIS + after_genesis)
    }

    #[test]
    fn slots_begin_with_the_genesis_time_and_follow_without_a_gap() {
        let grid = grid(10 * SECOND);
        assert_eq!(grid.in_force(Wall(GENESIS - 1)), None);
        assert_eq!(grid.after(Wall(0)), at(0));
        for (wall, in_force, after) in
            [(0, 0, 10_000), (1, 0, 10_000), (9_999, 0, 10_000), (10_000, 10_000, 20_000)]
        {
            assert_eq!(grid.in_force(at(wall)), Some(at(in_force)), "{wall}");
            assert_eq!(grid.after(at(wall)), at(after), "{wall}");
        }
        assert!(grid.is_start(at(0)) && grid.is_start(at(20_000)));
        assert!(!grid.is_start(at(1)) && !grid.is_start(Wall(GENESIS - 10_000)) && !grid.is_start(Wall(0)));
    }

    #[test]
    fn a_child_is_of_the_next_slot_in_good_times_and_of_the_current_one_after_an_outage() {
        let grid = grid(10 * SECOND);
        // The parent was decided early in its own slot: the next slot is waited for.
        assert_eq!(grid.for_child(Some(at(50_000)), at(50_300)), at(60_000));
        // It was decided late, in the following slot: that slot is not lost.
        assert_eq!(grid.for_child(Some(at(50_000)), at(60_300)), at(60_000));
        // An hour passed: one block of the slot in force, not 360 of the past.
        let back = at(3_650_000);
        let first = grid.for_child(Some(at(50_000)), back + Duration::from_millis(400));
        assert_eq!(first, back);
        assert_eq!(grid.for_child(Some(first), back + Duration::from_millis(700)), at(3_660_000));
        // The first block, before and after the network's first slot.
        assert_eq!(grid.for_child(None, Wall(GENESIS - 5)), at(0));
        assert_eq!(grid.for_child(None, at(25_000)), at(20_000));
        // A clock behind its parent's slot waits; it does not make time go back.
        assert_eq!(grid.for_child(Some(at(50_000)), at(7_000)), at(60_000));
    }

    #[test]
    fn the_tolerance_is_a_quarter_of_a_slot_and_two_seconds_at_most() {
        for (interval, tolerance) in
            [(50, 12), (1_000, 250), (8_000, 2_000), (10_000, 2_000), (600_000, 2_000)]
        {
            assert_eq!(grid(interval).tolerance().as_millis(), tolerance, "{interval}");
        }
    }

    #[test]
    fn a_fresh_proposal_is_believed_around_its_slot_only() {
        let grid = grid(10 * SECOND);
        let slot = at(100_000);
        for (wall, expected) in [
            (97_999, Timeliness::Early),
            (98_000, Timeliness::Timely),
            (100_000, Timeliness::Timely),
            (124_000, Timeliness::Timely),
            (124_001, Timeliness::Late),
        ] {
            assert_eq!(grid.timeliness(slot, at(wall)), expected, "{wall}");
        }
        // A clock that is off by an hour believes nothing, either way.
        assert_eq!(grid.timeliness(slot, at(100_000 + 3_600_000)), Timeliness::Late);
        assert_eq!(grid.timeliness(at(3_700_000), at(100_000)), Timeliness::Early);
    }

    #[test]
    fn an_interval_of_nothing_is_a_millisecond() {
        let grid = Grid::new(Wall(5), Duration::ZERO);
        assert_eq!((grid.interval(), grid.after(Wall(7))), (Duration::from_millis(1), Wall(8)));
    }

    proptest! {
        /// Whatever the clocks say, up to the end of time: starts are starts, in their order.
        #[test]
        fn every_answer_is_a_start(
            genesis in prop_oneof![Just(0), Just(u64::MAX), any::<u64>()],
            interval in prop_oneof![50..20_000u64, Just(u64::MAX), any::<u64>()],
            wall in prop_oneof![Just(0), Just(u64::MAX), any::<u64>()],
            parent in proptest::option::of(any::<u64>()),
        ) {
            let grid = Grid::new(Wall(genesis), Duration::from_millis(interval));
            let wall = Wall(wall);
            let current = grid.in_force(wall);
            prop_assert_eq!(current.is_some(), wall.0 >= genesis);
            prop_assert!(current.is_none_or(|start| start <= wall && grid.is_start(start)));
            prop_assert!(grid.is_start(grid.after(wall)));
            prop_assert!(grid.after(wall) > wall || grid.in_force(wall) == Some(grid.after(wall)));
            let parent = parent.map(|parent| grid.after(Wall(parent)));
            let child = grid.for_child(parent, wall);
            prop_assert!(grid.is_start(child));
            prop_assert!(parent.is_none_or(|parent| child > parent || grid.after(parent) == parent));
            // Never a slot that was over before it was chosen.
            prop_assert!(current.is_none_or(|current| child >= current));
        }

        /// No two clocks within the tolerance disagree about a block that one of them makes now.
        #[test]
        fn what_is_made_in_time_is_believed(
            interval in 50..20_000u64,
            wall in 0..1_000_000_000u64,
            off in -2_000..=2_000i64,
        ) {
            let grid = grid(interval);
            let most = i64::try_from(grid.tolerance().as_millis()).unwrap();
            let off = off.clamp(-most, most);
            let slot = grid.in_force(at(wall)).unwrap();
            let other = Wall(at(wall).0.checked_add_signed(off).unwrap());
            prop_assert_eq!(grid.timeliness(slot, other), Timeliness::Timely);
        }
    }
}
