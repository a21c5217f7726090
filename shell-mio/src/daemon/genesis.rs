//! `genesis.toml`: the network's identity and its first registry.

use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha256};
use timed_core::{CanonicalAddr, GenesisHash, Masternode, NetworkName, NodeId, Registry, Wall};
use toml::de::{DeTable, DeValue};

use super::config::{Document, Given, Located, Setting, SettingProblem, did_you_mean, lines, shown};
use super::data_dir;
use super::failure::Failure;

/// What every node of one network agrees on from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Genesis {
    /// The network's name.
    pub(crate) network: NetworkName,
    /// Between two blocks: 50 ms to 24 h, whole milliseconds.
    pub(crate) block_interval: Duration,
    /// When the first slot starts.
    pub(crate) genesis_time: Option<Wall>,
    /// The masternodes at height 0.
    pub(crate) registry: Registry,
}

/// Shortest time between two blocks.
pub(crate) const MIN_BLOCK_INTERVAL: Duration = Duration::from_millis(50);

const KEYS: &[&str] = &["network", "block_interval", "genesis_time", "masternode"];
const MASTERNODE_KEYS: &[&str] = &["id", "addr"];

impl Genesis {
    /// Reads the file of a data directory.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let shown = path.display().to_string();
        let Some(text) = data_dir::read(path)? else {
            return Err(Failure::config(format!(
                "there is no {shown}: copy the network's genesis.toml there, or make a new network's with: \
                 timed genesis --masternode NODE_ID@IP:PORT ..."
            )));
        };
        Self::parse(&shown, &text).map_err(|problems| Failure::config(lines(&problems)))
    }

    /// Reads a file's content; `name` is the file's name in messages.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, Vec<SettingProblem>> {
        let document = Document::parse(name, text).map_err(|problem| vec![problem])?;
        let mut reader = Reader { document: &document, problems: Vec::new() };
        reader.unknown(document.root(), KEYS);
        let network = reader.required(document.root(), "network", NetworkName::read);
        let block_interval = reader.required(document.root(), "block_interval", block_interval);
        let genesis_time = reader.optional(document.root(), "genesis_time", time);
        let masternodes = reader.masternodes(document.root());
        if !reader.problems.is_empty() {
            return Err(reader.problems);
        }
        let registry = Registry::new(masternodes).map_err(|error| {
            vec![SettingProblem {
                place: document.whole(),
                key: Some("masternode".to_owned()),
                text: error.to_string(),
            }]
        })?;
        match (network, block_interval) {
            (Some(network), Some(block_interval)) => {
                Ok(Self { network, block_interval, genesis_time, registry })
            }
            _ => Err(reader.problems),
        }
    }

    /// The network's identity: SHA-256 over `timed-genesis-v1` and the content, whatever the file's
    /// formatting and order (rule G-1).
    pub(crate) fn hash(&self) -> GenesisHash {
        let mut hasher = Sha256::new();
        hasher.update(b"timed-genesis-v1");
        let name = self.network.as_str().as_bytes();
        hasher.update((name.len() as u64).to_le_bytes());
        hasher.update(name);
        let millis = u64::try_from(self.block_interval.as_millis()).unwrap_or(u64::MAX);
        hasher.update(millis.to_le_bytes());
        match self.genesis_time {
            None => hasher.update([0]),
            Some(Wall(millis)) => {
                hasher.update([1]);
                hasher.update(millis.to_le_bytes());
            }
        }
        hasher.update(self.registry.hash().0);
        GenesisHash(hasher.finalize().into())
    }

    /// The file's text.
    pub(crate) fn to_toml(&self) -> String {
        let mut out = format!(
            "# The identity of a timed network: every node of it has the same content here.\n# Genesis hash {}\n\
             network = \"{}\"\nblock_interval = \"{}\"\n",
            self.hash(),
            self.network.as_str(),
            humantime::format_duration(self.block_interval)
        );
        if let Some(time) = self.genesis_time {
            out.push_str(&format!("genesis_time = \"{}\"\n", super::rfc3339(time)));
        }
        for masternode in self.registry.entries() {
            out.push_str(&format!(
                "\n[[masternode]]\nid = \"{}\"\naddr = \"{}\"\n",
                masternode.id, masternode.addr
            ));
        }
        out
    }
}

