//! The conformance suite on the arms that need no other program: every case on each, and every rule with a case or
//! a reason.
//!
//! `TIMED_RULE=H-5` runs the cases of one rule, `TIMED_CASE=part_of_a_name` those whose name has it.

use timed_tests::conformance::{Case, Loopback, Mio, Simulated, Stage, cases, run_all};

/// Cases at the same time: they mostly wait.
const TOGETHER: usize = 8;

fn chosen() -> Vec<&'static Case> {
    let wanted = |name: &str| std::env::var(name).ok();
    let (rule, part) = (wanted("TIMED_RULE"), wanted("TIMED_CASE"));
    cases()
        .into_iter()
        .filter(|case| rule.as_deref().is_none_or(|rule| case.rule == rule))
        .filter(|case| part.as_deref().is_none_or(|part| case.name.contains(part)))
        .collect()
}

fn all_pass(stage: &dyn Stage, together: usize) {
    let outcomes = run_all(stage, &chosen(), b"suite", together, |outcome| {
        let why = outcome.verdict.as_ref().err().map_or_else(String::new, |miss| format!(": {miss}"));
        let (case, seconds) = (outcome.case, outcome.took.as_secs_f32());
        println!("{} {seconds:7.2} s  {:5} {}{why}", outcome.word(), case.rule, case.name);
    });
    let failed: Vec<String> = outcomes
        .iter()
        .filter_map(|outcome| {
            let miss = outcome.verdict.as_ref().err()?;
            Some(format!("{} {}: {miss}", outcome.case.rule, outcome.case.name))
        })
        .collect();
    assert!(failed.is_empty(), "on the {}:\n{}", stage.name(), failed.join("\n"));
}

#[test]
fn every_case_passes_on_the_simulator() {
    all_pass(&Simulated { seed: 1 }, 2);
}

#[test]
fn every_case_passes_on_the_mio_shell() {
    all_pass(&Loopback::<Mio>::new(150), TOGETHER);
}
