//! Why a node is, or is not, linked to a peer: one screen.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::table::{aligned, facts, in_words, size};
use super::{cell, number, rows};

/// The screen. `now` is what the ages of times are told from.
pub(super) fn screen(why: &Value, now: SystemTime) -> String {
    let mut lines = vec![
        ("peer", peer(why)),
        ("address", cell(&why["addr"])),
        ("decision", cell(&why["decision"])),
        ("because", cell(&why["text"])),
        ("rule", format!("{}: {}", cell(&why["rule"]), cell(&why["rule_text"]))),
        ("since", since(&why["since"], now)),
        ("next", next(why)),
    ];
    if why["session"].is_object() {
        lines.push(("link", link(&why["session"])));
        lines.push(("traffic", traffic(&why["session"])));
    }
    if why["ban"].is_object() {
        lines.push(("ban", ban(&why["ban"])));
    }
    let attempts = rows(&why["attempts"], |attempt| {
        vec![
            ago(&attempt["at"], now),
            who(attempt).to_owned(),
            cell(&attempt["intent"]),
            end(&attempt["end"]),
        ]
    });
    let mut out = facts(&lines);
    if attempts.is_empty() {
        match why["decision"].as_str() {
            Some("self") => {}
            Some("connected") => out.push_str("\nno earlier attempt in either direction is remembered\n"),
            _ => out.push_str("\nno attempt in either direction is remembered\n"),
        }
    } else {
        let head = ["ATTEMPT", "BY", "INTENT", "END"];
        out.push_str(&format!("\n{}", aligned(&head, &attempts)));
    }
    out
}

fn peer(why: &Value) -> String {
    let mut roles = Vec::new();
    if why["masternode"] == true {
        roles.push("masternode".to_owned());
    }
    let sought: Vec<&str> =
        why["sought_by"].as_array().into_iter().flatten().filter_map(Value::as_str).map(told).collect();
    if !sought.is_empty() {
        roles.push(format!("sought by {}", sought.join(" and ")));
    }
    let id = why["node_id"].as_str().unwrap_or("its node id is not known");
    if roles.is_empty() { id.to_owned() } else { format!("{id} ({})", roles.join(", ")) }
}

fn told(wish: &str) -> &str {
    match wish {
        "registry" => "the registry",
        "configured" => "the configuration",
        "ordered" => "an operator's order",
        "named" => "a configured name",
        other => other,
    }
}

fn next(why: &Value) -> String {
    let Some(action) = why["next"]["action"].as_str() else { return "nothing".to_owned() };
    match why["next"]["in_ms"].as_u64() {
        Some(0) => format!("{action} now"),
        Some(ms) => format!("{action} in {}", in_words(Duration::from_millis(ms))),
        None => action.to_owned(),
    }
}

/// How long ago a time was; a time that lies ahead, or is none, as it is.
fn ago(at: &Value, now: SystemTime) -> String {
    let parsed = at.as_str().and_then(|text| humantime::parse_rfc3339(text).ok());
    match parsed.and_then(|at| now.duration_since(at).ok()) {
        Some(passed) if passed < Duration::from_millis(100) => "just now".to_owned(),
        Some(passed) => format!("{} ago", in_words(passed)),
        None => cell(at),
    }
}

fn since(at: &Value, now: SystemTime) -> String {
    match at.as_str() {
        Some(text) => format!("{} ({text})", ago(at, now)),
        None => "not known".to_owned(),
    }
}

fn link(session: &Value) -> String {
    let rtt = session["rtt_ms"].as_f64().map_or("not measured yet".to_owned(), |rtt| format!("{rtt:.1} ms"));
    format!(
        "session {}, {} for {}, round trip {rtt}, health {} of 100",
        cell(&session["session"]),
        cell(&session["direction"]),
        in_words(Duration::from_millis(number(&session["age_ms"]))),
        session["health"],
    )
}

fn traffic(session: &Value) -> String {
    format!(
        "{} in, {} out, {} waiting; {} reconnects within the hour",
        size(number(&session["bytes_in"])),
        size(number(&session["bytes_out"])),
        size(number(&session["queued_bytes"])),
        session["reconnects_1h"],
    )
}

