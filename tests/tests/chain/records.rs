//! Voting records that are lost or older than what the key has said: the node abstains, and nobody signs twice.

use timed_core::{Event, Height, NotProducing, Producing, RecordKey};
use timed_tests::sim::{HostId, Snapshot, World, seeds};

use super::outages::recovers;
use super::{missed_slots, ms, network, producing, secs};

/// Whether its present process has said that it abstains, be it for less than a snapshot's time.
fn has_abstained(world: &World, host: HostId) -> bool {
    let told =
        |event: &Event| matches!(event, Event::Producing(Producing::No(NotProducing::VotingRecord { .. })));
    world.seen(host).count(told) > 0
}

/// Restarts a node with another data directory while the others go on.
fn with_directory(seed: u64, replace: impl Fn(&World, HostId, Snapshot) -> Snapshot) -> (World, HostId) {
    let mut world = producing(seed, &network(4, ms(500)).fsync(ms(1), ms(15)));
    let victim = HostId(world.random_below(4));
    world.run_for(secs(3));
    let backup = world.host(victim).disk.snapshot();
    let pause = world.random(secs(4));
    world.run_for(pause);
    world.kill(victim);
    let directory = replace(&world, victim, backup);
    world.restore(victim, directory);
    let pause = world.random(ms(700));
    world.run_for(pause);
    world.start(victim);
    (world, victim)
}

#[test]
fn prod_06_a_restored_voting_record_abstains_until_it_cannot_contradict_itself() {
    for seed in seeds(60) {
        let (mut world, victim) = with_directory(seed, |_, _, backup| backup);
        world.expect("the links", secs(30), World::is_meshed);
        world
            .expect("it takes part again", secs(20), |world| world.producing(victim) == Some(Producing::Yes));
        recovers(&mut world);
    }
}

#[test]
fn prod_06_a_lost_voting_record_beside_blocks_abstains() {
    for seed in seeds(40) {
        let (mut world, victim) = with_directory(seed, |world, victim, _| {
            world.host(victim).disk.snapshot().without(RecordKey::Voting).without(RecordKey::ValidBlock)
        });
        world.expect("it abstains", secs(10), |world| has_abstained(world, victim));
        world.expect("the links", secs(30), World::is_meshed);
        world
            .expect("it takes part again", secs(20), |world| world.producing(victim) == Some(Producing::Yes));
        recovers(&mut world);
    }
}

#[test]
fn prod_06_a_lost_data_directory_abstains_once_it_hears_of_its_past() {
    for seed in seeds(40) {
        let (mut world, victim) = with_directory(seed, |_, _, _| Snapshot::default());
        world.expect("the links", secs(30), World::is_meshed);
        world
            .expect("it takes part again", secs(20), |world| world.producing(victim) == Some(Producing::Yes));
        recovers(&mut world);
    }
}

/// Restarts a node twice, each time before it can have found out whether it may speak.
fn restart_twice(world: &mut World, victim: HostId) {
    for _ in 0..2 {
        world.expect("a block", secs(10), |world| world.host(victim).disk.height() > Height(0));
        world.cut_power(victim);
        assert!(!has_abstained(world, victim), "it was asked too early");
        let pause = world.random(ms(300));
        world.run_for(pause);
        world.start(victim);
    }
}

#[test]
fn prod_06_a_lost_data_directory_abstains_even_if_its_first_processes_die_before_they_ask() {
    for seed in seeds(40) {
        let (mut world, victim) = with_directory(seed, |_, _, _| Snapshot::default());
        restart_twice(&mut world, victim);
        world.expect("it abstains", secs(10), |world| has_abstained(world, victim));
        world
            .expect("it takes part again", secs(20), |world| world.producing(victim) == Some(Producing::Yes));
        recovers(&mut world);
    }
}

#[test]
fn prod_06_a_lost_voting_record_beside_blocks_abstains_whichever_process_asks_first() {
    for seed in seeds(20) {
        let (mut world, victim) = with_directory(seed, |world, victim, _| {
            world.host(victim).disk.snapshot().without(RecordKey::Voting).without(RecordKey::ValidBlock)
        });
        restart_twice(&mut world, victim);
        world.expect("it abstains", secs(10), |world| has_abstained(world, victim));
        recovers(&mut world);
    }
}

/// Two of seven have fetched blocks, lose power before their first word, and one has lost its directory: were all
/// three silent, the four others could not decide, for ever (seed 295 of the swarm).
#[test]
fn prod_06_who_has_blocks_and_never_said_anything_is_needed_while_another_abstains() {
    for seed in seeds(20) {
        let mut world = World::new(seed, &network(7, secs(1)).fsync(ms(1), ms(15)));
        (0..5).map(HostId).for_each(|host| world.start(host));
        world.expect_blocks("blocks of five", 3, secs(30));
        world.kill(HostId(4));
        let without = world.host(HostId(4)).disk.snapshot().without(RecordKey::Voting);
        world.restore(HostId(4), without);
        for late in [HostId(5), HostId(6)] {
            world.start(late);
            world.expect("a block", secs(10), |world| world.host(late).disk.height() > Height(0));
            world.cut_power(late);
        }
        world.start_all();
        world.expect("the mesh", secs(30), World::is_meshed);
        assert!(![HostId(5), HostId(6)].into_iter().any(|late| has_abstained(&world, late)), "seed {seed}");
        recovers(&mut world);
        world.expect("it takes part again", secs(10), |world| {
            world.producing(HostId(4)) == Some(Producing::Yes)
        });
    }
}

#[test]
fn a_lost_lock_alone_does_not_make_it_contradict_itself() {
    for seed in seeds(40) {
        let (mut world, _) = with_directory(seed, |world, victim, _| {
            world.host(victim).disk.snapshot().without(RecordKey::ValidBlock)
        });
        recovers(&mut world);
    }
}

#[test]
fn mere_lag_is_no_lost_record() {
    for seed in seeds(10) {
        let mut world = producing(seed, &network(4, secs(1)));
        let pause = world.random(secs(3));
        world.run_for(pause);
        world.kill(HostId(1));
        world.run_for(secs(30));
        world.start(HostId(1));
        world.expect("the links", secs(10), World::is_meshed);
        world.expect("it produces", secs(3), |world| world.producing(HostId(1)) == Some(Producing::Yes));
        let abstained = |event: &Event| {
            matches!(event, Event::Producing(Producing::No(NotProducing::VotingRecord { .. })))
        };
        assert_eq!(world.seen(HostId(1)).count(abstained), 0, "seed {seed}");
    }
}

#[test]
fn while_one_abstains_the_other_three_go_on() {
    let (mut world, _) = with_directory(1, |_, _, backup| backup);
    let from = world.chain_height().next();
    world.run_for(secs(20));
    assert_eq!(missed_slots(&world, from), 0);
}
