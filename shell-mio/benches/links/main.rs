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
mod star;
mod swarm;
mod traffic;

use measure::allocations::Counting;
use measure::wanted;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    if swarm::is_asked_for() {
        return swarm::run();
    }
    if wanted("floors") {
        floors::print();
    }
    if wanted("handshake") {
        handshake::print();
    }
    if wanted("delivery") {
        delivery::print();
    }
    if wanted("idle") {
        idle::print();
    }
    if wanted("crowd") {
        crowd::print();
    }
}
