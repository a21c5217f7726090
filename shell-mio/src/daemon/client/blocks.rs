//! The verbs about blocks and transactions, and the lines about them in `timed status`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::Value;
use timed_core::limits::MAX_TRANSACTION;

use super::super::arguments::{BlockArgs, ClientArgs, SubmitArgs, TransactionArgs};
use super::super::failure::Failure;
use super::{Method, aligned, ask, cell, facts, number, rows, short, size, span, thousands};

/// `timed block`.
pub(crate) fn block(args: &BlockArgs) -> Result<ExitCode, Failure> {
    ask(&args.client, (Method::Get, &format!("/blocks/{}", args.block), ""), described)
}

fn described(block: &Value) -> String {
    let (header, certificate) = (&block["header"], &block["commit_certificate"]);
    let signers = certificate["signers"].as_array().map_or(0, Vec::len);
    let transactions = block["transaction_ids"].as_array().map_or(0, Vec::len);
    let mut out = facts(&[
        ("height", cell(&block["height"])),
        ("hash", cell(&block["hash"])),
        ("parent", cell(&block["parent"])),
        ("time", cell(&block["time"])),
        ("proposer", cell(&block["proposer"])),
        ("proposed", format!("first in round {}", header["round"])),
        ("decided", format!("in round {} by {signers} precommits", block["round"])),
        ("registry", cell(&header["registry_hash"])),
        (
            "payload",
            format!(
                "{transactions} transactions, {}, root {}",
                size(number(&block["payload_bytes"])),
                cell(&header["payload_root"])
            ),
        ),
    ]);
    let seats = certificate["seats"].as_array().into_iter().flatten();
    let ids = certificate["signers"].as_array().into_iter().flatten();
    let signatures = certificate["signatures"].as_array().into_iter().flatten();
    let signed: Vec<Vec<String>> = seats
        .zip(ids)
        .zip(signatures)
        .map(|((seat, id), signature)| vec![cell(seat), cell(id), format!("{}…", short(&cell(signature)))])
        .collect();
    out.push_str(&format!("\n{}", aligned(&["#", "SIGNED BY", "SIGNATURE"], &signed)));
    if transactions > 0 {
        let ids = rows(&block["transaction_ids"], |id| vec![cell(id)]);
        let indexed: Vec<Vec<String>> =
            (0..).zip(ids).map(|(index, id): (u32, _)| [vec![index.to_string()], id].concat()).collect();
        out.push_str(&format!("\n{}", aligned(&["INDEX", "TRANSACTION"], &indexed)));
    }
    out
}

/// `timed tx`.
pub(crate) fn transaction(args: &TransactionArgs) -> Result<ExitCode, Failure> {
    ask(&args.client, (Method::Get, &format!("/tx/{}", args.id), ""), |tx| match tx["state"].as_str() {
        Some("committed") => format!("committed in block {}, index {}\n", tx["height"], tx["index"]),
        state => format!("{}\n", state.unwrap_or("unknown")),
    })
}

/// `timed submit`.
pub(crate) fn submit(args: &SubmitArgs) -> Result<ExitCode, Failure> {
    let transaction = read_transaction(&args.file)?;
    ask(&args.client, (Method::PostBytes, "/tx", transaction), |answer| format!("{}\n", cell(&answer["id"])))
}

/// A file's content, or that of standard input, if it can be a transaction. Never reads much more than one.
fn read_transaction(file: &Path) -> Result<Vec<u8>, Failure> {
    let shown = file.display();
    let is_input = file == Path::new("-");
    let mut bytes = Vec::new();
    let most = MAX_TRANSACTION as u64 + 1;
    let read = if is_input {
        io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::failed(format!("cannot read {shown}: {error}")))?;
    let name = if is_input { "standard input".to_owned() } else { shown.to_string() };
    match bytes.len() {
        0 => Err(Failure::failed(format!("{name} is empty: a transaction has at least one byte"))),
        1..=MAX_TRANSACTION => Ok(bytes),
        _ => Err(Failure::failed(format!(
            "{name} is larger than a transaction may be, {MAX_TRANSACTION} bytes"
        ))),
    }
}

