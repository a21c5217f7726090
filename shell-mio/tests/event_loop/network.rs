//! Whole nodes on real sockets: links form, last, and come back.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use timed_core::crypto::Provider;
use timed_core::crypto::noise::NoiseProvider;
use timed_core::{
    AddrScope, CanonicalAddr, Command, Config, ConnId, Direction, Event, GenesisHash, Input, Limits,
    Masternode, MasternodeMode, Mono, NetworkName, Node, NodeId, Now, PeerInfo, Refused, Registry, Reply,
    Request, Timings, Transmit,
};
use timed_mio::{Core, Exit, Remote, Shell, ShellConfig, Store, StoreError, now};
use zeroize::Zeroizing;

const PATIENCE: Duration = Duration::from_secs(20);

/// A node whose loop can be unwound at any moment.
struct Mortal {
    node: Node,
    killed: Arc<AtomicBool>,
}

impl Core for Mortal {
    fn accept(&mut self, now: Now, from: SocketAddr) -> Result<ConnId, Refused> {
        self.node.accept(now, from)
    }

    fn handle(&mut self, now: Now, input: Input<'_>) {
        self.node.handle(now, input);
    }

    fn next_command(&mut self) -> Option<Command> {
        if self.killed.load(Ordering::Acquire) {
            resume_unwind(Box::new("killed"));
        }
        self.node.next_command()
    }

    fn transmit(&mut self, now: Now, conn: ConnId, budget: usize, out: &mut Vec<u8>) -> Transmit {
        self.node.transmit(now, conn, budget, out)
    }

    fn deadline(&self) -> Option<Mono> {
        self.node.deadline()
    }
}

/// A network of whole nodes in one process, each with a loop of its own.
struct Network {
    registry: Registry,
    addrs: Vec<SocketAddr>,
    folder: tempfile::TempDir,
    nodes: Vec<Option<Running>>,
    starts: u8,
}

struct Running {
    remote: Remote,
    killed: Arc<AtomicBool>,
    links: Arc<Mutex<Vec<String>>>,
    thread: JoinHandle<Exit>,
}

impl Network {
    /// All nodes at once. `net` tells the networks of concurrent tests apart.
    fn start(net: u8, size: u8) -> Self {
        let shells: Vec<Shell> = (1..=size)
            .map(|host| {
                let ip = IpAddr::V4(Ipv4Addr::new(127, 77, net, host));
                Shell::bind(ShellConfig::listening_on(SocketAddr::new(ip, 0))).unwrap()
            })
            .collect();
        let addrs: Vec<SocketAddr> = shells.iter().map(Shell::local_addr).collect();
        let entries = addrs
            .iter()
            .zip(1..)
            .map(|(&addr, node)| Masternode {
                id: provider(node).node_id(),
                addr: CanonicalAddr::new(addr).unwrap(),
            })
            .collect();
        let mut network = Self {
            registry: Registry::new(entries).unwrap(),
            addrs,
            folder: tempfile::tempdir().unwrap(),
            nodes: (0..size).map(|_| None).collect(),
            starts: 0,
        };
        for (at, shell) in shells.into_iter().enumerate() {
            network.run(at, shell);
        }
        network
    }

    fn store(&self, at: usize) -> PathBuf {
        self.folder.path().join(format!("{at}.redb"))
    }

    fn run(&mut self, at: usize, shell: Shell) {
        self.starts += 1;
        let config = Config {
            network: NetworkName::new("looptest").unwrap(),
            genesis: GenesisHash([7; 32]),
            registry: self.registry.clone(),
            advertised: Some(CanonicalAddr::new(self.addrs[at]).unwrap()),
            bootstrap: Vec::new(),
            reserved: Vec::new(),
            seeds: Vec::new(),
            addresses: AddrScope::Private,
            masternode: MasternodeMode::Auto,
            agent: "loop test".into(),
            chain: None,
            timings: Timings::default(),
            limits: Limits::default(),
        };
        let begun = Instant::now();
        let (store, journal) = loop {
            match Store::open(self.store(at)) {
                Ok(opened) => break opened,
                // The thread that writes for a killed loop may be closing it just now.
                Err(StoreError::InUse { .. }) if begun.elapsed() < PATIENCE => {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("{error}"),
            }
        };
        let mut seed = [self.starts; 32];
        seed[0] = u8::try_from(at).unwrap();
        let node = Node::new(config, provider(u8::try_from(at).unwrap() + 1), seed, journal, now()).unwrap();
        let (remote, links) = (shell.remote(), Arc::new(Mutex::new(Vec::new())));
        let sink = Arc::clone(&links);
        let killed = Arc::new(AtomicBool::new(false));
        let mortal = Mortal { node, killed: Arc::clone(&killed) };
        let thread = thread::spawn(move || {
            shell.run(mortal, store, move |event: &Event| match event {
                Event::LinkUp { .. }
                | Event::LinkDown { .. }
                | Event::DialFailed { .. }
                | Event::Fatal(_) => {
                    sink.lock().unwrap().push(format!("{event:?}"));
                }
                _ => {}
            })
        });
        self.nodes[at] = Some(Running { remote, killed, links, thread });
    }

    fn restart(&mut self, at: usize) {
        let shell = Shell::bind(ShellConfig::listening_on(self.addrs[at])).unwrap();
        self.run(at, shell);
    }

    fn remote(&self, at: usize) -> &Remote {
        &self.nodes[at].as_ref().unwrap().remote
    }

    fn stop(&mut self, at: usize) -> Exit {
        let running = self.nodes[at].take().unwrap();
        running.remote.stop();
        running.thread.join().unwrap()
    }

    /// Ends a node without a word to anybody: its loop is unwound, the kernel closes its sockets.
    fn kill(&mut self, at: usize) {
        let running = self.nodes[at].take().unwrap();
        running.killed.store(true, Ordering::Release);
        let _ = running.remote.request(Request::Status);
        assert!(running.thread.join().is_err());
    }

    fn peers(&self, at: usize) -> Vec<PeerInfo> {
        match self.remote(at).request(Request::Peers).unwrap().wait(PATIENCE).unwrap() {
            Reply::Peers(peers) => peers,
            other => panic!("{other:?}"),
        }
    }

    fn running(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&at| self.nodes[at].is_some()).collect()
    }

