//! `timed doctor`, on nodes that are well and on those that are not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::loopback::quiet_ip;
use crate::network::{Network, PORT, SECOND, with_clock};
use crate::operator::{Done, done, lone_node, run, signal, text, timed};
use serde_json::Value;

/// The result of a check, `ok` where there are several only if all are.
fn result<'a>(found: &'a Value, name: &str) -> (&'a str, String) {
    let checks = found["checks"].as_array().unwrap_or_else(|| panic!("{found}"));
    let named: Vec<&Value> = checks.iter().filter(|check| check["name"] == name).collect();
    let worst = named.iter().find(|check| check["result"] != "ok").or(named.first());
    worst.map_or(("missing", String::new()), |check| (check["result"].as_str().unwrap(), check.to_string()))
}

fn found(doctor: &Done) -> Value {
    let found: Value = serde_json::from_str(&doctor.out).unwrap_or_else(|_| panic!("{doctor:?}"));
    assert_eq!(found["ok"] == true, doctor.code == 0, "{doctor:?}");
    found
}

fn examined(dir: &Path, more: &[&str]) -> Value {
    let mut arguments = vec!["doctor", "--json", "--data-dir", text(dir)];
    arguments.extend(more);
    found(&run(&arguments))
}

fn assert_found(found: &Value, name: &str, expected: &str, word: &str) {
    let (result, check) = result(found, name);
    assert!(
        result == expected && check.contains(word),
        "{name} is not {expected} for {word}: {check}\n{found}"
    );
}

#[test]
fn a_node_that_does_not_run_is_examined_by_its_files_and_its_machine() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("node");
    let ip = quiet_ip();
    lone_node(&dir, ip);
    let (listen, api) = (format!("{ip}:{PORT}"), format!("{ip}:8332"));
    let places = ["--listen", &*listen, "--api", &*api];
    let well = examined(&dir, &places);
    for name in
        ["data directory", "node key", "config", "genesis", "local_ip", "disk", "open files", "listen", "api"]
    {
        assert_found(&well, name, "ok", "");
    }
    assert_found(&well, "public address", "ok", "nobody answers");
    assert_found(&well, "node", "warn", "no node runs here");
    assert_eq!(well["ok"], true, "{well}");
    let told = run(&["doctor", "--data-dir", text(&dir), "--listen", &listen, "--api", &api]);
    assert!(told.code == 0 && told.out.contains("0 wrong"), "{told:?}");

    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let key = dir.join("node_key");
    mode(&key, 0o644);
    assert_found(&examined(&dir, &places), "node key", "fail", "chmod 600");
    mode(&key, 0o600);
    mode(&dir, 0o777);
    assert_found(&examined(&dir, &places), "data directory", "fail", "chmod 700");
    mode(&dir, 0o700);

    let config = fs::read_to_string(dir.join("config.toml")).unwrap();
    fs::write(dir.join("config.toml"), config.replace("[network]", "[network]\nmax_pears = 3")).unwrap();
    assert_found(&examined(&dir, &places), "config", "fail", "max_peers");
    fs::write(dir.join("config.toml"), &config).unwrap();
    let elsewhere = ["--local-ip", "192.0.2.7"];
    assert_found(&examined(&dir, &elsewhere), "local_ip", "fail", "192.0.2.7");

    let genesis = fs::read_to_string(dir.join("genesis.toml")).unwrap();
    fs::write(dir.join("genesis.toml"), "network = ").unwrap();
    assert_found(&examined(&dir, &places), "genesis", "fail", "genesis.toml");
    fs::remove_file(dir.join("genesis.toml")).unwrap();
    assert_found(&examined(&dir, &places), "genesis", "fail", "copy the network");
    fs::write(dir.join("genesis.toml"), genesis).unwrap();
    let nowhere = examined(&home.path().join("nothing"), &[]);
    assert_found(&nowhere, "data directory", "fail", "timed init");

    let taken = std::net::TcpListener::bind(&listen).unwrap();
    let busy = examined(&dir, &places);
    assert_found(&busy, "listen", "fail", "in use");
    assert_found(&busy, "public address", "fail", "another machine");
    drop(taken);
    assert_found(
        &examined(&dir, &["--listen", "192.0.2.7:24100", "--api", &api]),
        "listen",
        "fail",
        "no interface",
    );

    let limited = format!(
        "ulimit -n 64; exec \"$0\" doctor --json --data-dir {} --listen {listen} --api {api}",
        text(&dir)
    );
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &limited, env!("CARGO_BIN_EXE_timed")]);
    assert_found(&found(&done(&mut shell)), "open files", "fail", "64");
}

