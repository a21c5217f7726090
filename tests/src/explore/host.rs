//! A host of a model: the process on it, driven as a correct shell drives it, and what it has shown.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use timed_core::{
    CanonicalAddr, CloseReason, ClosedBy, Command, Config, ConnId, Event, Input, LinkTag, Mono, Node, NodeId,
    Now, PeerInfo, Record, RecordKey, Reply, Request, RequestId, Ticket, Transmit, TransportCause, Wall,
};

use super::bounds::DiskPace;
use super::step::{ConnKey, HostIx, Memory, Side};
use super::wire::{Fate, Packet, Wire};
use crate::null_crypto::NullProvider;

/// The wall clock at the beginning.
const WALL: Wall = Wall(1_800_000_000_000);
/// How far behind the clock of a start with a lost epoch is.
const BEHIND: Duration = Duration::from_secs(3600);
/// Rounds of one wake-up before it counts as a live-lock.
const ROUNDS: usize = 200;

/// Why no process runs on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Down {
    /// It was never started.
    Fresh,
    /// Its process was killed; the machine refuses dials.
    Killed,
    /// The machine is off: dials are not answered.
    Off,
    /// Its process halted by itself.
    Halted,
}

/// What a host sees and changes of the world around it.
pub(crate) struct Around<'a> {
    pub(crate) wire: &'a mut Wire,
    pub(crate) now: Mono,
    pub(crate) directory: &'a BTreeMap<CanonicalAddr, HostIx>,
    pub(crate) disk: DiskPace,
    pub(crate) faults: &'a mut Vec<String>,
    pub(crate) trace: &'a mut Option<Vec<String>>,
}

impl Around<'_> {
    fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = self.trace {
            trace.push(text());
        }
    }
}

/// A running node and its shell's part.
#[derive(Debug)]
pub(crate) struct Process {
    node: Node,
    conns: BTreeMap<ConnId, (ConnKey, Side)>,
    live: BTreeMap<ConnId, LinkTag>,
    writes: VecDeque<(Ticket, Bytes)>,
    reply: Option<Reply>,
}

/// A host.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) ix: HostIx,
    pub(crate) config: Config,
    pub(crate) key: NodeId,
    pub(crate) process: Option<Process>,
    pub(crate) down: Down,
    seed: u64,
    starts: u8,
    dialed: u16,
    ordered: u8,
    journal: Option<Bytes>,
    behind: Duration,
    /// When it last dialed.
    pub(crate) last_dial: Mono,
    /// When a link of it last came up or went down.
    pub(crate) last_change: Mono,
    /// Links that came up so far.
    pub(crate) ups: u32,
    /// What it did about links in this step that the other ends may have something to say about.
    pub(crate) claims: Vec<Claim>,
}

/// What a host does about a link that is right only if the other end sees it alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is live here: the other end has not let it go as a duplicate.
    Up(ConnKey),
    /// The other end does not hold it as live any more.
    Forsaken(ConnKey, CloseReason),
}

/// What moved in a wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// The process did nothing that anybody else could see.
    Silent,
    /// It gave a command.
    Acted,
}

impl Host {
    pub(crate) fn new(ix: HostIx, key: NodeId, config: Config, seed: u64) -> Self {
        Self {
            ix,
            config,
            key,
            process: None,
            down: Down::Fresh,
            seed,
            starts: 0,
            dialed: 0,
            ordered: 0,
            journal: None,
            behind: Duration::ZERO,
            last_dial: Mono(0),
            last_change: Mono(0),
            ups: 0,
            claims: Vec::new(),
        }
    }

    fn clock(&self, now: Mono) -> Now {
        Now { mono: now, wall: WALL + Duration::from_nanos(now.0) - self.behind }
    }

