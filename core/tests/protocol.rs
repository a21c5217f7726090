//! `PROTOCOL.md` and the code say the same: codes, names, lanes, bounds, times, and the numbers of rules.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use timed_core::wire::message::Kind;
use timed_core::{CloseReason, Limits, Masternode, NodeId, RateUnit, Registry, Timings, TrafficClass};

const DOCUMENT: &str = include_str!("../PROTOCOL.md");

/// The cells of the table that begins with these headings.
fn table(headings: &[&str]) -> Vec<Vec<&'static str>> {
    let cells = |line: &'static str| {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect()
    };
    let mut lines = DOCUMENT.lines().skip_while(|line| {
        let found: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        found.get(..headings.len()) != Some(headings)
    });
    assert!(lines.next().is_some(), "there is no table {headings:?}");
    lines.skip(1).take_while(|line| line.starts_with('|')).map(cells).collect()
}

#[test]
fn every_reason_has_its_row() {
    let documented: Vec<(u16, &str)> =
        table(&["code", "name", "wire"]).iter().map(|row| (row[0].parse().unwrap(), row[1])).collect();
    let coded: Vec<(u16, &str)> =
        CloseReason::ALL.iter().map(|reason| (reason.code(), reason.as_str())).collect();
    assert_eq!(documented, coded);
}

#[test]
fn every_kind_has_its_row() {
    let documented: Vec<(u16, String, String, usize)> = table(&["code", "kind", "lane"])
        .iter()
        .map(|row| (row[0].parse().unwrap(), row[1].into(), row[2].into(), row[3].parse().unwrap()))
        .collect();
    let coded: Vec<(u16, String, String, usize)> = Kind::ALL
        .iter()
        .map(|kind| {
            let lane = format!("{:?}", kind.lane()).to_lowercase();
            (kind.code(), format!("{kind:?}"), lane, kind.max_body())
        })
        .collect();
    assert_eq!(documented, coded);
}

fn shown(time: Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{} s", time.as_secs()),
        _ => format!("{} ms", time.as_millis()),
    }
}

#[test]
fn every_time_has_its_default() {
    // Every field by name: a new one has to be documented.
    let Timings {
        dial_timeout,
        handshake_timeout,
        write_timeout,
        ping_after,
        measure_every,
        silent_after,
        passive_wait,
        fallback_after,
        backoff_first,
        backoff_masternode,
        backoff_other,
        backoff_refused,
        lasting_session,
        operator_hold,
        peer_check,
        heartbeat,
        active_for,
    } = Timings::default();
    let coded = [
        ("dial_timeout", dial_timeout),
        ("handshake_timeout", handshake_timeout),
        ("write_timeout", write_timeout),
        ("ping_after", ping_after),
        ("measure_every", measure_every),
        ("silent_after", silent_after),
        ("passive_wait", passive_wait),
        ("fallback_after", fallback_after),
        ("backoff_first", backoff_first),
        ("backoff_masternode", backoff_masternode),
        ("backoff_other", backoff_other),
        ("backoff_refused", backoff_refused),
        ("lasting_session", lasting_session),
        ("operator_hold", operator_hold),
        ("peer_check", peer_check),
        ("heartbeat", heartbeat),
        ("active_for", active_for),
    ];
    let coded: Vec<(&str, String)> = coded.map(|(name, time)| (name, shown(time))).into();
    let documented: Vec<(&str, String)> =
        table(&["time", "default"]).iter().map(|row| (row[0], row[1].to_owned())).collect();
    assert_eq!(documented, coded);
}

