//! Exhaustive exploration of two nodes, and of a third process with the key of one of them, within bounds that
//! take seconds. `cargo run -p timed-tests --release --no-default-features --bin explore` takes larger ones.

use std::time::Duration;

use timed_tests::explore::{
    Bounds, Budget, Cast, DiskPace, HostIx, Outcome, explore, line, parse, replay, wander,
};

const A: HostIx = HostIx(0);
const B: HostIx = HostIx(1);

fn told(name: &str, outcome: &Outcome) {
    if let Some(violation) = &outcome.violation {
        panic!("{name}: {}\nafter: {}", violation.faults.join("\n"), line(&violation.schedule));
    }
    println!(
        "{name}: {} states, {} endings, at most {:?} and {} links to settle, {:?}",
        outcome.states, outcome.endings, outcome.longest, outcome.ups, outcome.took
    );
}

/// Every schedule within the bounds must end well, and there must be as many states as make it worth while.
fn all_end_well(name: &str, bounds: &Bounds, at_least: usize) -> Outcome {
    let outcome = explore(bounds, |_| ());
    told(name, &outcome);
    assert!(outcome.complete);
    assert!(outcome.states >= at_least, "{name}: only {} states: nothing is explored", outcome.states);
    outcome
}

fn some_end_well(name: &str, bounds: &Bounds, walks: usize) {
    told(name, &wander(bounds, walks, |_| ()));
}

const fn timers(timers: u8) -> Budget {
    Budget { timers, dials: 0, drops: 0, resets: 0, restarts: 0, lost_epochs: 0, outages: 0 }
}

fn twin(of: HostIx, budget: Budget) -> Bounds {
    Bounds { cast: Cast::Twin(of), ..Bounds::pair(budget) }
}

#[test]
fn dir_02a_every_order_of_dials_and_timers_ends_with_one_shared_link() {
    all_end_well("timers", &Bounds::pair(timers(3)), 10_000);
    for seed in 2..6 {
        all_end_well("other delays", &Bounds { seed, ..Bounds::pair(timers(2)) }, 500);
    }
}

#[test]
fn dup_01a_three_dials_more_by_the_operators_end_with_one_shared_link() {
    all_end_well("three dials", &Bounds::pair(Budget { dials: 3, ..timers(0) }), 1_000);
    all_end_well("two dials and a timer", &Bounds::pair(Budget { dials: 2, ..timers(1) }), 10_000);
}

#[test]
fn dup_04a_silent_drops_and_resets_leave_no_half_open_link() {
    all_end_well("two drops", &Bounds::pair(Budget { drops: 2, ..timers(2) }), 2_000);
    all_end_well("a drop and a dial", &Bounds::pair(Budget { drops: 2, dials: 1, ..timers(1) }), 2_000);
    all_end_well("a reset", &Bounds::pair(Budget { resets: 1, ..timers(2) }), 20_000);
}

#[test]
fn rec_02_a_restart_at_any_moment_ends_with_one_shared_link() {
    let outcome = all_end_well("a restart", &Bounds::pair(Budget { restarts: 1, ..timers(2) }), 20_000);
    let slow = outcome.longest > Duration::from_secs(4);
    assert!(!slow, "{:?} until the link stands again after: {}", outcome.longest, line(&outcome.slowest));
    let lost = Budget { restarts: 1, lost_epochs: 1, ..timers(1) };
    all_end_well("a lost epoch", &Bounds::pair(lost), 1_000);
    let slow = Bounds { disk: DiskPace::AnyTime, ..Bounds::pair(lost) };
    all_end_well("a lost epoch and slow disks", &slow, 2_000);
}

#[test]
fn dup_03_an_expired_register_admits_nothing_that_was_replaced() {
    all_end_well("forgetful", &Bounds::pair(Budget { drops: 2, dials: 1, ..timers(1) }).forgetful(), 2_000);
    all_end_well("an outage", &Bounds::pair(Budget { outages: 1, ..timers(1) }), 500);
}

#[test]
fn dir_03_with_one_end_out_of_reach_the_other_one_dials() {
    for deaf in [A, B] {
        let bounds = Bounds { deaf: Some(deaf), ..Bounds::pair(Budget { drops: 1, ..timers(3) }) };
        all_end_well("one way", &bounds, 300);
    }
}

#[test]
fn of_two_processes_with_one_key_one_has_a_lasting_link() {
    for of in [A, B] {
        all_end_well("a twin", &twin(of, timers(1)), 200);
        all_end_well("a twin with an older epoch", &twin(of, Budget { lost_epochs: 1, ..timers(1) }), 300);
        some_end_well("a twin in trouble", &twin(of, Budget { dials: 1, drops: 1, ..timers(10) }), 500);
    }
}

#[test]
fn schedules_drawn_at_random_from_the_whole_budget_end_well() {
    let all = Budget { timers: 12, dials: 3, drops: 2, resets: 1, restarts: 1, lost_epochs: 0, outages: 1 };
    some_end_well("everything", &Bounds::pair(all), 10_000);
    some_end_well("everything, forgetful", &Bounds::pair(all).forgetful(), 5_000);
    some_end_well("with a lost epoch", &Bounds::pair(Budget { lost_epochs: 1, ..all }), 5_000);
}

/// Found by exploration: the late `Hello` of a killed process, of a higher epoch than the one that lives.
#[test]
fn a_late_word_of_a_dead_process_does_not_halt_the_living_one() {
    let bounds = Bounds::pair(Budget { restarts: 1, lost_epochs: 1, ..timers(2) });
    let schedule = parse("timer:A A1+ A1< kill:A stale:A timer:A A2+ A2< A2>").unwrap();
    let (lines, ending) = replay(&bounds, &schedule);
    assert!(ending.is_ok(), "{ending:?}\n{}", lines.join("\n"));
}

/// What a fair end must show is looked for: a host that stays down has no link.
#[test]
fn an_ending_without_a_link_is_noticed() {
    let bounds = Bounds::pair(Budget { restarts: 1, ..timers(1) });
    let (_, ending) = replay(&bounds, &parse("timer:A A1+ kill:B").unwrap());
    let faults = ending.unwrap_err();
    assert!(faults.contains(&"A: 0 live links at the end".to_owned()), "{faults:?}");
    assert!(faults.contains(&"A: it still dials".to_owned()), "{faults:?}");
}
