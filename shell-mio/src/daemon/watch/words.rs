//! A fact as a person reads it, in the dashboard's words.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::client::{short, size, span};
use super::super::live::Tone;
use super::facts::Fact;

/// What nodes are called: their number in the order of addresses, and the address.
pub(super) type Names = BTreeMap<String, String>;

/// The masternodes' names, from what is known of them in their order.
pub(super) fn names(masternodes: &[Value]) -> Names {
    (1..)
        .zip(masternodes)
        .filter_map(|(number, node): (usize, _)| {
            let address = node["address"].as_str()?;
            let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
            Some((node["node_id"].as_str()?.to_owned(), format!("{number} ({host})")))
        })
        .collect()
}

/// What a fact says; nothing for what comes all the time.
pub(super) fn words(fact: &Fact, names: &Names) -> Option<(String, Tone)> {
    let fields = &fact.fields;
    let text = |name: &str| match &fields[name] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let who = |name: &str| match fields[name].as_str() {
        Some(id) => names.get(id).cloned().unwrap_or_else(|| short(id).to_owned()),
        None => text("addr"),
    };
    let millis = |name: &str| fields[name].as_u64().map(|ms| span(ms / 1000));
    Some(match fact.name.as_str() {
        "heartbeat" | "probed" => return None,
        "link_up" => {
            let by = if fields["direction"] == "outbound" { "this node" } else { "the other" };
            let line =
                format!("link with {} stands, dialed by {by} ({})", who("node_id"), text("dialed_because"));
            (line, Tone::Good)
        }
        "link_down" => (
            format!(
                "link with {} ended after {}: {} ({}, by {})",
                who("node_id"),
                millis("lasted_ms").unwrap_or_default(),
                text("text"),
                text("reason"),
                text("by")
            ),
            Tone::Bad,
        ),
        "dial_failed" => {
            let again = millis("retry_in_ms").map_or(String::new(), |span| format!(", again in {span}"));
            let line =
                format!("dial to {} failed: {}, {} in a row", text("addr"), text("reason"), text("failures"));
            (line + &again, Tone::Quiet)
        }
        "inbound_failed" => (
            format!(
                "connection from {} came to nothing: {} (by {})",
                text("addr"),
                text("reason"),
                text("by")
            ),
            Tone::Quiet,
        ),
        "peer_check" => {
            let whole = fields["up"].as_u64() >= fields["expected"].as_u64();
            let line = format!("check of links: {} of {}", text("up"), text("expected"));
            (line, if whole { Tone::Quiet } else { Tone::Odd })
        }
        "activity" => match fields["active"] == true {
            true => (format!("masternode {} is active", who("node_id")), Tone::Good),
            false => (format!("masternode {} is no longer active", who("node_id")), Tone::Bad),
        },
        "absence" => match fields["state"].as_str() {
            Some("announced") => {
                let lasts = fields["lasts_s"].as_u64().map(span).unwrap_or_default();
                (format!("{} announces to be away for up to {lasts}", who("node_id")), Tone::Quiet)
            }
            Some("taken_back") => (format!("{} stays after all", who("node_id")), Tone::Quiet),
            _ => (format!("{} is away for longer than it announced", who("node_id")), Tone::Bad),
        },
        "block" => {
            let payload = match fields["payload_bytes"].as_u64() {
                Some(0) | None => "empty".to_owned(),
                Some(bytes) => size(bytes),
            };
            let via = match fields["via"].as_str() {
                Some("consensus") | None => String::new(),
                Some(other) => format!(", {other}"),
            };
            let line = format!(
                "block {} by {}, round {}, {payload}{via}",
                text("height"),
                who("proposer"),
                text("round")
            );
            (line, if fields["round"] == 0 { Tone::Plain } else { Tone::Odd })
        }
        "proposed" => {
            (format!("this node proposes height {}, round {}", text("height"), text("round")), Tone::Quiet)
        }
        "round" => (
            format!("height {} goes to round {}, led by {}", text("height"), text("round"), who("leader")),
            Tone::Odd,
        ),
        "producing" => match fields["producing"] == true {
            true => ("it proposes blocks".to_owned(), Tone::Good),
            false => (format!("it proposes no blocks: {}", text("text")), Tone::Odd),
        },
        "sync" => match fields["target"].as_u64() {
            Some(target) => (format!("{}, up to height {target}", text("state")), Tone::Quiet),
            None => (text("state"), Tone::Quiet),
        },
        "banned" => {
            let why = fields["reason"].as_str().or(fields["cause"].as_str()).unwrap_or("-");
            let until = fields["until"].as_str().map_or(String::new(), |until| format!(", until {until}"));
            (format!("banned {}: {why}{until}", text("target")), Tone::Bad)
        }
        "ban_ended" => (format!("ban of {} ended: {}", text("target"), text("end")), Tone::Plain),
        "fatal" => (format!("it halts: {}", text("text")), Tone::Bad),
        "stream" => match fields["state"].as_str() {
            Some("heard_again") => {
                ("events are heard again; those in between are missing here".to_owned(), Tone::Odd)
            }
            Some("silent") => {
                ("no sign of life on the stream of events: it is taken up anew".to_owned(), Tone::Odd)
            }
            _ => ("the stream of events ended: it is taken up anew".to_owned(), Tone::Odd),
        },
        "missed" => (format!("{} events are missing here", text("facts")), Tone::Odd),
        other => (format!("{other}: {}", rest(fields, names)), Tone::Odd),
    })
}

/// The fields of a fact that has no words of its own.
fn rest(fields: &Value, names: &Names) -> String {
    let parts = fields.as_object().into_iter().flatten().filter(|(name, _)| *name != "at");
    let parts = parts.map(|(name, value)| match value.as_str() {
        Some(text) => format!("{name} {}", names.get(text).map_or(text, String::as_str)),
        None => format!("{name} {value}"),
    });
    parts.collect::<Vec<_>>().join(", ").chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn facts_are_told_in_words_and_nodes_by_their_number() {
        let names = names(&[json!({ "node_id": "ab", "address": "10.0.0.1:5" })]);
        let told = |name: &str, fields: Value| words(&Fact { name: name.to_owned(), fields }, &names);
        let link = json!({ "node_id": "ab", "direction": "inbound", "dialed_because": "canonical" });
        let line = "link with 1 (10.0.0.1) stands, dialed by the other (canonical)";
        assert_eq!(told("link_up", link), Some((line.to_owned(), Tone::Good)));
        let dial = json!({
            "node_id": null, "addr": "10.0.0.9:5", "reason": "dial_timeout", "failures": 3, "retry_in_ms": 61_000,
        });
        let line = "dial to 10.0.0.9:5 failed: dial_timeout, 3 in a row, again in 1m 1s";
        assert_eq!(told("dial_failed", dial), Some((line.to_owned(), Tone::Quiet)));
        let block = json!({ "height": 7, "proposer": "cd", "round": 1, "payload_bytes": 0, "via": "sync" });
        assert_eq!(told("block", block), Some(("block 7 by cd, round 1, empty, sync".to_owned(), Tone::Odd)));
        assert_eq!(told("heartbeat", json!({})), None);
        let line = "of_tomorrow: node_id 1 (10.0.0.1), x 3".to_owned();
        assert_eq!(
            told("of_tomorrow", json!({ "at": "y", "node_id": "ab", "x": 3 })),
            Some((line, Tone::Odd))
        );
    }
}
