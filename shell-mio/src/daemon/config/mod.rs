//! `config.toml`: what the operator decides, read from flag, environment, file and default.

mod document;
mod layers;
mod problem;
mod schema;
mod setting;
mod settings;
mod template;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use timed_core::{AddrScope, CanonicalAddr, Limits, NetworkName, RateLimit, RateUnit, Timings, TrafficClass};

pub(crate) use document::{Document, Located, shown};
pub(crate) use layers::Flag;
use problem::Problem;
pub(crate) use problem::{Place, Problem as SettingProblem, did_you_mean, lines};
#[cfg(test)]
pub(crate) use schema::{KEYS, SECTIONS, Standard};
pub(crate) use setting::{Auto, Enforce, Given, LogFormat, LogLevel, PeerEntry, Setting};
pub(crate) use settings::{Change, Settings};
pub(crate) use template::commented;

use layers::Layers;
use setting::{ByteSize, HostName, Limit, Port};

/// A whole configuration. Every field has its default where nothing else was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) node: NodeSection,
    pub(crate) network: NetworkSection,
    pub(crate) masternode: MasternodeSection,
    pub(crate) block: BlockSection,
    pub(crate) api: ApiSection,
    pub(crate) limits: LimitsSection,
    pub(crate) recorder: RecorderSection,
    pub(crate) logging: LoggingSection,
}

/// `[node]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeSection {
    pub(crate) name: Option<String>,
    /// Where given, genesis.toml must have the same name.
    pub(crate) network: Option<NetworkName>,
}

/// `[network]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkSection {
    pub(crate) local_ip: Option<IpAddr>,
    pub(crate) listen: SocketAddr,
    pub(crate) port: u16,
    pub(crate) max_peers: Auto<usize>,
    pub(crate) masternode_slots: Auto<usize>,
    pub(crate) peers: Vec<PeerEntry>,
    pub(crate) reserved_peers: Vec<PeerEntry>,
    pub(crate) peer_check_interval: Duration,
    pub(crate) passive_wait: Duration,
    pub(crate) dial_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) keepalive_time: Duration,
    pub(crate) keepalive_interval: Duration,
    pub(crate) allow_private: Auto<bool>,
}

/// `[masternode]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MasternodeSection {
    pub(crate) enabled: Auto<bool>,
    pub(crate) heartbeat_interval: Duration,
}

/// `[block]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockSection {
    pub(crate) max_bytes: usize,
    pub(crate) min_peers: Auto<usize>,
}

/// `[api]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiSection {
    pub(crate) enabled: bool,
    pub(crate) listen: SocketAddr,
    pub(crate) hosts: Vec<String>,
}

/// `[limits]`, in the core's terms, and those for which only observation was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LimitsSection {
    /// Every bound but `max_peers` and `masternode_slots`, which depend on the registry.
    pub(crate) bounds: Limits,
    /// Bytes that the bounds may add up to.
    pub(crate) max_memory: usize,
    /// Bytes of the heartbeats that are kept on disk as proof of who was there.
    pub(crate) attestations: usize,
    /// Keys with `enforce = "observe"`.
    pub(crate) observed: Vec<&'static str>,
}

/// `[recorder]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecorderSection {
    pub(crate) enabled: bool,
    /// Bytes held.
    pub(crate) memory: usize,
    /// Files kept.
    pub(crate) keep: usize,
}

/// Room of a recorder: below, it would hold hardly more than a state; above, writing it down takes too long.
const RECORDER_MEMORY: RangeInclusive<usize> = 1 << 20..=1 << 30;
const RECORDINGS: RangeInclusive<usize> = 1..=100;

/// `[logging]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoggingSection {
    pub(crate) level: LogLevel,
    pub(crate) format: LogFormat,
}

/// The layers above the defaults.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sources<'a> {
    /// Settings from the command line.
    pub(crate) flags: &'a [Flag],
    /// The process's environment.
    pub(crate) environment: &'a [(String, String)],
    /// The file's name, for messages, and its content.
    pub(crate) file: Option<(&'a str, &'a str)>,
}

