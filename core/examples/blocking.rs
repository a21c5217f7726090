//! The core driven by blocking sockets of the standard library: three masternodes, each on a thread of its own with one
//! more a connection, make five blocks.
//!
//! `cargo run -p timed-core --example blocking`
//!
//! What a shell has to do is all here; what it may want besides is not: durability, an application (every block is
//! empty), back-pressure. `timed-mio` and `timed-tokio` are shells to use in earnest.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use timed_core::crypto::{Provider, noise::NoiseProvider};
use timed_core::{limits::MAX_ASSEMBLED, *};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What the threads around a node tell it.
enum Arrival {
    Accepted(TcpStream, SocketAddr),
    Dialed(ConnId, TcpStream),
    Data(ConnId, Vec<u8>),
    Lost(ConnId, TransportCause),
}

fn main() -> Result<(), Failure> {
    let bind = |host| TcpListener::bind((Ipv4Addr::new(127, 0, 0, host), 0));
    let listeners = (1..=3).map(bind).collect::<Result<Vec<_>, _>>()?;
    let mut entries = Vec::new();
    for (key, listener) in (1..).zip(&listeners) {
        let addr = CanonicalAddr::new(listener.local_addr()?)?;
        entries.push(Masternode { id: keys(key).node_id(), addr });
    }
    let (registry, mut nodes) = (Registry::new(entries)?, Vec::new());
    for (key, listener) in (1..).zip(listeners) {
        let registry = registry.clone();
        nodes.push(thread::spawn(move || run(key, listener, registry)));
    }
    nodes.into_iter().try_for_each(|node| node.join().unwrap_or_else(|_| Err("a node panicked".into())))
}

/// In earnest the seed of a key is drawn once, and kept in a file that nobody else can read.
fn keys(key: u8) -> NoiseProvider {
    NoiseProvider::new([key; 32].into())
}

fn clocks(begun: Instant) -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { mono: Mono(1) + begun.elapsed(), wall: Wall(0) + wall }
}

fn run(key: u8, listener: TcpListener, registry: Registry) -> Result<(), Failure> {
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
            genesis_time: Wall(0),
            interval: Duration::from_millis(500),
            max_bytes: MAX_ASSEMBLED,
            min_peers: MinPeers::Auto,
        }),
        agent: "blocking".to_owned(),
        timings: Timings::default(),
    };
    let (mut seed, begun, (tell, told)) = ([0; 32], Instant::now(), channel());
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let node = Node::new(config, Box::new(keys(key)), seed, [], clocks(begun))?;
    let accepting = tell.clone();
    thread::spawn(move || {
        while let Ok((stream, from)) = listener.accept() {
            let _ = accepting.send(Arrival::Accepted(stream, from));
        }
    });
    let (now, streams) = (clocks(begun), BTreeMap::new());
    Shell { key, node, begun, now, tell, streams }.run(&told)
}

struct Shell {
    key: u8,
    node: Node,
    begun: Instant,
    now: Now,
    tell: Sender<Arrival>,
    streams: BTreeMap<ConnId, TcpStream>,
}

impl Shell {
    fn run(mut self, told: &Receiver<Arrival>) -> Result<(), Failure> {
        loop {
            while let Some(command) = self.node.next_command() {
                if let Command::Event(Event::Stopped) = command {
                    return Ok(());
                }
                self.carry_out(command);
            }
            let now = clocks(self.begun).mono;
            let wait = self.node.deadline().map_or(Duration::from_secs(1), |due| due.since(now));
            let arrival = told.recv_timeout(wait);
            self.now = clocks(self.begun); // Sampled once a wake-up.
            match arrival {
                Ok(Arrival::Accepted(stream, from)) => {
                    if let Ok(conn) = self.node.accept(self.now, from) {
                        self.open(conn, stream)?;
                    }
                }
                Ok(Arrival::Dialed(conn, stream)) => {
                    let local = self.open(conn, stream)?;
                    self.input(Input::Dialed { conn, local });
                }
                Ok(Arrival::Data(conn, bytes)) => self.input(Input::Data { conn, bytes: &bytes }),
                Ok(Arrival::Lost(conn, cause)) => self.closed(conn, cause),
                Err(_) => {} // It is time.
            }
            self.input(Input::Tick);
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input);
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Dial { conn, addr } => {
                let (tell, lost) = (self.tell.clone(), Arrival::Lost(conn, TransportCause::Refused));
                let dial = move || TcpStream::connect(addr.socket());
                thread::spawn(move || tell.send(dial().map_or(lost, |stream| Arrival::Dialed(conn, stream))));
            }
            Command::Send { conn } => self.flush(conn),
            Command::Close { conn, .. } => {
                self.flush(conn);
                self.closed(conn, TransportCause::Commanded);
            }
            Command::Reading { .. } => {} // In earnest: the only back-pressure there is.
            // In earnest: make it durable first, and answer then.
            Command::Persist { ticket, .. } => self.input(Input::Persisted(ticket)),
            Command::Commit { ticket, block, .. } => {
                let (height, registry_changes, included) = (block.block.header.height, vec![], vec![]);
                self.input(Input::Persisted(ticket));
                self.input(Input::Committed { height, registry_changes, included });
            }
            // In earnest: read back what was stored, for a peer that catches up.
            Command::Load { load, .. } => self.input(Input::Loaded { load, blocks: vec![] }),
            Command::Produce { height, round, .. } => {
                let (payload, stale) = (Some(Default::default()), vec![]);
                self.input(Input::Produced { height, round, payload, stale });
            }
            Command::Validate { block, .. } => {
                self.input(Input::Validated { block, verdict: PayloadVerdict::Valid });
            }
            Command::Resolve { seed } => self.input(Input::Resolved { seed, addrs: vec![] }),
            Command::Event(Event::LinkUp { peer, .. }) => println!("node {}: link to {peer:?}", self.key),
            Command::Event(Event::BlockCommitted { height, hash, .. }) => {
                println!("node {}: block {height}, {hash:?}", self.key);
                if height == Height(5) {
                    self.input(Input::Request { id: RequestId(1), request: Request::Stop });
                }
            }
            Command::Event(_) => {}
        }
    }

    fn open(&mut self, conn: ConnId, mut stream: TcpStream) -> Result<SocketAddr, Failure> {
        let (local, tell) = (stream.local_addr()?, self.tell.clone());
        self.streams.insert(conn, stream.try_clone()?);
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
        while self.node.transmit(self.now, conn, 64 * 1024, &mut bytes) == Transmit::More {}
        let _ = stream.write_all(&bytes); // A broken connection is told by its reader.
    }

    fn closed(&mut self, conn: ConnId, cause: TransportCause) {
        let _ = self.streams.remove(&conn).map(|stream| stream.shutdown(Shutdown::Both));
        self.input(Input::Closed { conn, cause }); // Told a second time it is ignored, for its name is stale then.
    }
}
