//! The registry changes with the chain: in force two heights later, everywhere at once.

use timed_core::{Height, Masternode, Producing, RegistryChange};
use timed_tests::sim::{HostId, World, seeds};

use super::outages::recovers;
use super::{missed_slots, ms, network, producing, secs};

fn entry(world: &World, host: HostId) -> Masternode {
    let addr = world.host(host).config.advertised.unwrap();
    Masternode { id: world.host(host).node_id, addr }
}

/// A height that no block has yet.
fn soon(world: &World) -> Height {
    Height(world.chain_height().0 + 3)
}

#[test]
fn a_masternode_that_joins_votes_two_heights_later() {
    let mut world = producing(1, &network(4, secs(1)).observers(1));
    let (at, joins) = (soon(&world), HostId(4));
    let change = RegistryChange::Put(entry(&world, joins));
    world.change_registry(at, &[change]);
    world.run_for(secs(30));
    assert_eq!(world.registry_at(Height(at.0 + 1)).size(), 4);
    assert_eq!(world.registry_at(Height(at.0 + 2)).size(), 5);
    assert_eq!(missed_slots(&world, Height(2)), 0);
    assert_eq!(world.producing(joins), Some(Producing::Yes));
    let key = world.host(joins).node_id;
    let led = (at.0 + 2..world.chain_height().0)
        .filter(|height| world.final_block(Height(*height)).unwrap().block.header.proposer == key);
    assert!(led.count() >= 3, "it leads every fifth height");
}

#[test]
fn a_masternode_that_leaves_is_an_observer_two_heights_later() {
    let mut world = producing(1, &network(5, secs(1)));
    let (at, leaves) = (soon(&world), HostId(3));
    let change = RegistryChange::Remove(world.host(leaves).node_id);
    world.change_registry(at, &[change]);
    world.run_for(secs(30));
    assert_eq!(world.registry_at(world.chain_height()).size(), 4);
    assert_eq!(missed_slots(&world, Height(2)), 0);
    assert!(matches!(world.producing(leaves), Some(Producing::No(_))));
    assert!(world.height(leaves).0 + 1 >= world.chain_height().0, "it follows");
    // Its place is not missed: three of four decide.
    world.kill(leaves);
    world.kill(HostId(0));
    let from = world.chain_height().next();
    world.run_for(secs(20));
    assert!(world.chain_height().0 >= from.0 + 18, "{}", world.describe());
}

#[test]
fn a_registry_grows_from_one_to_seven_and_shrinks_again() {
    let mut world = producing(1, &network(1, secs(1)).observers(6));
    for host in (1..7).map(HostId) {
        let change = RegistryChange::Put(entry(&world, host));
        let at = soon(&world);
        world.change_registry(at, &[change]);
        world.run_for(secs(8));
        assert_eq!(world.registry_at(world.chain_height()).size(), host.0 + 1, "{}", world.describe());
    }
    for host in (0..6).map(HostId) {
        let change = RegistryChange::Remove(world.host(host).node_id);
        let at = soon(&world);
        world.change_registry(at, &[change]);
        world.run_for(secs(8));
        assert_eq!(world.registry_at(world.chain_height()).size(), 6 - host.0, "{}", world.describe());
    }
    world.expect_blocks("the last one goes on alone", 5, secs(8));
}

/// Three of seven are more than the others can decide without.
#[test]
fn prod_06_observers_that_were_restarted_are_registered_all_at_once_and_vote() {
    for seed in seeds(10) {
        let mut world = producing(seed, &network(4, secs(1)).observers(3).fsync(ms(1), ms(15)));
        let observers = [4, 5, 6].map(HostId);
        for host in observers {
            world.expect("it follows", secs(10), |world| world.host(host).disk.height() > Height(0));
            if world.random_below(2) == 0 {
                world.kill(host);
            } else {
                world.cut_power(host);
            }
            let pause = world.random(secs(2));
            world.run_for(pause);
            world.start(host);
        }
        let at = soon(&world);
        let changes = observers.map(|host| RegistryChange::Put(entry(&world, host)));
        world.change_registry(at, &changes);
        world.run_for(secs(30));
        assert_eq!(world.registry_at(world.chain_height()).size(), 7, "{}", world.describe());
        for host in observers {
            assert_eq!(world.producing(host), Some(Producing::Yes), "seed {seed}: {host}");
        }
        recovers(&mut world);
    }
}

#[test]
fn several_changes_in_a_row_and_in_one_block() {
    let mut world = producing(1, &network(5, secs(1)).observers(2));
    let at = soon(&world);
    let (put, also) = (entry(&world, HostId(5)), entry(&world, HostId(6)));
    let (out, too) = (world.host(HostId(0)).node_id, world.host(HostId(1)).node_id);
    world.change_registry(at, &[RegistryChange::Put(put), RegistryChange::Remove(out)]);
    world.change_registry(at.next(), &[RegistryChange::Put(also)]);
    world.change_registry(at.next().next(), &[RegistryChange::Remove(too)]);
    world.run_for(secs(30));
    assert_eq!(world.registry_at(world.chain_height()).size(), 5);
    assert!(missed_slots(&world, Height(2)) <= 1);
}

#[test]
fn crashes_around_a_change_leave_everybody_with_the_same_registry() {
    for seed in seeds(60) {
        let mut world = producing(seed, &network(4, ms(400)).observers(1).fsync(ms(1), ms(25)));
        for host in world.ids() {
            world.host_mut(host).application.conduct.committing = (ms(0), ms(40));
        }
        let at = soon(&world);
        let (joins, leaves) = (entry(&world, HostId(4)), world.host(HostId(0)).node_id);
        world.change_registry(at, &[RegistryChange::Put(joins)]);
        world.change_registry(Height(at.0 + 4), &[RegistryChange::Remove(leaves)]);
        for _ in 0..12 {
            let pause = world.random(ms(400));
            world.run_for(pause);
            let victim = HostId(world.random_below(5));
            world.cut_power(victim);
            let pause = world.random(ms(300));
            world.run_for(pause);
            world.start(victim);
        }
        world.expect("the links", secs(60), |world| world.links().len() == 10);
        world.expect_blocks("past the changes", 8, secs(10));
        assert!(world.chain_height().0 > at.0 + 6);
        recovers(&mut world);
    }
}
