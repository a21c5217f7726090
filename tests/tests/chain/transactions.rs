//! Transactions from the node that takes them into a block at every node, once.

use bytes::Bytes;
use timed_core::limits::MAX_TRANSACTION;
use timed_core::{FinalBlock, Height, Reply, Request, TxId, TxState};
use timed_tests::sim::{HostId, World, disassemble, seeds, tx_id};

use super::{ms, network, producing, secs};

fn submitted(world: &mut World, host: HostId, bytes: &Bytes) -> TxId {
    match world.submit(host, bytes) {
        Reply::Submitted(id) => {
            assert_eq!(id, tx_id(bytes));
            id
        }
        other => panic!("{other:?}"),
    }
}

/// In which heights a transaction is, by a host's disk.
fn heights_of(world: &World, host: HostId, id: TxId) -> Vec<Height> {
    let carries = |bytes: &Bytes| {
        let block = FinalBlock::decode(bytes).unwrap();
        let transactions = disassemble(&block.block.payload).unwrap();
        transactions.iter().filter(|bytes| tx_id(bytes) == id).count()
    };
    let disk = &world.host(host).disk;
    let heights = (1..=disk.height().0).map(Height);
    heights.flat_map(|height| vec![height; disk.block(height).map_or(0, carries)]).collect()
}

fn is_everywhere(world: &World, id: TxId) -> bool {
    world.ids().into_iter().all(|host| !heights_of(world, host, id).is_empty())
}

#[test]
fn a_transaction_is_in_a_block_at_all_nodes_within_two_slots() {
    let mut world = producing(1, &network(4, secs(1)).observers(1));
    for round in 0..4 {
        for host in world.ids() {
            let pause = world.random(secs(1));
            world.run_for(pause);
            let id = submitted(&mut world, host, &Bytes::from(format!("from {host} in {round}")));
            let took = world.expect("in a block", secs(3), |world| is_everywhere(world, id));
            assert!(took <= ms(2_500), "{took:?}");
        }
    }
}

#[test]
fn submitted_twice_it_is_there_once() {
    for seed in seeds(5) {
        let mut world = producing(seed, &network(4, secs(1)));
        let bytes = Bytes::from_static(b"once and only once");
        let id = submitted(&mut world, HostId(0), &bytes);
        submitted(&mut world, HostId(0), &bytes);
        submitted(&mut world, HostId(2), &bytes);
        world.expect("in a block", secs(3), |world| is_everywhere(world, id));
        // Again, now that it is in a block: whatever is answered, it is not there twice.
        for host in world.ids() {
            world.submit(host, &bytes);
        }
        world.run_for(secs(10));
        for host in world.ids() {
            assert_eq!(heights_of(&world, host, id).len(), 1, "{host}");
            let state = world.ask(host, Request::Transaction(id));
            assert!(matches!(state, Reply::Transaction(TxState::NotPending)), "{host}: {state:?}");
        }
    }
}

#[test]
fn empty_and_oversize_transactions_and_floods_are_refused_by_name() {
    let mut world = producing(1, &network(4, secs(1)));
    let refused = world.submit(HostId(0), &Bytes::new());
    assert!(matches!(refused, Reply::TransactionSize(0)), "{refused:?}");
    let refused = world.submit(HostId(0), &Bytes::from(vec![1; MAX_TRANSACTION + 1]));
    assert!(matches!(refused, Reply::TransactionSize(65_537)), "{refused:?}");
    submitted(&mut world, HostId(0), &Bytes::from(vec![1; MAX_TRANSACTION]));
    // A flood: at some time the answer is a refusal by name, and the chain goes on.
    let mut full = 0;
    for number in 0_u32..3_000 {
        let mut bytes = vec![7; 30_000];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        match world.submit(HostId(1), &Bytes::from(bytes)) {
            Reply::Submitted(_) => {}
            Reply::MempoolFull(info) => {
                assert!(info.transactions > 0 && info.bytes > 0);
                full += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(full > 0, "90 MB were taken");
    world.expect_blocks("blocks go on", 5, secs(8));
}

#[test]
fn what_was_acknowledged_outlives_a_crash_of_its_node() {
    for seed in seeds(30) {
        let mut world = producing(seed, &network(4, secs(1)));
        let host = HostId(world.random_below(4));
        let ids: Vec<TxId> = (0..20)
            .map(|number| {
                let pause = world.random(ms(20));
                world.run_for(pause);
                submitted(&mut world, host, &Bytes::from(format!("{seed} {number}")))
            })
            .collect();
        // Nobody else may have it yet: cut it off at once, then let it come back.
        world.cut_power(host);
        world.run_for(secs(3));
        world.start(host);
        world.expect("the links", secs(30), World::is_meshed);
        world.expect("in blocks", secs(6), |world| ids.iter().all(|id| is_everywhere(world, *id)));
        world.run_for(secs(5));
        for id in &ids {
            assert_eq!(heights_of(&world, HostId(0), *id).len(), 1, "seed {seed}");
        }
    }
}

#[test]
fn what_is_submitted_on_one_side_of_a_partition_reaches_the_other() {
    use timed_tests::sim::Packets;
    let mut world = producing(1, &network(4, secs(1)));
    world.isolate(HostId(3), Packets::Vanish);
    world.run_for(secs(20));
    let id = submitted(&mut world, HostId(3), &Bytes::from_static(b"from the island"));
    world.run_for(secs(5));
    assert!(!is_everywhere(&world, id));
    world.isolate(HostId(3), Packets::Arrive);
    world.expect("the mesh", secs(30), World::is_meshed);
    world.expect("in a block", secs(4), |world| is_everywhere(world, id));
}
