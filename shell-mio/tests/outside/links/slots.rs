//! Few places, real daemons: masternodes and reserved peers always have one, observers what is left (field failure
//! PEX-02b), and limits that need too much memory are refused before anything starts.

use crate::network::{Network, SECOND};
use crate::operator::{run, text};

/// The value of a sample of a node's metrics.
fn sample(network: &Network, host: u8, name: &str) -> String {
    let body = network.get(host, "/metrics").1;
    let body = body.as_str().unwrap();
    let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in:\n{body}")).to_owned()
}

fn slots(network: &Network, host: u8, class: &str) -> [String; 2] {
    ["used", "free"]
        .map(|state| sample(network, host, &format!("timed_slots{{class=\"{class}\",state=\"{state}\"}}")))
}

fn observer(network: &mut Network, host: u8) {
    let ip = network.ip(host).to_string();
    network.init(host, &["--local-ip", &ip]);
    network.join(host);
}

#[test]
fn pex_02b_observers_take_what_masternodes_and_reserved_peers_leave() {
    let masternodes = [1, 2, 3];
    let mut network = Network::new(&masternodes);
    observer(&mut network, 105);
    for host in masternodes {
        network.configure(host, "max_peers", "5");
        network.configure(host, "masternode_slots", "2");
    }
    // By its address: whoever answers there.
    let reserved = format!("[\"{}\"]", network.addr(105));
    network.configure(1, "reserved_peers", &reserved);
    network.start_all();
    network.eventually("the mesh", 10 * SECOND, || network.is_meshed(&masternodes));
    // Higher addresses: the masternodes are to dial them, and must not where they have no place.
    for host in [101, 102, 103, 104] {
        observer(&mut network, host);
        network.start(host);
    }
    let full = |network: &Network| {
        (network.peers(1).len(), network.peers(2).len(), network.peers(3).len()) == (4, 5, 5)
    };
    network.eventually("every place for observers is taken", 20 * SECOND, || full(&network));
    // The numbers are at most 250 ms old.
    network.eventually("the metrics tell", SECOND, || {
        slots(&network, 1, "masternode") == ["2", "0"]
            && slots(&network, 1, "reserved") == ["0", "1"]
            && slots(&network, 1, "observer") == ["2", "0"]
    });
    let left_out = [101, 102, 103, 104].into_iter().find(|host| network.session(*host, 1).is_none()).unwrap();
    network.eventually("it knows why", 20 * SECOND, || {
        let why = network.get(left_out, &format!("/why/{}", network.id(1))).1;
        why["decision"] == "slots_full" && why["rule"] == "S-3" && why["next"]["in_ms"].as_u64() > Some(5_000)
    });
    let why = network.get(1, &format!("/why/{}", network.id(left_out))).1;
    assert_eq!((&why["decision"], &why["rule"]), (&"no_slot".into(), &"S-3".into()), "{why}");
    // A knock is refused before any dial is made for it.
    let attempts = why["attempts"].as_array().unwrap();
    assert!(
        !attempts.is_empty() && attempts.iter().all(|attempt| attempt["direction"] == "inbound"),
        "{why}"
    );

    // The reserved peer comes last and has its place, as has a masternode that comes back.
    network.start(105);
    network.eventually("the reserved peer is linked", 10 * SECOND, || {
        network.session(1, 105).is_some_and(|session| session["class"] == "reserved")
    });
    let observers = |network: &Network| {
        let mut ids: Vec<String> = network
            .peers(1)
            .into_iter()
            .filter(|peer| peer["class"] == "observer")
            .map(|peer| peer["session"].to_string())
            .collect();
        ids.sort();
        ids
    };
    let before = observers(&network);
    assert_eq!(before.len(), 2);
    network.kill(3);
    std::thread::sleep(SECOND);
    network.start(3);
    network.eventually("the masternode is back", 3 * SECOND, || network.is_meshed(&masternodes));
    std::thread::sleep(2 * SECOND);
    assert_eq!(observers(&network), before, "no observer's link moved");
    assert_eq!(network.peers(1).len(), 5);
}

/// The core's own shares, with the registry first where there is not enough for all (rule S-3).
#[test]
fn check_config_says_how_the_places_are_shared_out() {
    let masternodes: Vec<u8> = (1..=9).collect();
    let network = Network::new(&masternodes);
    let shares = |max_peers: &str, reserved: &str| {
        network.configure(1, "max_peers", max_peers);
        network.configure(1, "masternode_slots", "1");
        network.configure(1, "reserved_peers", reserved);
        let check = run(&["check-config", "--data-dir", text(&network.path(1))]);
        assert_eq!(check.code, 0, "{check:?}");
        let line = check.out.lines().find_map(|line| line.strip_prefix("max peers     ").map(str::to_owned));
        line.unwrap_or_else(|| panic!("{check:?}"))
    };
    let three = "[\"10.0.0.1:1\", \"10.0.0.2:1\", \"localhost:3\"]";
    assert_eq!(shares("20", three), "20 (8 for masternodes, 3 for reserved peers, 9 for others)");
    assert_eq!(shares("10", three), "10 (8 for masternodes, 2 for reserved peers, 0 for others)");
    assert_eq!(shares("8", three), "8 (8 for masternodes, 0 for reserved peers, 0 for others)");
}

#[test]
fn limits_that_need_more_memory_than_allowed_are_refused_with_the_largest_parts() {
    let network = Network::new(&[1]);
    let check = || run(&["check-config", "--data-dir", text(&network.path(1))]);
    let fits = check();
    assert_eq!(fits.code, 0, "{fits:?}");
    assert!(fits.out.contains("MiB at most"), "{fits:?}");
    network.configure(1, "max_memory", "\"100MiB\"");
    for refused in [check(), run(&["run", "--data-dir", text(&network.path(1))])] {
        assert_eq!(refused.code, 78, "{refused:?}");
        for part in
            ["limits.max_memory = 100 MiB", "live links (lower max_peers, payload_lane", "transactions"]
        {
            assert!(refused.err.contains(part), "{part} not in {refused:?}");
        }
    }
    network.configure(1, "payload_lane", "\"512KiB\"");
    network.configure(1, "max_peers", "21");
    network.configure(1, "mempool", "\"2MiB\"");
    network.configure(1, "serving", "\"4MiB\"");
    network.configure(1, "memory", "\"1MiB\"");
    let fits = check();
    assert_eq!(fits.code, 0, "{fits:?}");
}
