//! Nodes that are taken down on purpose, one by one, under load: announced absences (rule L-5) in virtual time.

use std::time::Duration;

use bytes::Bytes;
use timed_core::{
    CloseReason, Drain, Event, Height, LinkCounts, Matrix, NodeId, PeerAbsence, QuorumLoss, Reply, Request,
};
use timed_tests::sim::{HostId, Setup, World, null, seed};

const INTERVAL: Duration = Duration::from_secs(1);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn network(masternodes: usize) -> World {
    let mut world = World::new(seed(1), &Setup::new(null).masternodes(masternodes).chain(INTERVAL));
    world.start_all();
    world.expect("the mesh", secs(10), World::is_meshed);
    world.run_for(secs(5));
    world
}

fn order(world: &mut World, host: HostId, lasts: Duration, loss: QuorumLoss) -> Reply {
    world.ask(host, Request::Drain { lasts, loss })
}

fn drain(world: &mut World, host: HostId, lasts: Duration) -> Drain {
    match order(world, host, lasts, QuorumLoss::Refused) {
        Reply::Drain(drain) => drain,
        other => panic!("{other:?}"),
    }
}

fn matrix(world: &mut World, host: HostId) -> Matrix {
    match world.ask(host, Request::Matrix) {
        Reply::Matrix(matrix) => *matrix,
        other => panic!("{other:?}"),
    }
}

fn links(world: &mut World, host: HostId) -> LinkCounts {
    match world.ask(host, Request::Status) {
        Reply::Status(status) => status.summary.links,
        other => panic!("{other:?}"),
    }
}

fn id(world: &World, host: HostId) -> NodeId {
    world.host(host).node_id
}

fn others(world: &World, host: HostId) -> Vec<HostId> {
    world.ids().into_iter().filter(|other| *other != host).collect()
}

/// Dials of the others that came to nothing, by the peer that was dialed.
fn failed_dials(world: &World, from: HostId, to: NodeId) -> usize {
    world.seen(from).count(|event| matches!(event, Event::DialFailed { peer: Some(peer), .. } if *peer == to))
}

/// Lets so many seconds pass; in each a transaction is handed to each of these.
fn under_load(world: &mut World, seconds: u64, to: &[HostId], sent: &mut Vec<Bytes>) {
    for _ in 0..seconds {
        for host in to {
            let transaction = Bytes::from(format!("transaction {} by {host}", sent.len()));
            match world.submit(*host, &transaction) {
                Reply::Submitted(_) => sent.push(transaction),
                other => panic!("{host}: {other:?}"),
            }
        }
        world.run_for(secs(1));
    }
}

/// Every slot from this height on has its block.
fn assert_no_slot_missed(world: &World, from: Height) {
    let slots = world.slots_from(from);
    for pair in slots.windows(2) {
        assert_eq!(pair[1].0 - pair[0].0, 1000, "a slot was missed: {slots:?}");
    }
}

#[test]
fn l_5_a_network_of_seven_is_restarted_one_by_one_under_load_without_a_missed_slot() {
    let mut world = network(7);
    let (first, mut sent) = (world.chain_height(), Vec::new());
    for host in world.ids() {
        let (away, rest) = (id(&world, host), others(&world, host));
        under_load(&mut world, 2, &rest, &mut sent);
        assert_eq!(
            drain(&mut world, host, secs(600)),
            Drain { absence: Some(secs(600)), told: 6, left: 6, quorum: 5 }
        );
        let refused = world.submit(host, &Bytes::from_static(b"too late"));
        assert!(matches!(refused, Reply::Draining), "{refused:?}");
        under_load(&mut world, 2, &rest, &mut sent);
        let failed: Vec<usize> = rest.iter().map(|other| failed_dials(&world, *other, away)).collect();
        world.stop(host);
        under_load(&mut world, 10, &rest, &mut sent);
        for (other, failed) in rest.iter().zip(failed) {
            let counts = links(&mut world, *other);
            assert_eq!((counts.expected, counts.up, counts.absent), (5, 5, 1), "{other}");
            let matrix = matrix(&mut world, *other);
            let short: String = away.to_string().chars().take(8).collect();
            let verdict = format!(
                "15/15 links, 0 duplicate, 0 split, 0 one-sided, 0 wrong direction; absent by announcement: {short}"
            );
            assert_eq!((matrix.verdict(), matrix.absent), (verdict, vec![away]), "{other}");
            assert_eq!(failed_dials(&world, *other, away), failed, "{other} dials whoever is away");
        }
        world.start(host);
        let back = world.expect("its links are back", secs(3), World::is_meshed);
        println!("{host} is back after {back:?}");
        under_load(&mut world, 3, &rest, &mut sent);
        for other in world.ids() {
            let matrix = matrix(&mut world, other);
            assert_eq!((matrix.links.len(), matrix.expected, matrix.absent.len()), (21, 21, 0), "{other}");
        }
    }
    under_load(&mut world, 5, &[], &mut sent);
    assert_no_slot_missed(&world, first);
    let height = world.chain_height();
    println!("{} transactions in {} blocks", sent.len(), height.0 - first.0);
    let all: Vec<u8> = (first.0..=height.0)
        .filter_map(|height| world.final_block(Height(height)))
        .flat_map(|block| block.block.payload.to_vec())
        .collect();
    for transaction in &sent {
        assert!(all.windows(transaction.len()).any(|part| part == transaction), "{transaction:?} is lost");
    }
}

