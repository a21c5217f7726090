//! What the flight recorder costs: the same network with one in every node, against the same without, each for the
//! same virtual time.

use std::time::Duration;

use bytes::Bytes;

use crate::measure::table::{Unit, against, heading};
use crate::measure::{Compared, compare, cpu, micros};
use crate::memory::{Memory, Recording};

const HEARTBEAT: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_secs(10);
/// Room, as in the daemon.
const ROOM: usize = 8 << 20;
const ROUNDS: usize = 7;
/// Messages of the application in a round.
const MESSAGES: u32 = 2_000;

pub(crate) fn print() {
    heading("recorded, against not recorded");
    for peers in [14, 49] {
        let mut networks = [Recording::Off, Recording::In(ROOM)].map(|recording| {
            let mut network = Memory::chain_recorded(peers + 1, HEARTBEAT, INTERVAL, recording);
            // Until every heartbeat names all links.
            network.pass(HEARTBEAT * 4);
            network
        });
        let what = format!("{peers} peers, ten seconds of heartbeats and a block, a node");
        against(
            &what,
            Unit::Micros,
            both(&mut networks, |network| ten_seconds(network, peers + 1)),
            1.03,
            1.02,
        );
        let what = format!("{peers} peers, a message of 200 bytes between two of them, both ends");
        against(&what, Unit::Micros, both(&mut networks, message), 1.5, 1.1);
    }
}

fn both(networks: &mut [Memory; 2], measure: impl Fn(&mut Memory) -> f64) -> Compared {
    let [plain, recorded] = networks;
    compare(ROUNDS, || measure(plain), || measure(recorded))
}

/// CPU microseconds of a node in ten seconds in which nothing else happens.
fn ten_seconds(network: &mut Memory, size: usize) -> f64 {
    let began = cpu();
    network.pass(INTERVAL);
    micros(cpu() - began) / count(size)
}

/// CPU microseconds of a message. The same two nodes throughout: in earnest a process has one, and its caches.
fn message(network: &mut Memory) -> f64 {
    let payload = Bytes::from(vec![5; 200]);
    let began = cpu();
    for number in 0..MESSAGES as usize {
        network.send(number % 2, (number + 1) % 2, &payload);
        network.settle();
    }
    micros(cpu() - began) / f64::from(MESSAGES)
}

fn count(nodes: usize) -> f64 {
    f64::from(u32::try_from(nodes).expect("a small network"))
}
