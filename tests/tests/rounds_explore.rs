//! Every way in which a height of four nodes can go in two rounds, one of them a traitor, crashes included.
//!
//! `TIMED_ROUNDS=3 cargo test -p timed-tests --test rounds_explore -- --nocapture` goes further.

use timed_tests::rounds::{Bounds, Found, explore};

fn told(name: &str, bounds: Bounds) -> Found {
    let found = explore(bounds);
    println!(
        "{name}: {} states ({} with a lock, {} with a final block), {} steps, {:.1?}: {bounds:?}",
        found.states, found.locked, found.decided, found.steps, found.took
    );
    found
}

fn rounds(default: u32) -> u32 {
    std::env::var("TIMED_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn prod_06_no_schedule_of_two_rounds_makes_two_blocks_final() {
    for led in 0..3 {
        let bounds = Bounds { size: 4, traitors: 1, led, rounds: rounds(2), states: 10_000_000 };
        let found = told(&format!("a traitor leads round {led}"), bounds);
        assert!(found.wrong.is_none(), "{:#?}", found.wrong);
        assert!(found.complete && found.decided > 0 && found.locked > 0);
    }
}

/// The search finds what is wrong where something is: two traitors of four are too many.
#[test]
fn two_traitors_of_four_make_two_blocks_final() {
    let found = told("two traitors", Bounds { size: 4, traitors: 2, led: 0, rounds: 1, states: 1_000_000 });
    assert!(found.wrong.is_some());
}
