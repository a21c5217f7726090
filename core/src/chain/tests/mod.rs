//! A small network of chains in memory: messages with a latency, disks that are slow and forget what was not
//! durable, applications that take everything. Time is virtual; each chain is woken exactly at its deadline.

mod hostile;
mod progress;
mod resending;
mod restarts;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::*;
use crate::chain::effects::{Binding, Recipients};
use crate::chain::fixture::{GENESIS, NOON, id, registry, sign_as};
use crate::command::Command;
use crate::config::{ConfigError, MinPeers};
use crate::crypto::{Authenticity, Handshake, WeakKey};
use crate::event::{CommittedVia, Offence};
use crate::ids::{BootEpoch, Round, Signature};
use crate::input::PayloadVerdict;
use crate::journal::{Record, RecordKey};
use crate::limits::{Limits, MAX_ASSEMBLED};
use crate::rng::Rng;

const SECOND: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_secs(10);
/// From the start to the first slot: enough for every host to listen to the others before it speaks.
const LEAD: Duration = Duration::from_secs(5);
/// Wall time when monotonic time is zero: a second and the lead before the first slot.
const FIRST: u64 = NOON - 6_000;

/// Signs as one node, with keys of which nothing is secret.
#[derive(Clone, Debug)]
struct Signer {
    id: NodeId,
    verified: usize,
}

impl Provider for Signer {
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
        unreachable!("blocks open no channels")
    }
    fn respond(&mut self, _prologue: &[u8], _ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        unreachable!("blocks open no channels")
    }
}

/// What reaches a host at some time.
#[derive(Clone, Debug)]
enum Arrival {
    Message(NodeId, Box<Message>),
    Durable(RecordKey, Bytes, Binding),
    Stored(Height, Bytes),
    TakenIn(Height),
    Produced(Height, Round, Bytes),
    Validated(BlockHash),
    Loaded(LoadId, Vec<StoredBlock>),
}

struct Host {
    chain: Chain,
    signer: Signer,
    /// What survives a crash.
    records: BTreeMap<RecordKey, Bytes>,
    blocks: BTreeMap<Height, Bytes>,
    events: Vec<(Mono, Event)>,
    /// Its wall clock's error, in milliseconds.
    skew: i64,
    /// Counts the lives of the host: what was under way in an earlier one is lost.
    life: u32,
    running: bool,
    payload: usize,
    application: Application,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Application {
    Answers,
    Silent,
}

/// Whether a message from one host to another is lost.
type Lossy = Box<dyn Fn(usize, usize, &Message) -> bool>;

/// When a host crashes: before it learns that a record is durable, or when it has drawn its conclusions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Before,
    After,
}

struct Net {
    now: Mono,
    registry: Registry,
    settings: ChainConfig,
    hosts: Vec<Host>,
    /// Links that stand, lower first.
    links: BTreeSet<(usize, usize)>,
    agenda: BTreeMap<(Mono, u64), (usize, u32, Arrival)>,
    entered: u64,
    latency: Duration,
    disk: Duration,
    /// Every statement that left a host, by its author: never two that differ.
    said: BTreeMap<(NodeId, Height, Round, &'static str), Option<BlockHash>>,
    /// The final block of each height.
    ledger: BTreeMap<Height, BlockHash>,
    /// Messages of these kinds between these hosts are lost.
    lose: Lossy,
    /// What is made of a charge: everybody here is honest, but where a test says otherwise.
    charge: Box<dyn FnMut(usize, NodeId, Offence)>,
    /// This host crashes when so many of its records have become durable.
    crash_at: Option<(usize, usize, Moment)>,
}

fn settings() -> ChainConfig {
    ChainConfig {
        genesis_time: Wall(NOON),
        interval: INTERVAL,
        max_bytes: MAX_ASSEMBLED,
        min_peers: MinPeers::Auto,
    }
}

impl Net {
    /// A full mesh of `size` masternodes, started a second before the first slot.
    fn new(size: usize) -> Self {
        Self::with(size, size, settings())
    }

