//! Work for connections that have proven nothing (rule S-7): how much of it strangers get, whose turn it is, and
//! that nobody else notices.

#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use timed_core::crypto::{Authenticity, Handshake, Provider, WeakKey};
use timed_core::wire::message::{Answer, Hello, Intent, Message};
use timed_core::{
    CloseReason, Command, ConnId, DialOrdinal, DialedBecause, Input, Limits, Node, NodeId, Now, Reply,
    Request, RequestId, Signature, Ticket, Transmit, TransportCause,
};
use timed_tests::driver::{Crypto, START, addr, config};
use timed_tests::null_crypto::NullProvider;
use timed_tests::scripted::{Actor, Dialing, Line, REPLY};
use timed_tests::sim::{HostId, Setup, TcpId, World, null, seed};
use zeroize::Zeroizing;

const CANONICAL: Intent = Intent::Session(DialedBecause::Canonical);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A provider that counts what costs time.
#[derive(Debug)]
struct Counting {
    inner: Box<dyn Provider>,
    /// Key agreements as the acceptor.
    agreements: Arc<AtomicU64>,
    /// Signatures checked.
    checks: Arc<AtomicU64>,
}

impl Provider for Counting {
    fn node_id(&self) -> NodeId {
        self.inner.node_id()
    }

    fn sign(&mut self, message: &[u8]) -> Signature {
        self.inner.sign(message)
    }

    fn verify(&mut self, signer: &NodeId, message: &[u8], signature: &Signature) -> Authenticity {
        self.checks.fetch_add(1, Relaxed);
        self.inner.verify(signer, message, signature)
    }

    fn trust(&mut self, keys: &[NodeId]) -> Result<(), WeakKey> {
        self.inner.trust(keys)
    }

    fn initiate(&mut self, prologue: &[u8], ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        self.inner.initiate(prologue, ephemeral)
    }

    fn respond(&mut self, prologue: &[u8], ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        self.agreements.fetch_add(1, Relaxed);
        self.inner.respond(prologue, ephemeral)
    }
}

/// One node, and whoever comes to its door.
struct Door {
    node: Node,
    now: Now,
    agreements: Arc<AtomicU64>,
    checks: Arc<AtomicU64>,
    stranger: Actor,
}

/// A caller's connection, as far as it has come.
struct Caller {
    conn: ConnId,
    dialing: Option<Dialing>,
}

impl Door {
    fn new() -> Self {
        let (agreements, checks) = (Arc::default(), Arc::default());
        let mut config = config(Crypto::Null);
        config.bootstrap.clear();
        config.limits = Limits::for_registry(4);
        let provider = Counting {
            inner: Crypto::Null.provider(timed_tests::driver::NODE),
            agreements: Arc::clone(&agreements),
            checks: Arc::clone(&checks),
        };
        let stranger = Actor::new(Box::new(NullProvider::new(NodeId([0xee; 32]))), &config, None, START.wall);
        let mut node = Node::new(config, Box::new(provider), [5; 32], [], START).unwrap();
        node.handle(START, Input::Persisted(Ticket(1)));
        let mut door = Self { node, now: START, agreements, checks, stranger };
        door.obey();
        door
    }

    fn registered(player: u8) -> Actor {
        Actor::new(Crypto::Null.provider(player), &config(Crypto::Null), Some(addr(player)), START.wall)
    }

    /// Time passes: the node gets its ticks when they are due.
    fn pass(&mut self, time: Duration) {
        let until = self.now.mono + time;
        while let Some(deadline) = self.node.deadline().filter(|deadline| *deadline <= until) {
            let step = deadline.max(self.now.mono).since(self.now.mono);
            self.now = Now { mono: self.now.mono + step, wall: self.now.wall };
            self.node.handle(self.now, Input::Tick);
            self.obey();
        }
        self.now = Now { mono: until, wall: self.now.wall + time };
    }

    /// As a shell does with what is commanded; returns the connections that the node has closed.
    fn obey(&mut self) -> Vec<(ConnId, CloseReason)> {
        let mut closed = Vec::new();
        while let Some(command) = self.node.next_command() {
            match command {
                Command::Close { conn, reason } => {
                    self.node.handle(self.now, Input::Closed { conn, cause: TransportCause::Commanded });
                    closed.push((conn, reason));
                }
                Command::Dial { conn, .. } => {
                    self.node.handle(self.now, Input::Closed { conn, cause: TransportCause::Refused });
                }
                _ => {}
            }
        }
        closed
    }

    /// A complete, valid opening from this address.
    fn call(&mut self, actor: Option<&mut Actor>, from: IpAddr) -> Caller {
        let conn = self.node.accept(self.now, SocketAddr::new(from, 40_000)).unwrap();
        let (dialing, opening) = actor.unwrap_or(&mut self.stranger).dial();
        self.node.handle(self.now, Input::Data { conn, bytes: &opening });
        Caller { conn, dialing: Some(dialing) }
    }

