//! One catching-up node among modelled peers, in virtual time: links with latency and bandwidth, an application
//! that verifies and stores at a given speed, and peers of every kind. The scheduler is woken exactly at its
//! deadline; what it promises of itself is checked after every step.

mod catching_up;
mod failing_peers;
mod hearsay;
mod measures;
mod stampede;

use std::collections::BTreeMap;
use std::rc::Rc;

use super::*;
use crate::chain::effects::Effect;
use crate::ids::{BlockHash, CertificateHash, PayloadRoot, Round, Signature};
use crate::limits::{Limits, MAX_FINAL_BLOCK, PART};
use crate::registry::{Masternode, MasternodeIndex, RegistryHash};
use crate::time::Wall;
use crate::wire::block::{Block, Certificate, Header, VoteKind};
use crate::wire::message::{GetBlocks, Message};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const OWN: NodeId = NodeId([200; 32]);

/// A registered masternode; this node is the last of the registry.
fn masternode(number: u8) -> NodeId {
    NodeId([number; 32])
}

/// Nobody in particular.
fn stranger(number: u8) -> NodeId {
    NodeId([100 + number; 32])
}

/// This node and `others` more.
fn registry(others: u8) -> Registry {
    let entry = |id: NodeId| Masternode { id, addr: format!("10.0.0.{}:1", id.0[0]).parse().unwrap() };
    Registry::new((0..others).map(masternode).chain([OWN]).map(entry).collect()).unwrap()
}

/// A block that the modelled application takes for the one of its height, or, with another `mark`, does not.
fn block(height: u64, payload: usize, mark: u8) -> Bytes {
    let certificate = |height: u64| Certificate {
        kind: VoteKind::Precommit,
        height: Height(height),
        round: Round(0),
        block: BlockHash([mark; 32]),
        signers: (0..3).map(MasternodeIndex).collect(),
        signatures: vec![Signature([mark; 64]); 3],
    };
    let header = Header {
        height: Height(height),
        round: Round(0),
        slot: Wall(height * 1000),
        parent: BlockHash::default(),
        certificate: CertificateHash::default(),
        payload: PayloadRoot::default(),
        registry: RegistryHash::default(),
        proposer: OWN,
    };
    let parent = (height > 1).then(|| Box::new(certificate(height - 1)));
    let block = Block { header, certificate: parent, payload: vec![mark; payload].into() };
    FinalBlock { block, certificate: certificate(height) }.encode()
}

/// The true blocks of heights 1 to `length`.
fn chain(length: u64, payload: usize) -> Rc<Vec<Bytes>> {
    Rc::new((1..=length).map(|height| block(height, payload, 1)).collect())
}

/// How a peer answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Conduct {
    Honest,
    /// Takes a request and never answers.
    Silent,
    /// Stops in the middle of every answer, after so many parts.
    StopsAfter(usize),
    /// Sends one part in so much time.
    Drips(Duration),
    Busy(u32),
    /// Has told of what it does not have.
    Nothing,
    /// Ends the answer before it has begun.
    Empty,
    /// Serves so many blocks an answer.
    Short(u64),
    /// Its link ends after so many parts, and comes back after two seconds.
    Vanishes(usize),
    /// Well-formed blocks that do not verify.
    Forges,
    /// Parts that contradict the request, each time in another way.
    Garbles,
}

/// A modelled peer.
#[derive(Clone, Debug)]
struct Server {
    conduct: Conduct,
    /// How many blocks it has, and how many it tells of.
    tip: u64,
    told: u64,
    latency: Duration,
    /// Bytes a second.
    rate: u64,
    live: bool,
    session: u32,
    /// The newest request, and until when its answer keeps the link busy.
    request: u64,
    free_at: Mono,
    asked: u64,
}

fn honest(tip: u64) -> Server {
    Server {
        conduct: Conduct::Honest,
        tip,
        told: tip,
        latency: 20 * MS,
        rate: 4_000_000,
        live: false,
        session: 0,
        request: 0,
        free_at: Mono(0),
        asked: 0,
    }
}

fn acting(conduct: Conduct, tip: u64) -> Server {
    Server { conduct, ..honest(tip) }
}