    fn with(masternodes: usize, size: usize, settings: ChainConfig) -> Self {
        let mut net = Self {
            now: Mono(1_000_000_000),
            registry: registry(masternodes),
            settings,
            hosts: Vec::new(),
            links: BTreeSet::new(),
            agenda: BTreeMap::new(),
            entered: 0,
            latency: Duration::from_millis(20),
            disk: Duration::from_millis(5),
            said: BTreeMap::new(),
            ledger: BTreeMap::new(),
            lose: Box::new(|_, _, _| false),
            charge: Box::new(|host, peer, offence| panic!("{host} charges {peer} with {offence:?}")),
            crash_at: None,
        };
        for host in 0..size {
            let records = BTreeMap::new();
            let chain = net.chain(host, &records, &BTreeMap::new(), 0);
            net.hosts.push(Host {
                chain,
                signer: Signer { id: id(host), verified: 0 },
                records,
                blocks: BTreeMap::new(),
                events: Vec::new(),
                skew: 0,
                life: 0,
                running: true,
                payload: 300,
                application: Application::Answers,
            });
            net.call(host, |chain, now, signer, effects| chain.begin(now, signer, effects));
        }
        for a in 0..size {
            for b in a + 1..size {
                net.link(a, b);
            }
        }
        net
    }

    fn chain(
        &self,
        host: usize,
        records: &BTreeMap<RecordKey, Bytes>,
        blocks: &BTreeMap<Height, Bytes>,
        life: u32,
    ) -> Chain {
        self.start(GENESIS, host, records, blocks, life).unwrap()
    }

    fn start(
        &self,
        genesis: GenesisHash,
        host: usize,
        records: &BTreeMap<RecordKey, Bytes>,
        blocks: &BTreeMap<Height, Bytes>,
        life: u32,
    ) -> Result<Chain, ConfigError> {
        let mut journal: Vec<Record> =
            records.iter().map(|(key, bytes)| Record { key: *key, bytes: bytes.clone() }).collect();
        let tip = blocks.values().next_back().cloned();
        journal.extend(tip.map(|bytes| Record { key: RecordKey::Tip, bytes }));
        let limits = Limits::default();
        let setup = Setup {
            genesis,
            node: id(host),
            conduct: Conduct::Acts,
            registry: self.registry.clone(),
            settings: self.settings.clone(),
            used: BootEpoch(u64::from(life)),
            boot: BootEpoch(u64::from(life) + 1),
            limits: &limits,
            rng: Rng::new([u8::try_from(host).unwrap(); 32]),
        };
        Chain::new(self.reading(0), setup, journal)
    }

    /// At the start, when monotonic time is a second, the first slot is [`LEAD`] ahead.
    fn reading(&self, skew: i64) -> Now {
        Now { mono: self.now, wall: Wall((FIRST + self.now.0 / 1_000_000).saturating_add_signed(skew)) }
    }

    fn after(&mut self, delay: Duration, host: usize, arrival: Arrival) {
        self.entered += 1;
        let life = self.hosts[host].life;
        self.agenda.insert((self.now + delay, self.entered), (host, life, arrival));
    }

    fn call(&mut self, host: usize, call: impl FnOnce(&mut Chain, Now, &mut Signer, &mut Effects)) {
        let now = self.reading(self.hosts[host].skew);
        let mut effects = Effects::new();
        let target = &mut self.hosts[host];
        call(&mut target.chain, now, &mut target.signer, &mut effects);
        for effect in effects {
            self.carry_out(host, effect);
        }
    }

    /// As [`Net::call`] for a record that is durable, unless the host is to crash before.
    fn then(&mut self, host: usize, call: impl FnOnce(&mut Chain, Now, &mut Signer, &mut Effects)) {
        let crashes = match &mut self.crash_at {
            Some((at, left, moment)) if *at == host => {
                *left -= 1;
                Some(*moment).filter(|_| *left == 0)
            }
            _ => None,
        };
        if crashes != Some(Moment::Before) {
            self.call(host, call);
        }
        if crashes.is_some() {
            self.crash_at = None;
            self.crash(host);
        }
    }

    fn linked(&self, a: usize, b: usize) -> bool {
        self.links.contains(&(a.min(b), a.max(b)))
    }

    fn index(&self, peer: &NodeId) -> usize {
        (0..self.hosts.len()).find(|host| id(*host) == *peer).unwrap()
    }

    fn send(&mut self, from: usize, to: usize, message: &Message) {
        if self.linked(from, to) && !(self.lose)(from, to, message) {
            self.note_said(from, message);
            self.after(self.latency, to, Arrival::Message(id(from), Box::new(message.clone())));
        }
    }

