//! Who gets a place where there are not enough: masternodes and reserved peers always, observers what is left,
//! without churn (rules S-3 to S-6).

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use timed_core::{
    Bootstrap, CloseReason, ClosedBy, Config, Event, Height, Limits, Masternode, PeerInfo, PeerRef,
    RegistryChange, Reply, Request, SlotClass, Why,
};
use timed_tests::sim::{HostId, Setup, SimTime, World, null, seed, seeds};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn peers(world: &mut World, host: HostId) -> Vec<PeerInfo> {
    match world.ask(host, Request::Peers) {
        Reply::Peers(peers) => peers,
        other => panic!("no list: {other:?}"),
    }
}

fn why(world: &mut World, at: HostId, of: HostId) -> Why {
    let peer = PeerRef::Id(world.host(of).node_id);
    match world.ask(at, Request::Why(peer)) {
        Reply::Why(why) => *why,
        other => panic!("no explanation: {other:?}"),
    }
}

fn hosts(from: usize, count: usize) -> Vec<HostId> {
    (from..from + count).map(HostId).collect()
}

/// Ends of links since a time at all hosts, seen at the end that decided them.
fn ends(world: &World, since: SimTime) -> Vec<(HostId, CloseReason)> {
    let mut ends = Vec::new();
    for host in world.ids() {
        for event in world.seen(host).facts_since(since) {
            if let Event::LinkDown { reason, by: ClosedBy::Us, .. } = event {
                ends.push((host, *reason));
            }
        }
    }
    ends
}

/// Nobody is sought but the registry and those on the lists: no observer from the address book.
fn by_list(config: &mut Config) {
    config.limits.outbound = 0;
}

/// Few places: so many in all, so many of them for masternodes.
fn places(config: &mut Config, max_peers: usize, masternode_slots: usize) {
    config.limits = Limits { max_peers, masternode_slots, ..config.limits.clone() };
}

// The crowd of the issue.

/// Masternodes among so many observers, who come first and take what they can.
fn crowd(seed: u64, masternodes: Setup, observers: usize, max_peers: usize, slots: usize) -> World {
    let setup = masternodes.observers(observers).config(move |_, config| {
        places(config, max_peers, slots);
        by_list(config);
    });
    let mut world = World::new(seed, &setup);
    for host in world.ids().into_iter().rev() {
        world.start(host);
        world.run_for(Duration::from_millis(20));
    }
    world.expect("the mesh", secs(10), World::is_meshed);
    world
}

fn fourteen() -> Setup {
    Setup::new(null).masternodes(14)
}

/// In a crowd every place is used, and then nothing moves: whoever is refused asks seldom.
fn observers_share(world: &mut World, masternodes: usize, places: usize, time: Duration) {
    world.run_for(secs(900));
    for host in hosts(0, masternodes) {
        assert_eq!(peers(world, host).len(), masternodes - 1 + places, "{host}");
    }
    let observers = world.ids().split_off(masternodes);
    let shares: Vec<usize> = observers.iter().map(|host| world.seen(*host).live.len()).collect();
    assert_eq!(shares.iter().sum::<usize>(), masternodes * places);
    let (began, links) = (world.now(), world.links());
    world.run_for(time);
    assert_eq!(world.links(), links);
    assert_eq!(ends(world, began), []);
    let refused = masternodes * (observers.len() - places);
    let dials = world.dials_since(began);
    println!("{dials} dials in {time:?} for {refused} pairs that have no place");
    // 300 to 600 s apart.
    let times = |wait| usize::try_from(time.as_secs() / wait).unwrap();
    assert!(hosts(0, masternodes).iter().all(|host| world.seen(*host).dials_since(began) == 0));
    let expected = refused * (times(600) - 1)..=refused * (times(300) + 1);
    assert!(expected.contains(&dials), "{dials} dials for {refused} pairs");
}

#[test]
fn s_3_fifty_observers_share_what_fourteen_masternodes_leave() {
    let mut world = crowd(seed(1), fourteen(), 50, 50, 20);
    observers_share(&mut world, 14, 30, secs(1800));
    assert!(hosts(14, 50).iter().all(|host| !world.seen(*host).live.is_empty()), "nobody is left out");
}

