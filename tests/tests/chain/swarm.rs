//! Swarms of faults on networks that make blocks.

use timed_tests::sim::{Fault, Swarm, TraceHash, World, seed, seeds};

use super::{ms, network, secs};

/// A swarm drawn from the seed, let loose on a network drawn from the seed; then a block within three slots of
/// the links standing, and one every slot. Returns the trace.
fn weather(seed: u64) -> TraceHash {
    let masternodes = [1, 2, 3, 4, 4, 4, 5, 7][usize::try_from(seed % 8).unwrap()];
    let interval = [ms(500), secs(1), secs(4)][usize::try_from(seed % 3).unwrap()];
    let observers = usize::from(seed.is_multiple_of(5));
    let setup = network(masternodes, interval).observers(observers);
    let setup = if interval >= secs(4) { setup.any_profile() } else { setup.fsync(ms(0), ms(20)) };
    let mut world = World::new(seed, &setup);
    world.start_all();
    let swarm = world.draw_chain_swarm();
    world.unleash(&swarm, interval * 60);
    // A connection that the network has forgotten stands until its silence is noticed (rule L-3).
    world.run_for(secs(16));
    world.expect("the links", secs(60), World::is_meshed);
    world.run_for(secs(1));
    // Up to three leaders in a row may be strangers to the block that a quorum is locked on, each after an outage
    // in whose rounds the time-outs have grown.
    world.expect_blocks(&format!("a block after {swarm:?}"), 1, interval * 12);
    world.expect_blocks(&format!("blocks after {swarm:?}"), 5, interval * 7);
    world.trace_hash()
}

#[test]
fn a_chain_survives_any_swarm_of_faults() {
    for seed in seeds(100) {
        weather(seed);
    }
}

#[test]
fn the_same_seed_is_the_same_run_bit_for_bit() {
    let seed = seed(12);
    assert_eq!(weather(seed), weather(seed));
}

#[test]
fn every_fault_of_a_chain_has_its_turn() {
    for (number, fault) in (1..).zip(Fault::CHAIN) {
        let mut world = World::new(seed(number), &network(4, secs(1)));
        world.start_all();
        let swarm = Swarm { faults: vec![fault], every: secs(2), lasts: secs(5) };
        world.unleash(&swarm, secs(60));
        world.expect("the links", secs(60), World::is_meshed);
        world.run_for(secs(1));
        world.expect_blocks(&format!("a block after {fault:?}"), 1, secs(3));
    }
}
