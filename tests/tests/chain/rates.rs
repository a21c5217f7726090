//! Honest nodes never exceed a rate (rules ), whatever befalls them: the simulator fails every world, here
//! and elsewhere, in which one does. All rates are enforced. `TIMED_HOURS` sets the length of the long one.

use std::time::Duration;

use bytes::Bytes;
use timed_core::{Enforce, Event, RateLimit, Reply, Request, TrafficClass};
use timed_tests::sim::{HostId, Packets, Profile, Setup, World, seeds};

use super::sync::with_history;
use super::{missed_slots, ms, network, producing, secs};

/// Nobody has counted a message too many.
pub(super) fn nothing_exceeded(world: &mut World) {
    for host in world.ids() {
        if !world.host(host).is_running() {
            continue;
        }
        let Reply::Status(status) = world.ask(host, Request::Status) else { panic!("no status") };
        let counters = status.counters;
        let counted: u64 = counters.rate_exceeded.iter().chain(&counters.rate_observed).sum();
        assert_eq!(counted, 0, "{host}: {:?}", counters.rate_exceeded);
        assert_eq!(world.seen(host).count(|event| matches!(event, Event::RateExceeded { .. })), 0);
    }
}

/// Hours of virtual time: as many as `TIMED_HOURS` asks for, or else a part of the full day.
pub(super) fn hours(part: u64) -> u64 {
    std::env::var("TIMED_HOURS").ok().and_then(|text| text.parse().ok()).unwrap_or(part)
}

#[test]
fn ban_01a_an_idle_network_of_twenty_exceeds_nothing() {
    let mut world = producing(1, &network(20, secs(10)));
    let from = world.chain_height();
    let links = world.links();
    for _ in 0..hours(1) {
        world.run_for(secs(3_600));
    }
    assert_eq!((world.links(), missed_slots(&world, from)), (links, 0));
    nothing_exceeded(&mut world);
}

#[test]
fn ban_01a_short_slots_exceed_nothing() {
    for (interval, slots) in [(ms(50), 400), (secs(1), 120)] {
        let mut world = producing(1, &network(7, interval).fsync(ms(0), ms(1)).observers(1));
        world.run_for(interval * slots);
        nothing_exceeded(&mut world);
    }
}

#[test]
fn ban_01a_a_line_that_forwards_everything_exceeds_nothing() {
    for seed in seeds(2) {
        let mut world = World::new(seed, &network(7, secs(2)));
        for a in 0..7 {
            for b in (0..7).filter(|b| *b > a + 1) {
                world.packets(HostId(a), HostId(b), Packets::Vanish);
                world.packets(HostId(b), HostId(a), Packets::Vanish);
            }
        }
        world.start_all();
        world.expect("the line", secs(30), |world| world.links().len() == 6);
        world.run_for(secs(120));
        // Rounds that time out, and everything in them said again.
        world.kill(HostId(0));
        world.run_for(secs(60));
        world.start(HostId(0));
        world.run_for(secs(60));
        nothing_exceeded(&mut world);
    }
}

#[test]
fn ban_01a_a_common_restart_exceeds_nothing() {
    let mut world = producing(1, &network(14, secs(1)));
    for _ in 0..3 {
        for host in world.ids() {
            world.kill(host);
        }
        world.start_all();
        world.expect("the mesh", secs(10), World::is_meshed);
        world.run_for(secs(5));
        nothing_exceeded(&mut world);
    }
}

#[test]
fn ban_01b_a_cold_sync_of_a_thousand_blocks_from_ten_peers_exceeds_nothing() {
    for payload in [0, 20_000] {
        let mut heights = vec![1_000; 10];
        heights.push(0);
        let mut world = with_history(3, network(11, secs(10)), &heights, payload);
        world.start_all();
        let cold = HostId(10);
        world.expect("it catches up", secs(180), |world| world.height(cold).0 >= 1_000);
        nothing_exceeded(&mut world);
    }
}

/// Blocks that are fetched would exceed this rate many times if they were charged.
#[test]
fn ban_01b_blocks_that_were_asked_for_are_charged_to_nobody() {
    let setup = network(5, secs(10)).config(|_, config| {
        let low = RateLimit { per_second: Some(200_000), enforce: Enforce::On };
        config.limits.rates.set(TrafficClass::Total, low);
    });
    let mut world = with_history(3, setup, &[1_000, 1_000, 1_000, 1_000, 0], 20_000);
    world.start_all();
    let cold = HostId(4);
    world.expect("it catches up", secs(180), |world| world.height(cold).0 >= 1_000);
    nothing_exceeded(&mut world);
}

/// Two nodes of four, which decide nothing: so many transactions wait at the first, the second is about to start.
fn with_waiting(count: u64, setup: &Setup) -> World {
    let mut world = World::new(1, setup);
    let [first, second] = [0, 1].map(HostId);
    world.start(first);
    world.run_for(secs(1));
    for number in 0..count {
        world.post(first, Request::Submit(Bytes::from(format!("a small transaction, number {number:060}"))));
        if number % 100 == 0 {
            world.run_for(ms(5));
        }
    }
    world.expect("they wait", secs(120), |world| waiting(world, first) == count);
    world.start(second);
    world.expect("they are offered and fetched", secs(60), |world| waiting(world, second) == count);
    world
}

fn waiting(world: &World, host: HostId) -> u64 {
    world.seen(host).summary.map_or(0, |summary| summary.mempool.transactions as u64)
}

#[test]
fn ban_01b_ten_thousand_transactions_offered_on_new_links_exceed_nothing() {
    let mut world = with_waiting(10_000, &network(4, secs(10)));
    for _ in 0..3 {
        world.reset_between(HostId(0), HostId(1));
        world.run_for(secs(6));
    }
    nothing_exceeded(&mut world);
}

#[test]
fn a_2_what_was_asked_for_exceeds_no_rate_however_low() {
    // Next to nothing may come unasked: one offer, a few transactions.
    let setup = network(4, secs(10)).config(|_, config| {
        for class in [TrafficClass::Transaction, TrafficClass::TransactionOffer] {
            let least = RateLimit { per_second: Some(1), enforce: Enforce::On };
            config.limits.rates.set(class, least);
        }
    });
    let mut world = with_waiting(5_000, &setup);
    nothing_exceeded(&mut world);
}

#[test]
fn ban_01c_a_node_that_stood_still_exceeds_nothing() {
    for still in [secs(4), secs(9), secs(14), secs(30), secs(240)] {
        let mut world = producing(1, &network(4, secs(1)));
        let victim = HostId(2);
        world.freeze(victim);
        world.run_for(still);
        world.thaw(victim);
        world.run_for(secs(60));
        nothing_exceeded(&mut world);
    }
}

#[test]
fn ban_01c_clocks_that_step_exceed_nothing() {
    let mut world = producing(2, &network(4, secs(1)));
    for step in [30_000, -30_000, 3_600_000, -3_600_000, 0] {
        world.set_wall_error(HostId(1), step);
        world.run_for(secs(15));
    }
    for behind in [secs(1), secs(5), secs(0)] {
        world.set_mono_behind(HostId(3), behind);
        world.run_for(secs(15));
    }
    nothing_exceeded(&mut world);
}

#[test]
fn ban_01d_links_that_are_made_twice_within_ten_seconds_exceed_nothing() {
    let mut world = producing(1, &network(4, secs(10)).profile(Profile::internet()));
    for _ in 0..4 {
        world.reset_between(HostId(0), HostId(3));
        world.run_for(Duration::from_millis(4_500));
    }
    nothing_exceeded(&mut world);
}
