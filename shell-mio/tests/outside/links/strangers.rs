//! Peer lists that know little or wrong things, observers, copies of a key, and nodes of other networks (field
//! failures DIR-04, DIR-05, HS-02, BAN-05a, HB-02a).

use std::path::Path;

use crate::network::{Network, SECOND};
use crate::operator::{run, text, timed};

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    // 0700 and 0600 come along: the mode of a file is copied, the directory's is the umask's.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(to, mode).unwrap();
}

#[test]
fn dir_05_lists_of_one_peer_and_of_the_own_address_cost_no_link() {
    let hosts = [1, 2, 3, 4];
    let mut network = Network::new(&hosts);
    for host in hosts {
        let one = network.addr(if host == 1 { 4 } else { 1 });
        network.configure(host, "peers", &format!("[\"{one}\"]"));
    }
    let own = format!("[\"{}\", \"{}@{}\"]", network.addr(3), network.id(3), network.addr(3));
    network.configure(3, "peers", &own);
    network.start_all();
    network.eventually("six links", 10 * SECOND, || network.is_meshed(&hosts));
    network.assert_canonical(&hosts);
    std::thread::sleep(3 * SECOND);
    let to_itself = network.sockets().into_iter().filter(|socket| socket.local.ip() == socket.remote.ip());
    assert_eq!(to_itself.count(), 0, "node 3 dials itself");
    let (status, answer) = network.connect(3, 3);
    assert_eq!((status, &answer["error"]["code"]), (409, &"is_self".into()), "{answer}");
}

#[test]
fn dir_04_an_observer_without_an_address_dials_all_and_is_dialed_by_nobody() {
    let hosts = [101, 102, 103];
    let mut network = Network::standing(&hosts);
    let before = network.links();
    // Lower and higher addresses than the masternodes', with and without one of their own; each knows one.
    for (host, advertises) in [(1, false), (2, true), (201, false), (202, true)] {
        let ip = network.ip(host).to_string();
        let flags = ["--local-ip", &ip];
        network.init(host, if advertises { &flags } else { &[] });
        network.join(host);
        network.configure(host, "peers", &format!("[\"{}\"]", network.addr(102)));
        network.start(host);
        let linked = || hosts.iter().all(|mn| network.session(host, *mn).is_some());
        network.eventually("the observer has all masternodes", 10 * SECOND, linked);
        let status = network.get(host, "/status").1;
        assert_eq!(status["role"], "observer");
        // Observers that hear of each other have links of their own (S-5).
        let mut links = network.links();
        links.retain(|link| hosts.contains(&link.dialer) || hosts.contains(&link.acceptor));
        let outbound = links.iter().filter(|link| link.dialer == host).count();
        let inbound = links.iter().filter(|link| link.acceptor == host).count();
        let dials_all = !advertises || host < 101;
        assert_eq!((outbound, inbound), if dials_all { (3, 0) } else { (0, 3) }, "observer {host}");
        network.eventually("it is healthy", SECOND, || network.verb(host, &["health"]).code == 0);
    }
    let among: Vec<_> = network.links().into_iter().filter(|link| before.contains(link)).collect();
    assert_eq!(among, before, "the masternodes' links moved");
    let verdict = "3/3 links, 0 duplicate, 0 split, 0 one-sided, 0 wrong direction";
    network.eventually("an observer sees the whole matrix", 30 * SECOND, || {
        network.get(201, "/matrix").1["verdict"] == verdict
    });
    network.kill(201);
    network.start(201);
    network
        .eventually("it is back", 3 * SECOND, || hosts.iter().all(|mn| network.session(201, *mn).is_some()));
}

