//! Processes and machines that die, one by one and all at once; disks that fail.

use std::time::Duration;

use timed_core::{Event, Fatal, Height, NotProducing, Producing, Round};
use timed_tests::sim::{DiskHealth, Exit, HostId, Setup, World, seed, seeds};

use super::{lateness, missed_slots, ms, network, producing, secs};

/// Waits until a quorum's links stand, then for the next block: at most three slots.
pub(super) fn recovers(world: &mut World) {
    world.expect("the links", secs(60), World::is_meshed);
    let interval = world.origin().interval;
    world.expect_blocks("a block after the links stand", 1, interval * 3);
    world.expect_blocks("blocks go on", 5, interval * 6);
}

#[test]
fn prod_05a_any_one_of_four_may_be_down_and_a_missing_leader_costs_less_than_half_a_slot() {
    for down in (0..4).map(HostId) {
        let mut world = producing(seed(1), &network(4, secs(1)));
        world.run_for(secs(5));
        world.kill(down);
        let from = world.chain_height().next();
        world.run_for(secs(40));
        assert!(world.chain_height().0 >= from.0 + 38, "{}", world.describe());
        assert_eq!(missed_slots(&world, from), 0, "without {down}");
        let witness = HostId((down.0 + 1) % 4);
        let mut led = 0;
        for height in (from.0 + 1..world.chain_height().0).map(Height) {
            let late = lateness(&world, witness, height).unwrap();
            assert!(late < ms(500), "height {height} after {late:?}");
            led += u64::from(world.leader(height, Round(0)) == down);
        }
        assert!(led > 5, "it would have led some of them");
    }
}

#[test]
fn prod_05a_a_machine_without_power_is_missed_no_longer_than_a_killed_process() {
    let mut world = producing(seed(1), &network(4, secs(1)));
    world.cut_power(HostId(2));
    let from = world.chain_height().next();
    world.run_for(secs(40));
    assert_eq!(missed_slots(&world, from), 0);
    assert!(world.chain_height().0 >= from.0 + 38, "{}", world.describe());
}

#[test]
fn prod_01_two_of_four_make_no_block_say_why_and_go_on_when_the_others_are_back() {
    for seed in seeds(10) {
        let mut world = producing(seed, &network(4, secs(1)));
        world.run_for(secs(10));
        let downs = [HostId(1), HostId(3)];
        downs.into_iter().for_each(|down| world.kill(down));
        world.run_for(secs(1));
        let height = world.chain_height();
        world.run_for(secs(60));
        assert_eq!(world.chain_height(), height, "no quorum, no block");
        for survivor in [0, 2].map(HostId) {
            match world.producing(survivor) {
                Some(Producing::No(NotProducing::NoQuorum { linked: 2, needed: 3, registered: 4 })) => {}
                other => panic!("{survivor}: {other:?}"),
            }
        }
        world.start(downs[0]);
        let third = |world: &World| world.links().len() == 3;
        world.expect("the links of three", secs(5), third);
        world.expect_blocks("a block of three", 1, secs(3));
        world.start(downs[1]);
        recovers(&mut world);
        assert!(world.slots_from(height.next()).first() > world.slots_from(height).first());
    }
}

#[test]
fn prod_08_after_an_outage_of_everybody_no_block_is_made_up_for_lost_slots() {
    for seed in seeds(10) {
        let mut world = producing(seed, &network(4, secs(1)));
        world.run_for(secs(10));
        for host in world.ids() {
            world.kill(host);
        }
        let height = world.chain_height();
        world.run_for(secs(60));
        let back = world.wall();
        world.start_all();
        recovers(&mut world);
        // A block decided in part before the outage may be decided then; the next is of the present.
        let slots = world.slots_from(Height(height.0 + 2));
        assert!(slots.first().is_some_and(|slot| *slot + secs(1) >= back), "{slots:?} after {back:?}");
        assert_eq!(missed_slots(&world, Height(height.0 + 2)), 0);
    }
}

#[test]
fn the_network_of_one_two_or_three_stops_and_starts() {
    for masternodes in [1, 2, 3] {
        let mut world = producing(seed(1), &network(masternodes, secs(1)));
        for _ in 0..5 {
            world.run_for(secs(3));
            let victim = HostId(masternodes - 1);
            world.kill(victim);
            world.run_for(ms(100));
            let height = world.chain_height();
            world.run_for(secs(5));
            assert_eq!(world.chain_height(), height, "{masternodes} need all");
            world.start(victim);
            recovers(&mut world);
        }
    }
}

/// How processes go down in a storm.
#[derive(Clone, Copy, Debug)]
enum Death {
    Kill,
    PowerCut,
}

/// Kills at random points, some of them between two writes of a record, then lets everybody live.
fn storm(seed: u64, masternodes: usize, death: Death) {
    // Slow disks and short slots: most crashes fall between two writes.
    let setup = network(masternodes, ms(400)).fsync(ms(1), ms(25));
    let mut world = World::new(seed, &setup);
    world.start_all();
    world.run_for(secs(3));
    for _ in 0..40 {
        let pause = world.random(ms(900));
        world.run_for(pause);
        let victim = HostId(world.random_below(masternodes));
        if world.host(victim).is_up() {
            match death {
                Death::Kill => world.kill(victim),
                Death::PowerCut => world.cut_power(victim),
            }
        } else {
            world.start(victim);
        }
    }
    world.heal();
    recovers(&mut world);
    let height = world.chain_height();
    assert!(height > Height(5), "seed {seed}: {height}");
}

