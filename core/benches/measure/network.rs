//! Nodes for benchmarks: real ones with real cryptography, keys that are numbers, and time-outs so long that
//! nothing happens but what is measured.

use std::net::SocketAddr;
use std::time::Duration;

use timed_core::crypto::Provider;
use timed_core::crypto::noise::NoiseProvider;
use timed_core::limits::MAX_ASSEMBLED;
use timed_core::{
    AddrScope, Bootstrap, CanonicalAddr, ChainConfig, Config, GenesisHash, Limits, Masternode,
    MasternodeMode, MinPeers, NetworkName, Node, NodeId, Now, RateLimits, Registry, Timings,
};
use zeroize::Zeroizing;

use super::signatures::Counting;

/// Who a node of a benchmark is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    key: u32,
    /// Its identity.
    pub(crate) id: NodeId,
    /// Where it is dialed.
    pub(crate) addr: CanonicalAddr,
}

impl Member {
    /// The member of a number, reached at an address.
    pub(crate) fn new(key: u32, addr: SocketAddr) -> Self {
        let id = provider(key).node_id();
        Self { key, id, addr: CanonicalAddr::new(addr).expect("it can be dialed") }
    }

    /// Its entry in a registry.
    pub(crate) fn entry(&self) -> Masternode {
        Masternode { id: self.id, addr: self.addr }
    }
}

/// What a node of a benchmark is told.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// The masternodes that it knows.
    pub(crate) registry: Vec<Masternode>,
    /// Peers to dial beside them.
    pub(crate) bootstrap: Vec<Bootstrap>,
    /// Whether others can dial it.
    pub(crate) reach: Reach,
    /// Links at most.
    pub(crate) max_peers: usize,
    /// After so long without a word a link is pinged; after three times that it is given up.
    pub(crate) ping_after: Duration,
    /// Between two heartbeats.
    pub(crate) heartbeat: Duration,
    /// Between two blocks; `None` for none.
    pub(crate) blocks: Option<Duration>,
    /// How fast its peers may send.
    pub(crate) rates: RateLimits,
}

/// Whether a node can be dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// At its member's address.
    Advertised,
    /// It dials only.
    DialsOnly,
}

/// Longer than any benchmark.
pub(crate) const NEVER: Duration = Duration::from_secs(24 * 3600);

impl Setting {
    /// Of a node that knows these masternodes and is left in peace.
    pub(crate) fn knowing(registry: Vec<Masternode>) -> Self {
        Self {
            registry,
            bootstrap: Vec::new(),
            reach: Reach::Advertised,
            max_peers: 256,
            ping_after: NEVER,
            heartbeat: NEVER,
            blocks: None,
            rates: RateLimits::default(),
        }
    }
}

/// What a node is made from.
pub(crate) type Parts = (Config, Box<dyn Provider>, [u8; 32]);

/// Starts a node.
pub(crate) fn node(member: &Member, setting: Setting, now: Now) -> Node {
    let (config, provider, seed) = parts(member, setting, now);
    Node::new(config, provider, seed, [], now).expect("a good configuration")
}

/// What a node of this setting is made from.
pub(crate) fn parts(member: &Member, setting: Setting, now: Now) -> Parts {
    let limits = Limits {
        max_peers: setting.max_peers,
        known_peers: setting.max_peers + 1024,
        rates: setting.rates,
        ..Limits::for_registry(setting.registry.len())
    };
    let timings = Timings {
        ping_after: setting.ping_after,
        silent_after: setting.ping_after * 3,
        heartbeat: setting.heartbeat,
        active_for: setting.heartbeat * 4,
        passive_wait: NEVER,
        peer_check: NEVER,
        ..Timings::default()
    };
    let config = Config {
        network: NetworkName::new("bench").expect("a good name"),
        genesis: GenesisHash([7; 32]),
        registry: Registry::new(setting.registry).expect("a good registry"),
        advertised: (setting.reach == Reach::Advertised).then_some(member.addr),
        bootstrap: setting.bootstrap,
        reserved: Vec::new(),
        seeds: Vec::new(),
        addresses: AddrScope::Private,
        masternode: MasternodeMode::Auto,
        agent: "bench".to_owned(),
        chain: setting.blocks.map(|interval| ChainConfig {
            genesis_time: now.wall,
            interval,
            max_bytes: MAX_ASSEMBLED,
            min_peers: MinPeers::Auto,
        }),
        timings,
        limits,
    };
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&member.key.to_le_bytes());
    let provider = Counting::new(provider(member.key));
    (config, Box::new(provider), seed)
}

fn provider(key: u32) -> NoiseProvider {
    let mut secret = Zeroizing::new([1; 32]);
    secret[..4].copy_from_slice(&key.to_le_bytes());
    NoiseProvider::new(secret)
}
