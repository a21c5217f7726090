//! SIGHUP: the configuration is read again. What can change while the node runs takes effect, the rest is named, and
//! a file that a start would refuse changes nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use timed_core::{NewSeed, NodeId, Reconfiguration, Reply, Request};
use tracing::{error, info, warn};

use super::api::ApiNames;
use super::arguments::NodeArgs;
use super::assembly::{judge, read_settings};
use super::config::{Change, Config, Settings};
use super::data_dir::DataDir;
use super::failure::Failure;
use super::genesis::Genesis;
use super::logging::Verbosity;
use super::names::{HostNames, by_address};
use super::service::ServiceManager;
use crate::Remote;

/// The event loop takes a new configuration within this time, or it stays as it was.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);

/// What a new reading needs.
pub(crate) struct Reload {
    pub(crate) dir: DataDir,
    pub(crate) args: NodeArgs,
    pub(crate) genesis: Genesis,
    pub(crate) id: NodeId,
    pub(crate) verbosity: Verbosity,
    pub(crate) manager: Option<ServiceManager>,
    pub(crate) remote: Remote,
    pub(crate) names: Arc<ApiNames>,
    pub(crate) peers: Arc<HostNames>,
    /// What is in force.
    pub(crate) running: Mutex<Running>,
}

/// The configuration in force.
pub(crate) struct Running {
    pub(crate) config: Config,
    pub(crate) settings: Settings,
}

impl Reload {
    /// Reads on a thread of its own: the caller is the event loop.
    pub(crate) fn begin(self: Arc<Self>) {
        thread::spawn(move || {
            // One at a time.
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(failure) = self.reload(&mut running) {
                for line in failure.message.lines() {
                    error!("the configuration stays as it was: {line}");
                }
            }
            if let Some(manager) = &self.manager {
                manager.ready();
            }
        });
    }

    fn reload(&self, running: &mut Running) -> Result<(), Failure> {
        let (new, settings) = read_settings(&self.dir, &self.args)?;
        let warnings = judge(&new, &self.genesis, &self.dir, self.id)?;
        let next = changed(&running.config, &new);
        let lists = |config: &Config| (config.network.peers.clone(), config.network.reserved_peers.clone());
        if core_part(&next) != core_part(&running.config) || lists(&next) != lists(&running.config) {
            self.tell_core(&next)?;
        }
        self.verbosity.set(next.logging.level);
        self.names.change(next.node.name.clone(), next.api.hosts.clone());
        let changes = running.settings.changes(&settings);
        let (at_once, later): (Vec<&Change>, Vec<&Change>) =
            changes.iter().partition(|change| takes_effect(change, &next, &new));
        for change in &at_once {
            running.settings.take(change);
            let Change { section, name, old, new } = change;
            info!(key = format!("{section}.{name}"), old, new, "this key has changed, and is in force");
        }
        for Change { section, name, old, new } in &later {
            let key = format!("{section}.{name}");
            warn!(key, in_force = old, new, "this key has changed, and takes effect at the next start");
        }
        running.config = next;
        for warning in warnings {
            warn!("{warning}");
        }
        let (in_force, at_next_start) = (at_once.len(), later.len());
        info!(in_force, at_next_start, "configuration read again: {}", told(in_force, at_next_start));
        Ok(())
    }

    fn tell_core(&self, new: &Config) -> Result<(), Failure> {
        let seeds = self.peers.renumber(new);
        let refused = |why: &str| Failure::failed(why.to_owned());
        let request = Request::Reconfigure(Box::new(reconfiguration(new, seeds.clone())));
        let pending = self.remote.request(request).map_err(|busy| refused(&busy.to_string()))?;
        match pending.wait(TAKEN_WITHIN) {
            Ok(Reply::Reconfigured) => {
                self.peers.keep(&seeds);
                Ok(())
            }
            Ok(Reply::Refused(why)) => {
                self.peers.forget_new(&seeds);
                Err(refused(why))
            }
            Ok(_) => Err(refused("the node gave an answer of another kind")),
            // It may still take them: then it has to know their names.
            Err(none) => Err(refused(&none.to_string())),
        }
    }
}

fn told(in_force: usize, later: usize) -> String {
    match (in_force, later) {
        (0, 0) => "no key has changed".to_owned(),
        (now, 0) => format!("{now} changed, all in force"),
        (now, later) => format!("{now} changed and in force, {later} changed for the next start"),
    }
}

/// What is in force with those keys of `new` that can change while the node runs.
fn changed(running: &Config, new: &Config) -> Config {
    let mut next = running.clone();
    next.node.name.clone_from(&new.node.name);
    next.network.peers.clone_from(&new.network.peers);
    next.network.reserved_peers.clone_from(&new.network.reserved_peers);
    next.api.hosts.clone_from(&new.api.hosts);
    next.limits.bounds.punish = new.limits.bounds.punish;
    next.limits.bounds.rates = new.limits.bounds.rates;
    next.logging.level = new.logging.level;
    next
}

/// Whether a key that has changed is in force by now: `next` is, `new` was read.
fn takes_effect(change: &Change, next: &Config, new: &Config) -> bool {
    match (change.section, change.name) {
        ("node", "name") | ("api", "hosts") | ("logging", "level") => true,
        ("network", "peers" | "reserved_peers") => true,
        // Of this one only `enforce` can change.
        ("limits", "scores") => next.limits.bounds.scores == new.limits.bounds.scores,
        ("limits", name) => name.starts_with("rate_"),
        _ => false,
    }
}

/// The core's part of it.
fn core_part(config: &Config) -> Reconfiguration {
    reconfiguration(config, Vec::new())
}

fn reconfiguration(config: &Config, seeds: Vec<NewSeed>) -> Reconfiguration {
    Reconfiguration {
        bootstrap: by_address(&config.network.peers),
        reserved: by_address(&config.network.reserved_peers),
        seeds,
        punish: config.limits.bounds.punish,
        rates: config.limits.bounds.rates,
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Sources;
    use super::*;

    fn read(text: &str) -> (Config, Settings) {
        let sources = Sources { file: Some(("config.toml", text)), ..Sources::default() };
        (Config::read(sources).unwrap(), Settings::read(sources).unwrap())
    }

    #[test]
    fn what_cannot_change_waits_for_the_next_start() {
        let (running, old) = read("");
        let (new, settings) = read(
            "[node]\nname = \"x\"\n[network]\nmax_peers = 70\npeers = [\"10.0.0.1:1\"]\n[limits]\nbans = 9\n\
             scores = { enforce = \"observe\" }\nrate_total = \"9MiB\"\n[logging]\nlevel = \"warn\"\n",
        );
        let next = changed(&running, &new);
        let changes = old.changes(&settings);
        let later: Vec<&str> = changes
            .iter()
            .filter(|change| !takes_effect(change, &next, &new))
            .map(|change| change.name)
            .collect();
        assert_eq!((changes.len(), later), (7, vec!["max_peers", "bans"]));
        assert_eq!((next.network.max_peers, next.network.peers.len()), (running.network.max_peers, 1));
        assert_eq!(next.limits.bounds.bans, running.limits.bounds.bans);
        assert_ne!(core_part(&next), core_part(&running));
        let (more, _) = read("[limits]\nscores = { max = 9, enforce = \"observe\" }\n");
        let change = Change { section: "limits", name: "scores", old: String::new(), new: String::new() };
        assert!(!takes_effect(&change, &changed(&running, &more), &more));
    }
}
