//! What is wrong is named, everywhere: every route, every verb, every kind of mistake in a configuration. And an API
//! that is abused stays small and keeps nobody waiting, the event loop least of all.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::loopback::quiet_ip;
use crate::operator::{Process, eventually, http, lone_node, run, text, timed};
use serde_json::Value;

const SECOND: Duration = Duration::from_secs(1);

struct Node {
    process: Process,
    dir: tempfile::TempDir,
    ip: Ipv4Addr,
    token: String,
}

impl Node {
    /// A lone masternode.
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ip = quiet_ip();
        lone_node(dir.path(), ip);
        let (listen, api) = (format!("{ip}:24100"), format!("{ip}:8332"));
        let arguments = ["run", "--data-dir", text(dir.path()), "--listen", &listen, "--api", &api];
        let process = Process::start(&mut timed(&arguments));
        let livez = format!("http://{api}/livez");
        eventually("the API answers", 30 * SECOND, || http("GET", &livez, None, "").0 == 200);
        let token = std::fs::read_to_string(dir.path().join(".cookie")).unwrap();
        Self { process, dir, ip, token }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}:8332{path}", self.ip)
    }

    fn connect(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect_timeout(&(self.ip, 8332).into(), 5 * SECOND)
    }

    /// A whole answer, head and all.
    fn raw(&self, request: &str) -> String {
        let mut stream = self.connect().unwrap();
        stream.set_read_timeout(Some(15 * SECOND)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    fn metric(&self, name: &str) -> f64 {
        let metrics = http("GET", &self.url("/metrics"), None, "").1;
        let lines = metrics.as_str().unwrap_or_default().lines();
        let value = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).next();
        value.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }

    fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.process.pid())).unwrap().count()
    }
}

/// Every route with its method.
const ROUTES: &[(&str, &str)] = &[
    ("GET", "/"),
    ("POST", "/"),
    ("GET", "/consensus_info"),
    ("GET", "/status"),
    ("GET", "/peers"),
    ("POST", "/peers"),
    ("DELETE", "/peers/x"),
    ("GET", "/matrix"),
    ("GET", "/why/x"),
    ("GET", "/masternodes"),
    ("GET", "/blocks"),
    ("GET", "/blocks/1"),
    ("POST", "/tx"),
    ("GET", "/tx/x"),
    ("GET", "/evidence"),
    ("GET", "/bans"),
    ("POST", "/bans"),
    ("DELETE", "/bans/x"),
    ("GET", "/events"),
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("POST", "/stop"),
];

