//! A network of [`Mempool`] machines in memory: messages over links with a latency, records that take a while to
//! be durable. Time is virtual; each machine is woken exactly at its deadline.

mod floods;
mod offers;
mod relay;
mod submission;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::limits::FRAME_HEADER;
use crate::wire::message::Kind;

const LATENCY: Duration = Duration::from_millis(20);
const WRITE: Duration = Duration::from_millis(5);
const T0: Mono = Mono(1_000_000_000);

/// What is under way.
#[derive(Clone, Debug)]
enum Flight {
    Message { from: usize, to: usize, message: Message },
    Durable { at: usize, id: TxId, bytes: Bytes, then: Binding },
}

struct Host {
    pool: Mempool,
    role: Role,
    disk: BTreeMap<TxId, Bytes>,
    replies: BTreeMap<RequestId, Reply>,
}

struct Net {
    now: Mono,
    hosts: Vec<Host>,
    links: BTreeSet<(usize, usize)>,
    flights: BTreeMap<(Mono, u64), Flight>,
    count: u64,
    requests: u64,
    sent: BTreeMap<Kind, usize>,
    /// How often each id was offered.
    offers: BTreeMap<TxId, usize>,
    limits: Limits,
    /// What gets lost on its way.
    loses: fn(&Message) -> bool,
}

fn node(index: usize) -> NodeId {
    NodeId([index as u8; 32])
}

fn index(node: NodeId) -> usize {
    usize::from(node.0[0])
}

/// Distinct transactions of a length.
fn transaction(number: u64, length: usize) -> Bytes {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(length.max(8), 7);
    bytes.into()
}

fn size(message: &Message) -> usize {
    FRAME_HEADER
        + match message {
            Message::Transaction(bytes) => bytes.len(),
            Message::TransactionOffer(ids) | Message::TransactionWant(ids) => 2 + 32 * ids.len(),
            _ => unreachable!("a mempool sends nothing else"),
        }
}

impl Net {
    /// Masternodes first, then observers; no links.
    fn new(masternodes: usize, observers: usize) -> Self {
        Self::bounded(masternodes, observers, Limits::default())
    }

    fn bounded(masternodes: usize, observers: usize, limits: Limits) -> Self {
        let roles = (0..masternodes).map(|_| Role::Masternode).chain((0..observers).map(|_| Role::Observer));
        let host = |role| Host {
            pool: Mempool::new(&limits, role, []).unwrap(),
            role,
            disk: BTreeMap::new(),
            replies: BTreeMap::new(),
        };
        Self {
            now: T0,
            hosts: roles.map(host).collect(),
            links: BTreeSet::new(),
            flights: BTreeMap::new(),
            count: 0,
            requests: 0,
            sent: BTreeMap::new(),
            offers: BTreeMap::new(),
            limits,
            loses: |_| false,
        }
    }

    fn full_mesh(masternodes: usize, observers: usize) -> Self {
        let mut net = Self::new(masternodes, observers);
        net.link_all();
        net
    }

    fn link_all(&mut self) {
        for b in 0..self.hosts.len() {
            (0..b).for_each(|a| self.link(a, b));
        }
    }

    fn link(&mut self, a: usize, b: usize) {
        self.links.extend([(a, b), (b, a)]);
        for (here, there) in [(a, b), (b, a)] {
            let role = self.hosts[there].role;
            self.call(here, |pool, now, effects| pool.peer_up(now, node(there), role, effects));
        }
    }

    fn cut(&mut self, a: usize, b: usize) {
        for (here, there) in [(a, b), (b, a)] {
            self.links.remove(&(here, there));
            self.call(here, |pool, now, effects| pool.peer_down(now, node(there), effects));
        }
        self.flights.retain(|_, flight| {
            !matches!(flight, Flight::Message { from, to, .. } if [(a, b), (b, a)].contains(&(*from, *to)))
        });
    }

    /// The process dies and starts again from its disk; its links are gone.
    fn restart(&mut self, host: usize) {
        (0..self.hosts.len()).filter(|other| *other != host).for_each(|other| self.cut(host, other));
        self.flights.retain(|_, flight| !matches!(flight, Flight::Durable { at, .. } if *at == host));
        let journal = self.hosts[host].disk.clone();
        self.hosts[host].pool = Mempool::new(&self.limits, self.hosts[host].role, journal).unwrap();
        self.hosts[host].replies.clear();
    }

