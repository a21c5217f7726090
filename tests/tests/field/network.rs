//! Whole networks in virtual time: DIR-02b, DIR-06b, DUP-06c, IO-01a, IO-03b, LIVE-01.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use timed_core::crypto::Provider;
use timed_core::{DialedBecause, Event, Height, PeerRef, QuorumLoss, Reply, Request};
use timed_tests::overheard::{Overheard, Overhearing};
use timed_tests::sim::{Dials, HostId, NodeKey, Packets, Profile, Setup, World, null, seed, seeds};

use super::secs;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const A: HostId = HostId(0);
const B: HostId = HostId(1);

/// Nothing moves any more for ten minutes.
fn stands(world: &mut World) {
    world.run_for(secs(40));
    let (began, links) = (world.now(), world.links());
    world.run_for(secs(600));
    assert_eq!(world.links(), links);
    assert_eq!(world.dials_since(began), 0);
}

/// A node of a version in which the higher address dials: it dials those below it at its start, and those above it
/// never. Here its dials upwards vanish and an order takes the place of its own.
#[test]
fn dir_02b_every_mix_of_opposite_rules_meshes_and_may_be_rolled_through() {
    const SIZE: usize = 4;
    let opposite = |world: &mut World, host: usize, set: bool| {
        for above in host + 1..SIZE {
            world.dials(HostId(host), HostId(above), if set { Dials::Vanish } else { Dials::Arrive });
        }
    };
    for mix in 0..1usize << SIZE {
        let old = |host: usize| mix >> host & 1 == 1;
        let mut world = World::new(seed(1), &Setup::new(null).masternodes(SIZE));
        for host in (0..SIZE).filter(|host| old(*host)) {
            opposite(&mut world, host, true);
        }
        world.start_all();
        for host in (0..SIZE).filter(|host| old(*host)) {
            for below in 0..host {
                world.connect(HostId(host), HostId(below));
            }
        }
        // Where neither dials the passive side knocks, 5 s ± 25 %, and 2 s later dials.
        world.expect("6 links", secs(9), World::is_meshed);
        world.run_for(secs(10));
        assert!(world.is_meshed() && world.established() == 6, "mix {mix:04b}: one link a pair");
        stands(&mut world);
        // Upgraded one by one: each is back before the next, and nobody else's link moves.
        for host in (0..SIZE).filter(|host| old(*host)) {
            let others = |world: &World| -> Vec<_> {
                let not = |link: &timed_tests::sim::Link| link.dialer.0 != host && link.acceptor.0 != host;
                world.links().into_iter().filter(not).collect()
            };
            let before = others(&world);
            world.kill(HostId(host));
            opposite(&mut world, host, false);
            world.run_for(secs(1));
            world.start(HostId(host));
            world.expect("it is back", secs(9), World::is_meshed);
            assert_eq!(others(&world), before, "mix {mix:04b}");
        }
    }
}

/// The canonical dialer's dials get nowhere and neither do the passive side's: what the passive side does meanwhile
/// is a knock or a dial a step of its back-off, and none of it is taken for a success.
#[test]
fn dir_06b_waiting_for_the_dialer_is_no_success_and_no_retry() {
    let mut world = World::new(seed(1), &Setup::new(null).masternodes(2));
    for (from, to) in [(A, B), (B, A)] {
        world.dials(from, to, Dials::Refused);
    }
    world.start_all();
    let began = world.now();
    world.run_for(ms(100));
    assert_eq!(world.seen(B).dials.len(), 0, "not its turn: it waits");
    world.run_for(secs(600));
    // The longest step is 10 s; each is a knock and, 2 s later, a dial.
    let dials = world.seen(B).dials_since(began);
    assert!((40..=2 * 600 / 8).contains(&dials), "{dials} in ten minutes");
    let times: Vec<u64> = world.seen(B).dials.iter().map(|(at, _)| at.0 / 1_000_000).collect();
    let late = &times[times.len() / 2..];
    for pair in late.chunks_exact(2).collect::<Vec<_>>().windows(2) {
        let step = pair[1][0] - pair[0][0];
        assert!(step >= 7_500, "a step of {step} ms: the back-off was reset");
    }
}

