//! The API of one node, from outside: who may ask, and who cannot keep others out.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use crate::loopback::quiet_ip;
use crate::operator::{Process, eventually, http, lone_node, run, signal, text, timed};

const SECOND: Duration = Duration::from_secs(1);

struct Node {
    process: Process,
    dir: tempfile::TempDir,
    ip: Ipv4Addr,
    port: u16,
}

impl Node {
    /// A lone masternode that serves its API on its own address, or on all at this port.
    fn start(everywhere: Option<u16>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ip = quiet_ip();
        lone_node(dir.path(), ip);
        let listen = format!("{ip}:24100");
        let (api, port) = match everywhere {
            None => (format!("{ip}:8332"), 8332),
            Some(port) => (format!("0.0.0.0:{port}"), port),
        };
        let arguments = ["run", "--data-dir", text(dir.path()), "--listen", &listen, "--api", &api];
        let node = Self { process: Process::start(&mut timed(&arguments)), dir, ip, port };
        eventually("the API answers", 20 * SECOND, || node.ask("GET", "/livez", None).0 == 200);
        node
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}:{}{path}", self.ip, self.port)
    }

    fn ask(&self, method: &str, path: &str, token: Option<&str>) -> (u16, serde_json::Value) {
        http(method, &self.url(path), token, "")
    }

    fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect((self.ip, 8332)).unwrap();
        stream.set_read_timeout(Some(5 * SECOND)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }
}

#[test]
fn errors_are_json_and_strange_requests_harm_nobody() {
    let node = Node::start(None);
    for (method, path, status, code) in [
        ("GET", "/no/such/route", 404, "not_found"),
        ("PUT", "/peers", 401, "unauthorized"),
        ("GET", "/stop", 405, "method_not_allowed"),
        ("GET", "/why/nobody!", 400, "bad_request"),
        ("GET", "/why/10.1.2.3", 404, "unknown_peer"),
    ] {
        let (found, answer) = node.ask(method, path, None);
        assert_eq!(
            (found, answer["error"]["code"].as_str()),
            (status, Some(code)),
            "{method} {path} {answer}"
        );
        assert!(answer["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    let token = std::fs::read_to_string(node.dir.path().join(".cookie")).unwrap();
    assert_eq!(node.ask("PUT", "/peers", Some(&token)).0, 405);
    let head =
        |host: &str| node.raw(&format!("GET /status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    assert!(head("evil.example").starts_with("HTTP/1.1 403"));
    assert!(head("localhost").starts_with("HTTP/1.1 200"));
    assert!(!head("localhost").to_ascii_lowercase().contains("access-control"));
    for garbage in ["\0\0\0\0\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\r\n\r\n\r\n"] {
        let answer = node.raw(garbage);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let huge =
        node.raw(&format!("GET /status HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(200_000)));
    assert!(huge.is_empty() || huge.starts_with("HTTP/1.1 431"), "{huge}");
    assert_eq!(node.ask("GET", "/livez", None).0, 200);
    let metrics = node.ask("GET", "/metrics", None).1;
    assert!(metrics.as_str().unwrap().contains("\ntimed_active_masternodes 1\n"), "{metrics}");
}

#[test]
fn idle_connections_keep_nobody_out() {
    let node = Node::start(None);
    let mut idle = Vec::new();
    for _ in 0..400 {
        let mut stream = TcpStream::connect((node.ip, 8332)).unwrap();
        stream.write_all(b"GET /status HTTP/1.1\r\nHo").unwrap();
        idle.push(stream);
    }
    let begun = std::time::Instant::now();
    assert_eq!(node.ask("GET", "/consensus_info", None).0, 200);
    assert!(begun.elapsed() < 2 * SECOND, "{:?}", begun.elapsed());
}

#[test]
fn beyond_loopback_reads_need_the_token_too() {
    let port = 30_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let node = Node::start(Some(port));
    assert_eq!(node.ask("GET", "/status", None).0, 401);
    assert_eq!(node.ask("GET", "/metrics", None).0, 401);
    assert_eq!((node.ask("GET", "/livez", None).0, node.ask("GET", "/readyz?verbose", None).0), (200, 200));
    let token = std::fs::read_to_string(node.dir.path().join(".cookie")).unwrap();
    assert_eq!(node.ask("GET", "/status", Some(&token)).0, 200);
    let api = node.url("");
    let refused = run(&["status", "--api", &api]);
    assert!(refused.code == 1 && refused.err.contains("--data-dir"), "{refused:?}");
    let answered = run(&["status", "--api", &api, "--data-dir", text(node.dir.path())]);
    assert_eq!(answered.code, 0, "{answered:?}");
}

#[test]
fn a_token_lives_as_long_as_its_process() {
    let node = Node::start(None);
    let cookie = node.dir.path().join(".cookie");
    let first = std::fs::read_to_string(&cookie).unwrap();
    signal("KILL", node.process.pid());
    let Node { process, dir, ip, port } = node;
    process.end(5 * SECOND);
    let (listen, api) = (format!("{ip}:24100"), format!("{ip}:8332"));
    let arguments = ["run", "--data-dir", text(dir.path()), "--listen", &listen, "--api", &api];
    let process = Process::start(&mut timed(&arguments));
    let node = Node { process, dir, ip, port };
    eventually("the API answers", 20 * SECOND, || node.ask("GET", "/livez", None).0 == 200);
    let second = std::fs::read_to_string(&cookie).unwrap();
    assert_ne!(first, second);
    assert_eq!(node.ask("POST", "/stop", Some(&first)).0, 401);
    assert_eq!(node.ask("POST", "/stop", Some(&second)).0, 202);
    assert_eq!(node.process.end(10 * SECOND).code, 0);
}

#[test]
fn hangup_reads_the_level_again_and_json_lines_are_json() {
    let dir = tempfile::tempdir().unwrap();
    let ip = quiet_ip();
    let ip = Ipv4Addr::from(u32::from(ip) + 20);
    lone_node(dir.path(), ip);
    let (listen, api) = (format!("{ip}:24100"), format!("{ip}:8332"));
    let arguments =
        ["run", "--data-dir", text(dir.path()), "--listen", &listen, "--api", &api, "--log-format", "json"];
    let process = Process::start(&mut timed(&arguments));
    let url = format!("http://{api}/livez");
    eventually("the API answers", 20 * SECOND, || http("GET", &url, None, "").0 == 200);
    let config = dir.path().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("#level = \"info\"", "level = \"debug\"")).unwrap();
    signal("HUP", process.pid());
    std::thread::sleep(SECOND / 2);
    std::fs::write(&config, "[network]\nnonsense = 1\n").unwrap();
    signal("HUP", process.pid());
    std::thread::sleep(SECOND / 2);
    signal("TERM", process.pid());
    let done = process.end(10 * SECOND);
    assert_eq!(done.code, 0, "{done:?}");
    let lines: Vec<serde_json::Value> = done
        .err
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let said = |text: &str| lines.iter().any(|line| line["message"].as_str().unwrap().contains(text));
    assert!(
        said("started") && said("configuration read again") && said("stays as it was") && said("stopped")
    );
}
