//! The link matrix as a grid with its verdict.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::Value;

use super::short;

/// What a masternode has to do with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It is the same.
    Own,
    /// It dialed the other.
    Dialed,
    /// It was dialed by the other.
    WasDialed,
    /// Only one of the two has their link.
    OneSided,
    /// The two have different links of each other.
    Split,
    /// They have none.
    Missing,
}

impl Mark {
    /// One letter, explained by [`LEGEND`].
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Own => ".",
            Self::Dialed => ">",
            Self::WasDialed => "<",
            Self::OneSided => "1",
            Self::Split => "S",
            Self::Missing => "-",
        }
    }
}

/// What the letters mean.
const LEGEND: &str = "> dialed  < was dialed  - no link  1 one-sided  S split";

/// The links of an answer of `/matrix`: a row for each masternode in the order of their addresses, a mark for each other.
pub(crate) fn marks(matrix: &Value) -> Vec<Vec<Mark>> {
    let nodes = nodes(matrix);
    let place: BTreeMap<&str, usize> = nodes.iter().enumerate().map(|(i, (id, _))| (*id, i)).collect();
    let mut marks = vec![vec![Mark::Missing; nodes.len()]; nodes.len()];
    let mut set = |a: &Value, b: &Value, forth, back| {
        let at = |id: &Value| id.as_str().and_then(|id| place.get(id).copied());
        if let (Some(a), Some(b)) = (at(a), at(b)) {
            marks[a][b] = forth;
            marks[b][a] = back;
        }
    };
    for link in list(matrix, "links") {
        let by_a = link["dialer"] == link["a"];
        let (forth, back) =
            if by_a { (Mark::Dialed, Mark::WasDialed) } else { (Mark::WasDialed, Mark::Dialed) };
        set(&link["a"], &link["b"], forth, back);
    }
    for (key, mark) in [("one_sided", Mark::OneSided), ("split", Mark::Split)] {
        for pair in list(matrix, key) {
            set(&pair["a"], &pair["b"], mark, mark);
        }
    }
    for (i, row) in marks.iter_mut().enumerate() {
        row[i] = Mark::Own;
    }
    marks
}

/// The grid, the verdict, and each exact pair that is not as it should be.
pub(super) fn grid(matrix: &Value) -> String {
    let nodes = nodes(matrix);
    let width = nodes.iter().map(|(_, addr)| addr.len()).max().unwrap_or(0);
    let column = nodes.len().to_string().len();
    let mut out = format!("{:column$} {:width$} ", "", "");
    for number in 1..=nodes.len() {
        let _ = write!(out, " {number:>column$}");
    }
    out.push('\n');
    for (i, ((_, addr), row)) in nodes.iter().zip(&marks(matrix)).enumerate() {
        let _ = write!(out, "{:>column$} {addr:<width$} ", i + 1);
        for mark in row {
            let _ = write!(out, " {:>column$}", mark.as_str());
        }
        out.push('\n');
    }
    let _ = writeln!(out, "{LEGEND}");
    let _ = writeln!(out, "{}", matrix["verdict"].as_str().unwrap_or("no verdict"));
    out.push_str(&findings(matrix, &nodes));
    out
}

/// Ids and addresses, ordered as the numbers they are.
fn nodes(matrix: &Value) -> Vec<(&str, &str)> {
    let mut nodes: Vec<(&str, &str)> = list(matrix, "nodes")
        .filter_map(|node| Some((node["node_id"].as_str()?, node["addr"].as_str()?)))
        .collect();
    nodes.sort_by_key(|(id, addr)| (addr.parse::<SocketAddr>().ok(), *id));
    nodes
}

fn list<'a>(matrix: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    matrix[key].as_array().into_iter().flatten()
}

fn findings(matrix: &Value, nodes: &[(&str, &str)]) -> String {
    let addr = |id: &Value| {
        let id = id.as_str().unwrap_or("?");
        let known = nodes.iter().find(|(known, _)| *known == id);
        known.map_or_else(|| id.to_owned(), |(_, addr)| format!("{addr} ({})", short(id)))
    };
    let mut out = String::new();
    let absent = |node: &Value| list(matrix, "absent").any(|id| *id == node["node_id"]);
    for node in list(matrix, "nodes").filter(|node| node["heard_ms"].is_null() && !absent(node)) {
        let _ = writeln!(out, "silent: {}: no heartbeat within 35 s", addr(&node["node_id"]));
    }
    for (key, words) in [("missing", "missing"), ("one_sided", "one-sided"), ("split", "split")] {
        for pair in list(matrix, key) {
            let _ = writeln!(out, "{words}: {} - {}", addr(&pair["a"]), addr(&pair["b"]));
        }
    }
    for id in list(matrix, "absent") {
        let _ = writeln!(out, "absent by announcement: {}", addr(id));
    }
    for entry in list(matrix, "duplicate") {
        let _ = writeln!(out, "duplicate: {} holds {} too many", addr(&entry["node_id"]), entry["count"]);
    }
    for entry in list(matrix, "wrong_direction") {
        let reason = entry["reason"].as_str().unwrap_or("?");
        let _ = writeln!(out, "wrong direction: {} - {} ({reason})", addr(&entry["a"]), addr(&entry["b"]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nodes_are_in_numeric_order_and_findings_name_pairs() {
        let matrix = json!({
            "nodes": [
                { "node_id": "aa", "addr": "10.0.0.10:1", "heard_ms": 0 },
                { "node_id": "bb", "addr": "10.0.0.9:1", "heard_ms": 7 },
                { "node_id": "cc", "addr": "10.0.0.11:1", "heard_ms": null },
            ],
            "links": [{ "a": "aa", "b": "bb", "dialer": "bb" }],
            "missing": [{ "a": "bb", "b": "cc" }],
            "one_sided": [{ "a": "aa", "b": "cc" }],
            "split": [], "duplicate": [{ "node_id": "cc", "count": 1 }],
            "wrong_direction": [],
            "verdict": "1/3 links",
        });
        assert_eq!(
            grid(&matrix),
            "               1 2 3\n1 10.0.0.9:1   . > -\n2 10.0.0.10:1  < . 1\n3 10.0.0.11:1  - 1 .\n\
             > dialed  < was dialed  - no link  1 one-sided  S split\n1/3 links\n\
             silent: 10.0.0.11:1 (cc): no heartbeat within 35 s\n\
             missing: 10.0.0.9:1 (bb) - 10.0.0.11:1 (cc)\none-sided: 10.0.0.10:1 (aa) - 10.0.0.11:1 (cc)\n\
             duplicate: 10.0.0.11:1 (cc) holds 1 too many\n"
        );
    }
}
