//! The protocol of a masternode network as a pure state machine: bytes and clock readings go in, commands and
//! bytes come out. What it says on the wire, and why, is in `core/PROTOCOL.md`; its rules are cited by their
//! numbers throughout.
//!
//! There is no socket, thread, clock, file or log here. A *shell* has those and decides nothing: it hands each
//! thing that happens to [`Node::handle`], carries out what [`Node::next_command`] gives, and moves bytes with
//! [`Node::transmit`]. `timed-mio` is the shell of the daemon.
//!
//! # The loop
//!
//! ```
//! use timed_core::crypto::noise::NoiseProvider;
//! use timed_core::{
//!     AddrScope, Command, Config, GenesisHash, Input, Limits, Masternode, MasternodeMode, Mono, NetworkName,
//!     Node, Now, Registry, Timings, Wall,
//! };
//! # use timed_core::crypto::Provider;
//! # fn now() -> Now { Now { mono: Mono(1), wall: Wall(1_800_000_000_000) } }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let crypto = NoiseProvider::new([7; 32].into()); // the seed of this node's ed25519 key
//! let advertised = "127.0.0.1:24100".parse()?;
//! let registry = Registry::new(vec![Masternode { id: crypto.node_id(), addr: advertised }])?;
//! let config = Config {
//!     network: NetworkName::new("testnet")?,
//!     genesis: GenesisHash([9; 32]),
//!     limits: Limits::for_registry(registry.size()),
//!     registry,
//!     advertised: Some(advertised),
//!     bootstrap: vec![],
//!     reserved: vec![],
//!     seeds: vec![],
//!     addresses: AddrScope::suiting(Some(advertised)),
//!     masternode: MasternodeMode::Auto,
//!     chain: None, // links and heartbeats alone
//!     agent: "example/1".to_owned(),
//!     timings: Timings::default(),
//! };
//! let (seed, journal) = ([3; 32], vec![]); // fresh entropy; the records of earlier starts
//! let mut node = Node::new(config, Box::new(crypto), seed, journal, now())?;
//! # let mut turns = 0;
//! loop {
//!     while let Some(command) = node.next_command() {
//!         match command {
//!             Command::Dial { conn, addr } => println!("connect to {addr}, later Dialed or Closed for {conn}"),
//!             Command::Send { conn } => println!("call transmit for {conn} while its socket takes bytes"),
//!             Command::Close { conn, reason } => println!("drain transmit, close {conn}: {reason}; Closed"),
//!             Command::Reading { conn, reading } => println!("{reading:?} the reading of {conn}"),
//!             Command::Persist { ticket, .. } => node.handle(now(), Input::Persisted(ticket)), // once durable
//!             Command::Resolve { seed } => println!("ask the name service about {seed:?}, then Resolved"),
//!             Command::Produce { .. } | Command::Validate { .. } => println!("ask the application, then answer"),
//!             Command::Commit { .. } | Command::Load { .. } => println!("store and load blocks, then answer"),
//!             Command::Event(event) => println!("log, count, publish: {event:?}"),
//!         }
//!     }
//!     // Wait for sockets, writes and requests, at most until `node.deadline()`; sample the clocks once; then:
//!     node.handle(now(), Input::Tick); // or Data, Dialed, Closed, Persisted, Request
//! #   turns += 1;
//! #   if turns == 3 { break }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Connections that come in are announced with [`Node::accept`].
//!
//! # Contracts
//!
//! - **C1** [`Node::handle`] may be called any number of times before commands are taken.
//! - **C2** [`Node::next_command`] and [`Node::deadline`] never change the protocol's state.
//! - **C3** [`Node::transmit`] may queue commands: take them after it.
//! - **C4** Time that goes backwards is clamped and counted. A wake-up more than 2 s after the deadline means
//!   that we were frozen: all deadlines shift by that much (at most 60 s in ten minutes) and nobody is declared
//!   dead for it.
//! - **C5** An input with a stale [`ConnId`] is ignored and counted.
//! - **C6** No input makes a node fail or panic: a peer's fault ends in [`Command::Close`] with a reason, our own
//!   in [`Event::Fatal`] and a halt.
//! - **C7** The same configuration, seed, journal and calls give the same commands and bytes, bit for bit.
//! - **C8** Every queue, map and buffer has its bound in [`Limits`]; what they add up to is told at the start.
//!
//! # Map
//!
//! | where | what |
//! |---|---|
//! | [`Input`], [`Command`], [`Event`], [`Request`], [`Reply`] | the vocabulary of the door |
//! | `node` | [`Node`]: routes inputs to the machines and applies their effects; no policy of its own |
//! | `masternode` | heartbeats with witnesses, the active set, the link matrix |
//! | [`net`] | who dials, which duplicate survives, knocks, back-off, epochs, the pool of peers |
//! | [`flight`] | the recorder: what a node did, and the same again |
//! | `link` | one connection: opening, signed words, lanes out, liveness |
//! | [`crypto`] | the traits of a provider, and Noise with ed25519 |
//! | [`wire`] | records, frames, messages, their encoding, and the bytes that are signed |
//! | [`Config`], [`limits`], [`Registry`], `gate`, `timers`, … | the base |
//!
//! Upper folders use lower ones, never the other way.

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
#![cfg_attr(
    test,
    allow(clippy::indexing_slicing, clippy::panic, clippy::expect_used, clippy::cast_possible_truncation)
)]

