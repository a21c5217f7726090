//! The one table of bounds of this shell: every queue, map and buffer beside the core's has its row here. What the
//! core holds is bounded by [`timed_core::Limits`].

use std::time::Duration;

/// Chunks of received bytes that wait for the driver, from all connections together.
pub const ARRIVALS: usize = 256;
/// Bytes of a chunk at most.
pub const CHUNK: usize = 32 * 1024;
/// Chunks of one connection that the core has not taken yet: no more is read from it.
pub const CHUNKS: usize = 2;
/// Connections taken from the listener that wait for the driver.
pub const ACCEPTED: usize = 16;
/// Requests of handles that wait for the driver; who asks beyond that waits.
pub const REQUESTS: usize = 256;
/// Requests that the core has not answered yet: beyond that none is taken. Only those wait longer than a moment that
/// need the disk.
pub const UNANSWERED: usize = 4096;
/// Records and blocks that wait for the store: more than the core ever has under way, which is as many submitted
/// transactions as its mempool holds. One more, and the node halts as after a failing disk.
pub const WRITES: usize = 256 * 1024;
/// Their bytes.
pub const WRITE_BYTES: usize = 512 * 1024 * 1024;
/// Records and blocks that a store is given at once.
pub const WRITE_GROUP: usize = 4096;
/// Their bytes, but for the last one's.
pub const WRITE_GROUP_BYTES: usize = 8 * 1024 * 1024;
/// Questions that wait for the application; beyond that it is asked no more.
pub const QUESTIONS: usize = 32;
/// Ranges of blocks that wait to be read for peers; beyond that there are none for them now.
pub const LOADS: usize = 32;
/// Answers of the store, the application and the name service that wait for the driver.
pub const ANSWERS: usize = 64;
/// Events kept for those who read them late.
pub const EVENTS: usize = 4096;
/// Bytes of these, as far as they carry any.
pub const EVENT_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of the goodbye of a connection, and what it had not sent before, at most.
pub const LAST_BYTES: usize = 256 * 1024;
/// Closed connections whose last bytes are under way; one more cuts the oldest.
pub const LINGERING: usize = 256;

/// Bytes that are taken from the core at once for a connection that takes everything.
pub(crate) const BUDGET: usize = 64 * 1024;
/// The same while its socket is full, for what is taken can no longer be overtaken: one record of the greatest size.
pub(crate) const CAREFUL_BUDGET: usize = 24 * 1024;
/// Chunks, answers and connections that are looked at in one turn, so that deadlines have theirs.
pub(crate) const PER_TURN: usize = 128;

/// How long a peer may take to close its end.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
/// Longest time between two turns of the driver.
pub(crate) const TURN_AT_LEAST_EVERY: Duration = Duration::from_secs(1);
/// How long the core may take to stop.
pub(crate) const STOP_WITHIN: Duration = Duration::from_secs(8);
/// How long the store may take to write what still waits.
pub(crate) const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// A name service that has not answered by then knows nothing.
pub(crate) const RESOLVE_WITHIN: Duration = Duration::from_secs(30);
