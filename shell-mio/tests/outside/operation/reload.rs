//! SIGHUP: what changes, from what to what; what takes effect and what waits; and a bad file that changes nothing.

use crate::network::{Network, SECOND};
use crate::operator::{http, signal};

/// Sends SIGHUP and waits for what the log says of it.
fn reload(network: &Network, host: u8) -> String {
    let before = network.log(host);
    signal("HUP", network.pid(host));
    let said = || network.log(host)[before.len()..].to_owned();
    let is_done = |log: &str| log.contains("configuration read again") || log.contains("stays as it was");
    network.eventually("the configuration is read", 2 * SECOND, || is_done(&said()));
    let said = said();
    println!("{said}");
    said
}

fn line<'a>(log: &'a str, key: &str) -> &'a str {
    log.lines()
        .find(|line| line.contains(&format!("key=\"{key}\"")) || line.contains(&format!("key={key}")))
        .unwrap_or_else(|| panic!("no line about {key} in\n{log}"))
}

#[test]
fn lists_names_rates_and_level_take_effect_and_the_rest_is_named() {
    let mut network = Network::standing(&[1, 2]);
    let observer = network.init(201, &[]);
    let ip = network.ip(210).to_string();
    network.init(210, &["--local-ip", &ip]);
    for host in [201, 210] {
        network.join(host);
        network.start(host);
    }
    let is_sought = |host: u8| network.get(1, &format!("/why/{}", network.addr(host))).1["sought_by"].clone();

    assert!(reload(&network, 1).contains("no key has changed"));

    let peers = format!("[\"{}\", \"nowhere.invalid:7\"]", network.addr(220));
    network.configure(1, "peers", &peers);
    network.configure(1, "reserved_peers", &format!("[\"{observer}@{}\"]", network.addr(201)));
    network.configure(1, "name", "\"alpha\"");
    network.configure(1, "hosts", "[\"node.example\"]");
    network.configure(1, "rate_heartbeat", "{ enforce = \"observe\" }");
    network.configure(1, "level", "\"debug\"");
    network.configure(1, "max_peers", "70");
    let log = reload(&network, 1);
    for key in [
        "network.peers",
        "network.reserved_peers",
        "node.name",
        "api.hosts",
        "limits.rate_heartbeat",
        "logging.level",
    ] {
        assert!(line(&log, key).contains("in force"), "{key}: {log}");
    }
    let waits = line(&log, "network.max_peers");
    assert!(
        waits.contains("WARN")
            && waits.contains("next start")
            && waits.contains("auto")
            && waits.contains("70"),
        "{waits}"
    );
    assert!(line(&log, "limits.rate_heartbeat").contains("auto"), "{log}");
    assert!(log.contains("6 changed and in force, 1 changed for the next start"), "{log}");

    // Seen from outside.
    assert_eq!(network.get(1, "/status").1["name"], "alpha");
    assert_eq!(is_sought(220), serde_json::json!(["configured"]));
    network.eventually("the new peer is dialed", 5 * SECOND, || {
        let why = network.get(1, &format!("/why/{}", network.addr(220))).1;
        why["attempts"].as_array().is_some_and(|attempts| !attempts.is_empty())
    });
    assert_eq!(network.get(1, "/why/nowhere.invalid").1["decision"], "unresolved");
    network.eventually("the reserved peer has its place", 10 * SECOND, || {
        network.session(1, 201).is_some_and(|peer| peer["class"] == "reserved")
    });
    let named = |host: &str| {
        let url = format!("http://{}:8332/livez", network.ip(1));
        let output = std::process::Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", &format!("Host: {host}"), &url])
            .output();
        output.map_or_else(
            |error| format!("SKIPPED: curl: {error}"),
            |out| String::from_utf8(out.stdout).unwrap(),
        )
    };
    println!("{} {}", named("node.example"), named("other.example"));
    assert_ne!(named("node.example"), "403");
    assert_ne!(named("other.example"), "200");

    // What waits is told again; what is taken back is sought no more, and its place is an observer's again.
    network.configure(1, "peers", "[]");
    network.configure(1, "reserved_peers", "[]");
    let log = reload(&network, 1);
    assert!(log.contains("2 changed and in force, 1 changed for the next start"), "{log}");
    assert_eq!(network.get(1, &format!("/why/{}", network.addr(220))).0, 404);
    assert_eq!(network.session(1, 201).unwrap()["class"], "observer", "the link stays");

    // A bad file changes nothing, and says what and where.
    let file = network.path(1).join("config.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        good.replace("name = \"alpha\"", "name = \"beta\"").replace("max_peers = 70", "max_peer = 70"),
    )
    .unwrap();
    let log = reload(&network, 1);
    assert!(log.contains("stays as it was") && log.contains("did you mean max_peers?"), "{log}");
    std::fs::write(
        &file,
        format!(
            "{}\n",
            good.replace("name = \"alpha\"", "name = \"beta\"")
                .replace("#max_memory = ", "max_memory = \"1MiB\" #")
        ),
    )
    .unwrap();
    let log = reload(&network, 1);
    assert!(log.contains("stays as it was") && log.contains("limits.max_memory"), "{log}");
    std::fs::remove_file(&file).unwrap();
    let log = reload(&network, 1);
    assert!(log.contains("configuration read again"), "without a file the defaults hold: {log}");
    std::fs::write(&file, good).unwrap();
    reload(&network, 1);
    let (status, answer) = http("GET", &network.url(1, "/status"), None, "");
    assert_eq!((status, &answer["name"]), (200, &"alpha".into()));
    assert!(network.session(1, 2).is_some(), "all that time the link stood");
    assert_eq!(network.terminate(1), 0);
}
