//! Keys, clocks and disks in virtual time: restarts, restored backups, one key in two processes, clocks that are
//! wrong, disks that fail.

use std::time::Duration;

use timed_core::{
    BootEpoch, CloseReason, ClosedBy, Event, Fatal, MasternodeMode, NodeId, Reply, Request, Warning,
};
use timed_tests::sim::{Exit, HostId, HostPlan, Setup, World, derived_key, null, seed, seeds};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const DAY_MS: i64 = 86_400_000;

#[test]
fn hb_02a_an_older_data_directory_is_recognised_and_overcome() {
    // The clock stands still at the backup's time too, so that only the peers know of the later starts.
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(4));
    let victim = HostId(2);
    let backup = world.host(victim).disk.snapshot();
    for _ in 0..3 {
        world.kill(victim);
        world.start(victim);
        world.expect("back", secs(3), World::is_meshed);
        world.run_for(secs(20));
    }
    world.kill(victim);
    world.host_mut(victim).disk.restore(backup);
    let back = i64::try_from(world.now().since(timed_tests::sim::SimTime(0)).as_millis()).unwrap();
    world.set_wall_error(victim, -back);
    world.start(victim);
    let took = world.expect("back with the older directory", secs(10), World::is_meshed);
    println!("back after {took:?}");
    let raised = |event: &Event| matches!(event, Event::Warning(Warning::EpochRaised { .. }));
    assert!(world.seen(victim).count(raised) >= 1, "it says that it raised its epoch");
    world.run_for(secs(60));
    assert!(world.is_meshed() && world.host(victim).is_running());
}

#[test]
fn hb_02a_a_start_that_halted_over_a_forgotten_one_does_not_halt_again() {
    // As above, but one peer has forgotten the later starts: the node may have a confirmed link with it before
    // the others tell, and must then take their word for a twin.
    let mut halted = 0;
    for seed in seeds(120) {
        let mut world = World::standing(seed, &Setup::new(null).masternodes(4));
        let victim = HostId(2);
        let backup = world.host(victim).disk.snapshot();
        world.kill(victim);
        world.start(victim);
        world.expect("back", secs(3), World::is_meshed);
        world.kill(victim);
        world.kill(HostId(0));
        world.start(HostId(0));
        world.host_mut(victim).disk.restore(backup);
        let back = i64::try_from(world.now().since(timed_tests::sim::SimTime(0)).as_millis()).unwrap();
        world.set_wall_error(victim, -back);
        world.run_for(secs(20));
        world.start(victim);
        world.run_for(secs(20));
        let stale = |event: &Event| matches!(event, Event::Warning(Warning::EpochRaised { .. }));
        let raised = world.seen(victim).count(stale);
        if !world.host(victim).is_running() {
            halted += 1;
            world.start(victim);
            world.expect("back for good", secs(20), World::is_meshed);
            assert_eq!(
                world.seen(victim).count(stale),
                raised,
                "seed {seed}: this start is above the forgotten one"
            );
        }
        world.expect("back for good", secs(20), World::is_meshed);
        world.run_for(secs(60));
        assert!(world.is_meshed() && world.host(victim).is_running(), "seed {seed}");
    }
    assert!(halted > 0, "the case was never met");
}

/// The same key on another machine, in the same configuration.
fn twin(world: &mut World, of: HostId) -> HostId {
    let config = world.host(of).config.clone();
    let ip = [10, 9, 9, 9].into();
    let key = derived_key(world.seed(), of.0 as u64);
    world.add_host(HostPlan { key, ip, seen_as: ip, port: 24_100, config })
}

