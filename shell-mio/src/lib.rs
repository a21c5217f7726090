//! The production shell of timed: one thread of [mio], a durable store, and no opinion about any peer.
//!
//! Everything that is decided is decided by [`timed_core::Node`]. This crate moves bytes between its
//! connections and the kernel, tells it the time, makes its records durable, and carries requests and events
//! between it and the rest of the process.
//!
//! ```no_run
//! # use timed_core::{Config, crypto::Provider};
//! # fn start(config: Config, provider: Box<dyn Provider>, seed: [u8; 32]) -> Result<(), Box<dyn std::error::Error>> {
//! use timed_mio::{Exit, Shell, ShellConfig, Store};
//!
//! let (store, journal) = Store::open("timed.redb")?;
//! let node = timed_core::Node::new(config, provider, seed, journal, timed_mio::now())?;
//!
//! let mut shell = Shell::bind(ShellConfig::listening_on("192.0.2.1:24100".parse()?))?;
//! shell.take_signals()?;
//! let remote = shell.remote(); // Clone + Send + Sync: for the API, health checks, tests
//!
//! let exit = shell.run(node, store, |event: &timed_core::Event| println!("{event:?}"));
//! assert!(matches!(exit, Exit::Stopped));
//! # drop(remote);
//! # Ok(())
//! # }
//! ```
//!
//! | part | where |
//! |---|---|
//! | the loop, its sockets, its doors to other threads | `event_loop` |
//! | durable records and blocks, group commit | `store` |
//! | what blocks carry | [`application`] |
//! | what the names of peers stand for | [`NameService`] |
//! | the rest of the daemon around a node that another shell drives | [`daemon::hosting`] |

pub mod application;
pub mod daemon;
mod event_loop;
mod names;
mod store;
mod threads;

pub use event_loop::{
    Answer, BindError, Busy, Driven, EventSink, Exit, Latencies, LoopCounters, NoReply, PendingReply, Remote,
    Shell, ShellConfig, ShellEvent, SocketOptions, StopCause, descriptors, now,
};
pub use names::NameService;
pub use store::{BlockReader, Blocks, Inclusion, Store, StoreError};
pub use timed_core::Core;
