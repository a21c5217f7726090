//! The core driven by blocking sockets of the standard library: three masternodes, each with a thread of its own and
//! one more a connection, make five blocks.
//!
//! `cargo run -p timed-core --example blocking`
//!
//! What a shell has to do is all here; what it may want besides is not: durability (records go to a vector), an
//! application (every block is empty), back-pressure. See `timed-mio` and `timed-tokio` for shells to use in earnest.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use timed_core::crypto::Provider;
use timed_core::crypto::noise::NoiseProvider;
use timed_core::{
    AddrScope, CanonicalAddr, ChainConfig, Command, Config, ConnId, Event, GenesisHash, Input, Limits,
    Masternode, MasternodeMode, MinPeers, Mono, NetworkName, Node, Now, PayloadVerdict, Record, Registry,
    Request, RequestId, StoredBlock, Timings, Transmit, TransportCause, Wall, limits::MAX_ASSEMBLED,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What the threads around a node tell it.
enum Arrival {
    Accepted(TcpStream, SocketAddr),
    Dialed(ConnId, TcpStream),
    Data(ConnId, Vec<u8>),
    Lost(ConnId, TransportCause),
}

fn main() -> Result<(), Failure> {
    let listeners: Vec<TcpListener> =
        (1..=3).map(|host| TcpListener::bind(([127, 0, 0, host], 0))).collect::<Result<_, _>>()?;
    let begun = Instant::now();
    let mut entries = Vec::new();
    for (key, listener) in (1..).zip(&listeners) {
        let addr = CanonicalAddr::new(listener.local_addr()?)?;
        entries.push(Masternode { id: keys(key).node_id(), addr });
    }
    let (registry, dawn) = (Registry::new(entries)?, now(begun).wall);
    let mut nodes = Vec::new();
    for (key, listener) in (1..).zip(listeners) {
        let registry = registry.clone();
        nodes.push(thread::spawn(move || run(key, listener, registry, dawn, begun)));
    }
    nodes.into_iter().try_for_each(|node| node.join().unwrap_or_else(|_| Err("a node has panicked".into())))
}

fn keys(key: u8) -> NoiseProvider {
    NoiseProvider::new([key; 32].into())
}

fn now(begun: Instant) -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { mono: Mono(1) + begun.elapsed(), wall: Wall(0) + wall }
}

fn run(
    key: u8,
    listener: TcpListener,
    registry: Registry,
    dawn: Wall,
    begun: Instant,
) -> Result<(), Failure> {
    let config = Config {
        network: NetworkName::new("blocking")?,
        genesis: GenesisHash([7; 32]),
        limits: Limits::for_registry(registry.size()),
        registry,
        advertised: Some(CanonicalAddr::new(listener.local_addr()?)?),
        bootstrap: vec![],
        reserved: vec![],
        seeds: vec![],
        addresses: AddrScope::Private,
        masternode: MasternodeMode::Required,
        chain: Some(ChainConfig {
            genesis_time: dawn,
            interval: Duration::from_millis(500),
            max_bytes: MAX_ASSEMBLED,
            min_peers: MinPeers::Auto,
        }),
        agent: "blocking".to_owned(),
        timings: Timings::default(),
    };
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let node = Node::new(config, Box::new(keys(key)), seed, Vec::<Record>::new(), now(begun))?;

    let (tell, told) = channel();
    let accepting = tell.clone();
    thread::spawn(move || {
        while let Ok((stream, from)) = listener.accept() {
            let _ = accepting.send(Arrival::Accepted(stream, from));
        }
    });
    let (streams, blocks) = (BTreeMap::new(), Vec::new());
    Shell { key, node, begun, tell, streams, blocks, running: true }.run(&told)
}

struct Shell {
    key: u8,
    node: Node,
    begun: Instant,
    tell: Sender<Arrival>,
    streams: BTreeMap<ConnId, TcpStream>,
    blocks: Vec<StoredBlock>,
    running: bool,
}

