//! Networks of observers in virtual time.

use timed_core::{AddressCounts, Bootstrap, CanonicalAddr, Event, Height, Reply, Request};
use timed_tests::sim::{HostId, PORT, Packets, Setup, World, derived_key, null, seed};

use super::secs;

/// Masternodes of the networks below.
const MASTERNODES: usize = 4;
/// Observers.
const OBSERVERS: usize = 6;

/// Where an observer listens.
fn observer_addr(index: usize) -> CanonicalAddr {
    format!("10.1.0.{}:{PORT}", index + 1).parse().unwrap()
}

fn masternodes() -> impl Iterator<Item = HostId> {
    (0..MASTERNODES).map(HostId)
}

fn observers() -> impl Iterator<Item = HostId> {
    (MASTERNODES..MASTERNODES + OBSERVERS).map(HostId)
}

/// Masternodes with room for one observer each, and observers that know one of their own. It has the lowest address
/// and dials whoever knocks: so it has reached them all.
fn crowded(seed: u64) -> Setup {
    let first = null(&derived_key(seed, MASTERNODES as u64)).node_id();
    Setup::new(null).masternodes(MASTERNODES).observers(OBSERVERS).chain(secs(1)).config(
        move |host, config| {
            if host.0 < MASTERNODES {
                let limits = &mut config.limits;
                (limits.max_peers, limits.masternode_slots) = (MASTERNODES, MASTERNODES - 1);
            } else if host.0 > MASTERNODES {
                config.bootstrap = vec![Bootstrap { addr: observer_addr(0), id: Some(first) }];
            }
        },
    )
}

/// Whether a masternode has given its one place to this observer.
fn is_guest(world: &World, observer: HostId) -> bool {
    masternodes().any(|masternode| linked(world, masternode, observer))
}

fn linked(world: &World, a: HostId, b: HostId) -> bool {
    world.link(a, b).is_some()
}

fn all_observers_linked(world: &World) -> bool {
    observers().all(|a| observers().filter(|b| *b > a).all(|b| linked(world, a, b)))
}

fn addresses(world: &mut World, host: HostId) -> AddressCounts {
    match world.ask(host, Request::Status) {
        Reply::Status(status) => status.summary.addresses,
        other => panic!("{other:?}"),
    }
}

#[test]
fn s_5_observers_find_one_another_through_one_bootstrap_peer() {
    let mut world = World::new(seed(1), &crowded(seed(1)));
    world.start_all();
    world.expect("every pair of observers", secs(300), all_observers_linked);
    // They never count among the links that should stand, beside the configured ones.
    for host in observers() {
        let Reply::Status(status) = world.ask(host, Request::Status) else { panic!("no status") };
        let configured = usize::from(host.0 > MASTERNODES);
        assert_eq!(status.summary.links.expected, MASTERNODES + configured, "{host}");
        assert!(status.summary.addresses.tried > 0, "{host}");
    }
    // Dials that crossed are settled; then nobody dials any more but masternodes, which have no room.
    world.run_for(secs(10));
    let began = world.now();
    world.run_for(secs(1200));
    for a in observers() {
        for event in world.seen(a).facts_since(began) {
            assert!(
                !matches!(event, Event::LinkUp { peer, .. } if observers().any(|b| world.host(b).node_id == *peer))
            );
        }
    }
    assert!(all_observers_linked(&world));
}

#[test]
fn s_5_observers_follow_the_chain_through_one_another() {
    let mut world = World::new(seed(2), &crowded(seed(2)));
    world.start_all();
    world.expect("every pair of observers", secs(300), all_observers_linked);
    world.expect("an observer at each masternode", secs(700), |world| {
        masternodes().all(|masternode| observers().any(|observer| linked(world, masternode, observer)))
    });
    // The others have been refused often by now.
    world.run_for(secs(900));
    // One that was refused everywhere is soon the only one that can talk to masternodes, and the bootstrap peer is
    // gone: it gets a place when there is one.
    let Some(heir) = observers().skip(1).find(|observer| !is_guest(&world, *observer)) else {
        panic!("a place for everybody")
    };
    for masternode in masternodes() {
        for observer in observers().filter(|observer| *observer != heir) {
            world.packets(masternode, observer, Packets::Vanish);
            world.packets(observer, masternode, Packets::Vanish);
        }
    }
    world.kill(HostId(MASTERNODES));
    world.expect("it is linked to a masternode", secs(700), |world| is_guest(world, heir));
    assert!(observers().filter(|observer| *observer != heir).all(|observer| !is_guest(&world, observer)));
    let from = world.chain_height();
    world.run_for(secs(60));
    let newest = world.chain_height();
    assert!(newest.0 > from.0 + 50, "{from:?} {newest:?}");
    for host in observers().skip(1) {
        let height = world.height(host);
        assert!(height.0 + 3 >= newest.0, "{host} is at {height:?} of {newest:?}");
    }
}

#[test]
fn p_5_an_observer_that_restarts_finds_the_others_without_its_bootstrap_peer() {
    let mut world = World::new(seed(3), &crowded(seed(3)));
    world.start_all();
    world.expect("every pair of observers", secs(300), all_observers_linked);
    let last = HostId(MASTERNODES + OBSERVERS - 1);
    world.stop(last);
    world.expect("it stops", secs(5), |world| !world.host(last).is_running());
    world.kill(HostId(MASTERNODES));
    world.start(last);
    assert!(addresses(&mut world, last).tried > 0);
    let others = || observers().filter(|other| *other != last && other.0 != MASTERNODES);
    world.expect("its links to the others", secs(60), |world| {
        others().all(|other| linked(world, last, other))
    });
    let height = world.chain_height();
    world.run_for(secs(10));
    assert!(world.height(last) > height || height == Height(0));
}
