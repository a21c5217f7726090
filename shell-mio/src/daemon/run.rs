//! `timed run`: one node in the foreground, from its files to its exit code.

use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread;

use timed_core::{Event, Fatal, Mono};
use tracing::{info, warn};

use super::api::{self, ApiFacts, ApiNames, Feed};
use super::arguments::RunArgs;
use super::assembly::Assembly;
use super::attest::{Head, Keeper};
use super::config::Config;
use super::data_dir::{DataDir, Existing, Secrecy, write_durably};
use super::descriptors;
use super::failure::{Exit, Failure};
use super::hex::hex;
use super::hosting::{Driving, Plan};
use super::keys::fill_random;
use super::logging::{self, Introduction, LogSink};
use super::machine::Machine;
use super::metrics::Totals;
use super::names::HostNames;
use super::recordings::{Cause, Recordings};
use super::reload::{Reload, Running};
use super::service::{ServiceManager, ServiceNews};
use crate::{EventSink, NameService, Shell, ShellConfig, ShellEvent, SocketOptions, Store, StoreError};

/// Names the process whose end is this one's too. Set by `timed devnet` for its children.
pub(crate) const PARENT: &str = "TIMED_DEVNET_PARENT";

/// Runs a node until it is stopped or halts.
pub(crate) fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    host(args, drive)
}

/// Has the loop of this crate drive the node.
fn drive(plan: &Plan<'_>) -> Result<Driving, Failure> {
    let config = &plan.assembly.config;
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    fill_random(&mut *seed)?;
    let (store, journal) = Store::open(plan.dir.store()).map_err(|error| store_failure(&error))?;
    let node = Machine::new(plan, *seed, journal, crate::now());
    let node = node.map_err(|error| Failure::config(error.to_string()))?;
    drop(seed);

    let mut shell = Shell::bind(shell_config(config)).map_err(|error| Failure::failed(error.to_string()))?;
    shell.take_signals().map_err(|error| Failure::failed(format!("cannot handle signals: {error}")))?;
    shell.use_names(Arc::clone(&plan.names) as Arc<dyn NameService>);
    Ok(Driving {
        remote: shell.remote(),
        blocks: Arc::new(store.reader()),
        listen: shell.local_addr(),
        recording: node.recording(),
        run: Box::new(move |reporter| shell.run(node, store, reporter)),
    })
}

/// Runs a node that something drives: everything of the daemon around it.
pub(super) fn host(
    args: &RunArgs,
    drive: impl FnOnce(&Plan<'_>) -> Result<Driving, Failure>,
) -> Result<ExitCode, Failure> {
    follow_parent()?;
    let dir = DataDir::locate(args.node.dir.data_dir.as_deref())?;
    let assembly = Assembly::load(&dir, &args.node)?;
    let lock = dir.lock()?;
    let (verbosity, screen) = logging::start(assembly.config.logging);
    for warning in &assembly.warnings {
        warn!("{warning}");
    }

    let config = &assembly.config;
    descriptors::secure(&config.core_limits(assembly.genesis.registry.size()))?;
    let peers = Arc::new(HostNames::of(config));
    let names = Arc::new(ApiNames::new(config.node.name.clone(), config.api.hosts.clone()));
    let plan = Plan { assembly: &assembly, dir: &dir, names: Arc::clone(&peers) };
    let Driving { remote, blocks, listen, recording, run } = drive(&plan)?;
    let recordings = Recordings::new(recording, &dir, config.recorder.keep);
    let totals = Arc::new(Totals::new());
    let api = if config.api.enabled {
        let listener = bind_api(config.api.listen)?;
        let token = write_cookie(&dir)?;
        let (names, peers, recordings) = (Arc::clone(&names), Arc::clone(&peers), recordings.clone());
        let facts = ApiFacts::new(&assembly, &dir, token, Arc::clone(&totals), names, peers, recordings);
        Some(api::start(listener, facts, remote.clone(), blocks)?)
    } else {
        None
    };

    let manager = ServiceManager::from_environment().unwrap_or_else(|error| {
        warn!("cannot reach the service manager, which will not hear that this node is ready: {error}");
        None
    });
    let introduction = Introduction {
        node: assembly.id,
        network: assembly.genesis.network.as_str().to_owned(),
        listen,
        advertised: config.advertised(),
        api: api.as_ref().map(|api| api.listen),
    };
    let reload = Arc::new(Reload {
        dir: dir.clone(),
        args: args.node.clone(),
        genesis: assembly.genesis.clone(),
        id: assembly.id,
        verbosity,
        manager: manager.clone(),
        remote,
        names,
        peers,
        running: Mutex::new(Running { config: config.clone(), settings: assembly.settings.clone() }),
    });
    let log = LogSink::new(introduction, &assembly.genesis.registry, totals, screen, move || {
        Arc::clone(&reload).begin();
    });
    let (feed, handle) = api.map(|api| (api.feed, api.handle)).unzip();
    let service = manager.map(ServiceNews::new);
    let keeper = keeper(&dir, &assembly);
    let reporter = Reporter { log, feed, service, keeper, recordings: recordings.clone() };
    let exit = recorded(&recordings, || run(reporter));

    if let Some(handle) = handle {
        handle.stop();
        let _ = std::fs::remove_file(dir.cookie());
    }
    drop(lock);
    outcome(exit)
}

/// Runs the node; if it does not end well, what led to it is written down.
fn recorded(recordings: &Recordings, run: impl FnOnce() -> crate::Exit) -> crate::Exit {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(exit) => {
            if matches!(exit, crate::Exit::Fatal(_) | crate::Exit::Io(_)) {
                recordings.write_and_tell(Cause::Fatal);
            }
            exit
        }
        Err(panic) => {
            recordings.write_and_tell(Cause::Panic);
            resume_unwind(panic)
        }
    }
}

