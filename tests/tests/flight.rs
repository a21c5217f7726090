//! The flight recorder: what is recorded of a node in a storm is run again, and is the same.

#![allow(clippy::unwrap_used)] // A test fails where it cannot go on.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use timed_core::crypto::noise::NoiseProvider;
use timed_core::crypto::{Authenticity, Handshake, Provider, WeakKey};
use timed_core::flight::{Flight, FlightError, Recorder, Replayed, replay};
use timed_core::{
    CanonicalAddr, Command, ConnId, Core, Input, Masternode, Mono, NodeId, Now, RecordKey, Registry, Request,
    RequestId, Rng, Signature, Transmit, TransportCause, Wall,
};
use timed_tests::sim::{
    Fault, HostId, NodeKey, Profile, Recording, Setup, World, base_config, derived_key, noise, null, seeds,
};
use zeroize::Zeroizing;

const INTERVAL: Duration = Duration::from_secs(2);

/// Faults that end no process.
const ON_THE_WAY: [Fault; 10] = [
    Fault::BlackHole,
    Fault::Sever,
    Fault::Lossy,
    Fault::Reset,
    Fault::OneWay,
    Fault::Isolation,
    Fault::Freeze,
    Fault::SlowReader,
    Fault::BadLine,
    Fault::MonoStep,
];

/// A network all of whose nodes are recorded, after a storm.
fn after_a_storm(seed: u64, setup: &Setup, room: usize, lasts: Duration, kinds: &[Fault]) -> World {
    let mut world = World::new(seed, setup);
    for host in world.ids() {
        world.host_mut(host).recording = Recording::In(room);
    }
    world.start_all();
    world.run_for(Duration::from_secs(5));
    for number in 0..20_u8 {
        world.post(HostId(1), Request::Submit(vec![number; 300].into()));
    }
    world.post(HostId(2), Request::Send { to: None, payload: vec![7; 40_000].into() });
    let swarm = world.draw_swarm_from(kinds);
    println!("seed {seed}: {swarm:?}");
    world.unleash(&swarm, lasts);
    world.run_for(Duration::from_secs(20));
    world
}

/// Runs a recording again, and says what it did.
fn replayed(flight: &Flight) -> (Replayed, Vec<String>) {
    let mut played = Vec::new();
    let done = replay(flight, |_, command| played.push(format!("{command:?}")));
    (done.unwrap_or_else(|error| panic!("after {} commands: {error}", played.len())), played)
}

/// Whether what was played is a piece of what was said, and where it begins.
fn found(said: &[String], played: &[String]) -> Option<usize> {
    (0..said.len()).find(|from| said[*from..].starts_with(played))
}

fn is_replayed_whole(world: &World) {
    let mut whole = 0;
    for host in world.ids() {
        // The storm may have ended it.
        let Some((flight, said)) = world.flight(host) else { continue };
        let flight = Flight::decode(&flight.encode()).expect("what was written is read");
        assert_eq!(flight.node, world.host(host).node_id);
        let (done, played) = replayed(&flight);
        let from = found(&said, &played).unwrap_or_else(|| panic!("{host}: other commands"));
        println!("{host}: {done:?}, commands {from} to {} of {}", from + played.len(), said.len());
        assert!(played.len() > 50 && !done.cut);
        // All but what the start itself commands, and what is not taken yet.
        assert!(from < 100 && from + played.len() + 10 > said.len());
        whole += 1;
    }
    assert!(whole >= 2);
}

#[test]
fn what_nodes_did_in_a_storm_is_replayed_command_by_command() {
    for seed in seeds(3) {
        let setup = Setup::new(null).masternodes(4).observers(2).chain(INTERVAL).any_profile();
        is_replayed_whole(&after_a_storm(seed, &setup, 64 << 20, Duration::from_secs(60), &Fault::ALL));
    }
}

#[test]
fn real_cryptography_is_replayed_without_a_key() {
    let setup = Setup::new(noise).masternodes(4).observers(1).chain(INTERVAL).profile(Profile::internet());
    is_replayed_whole(&after_a_storm(5, &setup, 64 << 20, Duration::from_secs(60), &ON_THE_WAY));
}

