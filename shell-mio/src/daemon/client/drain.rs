//! `timed drain`.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::super::arguments::DrainArgs;
use super::super::failure::Failure;
use super::{Method, ask, number, span};

/// Says what is safe to do now.
pub(crate) fn drain(args: &DrainArgs) -> Result<ExitCode, Failure> {
    if args.cancel {
        return ask(&args.client, (Method::Delete, "/drain", ""), |answer| {
            format!("this node stays: told {} peers\n", answer["told"])
        });
    }
    let body = json!({ "for": args.lasts.as_secs(), "force": args.force });
    ask(&args.client, (Method::Post, "/drain", &body.to_string()), drained)
}

fn drained(answer: &Value) -> String {
    let lasts = span(number(&answer["absence_s"]));
    let said =
        format!("told {} peers that this node is about to be away for up to {lasts}\n", answer["told"]);
    let next = match answer["warning"].as_str() {
        Some(warning) => format!("warning: {warning}\n"),
        None if number(&answer["quorum"]) == 0 => "it is safe to stop it now\n".to_owned(),
        None => format!(
            "{} masternodes are left, {} decide blocks: it is safe to stop it now\n",
            answer["masternodes_left"], answer["quorum"]
        ),
    };
    said + &next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_safe_is_said_and_what_is_not_is_a_warning() {
        let answer = |left, warning: Option<&str>| json!({ "absence_s": 900, "told": 6, "masternodes_left": left, "quorum": 5, "warning": warning });
        let safe = drained(&answer(6, None));
        assert!(safe.starts_with("told 6 peers") && safe.contains("safe to stop"), "{safe}");
        let forced = drained(&answer(4, Some("no block comes")));
        assert!(forced.contains("warning: no block comes") && !forced.contains("safe"), "{forced}");
    }
}
