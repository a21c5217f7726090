//! What the core costs, without sockets: `cargo bench -p timed-core -- [TOPIC]`.
//!
//! Every number stands beside the floor that was measured in the same run. CPU microseconds, both ends together
//! unless a row says otherwise. Nothing fails here: these are benchmarks, not tests.

mod cryptography;
mod handshake;
mod heartbeat;
mod height;
mod limited;
#[path = "../measure/mod.rs"]
mod measure;
mod memory;
mod recorder;

use measure::allocations::Counting;
use measure::wanted;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    if wanted("cryptography") {
        cryptography::print();
    }
    if wanted("handshake") {
        handshake::print();
    }
    if wanted("heartbeat") {
        heartbeat::print();
    }
    if wanted("limited") {
        limited::print();
    }
    if wanted("recorder") {
        recorder::print();
    }
    height::print();
}
