//! A height of the chain, at every node of a network: proposal, votes of everybody, the block.
//!
//! The floor is the signatures alone, as many as were made and verified in the same time; no node verifies one
//! twice, which is a test elsewhere. Payloads are empty, the application and the disk answer at once.

use std::time::Duration;

use crate::measure::primitives::Identity;
use crate::measure::signatures::counted;
use crate::measure::table::{Unit, against, alone, heading};
use crate::measure::{Compared, cpu, micros, wanted};
use crate::memory::Memory;

const HEARTBEAT: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_secs(1);
const ROUNDS: usize = 5;
/// Bytes that a vote's signature covers.
const VOTE: usize = 92;

pub(crate) fn print() {
    let sizes: Vec<usize> =
        [4, 16, 64].into_iter().filter(|size| wanted(&format!("height of {size}"))).collect();
    if !sizes.is_empty() {
        heading("a height at one node");
    }
    for size in sizes {
        let (compared, signatures) = measure(size);
        against(&format!("{size} masternodes, against the signatures"), Unit::Micros, compared, 1.3, 1.2);
        alone(&format!("{size} masternodes, signatures made and verified"), Unit::Count, signatures);
    }
}

/// CPU microseconds a height and node beside those of its signatures, and how many those are.
fn measure(size: usize) -> (Compared, f64) {
    let mut memory = Memory::chain(size, HEARTBEAT, INTERVAL);
    // Until every heartbeat names all links.
    memory.pass(HEARTBEAT * 4);
    let identities: Vec<Identity> = (1..).take(size).map(|seed| Identity::signing(seed, VOTE)).collect();
    let (mut pairs, mut signatures) = (Vec::new(), 0.0);
    for _ in 0..ROUNDS {
        let (height, before) = (memory.height(), counted());
        let began = cpu();
        // As many heights as there are between two heartbeats of everybody.
        memory.pass(HEARTBEAT);
        let ours = micros(cpu() - began);
        let heights = memory.height().0 - height.0;
        assert!(heights >= 9, "{heights} blocks in ten slots");
        let after = counted();
        let (made, verified) = (after.0 - before.0, after.1 - before.1);
        let floor = sign_and_verify(&identities, made, verified);
        let count = count(heights) * count(size as u64);
        pairs.push((floor / count, ours / count));
        signatures = self::count(made + verified) / count;
    }
    (Compared::over(&pairs), signatures)
}

/// CPU microseconds of so many signatures of as many keys as the network has.
fn sign_and_verify(identities: &[Identity], made: u64, verified: u64) -> f64 {
    let began = cpu();
    for (_, identity) in (0..made).zip(identities.iter().cycle()) {
        identity.sign();
    }
    for (_, identity) in (0..verified).zip(identities.iter().cycle()) {
        identity.verify();
    }
    micros(cpu() - began)
}

fn count(number: u64) -> f64 {
    f64::from(u32::try_from(number).expect("few enough"))
}
