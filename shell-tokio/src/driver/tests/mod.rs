//! The driver over a core that does what a test says, connections in memory, and a clock that runs only while
//! nothing else does. The rig checks on its own what every core may rely on: `Closed` once for every connection,
//! nothing about a connection after that.

mod ends;
mod streams;
mod work;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use timed_core::{
    CanonicalAddr, CloseReason, Command, ConnId, Core, Event, Input, Mono, Now, PayloadVerdict, Reading,
    RecordKey, Refused, Reply, Request, Ticket, Transmit, TransportCause, Wall,
};
use tokio::io::{DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::{Driver, Parts};
use crate::application::{Application, ApplicationError, Commitment, Offer, Wanted};
use crate::clock::Clock;
use crate::driver::Exit;
use crate::events::{Events, Notice, Ring, ShellEvent};
use crate::handle::{Board, Doors, Handle, Ordered};
use crate::limits::REQUESTS;
use crate::network::{Halves, Network};
use crate::store::{MemoryStore, Store, StoreError, Write};

const PATIENCE: Duration = Duration::from_secs(60);

/// One connection as the script sees it.
#[derive(Debug, Default)]
struct Conn {
    local: Option<SocketAddr>,
    received: Vec<u8>,
    outgoing: VecDeque<u8>,
    /// Sizes of what was taken.
    pulls: Vec<usize>,
    closed: Option<TransportCause>,
}

#[derive(Debug, Default)]
struct Script {
    conns: BTreeMap<ConnId, Conn>,
    free: Vec<u32>,
    generations: u32,
    commands: VecDeque<Command>,
    deadline: Option<Mono>,
    ticks: Vec<Mono>,
    persisted: Vec<Ticket>,
    lost: Vec<Ticket>,
    committed: Vec<u64>,
    produced: Vec<Option<Bytes>>,
    validated: Vec<PayloadVerdict>,
    loaded: Vec<usize>,
    /// Never says that it has stopped.
    deaf: bool,
    goodbye: Vec<u8>,
    /// Pause the reading of a connection as soon as something arrives on it.
    pause_at_once: bool,
    tickets: u64,
}

impl Script {
    fn conn(&mut self, id: ConnId) -> &mut Conn {
        self.conns.get_mut(&id).unwrap()
    }

    fn open(&mut self) -> ConnId {
        self.generations += 1;
        // At an index that is free, as a slab does.
        let index = self.free.pop().unwrap_or_else(|| u32::try_from(self.conns.len()).unwrap());
        let id = ConnId::from_parts(index, self.generations);
        self.conns.insert(id, Conn::default());
        id
    }

    fn dial(&mut self) -> ConnId {
        let conn = self.open();
        let addr = CanonicalAddr::new("192.0.2.1:1".parse().unwrap()).unwrap();
        self.commands.push_back(Command::Dial { conn, addr });
        conn
    }

    fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        self.conn(conn).outgoing.extend(bytes);
        self.commands.push_back(Command::Send { conn });
    }

    fn close(&mut self, conn: ConnId) {
        self.commands.push_back(Command::Close { conn, reason: CloseReason::Shutdown });
    }

    fn reading(&mut self, conn: ConnId, reading: Reading) {
        self.commands.push_back(Command::Reading { conn, reading });
    }

    fn persist(&mut self, record: &[u8]) {
        self.tickets += 1;
        let (ticket, record) = (Ticket(self.tickets), Bytes::copy_from_slice(record));
        self.commands.push_back(Command::Persist { ticket, key: RecordKey::Boot, record });
    }

    fn live(&self) -> Vec<ConnId> {
        self.conns.iter().filter(|(_, conn)| conn.closed.is_none()).map(|(id, _)| *id).collect()
    }

    fn handle(&mut self, now: Now, input: Input<'_>) {
        match input {
            Input::Tick => {
                self.ticks.push(now.mono);
                self.deadline = None;
            }
            Input::Dialed { conn, local } => self.conn(conn).local = Some(local),
            Input::Data { conn, bytes } => {
                let pause = self.pause_at_once;
                let entry = self.conn(conn);
                assert_eq!(entry.closed, None, "bytes after the end of {conn}");
                entry.received.extend(bytes);
                if pause {
                    self.reading(conn, Reading::Pause);
                }
            }
            Input::Closed { conn, cause } => {
                let before = self.conn(conn).closed.replace(cause);
                assert_eq!(before, None, "{conn} ended twice");
                self.free.push(conn.index());
            }
            Input::Persisted(ticket) => self.persisted.push(ticket),
            Input::PersistFailed(ticket) => self.lost.push(ticket),
            Input::Produced { payload, .. } => self.produced.push(payload),
            Input::Validated { verdict, .. } => self.validated.push(verdict),
            Input::Committed { height, .. } => self.committed.push(height.0),
            Input::Loaded { blocks, .. } => self.loaded.push(blocks.len()),
            Input::Resolved { .. } => {}
            Input::Request { id, request } => {
                self.commands.push_back(Command::Event(Event::Reply { id, reply: Reply::Stopping }));
                if matches!(request, Request::Stop) && !self.deaf {
                    let goodbye = self.goodbye.clone();
                    for conn in self.live() {
                        self.conn(conn).outgoing.extend(&goodbye);
                        self.close(conn);
                    }
                    self.commands.push_back(Command::Event(Event::Stopped));
                }
            }
        }
    }
}

