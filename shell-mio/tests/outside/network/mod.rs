//! A network of real daemons that a test starts, kills, freezes and asks, with the kernel's word on its sockets.

pub mod chain;
pub mod hosts;
pub mod kernel;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::loopback::own_net;
use crate::operator::{Done, Process, http, lives, run, signal, text, timed};
use kernel::{Link, Socket};

pub const SECOND: Duration = Duration::from_secs(1);
/// The tests run beside others on small machines: a promise of the daemon is held to this many times its time,
/// and what it took is printed.
pub const SLACK: u32 = 5;
/// Where every node listens for peers, on its own address.
pub const PORT: u16 = 24_100;

/// A network in a /24 of its own: node `n` is at host number `n`.
pub struct Network {
    net: [u8; 3],
    interval: Duration,
    dir: tempfile::TempDir,
    hosts: Vec<u8>,
    ids: BTreeMap<u8, String>,
    running: BTreeMap<u8, Process>,
}

impl Network {
    /// The files of a network with these masternodes.
    pub fn new(hosts: &[u8]) -> Self {
        Self::with_blocks(hosts, 10 * SECOND)
    }

    /// The same with a block at each of these intervals.
    pub fn with_blocks(hosts: &[u8], interval: Duration) -> Self {
        Self::made(own_net(), hosts, interval)
    }

    /// The same at addresses that the test has made.
    pub fn made(net: [u8; 3], hosts: &[u8], interval: Duration) -> Self {
        let mut network = Self {
            net,
            interval,
            dir: tempfile::tempdir().unwrap(),
            hosts: hosts.to_vec(),
            ids: BTreeMap::new(),
            running: BTreeMap::new(),
        };
        let mut masternodes = Vec::new();
        for host in hosts {
            let ip = network.ip(*host).to_string();
            let id = network.init(*host, &["--local-ip", &ip]);
            masternodes.extend(["--masternode".to_owned(), format!("{id}@{ip}:{PORT}")]);
        }
        let genesis = network.dir.path().join("genesis.toml");
        let interval = format!("{}ms", interval.as_millis());
        let mut arguments = vec!["genesis", "--out", text(&genesis), "--block-interval", &interval];
        arguments.extend(masternodes.iter().map(String::as_str));
        let made = run(&arguments);
        assert_eq!(made.code, 0, "{made:?}");
        for host in hosts {
            network.join(*host);
        }
        network
    }

    /// All masternodes, started at once.
    pub fn started(hosts: &[u8]) -> Self {
        let mut network = Self::new(hosts);
        network.start_all();
        network
    }

    /// All masternodes, with every link.
    pub fn standing(hosts: &[u8]) -> Self {
        let network = Self::started(hosts);
        network.eventually("every link stands", 10 * SECOND, || network.is_meshed(hosts));
        network
    }

    /// Makes a data directory; returns the node id.
    pub fn init(&mut self, host: u8, more: &[&str]) -> String {
        let dir = self.path(host);
        let mut arguments = vec!["init", "--data-dir", text(&dir)];
        arguments.extend(more);
        let made = run(&arguments);
        assert_eq!(made.code, 0, "{made:?}");
        let id = made.out.trim().to_owned();
        self.ids.insert(host, id.clone());
        id
    }

    /// Gives a data directory the network's genesis.
    pub fn join(&self, host: u8) {
        fs::copy(self.dir.path().join("genesis.toml"), self.path(host).join("genesis.toml")).unwrap();
    }

    pub fn ip(&self, host: u8) -> Ipv4Addr {
        let [a, b, c] = self.net;
        Ipv4Addr::new(a, b, c, host)
    }

    pub fn addr(&self, host: u8) -> String {
        format!("{}:{PORT}", self.ip(host))
    }

    pub fn id(&self, host: u8) -> &str {
        &self.ids[&host]
    }

    pub fn path(&self, host: u8) -> PathBuf {
        self.dir.path().join(format!("node{host}"))
    }

