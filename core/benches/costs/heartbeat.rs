//! A heartbeat of a whole network, as it arrives at one node: the first time, and again by another path.
//!
//! The author and the receiver have no link, so every other masternode hands the author's heartbeat on: the first
//! to arrive is verified, all others are repeats. Only the receiving end is measured, against messages of the
//! application that have the same size and arrive over the same links.

use std::time::Duration;

use bytes::Bytes;

use crate::measure::primitives::{Identity, PREFIX, TAG};
use crate::measure::table::{Unit, against, heading};
use crate::measure::{Compared, cpu, micros};
use crate::memory::Memory;

const INTERVAL: Duration = Duration::from_secs(10);
const INTERVALS: u32 = 60;
const AUTHOR: usize = 0;
const RECEIVER: usize = 1;
/// In front of a body: lane byte and frame header.
const BEFORE_BODY: usize = 7;

pub(crate) fn print() {
    heading("a heartbeat received");
    for size in [14, 50] {
        let (first, repeat) = measure(size);
        let what = format!("{size} nodes, first: against message and verification");
        against(&what, Unit::Micros, first, 1.1, 1.1);
        against(&format!("{size} nodes, repeat: against message"), Unit::Micros, repeat, 1.2, 1.2);
    }
}

fn measure(size: usize) -> (Compared, Compared) {
    let mut memory = Memory::mesh(size, &[(AUTHOR, RECEIVER)], INTERVAL);
    // Until every heartbeat names all links and all witnesses.
    memory.pass(INTERVAL * 6);
    memory.hold(RECEIVER);
    let relays = size - 2;
    let bare = Identity::signing(1, 192 + 11 * (size - 2) + 17 * (size - 1));

    let (mut first, mut repeat) = (Vec::new(), Vec::new());
    for _ in 0..INTERVALS {
        let arrived = heartbeats(&mut memory, relays, &bare);
        let message = messages(&mut memory, relays, arrived.length);
        first.push((arrived.verify + message, arrived.first));
        repeat.push((message, arrived.repeat));
    }
    (Compared::over(&first), Compared::over(&repeat))
}

struct Arrived {
    /// CPU microseconds of a strict verification by itself.
    verify: f64,
    /// Of a heartbeat that was new, and of one that was not.
    first: f64,
    repeat: f64,
    /// Bytes of a heartbeat's body.
    length: usize,
}

/// At least one interval's heartbeats: each of the others' own once, the author's from all of them. Every other new
/// one is not measured; in its place a bare verification is, so that both find the processor's caches as the work
/// of other nodes has left them.
fn heartbeats(memory: &mut Memory, relays: usize, bare: &Identity) -> Arrived {
    let (mut verify, mut first, mut repeat) = (Mean::default(), Mean::default(), Mean::default());
    let mut length = 0;
    while verify.times == 0.0 || first.times == 0.0 || repeat.times == 0.0 {
        memory.next_deadline();
        let (held, before) = (memory.held(), memory.received(RECEIVER).1);
        let Some(chunk) = memory.first_held() else { continue };
        length = chunk.saturating_sub(PREFIX + BEFORE_BODY + TAG);
        let measured = verify.times > first.times;
        let alone = if measured { 0.0 } else { timed(|| bare.verify()) };
        let took = timed(|| memory.hand_over(1));
        memory.settle();
        if memory.received(RECEIVER).1 == before + 1 {
            if measured {
                first.add(took, 1);
            } else {
                verify.add(alone, 1);
            }
            let took = timed(|| memory.hand_over(held - 1));
            if held == relays {
                repeat.add(took, held - 1);
            }
        }
        memory.settle();
        assert!(memory.received(RECEIVER).1 <= before + 1, "a repeat counted as new");
    }
    Arrived { verify: verify.value(), first: first.value(), repeat: repeat.value(), length }
}

#[derive(Default)]
struct Mean {
    sum: f64,
    times: f64,
}

impl Mean {
    fn add(&mut self, took: f64, times: usize) {
        self.sum += took;
        self.times += f64::from(u32::try_from(times).expect("a small network"));
    }

    fn value(&self) -> f64 {
        self.sum / self.times
    }
}

/// CPU microseconds of a message of the application, from each of the others.
fn messages(memory: &mut Memory, relays: usize, length: usize) -> f64 {
    let payload = Bytes::from(vec![5; length]);
    let before = memory.received(RECEIVER).0;
    for sender in (0..relays + 2).filter(|index| ![AUTHOR, RECEIVER].contains(index)) {
        memory.send(sender, RECEIVER, &payload);
    }
    memory.settle();
    let held = memory.held();
    let took = timed(|| memory.hand_over(held));
    memory.settle();
    assert_eq!(memory.received(RECEIVER).0 - before, relays as u64, "a message was lost");
    took / f64::from(u32::try_from(relays).expect("a small network"))
}

fn timed(work: impl FnOnce()) -> f64 {
    let before = cpu();
    work();
    micros(cpu() - before)
}
