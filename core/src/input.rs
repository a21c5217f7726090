//! What a shell tells the core.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use crate::addr::CanonicalAddr;
use crate::ban::{BanNote, BanTarget};
use crate::config::Reconfiguration;
use crate::event::TransportCause;
use crate::ids::{BlockHash, ConnId, Height, LoadId, NodeId, RequestId, Round, SeedId, Ticket, TxId};
use crate::registry::Masternode;

/// One input to [`Node::handle`](crate::Node::handle).
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
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
    /// Bytes arrived, in any chunking. A recording holds them by themselves.
    #[serde(skip)]
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
    /// The application's payload; answers [`Command::Produce`](crate::Command::Produce).
    Produced {
        /// As in the command.
        height: Height,
        /// As in the command.
        round: Round,
        /// The payload; `None` if the application has none to offer now, not even an empty one.
        payload: Option<Bytes>,
        /// Transactions that can never be included, for example because they are in an earlier block.
        stale: Vec<TxId>,
    },
    /// The application's word on a payload; answers [`Command::Validate`](crate::Command::Validate).
    Validated {
        /// As in the command.
        block: BlockHash,
        /// The word.
        verdict: PayloadVerdict,
    },
    /// The application has taken a final block in; answers [`Command::Commit`](crate::Command::Commit), beside
    /// `Persisted` for its ticket. The two may come in any order.
    Committed {
        /// As in the command.
        height: Height,
        /// What the block changes in the registry, in force two heights later (rule C-7).
        registry_changes: Vec<RegistryChange>,
        /// The transactions that the block carries.
        included: Vec<TxId>,
    },
    /// Stored blocks; answers [`Command::Load`](crate::Command::Load).
    Loaded {
        /// As in the command.
        load: LoadId,
        /// Blocks of consecutive heights from the one asked for; empty if that one is not stored.
        blocks: Vec<StoredBlock>,
    },
    /// What a name stands for at present, or stood for when an earlier question was answered late; answers [`Command::Resolve`](crate::Command::Resolve).
    Resolved {
        /// As in the command.
        seed: SeedId,
        /// Its addresses; empty if there are none or the question failed.
        addrs: Vec<CanonicalAddr>,
    },
    /// The operator or the application asks; answered by [`Event::Reply`](crate::Event::Reply).
    Request {
        /// Chosen by the shell, repeated in the reply.
        id: RequestId,
        /// The question.
        request: Request,
    },
}

/// What the application says of a proposed payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum PayloadVerdict {
    /// This node may vote for it.
    Valid,
    /// It must not be in a block.
    Invalid,
}

/// A change of the registry that a block brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum RegistryChange {
    /// A masternode joins, or a registered one moves to another address.
    Put(Masternode),
    /// A masternode leaves.
    Remove(NodeId),
}

/// A final block as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct StoredBlock {
    /// Its height.
    pub height: Height,
    /// [`FinalBlock::encode`](crate::FinalBlock::encode) of it.
    pub bytes: Bytes,
}

/// How the operator names a peer.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum PeerRef {
    /// By its key.
    Id(NodeId),
    /// By address and port.
    Addr(CanonicalAddr),
    /// By IP address alone; must be unambiguous.
    Ip(IpAddr),
    /// By the first hex digits of its key; must be unambiguous.
    IdPrefix(String),
    /// By the name under which it is configured, in the order of [`Config::seeds`](crate::Config::seeds); must be
    /// unambiguous.
    Seed(SeedId),
}

/// What becomes of an order that takes the quorum away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum QuorumLoss {
    /// It is refused.
    Refused,
    /// The operator knows that no block is decided until this node is back.
    Accepted,
}

/// A question or an order from the operator or the application.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
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
    /// Seek a peer no more for the sake of an earlier `Connect`; a link stays while it stands.
    Forget(PeerRef),
    /// Close the link to a peer and stay apart for ten minutes or until `Connect`.
    Disconnect(PeerRef),
    /// Ban keys or addresses; applies at once to live sessions and dials (rule A-4).
    Ban {
        /// Whom.
        target: BanTarget,
        /// For how long; `None` until it is lifted.
        lasts: Option<Duration>,
        /// The operator's own words.
        note: Option<BanNote>,
    },
    /// Lift a ban, whoever set it.
    Unban(BanTarget),
    /// Every ban in force.
    Bans,
    /// Send opaque bytes to one live peer or to all: best effort, on the relay lane, at most 64 KiB.
    Send {
        /// The peer; `None` for every live peer.
        to: Option<NodeId>,
        /// The bytes.
        payload: Bytes,
    },
    /// Take a transaction: answered once it is durable here, or refused.
    Submit(Bytes),
    /// Whether a transaction waits here to be in a block.
    Transaction(TxId),
    /// Proofs of equivocation that this node holds.
    Evidence,
    /// The height under way: round, step, votes.
    Consensus,
    /// Change what the operator may change while the node runs.
    Reconfigure(Box<Reconfiguration>),
    /// Announce to every peer that this node is about to be away (rule L-5). It takes no more transactions from
    /// then on, and takes part in everything else until it is stopped; after the next start all is as ever.
    Drain {
        /// For how long at most, from the end of its links on: whole seconds, a second to a day.
        lasts: Duration,
        /// What if those who are left cannot decide blocks.
        loss: QuorumLoss,
    },
    /// Take the announcement back.
    Undrain,
    /// Say goodbye to everyone and stop: answered at once, followed by
    /// [`Event::Stopped`](crate::Event::Stopped) when every connection is closed.
    Stop,
}
