//! Observers that find one another: what a daemon asks, keeps in its data directory and dials (rules P-4, P-5, S-5).

use crate::network::{Network, SECOND};

/// How many addresses of a kind a node says that it knows.
fn known(network: &Network, host: u8, kind: &str) -> u64 {
    network.get(host, "/status").1["addresses"][kind].as_u64().unwrap()
}

#[test]
fn observers_find_one_another_through_a_third_and_know_the_way_after_a_restart() {
    let mut network = Network::started(&[1]);
    for host in [2, 3, 4] {
        let ip = network.ip(host).to_string();
        network.init(host, &["--local-ip", &ip]);
        network.join(host);
    }
    let first = format!("[\"{}@{}\"]", network.id(2), network.addr(2));
    for host in [3, 4] {
        network.configure(host, "peers", &first);
    }
    network.start(2);
    network.start(3);
    // The lower address dials whoever knocks: so it has reached it.
    network.eventually("the bootstrap peer has reached the other", 10 * SECOND, || {
        network.session(2, 3).is_some() && known(&network, 2, "tried") == 1
    });
    network.start(4);
    network.eventually("all three observers are linked", 10 * SECOND, || network.is_meshed(&[2, 3, 4]));
    let metrics = network.verb(4, &["status"]);
    assert!(metrics.out.contains("address book"), "{metrics:?}");

    assert_eq!(network.terminate(4), 0);
    network.kill(2);
    network.start(4);
    network.eventually("the restarted one finds the other in its book", 10 * SECOND, || {
        network.is_meshed(&[3, 4])
    });
    assert!(known(&network, 4, "tried") > 0);
    assert_eq!(network.logged(4, &["set aside"]), 0);
}
