//! Disks that are full or damaged: the node stops with clear words before it says what it could not record.

#![allow(clippy::unwrap_used)] // A test fails where it cannot go on.

mod daemons;
mod operator;

use std::fs;
use std::process::Command;

use daemons::{Network, SECOND};

const HOSTS: [u8; 4] = [1, 2, 3, 4];

/// A node that may make no file larger than `bytes`: to it, the disk is full then.
fn with_little_room(network: &Network, host: u8, bytes: u64) -> Command {
    let node = network.command(host, &network.path(host));
    let mut limited = Command::new("sh");
    // In units of 512 bytes; a write beyond is an error as on a full disk, and no signal.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", bytes / 512);
    limited.args(["-c", &script]).arg(node.get_program()).args(node.get_args());
    for (name, value) in node.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited
}

#[test]
fn a_full_disk_ends_the_node_with_clear_words_and_the_others_go_on() {
    let mut network = Network::with_a_chain(45, &HOSTS, SECOND);
    let (full, others) = (HOSTS[3], &HOSTS[..3]);
    assert_eq!(network.terminate(full), 0);
    let size = |name: &str| fs::metadata(network.path(full).join(name)).unwrap().len();
    let room = size("timed.redb").max(size("timed.blocks.redb"));
    let mut command = with_little_room(&network, full, room);
    network.adopt_logged(full, &mut command);
    network.await_producing(&HOSTS, 10 * SECOND);
    let mut fill = 0_u32;
    while !network.has_ended(full) {
        fill += 1;
        assert!(fill < 200, "it has found room for {fill} transactions of 64 KiB");
        let mut transaction = vec![0; 64 * 1024];
        transaction[..4].copy_from_slice(&fill.to_le_bytes());
        let (status, answer) = network.submit(others[0], &transaction);
        assert!(matches!(status, 202 | 503), "{answer}");
        std::thread::sleep(SECOND / 10);
    }
    assert_eq!(network.end(full), 1);
    let log = network.log(full);
    let fatal: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    println!("{fatal:#?}");
    assert_eq!(
        network.logged(full, &["ERROR", "cannot write to database", "redb", "File too large"]),
        1,
        "{log}"
    );
    assert_eq!(network.logged(full, &["ERROR", "halted"]), 1, "{log}");

    let height = network.heights(others).1;
    network.await_height(others, height + 3, 6);
    network.start(full);
    network.await_height(&HOSTS, height + 3, 6);
    network.assert_one_chain(&HOSTS);
    network.assert_no_evidence(&HOSTS);
}

#[test]
fn a_damaged_chain_is_fatal_and_the_remedy_that_it_names_works() {
    let mut network = Network::with_a_chain(46, &HOSTS, SECOND);
    network.await_height(&HOSTS, 5, 10);
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
