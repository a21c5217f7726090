//! The daemon around a node that another shell drives: command line, files, log, API, metrics and service manager are
//! those of `timed run`, whatever moves the bytes.
//!
//! The example `timed-tokio-node` puts it around the tokio shell; `timed devnet --shell tokio` starts that.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use timed_core::NodeId;
use timed_core::crypto::Provider;
use timed_core::flight::Recording;

use super::arguments::RunArgs;
use super::assembly::Assembly;
use super::data_dir::DataDir;
use super::names::HostNames;
use super::run::host;
use crate::{Blocks, Exit, Remote};

pub use super::failure::Failure;
pub use super::machine::Machine;
pub use super::run::Reporter;

/// What the files of a data directory come to.
pub struct Plan<'a> {
    pub(super) assembly: &'a Assembly,
    pub(super) dir: &'a DataDir,
    pub(super) names: Arc<HostNames>,
}

impl Plan<'_> {
    /// Where the node may keep its state, in files of other names than the daemon's own. Held by this process alone.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the daemon's own shell keeps its state: what a node's key has promised there must not be forgotten by
    /// changing the shell.
    #[must_use]
    pub fn own_store(&self) -> std::path::PathBuf {
        self.dir.store()
    }

    /// What the core is told.
    #[must_use]
    pub fn core_config(&self) -> timed_core::Config {
        self.assembly.core_config()
    }

    /// The node's public key.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.assembly.id
    }

    /// The node's cryptography.
    #[must_use]
    pub fn crypto(&self) -> Box<dyn Provider> {
        self.assembly.crypto()
    }

    /// Where to listen; a specific address is also where to dial from.
    #[must_use]
    pub const fn listen(&self) -> SocketAddr {
        self.assembly.config.network.listen
    }

    /// After how long an idle connection is probed by the kernel, and how often then.
    #[must_use]
    pub const fn keepalive(&self) -> (Duration, Duration) {
        let network = &self.assembly.config.network;
        (network.keepalive_time, network.keepalive_interval)
    }

    /// Names of peers as `host:port`: each stands for the entry at its place in [`timed_core::Config::seeds`].
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.names.to_texts()
    }
}

/// A node that has been started.
pub struct Driving {
    /// Reaches it.
    pub remote: Remote,
    /// Its durable blocks.
    pub blocks: Arc<dyn Blocks>,
    /// Where it listens, with the port that port 0 became.
    pub listen: SocketAddr,
    /// What is recorded of it, if anything is.
    pub recording: Option<Recording>,
    /// Reports what happens, and takes SIGTERM, SIGINT, SIGHUP and SIGUSR2, until the node has ended. Called once, on the main
    /// thread.
    pub run: Box<dyn FnOnce(Reporter) -> Exit>,
}

/// One node in the foreground.
#[derive(Debug, Parser)]
enum Verb {
    /// Run one node in the foreground
    Run(RunArgs),
}

/// `PROGRAM run`, with the flags, files and exit codes of `timed run`. `drive` starts the node.
///
/// Ends with the process that started this one where `timed devnet` did.
pub fn main(program: &'static str, drive: impl FnOnce(&Plan<'_>) -> Result<Driving, Failure>) -> ExitCode {
    let command = Verb::command().name(program).bin_name(program);
    let parsed = command.try_get_matches().and_then(|matches| Verb::from_arg_matches(&matches));
    match parsed {
        Ok(Verb::Run(args)) => host(&args, drive).unwrap_or_else(|failure| failure.report(program)),
        Err(error) => {
            // Help is an answer, not a mistake; a closed pipe is not ours to report.
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { 2 } else { 0 })
        }
    }
}
