//! Networks of both shells, half and half: from outside one cannot tell which node is which.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::loopback::quiet_ip;
use crate::operator::{Process, eventually, http, run, signal, text, timed};
use serde_json::Value;

const SECOND: Duration = Duration::from_secs(1);
const NODES: u8 = 4;

/// The tokio shell's program. A run of all tests has built it; a run of these alone builds it here.
fn tokio_node() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_timed")).with_file_name("examples").join("timed-tokio-node");
    if !beside.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--locked", "-p", "timed-mio", "--example", "timed-tokio-node"]);
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
        assert!(built.success() && beside.exists(), "{} cannot be built", beside.display());
    }
    beside
}

struct Devnet {
    process: Process,
    base: Ipv4Addr,
    dir: tempfile::TempDir,
}

impl Devnet {
    fn start(shell: &str) -> Self {
        tokio_node();
        let dir = tempfile::tempdir().unwrap();
        // Above the addresses that the other tests of devnets use.
        let base = quiet_ip();
        let (nodes, ip) = (NODES.to_string(), base.to_string());
        let arguments = ["devnet", "--shell", shell, "--nodes", &nodes, "--base-ip", &ip];
        let mut command = timed(&arguments);
        command.args(["--block-interval", "500ms", "--dir", text(dir.path())]);
        let devnet = Self { process: Process::start(&mut command), base, dir };
        eventually("every link stands", 60 * SECOND, || {
            (1..=NODES).all(|node| devnet.get(node, "/consensus_info").1["links"]["up"] == NODES - 1)
        });
        devnet
    }

    fn url(&self, node: u8) -> String {
        format!("http://{}:8332", Ipv4Addr::from(u32::from(self.base) + u32::from(node) - 1))
    }

    fn get(&self, node: u8, path: &str) -> (u16, Value) {
        http("GET", &format!("{}{path}", self.url(node)), None, "")
    }

    /// What a node answers to a `GET`, as it is on the wire, to its end or these words.
    fn raw(&self, node: u8, path: &str, host: &str, until: &str) -> String {
        let addr = self.url(node);
        let mut stream = TcpStream::connect(addr.trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(30 * SECOND)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        let (mut told, mut buffer) = (String::new(), [0; 4096]);
        while !told.contains(until) {
            match stream.read(&mut buffer) {
                Ok(count) if count > 0 => told.push_str(&String::from_utf8_lossy(&buffer[..count])),
                _ => break,
            }
        }
        told
    }

    /// A node's metrics, by name and kind.
    fn metrics(&self, node: u8) -> BTreeSet<String> {
        let (status, text) = self.get(node, "/metrics");
        assert_eq!(status, 200, "{text}");
        let text = text.as_str().unwrap().to_owned();
        text.lines().filter(|line| line.starts_with("# TYPE ")).map(str::to_owned).collect()
    }

    fn height(&self, node: u8) -> u64 {
        self.get(node, "/consensus_info").1["height"].as_u64().unwrap_or(0)
    }

    fn path(&self, node: u8) -> PathBuf {
        self.dir.path().join(format!("node{node}"))
    }

    fn pid(&self, node: u8) -> u32 {
        std::fs::read_to_string(self.path(node).join("LOCK")).unwrap().trim().parse().unwrap()
    }

    /// The program that a node runs.
    fn program(&self, node: u8) -> String {
        let path = std::fs::read_link(format!("/proc/{}/exe", self.pid(node))).unwrap();
        path.file_name().unwrap().to_string_lossy().into_owned()
    }

    fn until_all_are_at(&self, height: u64) {
        eventually(&format!("height {height}"), 60 * SECOND, || {
            (1..=NODES).all(|node| self.height(node) >= height)
        });
    }
}

/// What fields there are, and of what kind: values apart. Of a list, what its elements have in common.
fn shape(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                shape(value, &format!("{path}.{name}"), into);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| shape(value, &format!("{path}[]"), into)),
        _ => {
            into.insert(path.to_owned());
        }
    }
}

fn without_certificates(mut blocks: Value) -> Value {
    let all = match &mut blocks {
        Value::Array(blocks) => blocks.as_mut_slice(),
        block => std::slice::from_mut(block),
    };
    for block in all {
        block.as_object_mut().expect("a block").remove("commit_certificate").expect("its certificate");
    }
    blocks
}

fn shape_of(value: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    shape(value, "", &mut all);
    all
}

#[test]
fn a_node_of_the_tokio_shell_is_recorded_as_well() {
    let devnet = Devnet::start("tokio");
    devnet.until_all_are_at(3);
    let dir = devnet.path(1);
    let ordered = run(&["record", "--api", &devnet.url(1), "--data-dir", text(&dir)]);
    assert_eq!(ordered.code, 0, "{}", ordered.err);
    signal("USR2", devnet.pid(1));
    let by_signal = || {
        let names = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
        names.into_iter().find(|path| path.to_string_lossy().ends_with("-signal.timed"))
    };
    eventually("the signal is obeyed", 10 * SECOND, || by_signal().is_some());
    let by_order = ordered.out.split_whitespace().find(|word| word.ends_with("-order.timed")).unwrap();
    for file in [PathBuf::from(by_order), by_signal().unwrap()] {
        let replayed = run(&["replay", text(&file)]);
        assert_eq!(replayed.code, 0, "{}: {}", file.display(), replayed.err);
        for event in [" link_up {", " block {"] {
            assert!(replayed.out.contains(event), "{}", replayed.out);
        }
    }
    let metrics = devnet.raw(1, "/metrics", "localhost", "timed_recordings_failed_total 0\n");
    assert!(metrics.contains("timed_recordings_written_total 2\n"), "{metrics}");
    assert!(!metrics.contains("timed_recorder_bytes 0\n") && metrics.contains("timed_recorder_bytes "));
}

