//! What links cost over real sockets: `cargo bench -p timed-mio -- [TOPIC]`.
//!
//! Every number stands beside the floor that was measured in the same run. CPU microseconds, both ends together
//! unless a row says otherwise. Nothing fails here: these are benchmarks, not tests.

mod application;
mod bare;
mod crowd;
mod delivery;
mod floors;
mod handshake;
mod idle;
mod loopback;
#[path = "../../../core/benches/measure/mod.rs"]
mod measure;
mod recorder;
mod refused;
mod star;
mod swarm;
mod traffic;

use measure::allocations::Counting;
use measure::wanted;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    if swarm::is_asked_for() {
        return swarm::run();
    }
    stay_on_one_core();
    if wanted("floors") {
        floors::print();
    }
    if wanted("handshake") {
        handshake::print();
    }
    if wanted("delivery") {
        delivery::print();
    }
    if wanted("recorder") {
        recorder::print();
    }
    if wanted("idle") {
        idle::print();
    }
    if wanted("refused") {
        refused::print();
    }
    if wanted("crowd") {
        crowd::print();
    }
}

/// On several cores it is a matter of luck how many messages a hub finds each time it wakes up, for the floor and for
/// what is judged by it: measured one after the other, they were not alike. On one core it finds them all.
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
