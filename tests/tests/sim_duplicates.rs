//! Two connections of one pair, half-open ones, ghosts: field failures DUP-01 to DUP-06.

use std::time::Duration;

use timed_core::{CloseReason, Event, Reply, Request};
use timed_tests::sim::{Dials, HostId, Packets, Profile, Setup, World, null, seed, seeds};

const A: HostId = HostId(0);
const B: HostId = HostId(1);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// 20 ms each way, no jitter: a round trip is 40 ms.
fn measured() -> Profile {
    let mut profile = Profile::lan();
    profile.latency = (ms(20), ms(20));
    profile.jitter = Duration::ZERO;
    profile.wake_delay = Duration::ZERO;
    profile
}

#[test]
fn dup_01a_simultaneous_dials_at_any_offset_end_with_the_same_link_at_both_ends() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(2).profile(measured()));
    for offset in (0..=160).step_by(5) {
        for (first, second) in [(A, B), (B, A)] {
            world.reset_between(A, B);
            world.run_for(ms(1));
            let began = world.now();
            world.connect(first, second);
            world.run_for(ms(offset));
            world.connect(second, first);
            let took = world.expect("a link", secs(1), World::is_meshed);
            assert!(took <= ms(200), "offset {offset} ms: {took:?}");
            // What overlaps is settled within a round trip or two.
            world.run_for(ms(400));
            let link = world.link(A, B).expect("a link");
            assert_eq!(world.established(), 1, "offset {offset} ms");
            if offset < 20 {
                // The Hellos cross: the canonical one stays.
                assert_eq!(link.dialer, A, "offset {offset} ms");
            }
            for host in [A, B] {
                for (_, reason) in world.seen(host).downs_since(began) {
                    assert_eq!(reason, CloseReason::Duplicate, "offset {offset} ms");
                }
                assert!(world.seen(host).dials_since(began) <= 1, "a duplicate is not dialed again");
            }
            world.run_for(secs(1));
        }
    }
}

#[test]
fn dup_01a_whatever_is_held_up_on_the_way_one_link_is_left() {
    for seed in seeds(30) {
        let mut world = World::standing(seed, &Setup::new(null).masternodes(2).profile(measured()));
        for round in 0..40u64 {
            world.reset_between(A, B);
            world.run_for(ms(1));
            world.connect(A, B);
            world.run_for(ms(round * 3));
            world.connect(B, A);
            // A hole in one direction or both, for a while, at any point of the two handshakes.
            let hole = |world: &mut World, packets| {
                if round % 3 != 1 {
                    world.packets(A, B, packets);
                }
                if round % 3 != 0 {
                    world.packets(B, A, packets);
                }
            };
            world.run_for(ms((round * 37 + seed * 11) % 160));
            hole(&mut world, Packets::Vanish);
            world.run_for(ms(100 + 400 * (round % 7)));
            hole(&mut world, Packets::Arrive);
            world.expect("one link", secs(12), World::is_meshed);
            world.run_for(secs(20));
            assert!(world.is_meshed() && world.established() == 1, "seed {seed}, round {round}");
        }
    }
}

#[test]
fn dup_01b_a_dial_during_a_slow_inbound_handshake_does_no_harm() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(2));
    for slow in [(A, B), (B, A)] {
        for pause in [100, 1_000, 3_000] {
            world.set_latency(slow.0, slow.1, ms(900));
            world.reset_between(A, B);
            world.run_for(ms(1));
            world.connect(B, A);
            world.run_for(ms(pause));
            world.connect(A, B);
            world.expect("one link", secs(9), World::is_meshed);
            world.run_for(secs(10));
            assert!(world.is_meshed() && world.established() == 1);
            world.set_latency(slow.0, slow.1, ms(1));
            world.run_for(secs(30));
        }
    }
}

#[test]
fn dup_03_the_late_end_of_a_ghost_changes_nothing() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(3));
    for victim in [HostId(0), HostId(2)] {
        // The others' kernels keep the old connection: its RST cannot get through until long after.
        world.sever_between(victim, B);
        world.cut_power(victim);
        world.start(victim);
        world.expect("the new link", secs(3), World::is_meshed);
        let (began, links) = (world.now(), world.links());
        world.run_for(secs(200));
        assert_eq!(world.links(), links);
        assert_eq!(world.dials_since(began), 0);
    }
}

