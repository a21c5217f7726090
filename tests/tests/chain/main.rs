//! Blocks in virtual time: every slot a block, through crashes, partitions, wrong clocks and liars. What must hold
//! at every step (one block a height, one statement a key and subject, nothing sent before it is durable) is
//! checked by the simulator throughout.

#![allow(clippy::unwrap_used)]

mod applications;
mod byzantine;
mod clocks;
mod costs;
mod forks;
mod lanes;
mod outages;
mod partitions;
mod rates;
mod rates_floods;
mod records;
mod registry;
mod steady;
mod swarm;
mod sync;
mod transactions;
mod visitors;

use std::time::Duration;

use timed_core::{Event, Height, Wall};
use timed_tests::sim::{HostId, Setup, SimTime, World, null};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Masternodes on a local network that make a block every interval.
fn network(masternodes: usize, interval: Duration) -> Setup {
    Setup::new(null).masternodes(masternodes).chain(interval)
}

/// A world of this plan that makes blocks.
fn producing(seed: u64, setup: &Setup) -> World {
    let mut world = World::new(seed, setup);
    world.start_all();
    world.expect("the mesh", secs(10), World::is_meshed);
    let interval = world.origin().interval;
    world.expect_blocks("the first block", 1, interval * 3);
    world
}

/// When a block became final and durable at a host's present process.
fn committed_at(world: &World, host: HostId, height: Height) -> Option<SimTime> {
    world.seen(host).facts.iter().find_map(|(at, event)| match event {
        Event::BlockCommitted { height: of, .. } if *of == height => Some(*at),
        _ => None,
    })
}

/// The time that a true clock shows this wall time.
fn time_of(wall: Wall) -> SimTime {
    SimTime((wall.0 - timed_tests::sim::WALL_AT_START) * 1_000_000)
}

/// How long after its slot's start a block was committed at a host.
fn lateness(world: &World, host: HostId, height: Height) -> Option<Duration> {
    let slot = world.final_block(height)?.block.header.slot;
    Some(committed_at(world, host, height)?.since(time_of(slot)))
}

/// Slots that have no block, from the block of a height to the newest.
fn missed_slots(world: &World, from: Height) -> u64 {
    let slots = world.slots_from(from);
    let interval = u64::try_from(world.origin().interval.as_millis()).unwrap();
    match (slots.first(), slots.last()) {
        (Some(first), Some(last)) => (last.0 - first.0) / interval + 1 - slots.len() as u64,
        _ => 0,
    }
}

/// Rounds in which the blocks from a height on were decided.
fn rounds_from(world: &World, from: Height) -> Vec<u32> {
    (from.0..=world.chain_height().0)
        .filter_map(|height| world.final_block(Height(height)))
        .map(|block| block.certificate.round.0)
        .collect()
}
