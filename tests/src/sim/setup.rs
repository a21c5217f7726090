//! What a world is made of before it begins.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use sha2::{Digest, Sha256};
use timed_core::crypto::Provider;
use timed_core::crypto::noise::NoiseProvider;
use timed_core::limits::MAX_ASSEMBLED;
use timed_core::{
    AddrScope, CanonicalAddr, ChainConfig, Config, GenesisHash, Limits, Masternode, MasternodeMode, MinPeers,
    NetworkName, NodeId, Registry, Timings, Wall,
};
use zeroize::Zeroizing;

use crate::null_crypto::NullProvider;

use super::clock::WALL_AT_START;
use super::host::{HostId, MakeProvider, NodeKey};
use super::path::Profile;

/// The port that everybody listens on unless told otherwise.
pub const PORT: u16 = 24_100;

type Edit = Box<dyn Fn(HostId, &mut Config)>;

/// The plan of a world: which masternodes and observers it has and how its network behaves.
pub struct Setup {
    pub(crate) provider: MakeProvider,
    pub(crate) masternodes: Vec<SocketAddr>,
    pub(crate) observers: usize,
    pub(crate) behind_nat: Vec<usize>,
    pub(crate) profile: Option<Profile>,
    pub(crate) fsync: (Duration, Duration),
    pub(crate) chain: Option<ChainConfig>,
    pub(crate) edit: Edit,
}

/// A machine to add to a world.
#[derive(Clone, Debug)]
pub struct HostPlan {
    /// Its key.
    pub key: NodeKey,
    /// Its own address.
    pub ip: IpAddr,
    /// As others see it: another address if it is behind a NAT, where nobody can dial it.
    pub seen_as: IpAddr,
    /// Where its process listens.
    pub port: u16,
    /// What its process is told.
    pub config: Config,
}

impl Setup {
    /// An empty plan on a local network, with disks that take 0.2 to 3 ms.
    #[must_use]
    pub fn new(provider: MakeProvider) -> Self {
        Self {
            provider,
            masternodes: Vec::new(),
            observers: 0,
            behind_nat: Vec::new(),
            profile: Some(Profile::lan()),
            fsync: (Duration::from_micros(200), Duration::from_millis(3)),
            chain: None,
            edit: Box::new(|_, _| {}),
        }
    }

    /// Adds masternodes at 10.0.0.1, 10.0.0.2 and so on.
    #[must_use]
    pub fn masternodes(mut self, count: usize) -> Self {
        for _ in 0..count {
            let addr = SocketAddr::new(numbered(0, self.masternodes.len()), PORT);
            self.masternodes.push(addr);
        }
        self
    }

    /// Adds masternodes at these addresses (`ip:port`).
    #[must_use]
    pub fn masternodes_at(mut self, addrs: &[&str]) -> Self {
        self.masternodes.extend(addrs.iter().map(|addr| addr.parse::<SocketAddr>().expect("ip:port")));
        self
    }

    /// Adds nodes with unregistered keys at 10.1.0.1 and so on. They follow the masternodes in the order of
    /// hosts.
    #[must_use]
    pub fn observers(mut self, count: usize) -> Self {
        self.observers += count;
        self
    }

    /// Puts hosts behind a NAT: they have another address of their own, and nobody can dial them.
    #[must_use]
    pub fn behind_nat(mut self, hosts: &[usize]) -> Self {
        self.behind_nat.extend(hosts);
        self
    }

