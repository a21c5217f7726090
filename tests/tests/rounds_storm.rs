//! Thousands of heights through storms of crashes, losses, twins and traitors: never two blocks at one, never a
//! correct node that contradicts itself, and a decision when the storm is over.

use timed_tests::rounds::{Storm, Tally};
use timed_tests::sim::seeds;

#[test]
fn prod_06_one_block_a_height_through_any_storm() {
    let tallies: Vec<_> = seeds(1000).into_iter().map(Storm::run).collect();
    let count = |holds: fn(&Tally) -> bool| tallies.iter().filter(|tally| holds(tally)).count();
    println!(
        "{} heights: {} crashes, {} decided in the storm by somebody, {} after a later round than the first, {} with \
         blocks proposed again, {} with locks at the end of the storm, {} with evidence",
        tallies.len(),
        tallies.iter().map(|tally| tally.crashes).sum::<u32>(),
        count(|tally| tally.in_storm > 0),
        count(|tally| tally.round.0 > 0),
        count(|tally| tally.again > 0),
        count(|tally| tally.locked > 0 && tally.in_storm == 0),
        count(|tally| tally.evidence > 0),
    );
    println!("latest round {:?}", tallies.iter().map(|t| t.round).max());
    println!("longest calm {:?}", tallies.iter().map(|t| t.calm_rounds).max());
}
