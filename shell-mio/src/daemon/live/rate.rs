//! Totals that grow, as rates.

use std::time::{Duration, Instant};

/// A rate is taken over at least this time.
const OVER: Duration = Duration::from_secs(2);

/// A total's growth a second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    from: Option<(Instant, u64)>,
    per_second: Option<u64>,
}

impl Rate {
    /// Notes a reading of the total. One that is smaller than before begins anew: the counter was started again.
    pub(crate) fn note(&mut self, total: u64, now: Instant) {
        match self.from {
            Some((_, before)) if total < before => {
                *self = Self { from: Some((now, total)), per_second: None }
            }
            Some((at, before)) => {
                let passed = now.saturating_duration_since(at);
                if passed >= OVER {
                    let grown = u128::from(total - before) * 1000 / passed.as_millis();
                    self.per_second = u64::try_from(grown).ok();
                    self.from = Some((now, total));
                }
            }
            None => self.from = Some((now, total)),
        }
    }

    /// The newest rate, once two readings were far enough apart.
    pub(crate) const fn per_second(&self) -> Option<u64> {
        self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_time_and_a_restart_begins_anew() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut rate = Rate::default();
        rate.note(1000, start);
        rate.note(1500, after(1000));
        assert_eq!(rate.per_second(), None);
        rate.note(3500, after(2500));
        assert_eq!(rate.per_second(), Some(1000));
        rate.note(3600, after(2600));
        assert_eq!(rate.per_second(), Some(1000));
        rate.note(10, after(5000));
        assert_eq!(rate.per_second(), None);
    }
}
