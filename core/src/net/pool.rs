//! The only truth about who is known and who is connected (rule P-1): every count, list and decision derives
//! from here.

mod listed;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::addr::CanonicalAddr;
use crate::config::{Config, MasternodeMode, Timings};
use crate::event::{Attempt, SlotClass, SlotCounts};
use crate::ids::{ConnId, DialOrdinal, NodeId, SeedId};
use crate::limits::{ATTEMPTS_KEPT, Holding, Limits, OWN_ADDR_BYTES, PEER_BYTES, TARGET_BYTES, holding};
use crate::net::bans::{Bans, Grounds};
use crate::net::dialer::{self, Decision, Flight, Order, Place, Session, Side, Slot, Wanted};
use crate::net::direction::{Dialer, End, dialer_of};
use crate::net::peer::{Chosen, Dialing, Peer, UPS_KEPT};
use crate::net::reserved::Reserved;
use crate::net::slots::{self, Company, Places, Seeker, Taken, Verdict};
use crate::net::wishes::{Found, Wish, Wishes};
use crate::registry::Registry;
use crate::rng::Rng;
use crate::time::{Mono, Now};

/// The first canonical dials are spread over this time, so that a common start is no herd.
const FIRST_DIALS_WITHIN: Duration = Duration::from_millis(200);
/// The first knocks fall within this time after our own start (rule D-3).
const FIRST_KNOCKS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(1500));

/// A dial's destination: a known node, or an address whose node is yet to be learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub(crate) enum Destination {
    /// A node.
    Peer(NodeId),
    /// An address without a key.
    Addr(CanonicalAddr),
}

/// An address without a key, until its node is learned.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
struct Target {
    wishes: Wishes,
    dialing: Dialing,
}

/// The table of peers and of bare addresses.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Pool {
    me: End,
    /// Boxed: the nodes of a tree are a third empty, and there may be thousands of peers.
    peers: BTreeMap<NodeId, Box<Peer>>,
    targets: BTreeMap<CanonicalAddr, Target>,
    own_addrs: BTreeSet<CanonicalAddr>,
    reserved: Reserved,
    places: Places,
    /// Where the other masternodes see this node (rule P-7).
    seen_at: Option<CanonicalAddr>,
    timings: Timings,
    limits: Limits,
}

impl Pool {
    /// Every node, observers included, seeks all registered masternodes, its bootstrap peers and its reserved ones.
    pub(crate) fn new(config: &Config, me: NodeId, now: Now, rng: &mut Rng) -> Self {
        let addr = config.registry.get(&me).map(|entry| entry.addr).or(config.advertised);
        let reserved = Reserved::new(config.reserved.clone(), &config.seeds);
        let mut pool = Self {
            me: End { id: me, addr },
            peers: BTreeMap::new(),
            targets: BTreeMap::new(),
            own_addrs: addr.into_iter().collect(),
            reserved,
            places: Places::new(&config.limits, 0, 0, Company::Taken),
            seen_at: None,
            timings: config.timings.clone(),
            limits: config.limits.clone(),
        };
        pool.share_out(&config.registry, config.masternode);
        for entry in config.registry.entries().iter().filter(|entry| entry.id != me) {
            let dialing = pool.fresh_dialing(now, rng);
            let index = config.registry.index_of(&entry.id);
            let peer = Peer::new(entry.id, index, Wish::Registry.into(), Some(entry.addr), dialing, now);
            pool.peers.insert(entry.id, Box::new(peer));
        }
        for seed in config.bootstrap.iter().chain(&config.reserved) {
            pool.want(seed.addr, seed.id, Wish::Configured.into(), &config.registry, now, rng);
        }
        for peer in config.seeds.iter().filter_map(|seed| seed.id) {
            // Others are sought as soon as their names lead somewhere.
            if let Some(peer) = pool.get_mut(&peer) {
                peer.wishes.join(Wish::Configured.into());
            }
        }
        pool
    }

    pub(crate) fn holdings(&self) -> [Holding; 3] {
        [
            holding("known peers", self.peers.len(), self.limits.known_peers),
            holding("bare addresses", self.targets.len(), self.limits.known_peers),
            holding("own addresses", self.own_addrs.len(), self.limits.own_addrs),
        ]
    }