#[test]
fn p_8_a_peer_known_by_name_is_linked_although_it_comes_later() {
    let mut network = Network::standing(&[1]);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for host in [50, 51] {
        network.init(host, &[]);
        network.join(host);
    }
    // Nobody is there yet, and the other name is nobody's.
    network.configure(50, "peers", &format!("[\"localhost:{port}\", \"no-such-host.invalid\"]"));
    network.start(50);
    network.eventually("the name is asked about", 5 * SECOND, || {
        network.logged(50, &["dial failed", &format!("127.0.0.1:{port}")]) > 0
    });
    network.eventually("the other is told", 30 * SECOND, || {
        network.logged(50, &["WARN", "cannot resolve", "no-such-host.invalid"]) > 0
    });
    let dir = network.path(51);
    let listen = format!("127.0.0.1:{port}");
    let api = format!("{}:8332", network.ip(51));
    let mut command = timed(&[
        "run",
        "--data-dir",
        text(&dir),
        "--listen",
        &listen,
        "--api",
        &api,
        "--local-ip",
        "127.0.0.1",
    ]);
    command.env("TIMED_NETWORK__PORT", port.to_string());
    network.adopt_logged(51, &mut command);
    network.eventually("the link stands", 30 * SECOND, || {
        network.peers(50).iter().any(|peer| peer["node_id"] == network.id(51))
    });
}

#[test]
fn hb_02a_an_older_copy_of_the_data_directory_is_no_obstacle() {
    let hosts = [1, 2, 3];
    let mut network = Network::standing(&hosts);
    for host in [1, 3] {
        assert_eq!(network.terminate(host), 0);
        let old = network.path(host).with_extension("old");
        copy_dir(&network.path(host), &old);
        for _ in 0..2 {
            network.start(host);
            network.eventually("its links are back", 3 * SECOND, || network.is_meshed(&hosts));
            network.kill(host);
        }
        std::fs::remove_dir_all(network.path(host)).unwrap();
        std::fs::rename(&old, network.path(host)).unwrap();
        network.start(host);
        network.eventually("back with the older directory", 3 * SECOND, || network.is_meshed(&hosts));
        network.assert_canonical(&hosts);
        network.eventually("all are active", SECOND, || network.info(host)["active_masternodes"] == 3);
        // Its heartbeats count as new ones: the others witness them.
        network.eventually("its heartbeats are attested", 20 * SECOND, || {
            let list = network.get(2, "/masternodes").1;
            let mut list = list.as_array().unwrap().iter();
            list.any(|entry| entry["node_id"] == network.id(host) && entry["attested"] == true)
        });
    }
}

#[test]
fn one_key_in_two_processes_leaves_one_and_tells_what_to_do() {
    for host in [1, 3] {
        let hosts = [1, 2, 3];
        let mut network = Network::standing(&hosts);
        let twin = network.path(host).with_extension("twin");
        copy_dir(&network.path(host), &twin);
        std::fs::remove_file(twin.join("LOCK")).unwrap();
        let mut command = network.command(50, &twin);
        network.adopt(50, &mut command);
        let mut ended = None;
        network.eventually("one of the two ends", 10 * SECOND, || {
            ended = [host, 50].into_iter().find(|one| network.has_ended(*one));
            ended.is_some()
        });
        let ended = ended.unwrap();
        let survivor = if ended == host { 50 } else { host };
        assert_ne!(network.end(ended), 0);
        let told =
            network.logged(ended, &["the same node key runs in another process", "Stop one of the two"]);
        assert!(told > 0, "{}", network.log(ended));
        // The same key answers at the other address: the links stand again, and stay.
        let others: Vec<u8> = hosts.into_iter().filter(|other| *other != host).collect();
        let key = network.id(host).to_owned();
        let linked = || {
            let peers = network.peers(survivor);
            let others = others.iter().filter(|other| network.session(**other, host).is_some());
            peers.len() == 2 && others.count() == 2
        };
        if survivor == host || host == 1 {
            network.eventually("the survivor has its links", 10 * SECOND, linked);
            let links = network.links();
            std::thread::sleep(5 * SECOND);
            assert_eq!(network.links(), links);
            assert!(!network.has_ended(survivor));
        }
        assert_eq!(network.get(survivor, "/status").1["node_id"], key.as_str());
        let among = network.peers(others[0]);
        assert!(among.iter().any(|peer| peer["node_id"] == network.id(others[1])));
    }
}

