//! Tests any node, in any language, against `core/PROTOCOL.md`, over TCP and nothing else:
//!
//! ```text
//! conformance --prepare DIR --addr IP:PORT --node KEY
//! conformance --addr IP:PORT --genesis FILE [--node KEY] [--key FILE]... [--rule RULE]... [--slack N] [--json]
//! ```
//!
//! `--prepare` makes a network for the node at this address with this key: `genesis.toml`, which the node is to be
//! started with, and the `node_key` files of three masternodes on the same machine, which the suite plays then.
//!
//! `--node` is the node's key, needed where no masternode is registered at its address. Each `--key` is the `node_key`
//! of a registered masternode that runs nowhere: the suite plays it, and sees rules that a stranger does not. With
//! keys of a quorum it decides blocks with the node: give it a network of its own, never one that is in use.
//! `--slack` says how many times as long as promised to wait (5). The node is expected to keep the default times.
//!
//! Prints a line for each case and a table of rules; exits with 0 only if every case that could be run passed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use sha2::{Digest, Sha256};
use timed_core::crypto::Provider;
use timed_core::crypto::noise::NoiseProvider;
use timed_core::{CanonicalAddr, Masternode, NetworkName, NodeId, Registry};
use timed_tests::conformance::{Case, Genesis, Miss, Outcome, Remote, Sockets, UNSEEN, cases, run_all};

const USAGE: &str = "\
conformance --prepare DIR --addr IP:PORT --node KEY
conformance --addr IP:PORT --genesis FILE [--node KEY] [--key FILE]... [--rule RULE]... [--slack N] [--json]";

/// Between two blocks of a network that is made for a node.
const INTERVAL: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
struct Order {
    prepare: Option<PathBuf>,
    addr: Option<SocketAddr>,
    genesis: Option<PathBuf>,
    node: Option<NodeId>,
    keys: Vec<PathBuf>,
    rules: Vec<String>,
    slack: Option<u32>,
    json: bool,
}

fn order(mut arguments: impl Iterator<Item = String>) -> Result<Order, String> {
    let mut order = Order::default();
    while let Some(name) = arguments.next() {
        if name == "--json" {
            order.json = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value\nusage: {USAGE}"))?;
        let wrong = |what: &str| format!("{name}: {value:?} is no {what}");
        match name.as_str() {
            "--prepare" => order.prepare = Some(value.into()),
            "--addr" => order.addr = Some(value.parse().map_err(|_| wrong("IP:PORT"))?),
            "--genesis" => order.genesis = Some(value.into()),
            "--node" => order.node = Some(value.parse().map_err(|_| wrong("key"))?),
            "--key" => order.keys.push(value.into()),
            "--rule" => order.rules.push(value),
            "--slack" => order.slack = Some(value.parse().map_err(|_| wrong("number"))?),
            _ => return Err(format!("{name} is unknown\nusage: {USAGE}")),
        }
    }
    Ok(order)
}

/// The seed in a `node_key` file: one line of 64 hexadecimal digits.
fn seed(path: &PathBuf) -> Result<[u8; 32], String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let digits: Option<NodeId> = line.and_then(|line| line.parse().ok());
    digits.map(|digits| digits.0).ok_or_else(|| format!("{} is no node key", path.display()))
}

