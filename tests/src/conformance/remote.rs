//! A node that runs somewhere, in any language: nothing of it is in hand but its address.

use std::net::SocketAddr;

use timed_core::crypto::Provider;
use timed_core::crypto::noise::NoiseProvider;
use timed_core::limits::MAX_ASSEMBLED;
use timed_core::{
    AddrScope, CanonicalAddr, ChainConfig, Config, Limits, MasternodeMode, MinPeers, NodeId, Timings, Wall,
};
use zeroize::Zeroizing;

use super::arm::{Arm, Ground, Miss, Player, Scene, Stage};
use super::genesis::Genesis;
use super::sockets::SocketArm;

/// A node that runs somewhere.
#[derive(Clone, Debug)]
pub struct Remote {
    ground: Ground,
}

impl Remote {
    /// The node at `addr`, of the network of this genesis. It is the one that is registered there, else `node`.
    /// `keys` are seeds of registered masternodes that run nowhere: the suite plays them.
    ///
    /// # Errors
    /// In words, if it is not known which node it is, or a key is not registered.
    pub fn new(
        addr: SocketAddr,
        genesis: &Genesis,
        node: Option<NodeId>,
        keys: &[[u8; 32]],
        slack: u32,
    ) -> Result<Self, String> {
        let addr = CanonicalAddr::new(addr).map_err(|error| format!("{addr}: {error}"))?;
        let registered = genesis.registry.by_addr(&addr).map(|entry| entry.id);
        let subject = node.or(registered).ok_or_else(|| {
            format!("no masternode is registered at {addr}: name the node's key with --node")
        })?;
        let mut players = Vec::new();
        for key in keys {
            let node = NoiseProvider::new(Zeroizing::new(*key)).node_id();
            let entry = genesis.registry.get(&node).ok_or_else(|| format!("{node} is not registered"))?;
            if node == subject {
                return Err(format!("{node} is the node under test: its key stays with it"));
            }
            players.push(Player { key: *key, node, addr: entry.addr });
        }
        let config = Config {
            network: genesis.network.clone(),
            genesis: genesis.hash(),
            limits: Limits::for_registry(genesis.registry.size()),
            registry: genesis.registry.clone(),
            advertised: Some(addr),
            bootstrap: Vec::new(),
            reserved: Vec::new(),
            seeds: Vec::new(),
            addresses: AddrScope::suiting(Some(addr)),
            masternode: MasternodeMode::Auto,
            agent: "conformance".to_owned(),
            chain: Some(ChainConfig {
                genesis_time: genesis.time.unwrap_or(Wall(0)),
                interval: genesis.interval,
                max_bytes: MAX_ASSEMBLED,
                min_peers: MinPeers::Auto,
            }),
            timings: Timings::default(),
        };
        Ok(Self { ground: Ground { subject, addr, config, players, guests_from: None, slack } })
    }

    /// What is known of it.
    #[must_use]
    pub const fn ground(&self) -> &Ground {
        &self.ground
    }
}

impl Stage for Remote {
    fn name(&self) -> &'static str {
        "node"
    }

    fn set(&self, scene: Scene) -> Result<Box<dyn Arm>, Miss> {
        let registered = self.ground.config.registry.get(&self.ground.subject).is_some();
        match scene {
            Scene::Blocks if !registered => Err(Miss::Lacks("a node that is a registered masternode")),
            Scene::Observer if registered => Err(Miss::Lacks("a node that is not registered")),
            _ => Ok(Box::new(SocketArm::new(self.ground.clone(), None))),
        }
    }
}
