//! The `timed` daemon: configuration, keys, API, command line and the local test network around the event
//! loop.

mod api;
mod arguments;
mod assembly;
mod attest;
mod cli;
mod client;
mod config;
mod data_dir;
mod descriptors;
mod devnet;
mod doctor;
mod failure;
mod genesis;
#[cfg(test)]
mod handbook;
mod hex;
pub mod hosting;
mod keys;
mod live;
mod logging;
mod machine;
mod metrics;
mod names;
mod recordings;
mod reload;
mod replay;
mod run;
mod service;
mod watch;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use timed_core::{Registry, Wall};

use crate::{BlockReader, Remote};

/// A wall time as RFC 3339 text in UTC, with milliseconds.
fn rfc3339(at: Wall) -> String {
    // Beyond the year 9999 there is no such text; no clock that is kept reads so.
    let latest = Duration::from_millis(253_402_300_799_999);
    let since = Duration::from_millis(at.0).min(latest);
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since).to_string()
}

/// What is wrong in the text of a `config.toml`, one message each: nothing if a node would take it.
#[must_use]
pub fn config_problems(text: &str) -> Vec<String> {
    let sources = config::Sources { file: Some(("config.toml", text)), ..config::Sources::default() };
    config::Config::read(sources).map_or_else(|problems| told(&problems), |_| Vec::new())
}

/// What is wrong in the text of a `genesis.toml`, one message each: nothing if a node would take it.
#[must_use]
pub fn genesis_problems(text: &str) -> Vec<String> {
    genesis::Genesis::parse("genesis.toml", text).map_or_else(|problems| told(&problems), |_| Vec::new())
}

/// Starts the HTTP API of no node in particular over a loop of the caller's; answers where it listens. It ends with
/// the process: what the fuzzer talks to.
///
/// # Errors
/// If this machine has no loopback address to listen on.
#[doc(hidden)]
pub fn serve_api(
    registry: Registry,
    remote: Remote,
    blocks: BlockReader,
    token: &str,
) -> Result<SocketAddr, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    let facts = api::ApiFacts::made_up(registry, token);
    let started =
        api::start(listener, facts, remote, Arc::new(blocks)).map_err(|failure| failure.to_string())?;
    std::mem::forget(started.handle);
    Ok(started.listen)
}

fn told(problems: &[config::SettingProblem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    cli::main(std::env::args_os())
}
