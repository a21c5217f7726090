//! The command line: every verb, and where it goes.

mod documents;
mod setup;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use super::arguments::{
    AttestExportArgs, AttestVerifyArgs, BanArgs, BlockArgs, ClientArgs, ConnectArgs, DevnetArgs, DirArgs,
    DoctorArgs, DrainArgs, GenesisArgs, InitArgs, NodeArgs, PeerArgs, ReplayArgs, RunArgs, SubmitArgs,
    TransactionArgs, UnbanArgs,
};
use super::failure::Failure;
use super::{attest, client, devnet, doctor, replay, run, watch};

/// A masternode network on a fresh machine: `timed devnet`. One node: `timed init`, `timed genesis`, `timed run`.
#[derive(Debug, Parser)]
#[command(name = "timed", version, about = "A masternode of the timed network", long_about = None)]
#[command(
    after_help = "Exit codes: 0 ok, 1 failure while running, 2 usage, 75 already running, 77 unsafe file \
                        permissions, 78 bad configuration; `health` alone: 0 healthy, 1 degraded, 2 critical."
)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start a whole network of real nodes on 127.0.0.1, 127.0.0.2, …
    Devnet(DevnetArgs),
    /// Run one node in the foreground
    Run(RunArgs),
    /// Write a commented config.toml and a fresh node_key, print the node id; never overwrites
    Init(InitArgs),
    /// Build genesis.toml, the identity of a network, from its masternodes
    Genesis(GenesisArgs),
    /// Print this node's id
    Id(DirArgs),
    /// Check config.toml, genesis.toml and node_key together
    CheckConfig(NodeArgs),
    /// Look at what is often wrong with a node and its machine, running or not, and say what to do
    Doctor(DoctorArgs),
    /// Print the version
    Version,
    /// Show a running node in short
    Status(ClientArgs),
    /// List a running node's live sessions
    Peers(ClientArgs),
    /// Show the whole network's links as a running node knows them
    Matrix(ClientArgs),
    /// List the registry and what a running node knows of each masternode
    Masternodes(ClientArgs),
    /// Show a final block of a running node's chain
    Block(BlockArgs),
    /// Tell whether a transaction is in a block, and in which one
    Tx(TransactionArgs),
    /// Hand a transaction to a running node, print its id once it is durable there
    Submit(SubmitArgs),
    /// List the masternodes that were seen to contradict themselves, with what they signed
    Evidence(ClientArgs),
    /// List a running node's bans
    Bans(ClientArgs),
    /// Ban a key or addresses from a running node, for a time or until unban; applies at once
    Ban(BanArgs),
    /// Lift a ban of a running node
    Unban(UnbanArgs),
    /// Explain why a running node is, or is not, connected to a peer
    Why(PeerArgs),
    /// Make a running node dial a peer now
    Connect(ConnectArgs),
    /// Make a running node leave a peer, for ten minutes or until connect
    Disconnect(PeerArgs),
    /// Make a running node write down what its flight recorder holds
    Record(ClientArgs),
    /// Run a recording again through the same core, print its events; exit code 1 where it differs, 78 for a bad file
    Replay(ReplayArgs),
    /// Announce that a running node is about to be stopped for a while: nobody counts that as a failure
    Drain(DrainArgs),
    /// Stop a running node
    Stop(ClientArgs),
    /// Watch a running node live: a screen on a terminal, a line for each event otherwise
    Watch(ClientArgs),
    /// Judge a running node: exit code 0 healthy, 1 degraded, 2 critical
    Health(ClientArgs),
    /// Prove who was there: heartbeats of all masternodes, with the signatures of those who saw them
    Attest {
        #[command(subcommand)]
        verb: AttestVerb,
    },
    /// Print the completion script of a shell
    Completions {
        /// For this shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one page a verb
    Man {
        /// Write timed.1, timed-run.1, … into this directory
        #[arg(long, value_name = "DIR")]
        dir: Option<std::path::PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum AttestVerb {
    /// Write what a node has kept: of its data directory, or with --api of a running node
    Export(AttestExportArgs),
    /// Check such files with nothing but genesis.toml: exit code 1 if a line is no proof
    Verify(AttestVerifyArgs),
}

/// Parses a command line and does what it says.
pub(crate) fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line,
        Err(error) => {
            // Help and version are answers, not mistakes; a closed pipe is not ours to report.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match dispatch(line.verb) {
        Ok(code) => code,
        Err(failure) => failure.report("timed"),
    }
}

fn dispatch(verb: Verb) -> Result<ExitCode, Failure> {
    let done = |()| ExitCode::SUCCESS;
    match verb {
        Verb::Devnet(args) => devnet::devnet(&args),
        Verb::Run(args) => run::run(&args),
        Verb::Init(args) => setup::init(&args).map(done),
        Verb::Genesis(args) => setup::genesis(&args).map(done),
        Verb::Id(args) => setup::id(&args).map(done),
        Verb::CheckConfig(args) => setup::check_config(&args).map(done),
        Verb::Doctor(args) => doctor::doctor(&args),
        Verb::Version => setup::say(&format!("timed {}", env!("CARGO_PKG_VERSION"))).map(done),
        Verb::Status(args) => client::status(&args),
        Verb::Peers(args) => client::peers(&args),
        Verb::Matrix(args) => client::matrix(&args),
        Verb::Masternodes(args) => client::masternodes(&args),
        Verb::Block(args) => client::block(&args),
        Verb::Tx(args) => client::transaction(&args),
        Verb::Submit(args) => client::submit(&args),
        Verb::Evidence(args) => client::evidence(&args),
        Verb::Bans(args) => client::bans(&args),
        Verb::Ban(args) => client::ban(&args),
        Verb::Unban(args) => client::unban(&args),
        Verb::Why(args) => client::why(&args),
        Verb::Connect(args) => client::connect(&args),
        Verb::Disconnect(args) => client::disconnect(&args),
        Verb::Record(args) => client::record(&args),
        Verb::Replay(args) => replay::replay(&args),
        Verb::Drain(args) => client::drain(&args),
        Verb::Stop(args) => client::stop(&args),
        Verb::Watch(args) => watch::watch(&args),
        Verb::Health(args) => client::health(&args),
        Verb::Attest { verb: AttestVerb::Export(args) } => attest::export(&args),
        Verb::Attest { verb: AttestVerb::Verify(args) } => attest::verify(&args),
        Verb::Completions { shell } => documents::completions(&mut CommandLine::command(), shell).map(done),
        Verb::Man { dir: None } => documents::manual(&CommandLine::command()).map(done),
        Verb::Man { dir: Some(dir) } => documents::manual_pages(CommandLine::command(), &dir).map(done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent_and_every_verb_explained() {
        let command = CommandLine::command();
        command.clone().debug_assert();
        for verb in command.get_subcommands() {
            assert!(
                verb.get_about().is_some_and(|about| !about.to_string().is_empty()),
                "{}",
                verb.get_name()
            );
        }
    }
}
