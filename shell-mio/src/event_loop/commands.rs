//! The core's commands carried out, its bytes moved.

use std::net::SocketAddr;

use mio::net::TcpStream;
use timed_core::{CanonicalAddr, Command, ConnId, Core, Event, Input, Reading, Transmit, TransportCause};

use super::connections::{self, Health, Io, Pace, Phase, Rest, Voice};
use super::driver::Driver;
use super::linger::Room;
use super::sink::EventSink;
use super::sockets;
use super::workers::{Load, Question};
use crate::application::Wanted;

/// Reads from one connection in one turn: then the others have theirs.
const READS_PER_TURN: usize = 2;
/// Writes to one connection in one turn.
const WRITES_PER_TURN: usize = 4;
/// Bytes of a closed connection that are taken from the core at most, in steps of a full budget.
const LAST_WRITES: usize = 16;

impl<C: Core, S: EventSink> Driver<C, S> {
    /// Carries out what the core commands. Sending waits for [`Driver::settle`].
    pub(super) fn drain(&mut self) {
        while let Some(command) = self.core.next_command() {
            match command {
                Command::Dial { conn, addr } => self.dial(conn, addr),
                Command::Send { conn } => self.want_flush(conn),
                Command::Close { conn, reason: _ } => self.close(conn),
                Command::Reading { conn, reading } => self.set_reading(conn, reading),
                Command::Persist { ticket, key, record } => {
                    let taken = self.store.persist(ticket, key, record);
                    self.store_took(taken);
                }
                Command::Commit { ticket, hash: _, block, bytes, pace } => {
                    let taken = self.store.commit(ticket, block, bytes, pace);
                    self.store_took(taken);
                }
                Command::Produce { height, round, slot, by, max_bytes, transactions } => {
                    let wanted = Wanted { height, slot, max_bytes, transactions };
                    self.ask(Question::Produce { round, by, wanted });
                }
                Command::Validate { block, height, payload, by: _ } => {
                    self.ask(Question::Validate { block, height, payload });
                }
                Command::Load { load, from, to, max_bytes } => {
                    self.load(Load { load, from, to, max_bytes });
                }
                Command::Resolve { seed } => self.resolve(seed),
                Command::Event(event) => self.report(event),
            }
        }
    }

    /// Commands and bytes until the core has nothing more, each connection flushed once for all its messages.
    pub(super) fn settle(&mut self) {
        self.drain();
        // Grows while it is walked: what a flush makes the core say is flushed in this turn too.
        let mut at = 0;
        while let Some(&conn) = self.state.to_flush.get(at) {
            at += 1;
            if self.flush(conn) == Flushed::MoreNextTurn {
                self.state.flush_next.push(conn);
            }
            self.drain();
        }
        self.state.to_flush.clear();
        while let Some(conn) = self.state.flush_next.pop() {
            self.want_flush(conn);
        }
    }

    fn report(&mut self, event: Event) {
        match event {
            Event::Reply { id, reply } => {
                if let Some(asker) = self.state.asked.remove(&id) {
                    // Whoever asked may have stopped waiting.
                    let _ = asker.send(reply);
                }
                return;
            }
            Event::Summary(summary) => self.state.summary = summary,
            Event::Fatal(ref fatal) => self.halted(fatal.clone()),
            Event::Stopped => self.stopped(),
            _ => {}
        }
        self.sink.event(&event);
    }

    fn dial(&mut self, conn: ConnId, addr: CanonicalAddr) {
        self.state.counters.dialed += 1;
        let begun =
            sockets::dial(addr.socket(), self.config.dial_from, &self.config.sockets).and_then(|stream| {
                self.state.connections.insert(self.poll.registry(), conn, stream, Phase::Dialing)
            });
        if let Err(error) = begun {
            self.core.handle(self.state.now, Input::Closed { conn, cause: sockets::cause(&error) });
        }
    }

    pub(super) fn accepted(&mut self, stream: TcpStream, from: SocketAddr) {
        let Ok(conn) = self.core.accept(self.state.now, from) else {
            self.state.counters.refused += 1;
            return self.drain();
        };
        self.state.counters.accepted += 1;
        if let Err(error) = self.state.connections.insert(self.poll.registry(), conn, stream, Phase::Open) {
            self.core.handle(self.state.now, Input::Closed { conn, cause: sockets::cause(&error) });
        }
        self.drain();
    }

    fn set_reading(&mut self, conn: ConnId, reading: Reading) {
        let Some(connection) = self.state.connections.get_mut(conn) else { return };
        connection.reading = reading;
        match (reading, connection.health) {
            // What arrived during the pause was announced then.
            (Reading::Resume, _) => self.want_read(conn),
            (Reading::Pause, Health::Broken(cause)) => self.lost(conn, cause),
            (Reading::Pause, Health::Sound | Health::Ending) => {}
        }
    }

    pub(super) fn want_read(&mut self, conn: ConnId) {
        let Some(connection) = self.state.connections.get_mut(conn) else { return };
        if connection.reading == Reading::Resume && !connection.to_read {
            connection.to_read = true;
            self.state.to_read.push_back(conn);
        }
    }

    pub(super) fn want_flush(&mut self, conn: ConnId) {
        let Some(connection) = self.state.connections.get_mut(conn) else { return };
        if !connection.to_flush {
            connection.to_flush = true;
            self.state.to_flush.push(conn);
        }
    }

    /// Gives every connection in the list its share of this turn.
    pub(super) fn read_all(&mut self) {
        for _ in 0..self.state.to_read.len() {
            let Some(conn) = self.state.to_read.pop_front() else { return };
            let Some(connection) = self.state.connections.get_mut(conn) else { continue };
            connection.to_read = false;
            self.read(conn);
            self.drain();
        }
    }