#[test]
fn l_5_whoever_does_not_announce_it_is_missed_and_dialed() {
    let mut world = network(7);
    let host = world.ids()[6];
    let (away, rest) = (id(&world, host), others(&world, host));
    world.stop(host);
    world.run_for(secs(10));
    for other in rest {
        let counts = links(&mut world, other);
        assert_eq!((counts.expected, counts.up, counts.absent), (6, 5, 0));
        // Its last heartbeat still names its links.
        assert_eq!(matrix(&mut world, other).one_sided.len(), 6);
        assert!(failed_dials(&world, other, away) > 1, "{other} is to dial the highest address");
    }
}

#[test]
fn l_5_a_node_that_dies_after_its_announcement_is_as_absent_as_one_that_stops() {
    let mut world = network(4);
    let host = world.ids()[3];
    let away = id(&world, host);
    drain(&mut world, host, secs(600));
    world.run_for(secs(1));
    world.kill(host);
    // Until the others have noticed, and for a while.
    world.run_for(secs(25));
    for other in others(&world, host) {
        assert_eq!(links(&mut world, other).absent, 1, "{other}");
        assert_eq!(matrix(&mut world, other).absent, [away]);
        let seen = world.seen(other);
        let failures = seen.count(|event| {
            matches!(event, Event::DialFailed { peer: Some(peer), failures, .. } if *peer == away && *failures > 0)
        });
        assert_eq!(failures, 0, "no failure is counted");
    }
}

#[test]
fn l_5_whoever_stays_away_for_longer_is_missed() {
    let mut world = network(4);
    let host = world.ids()[3];
    let (away, rest) = (id(&world, host), others(&world, host));
    drain(&mut world, host, secs(40));
    world.run_for(secs(1));
    world.stop(host);
    world.run_for(secs(39));
    let overdue = |world: &World, other: HostId| {
        world.seen(other).count(
            |event| matches!(event, Event::Absence { peer, absence: PeerAbsence::Overdue } if *peer == away),
        )
    };
    for other in &rest {
        assert_eq!((links(&mut world, *other).expected, overdue(&world, *other)), (2, 0));
        assert!(failed_dials(&world, *other, away) <= 3, "half of 30 s lie between two dials at least");
    }
    world.run_for(secs(2));
    for other in &rest {
        assert_eq!((links(&mut world, *other).expected, overdue(&world, *other)), (3, 1), "{other}");
        assert_eq!(matrix(&mut world, *other).missing.len(), 3);
    }
    world.start(host);
    world.expect("its links are back", secs(15), World::is_meshed);
}

#[test]
fn l_5_an_announcement_that_was_taken_back_holds_no_more() {
    let mut world = network(4);
    let host = world.ids()[3];
    for _ in 0..3 {
        drain(&mut world, host, secs(600));
        // At once, too.
        let stays = world.ask(host, Request::Undrain);
        assert!(matches!(stays, Reply::Drain(Drain { absence: None, told: 3, .. })), "{stays:?}");
        world.run_for(secs(2));
    }
    assert!(matches!(world.submit(host, &Bytes::from_static(b"in time")), Reply::Submitted(_)));
    world.run_for(secs(1));
    world.stop(host);
    world.run_for(secs(3));
    for other in others(&world, host) {
        let counts = links(&mut world, other);
        assert_eq!((counts.expected, counts.absent), (3, 0));
    }
}

#[test]
fn l_5_the_last_of_a_quorum_is_not_drained_unless_the_operator_insists() {
    let mut world = network(4);
    let hosts = world.ids();
    drain(&mut world, hosts[0], secs(600));
    world.run_for(secs(2));
    // The first one is still there, and counts no more.
    let refused = order(&mut world, hosts[1], secs(60), QuorumLoss::Refused);
    assert!(
        matches!(refused, Reply::QuorumLost(Drain { absence: None, told: 0, left: 2, quorum: 3 })),
        "{refused:?}"
    );
    let insisted = order(&mut world, hosts[1], secs(60), QuorumLoss::Accepted);
    assert!(matches!(insisted, Reply::Drain(Drain { told: 3, left: 2, .. })), "{insisted:?}");
    let again = order(&mut world, hosts[1], secs(90), QuorumLoss::Accepted);
    assert!(matches!(again, Reply::Refused(_)), "orders come no faster than peers hear them: {again:?}");
    let downs = world.ids().into_iter().map(|host| {
        world.seen(host).count(|event| matches!(event, Event::LinkDown { reason: CloseReason::Abuse, .. }))
    });
    assert_eq!(downs.sum::<usize>(), 0);
}

#[test]
fn l_5_who_died_a_moment_ago_is_not_counted_among_those_who_are_left() {
    let mut world = network(4);
    let hosts = world.ids();
    world.kill(hosts[3]);
    // Its link has ended, while by its heartbeats it is active for some time yet.
    world.run_for(secs(2));
    let refused = order(&mut world, hosts[0], secs(60), QuorumLoss::Refused);
    assert!(matches!(refused, Reply::QuorumLost(Drain { left: 2, quorum: 3, .. })), "{refused:?}");
}
