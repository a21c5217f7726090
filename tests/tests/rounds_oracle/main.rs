//! Our round machine against the driver of Malachite, which others wrote after the same paper: given the same
//! verified proposals, votes, certificates and time-outs in the same order, both must vote the same, propose the
//! same, set the same time-outs, hold the same locks and decide the same.
//!
//! `TIMED_SEEDS=100000 cargo test -p timed-tests --test rounds_oracle -- --nocapture` draws more schedules;
//! `TIMED_SEED=7` repeats one.

mod malachite;
mod network;
mod pair;
mod said;

use network::{Network, Tally};
use pair::Hearing;
use timed_core::MasternodeIndex;
use timed_tests::sim::seeds;

/// Runs every seed, and says what was met on the way.
fn agree(size: u8) -> Vec<Tally> {
    let tallies: Vec<Tally> = seeds(2000)
        .into_iter()
        .map(|seed| {
            Network::run(seed, size, Hearing::Same).unwrap_or_else(|disagreement| {
                panic!(
                    "seed {seed}: repeat with TIMED_SEED={seed} cargo test -p timed-tests --test rounds_oracle\n\
                     {disagreement}"
                )
            })
        })
        .collect();
    let sum = |of: fn(&Tally) -> usize| tallies.iter().map(of).sum::<usize>();
    println!(
        "{} schedules among {size}: {} inputs, {} nodes decided, {} locked, {} proposals made again, {} nodes saw \
         double votes, latest round {:?}, {} second proposals told, {} polkas that came late, {} inputs lost",
        tallies.len(),
        sum(|tally| tally.inputs),
        sum(|tally| tally.decided),
        sum(|tally| tally.locked),
        sum(|tally| tally.again),
        sum(|tally| tally.accused),
        tallies.iter().map(|tally| tally.round).max(),
        sum(|tally| tally.shown),
        sum(|tally| tally.later_polkas),
        sum(|tally| tally.lost),
    );
    tallies
}

#[test]
fn prod_06_four_nodes_do_what_an_independent_implementation_does() {
    agree(4);
}

#[test]
fn prod_06_seven_nodes_do_what_an_independent_implementation_does() {
    agree(7);
}

/// The comparison notices what is to be noticed: a machine to which one voter's votes do not come falls behind.
#[test]
fn a_machine_that_is_told_less_is_found_out() {
    let deaf = Hearing::DeafTo(MasternodeIndex(0));
    let found = (1..=200).filter(|seed| Network::run(*seed, 4, deaf).is_err()).count();
    assert!(found > 150, "noticed in {found} schedules of 200");
}
