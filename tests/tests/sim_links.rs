//! Losing links and load on links: field failures HS, LIVE, IO, BAN, REC and HB that need no blocks.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use timed_core::{Activity, CloseReason, ClosedBy, Event, GenesisHash, NetworkName, PeerRef, Reply, Request};
use timed_tests::sim::{Dials, HostId, Packets, Profile, Setup, TcpId, World, null, seed};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn addr(world: &World, host: usize) -> SocketAddr {
    world.host(HostId(host)).config.advertised.expect("an address").socket()
}

/// All links that stand go on to do so, and nobody dials, for a while.
fn undisturbed(world: &mut World, time: Duration) {
    let (began, links) = (world.now(), world.links());
    world.run_for(time);
    assert_eq!(world.links(), links);
    assert_eq!(world.dials_since(began), 0);
}

// Unauthenticated load.

#[test]
fn hs_04_a_thousand_silent_connects_a_second_harm_nobody() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(4));
    let links = world.links();
    let strangers: Vec<HostId> =
        (0..50).map(|last| world.add_stranger(IpAddr::from([203, 0, 113, last]))).collect();
    let target = addr(&world, 1);
    let mut open: VecDeque<TcpId> = VecDeque::new();
    for round in 0..20_000u64 {
        let stranger = strangers[usize::try_from(round % 50).unwrap()];
        let tcp = world.raw_dial(stranger, target);
        open.push_back(tcp);
        if open.len() > 6_000 {
            world.raw_close(open.pop_front().unwrap());
        }
        world.run_for(ms(1));
        // One byte of a preamble now and then keeps nothing alive.
        if round % 7 == 0 {
            world.raw_write(tcp, b"T");
        }
        assert!(world.held(HostId(1)) <= 64 + 3 + 1, "{} connections", world.held(HostId(1)));
        if round == 10_000 {
            world.kill(HostId(2));
            world.start(HostId(2));
        }
        if round == 14_000 {
            assert!(world.is_meshed(), "a masternode gets in through the crowd");
        }
    }
    let kept = |link: &&timed_tests::sim::Link| link.dialer != HostId(2) && link.acceptor != HostId(2);
    let before: Vec<_> = links.iter().filter(kept).copied().collect();
    let after = world.links();
    assert_eq!(after.iter().filter(kept).copied().collect::<Vec<_>>(), before);
    world.run_for(secs(10));
    assert_eq!(world.held(HostId(1)), 3, "all gone after the handshake time-out");
}

#[test]
fn hs_04_a_slow_handshake_from_a_registered_address_is_not_pushed_out_by_a_crowd() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(3));
    // Its handshake takes 0.6 s; a stranger lasts 48 ms among 1,000 a second.
    world.kill(HostId(2));
    world.set_latency(HostId(1), HostId(2), ms(100));
    world.set_latency(HostId(2), HostId(1), ms(100));
    // It must dial: the other cannot.
    world.dials(HostId(1), HostId(2), Dials::Vanish);
    // As many prefixes as connections: none holds more than another.
    let strangers: Vec<HostId> =
        (0..200).map(|third| world.add_stranger(IpAddr::from([198, 18, third, 1]))).collect();
    let target = addr(&world, 1);
    for round in 0..8_000 {
        world.raw_dial(strangers[round % 200], target);
        world.run_for(ms(1));
        if round == 1_000 {
            world.start(HostId(2));
        }
    }
    assert!(world.is_meshed(), "{}", world.describe());
}

#[test]
fn hs_04_the_handshake_deadline_is_not_extended_by_single_bytes() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(2));
    let stranger = world.add_stranger(IpAddr::from([203, 0, 113, 1]));
    let target = addr(&world, 0);
    let tcp = world.raw_dial(stranger, target);
    for _ in 0..49 {
        world.run_for(ms(100));
        world.raw_write(tcp, &[0]);
        if world.raw_read(tcp).is_none() {
            break;
        }
    }
    world.run_for(ms(200));
    assert_eq!(world.raw_read(tcp), None, "closed within 5 s");
}

