//! What the tokio shell costs beside the mio shell and the floor: `cargo bench -p timed-tests --bench shells -- [TOPIC]`.
//!
//! The floor, the mio shell and the traffic are those of `cargo bench -p timed-mio --bench links`. CPU microseconds, both
//! ends together unless a row says otherwise. Each node has a thread of its own with a runtime of its own, as the mio
//! shell has. Nothing fails here: these are benchmarks, not tests.

// Shared by path; this benchmark does not use all of it.
#[allow(dead_code)]
#[path = "../../../shell-mio/benches/links/application.rs"]
mod application;
#[allow(dead_code)]
#[path = "../../../shell-mio/benches/links/bare.rs"]
mod bare;
#[allow(dead_code)]
#[path = "../../../shell-mio/benches/links/loopback.rs"]
mod loopback;
#[path = "../../../core/benches/measure/mod.rs"]
mod measure;
#[allow(dead_code)]
#[path = "../../../shell-mio/benches/links/star.rs"]
mod star;
#[path = "../../../shell-mio/benches/links/swarm.rs"]
mod swarm;
mod tokio_hub;
mod tokio_star;
#[path = "../../../shell-mio/benches/links/traffic.rs"]
mod traffic;

use std::time::Duration;

use bare::{BareStar, Sealing};
use measure::allocations::Counting;
use measure::table::{Unit, against, heading};
use measure::{compare, wanted};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use star::{Peers, Star};
use tokio_star::TokioStar;
use traffic::per_delivery;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: usize = 7;
const WINDOW: Duration = Duration::from_millis(400);

fn main() {
    if swarm::is_asked_for() {
        return swarm::run();
    }
    stay_on_one_core();
    if wanted("delivery") {
        deliveries();
    }
    if wanted("crowd") {
        tokio_hub::print();
    }
}

fn deliveries() {
    heading("one message of 200 bytes delivered by the tokio shell");
    for peers in [14, 49] {
        let mut bare = BareStar::new(peers as usize, 1, Sealing::OneByOne);
        let mut mio = Star::new(peers, 1, Peers::Registered);
        let mut tokio = TokioStar::new(peers, 1);
        let over_mio =
            compare(ROUNDS, || per_delivery(&mut mio, WINDOW), || per_delivery(&mut tokio, WINDOW));
        against(
            &format!("{peers} peers, one waiting, against the mio shell"),
            Unit::Micros,
            over_mio,
            1.5,
            1.3,
        );
        let over_bare =
            compare(ROUNDS, || per_delivery(&mut bare, WINDOW), || per_delivery(&mut tokio, WINDOW));
        against(&format!("{peers} peers, one waiting, against bare mio"), Unit::Micros, over_bare, 1.8, 1.5);
        drop((mio, tokio));
        let mut mio = Star::new(peers, 32, Peers::Registered);
        let mut tokio = TokioStar::new(peers, 32);
        let many = compare(ROUNDS, || per_delivery(&mut mio, WINDOW), || per_delivery(&mut tokio, WINDOW));
        against(&format!("{peers} peers, 32 waiting, against the mio shell"), Unit::Micros, many, 1.5, 1.3);
    }
}

/// On several cores it is a matter of luck how many messages a hub finds each time it wakes up.
fn stay_on_one_core() {
    let mut one = CpuSet::new();
    if let Ok(all) = sched_getaffinity(None)
        && let Some(core) = (0..CpuSet::MAX_CPU).rev().find(|core| all.is_set(*core))
    {
        one.set(core);
        // Without it the numbers are less steady, nothing else.
        let _ = sched_setaffinity(None, &one);
    }
}
