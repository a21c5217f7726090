//! How many transactions a second become final: `cargo bench -p timed-mio --bench transactions`.
//!
//! A devnet of four daemons with slots of a second, and clients that submit transactions of 250 bytes over HTTP at
//! all of them, each as fast as it is answered. The ceiling is what payloads of 1 MiB can carry. Nothing fails
//! here: these are benchmarks, not tests.

mod client;
mod devnet;
#[path = "../../../core/benches/measure/mod.rs"]
mod measure;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::Duration;

use measure::table::{Unit, alone, heading};
use timed_core::limits::MAX_ASSEMBLED;

use crate::client::{Counts, submit_until_stopped};
use crate::devnet::{Devnet, NODES};

/// Before anything counts, and while it does.
const RUN_IN: Duration = Duration::from_secs(5);
const WINDOW: Duration = Duration::from_secs(30);
/// Clients at each node.
const CLIENTS: [usize; 3] = [1, 8, 32];
/// A transaction and its length in a payload.
const FRAMED: u64 = 4 + client::TRANSACTION as u64;

fn main() {
    for clients in CLIENTS {
        heading(&format!("committed transactions, {clients} clients at each of four nodes"));
        measure(clients);
    }
}

fn measure(clients: usize) {
    let devnet = Devnet::start();
    let counts = Arc::new(Counts::default());
    let threads: Vec<_> = (0..NODES * clients)
        .map(|client| {
            let (api, counts) = (devnet.api(client % NODES), Arc::clone(&counts));
            std::thread::spawn(move || submit_until_stopped(&api, client as u64, &counts))
        })
        .collect();
    sleep(RUN_IN);
    let first = devnet.height();
    let (acknowledged, refused, cpu) =
        (counts.acknowledged.load(Relaxed), counts.refused.load(Relaxed), devnet.cpu());
    sleep(WINDOW);
    let last = devnet.height();
    let acknowledged = counts.acknowledged.load(Relaxed) - acknowledged;
    let refused = counts.refused.load(Relaxed) - refused;
    let cpu = devnet.cpu().saturating_sub(cpu);
    counts.stopped.store(true, Relaxed);
    for thread in threads {
        thread.join().expect("a client stops when it is told to");
    }
    let blocks: Vec<u64> = (first + 1..=last).map(|height| devnet.payload_bytes(height)).collect();
    let bytes: u64 = blocks.iter().sum();
    let full = blocks.iter().filter(|bytes| **bytes + FRAMED > MAX_ASSEMBLED as u64).count();
    let seconds = WINDOW.as_secs_f64();
    alone("committed a second", Unit::Count, (bytes / FRAMED) as f64 / seconds);
    alone("acknowledged a second", Unit::Count, acknowledged as f64 / seconds);
    alone("refused a second", Unit::Count, refused as f64 / seconds);
    alone("as many as full blocks carry", Unit::Count, (MAX_ASSEMBLED as u64 / FRAMED) as f64);
    alone("blocks a second", Unit::Count, blocks.len() as f64 / seconds);
    alone("of these full", Unit::Percent, 100.0 * full as f64 / blocks.len() as f64);
    alone("CPU of the four daemons", Unit::Percent, 100.0 * cpu.as_secs_f64() / seconds);
}