    fn read(&mut self, conn: ConnId) {
        for _ in 0..READS_PER_TURN {
            let state = &mut self.state;
            let Some(connection) = state.connections.get_mut(conn) else { return };
            if connection.phase == Phase::Dialing || connection.reading == Reading::Pause {
                return;
            }
            let health = connection.health;
            state.counters.reads += 1;
            match connection.read(&mut state.read_buffer) {
                Io::Moved(count) => {
                    state.counters.bytes_in += count as u64;
                    let bytes = state.read_buffer.get(..count).unwrap_or_default();
                    let whole = count < state.read_buffer.len();
                    self.core.handle(state.now, Input::Data { conn, bytes });
                    self.drain();
                    // A short read has emptied the socket, and the next byte is a new event; but the end of
                    // the stream may have been announced together with these bytes.
                    if whole && health == Health::Sound {
                        return;
                    }
                }
                Io::Blocked => {
                    if let Health::Broken(cause) = health {
                        self.lost(conn, cause);
                    }
                    return;
                }
                Io::Ended => {
                    let cause = match health {
                        Health::Broken(cause) => cause,
                        Health::Sound | Health::Ending => TransportCause::Eof,
                    };
                    return self.lost(conn, cause);
                }
                Io::Failed(cause) => return self.lost(conn, cause),
            }
        }
        self.want_read(conn);
    }

    /// Writes what waits, up to this turn's share.
    fn flush(&mut self, conn: ConnId) -> Flushed {
        if let Some(connection) = self.state.connections.get_mut(conn) {
            connection.to_flush = false;
        }
        for _ in 0..WRITES_PER_TURN {
            let state = &mut self.state;
            let Some(connection) = state.connections.get_mut(conn) else { return Flushed::All };
            if connection.phase == Phase::Dialing || matches!(connection.health, Health::Broken(_)) {
                return Flushed::All;
            }
            let before = connection.rest_len() as u64;
            let mut left = Transmit::More;
            let done = if connection.is_blocked() {
                connection.write_rest()
            } else {
                state.write_buffer.clear();
                left = self.core.transmit(state.now, conn, connection.pace.budget(), &mut state.write_buffer);
                if state.write_buffer.is_empty() {
                    connection.pace = Pace::Full;
                    return Flushed::All;
                }
                connection.write(&state.write_buffer)
            };
            state.counters.writes += 1;
            state.counters.pending_bytes += connection.rest_len() as u64;
            state.counters.pending_bytes -= before;
            match done {
                Io::Moved(count) => state.counters.bytes_out += count as u64,
                Io::Blocked | Io::Ended => {}
                Io::Failed(cause) => {
                    // What the peer said last may still be in the socket.
                    connection.health = Health::Broken(cause);
                    match connection.reading {
                        Reading::Resume => self.want_read(conn),
                        Reading::Pause => self.lost(conn, cause),
                    }
                    return Flushed::All;
                }
            }
            if connection.is_blocked() {
                return Flushed::All;
            }
            if left == Transmit::Drained {
                connection.pace = Pace::Full;
                return Flushed::All;
            }
        }
        Flushed::MoreNextTurn
    }

    /// The core lets go of a connection: its last bytes are sent as far as the socket takes them.
    fn close(&mut self, conn: ConnId) {
        let Some(connection) = self.state.connections.remove(conn) else { return };
        let phase = connection.phase;
        let broken = matches!(connection.health, Health::Broken(_));
        let mut voice = connection.voice;
        let (mut stream, mut rest) = connection.into_parts();
        let state = &mut self.state;
        state.counters.pending_bytes -= rest.len() as u64;
        if phase == Phase::Dialing || broken {
            let _ = self.poll.registry().deregister(&mut stream);
        } else {
            for _ in 0..LAST_WRITES {
                state.write_buffer.clear();
                state.write_buffer.extend_from_slice(rest.as_slice());
                let left = self.core.transmit(state.now, conn, Pace::Full.budget(), &mut state.write_buffer);
                if state.write_buffer.is_empty() {
                    break;
                }
                voice = Voice::Heard;
                state.counters.writes += 1;
                let taken = match connections::write(&mut stream, &state.write_buffer) {
                    Io::Moved(count) => count,
                    Io::Blocked | Io::Ended => 0,
                    Io::Failed(_) => state.write_buffer.len(),
                };
                state.counters.bytes_out += taken as u64;
                rest = Rest::new(state.write_buffer.get(taken..).unwrap_or_default());
                if !rest.is_empty() || left == Transmit::Drained {
                    break;
                }
            }
            if voice == Voice::Heard {
                let room = state.lingering.add(
                    self.poll.registry(),
                    state.now.mono,
                    stream,
                    rest,
                    &mut state.read_buffer,
                );
                state.counters.linger_cut += u64::from(room == Room::CutOldest);
            } else {
                // Nothing of ours is under way: the crowd that was told nothing keeps no socket.
                drop(stream);
            }
        }
        self.core.handle(self.state.now, Input::Closed { conn, cause: TransportCause::Commanded });
    }

    /// A connection is gone: the core is told, once. What it commands then is for the caller to drain.
    pub(super) fn lost(&mut self, conn: ConnId, cause: TransportCause) {
        let Some(connection) = self.state.connections.remove(conn) else { return };
        self.state.counters.pending_bytes -= connection.rest_len() as u64;
        let (mut stream, _) = connection.into_parts();
        let _ = self.poll.registry().deregister(&mut stream);
        drop(stream);
        self.core.handle(self.state.now, Input::Closed { conn, cause });
    }
}

/// What a flush has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flushed {
    /// Nothing, or what an event will announce.
    All,
    /// The connection has had its share of this turn.
    MoreNextTurn,
}