impl Config {
    /// Reads a configuration from its layers.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place; never only the first.
    pub(crate) fn read(sources: Sources<'_>) -> Result<Self, Vec<SettingProblem>> {
        let document = match sources.file {
            Some((name, text)) => Some(Document::parse(name, text).map_err(|problem| vec![problem])?),
            None => None,
        };
        let mut layers = Layers::new(sources.flags, sources.environment, document.as_ref());
        let config = Self {
            node: NodeSection {
                name: layers.given("node", "name"),
                network: layers.given("node", "network"),
            },
            network: network(&mut layers),
            masternode: MasternodeSection {
                enabled: layers.value("masternode", "enabled"),
                heartbeat_interval: layers.value("masternode", "heartbeat_interval"),
            },
            block: BlockSection {
                max_bytes: layers.value::<ByteSize>("block", "max_bytes").0,
                min_peers: layers.value("block", "min_peers"),
            },
            api: ApiSection {
                enabled: layers.value("api", "enabled"),
                listen: layers.value("api", "listen"),
                hosts: layers.value::<Vec<HostName>>("api", "hosts").into_iter().map(|host| host.0).collect(),
            },
            limits: limits(&mut layers),
            recorder: RecorderSection {
                enabled: layers.value("recorder", "enabled"),
                memory: layers.value::<ByteSize>("recorder", "memory").0,
                keep: layers.value("recorder", "keep"),
            },
            logging: LoggingSection {
                level: layers.value("logging", "level"),
                format: layers.value("logging", "format"),
            },
        };
        config.contradictions(&mut layers);
        let problems = layers.finish();
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    fn contradictions(&self, layers: &mut Layers<'_>) {
        if let (Auto::Set(slots), Auto::Set(peers)) = (self.network.masternode_slots, self.network.max_peers)
            && slots > peers
        {
            let text = format!("{slots} slots for masternodes are more than max_peers = {peers}");
            layers.complain("network", "masternode_slots", text);
        }
        if !RECORDER_MEMORY.contains(&self.recorder.memory) {
            layers.complain("recorder", "memory", "expected 1MiB to 1GiB".to_owned());
        }
        if !RECORDINGS.contains(&self.recorder.keep) {
            layers.complain("recorder", "keep", "expected 1 to 100".to_owned());
        }
        let listen = self.network.listen.ip().to_canonical();
        if let Some(local) = self.network.local_ip
            && listen.is_ipv4() != local.is_ipv4()
            && !listen.is_unspecified()
        {
            let text = format!("{listen} and local_ip = {local} are of different address families");
            layers.complain("network", "listen", text);
        }
        if self.api.enabled && self.api.listen == self.network.listen && self.api.listen.port() != 0 {
            let text = format!("{} is also network.listen; give each its own port", self.api.listen);
            layers.complain("api", "listen", text);
        }
    }

    /// Where others dial this node, if it can be dialed.
    pub(crate) fn advertised(&self) -> Option<CanonicalAddr> {
        CanonicalAddr::new(SocketAddr::new(self.network.local_ip?, self.network.port)).ok()
    }

    /// Which addresses of others are believed.
    pub(crate) fn addresses(&self) -> AddrScope {
        match self.network.allow_private {
            Auto::Auto => AddrScope::suiting(self.advertised()),
            Auto::Set(true) => AddrScope::Private,
            Auto::Set(false) => AddrScope::Global,
        }
    }

    /// The core's schedules.
    pub(crate) fn timings(&self) -> Timings {
        Timings {
            dial_timeout: self.network.dial_timeout,
            handshake_timeout: self.network.handshake_timeout,
            write_timeout: self.network.write_timeout,
            passive_wait: self.network.passive_wait,
            peer_check: self.network.peer_check_interval,
            heartbeat: self.masternode.heartbeat_interval,
            ..Timings::default()
        }
    }

    /// The core's bounds, for a registry of this size.
    pub(crate) fn core_limits(&self, registry: usize) -> Limits {
        let max_peers = self.network.max_peers.or_else(|| Limits::for_registry(registry).max_peers);
        let auto = || Limits::auto_masternode_slots(max_peers, registry);
        let masternode_slots = self.network.masternode_slots.or_else(auto);
        Limits { max_peers, masternode_slots, ..self.limits.bounds.clone() }
    }
}

fn network(layers: &mut Layers<'_>) -> NetworkSection {
    const SECTION: &str = "network";
    let port = layers.given::<Port>(SECTION, "port");
    let listen = layers.given::<SocketAddr>(SECTION, "listen");
    let standard_listen = || {
        let mut listen: SocketAddr = layers::standard(SECTION, "listen");
        if let Some(Port(port)) = port {
            listen.set_port(port);
        }
        listen
    };
    let listen = listen.unwrap_or_else(standard_listen);
    let port = match (port, listen.port()) {
        (Some(Port(port)), _) => port,
        (None, 0) => layers::standard::<Port>(SECTION, "port").0,
        (None, port) => port,
    };
    NetworkSection {
        local_ip: layers.given(SECTION, "local_ip"),
        listen,
        port,
        max_peers: layers.value(SECTION, "max_peers"),
        masternode_slots: layers.value(SECTION, "masternode_slots"),
        peers: layers.value(SECTION, "peers"),
        reserved_peers: layers.value(SECTION, "reserved_peers"),
        peer_check_interval: layers.value(SECTION, "peer_check_interval"),
        passive_wait: layers.value(SECTION, "passive_wait"),
        dial_timeout: layers.value(SECTION, "dial_timeout"),
        handshake_timeout: layers.value(SECTION, "handshake_timeout"),
        write_timeout: layers.value(SECTION, "write_timeout"),
        keepalive_time: layers.value(SECTION, "keepalive_time"),
        keepalive_interval: layers.value(SECTION, "keepalive_interval"),
        allow_private: layers.value(SECTION, "allow_private"),
    }
}

fn limits(layers: &mut Layers<'_>) -> LimitsSection {
    let mut observed = Vec::new();
    let mut count = |name| {
        let limit = layers.value::<Limit<usize>>("limits", name);
        if limit.enforce == Enforce::Observe {
            observed.push(name);
        }
        limit.max.unwrap_or_else(|| layers::standard("limits", name))
    };
    let mut bounds = Limits {
        unauthenticated: count("unauthenticated"),
        unauthenticated_kept: count("unauthenticated_kept"),
        dialing: count("dialing"),
        known_peers: count("known_peers"),
        own_addrs: count("own_addrs"),
        address_book: count("address_book"),
        outbound: count("outbound"),
        bans: count("bans"),
        gate: count("gate"),
        frame_pool: count("frame_pool"),
        ..Limits::default()
    };
    let mut bytes = |name| {
        let limit = layers.value::<Limit<ByteSize>>("limits", name);
        if limit.enforce == Enforce::Observe {
            observed.push(name);
        }
        limit.max.unwrap_or_else(|| layers::standard("limits", name)).0
    };
    bounds.control_lane = bytes("control_lane");
    bounds.payload_lane = bytes("payload_lane");
    bounds.relay_lane = bytes("relay_lane");
    bounds.bulk_lane = bytes("bulk_lane");
    bounds.sync_window = bytes("sync_window");
    bounds.serving = bytes("serving");
    bounds.serving_rate = bytes("serving_rate");
    bounds.mempool = bytes("mempool");
    let max_memory = bytes("max_memory");
    let attestations = bytes("attestations");
    let scores = layers.value::<Limit<usize>>("limits", "scores");
    bounds.scores = scores.max.unwrap_or_else(|| layers::standard("limits", "scores"));
    bounds.punish = match scores.enforce {
        Enforce::On => timed_core::Enforce::On,
        Enforce::Observe => timed_core::Enforce::Observe,
    };
    for (name, class) in RATES {
        let limit = match class.unit() {
            RateUnit::Messages => {
                let limit = layers.value::<Limit<Auto<usize>>>("limits", name);
                rate(limit, |count| count)
            }
            RateUnit::Bytes => {
                let limit = layers.value::<Limit<Auto<ByteSize>>>("limits", name);
                rate(limit, |size| size.0)
            }
        };
        bounds.rates.set(*class, limit);
    }
    LimitsSection { bounds, max_memory, attestations, observed }
}

/// The keys of rates.
const RATES: &[(&str, TrafficClass)] = &[
    ("rate_liveness", TrafficClass::Liveness),
    ("rate_heartbeat", TrafficClass::Heartbeat),
    ("rate_consensus", TrafficClass::Consensus),
    ("rate_payload_request", TrafficClass::PayloadRequest),
    ("rate_payload", TrafficClass::Payload),
    ("rate_block_request", TrafficClass::BlockRequest),
    ("rate_transaction", TrafficClass::Transaction),
    ("rate_transaction_offer", TrafficClass::TransactionOffer),
    ("rate_addresses", TrafficClass::Addresses),
    ("rate_datagram", TrafficClass::Datagram),
    ("rate_unknown", TrafficClass::Unknown),
    ("rate_total", TrafficClass::Total),
];

fn rate<T>(limit: Limit<Auto<T>>, units: impl Fn(T) -> usize) -> RateLimit {
    let per_second = match limit.max {
        None | Some(Auto::Auto) => None,
        Some(Auto::Set(max)) => Some(units(max) as u64),
    };
    let enforce = match limit.enforce {
        Enforce::On => timed_core::Enforce::On,
        Enforce::Observe => timed_core::Enforce::Observe,
    };
    RateLimit { per_second, enforce }
}

#[cfg(test)]
mod tests;
