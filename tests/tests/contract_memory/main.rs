//! C8, measured: whatever peers do, a node holds no more than the table of bounds says. A binary of its own,
//! because it counts what is allocated.

#![allow(clippy::unwrap_used)]

mod blocks;
mod day;
mod transactions;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use timed_core::limits::CHAIN_BYTES;
use timed_core::wire::frame::append_encoded;
use timed_core::wire::message::{Answer, Intent, Kind, Lane, Message, Ping, Pong};
use timed_core::wire::peers::PeerAddress;
use timed_core::{
    AddressCounts, BanNote, BanTarget, Bootstrap, CanonicalAddr, ChainConfig, Command, Config, ConnId,
    DialOrdinal, DialedBecause, Event, Input, Limits, Node, NodeId, Now, PayloadVerdict, Registry, Reply,
    Request, RequestId, Ticket, Transmit, TransportCause, TxId,
};
use timed_tests::driver::{Crypto, NODE, START, addr, config, start};
use timed_tests::null_crypto::NullProvider;
use timed_tests::scripted::{Actor, Line};

struct Counting;

thread_local! {
    /// Bytes held, while somebody counts.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static COUNTS: Cell<bool> = const { Cell::new(false) };
}

fn count(bytes: isize) {
    if COUNTS.with(Cell::get) {
        HELD.with(|held| held.set(held.get() + bytes));
    }
}

fn size(layout: Layout) -> isize {
    // What the allocator adds to every block.
    isize::try_from(layout.size() + 16).unwrap()
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-size(layout));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, new: usize) -> *mut u8 {
        count(isize::try_from(new).unwrap() + 16 - size(layout));
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(place, layout, new) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts what a call to the node takes and gives back.
fn counted<T>(call: impl FnOnce() -> T) -> T {
    COUNTS.with(|counts| counts.set(true));
    let result = call();
    COUNTS.with(|counts| counts.set(false));
    result
}

fn held() -> usize {
    usize::try_from(HELD.with(Cell::get)).unwrap()
}

/// A node, and a shell that does as it is told; only what the node itself does is counted.
struct Host {
    node: Node,
    now: Now,
    config: Config,
    dials: Vec<(ConnId, CanonicalAddr)>,
    writes: Vec<Ticket>,
    /// What the application is to answer.
    answers: Vec<Input<'static>>,
    /// Blocks that were to be committed.
    commits: usize,
    /// What the application says that they include.
    included: Vec<TxId>,
}

impl Host {
    fn new(limits: Limits, chain: Option<ChainConfig>) -> Self {
        Self::of(limits, chain, |_| {})
    }

    fn of(limits: Limits, chain: Option<ChainConfig>, edit: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(Crypto::Null);
        config.limits = limits;
        config.chain = chain;
        config.bootstrap.clear();
        edit(&mut config);
        Self::with(config)
    }

    fn with(config: Config) -> Self {
        let node = counted(|| start(Crypto::Null, config.clone(), [5; 32]));
        let (dials, writes, answers) = (Vec::new(), Vec::new(), Vec::new());
        let included = Vec::new();
        let mut host = Self { node, now: START, config, dials, writes, answers, commits: 0, included };
        host.handle(Input::Tick);
        host.written();
        host
    }

    fn handle(&mut self, input: Input<'_>) {
        counted(|| self.node.handle(self.now, input));
        while let Some(command) = counted(|| self.node.next_command()) {
            match &command {
                Command::Close { conn, .. } => {
                    let conn = *conn;
                    self.sent(conn);
                    self.handle(Input::Closed { conn, cause: TransportCause::Commanded });
                }
                Command::Dial { conn, addr } => self.dials.push((*conn, *addr)),
                Command::Persist { ticket, .. } => self.writes.push(*ticket),
                Command::Validate { block, .. } => {
                    self.answers.push(Input::Validated { block: *block, verdict: PayloadVerdict::Valid });
                }
                Command::Commit { ticket, block, .. } => {
                    self.commits += 1;
                    let height = block.block.header.height;
                    self.writes.push(*ticket);
                    let (registry_changes, included) = (Vec::new(), counted(|| self.included.clone()));
                    self.answers.push(Input::Committed { height, registry_changes, included });
                }
                _ => {}
            }
            counted(|| drop(command));
        }
        assert!(held() <= self.worst(), "{} held, {} promised", held(), self.worst());
    }

    /// Everything that was to be written is.
    fn written(&mut self) {
        while let Some(ticket) = self.writes.pop() {
            self.handle(Input::Persisted(ticket));
        }
    }

    /// The application and the disk do what they are asked.
    fn answer(&mut self) {
        while !self.answers.is_empty() || !self.writes.is_empty() {
            self.told();
            self.written();
        }
    }

    /// The application does.
    fn told(&mut self) {
        for answer in std::mem::take(&mut self.answers) {
            self.handle(answer);
        }
    }

    fn worst(&self) -> usize {
        self.config.limits.worst_case_bytes()
    }

    fn data(&mut self, conn: ConnId, bytes: &[u8]) {
        self.handle(Input::Data { conn, bytes });
    }

    fn sent(&mut self, conn: ConnId) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 << 20);
        while counted(|| self.node.transmit(self.now, conn, 100_000, &mut out)) == Transmit::More {}
        out
    }

    fn accept(&mut self, from: SocketAddr) -> ConnId {
        let conn = counted(|| self.node.accept(self.now, from)).unwrap();
        self.handle(Input::Tick);
        conn
    }

    fn opened(&mut self, actor: &mut Actor, from: SocketAddr) -> (ConnId, Line) {
        let conn = self.accept(from);
        let (dialing, opening) = actor.dial();
        self.data(conn, &opening);
        let reply = self.replied(conn);
        (conn, dialing.reply(&reply).unwrap())
    }

    /// The node's part of a handshake: at once, or when it is its turn (rule S-7).
    fn replied(&mut self, conn: ConnId) -> Vec<u8> {
        let reply = self.sent(conn);
        if !reply.is_empty() {
            return reply;
        }
        self.pass(Duration::from_micros(2_500));
        self.sent(conn)
    }

    fn hello(
        &mut self,
        actor: &mut Actor,
        from: SocketAddr,
        intent: Intent,
    ) -> (ConnId, Line, Option<Answer>) {
        let (conn, mut line) = self.opened(actor, from);
        let hello = actor.hello(&line, DialOrdinal(1), intent, None);
        let bytes = line.say(&Message::Hello(Box::new(hello)));
        self.data(conn, &bytes);
        let bytes = self.replied(conn);
        let answer = line.hear(&bytes).unwrap().into_iter().find_map(|message| match message {
            Message::HelloAck(ack) => Some(ack.answer),
            _ => None,
        });
        (conn, line, answer)
    }
}

