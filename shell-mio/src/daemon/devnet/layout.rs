//! The files of a local network: one data directory a node, made once and used again.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use timed_core::{CanonicalAddr, Masternode, NetworkName, NodeId, Registry};

use super::super::arguments::{DevnetArgs, NodeArgs};
use super::super::assembly::read_config;
use super::super::config::commented;
use super::super::data_dir::{DataDir, Existing, Secrecy, write_durably};
use super::super::failure::Failure;
use super::super::genesis::Genesis;
use super::super::keys::{NodeKey, fill_random, hex};

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

/// Makes the files of all nodes, or finds those of an earlier run.
pub(super) fn members(args: &DevnetArgs, home: &Path) -> Result<Vec<Member>, Failure> {
    let count = usize::from(args.nodes);
    let existing = (1..).take_while(|number| node_dir(home, *number).node_key().exists()).count();
    if existing != 0 && existing != count {
        return Err(Failure::usage(format!(
            "{} holds a network of {existing} nodes: give --nodes {existing}, or another --dir",
            home.display()
        )));
    }
    let mut members = Vec::with_capacity(count);
    for number in 1..=count {
        let dir = node_dir(home, number);
        let ip = nth(args.base_ip, number - 1)?;
        let (listen, api) = (SocketAddr::new(ip, args.port), SocketAddr::new(ip, args.api_port));
        if existing == 0 {
            dir.create()?;
            let path = dir.node_key();
            NodeKey::generate()?
                .save(&path)
                .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
        }
        let id = NodeKey::load(&dir.node_key())?.id();
        members.push(Member { number, id, listen, api, dir });
    }
    let genesis = genesis(args, &members)?;
    for member in &members {
        member.settle(&genesis)?;
    }
    Ok(members)
}

fn node_dir(home: &Path, number: usize) -> DataDir {
    DataDir::at(home.join(format!("node{number}")))
}

/// The network's identity: that of an earlier run where there is one, which must be what is asked for now.
fn genesis(args: &DevnetArgs, members: &[Member]) -> Result<Genesis, Failure> {
    let mut entries = Vec::new();
    for member in members {
        let addr = CanonicalAddr::new(member.listen)
            .map_err(|error| Failure::usage(format!("--base-ip {}: {error}", member.listen.ip())))?;
        entries.push(Masternode { id: member.id, addr });
    }
    let wanted = Genesis {
        network: NetworkName::new("devnet").map_err(|error| Failure::failed(error.to_string()))?,
        block_interval: args.block_interval,
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
