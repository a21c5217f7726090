//! The protocol is enough to write a node by: a client in another language, on another Noise library, written from
//! `core/PROTOCOL.md` and the vectors alone (`tests/python_client`).
//!
//! It needs Python 3.11 with what `requirements.txt` there names; `TIMED_PYTHON` says which one (`python3`). Where it
//! is not there the tests say so and hold nothing.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use timed_core::crypto::Provider;
use timed_core::crypto::noise::NoiseProvider;
use timed_core::limits::MAX_ASSEMBLED;
use timed_core::{
    AddrScope, ChainConfig, Config, Limits, MasternodeMode, MinPeers, Reply, Request, Timings, Wall,
};
use timed_tests::conformance::{Genesis, Hosted, Mio, Plan};
use zeroize::Zeroizing;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python_client")
}

/// A Python that has what the client needs.
fn python() -> Option<String> {
    let python = std::env::var("TIMED_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let needed = "import sys, tomllib, noise.connection, cryptography; assert sys.version_info >= (3, 11)";
    let able = Command::new(&python).args(["-c", needed]).output().is_ok_and(|done| done.status.success());
    if !able {
        eprintln!(
            "SKIPPED: {python} lacks what tests/python_client/requirements.txt names. To run this test:\n\
             python3 -m venv VENV && VENV/bin/pip install -r tests/python_client/requirements.txt\n\
             TIMED_PYTHON=VENV/bin/python cargo test -p timed-tests --test python_client"
        );
    }
    able.then_some(python)
}

fn run(python: &str, arguments: &[&str]) -> Output {
    Command::new(python).current_dir(folder()).args(arguments).output().unwrap()
}

fn told(done: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
}

#[test]
fn a_client_in_another_language_agrees_with_every_vector() {
    let Some(python) = python() else { return };
    let done = run(&python, &["check_vectors.py", "../vectors"]);
    assert!(done.status.success(), "{}", told(&done));
    // Each file of vectors has been looked at.
    for entry in std::fs::read_dir(folder().join("../vectors")).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(told(&done).contains(&*name.to_string_lossy()), "{name:?} was left out");
    }
}

/// Four masternodes that make blocks, and their genesis file.
struct Network {
    folder: tempfile::TempDir,
    nodes: Vec<Mio>,
    addr: String,
}

impl Network {
    fn start(net: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = 30_000 + std::process::id() % 10_000;
        let provider = |node: u8| NoiseProvider::new(Zeroizing::new([node; 32]));
        let addr = |node: u8| format!("127.151.{net}.{node}:{port}");
        let mut text = "network = \"python\"\nblock_interval = \"1s\"\n".to_owned();
        for node in 1..=4 {
            let id = provider(node).node_id();
            text.push_str(&format!("\n[[masternode]]\nid = \"{id}\"\naddr = \"{}\"\n", addr(node)));
        }
        std::fs::write(folder.path().join("genesis.toml"), &text).unwrap();
        let genesis = Genesis::read(&text).unwrap();
        let start = |node: u8| {
            let dir = folder.path().join(node.to_string());
            std::fs::create_dir(&dir).unwrap();
            let config = Config {
                network: genesis.network.clone(),
                genesis: genesis.hash(),
                limits: Limits::for_registry(4),
                registry: genesis.registry.clone(),
                advertised: addr(node).parse().ok(),
                bootstrap: Vec::new(),
                reserved: Vec::new(),
                seeds: Vec::new(),
                addresses: AddrScope::Private,
                masternode: MasternodeMode::Auto,
                agent: "timed".to_owned(),
                chain: Some(ChainConfig {
                    genesis_time: Wall(0),
                    interval: genesis.interval,
                    max_bytes: MAX_ASSEMBLED,
                    min_peers: MinPeers::Auto,
                }),
                timings: Timings { heartbeat: Duration::from_secs(2), ..Timings::default() },
            };
            let listen = addr(node).parse().unwrap();
            Mio::start(&Plan { config, key: [node; 32], draws: [node; 32], listen, dir }).unwrap()
        };
        let nodes = (1..=4).map(start).collect();
        Self { folder, nodes, addr: addr(2) }
    }

    fn height(&self) -> u64 {
        match self.nodes[1].ask(Request::Status) {
            Some(Reply::Status(status)) => status.summary.height.0,
            other => panic!("{other:?}"),
        }
    }

    fn genesis(&self) -> String {
        self.folder.path().join("genesis.toml").to_str().unwrap().to_owned()
    }
}

#[test]
fn a_client_in_another_language_joins_and_verifies_what_it_hears() {
    let Some(python) = python() else { return };
    let network = Network::start(1);
    let began = Instant::now();
    while network.height() < 2 {
        assert!(began.elapsed() < Duration::from_secs(30), "no blocks");
        std::thread::sleep(Duration::from_millis(50));
    }
    let genesis = network.genesis();
    let order = ["client.py", "--addr", &network.addr, "--genesis", &genesis];
    let done = run(&python, &[&order[..], &["--heartbeats", "4", "--blocks", "4", "--for", "60"]].concat());
    let text = told(&done);
    assert!(done.status.success(), "{text}");
    for seen in ["linked with", "told of", "block 4", "certified by", ": valid", "all seen"] {
        assert!(text.contains(seen), "no {seen:?} in:\n{text}");
    }
    // With another genesis it is no node of this network, and says so.
    let other = network.folder.path().join("other.toml");
    let text = std::fs::read_to_string(&genesis).unwrap().replace("\"1s\"", "\"2s\"");
    std::fs::write(&other, text).unwrap();
    let done = run(&python, &["client.py", "--addr", &network.addr, "--genesis", other.to_str().unwrap()]);
    assert!(!done.status.success() && told(&done).contains("not accepted"), "{}", told(&done));
}
