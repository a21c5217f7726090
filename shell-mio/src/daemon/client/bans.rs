//! The verbs about bans.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::super::arguments::{BanArgs, ClientArgs, UnbanArgs};
use super::super::failure::Failure;
use super::{Method, aligned, ask, cell, number, path_segment, rows, span};

/// `timed bans`.
pub(crate) fn bans(args: &ClientArgs) -> Result<ExitCode, Failure> {
    ask(args, (Method::Get, "/bans", ""), |bans| {
        let rows = rows(bans, |ban| {
            vec![
                cell(&ban["target"]),
                cell(&ban["cause"]),
                cell(&ban["since"]),
                remaining(ban),
                cell(&ban["reason"]),
            ]
        });
        if rows.is_empty() {
            return "no bans\n".to_owned();
        }
        aligned(&["TARGET", "BY", "SINCE", "REMAINING", "REASON"], &rows)
    })
}

fn remaining(ban: &Value) -> String {
    if ban["remaining_s"].is_null() { "until lifted".to_owned() } else { span(number(&ban["remaining_s"])) }
}

/// `timed ban`.
pub(crate) fn ban(args: &BanArgs) -> Result<ExitCode, Failure> {
    let body = json!({
        "target": args.target.to_string(),
        "duration": args.duration.map(|duration| duration.as_secs()),
        "reason": args.reason,
    });
    ask(&args.client, (Method::Post, "/bans", &body.to_string()), |answer| {
        let ban = &answer["ban"];
        let end = if ban["until"].is_null() {
            "until it is lifted".to_owned()
        } else {
            format!("for {}, until {}", remaining(ban), cell(&ban["until"]))
        };
        let warning =
            answer["warning"].as_str().map_or_else(String::new, |warning| format!("warning: {warning}\n"));
        format!("banned {} {end}\n{warning}", cell(&ban["target"]))
    })
}

/// `timed unban`.
pub(crate) fn unban(args: &UnbanArgs) -> Result<ExitCode, Failure> {
    let path = format!("/bans/{}", path_segment(&args.target.to_string()));
    ask(&args.client, (Method::Delete, &path, ""), |answer| {
        format!("unbanned {}\n", cell(&answer["ban"]["target"]))
    })
}