    fn note_said(&mut self, from: usize, message: &Message) {
        let said = match message {
            Message::Vote(vote) if vote.voter == id(from) => {
                Some(((vote.voter, vote.height, vote.round, vote.kind.as_str()), vote.block))
            }
            Message::Proposal(proposal) if proposal.header.proposer == id(from) => {
                let height = proposal.header.height;
                let block = Some(proposal.header.hash(&GENESIS));
                Some(((id(from), height, proposal.round, "proposal"), block))
            }
            _ => None,
        };
        if let Some((key, block)) = said {
            let first = *self.said.entry(key).or_insert(block);
            assert_eq!(first, block, "{key:?} was signed twice");
        }
    }

    fn carry_out(&mut self, host: usize, effect: Effect) {
        match effect {
            Effect::Send(to, message) => {
                let to = self.index(&to);
                self.send(host, to, &message);
            }
            Effect::Broadcast(recipients, message) => {
                for to in (0..self.hosts.len()).filter(|to| *to != host) {
                    let wanted = match recipients {
                        Recipients::Masternodes => self.registry.get(&id(to)).is_some(),
                        Recipients::Forward { author, from } => {
                            let by = usize::from(author.0);
                            self.registry.get(&id(to)).is_some()
                                && to != by
                                && id(to) != from
                                && !self.linked(by, to)
                        }
                    };
                    if wanted {
                        self.send(host, to, &message);
                    }
                }
            }
            Effect::Persist(key, record, binding) => {
                self.after(self.disk, host, Arrival::Durable(key, record, binding));
            }
            Effect::Commit { hash, block, bytes, .. } => {
                let height = block.block.header.height;
                let first = *self.ledger.entry(height).or_insert(hash);
                assert_eq!(first, hash, "two final blocks at height {height}");
                self.after(self.disk, host, Arrival::Stored(height, bytes));
                self.after(self.disk / 2, host, Arrival::TakenIn(height));
            }
            Effect::Registry(_) => {}
            Effect::Offence(peer, offence) => (self.charge)(host, peer, offence),
            Effect::Command(Command::Produce { height, round, .. }) => {
                let seed = u8::try_from(height.0 % 256).unwrap();
                let payload = Bytes::from(vec![seed; self.hosts[host].payload]);
                self.after(Duration::from_millis(1), host, Arrival::Produced(height, round, payload));
            }
            Effect::Command(Command::Validate { block, .. }) => {
                self.after(Duration::from_millis(1), host, Arrival::Validated(block));
            }
            Effect::Command(Command::Load { load, from, to, max_bytes }) => {
                let mut left = max_bytes;
                let mut loaded = Vec::new();
                for (height, bytes) in self.hosts[host].blocks.range(from..=to) {
                    if !loaded.is_empty() && bytes.len() > left {
                        break;
                    }
                    left = left.saturating_sub(bytes.len());
                    loaded.push(StoredBlock { height: *height, bytes: bytes.clone() });
                }
                self.after(Duration::from_millis(1), host, Arrival::Loaded(load, loaded));
            }
            Effect::Command(_) => {}
            Effect::Event(event) => {
                let now = self.now;
                self.hosts[host].events.push((now, event));
            }
        }
    }

    fn arrive(&mut self, host: usize, arrival: Arrival) {
        match arrival {
            Arrival::Message(from, message) => {
                let by = self.index(&from);
                if self.linked(host, by) {
                    self.call(host, |chain, now, signer, effects| {
                        chain.received(now, from, *message, signer, effects);
                    });
                }
            }
            Arrival::Durable(key, record, binding) => {
                self.hosts[host].records.insert(key, record);
                self.then(host, |chain, now, signer, effects| chain.durable(now, binding, signer, effects));
            }
            Arrival::Stored(height, bytes) => {
                self.hosts[host].blocks.insert(height, bytes);
                self.then(host, |chain, now, signer, effects| chain.stored(now, height, signer, effects));
            }
            Arrival::TakenIn(height) => {
                self.call(host, |chain, now, signer, effects| {
                    chain.taken_in(now, height, &[], &[], signer, effects);
                });
            }
            Arrival::Produced(height, round, payload) => {
                if self.hosts[host].application == Application::Answers {
                    self.call(host, |chain, now, signer, effects| {
                        chain.produced(now, (height, round), Some(payload), &[], signer, effects);
                    });
                }
            }
            Arrival::Loaded(load, blocks) => {
                self.call(host, |chain, now, signer, effects| {
                    chain.loaded(now, load, blocks, signer, effects);
                });
            }
            Arrival::Validated(block) => {
                self.call(host, |chain, now, signer, effects| {
                    chain.validated(now, block, PayloadVerdict::Valid, signer, effects);
                });
            }
        }
        // A served peer's lane is always empty here.
        for peer in 0..self.hosts.len() {
            while self.hosts[host].chain.is_serving(&id(peer)) {
                let before = self.entered;
                self.call(host, |chain, now, _, effects| chain.drained(now, id(peer), 0, effects));
                if self.entered == before {
                    break;
                }
            }
        }
    }