#[test]
fn prod_06_killed_at_any_point_nobody_signs_twice_and_nobody_is_stuck() {
    for seed in seeds(60) {
        storm(seed, 4, Death::Kill);
    }
}

#[test]
fn prod_06_without_power_at_any_point_nobody_signs_twice_and_nobody_is_stuck() {
    for seed in seeds(40) {
        storm(seed, 4, Death::PowerCut);
    }
}

#[test]
fn prod_06_seven_nodes_survive_the_same() {
    for seed in seeds(10) {
        storm(seed, 7, Death::Kill);
    }
}

/// All die within one round, again and again.
fn all_at_once(seed: u64, setup: &Setup, times: u32) {
    let mut world = producing(seed, setup);
    for _ in 0..times {
        let pause = world.random(ms(1_500));
        world.run_for(pause);
        for host in world.ids() {
            world.cut_power(host);
        }
        let dark = world.random(secs(3));
        world.run_for(dark);
        let height = world.chain_height();
        world.start_all();
        recovers(&mut world);
        assert!(world.chain_height() > height);
    }
}

#[test]
fn prod_06_all_without_power_at_once_at_any_point() {
    for seed in seeds(40) {
        all_at_once(seed, &network(4, ms(400)).fsync(ms(1), ms(25)), 5);
    }
}

#[test]
fn a_failing_disk_halts_the_node_before_anything_unrecorded_is_sent() {
    for seed in seeds(10) {
        let mut world = producing(seed, &network(4, secs(1)));
        let pause = world.random(secs(3));
        world.run_for(pause);
        let victim = HostId(1);
        world.host_mut(victim).disk.set_health(DiskHealth::Failing);
        let halted = |world: &World| !world.host(victim).is_up();
        world.expect("it halts at its next word", secs(4), halted);
        assert_eq!(world.exit(victim), Some(&Exit::Fatal(Fatal::PersistFailed)));
        let from = world.chain_height().next();
        world.run_for(secs(10));
        assert_eq!(missed_slots(&world, from), 0, "the others go on");
        world.host_mut(victim).disk.set_health(DiskHealth::Sound);
        world.start(victim);
        recovers(&mut world);
    }
}

#[test]
fn a_slow_disk_delays_its_node_alone() {
    let mut world = producing(seed(1), &network(4, secs(1)));
    world.host_mut(HostId(2)).disk.set_latency((ms(300), ms(800)));
    let from = world.chain_height().next();
    world.run_for(secs(40));
    assert!(world.chain_height().0 >= from.0 + 36, "{}", world.describe());
    world.host_mut(HostId(2)).disk.set_latency((ms(0), ms(3)));
    recovers(&mut world);
}

#[test]
fn a_frozen_node_comes_back_without_a_burst() {
    for frozen_for in [1, 5, 20, 90] {
        let mut world = producing(seed(1), &network(4, secs(1)));
        world.run_for(secs(5));
        let victim = HostId(3);
        world.freeze(victim);
        let from = world.chain_height().next();
        world.run_for(secs(frozen_for));
        world.thaw(victim);
        recovers(&mut world);
        assert!(missed_slots(&world, from) <= 1, "frozen for {frozen_for} s");
        let proposals = |event: &Event| matches!(event, Event::Proposed { .. });
        assert!(world.seen(victim).facts_since(world.now()).filter(|event| proposals(event)).count() <= 1);
    }
}

#[test]
fn everybody_frozen_together_goes_on_with_the_present_slot() {
    let mut world = producing(seed(1), &network(4, secs(1)));
    world.run_for(secs(5));
    for host in world.ids() {
        world.freeze(host);
    }
    world.run_for(secs(30));
    let height = world.chain_height();
    for host in world.ids() {
        world.thaw(host);
    }
    let back = world.wall();
    recovers(&mut world);
    let slots = world.slots_from(Height(height.0 + 2));
    assert!(slots.first().is_some_and(|slot| *slot + secs(1) >= back), "{slots:?} after {back:?}");
}

#[test]
fn the_application_may_be_slow_wrong_or_silent() {
    use timed_tests::sim::{Judgement, Offer};
    let offers = [Offer::Wrong, Offer::TooLong, Offer::None, Offer::Silence];
    for offer in offers {
        let mut world = producing(seed(1), &network(4, secs(1)));
        world.host_mut(HostId(1)).application.conduct.offer = offer;
        goes_on(&mut world, &format!("{offer:?}"));
    }
    for judgement in [Judgement::Blind, Judgement::Refusal, Judgement::Silence] {
        let mut world = producing(seed(1), &network(4, secs(1)));
        world.host_mut(HostId(1)).application.conduct.judgement = judgement;
        goes_on(&mut world, &format!("{judgement:?}"));
    }
    let mut world = producing(seed(1), &network(4, secs(1)));
    world.host_mut(HostId(1)).application.conduct.thinking = (ms(300), ms(3_000));
    world.host_mut(HostId(2)).application.conduct.committing = (ms(0), ms(300));
    goes_on(&mut world, "slow");
}

fn goes_on(world: &mut World, what: &str) {
    let from = world.chain_height().next();
    world.run_for(secs(24));
    assert!(missed_slots(world, from) <= 1, "{what}: {}", missed_slots(world, from));
    assert!(world.chain_height().0 >= from.0 + 21, "{what}\n{}", world.describe());
    let behind: Duration = secs(3);
    let height = world.chain_height();
    world.expect(what, behind, |world| world.all_reach(height));
}
