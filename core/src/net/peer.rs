//! What this node knows of one peer: everything about a pair of nodes in one place.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::addr::CanonicalAddr;
use crate::config::Timings;
use crate::event::{Attempt, CloseReason, ClosedBy, Direction};
use crate::ids::{ConnId, DialOrdinal, NodeId};
use crate::limits::ATTEMPTS_KEPT;
use crate::link::quality::Quality;
use crate::net::absence::Absence;
use crate::net::backoff::Backoff;
use crate::net::ballot::Register;
use crate::net::bans::Grounds;
use crate::net::dialer::{Flight, Order, Passive, Place, Session, Side, Situation, Slot, Wanted};
use crate::net::exchange::Exchange;
use crate::net::probe::Probes;
use crate::net::wishes::{Found, Wish, Wishes};
use crate::registry::{MasternodeIndex, Registry};
use crate::rng::Rng;
use crate::time::{Mono, Now};
use crate::wire::message::{Boot, Intent, ProvenBoot};

/// Times of `LinkUp` kept for the reconnect count.
pub(super) const UPS_KEPT: usize = 64;

/// Own readings of an incompatible preamble in a row that make the back-off long (rule H-5).
const PREAMBLE_READINGS: u32 = 3;

/// Remembers `newest` in front, and at most `bound` in all. Grows one by one: most peers come up once, and there
/// may be thousands of them.
fn keep<T>(entries: &mut VecDeque<T>, newest: T, bound: usize) {
    entries.truncate(bound.saturating_sub(1));
    if entries.len() == entries.capacity() {
        entries.reserve_exact(1);
    }
    entries.push_front(newest);
}

/// How a dial of ours ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A knock was answered.
    KnockAnswered,
    /// Our link lost, or was refused as a duplicate: another one is to be live.
    Lost,
    /// The peer said in a verified answer, or showed repeatedly, that it is incompatible.
    Incompatible,
    /// An unverified preamble or reject says that it is incompatible.
    IncompatibleHint,
    /// The peer, proven to be who it is, has no place for us, or we have none for it.
    NoPlace,
    /// The peer, proven to be who it is, refused it for another reason.
    Refused,
    /// It did not get that far.
    Failed,
}

/// The dialing side of a peer or of a bare address.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Dialing {
    pub(crate) backoff: Backoff,
    pub(crate) in_flight: Option<ConnId>,
    pub(crate) order: Order,
    pub(crate) held: Option<Mono>,
    pub(crate) settling: Option<Mono>,
    pub(crate) passive: Passive,
    pub(crate) absence: Absence,
    hints: u32,
    attempts: VecDeque<Attempt>,
}

impl Dialing {
    pub(crate) fn new(first_knock: Mono, first_dial: Mono) -> Self {
        let mut backoff = Backoff::default();
        backoff.not_before(first_dial);
        Self {
            backoff,
            in_flight: None,
            order: Order::None,
            held: None,
            settling: None,
            passive: Passive::KnockAt(first_knock),
            absence: Absence::None,
            hints: 0,
            attempts: VecDeque::new(),
        }
    }

    /// Books the end of a dial of ours and plans the next. Answers how long the wait is.
    pub(crate) fn ended(
        &mut self,
        now: Mono,
        intent: Intent,
        outcome: Outcome,
        longest: Duration,
        timings: &Timings,
        rng: &mut Rng,
    ) {
        self.in_flight = None;
        match outcome {
            Outcome::IncompatibleHint => self.hints += 1,
            _ => self.hints = 0,
        }
        match (intent, outcome) {
            // A probe is no attempt at a link.
            (Intent::Probe, _) => return,
            (Intent::Knock, Outcome::KnockAnswered) => {
                self.backoff.clear();
                self.passive = Passive::FallbackAt(now + timings.fallback_after);
                return;
            }
            (_, Outcome::Lost) => {
                self.settling = Some(now + timings.fallback_after);
                return;
            }
            (Intent::Knock, Outcome::Failed) => {
                // Where a knock does not get through, a dial does not either: knock again.
                self.failed(now, longest, timings, rng);
                self.passive = Passive::KnockAt(self.backoff.until().unwrap_or(now));
                return;
            }
            (Intent::Knock, Outcome::Refused) => {
                let soon = rng.between(timings.backoff_first, timings.backoff_first * 2);
                self.passive = Passive::FallbackAt(now + soon);
                return;
            }
            (_, Outcome::NoPlace) => {
                self.backoff.refused(now, timings.backoff_refused, timings.backoff_other, rng);
            }
            (_, Outcome::Incompatible) => self.backoff.hold(now, timings.backoff_other),
            (_, Outcome::IncompatibleHint) if self.hints >= PREAMBLE_READINGS => {
                self.backoff.hold(now, timings.backoff_other);
            }
            (Intent::Session(_), Outcome::Failed | Outcome::Refused | Outcome::KnockAnswered)
            | (_, Outcome::IncompatibleHint) => self.failed(now, longest, timings, rng),
        }
        self.await_dialer(now, timings, rng);
    }

