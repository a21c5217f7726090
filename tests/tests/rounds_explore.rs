//! Every way in which a height of four nodes can go, one of them a traitor, crashes included: one round to its end,
//! and the beginning of two.
//!
//! `TIMED_ROUNDS=2 cargo test -p timed-tests --test rounds_explore -- --nocapture` goes on into the second round, for as
//! many states as `TIMED_STATES` says, and tells how far it came: two whole rounds are more than anybody has time for.

use timed_tests::rounds::{Bounds, Found, explore};

fn told(name: &str, bounds: Bounds) -> Found {
    let found = explore(bounds);
    println!(
        "{name}: {} states ({} with a lock, {} with a final block), {} steps, {:.1?}: {bounds:?}",
        found.states, found.locked, found.decided, found.steps, found.took
    );
    found
}

/// A number that the environment gives.
fn given<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn prod_06_no_schedule_makes_two_blocks_final() {
    let rounds = given("TIMED_ROUNDS").unwrap_or(1);
    let states = given("TIMED_STATES").unwrap_or(if rounds > 1 { 100_000 } else { 10_000_000 });
    for led in 0..3 {
        let bounds = Bounds { size: 4, traitors: 1, led, rounds, states };
        let found = told(&format!("a traitor leads round {led}"), bounds);
        assert!(found.wrong.is_none(), "{:#?}", found.wrong);
        assert!(found.complete || rounds > 1);
        assert!(found.decided > 0 && found.locked > 0);
    }
}

#[test]
fn prod_06_no_beginning_of_two_rounds_makes_two_blocks_final() {
    let found = told("two rounds", Bounds { size: 4, traitors: 1, led: 0, rounds: 2, states: 3000 });
    assert!(found.wrong.is_none(), "{:#?}", found.wrong);
}

/// The search finds what is wrong where something is: two traitors of four are too many.
#[test]
fn two_traitors_of_four_make_two_blocks_final() {
    let found = told("two traitors", Bounds { size: 4, traitors: 2, led: 0, rounds: 1, states: 1_000_000 });
    assert!(found.wrong.is_some());
}
