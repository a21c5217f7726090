//! Who dials whom, and what happens when that one cannot: field failures DIR-01 to DIR-07.

use std::time::Duration;

use timed_core::{Bootstrap, CloseReason, DialedBecause, Event, NodeId, Reply, Request, Warning};
use timed_tests::sim::{Dials, HostId, Setup, World, null, seed, seeds};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Nothing moves any more for ten minutes.
fn stays(world: &mut World) {
    world.run_for(secs(40));
    let (began, links) = (world.now(), world.links());
    world.run_for(secs(600));
    assert_eq!(world.links(), links);
    assert_eq!(world.dials_since(began), 0);
}

#[test]
fn dir_01_addresses_that_text_and_numbers_order_differently_mesh_by_number() {
    let setup = Setup::new(null).masternodes_at(&[
        "165.84.215.117:24100",
        "50.28.104.50:24100",
        "9.0.0.1:24100",
        "10.0.0.1:24100",
        "[2001:db8::1]:24100",
        "[::ffff:10.0.0.7]:24100",
    ]);
    let mut world = World::new(seed(1), &setup);
    world.start_all();
    world.expect("15 links", secs(1), World::is_meshed);
    assert_eq!(world.wrong_direction(), []);
    stays(&mut world);
}

#[test]
fn dir_07b_nodes_of_one_ip_and_of_one_ipv6_prefix_are_distinct() {
    let setup = Setup::new(null).masternodes_at(&[
        "10.0.0.1:24100",
        "10.0.0.1:24101",
        "10.0.0.1:24102",
        "[2001:db8::1]:5",
        "[2001:db8::2]:6",
        "[2001:db8::2]:7",
    ]);
    let mut world = World::new(seed(1), &setup);
    world.start_all();
    world.expect("15 links", secs(1), World::is_meshed);
    assert_eq!(world.wrong_direction(), []);
    world.kill(HostId(1));
    world.run_for(secs(5));
    world.start(HostId(1));
    world.expect("it is back", secs(3), World::is_meshed);
    stays(&mut world);
}

#[test]
fn dir_07a_a_mapped_address_names_the_same_peer() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(2));
    let began = world.now();
    for text in ["10.0.0.2:24100", "[::ffff:10.0.0.2]:24100", "[::ffff:a00:2]:24100"] {
        let addr = text.parse().unwrap();
        let reply = world.ask(HostId(0), Request::Connect { addr, id: None });
        assert!(matches!(reply, Reply::AlreadyConnected(_)), "{text}: {reply:?}");
    }
    world.run_for(secs(60));
    assert_eq!(world.dials_since(began), 0);
}

#[test]
fn dir_03a_one_way_reachability_either_way_costs_no_link() {
    for seed in seeds(10) {
        for (from, to) in [(0, 1), (1, 0)] {
            for dials in [Dials::Vanish, Dials::Refused] {
                let (from, to) = (HostId(from), HostId(to));
                let mut world = World::new(seed, &Setup::new(null).masternodes(3));
                world.dials(from, to, dials);
                world.start_all();
                // The passive side knocks within 1.5 s and dials 2 s later.
                let took = world.expect("3 links", secs(4), World::is_meshed);
                let link = world.link(from, to).unwrap();
                assert_eq!((link.dialer, link.acceptor), (to, from));
                let because = if from < to { DialedBecause::Fallback } else { DialedBecause::Canonical };
                assert_eq!(link.because, because, "seed {seed}, after {took:?}");
                stays(&mut world);
                assert_eq!(world.link(from, to), Some(link), "a healthy link is never turned round");
            }
        }
    }
}

#[test]
fn dir_03a_a_fallback_link_comes_again_after_every_loss() {
    let mut world = World::new(seed(1), &Setup::new(null).masternodes(3));
    world.dials(HostId(0), HostId(1), Dials::Vanish);
    world.start_all();
    world.expect("3 links", secs(4), World::is_meshed);
    for _ in 0..10 {
        world.run_for(secs(40));
        world.reset_between(HostId(0), HostId(1));
        world.run_for(Duration::from_millis(10));
        // passive wait (5 s ± 25 %), knock, 2 s, dial.
        world.expect("the link is back", Duration::from_millis(6_250 + 2_000 + 500), World::is_meshed);
    }
}

#[test]
fn dir_03a_a_knock_clears_the_dialers_backoff_when_the_way_opens() {
    let mut world = World::new(seed(1), &Setup::new(null).masternodes(2));
    world.dials(HostId(0), HostId(1), Dials::Refused);
    world.dials(HostId(1), HostId(0), Dials::Refused);
    world.start_all();
    world.run_for(secs(120));
    assert_eq!(world.links(), []);
    world.dials(HostId(0), HostId(1), Dials::Arrive);
    world.dials(HostId(1), HostId(0), Dials::Arrive);
    world.expect("1 link", secs(13), World::is_meshed);
}

