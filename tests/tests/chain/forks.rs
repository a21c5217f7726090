//! Two blocks at one height, as far as they can be: proposals and locks of a node that was cut off at its turn. What
//! is final is one, and everybody finds it.

use std::time::Duration;

use timed_core::{BlockHash, Event, Height, Reply, Request, Round};
use timed_tests::sim::{HostId, Packets, World, seed, seeds};

use super::{committed_at, ms, network, producing, secs};

/// What a host has committed, in the order in which it said so.
fn committed(world: &World, host: HostId) -> Vec<(Height, BlockHash)> {
    let committed = |event: &Event| match event {
        Event::BlockCommitted { height, hash, .. } => Some((*height, *hash)),
        _ => None,
    };
    world.seen(host).facts.iter().filter_map(|(_, event)| committed(event)).collect()
}

/// Nobody has ever committed two blocks at a height, or one before its parent.
fn nobody_went_back(world: &World) {
    for host in world.ids() {
        let chain = committed(world, host);
        assert!(chain.is_sorted_by(|one, next| one.0.next() == next.0), "{host}: {chain:?}");
        for (height, hash) in chain {
            assert_eq!(world.final_hash(height), Some(hash), "{host}");
        }
    }
}

/// Split at any moment of a height, into parts of which neither or one decides it; the parts meet again holding
/// different proposals, votes and locks.
#[test]
fn fork_02a_parts_that_split_at_any_moment_of_a_height_never_differ_in_what_is_final() {
    for (seed, step) in seeds(2).into_iter().flat_map(|seed| (0..40).map(move |step| (seed, step))) {
        let mut world = producing(seed, &network(5, secs(1)));
        world.run_for(secs(3));
        world.run_for(ms(step * 2));
        let between = |world: &mut World, packets| {
            for (a, b) in [0, 1, 2].into_iter().flat_map(|a| [3, 4].map(|b| (HostId(a), HostId(b)))) {
                world.packets(a, b, packets);
                world.packets(b, a, packets);
            }
        };
        between(&mut world, Packets::Vanish);
        world.run_for(secs(5));
        let height = world.chain_height();
        between(&mut world, Packets::Arrive);
        world.expect("the mesh", secs(40), World::is_meshed);
        world.expect_blocks("20 blocks after", 20, secs(30));
        assert!(world.chain_height().0 >= height.0 + 20);
        nobody_went_back(&world);
    }
}

/// A leader that is cut off as it proposes keeps a block of its own at a height that the others decide otherwise.
/// However many blocks it has missed when it is back, it takes theirs, and its own never was one.
#[test]
fn fork_02b_a_node_with_a_block_of_its_own_at_a_height_takes_the_one_that_was_decided() {
    for missed in [0u64, 1, 5, 300] {
        let mut world = producing(seed(1), &network(4, secs(1)));
        world.run_for(secs(3));
        // The slot of a height that host 2 leads: nobody hears its proposal.
        let cut = HostId(2);
        let turn = |world: &World| world.leader(world.chain_height().next(), Round(0)) == cut;
        world.expect("its turn", secs(5), turn);
        world.isolate(cut, Packets::Vanish);
        let own = world.chain_height().next();
        let proposed = |world: &World| {
            let is = |event: &Event| matches!(event, Event::Proposed { height, .. } if *height == own);
            world.seen(cut).count(is) > 0
        };
        world.expect("it proposes, alone", secs(2), proposed);
        let Reply::Consensus(info) = world.ask(cut, Request::Consensus) else { panic!("no consensus") };
        let alone = info.as_ref().and_then(|info| info.proposal).expect("its own proposal");
        world.expect("the others decide", secs(5), |world| world.chain_height() >= own);
        world.run_for(Duration::from_secs(missed));
        let decided = world.final_hash(own).expect("decided by the others");
        assert_ne!(decided, alone, "the others never saw it");
        assert!(committed_at(&world, cut, own).is_none());
        world.isolate(cut, Packets::Arrive);
        let back =
            |world: &World| world.height(cut) >= own && world.height(cut).0 + 1 >= world.chain_height().0;
        world.expect("it has caught up", secs(60), |world| world.is_meshed() && back(world));
        assert!(world.chain_height().0 >= own.0 + missed);
        nobody_went_back(&world);
        assert!(committed(&world, cut).contains(&(own, decided)), "{missed} blocks missed");
        world.expect_blocks("blocks go on", 5, secs(8));
    }
}

/// Who leads is a matter of height, round and registry alone: nodes that see different peers, are at different
/// heights or know themselves under another address name the same one.
#[test]
fn prod_04a_everybody_names_the_same_leader_whatever_it_sees() {
    for seed in seeds(3) {
        let setup = network(5, secs(1)).observers(1).config(|host, config| {
            if host.0 == 5 {
                config.advertised = None;
            }
        });
        let mut world = producing(seed, &setup);
        // One is down and another one is linked to half of the network only.
        world.kill(HostId(4));
        for other in [2, 3].map(HostId) {
            world.packets(HostId(0), other, Packets::Vanish);
            world.packets(other, HostId(0), Packets::Vanish);
        }
        let mut compared = 0;
        for _ in 0..400 {
            world.run_for(ms(97));
            for host in [0, 1, 2, 3, 5].map(HostId) {
                let Reply::Consensus(Some(info)) = world.ask(host, Request::Consensus) else { continue };
                let leader = world.host(world.leader(info.height, info.round)).node_id;
                assert_eq!(info.leader, leader, "{host} at {} {:?}", info.height, info.round);
                compared += 1;
            }
        }
        assert!(compared > 1_000, "{compared}");
    }
}
