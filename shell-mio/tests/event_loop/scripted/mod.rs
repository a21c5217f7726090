//! A core that does what a test says, and a loop that runs it. It checks on its own what every core may rely
//! on: `Closed` exactly once for every connection, nothing about a connection after that.

pub(crate) mod blocks;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use timed_core::{
    BlockHash, CanonicalAddr, CloseReason, Command, CommitPace, ConnId, Event, Fatal, FinalBlock, Height,
    Input, LoadId, Mono, Now, PayloadVerdict, Reading, RecordKey, Refused, Reply, Request, Round, SeedId,
    StoredBlock, Ticket, Transmit, TransportCause, TxId, Wall,
};
use timed_mio::{Core, EventSink, Exit, Remote, Shell, ShellConfig, ShellEvent, Store};

/// Longest wait for anything on real sockets.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct Conn {
    pub(crate) from: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) received: Vec<u8>,
    /// Bytes of the pattern sent, and received.
    pub(crate) sent: usize,
    pub(crate) got: usize,
    pub(crate) closed: Option<TransportCause>,
    /// Bytes not yet pulled by the loop.
    pub(crate) outgoing: VecDeque<u8>,
    pub(crate) pulls: Vec<usize>,
}

/// The byte at one place of the pattern.
pub(crate) fn pattern_at(at: usize) -> u8 {
    u8::try_from((at * 31 + at / 251) % 256).unwrap()
}

/// What the script does on its own when bytes arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OnData {
    #[default]
    Keep,
    Echo,
    /// Closes every other connection.
    CloseOthers,
    /// Sends it on to this connection.
    Forward(ConnId),
    /// Keeps nothing, but checks that it goes on as [`Script::send_pattern`] sends it.
    CheckPattern,
}

#[derive(Default)]
pub(crate) struct Hook(pub(crate) Option<Box<dyn FnOnce() + Send>>);

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) conns: BTreeMap<(u32, u32), Conn>,
    /// Index to the generation that holds it.
    pub(crate) live: BTreeMap<u32, u32>,
    pub(crate) generations: u32,
    pub(crate) commands: VecDeque<Command>,
    pub(crate) deadline: Option<Mono>,
    pub(crate) ticks: Vec<(Mono, Mono)>,
    pub(crate) persisted: Vec<u64>,
    pub(crate) persist_failed: Vec<u64>,
    pub(crate) produced: Vec<(Height, Round, Option<Bytes>, Vec<TxId>)>,
    pub(crate) validated: Vec<(BlockHash, PayloadVerdict)>,
    pub(crate) committed: Vec<(Height, Vec<TxId>)>,
    pub(crate) loaded: Vec<(LoadId, Vec<StoredBlock>)>,
    pub(crate) resolved: Vec<(SeedId, Vec<CanonicalAddr>)>,
    pub(crate) on_data: OnData,
    pub(crate) refuse: bool,
    /// Never reports `Stopped`.
    pub(crate) deaf: bool,
    pub(crate) stopping: bool,
    pub(crate) goodbye: Vec<u8>,
    pub(crate) broken_rules: Vec<String>,
    pub(crate) next_ticket: u64,
    /// Persist the next record as soon as one is durable.
    pub(crate) persist_on: bool,
    pub(crate) on_persisted: Option<fn(u64)>,
    /// Happens between the loop's pull and its write.
    pub(crate) on_transmit: Hook,
}

impl Script {
    fn allocate(&mut self, conn: Conn) -> ConnId {
        let index = (0..).find(|index| !self.live.contains_key(index)).unwrap();
        self.generations += 1;
        self.live.insert(index, self.generations);
        self.conns.insert((index, self.generations), conn);
        ConnId::from_parts(index, self.generations)
    }

    pub(crate) fn dial(&mut self, addr: SocketAddr) -> ConnId {
        let conn = self.allocate(Conn::default());
        let addr = CanonicalAddr::new(addr).unwrap();
        self.commands.push_back(Command::Dial { conn, addr });
        conn
    }