#[test]
fn the_same_key_in_a_second_process_ends_with_one_that_says_why() {
    for seed in seeds(20) {
        let mut world = World::standing(seed, &Setup::new(null).masternodes(4));
        let original = HostId(usize::try_from(seed % 4).unwrap());
        let second = twin(&mut world, original);
        world.start(second);
        world.run_for(secs(60));
        // Never both at work: each of the others has one link with that key, and it does not flap.
        let id = world.host(original).node_id;
        let others: Vec<HostId> = (0..4).map(HostId).filter(|host| *host != original).collect();
        let held = |world: &World| -> Vec<_> {
            others.iter().map(|host| world.seen(*host).link(&id).map(|link| link.session)).collect()
        };
        let before = held(&world);
        assert!(before.iter().all(Option::is_some), "seed {seed}: one of the two is linked to all");
        world.run_for(secs(120));
        assert_eq!(held(&world), before, "seed {seed}: links do not flap");
        let complains = |host: HostId| {
            matches!(world.exit(host), Some(Exit::Fatal(Fatal::KeyInUse { .. })))
                || world.seen(host).count(|event| matches!(event, Event::Warning(Warning::KeyInUse { .. })))
                    > 0
        };
        assert!(complains(original) || complains(second), "seed {seed}: nobody says why");
        let linked = |host: HostId| world.host(host).is_running() && !world.seen(host).live.is_empty();
        assert!(linked(original) != linked(second), "seed {seed}: exactly one is linked");
    }
}

#[test]
fn two_processes_of_one_key_started_nearly_together_end_with_one() {
    for seed in seeds(20) {
        let mut world = World::new(seed, &Setup::new(null).masternodes(4));
        let original = HostId(1);
        let second = twin(&mut world, original);
        world.start(second);
        world.run_for(Duration::from_millis(seed * 40));
        world.start_all();
        one_of_two_is_left(&mut world, original, second);
    }
}

#[test]
fn two_processes_of_one_key_and_one_boot_epoch_end_with_one() {
    for seed in seeds(20) {
        let mut world = World::new(seed, &Setup::new(null).masternodes(4));
        let second = twin(&mut world, HostId(1));
        world.start_all();
        one_of_two_is_left(&mut world, HostId(1), second);
    }
}

fn one_of_two_is_left(world: &mut World, original: HostId, second: HostId) {
    world.run_for(secs(90));
    let linked = |host: HostId| world.host(host).is_running() && !world.seen(host).live.is_empty();
    let ends = [original, second].map(linked);
    let seed = world.seed();
    assert!(ends[0] != ends[1], "seed {seed}: exactly one is linked: {ends:?}\n{}", world.describe());
    let id = world.host(original).node_id;
    for other in (0..4).map(HostId).filter(|host| *host != original) {
        assert!(world.seen(other).link(&id).is_some(), "seed {seed}: {other} has a link with that key");
    }
}

#[test]
fn hb_07_a_clock_hours_off_costs_no_link_and_is_told() {
    for ms in [-DAY_MS / 2, -120_000, 120_000, DAY_MS / 2] {
        let mut world = World::standing(seed(1), &Setup::new(null).masternodes(4));
        let (began, links) = (world.now(), world.links());
        world.set_wall_error(HostId(1), ms);
        world.run_for(secs(120));
        assert_eq!((world.links(), world.dials_since(began)), (links, 0), "{ms} ms");
        let told = |host: HostId| {
            world.seen(host).count(|event| matches!(event, Event::Warning(Warning::ClockSkew { .. })))
        };
        assert!(told(HostId(1)) > 0, "{ms} ms: it is told that its clock differs from the others'");
        assert!(told(HostId(0)) > 0, "{ms} ms: the others are told");
        world.kill(HostId(1));
        world.start(HostId(1));
        world.expect("it is back", secs(3), World::is_meshed);
    }
}

#[test]
fn a_monotonic_clock_that_steps_back_is_clamped_and_counted() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(3));
    let (began, links) = (world.now(), world.links());
    for _ in 0..5 {
        world.ask(HostId(1), Request::Status);
        world.set_mono_behind(HostId(1), Duration::from_millis(1_500));
        world.ask(HostId(1), Request::Status);
        world.run_for(secs(1));
        world.set_mono_behind(HostId(1), Duration::ZERO);
        world.run_for(secs(20));
    }
    assert_eq!((world.links(), world.dials_since(began)), (links, 0));
    let Reply::Status(status) = world.ask(HostId(1), Request::Status) else { panic!("no status") };
    assert!(status.counters.clock_backwards >= 5, "{:?}", status.counters);
    assert_eq!(status.counters.freezes, 0);
}