#[test]
fn hs_02b_wrong_network_and_wrong_genesis_are_told_and_harm_nobody() {
    for wrong_network in [true, false] {
        let setup = Setup::new(null).masternodes(4).config(move |host, config| {
            if host.0 == 1 {
                if wrong_network {
                    config.network = NetworkName::new("other").unwrap();
                } else {
                    config.genesis = GenesisHash([9; 32]);
                }
            }
        });
        let expected = if wrong_network { CloseReason::WrongNetwork } else { CloseReason::WrongGenesis };
        let mut world = World::new(seed(1), &setup);
        world.start_all();
        world.run_for(secs(60));
        assert_eq!(world.links().len(), 3, "{}", world.describe());
        for host in (0..4).map(HostId) {
            let told = |event: &Event| match event {
                Event::DialFailed { reason, .. } | Event::InboundFailed { reason, .. } => *reason == expected,
                _ => false,
            };
            assert!(world.seen(host).count(told) > 0, "{host} is told {expected}");
        }
        // It settles: the incompatible are dialed less and less, up to every ten minutes.
        world.run_for(secs(3600));
        let began = world.now();
        world.run_for(secs(3600));
        let dials = world.dials_since(began);
        println!("{expected}: {dials} dials an hour");
        assert!(dials <= 3 * 2 * 12, "{dials} dials an hour");
        assert_eq!(world.links().len(), 3);
    }
}

#[test]
fn ban_05a_a_node_with_a_wrong_setting_is_taken_in_once_it_is_right() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(4));
    let right = world.host(HostId(1)).config.clone();
    world.kill(HostId(1));
    world.host_mut(HostId(1)).config.genesis = GenesisHash([9; 32]);
    world.start(HostId(1));
    world.run_for(secs(3600));
    assert_eq!(world.links().len(), 3);
    world.kill(HostId(1));
    world.host_mut(HostId(1)).config = right;
    world.start(HostId(1));
    world.expect("6 links", secs(5), World::is_meshed);
}

// Load and stalls on links.

fn send(world: &mut World, from: HostId, payload: usize) -> Reply {
    world.ask(from, Request::Send { to: None, payload: Bytes::from(vec![7; payload]) })
}

fn received(world: &World, host: HostId) -> usize {
    world.seen(host).count(|event| matches!(event, Event::Datagram { .. }))
}

#[test]
fn io_01b_a_peer_that_does_not_read_slows_nobody_else() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(5));
    let began = world.now();
    world.freeze(HostId(2));
    let mut sent = 0;
    for _ in 0..200 {
        send(&mut world, HostId(0), 20_000);
        sent += 1;
        world.run_for(ms(20));
        for host in [1, 3, 4].map(HostId) {
            assert_eq!(received(&world, host), sent, "{host} has everything within 20 ms");
        }
    }
    let stalled = world.host(HostId(2)).node_id;
    world.run_for(secs(12));
    let downs = world.seen(HostId(0)).downs_since(began);
    assert!(
        matches!(downs[..], [(peer, CloseReason::Slow | CloseReason::Silent)] if peer == stalled),
        "{downs:?}"
    );
    world.thaw(HostId(2));
    world.expect("it is back", secs(10), World::is_meshed);
}

#[test]
fn io_02a_what_waits_for_a_stalled_peer_is_bounded() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(2));
    let bound = world.host(HostId(0)).config.limits.relay_lane;
    world.freeze(HostId(1));
    let mut most = 0;
    for _ in 0..160 {
        send(&mut world, HostId(0), 60_000);
        world.run_for(ms(25));
        let Reply::Peers(peers) = world.ask(HostId(0), Request::Peers) else { panic!("no peers") };
        most = peers.iter().map(|peer| peer.queued_bytes).max().unwrap_or(0).max(most);
    }
    println!("at most {most} bytes waited, of {bound}");
    assert!(most > bound / 2, "the lane filled");
    assert!(most <= bound + 64 * 1024, "{most} bytes waited");
}

#[test]
fn io_02b_a_burst_beyond_the_lane_loses_messages_and_not_the_link() {
    let mut profile = Profile::lan();
    profile.bandwidth = Some(1_000_000);
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(2).profile(profile));
    let links = world.links();
    for _ in 0..60 {
        send(&mut world, HostId(0), 60_000);
    }
    world.run_for(secs(10));
    assert_eq!(world.links(), links);
    let got = received(&world, HostId(1));
    assert!((4..60).contains(&got), "{got} of 60 arrived");
    // And the lane is free again.
    send(&mut world, HostId(0), 100);
    world.run_for(secs(1));
    assert_eq!(received(&world, HostId(1)), got + 1);
}

