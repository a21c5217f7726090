//! The shell's part of the contract, as a correct shell does it: one reading of the clocks a wake-up, inputs,
//! `Tick` whenever the deadline has passed, commands and `transmit` until nothing is left.

use std::collections::VecDeque;
use std::time::Duration;

use timed_core::{
    Command, ConnId, Core, Direction, Event, Input, KnockAnswer, Now, Reading, Request, RequestId, Ticket,
    Transmit, TransportCause, Warning,
};

use super::application::Wanted;
use super::chain_rules;
use super::clock::SimTime;
use super::context::{Context, Due};
use super::disk::{Content, Written};
use super::host::{Durability, Exit, Host, Links, Pending, Phase, Process, Reads, Setback, Socket};
use super::invariants;
use super::net::{Net, Read};
use super::path::Draining;
use super::trace::What;
use super::wire::{Side, TcpId};

/// Reads of one connection in one wake-up; the rest waits for the next.
const READS_A_WAKE: usize = 64;
/// After so many reads in a row the next take twice as much: what is long is cut everywhere by its beginning.
const READS_OF_A_SIZE: usize = 8;
/// Asked of `transmit` at once.
const TRANSMIT_BUDGET: usize = 64 * 1024;
/// A budget of which `transmit` must make some use if it has more.
const AMPLE_BUDGET: usize = 20 * 1024;
/// Rounds of commands and bytes in one wake-up before it counts as a live-lock.
const ROUNDS_A_WAKE: usize = 1_000;

/// One wake-up of a process.
pub(crate) fn turn(
    host: &mut Host,
    process: &mut Process,
    net: &mut Net,
    cx: &mut Context,
    request: Option<(RequestId, Request)>,
) {
    host.seen.wakes += 1;
    let now = host.clock.read(cx.now);
    Turn { host, process, net, cx, now, buffer: Vec::new() }.run(request);
}

/// Enters the timer for the core's deadline, unless an earlier one is entered already.
pub(crate) fn arm_timer(host: &Host, process: &mut Process, net: &Net, cx: &mut Context) {
    let Some(deadline) = process.node.deadline() else { return };
    let slack = cx.rng.between(Duration::ZERO, net.paths.profile.wake_delay);
    let due = host.clock.time_of(deadline).max(cx.now);
    if process.timer.is_none_or(|timer| timer > due + net.paths.profile.wake_delay) {
        let at = due + slack;
        process.timer = Some(at);
        cx.agenda.enter(at, Due::Timer(host.id));
    }
}

struct Turn<'a> {
    host: &'a mut Host,
    process: &'a mut Process,
    net: &'a mut Net,
    cx: &'a mut Context,
    now: Now,
    buffer: Vec<u8>,
}