    /// A failure, unless the peer is away on purpose: then it is tried again calmly (rule L-5).
    fn failed(&mut self, now: Mono, longest: Duration, timings: &Timings, rng: &mut Rng) {
        if self.absence.is_away() {
            self.backoff.calm(now, timings.backoff_refused, rng);
        } else {
            self.backoff.fail(now, timings.backoff_first, longest, rng);
        }
    }

    /// Nothing keeps the two apart any more: the next dial or knock waits for nobody.
    pub(crate) fn tried_at_once(&mut self, now: Mono) {
        self.backoff.clear();
        self.passive = Passive::KnockAt(now);
    }

    /// Starts the passive side's cycle anew: the wait begins after the back-off, if there is one.
    pub(crate) fn await_dialer(&mut self, now: Mono, timings: &Timings, rng: &mut Rng) {
        let wait = now + rng.jitter(timings.passive_wait, 25);
        self.passive = Passive::KnockAt(self.backoff.until().map_or(wait, |until| wait.max(until)));
    }

    /// If the survivor of a duplicate did not appear in time, that was an ordinary failure.
    pub(crate) fn settle(
        &mut self,
        now: Mono,
        session: Session,
        longest: Duration,
        timings: &Timings,
        rng: &mut Rng,
    ) {
        if self.settling.is_some_and(|at| now >= at) {
            self.settling = None;
            if session == Session::None {
                self.failed(now, longest, timings, rng);
                self.await_dialer(now, timings, rng);
            }
        }
    }

    /// Remembers an attempt, newest first.
    pub(crate) fn note(&mut self, attempt: Attempt) {
        keep(&mut self.attempts, attempt, ATTEMPTS_KEPT);
    }

    pub(crate) fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter()
    }

    pub(crate) fn situation(
        &self,
        session: Session,
        wanted: Wanted,
        place: Place,
        side: Side,
        bans: Grounds,
    ) -> Situation {
        Situation {
            session,
            flight: if self.in_flight.is_some() { Flight::Under } else { Flight::Idle },
            wanted,
            place,
            slot: Slot::Free,
            side,
            order: self.order,
            grounds: Grounds { incompatible: self.backoff.incompatible(), ..bans },
            held: self.held,
            settling: self.settling,
            backoff: self.backoff.until(),
            passive: self.passive,
        }
    }
}

/// A live link as its peer's record sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct LiveLink {
    pub(crate) conn: ConnId,
    pub(crate) since: Mono,
}

/// Whether the present link, or the dial under way, is to a peer that this node has chosen by itself (rule S-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) enum Chosen {
    /// It is not.
    No,
    /// From the address book.
    FromBook,
}

/// One peer, known by its key.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    pub(crate) masternode: Option<MasternodeIndex>,
    /// Who seeks a link to this key.
    pub(crate) wishes: Wishes,
    /// Where it is dialed: the registry's address, else the advertised one, else the one it was found at.
    pub(crate) addr: Option<CanonicalAddr>,
    /// The address without a key that led to it, and who seeks that one.
    pub(crate) found: Option<Found>,
    /// Where this node dialed it last and it proved its key, and when.
    pub(crate) reached: Option<(CanonicalAddr, Mono)>,
    pub(crate) probes: Probes,
    /// The highest boot of its key that answered on a live link.
    pub(crate) seen: Option<ProvenBoot>,
    /// The highest dial ordinal of the pair.
    pub(crate) highest: DialOrdinal,
    pub(crate) register: Register,
    pub(crate) live: Option<LiveLink>,
    /// What was seen of the live link.
    pub(crate) quality: Quality,
    pub(crate) chosen: Chosen,
    pub(crate) dialing: Dialing,
    pub(crate) exchange: Exchange,
    ups: VecDeque<Mono>,
    /// When a link became live or ended last, or the record was made.
    pub(crate) changed: Now,
}

impl Peer {
    pub(crate) fn new(
        id: NodeId,
        masternode: Option<MasternodeIndex>,
        wishes: Wishes,
        addr: Option<CanonicalAddr>,
        dialing: Dialing,
        now: Now,
    ) -> Self {
        Self {
            id,
            masternode,
            wishes,
            addr,
            found: None,
            reached: None,
            probes: Probes::default(),
            seen: None,
            highest: DialOrdinal(0),
            register: Register::default(),
            live: None,
            quality: Quality::default(),
            chosen: Chosen::No,
            dialing,
            exchange: Exchange::default(),
            ups: VecDeque::new(),
            changed: now,
        }
    }