#[test]
fn io_03a_messages_go_both_ways_whoever_dialed() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(4));
    for from in (0..4).map(HostId) {
        let reply = send(&mut world, from, 1_000);
        assert!(matches!(reply, Reply::Sent(3)), "{reply:?}");
        world.run_for(ms(100));
    }
    for host in (0..4).map(HostId) {
        assert_eq!(received(&world, host), 3, "{host}");
    }
}

#[test]
fn io_03c_heartbeats_arrive_at_the_all_inbound_and_the_all_outbound_node() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(4));
    let before: Vec<u64> = world.ids().iter().map(|host| world.seen(*host).heartbeats).collect();
    world.run_for(secs(100));
    for (host, before) in world.ids().into_iter().zip(before) {
        let heard = world.seen(host).heartbeats - before;
        assert!((27..=33).contains(&heard), "{host}: {heard} heartbeats in ten intervals of three peers");
    }
}

#[test]
fn frame_01a_bytes_shredded_at_every_place_are_the_same_messages() {
    for read_chunk in [1, 2, 3, 7, 100] {
        let mut profile = Profile::lan();
        profile.cut = timed_tests::sim::Cut::Random(40);
        profile.read_chunk = read_chunk;
        let mut world = World::standing(seed(1), &Setup::new(null).masternodes(3).profile(profile));
        let links = world.links();
        for size in [0, 1, 15, 16, 17, 1_000, 16_383, 16_384, 40_000] {
            send(&mut world, HostId(1), size);
            send(&mut world, HostId(0), size);
            world.run_for(ms(500));
        }
        assert_eq!(received(&world, HostId(2)), 18, "read by {read_chunk}");
        assert_eq!(world.links(), links);
    }
}

// Reconnecting.

#[test]
fn rec_01a_dials_to_a_dead_peer_follow_one_back_off() {
    for lose in [World::kill as fn(&mut World, HostId), World::cut_power] {
        let mut world = World::standing(seed(1), &Setup::new(null).masternodes(3));
        lose(&mut world, HostId(1));
        world.run_for(secs(20));
        let began = world.now();
        world.run_for(secs(600));
        // A step of the back-off is a dial; on the passive side a knock and the dial that follows it.
        for (host, a_step) in [(0, 1), (2, 2)] {
            let dials = world.seen(HostId(host)).dials_since(began);
            println!("n{host}: {dials} dials in ten minutes");
            assert!((25..=85 * a_step).contains(&dials), "n{host}: {dials} dials in ten minutes");
        }
    }
}

#[test]
fn rec_03_fifty_nodes_restarted_within_a_second_are_back_in_ten() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(50));
    let ids = world.ids();
    for host in &ids {
        world.kill(*host);
        let host = *host;
        world.after(ms(17 * host.0 as u64), move |world| world.start(host));
    }
    world.run_for(secs(1));
    let took = world.expect("1,225 links", secs(10), World::is_meshed);
    println!("1,225 links {took:?} after the last start");
    undisturbed(&mut world, secs(60));
}

#[test]
fn rec_04a_every_single_link_that_is_cut_comes_back() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(4));
    for a in (0..4).map(HostId) {
        for b in (a.0 + 1..4).map(HostId) {
            world.reset_between(a, b);
            world.run_for(ms(1));
            world.expect("reset: it is back", secs(2), World::is_meshed);
            world.run_for(secs(35));
            world.sever_between(a, b);
            // Silence is noticed after 15 s; then the dialer dials.
            world.run_for(secs(1));
            world.expect("forgotten on the way: it is back", secs(18), |world| {
                world.is_meshed() && world.established() == 6
            });
            world.run_for(secs(35));
        }
    }
    assert_eq!(world.wrong_direction(), []);
}

#[test]
fn ban_01c_after_ten_minutes_asleep_there_is_no_burst() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(4));
    // The whole network sleeps, as virtual machines of one host do.
    for host in world.ids() {
        world.freeze(host);
    }
    world.run_for(secs(600));
    let before: Vec<(u64, usize)> =
        world.ids().iter().map(|id| (world.seen(*id).bytes_sent, world.seen(*id).dials.len())).collect();
    for host in world.ids() {
        world.thaw(host);
    }
    world.run_for(secs(1));
    for (host, (bytes, dials)) in world.ids().into_iter().zip(before) {
        let seen = world.seen(host);
        // At most a heartbeat, a ping and a pong a peer; or a new handshake.
        assert!(seen.bytes_sent - bytes < 3 * 2_000, "{host}: {} bytes", seen.bytes_sent - bytes);
        assert!(seen.dials.len() - dials <= 3, "{host}: {} dials", seen.dials.len() - dials);
    }
    world.expect("6 links", secs(20), World::is_meshed);
}

