//! The whole network from outside: one lasting connection a pair, dialed by the lower address (field failures
//! DIR-01, DIR-02a, DUP-06, OPS-01).

use std::time::{Duration, Instant};

use crate::network::{Network, SECOND};

/// How long the network is watched; ten minutes are `TIMED_SOAK=600`.
fn soak() -> Duration {
    std::env::var("TIMED_SOAK").map_or(8 * SECOND, |seconds| SECOND * seconds.parse::<u32>().unwrap())
}

/// Starts these at once, expects every link, then watches that nothing moves.
fn forms_and_stays(hosts: &[u8], within: Duration) {
    let mut network = Network::started(hosts);
    let expected = hosts.len() * (hosts.len() - 1) / 2;
    network.eventually(&format!("{expected} links"), within, || network.is_meshed(hosts));
    network.assert_canonical(hosts);

    let verdict =
        format!("{expected}/{expected} links, 0 duplicate, 0 split, 0 one-sided, 0 wrong direction");
    network.eventually("the matrix is whole at every node", 20 * SECOND, || {
        hosts.iter().all(|host| network.get(*host, "/matrix").1["verdict"] == verdict.as_str())
    });
    for host in hosts {
        let matrix = network.verb(*host, &["matrix"]);
        assert!(matrix.code == 0 && matrix.out.contains(&verdict), "{matrix:?}");
        let info = network.info(*host);
        assert_eq!(info["active_masternodes"], hosts.len());
        assert_eq!(info["connected_peers"], hosts.len() - 1);
        let lower = hosts.iter().filter(|other| *other < host).count();
        let links = &info["links"];
        assert_eq!(
            (&links["inbound"], &links["outbound"], &links["duplicates"]),
            (&lower.into(), &(hosts.len() - 1 - lower).into(), &0.into())
        );
    }

    let numbers = |host: u8| {
        let counters = ["dials", "knocks", "links_up", "links_down", "freezes"];
        counters.map(|name| network.counter(host, name))
    };
    let lines = |host: u8| network.log(host).lines().count();
    let links = network.links();
    let before: Vec<_> = hosts.iter().map(|host| (numbers(*host), lines(*host))).collect();
    let (begun, watched) = (Instant::now(), soak());
    while begun.elapsed() < watched {
        std::thread::sleep(watched.min(SECOND));
        assert_eq!(network.links(), links, "the same sockets after {:?}", begun.elapsed());
    }
    for (host, (counters, logged)) in hosts.iter().zip(before) {
        let now = numbers(*host);
        assert_eq!(now[..4], counters[..4], "node {host}: no dial, no knock, no link up or down");
        // 100 lines an hour, and one for a machine that did not run for a while.
        let allowed = 100 * watched.as_secs() / 3600 + (now[4] - counters[4]);
        let said = lines(*host) - logged;
        assert!(said as u64 <= allowed, "node {host}: {said} lines in {watched:?}: {}", network.log(*host));
        let peers = network.peers(*host);
        assert!(peers.iter().all(|peer| peer["reconnects_1h"] == 0), "{peers:?}");
    }
    for host in hosts {
        assert_eq!(network.terminate(*host), 0);
    }
}

#[test]
fn dir_01_four_nodes_form_six_links_where_text_and_numbers_order_differently() {
    forms_and_stays(&[2, 9, 10, 100], 10 * SECOND);
}

#[test]
fn dir_01_fourteen_nodes_form_ninety_one_links() {
    forms_and_stays(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 100, 200], 10 * SECOND);
}

#[test]
fn a_node_says_goodbye_and_ends_in_order() {
    let mut network = Network::standing(&[1, 2, 3]);
    let links = network.links();
    assert_eq!(network.terminate(2), 0);
    network.eventually("the others have lost it", SECOND, || {
        [1, 3].iter().all(|host| network.peers(*host).len() == 1)
    });
    for host in [1, 3] {
        assert_eq!(network.logged(host, &["link down", "reason=shutdown", "by=peer"]), 1);
        let metrics = network.get(host, "/metrics").1;
        let closed = "timed_links_closed_total{reason=\"shutdown\"} 1";
        assert!(metrics.as_str().unwrap().contains(closed), "{metrics}");
        let why = network.get(host, &format!("/why/{}", network.id(2))).1;
        assert!(why.to_string().contains("\"shutdown\""), "{why}");
    }
    assert_eq!(network.links(), crate::network::without(&links, 2));
}

#[test]
fn a_peer_that_does_not_answer_cannot_hold_up_the_end() {
    let mut network = Network::standing(&[1, 2, 3]);
    crate::operator::signal("STOP", network.pid(2));
    let begun = Instant::now();
    assert_eq!(network.terminate(1), 0);
    println!("ended after {:?}", begun.elapsed());
    // And a second signal ends at once what the first one may still be waiting for.
    let pid = network.pid(3);
    crate::operator::signal("INT", pid);
    crate::operator::signal("INT", pid);
    let begun = Instant::now();
    network.end(3);
    assert!(begun.elapsed() < 2 * crate::network::SLACK * SECOND, "{:?}", begun.elapsed());
    crate::operator::signal("CONT", network.pid(2));
    assert_eq!(network.terminate(2), 0);
}
