//! The API's contract on a network that stands: every route, its fields, its token, and the verbs that show it.

use std::collections::{BTreeMap, BTreeSet};

use crate::network::{Network, SECOND};
use crate::operator::http;
use serde_json::Value;

const HOSTS: [u8; 3] = [1, 2, 3];

/// Asserts that an object has these fields of these kinds.
type Expected<'a> = (&'a str, fn(&Value) -> bool);

fn fields(object: &Value, expected: &[Expected<'_>]) {
    for (name, is) in expected {
        assert!(object.get(*name).is_some_and(is), "{name} is missing or of another kind: {object}");
    }
}

fn is_id(value: &Value) -> bool {
    value.as_str().is_some_and(|id| id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_time(value: &Value) -> bool {
    let Some(text) = value.as_str() else { return false };
    text.len() >= 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z')
}

fn is_text_or_null(value: &Value) -> bool {
    value.is_string() || value.is_null()
}

fn is_time_or_null(value: &Value) -> bool {
    value.is_null() || is_time(value)
}

#[test]
fn every_route_answers_what_the_contract_says() {
    let network = Network::standing(&HOSTS);
    let verdict = "3/3 links, 0 duplicate, 0 split, 0 one-sided, 0 wrong direction";
    network
        .eventually("the matrix is whole", 20 * SECOND, || network.get(2, "/matrix").1["verdict"] == verdict);
    network.eventually("there are blocks", 30 * SECOND, || network.get(2, "/blocks/latest").0 == 200);
    network.eventually("all heartbeats were heard", 10 * SECOND, || {
        let list = network.get(2, "/masternodes").1;
        list.as_array().unwrap().iter().all(|entry| entry["last_heartbeat"].is_string())
    });
    let get = |path: &str| {
        let (status, answer) = network.get(2, path);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    };

    let info = get("/consensus_info");
    for (name, value) in [("active_masternodes", 3), ("connected_peers", 2)] {
        assert_eq!(info[name].as_u64(), Some(value), "{info}");
    }
    fields(
        &info,
        &[
            ("height", Value::is_u64),
            ("producing", |v| v == true),
            ("not_producing_reason", Value::is_null),
            ("not_producing_text", Value::is_null),
        ],
    );
    for (name, value) in [("expected", 2), ("up", 2), ("inbound", 1), ("outbound", 1), ("duplicates", 0)] {
        assert_eq!(info["links"][name].as_u64(), Some(value), "{info}");
    }

    let status = get("/status");
    assert_eq!(status["node_id"], network.id(2));
    fields(
        &status,
        &[
            ("name", is_text_or_null),
            ("version", Value::is_string),
            ("network", Value::is_string),
            ("genesis_hash", is_id),
            ("uptime", Value::is_number),
            ("height", Value::is_u64),
            ("tip_hash", is_id),
            ("last_block_time", is_time_or_null),
            ("sync_state", |v| v == "synced"),
            ("last_tick_age_ms", Value::is_number),
            ("consensus", Value::is_object),
            ("mempool", Value::is_object),
        ],
    );
    fields(&status["sync"], &[("height", Value::is_u64), ("target", Value::is_u64)]);

    let peers = get("/peers");
    assert_eq!(peers.as_array().unwrap().len(), 2);
    for peer in peers.as_array().unwrap() {
        fields(
            peer,
            &[
                ("node_id", is_id),
                ("addr", Value::is_string),
                ("direction", |v| v == "inbound" || v == "outbound"),
                ("dialed_because", |v| v == "canonical"),
                ("since", is_time),
                ("session", Value::is_string),
                ("masternode", Value::is_boolean),
                ("height", Value::is_u64),
                ("rtt_ms", Value::is_number),
                ("health", Value::is_number),
                ("bytes_in", Value::is_u64),
                ("bytes_out", Value::is_u64),
                ("queued_bytes", Value::is_u64),
                ("reconnects_1h", Value::is_u64),
                ("version", Value::is_string),
            ],
        );
    }

    let matrix = get("/matrix");
    let counts = ["nodes", "links"].map(|name| matrix[name].as_array().unwrap().len());
    assert_eq!(counts, [3, 3], "{matrix}");
    assert_eq!((&matrix["expected"], &matrix["observed"]), (&3.into(), &3.into()), "{matrix}");
    for link in matrix["links"].as_array().unwrap() {
        fields(link, &[("a", is_id), ("b", is_id), ("dialer", is_id)]);
    }
    for list in ["missing", "one_sided", "split", "duplicate", "wrong_direction"] {
        assert_eq!(matrix[list].as_array().map(Vec::len), Some(0), "{list}: {matrix}");
    }

    let masternodes = get("/masternodes");
    assert_eq!(masternodes.as_array().unwrap().len(), 3);
    for masternode in masternodes.as_array().unwrap() {
        fields(
            masternode,
            &[
                ("node_id", is_id),
                ("active", |v| v == true),
                ("last_heartbeat", is_time),
                ("height", Value::is_u64),
                ("sequence", Value::is_u64),
                ("witnesses", Value::is_array),
                ("address", Value::is_string),
                ("uptime", Value::is_number),
            ],
        );
    }

    for peer in [network.id(3).to_owned(), network.id(3)[..10].to_owned(), network.addr(3)] {
        let why = get(&format!("/why/{peer}"));
        fields(&why, &[("decision", |v| v == "connected"), ("rule", Value::is_string)]);
        fields(&why, &[("attempts", Value::is_array)]);
    }
    let block = get("/blocks/latest");
    fields(
        &block,
        &[
            ("height", Value::is_u64),
            ("hash", is_id),
            ("parent", is_id),
            ("round", Value::is_u64),
            ("proposer", is_id),
            ("time", is_time),
            ("payload_bytes", Value::is_u64),
            ("transaction_ids", Value::is_array),
        ],
    );
    fields(&block["header"], &[("payload_root", is_id), ("registry_hash", is_id), ("slot_time", is_time)]);
    let certificate = &block["commit_certificate"];
    fields(certificate, &[("round", Value::is_u64), ("signatures", Value::is_array)]);
    // All three decide.
    assert!(certificate["signers"].as_array().unwrap().iter().all(is_id), "{block}");
    assert_eq!(certificate["signers"].as_array().unwrap().len(), 3, "{block}");
    assert_eq!(get(&format!("/blocks/{}", block["height"])), block);
    assert_eq!(get(&format!("/blocks?from={}", block["height"]))[0], block);
    assert_eq!(get("/evidence"), Value::Array(Vec::new()));

    assert_eq!(get("/livez")["alive"], true);
    assert_eq!(get("/readyz")["ready"], true);
    let checks = get("/readyz?verbose")["checks"].clone();
    let names: BTreeSet<_> =
        checks.as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["clock", "last_tick", "peers", "staying", "sync"]));
    well_formed(get("/metrics").as_str().unwrap());
}

/// Prometheus text: every sample belongs to a family that was announced before, none twice.
fn well_formed(metrics: &str) {
    let (mut families, mut samples) = (BTreeMap::new(), BTreeSet::new());
    for line in metrics.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let words: Vec<&str> = comment.splitn(3, ' ').collect();
            assert!(["HELP", "TYPE"].contains(&words[0]) && words.len() == 3, "{line}");
            assert!(words[1].starts_with("timed_"), "{line}");
            if words[0] == "TYPE" {
                assert!(["counter", "gauge", "histogram"].contains(&words[2]), "{line}");
                assert!(families.insert(words[1], words[2]).is_none(), "twice: {line}");
                assert_eq!(words[2] == "counter", words[1].ends_with("_total"), "{line}");
            }
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = sample.split('{').next().unwrap();
        let whole = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        let of_histogram = whole.is_some_and(|whole| families.get(whole) == Some(&"histogram"));
        assert!(of_histogram || families.contains_key(name), "not announced: {line}");
        assert!(samples.insert(sample.to_owned()), "twice: {line}");
    }
    assert!(families.len() > 10, "{families:?}");
}

