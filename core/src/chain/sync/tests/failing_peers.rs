//! Peers that are silent, slow, busy, gone, wrong or malicious: as long as one honest peer stays, every block
//! comes, and soon.

use proptest::prelude::*;

use super::*;

/// Five masternodes, the first of them of another conduct. Answers how long a node takes to catch up.
fn five(length: u64, first: &Server, rate: u64, verify: Duration, seed: u8) -> (Duration, Counts) {
    let chain = chain(length, 100);
    let mut world = World::new(&chain, 5, seed);
    world.verify = verify;
    world.store = MS;
    world.join(masternode(0), Server { rate, tip: length, told: length, ..first.clone() });
    for number in 1..5 {
        world.join(masternode(number), Server { rate, ..honest(length) });
    }
    let took = world.reach(length, 600 * SECOND).expect("stuck");
    (took, world.sync.counts())
}

#[test]
fn sync_02a_a_silent_peer_among_five_costs_a_fifth_at_most() {
    let micros = Duration::from_micros(1);
    // The application is the narrow place, or the links are.
    for (rate, verify) in [(4_000_000, 200 * micros), (150_000, 10 * micros)] {
        for seed in 0..5 {
            let (all, _) = five(10_000, &honest(0), rate, verify, seed);
            let (one_silent, counts) = five(10_000, &acting(Conduct::Silent, 0), rate, verify, seed);
            // Four fifths of the links take five quarters of the time; so much, and one silence that is noticed.
            assert!(one_silent <= all * 5 / 4 + 300 * MS, "{rate}: {all:?}, then {one_silent:?} {counts:?}");
            if rate == 4_000_000 {
                assert!(one_silent * 4 <= all * 5, "{all:?}, then {one_silent:?}");
            }
            assert!(counts.timeouts + counts.overtaken >= 1);
        }
    }
}

#[test]
fn sync_02a_only_what_is_missing_is_asked_again() {
    for parts in [0, 1, 7, 30] {
        let chain = chain(1000, 100);
        let mut world = World::new(&chain, 3, 4);
        world.join(masternode(0), acting(Conduct::StopsAfter(parts), 1000));
        world.join(masternode(1), honest(1000));
        assert!(world.reach(1000, 60 * SECOND).is_some());
        // What the other was asked for a second time may come twice, and no more than that.
        let counts = world.sync.counts();
        assert_eq!((counts.blocks, counts.surplus), (1000, 0), "{counts:?}");
    }
}

#[test]
fn a_slow_peer_keeps_its_range_and_holds_nobody_up() {
    let (all, _) = five(3000, &honest(0), 4_000_000, 200 * Duration::from_micros(1), 3);
    let (drips, counts) = five(3000, &acting(Conduct::Drips(SECOND), 0), 4_000_000, all / 3000, 3);
    assert!(counts.timeouts == 0 && counts.races > 0, "{counts:?}");
    assert!(drips < all + 3 * SECOND, "{all:?} {drips:?}");
}

#[test]
fn sync_01c_a_busy_peer_is_asked_again_and_others_meanwhile() {
    let (busy, counts) = five(3000, &acting(Conduct::Busy(200), 0), 4_000_000, MS / 5, 3);
    assert!(busy < SECOND && counts.busy >= 1 && counts.timeouts == 0, "{busy:?} {counts:?}");
    // Alone with a busy peer: it is asked in growing steps until it has time.
    let chain = chain(10, 100);
    let mut world = World::new(&chain, 3, 4);
    world.join(masternode(0), acting(Conduct::Busy(100), 10));
    world.wait(60 * SECOND);
    assert!((10..40).contains(&world.peers[&masternode(0)].asked));
    world.peers.get_mut(&masternode(0)).unwrap().conduct = Conduct::Honest;
    assert!(world.reach(10, 10 * SECOND).is_some());
}

