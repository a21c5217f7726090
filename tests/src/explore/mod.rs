//! Exhaustive exploration of two nodes, and of a third process that shares a key, on the real core.
//!
//! A schedule is a list of [`Step`]s: which packet is delivered next, which timer fires, what an adversary
//! with a bounded budget does. Every schedule within the bounds is executed on real [`timed_core::Node`]s with
//! null cryptography; states that were met before are not continued (the digest covers both nodes, all that is
//! in flight, the time and the budget left). From every state in which nothing is in flight the network then
//! behaves well for a while, and must end with one lasting link that both ends name alike.
//!
//! ```text
//! cargo run -p timed-tests --release --no-default-features --bin explore -- --dials 3 --drops 2 --restarts 1
//! ```

mod bounds;
mod ending;
mod host;
mod model;
mod search;
mod step;
mod violation;
mod wander;
mod wire;

pub use bounds::{Bounds, Budget, Cast, DiskPace, Identities};
pub use ending::Ending;
pub use model::Model;
pub use search::{Outcome, explore};
pub use step::{BadStep, ConnKey, Death, HostIx, Memory, Side, Step, line, parse};
pub use violation::{Violation, replay};
pub use wander::wander;