/// A mistake: who makes it, what, and the status and the words that name it.
type Mistake = (&'static str, &'static str, &'static str, u16, &'static str, &'static str);

const MISTAKES: &[Mistake] = &[
    ("GET", "/nonsense", "", 404, "not_found", "no such route"),
    ("GET", "/status/", "", 404, "not_found", "no such route"),
    ("GET", "/blocks/1/2", "", 404, "not_found", "no such route"),
    ("GET", "//", "", 404, "not_found", "no such route"),
    ("GET", "/blocks/x", "", 400, "bad_request", "names no block"),
    ("GET", "/blocks/-1", "", 400, "bad_request", "names no block"),
    ("GET", "/blocks/18446744073709551616", "", 400, "bad_request", "names no block"),
    ("GET", "/blocks/99999999", "", 404, "unknown_block", ""),
    (
        "GET",
        "/blocks/0000000000000000000000000000000000000000000000000000000000000001",
        "",
        404,
        "unknown_block",
        "",
    ),
    ("GET", "/blocks?from=x", "", 400, "bad_request", "expected a height"),
    ("GET", "/blocks?from=1&from=2", "", 400, "bad_request", "from is given twice"),
    ("GET", "/blocks?limit=0", "", 400, "bad_request", "expected 1 to 100"),
    ("GET", "/blocks?limit=101", "", 400, "bad_request", "expected 1 to 100"),
    ("GET", "/blocks?form=1", "", 400, "bad_request", "\"form\" is not understood"),
    ("GET", "/status?verbose", "", 400, "bad_request", "takes no query"),
    ("GET", "/readyz?verbos", "", 400, "bad_request", "understands verbose"),
    ("GET", "/peers?x=%ff", "", 400, "bad_request", ""),
    ("GET", "/why/nobody!", "", 400, "bad_request", "names no peer"),
    ("GET", "/why/%ff", "", 400, "bad_request", "cannot be read"),
    ("GET", "/why/ab", "", 400, "bad_request", "4 of its first digits"),
    ("GET", "/why/10.9.9.9:99999", "", 400, "bad_request", "names no peer"),
    ("GET", "/why/10.9.9.9", "", 404, "unknown_peer", "knows no such peer"),
    ("GET", "/tx/x", "", 400, "bad_request", "transaction id"),
    (
        "GET",
        "/tx/00000000000000000000000000000000000000000000000000000000000000zz",
        "",
        400,
        "bad_request",
        "transaction id",
    ),
    (
        "GET",
        "/tx/0000000000000000000000000000000000000000000000000000000000000000",
        "",
        404,
        "unknown_transaction",
        "no such transaction",
    ),
    ("POST", "/tx", "", 400, "empty", "at least one byte"),
    ("POST", "/peers", "", 400, "bad_request", "expected"),
    ("POST", "/peers", "[]", 400, "bad_request", "expected"),
    ("POST", "/peers", "{}", 400, "bad_request", "addr is missing"),
    ("POST", "/peers", "{\"addr\":7}", 400, "bad_request", "expected a string"),
    ("POST", "/peers", "{\"adr\":\"10.0.0.1:1\"}", 400, "bad_request", "adr"),
    ("POST", "/peers", "{\"addr\":\"10.0.0.1\"}", 400, "bad_request", "10.0.0.1"),
    (
        "POST",
        "/peers",
        "{\"addr\":\"10.0.0.1:1\",\"addr\":\"10.0.0.2:1\"}",
        400,
        "bad_request",
        "duplicate field",
    ),
    ("POST", "/peers", "{\"node_id\":\"zz\"}", 400, "bad_request", "node_id"),
    ("DELETE", "/peers/10.9.9.9", "", 404, "unknown_peer", "knows no such peer"),
    ("DELETE", "/peers/nobody!", "", 400, "bad_request", "names no peer"),
    ("POST", "/bans", "{\"target\":\"nobody\"}", 400, "bad_request", "nobody"),
    ("POST", "/bans", "{\"target\":\"0.0.0.0/0\"}", 400, "bad_request", "too much"),
    ("POST", "/bans", "{\"target\":\"10.0.0.1\",\"duration\":\"soon\"}", 400, "bad_request", "duration"),
    ("POST", "/bans", "{\"target\":\"10.0.0.1\",\"until\":1}", 400, "bad_request", "until"),
    ("DELETE", "/bans/10.0.0.1", "", 404, "not_banned", "no ban is on 10.0.0.1"),
    ("DELETE", "/bans/x", "", 400, "bad_request", "x"),
];

#[test]
fn every_route_names_what_is_wrong() {
    let node = Node::start();
    for (method, path, body, status, code, told) in MISTAKES {
        let (found, answer) = http(method, &node.url(path), Some(&node.token), body);
        let error = &answer["error"];
        assert_eq!(
            (found, error["code"].as_str()),
            (*status, Some(*code)),
            "{method} {path} {body}: {answer}"
        );
        assert!(
            error["message"].as_str().is_some_and(|message| message.contains(told)),
            "{method} {path}: {answer}"
        );
    }
    for (method, path) in ROUTES {
        // Another method, with the ones that there are.
        let answer = node.raw(&format!(
            "PATCH {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            node.token
        ));
        let head = answer.to_ascii_lowercase();
        assert!(answer.starts_with("HTTP/1.1 405"), "{path}: {answer}");
        let allow = head
            .lines()
            .find_map(|line| line.strip_prefix("allow: "))
            .unwrap_or_else(|| panic!("{path}: {answer}"));
        assert!(allow.contains(&method.to_ascii_lowercase()), "{method} {path}: {allow}");
        assert!(answer.contains("method_not_allowed"), "{answer}");
        // A name that is none of ours, whoever asks.
        let answer =
            node.raw(&format!("{method} {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"));
        assert!(
            answer.starts_with("HTTP/1.1 403") && answer.contains("wrong_host"),
            "{method} {path}: {answer}"
        );
        let answer = node.raw(&format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 40"), "without a Host: {answer}");
        // What changes something needs the token.
        if *method != "GET" && *path != "/" {
            for token in [None, Some("nonsense")] {
                let (status, answer) = http(method, &node.url(path), token, "");
                assert_eq!(
                    (status, answer["error"]["code"].as_str()),
                    (401, Some("unauthorized")),
                    "{method} {path}"
                );
            }
        }
        // A body that is too large is refused, announced or not, and its sender can read that.
        if *method == "POST" && *path != "/stop" {
            let (status, answer) = http(method, &node.url(path), Some(&node.token), &"x".repeat(300_000));
            assert_eq!(status, 413, "{method} {path}: {answer}");
            assert!(
                answer["error"]["message"].as_str().is_some_and(|message| message.contains("bytes")),
                "{answer}"
            );
        }
    }
    assert_eq!(http("GET", &node.url("/consensus_info"), None, "").0, 200);
}

#[test]
fn every_verb_tells_usage_from_failure() {
    let dir = tempfile::tempdir().unwrap();
    let dir = text(dir.path());
    let id = "ab".repeat(32);
    let nowhere = ["--api", "http://127.0.0.1:9", "--data-dir", dir];
    let usage: &[&[&str]] = &[
        &[],
        &["nonsense"],
        &["run", "--nonsense"],
        &["run", "extra"],
        &["run", "--log-level", "inof"],
        &["run", "--data-dir", dir, "--listen", "nowhere"],
        &["check-config", "--data-dir", dir, "--local-ip", "nowhere"],
        &["devnet", "--nodes", "0"],
        &["devnet", "--nodes", "129"],
        &["devnet", "--nodes", "x"],
        &["devnet", "--block-interval", "10"],
        &["devnet", "--port", "0"],
        &["devnet", "--base-ip", "nowhere"],
        &["init", "--local-ip", "nowhere"],
        &["genesis"],
        &["genesis", "--masternode", "nobody"],
        &["genesis", "--masternode", "zz@10.0.0.1:1"],
        &["block", "x"],
        &["block", "-1"],
        &["tx"],
        &["tx", "zz"],
        &["submit"],
        &["why"],
        &["connect"],
        &["disconnect"],
        &["ban"],
        &["ban", "nobody"],
        &["ban", "0.0.0.0/0"],
        &["ban", "10.0.0.1", "soon"],
        &["ban", "10.0.0.1", "0s"],
        &["unban", "nobody"],
        &["completions"],
        &["completions", "nonsense"],
        &["status", "--api", "ftp://nowhere"],
        &["status", "--api"],
    ];
    for arguments in usage {
        let done = run(arguments);
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{arguments:?}: {done:?}");
        assert!(!done.err.is_empty() && !done.err.contains("panicked"), "{arguments:?}: {done:?}");
        // What is wrong is named, unless nothing was given.
        if let Some(last) = arguments.last().filter(|last| arguments.len() > 1 && !last.starts_with("--")) {
            assert!(done.err.contains(last), "{arguments:?}: {}", done.err);
        }
    }
    let verbs: &[&[&str]] = &[
        &["status"],
        &["peers"],
        &["matrix"],
        &["masternodes"],
        &["block"],
        &["tx", &id],
        &["evidence"],
        &["bans"],
        &["ban", "10.0.0.1"],
        &["unban", "10.0.0.1"],
        &["why", "10.0.0.1"],
        &["connect", "10.0.0.1:1"],
        &["disconnect", "10.0.0.1"],
        &["stop"],
    ];
    for verb in verbs {
        for json in [&[][..], &["--json"]] {
            let arguments = [verb, &nowhere[..], json].concat();
            let done = run(&arguments);
            assert_eq!((done.code, done.out.as_str()), (1, ""), "{arguments:?}: {done:?}");
            assert!(
                done.err.contains("cannot reach a node at http://127.0.0.1:9"),
                "{arguments:?}: {}",
                done.err
            );
        }
    }
    let missing = run(&[&["submit", "/no/such/file"][..], &nowhere].concat());
    assert!(missing.code == 1 && missing.err.contains("/no/such/file"), "{missing:?}");
    assert_eq!(run(&[&["health"][..], &nowhere].concat()).code, 2, "critical");
}

/// A mistake in a file: its text, and the place and words that name it.
const BAD_FILES: &[(&str, &str, &str)] = &[
    ("[node\n", "1:", ""),
    ("[node]\nname = \n", "2:", ""),
    ("[node]\nname = \"a\"\nname = \"b\"\n", "3:1", "duplicate"),
    ("[network]\n  max_peer = 5\n", "2:3", "did you mean max_peers?"),
    ("[netwrok]\n", "1:2", "did you mean [network]?"),
    ("port = 5\n", "1:1", "belongs in [network]"),
    ("[node]\nlisten = \"0.0.0.0:1\"\n", "2:1", "did you mean network.listen?"),
    ("network = 7\n", "1:", "expected a section [network]"),
    ("[network]\ndial_timeout = 5\n", "2:16", "such as \"10s\""),
    ("[network]\ndial_timeout = \"5\"\n", "2:16", "with its unit"),
    ("[network]\nport = 70000\n", "2:8", "a port from 1 to 65535"),
    ("[network]\nlocal_ip = \"0.0.0.0\"\n", "2:12", "others can dial"),
    ("[network]\nlisten = \"nowhere\"\n", "2:10", "an IP address and a port"),
    ("[network]\nmax_peers = \"atuo\"\n", "2:13", "did you mean \"auto\"?"),
    ("[network]\npeers = \"10.0.0.1:1\"\n", "2:9", "a list such as"),
    ("[network]\npeers = [\n  \"10.0.0.1:1\",\n  \"10.0.0.2\",\n]\n", "4:3", "the port is missing"),
    ("[network]\npeers = [\"10.0.0.1:1\", 7]\n", "2:24", "a text"),
    ("[api]\nhosts = [\"a.example\", \"b:8\"]\n", "2:23", "without a port"),
    ("[api]\nenabled = \"yes\"\n", "2:11", "true or false"),
    ("[block]\nmax_bytes = 5\n", "2:13", "such as \"512KiB\""),
    ("[limits]\nbans = { max = 0 }\n", "2:16", "a number from 1 to 100000"),
    ("[limits]\nbans = { maximum = 5 }\n", "2:10", "max and enforce only"),
    ("[limits]\nbans = { enforce = \"onn\" }\n", "2:20", "did you mean \"on\"?"),
    ("[logging]\nlevel = \"inof\"\n", "2:9", "did you mean \"info\"?"),
    ("[network]\nmax_peers = 10\nmasternode_slots = 11\n", "3:20", "more than max_peers"),
    ("[api]\nlisten = \"0.0.0.0:24100\"\n", "2:10", "give each its own port"),
];

#[test]
fn check_config_names_line_column_and_what_was_meant() {
    let dir = tempfile::tempdir().unwrap();
    lone_node(dir.path(), Ipv4Addr::new(127, 0, 0, 1));
    let file = dir.path().join("config.toml");
    for (config, place, told) in BAD_FILES {
        std::fs::write(&file, config).unwrap();
        let done = run(&["check-config", "--data-dir", text(dir.path())]);
        println!("{}", done.err.trim_end());
        assert_eq!(done.code, 78, "{config}: {done:?}");
        assert!(done.err.contains(&format!("config.toml:{place}")), "{config}: {}", done.err);
        assert!(done.err.contains(told), "{config}: {}", done.err);
    }
    std::fs::write(&file, "").unwrap();
    let genesis = dir.path().join("genesis.toml");
    let good = std::fs::read_to_string(&genesis).unwrap();
    for (bad, told) in [
        (good.replace("addr =", "adr ="), "did you mean addr?"),
        (good.replace("block_interval = \"", "block_interval = \"x"), "block_interval"),
        (good.replace("[[masternode]]", "[[masternodes]]"), "did you mean"),
        (format!("{good}\nnonsense = ["), ":"),
    ] {
        std::fs::write(&genesis, &bad).unwrap();
        let done = run(&["check-config", "--data-dir", text(dir.path())]);
        println!("{}", done.err.trim_end());
        assert!(
            done.code == 78 && done.err.contains("genesis.toml:") && done.err.contains(told),
            "{bad}: {done:?}"
        );
    }
}

/// Clients that never finish what they began, thousands of them, while an operator asks.
#[test]
fn an_abused_api_stays_small_and_the_loop_never_notices() {
    let node = Arc::new(Node::start());
    std::thread::sleep(2 * SECOND);
    let (lag, memory, threads) = (
        node.metric("timed_loop_lag_max_seconds"),
        node.metric("timed_process_resident_memory_bytes"),
        node.threads(),
    );
    let over = Arc::new(AtomicBool::new(false));
    let opened = Arc::new(AtomicUsize::new(0));
    let attack = |what: fn(&Node, &mut Vec<TcpStream>)| {
        let (node, over, opened) = (Arc::clone(&node), Arc::clone(&over), Arc::clone(&opened));
        std::thread::spawn(move || {
            let mut held = Vec::new();
            while !over.load(Ordering::Relaxed) {
                what(&node, &mut held);
                opened.fetch_add(1, Ordering::Relaxed);
                if held.len() > 400 {
                    held.drain(..100);
                }
            }
        })
    };
    let attackers = [
        // As many as are taken, silent.
        attack(|node, held| held.extend(node.connect().ok())),
        // Heads that never end.
        attack(|node, held| {
            if let Ok(mut stream) = node.connect() {
                let _ = stream.write_all(b"GET /status HTTP/1.1\r\nHost: localhost\r\nX: ");
                held.push(stream);
            }
            for stream in held.iter_mut().rev().take(20) {
                let _ = stream.write_all(b"x");
            }
            std::thread::sleep(Duration::from_millis(1));
        }),
        // Bodies that never end.
        attack(|node, held| {
            if let Ok(mut stream) = node.connect() {
                let _ = stream
                    .write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 190000\r\n\r\n[");
                held.push(stream);
            }
            std::thread::sleep(Duration::from_millis(2));
        }),
        // Bodies that are too large, as fast as they are taken.
        attack(|node, _| {
            if let Ok(mut stream) = node.connect() {
                let _ = stream.set_write_timeout(Some(SECOND));
                let _ = stream
                    .write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000000\r\n\r\n");
                let _ = stream.write_all(&[b' '; 400_000]);
            }
        }),
        // Answers that are never read.
        attack(|node, held| {
            if let Ok(mut stream) = node.connect() {
                let _ = stream.set_write_timeout(Some(Duration::from_millis(20)));
                let ask = b"GET /consensus_info HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50);
                let _ = stream.write_all(&ask);
                held.push(stream);
            }
            std::thread::sleep(Duration::from_millis(20));
        }),
    ];
    let begun = Instant::now();
    let (mut worst, mut asked, mut missed) = (Duration::ZERO, 0, 0);
    let (mut most_memory, mut most_files, mut most_threads) = (memory, 0.0_f64, threads);
    while begun.elapsed() < 10 * SECOND {
        let asking = Instant::now();
        match http("GET", &node.url("/consensus_info"), None, "").0 {
            200 => worst = worst.max(asking.elapsed()),
            _ => missed += 1,
        }
        asked += 1;
        let metrics = http("GET", &node.url("/metrics"), None, "").1;
        let read = |name: &str| -> Option<f64> {
            metrics
                .as_str()?
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?
                .parse()
                .ok()
        };
        most_memory = most_memory.max(read("timed_process_resident_memory_bytes").unwrap_or(0.0));
        most_files = most_files.max(read("timed_process_open_fds").unwrap_or(0.0));
        most_threads = most_threads.max(node.threads());
    }
    over.store(true, Ordering::Relaxed);
    for attacker in attackers {
        attacker.join().unwrap();
    }
    let after = node.metric("timed_loop_lag_max_seconds");
    let grown = (most_memory - memory) / f64::from(1 << 20);
    println!(
        "{} connections in {:?}; {asked} questions, {missed} of them unanswered, the slowest answer after {worst:?}; \
         {most_files} files, {most_threads} threads (before: {threads}), {grown:.1} MiB more; longest lag of the loop \
         {:.1} ms before, {:.1} ms after",
        opened.load(Ordering::Relaxed),
        begun.elapsed(),
        lag * 1e3,
        after * 1e3,
    );
    assert!(opened.load(Ordering::Relaxed) > 1_000);
    assert!(missed * 10 <= asked, "{missed} of {asked} questions were not answered");
    assert!(worst < 5 * SECOND, "{worst:?}");
    assert!(most_files < 220.0 && most_threads <= threads + 4, "{most_files} files, {most_threads} threads");
    assert!(grown < 64.0, "{grown} MiB");
    // The attackers take the machine's processors too: a loop that waited for the API would stand for seconds.
    assert!(after < lag + 0.5, "{after} s");
    let done: Value = http("POST", &node.url("/stop"), Some(&node.token), "").1;
    assert_eq!(done["result"], "stopping");
    assert!(node.dir.path().exists());
}
