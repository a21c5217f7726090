//! The files of a local network: one data directory a node, made once and used again.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use timed_core::{CanonicalAddr, Masternode, NetworkName, NodeId, Registry};

use super::super::arguments::{DevnetArgs, DevnetShell, NodeArgs};
use super::super::assembly::read_config;
use super::super::config::commented;
use super::super::data_dir::{DataDir, Existing, Secrecy, write_durably};
use super::super::failure::Failure;
use super::super::genesis::Genesis;
use super::super::hex::hex;
use super::super::keys::{NodeKey, fill_random};
use super::runner::Runner;

/// One node of the network, before it runs.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Counted from 1.
    pub(super) number: usize,
    /// Its key.
    pub(super) id: NodeId,
    /// Where it listens and dials from.
    pub(super) listen: SocketAddr,
    /// Where it serves its API.
    pub(super) api: SocketAddr,
    /// Its files.
    pub(super) dir: DataDir,
    /// What drives it.
    pub(super) runner: Runner,
}

impl Member {
    /// The file that its output goes to.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }
}

/// Where the network's files are, and whether they outlive it.
#[derive(Debug)]
pub(super) enum Home {
    /// Given by the operator; stays.
    Given(PathBuf),
    /// Made for this run; goes with it.
    Temporary(PathBuf),
}

impl Home {
    /// The directory of `--dir`, else a new one.
    pub(super) fn of(args: &DevnetArgs) -> Result<Self, Failure> {
        match &args.dir {
            Some(dir) => {
                let failed =
                    |error| Failure::failed(format!("cannot use the directory {}: {error}", dir.display()));
                fs::create_dir_all(dir).map_err(failed)?;
                Ok(Self::Given(fs::canonicalize(dir).map_err(failed)?))
            }
            None => {
                let mut random = [0; 8];
                fill_random(&mut random)?;
                let dir = std::env::temp_dir().join(format!("timed-devnet-{}", hex(&random).as_str()));
                // Not recursive: a directory that somebody else has made is an error.
                fs::DirBuilder::new().mode(0o700).create(&dir).map_err(|error| {
                    Failure::failed(format!("cannot create the directory {}: {error}", dir.display()))
                })?;
                Ok(Self::Temporary(dir))
            }
        }
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Given(path) | Self::Temporary(path) => path,
        }
    }
}

/// The n-th address from a first one.
fn nth(base: Ipv4Addr, offset: usize) -> Result<IpAddr, Failure> {
    u32::try_from(offset)
        .ok()
        .and_then(|offset| u32::from(base).checked_add(offset))
        .map(|ip| IpAddr::V4(Ipv4Addr::from(ip)))
        .ok_or_else(|| Failure::usage(format!("--base-ip {base}: there are not enough addresses after it")))
}

/// Whether a network's files were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// They were made for this run.
    New,
    /// An earlier run has left them, and its chain.
    Kept,
}

/// What the network is to be: as the operator says, else as it was, else the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) origin: Origin,
    pub(super) nodes: usize,
    pub(super) block_interval: Duration,
    shell: DevnetShell,
    base_ip: Ipv4Addr,
    port: u16,
    api_port: u16,
}

impl Plan {
    /// The plan of the arguments for the network in a directory, or for a new one.
    pub(super) fn of(args: &DevnetArgs, home: &Path) -> Result<Self, Failure> {
        let found = (1..).take_while(|number| node_dir(home, *number).node_key().exists()).count();
        let mut plan = Self {
            origin: if found > 0 { Origin::Kept } else { Origin::New },
            nodes: if found > 0 { found } else { 4 },
            block_interval: Duration::from_secs(10),
            shell: args.shell,
            base_ip: Ipv4Addr::LOCALHOST,
            port: 24_100,
            api_port: 8_332,
        };
        let first = node_dir(home, 1);
        if first.genesis().exists() {
            plan.block_interval = Genesis::load(&first.genesis())?.block_interval;
        }
        if first.config().exists() {
            let config = read_config(&first, &NodeArgs::without_overrides(None))?;
            plan.port = config.network.listen.port();
            plan.api_port = config.api.listen.port();
            if let IpAddr::V4(ip) = config.network.listen.ip() {
                plan.base_ip = ip;
            }
        }
        plan.nodes = args.nodes.map_or(plan.nodes, usize::from);
        if found > 0 && plan.nodes != found {
            return Err(Failure::usage(format!(
                "{} holds a network of {found} nodes: give --nodes {found}, or another --dir",
                home.display()
            )));
        }
        plan.block_interval = args.block_interval.unwrap_or(plan.block_interval);
        plan.base_ip = args.base_ip.unwrap_or(plan.base_ip);
        plan.port = args.port.unwrap_or(plan.port);
        plan.api_port = args.api_port.unwrap_or(plan.api_port);
        Ok(plan)
    }
}

