//! A link established between two nodes in memory: what the core adds to the cryptography that it cannot do
//! without.

use std::hint::black_box;

use crate::measure::network::NEVER;
use crate::measure::primitives::{Identity, agree_once, public};
use crate::measure::table::{Unit, absolute, against, heading};
use crate::measure::{allocations, compare, cpu, micros, per_call};
use crate::memory::Memory;

const ROUNDS: usize = 9;
const HANDSHAKES: u32 = 100;

pub(crate) fn print() {
    heading("a link established in memory, both ends");
    let identity = Identity::new(1);
    let peer = public(&[9; 32]);
    let mut pair = Memory::mesh(2, &[], NEVER);
    let handshake = compare(
        ROUNDS,
        || {
            2.0 * per_call(HANDSHAKES, || {
                _ = black_box(agree_once(&[8; 32], &peer));
                identity.sign();
                identity.verify();
            })
        },
        || {
            let mut took = 0.0;
            for _ in 0..HANDSHAKES {
                pair.part(0, 1);
                let before = cpu();
                pair.meet(0, 1);
                took += micros(cpu() - before);
            }
            took / f64::from(HANDSHAKES)
        },
    );
    against("against key agreements, signatures, verifications", Unit::Micros, handshake, 1.25, 1.1);

    pair.part(0, 1);
    let before = allocations::calls();
    pair.meet(0, 1);
    #[allow(clippy::cast_precision_loss)] // Far below 2^52.
    let calls = (allocations::calls() - before) as f64;
    absolute("allocations", Unit::Count, calls, 40.0, 20.0);
}