#[test]
fn ban_01c_a_clock_that_jumps_a_minute_costs_no_link_when_all_sleep() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(4));
    let links = world.links();
    for host in world.ids() {
        world.freeze(host);
    }
    world.run_for(secs(40));
    for host in world.ids() {
        world.thaw(host);
    }
    world.run_for(secs(60));
    assert_eq!(world.links(), links, "everybody forgives its own sleep");
}

#[test]
fn ban_02b_a_port_scan_from_a_masternodes_address_does_not_touch_it() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(3));
    let (links, target) = (world.links(), addr(&world, 1));
    // Another process behind n2's address.
    let scanner = world.add_stranger(addr(&world, 2).ip());
    for round in 0..200 {
        let tcp = world.raw_dial(scanner, target);
        world.run_for(ms(20));
        if round % 2 == 0 {
            world.raw_write(tcp, b"GET / HTTP/1.1\r\nHost: 10.0.0.2\r\n\r\n");
        }
        world.run_for(ms(20));
        world.raw_close(tcp);
    }
    assert_eq!(world.links(), links);
    let inactive = |event: &Event| matches!(event, Event::Activity { activity: Activity::Inactive, .. });
    for host in (0..3).map(HostId) {
        assert_eq!(world.seen(host).count(inactive), 0);
    }
    // And n2's own handshakes are taken as ever.
    world.kill(HostId(2));
    world.start(HostId(2));
    world.expect("it is back", secs(3), World::is_meshed);
}

#[test]
fn ban_04_nodes_of_one_prefix_restarted_together_or_again_and_again_are_taken_back() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(7));
    for host in (1..6).map(HostId) {
        world.cut_power(host);
    }
    world.run_for(secs(30));
    for host in (1..6).map(HostId) {
        world.start(host);
    }
    world.expect("21 links", secs(4), World::is_meshed);
    for _ in 0..10 {
        world.run_for(secs(3));
        world.kill(HostId(3));
        world.run_for(secs(1));
        world.start(HostId(3));
        world.expect("21 links", secs(4), World::is_meshed);
    }
}

// Heartbeats where the mesh is not full.

fn all_active(world: &World) -> bool {
    let count = world.ids().len();
    world
        .ids()
        .iter()
        .all(|host| world.seen(*host).summary.is_some_and(|summary| summary.active_masternodes == count))
}

#[test]
fn gos_04a_heartbeats_cross_a_line_a_ring_and_a_star() {
    type Joined = fn(usize, usize) -> bool;
    let shapes: [(&str, Joined); 3] = [
        ("line", |a, b| a.abs_diff(b) == 1),
        ("ring", |a, b| a.abs_diff(b) == 1 || a.abs_diff(b) == 5),
        ("star", |a, b| a == 2 || b == 2),
    ];
    for (name, joined) in shapes {
        let mut world = World::new(seed(1), &Setup::new(null).masternodes(6));
        for a in 0..6 {
            for b in (0..6).filter(|b| *b != a && !joined(a, *b)) {
                world.dials(HostId(a), HostId(b), Dials::Refused);
            }
        }
        world.start_all();
        let took = world.expect(name, secs(30), all_active);
        println!("{name}: all active after {took:?}");
        let began = world.now();
        world.run_for(secs(300));
        assert!(all_active(&world));
        let inactive = |event: &&Event| matches!(event, Event::Activity { activity: Activity::Inactive, .. });
        for host in world.ids() {
            assert_eq!(world.seen(host).facts_since(began).filter(inactive).count(), 0, "{name}: {host}");
        }
    }
}

#[test]
fn the_matrix_of_a_third_node_tells_of_a_lost_link_within_two_seconds() {
    for phase in 0..8 {
        let mut world = World::standing(seed(1), &Setup::new(null).masternodes(3));
        world.run_for(ms(phase * 1_300));
        for (from, to) in [(0, 1), (1, 0)] {
            world.dials(HostId(from), HostId(to), Dials::Refused);
        }
        world.reset_between(HostId(0), HostId(1));
        // A change settles for half a second, and two heartbeats are a second apart at least.
        world.run_for(secs(2));
        let Reply::Matrix(matrix) = world.ask(HostId(2), Request::Matrix) else { panic!("no matrix") };
        assert_eq!(matrix.missing.len(), 1, "{}", matrix.verdict());
        assert_eq!(matrix.verdict(), "2/3 links, 0 duplicate, 0 split, 0 one-sided, 0 wrong direction");
    }
}

