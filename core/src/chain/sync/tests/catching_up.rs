//! Sound peers: order, speed, room, and where only one scheduler may be at work.

use super::*;

/// A world with so many honest masternodes that have the whole chain.
fn among_honest(chain: &Rc<Vec<Bytes>>, count: u8, seed: u8) -> World {
    let mut world = World::new(chain, count, seed);
    for number in 0..count {
        world.join(masternode(number), honest(chain.len() as u64));
    }
    world
}

#[test]
fn a_cold_start_fetches_every_block_once() {
    for (seed, count) in [(1, 1), (2, 3), (3, 5), (4, 20)] {
        let chain = chain(1000, 100);
        let mut world = among_honest(&chain, count, seed);
        let took = world.reach(1000, 10 * SECOND).expect("stuck");
        // A thousand blocks at 200 µs each, and a few trips.
        assert!(took < SECOND, "{count} peers: {took:?}");
        let counts = world.sync.counts();
        assert_eq!((counts.blocks, counts.surplus, counts.races), (1000, 0, 0));
        world.wait(SECOND);
        assert_eq!(world.sync.state(), SyncState::Synced);
        assert_eq!((world.sync.window.bytes(), world.sync.deadline()), (0, None));
    }
}

#[test]
fn blocks_of_every_size_come_through_the_smallest_window() {
    let sizes = [0, 100, 40_000, 1_000_000, 20, 300_000];
    let blocks = (1..=60).map(|height| block(height, sizes[height as usize % sizes.len()], 1));
    let chain = Rc::new(blocks.collect::<Vec<_>>());
    let mut world = World::with(&chain, 4, 9, Settings { grace: SECOND / 4, window: 0 });
    for number in 0..4 {
        world.join(masternode(number), honest(60));
    }
    assert!(world.reach(60, 60 * SECOND).is_some());
}

#[test]
fn c8_a_slow_application_holds_the_window_down() {
    let chain = chain(300, 200_000);
    let mut world = among_honest(&chain, 10, 5);
    world.verify = 100 * MS;
    world.store = SECOND;
    assert!(world.reach(300, 60 * SECOND).is_some());
    // 60 MB went through a window of 16 MiB, which was put to use.
    assert!(world.most_held > 10_000_000, "{}", world.most_held);
    assert_eq!(world.sync.counts().surplus, 0);
}

#[test]
fn c8_no_more_is_applied_than_the_disk_keeps_up_with() {
    let chain = chain(200, 100);
    let mut world = among_honest(&chain, 3, 5);
    world.store = 1000 * SECOND;
    world.wait(20 * SECOND);
    assert_eq!(world.applied, COMMITS_UNDER_WAY as u64);
    world.sync.durable(Height(10));
    world.plan(Duration::ZERO, Happening::Durable(10));
    world.wait(SECOND);
    assert_eq!(world.applied, COMMITS_UNDER_WAY as u64 + 10);
}

#[test]
fn sync_01a_whoever_notices_the_gap_one_scheduler_fetches_it_once() {
    let chain = chain(1000, 100);
    let mut world = among_honest(&chain, 5, 7);
    // Announcements, certificates and ticks rain; votes bring some of the blocks.
    let mut effects = Effects::new();
    while world.applied < 1000 {
        for number in 0..5 {
            world.sync.tip(world.now, masternode(number), Height(1000), &mut effects);
        }
        world.sync.certified(world.now, Height(1000), &mut effects);
        world.sync.tick(world.now, &mut effects);
        world.carry_out(std::mem::take(&mut effects));
        if world.applied.is_multiple_of(10) {
            world.plan(Duration::ZERO, Happening::Votes(world.applied + 1));
        }
        world.wait(MS);
    }
    let counts = world.sync.counts();
    assert!(counts.blocks + counts.surplus <= 1000 && counts.requests < 40, "{counts:?}");
    assert_eq!((counts.unsolicited, counts.malformed, counts.rejected), (0, 0, 0));
}

#[test]
fn sync_01a_repeats_are_no_ops() {
    let chain = chain(50, 100);
    let mut world = among_honest(&chain, 3, 7);
    assert!(world.reach(50, 5 * SECOND).is_some());
    world.wait(SECOND);
    let before = world.sync.counts();
    let mut effects = Effects::new();
    for height in 0..=50 {
        world.sync.applied(world.now, Height(height), &mut effects);
        world.sync.certified(world.now, Height(height), &mut effects);
        world.sync.durable(Height(height));
    }
    for id in 0..40 {
        for part in parts(id, 51, &block(51, 10, 1)) {
            let Message::BlockPart(part) = part else { unreachable!() };
            world.sync.part(world.now, masternode(1), *part, &mut effects);
        }
        world.sync.end(world.now, stranger(1), BlocksEnd { id, served: Served::All }, &mut effects);
    }
    // What was asked of nobody can be no late answer.
    let never_asked = usize::try_from(40 - world.sync.next_id).unwrap();
    let charged = |of| {
        let unasked =
            |effect: &&Effect| matches!(effect, Effect::Offence(peer, Offence::Unasked) if *peer == of);
        effects.iter().filter(unasked).count()
    };
    assert_eq!(
        [charged(masternode(1)), charged(stranger(1)), effects.len()],
        [never_asked, never_asked, 2 * never_asked]
    );
    assert!(world.sync.next_block(world.now, &mut effects).is_none());
    assert_eq!(world.sync.counts(), Counts { unsolicited: 80, ..before });
}

