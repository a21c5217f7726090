//! How a node catches up, as its operator sees it: how fast, how long still, and when that is worth a line.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use timed_core::SyncState;

/// The speed is that of the last so many seconds, from samples at least so far apart.
const WINDOW: Duration = Duration::from_secs(10);
const SAMPLE_EVERY: Duration = Duration::from_millis(250);
/// A node that lacks fewer blocks than this, for less than that, is not worth a line: a block was missed and
/// fetched.
const FEW: u64 = 3;
const SOON: Duration = Duration::from_secs(5);
/// What has been fetched is durable within this time, or has been no block of the chain.
const SETTLED: Duration = Duration::from_secs(2);
/// Between two lines of progress: at first, and after the first minute.
const LINE_EVERY: Duration = Duration::from_secs(10);
const LATER_EVERY: Duration = Duration::from_secs(60);

/// Where a node that catches up stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Progress {
    /// The newest block that it has.
    pub(super) height: u64,
    /// The newest one it has heard of.
    pub(super) target: u64,
    /// Blocks a second, once that is known.
    pub(super) rate: Option<f64>,
}

impl Progress {
    /// How long it takes at this speed.
    pub(super) fn left(&self) -> Option<Duration> {
        let blocks = self.target.saturating_sub(self.height) as f64;
        let seconds = blocks / self.rate.filter(|rate| *rate > 0.0)?;
        // Years are as good as for ever.
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// What is worth a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Line {
    /// It has begun.
    Began(Progress),
    /// It goes on.
    Going(Progress),
    /// Nobody linked has what is missing.
    Stalled(Progress),
    /// It is done.
    Done {
        /// Blocks that were fetched.
        blocks: u64,
        /// In which time.
        took: Duration,
        /// The height reached.
        height: u64,
    },
}

/// One catching-up.
#[derive(Clone, Debug)]
struct Run {
    begun: Instant,
    from: u64,
    samples: VecDeque<(Instant, u64)>,
    /// When the last line was written, if one was.
    told: Option<Instant>,
    stalled: bool,
    /// The newest block that it has heard of.
    target: u64,
    /// Since when nothing is to be fetched any more.
    fetched: Option<Instant>,
}

/// Follows the state of a node's catching-up.
#[derive(Clone, Debug, Default)]
pub(super) struct CatchUp {
    run: Option<Run>,
}

impl CatchUp {
    /// Takes the state of a moment, in the order of moments; `tip` is the newest durable height.
    pub(super) fn see(&mut self, state: SyncState, tip: u64, now: Instant) -> Option<Line> {
        let (height, target) = match state {
            SyncState::Syncing { height, target } | SyncState::Stalled { height, target } => {
                (height.0.max(tip), target.0)
            }
            SyncState::Synced => {
                let run = self.run.as_mut()?;
                let fetched = *run.fetched.get_or_insert(now);
                // The last blocks are about to be durable.
                if tip < run.target && now.duration_since(fetched) < SETTLED {
                    return None;
                }
                let run = self.run.take()?;
                let blocks = tip.saturating_sub(run.from);
                let took = now.duration_since(run.begun);
                return run.told.map(|_| Line::Done { blocks, took, height: tip });
            }
        };
        let run = self.run.get_or_insert_with(|| Run {
            begun: now,
            from: height,
            samples: VecDeque::new(),
            told: None,
            stalled: false,
            target,
            fetched: None,
        });
        (run.target, run.fetched) = (target, None);
        run.sample(now, height);
        let progress = Progress { height, target, rate: run.rate() };
        let stalled = matches!(state, SyncState::Stalled { .. });
        if std::mem::replace(&mut run.stalled, stalled) != stalled && stalled {
            run.told = Some(now);
            return Some(Line::Stalled(progress));
        }
        let lasted = now.duration_since(run.begun);
        match run.told {
            None if target.saturating_sub(height) >= FEW || lasted >= SOON => {
                run.told = Some(now);
                Some(Line::Began(progress))
            }
            Some(at) if !stalled => {
                let every = if lasted < LATER_EVERY { LINE_EVERY } else { LATER_EVERY };
                let due = now.duration_since(at) >= every;
                due.then(|| {
                    run.told = Some(now);
                    Line::Going(progress)
                })
            }
            _ => None,
        }
    }

    /// Where it stands now, while it lasts and was worth a line.
    pub(super) fn progress(&self, state: SyncState, tip: u64) -> Option<Progress> {
        let run = self.run.as_ref().filter(|run| run.told.is_some())?;
        let target = state.target()?.0;
        let height = run.samples.back().map_or(tip, |(_, height)| tip.max(*height));
        Some(Progress { height, target, rate: run.rate() })
    }