    /// Another registry is in force (rule C-7): its masternodes are sought at its addresses, and whoever left it no
    /// more, unless somebody else seeks it. No link ends for it.
    pub(crate) fn registry_changed(
        &mut self,
        registry: &Registry,
        mode: MasternodeMode,
        now: Now,
        rng: &mut Rng,
    ) {
        if let Some(own) = registry.get(&self.me.id) {
            self.me.addr = Some(own.addr);
            self.own_addrs.insert(own.addr);
        }
        self.share_out(registry, mode);
        // Addresses that lead elsewhere now.
        let mut strayed = Vec::new();
        for peer in self.peers.values_mut() {
            let entry = registry.get(&peer.id);
            peer.masternode = registry.index_of(&peer.id);
            if entry.is_none() {
                peer.wishes.remove(Wish::Registry);
            }
            let elsewhere = |found: &mut Found| match (entry, registry.by_addr(&found.addr)) {
                (None, None) => false,
                (here, there) => here != there,
            };
            strayed.extend(peer.found.take_if(elsewhere));
        }
        for entry in registry.entries() {
            // The table has room: a registry is smaller than it, and whoever is idle gives way.
            if let Some(peer) = self.ensure(entry.id, registry, now, rng) {
                peer.wishes.join(Wish::Registry.into());
                peer.addr = Some(entry.addr);
            }
            let target = self.targets.remove(&entry.addr);
            strayed.extend(target.map(|target| Found { addr: entry.addr, wishes: target.wishes }));
        }
        for found in strayed {
            self.want(found.addr, None, found.wishes, registry, now, rng);
        }
    }

    fn fresh_dialing(&self, now: Now, rng: &mut Rng) -> Dialing {
        let first_knock = now.mono + rng.between(FIRST_KNOCKS.0, FIRST_KNOCKS.1);
        let first_dial = now.mono + rng.between(Duration::ZERO, FIRST_DIALS_WITHIN);
        Dialing::new(first_knock, first_dial)
    }

    /// Seeks a link to this key at `addr`, or to whoever is there, from now on. Answers the destination to ask about,
    /// if there is room and it is not this node.
    pub(crate) fn want(
        &mut self,
        addr: CanonicalAddr,
        id: Option<NodeId>,
        wishes: Wishes,
        registry: &Registry,
        now: Now,
        rng: &mut Rng,
    ) -> Option<Destination> {
        if self.owns(&addr) || id == Some(self.me.id) {
            return None;
        }
        if let Some(id) = id {
            let peer = self.ensure(id, registry, now, rng)?;
            peer.wishes.join(wishes);
            if peer.masternode.is_none() {
                peer.addr = Some(addr);
            }
            return Some(Destination::Peer(id));
        }
        match registry.by_addr(&addr).map(|entry| entry.id).or_else(|| self.id_at(&addr)) {
            Some(id) => {
                self.ensure(id, registry, now, rng)?;
                self.leads(addr, id, wishes);
                Some(Destination::Peer(id))
            }
            None => self.want_at(addr, wishes, now, rng),
        }
    }

    /// Seeks a link to whoever is at `addr`, who is not known.
    fn want_at(
        &mut self,
        addr: CanonicalAddr,
        wishes: Wishes,
        now: Now,
        rng: &mut Rng,
    ) -> Option<Destination> {
        if let Some(target) = self.targets.get_mut(&addr) {
            target.wishes.join(wishes);
        } else if self.targets.len() < self.limits.known_peers {
            let dialing = self.fresh_dialing(now, rng);
            self.targets.insert(addr, Target { wishes, dialing });
        } else {
            return None;
        }
        Some(Destination::Addr(addr))
    }