#[derive(Clone, Debug)]
enum Happening {
    Up(NodeId),
    Down(NodeId, u32),
    Asked(NodeId, u32, GetBlocks),
    /// A message of a session, in answer to a request.
    Arrives(NodeId, u32, u64, Message),
    Tip(NodeId, u64),
    Verified(Box<Fetched>),
    Durable(u64),
    /// Votes decide this height here.
    Votes(u64),
    /// The network makes a block; who is honest tells of it.
    Grows,
}

struct World {
    now: Mono,
    sync: Sync,
    chain: Rc<Vec<Bytes>>,
    peers: BTreeMap<NodeId, Server>,
    agenda: BTreeMap<(Mono, u64), Happening>,
    sequence: u64,
    rng: Rng,
    verify: Duration,
    store: Duration,
    verifying: bool,
    applied: u64,
    steps: u64,
    most_held: usize,
}

impl World {
    fn new(chain: &Rc<Vec<Bytes>>, others: u8, seed: u8) -> Self {
        Self::with(chain, others, seed, Settings { grace: SECOND / 4, window: Limits::default().sync_window })
    }

    fn with(chain: &Rc<Vec<Bytes>>, others: u8, seed: u8, settings: Settings) -> Self {
        Self {
            now: Mono(0) + 1000 * SECOND,
            sync: Sync::new(settings, &registry(others), OWN, Height(0), Rng::new([seed; 32])),
            chain: Rc::clone(chain),
            peers: BTreeMap::new(),
            agenda: BTreeMap::new(),
            sequence: 0,
            rng: Rng::new([seed ^ 0xff; 32]),
            verify: 200 * Duration::from_micros(1),
            store: 5 * MS,
            verifying: false,
            applied: 0,
            steps: 0,
            most_held: 0,
        }
    }

    /// Adds a peer and brings its link up at once.
    fn join(&mut self, id: NodeId, server: Server) {
        self.peers.insert(id, server);
        self.plan(Duration::ZERO, Happening::Up(id));
    }

    fn plan(&mut self, after: Duration, happening: Happening) {
        self.sequence += 1;
        self.agenda.insert((self.now + after, self.sequence), happening);
    }

    /// Runs until `done`, for so long at most. Answers how long it took.
    fn run(&mut self, most: Duration, mut done: impl FnMut(&Self) -> bool) -> Option<Duration> {
        let begun = self.now;
        while !done(self) {
            let next = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let at = [next, self.sync.deadline()].into_iter().flatten().min();
            let Some(at) = at.filter(|at| at.since(begun) <= most) else {
                self.now = begun + most;
                return None;
            };
            self.now = self.now.max(at);
            let mut effects = Effects::new();
            if next == Some(at)
                && let Some((_, happening)) = self.agenda.pop_first()
            {
                self.happen(happening, &mut effects);
            } else {
                self.sync.tick(self.now, &mut effects);
                assert!(self.sync.deadline().is_none_or(|due| due > self.now), "a deadline in the past");
            }
            self.work(&mut effects);
            self.carry_out(effects);
            self.check();
        }
        Some(self.now.since(begun))
    }

    /// Runs until the node has this height.
    fn reach(&mut self, height: u64, most: Duration) -> Option<Duration> {
        self.run(most, |world| world.applied >= height)
    }

    fn wait(&mut self, time: Duration) {
        let _ = self.run(time, |_| false);
    }

