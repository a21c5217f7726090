//! The floor: four threads that do for a block what cannot be left out, and nothing else. No cryptography, no
//! decisions, no threads beside: a mio poll each, and a redb file each for records and for blocks.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use redb::{Database, TableDefinition};

use crate::measure::{median, micros};

const NODES: usize = 4;
const QUORUM: usize = 3;
const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");

/// Bytes of what travels and of what is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// A proposal with its payload.
    pub(crate) proposal: usize,
    /// A vote.
    pub(crate) vote: usize,
    /// A voting record.
    pub(crate) record: usize,
    /// A final block, and the valid block that a precommit locks.
    pub(crate) block: usize,
}

impl Sizes {
    /// Of a block with so many transactions of 250 bytes at four masternodes.
    pub(crate) const fn carrying(transactions: usize) -> Self {
        let payload = transactions * 254;
        Self { proposal: 700 + payload, vote: 200, record: 600, block: 900 + payload }
    }
}

/// What a message is; its length follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Proposal,
    Prevote,
    Precommit,
}

/// Four threads, each with a connection to every other.
pub(crate) struct BarePath {
    orders: Vec<Sender<u64>>,
    done: Receiver<Instant>,
    begun: Receiver<Instant>,
    threads: Vec<JoinHandle<()>>,
    next: u64,
    alone: Disk,
}

impl BarePath {
    pub(crate) fn new(folder: &Path, sizes: Sizes) -> Self {
        let mut ends: Vec<Vec<std::net::TcpStream>> = (0..NODES).map(|_| Vec::new()).collect();
        for lower in 0..NODES {
            for upper in lower + 1..NODES {
                let (near, far) = connected();
                ends[lower].push(near);
                ends[upper].push(far);
            }
        }
        let (tell_done, done) = channel();
        let (tell_begun, begun) = channel();
        let (mut orders, mut threads) = (Vec::new(), Vec::new());
        for (index, streams) in ends.into_iter().enumerate() {
            let (order, ordered) = channel();
            let disk = |name: &str| Disk::create(&folder.join(format!("bare-{name}-{index}")));
            let node = Bare::new(
                index,
                sizes,
                streams,
                disk("records"),
                disk("blocks"),
                tell_begun.clone(),
                tell_done.clone(),
            );
            orders.push(order);
            threads.push(std::thread::spawn(move || node.run(&ordered)));
        }
        Self { orders, done, begun, threads, next: 1, alone: Disk::create(&folder.join("bare-alone")) }
    }

    /// Microseconds of each of so many heights, with a pause before each.
    pub(crate) fn heights(&mut self, count: usize, pause: Duration) -> Vec<f64> {
        (0..count)
            .map(|_| {
                sleep(pause);
                // The leader last: the others wait for it.
                let leader = leader(self.next);
                for order in self.orders.iter().enumerate().filter(|(index, _)| *index != leader) {
                    order.1.send(self.next).expect("it waits for orders");
                }
                self.orders[leader].send(self.next).expect("it waits for orders");
                self.next += 1;
                let begun = self.begun.recv().expect("the leader begins");
                let ends = (0..NODES).map(|_| self.done.recv().expect("every node comes to an end"));
                micros(ends.max().expect("there are four") - begun)
            })
            .collect()
    }

    /// Microseconds of a durable commit of so many bytes while nothing else goes on.
    pub(crate) fn commit(&mut self, size: usize) -> f64 {
        median((0..15).map(|key| {
            sleep(Duration::from_millis(10));
            let begun = Instant::now();
            self.alone.commit(key, size);
            micros(begun.elapsed())
        }))
    }
}

