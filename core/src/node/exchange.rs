//! The address book in the node: what may enter it, who is asked for addresses and told some, and whom an
//! observer dials from it (rules P-3, P-4, P-5 and S-5).

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::addr::CanonicalAddr;
use crate::command::Command;
use crate::config::Config;
use crate::event::{AddressCounts, CloseReason, Offence, Warning};
use crate::ids::{ConnId, NodeId};
use crate::journal::{Record, RecordKey};
use crate::limits::{Holding, MAX_TOLD, holding};
use crate::link::Origin;
use crate::net::book::{Book, Candidate, Failure, Fitness, Group, Heard, Standing};
use crate::net::dialer::{Flight, Order, Wanted};
use crate::net::exchange::{Turn, Use};
use crate::net::peer::{Chosen, Outcome, Peer};
use crate::net::pool::Destination;
use crate::node::{Node, Run, TimerKey};
use crate::registry::Registry;
use crate::rng::Rng;
use crate::time::{Mono, Now};
use crate::wire::message::{Lane, Message, Role};
use crate::wire::peers::{GetPeers, PeerAddress};

/// An observer that knows fewer addresses than this asks for more, though it has all the links it would have.
const ENOUGH_KNOWN: usize = 64;
/// Between two looks into the book of an observer that seeks links; ± 25 %. The first comes as long after the
/// start: by then most of the registry has answered.
const SEEK_EVERY: Duration = Duration::from_secs(5);
/// Candidates that are being dialed at a time, at most.
const CANDIDATES: usize = 3;
/// The book is written at most so often.
const WRITTEN_EVERY: Duration = Duration::from_secs(300);

/// The book, and what is under way with it.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
pub(super) struct Addresses {
    book: Book,
    /// A stream of its own: what is asked and dialed here shifts no other draw.
    rng: Rng,
    written_at: Mono,
    seek_at: Mono,
    /// Candidates whose dial is under way.
    candidates: BTreeSet<NodeId>,
}

impl Addresses {
    pub(super) fn holdings(&self) -> impl Iterator<Item = Holding> {
        let candidates = holding("candidates under way", self.candidates.len(), CANDIDATES);
        self.book.holdings().into_iter().chain([candidates])
    }

    pub(super) fn counts(&self) -> AddressCounts {
        self.book.counts()
    }

    /// What the book knows of the first address that is meant.
    pub(super) fn meant(
        &self,
        now: Now,
        meant: impl Fn(Option<&NodeId>, &CanonicalAddr) -> bool,
    ) -> Option<(CanonicalAddr, Standing)> {
        self.book.meant(now, meant).into_iter().next()
    }
}

/// The book as it was written by an earlier process; an empty one, with a warning, if that is damaged.
pub(super) fn recall(
    records: &mut Vec<Record>,
    config: &Config,
    seed: [u8; 32],
    now: Now,
) -> (Addresses, Option<Warning>) {
    let mut rng =
        Rng::new(Sha256::new().chain_update(b"timed-address-book").chain_update(seed).finalize().into());
    let found = records.iter().position(|record| record.key == RecordKey::AddressBook);
    let (book, warning) = match found.map(|place| records.swap_remove(place)) {
        Some(record) => match Book::open(config.addresses, &config.limits, &record.bytes, now) {
            Ok(book) => (Some(book), None),
            Err(_) => (None, Some(Warning::CacheSetAside(RecordKey::AddressBook))),
        },
        None => (None, None),
    };
    let book = book.unwrap_or_else(|| Book::new(config.addresses, &config.limits, now, &mut rng));
    let seek_at = now.mono + rng.jitter(SEEK_EVERY, 25);
    (Addresses { book, rng, written_at: now.mono, seek_at, candidates: BTreeSet::new() }, warning)
}

// What enters the book.
impl Node {
    fn is_bookable(&self, id: &NodeId, addr: &CanonicalAddr) -> bool {
        *id != self.identity.node && !self.pool.owns(addr) && !is_registered(&self.config.registry, id, addr)
    }

    /// This node reached `id` at `addr` by a dial of its own, a probe included, and it proved its key.
    pub(super) fn address_verified(&mut self, now: Now, id: NodeId, addr: CanonicalAddr) {
        self.addresses.candidates.remove(&id);
        if self.is_bookable(&id, &addr) {
            self.addresses.book.verified(now, id, addr);
            self.book_changed(now);
        }
    }