    /// Waits until every running node has a session with every other, and checks that both ends name the
    /// same one and that the lower address dialed it.
    fn complete(&self) -> Duration {
        let begun = Instant::now();
        let running = self.running();
        while running.iter().any(|&at| self.peers(at).len() != running.len() - 1) {
            if begun.elapsed() > PATIENCE {
                for &at in &running {
                    eprintln!("{at}: {:?}", self.nodes[at].as_ref().unwrap().links.lock().unwrap());
                }
                panic!("links are missing");
            }
            thread::sleep(Duration::from_millis(5));
        }
        let took = begun.elapsed();
        for &a in &running {
            for &b in running.iter().filter(|&&b| b > a) {
                let (of_a, of_b) = (self.session(a, b), self.session(b, a));
                assert_eq!(of_a.session, of_b.session, "{a} and {b} hold different links");
                assert_eq!((of_a.direction, of_b.direction), (Direction::Outbound, Direction::Inbound));
                assert_eq!(of_b.remote.ip(), self.addrs[a].ip());
            }
        }
        took
    }

    fn id(at: usize) -> NodeId {
        provider(u8::try_from(at).unwrap() + 1).node_id()
    }

    fn session(&self, at: usize, with: usize) -> PeerInfo {
        self.peers(at).into_iter().find(|peer| peer.node == Self::id(with)).unwrap()
    }

    fn log(&self, at: usize) -> String {
        self.nodes[at].as_ref().unwrap().links.lock().unwrap().join("\n")
    }
}

fn provider(node: u8) -> Box<dyn Provider> {
    Box::new(NoiseProvider::new(Zeroizing::new([node; 32])))
}

#[test]
fn two_nodes_link_and_say_goodbye() {
    let mut network = Network::start(1, 2);
    println!("2 nodes: 1 link after {:?}", network.complete());
    let begun = Instant::now();
    while network.remote(0).summary().connected_peers != 1 {
        assert!(begun.elapsed() < PATIENCE, "{:?}", network.remote(0).summary());
        thread::sleep(Duration::from_millis(5));
    }
    assert!(matches!(network.stop(0), Exit::Stopped));
    let begun = Instant::now();
    while !network.peers(1).is_empty() {
        assert!(begun.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(5));
    }
    assert!(network.log(1).contains("reason: Shutdown, by: Peer"), "{}", network.log(1));
    assert!(matches!(network.stop(1), Exit::Stopped));
}

#[test]
fn four_nodes_hold_six_links() {
    let mut network = Network::start(2, 4);
    println!("4 nodes: 6 links after {:?}", network.complete());
    let before: Vec<_> = (1..4).map(|other| network.session(0, other).session).collect();
    thread::sleep(Duration::from_secs(3));
    let after: Vec<_> = (1..4).map(|other| network.session(0, other).session).collect();
    assert_eq!(before, after, "a link did not last");
    for at in 0..4 {
        let counters = network.remote(at).counters();
        assert_eq!((counters.open, counters.pending_bytes, counters.accept_failures), (3, 0, 0));
        assert!(network.remote(at).last_tick_age() < Duration::from_secs(2));
    }
    for at in 0..4 {
        assert!(matches!(network.stop(at), Exit::Stopped));
    }
}

#[test]
fn a_killed_node_comes_back() {
    let mut network = Network::start(3, 4);
    network.complete();
    for victim in [0, 3] {
        let others: Vec<usize> = (0..4).filter(|&at| at != victim).collect();
        let kept = network.session(others[0], others[1]).session;
        network.kill(victim);
        network.restart(victim);
        println!("node {victim} killed: back after {:?}", network.complete());
        assert_eq!(network.session(others[0], others[1]).session, kept, "a link between others moved");
    }
}

#[test]
fn fourteen_nodes_hold_ninety_one_links() {
    let network = Network::start(4, 14);
    println!("14 nodes: 91 links after {:?}", network.complete());
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(running) = node.take() {
                running.remote.stop();
                running.remote.stop();
                let _ = running.thread.join();
            }
        }
    }
}