#[test]
fn a_running_network_is_well_and_a_node_that_hangs_or_has_lost_its_links_is_not() {
    let hosts = [1, 2, 3];
    let mut network = Network::standing(&hosts);
    let flags = |network: &Network, host: u8| {
        let (listen, api) = (network.addr(host), format!("{}:8332", network.ip(host)));
        examined(&network.path(host), &["--listen", &listen, "--api", &api])
    };
    for host in hosts {
        network.eventually("it is well", 10 * SECOND, || flags(&network, host)["ok"] == true);
        let well = flags(&network, host);
        for name in
            ["node", "version", "clock", "seen at", "links", "same key", "key elsewhere", "open files"]
        {
            assert_found(&well, name, "ok", "");
        }
    }
    assert_found(&flags(&network, 3), "reachable", "ok", "2 peers dialed");
    assert_found(&flags(&network, 2), "reachable", "ok", "1 peer dialed");
    assert_found(&flags(&network, 1), "reachable", "ok", "lower than every other");

    network.kill(1);
    network
        .eventually("a lost link is seen", 20 * SECOND, || result(&flags(&network, 2), "links").0 == "warn");
    network.kill(3);
    network.eventually("no link is left", 20 * SECOND, || result(&flags(&network, 2), "links").0 == "fail");
    signal("STOP", network.pid(2));
    assert_found(&flags(&network, 2), "node", "fail", "does not answer");
    signal("CONT", network.pid(2));
    network.eventually("it answers again", 10 * SECOND, || result(&flags(&network, 2), "node").0 == "ok");
}

#[test]
fn a_node_behind_another_address_hears_where_it_is_seen_and_that_nobody_gets_through() {
    let hosts = [1, 2, 3, 4];
    let mut network = Network::new(&hosts);
    for host in [1, 2, 3] {
        network.start(host);
    }
    // It says that it is at .4, and is at .9: as with the wrong local_ip, or behind NAT without forwarding.
    let (listen, api) = (format!("{}:{PORT}", network.ip(9)), format!("{}:8332", network.ip(4)));
    let dir = network.path(4);
    network
        .adopt_logged(4, &mut timed(&["run", "--data-dir", text(&dir), "--listen", &listen, "--api", &api]));
    let examine = || examined(&dir, &["--listen", &listen, "--api", &api]);
    network.eventually("it is linked by its own dials", 15 * SECOND, || network.peers(4).len() == 3);
    let found = examine();
    assert_found(&found, "seen at", "fail", &network.ip(9).to_string());
    assert_found(&found, "reachable", "fail", "3 masternodes are to dial");
}

#[test]
fn a_key_that_runs_twice_is_found_on_this_machine_and_by_the_peers() {
    let hosts = [1, 2, 3, 4];
    let mut network = Network::standing(&hosts);
    let twin = network.path(9);
    fs::create_dir(&twin).unwrap();
    fs::set_permissions(&twin, fs::Permissions::from_mode(0o700)).unwrap();
    for file in ["config.toml", "genesis.toml", "node_key"] {
        fs::copy(network.path(4).join(file), twin.join(file)).unwrap();
    }
    let (listen, api) = (format!("{}:{PORT}", network.ip(9)), format!("{}:8332", network.ip(9)));
    let before = examined(&twin, &["--listen", &listen, "--api", &api]);
    assert_found(&before, "same key", "fail", &format!("process {}", network.pid(4)));
    assert_found(&before, "public address", "fail", "another machine");
    network
        .adopt_logged(9, &mut timed(&["run", "--data-dir", text(&twin), "--listen", &listen, "--api", &api]));
    let either_knows = || {
        [(4, network.addr(4)), (9, listen.clone())].iter().any(|(host, listen)| {
            let api = format!("{}:8332", network.ip(*host));
            let found = run(&[
                "doctor",
                "--json",
                "--data-dir",
                text(&network.path(*host)),
                "--listen",
                listen,
                "--api",
                &api,
            ]);
            found.out.contains("peers have seen another process with this node's key")
        })
    };
    network.eventually("one of the two is told by the peers, or has halted", 15 * SECOND, || {
        either_knows() || network.has_ended(4) || network.has_ended(9)
    });
}

#[test]
fn a_clock_that_is_off_is_named() {
    let hosts = [1, 2, 3, 4];
    let mut network = Network::new(&hosts);
    let mut wrong = network.command(4, &network.path(4));
    if !with_clock(&mut wrong, "+20s") {
        return;
    }
    for host in [1, 2, 3] {
        network.start(host);
    }
    network.adopt(4, &mut wrong);
    let (listen, api) = (network.addr(4), format!("{}:8332", network.ip(4)));
    network.eventually("the others' clocks are heard", 15 * SECOND, || {
        let found = examined(&network.path(4), &["--listen", &listen, "--api", &api]);
        result(&found, "clock").0 == "fail"
    });
}
