//! What a node is started with: its files read together, and the core's configuration made from them.

use timed_core::crypto::Provider;
use timed_core::crypto::noise::NoiseProvider;
use timed_core::limits::MemoryRow;
use timed_core::{ChainConfig, GenesisHash, MasternodeMode, MinPeers, NodeId, Wall};

use super::arguments::NodeArgs;
use super::config::{Auto, Config, PeerEntry, Place, SettingProblem, Settings, Sources, lines};
use super::data_dir::{self, DataDir};
use super::failure::{Exit, Failure};
use super::genesis::Genesis;
use super::keys::NodeKey;
use super::names::{self, HostNames};

/// The files of one node, read and found to fit together.
pub(crate) struct Assembly {
    /// What the operator decides.
    pub(crate) config: Config,
    /// The same in words.
    pub(crate) settings: Settings,
    /// What the network agrees on.
    pub(crate) genesis: Genesis,
    /// The network's identity.
    pub(crate) genesis_hash: GenesisHash,
    /// This node.
    pub(crate) id: NodeId,
    /// What works, but may not be what the operator wants.
    pub(crate) warnings: Vec<String>,
    key: NodeKey,
}

/// Reads a configuration through all its layers. A file that was named must be there; the data directory's
/// own may be missing.
pub(crate) fn read_config(dir: &DataDir, args: &NodeArgs) -> Result<Config, Failure> {
    read_settings(dir, args).map(|(config, _)| config)
}

/// The same, with the text of every key's value.
pub(crate) fn read_settings(dir: &DataDir, args: &NodeArgs) -> Result<(Config, Settings), Failure> {
    let path = args.config.clone().unwrap_or_else(|| dir.config());
    let shown = path.display().to_string();
    let text = data_dir::read(&path)?;
    if text.is_none() && args.config.is_some() {
        return Err(Failure::config(format!("there is no configuration file {shown}")));
    }
    // Names and values that are no text cannot be settings.
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let flags = args.flags();
    let file = text.as_deref().map(|text| (shown.as_str(), text));
    let sources = Sources { flags: &flags, environment: &environment, file };
    let config = Config::read(sources).map_err(|problems| refused(&problems))?;
    let settings = Settings::read(sources).map_err(|problem| Failure::config(problem.to_string()))?;
    Ok((config, settings))
}

/// Settings that cannot be: a wrong command line, where only flags are.
fn refused(problems: &[SettingProblem]) -> Failure {
    let only_flags = problems.iter().all(|problem| matches!(problem.place, Place::Flag(_)));
    let fail = if only_flags { Failure::usage } else { Failure::config };
    fail(lines(problems))
}

/// Refuses a configuration that a start with this genesis would refuse; answers what works, but may not be what
/// the operator wants.
pub(crate) fn judge(
    config: &Config,
    genesis: &Genesis,
    dir: &DataDir,
    id: NodeId,
) -> Result<Vec<String>, Failure> {
    if let Some(network) = config.node.network.as_ref().filter(|network| **network != genesis.network) {
        return Err(Failure::config(format!(
            "node.network is {:?}, but {} is of the network {:?}",
            network.as_str(),
            dir.genesis().display(),
            genesis.network.as_str()
        )));
    }
    fits(config, genesis.registry.size())?;
    Ok(warnings(config, genesis, id))
}

impl Assembly {
    /// Reads the files of a data directory; tells everything that is wrong at once.
    pub(crate) fn load(dir: &DataDir, args: &NodeArgs) -> Result<Self, Failure> {
        dir.check()?;
        let config = read_settings(dir, args);
        let genesis = Genesis::load(&dir.genesis());
        let key = NodeKey::load(&dir.node_key());
        let ((config, settings), genesis, key) = match (config, genesis, key) {
            (Ok(config), Ok(genesis), Ok(key)) => (config, genesis, key),
            (config, genesis, key) => return Err(joined([config.err(), genesis.err(), key.err()])),
        };
        let id = key.id();
        let warnings = judge(&config, &genesis, dir, id)?;
        Ok(Self { genesis_hash: genesis.hash(), config, settings, genesis, id, warnings, key })
    }

    /// The node's cryptography.
    pub(crate) fn crypto(&self) -> Box<dyn Provider> {
        Box::new(NoiseProvider::new(self.key.seed()))
    }

    /// Whether the node sends heartbeats.
    pub(crate) fn acts_as_masternode(&self) -> bool {
        self.config.masternode.enabled != Auto::Set(false)
            && self.genesis.registry.index_of(&self.id).is_some()
    }

    /// What the core is told.
    pub(crate) fn core_config(&self) -> timed_core::Config {
        timed_core::Config {
            network: self.genesis.network.clone(),
            genesis: self.genesis_hash,
            registry: self.genesis.registry.clone(),
            advertised: self.config.advertised(),
            bootstrap: names::by_address(&self.config.network.peers),
            reserved: names::by_address(&self.config.network.reserved_peers),
            seeds: HostNames::seeds(&self.config),
            addresses: self.config.addresses(),
            masternode: match self.config.masternode.enabled {
                Auto::Auto => MasternodeMode::Auto,
                Auto::Set(true) => MasternodeMode::Required,
                Auto::Set(false) => MasternodeMode::Disabled,
            },
            agent: concat!("timed/", env!("CARGO_PKG_VERSION")).to_owned(),
            chain: Some(self.chain_config()),
            timings: self.config.timings(),
            limits: self.config.core_limits(self.genesis.registry.size()),
        }
    }

