//! Runs cases, several at a time, and keeps what came of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::arm::{Miss, Stage, Verdict, broken};
use super::exam::Exam;
use super::table::Case;

/// What came of one case.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The case.
    pub case: &'static Case,
    /// Whether it passed.
    pub verdict: Verdict,
    /// Real time.
    pub took: Duration,
}

/// Runs one case on an arm of its own. `draws` decides the keys of strangers: other ones for each run against a node
/// that remembers.
pub fn run(stage: &dyn Stage, case: &'static Case, draws: &[u8]) -> Outcome {
    let began = Instant::now();
    let digest = Sha256::new().chain_update(draws).chain_update(case.name).finalize();
    let verdict = catch_unwind(AssertUnwindSafe(|| {
        let mut arm = stage.set(case.scene)?;
        (case.run)(&mut Exam::new(arm.as_mut(), digest.into()))
    }));
    let verdict = verdict.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(broken(format!("panicked: {}", text.unwrap_or_default())))
    });
    Outcome { case, verdict, took: began.elapsed() }
}

/// Runs cases, at most `together` at the same time; `told` hears of each as it ends.
pub fn run_all(
    stage: &dyn Stage,
    cases: &[&'static Case],
    draws: &[u8],
    together: usize,
    told: impl Fn(&Outcome) + Sync,
) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<Vec<(usize, Outcome)>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..together.clamp(1, cases.len().max(1)) {
            scope.spawn(|| {
                while let Some((at, case)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    cases.get(at).map(|case| (at, *case))
                } {
                    let outcome = run(stage, case, draws);
                    told(&outcome);
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((at, outcome));
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|(at, _)| *at);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

impl Outcome {
    /// One word about it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.verdict {
            Ok(()) => "passed",
            Err(Miss::Broken(_)) => "FAILED",
            Err(Miss::Lacks(_)) => "not run",
        }
    }
}
