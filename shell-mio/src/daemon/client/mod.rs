//! The verbs that ask a running node, for people, or with `--json` as the API answered.

mod bans;
mod blocks;
mod drain;
mod http;
mod matrix;
mod table;
mod why;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::arguments::{ClientArgs, ConnectArgs, PeerArgs};
use super::failure::Failure;
pub(crate) use bans::{ban, bans, unban};
pub(crate) use blocks::{block, evidence, submit, transaction};
pub(crate) use drain::drain;
pub(crate) use http::{Api, Method, NoAnswer, token, url_of};
pub(crate) use matrix::{Mark, marks};
use table::facts;
pub(crate) use table::{aligned, short, size, span, thousands};

/// Writes to standard output; a closed pipe is no failure.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Asks one question and prints the answer.
fn ask(
    args: &ClientArgs,
    (method, path, body): (Method, &str, impl AsRef<[u8]>),
    show: impl FnOnce(&Value) -> String,
) -> Result<ExitCode, Failure> {
    let answer = Api::of(args)?.call(method, path, body)?;
    let text = if args.json { format!("{}\n", answer.text.trim_end()) } else { show(&answer.json) };
    say(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A JSON value in a cell: texts bare, nothing as a dash.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn rows(list: &Value, row: impl Fn(&Value) -> Vec<String>) -> Vec<Vec<String>> {
    list.as_array().into_iter().flatten().map(row).collect()
}

/// `timed status`.
pub(crate) fn status(args: &ClientArgs) -> Result<ExitCode, Failure> {
    ask(args, (Method::Get, "/status", ""), |status| {
        let links = &status["links"];
        facts(&[
            ("node id", cell(&status["node_id"])),
            ("name", cell(&status["name"])),
            ("version", cell(&status["version"])),
            ("network", cell(&status["network"])),
            ("genesis hash", cell(&status["genesis_hash"])),
            ("role", cell(&status["role"])),
            ("advertised", cell(&status["advertised"])),
            ("external IP", cell(&status["external_ip"])),
            ("uptime", span(number(&status["uptime"]))),
            (
                "masternodes",
                format!(
                    "{} active of {} registered, quorum {}",
                    status["masternodes"]["active"],
                    status["masternodes"]["registered"],
                    status["masternodes"]["quorum"]
                ),
            ),
            (
                "links",
                format!(
                    "{}/{} up, {} inbound, {} outbound, {} duplicate",
                    links["up"], links["expected"], links["inbound"], links["outbound"], links["duplicates"]
                ),
            ),
            (
                "address book",
                format!(
                    "{} tried, {} heard, {} left alone",
                    status["addresses"]["tried"],
                    status["addresses"]["heard"],
                    status["addresses"]["tombstones"]
                ),
            ),
            ("height", format!("{} ({})", cell(&status["height"]), blocks::sync(&status["sync"]))),
            ("tip", cell(&status["tip_hash"])),
            ("last block", blocks::last_block(&status["last_block_time"])),
            ("producing", blocks::producing(status)),
            ("under way", blocks::under_way(&status["consensus"])),
            (
                "mempool",
                format!(
                    "{} transactions, {}",
                    status["mempool"]["transactions"],
                    size(number(&status["mempool"]["bytes"]))
                ),
            ),
            ("places", places(&status["slots"])),
            ("handshakes", handshakes(status)),
            ("bans", bans_in_short(status)),
            ("rate limits", rates(&status["counters"])),
            ("clock offset", format!("{} ms", status["clock_offset_ms"])),
            ("last tick", format!("{} ms ago", status["last_tick_age_ms"])),
        ])
    })
}

/// How the places for links are used.
fn places(slots: &Value) -> String {
    let of = |class: &str| format!("{class} {} used, {} free", slots[class]["used"], slots[class]["free"]);
    ["masternode", "reserved", "observer"].map(of).join("; ")
}

fn handshakes(status: &Value) -> String {
    let under_way = &status["handshakes"];
    format!(
        "{} unauthenticated, {} waiting for their turn, {} own dials; {} deferred since the start",
        under_way["unauthenticated"],
        under_way["deferred"],
        under_way["dialing"],
        status["counters"]["handshakes_deferred"],
    )
}

/// What is counted by kind: the kinds that are not zero.
fn kinds(counts: &Value) -> String {
    let counted = counts.as_object().into_iter().flatten().filter(|(_, count)| number(count) > 0);
    counted.map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ")
}

fn total(counts: &Value) -> u64 {
    counts.as_object().into_iter().flatten().map(|(_, count)| number(count)).sum()
}

fn with_kinds(counts: &Value) -> String {
    match total(counts) {
        0 => "0".to_owned(),
        total => format!("{total} ({})", kinds(counts)),
    }
}

fn bans_in_short(status: &Value) -> String {
    format!(
        "{} in force; since the start {} set, {} connections refused",
        with_kinds(&status["bans_by_cause"]),
        with_kinds(&status["counters"]["bans"]),
        status["counters"]["inbound_banned"],
    )
}

fn rates(counters: &Value) -> String {
    format!(
        "{} messages beyond one; {} beyond one that is only observed",
        with_kinds(&counters["rate_exceeded"]),
        with_kinds(&counters["rate_observed"]),
    )
}

/// `timed peers`.
pub(crate) fn peers(args: &ClientArgs) -> Result<ExitCode, Failure> {
    ask(args, (Method::Get, "/peers", ""), |peers| {
        let row = |peer: &Value| {
            vec![
                short(&cell(&peer["node_id"])).to_owned(),
                cell(&peer["addr"]),
                cell(&peer["direction"]),
                cell(&peer["dialed_because"]),
                span(number(&peer["age_ms"]) / 1000),
                cell(&peer["masternode"]),
                cell(&peer["height"]),
                peer["rtt_ms"].as_f64().map_or("-".to_owned(), |rtt| format!("{rtt:.1} ms")),
                cell(&peer["health"]),
                size(number(&peer["bytes_in"])),
                size(number(&peer["bytes_out"])),
                size(number(&peer["queued_bytes"])),
                cell(&peer["reconnects_1h"]),
                cell(&peer["version"]),
            ]
        };
        let head = [
            "NODE",
            "ADDRESS",
            "DIRECTION",
            "BECAUSE",
            "AGE",
            "MN",
            "HEIGHT",
            "RTT",
            "HEALTH",
            "IN",
            "OUT",
            "QUEUED",
            "RECONN/H",
            "VERSION",
        ];
        let rows = rows(peers, row);
        format!("{}{} live sessions\n", aligned(&head, &rows), rows.len())
    })
}

/// `timed matrix`.
pub(crate) fn matrix(args: &ClientArgs) -> Result<ExitCode, Failure> {
    ask(args, (Method::Get, "/matrix", ""), matrix::grid)
}

/// `timed masternodes`.
pub(crate) fn masternodes(args: &ClientArgs) -> Result<ExitCode, Failure> {
    ask(args, (Method::Get, "/masternodes", ""), |list| {
        let row = |node: &Value| {
            vec![
                cell(&node["index"]),
                short(&cell(&node["node_id"])).to_owned(),
                cell(&node["address"]),
                if node["active"] == true { "active" } else { "inactive" }.to_owned(),
                node["heard_ms"].as_u64().map_or("-".to_owned(), |ms| format!("{} ago", span(ms / 1000))),
                cell(&node["height"]),
                cell(&node["sequence"]),
                node["witnesses"].as_array().map_or(0, Vec::len).to_string(),
                cell(&node["attested"]),
                node["uptime"].as_u64().map_or("-".to_owned(), span),
            ]
        };
        let head = [
            "#",
            "NODE",
            "ADDRESS",
            "STATE",
            "HEARTBEAT",
            "HEIGHT",
            "SEQUENCE",
            "WITNESSES",
            "ATTESTED",
            "ACTIVE FOR",
        ];
        let rows = rows(list, row);
        let active = list.as_array().into_iter().flatten().filter(|node| node["active"] == true).count();
        format!("{}{active} of {} active\n", aligned(&head, &rows), rows.len())
    })
}

/// `timed why`.
pub(crate) fn why(args: &PeerArgs) -> Result<ExitCode, Failure> {
    let path = format!("/why/{}", path_segment(&args.peer));
    let api = Api::of(&args.client)?;
    let answer = api.exchange(Method::Get, &path, "")?;
    // Nobody knows the peer: that is an answer too, and a failure.
    let unknown = answer.status == 404 && answer.json["decision"].is_string();
    let answer = if unknown { answer } else { api.accepted(answer)? };
    say(&if args.client.json {
        format!("{}\n", answer.text.trim_end())
    } else {
        why::screen(&answer.json, SystemTime::now())
    })?;
    Ok(if unknown { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A text as one segment of a path.
fn path_segment(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".:-_".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The result of an order, with the peer where one is named.
fn result(answer: &Value) -> String {
    let done = cell(&answer["result"]);
    match (answer["node_id"].as_str(), answer["claimed_by"].as_str()) {
        (Some(id), _) => format!("{done} {id}\n"),
        (None, Some(id)) => {
            format!(
                "{done}; {id}, which is linked already, says that it listens there: the dial shows whether it does\n"
            )
        }
        (None, None) => format!("{done}\n"),
    }
}

/// `timed connect`.
pub(crate) fn connect(args: &ConnectArgs) -> Result<ExitCode, Failure> {
    let is_id = args.peer.parse::<timed_core::NodeId>().is_ok();
    let body = if is_id { json!({ "node_id": args.peer }) } else { json!({ "addr": args.peer }) };
    ask(&args.client, (Method::Post, "/peers", &body.to_string()), result)
}

/// `timed disconnect`.
pub(crate) fn disconnect(args: &PeerArgs) -> Result<ExitCode, Failure> {
    ask(&args.client, (Method::Delete, &format!("/peers/{}", path_segment(&args.peer)), ""), result)
}

/// `timed record`.
pub(crate) fn record(args: &ClientArgs) -> Result<ExitCode, Failure> {
    ask(args, (Method::Post, "/record", ""), |written| {
        format!("{} ({})\n", cell(&written["file"]), size(number(&written["bytes"])))
    })
}

/// `timed stop`.
pub(crate) fn stop(args: &ClientArgs) -> Result<ExitCode, Failure> {
    ask(args, (Method::Post, "/stop", ""), result)
}

/// How well a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Healthy,
    Degraded,
    Critical,
}

impl Health {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Critical => "critical",
        }
    }
}

/// `timed health`: the exit code is the verdict.
pub(crate) fn health(args: &ClientArgs) -> Result<ExitCode, Failure> {
    let (health, reasons) = match judged(args) {
        Ok(judged) => judged,
        Err(failure) => (Health::Critical, vec![failure.message]),
    };
    let text = if args.json {
        format!("{}\n", json!({ "health": health.as_str(), "reasons": reasons }))
    } else {
        std::iter::once(health.as_str().to_owned()).chain(reasons).map(|line| format!("{line}\n")).collect()
    };
    say(&text)?;
    Ok(ExitCode::from(match health {
        Health::Healthy => 0,
        Health::Degraded => 1,
        Health::Critical => 2,
    }))
}

fn judged(args: &ClientArgs) -> Result<(Health, Vec<String>), Failure> {
    let api = Api::of(args)?;
    let ready = api.exchange(Method::Get, "/readyz?verbose", "")?;
    let info = api.call(Method::Get, "/consensus_info", "")?.json;
    Ok(verdict(&ready.json, &info))
}

/// Not ready is critical; ready with fewer links than should stand, or more, or without proposing blocks, is
/// degraded.
fn verdict(ready: &Value, info: &Value) -> (Health, Vec<String>) {
    let failed: Vec<String> = ready["checks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|check| check["ok"] != true)
        .map(|check| format!("{}: {}", cell(&check["name"]), cell(&check["detail"])))
        .collect();
    // A node that is about to be stopped on purpose does all its work until then.
    let only_leaves = !failed.is_empty() && failed.iter().all(|reason| reason.starts_with("staying: "));
    if ready["ready"] != true && !only_leaves {
        return (Health::Critical, failed);
    }
    let links = &info["links"];
    let mut reasons = failed;
    if number(&links["up"]) < number(&links["expected"]) {
        reasons.push(format!("links: {} of {} stand", links["up"], links["expected"]));
    }
    if number(&links["duplicates"]) > 0 {
        reasons.push(format!("links: {} duplicate", links["duplicates"]));
    }
    // Whether it should produce at all is settled for these.
    let settled = ["no_chain", "observer"];
    if let Some(reason) = info["not_producing_reason"].as_str().filter(|reason| !settled.contains(reason)) {
        let text = info["not_producing_text"].as_str().unwrap_or(reason);
        reasons.push(format!("blocks: this node proposes none: {text}"));
    }
    (if reasons.is_empty() { Health::Healthy } else { Health::Degraded }, reasons)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_follows_readiness_and_links() {
        let ready = json!({ "ready": true, "checks": [] });
        let info = |up, duplicates| json!({ "links": { "expected": 3, "up": up, "duplicates": duplicates } });
        assert_eq!(verdict(&ready, &info(3, 0)), (Health::Healthy, vec![]));
        assert_eq!(verdict(&ready, &info(2, 0)).0, Health::Degraded);
        assert_eq!(verdict(&ready, &info(3, 1)).0, Health::Degraded);
        let not = json!({ "ready": false, "checks": [{ "name": "peers", "ok": false, "detail": "1 of 3" }] });
        assert_eq!(verdict(&not, &info(3, 0)), (Health::Critical, vec!["peers: 1 of 3".to_owned()]));
        let leaves = json!({ "name": "staying", "ok": false, "detail": "away soon" });
        let drained = json!({ "ready": false, "checks": [leaves] });
        assert_eq!(verdict(&drained, &info(3, 0)), (Health::Degraded, vec!["staying: away soon".to_owned()]));
        let both = json!({ "ready": false, "checks": [not["checks"][0], leaves] });
        assert_eq!(verdict(&both, &info(3, 0)).0, Health::Critical);
        assert_eq!(verdict(&json!({ "ready": false }), &info(3, 0)).0, Health::Critical);
    }

    #[test]
    fn a_peer_is_one_segment() {
        assert_eq!(path_segment("10.0.0.1:5"), "10.0.0.1:5");
        assert_eq!(path_segment("[::1]:5/?"), "%5B::1%5D:5%2F%3F");
    }
}