#[test]
fn sync_01b_requests_spread_over_all_peers() {
    let chain = chain(5000, 100);
    let mut world = among_honest(&chain, 5, 8);
    assert!(world.reach(5000, 20 * SECOND).is_some());
    let asked: Vec<u64> = world.peers.values().map(|peer| peer.asked).collect();
    assert!(asked.iter().all(|asked| *asked >= 2), "{asked:?}");
    // Different seeds begin elsewhere.
    let first = |seed| {
        let mut world = among_honest(&chain, 5, seed);
        world.wait(100 * MS);
        (0..5).map(|number| world.peers[&masternode(number)].request).collect::<Vec<_>>()
    };
    let begun: Vec<Vec<u64>> = (0..8).map(first).collect();
    assert!(begun.iter().all(|asked| asked.iter().sum::<u64>() >= 1));
}

#[test]
fn sync_04_live_traffic_while_far_behind_is_only_remembered() {
    let chain = chain(500, 2_000);
    let mut world = among_honest(&chain, 5, 9);
    world.verify = 10 * MS;
    for slot in 1..=20 {
        world.plan(slot * SECOND / 2, Happening::Grows);
    }
    let mut effects = Effects::new();
    world.wait(SECOND);
    assert_eq!(world.sync.state(), SyncState::Syncing { height: Height(world.applied), target: Height(501) });
    // Certificates of heights to come are remembered, and no reason to ask anew.
    let before = world.sync.counts().requests;
    for height in 501..600 {
        world.sync.certified(world.now, Height(height), &mut effects);
    }
    assert_eq!((world.sync.heard(), world.sync.counts().requests), (Height(599), before));
    world.carry_out(effects);
    assert!(world.reach(520, 30 * SECOND).is_some());
    let counts = world.sync.counts();
    assert_eq!((counts.unsolicited, counts.malformed, counts.timeouts), (0, 0, 0));
}

#[test]
fn blocks_that_votes_bring_are_not_fetched() {
    let chain = chain(0, 0);
    let mut world = among_honest(&chain, 4, 3);
    for slot in 1..=100 {
        world.plan(slot * SECOND, Happening::Grows);
        world.plan(slot * SECOND + 60 * MS, Happening::Votes(u64::from(slot)));
    }
    assert!(world.reach(100, 200 * SECOND).is_some());
    assert_eq!(world.sync.counts().requests, 0);
    // When votes fail to bring one, it is fetched after the grace, and calls no alarm.
    world.plan(SECOND, Happening::Grows);
    let took = world.run(10 * SECOND, |world| {
        assert_eq!(world.sync.state(), SyncState::Synced);
        world.applied == 101
    });
    let took = took.expect("stuck");
    assert!(took > SECOND + SECOND / 4 && took < SECOND + SECOND / 2, "{took:?}");
    assert_eq!(world.sync.counts().requests, 1);
}

#[test]
fn an_observer_follows_without_grace() {
    let chain = chain(0, 0);
    let settings = Settings { grace: Duration::ZERO, window: Limits::default().sync_window };
    let mut world = World::with(&chain, 4, 3, settings);
    for number in 0..4 {
        world.join(masternode(number), honest(0));
    }
    for slot in 1..=50 {
        world.plan(slot * SECOND, Happening::Grows);
    }
    for slot in 1..=50 {
        let took = world.reach(slot, 10 * SECOND).expect("stuck");
        assert!(slot == 1 || took < SECOND + SECOND / 10, "{took:?}");
        assert_eq!(world.sync.state(), SyncState::Synced);
    }
    assert_eq!(world.sync.counts().requests, 50);
}

#[test]
fn a_gap_of_a_thousand_closes_while_blocks_go_on() {
    let chain = chain(1000, 300);
    let mut world = among_honest(&chain, 3, 11);
    for slot in 1..=100 {
        world.plan(slot * SECOND / 10, Happening::Grows);
    }
    let took = world.run(20 * SECOND, |world| {
        world.sync.state() == SyncState::Synced && world.applied >= world.chain.len() as u64
    });
    assert!(took.is_some_and(|took| took < 2 * SECOND), "{took:?}");
}

#[test]
fn fork_01b_a_gap_is_filled_with_what_was_served_or_not_at_all() {
    let chain = chain(5, 100);
    let mut world = World::new(&chain, 3, 2);
    for number in 0..3 {
        world.join(masternode(number), Server { latency: 20 * SECOND, ..honest(5) });
    }
    // Nobody has answered: nothing comes out, whatever the time.
    world.wait(35 * SECOND);
    assert_eq!(world.applied, 0);
    assert!(matches!(world.sync.state(), SyncState::Stalled { .. }));
    for peer in world.peers.values_mut() {
        peer.latency = SECOND;
    }
    assert!(world.reach(5, 200 * SECOND).is_some());
}
