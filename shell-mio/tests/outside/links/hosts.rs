//! Nodes on machines of their own: power cuts, pulled cables, and packets that pass one way only (field failures
//! DUP-04a, DIR-03a). Needs root, `ip` and `nft`.

use std::time::Instant;

use crate::network::hosts::Hosts;
use crate::network::{SECOND, without};

const HOSTS: [u8; 3] = [2, 9, 10];

/// Asserts that both kernels of each pair hold one connection between them, the same, dialed as `dialed` says.
fn assert_pairs(hosts: &Hosts, dialed: impl Fn(u8, u8) -> (u8, u8)) {
    for a in HOSTS {
        for b in HOSTS.into_iter().filter(|b| a < *b) {
            let between = |host: u8| {
                let mut links = hosts.links(host);
                links.retain(|link| {
                    (link.dialer, link.acceptor) == (a, b) || (link.dialer, link.acceptor) == (b, a)
                });
                links
            };
            let (at_a, at_b) = (between(a), between(b));
            assert_eq!(at_a, at_b, "{a} and {b} hold different sockets");
            let pairs: Vec<_> = at_a.iter().map(|link| (link.dialer, link.acceptor)).collect();
            assert_eq!(pairs, [dialed(a, b)]);
            let (one, two) = (hosts.session(a, b).unwrap(), hosts.session(b, a).unwrap());
            assert_eq!(one["session"], two["session"]);
        }
    }
}

#[test]
fn dup_04a_after_a_power_cut_the_links_are_back_although_the_others_hold_half_open_sockets() {
    let Some(mut hosts) = Hosts::standing(&HOSTS) else { return };
    for cut in HOSTS {
        let others: Vec<u8> = HOSTS.into_iter().filter(|host| *host != cut).collect();
        let kept = without(&hosts.links(others[0]), cut);
        hosts.cut_power(cut);
        for other in &others {
            assert_eq!(hosts.links(*other).len(), 2, "node {other} was told of the power cut");
        }
        hosts.boot(cut);
        // What arrives for the lost sockets is not answered, as behind a firewall that keeps state.
        let deaf = hosts.filter(cut, "output", "tcp flags & rst == rst drop");
        hosts.start(cut);
        hosts.await_mesh(&HOSTS, 3);
        if deaf {
            // Longer than silence takes to show: clearing up the lost links does not touch the new ones.
            let links = hosts.links(cut);
            std::thread::sleep(18 * SECOND);
            assert_eq!(hosts.links(cut), links, "a late clean-up moved a link");
        }
        assert_pairs(&hosts, |a, b| (a, b));
        assert_eq!(without(&hosts.links(others[0]), cut), kept, "the others' link moved");
    }
}

#[test]
fn live_03_a_dead_machine_leaves_the_peers_and_then_the_active_set() {
    let Some(mut hosts) = Hosts::standing(&HOSTS) else { return };
    let heard = || {
        [2, 9].iter().all(|host| {
            let list = hosts.json(*host, "masternodes");
            let mut list = list.as_array().unwrap().iter();
            list.any(|entry| entry["node_id"] == hosts.network.id(10) && entry["last_heartbeat"].is_string())
        })
    };
    hosts.network.eventually("its heartbeat was heard", 10 * SECOND, heard);
    let begun = Instant::now();
    hosts.cut_power(10);
    let gone = || [2, 9].iter().all(|host| hosts.session(*host, 10).is_none());
    hosts.network.eventually("out of /peers", 20 * SECOND, gone);
    assert!(begun.elapsed() > 9 * SECOND, "given up before the liveness time-out");
    let inactive = || [2, 9].iter().all(|host| hosts.json(*host, "status")["masternodes"]["active"] == 2);
    hosts.network.eventually("out of the active set", 35 * SECOND, inactive);
    // Its heartbeat was at most 10 s old when the machine died, and counts for 35 s.
    assert!(begun.elapsed() > 20 * SECOND, "inactive after {:?}", begun.elapsed());
    hosts.boot(10);
    hosts.start(10);
    hosts.await_mesh(&HOSTS, 3);
    assert_pairs(&hosts, |a, b| (a, b));
}

#[test]
fn a_cable_out_for_a_while_and_in_again_brings_the_links_back() {
    let Some(hosts) = Hosts::standing(&HOSTS) else { return };
    let kept = without(&hosts.links(2), 9);
    hosts.cable(9, "down");
    hosts.network.eventually("both sides have given up", 20 * SECOND, || {
        hosts.session(2, 9).is_none() && hosts.session(10, 9).is_none() && hosts.session(9, 2).is_none()
    });
    std::thread::sleep(10 * SECOND);
    hosts.cable(9, "up");
    // The longest wait between two dials of masternodes is 10 s, and a dial may be under way for 5 s.
    hosts.await_mesh(&HOSTS, 16);
    assert_pairs(&hosts, |a, b| (a, b));
    assert_eq!(without(&hosts.links(2), 9), kept, "the others' link moved");
}

#[test]
fn dir_03a_one_way_reachability_costs_no_link() {
    // The canonical way is shut, then the other one.
    for (from, to) in [(2, 10), (10, 2)] {
        let Some(mut hosts) = Hosts::standing(&HOSTS) else { return };
        let rule = format!("ip saddr {} tcp flags & (syn|ack) == syn drop", hosts.network.ip(from));
        if !hosts.filter(to, "input", &rule) {
            return;
        }
        for host in HOSTS {
            hosts.network.kill(host);
        }
        for host in HOSTS {
            hosts.start(host);
        }
        hosts.await_mesh(&HOSTS, 10);
        let dialed = |a, b| if (a, b) == (from, to) { (b, a) } else { (a, b) };
        assert_pairs(&hosts, dialed);
        let because = hosts.session(2, 10).unwrap()["dialed_because"].clone();
        assert_eq!(because, if from == 2 { "fallback" } else { "canonical" });
        let wrong = usize::from(from == 2);
        let verdict = format!("3/3 links, 0 duplicate, 0 split, 0 one-sided, {wrong} wrong direction");
        hosts.network.eventually("the matrix says so", 20 * SECOND, || {
            HOSTS.iter().all(|host| hosts.json(*host, "matrix")["verdict"] == verdict.as_str())
        });
        let links = hosts.links(2);
        std::thread::sleep(15 * SECOND);
        assert_eq!(hosts.links(2), links, "a link was closed to restore the direction");
    }
}
