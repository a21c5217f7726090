//! The network of masternodes in virtual time: the behaviours of a network without blocks.

use std::time::Duration;

use timed_core::NodeId;
use timed_core::crypto::Provider;
use timed_tests::null_crypto::NullProvider;
use timed_tests::sim::{NodeKey, Setup, World, seed};

fn null(key: &NodeKey) -> Box<dyn Provider> {
    Box::new(NullProvider::new(NodeId(key.0)))
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn four_nodes_mesh_within_a_second_of_a_common_start() {
    let mut world = World::new(seed(1), &Setup::new(null).masternodes(4));
    world.start_all();
    let took = world.expect("6 links", secs(1), World::is_meshed);
    println!("4 nodes: 6 links after {took:?}");
    assert_eq!(world.links().len(), 6);
    assert_eq!(world.wrong_direction(), []);
}
