//! What the core tells a shell to do.

use std::sync::Arc;

use bytes::Bytes;

use crate::addr::CanonicalAddr;
use crate::event::{CloseReason, Event};
use crate::ids::{BlockHash, ConnId, Height, LoadId, Round, SeedId, Ticket};
use crate::journal::RecordKey;
use crate::time::{Mono, Wall};
use crate::wire::block::FinalBlock;

/// One command, taken in order from [`Node::next_command`](crate::Node::next_command).
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub enum Command {
    /// Open a connection; answer with [`Input::Dialed`](crate::Input::Dialed) or
    /// [`Input::Closed`](crate::Input::Closed).
    Dial {
        /// Name of the new connection.
        conn: ConnId,
        /// Where to.
        addr: CanonicalAddr,
    },
    /// The connection's queue became non-empty: call [`Node::transmit`](crate::Node::transmit) now, and
    /// again whenever the socket can take more, until it answers `Drained`.
    Send {
        /// The connection.
        conn: ConnId,
    },
    /// Drain `transmit` as far as the socket takes it, close the socket, answer
    /// [`Input::Closed`](crate::Input::Closed). Also ends a dial under way.
    Close {
        /// The connection.
        conn: ConnId,
        /// Why; the same code went over the wire where there was one.
        reason: CloseReason,
    },
    /// Start or stop reading from a connection: the only back-pressure channel.
    Reading {
        /// The connection.
        conn: ConnId,
        /// What to do from now on.
        reading: Reading,
    },
    /// Make a record durable, then answer [`Input::Persisted`](crate::Input::Persisted) or
    /// [`Input::PersistFailed`](crate::Input::PersistFailed). A later record of a key replaces the earlier;
    /// records become durable in the order of their commands.
    Persist {
        /// Names this write in the answer.
        ticket: Ticket,
        /// The record's key.
        key: RecordKey,
        /// The record's content, opaque to the shell.
        record: Bytes,
    },
    /// Build a payload for a block of ours; answer with [`Input::Produced`](crate::Input::Produced).
    Produce {
        /// The block's height.
        height: Height,
        /// The round.
        round: Round,
        /// Start of the block's slot.
        slot: Wall,
        /// An answer after this comes too late for the round.
        by: Mono,
        /// Bytes of the payload at most: fewer where rounds have failed.
        max_bytes: usize,
        /// Transactions that wait, oldest first: no more than fit.
        transactions: Vec<Bytes>,
    },
    /// Judge a proposed payload; answer with [`Input::Validated`](crate::Input::Validated).
    Validate {
        /// The block.
        block: BlockHash,
        /// Its height.
        height: Height,
        /// What the proposer would have everybody commit.
        payload: Bytes,
        /// An answer after this comes too late for the round.
        by: Mono,
    },
    /// Make a final block durable and hand it to the application, in the order of the commands; answer with
    /// [`Input::Persisted`](crate::Input::Persisted) (or `PersistFailed`) and with
    /// [`Input::Committed`](crate::Input::Committed). Several may be under way. At a start the two newest blocks
    /// come once more: what is stored stays as it is, and the application says again what they change.
    Commit {
        /// Names this write in the answer.
        ticket: Ticket,
        /// The block's hash.
        hash: BlockHash,
        /// The block and its certificate.
        block: Arc<FinalBlock>,
        /// The same, encoded: what is to be stored and loaded.
        bytes: Bytes,
        /// Whether the network waits for it.
        pace: CommitPace,
    },
    /// Read final blocks for a peer that catches up; answer with [`Input::Loaded`](crate::Input::Loaded).
    Load {
        /// Names this read in the answer.
        load: LoadId,
        /// The first height.
        from: Height,
        /// The last height.
        to: Height,
        /// Encoded bytes at most, but one block at least.
        max_bytes: usize,
    },
    /// Ask the name service about a bootstrap peer that was configured by name; answer with
    /// [`Input::Resolved`](crate::Input::Resolved).
    Resolve {
        /// The place of the name in the shell's list.
        seed: SeedId,
    },
    /// A fact for logs, metrics, `/events` and waiting requests.
    Event(Event),
}

/// How soon a commit is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub enum CommitPace {
    /// Consensus goes on when it is durable.
    Live,
    /// One of many while this node catches up: a store does well to write several together.
    CatchUp,
}

/// Whether a connection is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub enum Reading {
    /// Read as bytes come.
    Resume,
    /// Leave bytes in the socket.
    Pause,
}

/// What [`Node::transmit`](crate::Node::transmit) left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Transmit {
    /// Nothing more to send; a `Send` command announces the next bytes.
    Drained,
    /// More is waiting: call again when the socket can take more.
    More,
}