mod addr;
mod ban;
mod chain;
mod command;
mod config;
pub mod crypto;
mod event;
pub mod flight;
mod gate;
mod ids;
mod input;
mod journal;
pub mod limits;
mod link;
mod masternode;
pub mod net;
mod node;
mod recorded;
mod registry;
mod rng;
mod seats;
mod time;
mod timers;
pub mod wire;
mod witness;

/// The consensus of one height as plain data: what the exploration and the oracle in `tests` run. No part of the
/// interface: nothing here is promised to stay.
#[doc(hidden)]
pub mod rounds {
    pub use crate::chain::consensus::{
        Act, Acts, Consensus, NotDue, OwnProposal, OwnVote, Record, Timeliness, Verdict, Voice,
    };
    pub use crate::chain::round::Polka;
    pub use crate::chain::timeouts::{Timeout, Timer};
}

/// The gate of persist-before-send as plain data: what the fuzzer runs. No part of the interface: nothing here is
/// promised to stay.
#[doc(hidden)]
pub mod durable {
    pub use crate::gate::{Gate, Passage};
}

pub use addr::{AddrClass, AddrError, AddrScope, CanonicalAddr};
pub use ban::{Ban, BanCause, BanEnd, BanNote, BanTarget, BanTargetError, IpNet};
pub use command::{Command, CommitPace, Reading, Transmit};
pub use config::{
    Bootstrap, ChainConfig, Config, ConfigError, MasternodeMode, MinPeers, NetworkName, NewSeed, PeerList,
    Reconfiguration, Seed, Timings,
};
pub use event::{
    Activity, AddressCounts, Attempt, CloseReason, ClosedBy, CommittedVia, ConsensusInfo, Counters,
    DialedBecause, Direction, Drain, Enforce, Event, Evidence, Excessive, Fatal, Handling, KnockAnswer,
    LinkCounts, MasternodeInfo, Matrix, MatrixLink, MatrixNode, MempoolInfo, Next, NotProducing, Offence,
    Pair, PeerAbsence, PeerInfo, Pending, Producing, RateUnit, Reply, SignedProposal, SlotClass, SlotCount,
    SlotCounts, Statement, StatementKind, Status, Step, Summary, SyncState, TrafficClass, TransportCause,
    TxState, UnknownCode, Warning, Why,
};
pub use ids::{
    BadHex, BlockHash, BootEpoch, BootNonce, CertificateHash, ChunkHash, ConnId, DialOrdinal, GenesisHash,
    Height, LinkTag, LoadId, NodeId, PayloadRoot, RegistryTag, RequestId, Round, SeedId, SessionHash,
    Signature, Ticket, TxId,
};
pub use input::{Input, PayloadVerdict, PeerRef, QuorumLoss, RegistryChange, Request, StoredBlock};
pub use journal::{Record, RecordKey};
pub use limits::{Holding, Limits, REQUESTS_PER_WAKE, RateLimit, RateLimits};
pub use masternode::sample_period;
pub use node::{Core, Node, Refused};
pub use registry::{MAX_MASTERNODES, Masternode, MasternodeIndex, Registry, RegistryError, RegistryHash};
pub use rng::Rng;
pub use seats::SeatSet;
pub use time::{Mono, Now, Wall};
pub use wire::block::{Block, Certificate, FinalBlock, Header, VoteKind};