    /// Randomness that depends only on what it is for, not on what happened before.
    fn randomness(&self, purpose: &[u64]) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for word in [self.seed, u64::from(self.ix.0), u64::from(self.starts)].iter().chain(purpose) {
            hasher.update(word.to_le_bytes());
        }
        hasher.finalize().into()
    }

    pub(crate) fn start(&mut self, memory: Memory, around: &mut Around<'_>) {
        self.starts += 1;
        self.behind = Duration::ZERO;
        if memory == Memory::LostEpoch {
            self.journal = None;
            self.behind = BEHIND;
        }
        let journal = self.journal.clone().map(|bytes| Record { key: RecordKey::Boot, bytes });
        let provider = Box::new(NullProvider::new(self.key));
        let seed = self.randomness(&[0]);
        match Node::new(self.config.clone(), provider, seed, journal, self.clock(around.now)) {
            Ok(node) => {
                self.process = Some(Process {
                    node,
                    conns: BTreeMap::new(),
                    live: BTreeMap::new(),
                    writes: VecDeque::new(),
                    reply: None,
                });
                self.settle(around);
            }
            Err(error) => around.faults.push(format!("{}: does not start: {error}", self.ix)),
        }
    }

    /// The process is gone. Its connections are the caller's business.
    pub(crate) fn stop(&mut self, down: Down) -> Vec<(ConnKey, Side)> {
        self.down = down;
        let process = self.process.take();
        process.map(|process| process.conns.into_values().collect()).unwrap_or_default()
    }

    pub(crate) fn deadline(&self) -> Option<Mono> {
        self.process.as_ref()?.node.deadline()
    }

    pub(crate) fn writes(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.writes.is_empty())
    }

    /// Whether it holds this connection as its live link.
    pub(crate) fn holds(&self, key: ConnKey) -> bool {
        let live = |process: &Process| {
            process.live.keys().any(|conn| process.conns.get(conn).is_some_and(|(held, _)| *held == key))
        };
        self.process.as_ref().is_some_and(live)
    }

    /// Whether a live link stands, by its own events.
    pub(crate) fn is_linked(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.live.is_empty())
    }

    fn handle(&mut self, input: Input<'_>, purpose: &[u64], around: &mut Around<'_>) -> Activity {
        let seed = self.randomness(purpose);
        let now = self.clock(around.now);
        let Some(process) = &mut self.process else { return Activity::Silent };
        process.node.reseed(seed);
        process.node.handle(now, input);
        self.settle(around)
    }

    pub(crate) fn accept(
        &mut self,
        key: ConnKey,
        from: SocketAddr,
        around: &mut Around<'_>,
    ) -> Option<ConnId> {
        let now = self.clock(around.now);
        let process = self.process.as_mut()?;
        let conn = process.node.accept(now, from).ok()?;
        process.conns.insert(conn, (key, Side::Acceptor));
        Some(conn)
    }

    pub(crate) fn dialed(&mut self, key: ConnKey, conn: ConnId, local: SocketAddr, around: &mut Around<'_>) {
        self.handle(Input::Dialed { conn, local }, &[1, u64::from(key.number)], around);
    }

    /// Lets a wake-up run that an accepted connection caused.
    pub(crate) fn wake(&mut self, around: &mut Around<'_>) {
        self.settle(around);
    }

    pub(crate) fn receive(&mut self, key: ConnKey, side: Side, around: &mut Around<'_>) {
        let Some(conn) = around.wire.get_mut(key) else { return };
        let Some(id) = conn.end(side) else { return };
        let Some(packet) = conn.take(side) else { return };
        let side_word = u64::from(side == Side::Dialer);
        let purpose =
            [2, u64::from(key.dialer.0), u64::from(key.number), side_word, u64::from(conn.delivered(side))];
        match packet {
            Packet::Data(bytes) => {
                self.handle(Input::Data { conn: id, bytes: &bytes }, &purpose, around);
            }
            Packet::Fin => self.lose(key, side, TransportCause::Eof, &purpose, around),
            Packet::Reset => self.lose(key, side, TransportCause::Reset, &purpose, around),
        }
    }

    /// The connection is gone, not by command.
    pub(crate) fn lose(
        &mut self,
        key: ConnKey,
        side: Side,
        cause: TransportCause,
        purpose: &[u64],
        around: &mut Around<'_>,
    ) {
        let Some(conn) = around.wire.get(key).and_then(|conn| conn.end(side)) else { return };
        around.wire.close(key, side);
        if let Some(process) = &mut self.process {
            process.conns.remove(&conn);
        }
        self.handle(Input::Closed { conn, cause }, purpose, around);
    }

    pub(crate) fn tick(&mut self, around: &mut Around<'_>) -> Activity {
        self.handle(Input::Tick, &[3, around.now.0], around)
    }

    pub(crate) fn order(&mut self, addr: CanonicalAddr, around: &mut Around<'_>) {
        self.ordered += 1;
        let request = Request::Connect { addr, id: None };
        let input = Input::Request { id: RequestId(1), request };
        self.handle(input, &[4, u64::from(self.ordered)], around);
    }

    pub(crate) fn persist(&mut self, around: &mut Around<'_>) {
        let write = self.process.as_mut().and_then(|process| process.writes.pop_front());
        if let Some((ticket, bytes)) = write {
            self.journal = Some(bytes);
            self.handle(Input::Persisted(ticket), &[5, ticket.0], around);
        }
    }

    /// The live sessions as the API shows them.
    pub(crate) fn peers(&mut self, around: &mut Around<'_>) -> Vec<PeerInfo> {
        let input = Input::Request { id: RequestId(2), request: Request::Peers };
        self.handle(input, &[6], around);
        match self.process.as_mut().and_then(|process| process.reply.take()) {
            Some(Reply::Peers(peers)) => peers,
            _ => Vec::new(),
        }
    }

    /// Ticks, carries out commands, sends and tells closes until nothing is left to do.
    fn settle(&mut self, around: &mut Around<'_>) -> Activity {
        let now = self.clock(around.now);
        let mut activity = Activity::Silent;
        for _ in 0..ROUNDS {
            let Some(process) = &mut self.process else { return activity };
            let due = process.node.deadline().is_some_and(|at| at <= now.mono);
            if due {
                process.node.handle(now, Input::Tick);
            }
            let (commands, closed) = self.drain(now, around, &mut activity);
            let Some(process) = &mut self.process else { return activity };
            for (conn, cause) in &closed {
                process.node.handle(now, Input::Closed { conn: *conn, cause: *cause });
            }
            if !due && commands == 0 && closed.is_empty() {
                let live = process.live.len();
                if live > 1 {
                    around.faults.push(format!("{}: {live} live links with one peer", self.ix));
                }
                return activity;
            }
        }
        around.faults.push(format!("{}: a wake-up does not come to rest", self.ix));
        activity
    }

    fn drain(
        &mut self,
        now: Now,
        around: &mut Around<'_>,
        activity: &mut Activity,
    ) -> (usize, Vec<(ConnId, TransportCause)>) {
        let (mut commands, mut closed, mut flush) = (0, Vec::new(), Vec::new());
        while let Some(command) = self.process.as_mut().and_then(|process| process.node.next_command()) {
            commands += 1;
            if !matches!(command, Command::Event(_)) {
                *activity = Activity::Acted;
            }
            match command {
                Command::Dial { conn, addr } => self.dial(conn, addr, around),
                Command::Send { conn } => flush.push(conn),
                Command::Close { conn, reason } => {
                    self.transmit(now, conn, around);
                    let ended = self.process.as_mut().and_then(|process| process.conns.remove(&conn));
                    if let Some((key, side)) = ended {
                        around.note(|| format!("      {}: closes {key}: {reason}", self.ix));
                        if reason == CloseReason::Duplicate
                            && let Some(conn) = around.wire.get_mut(key)
                        {
                            conn.fate = Fate::Lost;
                        }
                        around.wire.close(key, side);
                        closed.push((conn, TransportCause::Commanded));
                    }
                }
                Command::Reading { .. } => {}
                Command::Produce { .. }
                | Command::Validate { .. }
                | Command::Commit { .. }
                | Command::Load { .. }
                | Command::Resolve { .. } => {}
                Command::Persist { ticket, record, .. } => {
                    if let Some(process) = &mut self.process {
                        process.writes.push_back((ticket, record));
                    }
                }
                Command::Event(event) => self.event(event, around),
            }
        }
        for conn in flush {
            self.transmit(now, conn, around);
        }
        if around.disk == DiskPace::Instant {
            let writes = self.process.as_mut().map(|process| std::mem::take(&mut process.writes));
            for (ticket, bytes) in writes.into_iter().flatten() {
                self.journal = Some(bytes);
                commands += 1;
                if let Some(process) = &mut self.process {
                    process.node.handle(now, Input::Persisted(ticket));
                }
            }
        }
        (commands, closed)
    }

    fn dial(&mut self, conn: ConnId, addr: CanonicalAddr, around: &mut Around<'_>) {
        self.dialed += 1;
        self.last_dial = around.now;
        let key = ConnKey { dialer: self.ix, number: self.dialed };
        if self.is_linked() {
            around.faults.push(format!("{}: dials {key} while a live session stands", self.ix));
        }
        let Some(target) = around.directory.get(&addr).copied() else {
            around.faults.push(format!("{}: dials {addr}, which is nobody's", self.ix));
            return;
        };
        around.note(|| format!("      {}: dials {key}", self.ix));
        around.wire.dial(key, target, conn);
        if let Some(process) = &mut self.process {
            process.conns.insert(conn, (key, Side::Dialer));
        }
    }

    fn transmit(&mut self, now: Now, conn: ConnId, around: &mut Around<'_>) {
        let Some(process) = &mut self.process else { return };
        let Some((key, side)) = process.conns.get(&conn).copied() else { return };
        loop {
            let mut bytes = Vec::new();
            let left = process.node.transmit(now, conn, 64 * 1024, &mut bytes);
            if let (false, Some(conn)) = (bytes.is_empty(), around.wire.get_mut(key)) {
                conn.send(side.other(), Packet::Data(bytes));
            }
            if left == Transmit::Drained {
                return;
            }
        }
    }

    fn event(&mut self, event: Event, around: &mut Around<'_>) {
        if !matches!(event, Event::Summary(_) | Event::Reply { .. }) {
            around.note(|| format!("      {}: {event:?}", self.ix));
        }
        let Some(process) = &mut self.process else { return };
        match event {
            Event::LinkUp { conn, session, .. } => {
                process.live.insert(conn, session);
                self.ups += 1;
                self.claims.extend(process.conns.get(&conn).map(|(key, _)| Claim::Up(*key)));
                self.last_change = around.now;
            }
            Event::LinkDown { conn, reason, by, .. } => {
                if by == ClosedBy::Us && matches!(reason, CloseReason::KnockLost | CloseReason::Ghost) {
                    let key = process.conns.get(&conn).map(|(key, _)| *key);
                    self.claims.extend(key.map(|key| Claim::Forsaken(key, reason)));
                }
                if process.live.remove(&conn).is_none() {
                    around.faults.push(format!("{}: a link ended that was not live", self.ix));
                }
                self.last_change = around.now;
            }
            Event::Reply { reply, .. } => process.reply = Some(reply),
            Event::Stopped => {
                for (key, side) in self.stop(Down::Halted) {
                    around.wire.close(key, side);
                }
            }
            _ => {}
        }
    }
}

impl Hash for Host {
    /// Everything on which the future depends.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.down, self.starts, self.dialed, self.ordered, &self.journal, self.behind).hash(state);
        if let Some(process) = &self.process {
            (&process.conns, &process.writes).hash(state);
            process.node.digest(state);
        }
    }
}