    /// A dial to `addr`, where `id` was expected, ended without a link.
    pub(super) fn address_failed(&mut self, now: Now, id: NodeId, addr: CanonicalAddr, why: Failure) {
        let why = match why {
            Failure::WrongIdentity(Some(found)) if !self.is_bookable(&found, &addr) => {
                Failure::WrongIdentity(None)
            }
            why => why,
        };
        self.addresses.book.failed(now, id, addr, why);
        self.book_changed(now);
    }

    fn book_changed(&mut self, now: Now) {
        self.touch(now);
        self.arm_exchange(now);
    }

    /// What the end of a dial that did not become live tells about its address.
    pub(super) fn book_learned(
        &mut self,
        now: Now,
        (addr, expect, proven): (CanonicalAddr, Option<NodeId>, Option<NodeId>),
        outcome: Outcome,
        reason: CloseReason,
    ) {
        let Some(id) = expect else { return };
        self.addresses.candidates.remove(&id);
        let alone = self.pool.live().next().is_none();
        match judged(outcome, reason, proven.filter(|proven| *proven != id), alone) {
            Learned::Good => self.address_verified(now, id, addr),
            Learned::Bad(why) => self.address_failed(now, id, addr, why),
            Learned::Nothing => {}
        }
    }

    /// Addresses on which links of our own stand are as good as reached just now.
    pub(super) fn refresh_addresses(&mut self, now: Now) {
        let reached = |(peer, conn): (&Peer, ConnId)| match self.links.get(conn)?.origin {
            Origin::Dialed { addr, .. } => Some((peer.id, addr)),
            Origin::Accepted => None,
        };
        let reached: Vec<(NodeId, CanonicalAddr)> = self.pool.live().filter_map(reached).collect();
        for (id, addr) in reached {
            self.address_verified(now, id, addr);
        }
    }

    /// Another registry is in force: what is a masternode's now is the book's no more.
    pub(super) fn forget_registered(&mut self) {
        let registry = &self.config.registry;
        self.addresses.book.forget(|id, addr| is_registered(registry, id, addr));
    }
}

// Asking and telling.
impl Node {
    /// A link to a peer became live: it is asked soon, if addresses are of use.
    pub(super) fn exchange_link_up(&mut self, now: Now, id: &NodeId) {
        if let Some(peer) = self.pool.get_mut(id) {
            peer.exchange.link_up(now.mono, &mut self.addresses.rng);
        }
        self.arm_exchange(now);
    }

    /// A peer asks for addresses (rule P-4).
    pub(super) fn addresses_asked(&mut self, now: Now, conn: ConnId, from: NodeId, get: GetPeers) {
        let Some(peer) = self.pool.get_mut(&from) else { return };
        if peer.exchange.asked(now.mono) == Turn::TooSoon {
            self.counters.address_requests_ignored += 1;
            return;
        }
        let own = peer.addr;
        let most = usize::from(get.most).min(MAX_TOLD);
        let hidden = |id: &NodeId, addr: &CanonicalAddr| *id == from || own == Some(*addr);
        let Addresses { book, rng, .. } = &mut self.addresses;
        let told = book.sample(now, rng, most, hidden);
        let frame = self.frames.encode(&Message::Peers(told));
        self.deliver(now, conn, Lane::Relay, &frame);
    }

    /// Whether addresses from a peer answer a question: asked before they are decoded.
    pub(super) fn awaits_addresses(&self, conn: ConnId, from: NodeId) -> bool {
        self.pool.get(&from).is_some_and(|peer| peer.exchange.awaits(conn))
    }

    /// A peer tells the addresses that it was asked for.
    pub(super) fn addresses_told(&mut self, now: Now, conn: ConnId, from: NodeId, told: &[PeerAddress]) {
        let Some(peer) = self.pool.get_mut(&from) else { return };
        peer.exchange.answered();
        let Some(source) = self.links.get(conn).map(|link| link.remote.ip()) else { return };
        let mut news = false;
        for PeerAddress { node, addr, age } in told {
            if self.is_bookable(node, addr) {
                let age = Duration::from_secs(u64::from(*age));
                news |= self.addresses.book.heard(now, source, *node, *addr, age) == Heard::New;
            }
        }
        if news && self.is_short_of_links() {
            // Whoever asked for them is waiting.
            self.addresses.seek_at = self.addresses.seek_at.min(now.mono);
        }
        self.book_changed(now);
    }