#[test]
fn a_clock_more_than_a_day_ahead_is_refused_with_a_reason_and_taken_back_when_right() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(4));
    world.kill(HostId(1));
    world.set_wall_error(HostId(1), 2 * DAY_MS);
    world.start(HostId(1));
    world.run_for(secs(30));
    assert!(world.seen(HostId(1)).live.is_empty(), "{}", world.describe());
    let future = |event: &Event| {
        matches!(
            event,
            Event::DialFailed { reason: CloseReason::EpochInFuture, .. }
                | Event::InboundFailed { reason: CloseReason::EpochInFuture, .. }
        )
    };
    assert!(world.seen(HostId(1)).count(future) > 0, "it is told why");
    let warned =
        |event: &Event| matches!(event, Event::Warning(Warning::EpochInFuture { by: ClosedBy::Peer, .. }));
    assert!(world.seen(HostId(1)).count(warned) > 0, "it is told that its own clock is the suspect");
    assert_eq!(world.links().len(), 3, "nobody else is harmed");
    world.kill(HostId(1));
    world.set_wall_error(HostId(1), 0);
    world.start(HostId(1));
    world.expect("it is taken back once its clock is right", secs(3), World::is_meshed);
}

#[test]
fn a_disk_that_fails_halts_the_node_before_it_says_hello() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(3));
    world.kill(HostId(1));
    world.host_mut(HostId(1)).disk.set_health(timed_tests::sim::DiskHealth::Failing);
    world.start(HostId(1));
    world.expect("it halts", secs(2), |world| {
        world.exit(HostId(1)) == Some(&Exit::Fatal(Fatal::PersistFailed))
    });
    world.host_mut(HostId(1)).disk.set_health(timed_tests::sim::DiskHealth::Sound);
    world.start(HostId(1));
    world.expect("with a sound disk it is back", secs(3), World::is_meshed);
}

#[test]
fn a_slow_disk_delays_the_hello_and_nothing_else() {
    // The invariant holds back every world in which a Hello leaves before its record.
    let setup = Setup::new(null).masternodes(4).fsync(secs(1), secs(2));
    let mut world = World::new(seed(1), &setup);
    world.start_all();
    world.expect("6 links", secs(5), World::is_meshed);
}

#[test]
fn a_boot_epoch_only_grows() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(2));
    let epoch = |world: &mut World| {
        let Reply::Status(status) = world.ask(HostId(0), Request::Status) else { panic!("no status") };
        status.epoch
    };
    let mut last = BootEpoch(0);
    for step in [0, -DAY_MS / 4, DAY_MS / 4, -DAY_MS / 2] {
        world.kill(HostId(0));
        world.set_wall_error(HostId(0), step);
        world.start(HostId(0));
        world.expect("back", secs(5), World::is_meshed);
        let now = epoch(&mut world);
        assert!(now > last, "{now} after {last}");
        last = now;
    }
}

#[test]
fn a_registered_key_may_stay_silent() {
    let setup = Setup::new(null).masternodes(3).config(|host, config| {
        if host.0 == 2 {
            config.masternode = MasternodeMode::Disabled;
        }
    });
    let mut world = World::standing(seed(1), &setup);
    world.run_for(secs(60));
    let heard: Vec<NodeId> = {
        let Reply::Masternodes(list) = world.ask(HostId(0), Request::Masternodes) else { panic!("no list") };
        list.iter().filter(|node| node.last_heartbeat.is_some()).map(|node| node.node).collect()
    };
    assert!(!heard.contains(&world.host(HostId(2)).node_id), "{heard:?}");
}