#[test]
fn every_bound_has_its_default() {
    let Limits {
        max_peers,
        masternode_slots,
        unauthenticated,
        unauthenticated_kept,
        dialing,
        known_peers,
        own_addrs,
        address_book,
        outbound,
        bans,
        scores,
        punish: _,
        control_lane,
        payload_lane,
        relay_lane,
        bulk_lane,
        sync_window,
        serving,
        serving_rate,
        mempool,
        gate,
        frame_pool,
        rates,
    } = Limits::for_registry(14);
    assert!(TrafficClass::ALL.iter().all(|class| rates.of(*class).per_second.is_none()));
    assert_eq!((max_peers, Limits::for_registry(100).max_peers), (50, 120));
    assert_eq!((masternode_slots, Limits::for_registry(100).masternode_slots), (20, 100));
    let coded = [
        ("unauthenticated", unauthenticated),
        ("unauthenticated_kept", unauthenticated_kept),
        ("dialing", dialing),
        ("known_peers", known_peers),
        ("own_addrs", own_addrs),
        ("address_book", address_book),
        ("outbound", outbound),
        ("bans", bans),
        ("scores", scores),
        ("control_lane", control_lane),
        ("payload_lane", payload_lane),
        ("relay_lane", relay_lane),
        ("bulk_lane", bulk_lane),
        ("sync_window", sync_window),
        ("serving", serving),
        ("serving_rate", serving_rate),
        ("mempool", mempool),
        ("gate", gate),
        ("frame_pool", frame_pool),
    ];
    let coded: Vec<(&str, String)> = [
        ("max_peers", "max(50, registry + 20)".to_owned()),
        ("masternode_slots", "40 % of `max_peers`, from 20 to 30, never fewer than the registry".to_owned()),
    ]
    .into_iter()
    .chain(coded.map(|(name, bound)| (name, bound.to_string())))
    .chain([("rates", "derived".to_owned())])
    .collect();
    let documented: Vec<(&str, String)> =
        table(&["bound", "default"]).iter().map(|row| (row[0], row[1].to_owned())).collect();
    assert_eq!(documented, coded);
}

#[test]
fn the_example_registry_has_the_hash_given() {
    let entry = Masternode { id: NodeId([0x11; 32]), addr: "10.0.0.1:24100".parse().unwrap() };
    let hash = Registry::new(vec![entry]).unwrap().hash();
    assert!(DOCUMENT.contains(&NodeId(hash.0).to_string()), "{}", NodeId(hash.0));
}

/// The numbers of rules in a text: a capital letter that no other letter precedes, a hyphen, digits.
fn numbers(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices('-') {
        let (before, after) = (&text[..at], &text[at + 1..]);
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        let mut back = before.chars().rev();
        let letter = back.next().filter(char::is_ascii_uppercase);
        let alone = back.next().is_none_or(|c| !c.is_alphanumeric() && c != '-' && c != '_');
        if let Some(letter) = letter.filter(|_| alone && !digits.is_empty()) {
            found.insert(format!("{letter}-{digits}"));
        }
    }
    found
}

fn cited(folder: &Path, by: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            cited(&path, by);
        } else {
            for number in numbers(&fs::read_to_string(&path).unwrap()) {
                by.insert(number, path.display().to_string());
            }
        }
    }
}

/// A rule is defined where its number stands in bold.
fn defined() -> Vec<String> {
    let bold = DOCUMENT.split("**").skip(1).step_by(2);
    bold.filter_map(|text| text.strip_suffix('.')).map(str::to_owned).collect()
}

#[test]
fn rules_are_defined_once_and_every_citation_names_one() {
    let defined = defined();
    let rules: BTreeSet<String> = defined.iter().cloned().collect();
    assert_eq!(rules.len(), defined.len(), "a number is given to two rules");
    assert!(defined.iter().all(|rule| numbers(rule).contains(rule)), "{defined:?}");

    let mut citations = BTreeMap::new();
    cited(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut citations);
    citations.extend(numbers(DOCUMENT).into_iter().map(|number| (number, "PROTOCOL.md".to_owned())));
    citations.retain(|number, _| !rules.contains(number));
    assert!(citations.is_empty(), "no such rules: {citations:?}");
    assert!(rules.len() > 50, "{rules:?}");
}

#[test]
fn every_class_of_traffic_has_its_row_and_its_unit() {
    let coded: Vec<(&str, &str)> = TrafficClass::ALL
        .iter()
        .map(|class| match class.unit() {
            RateUnit::Messages => (class.as_str(), "messages"),
            RateUnit::Bytes => (class.as_str(), "bytes"),
        })
        .collect();
    let documented: Vec<(&str, &str)> = table(&["class", "kinds", "counted in", "an honest peer at worst"])
        .iter()
        .map(|row| (row[0], row[2]))
        .collect();
    assert_eq!(documented, coded);
}
