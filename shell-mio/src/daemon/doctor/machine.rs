//! The machine: open files, addresses, other processes of the same key.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use timed_core::{Limits, NodeId};

use super::super::api;
use super::super::config::Config;
use super::super::data_dir::Holder;
use super::super::keys::NodeKey;
use super::Check;

/// Whoever listens at this node's address answers within this time.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// The limit of open files: the running process's, else the one that a node started here would have.
pub(super) fn open_files(limits: &Limits, holder: &Holder) -> Check {
    let needed = u64::try_from(crate::descriptors(limits) + api::MAX_DESCRIPTORS).unwrap_or(u64::MAX);
    match holder {
        Holder::Process(pid) => judged(needed, of_process(pid), "the running process may open"),
        // It raises the soft limit by itself.
        Holder::Nobody => {
            judged(needed, getrlimit(Resource::Nofile).maximum, "this shell's processes may open")
        }
    }
}

/// No limit is `None`.
fn judged(needed: u64, allowed: Option<u64>, whose: &str) -> Check {
    let name = "open files";
    match allowed {
        Some(allowed) if allowed < needed => {
            Check::fail(name, format!("{whose} {allowed}, this configuration needs {needed}")).remedy(
                "raise the limit (LimitNOFILE= of the service, ulimit -Hn), or lower network.max_peers",
            )
        }
        Some(allowed) => Check::ok(name, format!("{whose} {allowed}, this configuration needs {needed}")),
        None => Check::ok(name, format!("{whose} any number, this configuration needs {needed}")),
    }
}

/// The soft limit of another process; `None` if there is none, or if the system does not tell.
fn of_process(pid: &str) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Whether a node could listen where it is configured to, and whether somebody is there already.
pub(super) fn addresses(config: &Config) -> Vec<Check> {
    let mut checks = vec![bindable("listen", "network.listen", config.network.listen)];
    if config.api.enabled {
        checks.push(bindable("api", "api.listen", config.api.listen));
    }
    if let Some(own) = config.advertised() {
        checks.push(answered(own.socket()));
    }
    checks
}

fn bindable(name: &'static str, key: &str, addr: SocketAddr) -> Check {
    match TcpListener::bind(addr) {
        Ok(_) => Check::ok(name, format!("{addr} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Check::fail(
            name,
            format!("{key} = {addr} is in use by another process"),
        )
        .remedy(format!("ss -ltnp 'sport = :{}' names it: stop it, or choose another port", addr.port())),
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
            Check::fail(name, format!("{key} = {addr}: no interface of this machine has that address"))
                .remedy(format!(
                    "{key} = \"0.0.0.0:{}\" listens on all; local_ip is what others dial",
                    addr.port()
                ))
        }
        Err(error) => Check::fail(name, format!("cannot listen on {key} = {addr}: {error}")),
    }
}

/// No node runs here: nobody should listen at its public address.
fn answered(own: SocketAddr) -> Check {
    let name = "public address";
    match TcpStream::connect_timeout(&own, CONNECT_WITHIN) {
        Ok(_) => Check::fail(name, format!("somebody listens at {own}, though no node runs here")).remedy(
            "another machine or process may run with this key: find and stop it before this one is started",
        ),
        Err(_) => {
            Check::ok(name, format!("nobody answers at {own}, as it should be while no node runs here"))
        }
    }
}

/// Other processes of this machine that run a node with this key. Those of other users are seen by root only.
pub(super) fn same_key(id: NodeId, holder: &Holder) -> Option<Check> {
    let name = "same key";
    let twins: Vec<String> = processes()?
        .filter(|(pid, _)| !matches!(holder, Holder::Process(held) if held == pid))
        .filter(|(_, dir)| NodeKey::load(&dir.join("node_key")).is_ok_and(|key| key.id() == id))
        .map(|(pid, dir)| format!("process {pid} with {}", dir.display()))
        .collect();
    Some(match &twins[..] {
        [] => Check::ok(name, "no other process of this machine is seen to run with this key"),
        twins => Check::fail(name, format!("{} runs with this key, too", twins.join(", "))).remedy(
            "stop one of the two and delete its node_key: a key that runs twice signs what contradicts itself",
        ),
    })
}

/// Nodes that run on this machine: process id and data directory.
fn processes() -> Option<impl Iterator<Item = (String, PathBuf)>> {
    let own = std::process::id().to_string();
    let entries = fs::read_dir("/proc").ok()?;
    Some(entries.filter_map(Result::ok).filter_map(move |entry| {
        let pid =
            entry.file_name().into_string().ok().filter(|name| name.bytes().all(|b| b.is_ascii_digit()))?;
        let command = fs::read(entry.path().join("cmdline")).ok().filter(|_| pid != own)?;
        let words: Vec<String> =
            command.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let cwd = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        Some((pid, data_dir(&words, &cwd)?))
    }))
}

/// The data directory that a node's command line names.
fn data_dir(words: &[String], cwd: &Path) -> Option<PathBuf> {
    let program = Path::new(words.first()?).file_name()?.to_str()?;
    if !program.starts_with("timed") || words.get(1)? != "run" {
        return None;
    }
    words.iter().enumerate().find_map(|(at, word)| match word.strip_prefix("--data-dir") {
        Some("") => words.get(at + 1).map(|dir| cwd.join(dir)),
        Some(rest) => rest.strip_prefix('=').map(|dir| cwd.join(dir)),
        None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_held_against_what_the_configuration_needs() {
        let verdict = |allowed| judged(700, allowed, "it may open").verdict;
        assert_eq!(
            [verdict(Some(699)), verdict(Some(700)), verdict(None)],
            [Verdict::Fail, Verdict::Ok, Verdict::Ok]
        );
        let own = std::process::id().to_string();
        assert_eq!(of_process(&own), getrlimit(Resource::Nofile).current);
    }

    #[test]
    fn a_node_is_known_by_its_command_line() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let dir = |line: &str| data_dir(&words(line), Path::new("/here"));
        assert_eq!(dir("/usr/bin/timed run --data-dir /a --api x"), Some("/a".into()));
        assert_eq!(dir("./timed run --data-dir=a"), Some("/here/a".into()));
        for other in ["timed status --data-dir /a", "vim run --data-dir /a", "timed run", "timed"] {
            assert_eq!(dir(other), None, "{other}");
        }
    }
}
