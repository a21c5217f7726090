//! How fast a node catches up over real sockets with a real store: `cargo bench -p timed-mio --bench catch_up`.
//!
//! The floor does with the same blocks only what nobody can leave out: it verifies the signatures of every
//! certificate and stores every block, durable in groups of the size that a node may have under way. Wall time a
//! block, because waiting for the disk counts. Nothing fails here: these are benchmarks, not tests.

#[path = "../../../core/benches/measure/mod.rs"]
mod measure;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use measure::table::{Unit, against, heading};
use measure::{compare, micros};
use tempfile::TempDir;
use timed_core::crypto::noise::NoiseProvider;
use timed_core::crypto::{Authenticity, Provider};
use timed_core::limits::COMMITS_UNDER_WAY;
use timed_core::wire::signing;
use timed_core::{
    AddrScope, Bootstrap, CanonicalAddr, ChainConfig, Config, Event, FinalBlock, GenesisHash, Height, Limits,
    Masternode, MasternodeMode, MinPeers, NetworkName, Node, NodeId, Record, Registry, Timings, VoteKind,
};
use timed_mio::application::FifoPayload;
use timed_mio::{Exit, Remote, Shell, ShellConfig, Store};
use timed_tests::chain_auditor::Origin;
use timed_tests::chain_generator::ChainGenerator;

/// Of the floor, as the issue asks: at least 70 %, and what we aim at.
const LIMIT: f64 = 1.0 / 0.7;
const AIM: f64 = 1.0 / 0.85;
const ROUNDS: usize = 5;
const INTERVAL: Duration = Duration::from_secs(1);

fn main() {
    heading("catching up from one peer, wall time a block");
    for (masternodes, length, payload) in [(4, 4_000, 0), (4, 2_000, 10_000), (16, 2_000, 0), (64, 500, 0)] {
        let network = Network::new(masternodes, length, payload);
        let compared = compare(ROUNDS, || network.floor(), || network.catch_up());
        let what = format!("{masternodes} masternodes, payloads of {payload} bytes");
        against(&what, Unit::Micros, compared, LIMIT, AIM);
    }
}

/// A network of which one masternode runs and has the chain.
struct Network {
    registry: Registry,
    genesis: GenesisHash,
    chain: ChainConfig,
    blocks: Vec<FinalBlock>,
    server: Server,
}

struct Server {
    id: NodeId,
    addr: CanonicalAddr,
    remote: Remote,
    thread: Option<JoinHandle<()>>,
    _store: TempDir,
}

fn provider(key: usize) -> NoiseProvider {
    let mut secret = [1; 32];
    secret[..8].copy_from_slice(&(key as u64).to_le_bytes());
    NoiseProvider::new(secret.into())
}

impl Network {
    fn new(masternodes: usize, length: u64, payload: usize) -> Self {
        let shell = bind();
        let addr = CanonicalAddr::new(shell.local_addr()).expect("it can be dialed");
        let entry = |key: usize| {
            let port = 1_000 + u16::try_from(key).expect("a small network");
            let elsewhere = SocketAddr::from((Ipv4Addr::new(127, 9, 9, 9), port));
            let elsewhere = CanonicalAddr::new(elsewhere).expect("an address");
            Masternode { id: provider(key).node_id(), addr: if key == 0 { addr } else { elsewhere } }
        };
        let registry = Registry::new((0..masternodes).map(entry).collect()).expect("a good registry");
        let genesis = GenesisHash([7; 32]);
        let past = Duration::from_secs(length + 100);
        let genesis_time = timed_mio::now().wall - past;
        let chain =
            ChainConfig { genesis_time, interval: INTERVAL, max_bytes: 1 << 20, min_peers: MinPeers::Auto };
        let origin = Origin { genesis, genesis_time, interval: INTERVAL, registry: registry.clone() };
        let keys = (0..masternodes).map(|key| Box::new(provider(key)) as Box<dyn Provider>);
        let mut generator =
            ChainGenerator::new(origin, keys).with_payload(move |height| content(height, payload));
        let blocks: Vec<FinalBlock> = (0..length).map(|_| generator.make()).collect();
        let server = Server::start(shell, addr, &registry, genesis, &chain, &blocks);
        Self { registry, genesis, chain, blocks, server }
    }

    fn per_block(&self, took: Duration) -> f64 {
        micros(took) / self.blocks.len() as f64
    }

