//! What a node is told at its start. The shell reads files and flags; the core takes values.

use std::time::Duration;

use crate::addr::{AddrScope, CanonicalAddr};
use crate::crypto::WeakKey;
use crate::event::Enforce;
use crate::ids::{GenesisHash, Height, NodeId, SeedId};
use crate::limits::{CONFIGURED_BYTES, Limits, MAX_SEEDS, RateLimits};
use crate::registry::Registry;
use crate::time::Wall;

/// The network's name: 1 to 32 characters of `a–z`, `0–9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct NetworkName(String);

impl NetworkName {
    /// Checks a name.
    ///
    /// # Errors
    /// If it is empty, longer than 32 bytes, or has other characters.
    pub fn new(name: &str) -> Result<Self, ConfigError> {
        let good = (1..=32).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if good { Ok(Self(name.to_owned())) } else { Err(ConfigError::NetworkName(name.to_owned())) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A peer to start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Bootstrap {
    /// Where it listens.
    pub addr: CanonicalAddr,
    /// The key that it must prove, if known.
    pub id: Option<NodeId>,
}

/// A peer to start from that is known by a name, which the shell resolves whenever it is told to
/// ([`Command::Resolve`](crate::Command::Resolve)). Its place in [`Config::seeds`] is its
/// [`SeedId`](crate::SeedId).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Seed {
    /// The key that it must prove, if known.
    pub id: Option<NodeId>,
    /// Which list it is on.
    pub list: PeerList,
}

/// A list of peers in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum PeerList {
    /// Peers to start from.
    #[default]
    Bootstrap,
    /// Peers that always have a place (rule S-3).
    Reserved,
}

/// What an operator may change while the node runs; everything else is as it was at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Reconfiguration {
    /// As [`Config::bootstrap`]. A link to a peer that is on no list any more stays as long as it stands.
    pub bootstrap: Vec<Bootstrap>,
    /// As [`Config::reserved`]: a place for whoever is new, and no place of its own for whoever is gone.
    pub reserved: Vec<Bootstrap>,
    /// As [`Config::seeds`], with the number under which the name service knows each from now on.
    pub seeds: Vec<NewSeed>,
    /// As [`Limits::punish`].
    pub punish: Enforce,
    /// As [`Limits::rates`].
    pub rates: RateLimits,
}

/// A name after a change of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct NewSeed {
    /// Its number: as before for a name that stays, else one that no other name ever had in this process. A late
    /// answer for a number that is gone is ignored.
    pub number: SeedId,
    /// The name's key and list.
    pub seed: Seed,
    /// The number that the same name had before, whose addresses hold until the name service answers.
    pub before: Option<SeedId>,
}

/// Schedules and time-outs (`core/PROTOCOL.md`, "Times").
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Timings {
    /// A dial that is not answered by then has failed.
    pub dial_timeout: Duration,
    /// From connect or accept to a live session; not extended by partial bytes.
    pub handshake_timeout: Duration,
    /// A link that takes no byte for so long while some wait is closed as slow.
    pub write_timeout: Duration,
    /// A link on which nothing was heard for so long gets a ping.
    pub ping_after: Duration,
    /// A link gets a ping at least this often, so that its round trip is known.
    pub measure_every: Duration,
    /// A link on which nothing was heard for so long is closed as silent.
    pub silent_after: Duration,
    /// How long the passive side waits for the canonical dialer before it knocks; jittered by 25 %.
    pub passive_wait: Duration,
    /// How long after a knock the passive side dials in earnest.
    pub fallback_after: Duration,
    /// First back-off; doubles with each failure.
    pub backoff_first: Duration,
    /// Longest back-off towards a masternode.
    pub backoff_masternode: Duration,
    /// Longest back-off towards others, towards the incompatible, and after a refusal for want of a place.
    pub backoff_other: Duration,
    /// First back-off after a refusal for want of a place; doubles with each.
    pub backoff_refused: Duration,
    /// A session that lasted so long resets the back-off.
    pub lasting_session: Duration,
    /// How long a `disconnect` by the operator holds.
    pub operator_hold: Duration,
    /// Between two checks of all peers.
    pub peer_check: Duration,
    /// Between two heartbeats of a masternode.
    pub heartbeat: Duration,
    /// A masternode without a live session is active for so long after its last valid heartbeat.
    pub active_for: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            dial_timeout: secs(5),
            handshake_timeout: secs(5),
            write_timeout: secs(5),
            ping_after: secs(5),
            measure_every: secs(60),
            silent_after: secs(15),
            passive_wait: secs(5),
            fallback_after: secs(2),
            backoff_first: Duration::from_millis(500),
            backoff_masternode: secs(10),
            backoff_other: secs(600),
            backoff_refused: secs(30),
            lasting_session: secs(30),
            operator_hold: secs(600),
            peer_check: secs(120),
            heartbeat: secs(10),
            active_for: secs(35),
        }
    }
}

/// How blocks are made. The interval and the time of the first slot are the same at every node of a network.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct ChainConfig {
    /// Start of the first slot; slots follow without a gap (rule C-6).
    pub genesis_time: Wall,
    /// Length of a slot: 50 ms at least, whole milliseconds.
    pub interval: Duration,
    /// Bytes of a payload that this node proposes, at most [`MAX_ASSEMBLED`](crate::limits::MAX_ASSEMBLED).
    pub max_bytes: usize,
    /// How many masternodes must be linked before this node proposes.
    pub min_peers: MinPeers,
}

