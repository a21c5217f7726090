//! The flags of every verb, as values.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::config::{Flag, LogFormat, LogLevel};

/// Where the data directory is.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct DirArgs {
    /// Data directory [default: $STATE_DIRECTORY, else /var/lib/timed for root, else ~/.timed]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// Where a node's files are.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct NodeArgs {
    /// Configuration file [default: config.toml in the data directory]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) dir: DirArgs,
    #[command(flatten)]
    overrides: OverrideArgs,
}

/// Often-changed keys as flags. Values are checked together with the file's.
#[derive(Clone, Debug, Default, Args)]
struct OverrideArgs {
    /// This node's public address [network.local_ip]
    #[arg(long, value_name = "IP")]
    local_ip: Option<String>,
    /// Where to listen for peers [network.listen]
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<String>,
    /// Where to serve the API [api.listen]
    #[arg(long, value_name = "IP:PORT")]
    api: Option<String>,
    /// How much is logged [logging.level]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
    /// How log lines are written [logging.format]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl NodeArgs {
    /// Only a configuration file, or the data directory's own.
    pub(crate) fn without_overrides(config: Option<PathBuf>) -> Self {
        Self { config, dir: DirArgs::default(), overrides: OverrideArgs::default() }
    }

    /// The overrides as settings.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let given = &self.overrides;
        let word = |word: &'static str| word.to_owned();
        [
            ("--local-ip", "network", "local_ip", given.local_ip.clone()),
            ("--listen", "network", "listen", given.listen.clone()),
            ("--api", "api", "listen", given.api.clone()),
            ("--log-level", "logging", "level", given.log_level.map(|level| word(level.as_str()))),
            ("--log-format", "logging", "format", given.log_format.map(|format| word(format.as_str()))),
        ]
        .into_iter()
        .filter_map(|(flag, section, name, value)| Some(Flag { flag, section, name, value: value? }))
        .collect()
    }
}

/// `timed run`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// `timed doctor`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    /// Print what was found as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `timed init`.
#[derive(Clone, Debug, Args)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    pub(crate) dir: DirArgs,
    /// Write this public address into the configuration
    #[arg(long, value_name = "IP")]
    pub(crate) local_ip: Option<std::net::IpAddr>,
}

/// `timed genesis`.
#[derive(Clone, Debug, Args)]
pub(crate) struct GenesisArgs {
    /// A masternode's key and public address; once for each
    #[arg(long = "masternode", value_name = "NODE_ID@IP:PORT", required = true)]
    #[arg(value_parser = super::genesis::masternode)]
    pub(crate) masternodes: Vec<timed_core::Masternode>,
    /// The network's name
    #[arg(long, value_name = "NAME", default_value = "testnet")]
    pub(crate) network: String,
    /// Between two blocks
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = block_interval)]
    pub(crate) block_interval: Duration,
    /// Where to write; - for standard output [default: genesis.toml in the data directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) dir: DirArgs,
}

/// `timed devnet`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DevnetArgs {
    /// How many masternodes, 1 to 128 [default: 4, or as many as --dir holds]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=128))]
    pub(crate) nodes: Option<u8>,
    /// What drives the nodes: this program, the tokio shell, or each for every second node
    #[arg(long, value_enum, default_value_t)]
    pub(crate) shell: DevnetShell,
    /// Between two blocks [default: 10s, or as the network in --dir has it]
    #[arg(long, value_name = "DURATION", value_parser = block_interval)]
    pub(crate) block_interval: Option<Duration>,
    /// Keep the nodes' files here; the network of an earlier run goes on [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Stop after this time [default: until Ctrl-C]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) run_for: Option<Duration>,
    /// Address of the first node; the others follow it [default: 127.0.0.1, or as in --dir]
    #[arg(long, value_name = "IP")]
    pub(crate) base_ip: Option<Ipv4Addr>,
    /// Where every node listens, on its own address [default: 24100, or as in --dir]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// Where every node serves its API, on its own address [default: 8332, or as in --dir]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) api_port: Option<u16>,
}

/// What drives the nodes of a local network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DevnetShell {
    /// `timed run`.
    #[default]
    Mio,
    /// `timed-tokio-node`.
    Tokio,
    /// The first, the third and so on by `timed run`, the others by `timed-tokio-node`.
    Mixed,
}

/// A verb that asks a running node.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClientArgs {
    /// The node's API [default: as configured in the data directory]
    #[arg(long, value_name = "URL")]
    pub(crate) api: Option<String>,
    /// Configuration file [default: config.toml in the data directory]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) dir: DirArgs,
    /// Print the API's answer as it is
    #[arg(long)]
    pub(crate) json: bool,
}

