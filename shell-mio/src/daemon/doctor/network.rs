//! What the running node and its peers say: clock, where it is seen, whether it is reached, links, the key.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;
use timed_core::net::direction::{Dialer, End, dialer_of};
use timed_core::{CanonicalAddr, NodeId, Registry};

use super::Check;

/// A node's answers.
#[derive(Clone, Copy)]
pub(super) struct Word<'a> {
    pub(super) status: &'a Value,
    pub(super) peers: &'a Value,
    pub(super) metrics: &'a str,
}

/// Everything that a running node tells of itself. Without the registry whom it should hear from is not known.
pub(super) fn checks(word: &Word<'_>, registry: Option<&Registry>) -> Vec<Check> {
    let mut checks = vec![version(word.status), clock(word.status), seen(word.status)];
    checks.extend(registry.map(|registry| reachable(word, registry)));
    checks.extend([links(word.status), blocks(word.status), key(word.metrics)]);
    checks
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("?")
}

fn version(status: &Value) -> Check {
    let (ours, theirs) = (env!("CARGO_PKG_VERSION"), text(status, "version"));
    if ours == theirs {
        Check::ok("version", format!("timed {ours}, and so is the running node"))
    } else {
        Check::warn("version", format!("this program is timed {ours}, the running node {theirs}"))
            .remedy("restart the node to run what is installed")
    }
}

/// A node that is off by more than a quarter of a slot, or by two seconds, proposes nothing that others take in time.
fn clock(status: &Value) -> Check {
    let offset = status["clock_offset_ms"].as_i64().unwrap_or(0);
    let tolerance = (status["block_interval_ms"].as_u64().unwrap_or(8_000) / 4).min(2_000);
    let detail = format!(
        "the masternodes' clocks are {} ms {}; {tolerance} ms are tolerated",
        offset.unsigned_abs(),
        if offset < 0 { "behind" } else { "ahead" }
    );
    let remedy = "run chrony, or systemd-timesyncd: timedatectl set-ntp true";
    match offset.unsigned_abs() {
        off if off > tolerance => Check::fail("clock", detail).remedy(remedy),
        off if off > tolerance / 2 => Check::warn("clock", detail).remedy(remedy),
        _ => Check::ok("clock", detail),
    }
}

/// Where peers see this node, against what it says.
fn seen(status: &Value) -> Check {
    let name = "seen at";
    let counted = || status["seen_as"].as_array().into_iter().flatten();
    let said = counted()
        .map(|entry| format!("{} by {}", text(entry, "ip"), entry["masternodes"]))
        .collect::<Vec<_>>()
        .join(", ");
    let advertised: Option<SocketAddr> = status["advertised"].as_str().and_then(|addr| addr.parse().ok());
    let first = counted().next().and_then(|entry| entry["ip"].as_str()?.parse::<IpAddr>().ok());
    match (advertised, first) {
        (_, None) => Check::warn(name, "no linked masternode has told where it sees this node"),
        (None, Some(_)) => Check::ok(name, said),
        (Some(own), Some(first)) if own.ip() == first => Check::ok(name, format!("{said}: as local_ip says")),
        (Some(own), Some(first)) => Check::fail(
            name,
            format!("masternodes see this node at {said}, local_ip says {}", own.ip()),
        )
        .remedy(format!(
            "if {first} is right, the registry has the wrong address for this key; if not, let outbound \
                     connections leave from {}: network.listen = \"{}\"",
            own.ip(),
            SocketAddr::new(own.ip(), own.port())
        )),
    }
}