    fn chain_config(&self) -> ChainConfig {
        ChainConfig {
            // Without a time of its own a network counts its slots from the beginning of Unix time.
            genesis_time: self.genesis.genesis_time.unwrap_or(Wall(0)),
            interval: self.genesis.block_interval,
            max_bytes: self.config.block.max_bytes,
            min_peers: match self.config.block.min_peers {
                Auto::Auto => MinPeers::Auto,
                Auto::Set(others) => MinPeers::AtLeast(others),
            },
        }
    }
}

/// How many of the largest rows are named where the limits add up to too much.
const ROWS_NAMED: usize = 4;

/// What the flight recorder holds at most: the ring, and a copy while that is written.
fn recorder_bytes(config: &Config) -> usize {
    if config.recorder.enabled { config.recorder.memory.saturating_mul(2) } else { 0 }
}

/// What the core and its recorder hold at most with these limits, in a network of so many masternodes.
pub(crate) fn worst_case_bytes(config: &Config, registry: usize) -> usize {
    config.core_limits(registry).worst_case_bytes().saturating_add(recorder_bytes(config))
}

/// Refuses limits that add up to more memory than the operator allows.
fn fits(config: &Config, registry: usize) -> Result<(), Failure> {
    let (worst, max_memory) = (worst_case_bytes(config, registry), config.limits.max_memory);
    if worst <= max_memory {
        return Ok(());
    }
    let mib = |bytes: usize| bytes.div_ceil(1 << 20);
    let mut rows = config.core_limits(registry).rows().to_vec();
    rows.push(MemoryRow {
        what: "the flight recorder, and a copy while it is written",
        bounds: "recorder.memory",
        bytes: recorder_bytes(config),
    });
    rows.sort_by_key(|row| std::cmp::Reverse(row.bytes));
    let mut message = format!(
        "limits.max_memory = {} MiB, but with these limits the node could need {} MiB. The largest parts:",
        max_memory >> 20,
        mib(worst)
    );
    for row in rows.iter().take(ROWS_NAMED) {
        let bounds = if row.bounds.is_empty() {
            "fixed by the protocol".to_owned()
        } else {
            format!("lower {}", row.bounds)
        };
        message.push_str(&format!("\n  {:>7} MiB  {} ({bounds})", mib(row.bytes), row.what));
    }
    Err(Failure::config(message))
}

/// Several failures as one: the messages together, the most specific exit code.
fn joined(failures: impl IntoIterator<Item = Option<Failure>>) -> Failure {
    let mut all = failures.into_iter().flatten();
    let Some(first) = all.next() else { return Failure::failed("") };
    all.fold(first, |sum, next| Failure {
        exit: match sum.exit {
            Exit::UnsafePermissions | Exit::Usage => sum.exit,
            _ => next.exit,
        },
        message: format!("{}\n{}", sum.message, next.message),
    })
}

fn warnings(config: &Config, genesis: &Genesis, id: NodeId) -> Vec<String> {
    let registry = &genesis.registry;
    let mut warnings: Vec<String> = config
        .limits
        .observed
        .iter()
        .map(|key| format!("limits.{key}: this limit bounds memory and stays in force; enforce = \"observe\" changes nothing"))
        .collect();
    if let Auto::Set(min_peers) = config.block.min_peers
        && min_peers >= registry.quorum()
    {
        warnings.push(format!(
            "block.min_peers = {min_peers} other masternodes forbids blocks that a quorum of {}, this node included, \
             could decide",
            registry.quorum()
        ));
    }
    let own = config.advertised();
    let entries = config.network.peers.iter().chain(&config.network.reserved_peers);
    for entry in entries {
        if let PeerEntry::Addr { addr, .. } = entry
            && Some(*addr) == own
        {
            warnings.push(format!("the peer list contains this node's own address {addr}; it is not dialed"));
        }
    }
    let others = registry.size() - usize::from(registry.index_of(&id).is_some());
    let limits = config.core_limits(registry.size());
    let (max_peers, slots) = (limits.max_peers, limits.masternode_slots);
    let reserved = config.network.reserved_peers.len();
    if max_peers < others {
        warnings.push(format!("network.max_peers = {max_peers} is less than the {others} other masternodes"));
    } else if max_peers < others + reserved {
        warnings.push(format!(
            "network.max_peers = {max_peers} is less than the {others} other masternodes and {reserved} reserved peers"
        ));
    } else if max_peers <= slots.max(others) + reserved {
        warnings.push(format!(
            "all of network.max_peers = {max_peers} are kept for masternodes (network.masternode_slots = {slots}) and \
             reserved peers: this node takes no observer"
        ));
    }
    warnings
}