    /// The peer's record, made if need be; `None` for ourselves or when the table is full of others that
    /// cannot be forgotten.
    pub(crate) fn ensure(
        &mut self,
        id: NodeId,
        registry: &Registry,
        now: Now,
        rng: &mut Rng,
    ) -> Option<&mut Peer> {
        if id == self.me.id {
            return None;
        }
        if !self.peers.contains_key(&id) {
            if self.peers.len() >= self.limits.known_peers {
                let idle = |peer: &Peer| {
                    peer.masternode.is_none()
                        && peer.wanted() == Wanted::No
                        && peer.live.is_none()
                        && peer.dialing.in_flight.is_none()
                        && peer.dialing.order == Order::None
                        && peer.dialing.held.is_none_or(|until| until <= now.mono)
                };
                let strangers = self.peers.values().filter(|peer| idle(peer));
                let oldest = strangers.min_by_key(|peer| peer.changed.mono)?.id;
                self.peers.remove(&oldest);
            }
            let dialing = self.fresh_dialing(now, rng);
            let index = registry.index_of(&id);
            let addr = registry.get(&id).map(|entry| entry.addr);
            let peer = Peer::new(id, index, Wishes::default(), addr, dialing, now);
            self.peers.insert(id, Box::new(peer));
        }
        self.peers.get_mut(&id).map(Box::as_mut)
    }

    pub(crate) fn get(&self, id: &NodeId) -> Option<&Peer> {
        self.peers.get(id).map(Box::as_ref)
    }

    pub(crate) fn get_mut(&mut self, id: &NodeId) -> Option<&mut Peer> {
        self.peers.get_mut(id).map(Box::as_mut)
    }

