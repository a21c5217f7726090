//! Where the driven node lives: a small registry, tight bounds, and the actors around it.

use std::net::SocketAddr;
use std::time::Duration;

use timed_core::crypto::Provider;
use timed_core::crypto::noise::NoiseProvider;
use timed_core::wire::message::Boot;
use timed_core::{
    AddrScope, BootEpoch, BootNonce, CanonicalAddr, Config, GenesisHash, Limits, Masternode, MasternodeMode,
    Mono, NetworkName, NodeId, Now, Registry, Timings, Wall,
};
use zeroize::Zeroizing;

use crate::null_crypto::NullProvider;
use crate::scripted::Actor;

/// With which cryptography.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crypto {
    /// None.
    Null,
    /// The production provider.
    Noise,
}

impl Crypto {
    /// The provider of the player with this number.
    #[must_use]
    pub fn provider(self, player: u8) -> Box<dyn Provider> {
        match self {
            Self::Null => Box::new(NullProvider::new(NodeId([player; 32]))),
            Self::Noise => Box::new(NoiseProvider::new(Zeroizing::new([player; 32]))),
        }
    }
}

/// Number of the driven node.
pub const NODE: u8 = 2;
/// Numbers of the actors: a masternode that dials us, two that we dial, one who advertises an address and is
/// not registered, one without an address, and a second process with the node's own key.
pub const CAST: [u8; 6] = [1, 3, 4, 9, 10, NODE];

/// First reading of the clocks.
pub const START: Now = Now { mono: Mono(1_000_000_000_000), wall: Wall(1_795_000_000_000) };

/// Where a player listens.
///
/// # Panics
/// Never: the address can be dialed.
#[must_use]
pub fn addr(player: u8) -> CanonicalAddr {
    CanonicalAddr::new(SocketAddr::from(([10, 0, 0, player], 24_100))).expect("a dialable address")
}

/// Bounds that are met quickly.
#[must_use]
pub fn tight() -> Limits {
    Limits {
        max_peers: 5,
        masternode_slots: 3,
        unauthenticated: 4,
        unauthenticated_kept: 1,
        dialing: 3,
        known_peers: 8,
        own_addrs: 2,
        bans: 3,
        scores: 3,
        control_lane: 8 * 1024,
        relay_lane: 70 * 1024,
        gate: 3,
        frame_pool: 4,
        ..Limits::for_registry(4)
    }
}

/// The driven node's configuration.
///
/// # Panics
/// Never: it is sound.
#[must_use]
pub fn config(crypto: Crypto) -> Config {
    let entry = |player| Masternode { id: crypto.provider(player).node_id(), addr: addr(player) };
    Config {
        network: NetworkName::new("driven").expect("a good name"),
        genesis: GenesisHash([0xb1; 32]),
        registry: Registry::new([1, NODE, 3, 4].map(entry).to_vec()).expect("a sound registry"),
        advertised: Some(addr(NODE)),
        bootstrap: vec![timed_core::Bootstrap { addr: addr(9), id: None }],
        reserved: Vec::new(),
        seeds: vec![],
        addresses: AddrScope::Private,
        masternode: MasternodeMode::Auto,
        agent: "driven".to_owned(),
        chain: None,
        timings: Timings { operator_hold: Duration::from_secs(20), ..Timings::default() },
        limits: tight(),
    }
}

/// The actor with this number.
#[must_use]
pub fn actor(crypto: Crypto, config: &Config, player: u8) -> Actor {
    let advertised = (player != 10).then(|| addr(player));
    let mut actor = Actor::new(crypto.provider(player), config, advertised, START.wall);
    if player == NODE {
        actor.from.boot = Boot { epoch: BootEpoch(START.wall.0 - 5), nonce: BootNonce(99) };
    }
    actor
}