fn ban(ban: &Value) -> String {
    let end = match ban["until"].as_str() {
        Some(until) => format!("until {until}"),
        None => "until it is lifted".to_owned(),
    };
    format!(
        "on {}, by {}, {end}; unban {} lifts it",
        cell(&ban["target"]),
        by(&ban["cause"]),
        cell(&ban["target"])
    )
}

fn by(cause: &Value) -> String {
    match cause.as_str() {
        Some("operator") => "the operator".to_owned(),
        _ => format!("this node for {}", cell(cause)),
    }
}

fn who(attempt: &Value) -> &'static str {
    match (attempt["direction"].as_str(), attempt["intent"].as_str()) {
        (Some("outbound"), Some("knock")) => "we knocked",
        (Some("outbound"), _) => "we dialed",
        (_, Some("knock")) => "the peer knocked",
        _ => "the peer dialed",
    }
}

fn end(end: &Value) -> String {
    let Some(reason) = end["reason"].as_str() else { return "live".to_owned() };
    let by = match end["by"].as_str() {
        Some("us") => "ended by us",
        Some("peer") => "ended by the peer",
        _ => "ended by the network",
    };
    format!("{reason}, {by}: {}", cell(&end["text"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(text: &str) -> SystemTime {
        humantime::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_peer_that_is_away_reads_as_a_sentence_a_line() {
        let why = json!({
            "node_id": "ab".repeat(32), "addr": "203.0.113.2:24100", "masternode": true,
            "sought_by": ["registry", "ordered"], "decision": "back_off",
            "text": "our last attempt failed (connection_refused): nothing listens at the address",
            "rule": "D-5", "rule_text": "one back-off a peer", "since": "2026-11-21T21:29:18.000Z",
            "next": { "action": "we try again", "in_ms": 1_675 }, "session": null, "ban": null,
            "attempts": [
                { "at": "2026-11-21T21:29:18.000Z", "direction": "outbound", "intent": "canonical",
                  "end": { "reason": "connection_refused", "by": "network", "text": "nothing listens at the address" } },
                { "at": "2026-11-21T20:27:20.000Z", "direction": "inbound", "intent": "knock",
                  "end": { "reason": "knock_done", "by": "us", "text": "the knock was answered" } },
            ],
        });
        let expected = format!(
            "peer      {} (masternode, sought by the registry and an operator's order)\n\
             address   203.0.113.2:24100\n\
             decision  back_off\n\
             because   our last attempt failed (connection_refused): nothing listens at the address\n\
             rule      D-5: one back-off a peer\n\
             since     2.0 s ago (2026-11-21T21:29:18.000Z)\n\
             next      we try again in 1.7 s\n\n\
             ATTEMPT         BY                INTENT     END\n\
             2.0 s ago       we dialed         canonical  connection_refused, ended by the network: nothing listens at \
             the address\n\
             1 h 2 min ago   the peer knocked  knock      knock_done, ended by us: the knock was answered\n",
            "ab".repeat(32)
        );
        let told = screen(&why, at("2026-11-21T21:29:20.000Z"));
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed(&told), squeezed(&expected), "{told}");
    }

    #[test]
    fn bans_and_the_unknown_are_told_without_milliseconds() {
        let ban = json!({
            "node_id": null, "addr": null, "masternode": false, "sought_by": [], "decision": "banned",
            "text": "the operator has banned 203.0.113.0/24: flood", "rule": "A-4", "rule_text": "no link",
            "since": "2026-11-21T21:00:00.000Z", "next": { "action": "the ban ends", "in_ms": 7_199_999 },
            "ban": { "target": "203.0.113.0/24", "cause": "operator", "until": "2026-11-21T23:00:00.000Z" },
            "session": null, "attempts": [],
        });
        let told = screen(&ban, at("2026-11-21T21:00:00.000Z"));
        for part in [
            "its node id is not known",
            "next      the ban ends in 2 h 0 min\n",
            "ban       on 203.0.113.0/24, by the operator, until 2026-11-21T23:00:00.000Z; unban 203.0.113.0/24 lifts it",
            "no attempt in either direction is remembered",
        ] {
            assert!(told.contains(part), "{part:?} is not in\n{told}");
        }
    }
}
