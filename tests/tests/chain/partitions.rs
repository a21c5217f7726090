//! Networks in pieces: the part with a quorum goes on, any other waits, and all have one chain afterwards.

use std::time::Duration;

use timed_core::Height;
use timed_tests::sim::{HostId, Packets, World, seeds};

use super::outages::recovers;
use super::{missed_slots, ms, network, producing, secs};

/// Sets what becomes of packets between the members of different groups.
fn between(world: &mut World, groups: &[&[usize]], packets: Packets) {
    for (index, group) in groups.iter().enumerate() {
        for other in &groups[index + 1..] {
            for (a, b) in group.iter().flat_map(|a| other.iter().map(move |b| (HostId(*a), HostId(*b)))) {
                world.packets(a, b, packets);
                world.packets(b, a, packets);
            }
        }
    }
}

fn split(seed: u64, masternodes: usize, groups: &[&[usize]], lasts: Duration) -> (World, u64) {
    let mut world = producing(seed, &network(masternodes, secs(1)));
    world.run_for(secs(5));
    let pause = world.random(secs(2));
    world.run_for(pause);
    between(&mut world, groups, Packets::Vanish);
    world.run_for(secs(1));
    let height = world.chain_height();
    world.run_for(lasts);
    let made = world.chain_height().0 - height.0;
    between(&mut world, groups, Packets::Arrive);
    // A kernel whose segments were lost sends them again after up to half as long as they were.
    world.run_for((lasts / 2).min(secs(8)) + secs(1));
    world.expect("the mesh", secs(40), World::is_meshed);
    recovers(&mut world);
    (world, made)
}

#[test]
fn prod_02_halves_decide_nothing_and_meet_again() {
    for seed in seeds(10) {
        for lasts in [secs(3), secs(40)] {
            let (_, made) = split(seed, 4, &[&[0, 1], &[2, 3]], lasts);
            assert_eq!(made, 0, "seed {seed}");
        }
    }
}

#[test]
fn prod_02_three_go_on_without_the_fourth() {
    for seed in seeds(10) {
        let lone = usize::try_from(seed % 4).unwrap();
        let others: Vec<usize> = (0..4).filter(|node| *node != lone).collect();
        let (world, made) = split(seed, 4, &[&[lone], &others], secs(40));
        assert!(made >= 38, "seed {seed}: {made} blocks");
        assert_eq!(missed_slots(&world, Height(2)), 0);
    }
}

#[test]
fn prod_02_fragments_of_five_never_fork() {
    for seed in seeds(5) {
        for groups in [&[&[0, 1, 2][..], &[3, 4]][..], &[&[0, 1], &[2, 3], &[4]], &[&[0, 1, 2, 3], &[4]]] {
            let (_, made) = split(seed, 5, groups, secs(20));
            let quorum = groups.iter().any(|group| group.len() >= 4);
            assert_eq!(made > 0, quorum, "seed {seed} {groups:?}: {made} blocks");
        }
    }
}

#[test]
fn a_hole_in_one_direction_does_not_stop_the_chain() {
    for seed in seeds(10) {
        let mut world = producing(seed, &network(4, secs(1)));
        world.run_for(secs(5));
        let from = world.chain_height().next();
        world.packets(HostId(1), HostId(2), Packets::Vanish);
        world.run_for(secs(60));
        // While the link is dying nothing says that it does not carry; then others relay.
        assert!(missed_slots(&world, from) <= 1, "seed {seed}: {}", missed_slots(&world, from));
        world.packets(HostId(1), HostId(2), Packets::Arrive);
        recovers(&mut world);
    }
}

#[test]
fn links_that_come_and_go_do_not_stop_the_chain_for_long() {
    for seed in seeds(10) {
        let mut world = producing(seed, &network(4, secs(1)));
        for _ in 0..60 {
            let (a, b) = (HostId(world.random_below(4)), HostId(world.random_below(4)));
            if a != b {
                world.reset_between(a, b);
            }
            let pause = world.random(ms(700));
            world.run_for(pause);
        }
        recovers(&mut world);
    }
}
