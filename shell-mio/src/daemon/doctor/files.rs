//! The data directory: who may read and write it, whether what is in it fits together, how much room there is.

use timed_core::{ConfigError, Node};

use super::super::arguments::NodeArgs;
use super::super::assembly::{Assembly, read_config};
use super::super::client::size;
use super::super::config::Config;
use super::super::data_dir::DataDir;
use super::super::failure::Failure;
use super::super::genesis::Genesis;
use super::super::keys::NodeKey;
use super::{Check, Verdict};

/// Less room than this is used up before anybody looks: a day of full blocks is some 9 GiB.
const SCARCE: u64 = 2 << 30;
/// With less room than this the next database commit may fail, which halts a node.
const LACKING: u64 = 256 << 20;

/// The files of a node, each read by itself.
pub(super) struct Files {
    dir: DataDir,
    access: Result<(), Failure>,
    key: Result<NodeKey, Failure>,
    config: Result<Config, Failure>,
    genesis: Result<Genesis, Failure>,
    fit: Option<Result<Vec<String>, String>>,
}

impl Files {
    /// `assembly` is what they make together.
    pub(super) fn read(dir: &DataDir, args: &NodeArgs, assembly: Option<&Assembly>) -> Self {
        Self {
            dir: dir.clone(),
            access: dir.check(),
            key: NodeKey::load(&dir.node_key()),
            config: read_config(dir, args),
            genesis: Genesis::load(&dir.genesis()),
            fit: assembly.map(fits),
        }
    }

    pub(super) fn config(&self) -> Option<&Config> {
        self.config.as_ref().ok()
    }

    pub(super) fn checks(&self) -> Vec<Check> {
        let shown = self.dir.path().display();
        let mut checks = vec![
            Check::of("data directory", &self.access, |()| format!("{shown}: only its owner writes to it")),
            Check::of("node key", &self.key, |key| format!("node id {}", key.id())),
            Check::of("config", &self.config, |_| "every key is known and sound".to_owned()),
            Check::of("genesis", &self.genesis, |genesis| {
                format!(
                    "network {}, {} masternodes, hash {}",
                    genesis.network.as_str(),
                    genesis.registry.size(),
                    genesis.hash()
                )
            }),
        ];
        match &self.fit {
            Some(Ok(warnings)) => {
                checks.push(Check::ok("local_ip", self.role()));
                checks.extend(warnings.iter().map(|warning| Check::warn("config", warning)));
            }
            Some(Err(error)) => checks.push(Check::fail("local_ip", error).remedy(
                "network.local_ip (and port) have to be the address under which genesis.toml has this key",
            )),
            // What is wrong is said above, unless it is how the files go together.
            None if checks.iter().all(|check| check.verdict == Verdict::Ok) => {
                checks.push(
                    Check::fail("config", "the files do not fit together")
                        .remedy("timed check-config says why"),
                );
            }
            None => {}
        }
        checks
    }

    fn role(&self) -> String {
        let (Ok(config), Ok(genesis), Ok(key)) = (&self.config, &self.genesis, &self.key) else {
            return String::new();
        };
        match (config.advertised(), genesis.registry.get(&key.id())) {
            (Some(addr), Some(_)) => format!("{addr}, as the registry has it"),
            (Some(addr), None) => format!("{addr}: an observer, for genesis.toml does not have this key"),
            (None, _) => "not set: this node dials others and is never dialed".to_owned(),
        }
    }
}

/// Whether the core takes these files together; what it takes with a warning.
fn fits(assembly: &Assembly) -> Result<Vec<String>, String> {
    match Node::new(assembly.core_config(), assembly.crypto(), [0; 32], Vec::new(), crate::now()) {
        Ok(_) => Ok(assembly.warnings.clone()),
        Err(error @ ConfigError::NoAdvertisedAddr { .. }) => {
            Err(format!("network.local_ip is not set: {error}"))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// The room on the disk of the data directory.
pub(super) fn disk(dir: &DataDir) -> Option<Check> {
    let space = rustix::fs::statvfs(dir.path()).ok()?;
    let read_only = space.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY);
    Some(judged(space.f_bavail.saturating_mul(space.f_frsize), read_only))
}

fn judged(free: u64, read_only: bool) -> Check {
    let name = "disk";
    let more = "make room, or move the data directory to a larger disk while the node is stopped";
    if read_only {
        return Check::fail(name, "the file system is mounted read-only")
            .remedy("look at dmesg: a file system is remounted so after an error of the disk");
    }
    let detail = format!("{} free", size(free));
    match free {
        0..LACKING => Check::fail(name, format!("{detail}: a node halts when it cannot write")).remedy(more),
        LACKING..SCARCE => Check::warn(name, detail).remedy(more),
        _ => Check::ok(name, detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_judged_by_what_a_node_needs_of_it() {
        let verdict = |free, read_only| judged(free, read_only).verdict;
        assert_eq!(verdict(LACKING - 1, false), Verdict::Fail);
        assert_eq!(verdict(LACKING, false), Verdict::Warn);
        assert_eq!(verdict(SCARCE, false), Verdict::Ok);
        assert_eq!(verdict(u64::MAX, true), Verdict::Fail);
        assert!(judged(0, false).remedy.is_some() && judged(SCARCE, false).remedy.is_none());
    }
}
