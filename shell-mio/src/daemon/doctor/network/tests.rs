//! A node's answers, as they are when something is wrong.

use serde_json::json;
use timed_core::Masternode;

use super::super::Verdict::{self, Fail, Ok, Warn};
use super::*;

fn id(n: u8) -> NodeId {
    NodeId([n; 32])
}

fn registry() -> Registry {
    let entry = |n: u8| Masternode { id: id(n), addr: format!("10.0.0.{n}:24100").parse().unwrap() };
    Registry::new((1..=4).map(entry).collect()).unwrap()
}

fn status(n: u8) -> Value {
    json!({
        "node_id": id(n).to_string(), "version": env!("CARGO_PKG_VERSION"), "advertised": format!("10.0.0.{n}:24100"),
        "clock_offset_ms": 3, "block_interval_ms": 10_000,
        "seen_as": [{ "ip": format!("10.0.0.{n}"), "masternodes": 3 }],
        "links": { "up": 3, "expected": 3, "absent": 0 },
        "height": 7, "sync_state": "synced", "not_producing_reason": null,
    })
}

fn with(n: u8, key: &str, value: Value) -> Value {
    let mut status = status(n);
    status[key] = value;
    status
}

fn inbound(n: u8) -> Value {
    json!({ "node_id": id(n).to_string(), "addr": format!("10.0.0.{n}:40000"), "direction": "inbound",
        "dialed_because": "canonical" })
}

fn outbound(n: u8, because: &str) -> Value {
    json!({ "node_id": id(n).to_string(), "addr": format!("10.0.0.{n}:24100"), "direction": "outbound",
        "dialed_because": because })
}

#[test]
fn a_healthy_node_passes_every_check() {
    let (status, peers) = (status(3), json!([inbound(1), inbound(2), outbound(4, "canonical")]));
    let word =
        Word { status: &status, peers: &peers, metrics: "timed_warnings_total{warning=\"frozen\"} 1\n" };
    for check in checks(&word, Some(&registry())) {
        assert_eq!(check.verdict, Ok, "{check:?}");
    }
}

#[test]
fn a_clock_is_held_against_what_a_slot_tolerates() {
    let verdict = |offset: i64, interval: u64| {
        let mut status = status(1);
        status["clock_offset_ms"] = offset.into();
        status["block_interval_ms"] = interval.into();
        clock(&status).verdict
    };
    assert_eq!([verdict(1_000, 10_000), verdict(-1_001, 10_000), verdict(2_001, 10_000)], [Ok, Warn, Fail]);
    assert_eq!([verdict(125, 1_000), verdict(126, 1_000), verdict(-251, 1_000)], [Ok, Warn, Fail]);
}

#[test]
fn where_peers_see_it_is_held_against_local_ip() {
    assert_eq!(seen(&status(1)).verdict, Ok);
    assert_eq!(seen(&with(1, "seen_as", json!([]))).verdict, Warn);
    let elsewhere = seen(&with(1, "seen_as", json!([{ "ip": "192.0.2.9", "masternodes": 3 }])));
    assert_eq!(elsewhere.verdict, Fail);
    assert!(elsewhere.detail.contains("192.0.2.9") && elsewhere.remedy.unwrap().contains("10.0.0.1"));
}

#[test]
fn two_peers_words_make_a_port_reachable_and_those_dialed_instead_make_it_not() {
    let judged = |n: u8, peers: Value| {
        let status = status(n);
        reachable(&Word { status: &status, peers: &peers, metrics: "" }, &registry()).verdict
    };
    let table: [(u8, Value, Verdict); 8] = [
        (4, json!([inbound(1), inbound(2), inbound(3)]), Ok),
        (4, json!([inbound(1)]), Warn),
        (4, json!([]), Warn),
        (4, json!([outbound(1, "fallback"), outbound(2, "fallback")]), Fail),
        (4, json!([inbound(1), outbound(2, "fallback")]), Warn),
        (2, json!([inbound(1), outbound(3, "canonical")]), Ok),
        // Others are right not to dial the lowest address; an operator's dial is no sign of anything.
        (1, json!([outbound(2, "canonical"), outbound(3, "canonical")]), Ok),
        (4, json!([outbound(1, "manual")]), Warn),
    ];
    for (n, peers, verdict) in table {
        assert_eq!(judged(n, peers.clone()), verdict, "{n}: {peers}");
    }
}

#[test]
fn links_blocks_versions_and_a_key_that_runs_twice_are_named() {
    let up = |up, absent| {
        links(&with(1, "links", json!({ "up": up, "expected": 3 - absent, "absent": absent }))).verdict
    };
    assert_eq!([up(0, 0), up(2, 0), up(2, 1), up(3, 0)], [Fail, Warn, Ok, Ok]);
    assert_eq!(blocks(&with(1, "not_producing_reason", json!("no_quorum"))).verdict, Warn);
    assert_eq!(blocks(&with(1, "not_producing_reason", json!("observer"))).verdict, Ok);
    assert_eq!(version(&with(1, "version", json!("0.0.1"))).verdict, Warn);
    for warning in ["key_in_use", "foreign_signature"] {
        assert_eq!(key(&format!("timed_warnings_total{{warning=\"{warning}\"}} 1\n")).verdict, Fail);
    }
    assert_eq!(key("timed_warnings_total{warning=\"key_in_use\"} 0\n").verdict, Ok);
}