impl Host {
    /// Time passes in one step.
    fn pass(&mut self, time: Duration) {
        self.now.mono = self.now.mono + time;
        self.now.wall = self.now.wall + time;
        self.handle(Input::Tick);
    }

    /// A dial of the node leads to somebody who takes it.
    fn reached(&mut self, conn: ConnId, number: u8) {
        self.handle(Input::Dialed { conn, local: "10.0.0.2:4000".parse().unwrap() });
        let opening = self.sent(conn);
        let mut actor = stranger(&self.config, 9_000 + u32::from(number));
        let (mut line, reply) = actor.answer(&opening).unwrap();
        self.data(conn, &reply);
        let bytes = self.sent(conn);
        let Some(Message::Hello(hello)) = line.hear(&bytes).unwrap().pop() else { panic!("no hello") };
        let ack = actor.ack(&line, &hello, Answer::Accepted);
        let bytes = line.say(&Message::HelloAck(Box::new(ack)));
        self.data(conn, &bytes);
    }

    fn addresses(&mut self) -> AddressCounts {
        counted(|| {
            let request = Input::Request { id: RequestId(7), request: Request::Status };
            self.node.handle(self.now, request);
        });
        let mut counts = None;
        while let Some(command) = counted(|| self.node.next_command()) {
            if let Command::Event(Event::Reply { reply: Reply::Status(status), .. }) = &command {
                counts = Some(status.summary.addresses);
            }
            counted(|| drop(command));
        }
        counts.unwrap()
    }
}