/// Parses `NODE_ID@IP:PORT`.
pub(crate) fn masternode(text: &str) -> Result<Masternode, String> {
    let (id, addr) = text.split_once('@').ok_or("expected NODE_ID@IP:PORT")?;
    let id = strong_key(NodeId::from_str(id).map_err(|error| format!("node id: {error}"))?)?;
    let addr = addr.parse().map_err(|error| format!("{addr:?}: {error}"))?;
    Ok(Masternode { id, addr })
}

/// Refuses a public key with which anyone could sign.
fn strong_key(id: NodeId) -> Result<NodeId, String> {
    match VerifyingKey::from_bytes(&id.0) {
        Ok(key) if !key.is_weak() => Ok(id),
        _ => Err(format!("{id} is no valid public key")),
    }
}

fn block_interval(given: Given<'_>) -> Result<Duration, String> {
    let interval = Duration::read(given)?;
    if interval < MIN_BLOCK_INTERVAL {
        return Err("at least \"50ms\"".to_owned());
    }
    if interval.subsec_nanos() % 1_000_000 != 0 {
        return Err("whole milliseconds".to_owned());
    }
    Ok(interval)
}

fn time(given: Given<'_>) -> Result<Wall, String> {
    let text = match given {
        Given::Toml(DeValue::Datetime(time)) => time.to_string(),
        Given::Toml(DeValue::String(text)) => text.clone().into_owned(),
        _ => String::new(),
    };
    let since =
        humantime::parse_rfc3339(&text).ok().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    since
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .map(Wall)
        .ok_or_else(|| "a time in UTC such as \"2026-01-31T12:00:00Z\"".to_owned())
}

struct Reader<'d, 'a> {
    document: &'d Document<'a>,
    problems: Vec<SettingProblem>,
}

impl Reader<'_, '_> {
    fn unknown(&mut self, table: &DeTable<'_>, known: &[&str]) {
        for key in table.keys() {
            let word = key.get_ref().as_ref();
            if !known.contains(&word) {
                let text = match did_you_mean(word, known.iter().copied()) {
                    Some(meant) => format!("unknown key; did you mean {meant}?"),
                    None => format!("unknown key; there are {}", known.join(", ")),
                };
                self.problems.push(self.document.problem(key.span(), word, text));
            }
        }
    }

    fn optional<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        read: fn(Given<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let value = table.get(key)?;
        match read(Given::Toml(value.get_ref())) {
            Ok(value) => Some(value),
            Err(expected) => {
                let text = format!("found {}, expected {expected}", shown(value.get_ref()));
                self.problems.push(self.document.problem(value.span(), key, text));
                None
            }
        }
    }

    fn required<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        read: fn(Given<'_>) -> Result<T, String>,
    ) -> Option<T> {
        if table.get(key).is_none() {
            let place = self.document.whole();
            let text = "this key is missing".to_owned();
            self.problems.push(SettingProblem { place, key: Some(key.to_owned()), text });
        }
        self.optional(table, key, read)
    }

    fn masternodes(&mut self, root: &DeTable<'_>) -> Vec<Masternode> {
        match root.get("masternode").map(|value| (value, value.get_ref())) {
            None => Vec::new(),
            Some((_, DeValue::Array(items))) => {
                items.iter().filter_map(|item| self.masternode(item)).collect()
            }
            Some((value, other)) => {
                let text = format!("found {}, expected sections [[masternode]]", shown(other));
                self.problems.push(self.document.problem(value.span(), "masternode", text));
                Vec::new()
            }
        }
    }

    fn masternode(&mut self, item: &Located<'_>) -> Option<Masternode> {
        let Some(table) = item.get_ref().as_table() else {
            let text = format!("found {}, expected a section [[masternode]]", shown(item.get_ref()));
            self.problems.push(self.document.problem(item.span(), "masternode", text));
            return None;
        };
        self.unknown(table, MASTERNODE_KEYS);
        for key in MASTERNODE_KEYS.iter().filter(|key| table.get(**key).is_none()) {
            let text = format!("this [[masternode]] has no {key}");
            self.problems.push(self.document.problem(item.span(), "masternode", text));
        }
        let id = self.optional(table, "id", |given| {
            let id = text_of(given).and_then(|text| text.parse().ok());
            strong_key(id.ok_or("64 lower-case hexadecimal digits")?)
        });
        let addr = self.optional(table, "addr", |given| {
            let socket: Option<SocketAddr> = text_of(given).and_then(|text| text.parse().ok());
            CanonicalAddr::new(socket.ok_or("IP:PORT")?).map_err(|error| error.to_string())
        });
        Some(Masternode { id: id?, addr: addr? })
    }
}