    /// Sets a key of a node's configuration, such as `peers` in `[network]`.
    pub fn configure(&self, host: u8, key: &str, value: &str) {
        let file = self.path(host).join("config.toml");
        let config = fs::read_to_string(&file).unwrap();
        let is_key = |line: &&str| line.trim_start_matches('#').starts_with(&format!("{key} = "));
        let old = config.lines().find(is_key).unwrap_or_else(|| panic!("no {key} in {config}"));
        fs::write(&file, config.replace(old, &format!("{key} = {value}"))).unwrap();
    }

    /// The command line of a node, its log appended to its log file.
    pub fn command(&self, host: u8, dir: &Path) -> Command {
        let (listen, api) = (self.addr(host), format!("{}:8332", self.ip(host)));
        let mut command = timed(&["run", "--data-dir", text(dir), "--listen", &listen, "--api", &api]);
        self.log_to_file(host, &mut command);
        command
    }

    fn log_to_file(&self, host: u8, command: &mut Command) {
        let log = File::options().create(true).append(true).open(self.log_file(host)).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    }

    /// As [`Self::adopt`], for a command that does not write to the node's log file yet.
    pub fn adopt_logged(&mut self, host: u8, command: &mut Command) {
        self.log_to_file(host, command);
        self.adopt(host, command);
    }

    pub fn start(&mut self, host: u8) {
        let mut command = self.command(host, &self.path(host));
        self.adopt(host, &mut command);
    }

    /// Starts a process as the node of this host number.
    pub fn adopt(&mut self, host: u8, command: &mut Command) {
        let old = self.running.insert(host, Process(command.spawn().unwrap()));
        assert!(old.is_none(), "node {host} runs already");
    }

    pub fn start_all(&mut self) {
        for host in self.hosts.clone() {
            self.start(host);
        }
    }

    pub fn pid(&self, host: u8) -> u32 {
        self.running[&host].pid()
    }

    /// kill -9.
    pub fn kill(&mut self, host: u8) {
        drop(self.running.remove(&host).unwrap());
    }

    pub fn kill_all(&mut self) {
        self.running.clear();
    }

    /// SIGTERM; returns the exit code.
    pub fn terminate(&mut self, host: u8) -> i32 {
        let process = self.running.remove(&host).unwrap();
        signal("TERM", process.pid());
        self.ended(process)
    }

    /// Waits for a node that ends by itself; returns the exit code.
    pub fn end(&mut self, host: u8) -> i32 {
        let process = self.running.remove(&host).unwrap();
        self.ended(process)
    }

    fn ended(&self, mut process: Process) -> i32 {
        let mut code = None;
        self.eventually("the process ends", 10 * SECOND, || {
            code = process.0.try_wait().unwrap();
            code.is_some()
        });
        code.unwrap().code().unwrap_or(-1)
    }

    pub fn has_ended(&self, host: u8) -> bool {
        !lives(self.pid(host))
    }

    fn log_file(&self, host: u8) -> PathBuf {
        self.dir.path().join(format!("log{host}"))
    }

    /// The log of all runs of a node.
    pub fn log(&self, host: u8) -> String {
        fs::read_to_string(self.log_file(host)).unwrap_or_default()
    }

    /// The log lines of a node that contain all of these.
    pub fn logged(&self, host: u8, parts: &[&str]) -> usize {
        self.log(host).lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }

    pub fn url(&self, host: u8, path: &str) -> String {
        format!("http://{}:8332{path}", self.ip(host))
    }

    pub fn get(&self, host: u8, path: &str) -> (u16, Value) {
        http("GET", &self.url(host, path), None, "")
    }

    /// A request with the node's token.
    pub fn ask(&self, host: u8, method: &str, path: &str, body: &str) -> (u16, Value) {
        let token = fs::read_to_string(self.path(host).join(".cookie")).unwrap();
        http(method, &self.url(host, path), Some(&token), body)
    }