/// `timed evidence`.
pub(crate) fn evidence(args: &ClientArgs) -> Result<ExitCode, Failure> {
    ask(args, (Method::Get, "/evidence", ""), |list| {
        let mut out = String::new();
        for entry in list.as_array().into_iter().flatten() {
            out.push_str(&format!(
                "{} signed two contradicting {}s at height {}, round {}\n",
                cell(&entry["node_id"]),
                cell(&entry["kind"]),
                entry["height"],
                entry["round"]
            ));
            for which in ["first", "second"] {
                let statement = &entry[which];
                let block = statement["block"].as_str().unwrap_or("no block");
                out.push_str(&format!("  {block} signature {}\n", cell(&statement["signature"])));
            }
        }
        let count = list.as_array().map_or(0, Vec::len);
        out.push_str(&format!("{count} contradictions\n"));
        out
    })
}

/// How far a node has caught up.
pub(super) fn sync(sync: &Value) -> String {
    let state = cell(&sync["state"]);
    if state != "syncing" && state != "stalled" {
        return state;
    }
    let mut out = format!("{state}, the network is at {}", thousands(number(&sync["target"])));
    if let Some(rate) = sync["blocks_per_second"].as_f64() {
        out.push_str(&format!(", {rate:.0} blocks/s"));
    }
    if let Some(left) = sync["seconds_left"].as_u64() {
        out.push_str(&format!(", {} left", span(left)));
    }
    out
}

/// When the newest block was due, and how long ago that is by this machine's clock.
pub(super) fn last_block(time: &Value) -> String {
    let Some(text) = time.as_str() else { return "none yet".to_owned() };
    let at = humantime::parse_rfc3339(text).ok();
    match at.and_then(|at| SystemTime::now().duration_since(at).ok()) {
        Some(ago) => format!("{text}, {} ago", span(ago.as_secs())),
        None => text.to_owned(),
    }
}

/// Whether a node proposes blocks, and why not.
pub(super) fn producing(status: &Value) -> String {
    if status["producing"] == true {
        return "yes".to_owned();
    }
    format!("no: {} ({})", cell(&status["not_producing_text"]), cell(&status["not_producing_reason"]))
}

/// The height under way.
pub(super) fn under_way(consensus: &Value) -> String {
    if consensus.is_null() {
        return "-".to_owned();
    }
    let votes = consensus["votes"].as_array().and_then(|votes| votes.last());
    let votes = votes.map_or(String::new(), |votes| {
        format!(
            ", {} prevotes and {} precommits of {} needed",
            votes["prevotes"], votes["precommits"], consensus["quorum"]
        )
    });
    format!(
        "height {}, round {}, {}, led by {}{votes}",
        consensus["height"],
        consensus["round"],
        cell(&consensus["step"]),
        short(&cell(&consensus["leader"]))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_can_be_a_transaction_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tx");
        for (bytes, fits) in [(0, false), (1, true), (MAX_TRANSACTION, true), (MAX_TRANSACTION + 1, false)] {
            std::fs::write(&file, vec![7; bytes]).unwrap();
            assert_eq!(read_transaction(&file).map(|read| read.len()).ok(), fits.then_some(bytes));
        }
        let missing = read_transaction(&dir.path().join("none")).unwrap_err();
        assert!(missing.message.contains("none"), "{missing}");
    }

    #[test]
    fn states_read_well() {
        let syncing = json!({
            "state": "syncing", "target": 12_000, "blocks_per_second": 850.4, "seconds_left": 70,
        });
        assert_eq!(sync(&syncing), "syncing, the network is at 12,000, 850 blocks/s, 1m 10s left");
        assert_eq!(sync(&json!({ "state": "synced", "target": 3 })), "synced");
        let idle = json!({
            "producing": false, "not_producing_reason": "no_quorum", "not_producing_text": "1 of 4 are linked",
        });
        assert_eq!(producing(&idle), "no: 1 of 4 are linked (no_quorum)");
        assert_eq!(last_block(&Value::Null), "none yet");
    }
}
