//! One node driven by bytes: every byte string is a legal, if odd, life of a shell and of the peers around it.
//!
//! The same driver serves the fuzzer, which looks for strings that break what [`Driver::step`] checks, and the
//! tests of the core's contracts, which repeat the recorded calls on other nodes.

mod calls;
mod check;
mod requests;
mod setting;
mod talk;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use timed_core::{
    CloseReason, Command, ConnId, Direction, Event, Mono, Node, Now, Reply, Request, RequestId, Ticket,
    Transmit, TransportCause, Wall,
};

use crate::scripted::Actor;
use check::Check;
use talk::Talk;

pub use calls::{Call, Outcome, Told, replay, start};
pub use setting::{CAST, Crypto, NODE, START, actor, addr, config, tight};

/// The bytes that decide; zeros when they are used up.
#[derive(Clone, Copy, Debug)]
pub struct Choices<'a>(pub &'a [u8]);

impl<'a> Choices<'a> {
    /// Whether bytes are left.
    #[must_use]
    pub const fn more(&self) -> bool {
        !self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `bound`, 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()).checked_rem(bound).unwrap_or(0)
    }

    /// Up to `count` bytes as they are.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

const CAUSES: [TransportCause; 8] = [
    TransportCause::Commanded,
    TransportCause::Eof,
    TransportCause::Refused,
    TransportCause::Reset,
    TransportCause::Unreachable,
    TransportCause::TimedOut,
    TransportCause::LocalResources,
    TransportCause::Other,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Socket {
    Dialing,
    Open,
    /// The node ordered its end; the shell has not told it yet.
    Ordered,
    Gone,
}

#[derive(Debug)]
struct Conn {
    id: ConnId,
    socket: Socket,
    dialer: Direction,
    /// Who is at the other end.
    player: usize,
    talk: Talk,
    /// What the node sent and the other end has not read.
    inbox: Vec<u8>,
    sent_after_halt: usize,
}

/// A node, its shell and the peers around it.
#[derive(Debug)]
pub struct Driver {
    node: Node,
    now: Now,
    latest: Mono,
    cast: Vec<Actor>,
    conns: Vec<Conn>,
    tickets: VecDeque<Ticket>,
    calls: Vec<Call>,
    requests: u64,
    check: Check,
    /// Every command, in words, as it was taken.
    told: Vec<String>,
}

impl Driver {
    /// A node that has just started, its first commands taken.
    #[must_use]
    pub fn new(crypto: Crypto, seed: [u8; 32]) -> Self {
        let config = config(crypto);
        let cast = CAST.iter().map(|player| actor(crypto, &config, *player)).collect();
        let check = Check::new(config.limits.clone());
        let mut driver = Self {
            node: start(crypto, config, seed),
            now: START,
            latest: START.mono,
            cast,
            conns: Vec::new(),
            tickets: VecDeque::new(),
            calls: Vec::new(),
            requests: 0,
            check,
            told: Vec::new(),
        };
        driver.drain();
        driver
    }

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// The commands so far, in words.
    #[must_use]
    pub fn told(&self) -> &[String] {
        &self.told
    }

    /// Runs until the bytes are used up.
    ///
    /// # Panics
    /// If the node breaks a promise.
    pub fn run(&mut self, bytes: &[u8]) {
        let mut choices = Choices(bytes);
        while choices.more() && !self.check.stopped {
            self.step(&mut choices);
        }
        if self.check.stopped {
            self.tick();
            self.request(Request::Status);
        }
    }

    /// One thing happens.
    ///
    /// # Panics
    /// If the node breaks a promise.
    pub fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.byte() {
            0..=9 => self.tick(),
            10..=24 => {
                let millis = u64::from(choices.byte()) * 4;
                self.pass(Duration::from_millis(millis));
            }
            25..=34 => self.pass_to_deadline(),
            35 => {
                let secs = u64::from(choices.byte()) * 4;
                self.pass(Duration::from_secs(secs));
            }
            36..=54 => self.accept(choices),
            55..=74 => self.dial_ends(choices),
            75..=89 => {
                let budget = match choices.byte() {
                    255 => 70_000,
                    few => usize::from(few) + choices.below(50),
                };
                if let Some(conn) = self.choose(choices) {
                    let _ = self.transmit(conn, budget);
                }
            }
            90..=94 => {
                let count = choices.below(64);
                let bytes = choices.take(count).to_vec();
                if let Some(conn) = self.choose(choices) {
                    self.data(conn, bytes);
                }
            }
            95..=179 => {
                if let Some(conn) = self.choose(choices) {
                    self.converse(conn, choices);
                }
            }
            180..=199 => {
                if let Some(conn) = self.choose(choices) {
                    self.say(conn, choices);
                }
            }
            200..=206 => {
                let cause = CAUSES[choices.below(CAUSES.len())];
                if let Some(conn) = self.choose(choices) {
                    self.close(conn, cause);
                }
            }
            207..=219 => self.close_ordered(),
            220..=229 => self.written(),
            230 => self.write_fails(choices),
            231..=241 => {
                let request = self.draw_request(choices);
                self.request(request);
            }
            242..=244 => {
                let back = u64::from(choices.byte());
                self.now.mono = self.now.mono - Duration::from_millis(back * 100);
            }
            245..=247 => self.stale(choices),
            248..=250 => {
                let millis = Duration::from_secs(u64::from(choices.byte()) * 600);
                self.now.wall =
                    if choices.below(2) == 0 { self.now.wall + millis } else { self.now.wall - millis };
            }
            251 => self.odd_clock(choices),
            252..=255 => self.reborn(choices),
        }
    }

    // The shell's part.

    fn call(&mut self, told: &Told) {
        self.calls.push(Call::Handle(self.now, told.clone()));
        if let Some(conn) = told.conn()
            && !matches!(told, Told::Closed(..))
            && !self.check.is_open(conn)
        {
            self.check.stale += 1;
        }
        if let Told::Closed(conn, _) = told {
            self.check.closed(*conn);
        }
        self.latest = self.latest.max(self.now.mono);
        self.node.handle(self.now, told.input());
        if matches!(told, Told::Tick)
            && let Some(deadline) = self.node.deadline()
        {
            let ahead = deadline > self.latest || deadline == Mono(u64::MAX);
            assert!(ahead, "the deadline {deadline:?} is not ahead of {:?} after a Tick", self.latest);
        }
        self.drain();
        self.audit();
    }

    fn drain(&mut self) {
        while let Some(command) = self.node.next_command() {
            self.check.command(&command);
            self.told.push(format!("{command:?}"));
            match command {
                Command::Dial { conn, addr: to } => {
                    let player = CAST.iter().position(|player| addr(*player) == to).unwrap_or(4);
                    self.conns.push(Conn::new(conn, Direction::Outbound, player));
                }
                Command::Close { conn, .. } => {
                    if let Some(entry) = self.entry(conn) {
                        entry.socket = Socket::Ordered;
                    }
                }
                Command::Produce { .. }
                | Command::Validate { .. }
                | Command::Commit { .. }
                | Command::Load { .. }
                | Command::Resolve { .. } => {}
                Command::Persist { ticket, .. } => self.tickets.push_back(ticket),
                Command::Event(Event::Reply { reply: Reply::Status(status), .. }) => {
                    self.check.counters(status.counters, status.summary.connected_peers);
                }
                _ => {}
            }
        }
    }

    /// Asks the node for its counters, and compares.
    fn audit(&mut self) {
        self.check.settled();
        let request = Request::Status;
        self.calls.push(Call::Handle(self.now, Told::Request(RequestId(0), request.clone())));
        self.node.handle(self.now, Told::Request(RequestId(0), request).input());
        self.drain();
    }

    fn entry(&mut self, conn: ConnId) -> Option<&mut Conn> {
        self.conns.iter_mut().find(|entry| entry.id == conn)
    }

    /// Any connection that is not gone; the latest are the likeliest.
    fn choose(&self, choices: &mut Choices<'_>) -> Option<ConnId> {
        let open: Vec<ConnId> =
            self.conns.iter().rev().filter(|conn| conn.socket != Socket::Gone).map(|conn| conn.id).collect();
        open.get(choices.below(open.len())).copied()
    }

    fn tick(&mut self) {
        self.call(&Told::Tick);
    }

    fn pass(&mut self, time: Duration) {
        self.now.mono = self.now.mono + time;
        self.now.wall = self.now.wall + time;
        if self.node.deadline().is_some_and(|deadline| deadline <= self.now.mono) {
            self.tick();
        }
    }

    fn pass_to_deadline(&mut self) {
        if let Some(deadline) = self.node.deadline() {
            self.pass(deadline.since(self.now.mono));
        }
    }

    fn accept(&mut self, choices: &mut Choices<'_>) {
        let player = choices.below(CAST.len());
        let from = if choices.below(4) == 0 {
            SocketAddr::from(([172, 16, choices.byte(), choices.byte()], 999))
        } else {
            SocketAddr::new(addr(CAST[player]).ip(), 40_000)
        };
        self.calls.push(Call::Accept(self.now, from));
        self.latest = self.latest.max(self.now.mono);
        match self.node.accept(self.now, from) {
            Ok(conn) => {
                self.check.accepted(conn);
                self.conns.push(Conn::new(conn, Direction::Inbound, player));
            }
            Err(refused) => assert!(
                matches!(refused.0, CloseReason::Shutdown | CloseReason::Banned),
                "refused for {}",
                refused.0
            ),
        }
        self.drain();
        self.audit();
    }

    /// A dial under way succeeds or fails.
    fn dial_ends(&mut self, choices: &mut Choices<'_>) {
        let Some(entry) = self.conns.iter_mut().find(|conn| conn.socket == Socket::Dialing) else { return };
        let conn = entry.id;
        let odd = choices.byte();
        if odd >= 200 {
            self.close(conn, CAUSES[usize::from(odd) % CAUSES.len()]);
            return;
        }
        entry.socket = Socket::Open;
        if odd >= 190 {
            // Another node answers there.
            entry.player = usize::from(odd) % CAST.len();
        }
        self.call(&Told::Dialed(conn));
    }

    fn data(&mut self, conn: ConnId, bytes: Vec<u8>) {
        self.call(&Told::Data(conn, bytes));
    }

    fn transmit(&mut self, conn: ConnId, budget: usize) -> Transmit {
        self.calls.push(Call::Transmit(self.now, conn, budget));
        self.latest = self.latest.max(self.now.mono);
        let halted = self.check.fatal;
        let mut out = Vec::new();
        let left = self.node.transmit(self.now, conn, budget, &mut out);
        assert!(out.len() <= budget, "{} bytes for a budget of {budget}", out.len());
        assert!(left == Transmit::Drained || budget < 300 || !out.is_empty(), "has more and gives none");
        if !self.check.is_open(conn) {
            self.check.stale += 1;
            assert!(out.is_empty() && left == Transmit::Drained, "bytes for a connection that is gone");
        }
        if let Some(entry) = self.entry(conn) {
            entry.inbox.extend_from_slice(&out);
            entry.sent_after_halt += if halted { out.len() } else { 0 };
            // The rest of a heartbeat, and a goodbye.
            assert!(entry.sent_after_halt <= 6 * 1024, "goes on sending after its halt");
        }
        self.drain();
        self.audit();
        left
    }

    fn flush(&mut self, conn: ConnId) {
        while self.transmit(conn, 70_000) == Transmit::More {}
    }

    fn close(&mut self, conn: ConnId, cause: TransportCause) {
        if let Some(entry) = self.entry(conn) {
            entry.socket = Socket::Gone;
        }
        self.call(&Told::Closed(conn, cause));
        let recent = self.conns.len().saturating_sub(64);
        let mut number = 0;
        self.conns.retain(|conn| {
            number += 1;
            conn.socket != Socket::Gone || number > recent
        });
    }

    fn close_ordered(&mut self) {
        let ordered: Vec<ConnId> =
            self.conns.iter().filter(|conn| conn.socket == Socket::Ordered).map(|conn| conn.id).collect();
        for conn in ordered {
            self.flush(conn);
            self.close(conn, TransportCause::Commanded);
        }
    }

    fn written(&mut self) {
        if let Some(ticket) = self.tickets.pop_front() {
            self.call(&Told::Persisted(ticket));
        }
    }

    fn write_fails(&mut self, choices: &mut Choices<'_>) {
        match choices.byte() {
            250..=255 => {
                let ticket = self.tickets.pop_front().unwrap_or(Ticket(77));
                self.call(&Told::PersistFailed(ticket));
            }
            odd => self.call(&Told::Persisted(Ticket(u64::from(odd) << (odd % 57)))),
        }
    }

    fn request(&mut self, request: Request) {
        self.requests += 1;
        let id = RequestId(self.requests);
        let before = self.told.len();
        let fewest = match request {
            // Answered when they are durable.
            Request::Ban { .. } | Request::Unban(_) => 0,
            _ => 1,
        };
        self.call(&Told::Request(id, request));
        let reply = format!("Event(Reply {{ id: {id:?}");
        let replies = self.told[before..].iter().filter(|told| told.starts_with(&reply)).count();
        assert!((fewest..=1).contains(&replies), "{replies} replies to one request");
    }

    /// Inputs about connections that are not there any more, or never were.
    fn stale(&mut self, choices: &mut Choices<'_>) {
        let gone = self.conns.iter().rev().find(|conn| conn.socket == Socket::Gone).map(|conn| conn.id);
        let conn = match (choices.below(3), gone) {
            (0, _) | (_, None) => ConnId::from_parts(u32::from(choices.byte()), u32::MAX),
            (_, Some(gone)) => gone,
        };
        let before = self.told.len();
        let told = match choices.below(4) {
            0 => Told::Dialed(conn),
            1 => Told::Data(conn, choices.take(20).to_vec()),
            2 => Told::Closed(conn, TransportCause::Eof),
            _ => {
                let _ = self.transmit(conn, 1_000);
                return;
            }
        };
        self.call(&told);
        let quiet = self.told[before..]
            .iter()
            .all(|told| told.starts_with("Event(Reply") || told.starts_with("Event(Warning"));
        assert!(quiet, "a stale input does something: {:?}", &self.told[before..]);
    }

    fn odd_clock(&mut self, choices: &mut Choices<'_>) {
        let mono = match choices.below(8) {
            0 => Mono(u64::MAX),
            1 => Mono(0),
            2 => Mono(u64::MAX - 1_000),
            _ => self.now.mono + Duration::from_secs(3600 * 24 * u64::from(choices.byte())),
        };
        let wall = match choices.below(4) {
            0 => Wall(u64::MAX),
            1 => Wall(0),
            _ => self.now.wall,
        };
        let before = self.now;
        self.now = Now { mono, wall };
        self.tick();
        self.tick();
        self.now.wall = before.wall;
    }
}

impl Conn {
    const fn new(id: ConnId, dialer: Direction, player: usize) -> Self {
        let socket = if matches!(dialer, Direction::Outbound) { Socket::Dialing } else { Socket::Open };
        Self { id, socket, dialer, player, talk: Talk::Silent, inbox: Vec::new(), sent_after_halt: 0 }
    }
}
