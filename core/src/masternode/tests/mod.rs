//! A network of [`Masternode`] machines in memory: encoded heartbeats over links with a latency, every frame
//! counted. Time is virtual; each machine is woken exactly at its deadline.

mod gossip;
mod liveness;
mod registry;
mod view;

use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use zeroize::Zeroizing;

use super::*;
use crate::crypto::{Handshake, WeakKey};
use crate::event::{DialedBecause, Direction};
use crate::registry::Masternode as Entry;
use crate::time::Wall;
use crate::wire::codec;
use crate::wire::message::{Kind, Message};

const SECOND: Duration = Duration::from_secs(1);
const NETWORK: NetworkId = NetworkId([1, 2, 3, 4]);
/// Wall time at the start of every test.
const NOON: u64 = 1_700_000_000_000;
const FIRST_EPOCH: BootEpoch = BootEpoch(NOON);

/// Signs with a hash over key and message, so a test can sign as anybody. Channels do not exist here.
#[derive(Clone, Debug)]
struct Keys {
    id: NodeId,
    verified: usize,
}

fn sign_as(id: &NodeId, message: &[u8]) -> Signature {
    let half: [u8; 32] = Sha256::new().chain_update(id.0).chain_update(message).finalize().into();
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&half);
    Signature(signature)
}

impl Provider for Keys {
    fn node_id(&self) -> NodeId {
        self.id
    }
    fn sign(&mut self, message: &[u8]) -> Signature {
        sign_as(&self.id, message)
    }
    fn verify(&mut self, signer: &NodeId, message: &[u8], signature: &Signature) -> Authenticity {
        self.verified += 1;
        if sign_as(signer, message) == *signature { Authenticity::Genuine } else { Authenticity::Forged }
    }
    fn trust(&mut self, _keys: &[NodeId]) -> Result<(), WeakKey> {
        Ok(())
    }
    fn initiate(&mut self, _prologue: &[u8], _ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        unreachable!("heartbeats open no channels")
    }
    fn respond(&mut self, _prologue: &[u8], _ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        unreachable!("heartbeats open no channels")
    }
}

/// Signs a heartbeat as its signer would.
fn signed(mut beat: Heartbeat) -> Box<Heartbeat> {
    beat.signature = sign_as(&beat.signer, &signing::heartbeat(&beat));
    Box::new(beat)
}

fn id(node: usize) -> NodeId {
    NodeId([u8::try_from(node + 1).unwrap(); 32])
}

fn seat(node: usize) -> MasternodeIndex {
    MasternodeIndex(u8::try_from(node).unwrap())
}

/// Lower index, lower key, higher address: of a pair the one with the higher index dials.
fn registry(size: usize) -> Registry {
    let entry = |node| Entry { id: id(node), addr: format!("10.0.0.{}:24100", 250 - node).parse().unwrap() };
    Registry::new((0..size).map(entry).collect()).unwrap()
}

fn at(secs: u64) -> Mono {
    Mono(0) + SECOND * u32::try_from(secs).unwrap()
}

struct Host {
    machine: Masternode,
    keys: Keys,
    /// Its wall clock's error, in milliseconds.
    skew: i64,
    events: Vec<(Mono, Event)>,
    verdicts: Vec<Verdict>,
    running: bool,
    epoch: BootEpoch,
}

/// One frame on its way.
struct Frame {
    from: usize,
    to: usize,
    link: LinkTag,
    body: Vec<u8>,
}

/// The network: the first `masternodes` hosts are registered, the others observe.
struct Net {
    now: Mono,
    masternodes: usize,
    hosts: Vec<Host>,
    /// Live links by their ends, lower first.
    links: BTreeMap<(usize, usize), LinkTag>,
    frames: BTreeMap<(Mono, u64), Frame>,
    sent: u64,
    latency: Duration,
    /// What went over each link in each direction, by content.
    carried: BTreeMap<(usize, usize, Vec<u8>), u64>,
    /// Frames between these, in this direction, are lost.
    lossy: BTreeSet<(usize, usize)>,
    next_tag: u64,
}

impl Net {
    fn new(masternodes: usize, observers: usize) -> Self {
        let mut net = Self {
            now: Mono(0),
            masternodes,
            hosts: Vec::new(),
            links: BTreeMap::new(),
            frames: BTreeMap::new(),
            sent: 0,
            latency: SECOND / 50,
            carried: BTreeMap::new(),
            lossy: BTreeSet::new(),
            next_tag: 1,
        };
        for node in 0..masternodes + observers {
            let machine = net.machine(node, FIRST_EPOCH);
            let keys = Keys { id: id(node), verified: 0 };
            net.hosts.push(Host {
                machine,
                keys,
                skew: 0,
                events: Vec::new(),
                verdicts: Vec::new(),
                running: true,
                epoch: FIRST_EPOCH,
            });
        }
        net
    }