    pub fn connect(&self, host: u8, to: u8) -> (u16, Value) {
        self.ask(host, "POST", "/peers", &format!("{{\"addr\":\"{}\"}}", self.addr(to)))
    }

    /// A verb of the command line, to this node.
    pub fn verb(&self, host: u8, verb: &[&str]) -> Done {
        let (api, dir) = (self.url(host, ""), self.path(host));
        let mut arguments = verb.to_vec();
        arguments.extend(["--api", &api, "--data-dir", text(&dir)]);
        run(&arguments)
    }

    pub fn info(&self, host: u8) -> Value {
        self.get(host, "/consensus_info").1
    }

    /// The live sessions of a node.
    pub fn peers(&self, host: u8) -> Vec<Value> {
        self.get(host, "/peers").1.as_array().cloned().unwrap_or_default()
    }

    /// The live session of a node with another, if there is one.
    pub fn session(&self, host: u8, with: u8) -> Option<Value> {
        self.peers(host).into_iter().find(|peer| peer["node_id"] == self.ids[&with].as_str())
    }

    pub fn counter(&self, host: u8, name: &str) -> u64 {
        let counter = self.get(host, "/status").1["counters"][name].as_u64();
        counter.unwrap_or_else(|| panic!("node {host} has no counter {name}"))
    }

    /// Whether each of these has a live session with each other one.
    pub fn is_meshed(&self, hosts: &[u8]) -> bool {
        hosts.iter().all(|host| {
            let others = hosts.iter().filter(|other| *other != host);
            let peers = self.peers(*host);
            let linked = |other: &u8| peers.iter().any(|peer| peer["node_id"] == self.ids[other].as_str());
            others.into_iter().all(linked)
        })
    }

    /// The established connections between nodes, as the kernel shows them.
    pub fn links(&self) -> Vec<Link> {
        kernel::links(&kernel::sockets("/proc/net/tcp"), self.net, PORT)
    }

    /// Every socket at an address of this network, in whatever state.
    pub fn sockets(&self) -> Vec<Socket> {
        let mut sockets = kernel::sockets("/proc/net/tcp");
        sockets.retain(|socket| socket.local.ip().octets()[..3] == self.net);
        sockets
    }

    /// Asserts that each pair of these has one connection, and that the lower address dialed it.
    pub fn assert_canonical(&self, hosts: &[u8]) {
        let pairs: Vec<(u8, u8)> = self.links().iter().map(|link| (link.dialer, link.acceptor)).collect();
        let mut expected = Vec::new();
        for a in hosts {
            expected.extend(hosts.iter().filter(|b| a < b).map(|b| (*a, *b)));
        }
        expected.sort_unstable();
        assert_eq!(pairs, expected, "one connection a pair, from the lower address");
    }

    /// Waits for a promise of the daemon, with the tests' slack.
    pub fn eventually(&self, what: &str, promised: Duration, mut holds: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !holds() {
            if begun.elapsed() > SLACK * promised {
                for host in self.ids.keys() {
                    println!("--- log of node {host}\n{}", self.log(*host));
                }
                panic!("not within {SLACK} times {promised:?}: {what}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        println!("{what}: after {:?} of {promised:?}", begun.elapsed());
    }
}

/// A connection without one end's host.
pub fn without(links: &[Link], host: u8) -> Vec<Link> {
    links.iter().filter(|link| link.dialer != host && link.acceptor != host).copied().collect()
}

const FAKETIME: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
];

/// Lets a command see a wall clock that is off by so much, such as `+25h`; says so and answers no where the machine
/// cannot.
pub fn with_clock(command: &mut Command, offset: &str) -> bool {
    let Some(library) = FAKETIME.into_iter().find(|path| Path::new(path).exists()) else {
        println!("SKIPPED: libfaketime is not installed");
        return false;
    };
    command.env("LD_PRELOAD", library).env("FAKETIME", offset).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    true
}