#[test]
fn the_two_shells_are_one_network_and_tell_the_same() {
    let devnet = Devnet::start("mixed");
    let programs = [1, 2, 3, 4].map(|node| devnet.program(node));
    assert_eq!(programs, ["timed", "timed-tokio-node", "timed", "timed-tokio-node"]);
    devnet.until_all_are_at(3);
    eventually("the matrix is whole", 30 * SECOND, || {
        let whole = "6/6 links, 0 duplicate, 0 split, 0 one-sided, 0 wrong direction";
        (1..=NODES).all(|node| devnet.get(node, "/matrix").1["verdict"] == whole)
    });

    // A transaction submitted at one shell's node is final at all.
    for (from, word) in [(1, "from mio"), (2, "from tokio")] {
        let token = std::fs::read_to_string(devnet.path(from).join(".cookie")).unwrap();
        let submit = format!("{}/tx", devnet.url(from));
        assert_eq!(http("POST", &submit, None, word).0, 401);
        let (status, answer) = http("POST", &submit, Some(&token), word);
        assert_eq!(status, 202, "{answer}");
        let path = format!("/tx/{}", answer["id"].as_str().unwrap());
        eventually("it is final everywhere", 30 * SECOND, || {
            (1..=NODES).all(|node| devnet.get(node, &path).1["state"] == "committed")
        });
        assert_eq!(devnet.get(1, &path), devnet.get(2, &path));
    }

    // The same blocks, word for word, and the rest in the same form: whose votes prove a block final is each node's own.
    for path in ["/blocks/1", "/blocks?from=1&limit=3"] {
        let [(mio, ours), (tokio, theirs)] = [1, 2].map(|node| devnet.get(node, path));
        assert_eq!((path, mio, tokio), (path, 200, 200));
        assert_eq!(shape_of(&ours), shape_of(&theirs), "{path}");
        assert_eq!(without_certificates(ours), without_certificates(theirs), "{path}");
    }
    for path in
        ["/consensus_info", "/status", "/peers", "/matrix", "/masternodes", "/evidence", "/bans", "/readyz"]
    {
        let (mio, tokio) = (devnet.get(1, path), devnet.get(2, path));
        assert_eq!((path, mio.0, tokio.0), (path, 200, 200));
        // The height under way changes its form as it goes on.
        let same = |mut value: Value| {
            if let Some(status) = value.as_object_mut() {
                status.remove("consensus");
            }
            shape_of(&value)
        };
        assert_eq!(same(mio.1), same(tokio.1), "{path}");
    }
    let why = |node: u8, peer: u8| {
        let id = devnet.get(peer, "/status").1["node_id"].as_str().unwrap().to_owned();
        devnet.get(node, &format!("/why/{id}"))
    };
    // What was attempted while the network came up is each node's own.
    let linked = |node| {
        let mut why = why(node, 3).1;
        assert!(why.as_object_mut().and_then(|why| why.remove("attempts")).is_some_and(|all| all.is_array()));
        shape_of(&why)
    };
    assert_eq!(linked(1), linked(2));
    let unknown = |node| devnet.get(node, "/why/127.0.0.0");
    assert_eq!((unknown(1).0, shape_of(&unknown(1).1)), (unknown(2).0, shape_of(&unknown(2).1)));

    let first = devnet.get(1, "/blocks/1").1["hash"].as_str().unwrap().to_owned();
    let by_hash = [1, 2].map(|node| devnet.get(node, &format!("/blocks/{first}")));
    assert_eq!(
        by_hash.each_ref().map(|(status, block)| (*status, block["height"].as_u64())),
        [(200, Some(1)); 2]
    );
    assert_eq!(devnet.metrics(1), devnet.metrics(2));
    for node in [1, 2] {
        assert!(devnet.raw(node, "/status", "evil.example", "wrong_host").starts_with("HTTP/1.1 403"));
        let events = devnet.raw(node, "/events", "localhost", "event: block");
        assert!(events.contains("event: block"), "{events}");
        assert!(devnet.raw(node, "/", "localhost", "</html>").contains("</html>"), "the page of node {node}");
    }

    // One of each is killed; the other two and one of them decide.
    signal("KILL", devnet.pid(2));
    let height = devnet.height(1);
    eventually("blocks without node 2", 30 * SECOND, || devnet.height(1) >= height + 3);
    let log = std::fs::File::options().append(true).open(devnet.path(2).join("log")).unwrap();
    let mut again = Command::new(tokio_node());
    again.args(["run", "--data-dir", text(&devnet.path(2))]).stdin(Stdio::null()).stdout(log);
    let again = Process(again.spawn().unwrap());
    devnet.until_all_are_at(height + 5);
    signal("TERM", again.pid());
    let mut again = again;
    eventually("it ends in order", 20 * SECOND, || {
        again.0.try_wait().unwrap().is_some_and(|end| end.success())
    });

    signal("INT", devnet.process.pid());
    let done = devnet.process.end(30 * SECOND);
    assert!(done.out.contains("network up: 6/6 links, 0 duplicate"), "{done:?}");
}

#[test]
fn a_network_of_the_tokio_shell_ends_healthy_and_goes_on_under_it_alone() {
    let devnet = Devnet::start("tokio");
    devnet.until_all_are_at(3);
    signal("INT", devnet.process.pid());
    let done = devnet.process.end(30 * SECOND);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("the network ended healthy: 4 nodes, 6/6 links, 0 duplicate"), "{done:?}");
    // What its keys have promised is in the other shell's store.
    let refused = run(&["devnet", "--dir", text(devnet.dir.path())]);
    assert!(refused.code == 2 && refused.err.contains("--shell"), "{refused:?}");
}
