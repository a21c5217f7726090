//! The network of masternodes in virtual time: how it meshes, stands, and comes back after every kind of loss.

use std::time::Duration;

use timed_core::{
    Bootstrap, CanonicalAddr, CloseReason, ClosedBy, Event, PeerRef, Reply, Request, Seed, Warning,
};
use timed_tests::sim::{
    Exit, HostId, HostPlan, Packets, Profile, Setup, World, derived_key, noise, null, seed, seeds,
};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

// Meshing and standing.

fn meshes_within(nodes: usize, limit: Duration) {
    let mut world = World::new(seed(1), &Setup::new(null).masternodes(nodes));
    world.start_all();
    let took = world.expect("the full mesh", limit, World::is_meshed);
    println!("{nodes} nodes: complete after {took:?}");
    assert_eq!(world.links().len(), nodes * (nodes - 1) / 2);
    assert_eq!(world.wrong_direction(), []);
    world.run_for(secs(20));
    assert_eq!(world.established(), nodes * (nodes - 1) / 2);
}

#[test]
fn four_nodes_mesh_within_a_second() {
    meshes_within(4, secs(1));
}

#[test]
fn fourteen_nodes_mesh_within_a_second() {
    meshes_within(14, secs(1));
}

#[test]
fn fifty_nodes_mesh_within_ten_seconds() {
    meshes_within(50, secs(10));
}

#[test]
fn nodes_around_the_world_mesh_within_ten_seconds() {
    for seed in seeds(10) {
        let setup = Setup::new(null).masternodes(14).profile(Profile::internet());
        let mut world = World::new(seed, &setup);
        world.start_all();
        world.expect("91 links", secs(10), World::is_meshed);
        assert_eq!(world.wrong_direction(), []);
    }
}

#[test]
fn nodes_started_one_by_one_mesh_within_a_second_of_the_last() {
    let mut world = World::new(seed(1), &Setup::new(null).masternodes(5));
    for host in [3, 0, 4, 1, 2].map(HostId) {
        world.run_for(secs(7));
        world.start(host);
    }
    // The last to start is dialed by those below it once its knock is in.
    let took = world.expect("10 links", secs(2), World::is_meshed);
    println!("complete {took:?} after the last start");
    assert_eq!(world.wrong_direction(), []);
}

#[test]
fn real_cryptography_behaves_as_the_null_one() {
    let mut world = World::new(seed(1), &Setup::new(noise).masternodes(4));
    world.start_all();
    world.expect("6 links", secs(1), World::is_meshed);
    let (began, links) = (world.now(), world.links());
    world.run_for(secs(60));
    assert_eq!(world.links(), links);
    assert_eq!(world.dials_since(began), 0);
    world.kill(HostId(1));
    world.start(HostId(1));
    world.expect("the links are back", secs(3), World::is_meshed);
}

fn stands_still(nodes: usize, time: Duration) {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(nodes));
    let (began, links) = (world.now(), world.links());
    let sent = |world: &World| world.ids().iter().map(|id| world.seen(*id).bytes_sent).sum::<u64>();
    let before = sent(&world);
    world.run_for(time);
    assert_eq!(world.links(), links);
    assert_eq!(world.dials_since(began), 0);
    for host in world.ids() {
        let eventful: Vec<&Event> = world
            .seen(host)
            .facts_since(began)
            .filter(|event| !matches!(event, Event::PeerCheck { .. }))
            .collect();
        assert!(eventful.is_empty(), "{host}: {eventful:?}");
    }
    let a_second = (sent(&world) - before) / time.as_secs() / nodes as u64;
    println!("{nodes} nodes: {a_second} bytes a second and node");
}

#[test]
fn dir_06a_four_nodes_stand_still_for_ten_minutes() {
    stands_still(4, secs(600));
}

#[test]
fn dir_06a_live_01a_fourteen_nodes_stand_still_for_an_hour() {
    stands_still(14, secs(3600));
}

// Losing a node.