    fn full_mesh(size: usize) -> Self {
        let mut net = Self::new(size, 0);
        let pairs = (0..size).flat_map(|a| (a + 1..size).map(move |b| (a, b)));
        pairs.for_each(|(a, b)| net.connect(a, b));
        net
    }

    fn line(size: usize) -> Self {
        let mut net = Self::new(size, 0);
        (1..size).for_each(|b| net.connect(b - 1, b));
        net
    }

    fn ring(size: usize) -> Self {
        let mut net = Self::line(size);
        net.connect(0, size - 1);
        net
    }

    fn star(size: usize) -> Self {
        let mut net = Self::new(size, 0);
        (1..size).for_each(|b| net.connect(0, b));
        net
    }

    fn machine(&self, node: usize, epoch: BootEpoch) -> Masternode {
        let acting = (node < self.masternodes).then(|| seat(node));
        let setup = Setup { network: NETWORK, node: id(node), acting, epoch };
        let mut draw = Rng::new([u8::try_from(node).unwrap() ^ u8::try_from(epoch.0 % 251).unwrap(); 32]);
        let now = Now { mono: self.now, wall: Wall(NOON) };
        Masternode::new(now, &setup, registry(self.masternodes), &Timings::default(), &mut draw)
    }

    fn clock(&self, node: usize) -> Now {
        let wall = Wall(NOON + self.now.0 / 1_000_000);
        Now { mono: self.now, wall: Wall(wall.0.saturating_add_signed(self.hosts[node].skew)) }
    }

    fn act<R>(
        &mut self,
        node: usize,
        what: impl FnOnce(&mut Masternode, Now, &mut Keys, &mut Vec<Event>) -> R,
    ) -> R {
        let now = self.clock(node);
        let host = &mut self.hosts[node];
        let mut events = Vec::new();
        let result = what(&mut host.machine, now, &mut host.keys, &mut events);
        host.events.extend(events.into_iter().map(|event| (now.mono, event)));
        result
    }

    fn connect(&mut self, a: usize, b: usize) {
        let pair = (a.min(b), a.max(b));
        let tag = LinkTag(self.next_tag.to_le_bytes());
        self.next_tag += 1;
        assert_eq!(self.links.insert(pair, tag), None);
        self.act(a, |machine, now, _, events| machine.session_up(now, &id(b), tag, events));
        self.act(b, |machine, now, _, events| machine.session_up(now, &id(a), tag, events));
    }

    fn cut(&mut self, a: usize, b: usize) {
        let tag = self.links.remove(&(a.min(b), a.max(b))).unwrap();
        for (here, there) in [(a, b), (b, a)] {
            if self.hosts[here].running {
                self.act(here, |machine, now, _, events| machine.session_down(now, &id(there), tag, events));
            }
        }
    }

    fn peers(&self, node: usize) -> Vec<usize> {
        let ends = self.links.keys().filter(|(a, b)| *a == node || *b == node);
        ends.map(|(a, b)| if *a == node { *b } else { *a }).collect()
    }

    /// The process is gone; its peers see their links close.
    fn kill(&mut self, node: usize) {
        self.hosts[node].running = false;
        self.peers(node).into_iter().for_each(|peer| self.cut(node, peer));
    }

    /// The process starts again under a boot epoch, with nothing in memory and no links.
    fn restart(&mut self, node: usize, epoch: BootEpoch) {
        if self.hosts[node].running {
            self.kill(node);
        }
        let machine = self.machine(node, epoch);
        let host = &mut self.hosts[node];
        (host.machine, host.epoch, host.running) = (machine, epoch, true);
    }

    fn own_links(&self, node: usize) -> OwnLinks {
        let registry = &self.hosts[node].machine.registry;
        let entry = |peer: usize| {
            Some(LinkEntry {
                peer: registry.index_of(&id(peer))?,
                direction: if node > peer { Direction::Outbound } else { Direction::Inbound },
                because: DialedBecause::Canonical,
                session: self.links[&(node.min(peer), node.max(peer))],
            })
        };
        OwnLinks { entries: self.peers(node).into_iter().filter_map(entry).collect(), duplicates: 0 }
    }

