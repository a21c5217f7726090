//! `timed doctor`: looks at what an operator gets wrong, with and without a running node, and says what to do.
//!
//! | file | mechanism |
//! |---|---|
//! | `files` | the data directory: who may read and write it, what is in it, how much room there is |
//! | `machine` | open files, addresses, other processes of the same key |
//! | `network` | what the running node and its peers say |

mod files;
mod machine;
mod network;

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::arguments::DoctorArgs;
use super::assembly::Assembly;
use super::client::{Api, Method, say, token, url_of};
use super::data_dir::{DataDir, Holder};
use super::failure::Failure;
use files::Files;

/// The running node has this long to answer: a healthy one needs milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What a check has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Ok,
    /// It works, but may not tomorrow, or could not be looked at.
    Warn,
    Fail,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One line of the examination.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    /// What was found.
    detail: String,
    /// What to do about it; the detail says it where this does not.
    remedy: Option<String>,
}

impl Check {
    fn new(name: &'static str, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self { name, verdict, detail: detail.into(), remedy: None }
    }

    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, detail)
    }

    fn warn(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Verdict::Warn, detail)
    }

    fn fail(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Verdict::Fail, detail)
    }

    fn remedy(mut self, what: impl Into<String>) -> Self {
        self.remedy = Some(what.into());
        self
    }

    /// What a step of the start-up says of itself.
    fn of<T>(name: &'static str, outcome: &Result<T, Failure>, fine: impl FnOnce(&T) -> String) -> Self {
        match outcome {
            Ok(value) => Self::ok(name, fine(value)),
            Err(failure) => Self::fail(name, &failure.message),
        }
    }

    fn as_json(&self) -> Value {
        json!({
            "name": self.name,
            "result": self.verdict.as_str(),
            "detail": self.detail,
            "remedy": self.remedy,
        })
    }
}

/// Examines a node: 0 if nothing fails, else 1.
pub(crate) fn doctor(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let dir = DataDir::locate(args.node.dir.data_dir.as_deref())?;
    let checks = examination(&dir, args);
    let failed = checks.iter().any(|check| check.verdict == Verdict::Fail);
    let text = if args.json {
        let checks: Vec<Value> = checks.iter().map(Check::as_json).collect();
        format!("{}\n", json!({ "ok": !failed, "checks": checks }))
    } else {
        lines(&checks)
    };
    say(&text)?;
    Ok(ExitCode::from(u8::from(failed)))
}

fn lines(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for check in checks {
        let indent = format!("\n      {:width$}  ", "");
        let detail = check.detail.trim_end().replace('\n', &indent);
        out.push_str(&format!("{:<4}  {:<width$}  {detail}", check.verdict.as_str(), check.name));
        if let Some(remedy) = &check.remedy {
            out.push_str(&format!("{indent}do: {remedy}"));
        }
        out.push('\n');
    }
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    out.push_str(&format!(
        "{} ok, {} to look at, {} wrong\n",
        count(Verdict::Ok),
        count(Verdict::Warn),
        count(Verdict::Fail)
    ));
    out
}

fn examination(dir: &DataDir, args: &DoctorArgs) -> Vec<Check> {
    let assembly = Assembly::load(dir, &args.node).ok();
    let files = Files::read(dir, &args.node, assembly.as_ref());
    let holder = dir.holder();
    let mut checks = files.checks();
    checks.extend(files::disk(dir));
    if let Some(assembly) = &assembly {
        checks.extend(machine::same_key(assembly.id, &holder));
        checks.push(machine::open_files(
            &assembly.config.core_limits(assembly.genesis.registry.size()),
            &holder,
        ));
    }
    match &holder {
        Holder::Nobody => {
            checks.push(Check::ok("version", format!("timed {}", env!("CARGO_PKG_VERSION"))));
            checks.push(Check::warn(
                "node",
                "no node runs here: clock, links, and what peers see of it are not known",
            ));
            if let Some(assembly) = &assembly {
                checks.extend(machine::addresses(&assembly.config));
            }
        }
        Holder::Process(process) => checks.extend(running(dir, &files, assembly.as_ref(), process)),
    }
    checks
}

/// What a running node says.
fn running(dir: &DataDir, files: &Files, assembly: Option<&Assembly>, process: &str) -> Vec<Check> {
    let Some(config) = files.config() else {
        return vec![Check::warn(
            "node",
            format!("process {process} runs here; where its API is, is not known"),
        )];
    };
    if !config.api.enabled {
        let unasked = format!("process {process} runs here without an API: what it knows is not known");
        return vec![Check::warn("node", unasked).remedy("set api.enabled = true")];
    }
    let token = match token(dir) {
        Ok(token) => token,
        Err(failure) => return vec![Check::fail("node", failure.message)],
    };
    let url = url_of(config.api.listen);
    let api = Api::within(url.clone(), token, ANSWER_WITHIN);
    let ask = |path: &str| api.call(Method::Get, path, "").map_err(|none| none.to_string());
    let asked =
        ask("/status").and_then(|status| Ok((status.json, ask("/peers")?.json, ask("/metrics")?.text)));
    match asked {
        Ok((status, peers, metrics)) => {
            let registry = assembly.map(|assembly| &assembly.genesis.registry);
            let mut checks = vec![Check::ok("node", format!("process {process} answers at {url}"))];
            checks.extend(network::checks(
                &network::Word { status: &status, peers: &peers, metrics: &metrics },
                registry,
            ));
            checks
        }
        Err(error) => vec![
            Check::fail(
                "node",
                format!("process {process} holds the data directory and does not answer: {error}"),
            )
            .remedy(
                "look at its log; a process that hangs is ended with kill -9, which loses nothing. If it was \
                     started with other flags than these, give them to doctor, too",
            ),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_says_what_was_found_and_what_to_do() {
        let checks = [
            Check::ok("disk", "9 GiB free"),
            Check::fail("node key", "others can read it\nand write it").remedy("chmod 600 it"),
        ];
        assert_eq!(
            lines(&checks),
            "ok    disk      9 GiB free\n\
             fail  node key  others can read it\n                and write it\n                do: chmod 600 it\n\
             1 ok, 0 to look at, 1 wrong\n"
        );
    }
}
