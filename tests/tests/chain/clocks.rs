//! Wall clocks that are wrong: a little, by an hour, stepping.

use timed_core::{Height, NotProducing, Producing};
use timed_tests::sim::{HostId, World, seeds};

use super::{missed_slots, network, producing, secs};

#[test]
fn prod_03c_one_clock_off_by_a_second_and_a_half_costs_no_slot() {
    for seed in seeds(4) {
        for error in [-1_500, 1_500] {
            let mut world = producing(seed, &network(4, secs(10)));
            world.set_wall_error(HostId(1), error);
            let from = world.chain_height().next();
            world.run_for(secs(300));
            assert_eq!(missed_slots(&world, from), 0, "{error} ms");
            assert!(world.chain_height().0 >= from.0 + 28, "{error} ms\n{}", world.describe());
        }
    }
}

#[test]
fn prod_03c_all_clocks_a_little_off_cost_no_slot() {
    for seed in seeds(4) {
        let mut world = producing(seed, &network(4, secs(10)));
        for (host, error) in [(0, -900), (1, 900), (2, -400), (3, 300)] {
            world.set_wall_error(HostId(host), error);
        }
        let from = world.chain_height().next();
        world.run_for(secs(300));
        assert_eq!(missed_slots(&world, from), 0);
    }
}

#[test]
fn prod_04b_a_clock_off_by_an_hour_is_named_and_the_others_go_on() {
    for error in [-3_600_000, 3_600_000] {
        let mut world = producing(1, &network(4, secs(1)));
        let victim = HostId(2);
        world.set_wall_error(victim, error);
        let from = world.chain_height().next();
        world.run_for(secs(60));
        assert!(missed_slots(&world, from) <= 1, "{}", missed_slots(&world, from));
        match world.producing(victim) {
            Some(Producing::No(why @ NotProducing::Clock { offset_ms })) => {
                assert!((offset_ms + error).abs() < 5_000, "{offset_ms}");
                assert!(why.to_string().starts_with("your clock"), "{why}");
            }
            other => panic!("{error} ms: {other:?}, {:?}", world.seen(victim).summary),
        }
        for host in [0, 1, 3].map(HostId) {
            assert_eq!(world.producing(host), Some(Producing::Yes));
        }
        let height = world.chain_height();
        assert!(world.height(victim).0 + 1 >= height.0, "it follows all the same");
        world.set_wall_error(victim, 0);
        world.expect("it proposes again", secs(60), |world| world.producing(victim) == Some(Producing::Yes));
    }
}

#[test]
fn a_stepping_clock_disturbs_its_node_alone() {
    for seed in seeds(6) {
        let mut world = producing(seed, &network(4, secs(1)));
        let victim = HostId(1);
        let from = world.chain_height().next();
        for step in [30_000, -30_000, 7_200_000, 0, -500, 500, -86_400_000, 0] {
            world.set_wall_error(victim, step);
            world.run_for(secs(15));
        }
        assert!(missed_slots(&world, from) <= 8, "seed {seed}: {}", missed_slots(&world, from));
        world.expect_blocks("blocks", 3, secs(5));
        world.expect("it proposes again", secs(60), |world| world.producing(victim) == Some(Producing::Yes));
    }
}

#[test]
fn prod_08_nobody_runs_ahead_of_time() {
    // All clocks leap an hour ahead together and back: no block may bear a time that its makers do not have, and
    // after the leap back nothing is decided until the time of the newest block is reached, or nearly so.
    let mut world = producing(1, &network(4, secs(1)));
    world.run_for(secs(5));
    for host in world.ids() {
        world.set_wall_error(host, 20_000);
    }
    world.run_for(secs(10));
    for host in world.ids() {
        world.set_wall_error(host, 0);
    }
    let height = world.chain_height();
    world.run_for(secs(10));
    assert!(world.chain_height().0 <= height.0 + 1, "a runaway chain");
    world.run_for(secs(30));
    assert!(world.chain_height().0 >= height.0 + 10, "{}", world.describe());
}

#[test]
fn a_start_before_the_genesis_waits_for_it() {
    let setup = network(4, secs(1)).config(|_, config| {
        if let Some(chain) = &mut config.chain {
            chain.genesis_time = chain.genesis_time + secs(60);
        }
    });
    let mut world = World::new(1, &setup);
    world.start_all();
    world.run_for(secs(58));
    assert_eq!(world.chain_height(), Height(0));
    world.run_for(secs(12));
    assert!(world.chain_height() >= Height(8), "{}", world.describe());
}