/// When this node proposes (rule C-14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum MinPeers {
    /// When live links, this node included, reach a quorum.
    Auto,
    /// When so many other masternodes are linked, whatever a quorum needs.
    AtLeast(usize),
}

/// Everything a node is told at its start.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct Config {
    /// The network's name.
    pub network: NetworkName,
    /// Hash of the genesis file.
    pub genesis: GenesisHash,
    /// The registry in force at the tip.
    pub registry: Registry,
    /// Where others dial this node. Required of a masternode, and equal to its registry entry.
    pub advertised: Option<CanonicalAddr>,
    /// Peers to start from, beside the registry.
    pub bootstrap: Vec<Bootstrap>,
    /// Peers that are sought, always have a place and are never banned automatically (rule S-3): by their key, or,
    /// where none is given, whoever answers a dial at the address.
    pub reserved: Vec<Bootstrap>,
    /// Those of them that are known by name: 64 at most.
    pub seeds: Vec<Seed>,
    /// Which addresses of nodes that are not registered are believed and told (rule P-3);
    /// [`AddrScope::suiting`] is the standard.
    pub addresses: AddrScope,
    /// Whether a registered key acts as a masternode (heartbeats) or stays silent.
    pub masternode: MasternodeMode,
    /// What this node calls its software, at most 32 printable ASCII characters.
    pub agent: String,
    /// How blocks are made; `None` for a network of links and heartbeats alone.
    pub chain: Option<ChainConfig>,
    /// Schedules and time-outs.
    pub timings: Timings,
    /// Bounds of everything that can grow.
    pub limits: Limits,
}

/// Whether this node acts as a masternode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum MasternodeMode {
    /// If and only if its key is in the registry.
    Auto,
    /// It must be: a key that is not registered is an error.
    Required,
    /// Never: an observer, even with a registered key.
    Disabled,
}

/// Why a node cannot start with what it was told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not a network name.
    #[error("network name {0:?}: use 1 to 32 characters of a-z, 0-9 and '-'")]
    NetworkName(String),
    /// The key is required to be registered and is not.
    #[error("this node's key {0} is not in the genesis registry, but masternode mode is required")]
    NotRegistered(NodeId),
    /// A masternode without an address.
    #[error(
        "this node's key is registered as masternode at {registered}: set network.local_ip to {}",
        registered.ip()
    )]
    NoAdvertisedAddr {
        /// The registry's address.
        registered: CanonicalAddr,
    },
    /// A masternode that would advertise another address than the registry's.
    #[error(
        "network.local_ip and port give {configured}, but the genesis registry has this node at {registered}"
    )]
    AdvertisedDiffers {
        /// From the configuration.
        configured: CanonicalAddr,
        /// From the registry.
        registered: CanonicalAddr,
    },
    /// This node's address is registered for another key.
    #[error("{addr} is registered for masternode {other}, not for this node's key")]
    AddressOfAnother {
        /// The configured address.
        addr: CanonicalAddr,
        /// Whose it is.
        other: NodeId,
    },
    /// More peers need a record than are remembered.
    #[error(
        "limits.known_peers = {known} is too few for {configured} configured peers, {masternodes} other masternodes and \
         max_peers = {max_peers}: it has to be {} at least",
        configured + masternodes.max(max_peers)
    )]
    TooFewKnown {
        /// The bound.
        known: usize,
        /// Peers to start from, and reserved ones.
        configured: usize,
        /// Masternodes in the registry, but for this node.
        masternodes: usize,
        /// Links at most.
        max_peers: usize,
    },
    /// A registered key is unusable.
    #[error("masternode {0} has an invalid or weak public key")]
    WeakKey(NodeId),
    /// The agent text is too long or not printable.
    #[error("agent: at most 32 printable ASCII characters")]
    Agent,
    /// A durable record does not decode.
    #[error(
        "the durable record {0:?} is damaged: restore the data directory from a backup, or start a new key"
    )]
    DamagedRecord(&'static str),
    /// Too many names.
    #[error("{0} peers are known by name, more than the {MAX_SEEDS} supported")]
    TooManySeeds(usize),
    /// The stored blocks were made under another genesis file.
    #[error(
        "the stored chain, {0} blocks long, was not made under this genesis file: give this node the genesis.toml of \
         its network, or an empty data directory with its key"
    )]
    OtherGenesis(Height),
    /// The chain's settings cannot work.
    #[error("chain: {0}")]
    Chain(&'static str),
    /// Two time-outs contradict each other.
    #[error("timings: {0}")]
    Timings(&'static str),
}

const _: () = assert!(2 * size_of::<Bootstrap>() <= CONFIGURED_BYTES);

impl From<WeakKey> for ConfigError {
    fn from(key: WeakKey) -> Self {
        Self::WeakKey(key.0)
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    use super::*;

    /// A configuration with nothing but a registry.
    pub(crate) fn config(registry: Registry) -> Config {
        Config {
            network: NetworkName("fixture".to_owned()),
            genesis: GenesisHash([9; 32]),
            limits: Limits::for_registry(registry.size()),
            registry,
            advertised: None,
            bootstrap: Vec::new(),
            reserved: Vec::new(),
            seeds: Vec::new(),
            addresses: AddrScope::Private,
            masternode: MasternodeMode::Auto,
            agent: "fixture".to_owned(),
            chain: None,
            timings: Timings::default(),
        }
    }
}