impl Turn<'_> {
    fn run(mut self, request: Option<(RequestId, Request)>) {
        self.accept();
        let mut ready = self.net.take_ready(self.host.id);
        self.look_at(&mut ready);
        self.disk();
        self.answers();
        if let Some((id, request)) = request {
            self.note(What::Request(request.clone()));
            self.process.dials.ordered(&request);
            self.handle(Input::Request { id, request });
        }
        for round in 0.. {
            if self.is_dead() {
                return;
            }
            let ticked = self.tick();
            let drained = self.drain();
            let flushed = self.flush();
            let told = self.tell_closed();
            if !(ticked || drained || flushed || told) {
                break;
            }
            if round == ROUNDS_A_WAKE {
                self.cx.violate(format!("{}: live-lock: a wake-up does not come to rest", self.host.id));
                break;
            }
        }
        invariants::after_wake(self.host, self.process, self.cx);
        arm_timer(self.host, self.process, self.net, self.cx);
    }

    fn note(&mut self, what: What) {
        self.cx.trace.note(self.cx.now, Some(self.host.id), what);
    }

    /// Whether it was killed in the midst of this wake-up.
    fn is_dead(&self) -> bool {
        self.process.ended == Some(Exit::Killed)
    }

    fn handle(&mut self, input: Input<'_>) {
        if self.is_dead() {
            return;
        }
        if self.now.mono < self.process.read_mono && self.process.setback == Setback::None {
            self.process.setback = Setback::Unsaid;
        }
        self.process.read_mono = self.now.mono;
        self.process.node.handle(self.now, input);
        invariants::count_call(self.host, self.process, self.cx);
        chain_rules::after_call(self.process);
        if self.net.paths.profile.draining == Draining::EachInput {
            self.drain();
        }
    }

    fn accept(&mut self) {
        while let Some((tcp, from)) = self.net.accept(self.host.id, self.cx) {
            match self.process.node.accept(self.now, from) {
                Ok(conn) => {
                    self.note(What::Accepted(conn, from));
                    self.adopt(conn, tcp, Side::Acceptor, Phase::Established);
                }
                Err(_refused) => self.net.close(tcp, Side::Acceptor, self.cx),
            }
        }
    }

    fn adopt(&mut self, conn: ConnId, tcp: TcpId, side: Side, phase: Phase) {
        let socket = Socket {
            tcp,
            side,
            phase,
            reading: Reading::Resume,
            pending: Pending::Drained,
            sent: 0,
            reads_at: SimTime(0),
            heard_at: self.cx.now,
            stuck_since: None,
        };
        if self.process.sockets.insert(conn, socket).is_some() {
            self.cx.violate(format!("{}: connection id {conn} is used twice", self.host.id));
        }
        self.process.conns.insert((tcp, side), conn);
        self.process.links = Links::Changed;
    }

    fn look_at(&mut self, ready: &mut VecDeque<(TcpId, Side)>) {
        while let Some((tcp, side)) = ready.pop_front() {
            let Some(conn) = self.process.conns.get(&(tcp, side)).copied() else { continue };
            self.look(conn, tcp, side);
        }
    }

    /// Something happened on a socket.
    fn look(&mut self, conn: ConnId, tcp: TcpId, side: Side) {
        let Some(socket) = self.process.sockets.get_mut(&conn) else { return };
        if socket.phase == Phase::Dialing {
            if let Some(local) = self.net.connected(tcp) {
                socket.phase = Phase::Established;
                self.note(What::Dialed(conn));
                self.process.dials.connected(conn);
                self.handle(Input::Dialed { conn, local });
            } else if let Some(cause) = self.net.error(tcp, side) {
                self.lose(conn, cause);
                return;
            }
        }
        self.read(conn, tcp, side);
        if self.process.sockets.get(&conn).is_some_and(|socket| socket.pending == Pending::More) {
            self.process.flush.push(conn);
        }
    }

    fn read(&mut self, conn: ConnId, tcp: TcpId, side: Side) {
        let usual = self.net.paths.profile.read_chunk;
        for number in 0..READS_A_WAKE {
            let most = match self.host.reads {
                Reads::Promptly => usual << (number / READS_OF_A_SIZE),
                Reads::Slowly { bytes, .. } => usual.min(bytes),
            };
            let Some(socket) = self.process.sockets.get_mut(&conn).filter(|_| self.process.ended.is_none())
            else {
                return;
            };
            if socket.reading == Reading::Pause {
                // A reset shows even to who does not read.
                if let Some(cause) = self.net.error(tcp, side) {
                    self.lose(conn, cause);
                }
                return;
            }
            if let Reads::Slowly { pause, .. } = self.host.reads {
                if self.cx.now < socket.reads_at {
                    return;
                }
                socket.reads_at = self.cx.now + pause;
                self.cx.agenda.enter(socket.reads_at, Due::Look(tcp, side));
            }
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.clear();
            let read = self.net.read(tcp, side, most, &mut buffer, self.cx);
            if let Read::Bytes(len) = read {
                socket.heard_at = self.cx.now;
                self.note(What::Data(conn, len));
                self.handle(Input::Data { conn, bytes: &buffer });
            }
            self.buffer = buffer;
            match read {
                Read::Bytes(_) => {}
                Read::Nothing => return,
                Read::Eof => return self.lose(conn, TransportCause::Eof),
                Read::Failed(cause) => return self.lose(conn, cause),
            }
        }
        self.net.look_again(tcp, side, self.cx);
    }

    /// The socket is gone, not by command.
    fn lose(&mut self, conn: ConnId, cause: TransportCause) {
        if let Some(socket) = self.process.sockets.remove(&conn) {
            self.process.links = Links::Changed;
            self.process.dials.lost(self.now, &socket, conn);
            self.process.conns.remove(&(socket.tcp, socket.side));
            self.net.close(socket.tcp, socket.side, self.cx);
            self.note(What::Closed(conn, cause));
            self.handle(Input::Closed { conn, cause });
        }
    }

    fn disk(&mut self) {
        while let Some(written) = self.host.disk.finished(self.cx.now) {
            match written {
                Written::Durable(ticket) => {
                    self.process.durability = Durability::BootRecord;
                    chain_rules::durable(self.host, self.process, self.cx, ticket);
                    self.note(What::Persisted(ticket));
                    self.handle(Input::Persisted(ticket));
                }
                Written::Failed(ticket) => {
                    self.note(What::PersistFailed(ticket));
                    self.handle(Input::PersistFailed(ticket));
                }
            }
        }
    }

    /// What the application has to say.
    fn answers(&mut self) {
        while let Some(answer) = self.host.application.due(self.cx.now) {
            self.note(What::Answer(answer.clone()));
            self.handle(answer.into_input());
        }
    }

    fn tick(&mut self) -> bool {
        let due = |process: &Process, now: Now| {
            process.node.deadline().is_some_and(|deadline| deadline <= now.mono)
        };
        if !due(self.process, self.now) {
            return false;
        }
        self.note(What::Tick);
        self.handle(Input::Tick);
        if due(self.process, self.now) {
            self.cx.violate(format!("{}: the deadline is not ahead after a Tick", self.host.id));
        }
        true
    }

    fn drain(&mut self) -> bool {
        let mut any = false;
        while !self.is_dead()
            && let Some(command) = self.process.node.next_command()
        {
            any = true;
            match &mut self.process.dies_after {
                Some(0) => {
                    self.process.ended = Some(Exit::Killed);
                    break;
                }
                Some(left) => *left -= 1,
                None => {}
            }
            self.cx.trace.command(self.cx.now, self.host.id, &command);
            invariants::command(self.host, self.process, self.cx, &command);
            chain_rules::command(self.host, self.process, self.cx, &command);
            self.carry_out(command);
        }
        any
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Dial { conn, addr } => {
                if let Err(what) = self.process.dials.dials(self.now, &self.host.config, conn, addr) {
                    self.cx.violate(format!("{}: {what}", self.host.id));
                }
                self.host.seen.dials.push((self.cx.now, addr));
                let tcp = self.net.connect(self.host.id, addr.socket(), self.cx);
                self.adopt(conn, tcp, Side::Dialer, Phase::Dialing);
            }
            Command::Send { conn } => {
                if let Some(socket) = self.process.sockets.get_mut(&conn) {
                    socket.pending = Pending::More;
                    self.process.flush.push(conn);
                }
            }
            Command::Close { conn, .. } => {
                self.transmit(conn);
                if let Some(socket) = self.process.sockets.remove(&conn) {
                    self.process.links = Links::Changed;
                    self.process.conns.remove(&(socket.tcp, socket.side));
                    self.net.close(socket.tcp, socket.side, self.cx);
                    self.process.closed.push_back((conn, TransportCause::Commanded));
                }
            }
            Command::Reading { conn, reading } => {
                if let Some(socket) = self.process.sockets.get_mut(&conn) {
                    socket.reading = reading;
                    if reading == Reading::Resume {
                        self.net.look_again(socket.tcp, socket.side, self.cx);
                    }
                }
            }
            Command::Persist { ticket, key, record } => self.write(ticket, Content::Record(key, record)),
            Command::Produce { .. }
            | Command::Validate { .. }
            | Command::Commit { .. }
            | Command::Load { .. }
            | Command::Resolve { .. } => self.apply(command),
            Command::Event(event) => self.event(event),
        }
    }

    fn write(&mut self, ticket: Ticket, content: Content) {
        let at = self.host.disk.write(self.cx.now, &mut self.cx.rng, ticket, content);
        self.cx.agenda.enter(at, Due::Disk(self.host.id));
    }

    /// Commands that the application answers.
    fn apply(&mut self, command: Command) {
        let Host { application, disk, .. } = &mut *self.host;
        let (now, rng) = (self.cx.now, &mut self.cx.rng);
        let due = match command {
            Command::Produce { height, round, max_bytes, transactions, .. } => {
                application.produce(now, rng, disk, Wanted { height, round, max_bytes, transactions })
            }
            Command::Validate { block, payload, .. } => application.validate(now, rng, disk, block, &payload),
            Command::Commit { ticket, block, bytes, .. } => {
                let (due, included) = application.commit(now, rng, &block);
                self.write(ticket, Content::Block { height: block.block.header.height, bytes, included });
                Some(due)
            }
            Command::Load { load, from, to, max_bytes } => {
                let blocks = disk.load(from, to, max_bytes);
                Some(application.load(now, rng, load, blocks))
            }
            Command::Resolve { seed } => Some(application.resolve(now, rng, seed)),
            _ => None,
        };
        if let Some(at) = due {
            self.cx.agenda.enter(at, Due::Answer(self.host.id));
        }
    }

    fn event(&mut self, event: Event) {
        match &event {
            Event::Warning(Warning::EpochRaised { .. }) => self.process.dials.began_anew(),
            Event::Warning(Warning::ClockBackwards(_)) => self.process.setback = Setback::Said,
            Event::Knocked { peer, direction: Direction::Inbound, answer: KnockAnswer::WillDial } => {
                self.process.dials.called(peer, &self.host.config);
            }
            Event::LinkUp { peer, .. } => {
                self.process.links = Links::Changed;
                self.process.dials.called(peer, &self.host.config);
            }
            Event::LinkDown { .. } => self.process.links = Links::Changed,
            _ => {}
        }
        self.host.seen.event(self.cx.now, &event);
        match event {
            Event::Reply { id, reply } => {
                self.host.replies.insert(id, reply);
            }
            Event::Stopped => {
                let fatal = self.host.seen.facts.iter().find_map(|(_, fact)| match fact {
                    Event::Fatal(fatal) => Some(fatal.clone()),
                    _ => None,
                });
                self.process.ended = Some(fatal.map_or(Exit::Stopped, Exit::Fatal));
            }
            _ => {}
        }
    }

    fn flush(&mut self) -> bool {
        let conns = std::mem::take(&mut self.process.flush);
        for conn in &conns {
            self.transmit(*conn);
        }
        !conns.is_empty()
    }

    /// Hands what the core has for a connection to its socket, as far as that takes it.
    fn transmit(&mut self, conn: ConnId) {
        while !self.is_dead()
            && let Some(socket) = self.process.sockets.get_mut(&conn)
            && socket.phase == Phase::Established
            && socket.pending == Pending::More
        {
            let (tcp, side) = (socket.tcp, socket.side);
            let budget = self.net.space(tcp, side, self.cx.now).min(TRANSMIT_BUDGET);
            if budget == 0 {
                socket.stuck_since.get_or_insert(self.cx.now);
                self.net.want_space(tcp, side, self.cx);
                return;
            }
            socket.stuck_since = None;
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.clear();
            let left = self.process.node.transmit(self.now, conn, budget, &mut buffer);
            if left == Transmit::Drained {
                socket.pending = Pending::Drained;
            }
            socket.sent += buffer.len() as u64;
            self.host.seen.bytes_sent += buffer.len() as u64;
            if buffer.len() > budget {
                self.cx.violate(format!("{}: transmit exceeds its budget on {conn}", self.host.id));
            }
            invariants::sent(self.host, self.process, self.cx, conn);
            chain_rules::leaving(self.host, self.process, self.cx, &buffer);
            let stuck = buffer.is_empty();
            if !stuck {
                self.note(What::Sent(conn, buffer.len()));
                self.cx.trace.bytes(&buffer);
                self.net.write(tcp, side, &buffer, self.cx);
            }
            self.buffer = buffer;
            if stuck && left == Transmit::More {
                if budget >= AMPLE_BUDGET {
                    self.cx.violate(format!("{}: transmit has more on {conn}, gives none", self.host.id));
                }
                self.net.want_space(tcp, side, self.cx);
                return;
            }
        }
    }

    fn tell_closed(&mut self) -> bool {
        let mut any = false;
        while let Some((conn, cause)) = self.process.closed.pop_front() {
            any = true;
            self.note(What::Closed(conn, cause));
            self.handle(Input::Closed { conn, cause });
        }
        any
    }
}
