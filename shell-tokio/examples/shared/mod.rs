//! What the examples have in common: a network on this machine, whose keys are no secrets.

#![allow(dead_code)] // Each example uses its part.

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use timed_tokio::core::{CanonicalAddr, Masternode, NetworkName, Registry, Wall};
use timed_tokio::{Config, Genesis, Identity};
use toml::{Table, Value};

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// The key of a node of an example. In earnest it comes from [`Identity::generate`], and from a file from then on.
pub(crate) fn identity(number: u8) -> Identity {
    Identity::from_seed([number; 32].into())
}

/// The address of a node: 127.0.0.1 is the first's, 127.0.0.2 the second's. The variable names other ones, so that
/// several can run beside each other.
pub(crate) fn ip(number: u8) -> Result<Ipv4Addr, Failure> {
    let net = std::env::var("TIMED_EXAMPLE_NET").unwrap_or_else(|_| "127.0.0".to_owned());
    Ok(format!("{net}.{number}").parse()?)
}

/// A network of so many masternodes, all at one port.
pub(crate) fn genesis(nodes: u8, port: u16, block_interval: Duration) -> Result<Genesis, Failure> {
    let mut masternodes = Vec::new();
    for number in 1..=nodes {
        let addr = CanonicalAddr::new((ip(number)?, port).into())?;
        masternodes.push(Masternode { id: identity(number).id(), addr });
    }
    let network = NetworkName::new("example")?;
    Ok(Genesis { network, block_interval, genesis_time: None, registry: Registry::new(masternodes)? })
}

/// What one of them is told.
pub(crate) fn config(genesis: &Genesis, number: u8) -> Result<Config, Failure> {
    let own = genesis.registry.get(&identity(number).id()).ok_or("there is no such masternode")?;
    Ok(Config::reachable(genesis, own.addr))
}

/// Reads the `genesis.toml` of a network of daemons.
pub(crate) fn read_genesis(path: &Path) -> Result<Genesis, Failure> {
    let table: Table = std::fs::read_to_string(path)?.parse()?;
    let text = |table: &Table, key: &str| -> Result<String, Failure> {
        let found = table.get(key).and_then(Value::as_str);
        found.map(str::to_owned).ok_or_else(|| format!("{}: {key} is missing", path.display()).into())
    };
    let mut masternodes = Vec::new();
    for entry in table.get("masternode").and_then(Value::as_array).into_iter().flatten() {
        let entry = entry.as_table().ok_or("a masternode is no table")?;
        masternodes.push(Masternode { id: text(entry, "id")?.parse()?, addr: text(entry, "addr")?.parse()? });
    }
    let genesis_time = match table.get("genesis_time") {
        None => None,
        Some(_) => {
            let time = humantime::parse_rfc3339(&text(&table, "genesis_time")?)?;
            Some(Wall(0) + time.duration_since(std::time::UNIX_EPOCH)?)
        }
    };
    Ok(Genesis {
        network: NetworkName::new(&text(&table, "network")?)?,
        block_interval: humantime::parse_duration(&text(&table, "block_interval")?)?,
        genesis_time,
        registry: Registry::new(masternodes)?,
    })
}