fn source(number: u32) -> SocketAddr {
    let [_, b, c, d] = number.to_be_bytes();
    SocketAddr::from(([203, b, c, d], 1))
}

fn stranger(config: &Config, number: u32) -> Actor {
    let mut key = [0xee; 32];
    key[..4].copy_from_slice(&number.to_le_bytes());
    let addr = CanonicalAddr::new(source(number)).ok();
    let mut actor = Actor::new(Box::new(NullProvider::new(NodeId(key))), config, addr, START.wall);
    actor.from.agent = "a".repeat(32);
    actor
}

const CANONICAL: Intent = Intent::Session(DialedBecause::Canonical);

/// Everything that a peer can make a node hold, at once.
#[test]
fn c8_the_worst_case_bounds_what_peers_can_make_a_node_hold() {
    let limits = Limits {
        max_peers: 12,
        masternode_slots: 3,
        unauthenticated: 20,
        unauthenticated_kept: 4,
        dialing: 8,
        known_peers: 200,
        bans: 10,
        scores: 10,
        control_lane: 32 * 1024,
        relay_lane: 64 * 1024,
        payload_lane: 0,
        bulk_lane: 0,
        sync_window: 0,
        serving: 0,
        mempool: 0,
        ..Limits::for_registry(4)
    };
    let mut host = Host::new(limits, None);
    // Many identities come, try, knock and go: tables and dials are full.
    for number in 1_000..2_500 {
        let mut actor = stranger(&host.config, number);
        let intent = if number % 2 == 0 { Intent::Knock } else { CANONICAL };
        let (conn, _, _) = host.hello(&mut actor, source(number), intent);
        host.handle(Input::Closed { conn, cause: TransportCause::Eof });
    }
    // All sessions there are.
    let mut live = Vec::new();
    for number in 0..20 {
        let mut actor = stranger(&host.config, number);
        let (conn, line, answer) = host.hello(&mut actor, source(number), CANONICAL);
        if answer == Some(Answer::Accepted) {
            live.push((conn, line));
        }
    }
    assert_eq!(live.len(), 9);
    for (conn, line) in &mut live {
        // A partial frame a lane, as large as can be, in a partial record.
        for lane in Lane::ALL {
            let mut frame = 65_536u32.to_le_bytes().to_vec();
            frame.extend(999u16.to_le_bytes());
            frame.resize(65_536, 0);
            host.data(*conn, &line.seal(lane, &frame));
        }
        let record = line.seal(Lane::Bulk, &[0; 16_000]);
        for piece in record[..record.len() - 1].chunks(1_000) {
            host.data(*conn, piece);
        }
    }
    let buffers = held();
    // Lanes full of the smallest frames there are: nobody reads.
    for number in 0..9 {
        let to = Some(stranger(&host.config, number).id());
        for _ in 0..12_000 {
            let request = Request::Send { to, payload: Bytes::new() };
            host.handle(Input::Request { id: RequestId(1), request });
        }
    }
    // Those who have proven nothing hold what they may.
    for number in 3_000..3_040 {
        let mut actor = stranger(&host.config, number);
        let (conn, mut line) = host.opened(&mut actor, source(number));
        let mut frame = 1_000u32.to_le_bytes().to_vec();
        frame.extend(1u16.to_le_bytes());
        frame.resize(990, 0);
        host.data(conn, &line.seal(Lane::Control, &frame));
        let record = line.seal(Lane::Control, &[0; 1_000]);
        for piece in record[..record.len() - 1].chunks(10) {
            host.data(conn, piece);
        }
    }
    // A crowd that asks for key agreements, all at once: whoever gave way is forgotten.
    let before = held();
    for number in 4_000..9_000 {
        let mut actor = stranger(&host.config, number);
        let conn = host.accept(source(number));
        host.data(conn, &actor.dial().1);
    }
    assert!(held() < before + 64 * 1024, "{} held, {before} before the crowd", held());
    // Many commands in one piece.
    let (conn, line) = &mut live[0];
    let mut frames = Vec::new();
    while frames.len() < 16_000 {
        append_encoded(Kind::Pong, &[0; 8], &mut frames);
    }
    let _ = line.seal(Lane::Control, &frames);
    host.handle(Input::Closed { conn: *conn, cause: TransportCause::Eof });

    let (full, worst) = (held(), host.worst());
    // This network makes no blocks: nothing is held for them.
    let promised = worst - CHAIN_BYTES;
    assert!(
        full > buffers && full * 3 > promised,
        "the table promises far more than can be held: {full} of {worst}"
    );
    println!("{full} bytes held of {worst}");
    // All of it is given back.
    for (conn, _) in live.drain(1..) {
        host.handle(Input::Closed { conn, cause: TransportCause::Eof });
    }
    assert!(held() < full / 2, "{} held after the end of all sessions, {full} before", held());
}

