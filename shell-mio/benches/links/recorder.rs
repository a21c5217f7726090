//! What the flight recorder costs: the same traffic with one in every node, against the same without.

use std::time::Duration;

use crate::measure::table::{Unit, against, heading};
use crate::measure::{Compared, compare};
use crate::star::{Peers, Star};
use crate::traffic::per_delivery;

const ROUNDS: usize = 9;
const WINDOW: Duration = Duration::from_millis(400);

pub(crate) fn print() {
    heading("one message of 200 bytes delivered, recorded at both ends");
    for (peers, waiting) in [(14, 1), (14, 32), (49, 1), (49, 32)] {
        let what = format!("{peers} peers, {waiting} waiting, against no recorder");
        against(&what, Unit::Micros, recorded(peers, waiting), 1.03, 1.02);
    }
}

fn recorded(peers: u32, waiting: usize) -> Compared {
    let mut plain = Star::new(peers, waiting, Peers::Registered);
    let mut recorded = Star::recorded(peers, waiting, Peers::Registered);
    compare(ROUNDS, || per_delivery(&mut plain, WINDOW), || per_delivery(&mut recorded, WINDOW))
}
