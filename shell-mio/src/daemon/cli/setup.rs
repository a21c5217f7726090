//! The verbs that prepare a node: init, genesis, id, check-config.

use std::io::{self, Write as _};
use std::path::Path;

use timed_core::{Command, Event, Node, Registry, SlotCounts};

use super::super::arguments::{DirArgs, GenesisArgs, InitArgs, NodeArgs};
use super::super::assembly::{Assembly, worst_case_bytes};
use super::super::config::commented;
use super::super::data_dir::{DataDir, Existing, Secrecy, write_durably};
use super::super::failure::Failure;
use super::super::genesis::Genesis;
use super::super::keys::NodeKey;

/// Prints a line to standard output.
pub(super) fn say(line: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Turns the outcome of a write that keeps existing files into a line for the operator.
fn note(path: &Path, written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Ok(()) => eprintln!("wrote {}", path.display()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            eprintln!("kept {}, which was there already", path.display());
        }
        Err(error) => return Err(Failure::failed(format!("cannot write {}: {error}", path.display()))),
    }
    Ok(())
}

/// Writes the files of a new node; prints its id.
pub(super) fn init(args: &InitArgs) -> Result<(), Failure> {
    let dir = DataDir::locate(args.dir.data_dir.as_deref())?;
    dir.create()?;
    dir.check()?;
    let local_ip = args.local_ip.map(|ip| ("network", "local_ip", format!("\"{ip}\"")));
    let config = commented(&local_ip.into_iter().collect::<Vec<_>>());
    note(&dir.config(), write_durably(&dir.config(), config.as_bytes(), Secrecy::Readable, Existing::Keep))?;
    note(&dir.node_key(), NodeKey::generate()?.save(&dir.node_key()))?;
    say(&NodeKey::load(&dir.node_key())?.id().to_string())
}

/// Writes a network's genesis file; prints its hash.
pub(super) fn genesis(args: &GenesisArgs) -> Result<(), Failure> {
    let genesis = Genesis {
        network: timed_core::NetworkName::new(&args.network).map_err(|e| Failure::usage(e.to_string()))?,
        block_interval: args.block_interval,
        genesis_time: None,
        registry: Registry::new(args.masternodes.clone()).map_err(|e| Failure::usage(e.to_string()))?,
    };
    let text = genesis.to_toml();
    if args.out.as_deref() == Some(Path::new("-")) {
        return say(text.trim_end());
    }
    let path = match &args.out {
        Some(path) => path.clone(),
        None => {
            let dir = DataDir::locate(args.dir.data_dir.as_deref())?;
            dir.create()?;
            dir.genesis()
        }
    };
    match write_durably(&path, text.as_bytes(), Secrecy::Readable, Existing::Keep) {
        Ok(()) => eprintln!("wrote {}", path.display()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(Failure::failed(format!("{} is there already and stays as it is", path.display())));
        }
        Err(error) => return Err(Failure::failed(format!("cannot write {}: {error}", path.display()))),
    }
    say(&genesis.hash().to_string())
}

/// Prints the node id of a data directory.
pub(super) fn id(args: &DirArgs) -> Result<(), Failure> {
    let dir = DataDir::locate(args.data_dir.as_deref())?;
    say(&NodeKey::load(&dir.node_key())?.id().to_string())
}

/// Checks everything a node would be started with, and says what it would be.
pub(super) fn check_config(args: &NodeArgs) -> Result<(), Failure> {
    let dir = DataDir::locate(args.dir.data_dir.as_deref())?;
    let assembly = Assembly::load(&dir, args)?;
    let (core, crypto) = (assembly.core_config(), assembly.crypto());
    let mut node = Node::new(core, crypto, [0; 32], Vec::new(), crate::now())
        .map_err(|error| Failure::config(error.to_string()))?;
    for warning in &assembly.warnings {
        eprintln!("warning: {warning}");
    }
    let registry = &assembly.genesis.registry;
    let role = match registry.index_of(&assembly.id) {
        Some(index) if assembly.acts_as_masternode() => {
            format!("masternode {} of {}", usize::from(index.0) + 1, registry.size())
        }
        Some(_) => "observer: its key is registered, but masternode.enabled is false".to_owned(),
        None => "observer: its key is not in the genesis registry".to_owned(),
    };
    let advertised = assembly.config.advertised();
    let limits = assembly.config.core_limits(registry.size());
    let places = places(&mut node).unwrap_or_default();
    say(&format!(
        "configuration ok\nnode id       {}\nrole          {role}\nnetwork       {}\ngenesis hash  {}\n\
         advertised    {}\nlisten        {}\napi           {}\nmax peers     {} ({} for masternodes, {} for reserved peers, {} for others)\n\
         memory        {} MiB at most",
        assembly.id,
        assembly.genesis.network.as_str(),
        assembly.genesis.hash(),
        advertised.map_or("nothing: this node dials and is never dialed".to_owned(), |addr| addr.to_string()),
        assembly.config.network.listen,
        if assembly.config.api.enabled { assembly.config.api.listen.to_string() } else { "off".to_owned() },
        limits.max_peers,
        places.masternode.free,
        places.reserved.free,
        places.observer.free,
        worst_case_bytes(&assembly.config, registry.size()) >> 20,
    ))
}

/// How a node that has just been made shares out its places: its first snapshot says so.
fn places(node: &mut Node) -> Option<SlotCounts> {
    std::iter::from_fn(|| node.next_command()).find_map(|command| match command {
        Command::Event(Event::Summary(summary)) => Some(summary.slots),
        _ => None,
    })
}