/// Strangers without number say that they are where a ban is in force for a month: nothing of them stays.
#[test]
fn c8_whom_a_ban_keeps_away_costs_nothing_for_as_long_as_it_lasts() {
    let mut host = Host::new(Limits { known_peers: 60, ..Limits::for_registry(4) }, None);
    let target = "204.0.0.0/8".parse().unwrap();
    let lasts = Some(Duration::from_secs(30 * 86_400));
    host.handle(Input::Request { id: RequestId(1), request: Request::Ban { target, lasts, note: None } });
    host.written();
    let mut come_and_go = |from: u32, to: u32| {
        for number in from..to {
            let mut actor = stranger(&host.config, number);
            actor.from.advertised = CanonicalAddr::new(SocketAddr::from(([204, 0, 0, 1], 1))).ok();
            let (conn, _, answer) = host.hello(&mut actor, source(number), CANONICAL);
            assert_eq!(answer, Some(Answer::Accepted));
            host.handle(Input::Closed { conn, cause: TransportCause::Eof });
        }
        held()
    };
    let full = come_and_go(0, 200);
    let later = come_and_go(200, 2_200);
    assert!(later < full + 8 * 1024, "{later} held, {full} when every table was full");
}

/// A million addresses, told by short-lived peers of many networks to an observer that asks each for some: half of
/// the book fills, candidates fail, tombstones fill, and that is all.
#[test]
fn pex_02a_a_million_addresses_by_exchange_leave_the_tables_at_their_size() {
    const TRIED: u8 = 6;
    let limits = Limits {
        max_peers: 12,
        masternode_slots: 3,
        unauthenticated: 4,
        unauthenticated_kept: 1,
        known_peers: 40,
        control_lane: 16 * 1024,
        relay_lane: 32 * 1024,
        payload_lane: 0,
        bulk_lane: 0,
        sync_window: 0,
        serving: 0,
        mempool: 0,
        ..Limits::for_registry(3)
    };
    let mut config = config(Crypto::Null);
    let others = config.registry.entries().iter().filter(|entry| entry.addr != addr(NODE)).copied();
    config.registry = Registry::new(others.collect()).unwrap();
    config.limits = limits;
    config.bootstrap = (0..TRIED).map(|n| Bootstrap { addr: addr(100 + n), id: None }).collect();
    let mut host = Host::with(config);
    host.pass(Duration::from_secs(1));
    for (conn, to) in std::mem::take(&mut host.dials) {
        if let Some(n) = (0..TRIED).find(|n| addr(100 + n) == to) {
            host.reached(conn, n);
            host.handle(Input::Closed { conn, cause: TransportCause::Eof });
        }
    }
    assert_eq!(host.addresses(), AddressCounts { tried: TRIED.into(), heard: 0, tombstones: 0 });
    // One link stands: the node is not cut off, so what fails has failed.
    let mut stander = stranger(&host.config, 8_000);
    let (standing, mut stays, _) = host.hello(&mut stander, source(8_000), CANONICAL);
    let token = host.now.mono.0;
    host.data(standing, &stays.say(&Message::Pong(Pong { token })));
    let before = held();
    let mut most = 0;
    let mut told = 0_u32;
    for number in 0..15_625_u32 {
        let from = SocketAddr::from(([150, u8::try_from(number % 250).unwrap(), 1, 1], 1));
        let mut actor = stranger(&host.config, number % 500);
        let (conn, mut line, answer) = host.hello(&mut actor, from, CANONICAL);
        assert_eq!(answer, Some(Answer::Accepted), "{number}");
        host.pass(Duration::from_secs(2));
        let mut list: Vec<PeerAddress> = (0..64).map(|row| address_of(told + row)).collect();
        list.sort_by_key(|entry| entry.addr);
        told += 64;
        let bytes = line.say(&Message::Peers(list));
        host.data(conn, &bytes);
        host.handle(Input::Closed { conn, cause: TransportCause::Eof });
        for (conn, _) in std::mem::take(&mut host.dials) {
            host.handle(Input::Closed { conn, cause: TransportCause::Refused });
        }
        let bytes = host.sent(standing);
        for message in stays.hear(&bytes).unwrap() {
            if let Message::Ping(Ping { token }) = message {
                host.data(standing, &stays.say(&Message::Pong(Pong { token })));
            }
        }
        host.written();
        most = most.max(held() - before);
    }
    let full = host.addresses();
    println!("{told} addresses told, {full:?}, {most} bytes at most");
    assert_eq!(full.tried, usize::from(TRIED), "what was tried survives");
    assert!((900..=1024).contains(&full.heard) && (500..=512).contains(&full.tombstones), "{full:?}");
    let without = Limits { address_book: 0, ..host.config.limits.clone() };
    let row = host.worst() - without.worst_case_bytes();
    assert!(most < row && most * 3 > row, "{most} held, the row is {row}");
}

