//! A deterministic, byte-level simulator of a whole network: real cores, virtual time.
//!
//! A [`World`] holds hosts, each with an address, two clocks, a disk and at most one process; a process is a
//! [`timed_core::Node`] driven exactly as a correct shell drives it. Between them lie kernels and a network
//! that carry bytes, not messages: with latency, bandwidth, bounded buffers, segments split and joined at
//! will, FIN, RST, half-open connections, black holes in one direction or both, firewalls. Machines lose
//! power, processes are killed and frozen, disks lose what was not durable, clocks are wrong and step.
//!
//! Everything depends on one seed. [`World`] checks its invariants after every step; a failure, and any
//! failed assertion of the test around it, prints the seed, the time, the last events and the command that
//! repeats the run.
//!
//! ```
//! use std::time::Duration;
//! use timed_tests::sim::{HostId, Setup, World, null, seed};
//!
//! let mut world = World::new(seed(1), &Setup::new(null).masternodes(4));
//! world.start_all();
//! world.expect("the mesh", Duration::from_secs(1), World::is_meshed);
//! world.kill(HostId(2));
//! world.start(HostId(2));
//! let took = world.expect("its links are back", Duration::from_secs(3), World::is_meshed);
//! assert_eq!(world.links().len(), 6);
//! # let _ = took;
//! ```
//!
//! A [`Campaign`] is a long run: storms of faults and calms in turn; the command `sim` runs them.
//!
//! `TIMED_SEED` runs one seed, `TIMED_SEEDS` so many in tests that try several, `TIMED_TRACE` prints every
//! event as it happens.

mod agenda;
mod application;
mod campaign;
mod chain_faults;
mod chain_rules;
mod chain_view;
mod clock;
mod contact;
mod context;
mod dial_rules;
mod disk;
mod faults;
mod host;
mod invariants;
mod ledger;
mod machine;
mod net;
#[cfg(test)]
mod net_tests;
mod notary;
mod observe;
mod path;
mod promises;
mod puppet;
mod setup;
mod shell;
mod stand_in;
mod stranger;
mod strike;
mod trace;
mod traitor;
mod transit;
mod view;
mod visitor;
mod wire;
mod world;

pub use application::{Application, Conduct, Judgement, Offer, assemble, disassemble, tx_id};
pub use campaign::{Campaign, Tally, Traitor, Weather};
pub use clock::{HostClock, SimTime, WALL_AT_START};
pub use disk::{Disk, DiskHealth, Snapshot};
pub use faults::{Fault, Swarm};
pub use host::{Exit, Host, HostId, MakeProvider, NodeKey, Role, Version};
pub use machine::Recording;
pub use net::Power;
pub use notary::{StatementKind, Subject};
pub use observe::{LiveLink, Seen};
pub use path::{Cut, Dials, Draining, Packets, Profile, Strain};
pub use puppet::{Draft, Puppet, Script, forged};
pub use setup::{HostPlan, PORT, Setup, base_config, derived_key, noise, null};
pub use trace::TraceHash;
pub use view::Link;
pub use visitor::{Leaving, Visit};
pub use wire::{Side, TcpId};
pub use world::{World, seed, seeds};