/// Blocks, heartbeats, transactions, exchange of addresses, catching up: for an hour everything goes over the one
/// socket of each pair.
#[test]
fn dup_06c_an_hour_of_everything_needs_one_socket_a_pair() {
    let setup = Setup::new(null).masternodes(4).observers(1).chain(secs(10));
    let mut world = World::new(seed(1), &setup);
    world.start_all();
    world.expect("10 links", secs(5), |world| world.links().len() == 10);
    world.run_for(secs(120));
    let (began, links) = (world.now(), world.links());
    for minute in 0..60u8 {
        let transaction = Bytes::from(vec![minute; 200]);
        let host = HostId(usize::from(minute) % 5);
        let taken = world.submit(host, &transaction);
        assert!(matches!(taken, Reply::Submitted(_)), "{taken:?}");
        world.ask(host, Request::Send { to: None, payload: Bytes::from(vec![7; 5_000]) });
        for _ in 0..60 {
            world.run_for(secs(1));
            assert_eq!(world.connections(), 10, "{}", world.describe());
        }
    }
    assert_eq!((world.links(), world.dials_since(began)), (links, 0));
    assert!(world.chain_height() >= Height(365), "{}", world.chain_height());
    // Who has missed blocks asks for them over the links that it has anyway.
    world.kill(HostId(2));
    world.run_for(secs(300));
    world.start(HostId(2));
    let back = |world: &World| world.height(HostId(2)).0 + 1 >= world.chain_height().0;
    world.expect("it has caught up", secs(30), |world| world.links().len() == 10 && back(world));
    let began = world.now();
    world.run_for(secs(60));
    assert_eq!((world.connections(), world.dials_since(began)), (10, 0));
}

/// The round trip to a peer, as a node measures it.
fn rtt(world: &mut World, at: HostId, to: HostId) -> Option<Duration> {
    let id = world.host(to).node_id;
    let Reply::Peers(peers) = world.ask(at, Request::Peers) else { panic!("no peers") };
    peers.iter().find(|peer| peer.node == id)?.rtt
}

/// Forty peers come back at one instant while another one fills its link with what takes work: nobody else's pings
/// wait for either.
#[test]
fn io_01a_one_peers_load_and_a_crowd_that_reconnects_delay_no_other_link() {
    const CROWD: usize = 40;
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(CROWD + 3));
    let (busy, quiet) = (HostId(1), HostId(2));
    let before = rtt(&mut world, A, quiet).expect("measured");
    let crowd: Vec<HostId> = (3..CROWD + 3).map(HostId).collect();
    for host in &crowd {
        world.kill(*host);
    }
    world.run_for(secs(3));
    for host in &crowd {
        world.start(*host);
    }
    let began = world.now();
    for _ in 0..200 {
        let to = Some(world.host(A).node_id);
        world.ask(busy, Request::Send { to, payload: Bytes::from(vec![7; 60_000]) });
        world.run_for(ms(50));
        let now = rtt(&mut world, A, quiet).expect("measured");
        assert!(now < before + ms(100), "{now:?}, {before:?} before");
    }
    assert!(world.is_meshed(), "{}", world.describe());
    for host in [A, busy, quiet] {
        let kept: Vec<_> = [A, busy, quiet].iter().map(|other| world.host(*other).node_id).collect();
        let lost = world.seen(host).downs_since(began);
        assert!(lost.iter().all(|(peer, _)| !kept.contains(peer)), "{host}: {lost:?}");
    }
}

/// Whoever dials, both ends know at the first instant of a link who the other is, what it is and how far its chain
/// goes: nothing of it was announced once and missed.
#[test]
fn io_03b_a_fresh_link_tells_both_ends_the_same_of_each_other() {
    for seed in seeds(3) {
        for (down, dials) in [(A, B), (B, A)] {
            let mut world = World::new(seed, &Setup::new(null).masternodes(4).observers(1).chain(secs(1)));
            world.start_all();
            world.expect("10 links", secs(5), |world| world.links().len() == 10);
            world.run_for(secs(30));
            world.kill(down);
            world.run_for(secs(40));
            // The one that is to dial is the only one that can.
            world.dials(down, dials, Dials::Refused);
            let stood = world.height(dials);
            world.start(down);
            world.expect("the link", secs(15), |world| world.link(down, dials).is_some());
            assert_eq!(world.link(down, dials).unwrap().dialer, dials);
            for (at, other) in [(down, dials), (dials, down)] {
                let Reply::Peers(peers) = world.ask(at, Request::Peers) else { panic!("no peers") };
                let (id, addr) = (world.host(other).node_id, world.host(other).config.advertised);
                let known = peers.into_iter().find(|peer| peer.node == id).expect("a live peer");
                let index = world.host(at).config.registry.index_of(&id);
                assert_eq!((known.masternode, known.advertised), (index, addr));
                let least = if other == dials { stood } else { Height(25) };
                assert!(known.height >= least, "{at} has heard of {} of {other}", known.height);
            }
            let back = |world: &World| world.height(down).0 + 1 >= world.chain_height().0;
            world.expect("it has caught up", secs(5), back);
            // And all have the same active set, whichever way their links were made.
            world.run_for(secs(12));
            for host in world.ids() {
                assert_eq!(world.seen(host).summary.unwrap().active_masternodes, 4, "{host}");
            }
        }
    }
}

