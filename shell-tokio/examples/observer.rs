//! Follows a network's blocks and prints them, without being one of its masternodes.
//!
//! `cargo run -p timed-tokio --example observer` makes a network of its own to follow, until Ctrl-C. To follow one that
//! runs, such as that of `timed devnet --dir DIR`, give it that network's genesis:
//! `cargo run -p timed-tokio --example observer -- DIR/node1/genesis.toml`

mod shared;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shared::{Failure, config, genesis, identity, read_genesis};
use timed_tokio::application::FifoPayload;
use timed_tokio::core::{Event, SyncState};
use timed_tokio::{Config, Events, Genesis, Handle, Identity, MemoryStore, Node, Notice};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut masternodes = Vec::new();
    let genesis = match std::env::args().nth(1) {
        Some(path) => read_genesis(Path::new(&path))?,
        None => {
            let genesis = genesis(4, 24_600, Duration::from_secs(2))?;
            for number in 1..=4 {
                masternodes.push(masternode(&genesis, number).await?);
            }
            genesis
        }
    };
    // A key of its own, for this run: nobody knows it, and nothing is promised with it.
    let (identity, _) = Identity::generate()?;
    let store = MemoryStore::new();
    let application = FifoPayload::new(Arc::new(store.clone()));
    let (handle, mut events) = Node::spawn(Config::observer(&genesis), identity, store, application).await?;
    println!("{} follows the network {:?}; Ctrl-C ends it", handle.id(), genesis.network.as_str());
    tokio::select! {
        told = follow(&handle, &mut events) => told?,
        _ = tokio::signal::ctrl_c() => {}
    }
    for masternode in &masternodes {
        let _ = masternode.shutdown().await;
    }
    println!("{:?}", handle.shutdown().await);
    Ok(())
}

async fn follow(handle: &Handle, events: &mut Events) -> Result<(), Failure> {
    while let Some(notice) = events.next().await {
        match notice {
            Notice::Core(Event::BlockCommitted { height, hash, round, proposer, via, .. }) => {
                let block = handle.block(height).await?.ok_or("a block that was committed is stored")?;
                let transactions = FifoPayload::transactions(&block.block.payload).unwrap_or_default();
                println!(
                    "block {height}: {hash:?}, round {round}, by {proposer:?}, {} signatures, {} transactions ({})",
                    block.certificate.signatures.len(),
                    transactions.len(),
                    via.as_str()
                );
            }
            Notice::Core(Event::LinkUp { peer, remote, .. }) => println!("linked with {peer:?} at {remote}"),
            Notice::Core(Event::LinkDown { peer, reason, .. }) => println!("lost {peer:?}: {reason}"),
            Notice::Core(Event::Sync(SyncState::Syncing { height, target })) => {
                println!("catching up: at {height} of {target}");
            }
            // It prints more slowly than blocks come while it catches up. All of them are in the store.
            Notice::Missed(count) => println!("({count} events later)"),
            _ => {}
        }
    }
    Ok(())
}

async fn masternode(genesis: &Genesis, number: u8) -> Result<Handle, Failure> {
    let store = MemoryStore::new();
    let application = FifoPayload::new(Arc::new(store.clone()));
    let (handle, _) = Node::spawn(config(genesis, number)?, identity(number), store, application).await?;
    Ok(handle)
}