    fn submit(&mut self, host: usize, bytes: &Bytes) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.call(host, |pool, _, effects| pool.submit(request, bytes, effects));
        request
    }

    /// The block that everybody takes in.
    fn include(&mut self, ids: &[TxId]) {
        for host in 0..self.hosts.len() {
            self.call(host, |pool, now, effects| pool.included(now, ids, effects));
            self.hosts[host].disk.retain(|id, _| !ids.contains(id));
        }
    }

    fn seat(&self, host: usize) -> Option<MasternodeIndex> {
        (self.hosts[host].role == Role::Masternode).then_some(MasternodeIndex(host as u8))
    }

    fn call(&mut self, host: usize, act: impl FnOnce(&mut Mempool, Mono, &mut Effects)) {
        let mut effects = Vec::new();
        act(&mut self.hosts[host].pool, self.now, &mut effects);
        for effect in effects {
            match effect {
                Effect::Send(to, message) => self.send(host, index(to), message),
                Effect::Broadcast(recipients, message) => {
                    for to in self.recipients(host, recipients) {
                        self.send(host, to, message.clone());
                    }
                }
                Effect::Persist(RecordKey::Transaction(id), bytes, then) => {
                    self.fly(WRITE, Flight::Durable { at: host, id, bytes, then });
                }
                Effect::Event(Event::Reply { id, reply }) => {
                    let before = self.hosts[host].replies.insert(id, reply);
                    assert!(before.is_none(), "{id} is answered twice");
                }
                other => unreachable!("{other:?}"),
            }
        }
    }

    fn recipients(&self, host: usize, recipients: Recipients) -> Vec<usize> {
        let told = |to: &usize| match recipients {
            Recipients::Masternodes => self.hosts[*to].role == Role::Masternode,
            Recipients::Forward { author, from } => {
                self.hosts[*to].role == Role::Masternode
                    && *to != index(from)
                    && !self.links.contains(&(usize::from(author.0), *to))
            }
        };
        (0..self.hosts.len()).filter(|to| self.links.contains(&(host, *to))).filter(told).collect()
    }

    fn send(&mut self, from: usize, to: usize, message: Message) {
        if !self.links.contains(&(from, to)) {
            return;
        }
        *self.sent.entry(message.kind()).or_default() += 1;
        if let Message::TransactionOffer(ids) = &message {
            ids.iter().for_each(|id| *self.offers.entry(*id).or_default() += 1);
        }
        if !(self.loses)(&message) {
            self.fly(LATENCY, Flight::Message { from, to, message });
        }
    }

    fn fly(&mut self, after: Duration, flight: Flight) {
        self.count += 1;
        self.flights.insert((self.now + after, self.count), flight);
    }

    fn land(&mut self, flight: Flight) {
        match flight {
            Flight::Durable { at, id, bytes, then } => {
                self.hosts[at].disk.insert(id, bytes);
                if let Binding::Transaction(request, id) = then {
                    self.call(at, |pool, now, effects| pool.durable(now, request, id, effects));
                }
            }
            Flight::Message { from, to, message } => {
                let (peer, seat) = (node(from), self.seat(from));
                self.call(to, |pool, now, effects| match &message {
                    Message::Transaction(bytes) => {
                        pool.received(now, peer, seat, bytes, effects);
                    }
                    Message::TransactionOffer(ids) => pool.offered(now, peer, seat, ids, effects),
                    Message::TransactionWant(ids) => pool.wanted(now, peer, ids, effects),
                    _ => unreachable!(),
                });
            }
        }
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let due = |host: &Host| host.pool.deadline();
            let flight = self.flights.first_key_value().map(|((at, _), _)| *at);
            let Some(at) = self.hosts.iter().filter_map(due).chain(flight).min().filter(|at| *at <= end)
            else {
                break;
            };
            self.now = self.now.max(at);
            while let Some(entry) = self.flights.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let flight = entry.remove();
                self.land(flight);
            }
            for host in 0..self.hosts.len() {
                if due(&self.hosts[host]).is_some_and(|at| at <= self.now) {
                    self.call(host, |pool, now, effects| pool.tick(now, effects));
                    assert!(
                        due(&self.hosts[host]).is_none_or(|at| at > self.now),
                        "a tick does all that is due"
                    );
                }
            }
        }
        self.now = end;
    }

    fn has(&self, host: usize, bytes: &[u8]) -> bool {
        self.hosts[host].pool.state(&TxId::of(bytes)) == TxState::Pending
    }

    /// Who has it.
    fn holders(&self, bytes: &[u8]) -> Vec<usize> {
        (0..self.hosts.len()).filter(|host| self.has(*host, bytes)).collect()
    }

    fn sent(&self, kind: Kind) -> usize {
        self.sent.get(&kind).copied().unwrap_or(0)
    }

    /// What a host has been asked for by messages under way.
    fn wants(&self, of: usize) -> Vec<Vec<TxId>> {
        let want = |flight: &Flight| match flight {
            Flight::Message { to, message: Message::TransactionWant(ids), .. } if *to == of => {
                Some(ids.clone())
            }
            _ => None,
        };
        self.flights.values().filter_map(want).collect()
    }

    /// Bytes on their way from one host to another.
    fn in_flight(&self, from: usize, to: usize) -> usize {
        let on_link = |flight: &Flight| match flight {
            Flight::Message { from: a, to: b, message } if (*a, *b) == (from, to) => size(message),
            _ => 0,
        };
        self.flights.values().map(on_link).sum()
    }
}
