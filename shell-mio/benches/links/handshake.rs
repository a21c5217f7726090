//! Establishing links: real Noise, real sockets, both ends.

use crate::floors;
use crate::loopback::Loopback;
use crate::measure::table::{Unit, absolute, against, heading};
use crate::measure::{allocations, compare, cpu, micros};
use crate::star::{Peers, Star};

const ROUNDS: usize = 9;
const PEERS: u32 = 49;

pub(crate) fn print() {
    heading("a link established, both ends");
    let loopback = Loopback::new();
    let mut star = Star::new(PEERS, 1, Peers::Registered);
    let one = compare(ROUNDS, || floors::handshake(&loopback), || establish(&mut star));
    against("against primitives, connection, two round trips", Unit::Micros, one, 1.25, 1.1);
    let two = compare(ROUNDS, floors::handshake_of_two, || establish(&mut star));
    against("the same, each end on a thread of its own", Unit::Micros, two, 1.25, 1.1);

    star.part();
    let before = allocations::calls();
    star.meet();
    #[allow(clippy::cast_precision_loss)] // Far below 2^52.
    let each = (allocations::calls() - before) as f64 / f64::from(PEERS);
    absolute("allocations", Unit::Count, each, 40.0, 20.0);
}

/// CPU microseconds of a link, when a hub dials all its peers.
fn establish(star: &mut Star) -> f64 {
    star.part();
    let before = cpu();
    star.meet();
    micros(cpu() - before) / f64::from(PEERS)
}