    pub(crate) fn session(&self) -> Session {
        if self.live.is_some() { Session::Live } else { Session::None }
    }

    /// Whether a link to it is sought, by its key or by the address that led to it.
    pub(crate) fn wanted(&self) -> Wanted {
        self.sought_by().wanted()
    }

    /// All who seek a link to it, by its key or by the address that led to it.
    pub(crate) fn sought_by(&self) -> Wishes {
        let mut wishes = self.wishes;
        wishes.join(self.found.map(|found| found.wishes).unwrap_or_default());
        wishes
    }

    /// Nobody seeks a link any more, whoever did.
    pub(crate) fn seek_no_more(&mut self) {
        self.wishes = Wishes::default();
        self.found = None;
    }

    /// The operator asks for a link: by the key, unless it has asked for the address that led to it.
    pub(crate) fn ordered(&mut self) {
        if !self.found.is_some_and(|found| found.wishes.has(Wish::Ordered)) {
            self.wishes.join(Wish::Ordered.into());
        }
    }

    /// The address that led to it.
    pub(crate) fn found_at(&self) -> Option<CanonicalAddr> {
        self.found.map(|found| found.addr)
    }

    /// An address that these seek leads to it. Another one that did so before is given up, but nobody who sought it.
    pub(crate) fn found_for(&mut self, addr: CanonicalAddr, mut wishes: Wishes) {
        wishes.join(self.found.map(|found| found.wishes).unwrap_or_default());
        self.found = Some(Found { addr, wishes });
    }

    /// No name leads to it by this address any more. Answers whether that is news.
    pub(crate) fn unnamed(&mut self, addr: &CanonicalAddr) -> bool {
        let Some(found) = self.found.as_mut().filter(|found| found.addr == *addr) else { return false };
        found.wishes.remove(Wish::Named);
        if found.wishes.wanted() == Wanted::No {
            self.found = None;
        }
        true
    }

    /// The operator asks for a link no more.
    pub(crate) fn not_ordered(&mut self) {
        self.wishes.remove(Wish::Ordered);
        if let Some(found) = &mut self.found {
            found.wishes.remove(Wish::Ordered);
            if found.wishes.wanted() == Wanted::No {
                self.found = None;
            }
        }
    }

    /// The configuration's lists have changed: whether they still name its key, and the addresses that they name.
    pub(crate) fn relisted(&mut self, by_key: bool, listed: &BTreeSet<CanonicalAddr>) {
        if !by_key {
            self.wishes.remove(Wish::Configured);
        }
        if let Some(found) = self.found.as_mut().filter(|found| !listed.contains(&found.addr)) {
            found.wishes.remove(Wish::Configured);
            if found.wishes.wanted() == Wanted::No {
                self.found = None;
            }
        }
    }

    /// Whether it is dialed at this address and has proven its key to a dial there. What it says of where it listens
    /// proves nothing.
    pub(crate) fn is_proven_at(&self, addr: &CanonicalAddr) -> bool {
        let reached = self.reached.map(|(reached, _)| reached);
        self.addr == Some(*addr) && (self.found_at() == Some(*addr) || reached == Some(*addr))
    }

    /// Learns the boot of a process that has answered on a live link.
    pub(crate) fn saw(&mut self, start: ProvenBoot) {
        if self.seen.is_none_or(|seen| start.boot.epoch > seen.boot.epoch) {
            self.seen = Some(start);
        }
    }

    /// That boot alone.
    pub(crate) fn seen_boot(&self) -> Option<Boot> {
        self.seen.map(|seen| seen.boot)
    }

    /// Learns where the peer says that it listens. A masternode's address is the registry's, and nobody else's
    /// (rule G-4).
    pub(crate) fn advertises(&mut self, advertised: Option<CanonicalAddr>, registry: &Registry) {
        let addr = advertised.filter(|addr| registry.by_addr(addr).is_none());
        if self.masternode.is_none() && addr.is_some() {
            self.addr = addr;
        }
    }

    /// Learns an ordinal of the pair, if it is plausible.
    pub(crate) fn heard_ordinal(&mut self, told: DialOrdinal) {
        if crate::net::ballot::ordinal_plausible(self.highest, told) {
            self.highest = self.highest.max(told);
        }
    }