fn text_of<'a>(given: Given<'a>) -> Option<&'a str> {
    match given {
        Given::Toml(value) => value.as_str(),
        Given::Text(text) => Some(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> NodeId {
        NodeId(ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes())
    }

    fn genesis() -> Genesis {
        let entry =
            |seed: u8| Masternode { id: key(seed), addr: format!("10.0.0.{seed}:24100").parse().unwrap() };
        Genesis {
            network: NetworkName::new("testnet").unwrap(),
            block_interval: Duration::from_secs(10),
            genesis_time: None,
            registry: Registry::new(vec![entry(1), entry(2)]).unwrap(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for time in [None, Some(Wall(1_767_225_600_250))] {
            let genesis = Genesis { genesis_time: time, ..genesis() };
            assert_eq!(Genesis::parse("genesis.toml", &genesis.to_toml()), Ok(genesis));
        }
    }

    /// Rule G-1: whoever writes another node compares with the document's example.
    #[test]
    fn the_protocols_example_has_the_hash_given() {
        let entry = |seed, addr: &str| Masternode { id: key(seed), addr: addr.parse().unwrap() };
        let entries = vec![entry(1, "10.0.0.1:24100"), entry(2, "[2001:db8::1]:24100")];
        let example = Genesis { registry: Registry::new(entries).unwrap(), ..genesis() };
        let document = include_str!("../../../core/PROTOCOL.md");
        for text in [example.hash().to_string(), key(1).to_string(), key(2).to_string()] {
            assert!(document.contains(&text), "{text}");
        }
    }

    #[test]
    fn the_hash_is_of_the_content_not_of_the_text() {
        let text = format!(
            "block_interval=\"10000ms\"\nnetwork='testnet'\nmasternode=[{{addr=\"[::ffff:10.0.0.2]:24100\",id=\"{}\"}},\
             {{id=\"{}\",addr=\"10.0.0.1:24100\"}}]",
            key(2),
            key(1)
        );
        let hash = genesis().hash();
        assert_eq!(Genesis::parse("g", &text).unwrap().hash(), hash);
        let others = [
            Genesis { network: NetworkName::new("testnet2").unwrap(), ..genesis() },
            Genesis { block_interval: Duration::from_secs(11), ..genesis() },
            Genesis { genesis_time: Some(Wall(0)), ..genesis() },
            Genesis { registry: Registry::new(vec![genesis().registry.entries()[0]]).unwrap(), ..genesis() },
        ];
        for other in others {
            assert_ne!(other.hash(), hash, "{other:?}");
        }
    }

    #[test]
    fn the_hash_stays_the_same_for_ever() {
        let golden = "b3d743e779709c47b3d0091bd1b7a3406676840e5b8fcdce9e92d3697da1ba9c";
        assert_eq!(genesis().hash().to_string(), golden);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let complaint = |text: &str| lines(&Genesis::parse("genesis.toml", text).unwrap_err());
        let all =
            complaint("netwrok = \"x\"\nblock_interval = \"1ms\"\n[[masternode]]\nid = \"ab\"\nadr = 1\n");
        for part in [
            "genesis.toml:1:1: netwrok: unknown key; did you mean network?",
            "genesis.toml: network: this key is missing",
            "genesis.toml:2:18: block_interval: found \"1ms\", expected at least \"50ms\"",
            "genesis.toml:4:6: id: found \"ab\", expected 64 lower-case hexadecimal digits",
            "genesis.toml:5:1: adr: unknown key; did you mean addr?",
            "this [[masternode]] has no addr",
        ] {
            assert!(all.contains(part), "{part} not in:\n{all}");
        }
        let zero = format!(
            "network = \"x\"\nblock_interval = \"1s\"\n[[masternode]]\nid = \"{}\"\naddr = \"10.0.0.1:1\"\n",
            NodeId([0; 32])
        );
        assert!(complaint(&zero).contains("no valid public key"), "{}", complaint(&zero));
        assert!(complaint("network = \"x\"\nblock_interval = \"1s\"\n").contains("the registry is empty"));
    }
}
