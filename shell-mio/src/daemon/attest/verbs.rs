//! `timed attest export` and `timed attest verify`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};
use timed_core::Wall;

use super::super::arguments::{AttestExportArgs, AttestVerifyArgs};
use super::super::client::{Api, Method, aligned, say, short};
use super::super::data_dir::DataDir;
use super::super::failure::Failure;
use super::super::genesis::Genesis;
use super::super::rfc3339;
use super::keeper::kept;
use super::proof::{Gap, Invalid, Refused, Shown, judge};
use super::text::{Head, heartbeat, sample};

/// Invalid lines that are shown one by one.
const LINES_SHOWN: usize = 20;
/// Gaps of a masternode that are shown one by one.
const GAPS_SHOWN: usize = 10;

/// What one export holds.
#[derive(Debug, Default)]
struct Proof {
    text: String,
    heartbeats: usize,
    first: Option<Wall>,
    last: Option<Wall>,
}

/// `timed attest export`: from the data directory, or from the API that is named.
pub(crate) fn export(args: &AttestExportArgs) -> Result<ExitCode, Failure> {
    let text = match &args.client.api {
        Some(_) => Api::of(&args.client)?.call(Method::Get, "/attestations", "")?.text,
        None => {
            let dir = DataDir::locate(args.client.dir.data_dir.as_deref())?;
            dir.check()?;
            kept(dir.path()).map_err(|error| {
                Failure::failed(format!("cannot read the attestations in {}: {error}", dir.path().display()))
            })?
        }
    };
    let range = args.from.map(wall).unwrap_or(Wall(0))..args.to.map(wall).unwrap_or(Wall(u64::MAX));
    let proof = selected(&text, &range, crate::now().wall);
    if proof.heartbeats == 0 {
        return Err(Failure::failed(
            "there is no sample of heartbeats yet: one is complete every thirty heartbeat intervals",
        ));
    }
    let time = |wall: Option<Wall>| wall.map(rfc3339);
    let summary = json!({
        "heartbeats": proof.heartbeats,
        "first": time(proof.first),
        "last": time(proof.last),
        "file": args.out.as_ref().map(|path| path.display().to_string()),
    });
    match &args.out {
        Some(path) => {
            fs::write(path, &proof.text)
                .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
            if args.client.json {
                say(&format!("{summary}\n"))?;
            } else {
                say(&format!("{} heartbeats in {}\n", proof.heartbeats, path.display()))?;
            }
        }
        None => say(&proof.text)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn wall(time: std::time::SystemTime) -> Wall {
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Wall(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The heartbeats of a range, without those of the present period, whose sample may not be complete.
fn selected(kept: &str, range: &std::ops::Range<Wall>, now: Wall) -> Proof {
    let mut proof = Proof::default();
    let mut head: Option<Head> = None;
    for line in kept.lines() {
        if let Ok(next) = line.parse::<Head>() {
            if head != Some(next) {
                let _ = writeln!(proof.text, "{next}");
            }
            head = Some(next);
            continue;
        }
        let (Some(head), Ok(beat)) = (head, heartbeat(line)) else { continue };
        if range.contains(&beat.wall) && sample(beat.wall, head.period) < sample(now, head.period) {
            let _ = writeln!(proof.text, "{line}");
            proof.heartbeats += 1;
            proof.first = Some(proof.first.map_or(beat.wall, |first| first.min(beat.wall)));
            proof.last = proof.last.max(Some(beat.wall));
        }
    }
    proof
}

/// `timed attest verify`: 0 if every line is sound, 1 if not, 78 without a genesis file of this network.
pub(crate) fn verify(args: &AttestVerifyArgs) -> Result<ExitCode, Failure> {
    let genesis = Genesis::load(&args.genesis)?;
    let read = |path: &PathBuf| {
        fs::read(path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))
    };
    let texts: Vec<String> = args.files.iter().map(read).collect::<Result<_, _>>()?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let shown = judge(&genesis, &texts).map_err(|refused| {
        let Refused::OtherNetwork { file, line, genesis: theirs } = refused;
        Failure::config(format!(
            "{}:{line}: the proof is of the network with genesis hash {theirs}; {} is {}",
            name(&args.files, file),
            args.genesis.display(),
            genesis.hash()
        ))
    })?;
    let text = if args.json { format!("{}\n", as_json(&shown, &args.files)) } else { table(&shown) };
    say(&text)?;
    for Invalid { file, line, why } in shown.invalid.iter().take(LINES_SHOWN) {
        eprintln!("{}:{line}: {why}", name(&args.files, *file));
    }
    if shown.invalid.len() > LINES_SHOWN {
        eprintln!("and {} more lines", shown.invalid.len() - LINES_SHOWN);
    }
    if shown.heartbeats == 0 && shown.invalid.is_empty() {
        return Err(Failure::failed("there is no heartbeat in it"));
    }
    Ok(ExitCode::from(u8::from(!shown.invalid.is_empty())))
}

fn name(files: &[PathBuf], file: usize) -> String {
    files.get(file).map(|path| Path::display(path).to_string()).unwrap_or_default()
}

fn percent(part: usize, whole: usize) -> String {
    // Counts of periods are far below 2^52.
    if whole == 0 { "-".to_owned() } else { format!("{:.2} %", part as f64 * 100.0 / whole as f64) }
}

fn table(shown: &Shown) -> String {
    let Some((from, to)) = shown.span else { return "no sound heartbeat\n".to_owned() };
    let longest = |gaps: &[Gap]| gaps.iter().map(|gap| gap.to.since(gap.from)).max().unwrap_or_default();
    let rows: Vec<Vec<String>> = shown
        .nodes
        .iter()
        .map(|node| {
            vec![
                short(&node.node.to_string()).to_owned(),
                node.addr.clone(),
                percent(node.attested, shown.periods),
                format!("{}/{}", node.attested, shown.periods),
                node.gaps.len().to_string(),
                humantime::format_duration(longest(&node.gaps)).to_string(),
                node.witnesses.len().to_string(),
            ]
        })
        .collect();
    let mut out = aligned(&["NODE", "ADDRESS", "ATTESTED", "PERIODS", "GAPS", "LONGEST", "WITNESSES"], &rows);
    let _ = writeln!(
        out,
        "{} heartbeats, {} periods of {} from {} to {}; attested: named by {} others",
        shown.heartbeats,
        shown.periods,
        humantime::format_duration(shown.period),
        rfc3339(from),
        rfc3339(to),
        shown.needed
    );
    if shown.elsewhere > 0 {
        let _ = writeln!(
            out,
            "{} of them refer to a registry that blocks have changed: whom they name is not known from the genesis",
            shown.elsewhere
        );
    }
    for node in shown.nodes.iter().filter(|node| !node.gaps.is_empty()) {
        for gap in node.gaps.iter().take(GAPS_SHOWN) {
            let _ = writeln!(out, "gap: {} {} to {}", node.addr, rfc3339(gap.from), rfc3339(gap.to));
        }
        if node.gaps.len() > GAPS_SHOWN {
            let _ = writeln!(out, "gap: {} and {} more", node.addr, node.gaps.len() - GAPS_SHOWN);
        }
    }
    out
}

fn as_json(shown: &Shown, files: &[PathBuf]) -> Value {
    let gap = |gap: &Gap| json!({ "from": rfc3339(gap.from), "to": rfc3339(gap.to) });
    let node = |node: &super::proof::Presence| {
        json!({
            "node_id": node.node.to_string(),
            "address": node.addr,
            "attested_periods": node.attested,
            "heard_periods": node.heard,
            "attested_fraction": if shown.periods == 0 { 0.0 } else { node.attested as f64 / shown.periods as f64 },
            "gaps": node.gaps.iter().map(gap).collect::<Vec<_>>(),
            "witnesses": node.witnesses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    let invalid = |invalid: &Invalid| json!({ "file": name(files, invalid.file), "line": invalid.line, "why": invalid.why });
    json!({
        "valid": shown.invalid.is_empty(),
        "from": shown.span.map(|(from, _)| rfc3339(from)),
        "to": shown.span.map(|(_, to)| rfc3339(to)),
        "period_s": shown.period.as_secs_f64(),
        "periods": shown.periods,
        "witnesses_needed": shown.needed,
        "heartbeats": shown.heartbeats,
        "of_another_registry": shown.elsewhere,
        "nodes": shown.nodes.iter().map(node).collect::<Vec<_>>(),
        "invalid": shown.invalid.iter().map(invalid).collect::<Vec<_>>(),
    })
}