#[test]
fn dir_03b_a_masternode_behind_a_nat_links_to_all_that_can_be_reached() {
    for nat in [0, 2, 3] {
        let mut world = World::new(seed(1), &Setup::new(null).masternodes(4).behind_nat(&[nat]));
        world.start_all();
        world.expect("6 links", secs(5), World::is_meshed);
        assert!(world.links().iter().all(|link| link.acceptor != HostId(nat)), "nobody can dial it");
        stays(&mut world);
    }
}

#[test]
fn dir_03b_two_behind_one_nat_miss_only_each_other() {
    let setup = Setup::new(null)
        .masternodes_at(&["10.0.0.1:24100", "10.0.0.2:24100", "10.0.0.2:24101", "10.0.0.3:24100"])
        .behind_nat(&[1, 2]);
    let mut world = World::new(seed(1), &setup);
    world.start_all();
    world.expect("5 links", secs(5), |world| world.links().len() == 5);
    world.run_for(secs(40));
    let (began, links) = (world.now(), world.links());
    world.run_for(secs(600));
    assert_eq!(world.links(), links);
    // Back-off up to 10 s a dial and 5 s until each is given up; the passive side knocks and falls back too.
    let dials = world.dials_since(began);
    assert!(dials <= 2 * 600 / 10, "{dials} dials in ten minutes");
}

#[test]
fn dir_04_without_an_own_address_every_link_is_made_and_made_again() {
    for others in [1, 4] {
        let setup = Setup::new(null).masternodes(others).observers(1).config(move |host, config| {
            if host.0 == others {
                config.advertised = None;
            }
        });
        let mut world = World::new(seed(1), &setup);
        let (nameless, full) = (HostId(others), others * (others + 1) / 2);
        world.start_all();
        world.expect("full degree", secs(3), |world| world.links().len() == full);
        for _ in 0..5 {
            world.run_for(secs(40));
            for other in (0..others).map(HostId) {
                world.reset_between(nameless, other);
            }
            world.run_for(Duration::from_millis(10));
            assert_eq!(world.seen(nameless).live.len(), 0);
            world.expect("full degree again", secs(3), |world| world.links().len() == full);
        }
    }
}

#[test]
fn dir_05_the_own_address_in_the_peer_list_is_never_dialed() {
    for form in ["10.0.0.1:24100", "[::ffff:10.0.0.1]:24100"] {
        let setup = Setup::new(null).masternodes(3).config(move |host, config| {
            if host.0 == 0 {
                config.bootstrap = vec![Bootstrap { addr: form.parse().unwrap(), id: None }];
            }
        });
        // That a node dials its own address breaks an invariant.
        let mut world = World::new(seed(1), &setup);
        world.start_all();
        world.expect("3 links", secs(1), World::is_meshed);
        let reply =
            world.ask(HostId(0), Request::Connect { addr: "10.0.0.1:24100".parse().unwrap(), id: None });
        assert!(matches!(reply, Reply::IsSelf), "{reply:?}");
        stays(&mut world);
    }
}

#[test]
fn dir_05_an_unknown_own_address_is_learned_from_the_first_dial() {
    let setup = Setup::new(null).masternodes(2).observers(1).config(|host, config| {
        if host.0 == 2 {
            let own = config.advertised.take().unwrap();
            let others = config.registry.entries().iter().map(|entry| entry.addr);
            config.bootstrap =
                others.chain([own]).map(|addr| Bootstrap { addr, id: None }).collect::<Vec<_>>();
        }
    });
    let mut world = World::new(seed(1), &setup);
    world.start_all();
    world.expect("3 links", secs(3), |world| world.links().len() == 3);
    world.run_for(secs(600));
    let seen = world.seen(HostId(2));
    let own = "10.1.0.1:24100".parse().unwrap();
    let dials = seen.dials.iter().filter(|(_, addr)| *addr == own).count();
    assert_eq!(dials, 1, "once, and never again");
    let learned = |event: &Event| matches!(event, Event::Warning(Warning::OwnAddress(addr)) if *addr == own);
    assert_eq!(seen.count(learned), 1);
    assert_eq!(world.links().len(), 3);
}

#[test]
fn a_dial_that_expects_another_node_moves_no_link() {
    // Host 0 believes that a node which it never met is at the observer's address: the ordinals that it counts
    // up are that node's.
    let addr = "10.1.0.1:24100".parse().unwrap();
    let wrong = NodeId([0xab; 32]);
    let setup = Setup::new(null).masternodes(2).observers(1).config(move |host, config| {
        if host.0 == 0 {
            config.bootstrap = vec![Bootstrap { addr, id: Some(wrong) }];
        }
    });
    let mut world = World::new(seed(1), &setup);
    world.start_all();
    world.expect("3 links", secs(3), |world| world.links().len() == 3);
    let links = world.links();
    for _ in 0..20 {
        world.ask(HostId(0), Request::Connect { addr, id: Some(wrong) });
        world.run_for(secs(30));
        assert_eq!(world.links(), links);
    }
    let refused = |event: &Event| matches!(event, Event::DialFailed { reason, .. } if *reason == CloseReason::WrongIdentity);
    assert!(world.seen(HostId(0)).count(refused) >= 20);
}