#[test]
fn live_01a_an_idle_pair_has_no_time_out_in_an_hour_whoever_dialed() {
    for dialer in [A, B] {
        let mut world = World::new(seed(1), &Setup::new(null).masternodes(2).profile(Profile::internet()));
        let other = HostId(1 - dialer.0);
        world.dials(other, dialer, Dials::Refused);
        world.start_all();
        world.expect("a link", secs(9), World::is_meshed);
        let link = world.link(A, B).unwrap();
        let because = if dialer == A { DialedBecause::Canonical } else { DialedBecause::Fallback };
        assert_eq!((link.dialer, link.because), (dialer, because));
        world.run_for(secs(3600));
        assert_eq!(world.link(A, B), Some(link));
        for host in [A, B] {
            let downs = world.seen(host).count(|event| matches!(event, Event::LinkDown { .. }));
            assert_eq!(downs, 0, "{host}");
            assert!(rtt(&mut world, host, HostId(1 - host.0)).is_some(), "{host}: pongs arrive");
        }
    }
}

thread_local!(static OVERHEARD: Overheard = Overheard::default());

fn overheard(key: &NodeKey) -> Box<dyn Provider> {
    Box::new(Overhearing::new(null(key), OVERHEARD.with(Overheard::clone)))
}

/// Every kind of message there is, from the dialer of a link to its acceptor and back: in an hour of blocks with
/// losses, crashes and an observer that looks for peers.
#[test]
fn live_01b_every_kind_there_is_goes_both_ways() {
    let setup = Setup::new(overheard).masternodes(4).observers(2).chain(secs(1));
    let mut world = World::new(seed(1), &setup);
    world.start_all();
    world.expect("15 links", secs(10), |world| world.links().len() == 15);
    for round in 0..120u8 {
        let host = HostId(usize::from(round) % 6);
        world.post(host, Request::Submit(Bytes::from(vec![round; 30_000])));
        world.ask(host, Request::Send { to: None, payload: Bytes::from_static(b"datagram") });
        world.reset_between(HostId(usize::from(round) % 4), HostId(usize::from(round / 4) % 4));
        // Nothing gets through from some moment of a slot on: between prevotes and precommits a block is locked,
        // and proposed again.
        let into = Duration::from_nanos(world.now().0 % 1_000_000_000);
        world.run_for(secs(1) - into + Duration::from_micros(u64::from(round) * 250));
        for host in (0..4).map(HostId) {
            world.isolate(host, Packets::Vanish);
        }
        world.run_for(ms(1_300));
        for host in (0..4).map(HostId) {
            world.isolate(host, Packets::Arrive);
        }
        world.run_for(secs(8));
        if round % 10 == 9 {
            let order = |lasts| Request::Drain { lasts, loss: QuorumLoss::Accepted };
            assert!(matches!(world.ask(host, order(secs(60))), Reply::Drain(_)));
            world.run_for(secs(2));
            assert!(matches!(world.ask(host, Request::Undrain), Reply::Drain(_)));
        } else if round % 10 == 5 {
            world.kill(host);
            world.run_for(secs(10));
            world.start(host);
        } else if round % 10 == 0 {
            world.stop(host);
            world.run_for(secs(3));
            world.start(host);
        }
        world.run_for(secs(10));
    }
    assert_eq!(OVERHEARD.with(Overheard::missing), []);
}

/// The other end of an address is named the same whatever text it came from.
#[test]
fn dir_07a_four_texts_of_one_address_are_one_peer() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(2));
    let id = world.host(B).node_id;
    let own: SocketAddr = world.host(B).config.advertised.unwrap().socket();
    let texts = [format!("{own}"), format!("[::ffff:{}]:{}", own.ip(), own.port())];
    for text in texts {
        let why = world.ask(A, Request::Why(PeerRef::Addr(text.parse().unwrap())));
        let Reply::Why(why) = why else { panic!("{text}: {why:?}") };
        assert_eq!((why.peer, why.decision), (Some(id), "connected"), "{text}");
    }
}