fn stage(order: &Order) -> Result<Remote, String> {
    let addr = order.addr.ok_or_else(|| format!("--addr is missing\nusage: {USAGE}"))?;
    let path = order.genesis.as_ref().ok_or_else(|| format!("--genesis is missing\nusage: {USAGE}"))?;
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let genesis = Genesis::read(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let keys = order.keys.iter().map(seed).collect::<Result<Vec<_>, _>>()?;
    Remote::new(addr, &genesis, order.node, &keys, order.slack.unwrap_or(5))
}

/// Makes a network for a node, and says how to go on.
fn prepare(dir: &Path, addr: SocketAddr, node: NodeId) -> Result<String, String> {
    let at =
        |port: u16| CanonicalAddr::new(SocketAddr::new(addr.ip(), port)).map_err(|error| error.to_string());
    let port = addr.port();
    let mut entries = vec![Masternode { id: node, addr: at(port)? }];
    let mut keys = String::new();
    std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let write = |name: &str, text: String| {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    // One that dials the node, and two that it dials.
    for (index, port) in
        [port.saturating_sub(1), port.saturating_add(1), port.saturating_add(2)].iter().enumerate()
    {
        let digest = Sha256::new().chain_update("timed-conformance-key").chain_update(node.0);
        let seed: [u8; 32] = digest.chain_update(index.to_le_bytes()).finalize().into();
        let name = format!("masternode{}.key", index + 1);
        entries.push(Masternode {
            id: NoiseProvider::new(zeroize::Zeroizing::new(seed)).node_id(),
            addr: at(*port)?,
        });
        write(&name, format!("# Played by the conformance suite: for no real network\n{}\n", NodeId(seed)))?;
        keys.push_str(&format!(" --key {}", dir.join(&name).display()));
    }
    let registry = Registry::new(entries).map_err(|error| error.to_string())?;
    let network = NetworkName::new("conformance").map_err(|error| error.to_string())?;
    let genesis = Genesis { network, interval: INTERVAL, time: None, registry };
    write("genesis.toml", genesis.to_toml())?;
    let path = dir.join("genesis.toml");
    Ok(format!(
        "genesis {}\nstart the node at {addr} with {}, then:\nconformance --addr {addr} --genesis {}{keys}",
        genesis.hash(),
        path.display(),
        path.display()
    ))
}

/// What there is to do.
enum Task {
    Say(String),
    Test(Order, Box<Remote>),
}

fn task() -> Result<Task, String> {
    let order = order(std::env::args().skip(1))?;
    match (&order.prepare, order.addr, order.node) {
        (None, ..) => stage(&order).map(|stage| Task::Test(order, Box::new(stage))),
        (Some(dir), Some(addr), Some(node)) => prepare(dir, addr, node).map(Task::Say),
        (Some(_), ..) => Err(format!("--prepare needs --addr and --node\nusage: {USAGE}")),
    }
}

fn main() -> ExitCode {
    let (order, stage) = match task() {
        Ok(Task::Test(order, stage)) => (order, stage),
        Ok(Task::Say(text)) => {
            println!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    // A failing case says why; where in the suite it did is nobody's business.
    std::panic::set_hook(Box::new(|_| {}));
    let wanted = |case: &&Case| order.rules.is_empty() || order.rules.iter().any(|rule| rule == case.rule);
    let chosen: Vec<&'static Case> = cases().into_iter().filter(wanted).collect();
    if !order.json {
        println!(
            "{} at {}, genesis {}",
            stage.ground().subject,
            stage.ground().addr,
            stage.ground().config.genesis
        );
    }
    // One after the other: the node remembers what was done to it, and has bounds for what is done at once.
    let draws = Sockets::wall().0.to_le_bytes();
    let outcomes = run_all(&*stage, &chosen, &draws, 1, |outcome| {
        if !order.json {
            println!("{}", line(outcome));
        }
    });
    if order.json {
        println!("{}", json(&outcomes));
    } else {
        print!("{}", table(&outcomes, order.rules.is_empty()));
    }
    let failed = outcomes.iter().any(|outcome| matches!(outcome.verdict, Err(Miss::Broken(_))));
    let passed = outcomes.iter().any(|outcome| outcome.verdict.is_ok());
    if failed || !passed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn line(outcome: &Outcome) -> String {
    let why = outcome.verdict.as_ref().err().map_or_else(String::new, |miss| format!(": {miss}"));
    let Outcome { case, took, .. } = outcome;
    format!("{:7} {:6.2} s  {:5} {}{why}", outcome.word(), took.as_secs_f32(), case.rule, case.name)
}

/// A line for each rule, and the sums.
fn table(outcomes: &[Outcome], whole: bool) -> String {
    let mut text = String::from("\nrule   passed failed not run\n");
    let count = |rule: &str, word: &str| {
        outcomes.iter().filter(|outcome| outcome.case.rule == rule && outcome.word() == word).count()
    };
    let mut rules: Vec<&str> = Vec::new();
    for outcome in outcomes {
        if !rules.contains(&outcome.case.rule) {
            rules.push(outcome.case.rule);
        }
    }
    let mut sums = [0; 3];
    for rule in &rules {
        let counts = ["passed", "FAILED", "not run"].map(|word| count(rule, word));
        let verdict = match counts {
            [_, failed, _] if failed > 0 => 1,
            [0, _, _] => 2,
            _ => 0,
        };
        sums[verdict] += 1;
        text.push_str(&format!("{rule:6} {:6} {:6} {:7}\n", counts[0], counts[1], counts[2]));
    }
    text.push_str(&format!("{} rules passed, {} failed, {} not run here", sums[0], sums[1], sums[2]));
    if whole {
        text.push_str(&format!(", {} cannot be seen from outside", UNSEEN.len()));
    }
    text.push('\n');
    text
}

fn json(outcomes: &[Outcome]) -> String {
    let one = |outcome: &Outcome| {
        let why = outcome.verdict.as_ref().err().map(|miss| miss.to_string());
        serde_json::json!({
            "rule": outcome.case.rule,
            "case": outcome.case.name,
            "result": outcome.word().to_lowercase().replace(' ', "_"),
            "why": why,
            "seconds": outcome.took.as_secs_f64(),
        })
    };
    serde_json::Value::Array(outcomes.iter().map(one).collect()).to_string()
}