    fn happen(&mut self, happening: Happening, effects: &mut Effects) {
        let now = self.now;
        match happening {
            Happening::Up(id) => {
                let peer = self.peers.get_mut(&id).unwrap();
                (peer.live, peer.session) = (true, peer.session + 1);
                self.sync.peer_up(now, id, Height(peer.told), effects);
            }
            Happening::Down(id, session) => {
                let peer = self.peers.get_mut(&id).unwrap();
                if peer.session == session && std::mem::take(&mut peer.live) {
                    self.sync.peer_down(now, id, effects);
                    self.plan(2 * SECOND, Happening::Up(id));
                }
            }
            Happening::Asked(id, session, get) => self.answer(id, session, get),
            Happening::Arrives(id, session, request, message) => {
                let peer = &self.peers[&id];
                if !peer.live || peer.session != session || peer.request != request {
                    return;
                }
                match message {
                    Message::BlockPart(part) => self.sync.part(now, id, *part, effects),
                    Message::BlocksEnd(end) => self.sync.end(now, id, end, effects),
                    _ => {}
                }
            }
            Happening::Tip(id, tip) => {
                let peer = self.peers.get_mut(&id).unwrap();
                peer.told = peer.told.max(tip);
                if peer.live {
                    self.sync.tip(now, id, Height(tip), effects);
                }
            }
            Happening::Verified(fetched) => {
                self.verifying = false;
                let height = fetched.height.0;
                if height <= self.applied {
                    return;
                }
                if fetched.bytes == self.chain[height as usize - 1] {
                    self.apply(height, effects);
                } else {
                    self.sync.rejected(now, fetched.from, fetched.height, effects);
                }
            }
            Happening::Durable(height) => self.sync.durable(Height(height)),
            Happening::Votes(height) if height == self.applied + 1 => self.apply(height, effects),
            Happening::Votes(_) => {}
            Happening::Grows => self.grow(),
        }
    }

    fn apply(&mut self, height: u64, effects: &mut Effects) {
        assert_eq!(height, self.applied + 1, "a gap, or a block twice");
        self.applied = height;
        self.sync.applied(self.now, Height(height), effects);
        self.plan(self.store, Happening::Durable(height));
    }

    /// Everybody who is honest has another block, and tells of it.
    fn grow(&mut self) {
        let height = self.chain.len() as u64 + 1;
        Rc::make_mut(&mut self.chain).push(block(height, 100, 1));
        let honest: Vec<(NodeId, Duration)> = self
            .peers
            .iter_mut()
            .filter(|(_, peer)| peer.conduct == Conduct::Honest)
            .map(|(id, peer)| {
                peer.tip = height;
                (*id, peer.latency)
            })
            .collect();
        for (id, latency) in honest {
            self.plan(latency, Happening::Tip(id, height));
        }
    }

    /// The application takes the next block if it is idle.
    fn work(&mut self, effects: &mut Effects) {
        while !self.verifying
            && let Some(fetched) = self.sync.next_block(self.now, effects)
        {
            assert_eq!(fetched.height.0, self.applied + 1, "out of order");
            assert_eq!(fetched.block.encode(), fetched.bytes);
            self.verifying = true;
            self.plan(self.verify, Happening::Verified(Box::new(fetched)));
        }
    }

    fn carry_out(&mut self, effects: Effects) {
        for effect in effects {
            let (to, get) = match effect {
                Effect::Send(to, Message::GetBlocks(get)) => (to, get),
                // Only those who send what cannot be, and not whoever is slow, busy or gone.
                Effect::Offence(peer, offence) => {
                    let conduct = self.peers[&peer].conduct;
                    let lies = matches!(conduct, Conduct::Forges | Conduct::Garbles);
                    assert!(lies, "{conduct:?} is charged with {offence:?}");
                    continue;
                }
                other => panic!("{other:?}"),
            };
            let peer = &self.peers[&to];
            assert!(peer.live && peer.told >= get.to.0, "sync_02b: asked for what it does not tell of");
            assert!(get.from <= get.to && get.from.0 > self.applied, "asked for nothing that is missing");
            self.plan(peer.latency, Happening::Asked(to, peer.session, get));
        }
    }