    /// A dial of ours came to nothing: what chose the peer is forgotten, unless a link came of it.
    pub(crate) fn not_chosen(&mut self) {
        if self.live.is_none() {
            self.chosen = Chosen::No;
        }
    }

    /// A link became live; answers the connection that it replaces.
    pub(crate) fn up(&mut self, now: Now, conn: ConnId, direction: Direction) -> Option<ConnId> {
        if direction == Direction::Inbound {
            self.dialing.backoff.clear();
        }
        self.dialing.settling = None;
        self.dialing.order = Order::None;
        self.dialing.absence = Absence::None;
        self.changed = now;
        keep(&mut self.ups, now.mono, UPS_KEPT);
        self.quality = Quality::new(now.mono);
        if direction == Direction::Inbound {
            self.chosen = Chosen::No;
        }
        self.live.replace(LiveLink { conn, since: now.mono }).map(|link| link.conn)
    }

    /// The live link ended.
    pub(crate) fn down(
        &mut self,
        now: Now,
        reason: CloseReason,
        by: ClosedBy,
        longest: Duration,
        timings: &Timings,
        rng: &mut Rng,
    ) -> Duration {
        let Some(link) = self.live.take() else { return Duration::ZERO };
        self.chosen = Chosen::No;
        let lasted = now.mono.since(link.since);
        self.changed = now;
        self.register.release(now.mono, timings.handshake_timeout);
        self.dialing.backoff.session_ended(lasted, timings.lasting_session);
        self.dialing.absence.link_ended(now);
        // A rival dial that lost while this link was live is no reason to wait for another survivor.
        self.dialing.settling = None;
        match (reason, by) {
            (CloseReason::Duplicate, _) => {
                self.dialing.settling = Some(now.mono + timings.fallback_after);
            }
            (CloseReason::Ghost | CloseReason::KnockLost, ClosedBy::Us) => self.dialing.backoff.clear(),
            (
                CloseReason::Displaced | CloseReason::PoorLink | CloseReason::Banned | CloseReason::Abuse,
                _,
            ) => {
                self.dialing.backoff.refused(now.mono, timings.backoff_refused, timings.backoff_other, rng);
            }
            _ => self.dialing.failed(now.mono, longest, timings, rng),
        }
        self.dialing.await_dialer(now.mono, timings, rng);
        lasted
    }

    /// Links that became live within the last hour, beyond the one that stands.
    pub(crate) fn reconnects(&self, now: Mono) -> u32 {
        let recent = self.ups.iter().filter(|at| now.since(**at) < Duration::from_secs(3600)).count();
        u32::try_from(recent.saturating_sub(usize::from(self.live.is_some()))).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Wall;

    fn peer() -> Peer {
        let dialing = Dialing::new(Mono(0), Mono(0));
        Peer::new(NodeId([9; 32]), None, Wish::Ordered.into(), None, dialing, Now::default())
    }

    /// A rival dial lost long before the link ends: its end is one failure, not two.
    #[test]
    fn rec_01b_a_rival_that_lost_is_forgotten_when_the_link_ends() {
        let (timings, longest) = (Timings::default(), Duration::from_secs(10));
        let mut rng = Rng::new([3; 32]);
        let later = Now { mono: Mono(0) + Duration::from_secs(5), wall: Wall(5_000) };
        let mut peer = peer();
        let conn = crate::ids::ConnSlab::new().insert_with(|_| ());
        let _ = peer.up(Now::default(), conn, Direction::Inbound);
        let intent = Intent::Session(crate::event::DialedBecause::Canonical);
        peer.dialing.ended(Mono(0), intent, Outcome::Lost, longest, &timings, &mut rng);
        peer.down(later, CloseReason::Silent, ClosedBy::Us, longest, &timings, &mut rng);
        peer.dialing.settle(later.mono, Session::None, longest, &timings, &mut rng);
        assert_eq!((peer.dialing.backoff.failures(), peer.dialing.settling), (1, None));
    }

    #[test]
    fn g_4_nobody_takes_the_address_of_a_masternode() {
        let addr = |text: &str| text.parse().ok();
        let entry =
            crate::registry::Masternode { id: NodeId([1; 32]), addr: addr("10.0.0.1:24100").unwrap() };
        let registry = Registry::new(vec![entry]).unwrap();
        let mut peer = peer();
        peer.advertises(addr("10.0.0.1:24100"), &registry);
        assert_eq!(peer.addr, None);
        peer.advertises(addr("10.0.0.9:24100"), &registry);
        peer.advertises(None, &registry);
        peer.advertises(addr("10.0.0.1:24100"), &registry);
        assert_eq!(peer.addr, addr("10.0.0.9:24100"));
    }
}
