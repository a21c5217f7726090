//! Nodes that die, come back, or stop running for a while (field failures DUP-03, DUP-04a, LIVE-03, REC-01).

use std::time::{Duration, Instant};

use crate::network::{Network, SECOND, without};
use crate::operator::signal;

const HOSTS: [u8; 4] = [1, 5, 9, 200];

/// kill -9, and again at once or after a while: the links are back, nothing else moved.
fn comes_back(host: u8) {
    let mut network = Network::standing(&HOSTS);
    let others: Vec<u8> = HOSTS.into_iter().filter(|other| *other != host).collect();
    let kept = without(&network.links(), host);
    for away in [Duration::ZERO, 6 * SECOND] {
        network.kill(host);
        if !away.is_zero() {
            network.eventually("the dead peer has left /peers", 20 * SECOND, || {
                others.iter().all(|other| network.session(*other, host).is_none())
            });
        }
        std::thread::sleep(away);
        network.start(host);
        network.eventually("its links are back", 3 * SECOND, || network.is_meshed(&HOSTS));
        network.assert_canonical(&HOSTS);
        assert_eq!(without(&network.links(), host), kept, "the links among the others moved");
    }
    // The same sockets a while later: no late clean-up of what was lost hits what stands.
    let links = network.links();
    std::thread::sleep(3 * SECOND);
    assert_eq!(network.links(), links);
    assert!(network.is_meshed(&HOSTS));
    for other in others {
        assert_eq!(network.counter(other, "links_down"), 2, "node {other}: {}", network.log(other));
    }
}

#[test]
fn dup_04a_the_lowest_address_killed_and_restarted_is_back() {
    comes_back(HOSTS[0]);
}

#[test]
fn dup_04a_a_middle_address_killed_and_restarted_is_back() {
    comes_back(HOSTS[1]);
}

#[test]
fn dup_04a_the_highest_address_killed_and_restarted_is_back() {
    comes_back(HOSTS[3]);
}

#[test]
fn rec_03_all_killed_at_once_and_restarted_mesh_again() {
    let mut network = Network::standing(&HOSTS);
    for _ in 0..2 {
        for host in HOSTS {
            network.kill(host);
        }
        network.start_all();
        network.eventually("all links are back", 10 * SECOND, || network.is_meshed(&HOSTS));
        network.assert_canonical(&HOSTS);
    }
}

/// SIGSTOP for half a minute, then SIGCONT.
fn freezes_and_recovers(host: u8) {
    let network = Network::standing(&HOSTS);
    let others: Vec<u8> = HOSTS.into_iter().filter(|other| *other != host).collect();
    let kept = without(&network.links(), host);
    let entry = |other: u8| {
        let masternodes = network.get(other, "/masternodes").1;
        let mut entries = masternodes.as_array().unwrap().iter();
        entries.find(|entry| entry["node_id"] == network.id(host)).cloned().unwrap()
    };
    network.eventually("its heartbeat was heard", 10 * SECOND, || {
        others.iter().all(|other| entry(*other)["last_heartbeat"].is_string())
    });
    let begun = Instant::now();
    signal("STOP", network.pid(host));
    network.eventually("the silent peer has left /peers", 20 * SECOND, || {
        others.iter().all(|other| network.session(*other, host).is_none())
    });
    // The silence shows after 15 s. A sound implementation does not need the slack's time here.
    assert!(begun.elapsed() > 9 * SECOND, "given up before the liveness time-out");
    network.eventually("and the active set", 35 * SECOND, || {
        others.iter().all(|other| entry(*other)["active"] == false)
    });
    assert!(begun.elapsed() > 20 * SECOND, "inactive after {:?}", begun.elapsed());
    std::thread::sleep((30 * SECOND).saturating_sub(begun.elapsed()));

    let dials = others.iter().map(|other| network.counter(*other, "dials")).sum::<u64>();
    assert!(dials < 60, "{dials} dials in half a minute");
    let lines = network.log(host).lines().count();
    signal("CONT", network.pid(host));
    network.eventually("its links are back", 10 * SECOND, || network.is_meshed(&HOSTS));
    network.assert_canonical(&HOSTS);
    assert_eq!(without(&network.links(), host), kept, "the others keep theirs among themselves");
    assert_eq!(network.logged(host, &["link down", "reason=silent", "by=us"]), 0, "{}", network.log(host));
    assert_eq!(network.logged(host, &["did not run for a while"]), 1, "{}", network.log(host));
    let said = network.log(host).lines().count() - lines;
    assert!(said < 40, "{said} lines after the freeze: {}", network.log(host));
    let verdict = "6/6 links, 0 duplicate, 0 split, 0 one-sided, 0 wrong direction";
    network.eventually("all say so", 30 * SECOND, || {
        HOSTS.iter().all(|host| network.get(*host, "/matrix").1["verdict"] == verdict)
    });
    // A burst of heartbeats or pings for the missed time would be refused or slowed by the others.
    for other in others {
        assert_eq!(network.counter(other, "heartbeats_invalid"), 0);
        assert!(!network.has_ended(other));
    }
}

#[test]
fn live_03_the_lowest_address_frozen_for_half_a_minute_recovers() {
    freezes_and_recovers(HOSTS[0]);
}

#[test]
fn live_03_the_highest_address_frozen_for_half_a_minute_recovers() {
    freezes_and_recovers(HOSTS[3]);
}

#[test]
fn live_03_all_frozen_together_lose_no_link() {
    let network = Network::standing(&HOSTS);
    let links = network.links();
    for host in HOSTS {
        signal("STOP", network.pid(host));
    }
    // Longer than silence is borne: as when the machine under all of them stood still.
    std::thread::sleep(20 * SECOND);
    for host in HOSTS {
        signal("CONT", network.pid(host));
    }
    std::thread::sleep(8 * SECOND);
    assert_eq!(network.links(), links);
    for host in HOSTS {
        assert_eq!(network.counter(host, "links_down"), 0, "{}", network.log(host));
    }
}