/// A verb about one peer.
#[derive(Clone, Debug, Args)]
pub(crate) struct PeerArgs {
    /// The peer: node id or its first digits, IP:PORT, IP, or a name from the node's configuration
    pub(crate) peer: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `timed block`.
#[derive(Clone, Debug, Args)]
pub(crate) struct BlockArgs {
    /// The block: its height, or latest
    #[arg(value_name = "HEIGHT", default_value = "latest", value_parser = block_name)]
    pub(crate) block: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `timed tx`.
#[derive(Clone, Debug, Args)]
pub(crate) struct TransactionArgs {
    /// The transaction, as submit has named it
    pub(crate) id: timed_core::TxId,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `timed submit`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SubmitArgs {
    /// A file with the transaction's bytes, 1 to 65,536 of them; - for standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `timed drain`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DrainArgs {
    /// For how long the node will be away at most, 1s to 24h
    #[arg(long = "for", value_name = "DURATION", default_value = "15m", value_parser = some_time)]
    pub(crate) lasts: Duration,
    /// Also if the others cannot decide blocks without it
    #[arg(long)]
    pub(crate) force: bool,
    /// Take the announcement back: the node stays
    #[arg(long, conflicts_with_all = ["lasts", "force"])]
    pub(crate) cancel: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `timed attest export`.
#[derive(Clone, Debug, Args)]
pub(crate) struct AttestExportArgs {
    /// Where to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Only heartbeats from this time on, a day or a time in UTC, such as 2026-11-21T06:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) from: Option<std::time::SystemTime>,
    /// Only heartbeats before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) to: Option<std::time::SystemTime>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `timed attest verify`.
#[derive(Clone, Debug, Args)]
pub(crate) struct AttestVerifyArgs {
    /// Files that attest export has written, of one node or several
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The network's genesis file
    #[arg(long, value_name = "FILE")]
    pub(crate) genesis: PathBuf,
    /// Print what it shows as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `timed connect`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ConnectArgs {
    /// IP:PORT, NODE_ID@IP:PORT, or the node id of a known peer
    pub(crate) peer: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `timed replay`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReplayArgs {
    /// A recording, as record or SIGUSR2 has written it
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Replace addresses, payloads and names first, each by the same one everywhere
    #[arg(long)]
    pub(crate) redact: bool,
    /// Write the recording there instead of running it; never overwrites
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print every command of the core, not only the events of /events
    #[arg(long)]
    pub(crate) commands: bool,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `timed ban`.
#[derive(Clone, Debug, Args)]
pub(crate) struct BanArgs {
    /// Whom: a node id, an IP, or a prefix such as 203.0.113.0/24
    pub(crate) target: timed_core::BanTarget,
    /// For how long [default: until it is lifted]
    #[arg(value_name = "DURATION", value_parser = some_time)]
    pub(crate) duration: Option<Duration>,
    /// Why: one line for whoever reads the list
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `timed unban`.
#[derive(Clone, Debug, Args)]
pub(crate) struct UnbanArgs {
    /// The target of the ban, as bans lists it
    pub(crate) target: timed_core::BanTarget,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

fn block_name(text: &str) -> Result<String, String> {
    match text.parse::<u64>() {
        Ok(height) => Ok(height.to_string()),
        Err(_) if text == "latest" => Ok(text.to_owned()),
        Err(_) => Err("expected a height, or latest".to_owned()),
    }
}

fn time(text: &str) -> Result<std::time::SystemTime, String> {
    humantime::parse_rfc3339_weak(text)
        .or_else(|_| humantime::parse_rfc3339_weak(&format!("{text}T00:00:00Z")))
        .map_err(|_| {
            "expected a day such as 2026-11-21, or a time in UTC such as 2026-11-21T06:00:00Z".to_owned()
        })
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "expected a duration with its unit, such as 90s or 10m".to_owned())
}

fn some_time(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time < Duration::from_secs(1) { Err("expected at least a second".to_owned()) } else { Ok(time) }
}

fn block_interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    let whole = interval.subsec_nanos() % 1_000_000 == 0;
    if whole && (super::genesis::MIN_BLOCK_INTERVAL..=Duration::from_secs(86_400)).contains(&interval) {
        Ok(interval)
    } else {
        Err("expected 50ms to 24h, in whole milliseconds".to_owned())
    }
}
