//! One back-off record a peer: nobody else remembers when to try again (rule D-5).

use std::time::Duration;

use crate::rng::Rng;
use crate::time::Mono;

/// When a peer may be dialed again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Backoff {
    failures: u32,
    refusals: u32,
    until: Option<Mono>,
    cause: Cause,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
enum Cause {
    /// Better luck.
    #[default]
    Failure,
    /// That one of the two nodes is changed.
    Incompatible,
}

impl Backoff {
    /// Failures in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Failures and refusals in a row.
    #[must_use]
    pub const fn strikes(&self) -> u32 {
        self.failures.saturating_add(self.refusals)
    }

    /// The time before which no dial may start.
    #[must_use]
    pub const fn until(&self) -> Option<Mono> {
        self.until
    }

    /// The same, if the peer is known to be incompatible.
    #[must_use]
    pub const fn incompatible(&self) -> Option<Mono> {
        match self.cause {
            Cause::Incompatible => self.until,
            Cause::Failure => None,
        }
    }

    /// A dial failed, or a session ended: wait for half to all of `first` × 2ⁿ, at most `longest`.
    pub fn fail(&mut self, now: Mono, first: Duration, longest: Duration, rng: &mut Rng) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.wait(now, self.failures, first, longest, rng)
    }

    /// The peer, which is well, has no place for us: the same wait by another count, for that is no failure.
    pub fn refused(&mut self, now: Mono, first: Duration, longest: Duration, rng: &mut Rng) -> Duration {
        self.refusals = self.refusals.saturating_add(1);
        self.wait(now, self.refusals, first, longest, rng)
    }

    /// The peer is away on purpose: wait for half to all of `every`; it is no failure.
    pub fn calm(&mut self, now: Mono, every: Duration, rng: &mut Rng) {
        self.until = Some(now + rng.between(every / 2, every));
        self.cause = Cause::Failure;
    }

    fn wait(&mut self, now: Mono, times: u32, first: Duration, longest: Duration, rng: &mut Rng) -> Duration {
        let doubled = first.saturating_mul(1u32.checked_shl(times.min(16)).unwrap_or(u32::MAX));
        let base = doubled.min(longest);
        let wait = rng.between(base / 2, base);
        self.until = Some(now + wait);
        self.cause = Cause::Failure;
        wait
    }

    /// The first dial of all starts no earlier than this.
    pub fn not_before(&mut self, at: Mono) {
        self.until = Some(at);
    }

    /// Waits exactly so long, for those known to be incompatible.
    pub fn hold(&mut self, now: Mono, wait: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + wait);
        self.cause = Cause::Incompatible;
    }

    /// An inbound session or a knock shows that the peer is there: dial whenever there is cause.
    pub fn clear(&mut self) {
        self.until = None;
    }

    /// A session ended. Only one that lasted makes the next failure the first again.
    pub fn session_ended(&mut self, lasted: Duration, lasting: Duration) {
        if lasted >= lasting {
            self.failures = 0;
            self.refusals = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(10);

    #[test]
    fn rec_01b_first_retry_after_half_a_second_then_doubling_to_the_longest() {
        let mut rng = Rng::new([3; 32]);
        let mut backoff = Backoff::default();
        for (low, high) in
            [(500, 1000), (1000, 2000), (2000, 4000), (4000, 8000), (5000, 10_000), (5000, 10_000)]
        {
            let wait = backoff.fail(Mono(0), FIRST, LONGEST, &mut rng);
            assert!((low..=high).contains(&wait.as_millis()), "{wait:?} not in {low}..{high}");
        }
    }

    #[test]
    fn s_3_refusals_wait_long_and_are_no_failures() {
        let (first, longest) = (Duration::from_secs(30), Duration::from_secs(600));
        let mut rng = Rng::new([3; 32]);
        let mut backoff = Backoff::default();
        for (low, high) in [(30, 60), (60, 120), (120, 240), (240, 480), (300, 600), (300, 600)] {
            let wait = backoff.refused(Mono(0), first, longest, &mut rng);
            assert!((low..=high).contains(&wait.as_secs()), "{wait:?} not in {low}..{high}");
        }
        assert_eq!(backoff.failures(), 0);
        backoff.session_ended(Duration::from_secs(30), Duration::from_secs(30));
        assert!(backoff.refused(Mono(0), first, longest, &mut rng) <= Duration::from_secs(60));
    }

    #[test]
    fn rec_01c_only_a_session_that_lasted_resets() {
        let mut rng = Rng::new([3; 32]);
        let mut backoff = Backoff::default();
        backoff.fail(Mono(0), FIRST, LONGEST, &mut rng);
        backoff.session_ended(Duration::from_secs(1), Duration::from_secs(30));
        backoff.clear();
        assert_eq!((backoff.failures(), backoff.until()), (1, None));
        backoff.session_ended(Duration::from_secs(30), Duration::from_secs(30));
        assert_eq!(backoff.failures(), 0);
    }
}
