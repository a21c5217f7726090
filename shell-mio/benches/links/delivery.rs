//! An opaque message from the application of one node to that of another, over a link of a real network.

use std::time::Duration;

use crate::bare::{BareStar, Sealing};
use crate::measure::table::{Unit, absolute, against, heading};
use crate::measure::{Compared, allocations, compare};
use crate::star::{Peers, Star};
use crate::traffic::{Traffic, per_delivery};

const ROUNDS: usize = 7;
const WINDOW: Duration = Duration::from_millis(400);

pub(crate) fn print() {
    heading("one message of 200 bytes delivered");
    let few = waiting(14, 1, Peers::Registered);
    against("14 peers, one waiting, against bare mio", Unit::Micros, few, 1.2, 1.1);
    let more = waiting(49, 1, Peers::Registered);
    against("49 peers, one waiting, against bare mio", Unit::Micros, more, 1.2, 1.1);
    for peers in [14, 49] {
        let many = waiting(peers, 32, Peers::Registered);
        let what = format!("{peers} peers, 32 waiting, against 32 sealed one by one");
        against(&what, Unit::Micros, many, 1.0, 0.8);
    }

    against("growth from 14 to 200 peers, against the floor's", Unit::Times, growth(), 1.05, 1.03);
    against("14 busy of 200 peers, against 14 of 14", Unit::Micros, company(), 1.05, 1.03);

    let mut star = Star::new(14, 1, Peers::Registered);
    absolute("allocations a delivery, steady state", Unit::Count, per_message(&mut star), 0.0, 0.0);
}

fn waiting(peers: u32, waiting: usize, kind: Peers) -> Compared {
    let mut bare = BareStar::new(peers as usize, waiting, Sealing::OneByOne);
    let mut star = Star::new(peers, waiting, kind);
    compare(ROUNDS, || per_delivery(&mut bare, WINDOW), || per_delivery(&mut star, WINDOW))
}

/// The threads of 200 peers do not fit the processor's caches, so the floor grows, too: ours is what grows beyond.
fn growth() -> Compared {
    let (few, many) = (14, 200);
    let mut bare = [few, many].map(|peers| BareStar::new(peers as usize, 1, Sealing::OneByOne));
    let mut stars = [few, many].map(|peers| Star::new(peers, 1, Peers::Observers));
    compare(
        ROUNDS,
        || {
            let [few, many] = bare.each_mut().map(|star| per_delivery(star, WINDOW));
            many / few
        },
        || {
            let [few, many] = stars.each_mut().map(|star| per_delivery(star, WINDOW));
            many / few
        },
    )
}

/// What links without traffic do to those that have some.
fn company() -> Compared {
    let mut alone = Star::new(14, 1, Peers::Observers);
    let mut among = Star::with_busy(200, 14, 1, Peers::Observers);
    compare(ROUNDS, || per_delivery(&mut alone, WINDOW), || per_delivery(&mut among, WINDOW))
}

/// Allocations a message, once the buffers have found their sizes.
#[allow(clippy::cast_precision_loss)] // Far below 2^52.
fn per_message(star: &mut Star) -> f64 {
    star.start();
    std::thread::sleep(WINDOW);
    let (calls_before, delivered_before) = (allocations::calls(), star.delivered());
    std::thread::sleep(WINDOW);
    let (calls_after, delivered_after) = (allocations::calls(), star.delivered());
    star.stop();
    (calls_after - calls_before) as f64 / (delivered_after - delivered_before) as f64
}