    fn sent(&mut self, conn: ConnId) -> Vec<u8> {
        let mut out = Vec::new();
        while self.node.transmit(self.now, conn, 100_000, &mut out) == Transmit::More {}
        out
    }

    /// The channel, if the node has answered the opening.
    fn channel(&mut self, caller: &mut Caller) -> Option<Line> {
        let reply = self.sent(caller.conn);
        (reply.len() == REPLY).then(|| caller.dialing.take()?.reply(&reply)).flatten()
    }

    fn say_hello(&mut self, conn: ConnId, line: &mut Line, hello: Hello) {
        let bytes = line.say(&Message::Hello(Box::new(hello)));
        self.node.handle(self.now, Input::Data { conn, bytes: &bytes });
    }

    fn steps(&self) -> u64 {
        self.agreements.load(Relaxed) + self.checks.load(Relaxed)
    }

    fn deferred(&mut self) -> u64 {
        self.node.handle(self.now, Input::Request { id: RequestId(9), request: Request::Status });
        while let Some(command) = self.node.next_command() {
            if let Command::Event(timed_core::Event::Reply { reply: Reply::Status(status), .. }) = command {
                return status.counters.handshakes_deferred;
            }
        }
        panic!("no status")
    }
}

/// An address that shares its prefix with no other.
fn source(number: u32) -> IpAddr {
    let [_, b, c, d] = (number << 8 | 7).to_be_bytes();
    IpAddr::from([100 + b, c, d, 7])
}

#[test]
fn s_7_a_flood_of_handshakes_gets_its_budget_and_a_masternode_its_own() {
    let mut door = Door::new();
    let mut crowd: VecDeque<Caller> = VecDeque::new();
    let mut masternode: Option<(Actor, Caller, Option<Line>)> = None;
    let (mut number, mut forged, mut linked) = (0, 0, None);
    let began = door.now.mono;
    for step in 0..3_000u64 {
        for _ in 0..10 {
            number += 1;
            let caller = door.call(None, source(number));
            crowd.push_back(caller);
        }
        let closed = door.obey();
        crowd.retain(|caller| !closed.iter().any(|(conn, _)| *conn == caller.conn));
        // Whoever got a channel goes on with a word that is not signed.
        for mut caller in std::mem::take(&mut crowd) {
            if let Some(mut line) = door.channel(&mut caller) {
                let mut hello = door.stranger.hello(&line, DialOrdinal(1), CANONICAL, None);
                hello.signature = Signature([0x66; 64]);
                door.say_hello(caller.conn, &mut line, hello);
                forged += 1;
            } else {
                crowd.push_back(caller);
            }
        }
        let closed = door.obey();
        crowd.retain(|caller| !closed.iter().any(|(conn, _)| *conn == caller.conn));
        if step == 1_500 {
            let mut actor = Door::registered(1);
            let caller = door.call(Some(&mut actor), addr(1).ip());
            masternode = Some((actor, caller, None));
        }
        if let Some((actor, caller, line)) = masternode.as_mut().filter(|_| linked.is_none()) {
            match line {
                None => {
                    if let Some(mut open) = door.channel(caller) {
                        let hello = actor.hello(&open, DialOrdinal(1), CANONICAL, None);
                        door.say_hello(caller.conn, &mut open, hello);
                        *line = Some(open);
                    }
                }
                Some(line) => {
                    let bytes = door.sent(caller.conn);
                    if let Some(Message::HelloAck(ack)) = line.hear(&bytes).unwrap().first() {
                        assert_eq!(ack.answer, Answer::Accepted);
                        linked = Some(step);
                    }
                }
            }
        }
        door.pass(ms(1));
    }
    let linked = linked.expect("the masternode gets in");
    let lasted = door.now.mono.since(began);
    println!("{} steps in {lasted:?} for {number} openings, {forged} forged words", door.steps());
    assert!(linked - 1_500 <= 3, "the masternode waited {} ms", linked - 1_500);
    // 32 at once, 400 a second, and the masternode's two.
    assert!(door.steps() <= 32 + 400 * 3 + 2, "{} steps", door.steps());
    assert!(door.steps() > 400 * 3 / 2, "the budget is used: {} steps", door.steps());
    assert!(forged > 0 && door.deferred() > 1_000);
}

