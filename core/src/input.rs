//! What a shell tells the core.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use crate::addr::CanonicalAddr;
use crate::event::TransportCause;
use crate::ids::{ConnId, NodeId, RequestId, Ticket};

/// One input to [`Node::handle`](crate::Node::handle).
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// The deadline has passed, or nothing else is to be told. Harmless at any time.
    Tick,
    /// A dial succeeded; answers [`Command::Dial`](crate::Command::Dial).
    Dialed {
        /// The connection the command named.
        conn: ConnId,
        /// Our end of the socket.
        local: SocketAddr,
    },
    /// Bytes arrived, in any chunking.
    Data {
        /// The connection they arrived on.
        conn: ConnId,
        /// The bytes; the core keeps none of this buffer.
        bytes: &'a [u8],
    },
    /// The socket is gone. Told exactly once for every [`ConnId`]: dialed, accepted, or closed by command.
    Closed {
        /// The connection.
        conn: ConnId,
        /// Why, as the operating system or the shell saw it.
        cause: TransportCause,
    },
    /// A record is durable; answers [`Command::Persist`](crate::Command::Persist).
    Persisted(Ticket),
    /// A record could not be written. The core halts with [`Event::Fatal`](crate::Event::Fatal).
    PersistFailed(Ticket),
    /// The operator or the application asks; answered by [`Event::Reply`](crate::Event::Reply).
    Request {
        /// Chosen by the shell, repeated in the reply.
        id: RequestId,
        /// The question.
        request: Request,
    },
}

/// How the operator names a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerRef {
    /// By its key.
    Id(NodeId),
    /// By address and port.
    Addr(CanonicalAddr),
    /// By IP address alone; must be unambiguous.
    Ip(IpAddr),
    /// By the first hex digits of its key; must be unambiguous.
    IdPrefix(String),
}

/// A question or an order from the operator or the application.
#[derive(Clone, Debug)]
pub enum Request {
    /// This node in short.
    Status,
    /// All live sessions.
    Peers,
    /// The whole network's links, from signed heartbeats.
    Matrix,
    /// The registry and what is known of each masternode.
    Masternodes,
    /// Why this node is, or is not, connected to a peer.
    Why(PeerRef),
    /// Dial a peer now; lifts a hold set by `Disconnect`.
    Connect {
        /// Where to.
        addr: CanonicalAddr,
        /// The key that it must prove, if known.
        id: Option<NodeId>,
    },
    /// As [`Request::Connect`], for a peer whose address the core knows.
    ConnectKnown(PeerRef),
    /// Close the link to a peer and stay apart for ten minutes or until `Connect`.
    Disconnect(PeerRef),
    /// Send opaque bytes to one live peer or to all: best effort, on the relay lane, at most 64 KiB.
    Send {
        /// The peer; `None` for every live peer.
        to: Option<NodeId>,
        /// The bytes.
        payload: Bytes,
    },
    /// Say goodbye to everyone and stop: answered at once, followed by
    /// [`Event::Stopped`](crate::Event::Stopped) when every connection is closed.
    Stop,
}
