//! Chains that are long before the first node starts: written by the chain generator, carried on by daemons.
//! `TIMED_SOAK=1` makes them longer.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use crate::network::chain::usually_or_soaking;
use crate::network::{Network, SECOND};
use bytes::Bytes;
use timed_tests::chain_stores::give_chain;

const HOSTS: [u8; 4] = [1, 2, 3, 4];

/// Gives these nodes the same chain.
fn give(network: &Network, hosts: &[u8], blocks: u64) {
    let begun = Instant::now();
    let dirs: Vec<PathBuf> = hosts.iter().map(|host| network.path(*host)).collect();
    give_chain(&dirs, blocks, |_| Bytes::new()).unwrap();
    println!("{blocks} blocks written to {} stores in {:?}", dirs.len(), begun.elapsed());
}

/// How long a node took from its start to its first answer.
fn start(network: &mut Network, host: u8) {
    let begun = Instant::now();
    network.start(host);
    network.eventually("it answers", SECOND, || network.get(host, "/livez").0 == 200);
    println!("node {host} answers {:?} after its start", begun.elapsed());
}

#[test]
fn a_node_that_missed_a_long_chain_catches_up_while_blocks_go_on() {
    let blocks = usually_or_soaking(3_000, 100_000);
    let mut network = Network::with_blocks(&HOSTS, SECOND);
    let (have, lacks) = (&HOSTS[..3], HOSTS[3]);
    give(&network, have, blocks);
    have.iter().for_each(|host| start(&mut network, *host));
    network.await_height(have, blocks + 2, 5);
    let begun = Instant::now();
    network.start(lacks);
    let reached = || network.height(lacks) + 1 >= network.heights(have).0;
    network.eventually("it has caught up", usually_or_soaking(10, 100) * SECOND, reached);
    let took = begun.elapsed();
    println!("{blocks} blocks in {took:?}: {:.0} a second", blocks as f64 / took.as_secs_f64());
    let went_on = network.heights(have).0 - blocks - 2;
    assert!(went_on + 2 >= took.as_secs(), "{went_on} blocks in {took:?}");
    network.await_producing(&HOSTS, 5 * SECOND);
    let height = network.heights(&HOSTS).1;
    network.await_height(&HOSTS, height + 4, 6);
    for height in [1, blocks / 2, blocks, blocks + 1, height] {
        assert_eq!(network.block(lacks, height)["hash"], network.block(have[0], height)["hash"], "{height}");
    }
    network.assert_no_evidence(&HOSTS);

    // Killed with all of it, it is there again at once.
    network.kill(lacks);
    start(&mut network, lacks);
    let height = network.heights(have).1;
    network.await_height(&HOSTS, height + 2, 5);
}

#[test]
fn a_damaged_chain_is_fatal_and_the_remedy_that_it_names_works() {
    let mut network = Network::with_blocks(&HOSTS, SECOND);
    give(&network, &HOSTS, 500);
    network.start_all();
    network.await_height(&HOSTS, 503, 10);
    let (damaged, others) = (HOSTS[0], &HOSTS[1..]);
    network.kill(damaged);
    let blocks = network.path(damaged).join("timed.blocks.redb");
    let bytes = fs::read(&blocks).unwrap();
    fs::write(&blocks, &bytes[..bytes.len() / 2]).unwrap();
    network.start(damaged);
    assert_eq!(network.end(damaged), 1);
    assert!(network.logged(damaged, &["timed.blocks.redb", "damaged", "move this one file away"]) > 0);

    fs::rename(&blocks, network.path(damaged).join("away")).unwrap();
    let height = network.heights(others).1;
    network.start(damaged);
    network.await_height(&HOSTS, height + 2, 10);
    network.assert_one_chain(&HOSTS);
    // It knows from its journal what it has signed, and goes on to vote.
    network.await_producing(&HOSTS, 10 * SECOND);
    network.assert_no_evidence(&HOSTS);
}
