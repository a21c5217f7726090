//! How long a step of a round waits (rule C-11). All of it is monotonic time.

use std::time::Duration;

use crate::ids::{Height, Round};

/// What has timed out: each kind once a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub enum Timeout {
    /// No acceptable proposal came (line 57).
    Propose,
    /// A quorum has prevoted, but not for one thing (line 61).
    Prevote,
    /// A quorum has precommitted, but not for one block (line 65).
    Precommit,
}

/// A time-out to come: it names its height and round, so that one of a decided height does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub struct Timer {
    /// Of which height.
    pub height: Height,
    /// Of which round.
    pub round: Round,
    /// What times out.
    pub timeout: Timeout,
}

/// Time-outs grow up to this round. Longer ones would only make the next block wait after a long outage.
const GROWTH_ENDS: u32 = 20;

impl Timer {
    /// How long after it is scheduled it comes, for slots of `interval`: a fifth of a slot for the proposal, a
    /// tenth for either kind of votes, and a tenth more each round.
    pub fn after(&self, interval: Duration) -> Duration {
        let tenth = interval / 10;
        let first = match self.timeout {
            Timeout::Propose => interval / 5,
            Timeout::Prevote | Timeout::Precommit => tenth,
        };
        first.saturating_add(tenth.saturating_mul(self.round.0.min(GROWTH_ENDS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(timeout: Timeout, round: u32, interval: u64) -> u64 {
        let timer = Timer { height: Height(1), round: Round(round), timeout };
        u64::try_from(timer.after(Duration::from_millis(interval)).as_millis()).unwrap()
    }

    #[test]
    fn time_outs_grow_by_a_tenth_of_a_slot() {
        assert_eq!(
            [0, 1, 2, 10].map(|round| after(Timeout::Propose, round, 10_000)),
            [2000, 3000, 4000, 12_000]
        );
        for timeout in [Timeout::Prevote, Timeout::Precommit] {
            assert_eq!([0, 1, 2, 10].map(|round| after(timeout, round, 1000)), [100, 200, 300, 1100]);
        }
        assert_eq!(after(Timeout::Propose, 0, 50), 10);
        assert_eq!(after(Timeout::Propose, u32::MAX, 1000), after(Timeout::Propose, GROWTH_ENDS, 1000));
    }

    /// The second leader is asked before half of the slot is over, delays on the way aside.
    #[test]
    fn prod_05a_a_missing_leader_costs_less_than_half_a_slot() {
        assert!(after(Timeout::Propose, 0, 1000) + after(Timeout::Precommit, 0, 1000) < 500);
    }
}