#[test]
fn sync_02b_only_peers_that_told_of_a_block_on_this_session_are_asked() {
    let chain = chain(100, 100);
    let mut world = World::new(&chain, 6, 6);
    let told = |told: u64| Server { told, ..honest(100) };
    for (number, server) in [told(0), told(60), told(100)].into_iter().enumerate() {
        world.join(masternode(number as u8), server);
    }
    world.wait(SECOND);
    assert_eq!(world.applied, 100);
    assert_eq!(world.peers[&masternode(0)].asked, 0);
    // Who has come back knows nothing of what it told before: nobody is asked until it tells anew.
    Rc::make_mut(&mut world.chain).extend((101..=150).map(|height| block(height, 100, 1)));
    for number in 0..3 {
        let peer = world.peers.get_mut(&masternode(number)).unwrap();
        (peer.tip, peer.told) = (150, 90);
        let session = peer.session;
        world.plan(Duration::ZERO, Happening::Tip(masternode(number), 95));
        world.plan(Duration::ZERO, Happening::Down(masternode(number), session));
    }
    let before = world.sync.counts().requests;
    world.wait(30 * SECOND);
    assert_eq!((world.applied, world.sync.counts().requests), (100, before));
    // A node without a link is not asked, whatever is heard of it; nor is the set of nobody a reason to act.
    let mut effects = Effects::new();
    world.sync.tip(world.now, stranger(9), Height(150), &mut effects);
    assert!(effects.is_empty());
    // The event that was waited for.
    world.plan(Duration::ZERO, Happening::Tip(masternode(2), 150));
    assert!(world.reach(150, 5 * SECOND).is_some());
}

#[test]
fn sync_02b_who_cannot_serve_what_it_tells_is_believed_less_each_time() {
    for conduct in [Conduct::Nothing, Conduct::Empty] {
        let chain = chain(100, 100);
        let mut world = World::new(&chain, 4, 6);
        world.join(masternode(0), Server { tip: 0, ..acting(conduct, 100) });
        for beat in 0..60 {
            world.plan(beat * 10 * SECOND, Happening::Tip(masternode(0), 200 + u64::from(beat)));
        }
        world.wait(600 * SECOND);
        let asked = world.peers[&masternode(0)].asked;
        assert!((3..20).contains(&asked), "{asked}");
    }
}

#[test]
fn fork_04a_every_interruption_ends_in_order() {
    let chain = chain(12, 40_000);
    for parts in 0..26 {
        for conduct in [Conduct::Vanishes(parts), Conduct::StopsAfter(parts), Conduct::Short(1)] {
            let mut world = World::new(&chain, 4, parts as u8);
            world.join(masternode(0), acting(conduct, 12));
            world.wait(130 * MS);
            world.join(masternode(1), honest(12));
            assert!(world.reach(12, 10 * SECOND).is_some(), "{conduct:?}");
            world.wait(5 * SECOND);
            assert_eq!(world.sync.state(), SyncState::Synced);
            assert!(world.sync.peers.values().all(|peer| peer.incoming.is_none()));
            assert_eq!((world.sync.deadline(), world.sync.window.bytes()), (None, 0));
        }
    }
}

#[test]
fn fork_04a_alone_with_a_peer_that_vanishes_it_goes_on_where_it_was() {
    let chain = chain(200, 100);
    let mut world = World::new(&chain, 4, 3);
    world.join(masternode(0), acting(Conduct::Vanishes(7), 200));
    assert!(world.reach(200, 120 * SECOND).is_some());
    assert_eq!(world.sync.counts().surplus, 0);
}

#[test]
fn fork_04b_alerts_are_hints() {
    let chain = chain(100, 20_000);
    let mut world = World::new(&chain, 20, 3);
    for number in 0..20 {
        world.join(masternode(number), honest(100));
    }
    world.wait(MS);
    let mut effects = Effects::new();
    let before = world.sync.counts().requests;
    for storm in 0..1000u64 {
        for number in 0..20 {
            world.sync.tip(world.now, masternode(number), Height(100 + storm % 3), &mut effects);
        }
    }
    let more = world.sync.counts().requests - before;
    assert!(before + more <= 20, "one request a peer: {before} and {more}");
}