    /// Sets how the network behaves.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self
    }

    /// Has the network's behaviour drawn from the seed.
    #[must_use]
    pub fn any_profile(mut self) -> Self {
        self.profile = None;
        self
    }

    /// Sets how long durable writes take.
    #[must_use]
    pub const fn fsync(mut self, from: Duration, to: Duration) -> Self {
        self.fsync = (from, to);
        self
    }

    /// Has the network make blocks, one an interval; its first slot starts when the world does.
    #[must_use]
    pub fn chain(mut self, interval: Duration) -> Self {
        self.chain = Some(ChainConfig {
            genesis_time: Wall(WALL_AT_START),
            interval,
            max_bytes: MAX_ASSEMBLED,
            min_peers: MinPeers::Auto,
        });
        self
    }

    /// Has the first slot start so many slots before the world, so that a chain of fewer blocks fits in between.
    #[must_use]
    pub fn slots_before(mut self, slots: u32) -> Self {
        if let Some(chain) = &mut self.chain {
            chain.genesis_time = Wall(WALL_AT_START) - chain.interval * slots;
        }
        self
    }

    /// Sets when masternodes propose.
    #[must_use]
    pub const fn min_peers(mut self, min_peers: MinPeers) -> Self {
        if let Some(chain) = &mut self.chain {
            chain.min_peers = min_peers;
        }
        self
    }

    /// Edits every host's configuration before the world begins.
    #[must_use]
    pub fn config(mut self, edit: impl Fn(HostId, &mut Config) + 'static) -> Self {
        self.edit = Box::new(edit);
        self
    }

    /// All hosts of the plan, keys drawn from the seed.
    pub(crate) fn hosts(&self, seed: u64) -> Vec<HostPlan> {
        let node_id = |key: &NodeKey| (self.provider)(key).node_id();
        let total = self.masternodes.len() + self.observers;
        let keys: Vec<NodeKey> = (0..total).map(|index| derived_key(seed, index as u64)).collect();
        let registry = self
            .masternodes
            .iter()
            .zip(&keys)
            .map(|(addr, key)| Masternode { id: node_id(key), addr: canonical(*addr) })
            .collect();
        let registry = Registry::new(registry).expect("a registry of distinct masternodes");
        let observers = (0..self.observers).map(|index| SocketAddr::new(numbered(1, index), PORT));
        let addrs = self.masternodes.iter().copied().chain(observers);
        addrs
            .zip(keys)
            .enumerate()
            .map(|(index, (addr, key))| {
                let mut config = base_config(seed, registry.clone(), Some(canonical(addr)));
                config.chain.clone_from(&self.chain);
                (self.edit)(HostId(index), &mut config);
                let seen_as = addr.ip().to_canonical();
                let ip = if self.behind_nat.contains(&index) { numbered(2, index) } else { seen_as };
                HostPlan { key, ip, seen_as, port: addr.port(), config }
            })
            .collect()
    }
}

/// Cryptography that costs nothing: see [`NullProvider`].
#[must_use]
pub fn null(key: &NodeKey) -> Box<dyn Provider> {
    Box::new(NullProvider::new(NodeId(key.0)))
}

/// The cryptography of real nodes.
#[must_use]
pub fn noise(key: &NodeKey) -> Box<dyn Provider> {
    Box::new(NoiseProvider::new(Zeroizing::new(key.0)))
}

/// A key drawn from a world's seed.
#[must_use]
pub fn derived_key(seed: u64, index: u64) -> NodeKey {
    NodeKey(digest(&[b"timed-sim-key", &seed.to_le_bytes(), &index.to_le_bytes()]))
}

/// The configuration of a node that nobody has edited.
#[must_use]
pub fn base_config(seed: u64, registry: Registry, advertised: Option<CanonicalAddr>) -> Config {
    let limits = Limits::for_registry(registry.size());
    Config {
        network: NetworkName::new("simulated").expect("a good name"),
        genesis: GenesisHash(digest(&[b"timed-sim-genesis", &seed.to_le_bytes()])),
        registry,
        advertised,
        bootstrap: Vec::new(),
        reserved: Vec::new(),
        seeds: Vec::new(),
        addresses: AddrScope::suiting(advertised),
        masternode: MasternodeMode::Auto,
        agent: "timed-sim/1".to_owned(),
        chain: None,
        timings: Timings::default(),
        limits,
    }
}

/// The canonical form of an address that the test has chosen.
pub(crate) fn canonical(addr: SocketAddr) -> CanonicalAddr {
    CanonicalAddr::new(addr).expect("an address that can be dialed")
}

fn numbered(net: u8, index: usize) -> IpAddr {
    let [.., high, low] = (index + 1).to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, net, high, low))
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().fold(Sha256::new(), |hasher, part| hasher.chain_update(part)).finalize().into()
}
