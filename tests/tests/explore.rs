//! Exhaustive exploration of two nodes within bounds that take seconds. `cargo run -p timed-tests --release
//! --no-default-features --bin explore` takes larger ones.

use timed_tests::explore::{Bounds, Budget, Outcome, explore, line};

/// Every schedule within the bounds must end well, and there must be as many states as it is worth.
fn all_end_well(bounds: &Bounds, at_least: usize) -> Outcome {
    let outcome = explore(bounds, |_| ());
    if let Some(violation) = &outcome.violation {
        panic!("{}\nafter: {}", violation.faults.join("\n"), line(&violation.schedule));
    }
    assert!(outcome.complete);
    println!(
        "{} states, {} endings, at most {:?} to settle, {:?}",
        outcome.states, outcome.endings, outcome.longest, outcome.took
    );
    assert!(outcome.states >= at_least, "only {} states: the bounds explore nothing", outcome.states);
    outcome
}

#[test]
fn dir_02a_every_order_of_dials_and_timers_ends_with_one_shared_link() {
    all_end_well(&Bounds::pair(Budget { timers: 3, ..Budget::default() }), 2_000);
}
