//! One node and scripted peers, step by step.

use std::net::SocketAddr;
use std::time::Duration;

use crate::driver::{Crypto, NODE, START, actor, addr, config, start};
use crate::scripted::{Actor, Line};
use timed_core::wire::message::{Answer, Hello, HelloAck, Intent, Message, Ping, Pong};
use timed_core::{
    CanonicalAddr, CloseReason, Command, Config, ConnId, Counters, DialOrdinal, DialedBecause, Event, Input,
    Node, NodeId, Now, Record, Reply, Request, RequestId, Ticket, Transmit, TransportCause,
};

/// Seconds.
#[must_use]
pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Between two handshake steps that a node does for others, when many ask.
const TURN: Duration = Duration::from_micros(2_500);
/// Turns after which nobody waits any more who has not been served.
const TURNS: usize = 100;

/// A node, the time, and the peers' ends of its links.
#[derive(Debug)]
pub struct Stage {
    /// The node.
    pub node: Node,
    /// The time of the next call.
    pub now: Now,
    /// What the node was told at its start.
    pub config: Config,
    crypto: Crypto,
    /// Commands taken and not looked at.
    pub commands: Vec<Command>,
    /// The peers' ends of connections.
    pub lines: Vec<(ConnId, Line)>,
}

impl Stage {
    /// A node with the driver's configuration, whose boot record is durable.
    #[must_use]
    pub fn new(crypto: Crypto) -> Self {
        Self::with(crypto, config(crypto))
    }

    /// A node whose boot record is durable.
    #[must_use]
    pub fn with(crypto: Crypto, config: Config) -> Self {
        let mut stage = Self::undurable(crypto, config);
        stage.handle(Input::Persisted(Ticket(1)));
        stage
    }

    /// A node that an earlier process left these records; its boot record is durable.
    ///
    /// # Panics
    /// If it refuses them.
    #[must_use]
    pub fn restarted(crypto: Crypto, config: Config, journal: Vec<Record>) -> Self {
        let node = Node::new(config.clone(), crypto.provider(NODE), [6; 32], journal, START);
        let mut stage = Self::playing(crypto, config, node.expect("the node starts"));
        stage.handle(Input::Persisted(Ticket(1)));
        stage
    }

    /// A node whose boot record is not durable yet.
    #[must_use]
    pub fn undurable(crypto: Crypto, config: Config) -> Self {
        let node = start(crypto, config.clone(), [5; 32]);
        Self::playing(crypto, config, node)
    }

    fn playing(crypto: Crypto, config: Config, node: Node) -> Self {
        let mut stage = Self { node, now: START, config, crypto, commands: Vec::new(), lines: Vec::new() };
        stage.drain();
        stage
    }

    /// The time after so long.
    #[must_use]
    pub fn later(&self, time: Duration) -> Now {
        Now { mono: self.now.mono + time, wall: self.now.wall + time }
    }