/// Tells the log, those who listen to `/events`, and the service manager. Give it every event of the core and the
/// shell, in order, and every turn.
pub struct Reporter {
    log: LogSink,
    feed: Option<Feed>,
    service: Option<ServiceNews>,
    recordings: Recordings,
    keeper: Option<Keeper>,
}

impl EventSink for Reporter {
    fn event(&mut self, event: &Event) {
        self.log.event(event);
        if let Some(feed) = &mut self.feed {
            feed.event(event);
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.event(event);
        }
        if let Some(service) = &mut self.service {
            service.event(event);
        }
    }

    fn shell_event(&mut self, event: &ShellEvent) {
        if matches!(event, ShellEvent::Record) {
            // On a thread of its own: the caller is the event loop.
            let recordings = self.recordings.clone();
            thread::spawn(move || recordings.write_and_tell(Cause::Signal));
            return;
        }
        // The manager first: what it hears of a reload is its beginning, then its end.
        if let Some(service) = &mut self.service {
            service.shell_event(event);
        }
        self.log.shell_event(event);
    }

    fn turned(&mut self, at: Mono) {
        if let Some(service) = &mut self.service {
            service.turned(at);
        }
    }
}

/// What keeps the proof of who was there. A node that cannot keep it does everything else.
fn keeper(dir: &DataDir, assembly: &Assembly) -> Option<Keeper> {
    let max = assembly.config.limits.attestations;
    let head = Head {
        genesis: assembly.genesis_hash,
        period: timed_core::sample_period(assembly.config.masternode.heartbeat_interval),
    };
    Keeper::start(dir, head, max)
        .map_err(|error| warn!(%error, "heartbeats are not kept: this node cannot prove later who was there"))
        .ok()
}

fn outcome(exit: crate::Exit) -> Result<ExitCode, Failure> {
    match exit {
        crate::Exit::Stopped => {
            info!("stopped");
            Ok(ExitCode::SUCCESS)
        }
        crate::Exit::Interrupted => {
            Err(Failure::failed("stopped at once by a second order; peers were not told"))
        }
        crate::Exit::StopTimedOut => {
            Err(Failure::failed("stopping took too long; the remaining connections were cut"))
        }
        crate::Exit::Fatal(fatal) => {
            // A service manager that starts it again would end the other process of this key, and so on for ever.
            let exit = match fatal {
                Fatal::KeyInUse { .. } => Exit::AlreadyRunning,
                _ => Exit::Failed,
            };
            Err(Failure { exit, message: format!("halted ({}): {fatal}", fatal.code()) })
        }
        crate::Exit::Application(error) => {
            Err(Failure::failed(format!("the application cannot go on: {error}")))
        }
        crate::Exit::Io(error) => Err(Failure::failed(format!("the event loop failed: {error}"))),
    }
}

/// Ends with the process that started this one, where that is wanted: nothing is left running.
fn follow_parent() -> Result<(), Failure> {
    let Some(parent) = std::env::var(PARENT).ok().and_then(|pid| pid.parse::<i32>().ok()) else {
        return Ok(());
    };
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|error| Failure::failed(format!("cannot follow the parent process: {error}")))?;
    // The parent may have ended before the line above.
    match rustix::process::getppid() {
        Some(pid) if pid.as_raw_nonzero().get() == parent => Ok(()),
        _ => Err(Failure::failed(format!("the parent process {parent} has ended"))),
    }
}

fn shell_config(config: &Config) -> ShellConfig {
    ShellConfig {
        sockets: SocketOptions {
            keepalive_time: config.network.keepalive_time,
            keepalive_interval: config.network.keepalive_interval,
            ..SocketOptions::default()
        },
        ..ShellConfig::listening_on(config.network.listen)
    }
}

fn bind_api(listen: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(listen).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "the address is in use; stop the other process or set api.listen (--api) to another port"
                    .to_owned()
            }
            std::io::ErrorKind::AddrNotAvailable => {
                "this machine has no interface with that address".to_owned()
            }
            _ => error.to_string(),
        };
        Failure::failed(format!("cannot serve the API on {listen}: {hint}"))
    })
}

/// Draws the token that writes to the API need, and leaves it for this user's clients.
fn write_cookie(dir: &DataDir) -> Result<zeroize::Zeroizing<String>, Failure> {
    let mut secret = zeroize::Zeroizing::new([0; 32]);
    fill_random(&mut *secret)?;
    let token = hex(&*secret);
    write_durably(&dir.cookie(), token.as_bytes(), Secrecy::Private, Existing::Replace)
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", dir.cookie().display())))?;
    Ok(token)
}

fn store_failure(error: &StoreError) -> Failure {
    let exit = match error {
        StoreError::InUse { .. } => Exit::AlreadyRunning,
        StoreError::Io { error, .. } if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Exit::UnsafePermissions
        }
        _ => Exit::Failed,
    };
    Failure { exit, message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timed_core::{BootEpoch, NodeId};

    #[test]
    fn a_process_whose_key_runs_elsewhere_is_not_started_again() {
        let in_use = Fatal::KeyInUse { peer: NodeId([1; 32]), ours: BootEpoch(1), other: BootEpoch(2) };
        let code = |fatal| outcome(crate::Exit::Fatal(fatal)).unwrap_err().exit.code();
        assert_eq!((code(in_use), code(Fatal::PersistFailed)), (75, 1));
        let unit = include_str!("../../packaging/timed.service");
        let prevented = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus=")).unwrap();
        let codes = [Exit::Usage, Exit::AlreadyRunning, Exit::UnsafePermissions, Exit::BadConfiguration];
        assert_eq!(prevented, codes.map(|exit| exit.code().to_string()).join(" "));
    }
}
