//! Nodes that were away, and nodes that have never been there: they catch up while blocks go on (field failures
//! SYNC-01b, SYNC-02a, PROD-08). `TIMED_SOAK=1` runs the long versions.

use std::time::Duration;

use crate::network::chain::usually_or_soaking;
use crate::network::{Network, SECOND};

const HOSTS: [u8; 4] = [1, 2, 3, 4];
const FAST: Duration = Duration::from_millis(200);

#[test]
fn a_masternode_that_was_away_catches_up_and_takes_part_again() {
    let mut network = Network::with_a_chain(&HOSTS, FAST);
    network.kill(2);
    let others = [1, 3, 4];
    let from = network.heights(&others).1;
    let missed = usually_or_soaking(60, 1_000);
    network.eventually("blocks without it", FAST * missed * 2, || {
        network.heights(&others).0 >= from + u64::from(missed)
    });
    network.start(2);
    network
        .eventually("it has caught up", 5 * SECOND, || network.height(2) + 2 >= network.heights(&others).0);
    assert_eq!(network.logged(2, &["blocks are missing"]), 1, "{}", network.log(2));
    network.eventually("and says so", 2 * SECOND, || network.logged(2, &["caught up"]) == 1);
    network.await_producing(&HOSTS, 5 * SECOND);
    // It leads again: one of the next few blocks is its own.
    let from = network.heights(&HOSTS).1;
    network.await_height(&HOSTS, from + 12, 40);
    let chain = network.assert_one_chain(&HOSTS);
    let own =
        chain.iter().skip(usize::try_from(from).unwrap()).any(|block| block["proposer"] == network.id(2));
    assert!(own, "it leads no more");
    network.assert_no_evidence(&HOSTS);
}

#[test]
fn an_observer_begins_with_nothing_and_follows() {
    let mut network = Network::with_a_chain(&HOSTS, FAST);
    network.await_height(&HOSTS, 20, 60);
    let id = network.taken(3, b"before the observer came");
    network.init(9, &[]);
    network.join(9);
    let peers = format!("[\"{}\", \"{}\"]", network.addr(1), network.addr(4));
    network.configure(9, "peers", &peers);
    network.start(9);
    network.eventually("it follows", 5 * SECOND, || network.height(9) + 3 >= network.heights(&HOSTS).0);
    network.eventually("it knows the transaction", 2 * SECOND, || network.is_committed(&[9], &id));
    assert_eq!(network.why_not(9).as_deref(), Some("observer"));
    network.eventually("it is ready", 5 * SECOND, || network.get(9, "/readyz").0 == 200);
    let from = network.height(9);
    network.await_height(&[9], from + 10, 20);
    // What is submitted to it goes into a block too.
    let id = network.taken(9, b"by the observer");
    network.eventually("in a block everywhere", 2 * SECOND, || network.is_committed(&[1, 2, 3, 4, 9], &id));
    network.assert_one_chain(&[1, 2, 3, 4, 9]);
}

/// A masternode whose data directory is a copy of another moment: it must not vote until it knows more.
#[test]
fn a_restored_voting_record_abstains_and_comes_back() {
    let mut network = Network::with_a_chain(&HOSTS, SECOND / 2);
    network.kill(3);
    let old = tempfile::tempdir().unwrap();
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            if entry.file_name() != "LOCK" {
                std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    };
    copy(&network.path(3), old.path());
    network.start(3);
    network.eventually("every link stands", 3 * SECOND, || network.is_meshed(&HOSTS));
    let from = network.heights(&HOSTS).1;
    network.await_height(&HOSTS, from + 6, 20);
    network.kill(3);
    copy(old.path(), &network.path(3));
    network.start(3);
    network.eventually("it takes part again", 10 * SECOND, || network.info(3)["producing"] == true);
    let from = network.heights(&HOSTS).1;
    network.await_height(&HOSTS, from + 8, 20);
    network.assert_one_chain(&HOSTS);
    network.assert_no_evidence(&HOSTS);
}
