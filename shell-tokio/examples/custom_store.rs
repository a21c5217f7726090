//! A store of one's own: everything in one file that only grows, one line of bytes a write, each with its checksum.
//!
//! `cargo run -p timed-tokio --example custom_store` runs a network of four nodes on such stores, tears one of them
//! down in the middle of its work, and starts it again from its file.
//!
//! Good for reading, not for use: the file is read as a whole at the start and never becomes shorter.

mod shared;

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use shared::{Failure, config, genesis, identity};
use timed_tokio::application::FifoPayload;
use timed_tokio::core::{FinalBlock, Height, Record, RecordKey, StoredBlock, TxId};
use timed_tokio::store::{Inclusion, StoreError, Write};
use timed_tokio::{Genesis, Handle, MemoryStore, Node, Store};

/// A log file, and its content in memory.
struct LogStore {
    file: Mutex<File>,
    content: MemoryStore,
}

impl LogStore {
    /// Opens a log, or begins one. What a crash has left half written at its end is cut off.
    fn open(path: &Path) -> Result<Self, StoreError> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let content = MemoryStore::new();
        let mut rest = &bytes[..];
        while let Some((write, after)) = decode(rest) {
            content.write(&[write])?;
            rest = after;
        }
        file.set_len((bytes.len() - rest.len()) as u64)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file: Mutex::new(file), content })
    }
}

impl Store for LogStore {
    fn records(&self) -> Result<Vec<Record>, StoreError> {
        self.content.records()
    }

    /// The one promise of a store: when this returns, it is on the disk, in this order.
    fn write(&self, batch: &[Write]) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        batch.iter().for_each(|write| encode(write, &mut bytes));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&bytes)?;
        file.sync_data()?;
        self.content.write(batch)
    }

    fn blocks(&self, from: Height, to: Height, max_bytes: usize) -> Result<Vec<StoredBlock>, StoreError> {
        self.content.blocks(from, to, max_bytes)
    }

    fn find(&self, id: &TxId) -> Result<Option<Inclusion>, StoreError> {
        self.content.find(id)
    }
}

/// `checksum ‖ length of name ‖ name ‖ length of rest ‖ rest`. The rest is the record; of a block it is `count of ids ‖
/// ids ‖ block`. Transactions are told apart by their bytes, those that are removed by their id.
fn encode(write: &Write, out: &mut Vec<u8>) {
    let (name, rest) = match write {
        Write::Record(RecordKey::Transaction(id), bytes) if bytes.is_empty() => ("removed", id.0.to_vec()),
        Write::Record(key, bytes) => (key.name(), bytes.to_vec()),
        Write::Block { bytes, included, .. } => {
            let mut rest = (included.len() as u64).to_le_bytes().to_vec();
            included.iter().for_each(|id| rest.extend(id.0));
            rest.extend(bytes);
            ("block", rest)
        }
    };
    let mut entry = vec![u8::try_from(name.len()).unwrap_or(u8::MAX)];
    entry.extend(name.as_bytes());
    entry.extend((rest.len() as u64).to_le_bytes());
    entry.extend(rest);
    out.extend(TxId::of(&entry).0);
    out.extend(entry);
}

/// The first entry, and what follows it; none if it is not whole.
fn decode(bytes: &[u8]) -> Option<(Write, &[u8])> {
    let (checksum, entry) = bytes.split_first_chunk::<32>()?;
    let (length, rest) = entry.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let (rest, after) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let whole = entry.get(..entry.len() - after.len())?;
    if TxId::of(whole).0 != *checksum {
        return None;
    }
    let name = std::str::from_utf8(name).ok()?;
    Some((decode_write(name, rest)?, after))
}

fn decode_write(name: &str, rest: &[u8]) -> Option<Write> {
    let bytes = Bytes::copy_from_slice(rest);
    Some(match name {
        "removed" => Write::Record(RecordKey::Transaction(TxId(rest.try_into().ok()?)), Bytes::new()),
        "transaction" => Write::Record(RecordKey::Transaction(TxId::of(rest)), bytes),
        "block" => {
            let (count, rest) = rest.split_first_chunk::<8>()?;
            let ids = usize::try_from(u64::from_le_bytes(*count)).ok()?.checked_mul(32)?;
            let (ids, block) = rest.split_at_checked(ids)?;
            let included = ids.chunks_exact(32).map(|id| Some(TxId(id.try_into().ok()?)));
            Write::Block {
                block: Arc::new(FinalBlock::decode(block).ok()?),
                bytes: Bytes::copy_from_slice(block),
                included: included.collect::<Option<_>>()?,
            }
        }
        _ => Write::Record(RecordKey::ALL.into_iter().find(|key| key.name() == name)?, bytes),
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let directory = std::env::temp_dir().join(format!("timed-custom-store-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let genesis = genesis(4, 24_700, Duration::from_millis(500))?;
    let mut nodes = Vec::new();
    for number in 1..=4 {
        nodes.push(start(&genesis, number, &directory).await?);
    }
    until(&nodes, 3).await;
    let torn = nodes.pop().ok_or("there are four")?;
    println!("node 4 is torn down at height {}: {:?}", torn.summary().height, torn.abort().await);
    until(&nodes, nodes.iter().map(|node| node.summary().height.0).max().unwrap_or(0) + 3).await;
    nodes.push(start(&genesis, 4, &directory).await?);
    println!(
        "node 4 is back from {} with everything that it had promised",
        directory.join("4.log").display()
    );
    until(&nodes, nodes.iter().map(|node| node.summary().height.0).max().unwrap_or(0) + 3).await;
    for node in &nodes {
        println!("{:?}", node.shutdown().await);
    }
    Ok(std::fs::remove_dir_all(directory)?)
}

async fn start(genesis: &Genesis, number: u8, directory: &Path) -> Result<Handle, Failure> {
    let store = Arc::new(LogStore::open(&directory.join(format!("{number}.log")))?);
    let application = FifoPayload::new(store.clone());
    let (handle, _) = Node::spawn(config(genesis, number)?, identity(number), store, application).await?;
    Ok(handle)
}

/// Waits until every node has so many blocks.
async fn until(nodes: &[Handle], height: u64) {
    while nodes.iter().any(|node| node.summary().height.0 < height) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("{} nodes are at height {height}", nodes.len());
}