    /// Rule A-3, `unasked`: the one place where addresses are dropped because nobody asked for them.
    pub(super) fn addresses_unasked(&mut self, now: Now, from: NodeId) {
        self.counters.addresses_unasked += 1;
        self.offended(now, from, Offence::Unasked);
    }

    fn ask_for_addresses(&mut self, now: Now) {
        let Some(purpose) = self.use_for_addresses() else { return };
        let due =
            |(peer, conn): (&Peer, ConnId)| (peer.exchange.ask_at <= now.mono).then_some((peer.id, conn));
        let due: Vec<(NodeId, ConnId)> = self.pool.live().filter_map(due).collect();
        let most = u16::try_from(MAX_TOLD).unwrap_or(u16::MAX);
        for (id, conn) in due {
            if let Some(peer) = self.pool.get_mut(&id) {
                peer.exchange.ask(now.mono, conn, purpose, &mut self.addresses.rng);
                self.queue(conn, &Message::GetPeers(GetPeers { most }));
            }
        }
    }
}

// Seeking links, and the schedule of all this.
impl Node {
    fn is_observer(&self) -> bool {
        self.run == Run::Working && self.identity.role == Role::Observer
    }

    fn is_short_of_links(&self) -> bool {
        self.is_observer() && self.pool.own_links() < self.config.limits.outbound
    }

    fn use_for_addresses(&self) -> Option<Use> {
        if self.is_short_of_links() {
            return Some(Use::Links);
        }
        (self.is_observer() && self.addresses.book.known() < ENOUGH_KNOWN).then_some(Use::Book)
    }

    /// Whether a dial there is one of rule S-5.
    pub(super) fn is_candidate(&self, destination: &Destination) -> bool {
        matches!(destination, Destination::Peer(id) if self.addresses.candidates.contains(id))
    }

    /// Rule S-5: an observer with too few links dials a few candidates, each expected by its key.
    fn seek_links(&mut self, now: Now) {
        self.addresses.seek_at = now.mono + self.addresses.rng.jitter(SEEK_EVERY, 25);
        // A dial whose end was booked nowhere is none.
        let pool = &self.pool;
        let under_way = |id: &NodeId| pool.get(id).is_some_and(|peer| peer.dialing.in_flight.is_some());
        self.addresses.candidates.retain(under_way);
        if !self.is_short_of_links() {
            return;
        }
        let dialing = self.addresses.candidates.len();
        let lacking = self.config.limits.outbound.saturating_sub(self.pool.own_links() + dialing);
        let wanted = lacking.min(CANDIDATES.saturating_sub(dialing));
        for candidate in self.choose_candidates(now, wanted) {
            self.dial_candidate(now, candidate);
        }
    }

    pub(super) fn choose_candidates(&mut self, now: Now, wanted: usize) -> Vec<Candidate> {
        let remote =
            |(_, conn): (&Peer, ConnId)| self.links.get(conn).map(|link| Group::of(link.remote.ip()));
        let linked: BTreeSet<_> = self.pool.live().filter_map(remote).collect();
        // What is registered is not in the book, but addresses of our own are learned one by one.
        let (pool, bans, me) = (&self.pool, &self.bans, self.identity.node);
        let fitness = |id: &NodeId, addr: &CanonicalAddr| {
            let idle = pool.get(id).is_none_or(|peer| is_idle(peer, now.mono));
            if *id == me || pool.owns(addr) || !idle || bans.concern(now.mono, id, addr.ip()) {
                Fitness::Unfit
            } else if linked.contains(&Group::of(addr.ip())) {
                Fitness::Spare
            } else {
                Fitness::Fit
            }
        };
        let Addresses { book, rng, .. } = &mut self.addresses;
        book.choose(now, rng, wanted, fitness)
    }

    pub(super) fn dial_candidate(&mut self, now: Now, candidate: Candidate) {
        let registry = &self.config.registry;
        if self.pool.ensure(candidate.id, registry, now, &mut self.rng).is_none() || !self.pool.has_room() {
            return;
        }
        let Some(peer) = self.pool.get_mut(&candidate.id) else { return };
        peer.addr = Some(candidate.addr);
        if self.dial_once(now, candidate.id) == Flight::Under {
            self.addresses.candidates.insert(candidate.id);
            self.counters.candidates += 1;
        }
    }