#[test]
fn s_3_a_crowd_does_not_churn_over_hours() {
    // Below the observers' addresses, so that observers knock, and above them, so that observers dial.
    let above = ["10.9.0.1:24100", "10.9.0.2:24100", "10.9.0.3:24100", "10.9.0.4:24100"];
    for masternodes in [Setup::new(null).masternodes(4), Setup::new(null).masternodes_at(&above)] {
        let mut world = crowd(seed(1), masternodes, 14, 12, 5);
        observers_share(&mut world, 4, 7, secs(4 * 3600));
    }
}

#[test]
fn s_3_a_masternode_that_restarts_in_the_crowd_finds_its_places_at_once() {
    for seed in seeds(2) {
        let mut world = crowd(seed, fourteen(), 50, 50, 20);
        world.run_for(secs(60));
        for victim in [0, 6, 13].map(HostId) {
            let began = world.now();
            world.kill(victim);
            world.run_for(secs(2));
            world.start(victim);
            let took = world.expect("its links are back", secs(3), World::is_meshed);
            println!("{victim} is back after {took:?}");
            assert_eq!(ends(&world, began), [], "no link of others ends for it");
            world.run_for(secs(30));
        }
    }
}

// The mesh of masternodes.

/// So many masternodes with so many places each, started in an order of the seed among a crowd of observers.
fn mesh_is_complete(seed: u64, masternodes: usize, max_peers: usize, slots: usize) {
    let setup = Setup::new(null)
        .masternodes(masternodes)
        .observers(12)
        .config(move |_, config| places(config, max_peers, slots));
    let mut world = World::new(seed, &setup);
    let mut order = world.ids();
    let mut dice = timed_core::Rng::new([u8::try_from(seed).unwrap_or(255); 32]);
    for last in (1..order.len()).rev() {
        let other = usize::try_from(dice.below(last as u64 + 1)).unwrap_or(0);
        order.swap(last, other);
    }
    for host in order {
        world.start(host);
        world.run_for(dice.between(Duration::ZERO, secs(2)));
    }
    world.expect("the mesh of masternodes", secs(10), World::is_meshed);
    let (began, links) = (world.now(), world.links().len());
    world.run_for(secs(600));
    assert!(world.is_meshed() && world.links().len() >= links);
    assert_eq!(
        ends(&world, began),
        [],
        "{masternodes} masternodes, {max_peers} places, {slots} of them kept"
    );
    for host in world.ids() {
        assert!(peers(&mut world, host).len() <= max_peers);
    }
}

#[test]
fn pex_02b_the_mesh_of_masternodes_is_complete_whenever_they_have_places() {
    for seed in seeds(2) {
        for (masternodes, max_peers, slots) in
            [(2, 1, 1), (5, 4, 4), (5, 4, 1), (5, 7, 2), (14, 13, 13), (14, 16, 5), (21, 25, 20)]
        {
            mesh_is_complete(seed, masternodes, max_peers, slots);
        }
    }
}

#[test]
fn s_3_more_masternodes_than_places_do_not_storm() {
    let setup = Setup::new(null).masternodes(8).config(|_, config| places(config, 5, 5));
    let mut world = World::new(seed(1), &setup);
    world.start_all();
    world.run_for(secs(1800));
    let began = world.now();
    world.run_for(secs(3600));
    assert_eq!(ends(&world, began), []);
    let dials = world.dials_since(began);
    assert!(dials <= 28 * 2 * 24, "{dials} dials in an hour");
}

// Reserved peers.

/// Two masternodes with places for each other, one observer and the reserved; the last host is reserved at host 0.
fn with_a_reserved_peer(entry: fn(&World, HostId) -> Bootstrap) -> World {
    let setup = Setup::new(null).masternodes(2).observers(4).config(|_, config| places(config, 4, 1));
    let mut world = World::new(seed(1), &setup);
    let reserved = entry(&world, HostId(5));
    world.host_mut(HostId(0)).config.reserved = vec![reserved];
    world
}

fn by_key(world: &World, host: HostId) -> Bootstrap {
    Bootstrap { id: Some(world.host(host).node_id), ..by_addr(world, host) }
}

fn by_addr(world: &World, host: HostId) -> Bootstrap {
    Bootstrap { addr: world.host(host).config.advertised.expect("it can be dialed"), id: None }
}