    fn send(&mut self, from: usize, to: usize, body: &[u8]) {
        let times = self.carried.entry((from, to, body.to_vec())).or_default();
        *times += 1;
        assert!(*times < 5, "a storm: one item, {times} times from {from} to {to}");
        self.sent += 1;
        if self.lossy.contains(&(from, to)) {
            return;
        }
        let link = self.links[&(from.min(to), from.max(to))];
        let frame = Frame { from, to, link, body: body.to_vec() };
        self.frames.insert((self.now + self.latency, self.sent), frame);
    }

    fn beat(&mut self, node: usize) {
        let links = self.own_links(node);
        let tip = (Height(0), BlockHash::default());
        let beat = self.act(node, |machine, now, keys, _| machine.beat(now, links, tip, keys)).unwrap();
        let mut body = Vec::new();
        codec::encode_body(&Message::Heartbeat(beat), &mut body);
        self.peers(node).into_iter().for_each(|peer| self.send(node, peer, &body));
    }

    /// As `node` does with a body that `from` brought.
    fn deliver(&mut self, from: usize, node: usize, body: &[u8]) -> Verdict {
        let verdict = self.act(node, |machine, now, keys, events| {
            machine.glance(body).unwrap_or_else(|| {
                let Ok(Message::Heartbeat(beat)) = codec::decode_body(Kind::Heartbeat, body) else {
                    panic!("does not decode")
                };
                machine.received(now, id(from), beat, keys, events)
            })
        });
        self.hosts[node].verdicts.push(verdict);
        if let Some(audience) = verdict.audience().copied() {
            for peer in self.peers(node) {
                if audience.includes(&id(peer), (peer < self.masternodes).then(|| seat(peer))) {
                    self.send(node, peer, body);
                }
            }
        }
        verdict
    }

    /// Lets time pass up to and including `until`.
    fn run_until(&mut self, until: Mono) {
        loop {
            let frame = self.frames.keys().next().map(|key| key.0);
            let running = self.hosts.iter().filter(|host| host.running);
            let timer = running.filter_map(|host| host.machine.deadline()).min();
            let next = [frame, timer].into_iter().flatten().min().filter(|next| *next <= until);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            if frame == Some(next) {
                let (_, frame) = self.frames.pop_first().unwrap();
                let pair = (frame.from.min(frame.to), frame.from.max(frame.to));
                if self.links.get(&pair) == Some(&frame.link) {
                    let _ = self.deliver(frame.from, frame.to, &frame.body);
                }
                continue;
            }
            for node in 0..self.hosts.len() {
                if self.hosts[node].running {
                    self.act(node, |machine, now, _, events| machine.tick(now, events));
                    if self.hosts[node].machine.beat_due(self.now) {
                        self.beat(node);
                    }
                }
            }
        }
        self.now = until;
    }

    fn run(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }

    /// What `node` says of masternode `of`.
    fn info(&self, node: usize, of: usize) -> MasternodeInfo {
        self.hosts[node].machine.masternodes(self.now).swap_remove(of)
    }

    fn is_active(&self, node: usize, of: usize) -> bool {
        self.info(node, of).activity == Activity::Active
    }

    fn matrix(&self, node: usize) -> Matrix {
        self.hosts[node].machine.matrix(self.now, self.own_links(node), SeatSet::EMPTY)
    }

    /// When masternode `of` became active or inactive at `node`.
    fn changes(&self, node: usize, of: usize) -> Vec<(Mono, Activity)> {
        let of_it = |(at, event): &(Mono, Event)| match event {
            Event::Activity { node, activity } if *node == id(of) => Some((*at, *activity)),
            _ => None,
        };
        self.hosts[node].events.iter().filter_map(of_it).collect()
    }

    fn warnings(&self, node: usize) -> Vec<Warning> {
        let warning = |(_, event): &(Mono, Event)| match event {
            Event::Warning(warning) => Some(warning.clone()),
            _ => None,
        };
        self.hosts[node].events.iter().filter_map(warning).collect()
    }

    /// A genuine heartbeat of `node` without links, as an attacker may have recorded it.
    fn recorded(&self, node: usize, epoch: BootEpoch, sequence: u64) -> Heartbeat {
        *signed(Heartbeat {
            network: NETWORK,
            signer: id(node),
            epoch,
            sequence,
            wall: self.clock(node).wall,
            height: Height(0),
            tip: BlockHash::default(),
            registry: self.hosts[node].machine.tag,
            links: Vec::new(),
            duplicates: 0,
            witnessed: Vec::new(),
            signature: Signature::default(),
        })
    }
}

fn body(beat: &Heartbeat) -> Vec<u8> {
    let mut body = Vec::new();
    codec::encode_body(&Message::Heartbeat(Box::new(beat.clone())), &mut body);
    body
}