    pub(crate) fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values().map(Box::as_ref)
    }

    pub(crate) fn dialing_mut(&mut self, destination: Destination) -> Option<&mut Dialing> {
        match destination {
            Destination::Peer(id) => self.peers.get_mut(&id).map(|peer| &mut peer.dialing),
            Destination::Addr(addr) => self.targets.get_mut(&addr).map(|target| &mut target.dialing),
        }
    }

    pub(crate) fn dialing(&self, destination: Destination) -> Option<&Dialing> {
        match destination {
            Destination::Peer(id) => self.peers.get(&id).map(|peer| &peer.dialing),
            Destination::Addr(addr) => self.targets.get(&addr).map(|target| &target.dialing),
        }
    }

    /// Whether this node seeks a link there of its own accord, not only because somebody knocked.
    pub(crate) fn seeks(&self, destination: Destination) -> bool {
        match destination {
            Destination::Peer(id) => self.peers.get(&id).is_some_and(|peer| peer.wanted() == Wanted::Yes),
            Destination::Addr(addr) => self.targets.contains_key(&addr),
        }
    }

    /// Every destination that can be asked about.
    pub(crate) fn destinations(&self) -> impl Iterator<Item = Destination> {
        let peers = self.peers.keys().copied().map(Destination::Peer);
        peers.chain(self.targets.keys().copied().map(Destination::Addr))
    }

    /// Our side of the direction rule towards a peer.
    pub(crate) fn side(&self, peer: &Peer) -> Side {
        match dialer_of(&self.me, &End { id: peer.id, addr: peer.addr }) {
            Dialer::First => Side::Dialer,
            Dialer::Second => Side::Passive,
            Dialer::Nobody => Side::Nobody,
        }
    }

    /// Where a destination is dialed.
    pub(crate) fn addr_of(&self, destination: Destination) -> Option<CanonicalAddr> {
        match destination {
            Destination::Peer(id) => self.peers.get(&id)?.addr,
            Destination::Addr(addr) => Some(addr),
        }
    }

    /// What bans say of a destination: of its key, and of where it is dialed.
    pub(crate) fn grounds(&self, now: Mono, bans: &Bans, destination: Destination) -> Grounds {
        let ip = self.addr_of(destination).map(|addr| addr.ip());
        match destination {
            Destination::Peer(id) => bans.grounds(now, Some(&id), ip),
            Destination::Addr(_) => bans.grounds(now, None, ip),
        }
    }

    /// The one gate: what to do about a destination now.
    pub(crate) fn decide(&self, now: Mono, destination: Destination, bans: &Bans) -> Option<Decision> {
        let grounds = self.grounds(now, bans, destination);
        let situation = match destination {
            Destination::Peer(id) => {
                let peer = self.peers.get(&id)?;
                let place = peer.addr.map_or(Place::Unknown, |addr| self.place(&addr));
                let session = peer.session();
                let situation =
                    peer.dialing.situation(session, peer.wanted(), place, self.side(peer), grounds);
                // Counted only where it matters: most peers are connected, or not sought.
                let idle = session == Session::None && situation.flight == Flight::Idle;
                let asks = situation.wanted == Wanted::Yes || peer.dialing.order != Order::None;
                let slot = if idle && asks { slot(self.verdict(peer)) } else { Slot::Free };
                dialer::Situation { slot, ..situation }
            }
            Destination::Addr(addr) => {
                let dialing = &self.targets.get(&addr)?.dialing;
                let situation =
                    dialing.situation(Session::None, Wanted::Yes, self.place(&addr), Side::Dialer, grounds);
                let verdict = slots::judge(self.class_at(&addr), Seeker::Us, &self.taken(), &self.places);
                dialer::Situation { slot: slot(verdict), ..situation }
            }
        };
        Some(dialer::next_dial(now, &situation))
    }

    fn place(&self, addr: &CanonicalAddr) -> Place {
        if self.owns(addr) { Place::Own } else { Place::Known }
    }

    /// The longest back-off towards a destination.
    pub(crate) fn longest_backoff(&self, destination: Destination) -> Duration {
        let class = match destination {
            Destination::Peer(id) => self.peers.get(&id).map_or(SlotClass::Observer, |peer| self.class(peer)),
            Destination::Addr(addr) => self.class_at(&addr),
        };
        match class {
            SlotClass::Masternode | SlotClass::Reserved => self.timings.backoff_masternode,
            SlotClass::Observer => self.timings.backoff_other,
        }
    }

    /// Whether an address is known to be our own.
    pub(crate) fn owns(&self, addr: &CanonicalAddr) -> bool {
        self.own_addrs.contains(addr) || self.seen_at == Some(*addr)
    }

    /// Where the other masternodes see this node: not dialed while they do. Unless it is known to be another's:
    /// behind one address there may be several nodes, and a quorum of a small registry may be a single liar.
    pub(crate) fn seen_at(&mut self, addr: Option<CanonicalAddr>, registry: &Registry) {
        let others = |addr: &CanonicalAddr| {
            let registered = registry.by_addr(addr).is_some_and(|entry| entry.id != self.me.id);
            registered || self.peers.values().any(|peer| peer.reached.is_some_and(|(at, _)| at == *addr))
        };
        self.seen_at = addr.filter(|addr| !others(addr));
    }

    /// An address turned out to be our own: never dialed again.
    pub(crate) fn is_own(&mut self, addr: CanonicalAddr) {
        if self.own_addrs.len() < self.limits.own_addrs {
            self.own_addrs.insert(addr);
        }
        self.targets.remove(&addr);
    }

    /// The operator asks for a link there, from now on.
    pub(crate) fn ordered(&mut self, destination: Destination) {
        match destination {
            Destination::Peer(id) => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.ordered();
                }
            }
            Destination::Addr(addr) => {
                if let Some(target) = self.targets.get_mut(&addr) {
                    target.wishes.join(Wish::Ordered.into());
                }
            }
        }
    }

    /// No name leads to this address any more: what nobody else seeks there is sought no more; links stay. Answers
    /// whose situation may be another now.
    pub(crate) fn unnamed(&mut self, addr: &CanonicalAddr) -> Vec<Destination> {
        if let Some(target) = self.targets.get_mut(addr) {
            target.wishes.remove(Wish::Named);
            if target.wishes.wanted() == Wanted::No {
                self.targets.remove(addr);
            }
        }
        let mut changed = vec![Destination::Addr(*addr)];
        for peer in self.peers.values_mut() {
            if peer.unnamed(addr) {
                changed.push(Destination::Peer(peer.id));
            }
        }
        changed
    }

    /// The node behind a bare address proved its identity: from now on it is sought by its key.
    pub(crate) fn resolve(&mut self, addr: CanonicalAddr, id: NodeId) {
        if self.peers.contains_key(&id)
            && let Some(target) = self.targets.remove(&addr)
        {
            self.leads(addr, id, target.wishes);
        }
    }

    /// An address that these seek leads to a peer: from now on in the place of another one, unless that is reserved.
    fn leads(&mut self, addr: CanonicalAddr, id: NodeId, wishes: Wishes) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.addr = peer.addr.or(Some(addr));
        let reserved = |addr: &CanonicalAddr| self.reserved.has_addr(addr);
        let before = peer.found_at().filter(|before| reserved(before) && !reserved(&addr));
        peer.found_for(before.unwrap_or(addr), wishes);
    }

    /// Another node answers at the bare address that once led to `id`: seek the address again, not the node.
    pub(crate) fn unresolve(&mut self, id: &NodeId, now: Now, rng: &mut Rng) -> Option<Destination> {
        let peer = self.peers.get_mut(id).filter(|peer| peer.masternode.is_none())?;
        let Found { addr, wishes } = peer.found.take()?;
        if peer.wanted() == Wanted::No {
            peer.addr = None;
        }
        self.want_at(addr, wishes, now, rng)
    }

    /// The node that was met at this address.
    fn id_at(&self, addr: &CanonicalAddr) -> Option<NodeId> {
        self.peers.values().find(|peer| peer.is_proven_at(addr)).map(|peer| peer.id)
    }

    /// Live sessions.
    pub(crate) fn live(&self) -> impl Iterator<Item = (&Peer, ConnId)> {
        self.peers.values().filter_map(|peer| peer.live.map(|link| (peer.as_ref(), link.conn)))
    }

    /// Links that should stand: peers that are sought, or seek us by the direction rule, and are not away on purpose.
    pub(crate) fn expected(&self) -> usize {
        self.peers().filter(|peer| self.is_expected(peer) && !peer.dialing.absence.is_away()).count()
    }

    /// Links that would be expected, were the peer not away on purpose (rule L-5).
    pub(crate) fn excused(&self) -> usize {
        self.peers().filter(|peer| self.is_expected(peer) && peer.dialing.absence.is_away()).count()
    }

    fn is_expected(&self, peer: &Peer) -> bool {
        peer.wanted() == Wanted::Yes && self.side(peer) != Side::Nobody
    }

    /// How many of the expected links stand.
    pub(crate) fn expected_up(&self) -> usize {
        self.peers().filter(|peer| self.is_expected(peer) && peer.live.is_some()).count()
    }

    /// The ordinal of the next dial to a destination: above all of the pair; 0 to an unknown node, so that
    /// such a dial never replaces a link that stands.
    pub(crate) fn next_ordinal(&mut self, id: Option<NodeId>) -> DialOrdinal {
        let Some(peer) = id.and_then(|id| self.peers.get_mut(&id)) else { return DialOrdinal(0) };
        peer.highest = DialOrdinal(peer.highest.0.saturating_add(1));
        peer.highest
    }

    /// Shares the places out anew.
    fn share_out(&mut self, registry: &Registry, mode: MasternodeMode) {
        let registered = registry.get(&self.me.id).is_some();
        let acts = registered && mode != MasternodeMode::Disabled;
        let company = if acts { Company::Taken } else { Company::Sought };
        let others = registry.size() - usize::from(registered);
        let reserved = self.reserved.beside(registry, self.me.id, self.me.addr);
        self.places = Places::new(&self.limits, others, reserved, company);
    }

    /// What a peer's place is, or would be, held by.
    pub(crate) fn class(&self, peer: &Peer) -> SlotClass {
        if peer.masternode.is_some() {
            SlotClass::Masternode
        } else if self.reserves(peer) {
            SlotClass::Reserved
        } else {
            SlotClass::Observer
        }
    }

    /// Whether a peer is reserved: by its key, or by the address at which it was found.
    pub(crate) fn is_reserved(&self, id: &NodeId) -> bool {
        self.reserved.has_key(id) || self.peers.get(id).is_some_and(|peer| self.reserves(peer))
    }

    fn reserves(&self, peer: &Peer) -> bool {
        self.reserved.has_key(&peer.id) || peer.found_at().is_some_and(|addr| self.reserved.has_addr(&addr))
    }

    /// The same of whoever answers a dial at an address and is not registered.
    pub(crate) fn class_at(&self, addr: &CanonicalAddr) -> SlotClass {
        if self.reserved.has_addr(addr) { SlotClass::Reserved } else { SlotClass::Observer }
    }

    /// A name stands for these addresses now: it may be that of a reserved peer.
    pub(crate) fn resolved(&mut self, seed: SeedId, addrs: &[CanonicalAddr]) {
        self.reserved.resolved(seed, addrs);
    }

    /// Whether a reserved peer is configured at this IP address.
    pub(crate) fn reserves_ip(&self, ip: IpAddr) -> bool {
        self.reserved.has_ip(ip)
    }

    fn taken(&self) -> Taken {
        let mut taken = Taken::default();
        for (peer, _) in self.live() {
            taken.count(self.class(peer), seeker(peer));
        }
        taken
    }

    /// Whether a peer may have a session (rule S-3); one that has one may replace it.
    pub(crate) fn verdict(&self, peer: &Peer) -> Verdict {
        self.verdict_as(peer, self.class(peer))
    }

    /// As [`Pool::verdict`], for a peer that is about to belong to this class.
    pub(crate) fn verdict_as(&self, peer: &Peer, class: SlotClass) -> Verdict {
        if peer.live.is_some() {
            return Verdict::Free;
        }
        slots::judge(class, seeker(peer), &self.taken(), &self.places)
    }

    /// Live links that do not hang on another observer's wish alone.
    pub(crate) fn own_links(&self) -> usize {
        let taken = self.taken();
        taken.all() - taken.guests
    }

    /// Whether there is a place for one more observer that this node seeks.
    pub(crate) fn has_room(&self) -> bool {
        slots::judge(SlotClass::Observer, Seeker::Us, &self.taken(), &self.places) == Verdict::Free
    }

    /// Observers without a link that could be dialed at once, where this node itself has reached them.
    pub(crate) fn replacements(&self, now: Mono) -> impl Iterator<Item = &Peer> {
        let quiet = move |at: Option<Mono>| at.is_none_or(|at| at <= now);
        self.peers()
            .filter(|peer| peer.wanted() == Wanted::No && self.class(peer) == SlotClass::Observer)
            .filter(|peer| peer.live.is_none() && peer.dialing.in_flight.is_none())
            .filter(move |peer| quiet(peer.dialing.backoff.until()) && quiet(peer.dialing.held))
            // Where it only says to be, somebody else may be.
            .filter(|peer| peer.addr.is_some() && peer.addr == peer.reached.map(|(addr, _)| addr))
            .filter(|peer| peer.addr.is_some_and(|addr| self.place(&addr) == Place::Known))
            .filter(|peer| self.side(peer) != Side::Nobody)
    }

    /// How the places are used.
    pub(crate) fn slots(&self) -> SlotCounts {
        self.places.counts(&self.taken())
    }
}

