//! The protocol of a masternode network as a pure state machine.

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
#![cfg_attr(
    test,
    allow(clippy::indexing_slicing, clippy::panic, clippy::expect_used, clippy::cast_possible_truncation)
)]

mod addr;
mod command;
mod config;
pub mod crypto;
mod event;
mod gate;
mod ids;
mod input;
mod journal;
pub mod limits;
mod link;
mod masternode;
pub mod net;
mod node;
mod registry;
mod rng;
mod time;
mod timers;
pub mod wire;

pub use addr::{AddrError, CanonicalAddr};
pub use command::{Command, Reading, Transmit};
pub use config::{Bootstrap, Config, ConfigError, MasternodeMode, NetworkName, Timings};
pub use event::{
    Activity, Attempt, CloseReason, ClosedBy, Counters, DialedBecause, Direction, Event, Fatal, KnockAnswer,
    LinkCounts, MasternodeInfo, Matrix, MatrixLink, MatrixNode, Pair, PeerInfo, Reply, Status, Summary,
    TransportCause, UnknownCode, Warning, Why,
};
pub use ids::{
    BadHex, BlockHash, BootEpoch, BootNonce, ConnId, DialOrdinal, GenesisHash, Height, LinkTag, NodeId,
    RequestId, SessionHash, Signature, Ticket,
};
pub use input::{Input, PeerRef, Request};
pub use journal::{Record, RecordKey};
pub use limits::{Limits, REQUESTS_PER_WAKE};
pub use node::{Node, Refused};
pub use registry::{MAX_MASTERNODES, Masternode, MasternodeIndex, Registry, RegistryError, RegistryHash};
pub use rng::Rng;
pub use time::{Mono, Now, Wall};
