//! Exhaustive exploration of two nodes, and of a third process that shares a key, on the real core.
//!
//! A schedule is a list of [`Step`]s: which packet is delivered next, which timer fires, what an adversary
//! with a bounded [`Budget`] does. Every schedule within the [`Bounds`] is executed on real
//! [`timed_core::Node`]s with null cryptography; a state that was met before is not continued (its digest
//! covers both nodes, all that is in flight, the time and the budget left).
//!
//! - From every state in which nothing is in flight the network then behaves well for 90 s. Within 60 s of
//!   them one link must stand that both ends name alike, no other connection is left at either end, and for
//!   the last 30 s nobody dials and nothing changes. Unless a key has two processes or a lost epoch, not more
//!   than one link may come up at a host on the way.
//! - At every state: at most one live link a host, no dial while one is live, no link that becomes live after
//!   its other end has let it go as a duplicate, none that is dropped as lost or as a ghost while its other
//!   end holds it as live.
//!
//! What is left out: the first packet of a connection comes with the connection, and answered pings other than
//! a link's first are delivered at once, for nothing is decided by them. A process wakes up at most 1.5 s late
//! while another one goes on. Back-off and other random delays are what the seed makes of them; a connection's
//! keys and delays do not depend on the order of other events. Nodes make no heartbeats.
//!
//! ```text
//! cargo run -p timed-tests --release --no-default-features --bin explore -- --timers 2 --dials 1 --drops 1
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
pub use model::{Impossible, Model};
pub use search::{Outcome, explore};
pub use step::{BadStep, ConnKey, Death, HostIx, Memory, Side, Step, line, parse};
pub use violation::{Violation, replay};
pub use wander::wander;