    /// One chance for an observer of this node's choice: a dial now, or none.
    pub(super) fn dial_once(&mut self, now: Now, id: NodeId) -> Flight {
        let Some(peer) = self.pool.get_mut(&id) else { return Flight::Idle };
        peer.dialing.order = Order::Book;
        // A peer that is new to the pool has its first dial spread, for starts in common: the book has its own pace.
        if peer.dialing.backoff.failures() == 0 {
            peer.dialing.backoff.clear();
        }
        self.pursue(now, Destination::Peer(id));
        let Some(peer) = self.pool.get_mut(&id) else { return Flight::Idle };
        if peer.dialing.in_flight.is_some() {
            peer.chosen = Chosen::FromBook;
            return Flight::Under;
        }
        // Whatever the gate waits for, another one does as well.
        peer.dialing.order = Order::None;
        self.pursue(now, Destination::Peer(id));
        Flight::Idle
    }

    pub(super) fn exchange_due(&mut self, now: Now) {
        if now.mono >= self.addresses.written_at + WRITTEN_EVERY {
            self.write_book(now);
        }
        self.ask_for_addresses(now);
        if now.mono >= self.addresses.seek_at {
            self.seek_links(now);
        }
        self.arm_exchange(now);
    }

    /// Rule P-5: written when it has changed. Nothing waits for it.
    pub(super) fn write_book(&mut self, now: Now) {
        if self.addresses.book.has_changed() {
            self.addresses.written_at = now.mono;
            let record = Bytes::from(self.addresses.book.record(now));
            let ticket = self.gate.issue();
            self.commands.push_back(Command::Persist { ticket, key: RecordKey::AddressBook, record });
        }
    }

    /// Everything about addresses has one timer: the earliest of what is to be written, asked and sought.
    pub(super) fn arm_exchange(&mut self, now: Now) {
        if self.run != Run::Working {
            return;
        }
        let book = &self.addresses.book;
        let write = book.has_changed().then(|| self.addresses.written_at + WRITTEN_EVERY);
        let seek = (self.is_short_of_links() && book.known() > 0).then_some(self.addresses.seek_at);
        let ask = self.pool.live().map(|(peer, _)| peer.exchange.ask_at).min();
        let ask = ask.filter(|_| self.use_for_addresses().is_some());
        let earliest = [write, seek, ask].into_iter().flatten().min();
        self.timers.set(TimerKey::Exchange, earliest.map(|at| at.max(now.mono)));
    }
}

/// Whether an address, or who is said to be there, is in the registry: a masternode's address is the registry's to
/// tell, and nobody else's (rule G-4).
fn is_registered(registry: &Registry, id: &NodeId, addr: &CanonicalAddr) -> bool {
    registry.get(id).is_some() || registry.by_addr(addr).is_some()
}

/// Whether a known peer may be dialed as a candidate: nothing else is under way with it or forbids it.
fn is_idle(peer: &Peer, now: Mono) -> bool {
    let dialing = &peer.dialing;
    let ahead = |at: Option<Mono>| at.is_some_and(|at| at > now);
    peer.live.is_none()
        && peer.wanted() == Wanted::No
        && dialing.in_flight.is_none()
        && dialing.order == Order::None
        && !ahead(dialing.held)
        && !ahead(dialing.settling)
        && !ahead(dialing.backoff.until())
}

/// What the end of a dial tells about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Learned {
    Good,
    Bad(Failure),
    Nothing,
}

/// `other` is who proved an identity there that was not expected; `alone` is whether no link stands.
fn judged(outcome: Outcome, reason: CloseReason, other: Option<NodeId>, alone: bool) -> Learned {
    match (outcome, reason) {
        (_, CloseReason::SelfConnection) => Learned::Bad(Failure::Own),
        (_, CloseReason::WrongIdentity) => Learned::Bad(Failure::WrongIdentity(other)),
        (Outcome::KnockAnswered, _) => Learned::Good,
        (Outcome::Incompatible, _) => Learned::Bad(Failure::Incompatible),
        (Outcome::Refused | Outcome::NoPlace, _) => Learned::Bad(Failure::Refused),
        // Ended here, for reasons that are ours.
        (
            _,
            CloseReason::LocalResources
            | CloseReason::Shutdown
            | CloseReason::Halted
            | CloseReason::OperatorDisconnect
            | CloseReason::Banned
            | CloseReason::StaleEpoch
            | CloseReason::EpochInFuture,
        )
        | (Outcome::Lost, _) => Learned::Nothing,
        (Outcome::Failed | Outcome::IncompatibleHint, _) if alone => Learned::Bad(Failure::Blind),
        (Outcome::Failed | Outcome::IncompatibleHint, _) => Learned::Bad(Failure::Unreachable),
    }
}