#[test]
fn dup_01b_a_knock_that_crosses_a_dial_takes_no_link_down() {
    // Jitter of three times the latency: the knock's Hello may come after the dial that it asks for.
    let mut profile = measured();
    profile.jitter = ms(60);
    for seed in seeds(60) {
        for offset in (0..=60).step_by(12) {
            let setup = Setup::new(null).masternodes(2).profile(profile.clone());
            let mut world = World::standing(seed, &setup);
            world.kill(B);
            world.dials(A, B, Dials::Refused);
            world.run_for(secs(60));
            world.start(B);
            world.expect("B knocks", secs(2), |world| world.seen(B).dials.len() == 1);
            world.dials(A, B, Dials::Arrive);
            let began = world.now();
            world.run_for(ms(offset));
            world.connect(A, B);
            world.expect("a link", secs(1), World::is_meshed);
            world.run_for(secs(5));
            assert!(world.is_meshed());
            for host in [A, B] {
                assert_eq!(world.seen(host).downs_since(began), [], "seed {seed}, offset {offset} ms");
            }
            let ups = |event: &&Event| matches!(event, Event::LinkUp { .. });
            assert_eq!(world.seen(B).facts_since(began).filter(ups).count(), 1);
        }
    }
}

#[test]
fn dup_04a_a_newer_start_replaces_the_ghost_in_every_state_of_the_other() {
    // Whatever the other is doing about the dead peer when it comes back: still believing, backing off, dialing.
    for down in (0..60).map(|step| ms(step * 531)) {
        for victim in [A, B] {
            let mut world = World::standing(seed(3), &Setup::new(null).masternodes(2));
            world.cut_power(victim);
            world.run_for(down);
            world.start(victim);
            world.expect("a usable link", secs(3), World::is_meshed);
            world.run_for(secs(25));
            assert!(world.is_meshed() && world.established() == 1, "down for {down:?}");
        }
    }
}

#[test]
fn dup_04a_the_half_open_link_is_replaced_at_once_when_the_ghost_is_dialed_again() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(2));
    world.sever_between(A, B);
    world.cut_power(A);
    world.start(A);
    world.expect("A, the dialer, is back", secs(1), World::is_meshed);
    let ghost = |event: &Event| {
        matches!(event, Event::LinkDown { reason: CloseReason::Ghost | CloseReason::Duplicate, .. })
    };
    assert_eq!(world.seen(B).count(ghost), 1, "B replaced its ghost, it did not wait for silence");
}

#[test]
fn dup_04b_a_pending_dial_does_not_refuse_the_peers_own() {
    let mut world = World::new(seed(1), &Setup::new(null).masternodes(2));
    world.dials(A, B, Dials::Vanish);
    world.start_all();
    world.run_for(ms(400));
    assert_eq!(world.seen(A).dials.len(), 1, "A's dial is under way");
    world.connect(B, A);
    world.expect("B's dial is taken", secs(1), World::is_meshed);
    world.run_for(secs(60));
    assert!(world.is_meshed());
}

#[test]
fn dup_05a_links_killed_at_any_moment_come_back_within_one_back_off() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(3).profile(measured()));
    for step in 0..120u64 {
        world.reset_between(A, B);
        world.run_for(ms(500 + step * 2));
        world.reset_between(A, B);
        world.run_for(ms(1));
        world.expect("the link is back", secs(4), World::is_meshed);
        world.run_for(secs(35));
    }
}

#[test]
fn dup_05b_a_slow_handshake_is_not_cut_before_its_time() {
    let mut world = World::new(seed(1), &Setup::new(null).masternodes(2).profile(measured()));
    // Connect takes one round trip; the handshake two more: 4.4 s, of 5 s.
    world.set_latency(A, B, ms(1_100));
    world.set_latency(B, A, ms(1_100));
    world.start_all();
    let took = world.expect("a link", secs(9), World::is_meshed);
    println!("after {took:?}");
    let (began, links) = (world.now(), world.links());
    world.run_for(secs(60));
    assert_eq!((world.links(), world.dials_since(began)), (links, 0));
}

#[test]
fn dup_06a_every_answer_counts_the_same_peers() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(5));
    world.cut_power(HostId(3));
    world.run_for(secs(40));
    for host in [0, 1, 2, 4].map(HostId) {
        let below = [0, 1, 2].iter().filter(|other| **other < host.0).count();
        let Reply::Peers(peers) = world.ask(host, Request::Peers) else { panic!("no peers") };
        let Reply::Status(status) = world.ask(host, Request::Status) else { panic!("no status") };
        let Reply::Matrix(matrix) = world.ask(host, Request::Matrix) else { panic!("no matrix") };
        let links = status.summary.links;
        assert_eq!((peers.len(), status.summary.connected_peers, links.up, links.expected), (3, 3, 3, 4));
        assert_eq!((links.inbound, links.outbound, links.duplicates), (below, 3 - below, 0), "{host}");
        assert_eq!(status.summary.active_masternodes, 4);
        assert_eq!(matrix.verdict(), "6/10 links, 0 duplicate, 0 split, 0 one-sided, 0 wrong direction");
        assert_eq!(world.seen(host).live.len(), 3);
    }
}
