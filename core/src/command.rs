//! What the core tells a shell to do.

use bytes::Bytes;

use crate::addr::CanonicalAddr;
use crate::event::{CloseReason, Event};
use crate::ids::{ConnId, Ticket};
use crate::journal::RecordKey;

/// One command, taken in order from [`Node::next_command`](crate::Node::next_command).
#[derive(Clone, Debug)]
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
    /// A fact for logs, metrics, `/events` and waiting requests.
    Event(Event),
}

/// Whether a connection is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