    /// Hands an input in, and takes the commands.
    pub fn handle(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input);
        self.drain();
    }

    /// Takes the commands.
    pub fn drain(&mut self) {
        while let Some(command) = self.node.next_command() {
            self.commands.push(command);
        }
    }

    /// Bytes arrive.
    pub fn data(&mut self, conn: ConnId, bytes: &[u8]) {
        self.handle(Input::Data { conn, bytes });
    }

    /// Everything that waits for a connection.
    pub fn sent(&mut self, conn: ConnId) -> Vec<u8> {
        let mut out = Vec::new();
        while self.node.transmit(self.now, conn, 100_000, &mut out) == Transmit::More {}
        self.drain();
        out
    }

    /// The peer's end of a connection.
    ///
    /// # Panics
    /// If it has none.
    pub fn line(&mut self, conn: ConnId) -> &mut Line {
        self.lines
            .iter_mut()
            .find(|(other, _)| *other == conn)
            .map(|(_, line)| line)
            .expect("the script goes as planned")
    }

    /// What the peer at the other end of a live link reads.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn heard(&mut self, conn: ConnId) -> Vec<Message> {
        let bytes = self.sent(conn);
        self.line(conn).hear(&bytes).expect("the script goes as planned")
    }

    /// The peer says something.
    pub fn say(&mut self, conn: ConnId, message: &Message) {
        let bytes = self.line(conn).say(message);
        self.data(conn, &bytes);
    }

    /// A connection comes in from a player's address.
    ///
    /// # Panics
    /// If it is refused.
    pub fn accept(&mut self, player: u8) -> ConnId {
        self.accept_from(SocketAddr::new(addr(player).ip(), 40_000))
    }

    /// A connection comes in.
    ///
    /// # Panics
    /// If it is refused.
    pub fn accept_from(&mut self, from: SocketAddr) -> ConnId {
        let conn = self.node.accept(self.now, from).expect("the script goes as planned");
        self.drain();
        conn
    }

    /// An inbound connection of an actor that has an established channel.
    ///
    /// # Panics
    /// If it does not get there.
    pub fn opened(&mut self, actor: &mut Actor, from: u8) -> (ConnId, Line) {
        self.opened_from(actor, SocketAddr::new(addr(from).ip(), 40_000))
    }

    /// As much time as the two steps of a handshake take when many ask (rule S-7).
    pub fn two_turns(&mut self) {
        self.now = self.later(2 * TURN);
        self.handle(Input::Tick);
    }

    /// The node's part of a handshake that it accepted: at once, or when it is its turn (rule S-7).
    fn replied(&mut self, conn: ConnId) -> Vec<u8> {
        for _ in 0..TURNS {
            let reply = self.sent(conn);
            if !reply.is_empty() {
                return reply;
            }
            self.now = self.later(TURN);
            self.handle(Input::Tick);
        }
        self.sent(conn)
    }

    fn opened_from(&mut self, actor: &mut Actor, from: SocketAddr) -> (ConnId, Line) {
        let conn = self.accept_from(from);
        let (dialing, opening) = actor.dial();
        self.data(conn, &opening);
        let reply = self.replied(conn);
        (conn, dialing.reply(&reply).expect("the script goes as planned"))
    }

    /// An inbound connection up to the node's answer to an actor's `Hello`.
    ///
    /// # Panics
    /// If it does not get there.
    pub fn introduced(&mut self, actor: &mut Actor, from: u8, intent: Intent) -> (ConnId, Answer) {
        let (conn, ack) = self.called(actor, SocketAddr::new(addr(from).ip(), 40_000), intent);
        (conn, ack.answer)
    }

    /// As [`Stage::introduced`], from any source, with the whole answer.
    ///
    /// # Panics
    /// If it does not get there.
    pub fn called(&mut self, actor: &mut Actor, from: SocketAddr, intent: Intent) -> (ConnId, Box<HelloAck>) {
        let (conn, mut line) = self.opened_from(actor, from);
        let hello = actor.hello(&line, DialOrdinal(1), intent, None);
        let bytes = line.say(&Message::Hello(Box::new(hello)));
        self.data(conn, &bytes);
        let bytes = self.replied(conn);
        let first = line.hear(&bytes).expect("the script goes as planned").into_iter().next();
        self.lines.push((conn, line));
        match first {
            Some(Message::HelloAck(ack)) => (conn, ack),
            other => panic!("no answer: {other:?}"),
        }
    }

    /// An actor takes a dial of the node and answers its `Hello`.
    ///
    /// # Panics
    /// If it does not get there.
    pub fn answered(&mut self, conn: ConnId, actor: &mut Actor, answer: Answer) -> Box<Hello> {
        self.handle(Input::Dialed { conn, local: addr(NODE).socket() });
        let opening = self.sent(conn);
        let (mut line, reply) = actor.answer(&opening).expect("the script goes as planned");
        self.data(conn, &reply);
        let bytes = self.sent(conn);
        let first = line.hear(&bytes).expect("the script goes as planned").into_iter().next();
        let Some(Message::Hello(hello)) = first else { panic!("no Hello: {first:?}") };
        let ack = actor.ack(&line, &hello, answer);
        let bytes = line.say(&Message::HelloAck(Box::new(ack)));
        self.lines.push((conn, line));
        self.data(conn, &bytes);
        hello
    }

    /// Time goes on until the node dials an address, for so long at most.
    pub fn dials_within(&mut self, to: CanonicalAddr, time: Duration) -> Option<ConnId> {
        let end = self.now.mono + time;
        loop {
            let dial = self
                .commands
                .iter()
                .position(|command| matches!(command, Command::Dial { addr, .. } if *addr == to));
            if let Some(at) = dial
                && let Command::Dial { conn, .. } = self.commands.remove(at)
            {
                return Some(conn);
            }
            let due = self.node.deadline().filter(|due| *due <= end)?;
            self.now = self.later(due.since(self.now.mono));
            self.handle(Input::Tick);
        }
    }

    /// A player of the driver's cast.
    #[must_use]
    pub fn actor(&self, player: u8) -> Actor {
        actor(self.crypto, &self.config, player)
    }

    /// A live link that this player dialed.
    ///
    /// # Panics
    /// If it is refused.
    pub fn live(&mut self, player: u8) -> ConnId {
        let mut actor = self.actor(player);
        let canonical = Intent::Session(DialedBecause::Canonical);
        let (conn, answer) = self.introduced(&mut actor, player, canonical);
        assert_eq!(answer, Answer::Accepted);
        // The first ping is answered.
        self.say(conn, &Message::Pong(Pong { token: self.now.mono.0 }));
        conn
    }

    /// Answers every ping that waits on a link.
    pub fn answer_pings(&mut self, conn: ConnId) -> Vec<Message> {
        let heard = self.heard(conn);
        for message in &heard {
            if let Message::Ping(Ping { token }) = message {
                self.say(conn, &Message::Pong(Pong { token: *token }));
            }
        }
        heard
    }

    /// The node's totals.
    ///
    /// # Panics
    /// If the answer is another.
    pub fn counters(&mut self) -> Counters {
        match self.ask(Request::Status) {
            Reply::Status(status) => status.counters,
            other => panic!("{other:?}"),
        }
    }

    /// Who has a live session.
    ///
    /// # Panics
    /// If the answer is another.
    pub fn peers(&mut self) -> Vec<NodeId> {
        match self.ask(Request::Peers) {
            Reply::Peers(peers) => peers.iter().map(|peer| peer.node).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// The answer to a request.
    ///
    /// # Panics
    /// If the answer is another.
    pub fn ask(&mut self, request: Request) -> Reply {
        self.handle(Input::Request { id: RequestId(9), request });
        match self.commands.pop() {
            Some(Command::Event(Event::Reply { reply, .. })) => reply,
            other => panic!("no reply: {other:?}"),
        }
    }

    /// Commands since the last look.
    pub fn took(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    /// Does as a shell does with orders to close, and says which there were.
    pub fn obey(&mut self) -> Vec<(ConnId, CloseReason)> {
        let mut closed = Vec::new();
        for command in self.took() {
            if let Command::Close { conn, reason } = command {
                self.sent(conn);
                self.handle(Input::Closed { conn, cause: TransportCause::Commanded });
                closed.push((conn, reason));
            }
        }
        closed
    }
}