/// The script as the driver's core.
#[derive(Clone, Debug, Default)]
struct Scripted(Arc<Mutex<Script>>);

impl Scripted {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }
}

impl Core for Scripted {
    fn accept(&mut self, _now: Now, _from: SocketAddr) -> Result<ConnId, Refused> {
        Ok(self.script().open())
    }

    fn handle(&mut self, now: Now, input: Input<'_>) {
        self.script().handle(now, input);
    }

    fn next_command(&mut self) -> Option<Command> {
        self.script().commands.pop_front()
    }

    fn transmit(&mut self, _now: Now, conn: ConnId, budget: usize, out: &mut Vec<u8>) -> Transmit {
        let mut script = self.script();
        let Some(conn) = script.conns.get_mut(&conn) else { return Transmit::Drained };
        let count = conn.outgoing.len().min(budget);
        out.extend(conn.outgoing.drain(..count));
        if count > 0 {
            conn.pulls.push(count);
        }
        if conn.outgoing.is_empty() { Transmit::Drained } else { Transmit::More }
    }

    fn deadline(&self) -> Option<Mono> {
        self.script().deadline
    }
}

/// Connections in memory: the test holds the other ends.
struct Memory {
    dials: mpsc::UnboundedSender<oneshot::Sender<io::Result<DuplexStream>>>,
    accepts: Mutex<Option<mpsc::UnboundedReceiver<io::Result<DuplexStream>>>>,
}

fn far() -> SocketAddr {
    "192.0.2.1:1".parse().unwrap()
}

impl Network for Memory {
    type Listener = mpsc::UnboundedReceiver<io::Result<DuplexStream>>;
    type Read = ReadHalf<DuplexStream>;
    type Write = WriteHalf<DuplexStream>;

    async fn listen(&self, at: SocketAddr) -> io::Result<(Self::Listener, SocketAddr)> {
        Ok((self.accepts.lock().unwrap().take().unwrap(), at))
    }

    async fn accept(&self, listener: &mut Self::Listener) -> io::Result<(Halves<Self>, SocketAddr)> {
        match listener.recv().await {
            Some(stream) => Ok((split(stream?), far())),
            None => std::future::pending().await,
        }
    }

    async fn dial(&self, _to: SocketAddr) -> io::Result<(Halves<Self>, SocketAddr)> {
        let (answer, stream) = oneshot::channel();
        self.dials.send(answer).unwrap();
        let stream = stream.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok((split(stream), "192.0.2.9:9".parse().unwrap()))
    }

    async fn resolve(&self, _name: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(Vec::new())
    }
}

/// Tokio's clock, whether it is paused or not, at a fixed date.
struct Virtual(Instant);

impl Clock for Virtual {
    fn now(&self) -> Now {
        let since = self.0.elapsed();
        let mono = Mono(0) + since;
        Now { mono, wall: Wall(1_800_000_000_000) + since }
    }
}

/// An application that answers as a test says.
#[derive(Clone, Default)]
struct Answers {
    produce: Option<fn() -> Result<Offer, ApplicationError>>,
    validate: Option<fn() -> Result<PayloadVerdict, ApplicationError>>,
    commit: Option<fn() -> Result<Commitment, ApplicationError>>,
}

impl Application for Answers {
    fn produce(&self, _wanted: &Wanted) -> Result<Offer, ApplicationError> {
        self.produce.map_or_else(|| Ok(Offer::default()), |answer| answer())
    }

    fn validate(&self, _: timed_core::Height, _: &Bytes) -> Result<PayloadVerdict, ApplicationError> {
        self.validate.map_or(Ok(PayloadVerdict::Valid), |answer| answer())
    }

    fn commit(&self, _block: &timed_core::FinalBlock) -> Result<Commitment, ApplicationError> {
        self.commit.map_or_else(|| Ok(Commitment::default()), |answer| answer())
    }
}

struct Rig {
    core: Scripted,
    clock: Virtual,
    handle: Handle,
    events: Events,
    dials: mpsc::UnboundedReceiver<oneshot::Sender<io::Result<DuplexStream>>>,
    accepts: mpsc::UnboundedSender<io::Result<DuplexStream>>,
    run: JoinHandle<Exit>,
}

impl Rig {
    async fn start() -> Self {
        Self::with(MemoryStore::new(), Answers::default()).await
    }

