//! How the benchmarks measure and print: CPU time of the whole process, in rounds that alternate between a
//! floor and what is judged against it, so that a machine that slows down slows both.

// Shared by the benchmarks of the core and of the shell by path; neither uses all of it.
#![allow(dead_code)]

pub(crate) mod allocations;
pub(crate) mod network;
pub(crate) mod primitives;
pub(crate) mod signatures;
pub(crate) mod table;

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time, user and system, that all threads of this process have used.
pub(crate) fn cpu() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(used.tv_sec).expect("CPU time is not negative");
    let nanos = u32::try_from(used.tv_nsec).expect("below a second");
    Duration::new(seconds, nanos)
}

/// CPU microseconds of one call of `work`, over `times` of them.
pub(crate) fn per_call(times: u32, mut work: impl FnMut()) -> f64 {
    let before = cpu();
    for _ in 0..times {
        work();
    }
    micros(cpu() - before) / f64::from(times)
}

/// A duration in microseconds.
pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// A floor and what was measured against it: medians over the rounds, of the ratio too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compared {
    pub(crate) floor: f64,
    pub(crate) ours: f64,
    pub(crate) ratio: f64,
}

impl Compared {
    /// Of pairs of a floor and what was measured beside it.
    pub(crate) fn over(pairs: &[(f64, f64)]) -> Self {
        Self {
            floor: median(pairs.iter().map(|pair| pair.0)),
            ours: median(pairs.iter().map(|pair| pair.1)),
            ratio: median(pairs.iter().map(|pair| pair.1 / pair.0)),
        }
    }
}

/// Measures both in alternating rounds, each first in every other one, after one round that does not count.
pub(crate) fn compare(
    rounds: usize,
    mut floor: impl FnMut() -> f64,
    mut ours: impl FnMut() -> f64,
) -> Compared {
    floor();
    ours();
    let pairs: Vec<(f64, f64)> = (0..rounds)
        .map(|round| {
            if round % 2 == 0 {
                let floor = floor();
                (floor, ours())
            } else {
                let ours = ours();
                (floor(), ours)
            }
        })
        .collect();
    Compared::over(&pairs)
}

/// The middle value; the mean of the two middle ones of an even number.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// Whether a topic was asked for: `cargo bench -p PACKAGE -- TOPIC…` takes those whose name contains a word,
/// none means all.
pub(crate) fn wanted(topic: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
    words.peek().is_none() || words.any(|word| topic.contains(&word))
}
