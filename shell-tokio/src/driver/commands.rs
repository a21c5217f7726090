//! The core's commands carried out, its bytes moved.

use std::net::SocketAddr;
use std::sync::Arc;

use timed_core::{
    CanonicalAddr, Command, ConnId, Core, Event, Input, Reading, SeedId, Transmit, TransportCause,
};
use tokio::sync::mpsc;

use super::connections::Body;
use super::link::{Farewell, Link};
use super::listener::Incoming;
use super::scribe::{Job, Overloaded};
use super::workers::{self, Answer, Load, Question};
use super::{Arrival, Driver, connection};
use crate::application::{Commitment, Offer, Wanted};
use crate::events::{Notice, ShellEvent};
use crate::limits::{BUDGET, LAST_BYTES};
use crate::network::{Halves, Network};
use crate::tcp::cause;

impl<N: Network, C: Core + Send + 'static> Driver<N, C> {
    /// Carries out what the core commands. Sending waits for [`Driver::settle`].
    pub(super) fn drain(&mut self) {
        while let Some(command) = self.core.next_command() {
            match command {
                Command::Dial { conn, addr } => self.dial(conn, addr),
                Command::Send { conn } => self.want_flush(conn),
                Command::Close { conn, reason: _ } => self.close_connection(conn),
                Command::Reading { conn, reading } => self.set_reading(conn, reading),
                Command::Persist { ticket, key, record } => {
                    self.store(Job::Record { ticket, key, bytes: record });
                }
                Command::Commit { ticket, hash: _, block, bytes, pace: _ } => {
                    self.store(Job::Block { ticket, block, bytes });
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
        // Grows while it is walked: what a flush makes the core say is flushed in this turn, too.
        let mut at = 0;
        while let Some(&conn) = self.to_flush.get(at) {
            at += 1;
            self.flush(conn);
            self.drain();
        }
        self.to_flush.clear();
    }

    fn report(&mut self, event: Event) {
        match event {
            Event::Reply { id, reply } => {
                if let Some(asker) = self.asked.remove(&id) {
                    // Whoever asked may have stopped waiting.
                    let _ = asker.send(reply);
                }
                return;
            }
            Event::Summary(summary) => self.board.show(summary),
            Event::Fatal(ref fatal) => self.halted(fatal.clone()),
            Event::Stopped => self.stopped(),
            _ => {}
        }
        self.ring.publish(Notice::Core(event));
    }

    fn dial(&mut self, conn: ConnId, addr: CanonicalAddr) {
        self.counters.dialed += 1;
        let (network, driver) = (Arc::clone(&self.network), self.arrive.clone());
        let dialing = tokio::spawn(async move {
            let arrival = match network.dial(addr.socket()).await {
                Ok((halves, local)) => Arrival::Dialed { conn, halves, local },
                Err(error) => Arrival::Lost { conn, cause: cause(&error) },
            };
            let _ = driver.send(arrival).await;
        });
        self.connections.insert(conn, Body::Dialing(dialing.abort_handle()));
    }

    /// Something came in at the listener.
    pub(super) fn came_in(&mut self, incoming: Incoming<N>) {
        match incoming {
            Incoming::Connection(halves, from) => self.accept(halves, from),
            Incoming::Failed { cause, retry_in, failures } => {
                self.counters.accept_failures += 1;
                if failures == 1 {
                    self.tell(ShellEvent::AcceptPaused { cause, retry_in });
                }
            }
            Incoming::Recovered { failures } => self.tell(ShellEvent::AcceptResumed { failures }),
        }
    }

    fn accept(&mut self, halves: Halves<N>, from: SocketAddr) {
        match self.core.accept(self.now, from) {
            Ok(conn) => {
                self.counters.accepted += 1;
                let link = self.serve(conn, halves);
                self.connections.insert(conn, Body::Open(link));
            }
            Err(_) => self.counters.refused += 1,
        }
        self.drain();
    }

    /// Starts the two tasks of a connection.
    fn serve(&mut self, conn: ConnId, (read, write): Halves<N>) -> Arc<Link> {
        let link = Arc::new(Link::new());
        // There is none any more when the core has stopped, and it opens nothing then.
        if let Some(alive) = &self.alive {
            let reading = connection::read(
                conn,
                read,
                Arc::clone(&link),
                Arc::clone(&self.network),
                self.arrive.clone(),
                alive.clone(),
            );
            let writing =
                connection::write(conn, write, Arc::clone(&link), self.arrive.clone(), alive.clone());
            tokio::spawn(reading);
            tokio::spawn(writing);
        }
        link
    }

    /// Tells the core what a connection's task has told. One that the core has let go of is not spoken of.
    pub(super) fn arrived(&mut self, arrival: Arrival<N>) {
        match arrival {
            Arrival::Data { conn, bytes } => {
                self.counters.chunks_in += 1;
                self.counters.bytes_in += bytes.len() as u64;
                self.data(conn, bytes);
            }
            Arrival::Lost { conn, cause } => self.lost(conn, cause),
            Arrival::Room { conn } => self.want_flush(conn),
            Arrival::Dialed { conn, halves, local } => {
                if self.connections.get_mut(conn).is_none() {
                    return;
                }
                let link = self.serve(conn, halves);
                if let Some(connection) = self.connections.get_mut(conn) {
                    connection.body = Body::Open(link);
                }
                self.core.handle(self.now, Input::Dialed { conn, local });
                self.want_flush(conn);
            }
        }
    }

    fn data(&mut self, conn: ConnId, bytes: Box<[u8]>) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if connection.reading == Reading::Pause || !connection.held.is_empty() {
            return connection.held.push_back(bytes);
        }
        if let Body::Open(link) = &connection.body {
            link.taken();
        }
        self.core.handle(self.now, Input::Data { conn, bytes: &bytes });
    }

    fn lost(&mut self, conn: ConnId, cause: TransportCause) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if !connection.held.is_empty() {
            connection.lost = Some(cause);
            return;
        }
        if let Some(Body::Open(link)) = self.connections.remove(conn).map(|gone| gone.body) {
            link.cut();
        }
        self.core.handle(self.now, Input::Closed { conn, cause });
    }

    fn set_reading(&mut self, conn: ConnId, reading: Reading) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if connection.reading == reading {
            return;
        }
        connection.reading = reading;
        if let Body::Open(link) = &connection.body {
            link.set_reading(reading);
        }
        // What came during the pause. The core may want to pause again after each: that command is behind others.
        while let Some(connection) = self.connections.get_mut(conn)
            && connection.reading == Reading::Resume
            && let Some(bytes) = connection.held.pop_front()
        {
            if let Body::Open(link) = &connection.body {
                link.taken();
            }
            self.core.handle(self.now, Input::Data { conn, bytes: &bytes });
            self.drain();
        }
        let lost = self.connections.get_mut(conn).filter(|connection| connection.held.is_empty());
        if let Some(cause) = lost.and_then(|connection| connection.lost.take()) {
            self.lost(conn, cause);
        }
    }

    fn want_flush(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if !connection.to_flush {
            connection.to_flush = true;
            self.to_flush.push(conn);
        }
    }

    /// Hands what waits to the connection's writer, as much as is well under way at once.
    fn flush(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        connection.to_flush = false;
        let Body::Open(link) = &connection.body else { return };
        let Some(budget) = link.room() else { return };
        self.out.clear();
        let left = self.core.transmit(self.now, conn, budget, &mut self.out);
        if left == Transmit::Drained {
            link.drained();
        } else {
            link.ask_for_room();
        }
        if !self.out.is_empty() {
            self.counters.chunks_out += 1;
            self.counters.bytes_out += self.out.len() as u64;
            link.put(self.out.clone());
        }
    }

    /// The core lets go of a connection: its last bytes are sent as far as the peer takes them within a second.
    fn close_connection(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.remove(conn) else { return };
        match connection.body {
            Body::Dialing(task) => task.abort(),
            Body::Open(link) => {
                let mut last = Vec::new();
                loop {
                    let before = last.len();
                    let left = self.core.transmit(self.now, conn, BUDGET, &mut last);
                    if left == Transmit::Drained || last.len() == before || last.len() >= LAST_BYTES {
                        break;
                    }
                }
                self.counters.bytes_out += last.len() as u64;
                if link.end(last) == Farewell::UnderWay && self.connections.linger(&link) {
                    self.counters.linger_cut += 1;
                }
            }
        }
        self.core.handle(self.now, Input::Closed { conn, cause: TransportCause::Commanded });
    }

    fn store(&mut self, job: Job) {
        if let Err(Overloaded { waiting, bytes }) = self.desk.take(job) {
            let why = format!("it does not keep up: {waiting} records of {bytes} bytes wait");
            self.store_failed(why.into());
        }
        self.lose();
    }

    /// Tells the core what is lost, if something is.
    fn lose(&mut self) {
        while let Some(ticket) = self.desk.lost() {
            self.core.handle(self.now, Input::PersistFailed(ticket));
        }
    }

    /// Hands a question to the application. One that waits for too many others has its answer at once if there is
    /// one that is always true.
    fn ask(&mut self, question: Question) {
        let Err(refused) = self.questions.try_send(question) else { return };
        if !self.told.application_behind {
            self.told.application_behind = true;
            self.tell(ShellEvent::ApplicationBehind);
        }
        let (mpsc::error::TrySendError::Full(question) | mpsc::error::TrySendError::Closed(question)) =
            refused;
        if let Question::Produce { round, wanted, .. } = question {
            let height = wanted.height;
            let input = Input::Produced { height, round, payload: None, stale: Vec::new() };
            self.core.handle(self.now, input);
        }
    }

    /// Has blocks read for a peer. Where too many wait to be read, there are none for it now.
    fn load(&mut self, load: Load) {
        if self.loads.try_send(load).is_err() {
            self.core.handle(self.now, Input::Loaded { load: load.load, blocks: Vec::new() });
        }
    }

    /// Asks the name service. A question that has no answer yet is not asked twice.
    fn resolve(&mut self, seed: SeedId) {
        if self.resolving.contains(&seed) {
            return;
        }
        let place = usize::try_from(seed.0).unwrap_or(usize::MAX);
        let Some(name) = self.names.get(place).cloned() else {
            return self.core.handle(self.now, Input::Resolved { seed, addrs: Vec::new() });
        };
        self.resolving.insert(seed);
        let network = Arc::clone(&self.network);
        self.helpers.retain(|task| !task.is_finished());
        self.helpers.push(tokio::spawn(workers::resolve(network, seed, name, self.answer.clone())));
    }

    /// Tells the core what was done for it.
    pub(super) fn answered(&mut self, answer: Answer) {
        let input = match answer {
            Answer::Durable(ticket) => {
                self.desk.settled(ticket);
                self.counters.records += 1;
                Input::Persisted(ticket)
            }
            Answer::Committed(height, Commitment { registry_changes, included }) => {
                self.counters.blocks += 1;
                Input::Committed { height, registry_changes, included }
            }
            Answer::Produced { height, round, offer: Offer { payload, stale } } => {
                self.told.application_behind = false;
                Input::Produced { height, round, payload, stale }
            }
            Answer::Validated { block, verdict } => {
                self.told.application_behind = false;
                Input::Validated { block, verdict }
            }
            Answer::Loaded { load, blocks } => {
                self.counters.loads += 1;
                let blocks = blocks.unwrap_or_else(|error| {
                    if !std::mem::replace(&mut self.told.load_failed, true) {
                        self.tell(ShellEvent::LoadFailed(error.to_string().into()));
                    }
                    Vec::new()
                });
                Input::Loaded { load, blocks }
            }
            Answer::Resolved { seed, addrs } => {
                self.resolving.remove(&seed);
                Input::Resolved { seed, addrs }
            }
            Answer::StoreFailed(why) => {
                self.store_failed(why);
                return self.lose_and_drain();
            }
            Answer::ApplicationFailed(why) => return self.application_failed(why),
            Answer::CommitFailed(why) => {
                self.desk.fail();
                self.application_failed(why);
                return self.lose_and_drain();
            }
        };
        self.core.handle(self.now, input);
        self.drain();
    }

    fn lose_and_drain(&mut self) {
        self.lose();
        self.drain();
    }
}
