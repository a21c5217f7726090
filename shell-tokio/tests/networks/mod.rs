//! Networks of whole nodes in one process, on loopback addresses of their own.

#![allow(dead_code, unreachable_pub)] // Each test binary uses its part.
#![allow(clippy::unwrap_used)] // A test fails where it cannot go on.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use timed_tokio::application::FifoPayload;
use timed_tokio::core::{CanonicalAddr, Masternode, NetworkName, Registry, Wall};
use timed_tokio::{
    Application, Config, Events, Exit, Genesis, Handle, Identity, MemoryStore, Node, SpawnError, Store,
};

/// Tests run beside others on small machines: a promise is held to this many times its time.
pub const SLACK: u32 = 5;
pub const SECOND: Duration = Duration::from_secs(1);

pub fn identity(key: u8) -> Identity {
    Identity::from_seed([key; 32].into())
}

/// A free port of an address, which nobody else uses.
pub fn free(ip: Ipv4Addr) -> SocketAddr {
    std::net::TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}

/// A genesis of masternodes with the keys 1, 2, … at 127.78.`net`.1, .2, …
pub fn genesis(net: u8, size: u8, block_interval: Duration) -> Genesis {
    let entry = |host| Masternode {
        id: identity(host).id(),
        addr: CanonicalAddr::new(free(Ipv4Addr::new(127, 78, net, host))).unwrap(),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Genesis {
        network: NetworkName::new("tokiotest").unwrap(),
        block_interval,
        genesis_time: Some(Wall(u64::try_from(now.as_millis()).unwrap())),
        registry: Registry::new((1..=size).map(entry).collect()).unwrap(),
    }
}

/// What the masternode of a key is told.
pub fn config(genesis: &Genesis, key: u8) -> Config {
    Config::reachable(genesis, genesis.registry.get(&identity(key).id()).unwrap().addr)
}

/// A network of masternodes that carry opaque transactions.
pub struct Network {
    pub genesis: Genesis,
    pub stores: Vec<MemoryStore>,
    pub nodes: Vec<Option<(Handle, Events)>>,
}

impl Network {
    pub fn new(net: u8, size: u8, block_interval: Duration) -> Self {
        Self {
            genesis: genesis(net, size, block_interval),
            stores: (0..size).map(|_| MemoryStore::new()).collect(),
            nodes: (0..size).map(|_| None).collect(),
        }
    }

    pub async fn started(net: u8, size: u8, block_interval: Duration) -> Self {
        let mut network = Self::new(net, size, block_interval);
        for key in 1..=size {
            network.start(key).await;
        }
        network
    }

    pub async fn start(&mut self, key: u8) {
        let store = self.stores[usize::from(key) - 1].clone();
        let application = FifoPayload::new(Arc::new(store.clone()));
        self.start_with(key, store, application).await.unwrap();
    }

    pub async fn start_with(
        &mut self,
        key: u8,
        store: impl Store,
        application: impl Application,
    ) -> Result<(), SpawnError> {
        let node = Node::spawn(config(&self.genesis, key), identity(key), store, application).await?;
        self.nodes[usize::from(key) - 1] = Some(node);
        Ok(())
    }

    pub fn handle(&self, key: u8) -> &Handle {
        &self.nodes[usize::from(key) - 1].as_ref().unwrap().0
    }

    pub fn running(&self) -> impl Iterator<Item = &Handle> {
        self.nodes.iter().flatten().map(|(handle, _)| handle)
    }

    /// As a crash would: peers are not told.
    pub async fn kill(&mut self, key: u8) {
        let (handle, _) = self.nodes[usize::from(key) - 1].take().unwrap();
        assert_eq!(handle.abort().await, Exit::Aborted);
    }

    pub async fn stop_all(&mut self) {
        for node in &mut self.nodes {
            if let Some((handle, _)) = node.take() {
                assert_eq!(handle.shutdown().await, Exit::Stopped);
            }
        }
    }

    /// Whether each running node has one link to each other one, and no more.
    pub fn is_whole(&self) -> bool {
        let others = self.running().count() - 1;
        self.running().all(|handle| {
            let links = handle.summary().links;
            links.up == others && links.inbound + links.outbound == others && links.duplicates == 0
        })
    }

    /// The least height of the running nodes.
    pub fn height(&self) -> u64 {
        self.running().map(|handle| handle.summary().height.0).min().unwrap()
    }

    pub async fn until_whole(&self) {
        eventually("every link stands", 10 * SECOND, || self.is_whole()).await;
    }

    pub async fn until_height(&self, height: u64, promised: Duration) {
        eventually(&format!("height {height}"), promised, || self.height() >= height).await;
    }
}

pub async fn eventually(what: &str, promised: Duration, mut holds: impl FnMut() -> bool) {
    eventually_async(what, promised, || std::future::ready(holds())).await;
}

pub async fn eventually_async<F: Future<Output = bool>>(
    what: &str,
    promised: Duration,
    mut holds: impl FnMut() -> F,
) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < SLACK * promised, "not within {SLACK} times {promised:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("{what}: after {:?} of {promised:?}", begun.elapsed());
}

pub fn ip(net: u8, host: u8) -> IpAddr {
    Ipv4Addr::new(127, 78, net, host).into()
}
