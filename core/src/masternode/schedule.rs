//! When a masternode signs its next heartbeat (rule M-2): a fixed beat, and a bounded number of early ones
//! when its links have changed, so that the matrix tells the truth soon.

use std::time::Duration;

use crate::rng::Rng;
use crate::time::Mono;

/// Early heartbeats in one interval at most.
const EARLY_PER_INTERVAL: u8 = 2;

/// The schedule of one process's heartbeats. All spans are fractions of the interval (10 s).
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Schedule {
    interval: Duration,
    /// How long links must have been quiet before an early heartbeat: 1/20 of the interval, jittered by a
    /// fifth so that the neighbours of a restarted node do not all speak in the same instant.
    settle: Duration,
    regular: Mono,
    /// From that one to the next: an interval, but at first a part of it, so that nodes which were started
    /// together do not all speak in the same second for ever.
    step: Duration,
    last: Option<Mono>,
    /// The newest change of links that no heartbeat has told yet.
    changed: Option<Mono>,
    early_left: u8,
}

impl Schedule {
    /// A schedule that starts now: the first heartbeat comes 1/20 to 3/20 of an interval (0.5 to 1.5 s) from
    /// now, or earlier once links stand and have settled; the second regular one half to one interval later,
    /// every further one an interval after the one before.
    pub(crate) fn new(now: Mono, interval: Duration, rng: &mut Rng) -> Self {
        Self {
            interval,
            settle: rng.jitter(interval / 20, 20),
            regular: now + rng.between(interval / 20, interval * 3 / 20),
            step: rng.between(interval / 2, interval),
            last: None,
            changed: None,
            early_left: EARLY_PER_INTERVAL,
        }
    }

    /// The links that a heartbeat lists have changed.
    pub(crate) fn links_changed(&mut self, now: Mono) {
        self.changed = Some(now);
    }

    /// When the next heartbeat is due.
    pub(crate) fn next(&self) -> Mono {
        let gap = self.interval / 10;
        let early = self.changed.filter(|_| self.early_left > 0).map(|at| {
            let quiet = at + self.settle;
            self.last.map_or(quiet, |last| quiet.max(last + gap))
        });
        early.map_or(self.regular, |early| early.min(self.regular))
    }

    /// A heartbeat was made. After a long pause the regular beat goes on in step: nothing is made up for.
    pub(crate) fn made(&mut self, now: Mono) {
        self.last = Some(now);
        self.changed = None;
        if now < self.regular {
            self.early_left = self.early_left.saturating_sub(1);
            return;
        }
        self.early_left = EARLY_PER_INTERVAL;
        self.regular = self.regular + std::mem::replace(&mut self.step, self.interval);
        if self.regular <= now {
            let interval = self.interval.as_nanos().max(1);
            let behind = u64::try_from(now.since(self.regular).as_nanos() % interval).unwrap_or(0);
            self.regular = now + self.interval.saturating_sub(Duration::from_nanos(behind));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn schedule() -> Schedule {
        Schedule::new(Mono(0), 10 * SECOND, &mut Rng::new([3; 32]))
    }

    fn run(schedule: &mut Schedule, until: Mono) -> Vec<Mono> {
        let mut made = Vec::new();
        while schedule.next() <= until {
            let at = schedule.next();
            schedule.made(at);
            made.push(at);
        }
        made
    }

    #[test]
    fn hb_05a_the_beat_is_regular() {
        for seed in 0..50 {
            let mut schedule = Schedule::new(Mono(0), 10 * SECOND, &mut Rng::new([seed; 32]));
            let made = run(&mut schedule, Mono(0) + 100 * SECOND);
            assert!((SECOND / 2..=SECOND * 3 / 2).contains(&made[0].since(Mono(0))));
            assert!((SECOND * 5..=SECOND * 10).contains(&made[1].since(made[0])));
            assert!(made.iter().skip(1).zip(&made[2..]).all(|(one, next)| next.since(*one) == 10 * SECOND));
            assert!(made.len() >= 10);
        }
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut schedule = schedule();
        schedule.made(schedule.next());
        let second = schedule.next();
        schedule.made(second + 47 * SECOND);
        assert_eq!(schedule.next(), second + 50 * SECOND);
        let on_the_dot = second + 70 * SECOND;
        schedule.made(on_the_dot);
        assert_eq!(schedule.next(), on_the_dot + 10 * SECOND);
    }

    #[test]
    fn an_early_heartbeat_keeps_its_distance_from_the_last() {
        let mut schedule = schedule();
        schedule.made(schedule.next());
        let regular = schedule.next();
        schedule.made(regular);
        schedule.links_changed(regular + SECOND / 10);
        assert_eq!(schedule.next(), regular + SECOND);
    }

    #[test]
    fn a_change_is_told_once_it_has_settled() {
        let mut schedule = schedule();
        schedule.made(schedule.next());
        let regular = schedule.next();
        let at = regular - 4 * SECOND;
        schedule.links_changed(at);
        schedule.links_changed(at + SECOND / 5);
        let told = schedule.next().since(at + SECOND / 5);
        assert!((SECOND * 2 / 5..=SECOND * 3 / 5).contains(&told), "{told:?}");
        schedule.made(schedule.next());
        assert_eq!(schedule.next(), regular, "the regular beat stays in step");
    }

    #[test]
    fn changes_without_end_cost_two_early_heartbeats_an_interval() {
        let mut schedule = schedule();
        let (mut now, mut made) = (Mono(0), Vec::new());
        while now < Mono(0) + 100 * SECOND {
            now = now + SECOND / 4;
            if schedule.next() <= now {
                schedule.made(now);
                made.push(now);
            }
            if now.0 % 1_500_000_000 == 0 {
                schedule.links_changed(now);
            }
        }
        assert!((20..=33).contains(&made.len()), "{}", made.len());
        let tight = made.windows(2).filter(|pair| pair[1].since(pair[0]) < SECOND).count();
        assert!(tight <= 10, "only a regular one may follow closely: {tight}");
    }
}
