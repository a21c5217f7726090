//! A message that is one too many, against one that is delivered: of the same size, from an observer to a
//! masternode, over the same kind of link.

use bytes::Bytes;
use timed_core::{Enforce, RateLimit, RateLimits, TrafficClass};

use crate::measure::table::{Unit, against, heading};
use crate::measure::{Compared, cpu, micros};
use crate::memory::Memory;

const MASTERNODE: usize = 0;
const OBSERVER: usize = 1;
/// As long as a heartbeat of 14 masternodes, about.
const LENGTH: usize = 480;
const AT_ONCE: usize = 64;
const TIMES: usize = 400;

pub(crate) fn print() {
    heading("a message that is one too many");
    let mut rates = RateLimits::default();
    rates.set(TrafficClass::Datagram, RateLimit { per_second: Some(1), enforce: Enforce::On });
    let (mut free, mut limited) = (Memory::observed(RateLimits::default()), Memory::observed(rates));
    for memory in [&mut free, &mut limited] {
        memory.hold(MASTERNODE);
    }
    // Until its burst is used up. Time stands still from then on, so that nothing is given back.
    for _ in 0..AT_ONCE {
        deliver(&mut limited);
    }
    let before = limited.received(MASTERNODE).0;
    let both: Vec<(f64, f64)> = (0..TIMES).map(|_| (deliver(&mut free), deliver(&mut limited))).collect();
    assert_eq!(limited.received(MASTERNODE).0, before, "one was delivered");
    assert_eq!(free.received(MASTERNODE).0, (TIMES * AT_ONCE) as u64, "one was lost");
    against("dropped: against delivered", Unit::Micros, Compared::over(&both), 1.2, 1.0);
}

/// CPU microseconds of one of several that arrive.
fn deliver(memory: &mut Memory) -> f64 {
    let payload = Bytes::from(vec![5; LENGTH]);
    for _ in 0..AT_ONCE {
        memory.send(OBSERVER, MASTERNODE, &payload);
        memory.settle();
    }
    let held = memory.held();
    let began = cpu();
    memory.hand_over(held);
    let took = micros(cpu() - began);
    memory.settle();
    took / f64::from(u32::try_from(AT_ONCE).expect("a small number"))
}
