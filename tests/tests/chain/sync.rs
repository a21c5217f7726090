//! Catching up: from the first block, from a thousand behind, past peers that are slow, silent or lie.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use timed_core::{
    CommittedVia, Counters, Event, Height, Masternode, NodeId, RegistryChange, Reply, Request, StoredBlock,
    SyncState,
};
use timed_tests::chain_generator::Signers;
use timed_tests::sim::{Conduct, HostId, Profile, Setup, World, seeds};

use super::{missed_slots, ms, network, producing, secs};

/// A network whose hosts have these many blocks.
pub(super) fn with_history(seed: u64, setup: Setup, heights: &[u64], payload: usize) -> World {
    let longest = heights.iter().copied().max().unwrap_or(0);
    let setup = setup.slots_before(u32::try_from(longest).unwrap() + 3);
    let mut world = World::new(seed, &setup);
    // Whoever has signed a block has the one before at least.
    let reach: BTreeMap<NodeId, u64> =
        heights.iter().zip(world.ids()).map(|(height, host)| (world.host(host).node_id, *height)).collect();
    let signs = move |height: Height, key: &NodeId| reach.get(key).is_some_and(|reach| *reach >= height.0);
    let mut generator = world
        .generator()
        .signed_by(Signers::Those(Box::new(signs)))
        .with_payload(move |height| filler(height, payload));
    let blocks: Vec<StoredBlock> = (0..longest).map(|_| generator.store()).collect();
    for (host, height) in heights.iter().enumerate() {
        world.give_chain(&[HostId(host)], &blocks[..usize::try_from(*height).unwrap()]);
    }
    world
}

fn filler(height: Height, bytes: usize) -> Bytes {
    if bytes == 0 {
        return Bytes::new();
    }
    let mut transaction = vec![0; bytes];
    transaction[..8].copy_from_slice(&height.0.to_le_bytes());
    timed_tests::sim::assemble(&[Bytes::from(transaction)], usize::MAX)
}

fn catches_up(world: &mut World, host: HostId, limit: Duration) -> Duration {
    let chases = |world: &World| world.height(host).0 + 1 >= world.chain_height().0;
    world.expect("it catches up", limit, chases)
}

