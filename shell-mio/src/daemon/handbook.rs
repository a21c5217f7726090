//! The tables of HANDBOOK.md that the code knows best are written from the code. Where they differ a test fails;
//! with `TIMED_WRITE_HANDBOOK=1` in its environment it writes them anew.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use timed_core::{BanCause, CloseReason, MasternodeInfo, NodeId, Offence, Pending, Summary};

use super::api;
use super::config::{KEYS, SECTIONS, Standard};
use super::metrics::{ProcessNumbers, Reading, RecorderNumbers, Totals, prometheus};
use crate::LoopCounters;

/// A text as one cell of a table.
fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

fn reasons() -> String {
    let mut out = String::from("| code | reason | means |\n|---|---|---|\n");
    for reason in CloseReason::ALL {
        let _ = writeln!(out, "| {} | `{reason}` | {} |", reason.code(), cell(reason.describe()));
    }
    out
}

fn offences() -> String {
    let mut out = String::from("| offence | means |\n|---|---|\n");
    for offence in Offence::ALL {
        let _ = writeln!(out, "| `{}` | {} |", offence.as_str(), cell(offence.describe()));
    }
    out
}

fn keys() -> String {
    let mut out = String::new();
    for (section, about) in SECTIONS {
        let _ = write!(
            out,
            "`[{section}]` – {}\n\n| key | default | |\n|---|---|---|\n",
            about.replace('\n', " ")
        );
        for key in KEYS.iter().filter(|key| key.section == *section) {
            let standard = match key.standard {
                Standard::Value(value) => format!("`{value}`"),
                Standard::Unset(example) => format!("not set; such as `{example}`"),
            };
            let _ = writeln!(out, "| `{}` | {standard} | {} |", key.name, cell(key.doc));
        }
        out.push('\n');
    }
    out.trim_end().to_owned() + "\n"
}

fn metrics() -> String {
    let masternodes = [MasternodeInfo {
        index: timed_core::MasternodeIndex(0),
        node: NodeId([1; 32]),
        addr: "192.0.2.1:24100".parse().unwrap(),
        activity: timed_core::Activity::Active,
        last_heartbeat: None,
        heard: None,
        epoch: None,
        sequence: None,
        height: None,
        witnesses: Vec::new(),
        attested: false,
        active_for: None,
    }];
    let text = prometheus(&Reading {
        summary: Summary::default(),
        counters: Some(timed_core::Counters::default()),
        bans: Some([0; BanCause::ALL.len()]),
        pending: Some(Pending::default()),
        masternodes: &masternodes,
        quorum: 1,
        block_interval: Duration::ZERO,
        process: ProcessNumbers::read(),
        recorder: Some(RecorderNumbers::default()),
        shell: LoopCounters::default(),
        last_tick_seconds: 0.0,
        uptime_seconds: 0.0,
        totals: &Totals::new(),
    });
    let mut out = String::from("| metric | type | |\n|---|---|---|\n");
    let mut help = "";
    for line in text.lines() {
        if let Some(said) = line.strip_prefix("# HELP ") {
            help = said.split_once(' ').unwrap().1;
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|said| said.split_once(' '))
        {
            let _ = writeln!(out, "| `{name}` | {kind} | {} |", cell(help));
        }
    }
    out
}

/// The handbook with a table replaced: between the two comments that name it.
fn with_table(handbook: &str, name: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- table: {name} -->\n"), format!("<!-- end: {name} -->"));
    let (before, rest) = handbook.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no {end}"));
    format!("{before}{begin}\n{table}\n{end}{after}")
}

#[test]
fn the_handbook_has_every_reason_offence_key_and_metric() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("HANDBOOK.md");
    let handbook = std::fs::read_to_string(&path).unwrap();
    let tables = [
        ("reasons", reasons()),
        ("offences", offences()),
        ("keys", keys()),
        ("metrics", metrics()),
        ("rpc", api::rpc::table()),
    ];
    let expected = tables.iter().fold(handbook.clone(), |text, (name, table)| with_table(&text, name, table));
    if std::env::var_os("TIMED_WRITE_HANDBOOK").is_some() {
        return std::fs::write(&path, &expected).unwrap();
    }
    let differing = expected.lines().zip(handbook.lines()).find(|(expected, found)| expected != found);
    assert_eq!(
        expected, handbook,
        "HANDBOOK.md does not say what the code says, first at {differing:?}; TIMED_WRITE_HANDBOOK=1 writes it"
    );
}
