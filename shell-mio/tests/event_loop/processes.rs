//! What needs a process of its own: signals, a limit on descriptors, `kill -9`. Each test runs itself again as
//! the child.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::scripted::{OnData, PATIENCE, Rig, Script};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use timed_core::Request;
use timed_mio::{ShellConfig, Store};

const ROLE: &str = "TIMED_LOOP_TEST_CHILD";

/// What the child was given, in the child.
fn child_of(test: &str) -> Option<String> {
    let role = env::var(ROLE).ok()?;
    role.strip_prefix(test)?.strip_prefix('=').map(str::to_owned)
}

/// The same test as a child process, whose lines that begin with `>` arrive here.
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    fn spawn(test: &str, given: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", &format!("processes::{test}"), "--nocapture"])
            .env(ROLE, format!("{test}={given}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some(text) = line.split_once('>').map(|(_, text)| text) {
                    let _ = sender.send(text.to_owned());
                }
            }
        });
        let stdin = child.stdin.take();
        Self { child, stdin, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the child says nothing")
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says something to the parent.
fn say(text: impl std::fmt::Display) {
    println!(">{text}");
    std::io::stdout().flush().unwrap();
}

fn anywhere() -> ShellConfig {
    ShellConfig::listening_on("127.0.0.1:0".parse().unwrap())
}

fn rig_with_signals(script: Script) -> Rig {
    let folder = tempfile::tempdir().unwrap();
    Rig::with_store(anywhere(), script, &folder.path().join("store"), |shell| shell.take_signals().unwrap())
}

#[test]
fn signals_reload_stop_and_interrupt() {
    if let Some(given) = child_of("signals_reload_stop_and_interrupt") {
        let script = Script { deaf: given == "deaf", goodbye: b"goodbye".to_vec(), ..Script::default() };
        let mut rig = rig_with_signals(script);
        say(rig.addr);
        while given == "reload" && !rig.told("Reload") {
            thread::sleep(Duration::from_millis(1));
        }
        if given == "reload" {
            say("reloaded");
        }
        if given == "deaf" {
            rig.until("stopping", |script| script.stopping.then_some(()));
            say("stopping");
        }
        let exit = rig.join();
        assert!(rig.told("Stopping(Signal)"));
        return say(format!("{exit:?}"));
    }

    for signal in [Signal::TERM, Signal::INT] {
        let child = Process::spawn("signals_reload_stop_and_interrupt", "plain");
        let mut peer = TcpStream::connect(child.line()).unwrap();
        thread::sleep(Duration::from_millis(50));
        child.signal(signal);
        let mut heard = Vec::new();
        peer.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"goodbye");
        drop(peer);
        assert_eq!(child.line(), "Stopped");
    }

    let child = Process::spawn("signals_reload_stop_and_interrupt", "reload");
    child.line();
    child.signal(Signal::HUP);
    assert_eq!(child.line(), "reloaded");
    child.signal(Signal::TERM);
    assert_eq!(child.line(), "Stopped");

    let child = Process::spawn("signals_reload_stop_and_interrupt", "deaf");
    child.line();
    child.signal(Signal::TERM);
    assert_eq!(child.line(), "stopping");
    let begun = Instant::now();
    child.signal(Signal::TERM);
    assert_eq!(child.line(), "Interrupted");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

fn echoes(peer: &mut TcpStream, within: Duration) -> bool {
    peer.set_read_timeout(Some(within)).unwrap();
    let mut echo = [0; 4];
    peer.write_all(b"ping").is_ok() && peer.read_exact(&mut echo).is_ok() && &echo == b"ping"
}

#[test]
fn without_descriptors_the_listener_waits_and_the_others_live() {
    const LIMIT: u64 = 64;
    if child_of("without_descriptors_the_listener_waits_and_the_others_live").is_some() {
        let rig = Rig::with(anywhere(), Script { on_data: OnData::Echo, ..Script::default() });
        let limits = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(LIMIT), ..limits }).unwrap();
        say(rig.addr);
        let mut order = String::new();
        while std::io::stdin().read_line(&mut order).is_ok_and(|read| read > 0) {
            rig.remote.request(Request::Status).unwrap().wait(PATIENCE).unwrap();
            let counters = rig.remote.counters();
            say(format!(
                "{} {} {} {} {} {}",
                counters.accepted,
                counters.accept_failures,
                counters.turns,
                counters.busy_ns / 1_000_000,
                u8::from(rig.told("AcceptPaused { cause: LocalResources")),
                u8::from(rig.told("AcceptResumed")),
            ));
        }
        return;
    }

    let mut child = Process::spawn("without_descriptors_the_listener_waits_and_the_others_live", "");
    let addr: SocketAddr = child.line().parse().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut ask = || -> Vec<u64> {
        stdin.write_all(b"counters\n").unwrap();
        child.line().split(' ').map(|number| number.parse().unwrap()).collect()
    };
    let mut peers: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let begun = Instant::now();
    while ask()[1] == 0 {
        assert!(begun.elapsed() < PATIENCE, "no failure");
        thread::sleep(Duration::from_millis(5));
    }
    let before = ask();
    assert!((10..LIMIT).contains(&before[0]), "{} accepted", before[0]);
    assert_eq!((before[4], before[5]), (1, 0), "told that it paused");
    let served = usize::try_from(before[0]).unwrap();
    for peer in peers.iter_mut().take(served) {
        assert!(echoes(peer, PATIENCE), "an accepted connection starves");
    }
    thread::sleep(Duration::from_secs(2));
    let after = ask();
    assert!(after[1] - before[1] <= 12, "{} attempts in 2 s", after[1] - before[1]);
    assert!(after[3] - before[3] < 500, "{} ms busy of 2 s", after[3] - before[3]);
    assert!(!echoes(&mut peers[99], Duration::from_millis(50)), "nobody can have accepted it");

    // Room for everyone who is left.
    peers.drain(..60);
    let begun = Instant::now();
    peers[39].set_read_timeout(Some(PATIENCE)).unwrap();
    peers[39].read_exact(&mut [0; 4]).expect("the one that waited is served");
    println!("resumed after {:?}", begun.elapsed());
    for peer in peers.iter_mut().take(39) {
        assert!(echoes(peer, PATIENCE));
    }
    let begun = Instant::now();
    while ask()[5] == 0 {
        assert!(begun.elapsed() < PATIENCE, "not told that it resumed");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_killed_process_has_kept_every_acknowledged_record() {
    if let Some(path) = child_of("a_killed_process_has_kept_every_acknowledged_record") {
        let script = Script { persist_on: true, on_persisted: Some(say), ..Script::default() };
        let rig = Rig::with_store(anywhere(), script, &PathBuf::from(path), |_| {});
        rig.act(|script| script.persist(&1_u64.to_le_bytes()));
        thread::sleep(Duration::from_secs(60));
        return;
    }

    let folder = tempfile::tempdir().unwrap();
    let mut rounds = Vec::new();
    for round in 0..8 {
        let path = folder.path().join(format!("{round}.redb"));
        let mut child =
            Process::spawn("a_killed_process_has_kept_every_acknowledged_record", path.to_str().unwrap());
        let mut acknowledged: u64 = child.line().parse().unwrap();
        thread::sleep(Duration::from_millis(20 + 7 * round));
        child.child.kill().unwrap();
        child.child.wait().unwrap();
        while let Ok(line) = child.lines.recv_timeout(Duration::from_millis(200)) {
            acknowledged = line.parse().unwrap();
        }
        let (_, journal) = Store::open(&path).unwrap();
        let kept = u64::from_le_bytes(journal[0].bytes[..].try_into().unwrap());
        assert!(kept == acknowledged || kept == acknowledged + 1, "kept {kept}, acknowledged {acknowledged}");
        rounds.push(acknowledged);
    }
    println!("killed after {rounds:?} records");
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn no_descriptor_is_left_behind() {
    if child_of("no_descriptor_is_left_behind").is_none() {
        let child = Process::spawn("no_descriptor_is_left_behind", "");
        return assert_eq!(child.line(), "clean");
    }
    let whole = descriptors();
    {
        let rig = Rig::with(anywhere(), Script { on_data: OnData::Echo, ..Script::default() });
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let before = descriptors();
        for _ in 0..50 {
            let mut peers: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(rig.addr).unwrap()).collect();
            assert!(peers.iter_mut().all(|peer| echoes(peer, PATIENCE)));
            rig.act(|script| {
                script.dial(nobody);
                let conns = script.open();
                script.close(conns[0]);
                script.send(conns[1], b"and more");
            });
            socket2::SockRef::from(&peers[2]).set_linger(Some(Duration::ZERO)).unwrap();
            drop(peers);
            rig.until("all closed", |script| script.open().is_empty().then_some(()));
        }
        rig.until("no socket lingers", |_| (rig.remote.counters().lingering == 0).then_some(()));
        assert_eq!(descriptors(), before);
    }
    assert_eq!(descriptors(), whole);
    say("clean");
}