fn counters(world: &mut World, host: HostId) -> Counters {
    match world.ask(host, Request::Status) {
        Reply::Status(status) => status.counters,
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_sides_count_what_was_asked_fetched_and_served() {
    let mut world = with_history(seeds(1)[0], network(4, secs(1)), &[300, 300, 300, 0], 2_000);
    world.start_all();
    catches_up(&mut world, HostId(3), secs(20));
    world.run_for(secs(5));
    let [first, second, third, fresh] = [0, 1, 2, 3].map(|host| counters(&mut world, HostId(host)));
    let served = [first, second, third];
    assert!(fresh.blocks_fetched >= 300, "{fresh:?}");
    assert!(fresh.block_requests > 0 && fresh.votes > 0);
    assert_eq!((fresh.blocks_rejected, fresh.block_items_invalid), (0, 0));
    let sum = |of: fn(&Counters) -> u64| served.iter().map(of).sum::<u64>();
    assert_eq!(sum(|counters| counters.blocks_served), fresh.blocks_fetched + fresh.blocks_surplus);
    assert_eq!(
        sum(|counters| counters.block_requests_served) + sum(|counters| counters.block_requests_refused),
        fresh.block_requests
    );
    assert!(sum(|counters| counters.block_bytes_served) > 300 * 2_000);
    assert_eq!(sum(|counters| counters.blocks_fetched), 0, "nobody else lacked any");
}

#[test]
fn a_node_that_missed_a_thousand_blocks_catches_up_while_blocks_go_on() {
    for seed in seeds(3) {
        let mut world = with_history(seed, network(4, secs(1)), &[1_000, 1_000, 1_000, 0], 0);
        world.start_all();
        let took = catches_up(&mut world, HostId(3), secs(20));
        println!("seed {seed}: {took:?}");
        let from = Height(1_002);
        world.run_for(secs(20));
        assert_eq!(missed_slots(&world, from), 0);
        let by_sync = |event: &Event| matches!(event, Event::BlockCommitted { via: CommittedVia::Sync, .. });
        assert!(world.seen(HostId(3)).count(by_sync) >= 1_000);
        let done = |event: &Event| matches!(event, Event::Sync(SyncState::Synced));
        assert!(world.seen(HostId(3)).count(done) >= 1, "it says that it is done");
    }
}

#[test]
fn a_cold_start_of_everybody_goes_on_where_the_chain_ended() {
    let mut world = with_history(1, network(4, secs(1)), &[1_000; 4], 0);
    world.start_all();
    world.expect("the mesh", secs(10), World::is_meshed);
    world.expect_blocks("the next block", 1, secs(3));
    assert_eq!(world.final_block(Height(1_001)).unwrap().block.header.height, Height(1_001));
}

#[test]
fn an_observer_starts_from_nothing_on_a_slow_line() {
    let setup = network(4, secs(10)).observers(1).profile(Profile::internet());
    let mut world = with_history(1, setup, &[300, 300, 300, 300], 20_000);
    world.start_all();
    // 6 MB; each server gives a part of what the line takes.
    let took = catches_up(&mut world, HostId(4), secs(120));
    println!("{took:?}");
}

#[test]
fn fork_01b_nobody_fills_a_gap_with_blocks_of_its_own() {
    for seed in seeds(5) {
        let mut world = with_history(seed, network(7, secs(1)), &[20, 20, 20, 20, 20, 15, 15], 0);
        for host in world.ids() {
            world.host_mut(host).application.conduct.loading = (ms(500), ms(1_500));
        }
        world.start_all();
        // The ledger knows the blocks up to 20: another one at 16 would be a fork.
        world.expect("all have the 20th", secs(30), |world| world.all_reach(Height(20)));
        world.expect_blocks("blocks go on", 3, secs(6));
    }
}

#[test]
fn sync_02a_a_silent_peer_costs_little() {
    let catch_up = |silent: usize| {
        let mut world = with_history(7, network(7, secs(10)), &[400, 400, 400, 400, 400, 400, 0], 10_000);
        for host in (0..silent).map(HostId) {
            let loading = (secs(3_600), secs(3_601));
            world.host_mut(host).application.conduct = Conduct { loading, ..Conduct::default() };
        }
        world.start_all();
        world.expect("the mesh", secs(10), World::is_meshed);
        catches_up(&mut world, HostId(6), secs(120))
    };
    let (all, without_one, without_three) = (catch_up(0), catch_up(1), catch_up(3));
    println!("{all:?}, with one silent {without_one:?}, with three {without_three:?}");
    assert!(without_one <= all * 2 + secs(4) && without_three <= all * 3 + secs(8));
}

#[test]
fn sync_02b_peers_that_cannot_serve_are_not_asked() {
    let mut world = with_history(1, network(5, secs(1)), &[600, 600, 600, 600, 0], 0);
    world.start_all();
    catches_up(&mut world, HostId(4), secs(20));
    let mut world = with_history(1, network(7, secs(1)), &[600, 600, 600, 600, 600, 250, 0], 0);
    world.start_all();
    world.expect("both catch up", secs(30), |world| world.all_reach(Height(600)));
    world.expect_blocks("blocks go on", 3, secs(6));
}

#[test]
fn sync_01b_a_stampede_does_not_starve_consensus() {
    let setup = network(4, secs(1)).observers(20);
    let mut heights = vec![500; 4];
    heights.extend([0; 20]);
    let mut world = with_history(1, setup, &heights, 2_000);
    for host in (0..4).map(HostId) {
        world.start(host);
    }
    world.expect("the mesh", secs(10), World::is_meshed);
    world.expect_blocks("a block", 1, secs(3));
    let from = world.chain_height().next();
    world.start_all();
    world.run_for(secs(20));
    assert_eq!(missed_slots(&world, from), 0, "consensus goes first");
    world.expect("all catch up", secs(120), |world| world.all_reach(Height(500)));
}

#[test]
fn sync_04_live_words_from_far_ahead_cost_nobody_its_link() {
    let mut world =
        with_history(1, network(4, secs(1)).profile(Profile::internet()), &[2_000, 2_000, 2_000, 0], 500);
    world.start_all();
    world.expect("the mesh", secs(20), World::is_meshed);
    let began = world.now();
    catches_up(&mut world, HostId(3), secs(120));
    for host in world.ids() {
        assert_eq!(world.seen(host).downs_since(began), [], "{host}");
    }
}

#[test]
fn restarts_in_the_middle_of_a_catch_up_lose_nothing() {
    for seed in seeds(20) {
        let mut world = with_history(seed, network(4, secs(1)).fsync(ms(1), ms(20)), &[800, 800, 800, 0], 0);
        world.start_all();
        for _ in 0..6 {
            let pause = world.random(secs(2));
            world.run_for(pause);
            let victim = HostId(if world.random_below(2) == 0 { 3 } else { world.random_below(4) });
            world.cut_power(victim);
            let pause = world.random(ms(500));
            world.run_for(pause);
            world.start(victim);
        }
        world.expect("the mesh", secs(30), World::is_meshed);
        catches_up(&mut world, HostId(3), secs(60));
        world.expect_blocks("blocks go on", 3, secs(6));
    }
}

#[test]
fn the_registry_is_derived_on_the_way_up() {
    for seed in seeds(5) {
        let setup = network(6, secs(1)).observers(2).slots_before(203);
        let mut world = World::new(seed, &setup);
        // The fifth and sixth leave early, the fifth returns at another address, much later the first leaves.
        let entry = |world: &World, host: usize| {
            *world.origin().registry.get(&world.host(HostId(host)).node_id).unwrap()
        };
        let (fifth, sixth, first) = (entry(&world, 4), entry(&world, 5), entry(&world, 0));
        let moved = Masternode { addr: "10.7.7.7:24100".parse().unwrap(), ..fifth };
        world.change_registry(Height(10), &[RegistryChange::Remove(fifth.id)]);
        world.change_registry(Height(11), &[RegistryChange::Remove(sixth.id)]);
        world.change_registry(Height(60), &[RegistryChange::Put(moved)]);
        world.change_registry(Height(61), &[RegistryChange::Remove(fifth.id)]);
        world.change_registry(Height(150), &[RegistryChange::Put(sixth)]);
        world.change_registry(Height(160), &[RegistryChange::Remove(first.id)]);
        let changes = world.host(HostId(0)).application.changes.clone();
        let mut generator = world.generator().with_changes(changes);
        let blocks: Vec<StoredBlock> = (0..200).map(|_| generator.store()).collect();
        // Only the observers begin with nothing.
        world.give_chain(&[0, 1, 2, 3, 4, 5].map(HostId), &blocks);
        world.start_all();
        world.expect("all catch up", secs(60), |world| world.all_reach(Height(200)));
        world.run_for(secs(5));
    }
}

#[test]
fn a_node_that_missed_four_hundred_quick_blocks_catches_up_while_they_go_on() {
    for seed in seeds(5) {
        let mut world = producing(seed, &network(4, ms(100)));
        let host = HostId(world.random_below(4));
        world.kill(host);
        world.run_for(secs(40));
        let missed = world.chain_height().0 - world.height(host).0;
        assert!(missed > 300, "{missed}");
        world.start(host);
        world.expect("the mesh", secs(10), World::is_meshed);
        let took = catches_up(&mut world, host, secs(5));
        println!("seed {seed}: {missed} blocks in {took:?}");
        let stalled = |event: &Event| matches!(event, Event::Sync(SyncState::Stalled { .. }));
        assert_eq!(world.seen(host).count(stalled), 0);
        world.run_for(secs(5));
        assert!(world.height(host).0 + 2 >= world.chain_height().0);
    }
}

#[test]
fn a_node_far_behind_says_how_far_and_does_not_propose() {
    let mut world = producing(1, &network(4, secs(1)));
    world.kill(HostId(2));
    world.run_for(secs(120));
    world.host_mut(HostId(2)).disk.set_latency((ms(50), ms(60)));
    world.start(HostId(2));
    world.expect("the mesh", secs(10), World::is_meshed);
    catches_up(&mut world, HostId(2), secs(30));
    let syncing = |event: &Event| match event {
        Event::Sync(SyncState::Syncing { height, target }) => height < target,
        _ => false,
    };
    assert!(world.seen(HostId(2)).count(syncing) >= 1);
    let behind = world.seen(HostId(2)).facts.iter().position(|(_, event)| syncing(event)).unwrap();
    let done = world
        .seen(HostId(2))
        .facts
        .iter()
        .position(|(_, event)| matches!(event, Event::Sync(SyncState::Synced)))
        .unwrap();
    let proposals = world.seen(HostId(2)).facts.range(behind..done.max(behind));
    assert!(!proposals.into_iter().any(|(_, event)| matches!(event, Event::Proposed { .. })));
}
