//! A devnet of real daemons.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::client::{Api, Connection};

pub(crate) const NODES: usize = 4;
/// Away from a devnet that somebody looks at.
const BASE: [u8; 4] = [127, 88, 17, 1];
const API_PORT: u16 = 18_332;

/// Runs until it is dropped.
pub(crate) struct Devnet {
    child: Child,
    pids: Vec<u32>,
    place: TempDir,
}

impl Devnet {
    /// Starts it, and waits until its nodes are linked.
    pub(crate) fn start() -> Self {
        let place = TempDir::new().expect("there is room for temporary files");
        let [a, b, c, d] = BASE;
        let mut child = Command::new(env!("CARGO_BIN_EXE_timed"))
            .args(["devnet", "--nodes", &NODES.to_string(), "--block-interval", "1s"])
            .args(["--base-ip", &format!("{a}.{b}.{c}.{d}"), "--port", "24117"])
            .args(["--api-port", &API_PORT.to_string()])
            .arg("--dir")
            .arg(place.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the daemon is built");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut pids = Vec::new();
        for line in lines.by_ref() {
            let line = line.expect("it prints text");
            if let Some((_, rest)) = line.split_once(" pid ") {
                pids.extend(rest.split(' ').next().and_then(|pid| pid.parse::<u32>().ok()));
            }
            if line.starts_with("network up") {
                break;
            }
        }
        assert_eq!(pids.len(), NODES, "it did not come up");
        // What it prints from now on is read and let go, or it would wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, pids, place }
    }

    /// The API of a node.
    pub(crate) fn api(&self, node: usize) -> Api {
        api(self.place.path(), node)
    }

    /// The newest height.
    pub(crate) fn height(&self) -> u64 {
        self.number("/consensus_info", "height")
    }

    /// Bytes of the payload of a block.
    pub(crate) fn payload_bytes(&self, height: u64) -> u64 {
        self.number(&format!("/blocks/{height}"), "payload_bytes")
    }

    fn number(&self, path: &str, field: &str) -> u64 {
        let mut asking = Connection::open(&self.api(0));
        let (status, body) = asking.ask("GET", path, &[]);
        let text = String::from_utf8_lossy(body);
        assert_eq!(status, 200, "{text}");
        let answer: serde_json::Value = serde_json::from_str(&text).expect("it answers in JSON");
        answer[field].as_u64().expect("a number")
    }

    /// CPU time that all daemons have used.
    pub(crate) fn cpu(&self) -> Duration {
        self.pids.iter().map(|pid| cpu_of(*pid)).sum()
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed());
        // It stops its daemons, and ends then.
        let _ = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::INT));
        let _ = self.child.wait();
    }
}

fn api(place: &std::path::Path, node: usize) -> Api {
    let [a, b, c, d] = BASE;
    let last = d + u8::try_from(node).expect("a small network");
    let token = std::fs::read_to_string(place.join(format!("node{}/.cookie", node + 1)));
    let token = token.expect("a running node has one").trim().to_owned();
    Api { addr: SocketAddr::from(([a, b, c, last], API_PORT)), token }
}

/// User and system time of a process and all its threads.
fn cpu_of(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("a name in parentheses").split(' ').collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum();
    let per_second = rustix::param::clock_ticks_per_second();
    Duration::from_secs_f64(ticks as f64 / per_second as f64)
}
