//! Whole nodes on simulated hosts: links that are cut, delayed and healed, hosts that crash. Time is virtual; what
//! the links carry is real.

#![allow(clippy::unwrap_used)] // A test fails where it cannot go on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use timed_tokio::application::FifoPayload;
use timed_tokio::core::{CanonicalAddr, Masternode, Mono, NetworkName, Now, Registry, Summary, Wall};
use timed_tokio::{Clock, Config, Genesis, Halves, Identity, MemoryStore, Network, Node};
use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use turmoil::net::{TcpListener, TcpStream};
use turmoil::{Builder, Sim};

const PORT: u16 = 24_100;
const DAWN: u64 = 1_800_000_000_000;
const NODES: u8 = 4;

/// The simulated network.
struct Simulated;

impl Network for Simulated {
    type Listener = TcpListener;
    type Read = OwnedReadHalf;
    type Write = OwnedWriteHalf;

    async fn listen(&self, at: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
        Ok((TcpListener::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), at.port())).await?, at))
    }

    async fn accept(&self, listener: &mut TcpListener) -> io::Result<(Halves<Self>, SocketAddr)> {
        let (stream, from) = listener.accept().await?;
        Ok((stream.into_split(), from))
    }

    async fn dial(&self, to: SocketAddr) -> io::Result<(Halves<Self>, SocketAddr)> {
        let stream = TcpStream::connect(to).await?;
        let local = stream.local_addr()?;
        Ok((stream.into_split(), local))
    }

    async fn resolve(&self, _name: &str) -> io::Result<Vec<SocketAddr>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The simulation's time, the same at every host and across its crashes.
struct SimulatedClock;

impl Clock for SimulatedClock {
    fn now(&self) -> Now {
        let since = turmoil::sim_elapsed().unwrap_or_default();
        Now { mono: Mono(0) + since, wall: Wall(DAWN) + since }
    }
}

fn identity(key: u8) -> Identity {
    Identity::from_seed([key; 32].into())
}

fn addr(key: u8) -> SocketAddr {
    (Ipv4Addr::new(192, 168, 0, key), PORT).into()
}

/// Four masternodes, and what each last said of itself.
struct World {
    sim: Sim<'static>,
    said: Vec<Arc<Mutex<Summary>>>,
}

impl World {
    fn new(seed: u64) -> Self {
        println!("seed {seed}");
        let mut sim = Builder::new()
            .rng_seed(seed)
            .simulation_duration(Duration::from_secs(600))
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(30))
            .tcp_capacity(1024)
            .enable_random_order()
            .build();
        let entry = |key| Masternode { id: identity(key).id(), addr: CanonicalAddr::new(addr(key)).unwrap() };
        let genesis = Genesis {
            network: NetworkName::new("simulated").unwrap(),
            block_interval: Duration::from_secs(1),
            genesis_time: Some(Wall(DAWN)),
            registry: Registry::new((1..=NODES).map(entry).collect()).unwrap(),
        };
        let mut said = Vec::new();
        for key in 1..=NODES {
            let summary = Arc::new(Mutex::new(Summary::default()));
            said.push(Arc::clone(&summary));
            let (genesis, store) = (genesis.clone(), MemoryStore::new());
            // A host that is started again after a crash has the disk that it had.
            let run = move || run(key, genesis.clone(), store.clone(), Arc::clone(&summary));
            sim.host(host(key), run);
        }
        Self { sim, said }
    }

    fn said(&self, key: u8) -> Summary {
        *self.said[usize::from(key) - 1].lock().unwrap()
    }

    fn is_whole(&self) -> bool {
        (1..=NODES).all(|key| {
            let links = self.said(key).links;
            links.up == 3 && links.inbound + links.outbound == 3 && links.duplicates == 0
        })
    }

    fn height(&self) -> u64 {
        (1..=NODES).map(|key| self.said(key).height.0).min().unwrap()
    }

    /// Lets time pass until something holds; answers how much it was.
    fn until(&mut self, what: &str, within: Duration, holds: impl Fn(&Self) -> bool) -> Duration {
        let begun = self.sim.elapsed();
        while !holds(self) {
            let passed = self.sim.elapsed() - begun;
            assert!(passed <= within, "not within {within:?}: {what}");
            self.sim.step().unwrap();
        }
        let took = self.sim.elapsed() - begun;
        println!("{what}: after {took:?} of {within:?}");
        took
    }

    fn pass(&mut self, time: Duration) {
        let until = self.sim.elapsed() + time;
        while self.sim.elapsed() < until {
            self.sim.step().unwrap();
        }
    }
}

async fn run(
    key: u8,
    genesis: Genesis,
    store: MemoryStore,
    said: Arc<Mutex<Summary>>,
) -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::reachable(&genesis, CanonicalAddr::new(addr(key))?);
    let application = FifoPayload::new(Arc::new(store.clone()));
    let (handle, _) =
        Node::spawn_on(Simulated, SimulatedClock, config, identity(key), store, application).await?;
    loop {
        *said.lock().unwrap() = handle.summary();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn host(key: u8) -> IpAddr {
    addr(key).ip()
}

#[test]
fn links_form_over_slow_wires_and_blocks_are_made_each_slot() {
    let mut world = World::new(1);
    world.until("every link", 3 * SECOND, World::is_whole);
    world.until("five blocks", 8 * SECOND, |world| world.height() >= 5);
}

#[test]
fn a_host_that_crashes_is_missed_and_taken_back() {
    let mut world = World::new(2);
    world.until("every link", 3 * SECOND, World::is_whole);
    world.sim.crash(host(2));
    let height = world.said(1).height.0;
    world.until("blocks go on without it", 10 * SECOND, |world| world.said(1).height.0 >= height + 3);
    world.until("its links are given up", 20 * SECOND, |world| world.said(1).links.up == 2);
    world.sim.bounce(host(2));
    world.until("every link", 20 * SECOND, World::is_whole);
    world
        .until("it has caught up", 10 * SECOND, |world| world.said(2).height.0 + 1 >= world.said(1).height.0);
}

#[test]
fn a_partition_stops_the_chain_and_its_end_mends_everything() {
    let mut world = World::new(3);
    world.until("every link", 3 * SECOND, World::is_whole);
    for (a, b) in [(1, 3), (1, 4), (2, 3), (2, 4)] {
        world.sim.partition(host(a), host(b));
    }
    world.pass(30 * SECOND);
    let heights: Vec<u64> = (1..=NODES).map(|key| world.said(key).height.0).collect();
    assert!((1..=NODES).all(|key| world.said(key).links.up == 1), "links across a cut are given up");
    world.pass(10 * SECOND);
    let later: Vec<u64> = (1..=NODES).map(|key| world.said(key).height.0).collect();
    assert_eq!(heights, later, "two of four decide nothing");
    for (a, b) in [(1, 3), (1, 4), (2, 3), (2, 4)] {
        world.sim.repair(host(a), host(b));
    }
    world.until("every link", 20 * SECOND, World::is_whole);
    let height = world.height();
    world.until("blocks", 20 * SECOND, |world| world.height() >= height + 3);
}

#[test]
fn a_link_that_stalls_for_a_moment_stays_the_link_that_it_was() {
    let mut world = World::new(4);
    world.until("every link", 3 * SECOND, World::is_whole);
    world.pass(2 * SECOND);
    world.sim.hold(host(1), host(2));
    // Shorter than the time after which a silent peer is given up.
    world.pass(6 * SECOND);
    world.sim.release(host(1), host(2));
    world.pass(10 * SECOND);
    assert!(world.is_whole(), "{:?}", world.said(1).links);
}
