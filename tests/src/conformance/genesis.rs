//! A network's `genesis.toml`, read and hashed by rules G-1 and G-2 alone.

use std::time::{Duration, UNIX_EPOCH};

use sha2::{Digest, Sha256};
use timed_core::{CanonicalAddr, GenesisHash, Masternode, NetworkName, NodeId, Registry, Wall};
use toml::{Table, Value};

/// What all nodes of a network agree on from the start.
#[derive(Clone, Debug)]
pub struct Genesis {
    /// The network's name.
    pub network: NetworkName,
    /// Between two blocks.
    pub interval: Duration,
    /// When the first slot starts.
    pub time: Option<Wall>,
    /// The masternodes at the first height.
    pub registry: Registry,
}

impl Genesis {
    /// Reads the file's text.
    ///
    /// # Errors
    /// In words, with the key that is missing or wrong.
    pub fn read(text: &str) -> Result<Self, String> {
        let table: Table = text.parse().map_err(|error| format!("{error}"))?;
        let word = |table: &Table, key: &str| {
            table
                .get(key)
                .and_then(Value::as_str)
                .map(str::to_owned)
                .ok_or_else(|| format!("{key} is missing"))
        };
        let network = NetworkName::new(&word(&table, "network")?).map_err(|error| error.to_string())?;
        let interval = humantime::parse_duration(&word(&table, "block_interval")?)
            .map_err(|error| format!("block_interval: {error}"))?;
        let time = match table.get("genesis_time") {
            None => None,
            Some(value) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let time =
                    humantime::parse_rfc3339(&text).map_err(|error| format!("genesis_time: {error}"))?;
                let since =
                    time.duration_since(UNIX_EPOCH).map_err(|error| format!("genesis_time: {error}"))?;
                Some(Wall(u64::try_from(since.as_millis()).map_err(|error| error.to_string())?))
            }
        };
        let listed = table.get("masternode").and_then(Value::as_array).ok_or("no [[masternode]]")?;
        let mut entries = Vec::new();
        for masternode in listed {
            let entry = masternode.as_table().ok_or("masternode is no table")?;
            let id: NodeId = word(entry, "id")?.parse().map_err(|error| format!("id: {error}"))?;
            let addr: CanonicalAddr =
                word(entry, "addr")?.parse().map_err(|error| format!("addr: {error}"))?;
            entries.push(Masternode { id, addr });
        }
        let registry = Registry::new(entries).map_err(|error| error.to_string())?;
        Ok(Self { network, interval, time, registry })
    }

    /// The file's text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let interval = humantime::format_duration(self.interval);
        let mut text = format!("network = \"{}\"\nblock_interval = \"{interval}\"\n", self.network.as_str());
        if let Some(Wall(millis)) = self.time {
            let time = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(millis));
            text.push_str(&format!("genesis_time = \"{time}\"\n"));
        }
        for Masternode { id, addr } in self.registry.entries() {
            text.push_str(&format!("\n[[masternode]]\nid = \"{id}\"\naddr = \"{addr}\"\n"));
        }
        text
    }

    /// The network's identity.
    #[must_use]
    pub fn hash(&self) -> GenesisHash {
        let name = self.network.as_str();
        let mut entries: Vec<&Masternode> = self.registry.entries().iter().collect();
        entries.sort_by_key(|entry| entry.id);
        let mut registry = Sha256::new();
        registry.update(b"timed-registry-v1");
        registry.update((entries.len() as u64).to_le_bytes());
        for entry in entries {
            registry.update(entry.id.0);
            let addr = entry.addr.socket();
            match addr.ip() {
                std::net::IpAddr::V4(ip) => registry.update([&[4][..], &ip.octets()].concat()),
                std::net::IpAddr::V6(ip) => registry.update([&[6][..], &ip.octets()].concat()),
            }
            registry.update(addr.port().to_le_bytes());
        }
        let mut hash = Sha256::new();
        hash.update(b"timed-genesis-v1");
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update(u64::try_from(self.interval.as_millis()).unwrap_or(u64::MAX).to_le_bytes());
        match self.time {
            None => hash.update([0]),
            Some(time) => hash.update([&[1][..], &time.0.to_le_bytes()].concat()),
        }
        hash.update(registry.finalize());
        GenesisHash(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_in_the_document() {
        let text = r#"
            network = "testnet"
            block_interval = "10s"
            [[masternode]]
            id = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
            addr = "10.0.0.1:24100"
            [[masternode]]
            id = "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394"
            addr = "[2001:db8::1]:24100"
        "#;
        let genesis = Genesis::read(text).expect("a good file");
        let document = "c5813ef9f60b96b9547f978b77c46178526ceb1a35b1433412fd9473388e81db";
        assert_eq!(genesis.hash().to_string(), document);
        let timed = Genesis { time: Some(Wall(1_795_000_000_123)), ..genesis.clone() };
        for genesis in [genesis, timed] {
            let again = Genesis::read(&genesis.to_toml()).expect("a good file");
            assert_eq!(again.hash(), genesis.hash());
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(Genesis::read("network = 'testnet'").is_err_and(|error| error.contains("block_interval")));
    }
}
