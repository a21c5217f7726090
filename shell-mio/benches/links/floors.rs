//! The floors by themselves: what the kernel and the cryptography take, whoever calls them.

use std::hint::black_box;
use std::io::{Read, Write};
use std::time::Duration;

use crate::bare::{BareStar, Sealing};
use crate::loopback::{Loopback, connect};
use crate::measure::primitives::{Identity, agree_once, public};
use crate::measure::table::{Unit, alone, beside, heading};
use crate::measure::{compare, median, per_call};
use crate::traffic::{PLAINTEXT, per_delivery};

const ROUNDS: usize = 5;
const WINDOW: Duration = Duration::from_millis(300);

pub(crate) fn print() {
    heading("floors");
    let loopback = Loopback::new();
    let mut pair = loopback.connect();
    let mut record = [0; 2 + PLAINTEXT + 16];
    alone("connect, accept, close", Unit::Micros, rounds(|| connection(&loopback)));
    alone(
        "round trip of 160 bytes",
        Unit::Micros,
        rounds(|| per_call(500, || pair.round_trip(&mut record[..160]))),
    );
    alone(
        "write and read of a sealed message",
        Unit::Micros,
        rounds(|| per_call(500, || pair.one_way(&mut record))),
    );
    alone(
        "handshake: primitives, connection, two round trips",
        Unit::Micros,
        rounds(|| handshake(&loopback)),
    );
    for peers in [14, 49, 200] {
        let mut star = BareStar::new(peers, 1, Sealing::OneByOne);
        alone(
            &format!("delivery, bare mio, {peers} peers, one waiting"),
            Unit::Micros,
            rounds(|| per_delivery(&mut star, WINDOW)),
        );
    }
    let mut one_by_one = BareStar::new(14, 32, Sealing::OneByOne);
    let mut together = BareStar::new(14, 32, Sealing::Together);
    let sealing =
        compare(ROUNDS, || per_delivery(&mut one_by_one, WINDOW), || per_delivery(&mut together, WINDOW));
    beside("32 waiting, 14 peers: one record against one by one", Unit::Micros, sealing);
}

fn rounds(mut measure: impl FnMut() -> f64) -> f64 {
    measure();
    median((0..ROUNDS).map(|_| measure()))
}

fn connection(loopback: &Loopback) -> f64 {
    per_call(200, || drop(loopback.connect()))
}

/// Everything that two nodes cannot do without to know each other, both ends: a connection, two key agreements,
/// two signatures made and checked, two round trips.
pub(crate) fn handshake(loopback: &Loopback) -> f64 {
    let end = HandshakeEnd::new();
    per_call(HANDSHAKES, || {
        let mut pair = loopback.connect();
        for _ in 0..2 {
            end.work();
            pair.round_trip(&mut [0; FLIGHT]);
        }
    })
}

/// As [`handshake`], with each end on a thread that sleeps while it waits for the other, as two nodes do: a round
/// trip then takes two wake-ups.
pub(crate) fn handshake_of_two() -> f64 {
    let loopback = Loopback::new();
    let addr = loopback.addr();
    let far = std::thread::spawn(move || {
        let end = HandshakeEnd::new();
        let mut flight = [0; FLIGHT];
        for _ in 0..HANDSHAKES {
            let mut stream = loopback.accept();
            for trip in 0..2 {
                stream.read_exact(&mut flight).expect("the near end writes");
                if trip == 1 {
                    end.work();
                }
                stream.write_all(&flight).expect("the near end reads");
            }
        }
    });
    let end = HandshakeEnd::new();
    let mut flight = [0; FLIGHT];
    let each = per_call(HANDSHAKES, || {
        let mut stream = connect(addr);
        for trip in 0..2 {
            if trip == 1 {
                end.work();
            }
            stream.write_all(&flight).expect("the far end reads");
            stream.read_exact(&mut flight).expect("the far end writes");
        }
    });
    far.join().expect("it only answers");
    each
}

const HANDSHAKES: u32 = 200;
/// Bytes of a flight of the handshake, about.
const FLIGHT: usize = 160;

/// What one end has to compute: a key agreement, a signature, the check of another.
struct HandshakeEnd {
    identity: Identity,
    peer: [u8; 32],
}

impl HandshakeEnd {
    fn new() -> Self {
        Self { identity: Identity::new(1), peer: public(&[9; 32]) }
    }

    fn work(&self) {
        _ = black_box(agree_once(&[8; 32], &self.peer));
        self.identity.sign();
        self.identity.verify();
    }
}