    pub(crate) fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        self.conn_mut(conn).outgoing.extend(bytes);
        self.commands.push_back(Command::Send { conn });
    }

    /// Sends the next bytes of the pattern that tells where each byte belongs.
    pub(crate) fn send_pattern(&mut self, conn: ConnId, count: usize) {
        let entry = self.conn_mut(conn);
        let bytes: Vec<u8> = (entry.sent..entry.sent + count).map(pattern_at).collect();
        entry.sent += count;
        self.send(conn, &bytes);
    }

    pub(crate) fn close(&mut self, conn: ConnId) {
        self.commands.push_back(Command::Close { conn, reason: CloseReason::Shutdown });
    }

    pub(crate) fn reading(&mut self, conn: ConnId, reading: Reading) {
        self.commands.push_back(Command::Reading { conn, reading });
    }

    pub(crate) fn persist(&mut self, bytes: &[u8]) -> u64 {
        self.next_ticket += 1;
        self.commands.push_back(Command::Persist {
            ticket: Ticket(self.next_ticket),
            key: RecordKey::Boot,
            record: Bytes::copy_from_slice(bytes),
        });
        self.next_ticket
    }

    pub(crate) fn submit(&mut self, transaction: &[u8]) -> u64 {
        self.next_ticket += 1;
        self.commands.push_back(Command::Persist {
            ticket: Ticket(self.next_ticket),
            key: RecordKey::Transaction(blocks::id(transaction)),
            record: Bytes::copy_from_slice(transaction),
        });
        self.next_ticket
    }

    pub(crate) fn produce(&mut self, round: u32, by: Mono, transactions: &[&[u8]]) {
        self.commands.push_back(Command::Produce {
            height: Height(1),
            round: Round(round),
            slot: Wall(1000),
            by,
            max_bytes: 100,
            transactions: transactions.iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect(),
        });
    }

    pub(crate) fn validate(&mut self, block: &FinalBlock) {
        self.commands.push_back(Command::Validate {
            block: block.certificate.block,
            height: block.block.header.height,
            payload: block.block.payload.clone(),
            by: Mono(0),
        });
    }

    pub(crate) fn commit(&mut self, block: FinalBlock, pace: CommitPace) -> u64 {
        self.next_ticket += 1;
        self.commands.push_back(Command::Commit {
            ticket: Ticket(self.next_ticket),
            hash: block.certificate.block,
            bytes: block.encode(),
            block: Arc::new(block),
            pace,
        });
        self.next_ticket
    }

    pub(crate) fn load(&mut self, load: u64, from: u64, to: u64, max_bytes: usize) {
        let (load, from, to) = (LoadId(load), Height(from), Height(to));
        self.commands.push_back(Command::Load { load, from, to, max_bytes });
    }

    pub(crate) fn resolve(&mut self, seed: u32) {
        self.commands.push_back(Command::Resolve { seed: SeedId(seed) });
    }

    pub(crate) fn emit(&mut self, event: Event) {
        self.commands.push_back(Command::Event(event));
    }

    pub(crate) fn conn(&self, id: ConnId) -> &Conn {
        &self.conns[&(id.index(), id.generation())]
    }

    pub(crate) fn conn_mut(&mut self, id: ConnId) -> &mut Conn {
        self.conns.get_mut(&(id.index(), id.generation())).unwrap()
    }

    pub(crate) fn ids(&self) -> Vec<ConnId> {
        self.conns.keys().map(|&(index, generation)| ConnId::from_parts(index, generation)).collect()
    }

    pub(crate) fn open(&self) -> Vec<ConnId> {
        self.ids().into_iter().filter(|&id| self.conn(id).closed.is_none()).collect()
    }

    fn stop(&mut self) {
        self.stopping = true;
        for conn in self.open() {
            let goodbye = self.goodbye.clone();
            self.conn_mut(conn).outgoing.extend(goodbye);
            self.close(conn);
        }
        self.stopped_if_all_closed();
    }

    fn stopped_if_all_closed(&mut self) {
        if self.stopping && !self.deaf && self.open().is_empty() {
            self.emit(Event::Stopped);
        }
    }

    fn rule(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.broken_rules.push(text());
        }
    }

    fn input(&mut self, now: Now, input: &Input<'_>) {
        match *input {
            Input::Tick => {
                if let Some(deadline) = self.deadline.take() {
                    self.ticks.push((deadline, now.mono));
                }
            }
            Input::Dialed { conn, local } => {
                let fresh = self.conn(conn).closed.is_none() && self.conn(conn).local.is_none();
                self.rule(fresh, || format!("{conn} dialed twice or after its end"));
                self.conn_mut(conn).local = Some(local);
            }
            Input::Data { conn, bytes } => {
                let open = self.conn(conn).closed.is_none();
                self.rule(open, || format!("{conn} has data after its end"));
                self.rule(!bytes.is_empty(), || format!("{conn} has empty data"));
                let keep = self.on_data != OnData::CheckPattern;
                let entry = self.conn_mut(conn);
                if keep {
                    entry.received.extend_from_slice(bytes);
                }
                match self.on_data {
                    OnData::Keep => {}
                    OnData::Echo => self.send(conn, bytes),
                    OnData::Forward(to) => self.send(to, bytes),
                    OnData::CheckPattern => {
                        let entry = self.conn_mut(conn);
                        let right = (entry.got..).zip(bytes).all(|(at, &byte)| byte == pattern_at(at));
                        entry.got += bytes.len();
                        self.rule(right, || format!("{conn} got wrong bytes"));
                    }
                    OnData::CloseOthers => {
                        for other in self.open().into_iter().filter(|&other| other != conn) {
                            self.close(other);
                        }
                    }
                }
            }
            Input::Closed { conn, cause } => {
                let open = self.conn(conn).closed.is_none();
                self.rule(open, || format!("{conn} closed twice"));
                self.conn_mut(conn).closed = Some(cause);
                self.live.remove(&conn.index());
                self.stopped_if_all_closed();
            }
            Input::Produced { height, round, ref payload, ref stale } => {
                self.produced.push((height, round, payload.clone(), stale.clone()));
            }
            Input::Validated { block, verdict } => self.validated.push((block, verdict)),
            Input::Committed { height, ref included, .. } => self.committed.push((height, included.clone())),
            Input::Loaded { load, ref blocks } => self.loaded.push((load, blocks.clone())),
            Input::Resolved { seed, ref addrs } => self.resolved.push((seed, addrs.clone())),
            Input::Persisted(ticket) => {
                self.persisted.push(ticket.0);
                if let Some(told) = self.on_persisted {
                    told(ticket.0);
                }
                if self.persist_on {
                    let next = self.next_ticket + 1;
                    self.persist(&next.to_le_bytes());
                }
            }
            Input::PersistFailed(ticket) => {
                self.persist_failed.push(ticket.0);
                self.emit(Event::Fatal(Fatal::PersistFailed));
                self.stop();
            }
            Input::Request { id, request: Request::Stop } => {
                self.emit(Event::Reply { id, reply: Reply::Stopping });
                self.stop();
            }
            Input::Request { id, .. } => {
                self.emit(Event::Reply { id, reply: Reply::Dialing { claimed_by: None } });
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Handle(Arc<Mutex<Script>>);

impl Handle {
    fn lock(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }
}

impl Core for Handle {
    fn accept(&mut self, _now: Now, from: SocketAddr) -> Result<ConnId, Refused> {
        let mut script = self.lock();
        if script.refuse {
            return Err(Refused(CloseReason::SlotsFull));
        }
        Ok(script.allocate(Conn { from: Some(from), ..Conn::default() }))
    }

    fn handle(&mut self, now: Now, input: Input<'_>) {
        self.lock().input(now, &input);
    }

    fn next_command(&mut self) -> Option<Command> {
        self.lock().commands.pop_front()
    }

    fn transmit(&mut self, _now: Now, conn: ConnId, budget: usize, out: &mut Vec<u8>) -> Transmit {
        let mut script = self.lock();
        let open = script.conn(conn).closed.is_none();
        script.rule(open, || format!("{conn} asked for bytes after its end"));
        let entry = script.conn_mut(conn);
        let count = budget.min(entry.outgoing.len());
        out.extend(entry.outgoing.drain(..count));
        if count > 0 {
            entry.pulls.push(count);
        }
        let left = if entry.outgoing.is_empty() { Transmit::Drained } else { Transmit::More };
        if let Some(hook) = script.on_transmit.0.take() {
            hook();
        }
        left
    }

    fn deadline(&self) -> Option<Mono> {
        self.lock().deadline
    }
}

/// Keeps the shell's own events as text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(pub(crate) Arc<Mutex<Vec<String>>>);

impl EventSink for Told {
    fn event(&mut self, event: &Event) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }

    fn shell_event(&mut self, event: &ShellEvent) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

/// A running loop with a scripted core.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) addr: SocketAddr,
    pub(crate) remote: Remote,
    pub(crate) told: Told,
    script: Handle,
    thread: Option<JoinHandle<Exit>>,
}

impl Rig {
    pub(crate) fn start() -> Self {
        Self::with(ShellConfig::listening_on("127.0.0.1:0".parse().unwrap()), Script::default())
    }

    pub(crate) fn with(config: ShellConfig, script: Script) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rig = Self::with_store(config, script, &folder.path().join("store.redb"), |_| {});
        // The loop holds the file open; its name may go.
        drop(folder);
        rig
    }

    pub(crate) fn with_store(
        config: ShellConfig,
        script: Script,
        store: &Path,
        prepare: impl FnOnce(&mut Shell),
    ) -> Self {
        let (store, _) = Store::open(store).unwrap();
        let mut shell = Shell::bind(config).unwrap();
        prepare(&mut shell);
        let (addr, remote, told) = (shell.local_addr(), shell.remote(), Told::default());
        let script = Handle(Arc::new(Mutex::new(script)));
        let (core, sink) = (script.clone(), told.clone());
        let thread = Some(thread::spawn(move || shell.run(core, store, sink)));
        Self { addr, remote, told, script, thread }
    }

    /// Changes the script and waits until the loop has finished a turn with that.
    pub(crate) fn act<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        let result = change(&mut self.script.lock());
        self.remote.request(Request::Status).unwrap().wait(PATIENCE).unwrap();
        let turns = self.remote.counters().turns;
        drop(self.remote.request(Request::Status).unwrap());
        self.until("a turn", |_| (self.remote.counters().turns > turns).then_some(()));
        result
    }

    pub(crate) fn see<T>(&self, look: impl FnOnce(&mut Script) -> T) -> T {
        look(&mut self.script.lock())
    }

    /// Waits until a value is there.
    pub(crate) fn until<T>(&self, what: &str, mut look: impl FnMut(&mut Script) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look(&mut self.script.lock()) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "not seen in time: {what}; {:?}", self.told);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// A peer with room for a few bytes only: most of what is sent to it stays in the sender's kernel.
    pub(crate) fn connect_with_little_room(&self) -> TcpStream {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&self.addr.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The open connection that was accepted; of several, any.
    pub(crate) fn accepted(&self) -> ConnId {
        self.until("an accepted connection", |script| {
            script.open().into_iter().rev().find(|&id| script.conn(id).from.is_some())
        })
    }

    pub(crate) fn told(&self, part: &str) -> bool {
        self.told.0.lock().unwrap().iter().any(|line| line.contains(part))
    }

    /// Waits for the end of the run and checks the rules that hold for every one.
    pub(crate) fn join(&mut self) -> Exit {
        let exit = self.thread.take().unwrap().join().unwrap();
        let broken = self.see(|script| std::mem::take(&mut script.broken_rules));
        assert!(broken.is_empty(), "{broken:?}");
        exit
    }

    pub(crate) fn stop(&mut self) -> Exit {
        self.remote.stop();
        self.join()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if self.thread.is_some() && !thread::panicking() {
            let exit = self.stop();
            assert!(matches!(exit, Exit::Stopped), "{exit:?}");
            self.see(|script| assert!(script.open().is_empty(), "left open: {:?}", script.open()));
        }
    }
}
