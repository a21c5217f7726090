//! A thousand short-lived peers a day (OPS-02): the tables of those who stay come to a size and keep it, and nobody
//! honest is charged with anything, which the simulator checks at every step. `TIMED_HOURS` sets the length.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::time::Duration;

use timed_core::{Config, Holding, Limits};
use timed_tests::sim::{
    HostId, HostPlan, Leaving, Link, PORT, Snapshot, Visit, World, base_config, derived_key, seed,
};

use super::rates::{hours, nothing_exceeded};
use super::{missed_slots, network, producing, secs};

/// Unless a whole day is asked for.
const HOURS: u64 = 8;
/// A thousand a day.
const COMES_EVERY: Duration = Duration::from_millis(86_400);
/// One message in so many is invalid.
const ONE_INVALID_IN: u64 = 100;
/// Those who stay: four masternodes, two observers.
const STAY: Range<usize> = 0..6;
const MASTERNODES: usize = 4;

/// An address that nobody has had before, in a network of its own for the first 40,000.
fn address(number: usize) -> IpAddr {
    let [.., high, low] = number.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(20 + high, low, 7, 9))
}

/// An observer with a new key at a new address: it runs for a while and leaves.
fn honest(world: &mut World, number: usize, lasts: Duration) {
    let registry = world.host(HostId(0)).config.registry.clone();
    let ip = address(number);
    let addr = format!("{ip}:{PORT}").parse().unwrap();
    let mut config = base_config(world.seed(), registry, Some(addr));
    config.chain.clone_from(&world.host(HostId(0)).config.chain);
    let key = derived_key(world.seed(), (1 << 33) + number as u64);
    let host = world.add_host(HostPlan { key, ip, seen_as: ip, port: PORT, config });
    world.start(host);
    let leaves = world.random_below(3);
    world.after(lasts, move |world| {
        match leaves {
            0 => world.stop(host),
            1 => world.kill(host),
            _ => world.cut_power(host),
        }
        // Its disk is nobody's any more.
        world.after(secs(60), move |world| world.host_mut(host).disk.restore(Snapshot::default()));
    });
}

/// The next one comes, and the one after it.
fn comes(world: &mut World, number: usize) {
    let lasts = secs(20) + world.random(secs(300));
    if number.is_multiple_of(4) {
        honest(world, number, lasts);
    } else {
        let leaves = if number % 4 == 1 { Leaving::Silence } else { Leaving::Close };
        let (to, every) = (HostId(world.random_below(STAY.len())), secs(1));
        world.visit(address(number), Visit { to, lasts, every, one_invalid_in: ONE_INVALID_IN, leaves });
    }
    let next = world.random(COMES_EVERY * 2);
    world.after(next, move |world| comes(world, number + 1));
}

/// Bounds that this many visitors fill within a third of a day. At the usual ones a day leaves most of them half empty.
fn small(config: &mut Config) {
    let limits = Limits {
        max_peers: 20,
        known_peers: 24,
        scores: 4,
        address_book: 256,
        mempool: 128 * 1024,
        ..config.limits.clone()
    };
    config.limits = limits;
}

/// The most that each table has held lately.
type Peaks = BTreeMap<(HostId, &'static str), Holding>;

/// Lets time pass; the most that each table held on the way.
fn peaks(world: &mut World, time: Duration) -> Peaks {
    let mut peaks = Peaks::new();
    for _ in 0..time.as_secs() / 10 {
        world.run_for(secs(10));
        for host in STAY.map(HostId) {
            for holding in world.holdings(host) {
                let peak = peaks.entry((host, holding.what)).or_insert(holding);
                peak.held = peak.held.max(holding.held);
            }
        }
    }
    peaks
}

/// Everything that each of those who stay holds, written out.
fn lengths(world: &World) -> Vec<usize> {
    STAY.map(|host| world.state_length(HostId(host))).collect()
}

#[test]
fn ops_02_a_thousand_short_lived_peers_a_day_leave_the_tables_at_their_size() {
    let setup = network(MASTERNODES, secs(10)).observers(STAY.len() - MASTERNODES);
    let mut world = producing(seed(1), &setup.config(|_, config| small(config)));
    let from = world.chain_height();
    world.run_for(secs(60));
    let links = world.links();
    comes(&mut world, 0);
    let third = secs(hours(HOURS) * 1_200);
    let (early, before) = (peaks(&mut world, third), lengths(&world));
    world.run_for(third);
    let late = peaks(&mut world, third);
    for (of, Holding { what, held, bound }) in late {
        let steady = held <= early[&of].held * 5 / 4 + 4;
        let full = held >= bound / 2;
        // It takes what has to leave the tried addresses, so it is the last to fill: within a day, not before.
        let later = what == "addresses heard of" && hours(HOURS) < 24;
        assert!(steady || full || later, "{of:?}: {} at first, {held} of {bound} at last", early[&of].held);
    }
    for (host, (before, after)) in before.into_iter().zip(lengths(&world)).enumerate() {
        println!("host {host}: {before} characters of state after a third of the time, {after} at the end");
        assert!(after <= before * 6 / 5, "host {host}: {before} then {after}");
    }
    let stand = |link: &&Link| !world.links().contains(link);
    assert_eq!(links.iter().find(stand), None, "no link of those who stay was replaced");
    assert_eq!(missed_slots(&world, from), 0);
    nothing_exceeded(&mut world);
}