#[test]
fn the_oldest_gives_way_and_the_rest_is_replayed_from_a_state_on_the_way() {
    let mut world = World::new(6, &Setup::new(null).masternodes(4).chain(INTERVAL));
    for host in world.ids() {
        world.host_mut(host).recording = Recording::In(1 << 20);
    }
    world.start_all();
    world.run_for(Duration::from_secs(5));
    for number in 0..80_u8 {
        world.post(HostId(0), Request::Send { to: None, payload: vec![number; 40_000].into() });
        world.run_for(Duration::from_millis(200));
    }
    for host in world.ids().into_iter().skip(1) {
        let (flight, said) = world.flight(host).unwrap();
        let bytes = flight.encode();
        assert!(bytes.len() < (1 << 20) + (300 << 10), "{} bytes", bytes.len());
        let (done, played) = replayed(&flight);
        let from = found(&said, &played).expect("a piece of what was said");
        println!("{host}: {} bytes, {done:?}, commands {from} to {}", bytes.len(), from + played.len());
        assert!(from > 50, "something was dropped");
        assert!(done.states >= 1, "there is a state on the way to compare with");
    }
}

/// Every key that a handshake is made from, of all nodes of this process.
static EPHEMERAL: Mutex<Vec<[u8; 32]>> = Mutex::new(Vec::new());

/// Noise, whose ephemeral keys are noted, until it has signed so often.
#[derive(Debug)]
struct Overheard {
    noise: NoiseProvider,
    signs: u32,
}

impl Overheard {
    fn signing(secret: [u8; 32], signs: u32) -> Self {
        Self { noise: NoiseProvider::new(Zeroizing::new(secret)), signs }
    }
}

fn overheard(key: &NodeKey) -> Box<dyn Provider> {
    Box::new(Overheard::signing(key.0, u32::MAX))
}

fn note(ephemeral: &Zeroizing<[u8; 32]>) {
    EPHEMERAL.lock().unwrap_or_else(PoisonError::into_inner).push(**ephemeral);
}

impl Provider for Overheard {
    fn node_id(&self) -> NodeId {
        self.noise.node_id()
    }

    fn sign(&mut self, message: &[u8]) -> Signature {
        self.signs = self.signs.checked_sub(1).expect("the failure that the test wants");
        self.noise.sign(message)
    }

    fn verify(&mut self, signer: &NodeId, message: &[u8], signature: &Signature) -> Authenticity {
        self.noise.verify(signer, message, signature)
    }

    fn trust(&mut self, keys: &[NodeId]) -> Result<(), WeakKey> {
        self.noise.trust(keys)
    }

    fn initiate(&mut self, prologue: &[u8], ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        note(&ephemeral);
        self.noise.initiate(prologue, ephemeral)
    }

    fn respond(&mut self, prologue: &[u8], ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        note(&ephemeral);
        self.noise.respond(prologue, ephemeral)
    }
}

fn holds(bytes: &[u8], secret: &[u8]) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret)
}

#[test]
fn no_key_is_in_a_recording() {
    let seed = 7;
    let setup = Setup::new(overheard).masternodes(3).observers(1).chain(INTERVAL);
    let world = after_a_storm(seed, &setup, 64 << 20, Duration::from_secs(10), &ON_THE_WAY);
    let ephemeral = EPHEMERAL.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(ephemeral.len() > 6);
    for host in world.ids() {
        let (flight, _) = world.flight(host).unwrap();
        let bytes = flight.encode();
        for number in 0..world.ids().len() as u64 {
            let key = derived_key(seed, number);
            assert!(!holds(&bytes, &key.0), "{host} has the key of n{number}");
        }
        for key in &ephemeral {
            assert!(!holds(&bytes, key) && !holds(&bytes, &key[..16]), "{host} has a handshake key");
        }
    }
}

/// Two recorded nodes, the first of them the network's only masternode, and the ends of their connections.
struct Pair {
    nodes: [Recorder; 2],
    addrs: [CanonicalAddr; 2],
    far: BTreeMap<(usize, ConnId), ConnId>,
    now: Now,
    /// What the first wrote.
    written: Vec<(RecordKey, Bytes)>,
}

impl Pair {
    fn new(seeds: [[u8; 32]; 2]) -> Self {
        let now = Now { mono: Mono(1), wall: Wall(1_800_000_000_000) };
        let addrs = ["203.0.113.1:24100", "198.51.100.1:24100"].map(|addr| addr.parse().unwrap());
        let [first, second] = [6, 7].map(|key| NoiseProvider::new(Zeroizing::new([key; 32])));
        let registry = Registry::new(vec![Masternode { id: first.node_id(), addr: addrs[0] }]).unwrap();
        let node = |provider: NoiseProvider, which: usize| {
            let config = base_config(1, registry.clone(), Some(addrs[which]));
            Recorder::start(config, Box::new(provider), seeds[which], [], now, 4 << 20).unwrap()
        };
        let nodes = [node(first, 0), node(second, 1)];
        Self { nodes, addrs, far: BTreeMap::new(), now, written: Vec::new() }
    }