    fn link(&mut self, a: usize, b: usize) {
        if !self.hosts[a].running || !self.hosts[b].running || !self.links.insert((a.min(b), a.max(b))) {
            return;
        }
        for (to, from) in [(a, b), (b, a)] {
            let tip = self.hosts[from].chain.tip();
            let other = Boot { epoch: BootEpoch(u64::from(self.hosts[to].life)), ..Boot::default() };
            let seen = Some(other).filter(|_| self.hosts[to].life > 0);
            self.call(to, |chain, now, signer, effects| {
                chain.link_up(now, id(from), (tip.height, tip.hash), seen, signer, effects);
            });
        }
    }

    fn cut(&mut self, a: usize, b: usize) {
        if self.links.remove(&(a.min(b), a.max(b))) {
            for (at, peer) in [(a, b), (b, a)] {
                if self.hosts[at].running {
                    self.call(at, |chain, now, signer, effects| {
                        chain.link_down(now, id(peer), signer, effects);
                    });
                }
            }
        }
    }

    fn crash(&mut self, host: usize) {
        self.hosts[host].running = false;
        self.hosts[host].life += 1;
        for other in (0..self.hosts.len()).filter(|other| *other != host) {
            self.cut(host, other);
        }
    }

    fn restart(&mut self, host: usize) {
        let target = &self.hosts[host];
        let chain = self.chain(host, &target.records, &target.blocks, target.life);
        self.hosts[host].chain = chain;
        self.hosts[host].running = true;
        self.call(host, |chain, now, signer, effects| chain.begin(now, signer, effects));
        for other in (0..self.hosts.len()).filter(|other| *other != host) {
            self.link(host, other);
        }
    }

    /// When something happens next, and at which host, if it is no arrival.
    fn next(&mut self) -> Option<(Mono, Option<usize>)> {
        let arrival = self.agenda.first_key_value().map(|((at, _), _)| (*at, None));
        let mut next = arrival;
        for host in 0..self.hosts.len() {
            let now = self.reading(self.hosts[host].skew);
            let target = &mut self.hosts[host];
            if let Some(at) = target.chain.deadline(now).filter(|_| target.running)
                && next.is_none_or(|(earliest, _)| at < earliest)
            {
                next = Some((at.max(self.now), Some(host)));
            }
        }
        next
    }

    /// Lets everything happen that does within `span`.
    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        let mut still = 0;
        while let Some((at, host)) = self.next().filter(|(at, _)| *at <= end) {
            still = if at == self.now { still + 1 } else { 0 };
            assert!(still < 5_000, "no end of it at {at:?}");
            self.now = at;
            match host {
                Some(host) => self.call(host, |chain, now, signer, effects| chain.tick(now, signer, effects)),
                None => {
                    let Some((_, (host, life, arrival))) = self.agenda.pop_first() else { continue };
                    if self.hosts[host].running && self.hosts[host].life == life {
                        self.arrive(host, arrival);
                    }
                }
            }
        }
        self.now = end;
    }

    fn height(&self, host: usize) -> u64 {
        self.hosts[host].chain.tip().height.0
    }

    fn heights(&self) -> Vec<u64> {
        (0..self.hosts.len()).map(|host| self.height(host)).collect()
    }

    fn committed(&self, host: usize) -> Vec<(u64, Round, Wall, CommittedVia)> {
        let events = self.hosts[host].events.iter();
        events
            .filter_map(|(_, event)| match event {
                Event::BlockCommitted { height, round, slot, via, .. } => {
                    Some((height.0, *round, *slot, *via))
                }
                _ => None,
            })
            .collect()
    }
}
