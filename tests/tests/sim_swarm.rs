//! Swarms of faults by seed, and the promise that a seed is all that a run depends on (contract C7).

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use timed_tests::sim::{HostId, Setup, TraceHash, World, noise, null, seed, seeds};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A swarm drawn from the seed, let loose on a network drawn from the seed, then calm; returns the trace.
fn weather(seed: u64, storm: Duration) -> TraceHash {
    let nodes = 2 + usize::try_from(seed % 6).expect("a small number");
    let observers = usize::from(seed.is_multiple_of(5));
    let mut world = World::new(seed, &Setup::new(null).masternodes(nodes).observers(observers).any_profile());
    world.start_all();
    let swarm = world.draw_swarm();
    world.unleash(&swarm, storm);
    world.expect("recovery", secs(60), World::is_meshed);
    world.run_for(secs(60));
    let (began, links) = (world.now(), world.links());
    world.run_for(secs(60));
    assert_eq!(world.links(), links, "{swarm:?}");
    assert_eq!(world.dials_since(began), 0, "{swarm:?}");
    world.trace_hash()
}

#[test]
fn a_network_recovers_from_any_swarm_of_faults() {
    for seed in seeds(60) {
        weather(seed, secs(120));
    }
}

#[test]
fn the_same_seed_is_the_same_run_bit_for_bit() {
    let seed = seed(11);
    let first = weather(seed, secs(60));
    assert_eq!(first, weather(seed, secs(60)));
    assert_ne!(first, weather(seed + 1, secs(60)));
}

#[test]
fn real_cryptography_draws_on_nothing_but_the_seed() {
    let run = |seed| {
        let mut world = World::new(seed, &Setup::new(noise).masternodes(4).any_profile());
        world.start_all();
        world.run_for(secs(20));
        world.kill(HostId(1));
        world.start(HostId(1));
        world.expect("6 links", secs(10), World::is_meshed);
        world.trace_hash()
    };
    let seed = seed(5);
    assert_eq!(run(seed), run(seed));
    assert_ne!(run(seed), run(seed + 1));
}