#[test]
fn hb_05c_a_flap_of_all_links_of_a_node_empties_no_active_set() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(5));
    let began = world.now();
    for other in [0, 1, 3, 4].map(HostId) {
        world.reset_between(HostId(2), other);
    }
    world.isolate(HostId(2), Packets::Vanish);
    world.run_for(secs(3));
    world.isolate(HostId(2), Packets::Arrive);
    world.expect("10 links", secs(13), World::is_meshed);
    for host in world.ids() {
        let inactive = |event: &&Event| matches!(event, Event::Activity { activity: Activity::Inactive, .. });
        assert_eq!(world.seen(host).facts_since(began).filter(inactive).count(), 0, "{host}");
    }
}

#[test]
fn hb_05a_a_dead_masternode_expires_on_time_whatever_the_phase() {
    for phase in 0..12 {
        let mut world = World::standing(seed(1), &Setup::new(null).masternodes(4));
        world.run_for(ms(phase * 870));
        let victim = world.host(HostId(1)).node_id;
        world.cut_power(HostId(1));
        let cut = world.now();
        let others = [0, 2, 3].map(HostId);
        let last = others.map(|host| {
            let Reply::Masternodes(list) = world.ask(host, Request::Masternodes) else { panic!("no list") };
            let heard = list.iter().find(|entry| entry.node == victim).and_then(|entry| entry.heard);
            cut.0 - u64::try_from(heard.expect("heard").as_nanos()).unwrap()
        });
        world.run_for(secs(40));
        for (host, last) in others.into_iter().zip(last) {
            let inactive = |event: &Event| matches!(event, Event::Activity { node, activity: Activity::Inactive } if *node == victim);
            let facts = &world.seen(host).facts;
            let at = facts.iter().find(|(_, event)| inactive(event)).map(|(at, _)| at.0).expect("expired");
            let due = last + 35_000_000_000;
            assert!((due..due + 10_000_000).contains(&at), "{host}: at {at}, due at {due}");
        }
    }
}

#[test]
fn hb_02a_a_restarted_masternode_is_heard_again_within_two_beats() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(4));
    world.run_for(secs(300));
    let victim = world.host(HostId(1)).node_id;
    world.cut_power(HostId(1));
    world.run_for(secs(60));
    world.start(HostId(1));
    let began = world.now();
    world.run_for(secs(20));
    for host in [0, 2, 3].map(HostId) {
        let Reply::Masternodes(list) = world.ask(host, Request::Masternodes) else { panic!("no list") };
        let entry = list.iter().find(|entry| entry.node == victim).expect("registered");
        assert_eq!(entry.activity, Activity::Active);
        let heard = entry.heard.expect("heard");
        assert!(heard < world.now().since(began), "{host}: a heartbeat of the new start");
    }
}

#[test]
fn hb_03_after_an_outage_of_everybody_all_are_active_within_two_beats() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(5));
    for host in world.ids() {
        world.cut_power(host);
    }
    world.run_for(secs(7_200));
    world.start_all();
    let took = world.expect("all active", secs(5), all_active);
    println!("all active after {took:?}");
}

#[test]
fn why_names_the_decision_on_both_sides_of_a_hold() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(2));
    let ids = [0, 1].map(|host| world.host(HostId(host)).node_id);
    let why =
        |world: &mut World, at: usize| match world.ask(HostId(at), Request::Why(PeerRef::Id(ids[1 - at]))) {
            Reply::Why(why) => why,
            other => panic!("{other:?}"),
        };
    assert_eq!(why(&mut world, 0).decision, "connected");
    world.ask(HostId(0), Request::Disconnect(PeerRef::Id(ids[1])));
    world.run_for(secs(30));
    assert_eq!(why(&mut world, 0).decision, "operator_hold");
    let there = why(&mut world, 1);
    let refused = (CloseReason::OperatorHold, ClosedBy::Peer);
    let told = there.attempts.iter().filter_map(|attempt| attempt.end).collect::<Vec<_>>();
    assert!(
        told.contains(&refused) || told.contains(&(CloseReason::OperatorDisconnect, ClosedBy::Peer)),
        "{told:?}"
    );
}