fn comes_back(victim: usize, lose: fn(&mut World, HostId), pause: Duration) {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(5));
    let victim = HostId(victim);
    let others: Vec<_> = links_without(&world, victim);
    lose(&mut world, victim);
    world.run_for(pause);
    world.start(victim);
    let took = world.expect("its links are back", secs(3), World::is_meshed);
    println!("{victim} is back after {took:?}");
    assert_eq!(world.wrong_direction(), []);
    world.run_for(secs(30));
    assert_eq!(links_without(&world, victim), others, "the others did not move");
    assert!(world.is_meshed());
}

fn links_without(world: &World, host: HostId) -> Vec<timed_tests::sim::Link> {
    world.links().into_iter().filter(|link| link.dialer != host && link.acceptor != host).collect()
}

#[test]
fn killed_and_restarted_its_links_are_back_within_three_seconds() {
    for victim in [0, 2, 4] {
        for pause in [0, 100, 2_500, 30_000, 300_000] {
            comes_back(victim, World::kill, Duration::from_millis(pause));
        }
    }
}

#[test]
fn dup_04a_power_cut_its_links_are_back_within_three_seconds() {
    for victim in [0, 2, 4] {
        for pause in [0, 100, 2_500, 14_000, 30_000, 300_000] {
            comes_back(victim, World::cut_power, Duration::from_millis(pause));
        }
    }
}

#[test]
fn stopped_in_order_it_says_goodbye_and_comes_back() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(4));
    let began = world.now();
    world.stop(HostId(2));
    world.expect("it stops", secs(1), |world| world.exit(HostId(2)) == Some(&Exit::Stopped));
    world.run_for(Duration::from_millis(100));
    let stopped = world.host(HostId(2)).node_id;
    for host in [0, 1, 3].map(HostId) {
        assert_eq!(world.seen(host).downs_since(began), [(stopped, CloseReason::Shutdown)]);
    }
    assert_eq!(world.established(), 3);
    world.start(HostId(2));
    world.expect("it is back", secs(3), World::is_meshed);
}

#[test]
fn live_03_a_dead_peer_leaves_the_list_within_twenty_seconds() {
    for lose in [World::kill as fn(&mut World, HostId), World::cut_power, World::freeze] {
        for early in 0..12 {
            let mut world = World::standing(seed(early), &Setup::new(null).masternodes(4));
            world.run_for(Duration::from_millis(early * 850));
            lose(&mut world, HostId(1));
            let dead = world.host(HostId(1)).node_id;
            world.expect("it is gone from the peers", secs(20), |world| {
                [0, 2, 3].iter().all(|other| world.seen(HostId(*other)).link(&dead).is_none())
            });
            for other in [0, 2, 3].map(HostId) {
                let Reply::Peers(peers) = world.ask(other, Request::Peers) else { panic!("no list") };
                assert_eq!(peers.len(), 2);
            }
        }
    }
}

#[test]
fn live_03_a_dead_masternode_leaves_the_active_set_within_thirty_five_seconds() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(4));
    let active = |world: &World, count: usize| {
        [0, 2, 3].iter().all(|host| {
            world.seen(HostId(*host)).summary.is_some_and(|summary| summary.active_masternodes == count)
        })
    };
    assert!(active(&world, 4));
    world.cut_power(HostId(1));
    // The snapshot may be 250 ms old.
    world.expect("3 are active", Duration::from_millis(35_300), |world| active(world, 3));
    world.start(HostId(1));
    world.expect("4 are active", secs(4), |world| active(world, 4));
}

#[test]
fn frozen_for_thirty_seconds_it_recovers_without_judging_others() {
    for victim in [0, 1, 3] {
        let mut world = World::standing(seed(victim), &Setup::new(null).masternodes(4));
        let victim = HostId(usize::try_from(victim).unwrap());
        let others = links_without(&world, victim);
        world.freeze(victim);
        world.run_for(secs(30));
        let (thawed, dials) = (world.now(), world.seen(victim).dials.len());
        world.thaw(victim);
        let took = world.expect("it is back", secs(10), World::is_meshed);
        println!("{victim} is back after {took:?}");
        let seen = world.seen(victim);
        assert!(
            seen.facts_since(thawed).any(|event| matches!(event, Event::Warning(Warning::Frozen { .. }))),
            "it knows that it was frozen"
        );
        let blames = |event: &&Event| {
            matches!(
                event,
                Event::LinkDown { reason: CloseReason::Silent | CloseReason::Slow, by: ClosedBy::Us, .. }
            )
        };
        assert_eq!(seen.facts_since(thawed).filter(blames).count(), 0, "it blames nobody");
        assert!(seen.dials.len() - dials <= 6, "no burst: {:?}", &seen.dials[dials..]);
        assert_eq!(links_without(&world, victim), others, "the others keep theirs");
        let (began, links) = (world.now(), world.links());
        world.run_for(secs(120));
        assert_eq!((world.links(), world.dials_since(began)), (links, 0));
    }
}