impl Shell {
    fn run(mut self, told: &Receiver<Arrival>) -> Result<(), Failure> {
        while self.running {
            self.carry_out();
            let early = now(self.begun).mono;
            let wait = self.node.deadline().map_or(Duration::from_secs(1), |due| due.since(early));
            let arrival = told.recv_timeout(wait);
            let now = now(self.begun); // Sampled once a wake-up.
            match arrival {
                Ok(Arrival::Accepted(stream, from)) => {
                    if let Ok(conn) = self.node.accept(now, from) {
                        self.open(conn, stream)?;
                    }
                }
                Ok(Arrival::Dialed(conn, stream)) => {
                    let local = self.open(conn, stream)?;
                    self.node.handle(now, Input::Dialed { conn, local });
                }
                Ok(Arrival::Data(conn, bytes)) => self.node.handle(now, Input::Data { conn, bytes: &bytes }),
                Ok(Arrival::Lost(conn, cause)) => self.closed(conn, cause),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            self.node.handle(now, Input::Tick);
        }
        Ok(())
    }

    fn carry_out(&mut self) {
        while let Some(command) = self.node.next_command() {
            let now = now(self.begun);
            match command {
                Command::Dial { conn, addr } => {
                    let tell = self.tell.clone();
                    thread::spawn(move || match TcpStream::connect(addr.socket()) {
                        Ok(stream) => tell.send(Arrival::Dialed(conn, stream)),
                        Err(_) => tell.send(Arrival::Lost(conn, TransportCause::Refused)),
                    });
                }
                Command::Send { conn } => self.flush(conn),
                Command::Close { conn, .. } => {
                    self.flush(conn);
                    self.closed(conn, TransportCause::Commanded);
                }
                // In earnest: make it durable first, and answer then.
                Command::Persist { ticket, .. } => self.node.handle(now, Input::Persisted(ticket)),
                Command::Commit { ticket, block, bytes, .. } => {
                    let height = block.block.header.height;
                    self.blocks.push(StoredBlock { height, bytes });
                    let (registry_changes, included) = (vec![], vec![]);
                    self.node.handle(now, Input::Committed { height, registry_changes, included });
                    self.node.handle(now, Input::Persisted(ticket));
                }
                Command::Produce { height, round, .. } => {
                    let payload = Some(Default::default());
                    self.node.handle(now, Input::Produced { height, round, payload, stale: vec![] });
                }
                Command::Validate { block, .. } => {
                    self.node.handle(now, Input::Validated { block, verdict: PayloadVerdict::Valid });
                }
                Command::Load { load, from, to, .. } => {
                    let wanted = self.blocks.iter().filter(|block| (from..=to).contains(&block.height));
                    let blocks = wanted.take(100).cloned().collect();
                    self.node.handle(now, Input::Loaded { load, blocks });
                }
                Command::Resolve { seed } => self.node.handle(now, Input::Resolved { seed, addrs: vec![] }),
                Command::Event(event) => self.report(&event),
                Command::Reading { .. } => {} // In earnest: the only back-pressure there is.
            }
        }
    }

    fn open(&mut self, conn: ConnId, mut stream: TcpStream) -> Result<SocketAddr, Failure> {
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        self.streams.insert(conn, stream.try_clone()?);
        let tell = self.tell.clone();
        thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                let _ = tell.send(Arrival::Data(conn, buffer[..count].to_vec()));
            }
            let _ = tell.send(Arrival::Lost(conn, TransportCause::Eof));
        });
        Ok(local)
    }

    fn flush(&mut self, conn: ConnId) {
        let Some(mut stream) = self.streams.get(&conn) else { return };
        let mut bytes = Vec::new();
        while self.node.transmit(now(self.begun), conn, 64 * 1024, &mut bytes) == Transmit::More {}
        // A broken connection is told by its reader.
        let _ = stream.write_all(&bytes);
    }

    /// Tells the core once: a connection that is not in the table any more was told of.
    fn closed(&mut self, conn: ConnId, cause: TransportCause) {
        if let Some(stream) = self.streams.remove(&conn) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.node.handle(now(self.begun), Input::Closed { conn, cause });
    }

    fn report(&mut self, event: &Event) {
        match event {
            Event::LinkUp { peer, direction, .. } => {
                println!("node {}: link to {peer:?} ({})", self.key, direction.as_str());
            }
            Event::BlockCommitted { height, hash, .. } => {
                println!("node {}: block {height}, {hash:?}", self.key);
                let (id, request) = (RequestId(1), Request::Stop);
                if height.0 == 5 {
                    self.node.handle(now(self.begun), Input::Request { id, request });
                }
            }
            Event::Stopped => self.running = false,
            _ => {}
        }
    }
}
