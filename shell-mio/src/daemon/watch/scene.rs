//! What a node has answered, as a view.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::Value;

use super::super::client::{number, short, size, span, thousands};
use super::super::live::{
    BlockCells, Cell, Column, Figure, Grid, Happening, Row, Tone, View, blocks_grid, links_cell, links_column,
};
use super::answers::Answered;
use super::words::{Names, names};

/// A heartbeat comes every ten seconds by default: two have not come.
const LATE_BEAT_MS: u64 = 25_000;
/// A clock that is further off than this is a concern.
const CLOCK_OFF_MS: u64 = 500;

/// The node in one line.
pub(super) fn introduction(now: &Answered) -> String {
    let status = &now.status;
    format!(
        "{}, {} of {}, height {}, {}/{} links, {}",
        title(status),
        role(status),
        text(&status["network"]),
        status["height"],
        status["links"]["up"],
        status["links"]["expected"],
        state(now).0
    )
}

/// Everything on the screen.
pub(super) fn view(now: &Answered, happenings: &[Happening]) -> View {
    let status = &now.status;
    let (words, tone) = state(now);
    View {
        title: title(status),
        state: Cell::new(words, tone),
        aside: format!("{} of {}, {}", role(status), text(&status["network"]), text(&status["version"])),
        figures: figures(now),
        nodes: nodes(now),
        blocks: blocks(&now.blocks, &names(&now.masternodes)),
        happenings: happenings.to_vec(),
        hint: "q or Ctrl-C ends; the node goes on",
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

fn title(status: &Value) -> String {
    status["name"].as_str().map_or_else(|| short(&text(&status["node_id"])).to_owned(), str::to_owned)
}

fn role(status: &Value) -> String {
    text(&status["role"])
}

fn state(now: &Answered) -> (String, Tone) {
    let status = &now.status;
    if let Some(lost) = &now.lost {
        let seconds = lost.since.elapsed().map_or(0, |since| since.as_secs());
        return (format!("no answer for {}; what stands below is from before", span(seconds)), Tone::Bad);
    }
    if let state @ ("syncing" | "stalled") = status["sync"]["state"].as_str().unwrap_or("-") {
        let left = status["sync"]["seconds_left"].as_u64();
        let left = left.map_or(String::new(), |left| format!(", {} left", span(left)));
        let target = thousands(number(&status["sync"]["target"]));
        let words = if state == "stalled" { "stalled" } else { "catching up" };
        return (format!("{words}, the network is at {target}{left}"), Tone::Odd);
    }
    match (status["producing"] == true, status["role"] == "masternode") {
        (true, _) => ("producing".to_owned(), Tone::Good),
        (false, true) => (format!("no blocks: {}", text(&status["not_producing_text"])), Tone::Odd),
        (false, false) => (text(&status["sync_state"]), Tone::Good),
    }
}

fn figures(now: &Answered) -> Vec<Figure> {
    let status = &now.status;
    let links = &status["links"];
    let ratio = |part: &Value, whole: &Value| {
        let tone = if number(part) < number(whole) { Tone::Odd } else { Tone::Good };
        Cell::new(format!("{}/{}", number(part), number(whole)), tone)
    };
    let counted = &status["masternodes"];
    let active = match number(&counted["active"]) < number(&counted["quorum"]) {
        true => Cell::new(format!("{}/{}", counted["active"], counted["registered"]), Tone::Bad),
        false => ratio(&counted["active"], &counted["registered"]),
    };
    let mut figures = vec![
        Figure::new("height", thousands(number(&status["height"]))),
        Figure::new("links", ratio(&links["up"], &links["expected"])),
        Figure::new("active", active),
    ];
    if let Some((ago, tone)) = last_block(status) {
        figures.push(Figure::new("slot began", Cell::new(format!("{ago} ago"), tone)));
    }
    let rate = |rate: Option<u64>| rate.map_or("-".to_owned(), |rate| format!("{}/s", size(rate)));
    figures.push(Figure::new("in", rate(now.received.per_second())));
    figures.push(Figure::new("out", rate(now.sent.per_second())));
    figures
        .push(Figure::new("waiting", format!("{} transactions", number(&status["mempool"]["transactions"]))));
    let offset = status["clock_offset_ms"].as_i64().unwrap_or(0);
    let tone = if offset.unsigned_abs() > CLOCK_OFF_MS { Tone::Odd } else { Tone::Plain };
    figures.push(Figure::new("clock", Cell::new(format!("{offset} ms"), tone)));
    let bans = number(&status["bans"]);
    if bans > 0 {
        figures.push(Figure::new("bans", bans.to_string()));
    }
    if number(&links["duplicates"]) > 0 {
        figures.push(Figure::new("duplicates", Cell::new(links["duplicates"].to_string(), Tone::Bad)));
    }
    figures.push(Figure::new("up for", span(number(&status["uptime"]))));
    figures
}

/// How long ago the newest block's slot began, by this machine's clock.
fn last_block(status: &Value) -> Option<(String, Tone)> {
    let at = humantime::parse_rfc3339(status["last_block_time"].as_str()?).ok()?;
    let ago = SystemTime::now().duration_since(at).unwrap_or_default();
    let interval = u128::from(number(&status["block_interval_ms"]));
    let late = ago.as_millis() > interval * 2 + 1000;
    Some((span(ago.as_secs()), if late { Tone::Odd } else { Tone::Plain }))
}

/// Masternodes in the order of their addresses, then other peers.
fn nodes(now: &Answered) -> Grid {
    let count = now.masternodes.len();
    let links = links_column(count, 5).filter(|_| now.marks.len() == count);
    let has_links = links.is_some();
    let mut columns = vec![Column::numbers("NODE", 0), Column::words("ADDRESS", 0), Column::words("LINK", 0)];
    columns.extend(links);
    columns.extend([
        Column::numbers("HEIGHT", 1),
        Column::numbers("RTT", 2),
        Column::numbers("HEARD", 3),
        Column::numbers("WITNESSES", 6),
        Column::numbers("HEALTH", 7),
        Column::numbers("WAITING", 8),
        Column::words("VERSION", 9),
    ]);
    let sessions: BTreeMap<&str, &Value> =
        now.peers.iter().filter_map(|peer| Some((peer["node_id"].as_str()?, peer))).collect();
    let own = now.status["node_id"].as_str();
    let masternodes = now.masternodes.iter().enumerate().map(|(index, node)| {
        let id = node["node_id"].as_str();
        let session = id.and_then(|id| sessions.get(id).copied());
        let mut cells = vec![(index + 1).to_string().into(), text(&node["address"]).into()];
        let link = if id == own {
            Cell::new("this node", Tone::Quiet)
        } else {
            link(session, node["active"] == true, now.status["role"] == "masternode")
        };
        let tone = link.0.first().map_or(Tone::Plain, |(_, tone)| *tone);
        cells.push(link);
        if has_links {
            cells.push(now.marks.get(index).map_or_else(Cell::unknown, |row| links_cell(row)));
        }
        let heard = node["heard_ms"].as_u64().filter(|_| id != own);
        let late = heard.is_some_and(|ms| ms > LATE_BEAT_MS);
        cells.push(node["height"].as_u64().map_or_else(Cell::unknown, |height| thousands(height).into()));
        cells.push(rtt(session));
        cells.push(heard.map_or_else(Cell::unknown, |ms| {
            Cell::new(span(ms / 1000), if late { Tone::Odd } else { Tone::Plain })
        }));
        cells.push(node["witnesses"].as_array().map_or(0, Vec::len).to_string().into());
        cells.extend(of_session(session));
        Row { tone: if late && tone == Tone::Good { Tone::Odd } else { tone }, cells }
    });
    let others = now.peers.iter().filter(|peer| peer["masternode"] != true).map(|peer| {
        let mut cells = vec![Cell::unknown(), text(&peer["addr"]).into(), link(Some(peer), true, false)];
        if has_links {
            cells.push(Cell::default());
        }
        cells.push(thousands(number(&peer["height"])).into());
        cells.extend([rtt(Some(peer)), Cell::unknown(), Cell::unknown()]);
        cells.extend(of_session(Some(peer)));
        Row { tone: Tone::Plain, cells }
    });
    Grid { rows: masternodes.chain(others).collect(), columns }
}

fn link(session: Option<&Value>, active: bool, expected: bool) -> Cell {
    let Some(session) = session else {
        let tone = match (expected, active) {
            (true, _) => Tone::Bad,
            (false, true) => Tone::Quiet,
            (false, false) => Tone::Odd,
        };
        return Cell::new("none", tone);
    };
    let words = if session["direction"] == "outbound" { "> dialed" } else { "< was dialed" };
    match session["dialed_because"].as_str() {
        Some("canonical") | None => Cell::new(words, Tone::Good),
        Some("fallback") => Cell::new(format!("{words}, fallback"), Tone::Odd),
        Some(because) => Cell::new(format!("{words}, {because}"), Tone::Plain),
    }
}

fn rtt(session: Option<&Value>) -> Cell {
    let rtt = session.and_then(|session| session["rtt_ms"].as_f64());
    rtt.map_or_else(Cell::unknown, |rtt| format!("{rtt:.1} ms").into())
}

/// Health, bytes that wait, version.
fn of_session(session: Option<&Value>) -> [Cell; 3] {
    let Some(session) = session else { return [Cell::unknown(), Cell::unknown(), Cell::unknown()] };
    [
        session["health"].to_string().into(),
        size(number(&session["queued_bytes"])).into(),
        text(&session["version"]).into(),
    ]
}

fn blocks(blocks: &[Value], names: &Names) -> Grid {
    blocks_grid(blocks.iter().map(|block| {
        let proposer = text(&block["proposer"]);
        BlockCells {
            height: number(&block["height"]),
            slot: text(&block["time"]),
            by: names.get(&proposer).cloned().unwrap_or_else(|| short(&proposer).to_owned()),
            round: number(&block["round"]),
            transactions: block["transaction_ids"].as_array().map_or(0, Vec::len),
            hash: short(&text(&block["hash"])).to_owned(),
        }
    }))
}