#[test]
fn s_7_those_who_wait_are_served_in_order_and_the_gone_cost_nothing() {
    let mut door = Door::new();
    let mut callers: Vec<Caller> = (0..44).map(|number| door.call(None, source(number))).collect();
    let served = |door: &mut Door, callers: &mut Vec<Caller>| {
        let mut served = Vec::new();
        for (number, caller) in callers.iter_mut().enumerate() {
            if caller.dialing.is_some() && door.channel(caller).is_some() {
                served.push(number);
            }
        }
        served
    };
    assert_eq!(served(&mut door, &mut callers), (0..32).collect::<Vec<_>>(), "the burst");
    // Two of those who wait hang up.
    for gone in [33, 36] {
        let conn = callers[gone].conn;
        callers[gone].dialing = None;
        door.node.handle(door.now, Input::Closed { conn, cause: TransportCause::Eof });
    }
    let mut order = Vec::new();
    for _ in 0..100 {
        door.pass(Duration::from_micros(2_500));
        let now = served(&mut door, &mut callers);
        assert!(now.len() <= 1, "{now:?} at once");
        order.extend(now);
    }
    assert_eq!(order, [32, 34, 35, 37, 38, 39, 40, 41, 42, 43]);
    assert_eq!(door.agreements.load(Relaxed), 42);
}

#[test]
fn s_7_who_says_nothing_after_its_turn_ends_with_the_deadline_of_the_handshake() {
    let mut door = Door::new();
    for number in 0..40 {
        door.call(None, source(number));
    }
    let mut over = Vec::new();
    for _ in 0..60 {
        let until = door.now.mono + ms(100);
        while let Some(deadline) = door.node.deadline().filter(|deadline| *deadline <= until) {
            door.now = Now { mono: deadline.max(door.now.mono), wall: door.now.wall };
            door.node.handle(door.now, Input::Tick);
            over.extend(door.obey());
        }
        door.now = Now { mono: until, wall: door.now.wall };
    }
    let late = over.iter().filter(|(_, reason)| *reason == CloseReason::HandshakeTimeout).count();
    assert_eq!(late, 40, "{over:?}");
    assert!(door.now.mono.since(START.mono) >= secs(6));
}

#[test]
fn s_7_a_flood_of_complete_openings_leaves_links_heartbeats_and_blocks_alone() {
    let mut world = World::new(seed(1), &Setup::new(null).masternodes(4).chain(secs(1)));
    world.start_all();
    world.expect("the mesh", secs(10), World::is_meshed);
    world.expect_blocks("the first block", 1, secs(3));
    let kept = |world: &World| {
        let mut links = world.links();
        links.retain(|link| link.dialer != HostId(2) && link.acceptor != HostId(2));
        links
    };
    let links = kept(&world);
    let config = world.host(HostId(0)).config.clone();
    let mut stranger =
        Actor::new(Box::new(NullProvider::new(NodeId([0xee; 32]))), &config, None, world.wall());
    let hosts: Vec<HostId> =
        (0..200).map(|third| world.add_stranger(IpAddr::from([198, 18, third, 1]))).collect();
    let targets = [0, 1, 3].map(|host| world.host(HostId(host)).config.advertised.unwrap().socket());
    let mut open: VecDeque<(TcpId, Option<Vec<u8>>)> = VecDeque::new();
    let (began, height) = (world.now(), world.chain_height());
    for round in 0..6_500usize {
        for target in targets {
            let tcp = world.raw_dial(hosts[round % hosts.len()], target);
            open.push_back((tcp, Some(stranger.dial().1)));
        }
        world.run_for(ms(1));
        for (tcp, opening) in &mut open {
            if world.raw_connected(*tcp)
                && let Some(opening) = opening.take()
            {
                world.raw_write(*tcp, &opening);
            }
        }
        let too_many = open.len().saturating_sub(600);
        for (tcp, _) in open.drain(..too_many) {
            world.raw_close(tcp);
        }
        if round == 2_500 {
            world.kill(HostId(2));
            world.start(HostId(2));
        }
        if round == 5_500 {
            assert!(world.is_meshed(), "the masternode is back through the crowd: {}", world.describe());
        }
    }
    assert_eq!(kept(&world), links, "the links among the others");
    let blocks = world.chain_height().0 - height.0;
    assert!(
        blocks >= world.now().since(began).as_secs() - 1,
        "{blocks} blocks in {:?}",
        world.now().since(began)
    );
    for host in [0, 1, 3].map(HostId) {
        let Reply::Status(status) = world.ask(host, Request::Status) else { panic!("no status") };
        assert!(status.counters.handshakes_deferred > 1_000, "{host}: {:?}", status.counters);
        let inactive = |event: &timed_core::Event| {
            matches!(event, timed_core::Event::Activity { activity: timed_core::Activity::Inactive, .. })
        };
        assert!(world.seen(host).count(inactive) == 0, "{host} holds somebody for inactive");
    }
}