    fn ask(&mut self, which: usize, request: Request) {
        self.nodes[which].handle(self.now, Input::Request { id: RequestId(1), request });
        while (0..2).any(|which| self.obey(which)) {}
    }

    fn obey(&mut self, which: usize) -> bool {
        let (now, other) = (self.now, 1 - which);
        let Some(command) = self.nodes[which].next_command() else { return false };
        match command {
            Command::Dial { conn, .. } => {
                let from = self.addrs[which].socket();
                let far = self.nodes[other].accept(now, from).unwrap();
                self.far.extend([((which, conn), far), ((other, far), conn)]);
                self.nodes[which].handle(now, Input::Dialed { conn, local: from });
            }
            Command::Send { conn } => self.carry(which, conn),
            Command::Close { conn, .. } => {
                self.carry(which, conn);
                let cause = TransportCause::Commanded;
                self.nodes[which].handle(now, Input::Closed { conn, cause });
                if let Some(conn) = self.far.remove(&(which, conn)) {
                    self.far.remove(&(other, conn));
                    self.nodes[other].handle(now, Input::Closed { conn, cause: TransportCause::Eof });
                }
            }
            Command::Persist { ticket, key, record } => {
                if which == 0 {
                    self.written.push((key, record));
                }
                self.nodes[which].handle(now, Input::Persisted(ticket));
            }
            _ => {}
        }
        true
    }

    fn carry(&mut self, which: usize, conn: ConnId) {
        let mut bytes = Vec::new();
        while self.nodes[which].transmit(self.now, conn, 64 << 10, &mut bytes) == Transmit::More {}
        if let Some(conn) = self.far.get(&(which, conn)) {
            self.nodes[1 - which].handle(self.now, Input::Data { conn: *conn, bytes: &bytes });
        }
    }
}

/// The stream of random numbers is drawn from the seed, and the secret of the address book is its first draw of a
/// stream of its own: neither is in a recording, nor what comes next of the one.
#[test]
fn what_will_be_drawn_is_in_no_recording() {
    let seed = [0xa7; 32];
    let mut pair = Pair::new([seed, [0x5b; 32]]);
    while (0..2).any(|which| pair.obey(which)) {}
    // It reaches an address that is none of the registry's, and writes the book when it stops.
    pair.ask(0, Request::Connect { addr: pair.addrs[1], id: None });
    pair.ask(0, Request::Stop);
    let flight = pair.nodes[0].recording().take(pair.now.wall);
    let bytes = flight.encode();
    assert!(bytes.len() > 1_000 && !holds(&bytes, &seed[..8]));
    let mut stream = Rng::new(seed);
    let next: Vec<u64> = (0..10_000).map(|_| stream.next_u64()).collect();
    let drawn = next.iter().filter(|number| holds(&bytes, &number.to_le_bytes())).count();
    assert!(drawn < 100, "{drawn} numbers of the stream are in it, and only those that were drawn may be");
    let hash = Sha256::new().chain_update(b"timed-address-book").chain_update(seed).finalize();
    let mut secret = [0; 16];
    Rng::new(hash.into()).fill(&mut secret);
    assert!(!holds(&bytes, &secret));
    let book = pair.written.iter().find(|(key, _)| *key == RecordKey::AddressBook);
    let (_, book) = book.expect("the book is written when the node stops");
    assert!(holds(book, &secret), "this is the secret that was looked for");
    // The book came by in a command, and its replay has another.
    let (_, played) = replayed(&flight);
    assert!(played.iter().any(|command| command.contains("AddressBook")));
}

#[test]
fn a_damaged_file_is_refused_with_the_place() {
    let world =
        after_a_storm(8, &Setup::new(null).masternodes(3), 64 << 20, Duration::from_secs(1), &ON_THE_WAY);
    let (flight, _) = world.flight(HostId(0)).unwrap();
    let whole = flight.encode();
    assert_eq!(Flight::decode(b"something else"), Err(FlightError::NotAFlight));
    for cut in [13, 20, 60, whole.len() / 2, whole.len() - 1] {
        let refused = Flight::decode(&whole[..cut]).unwrap_err();
        assert!(matches!(refused, FlightError::Damaged { offset, .. } if offset <= cut), "{refused}");
    }
    let mut older = whole.clone();
    // Behind the magic.
    older[13] -= 1;
    let refused = Flight::decode(&older).unwrap_err().to_string();
    assert!(refused.contains("format 1") && refused.contains("reads no other"), "{refused}");
    let mut flipped = whole.clone();
    let place = whole.len() - 10;
    flipped[place] ^= 1;
    let refused = Flight::decode(&flipped).unwrap_err().to_string();
    assert!(refused.contains("check sum") && refused.contains("offset"), "{refused}");
    let mut longer = whole;
    longer.push(0);
    assert!(Flight::decode(&longer).is_err());
}