/// Whether others get through to this node: those that dialed it say so, and those that should have dialed it and
/// were dialed instead.
fn reachable(word: &Word<'_>, registry: &Registry) -> Check {
    let name = "reachable";
    let Some(own) = word.status["advertised"].as_str().and_then(|addr| addr.parse::<CanonicalAddr>().ok())
    else {
        return Check::ok(name, "this node advertises no address, and nobody dials it");
    };
    let me =
        word.status["node_id"].as_str().and_then(|id| id.parse::<NodeId>().ok()).unwrap_or(NodeId([0; 32]));
    let us = End { id: me, addr: Some(own) };
    let dials_us = |id: NodeId| {
        let there = registry.get(&id).map(|entry| End { id, addr: Some(entry.addr) });
        there.is_some_and(|there| dialer_of(&there, &us) == Dialer::First)
    };
    let dialers = registry.entries().iter().filter(|entry| entry.id != me && dials_us(entry.id)).count();
    let (mut reached, mut missed) = (BTreeSet::new(), BTreeSet::new());
    for peer in word.peers.as_array().into_iter().flatten() {
        let id = peer["node_id"].as_str().and_then(|id| id.parse::<NodeId>().ok());
        let ip = peer["addr"].as_str().and_then(|addr| addr.parse::<SocketAddr>().ok()).map(|addr| addr.ip());
        if peer["direction"] == "inbound" {
            reached.extend(ip.map(|ip| ip.to_canonical()));
        } else if peer["dialed_because"] == "fallback" {
            missed.extend(id.filter(|id| dials_us(*id)));
        }
    }
    let remedy = || {
        format!(
            "open TCP port {} in this machine's firewall and at the provider, and forward it where there is NAT; \
             network.listen has to cover it",
            own.port()
        )
    };
    let count = reached.len();
    match (count, missed.len()) {
        (0, 0) if dialers == 0 => Check::ok(
            name,
            format!("{own} is lower than every other address: this node dials everybody, and nobody's word is known"),
        ),
        (0, 0) => Check::warn(name, format!("nobody has dialed {own} yet; {dialers} masternodes are to")),
        (0, missed) => Check::fail(
            name,
            format!("{missed} masternodes are to dial {own} and did not get through; this node dialed them instead"),
        )
        .remedy(remedy()),
        (_, 0) if count >= 2 || dialers <= 1 => {
            Check::ok(name, format!("{count} peer{} dialed {own} and got through", if count == 1 { "" } else { "s" }))
        }
        (_, 0) => Check::warn(name, format!("one peer dialed {own} and got through; a second one's word is missing")),
        (_, missed) => {
            Check::warn(name, format!("{count} peers dialed {own} and got through, {missed} did not")).remedy(remedy())
        }
    }
}

fn links(status: &Value) -> Check {
    let name = "links";
    let links = &status["links"];
    let count = |key: &str| links[key].as_u64().unwrap_or(0);
    let (up, expected, absent) = (count("up"), count("expected"), count("absent"));
    let away = if absent > 0 { format!(", {absent} away by announcement") } else { String::new() };
    let detail = format!("{up} of {expected} stand{away}");
    let remedy = "timed matrix names the missing ones, timed why PEER says why";
    match (up, expected) {
        (0, 1..) => Check::fail(name, detail).remedy(remedy),
        _ if up < expected => Check::warn(name, detail).remedy(remedy),
        _ => Check::ok(name, detail),
    }
}

fn blocks(status: &Value) -> Check {
    let name = "blocks";
    let height = &status["height"];
    // Whether it should propose at all is settled for these.
    let settled = ["no_chain", "observer"];
    match status["not_producing_reason"].as_str().filter(|reason| !settled.contains(reason)) {
        Some(_) => Check::warn(
            name,
            format!("height {height}; this node proposes none: {}", text(status, "not_producing_text")),
        ),
        None => Check::ok(name, format!("height {height}, {}", text(status, "sync_state"))),
    }
}

/// Whether somebody else was seen with this node's key since its start.
fn key(metrics: &str) -> Check {
    let warned = |name: &str| {
        let sample = format!("timed_warnings_total{{warning=\"{name}\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&sample)?.trim().parse::<f64>().ok());
        count.is_some_and(|count| count > 0.0)
    };
    let name = "key elsewhere";
    if warned("key_in_use") || warned("foreign_signature") {
        return Check::fail(name, "peers have seen another process with this node's key").remedy(
            "find and stop it: a copy of the data directory, a second machine, a restored snapshot. Restart the \
             one that stays",
        );
    }
    Check::ok(name, "no peer has seen another process with this node's key")
}

#[cfg(test)]
mod tests;