/// Who wants, or would want, the link to a peer.
pub(crate) fn seeker(peer: &Peer) -> Seeker {
    match (peer.wanted(), peer.dialing.order, peer.chosen) {
        (Wanted::Yes, _, _) | (_, Order::Book, _) | (_, _, Chosen::FromBook) => Seeker::Us,
        _ => Seeker::Them,
    }
}

const fn slot(verdict: Verdict) -> Slot {
    match verdict {
        Verdict::Free | Verdict::Displaces => Slot::Free,
        Verdict::Full => Slot::Full,
    }
}

/// Tables are trees whose nodes may be half empty; each entry has its own timer, by key and by time.
const _: () = {
    const TIMER: usize = 2 * 2 * (size_of::<Mono>() + size_of::<Destination>() + 8);
    const KEPT: usize = 8 * UPS_KEPT + size_of::<Attempt>() * ATTEMPTS_KEPT;
    assert!(2 * (size_of::<NodeId>() + size_of::<Peer>()) + KEPT + TIMER <= PEER_BYTES);
    const ATTEMPTS: usize = size_of::<Attempt>() * ATTEMPTS_KEPT;
    assert!(2 * (size_of::<CanonicalAddr>() + size_of::<Target>()) + ATTEMPTS + TIMER <= TARGET_BYTES);
    assert!(2 * size_of::<CanonicalAddr>() <= OWN_ADDR_BYTES);
};

#[cfg(test)]
mod tests;
