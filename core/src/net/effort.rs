//! How much work may be done for connections that have proven nothing (rule S-7): a handshake costs the acceptor
//! a key agreement and two signature operations, and anyone can ask for one.
//!
//! The core cannot measure time it spends, so the bound counts steps. A step takes about a quarter of a
//! millisecond at most on a small server: 400 a second are a tenth of one core.

use std::time::Duration;

use crate::net::unauthenticated::Origin;
use crate::time::Mono;

/// Between two steps, on average, for each kind of source.
const STEP_EVERY: Duration = Duration::from_micros(2_500);
/// Steps at once, after a time without any.
const STEPS_AT_ONCE: u32 = 32;

/// Whether a step may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) enum Step {
    /// It may, and is counted.
    Now,
    /// Not before this time.
    At(Mono),
}

/// What has been spent. Sources in the registry, and of reserved peers, have an account of their own: no crowd of
/// strangers makes them wait.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Effort {
    strangers: Account,
    registered: Account,
}

/// The time at which everything that was granted is paid for: ahead of the clock by as much as is owed.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
struct Account(Mono);

impl Account {
    /// When the next step may be done.
    fn next(self, now: Mono) -> Mono {
        // Paid for so far ahead that one more step would be beyond the credit.
        let paid = self.0.max(now) + STEP_EVERY;
        now + paid.since(now + STEP_EVERY * STEPS_AT_ONCE)
    }

    fn spend(&mut self, now: Mono) -> Step {
        let next = self.next(now);
        if next > now {
            return Step::At(next);
        }
        self.0 = self.0.max(now) + STEP_EVERY;
        Step::Now
    }
}

impl Effort {
    /// Asks for one step for a connection from such a source.
    pub(crate) fn spend(&mut self, now: Mono, origin: Origin) -> Step {
        match origin {
            Origin::Registered => self.registered.spend(now),
            Origin::Stranger => self.strangers.spend(now),
        }
    }

    /// When the next step for such a source may be done: `now` if at once.
    pub(crate) fn next(&self, now: Mono, origin: Origin) -> Mono {
        match origin {
            Origin::Registered => self.registered.next(now),
            Origin::Stranger => self.strangers.next(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(effort: &mut Effort, now: Mono, origin: Origin, asked: u32) -> u32 {
        (0..asked).map(|_| u32::from(effort.spend(now, origin) == Step::Now)).sum()
    }

    #[test]
    fn a_crowd_gets_a_burst_and_then_a_tenth_of_a_core() {
        let mut effort = Effort::default();
        let mut now = Mono(0) + Duration::from_secs(1);
        assert_eq!(granted(&mut effort, now, Origin::Stranger, 10_000), STEPS_AT_ONCE);
        let mut steps = 0;
        for _ in 0..1_000 {
            now = now + Duration::from_millis(1);
            steps += granted(&mut effort, now, Origin::Stranger, 100);
        }
        assert_eq!(steps, 400);
    }

    #[test]
    fn hs_04_strangers_take_nothing_from_registered_sources() {
        let mut effort = Effort::default();
        let now = Mono(0) + Duration::from_secs(1);
        granted(&mut effort, now, Origin::Stranger, 10_000);
        assert_eq!(granted(&mut effort, now, Origin::Registered, 10), 10);
    }

    #[test]
    fn the_time_to_wait_is_exact() {
        let mut effort = Effort::default();
        let now = Mono(0) + Duration::from_secs(1);
        granted(&mut effort, now, Origin::Stranger, STEPS_AT_ONCE);
        let Step::At(at) = effort.spend(now, Origin::Stranger) else { panic!("more than the burst") };
        assert_eq!(at, now + STEP_EVERY);
        assert_eq!(effort.spend(Mono(at.0 - 1), Origin::Stranger), Step::At(at));
        assert_eq!(effort.spend(at, Origin::Stranger), Step::Now);
    }
}