    /// Verifies every certificate, then stores every block.
    fn floor(&self) -> f64 {
        let place = TempDir::new().expect("there is room for temporary files");
        let (mut store, _) = Store::open(place.path().join("floor.redb")).expect("the directory is ours");
        let application = FifoPayload::new(store.reader());
        let mut crypto = provider(1_000);
        let keys: Vec<NodeId> = self.registry.entries().iter().map(|entry| entry.id).collect();
        crypto.trust(&keys).expect("good keys");
        let begun = Instant::now();
        for group in self.blocks.chunks(COMMITS_UNDER_WAY) {
            for block in group {
                let certificate = &block.certificate;
                let (height, round) = (certificate.height, certificate.round);
                let bytes = signing::vote(
                    &self.genesis,
                    VoteKind::Precommit,
                    height,
                    round,
                    Some(&certificate.block),
                );
                for (seat, signature) in certificate.signers.iter().zip(&certificate.signatures) {
                    let signer = self.registry.at(seat).expect("a signer is registered").id;
                    assert_eq!(crypto.verify(&signer, &bytes, signature), Authenticity::Genuine);
                }
            }
            store.append_blocks(group.iter().cloned(), &application).expect("the disk takes them");
        }
        self.per_block(begun.elapsed())
    }

    /// An observer with an empty store catches up from the one masternode that runs: from the link on until the
    /// last block is durable.
    fn catch_up(&self) -> f64 {
        let place = TempDir::new().expect("there is room for temporary files");
        let (store, journal) = Store::open(place.path().join("node.redb")).expect("the directory is ours");
        let to = Bootstrap { addr: self.server.addr, id: Some(self.server.id) };
        let node = node(2_000, &self.registry, self.genesis, &self.chain, None, vec![to], journal);
        let shell = bind();
        let remote = shell.remote();
        let (tell, told) = channel();
        let last = Height(self.blocks.len() as u64);
        let thread = std::thread::spawn(move || {
            let exit = shell.run(node, store, move |event: &Event| match event {
                Event::LinkUp { .. } => drop(tell.send(Instant::now())),
                Event::BlockCommitted { height, .. } if *height == last => drop(tell.send(Instant::now())),
                _ => {}
            });
            assert!(matches!(exit, Exit::Stopped), "{exit:?}");
        });
        let patience = Duration::from_secs(300);
        let begun = told.recv_timeout(patience).expect("the link comes up");
        let done = told.recv_timeout(patience).expect("it catches up");
        remote.stop();
        thread.join().expect("the node stops");
        self.per_block(done - begun)
    }
}

impl Server {
    fn start(
        shell: Shell,
        addr: CanonicalAddr,
        registry: &Registry,
        genesis: GenesisHash,
        chain: &ChainConfig,
        blocks: &[FinalBlock],
    ) -> Self {
        let place = TempDir::new().expect("there is room for temporary files");
        let path = place.path().join("server.redb");
        fill(&path, blocks);
        let (store, journal) = Store::open(path).expect("the directory is ours");
        let node = node(0, registry, genesis, chain, Some(addr), vec![], journal);
        let remote = shell.remote();
        let thread = std::thread::spawn(move || {
            let exit = shell.run(node, store, |_: &Event| {});
            assert!(matches!(exit, Exit::Stopped), "{exit:?}");
        });
        Self { id: provider(0).node_id(), addr, remote, thread: Some(thread), _store: place }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.remote.stop();
        // A thread that panicked has said so.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn fill(path: &Path, blocks: &[FinalBlock]) {
    let (mut store, _) = Store::open(path).expect("the directory is ours");
    let application = FifoPayload::new(store.reader());
    store.append_blocks(blocks.iter().cloned(), &application).expect("the disk takes them");
}

/// Transactions of 250 bytes, none of them twice.
fn content(height: Height, payload: usize) -> Bytes {
    let transaction = |number: usize| {
        let mut bytes = vec![number.to_le_bytes()[0]; 250];
        bytes[..8].copy_from_slice(&height.0.to_le_bytes());
        Bytes::from(bytes)
    };
    FifoPayload::assemble(&(0..payload / 254).map(transaction).collect::<Vec<_>>())
}

fn bind() -> Shell {
    Shell::bind(ShellConfig::listening_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))
        .expect("loopback has a free port")
}

fn node(
    key: usize,
    registry: &Registry,
    genesis: GenesisHash,
    chain: &ChainConfig,
    advertised: Option<CanonicalAddr>,
    bootstrap: Vec<Bootstrap>,
    journal: Vec<Record>,
) -> Node {
    let config = Config {
        network: NetworkName::new("bench").expect("a good name"),
        genesis,
        registry: registry.clone(),
        advertised,
        bootstrap,
        reserved: Vec::new(),
        seeds: Vec::new(),
        addresses: AddrScope::Private,
        masternode: MasternodeMode::Auto,
        agent: "bench".to_owned(),
        chain: Some(chain.clone()),
        timings: Timings::default(),
        limits: Limits::for_registry(registry.size()),
    };
    Node::new(config, Box::new(provider(key)), [key.to_le_bytes()[0]; 32], journal, timed_mio::now())
        .expect("a good configuration")
}