#[test]
fn s_3_a_reserved_peer_has_its_place_whoever_came_before() {
    for entry in [by_key, by_addr] {
        let mut world = with_a_reserved_peer(entry);
        for host in hosts(0, 5) {
            world.start(host);
        }
        world.run_for(secs(60));
        // One for the other masternode, two for observers, one kept.
        assert_eq!(peers(&mut world, HostId(0)).len(), 3);
        let began = world.now();
        world.start(HostId(5));
        world.expect("it is linked", secs(15), |world| world.link(HostId(0), HostId(5)).is_some());
        assert_eq!(ends(&world, began), []);
        let listed = peers(&mut world, HostId(0));
        let classes: Vec<SlotClass> = SlotClass::ALL
            .into_iter()
            .flat_map(|class| listed.iter().map(|peer| peer.class).filter(move |it| *it == class))
            .collect();
        use SlotClass::{Masternode, Observer, Reserved};
        assert_eq!(classes, [Masternode, Reserved, Observer, Observer]);
        assert!(why(&mut world, HostId(0), HostId(5)).text.contains("reserved"));
        // Nobody takes it while the peer is away.
        world.kill(HostId(5));
        world.run_for(secs(1800));
        assert_eq!(peers(&mut world, HostId(0)).len(), 3);
        world.start(HostId(5));
        world.expect("it is linked again", secs(15), |world| world.link(HostId(0), HostId(5)).is_some());
    }
}

/// Who comes with the advertised address of a reserved peer is not that peer.
#[test]
fn s_3_a_claimed_address_is_no_reserved_place() {
    let mut world = with_a_reserved_peer(by_addr);
    let claimed = world.host(HostId(5)).config.advertised;
    for host in hosts(0, 4) {
        world.start(host);
    }
    world.run_for(secs(60));
    world.host_mut(HostId(4)).config.advertised = claimed;
    world.start(HostId(4));
    world.run_for(secs(120));
    assert_eq!(peers(&mut world, HostId(0)).len(), 3, "the reserved place is free");
    assert!(world.link(HostId(0), HostId(4)).is_none());
    world.start(HostId(5));
    world.expect("the peer itself has it", secs(15), |world| world.link(HostId(0), HostId(5)).is_some());
}

// Who gives way.

/// A key that comes into the registry while observers hold every place that is not kept.
#[test]
fn s_4_an_observer_gives_way_to_a_new_masternode_and_keeps_away() {
    let setup =
        Setup::new(null).masternodes(4).observers(5).chain(secs(1)).config(|_, config| places(config, 6, 3));
    let mut world = World::new(seed(1), &setup);
    let joins = HostId(8);
    for host in world.ids().into_iter().filter(|host| *host != joins) {
        world.start(host);
    }
    world.expect("the mesh", secs(10), World::is_meshed);
    world.run_for(secs(60));
    for host in hosts(0, 4) {
        assert_eq!(peers(&mut world, host).len(), 6, "{host} is full");
    }
    let joining =
        Masternode { id: world.host(joins).node_id, addr: world.host(joins).config.advertised.unwrap() };
    let at = Height(world.chain_height().0 + 3);
    world.change_registry(at, &[RegistryChange::Put(joining)]);
    world.run_for(secs(10));
    let began = world.now();
    world.start(joins);
    world.expect("its links", secs(5), |world| {
        hosts(0, 4).iter().all(|host| world.link(*host, joins).is_some())
    });
    world.run_for(secs(20));
    let displaced = ends(&world, began);
    assert_eq!(displaced.iter().filter(|(host, _)| host.0 < 4).count(), 4, "{displaced:?}");
    assert!(displaced.iter().all(|(_, reason)| *reason == CloseReason::Displaced), "{displaced:?}");
    let gone = |event: &Event| match event {
        Event::LinkDown { peer, reason: CloseReason::Displaced, .. } => Some(*peer),
        _ => None,
    };
    let of = world.seen(HostId(0)).facts_since(began).find_map(gone).unwrap();
    let (at, of, links) = (HostId(0), world.host_of(&of).unwrap(), world.links());
    let there = why(&mut world, of, at);
    assert!(
        matches!((there.decision, there.rule), ("displaced", "S-4") | ("slots_full", "S-3")),
        "{there:?}"
    );
    assert!(there.next.and_then(|next| next.within).is_some_and(|wait| wait <= secs(600)));
    assert_eq!(why(&mut world, at, of).decision, "displaced");
    // It asks again, seldom, and displaces nobody.
    let began = world.now();
    world.run_for(secs(1800));
    assert_eq!(world.links(), links);
    assert_eq!(ends(&world, began), []);
}