#[test]
fn a_short_freeze_costs_no_link() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(4));
    let links = world.links();
    world.freeze(HostId(1));
    world.run_for(secs(9));
    world.thaw(HostId(1));
    world.run_for(secs(60));
    assert_eq!(world.links(), links);
}

// Operators.

#[test]
fn connect_on_both_sides_at_once_hundreds_of_times() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(4));
    let (a, b) = (HostId(1), HostId(2));
    for round in 0..300u64 {
        world.reset_between(a, b);
        let offset = Duration::from_micros(round * 7);
        let (first, second) = if round % 2 == 0 { (a, b) } else { (b, a) };
        // The resets are told first; whoever has noticed can be ordered to dial.
        world.run_for(Duration::from_millis(1));
        world.connect(first, second);
        world.run_for(offset);
        world.connect(second, first);
        let took = world.expect("one link", secs(5), World::is_meshed);
        assert!(took < secs(3), "round {round}: {took:?}");
        world.run_for(Duration::from_millis(500));
        assert!(world.link(a, b).is_some(), "round {round}");
    }
    let began = world.now();
    world.run_for(secs(60));
    assert_eq!(world.dials_since(began), 0);
    assert_eq!(world.established(), 6);
}

#[test]
fn connect_to_a_live_peer_says_so_and_dials_nobody() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(2));
    let began = world.now();
    for (at, to) in [(0, 1), (1, 0)] {
        let reply = world.connect(HostId(at), HostId(to));
        let there = world.host(HostId(to)).node_id;
        assert!(matches!(reply, Some(Reply::AlreadyConnected(id)) if id == there), "{reply:?}");
        let there = PeerRef::Addr(world.host(HostId(to)).config.advertised.unwrap());
        let reply = world.ask(HostId(at), Request::ConnectKnown(there));
        assert!(matches!(reply, Reply::AlreadyConnected(_)), "{reply:?}");
    }
    world.run_for(secs(10));
    assert_eq!(world.dials_since(began), 0);
}

#[test]
fn disconnect_holds_for_ten_minutes_or_until_connect() {
    for (at, to) in [(0, 1), (1, 0)] {
        let (at, to) = (HostId(at), HostId(to));
        let mut world = World::standing(seed(1), &Setup::new(null).masternodes(3));
        let apart = |world: &mut World| {
            let peer = PeerRef::Id(world.host(to).node_id);
            let began = world.now();
            let reply = world.ask(at, Request::Disconnect(peer));
            assert!(matches!(reply, Reply::Disconnected(_)), "{reply:?}");
            world.run_for(secs(1));
            assert!(world.link(at, to).is_none());
            let there = world.seen(to).downs_since(began);
            assert_eq!(there, [(world.host(at).node_id, CloseReason::OperatorDisconnect)]);
        };
        apart(&mut world);
        for _ in 0..59 {
            world.run_for(secs(10));
            assert!(world.link(at, to).is_none(), "held until {}", world.now());
        }
        world.expect("the hold ends", secs(10 + 20), World::is_meshed);
        world.run_for(secs(30));
        apart(&mut world);
        world.run_for(secs(30));
        let reply = world.connect(at, to);
        assert!(matches!(reply, Some(Reply::Dialing { .. })), "{reply:?}");
        world.expect("connect lifts the hold", secs(1), World::is_meshed);
    }
}

// Odd members.