#[test]
fn a_recording_of_a_node_that_failed_ends_within_the_call_that_it_failed_in() {
    let provider = Overheard::signing([5; 32], 8);
    let addr = "203.0.113.1:24100".parse().unwrap();
    let registry = Registry::new(vec![Masternode { id: provider.node_id(), addr }]).unwrap();
    let config = base_config(1, registry, Some(addr));
    let mut now = Now { mono: Mono(1), wall: Wall(1_800_000_000_000) };
    let mut recorder = Recorder::start(config, Box::new(provider), [3; 32], [], now, 4 << 20).unwrap();
    let recording = recorder.recording();
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for _ in 0..1_000 {
            while let Some(command) = recorder.next_command() {
                if let Command::Persist { ticket, .. } = command {
                    recorder.handle(now, Input::Persisted(ticket));
                }
            }
            let at = recorder.deadline().unwrap_or(now.mono).max(now.mono);
            now = Now {
                mono: at,
                wall: Wall(now.wall.0 + u64::try_from(at.since(now.mono).as_millis()).unwrap_or(u64::MAX)),
            };
            recorder.handle(now, Input::Tick);
        }
    }));
    assert!(failed.is_err(), "it was to fail");
    drop(recorder);
    let flight = Flight::decode(&recording.take(now.wall).encode()).unwrap();
    let (done, played) = replayed(&flight);
    println!("{done:?}, {} commands", played.len());
    assert!(done.cut && done.calls > 3 && !played.is_empty());
    assert_eq!(done.span.map(|(_, last)| last), Some(now), "the last call is the one that failed");
}

/// What an event or command is, without what is in it.
fn kind(command: &str) -> &str {
    command.split(['{', '(']).take(2).last().unwrap_or(command)
}

#[test]
fn a_redacted_recording_is_the_same_run_and_shows_nobody_and_nothing() {
    let addrs = ["165.84.215.117:24100", "50.28.104.50:24100", "185.17.144.9:24100", "185.17.201.77:24100"];
    let setup = Setup::new(noise)
        .masternodes_at(&addrs)
        .chain(INTERVAL)
        .config(|_, config| config.agent = "cassandra/7".to_owned());
    let world = after_a_storm(9, &setup, 64 << 20, Duration::from_secs(40), &ON_THE_WAY);
    for host in world.ids() {
        let (flight, _) = world.flight(host).unwrap();
        let (whole, played) = replayed(&flight);
        let redacted = flight.redacted([3; 32]).unwrap_or_else(|error| panic!("{host}: {error}"));
        let bytes = redacted.encode();
        let redacted = Flight::decode(&bytes).unwrap();
        let (done, again) = replayed(&redacted);
        println!("{host}: {} bytes, redacted {}, {done:?}", flight.encode().len(), bytes.len());
        assert_eq!((done.calls, done.commands), (whole.calls, whole.commands));
        let differs = played.iter().zip(&again).find(|(a, b)| kind(a) != kind(b));
        assert_eq!(differs, None);
        let text = again.join("\n");
        for addr in &addrs {
            let ip = addr.split(':').next().unwrap();
            let octets = ip.parse::<std::net::Ipv4Addr>().unwrap().octets();
            assert!(holds(&flight.encode(), &octets), "{ip} is in the original");
            assert!(!text.contains(ip), "{ip} is printed");
            assert!(!holds(&bytes, &octets), "{ip} is in the file");
        }
        for payload in [&[7_u8; 100][..], &[3; 100], b"cassandra"] {
            assert!(holds(&flight.encode(), payload));
            assert!(!holds(&bytes, payload), "{payload:?}");
        }
        // The same address is the same one in every place.
        assert!(again.iter().filter(|command| command.contains("LinkUp")).count() > 0);
        let refused = redacted.redacted([4; 32]).unwrap();
        assert_eq!(refused, redacted, "there is nothing more to hide");
    }
}
