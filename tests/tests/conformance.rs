//! The conformance suite on the arms that need no other program: every case on each, and every rule with a case or
//! a reason.
//!
//! `TIMED_RULE=H-5` runs the cases of one rule, `TIMED_CASE=part_of_a_name` those whose name has it.

use std::path::Path;

use timed_tests::conformance::{
    Case, Loopback, Mio, Simulated, Stage, Tokio, UNSEEN, cases, document, run_all,
};

/// Cases at the same time: they mostly wait.
const TOGETHER: usize = 16;

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

#[test]
fn every_case_passes_on_the_tokio_shell() {
    all_pass(&Loopback::<Tokio>::new(149), TOGETHER);
}

/// The numbers in bold at the beginning of a rule, in the order of the document.
fn rules(document: &str) -> Vec<&str> {
    let is_rule = |word: &&str| {
        word.strip_suffix('.').and_then(|word| word.split_once('-')).is_some_and(|(letter, number)| {
            letter.len() == 1 && letter.as_bytes()[0].is_ascii_uppercase() && number.parse::<u8>().is_ok()
        })
    };
    document.split("**").filter(is_rule).map(|word| word.trim_end_matches('.')).collect()
}

#[test]
fn every_numbered_rule_has_a_case_or_a_reason_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| {
        std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let protocol = read("core/PROTOCOL.md");
    let rules = rules(&protocol);
    assert!(rules.len() > 80 && rules.contains(&"H-4"), "{} rules are no whole document", rules.len());
    let seen = |rule: &str| cases().iter().any(|case| case.rule == rule);
    let unseen = |rule: &str| UNSEEN.iter().any(|unseen| unseen.rule == rule);
    let neither: Vec<&&str> = rules.iter().filter(|rule| !seen(rule) && !unseen(rule)).collect();
    assert!(neither.is_empty(), "neither a case nor a reason: {neither:?}");
    for case in cases() {
        assert!(rules.contains(&case.rule), "{} is about {}, which is no rule", case.name, case.rule);
    }
    for unseen in UNSEEN {
        assert!(
            rules.contains(&unseen.rule) && !seen(unseen.rule),
            "{} is no rule, or has a case",
            unseen.rule
        );
        let (path, function) =
            unseen.held_by.split_once("::").unwrap_or_else(|| panic!("{}", unseen.held_by));
        assert!(read(path).contains(&format!("fn {function}(")), "{} is not there", unseen.held_by);
    }
    let (path, written) = (root.join("tests/CONFORMANCE.md"), document(&rules));
    if std::env::var_os("TIMED_BLESS").is_some() {
        std::fs::write(&path, &written).unwrap_or_else(|error| panic!("{error}"));
    }
    let there = read("tests/CONFORMANCE.md");
    let differs = there.lines().zip(written.lines()).find(|(there, written)| there != written);
    assert!(there == written, "the table has changed, TIMED_BLESS=1 writes it: {differs:?}");
}

#[test]
fn a_rule_without_a_case_is_missed() {
    assert_eq!(rules("**A-1.** one\n**not a rule.** **H-3.** two, **H-4.** three"), ["A-1", "H-3", "H-4"]);
}