#[test]
fn an_operator_is_told_when_there_is_no_place() {
    let setup = Setup::new(null).masternodes(2).observers(2).config(|_, config| places(config, 1, 1));
    let mut world = World::new(seed(1), &setup);
    world.start_all();
    world.run_for(secs(20));
    let reply = world.connect(HostId(0), HostId(2));
    assert!(matches!(reply, Some(Reply::Refused(text)) if text.contains("reserved_peers")), "{reply:?}");
    let why = why(&mut world, HostId(0), HostId(2));
    assert_eq!((why.decision, why.rule), ("no_slot", "S-3"), "{why:?}");
}

// Poor links.

/// Two masternodes; an observer (host 2) that seeks another one (host 3), and knows a third (host 4) if it has met it.
fn observers(meets: bool) -> World {
    let setup = Setup::new(null).masternodes(2).observers(3).config(|_, config| by_list(config));
    let mut world = World::new(seed(1), &setup);
    let [sought, own] = [3, 2].map(|host| world.host(HostId(host)).config.advertised.unwrap());
    world.host_mut(HostId(2)).config.bootstrap = vec![Bootstrap { addr: sought, id: None }];
    if meets {
        world.host_mut(HostId(4)).config.bootstrap = vec![Bootstrap { addr: own, id: None }];
    }
    // Who is not to be met is not there: its address would be told.
    for host in hosts(0, if meets { 5 } else { 4 }) {
        world.start(host);
    }
    world.expect("the observers' link", secs(10), |world| world.link(HostId(2), HostId(3)).is_some());
    if meets {
        world.expect("the third one's", secs(10), |world| world.link(HostId(2), HostId(4)).is_some());
        // Only where it was reached it is dialed: the link stands until its address has been probed (rule P-6).
        world.run_for(secs(20));
        world.kill(HostId(4));
        world.host_mut(HostId(4)).config.bootstrap.clear();
        world.start(HostId(4));
    }
    world.run_for(secs(60));
    assert!(world.link(HostId(2), HostId(4)).is_none());
    world
}

fn distance(world: &mut World, a: HostId, b: HostId, one_way: Duration) {
    world.set_latency(a, b, one_way);
    world.set_latency(b, a, one_way);
}

const FAR: Duration = Duration::from_millis(1_300);

#[test]
fn s_6_a_poor_link_to_an_observer_is_replaced_before_it_ends() {
    let mut world = observers(true);
    let [a, b, c] = [2, 3, 4].map(HostId);
    let began = world.now();
    distance(&mut world, a, b, FAR);
    let took = world.expect("another link", secs(900), |world| world.link(a, c).is_some());
    println!("replaced after {took:?}");
    assert!(took >= secs(120), "not for a moment's weakness: {took:?}");
    assert!(world.link(a, b).is_some(), "first the other link");
    world.expect("then the end", secs(30), |world| world.link(a, b).is_none());
    world.run_for(secs(5));
    assert_eq!(ends(&world, began), [(a, CloseReason::PoorLink)]);
    assert_eq!(world.seen(b).downs_since(began), [(world.host(a).node_id, CloseReason::PoorLink)]);
    // Nothing moves any more.
    let (began, links) = (world.now(), world.links());
    world.run_for(secs(3600));
    assert_eq!((world.links(), ends(&world, began)), (links, vec![]));
}

#[test]
fn s_6_a_poor_link_is_kept_if_there_is_no_other() {
    let mut world = observers(false);
    let began = world.now();
    distance(&mut world, HostId(2), HostId(3), FAR);
    world.run_for(secs(3600));
    let poor =
        peers(&mut world, HostId(2)).into_iter().find(|peer| peer.class == SlotClass::Observer).unwrap();
    assert!(poor.health < 50 && poor.rtt.is_some_and(|rtt| rtt > FAR * 2), "{poor:?}");
    assert_eq!(ends(&world, began), []);
}

