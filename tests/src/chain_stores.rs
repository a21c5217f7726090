//! Generated chains in the stores of real data directories: a daemon that starts there has made all of it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use timed_core::crypto::Provider;
use timed_core::crypto::noise::NoiseProvider;
use timed_core::{GenesisHash, Height, Masternode, NodeId, RecordKey, Registry, Wall};
use timed_mio::Store;
use timed_mio::application::FifoPayload;

use crate::chain_auditor::Origin;
use crate::chain_generator::{ChainGenerator, voting_record_of};

/// Blocks that are made before they are written to every store.
const BATCH: u64 = 2_000;

/// Gives these data directories, which have no blocks yet, the same chain of so many blocks. Their nodes must be
/// a quorum of the masternodes of their `genesis.toml`; they alone have signed it.
///
/// # Errors
/// In words, if a directory is not as `timed init` and `timed genesis` leave it, or a store refuses.
///
/// # Panics
/// If the directories are no quorum.
pub fn give_chain(
    dirs: &[PathBuf],
    blocks: u64,
    payload: impl FnMut(Height) -> Bytes + 'static,
) -> Result<(), String> {
    let origin = origin(dirs.first().ok_or("no data directory")?)?;
    let mut nodes: Vec<NodeId> = Vec::new();
    let mut keys: Vec<Box<dyn Provider>> = Vec::new();
    for dir in dirs {
        let key = NoiseProvider::new(seed(dir)?.into());
        nodes.push(key.node_id());
        keys.push(Box::new(key));
    }
    let mut stores = dirs
        .iter()
        .map(|dir| Store::open(dir.join("timed.redb")).map(|(store, _)| store))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    let mut generator = ChainGenerator::new(origin, keys).with_payload(payload);
    let mut left = blocks;
    while left > 0 {
        let batch: Vec<_> = (0..left.min(BATCH)).map(|_| generator.make()).collect();
        left -= batch.len() as u64;
        for (store, node) in stores.iter_mut().zip(&nodes) {
            let application = FifoPayload::new(store.reader());
            store.append_blocks(batch.iter().cloned(), &application).map_err(|error| error.to_string())?;
            if let Some(last) = batch.last().filter(|_| left == 0) {
                let record = voting_record_of(last, *node);
                store.put(RecordKey::Voting, record).map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(())
}

/// The seed in a data directory's `node_key`.
fn seed(dir: &std::path::Path) -> Result<[u8; 32], String> {
    let path = dir.join("node_key");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let line = text.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
    let digits: Option<NodeId> = line.trim().parse().ok();
    digits.map(|digits| digits.0).ok_or_else(|| format!("{} is no node key", path.display()))
}

/// What a data directory's `genesis.toml` says, as `timed genesis` writes it.
fn origin(dir: &std::path::Path) -> Result<Origin, String> {
    let path = dir.join("genesis.toml");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let wrong = |what: &str| format!("{} has no {what}", path.display());
    let values = |key: &'static str| {
        let value = |line: &str| {
            line.strip_prefix(key)?.trim_start().strip_prefix("= \"")?.strip_suffix('"').map(str::to_owned)
        };
        text.lines().filter_map(value).collect::<Vec<String>>()
    };
    let hash = text.lines().find_map(|line| line.strip_prefix("# Genesis hash "));
    let hash: NodeId = hash.and_then(|hash| hash.trim().parse().ok()).ok_or_else(|| wrong("hash"))?;
    let interval = values("block_interval").pop().and_then(|text| humantime::parse_duration(&text).ok());
    let time = values("genesis_time").pop().and_then(|text| humantime::parse_rfc3339(&text).ok());
    let time = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or(Duration::ZERO);
    let (ids, addrs) = (values("id"), values("addr"));
    let masternodes = ids.iter().zip(addrs).map(|(id, addr)| {
        let (id, addr) = (id.parse().ok()?, addr.parse().ok()?);
        Some(Masternode { id, addr })
    });
    let masternodes: Option<Vec<_>> = masternodes.collect();
    Ok(Origin {
        genesis: GenesisHash(hash.0),
        genesis_time: Wall(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        interval: interval.ok_or_else(|| wrong("block_interval"))?,
        registry: Registry::new(masternodes.ok_or_else(|| wrong("masternode"))?)
            .map_err(|error| error.to_string())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain_auditor::ChainAuditor;
    use timed_core::FinalBlock;

    #[test]
    fn the_stores_hold_one_chain_that_keeps_every_rule() {
        let folder = tempfile::tempdir().expect("a directory");
        let mut genesis = format!(
            "# Genesis hash {}\nnetwork = \"testnet\"\nblock_interval = \"1s\"\n",
            GenesisHash([7; 32])
        );
        let dirs: Vec<PathBuf> = (1..=3_u8).map(|node| folder.path().join(format!("node{node}"))).collect();
        for (node, dir) in (1..=4_u8).zip(dirs.iter().map(Some).chain([None])) {
            let id = NoiseProvider::new([node; 32].into()).node_id();
            genesis.push_str(&format!("\n[[masternode]]\nid = \"{id}\"\naddr = \"10.0.0.{node}:24100\"\n"));
            if let Some(dir) = dir {
                fs::create_dir(dir).expect("a new directory");
                fs::write(dir.join("node_key"), format!("# secret\n{}\n", NodeId([node; 32])))
                    .expect("a new file");
            }
        }
        for dir in &dirs {
            fs::write(dir.join("genesis.toml"), &genesis).expect("a new file");
        }
        let payload = |height: Height| FifoPayload::assemble(&[height.0.to_le_bytes().to_vec().into()]);
        give_chain(&dirs, 2_100, payload).expect("a chain");
        let mut auditor = ChainAuditor::new(
            origin(&dirs[0]).expect("as written"),
            Box::new(NoiseProvider::new([1; 32].into())),
        );
        for (index, dir) in dirs.iter().enumerate() {
            let (store, records) = Store::open(dir.join("timed.redb")).expect("as written");
            assert!(records.iter().any(|record| record.key == RecordKey::Voting));
            let blocks = store.reader().range(Height(1), usize::MAX, usize::MAX).expect("as written");
            assert_eq!(blocks.len(), 2_100);
            for block in blocks.iter().filter(|_| index == 0) {
                let block = FinalBlock::decode(&block.bytes).expect("a block");
                assert_eq!(auditor.take(&block, &[]), Ok(block.certificate.block));
            }
        }
    }
}
