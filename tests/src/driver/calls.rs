//! A recording of every call to a node, and its repetition on another one.

use std::net::SocketAddr;

use timed_core::{Config, ConnId, Input, Mono, Node, Now, Request, RequestId, Ticket, TransportCause};

use super::setting::{Crypto, NODE, START};

/// An input that owns its bytes.
#[derive(Clone, Debug)]
pub enum Told {
    /// See [`Input::Tick`].
    Tick,
    /// See [`Input::Dialed`].
    Dialed(ConnId),
    /// See [`Input::Data`].
    Data(ConnId, Vec<u8>),
    /// See [`Input::Closed`].
    Closed(ConnId, TransportCause),
    /// See [`Input::Persisted`].
    Persisted(Ticket),
    /// See [`Input::PersistFailed`].
    PersistFailed(Ticket),
    /// See [`Input::Request`].
    Request(RequestId, Request),
}

impl Told {
    /// As the node takes it.
    #[must_use]
    pub fn input(&self) -> Input<'_> {
        match self {
            Self::Tick => Input::Tick,
            Self::Dialed(conn) => {
                Input::Dialed { conn: *conn, local: SocketAddr::from(([10, 0, 0, NODE], 40_000)) }
            }
            Self::Data(conn, bytes) => Input::Data { conn: *conn, bytes },
            Self::Closed(conn, cause) => Input::Closed { conn: *conn, cause: *cause },
            Self::Persisted(ticket) => Input::Persisted(*ticket),
            Self::PersistFailed(ticket) => Input::PersistFailed(*ticket),
            Self::Request(id, request) => Input::Request { id: *id, request: request.clone() },
        }
    }

    /// The connection that it is about.
    #[must_use]
    pub const fn conn(&self) -> Option<ConnId> {
        match self {
            Self::Dialed(conn) | Self::Data(conn, _) | Self::Closed(conn, _) => Some(*conn),
            _ => None,
        }
    }
}

/// One call to a node.
#[derive(Clone, Debug)]
pub enum Call {
    /// [`Node::accept`].
    Accept(Now, SocketAddr),
    /// [`Node::handle`].
    Handle(Now, Told),
    /// [`Node::transmit`].
    Transmit(Now, ConnId, usize),
}

/// Everything that a node gave out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The commands in order, in words.
    pub commands: Vec<String>,
    /// What each call appended, accepted and asked to be woken for.
    pub answers: Vec<(String, Vec<u8>, Option<Mono>)>,
}

/// A node as every run starts with it.
///
/// # Panics
/// If it does not start.
#[must_use]
pub fn start(crypto: Crypto, config: Config, seed: [u8; 32]) -> Node {
    Node::new(config, crypto.provider(NODE), seed, [], START).expect("the driven node starts")
}

/// Makes the same calls to another node; `drain` says after each call (by its number) how many commands are
/// taken at most. What is left is taken at the end. `peek` is called between all calls.
#[must_use]
pub fn replay(
    mut node: Node,
    calls: &[Call],
    mut drain: impl FnMut(usize) -> usize,
    mut peek: impl FnMut(&mut Node),
) -> Outcome {
    let mut outcome = Outcome::default();
    for (number, call) in calls.iter().enumerate() {
        peek(&mut node);
        let mut bytes = Vec::new();
        let answer = match call {
            Call::Accept(now, from) => format!("{:?}", node.accept(*now, *from)),
            Call::Handle(now, told) => {
                node.handle(*now, told.input());
                String::new()
            }
            Call::Transmit(now, conn, budget) => {
                format!("{:?}", node.transmit(*now, *conn, *budget, &mut bytes))
            }
        };
        outcome.answers.push((answer, bytes, node.deadline()));
        let most = drain(number);
        let commands = std::iter::from_fn(|| node.next_command()).take(most);
        outcome.commands.extend(commands.map(|command| format!("{command:?}")));
    }
    outcome.commands.extend(std::iter::from_fn(|| node.next_command()).map(|command| format!("{command:?}")));
    outcome
}
