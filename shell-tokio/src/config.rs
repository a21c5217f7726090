//! What a node is told at its start, beside its store and its application.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use sha2::{Digest, Sha256};
use timed_core::crypto::Provider;
use timed_core::crypto::noise::NoiseProvider;
use timed_core::limits::MAX_ASSEMBLED;
use timed_core::{
    AddrScope, CanonicalAddr, ChainConfig, GenesisHash, Limits, MasternodeMode, MinPeers, NetworkName,
    NodeId, Registry, Timings, Wall,
};
use zeroize::Zeroizing;

use crate::tcp::{SocketOptions, Tcp};

/// What every node of one network agrees on from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The network's name.
    pub network: NetworkName,
    /// Between two blocks: at least 50 ms, whole milliseconds.
    pub block_interval: Duration,
    /// When the first slot starts; `None` counts slots from the beginning of Unix time.
    pub genesis_time: Option<Wall>,
    /// The masternodes at height 0.
    pub registry: Registry,
}

impl Genesis {
    /// The network's identity: SHA-256 over `timed-genesis-v1` and the content (rule G-1).
    #[must_use]
    pub fn hash(&self) -> GenesisHash {
        let name = self.network.as_str().as_bytes();
        let millis = u64::try_from(self.block_interval.as_millis()).unwrap_or(u64::MAX);
        let mut hasher = Sha256::new();
        hasher.update(b"timed-genesis-v1");
        hasher.update((name.len() as u64).to_le_bytes());
        hasher.update(name);
        hasher.update(millis.to_le_bytes());
        match self.genesis_time {
            None => hasher.update([0]),
            Some(Wall(millis)) => {
                hasher.update([1]);
                hasher.update(millis.to_le_bytes());
            }
        }
        hasher.update(self.registry.hash().0);
        GenesisHash(hasher.finalize().into())
    }
}

/// A node's key.
pub struct Identity(Box<dyn Provider>);

impl Identity {
    /// The ed25519 key of this 32-byte seed. Keep it as you would keep a password: whoever has it is this node, and
    /// a key that runs in two places at once is caught and stopped (rule E-5).
    #[must_use]
    #[allow(clippy::needless_pass_by_value)] // Taken so that the caller's copy is wiped.
    pub fn from_seed(seed: Zeroizing<[u8; 32]>) -> Self {
        Self(Box::new(NoiseProvider::new(seed)))
    }

    /// A new key from the system's entropy, and the seed to keep it by.
    ///
    /// # Errors
    /// If the system gives no entropy.
    pub fn generate() -> Result<(Self, Zeroizing<[u8; 32]>), getrandom::Error> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed)?;
        Ok((Self::from_seed(seed.clone()), seed))
    }

    /// A key that something else holds, such as a token.
    #[must_use]
    pub fn held_by(provider: Box<dyn Provider>) -> Self {
        Self(provider)
    }

    /// The public key.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.0.node_id()
    }

    pub(crate) fn into_provider(self) -> Box<dyn Provider> {
        self.0
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.id()).finish()
    }
}

/// What a node is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the core is told: every bound, time and peer.
    pub core: timed_core::Config,
    /// Where to listen. Port 0 takes a free one; `[::]` takes IPv4 too. A node that does not listen dials only.
    pub listen: Option<SocketAddr>,
    /// How TCP is used. Looked at by [`Node::spawn`](crate::Node::spawn) alone.
    pub tcp: Tcp,
    /// Names of peers, as `host:port`: each stands for the entry at its place in [`timed_core::Config::seeds`].
    pub names: Vec<String>,
}

impl Config {
    /// A node of this network that others dial at `advertised`: a masternode if its key is in the registry. It
    /// listens there, and dials from there too.
    #[must_use]
    pub fn reachable(genesis: &Genesis, advertised: CanonicalAddr) -> Self {
        let tcp = Tcp { dial_from: Some(advertised.ip()), sockets: SocketOptions::default() };
        Self {
            core: core(genesis, Some(advertised)),
            listen: Some(advertised.socket()),
            tcp,
            names: Vec::new(),
        }
    }

    /// A node of this network that follows it and dials only.
    #[must_use]
    pub fn observer(genesis: &Genesis) -> Self {
        let mut core = core(genesis, None);
        core.masternode = MasternodeMode::Disabled;
        Self { core, listen: None, tcp: Tcp::default(), names: Vec::new() }
    }
}

fn core(genesis: &Genesis, advertised: Option<CanonicalAddr>) -> timed_core::Config {
    timed_core::Config {
        network: genesis.network.clone(),
        genesis: genesis.hash(),
        registry: genesis.registry.clone(),
        advertised,
        bootstrap: Vec::new(),
        reserved: Vec::new(),
        seeds: Vec::new(),
        addresses: AddrScope::suiting(
            advertised.or_else(|| genesis.registry.entries().first().map(|entry| entry.addr)),
        ),
        masternode: MasternodeMode::Auto,
        agent: concat!("timed-tokio/", env!("CARGO_PKG_VERSION")).to_owned(),
        chain: Some(ChainConfig {
            genesis_time: genesis.genesis_time.unwrap_or(Wall(0)),
            interval: genesis.block_interval,
            max_bytes: MAX_ASSEMBLED,
            min_peers: MinPeers::Auto,
        }),
        timings: Timings::default(),
        limits: Limits::for_registry(genesis.registry.size()),
    }
}