#[test]
fn orders_need_the_cookie_and_strange_hosts_are_refused() {
    let network = Network::standing(&HOSTS);
    let links = network.links();
    for (method, path) in [
        ("POST", "/peers".to_owned()),
        ("DELETE", format!("/peers/{}", network.id(2))),
        ("POST", "/tx".to_owned()),
        ("POST", "/drain".to_owned()),
        ("DELETE", "/drain".to_owned()),
        ("POST", "/stop".to_owned()),
    ] {
        let body = format!("{{\"addr\":\"{}\"}}", network.addr(2));
        // Another node's cookie is no cookie.
        let foreign = std::fs::read_to_string(network.path(3).join(".cookie")).unwrap();
        for token in [None, Some(""), Some("00"), Some(foreign.trim())] {
            let (status, answer) = http(method, &network.url(1, &path), token, &body);
            assert_eq!((status, &answer["error"]["code"]), (401, &"unauthorized".into()), "{method} {path}");
        }
    }
    for host in ["evil.example", "evil.example:8332", "127.0.0.1.evil.example"] {
        let request = ureq::http::Request::builder().uri(network.url(1, "/status")).header("host", host);
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        assert_eq!(agent.run(request.body(()).unwrap()).unwrap().status(), 403, "{host}");
    }
    assert_eq!(network.links(), links);
    assert_eq!(network.counter(1, "links_down"), 0);
}

#[test]
fn verbs_speak_json_and_health_has_three_answers() {
    let mut network = Network::standing(&[1, 2, 3, 4]);
    for verb in ["status", "peers", "matrix", "masternodes"] {
        let done = network.verb(1, &[verb, "--json"]);
        assert_eq!(done.code, 0, "{done:?}");
        let said: Value = serde_json::from_str(&done.out).unwrap();
        let asked = network.get(1, &format!("/{verb}")).1;
        let keys = |value: &Value| value.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>());
        assert_eq!(keys(&said), keys(&asked), "{verb}");
    }
    network.eventually("healthy", 5 * SECOND, || network.verb(1, &["health"]).code == 0);
    let healthy = network.verb(1, &["health", "--json"]);
    assert!(serde_json::from_str::<Value>(&healthy.out).is_ok(), "{healthy:?}");
    // Three of four are a quorum, but a link is missing.
    network.kill(4);
    network.eventually("degraded", 5 * SECOND, || network.verb(1, &["health"]).code == 1);
    assert_eq!(network.get(1, "/readyz").0, 200);
    // Two are none.
    network.kill(3);
    network.eventually("critical", 5 * SECOND, || network.verb(1, &["health"]).code == 2);
    assert_eq!(network.get(1, "/readyz").0, 503);
    network.kill(1);
    assert_eq!(network.verb(1, &["health"]).code, 2);
    for verb in [&["status"][..], &["peers"], &["block", "1"], &["stop"], &["connect", "127.0.0.9:1"]] {
        let done = network.verb(1, verb);
        assert!(done.code == 1 && done.err.contains(&network.url(1, "")), "{done:?}");
    }
    let stop = network.verb(2, &["stop"]);
    assert_eq!(stop.code, 0, "{stop:?}");
    assert_eq!(network.end(2), 0);
}