    async fn with(store: impl Store, application: impl Application) -> Self {
        let begun = Instant::now();
        let core = Scripted::default();
        let (dialing, dials) = mpsc::unbounded_channel();
        let (accepts, accepting) = mpsc::unbounded_channel();
        let network = Memory { dials: dialing, accepts: Mutex::new(Some(accepting)) };
        let (listener, _) = network.listen(far()).await.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(Virtual(begun));
        let ring = Arc::new(Ring::default());
        let events = ring.subscribe();
        let board = Arc::new(Board::new(Arc::clone(&clock)));
        let (asking, requests) = mpsc::channel(REQUESTS);
        let (ordering, orders) = watch::channel(Ordered::Run);
        let (ending, exit) = watch::channel(None);
        let store = Arc::new(store);
        let shared: Arc<dyn Store> = store.clone();
        let doors = Doors {
            requests: asking,
            orders: ordering,
            board: Arc::clone(&board),
            ring: Arc::clone(&ring),
            exit,
            store: Arc::downgrade(&shared),
        };
        let parts = Parts {
            network,
            listener: Some(listener),
            clock,
            store,
            application: Arc::new(application),
            remembered: VecDeque::new(),
            names: Vec::new(),
            ring,
            board,
            requests,
            orders,
        };
        let driver = Driver::start(core.clone(), parts);
        let run = tokio::spawn(async move {
            let exit = driver.run().await;
            ending.send_replace(Some(exit.clone()));
            exit
        });
        let handle = Handle::new(doors, timed_core::NodeId::default(), None);
        Self { core, clock: Virtual(begun), handle, events, dials, accepts, run }
    }

    /// Changes the script, and has the driver look at it.
    async fn act<T>(&self, act: impl FnOnce(&mut Script) -> T) -> T {
        let done = act(&mut self.core.script());
        self.handle.request(Request::Status).await.unwrap();
        done
    }

    fn see<T>(&self, see: impl FnOnce(&mut Script) -> T) -> T {
        see(&mut self.core.script())
    }

    /// Waits until the script has seen something.
    async fn until<T>(&self, what: &str, mut see: impl FnMut(&mut Script) -> Option<T>) -> T {
        let until = async {
            loop {
                if let Some(seen) = see(&mut self.core.script()) {
                    return seen;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, until).await.unwrap_or_else(|_| panic!("never: {what}"))
    }

    /// A connection that comes in, with room for so many bytes under way: its name, and the peer's end.
    async fn accepted(&self, room: usize) -> (ConnId, DuplexStream) {
        let before = self.see(|script| script.generations);
        let (ours, theirs) = duplex(room);
        self.accepts.send(Ok(ours)).unwrap();
        let accepted = |script: &mut Script| script.live().into_iter().find(|id| id.generation() > before);
        (self.until("accepted", accepted).await, theirs)
    }

    /// A connection that was dialed.
    async fn dialed(&mut self, room: usize) -> (ConnId, DuplexStream) {
        let conn = self.act(Script::dial).await;
        let (ours, theirs) = duplex(room);
        self.dials.recv().await.unwrap().send(Ok(ours)).unwrap();
        self.until("dialed", |script| script.conn(conn).local).await;
        (conn, theirs)
    }

    /// The next event of the shell's own that passes.
    async fn told(&mut self) -> ShellEvent {
        let told = async {
            loop {
                match self.events.next().await {
                    Some(Notice::Shell(event)) => return event,
                    Some(_) => {}
                    None => panic!("the events have ended"),
                }
            }
        };
        timeout(PATIENCE, told).await.expect("the shell tells")
    }

    async fn stop(self) {
        assert_eq!(self.handle.shutdown().await, Exit::Stopped);
        assert_eq!(self.run.await.unwrap(), Exit::Stopped);
        assert_eq!(self.core.script().live(), []);
    }
}

/// Bytes that tell where they belong.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((at * 31 + at / 251) % 256).unwrap()).collect()
}

/// A store whose writes fail, or panic, from the n-th on.
struct Failing {
    inner: MemoryStore,
    left: Mutex<usize>,
    fail: fn() -> Result<(), StoreError>,
}

impl Failing {
    fn after(writes: usize, fail: fn() -> Result<(), StoreError>) -> Self {
        Self { inner: MemoryStore::new(), left: Mutex::new(writes), fail }
    }
}

impl Store for Failing {
    fn records(&self) -> Result<Vec<timed_core::Record>, StoreError> {
        self.inner.records()
    }

    fn write(&self, batch: &[Write]) -> Result<(), StoreError> {
        let mut left = self.left.lock().unwrap();
        match left.checked_sub(1) {
            Some(fewer) => {
                *left = fewer;
                self.inner.write(batch)
            }
            None => {
                drop(left);
                (self.fail)()
            }
        }
    }

    fn blocks(
        &self,
        _: timed_core::Height,
        _: timed_core::Height,
        _: usize,
    ) -> Result<Vec<timed_core::StoredBlock>, StoreError> {
        Err("a bad sector".into())
    }
}
