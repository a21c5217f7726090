//! Without faults: every slot has its block, in the first round, everywhere the same.

use timed_core::{Height, MinPeers, Producing};
use timed_tests::sim::{Dials, HostId, Offer, Profile, Setup, World, noise, seed, seeds};

use super::{lateness, missed_slots, ms, network, producing, rounds_from, secs};

/// Runs for so many slots; every one must have a block of the first round.
fn every_slot(world: &mut World, slots: u32) {
    let from = world.chain_height();
    let interval = world.origin().interval;
    world.run_for(interval * slots);
    let made = world.chain_height().0 - from.0;
    assert!(made + 1 >= u64::from(slots), "{made} blocks in {slots} slots\n{}", world.describe());
    assert_eq!(missed_slots(world, from), 0);
    assert!(rounds_from(world, from).iter().all(|round| *round == 0), "{:?}", rounds_from(world, from));
    let newest = Height(world.chain_height().0 - 1);
    assert!(world.all_reach(newest), "{}", world.describe());
}

#[test]
fn every_slot_has_its_block() {
    for masternodes in [1, 2, 3, 4, 7, 14] {
        let mut world = producing(seed(1), &network(masternodes, secs(1)));
        every_slot(&mut world, 60);
        for host in world.ids() {
            assert_eq!(world.producing(host), Some(Producing::Yes), "{host} of {masternodes}");
        }
    }
}

#[test]
fn fifty_masternodes_make_a_block_every_slot() {
    let mut world = producing(seed(1), &network(50, secs(10)));
    every_slot(&mut world, 6);
}

#[test]
fn slots_of_fifty_milliseconds_have_their_blocks() {
    let fast = network(4, ms(50)).fsync(ms(0), ms(1));
    let mut world = producing(seed(1), &fast);
    every_slot(&mut world, 200);
}

#[test]
fn real_cryptography_makes_the_same_chain() {
    let setup = Setup::new(noise).masternodes(4).chain(secs(1));
    let mut world = producing(seed(1), &setup);
    every_slot(&mut world, 20);
}

#[test]
fn the_same_seed_is_the_same_chain_bit_for_bit() {
    let run = |seed| {
        let mut world = producing(seed, &network(4, secs(1)).any_profile());
        world.run_for(secs(20));
        world.trace_hash()
    };
    let seed = seed(3);
    assert_eq!(run(seed), run(seed));
}

#[test]
fn around_the_world_every_slot_has_its_block() {
    for seed in seeds(5) {
        let mut world = producing(seed, &network(7, secs(10)).profile(Profile::internet()));
        every_slot(&mut world, 30);
    }
}

#[test]
fn a_large_block_arrives_within_its_slot() {
    let mut world = producing(seed(1), &network(4, secs(10)).profile(Profile::internet()));
    for host in world.ids() {
        world.host_mut(host).application.conduct.offer = Offer::Filler(1_000_000);
    }
    let from = world.chain_height();
    every_slot(&mut world, 12);
    let last = world.final_block(world.chain_height()).unwrap();
    assert!(last.block.payload.len() > 990_000);
    for height in from.0 + 1..world.chain_height().0 {
        let late = lateness(&world, HostId(0), Height(height)).unwrap();
        assert!(late < secs(5), "height {height} after {late:?}");
    }
}

/// A payload of the most bytes takes four seconds from one host to another, as long as a slot and longer than any
/// early round, and one of the four is down.
#[test]
fn prod_05_full_payloads_over_slow_links_shrink_until_blocks_go_on() {
    for seed in seeds(5) {
        let slow = Profile { bandwidth: Some(250_000), ..Profile::internet() };
        let mut world = World::new(seed, &network(4, secs(4)).profile(slow));
        for host in world.ids() {
            world.host_mut(host).application.conduct.offer = Offer::Filler(1 << 20);
        }
        world.start_all();
        world.expect("the mesh", secs(10), World::is_meshed);
        world.kill(HostId(3));
        world.expect_blocks("the first block", 1, secs(20));
        world.expect_blocks("blocks go on", 12, secs(4 * 20));
        let newest = world.chain_height();
        let sizes: Vec<usize> = (newest.0 - 8..newest.0)
            .map(|height| world.final_block(Height(height)).unwrap().block.payload.len())
            .collect();
        // It is not forgotten either that the links bear something.
        assert!(sizes.iter().all(|bytes| (16 * 1024..=512 * 1024).contains(bytes)), "seed {seed}: {sizes:?}");
    }
}

#[test]
fn on_any_network_blocks_go_on() {
    for seed in seeds(20) {
        let setup = network(4, secs(10)).any_profile();
        let mut world = World::new(seed, &setup);
        world.start_all();
        world.expect("the mesh", secs(30), World::is_meshed);
        world.expect_blocks("blocks", 10, secs(120));
    }
}

#[test]
fn observers_follow_and_do_not_propose() {
    let mut world = producing(seed(1), &network(4, secs(1)).observers(3));
    every_slot(&mut world, 30);
    for observer in [4, 5, 6].map(HostId) {
        let reason = world.producing(observer);
        assert!(
            matches!(reason, Some(Producing::No(timed_core::NotProducing::Observer))),
            "{observer}: {reason:?}"
        );
    }
}

/// Cuts every pair that is not among these, from the beginning.
fn only(world: &mut World, pairs: &[(usize, usize)]) {
    for a in world.ids() {
        for b in world.ids() {
            let linked = pairs.contains(&(a.0, b.0)) || pairs.contains(&(b.0, a.0));
            if a != b && !linked {
                world.dials(a, b, Dials::Refused);
            }
        }
    }
}

/// What masternodes say reaches those that they are not linked to (rule C-15).
fn relayed(masternodes: usize, pairs: &[(usize, usize)]) {
    let setup = network(masternodes, secs(1)).min_peers(MinPeers::AtLeast(1));
    let mut world = World::new(seed(1), &setup);
    only(&mut world, pairs);
    world.start_all();
    world.expect("the links", secs(10), |world| world.links().len() == pairs.len());
    // Each learns from the others' heartbeats who is linked to whom.
    world.run_for(secs(25));
    every_slot(&mut world, 30);
    assert_eq!(world.links().len(), pairs.len());
}

#[test]
fn a_line_of_five_makes_every_block() {
    relayed(5, &[(0, 1), (1, 2), (2, 3), (3, 4)]);
}

#[test]
fn a_star_of_seven_makes_every_block() {
    relayed(7, &[(0, 3), (1, 3), (2, 3), (4, 3), (5, 3), (6, 3)]);
}

#[test]
fn min_peers_that_cannot_be_met_is_named() {
    let setup = network(4, secs(1)).min_peers(MinPeers::AtLeast(4));
    let mut world = World::new(seed(1), &setup);
    world.start_all();
    world.expect("the mesh", secs(10), World::is_meshed);
    world.run_for(secs(10));
    assert_eq!(world.chain_height(), Height(0));
    for host in world.ids() {
        match world.producing(host) {
            Some(Producing::No(timed_core::NotProducing::MinPeers {
                linked: 3,
                required: 4,
                quorum: true,
            })) => {}
            other => panic!("{other:?}"),
        }
    }
}