fn address_of(number: u32) -> PeerAddress {
    // Scattered over 11.0.0.0 to 122.255.255.255, each once.
    let scattered = u64::from(number) * 1_000_003 % 0x7000_0000;
    let [a, b, c, d] = (0x0b00_0000 + u32::try_from(scattered).unwrap()).to_be_bytes();
    let mut key = [0xad; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    let addr = CanonicalAddr::new(SocketAddr::from(([a, b, c, d], 24_100))).unwrap();
    PeerAddress { node: NodeId(key), addr, age: 0 }
}

/// As many bans as there may be, with the longest notes, and as many keys that break rules.
#[test]
fn c8_the_worst_case_bounds_what_bans_and_scores_can_make_a_node_hold() {
    let limits = Limits {
        max_peers: 12,
        masternode_slots: 3,
        unauthenticated: 4,
        unauthenticated_kept: 1,
        dialing: 1,
        known_peers: 20,
        bans: 3_000,
        scores: 3_000,
        control_lane: 16 * 1024,
        relay_lane: 32 * 1024,
        payload_lane: 0,
        bulk_lane: 0,
        sync_window: 0,
        serving: 0,
        mempool: 0,
        frame_pool: 0,
        ..Limits::for_registry(4)
    };
    let rows = limits.worst_case_bytes() - Limits { bans: 0, scores: 0, ..limits }.worst_case_bytes();
    let mut host = Host::new(limits, None);
    let before = held();
    // Garbage from one key after the other: each is remembered, and some are banned.
    let mut frames = Vec::new();
    append_encoded(Kind::Ping, &[1], &mut frames);
    for number in 0..8_000 {
        let mut actor = stranger(&host.config, number / 2);
        actor.from.boot.epoch.0 += u64::from(number % 2);
        let (conn, mut line, answer) = host.hello(&mut actor, source(number), CANONICAL);
        if answer == Some(Answer::Accepted) {
            host.data(conn, &line.seal(Lane::Control, &frames));
        }
    }
    // The disk is slow: orders wait for their answers.
    for number in 0_u32..8_000 {
        let mut key = [0xdd; 32];
        key[..4].copy_from_slice(&number.to_le_bytes());
        let target = BanTarget::Key(NodeId(key));
        // The node takes it over.
        let note = counted(|| BanNote::new(&"n".repeat(BanNote::MAX)));
        let request = Request::Ban { target, lasts: None, note };
        host.handle(Input::Request { id: RequestId(1), request });
        // One record is under way, the next is written after it; what is too many is refused meanwhile.
        if number % 100 == 60 {
            host.written();
            host.written();
        }
    }
    host.handle(Input::Request { id: RequestId(1), request: Request::Bans });
    let full = held() - before;
    println!("{full} bytes held of {rows} in the rows of bans and scores");
    // A good part of the rows is for a record on its way, which this shell has taken.
    assert!(full * 4 > rows, "the table promises far more than can be held: {full} of {rows}");
}
