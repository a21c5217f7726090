//! What a node refuses to start with: one clear message, the right exit code, and nobody else harmed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::network::{Network, SECOND};
use crate::operator::{Process, text, timed};

const HOSTS: [u8; 3] = [1, 2, 3];

/// Runs a node that is to refuse, with the data directory of host 60; returns its message.
fn refused(network: &Network, flags: &[&str], code: i32) -> String {
    let dir = network.path(60);
    let mut arguments = vec!["run", "--data-dir", text(&dir)];
    arguments.extend(flags);
    let done = Process::start(&mut timed(&arguments)).end(20 * SECOND);
    assert_eq!(done.code, code, "{flags:?}: {done:?}");
    assert!(done.out.is_empty(), "{done:?}");
    let told: Vec<&str> = done.err.lines().filter(|line| line.starts_with("timed: ")).collect();
    assert_eq!(told.len(), 1, "one message: {done:?}");
    assert!(!done.err.contains("panicked"), "{done:?}");
    told[0].to_owned()
}

#[test]
fn a_node_that_cannot_start_says_why_and_harms_nobody() {
    let mut network = Network::standing(&HOSTS);
    let links = network.links();
    let id = network.init(60, &["--local-ip", &network.ip(60).to_string()]);
    network.join(60);
    let (own, api) = (network.addr(60), format!("{}:8332", network.ip(60)));
    let flags = ["--listen", &own, "--api", &api];
    let dir = network.path(60);
    let says = |message: &str, parts: &[&str]| {
        for part in parts {
            assert!(message.contains(part), "no {part:?} in: {message}");
        }
    };

    // Ports of a running node.
    let taken = network.addr(1);
    says(&refused(&network, &["--listen", &taken, "--api", &api], 1), &[&taken, "in use"]);
    let taken = format!("{}:8332", network.ip(1));
    says(&refused(&network, &["--listen", &own, "--api", &taken], 1), &[&taken, "in use", "--api"]);

    // Its data directory.
    let running = network.path(1);
    let second = Process::start(&mut timed(&["run", "--data-dir", text(&running), flags[0], flags[1]]));
    let second = second.end(20 * SECOND);
    assert_eq!(second.code, 75, "{second:?}");
    says(&second.err, &[&network.pid(1).to_string(), text(&running), "already running"]);

    // A registered key without its address, and with another one.
    let key = fs::read(network.path(2).join("node_key")).unwrap();
    let observers_key = fs::read(dir.join("node_key")).unwrap();
    fs::write(dir.join("node_key"), &key).unwrap();
    says(&refused(&network, &flags, 78), &[&network.addr(2), &own, "local_ip"]);
    network.configure(60, "local_ip", "\"\"");
    let config = dir.join("config.toml");
    let good = fs::read_to_string(&config).unwrap();
    fs::write(&config, good.replace("local_ip = \"\"\n", "")).unwrap();
    says(&refused(&network, &flags, 78), &[&network.addr(2), "set network.local_ip"]);

    // A masternode by order whose key is in no registry.
    fs::write(dir.join("node_key"), &observers_key).unwrap();
    fs::write(&config, "[masternode]\nenabled = true\n").unwrap();
    says(&refused(&network, &flags, 78), &["masternode", &id[..8]]);

    // Mistakes in the file, with line and key.
    for (content, parts) in [
        ("[network]\nmax_pears = 3\n", &["config.toml:2", "max_pears", "did you mean max_peers"][..]),
        ("[network]\n\npassive_wait = \"5 parsecs\"\n", &["config.toml:3", "passive_wait", "duration"]),
        ("[network]\npeers = [\"zz@1.2.3.4:1\"]\n", &["config.toml:2", "network.peers", "zz@1.2.3.4:1"]),
        ("[network\n", &["config.toml:1"]),
        ("[api]\nenabled = 1\n", &["config.toml:2", "api.enabled"]),
    ] {
        fs::write(&config, content).unwrap();
        says(&refused(&network, &flags, 78), parts);
    }
    // A value that a flag overrides is a mistake all the same.
    fs::write(&config, "[network]\nlisten = 5\n").unwrap();
    says(&refused(&network, &flags, 78), &["config.toml:2", "network.listen"]);
    fs::write(&config, "").unwrap();

    // Keys that others can read, or nobody.
    for mode in [0o644, 0o640, 0o604] {
        fs::set_permissions(dir.join("node_key"), fs::Permissions::from_mode(mode)).unwrap();
        says(&refused(&network, &flags, 77), &["node_key", "chmod 600"]);
    }
    fs::set_permissions(dir.join("node_key"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(dir.join("node_key"), "no key\n").unwrap();
    says(&refused(&network, &flags, 78), &["node_key", "damaged"]);
    fs::remove_file(dir.join("node_key")).unwrap();
    says(&refused(&network, &flags, 78), &["node_key", "timed init"]);
    fs::write(dir.join("node_key"), &observers_key).unwrap();
    fs::set_permissions(dir.join("node_key"), fs::Permissions::from_mode(0o600)).unwrap();

    // A store that holds something else, and a genesis that is cut.
    fs::write(dir.join("timed.redb"), [7; 5000]).unwrap();
    says(&refused(&network, &flags, 1), &["timed.redb", "damaged"]);
    fs::remove_file(dir.join("timed.redb")).unwrap();
    let genesis = fs::read_to_string(dir.join("genesis.toml")).unwrap();
    fs::write(dir.join("genesis.toml"), &genesis[..genesis.len() / 2]).unwrap();
    says(&refused(&network, &flags, 78), &["genesis.toml"]);
    fs::write(dir.join("genesis.toml"), genesis).unwrap();

    assert_eq!(network.links(), links, "the healthy network moved");
    for host in HOSTS {
        assert_eq!(network.counter(host, "links_down"), 0);
    }
    // With all of it mended, it runs.
    network.start(60);
    network.eventually("the mended node has its links", 10 * SECOND, || network.peers(60).len() == 3);
}