#[test]
fn blocks_that_do_not_verify_cost_their_peer_everything_that_it_brought() {
    let chain = chain(1000, 100);
    let mut world = World::new(&chain, 5, 3);
    for number in 0..3 {
        world.join(masternode(number), acting(Conduct::Forges, 1000));
    }
    world.join(masternode(3), honest(1000));
    let took = world.reach(1000, 20 * SECOND).expect("stuck");
    assert!(took < 3 * SECOND, "{took:?}");
    assert_eq!(world.sync.counts().rejected, 3, "each of them is believed once");
    // A new session does not make up for it.
    let session = world.peers[&masternode(0)].session;
    let asked = world.peers[&masternode(0)].asked;
    world.plan(Duration::ZERO, Happening::Down(masternode(0), session));
    world.plan(3 * SECOND, Happening::Tip(masternode(0), 2000));
    world.wait(10 * SECOND);
    assert_eq!(world.peers[&masternode(0)].asked, asked);
}

#[test]
fn strangers_who_sit_on_requests_are_overtaken() {
    // They drip just fast enough, and there are enough of them for every request that the window has room for.
    for window in [0, 16 << 20] {
        let chain = chain(400, 40_000);
        let mut world = World::with(&chain, 4, 3, Settings { grace: SECOND / 4, window });
        for number in 0..40 {
            world.join(stranger(number), acting(Conduct::Drips(2900 * MS), 400));
        }
        world.wait(SECOND);
        world.join(masternode(0), honest(400));
        let took = world.reach(400, 300 * SECOND).expect("stuck");
        assert!(took < 30 * SECOND, "{took:?} {:?}", world.sync.counts());
    }
}

fn conduct() -> impl Strategy<Value = Conduct> {
    prop_oneof![
        3 => Just(Conduct::Honest),
        1 => Just(Conduct::Silent),
        1 => (0usize..40).prop_map(Conduct::StopsAfter),
        1 => (1u64..3500).prop_map(|ms| Conduct::Drips(Duration::from_millis(ms))),
        1 => (0u32..2000).prop_map(Conduct::Busy),
        1 => Just(Conduct::Nothing),
        1 => Just(Conduct::Empty),
        1 => (1u64..5).prop_map(Conduct::Short),
        1 => (0usize..40).prop_map(Conduct::Vanishes),
        1 => Just(Conduct::Forges),
        1 => Just(Conduct::Garbles),
    ]
}

fn server() -> impl Strategy<Value = (Server, u64)> {
    (conduct(), 1u64..400, 20_000u64..10_000_000, 0u64..260, 0u64..10_000).prop_map(
        |(conduct, latency, rate, tip, after)| {
            let server = Server { latency: Duration::from_millis(latency), rate, ..acting(conduct, tip) };
            (server, after)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the others do: with one honest peer, every block comes, in order, once.
    #[test]
    fn never_stuck_while_an_honest_peer_stays(
        servers in proptest::collection::vec(server(), 0..12),
        honest_after in 0u64..5_000,
        payload in prop_oneof![4 => 0usize..2_000, 1 => Just(60_000)],
        window in prop_oneof![Just(0), Just(16 << 20)],
        verify in 10u64..20_000,
        store in 1u64..500,
        lies in 0u64..1_000_000,
        seed in any::<u8>(),
    ) {
        let chain = chain(250, payload);
        let mut world = World::with(&chain, 8, seed, Settings { grace: SECOND / 4, window });
        world.verify = Duration::from_micros(verify);
        world.store = Duration::from_millis(store);
        for (number, (server, after)) in servers.into_iter().enumerate() {
            let id = if number < 7 { masternode(number as u8) } else { stranger(number as u8) };
            let told = if server.conduct == Conduct::Honest { server.tip } else { server.tip + lies };
            world.peers.insert(id, Server { tip: server.tip.min(250), told, ..server });
            world.plan(Duration::from_millis(after), Happening::Up(id));
        }
        world.peers.insert(masternode(7), honest(250));
        world.plan(Duration::from_millis(honest_after), Happening::Up(masternode(7)));
        let took = world.reach(250, 900 * SECOND);
        prop_assert!(took.is_some(), "stuck at {}: {:?}", world.applied, world.sync.counts());
        // Nothing is left over but what peers still owe.
        world.wait(30 * SECOND);
        prop_assert!(world.sync.window.bytes() == 0);
    }
}