#[test]
fn an_observer_links_to_everyone_and_counts_for_nobody() {
    let mut world = World::new(seed(1), &Setup::new(null).masternodes(4).observers(1));
    world.start_all();
    world.expect("10 links", secs(3), |world| world.links().len() == 10);
    world.run_for(secs(60));
    assert_eq!(world.links().len(), 10);
    for host in (0..5).map(HostId) {
        let summary = world.seen(host).summary.expect("a snapshot");
        assert_eq!((summary.active_masternodes, summary.connected_peers), (4, 4), "{host}");
    }
}

#[test]
fn a_node_without_an_advertised_address_dials_and_is_never_dialed() {
    let setup = Setup::new(null).masternodes(3).observers(2).config(|host, config| {
        if host.0 >= 3 {
            config.advertised = None;
        }
    });
    let mut world = World::new(seed(1), &setup);
    world.start_all();
    // Two without an address have no link with each other.
    world.expect("3 + 6 links", secs(3), |world| world.links().len() == 9);
    let (began, links) = (world.now(), world.links());
    world.run_for(secs(300));
    assert_eq!((world.links(), world.dials_since(began)), (links, 0));
    assert_eq!(world.wrong_direction(), []);
    for host in [3, 4].map(HostId) {
        world.kill(host);
        world.run_for(secs(5));
        world.start(host);
        world.expect("it is back", secs(3), |world| world.links().len() == 9);
    }
    world.kill(HostId(0));
    world.run_for(secs(20));
    world.start(HostId(0));
    world.expect("the masternode is found again", secs(12), |world| world.links().len() == 9);
}

#[test]
fn a_peer_list_that_knows_only_one_node_is_enough_for_a_masternode() {
    let setup = Setup::new(null).masternodes(4).config(|_, config| {
        let only = config.registry.entries()[0].addr;
        config.bootstrap = vec![Bootstrap { addr: only, id: None }];
    });
    let mut world = World::new(seed(1), &setup);
    world.start_all();
    world.expect("6 links", secs(1), World::is_meshed);
    assert_eq!(world.wrong_direction(), []);
}

#[test]
fn p_8_a_peer_known_by_name_is_found_again_where_it_has_moved() {
    let setup = Setup::new(null).masternodes(3).observers(2).config(|host, config| {
        if host == HostId(4) {
            config.seeds = vec![Seed::default()];
        }
    });
    let (named, seeker) = (HostId(3), HostId(4));
    let mut world = World::new(seed(1), &setup);
    let home = |world: &World, host: HostId| world.host(host).config.advertised.expect("an address");
    world.host_mut(seeker).application.names = vec![vec![home(&world, named)]];
    world.start_all();
    let id = world.host(named).node_id;
    world.expect("the name leads to it", secs(3), |world| world.seen(seeker).link(&id).is_some());
    world.run_for(secs(60));
    // The same node on another machine, with another address.
    world.kill(named);
    let mut config = world.host(named).config.clone();
    let ip = std::net::IpAddr::from([10, 1, 7, 7]);
    config.advertised = CanonicalAddr::new((ip, 24_100).into()).ok();
    let key = derived_key(world.seed(), 3);
    let moved = world.add_host(HostPlan { key, ip, seen_as: ip, port: 24_100, config });
    let there = home(&world, moved);
    world.host_mut(seeker).application.names = vec![vec![there]];
    world.start(moved);
    world.expect("it is found again", secs(60), |world| {
        world.seen(seeker).link(&id).is_some()
            && world.seen(moved).link(&world.host(seeker).node_id).is_some()
    });
    let began = world.now();
    world.run_for(secs(300));
    assert_eq!(world.seen(seeker).dials_since(began), 0, "the old address is forgotten");
}

#[test]
fn an_isolated_node_is_back_soon_after_the_hole_closes() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(5));
    world.isolate(HostId(2), Packets::Vanish);
    world.run_for(secs(120));
    assert_eq!(world.links().len(), 6);
    world.isolate(HostId(2), Packets::Arrive);
    // The longest back-off is 10 s, jittered; then a SYN, a handshake.
    let took = world.expect("10 links", secs(15), World::is_meshed);
    println!("back after {took:?}");
}