#[test]
fn hs_02_nodes_of_another_network_or_genesis_are_told_and_harm_nobody() {
    let hosts = [1, 2, 3];
    let mut network = Network::standing(&hosts);
    let links = network.links();
    let masternodes: Vec<String> =
        hosts.iter().map(|host| format!("{}@{}", network.id(*host), network.addr(*host))).collect();
    for (host, more, reason) in
        [(50, ["--network", "elsewhere"], "wrong_network"), (51, ["--block-interval", "7s"], "wrong_genesis")]
    {
        network.init(host, &[]);
        let dir = network.path(host);
        let mut arguments = vec!["genesis", "--data-dir", text(&dir)];
        for masternode in &masternodes {
            arguments.extend(["--masternode", masternode]);
        }
        arguments.extend(more);
        let made = run(&arguments);
        assert_eq!(made.code, 0, "{made:?}");
        if host == 50 {
            network.configure(host, "network", "\"elsewhere\"");
        }
        network.start(host);
        network.eventually("it is told once for each", 5 * SECOND, || {
            let reason = format!("reason={reason}");
            network.logged(host, &["WARN", "incompatible peer", &reason, "genesis.toml"]) == 3
        });
        std::thread::sleep(4 * SECOND);
        assert_eq!(network.logged(host, &["incompatible peer"]), 3, "{}", network.log(host));
        assert!(network.peers(host).is_empty());
        let health = network.verb(host, &["health"]);
        assert_eq!(health.code, 2, "{health:?}");
        let why = network.verb(host, &["why", network.id(1)]);
        assert!(why.code == 0 && why.out.contains(reason), "{why:?}");
        let metrics = network.get(host, "/metrics").1;
        assert!(metrics.as_str().unwrap().contains(&format!("{{reason=\"{reason}\"}}")), "{metrics}");
        for healthy in hosts {
            let said = network.logged(healthy, &[reason]);
            assert!((1..=4).contains(&said), "node {healthy}: {said} lines: {}", network.log(healthy));
        }
        assert_eq!(network.links(), links, "the healthy network moved");
    }
    // Incompatible is not misbehaving: with the right genesis the same address and key are welcome.
    assert_eq!(network.terminate(51), 0);
    network.join(51);
    network.start(51);
    network.eventually("it is welcome now", 10 * SECOND, || network.peers(51).len() == 3);
}

#[test]
fn a_wrong_identity_in_the_peer_list_is_told_and_moves_no_link() {
    let hosts = [1, 2, 3];
    let mut network = Network::new(&hosts);
    // From the passive side and from the dialing one; an unknown key, and another masternode's.
    let unknown = "ab".repeat(32);
    network.configure(3, "peers", &format!("[\"{unknown}@{}\"]", network.addr(1)));
    network.configure(1, "peers", &format!("[\"{unknown}@{}\"]", network.addr(2)));
    network.start_all();
    network.eventually("three links", 10 * SECOND, || network.is_meshed(&hosts));
    let links = network.links();
    for _ in 0..8 {
        for (host, to) in [(3, 1), (1, 2), (2, 3), (2, 1)] {
            let body = format!("{{\"addr\":\"{unknown}@{}\"}}", network.addr(to));
            let (status, answer) = network.ask(host, "POST", "/peers", &body);
            assert_eq!((status, &answer["result"]), (202, &"dialing".into()), "{answer}");
        }
        std::thread::sleep(SECOND);
        // A refused dial is a connection too until both ends have closed it; a link that moved has another port.
        let held = network.links();
        assert!(
            links.iter().all(|link| held.contains(link)),
            "a dial for another node moved a link: {held:?}"
        );
    }
    network.eventually("the links of the start alone", 10 * SECOND, || network.links() == links);
    for host in hosts {
        assert_eq!(network.counter(host, "links_down"), 0, "{}", network.log(host));
        let reason = "timed_dials_failed_total{reason=\"wrong_identity\"}";
        assert!(network.get(host, "/metrics").1.as_str().unwrap().contains(reason));
        assert!(network.logged(host, &["wrong_identity"]) >= 1);
    }
    let why = network.get(3, &format!("/why/{unknown}")).1;
    assert!(why.to_string().contains("wrong_identity"), "{why}");
}
