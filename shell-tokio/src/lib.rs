//! A masternode of your own application inside a tokio runtime.

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
pub mod store;
mod tcp;

pub use application::Application;
pub use clock::{Clock, SystemClock};
pub use config::{Config, Genesis, Identity};
pub use driver::Exit;
pub use events::{Events, Notice, ShellEvent};
pub use handle::{Connecting, Counters, Handle, RequestError, TransactionState};
pub use network::{Halves, Network};
pub use node::{Node, SpawnError};
#[cfg(feature = "redb")]
pub use store::RedbStore;
pub use store::{MemoryStore, Store};
pub use tcp::{SocketOptions, Tcp};
pub use timed_core as core;