impl Drop for BarePath {
    fn drop(&mut self) {
        self.orders.clear();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// Microseconds that so many bytes take from one thread to another that sleeps until they come.
pub(crate) fn one_way(size: usize) -> f64 {
    const TIMES: usize = 200;
    let (mut near, mut far) = connected();
    let echo = std::thread::spawn(move || {
        let mut bytes = vec![0; size];
        for _ in 0..TIMES {
            far.read_exact(&mut bytes).expect("the near end writes");
            far.write_all(&bytes).expect("the near end reads");
        }
    });
    let mut bytes = vec![0; size];
    let each = median((0..TIMES).map(|_| {
        let begun = Instant::now();
        near.write_all(&bytes).expect("the far end reads");
        near.read_exact(&mut bytes).expect("the far end writes");
        micros(begun.elapsed()) / 2.0
    }));
    echo.join().expect("it only answers");
    each
}

fn connected() -> (std::net::TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    let addr = listener.local_addr().expect("it is bound");
    let near = std::net::TcpStream::connect(addr).expect("it listens");
    let (far, _) = listener.accept().expect("a connection waits");
    for end in [&near, &far] {
        end.set_nodelay(true).expect("it is connected");
    }
    (near, far)
}

fn leader(height: u64) -> usize {
    usize::try_from(height % NODES as u64).expect("less than four")
}

/// A redb file with one table.
struct Disk(Database);

impl Disk {
    fn create(path: &Path) -> Self {
        // Of an earlier round.
        let _ = std::fs::remove_file(path);
        let disk = Self(Database::create(path).expect("room on the disk"));
        disk.commit(0, 16);
        disk
    }

    fn commit(&self, key: u64, size: usize) {
        let txn = self.0.begin_write().expect("a sound disk");
        txn.open_table(ROWS).expect("a sound disk").insert(key, &vec![7; size][..]).expect("a sound disk");
        txn.commit().expect("a disk that flushes");
    }
}

struct Bare {
    index: usize,
    sizes: Sizes,
    poll: Poll,
    streams: Vec<TcpStream>,
    /// Read and not yet a whole message, by stream.
    rests: Vec<Vec<u8>>,
    records: Disk,
    blocks: Disk,
    begun: Sender<Instant>,
    done: Sender<Instant>,
    heard: Heard,
}

/// What of the height under way has come.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    height: u64,
    proposals: usize,
    prevotes: usize,
    precommits: usize,
}

impl Bare {
    fn new(
        index: usize,
        sizes: Sizes,
        streams: Vec<std::net::TcpStream>,
        records: Disk,
        blocks: Disk,
        begun: Sender<Instant>,
        done: Sender<Instant>,
    ) -> Self {
        let poll = Poll::new().expect("a poll");
        let streams: Vec<TcpStream> = (0..)
            .zip(streams)
            .map(|(token, stream)| {
                stream.set_nonblocking(true).expect("it is connected");
                let mut stream = TcpStream::from_std(stream);
                poll.registry().register(&mut stream, Token(token), Interest::READABLE).expect("a poll");
                stream
            })
            .collect();
        let rests = streams.iter().map(|_| Vec::new()).collect();
        Self { index, sizes, poll, streams, rests, records, blocks, begun, done, heard: Heard::default() }
    }

    fn run(mut self, orders: &Receiver<u64>) {
        while let Ok(height) = orders.recv() {
            self.heard = Heard { height, ..Heard::default() };
            self.height();
        }
    }

    fn height(&mut self) {
        let (height, Sizes { record, block, .. }) = (self.heard.height, self.sizes);
        if leader(height) == self.index {
            self.begun.send(Instant::now()).expect("somebody measures");
            self.records.commit(0, record);
            self.say(&[Kind::Proposal, Kind::Prevote]);
        } else {
            self.hear_until(|heard| heard.proposals == 1);
            self.records.commit(0, record);
            self.say(&[Kind::Prevote]);
        }
        self.heard.prevotes += 1;
        self.hear_until(|heard| heard.prevotes >= QUORUM);
        self.records.commit(1, block);
        self.say(&[Kind::Precommit]);
        self.heard.precommits += 1;
        self.hear_until(|heard| heard.precommits >= QUORUM);
        self.blocks.commit(height, block);
        self.done.send(Instant::now()).expect("somebody measures");
    }

    fn length(&self, kind: u8) -> usize {
        if kind == Kind::Proposal as u8 { self.sizes.proposal } else { self.sizes.vote }
    }

    fn say(&mut self, kinds: &[Kind]) {
        let mut bytes = Vec::new();
        for kind in kinds {
            let start = bytes.len();
            bytes.push(*kind as u8);
            bytes.extend(self.heard.height.to_le_bytes());
            bytes.resize(start + self.length(*kind as u8), 0);
        }
        for at in 0..self.streams.len() {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                match self.streams[at].write(rest) {
                    Ok(count) => rest = &rest[count..],
                    // The others may be writing, too: who reads gives them room.
                    Err(error) if error.kind() == ErrorKind::WouldBlock => self.read_all(),
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    fn hear_until(&mut self, enough: impl Fn(&Heard) -> bool) {
        let mut events = Events::with_capacity(16);
        self.read_all();
        while !enough(&self.heard) {
            self.poll.poll(&mut events, None).expect("a poll");
            self.read_all();
        }
    }

    fn read_all(&mut self) {
        let mut buffer = [0; 64 * 1024];
        for at in 0..self.streams.len() {
            loop {
                match self.streams[at].read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => self.rests[at].extend_from_slice(&buffer[..count]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
            self.take_messages(at);
        }
    }

    fn take_messages(&mut self, at: usize) {
        let mut rest = std::mem::take(&mut self.rests[at]);
        while let Some(kind) = rest.first().copied() {
            let length = self.length(kind);
            if rest.len() < length {
                break;
            }
            let height = u64::from_le_bytes(rest[1..9].try_into().expect("eight bytes"));
            rest.drain(..length);
            // Late votes of an earlier height count no more.
            if height == self.heard.height {
                let Heard { proposals, prevotes, precommits, .. } = &mut self.heard;
                let count = [proposals, prevotes, precommits].into_iter().nth(usize::from(kind));
                *count.expect("a kind that is known") += 1;
            }
        }
        self.rests[at] = rest;
    }
}
