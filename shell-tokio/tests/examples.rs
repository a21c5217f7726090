//! The examples do what they say, each on addresses of its own.

#![allow(clippy::unwrap_used)] // A test fails where it cannot go on.
#![cfg(feature = "redb")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(60);

/// An example, which the run of these tests has built.
fn example(name: &str, net: &str) -> Command {
    let beside: PathBuf = std::env::current_exe().unwrap().parent().unwrap().with_file_name("examples");
    let mut command = Command::new(beside.join(name));
    command.env("TIMED_EXAMPLE_NET", net).stdin(Stdio::null());
    command
}

/// A network in 127.0.0.0/8 that no other run of these tests uses at the same time.
fn net(salt: u8) -> String {
    let [_, low] = u16::try_from(std::process::id() % 0x1_0000).unwrap().to_be_bytes();
    format!("127.{}.{low}", 80 + salt)
}

/// A process that is interrupted when the test ends, however it ends.
struct Running(Child);

impl Running {
    fn interrupt(&mut self) {
        signal(self.0.id(), Signal::INT);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.interrupt();
        let until = Instant::now() + Duration::from_secs(15);
        while Instant::now() < until && self.0.try_wait().is_ok_and(|end| end.is_none()) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

fn eventually<T>(what: &str, mut see: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = see() {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn http(request: ureq::http::Request<String>) -> Option<(u16, String)> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
    let agent = config.proxy(None).build().new_agent();
    let mut answer = agent.run(request).ok()?;
    Some((answer.status().as_u16(), answer.body_mut().read_to_string().ok()?))
}

#[test]
fn a_store_of_ones_own_survives_being_torn_down() {
    let done = example("custom_store", &net(0)).output().unwrap();
    let out = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{out}\n{}", String::from_utf8_lossy(&done.stderr));
    assert!(out.contains("node 4 is torn down") && out.contains("node 4 is back"), "{out}");
    assert_eq!(out.lines().filter(|line| *line == "Stopped").count(), 4, "{out}");
}

#[test]
fn an_observer_prints_the_blocks_of_the_network_that_it_follows() {
    let mut observer = Running(example("observer", &net(1)).stdout(Stdio::piped()).spawn().unwrap());
    let out = BufReader::new(observer.0.stdout.take().unwrap());
    let mut blocks = 0;
    for line in out.lines().map_while(Result::ok) {
        if line.starts_with(&format!("block {}:", blocks + 1)) {
            blocks += 1;
        }
        if blocks == 3 {
            observer.interrupt();
        }
    }
    assert!(blocks >= 3 && observer.0.wait().unwrap().success(), "{blocks} blocks");
}

#[test]
fn a_map_is_the_same_everywhere_and_survives_kill_9() {
    let (net, folder) = (net(2), tempfile::tempdir().unwrap());
    let mut command = example("key_value", &net);
    let mut map = Running(command.arg(folder.path()).stdout(Stdio::piped()).spawn().unwrap());
    let pids: Arc<Mutex<BTreeMap<u8, u32>>> = Arc::default();
    let (seen, out) = (Arc::clone(&pids), map.0.stdout.take().unwrap());
    let reading = std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let ["node", number, _, "pid", pid] = words[..] {
                let number = number.trim_end_matches(':').parse().unwrap();
                seen.lock().unwrap().insert(number, pid.parse().unwrap());
            }
        }
    });
    let url = |node: u8, key: &str| format!("http://{net}.{node}:8500/{key}");
    let put = |node, key: &str, value: &str| {
        let request = ureq::http::Request::put(url(node, key)).body(value.to_owned()).unwrap();
        http(request).filter(|(status, _)| *status == 200)
    };
    let get = |node, key: &str| http(ureq::http::Request::get(url(node, key)).body(String::new()).unwrap());
    eventually("the first put is final", || put(1, "color", "blue"));
    for node in 1..=4 {
        eventually("it is everywhere", || get(node, "color").filter(|(_, value)| value == "blue\n"));
    }
    let pid = |node: u8| pids.lock().unwrap().get(&node).copied();
    let killed = eventually("its process is known", || pid(2));
    signal(killed, Signal::KILL);
    eventually("a put without node 2 is final", || put(3, "color", "red"));
    eventually("node 2 is started again", || pid(2).filter(|again| *again != killed));
    eventually("it has what it missed", || get(2, "color").filter(|(_, value)| value == "red\n"));
    // All at once: what is left is what is on the disks.
    for node in 1..=4 {
        signal(eventually("its process is known", || pid(node)), Signal::KILL);
    }
    eventually("the map is back", || get(4, "color").filter(|(_, value)| value == "red\n"));
    eventually("and takes puts", || put(4, "shape", "round"));
    assert_eq!(get(1, "none").unwrap().0, 404);
    map.interrupt();
    assert!(eventually("all end with their parent", || map.0.try_wait().unwrap()).success());
    reading.join().unwrap();
}