    /// Blocks a second; zero while nothing is fetched.
    pub(super) fn rate(&self) -> f64 {
        self.run.as_ref().and_then(Run::rate).unwrap_or(0.0)
    }
}

impl Run {
    fn sample(&mut self, now: Instant, height: u64) {
        if self.samples.back().is_some_and(|(at, _)| now.duration_since(*at) < SAMPLE_EVERY) {
            return;
        }
        self.samples.push_back((now, height));
        while self.samples.len() > 2
            && self.samples.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW)
        {
            self.samples.pop_front();
        }
    }

    fn rate(&self) -> Option<f64> {
        let ((first, from), (last, to)) = (self.samples.front()?, self.samples.back()?);
        let seconds = last.duration_since(*first).as_secs_f64();
        (seconds > 0.0).then(|| to.saturating_sub(*from) as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timed_core::Height;

    fn syncing(height: u64, target: u64) -> SyncState {
        SyncState::Syncing { height: Height(height), target: Height(target) }
    }

    #[test]
    fn a_long_way_is_a_few_lines_with_speed_and_time() {
        let (start, mut catch_up, mut lines) = (Instant::now(), CatchUp::default(), Vec::new());
        // 100 blocks a second for 100 seconds, seen every quarter of a second.
        for step in 0..400_u64 {
            let now = start + Duration::from_millis(250 * step);
            lines.extend(catch_up.see(syncing(25 * step, 10_000), 25 * step, now));
        }
        lines.extend(catch_up.see(SyncState::Synced, 10_000, start + Duration::from_secs(100)));
        assert_eq!(lines[0], Line::Began(Progress { height: 0, target: 10_000, rate: None }));
        let Line::Going(progress) = lines[1] else { panic!("{lines:?}") };
        assert_eq!((progress.height, progress.rate), (1_000, Some(100.0)));
        assert_eq!(progress.left(), Some(Duration::from_secs(90)));
        let done = Line::Done { blocks: 10_000, took: Duration::from_secs(100), height: 10_000 };
        assert_eq!((lines.len(), lines[lines.len() - 1]), (7, done), "{lines:?}");
        assert_eq!(catch_up.rate(), 0.0);
    }

    #[test]
    fn it_is_done_when_the_last_block_is_durable_or_will_not_come() {
        let (start, at) = (Instant::now(), Duration::from_millis);
        for (durable, told_at, blocks) in [(113, 40, 23), (105, 2_100, 15)] {
            let mut catch_up = CatchUp::default();
            assert!(matches!(catch_up.see(syncing(90, 113), 90, start), Some(Line::Began(_))));
            assert_eq!(catch_up.see(SyncState::Synced, 105, start + at(20)), None, "eight are being written");
            let took = at(told_at);
            let done = catch_up.see(SyncState::Synced, durable, start + took);
            assert_eq!(done, Some(Line::Done { blocks, took, height: durable }));
            assert_eq!(catch_up.see(SyncState::Synced, durable, start + took), None);
        }
    }

    #[test]
    fn a_block_that_was_missed_and_fetched_is_no_line() {
        let (start, mut catch_up) = (Instant::now(), CatchUp::default());
        for height in 10..2_000 {
            let now = start + Duration::from_secs(height);
            assert_eq!(catch_up.see(syncing(height, height + 1), height, now), None);
            assert_eq!(catch_up.progress(syncing(height, height + 1), height), None);
            assert_eq!(catch_up.see(SyncState::Synced, height + 1, now + SAMPLE_EVERY), None);
        }
        let now = start + Duration::from_secs(3_000);
        assert_eq!(catch_up.see(syncing(2_000, 2_001), 2_000, now), None);
        assert!(matches!(catch_up.see(syncing(2_000, 2_001), 2_000, now + SOON), Some(Line::Began(_))));
    }

    #[test]
    fn a_stall_is_told_once_and_so_is_its_end() {
        let (start, mut catch_up, mut lines) = (Instant::now(), CatchUp::default(), Vec::new());
        let stalled = SyncState::Stalled { height: Height(5), target: Height(6) };
        for second in 0..600 {
            lines.extend(catch_up.see(stalled, 5, start + Duration::from_secs(second)));
        }
        lines.extend(catch_up.see(SyncState::Synced, 6, start + Duration::from_secs(600)));
        assert!(matches!(lines[..], [Line::Stalled(_), Line::Done { blocks: 1, .. }]), "{lines:?}");
    }
}
