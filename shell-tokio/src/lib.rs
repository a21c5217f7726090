//! A masternode of your own application inside a tokio runtime.
//!
//! The network is that of `timed`: one lasting, authenticated, encrypted link between every two masternodes, found, kept
//! and repaired without an operator, and over those links a final block every slot. Everything that is decided is decided by
//! [`timed_core::Node`], re-exported with its vocabulary as [`core`]. This crate gives it sockets, clocks, a disk and
//! tasks, and decides nothing.
//!
//! # A network of one
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use timed_tokio::application::FifoPayload;
//! use timed_tokio::core::{CanonicalAddr, Event, Masternode, NetworkName, Registry};
//! use timed_tokio::{Config, Exit, Genesis, Identity, MemoryStore, Node, Notice};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! // What all nodes of a network agree on: here, one masternode and its address.
//! let (identity, _seed) = Identity::generate()?; // keep the seed, as you would keep a password
//! let addr: CanonicalAddr = "127.78.99.1:24100".parse()?;
//! let genesis = Genesis {
//!     network: NetworkName::new("example")?,
//!     block_interval: Duration::from_millis(50),
//!     genesis_time: None,
//!     registry: Registry::new(vec![Masternode { id: identity.id(), addr }])?,
//! };
//!
//! let store = MemoryStore::new(); // in earnest: RedbStore::open(directory)?
//! let application = FifoPayload::new(Arc::new(store.clone())); // in earnest: your own
//! let (node, mut events) =
//!     Node::spawn(Config::reachable(&genesis, addr), identity, store, application).await?;
//!
//! let id = node.submit("hello".into()).await?; // durable here from now on
//! while let Some(notice) = events.next().await {
//!     if let Notice::Core(Event::BlockCommitted { height, .. }) = notice {
//!         let block = node.block(height).await?.ok_or("it is stored")?;
//!         let carried = FifoPayload::transactions(&block.block.payload).unwrap_or_default();
//!         if carried.iter().any(|transaction| &transaction[..] == b"hello") {
//!             println!("{id} is final in block {height}");
//!             break;
//!         }
//!     }
//! }
//! assert_eq!(node.shutdown().await, Exit::Stopped);
//! # Ok(())
//! # }
//! ```
//!
//! # What you bring
//!
//! | | what it is | what there is |
//! |---|---|---|
//! | [`Config`] | the network's [`Genesis`], where this node is, every bound and time | [`Config::reachable`], [`Config::observer`] |
//! | [`Identity`] | the node's key | from a seed, or held elsewhere |
//! | [`Store`] | what survives a restart: promises and blocks | [`MemoryStore`]; `RedbStore` with the feature `redb` |
//! | [`Application`] | what blocks carry: `produce`, `validate`, `commit` | [`FifoPayload`](application::FifoPayload), the daemon's |
//!
//! # What you get
//!
//! A [`Handle`], by which any task asks and orders: peers, the whole network's links, why a link stands or not, transactions,
//! blocks, bans, connect and disconnect, evidence, the end. And [`Events`], a stream of everything that happens; who reads
//! it too slowly is told how much was missed, and stalls nothing.
//!
//! # What holds
//!
//! - One task owns the core. Each connection has a task that reads and one that writes; the listener, the store and the
//!   application have one each. Between them are bounded channels and buffers: [`limits`] is the table.
//! - Nothing is sent that depends on a record before the store says that it is durable. A store that fails ends the node,
//!   and nothing that it promised is lost with it.
//! - A slow application delays its own answers and nothing else; one that fails or panics ends the node in order.
//! - Bytes are sealed when their socket has room, not before: what waits can still be overtaken by what matters more. A
//!   peer that the core does not want to hear is not read.
//! - Every method that waits may be dropped while it does: an order that was taken is carried out. A node stops in order by
//!   [`Handle::shutdown`], or when its last handle is dropped; a runtime that is shut down under it is a crash to the
//!   network, and to the store one that it must survive.
//! - A call of the application or the store that never returns keeps its thread: nothing can end it. [`Handle::shutdown`]
//!   returns all the same, within 9 s; a runtime that is dropped waits for the call without a bound, unless it is
//!   given one with [`Runtime::shutdown_timeout`](tokio::runtime::Runtime::shutdown_timeout).
//! - The clocks are read once each time the driver wakes up. A runtime that is blocked for more than two seconds is a node
//!   that was frozen: it is forgiven as long as that is rare (contract C4 of [`timed_core`]). Keep long computations
//!   off its threads.
//!
//! # Features
//!
//! `redb`, on by default: `RedbStore`. Features only add. The crate needs Rust 1.90 and tokio with its timer and I/O
//! drivers enabled, of either flavour; it is built and tested on Linux.
//!
//! # Examples
//!
//! `cargo run -p timed-tokio --example …`
//!
//! | | shows |
//! |---|---|
//! | `key_value` | a replicated map of four processes, put and get over HTTP, that survives `kill -9` |
//! | `observer` | following a network's blocks without being one of its masternodes |
//! | `custom_store` | a store of one's own, torn down in the middle of its work |
//!
//! `timed-tokio-node`, an example of `timed-mio`, is the whole daemon on this shell: what `timed devnet --shell tokio` runs.

#![forbid(unsafe_code)]

pub mod application;
mod clock;
mod config;
mod driver;
mod events;
mod handle;
pub mod limits;
mod network;
mod node;
mod request;
pub mod store;
mod tcp;

pub use application::Application;
pub use clock::{Clock, SystemClock};
pub use config::{Config, Genesis, Identity};
pub use driver::Exit;
pub use events::{Events, Notice, ShellEvent};
pub use handle::{Counters, Handle};
pub use network::{Halves, Network};
pub use node::{Node, SpawnError, Surroundings};
pub use request::{Connecting, RequestError, TransactionState};
#[cfg(feature = "redb")]
pub use store::RedbStore;
pub use store::{MemoryStore, Store};
pub use tcp::{SocketOptions, Tcp};
pub use timed_core as core;
pub use timed_core::Core;