    fn answer(&mut self, id: NodeId, session: u32, get: GetBlocks) {
        let now = self.now;
        let chain = Rc::clone(&self.chain);
        let peer = self.peers.get_mut(&id).unwrap();
        if !peer.live || peer.session != session {
            return;
        }
        peer.asked += 1;
        peer.request += 1;
        let last = match peer.conduct {
            Conduct::Short(blocks) => get.to.0.min(peer.tip).min(get.from.0 + blocks - 1),
            _ => get.to.0.min(peer.tip),
        };
        let mut messages = Vec::new();
        let mut bytes = 0;
        for height in get.from.0..=last {
            let content = match peer.conduct {
                Conduct::Forges => block(height, 50, 2),
                _ => chain[height as usize - 1].clone(),
            };
            bytes += content.len();
            if bytes > get.max_bytes as usize && height > get.from.0 {
                break;
            }
            messages.extend(parts(get.id, height, &content));
        }
        let served = if messages.is_empty() { Served::Nothing } else { Served::All };
        messages.push(Message::BlocksEnd(BlocksEnd { id: get.id, served }));
        let end = |served| vec![Message::BlocksEnd(BlocksEnd { id: get.id, served })];
        let mut gap = Duration::ZERO;
        let mut vanishes = None;
        match peer.conduct {
            Conduct::Silent => messages.clear(),
            Conduct::StopsAfter(parts) => messages.truncate(parts),
            Conduct::Drips(each) => gap = each,
            Conduct::Busy(retry_ms) => messages = end(Served::Busy(retry_ms)),
            Conduct::Nothing => messages = end(Served::Nothing),
            Conduct::Empty => messages = end(Served::All),
            Conduct::Vanishes(parts) => {
                messages.truncate(parts);
                vanishes = Some(session);
            }
            Conduct::Garbles => garble(&mut messages, &mut self.rng),
            Conduct::Honest | Conduct::Short(_) | Conduct::Forges => {}
        }
        let mut at = now;
        let (latency, request) = (peer.latency, peer.request);
        let mut arrivals = Vec::new();
        for message in messages {
            let length = if let Message::BlockPart(part) = &message { part.bytes.len() as u64 } else { 0 };
            at = at + gap + Duration::from_nanos((length + 100) * 1_000_000_000 / peer.rate);
            arrivals.push((at.since(now) + latency, message));
        }
        peer.free_at = at;
        for (after, message) in arrivals {
            self.plan(after, Happening::Arrives(id, session, request, message));
        }
        if let Some(session) = vanishes {
            self.plan(at.since(now) + latency, Happening::Down(id, session));
        }
    }

    /// What the scheduler promises at any time.
    fn check(&mut self) {
        self.steps += 1;
        let asked: Vec<&Incoming> =
            self.sync.peers.values().filter_map(|peer| peer.incoming.as_ref()).collect();
        let reserved: usize = asked.iter().map(|asked| asked.reserved()).sum();
        let held = reserved + self.sync.window.bytes();
        assert!(held <= self.sync.settings.window, "c8: {held} bytes");
        self.most_held = self.most_held.max(self.sync.window.bytes());
        assert!(self.sync.committing.len() <= COMMITS_UNDER_WAY);
        if let SyncState::Syncing { height, target } | SyncState::Stalled { height, target } =
            self.sync.state()
        {
            assert!(height.0 == self.applied && target > height && target == self.sync.heard());
        }
        if !self.steps.is_multiple_of(50) {
            return;
        }
        // Of each height below the frontier, exactly one of four is true.
        for height in (self.applied + 1..self.sync.wanted.frontier().0).map(Height) {
            let asked = asked.iter().any(|asked| asked.missing().is_some_and(|span| span.contains(height)));
            let here = self.sync.is_here(height);
            let wanted = self.sync.wanted.contains(height);
            assert!(here || (asked != wanted), "{height}: asked {asked}, wanted {wanted}");
            assert!(!(here && wanted), "{height} is here and wanted");
        }
    }
}

/// A block cut as it travels.
fn parts(id: u64, height: u64, bytes: &Bytes) -> Vec<Message> {
    let count = bytes.len().div_ceil(PART) as u16;
    let part = |index: u16| {
        let start = usize::from(index) * PART;
        let bytes = bytes.slice(start..(start + PART).min(bytes.len()));
        Message::BlockPart(Box::new(BlockPart { id, height: Height(height), index, count, bytes }))
    };
    (0..count).map(part).collect()
}

/// Puts one fault into an answer.
fn garble(messages: &mut Vec<Message>, rng: &mut Rng) {
    let at = rng.below(messages.len() as u64) as usize;
    let fault = rng.below(8);
    if fault == 0 {
        messages.remove(at);
        return;
    }
    if fault == 1 {
        let copy = messages[at].clone();
        messages.insert(at, copy);
        return;
    }
    let Message::BlockPart(part) = &mut messages[at] else { return };
    match fault {
        2 => part.height = Height(rng.next_u64()),
        3 => part.index = part.index.wrapping_sub(1),
        4 => part.count = rng.below(1 << 16) as u16,
        5 => part.id ^= 1,
        6 => part.bytes = Bytes::new(),
        _ => part.bytes = vec![7; 2 * PART].into(),
    }
}
