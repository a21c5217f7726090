//! The floor of a delivery: a hub and its peers, each a thread with a bare mio poll, sealing and opening what they
//! send and nothing else. No frames, no lanes, no timers, no decisions.
//!
//! Whatever a peer receives it sends back, and so does the hub while it is running: traffic keeps itself going, at
//! any time a fixed number of messages a link.

use std::io::{ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::measure::primitives::Channel;
use crate::traffic::{PLAINTEXT, Traffic};

const WAKER: Token = Token(usize::MAX);

/// How messages that wait together travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealing {
    /// Each in a record of its own, all in one write.
    OneByOne,
    /// All in one record.
    Together,
}

struct Switches {
    running: AtomicBool,
    stopped: AtomicBool,
    delivered: AtomicU64,
}

/// A hub with its peers.
pub(crate) struct BareStar {
    switches: Arc<Switches>,
    hub: Waker,
    threads: Vec<JoinHandle<()>>,
    peer_wakers: Vec<Waker>,
}

impl BareStar {
    /// Connects `peers` to a hub; `waiting` messages travel on each link while it is running.
    pub(crate) fn new(peers: usize, waiting: usize, sealing: Sealing) -> Self {
        let switches = Arc::new(Switches {
            running: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            delivered: AtomicU64::new(0),
        });
        let listener =
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let (mut hub_ends, mut threads, mut peer_wakers) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..peers {
            let near =
                std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
            let (far, _) = listener.accept().expect("a connection waits");
            hub_ends.push(far);
            let (end, waker) = End::new(vec![near], waiting, sealing, Arc::clone(&switches));
            peer_wakers.push(waker);
            threads.push(std::thread::spawn(move || end.run(Side::Peer)));
        }
        let (end, hub) = End::new(hub_ends, waiting, sealing, Arc::clone(&switches));
        threads.push(std::thread::spawn(move || end.run(Side::Hub)));
        Self { switches, hub, threads, peer_wakers }
    }
}

impl Traffic for BareStar {
    fn start(&mut self) {
        self.switches.running.store(true, Relaxed);
        self.hub.wake().expect("its poll lives");
    }

    fn stop(&mut self) {
        self.switches.running.store(false, Relaxed);
    }

    fn delivered(&self) -> u64 {
        self.switches.delivered.load(Relaxed)
    }
}

impl Drop for BareStar {
    fn drop(&mut self) {
        self.switches.stopped.store(true, Relaxed);
        for waker in self.peer_wakers.iter().chain([&self.hub]) {
            waker.wake().expect("its poll lives");
        }
        for thread in self.threads.drain(..) {
            thread.join().expect("it only moves bytes");
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Hub,
    Peer,
}

struct Connection {
    stream: TcpStream,
    channel: Channel,
    /// Messages received of the batch under way.
    received: usize,
}

/// One thread's poll and connections.
struct End {
    poll: Poll,
    connections: Vec<Connection>,
    batch: Vec<u8>,
    records: usize,
    waiting: usize,
    switches: Arc<Switches>,
    read_buffer: Vec<u8>,
    write_buffer: Vec<u8>,
}

impl End {
    fn new(
        streams: Vec<std::net::TcpStream>,
        waiting: usize,
        sealing: Sealing,
        switches: Arc<Switches>,
    ) -> (Self, Waker) {
        let poll = Poll::new().expect("descriptors are left");
        let waker = Waker::new(poll.registry(), WAKER).expect("descriptors are left");
        let mut connections = Vec::new();
        for (index, stream) in streams.into_iter().enumerate() {
            stream.set_nonblocking(true).expect("it is a socket");
            stream.set_nodelay(true).expect("it is connected");
            let mut stream = TcpStream::from_std(stream);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(index), interest).expect("it is a socket");
            connections.push(Connection { stream, channel: Channel::new(), received: 0 });
        }
        let (records, plaintext) = match sealing {
            Sealing::OneByOne => (waiting, PLAINTEXT),
            Sealing::Together => (1, 1 + (PLAINTEXT - 1) * waiting),
        };
        let end = Self {
            poll,
            connections,
            batch: vec![5; plaintext],
            records,
            waiting,
            switches,
            read_buffer: vec![0; 64 * 1024],
            write_buffer: Vec::with_capacity(64 * 1024),
        };
        (end, waker)
    }

    fn run(mut self, side: Side) {
        let mut events = Events::with_capacity(256);
        let mut ready = Vec::with_capacity(256);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result.expect("the poll lives"),
            }
            if self.switches.stopped.load(Relaxed) {
                return;
            }
            for event in &events {
                match event.token() {
                    WAKER if side == Side::Hub => ready.extend(0..self.connections.len()),
                    Token(index) if event.is_readable() && self.receive(index) => ready.push(index),
                    _ => {}
                }
            }
            for index in ready.drain(..) {
                if side == Side::Peer || self.switches.running.load(Relaxed) {
                    self.send(index);
                }
            }
        }
    }

    /// Reads to a short read; answers whether a whole batch has arrived.
    fn receive(&mut self, index: usize) -> bool {
        let Connection { stream, channel, received } = &mut self.connections[index];
        loop {
            let read = match stream.read(&mut self.read_buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            };
            *received += channel.open_all(&mut self.read_buffer[..read]);
            if read < self.read_buffer.len() {
                break;
            }
        }
        if *received < self.records {
            return false;
        }
        *received = 0;
        self.switches.delivered.fetch_add(self.waiting as u64, Relaxed);
        true
    }

    fn send(&mut self, index: usize) {
        let Connection { stream, channel, .. } = &mut self.connections[index];
        self.write_buffer.clear();
        for _ in 0..self.records {
            channel.seal(&self.batch, &mut self.write_buffer);
        }
        let written = stream.write(&self.write_buffer).expect("a batch fits an empty socket");
        assert_eq!(written, self.write_buffer.len(), "a batch fits an empty socket");
    }
}
