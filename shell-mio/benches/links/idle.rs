//! A whole network of daemons that has nothing to do but to stay together.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::measure::table::{Unit, absolute, heading};

const NODES: usize = 14;
const WINDOW: Duration = Duration::from_secs(60);

pub(crate) fn print() {
    heading("a node of an idle network of 14");
    let network = Devnet::start();
    // Until the first heartbeats are over. Then the parent is stopped: it asks its nodes how they are.
    sleep(Duration::from_secs(15));
    network.signal(Signal::STOP);
    let (begun, before) = (Instant::now(), network.used());
    sleep(WINDOW);
    let (passed, after) = (begun.elapsed(), network.used());
    network.signal(Signal::CONT);
    let shares: Vec<f64> = before
        .iter()
        .zip(&after)
        .map(|(before, after)| (*after - *before).as_secs_f64() / passed.as_secs_f64() * 100.0)
        .collect();
    let mean = shares.iter().sum::<f64>() / f64::from(u32::try_from(NODES).expect("a small network"));
    let most = shares.iter().copied().fold(0.0, f64::max);
    absolute("of one core, mean of the nodes", Unit::Percent, mean, 0.1, 0.1);
    absolute("of one core, the busiest node", Unit::Percent, most, 0.1, 0.1);
}

/// `timed devnet` and its nodes.
struct Devnet {
    parent: Child,
    nodes: Vec<u32>,
    /// Held, for a parent without a reader would fail.
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Devnet {
    /// Starts it at addresses that nobody else uses, and waits until every link stands.
    fn start() -> Self {
        let mut parent = Command::new(env!("CARGO_BIN_EXE_timed"))
            .args(["devnet", "--nodes", &NODES.to_string(), "--base-ip", "127.77.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the daemon was built with this benchmark");
        let mut lines = BufReader::new(parent.stdout.take().expect("it is piped")).lines();
        let up = lines.by_ref().map_while(Result::ok).any(|line| line.contains("network up"));
        assert!(up, "the network did not come up");
        let nodes = children(parent.id());
        assert_eq!(nodes.len(), NODES, "a process a node");
        Self { parent, nodes, _lines: lines }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.parent.id()).ok().and_then(Pid::from_raw).expect("a process id");
        // It may have ended; then its nodes have, too, and what is measured of them fails.
        let _ = kill_process(pid, signal);
    }

    /// CPU time that each node has used, all threads together.
    fn used(&self) -> Vec<Duration> {
        self.nodes.iter().map(|pid| cpu_of(*pid)).collect()
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
        self.signal(Signal::INT);
        let _ = self.parent.wait();
    }
}

/// The processes whose parent is `pid`.
fn children(pid: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("this is Linux").flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id: &u32| parent_of(*id) == Some(pid)).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may contain anything; state and parent follow it.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// To the nanosecond: `/proc/PID/stat` counts in hundredths of a second, more than such a node uses.
fn cpu_of(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the node lives").flatten();
    let nanos = tasks.filter_map(|task| {
        let times = fs::read_to_string(task.path().join("schedstat")).ok()?;
        times.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}