#[test]
fn s_6_a_poor_link_is_kept_while_the_other_cannot_be_had() {
    let mut world = observers(true);
    // Known, and not there any more.
    world.kill(HostId(4));
    let began = world.now();
    distance(&mut world, HostId(2), HostId(3), FAR);
    world.run_for(secs(3600));
    assert_eq!(ends(&world, began), []);
    // Everybody else is linked.
    let tried = world.seen(HostId(2)).dials_since(began);
    assert!(tried > 1, "it was tried {tried} times");
}

#[test]
fn s_6_poor_links_are_replaced_one_at_a_time_minutes_apart() {
    let setup = Setup::new(null).masternodes(1).observers(9).config(|_, config| by_list(config));
    let mut world = World::new(seed(1), &setup);
    let addr = |world: &World, host| world.host(HostId(host)).config.advertised.unwrap();
    // Host 1 seeks 2 to 5, and has met 6 to 9.
    let sought = (2..6).map(|host| Bootstrap { addr: addr(&world, host), id: None }).collect();
    world.host_mut(HostId(1)).config.bootstrap = sought;
    let own = Bootstrap { addr: addr(&world, 1), id: None };
    for host in hosts(6, 4) {
        world.host_mut(host).config.bootstrap = vec![own];
    }
    world.start_all();
    world.run_for(secs(20));
    for host in hosts(6, 4) {
        world.kill(host);
        world.host_mut(host).config.bootstrap.clear();
        world.start(host);
    }
    world.run_for(secs(60));
    for host in hosts(2, 4) {
        distance(&mut world, HostId(1), host, FAR);
    }
    let began = world.now();
    world.run_for(secs(3600));
    let at: Vec<SimTime> = world
        .seen(HostId(1))
        .facts
        .iter()
        .filter(|(at, event)| {
            *at >= began && matches!(event, Event::LinkDown { reason: CloseReason::PoorLink, .. })
        })
        .map(|(at, _)| *at)
        .collect();
    assert_eq!(at.len(), 4, "{at:?}");
    assert!(at.windows(2).all(|pair| pair[1].since(pair[0]) >= secs(300)), "{at:?}");
    let chosen = peers(&mut world, HostId(1)).iter().filter(|peer| peer.class == SlotClass::Observer).count();
    assert_eq!(chosen, 4);
}

#[test]
fn live_03_io_01b_the_link_of_a_slow_masternode_is_never_closed_for_that() {
    // The observer has another peer that it could turn to.
    let mut world = observers(true);
    let slow = HostId(1);
    for other in world.ids().into_iter().filter(|other| *other != slow) {
        distance(&mut world, slow, other, FAR);
    }
    let (began, links) = (world.now(), world.links());
    world.run_for(secs(3600));
    assert_eq!((world.links(), ends(&world, began)), (links, vec![]));
    let id = world.host(slow).node_id;
    for host in [0, 2, 3, 4].map(HostId) {
        let seen = peers(&mut world, host).into_iter().find(|peer| peer.node == id).unwrap();
        assert!(seen.health < 50, "{host}: {}", seen.health);
    }
}

/// Nor is that of a reserved peer, which an observer seeks like any other.
#[test]
fn s_6_the_link_of_a_slow_reserved_peer_is_kept() {
    let mut world = observers(true);
    world.stop(HostId(2));
    world.run_for(secs(1));
    let host = world.host_mut(HostId(2));
    host.config.reserved = std::mem::take(&mut host.config.bootstrap);
    world.host_mut(HostId(4)).config.bootstrap =
        vec![Bootstrap { addr: world.host(HostId(2)).config.advertised.unwrap(), id: None }];
    world.kill(HostId(4));
    world.start(HostId(2));
    world.start(HostId(4));
    world.run_for(secs(60));
    world.kill(HostId(4));
    world.host_mut(HostId(4)).config.bootstrap.clear();
    world.start(HostId(4));
    world.run_for(secs(60));
    assert!(world.link(HostId(2), HostId(3)).is_some() && world.link(HostId(2), HostId(4)).is_none());
    distance(&mut world, HostId(2), HostId(3), FAR);
    let began = world.now();
    world.run_for(secs(3600));
    assert_eq!(ends(&world, began), []);
}