/// Makes the files of all nodes, or finds those of an earlier run.
pub(super) fn members(plan: &Plan, home: &Path) -> Result<Vec<Member>, Failure> {
    let mut members = Vec::with_capacity(plan.nodes);
    for number in 1..=plan.nodes {
        let dir = node_dir(home, number);
        let ip = nth(plan.base_ip, number - 1)?;
        let (listen, api) = (SocketAddr::new(ip, plan.port), SocketAddr::new(ip, plan.api_port));
        if plan.origin == Origin::New {
            dir.create()?;
            let path = dir.node_key();
            NodeKey::generate()?
                .save(&path)
                .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
        }
        let id = NodeKey::load(&dir.node_key())?.id();
        let runner = Runner::of(plan.shell, number);
        runner.check(&dir, number)?;
        members.push(Member { number, id, listen, api, dir, runner });
    }
    let genesis = genesis(plan, &members)?;
    for member in &members {
        member.settle(&genesis)?;
    }
    Ok(members)
}

fn node_dir(home: &Path, number: usize) -> DataDir {
    DataDir::at(home.join(format!("node{number}")))
}

/// The network's identity: that of an earlier run where there is one, which must be what is asked for now.
fn genesis(plan: &Plan, members: &[Member]) -> Result<Genesis, Failure> {
    let mut entries = Vec::new();
    for member in members {
        let addr = CanonicalAddr::new(member.listen)
            .map_err(|error| Failure::usage(format!("--base-ip {}: {error}", member.listen.ip())))?;
        entries.push(Masternode { id: member.id, addr });
    }
    let wanted = Genesis {
        network: NetworkName::new("devnet").map_err(|error| Failure::failed(error.to_string()))?,
        block_interval: plan.block_interval,
        genesis_time: Some(crate::now().wall),
        registry: Registry::new(entries).map_err(|error| Failure::usage(error.to_string()))?,
    };
    let Some(path) = members.first().map(|member| member.dir.genesis()).filter(|path| path.exists()) else {
        return Ok(wanted);
    };
    let found = Genesis::load(&path)?;
    let interval = humantime::format_duration(found.block_interval);
    if found.block_interval != wanted.block_interval {
        return Err(Failure::usage(format!(
            "{} is of a network with --block-interval {interval}: give that, or another --dir",
            path.display()
        )));
    }
    if found.registry != wanted.registry {
        return Err(Failure::usage(format!(
            "{} is of a network at other addresses: give its --base-ip and --port, or another --dir",
            path.display()
        )));
    }
    Ok(found)
}

impl Member {
    /// Writes what is missing of this node's files; what is there must fit.
    fn settle(&self, genesis: &Genesis) -> Result<(), Failure> {
        let text = |value: &dyn std::fmt::Display| format!("\"{value}\"");
        let config = commented(&[
            ("node", "name", format!("\"node{}\"", self.number)),
            ("node", "network", text(&genesis.network.as_str())),
            ("network", "local_ip", text(&self.listen.ip())),
            ("network", "listen", text(&self.listen)),
            ("network", "port", self.listen.port().to_string()),
            ("api", "listen", text(&self.api)),
        ]);
        let files = [(self.dir.genesis(), genesis.to_toml()), (self.dir.config(), config)];
        for (path, content) in files {
            match write_durably(&path, content.as_bytes(), Secrecy::Readable, Existing::Keep) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(Failure::failed(format!("cannot write {}: {error}", path.display())));
                }
                _ => {}
            }
        }
        let config = read_config(&self.dir, &NodeArgs::without_overrides(None))?;
        if config.api.listen != self.api || config.network.listen != self.listen {
            return Err(Failure::usage(format!(
                "{} has its API at {} and listens at {}: give the --api-port and --port of the earlier run, or \
                 another --dir",
                self.dir.config().display(),
                config.api.listen,
                config.network.listen
            )));
        }
        Ok(())
    }
}

/// Refuses to start where an address is taken: names it before any process runs.
pub(super) fn check_addresses(members: &[Member]) -> Result<(), Failure> {
    for member in members {
        for (addr, flag) in [(member.listen, "--port"), (member.api, "--api-port")] {
            TcpListener::bind(addr).map_err(|error| match error.kind() {
                std::io::ErrorKind::AddrInUse => Failure::failed(format!(
                    "{addr} is in use; is another devnet running? Give another {flag} or --base-ip"
                )),
                _ => Failure::failed(format!("cannot listen on {addr}: {error}; give another --base-ip")),
            })?;
        }
    }
    Ok(())
}
