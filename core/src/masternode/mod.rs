//! Heartbeats with witnesses, the active set, and the link matrix (rules M-1 to M-9 of `core/PROTOCOL.md`).
//!
//! One [`Masternode`] belongs to each node, observers included; only one that acts as a masternode makes
//! heartbeats. It does no I/O and draws nothing after its start. Its owner
//!
//! - tells it of every live session and its end ([`Masternode::session_up`], [`Masternode::session_down`]),
//! - asks at each wake-up whether a heartbeat is due ([`Masternode::beat_due`]), makes it from the pool's own
//!   links ([`Masternode::beat`]) and sends it over every live session,
//! - hands in each received one ([`Masternode::glance`] at the raw body, then [`Masternode::received`]) and
//!   forwards it, as it came, to the [`Audience`] of the verdict,
//! - calls [`Masternode::tick`] when [`Masternode::deadline`] has passed.
//!
//! Nothing here grows: every table has one place a registered masternode.

mod activity;
mod clock;
mod matrix;
mod own;
mod relay;
mod sample;
mod schedule;
mod verdict;
mod witness;

#[cfg(test)]
mod tests;

use crate::config::Timings;
use crate::crypto::{Authenticity, Provider};
use crate::event::{Activity, Event, MasternodeInfo, Matrix, Warning};
use crate::ids::{BlockHash, BootEpoch, Height, LinkTag, NodeId, RegistryTag, Signature};
use crate::masternode::activity::ActiveSet;
use crate::masternode::clock::{Clocks, Timeliness};
use crate::masternode::matrix::Statement;
use crate::masternode::own::{OwnBeats, Provenance};
use crate::masternode::schedule::Schedule;
use crate::masternode::verdict::Allowance;
use crate::masternode::witness::{Kept, Track};
use crate::registry::{MasternodeIndex, Registry};
use crate::rng::Rng;
use crate::seats::SeatSet;
use crate::time::{Mono, Now};
use crate::wire::message::{Heartbeat, LinkEntry, Witness};
use crate::wire::preamble::NetworkId;
use crate::wire::{identity, signing};

pub(crate) use relay::Audience;
pub(crate) use sample::is_sampled;
pub use sample::sample_period;
pub(crate) use verdict::{BURST, Bearer, Flaw, SPACINGS, Verdict};

/// What a node's heartbeats machine is made from.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The network.
    pub(crate) network: NetworkId,
    /// This node's key.
    pub(crate) node: NodeId,
    /// The seat on which this node acts; `None` for an observer.
    pub(crate) acting: Option<MasternodeIndex>,
    /// Boot epoch of this start.
    pub(crate) epoch: BootEpoch,
}

/// This node's live links to masternodes, from the pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnLinks {
    /// One entry a masternode, in any order.
    pub(crate) entries: Vec<LinkEntry>,
    /// Authenticated connections beyond one a peer.
    pub(crate) duplicates: u16,
}

impl OwnLinks {
    /// By ascending index, one entry a masternode, without this node itself.
    fn sorted(mut self, own: MasternodeIndex) -> Self {
        self.entries.retain(|link| link.peer != own);
        self.entries.sort_unstable();
        self.entries.dedup_by_key(|link| link.peer);
        self
    }
}

/// What is known of one masternode from its heartbeats.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
struct Seat {
    /// The highest (epoch, sequence) of a genuine heartbeat.
    mark: (BootEpoch, u64),
    allowance: Allowance,
    track: Track,
    /// The newest valid heartbeat and when it was verified.
    newest: Option<(Mono, Box<Heartbeat>)>,
    /// Whom it says in that to be linked to: asked at every vote.
    linked: SeatSet,
}

impl Seat {
    /// What of it does not refer to positions in a registry.
    fn without_positions(&mut self) -> Self {
        let mut seat = std::mem::take(self);
        seat.track.forget_witnesses();
        if let Some((_, beat)) = &mut seat.newest {
            beat.links.clear();
            beat.witnessed.clear();
        }
        seat.linked = SeatSet::EMPTY;
        seat
    }
}

/// The heartbeats, active set and matrix of one node.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Masternode {
    network: NetworkId,
    node: NodeId,
    acting: Option<MasternodeIndex>,
    registry: Registry,
    tag: RegistryTag,
    timings: Timings,
    seats: Vec<Seat>,
    active: ActiveSet,
    clocks: Clocks,
    own: OwnBeats,
    schedule: Schedule,
    scratch: Vec<u8>,
}

impl Masternode {
    /// Sets the machine up. Nobody but this node itself is active; the ages of everything count from here.
    pub(crate) fn new(now: Now, setup: &Setup, registry: Registry, timings: &Timings, rng: &mut Rng) -> Self {
        let size = registry.size();
        Self {
            network: setup.network,
            node: setup.node,
            acting: setup.acting,
            seats: vec![Seat::default(); size],
            active: ActiveSet::new(now.mono, size, setup.acting, timings.active_for),
            clocks: Clocks::new(size, timings.active_for, timings.heartbeat / 2),
            own: OwnBeats::new(setup.epoch),
            schedule: Schedule::new(now.mono, timings.heartbeat, rng),
            timings: timings.clone(),
            tag: registry.hash().tag(),
            registry,
            scratch: Vec::new(),
        }
    }

    /// A session is live, or has replaced the one that was. Peers that are not registered are ignored.
    pub(crate) fn session_up(&mut self, now: Now, peer: &NodeId, link: LinkTag, events: &mut Vec<Event>) {
        let Some(seat) = self.registry.index_of(peer) else { return };
        self.schedule.links_changed(now.mono);
        let change = self.active.session_up(now.mono, seat, link);
        self.report(seat, change, events);
    }

    /// A live session ended. One that had been replaced before changes nothing.
    pub(crate) fn session_down(&mut self, now: Now, peer: &NodeId, link: LinkTag, events: &mut Vec<Event>) {
        let Some(seat) = self.registry.index_of(peer) else { return };
        if self.active.session(seat) != Some(link) {
            return;
        }
        self.schedule.links_changed(now.mono);
        let change = self.active.session_down(now.mono, seat, link);
        self.report(seat, change, events);
    }

    /// Another registry is in force: what is known of a masternode stays with its key. What the others have
    /// signed of their links refers to positions in the former registry and is forgotten; they sign anew.
    pub(crate) fn registry_changed(
        &mut self,
        now: Now,
        registry: Registry,
        acting: Option<MasternodeIndex>,
        events: &mut Vec<Event>,
    ) {
        let from: Vec<Option<MasternodeIndex>> =
            registry.entries().iter().map(|entry| self.registry.index_of(&entry.id)).collect();
        for (index, entry) in (0..=u8::MAX).map(MasternodeIndex).zip(self.registry.entries()) {
            if registry.index_of(&entry.id).is_none() && self.active.activity(index) == Activity::Active {
                events.push(Event::Activity { node: entry.id, activity: Activity::Inactive });
            }
        }
        let seats = from.iter().map(|former| {
            let former = former.and_then(|index| self.seats.get_mut(usize::from(index.0)));
            former.map_or_else(Seat::default, |seat| seat.without_positions())
        });
        self.seats = seats.collect();
        self.clocks.reseat(&from);
        let change = self.active.reseat(now.mono, &from, acting);
        self.tag = registry.hash().tag();
        self.registry = registry;
        self.acting = acting;
        if let Some(own) = acting {
            self.report(own, change, events);
        }
        self.schedule.links_changed(now.mono);
    }

    /// This process goes on under a higher boot epoch.
    pub(crate) fn epoch_raised(&mut self, now: Now, epoch: BootEpoch) {
        self.own.raise(epoch);
        self.schedule.links_changed(now.mono);
    }

    /// When [`Masternode::tick`] and [`Masternode::beat_due`] are to be asked next.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        let beat = self.acting.map(|_| self.schedule.next());
        match (beat, self.active.deadline()) {
            (Some(beat), Some(expiry)) => Some(beat.min(expiry)),
            (beat, expiry) => beat.or(expiry),
        }
    }

    /// Takes masternodes out of the active set whose time has come.
    pub(crate) fn tick(&mut self, now: Now, events: &mut Vec<Event>) {
        for seat in self.active.expire(now.mono).iter() {
            self.report(seat, Some(Activity::Inactive), events);
        }
    }

    /// Whether [`Masternode::beat`] is to be called now.
    pub(crate) fn beat_due(&self, now: Mono) -> bool {
        self.acting.is_some() && self.schedule.next() <= now
    }

    /// Makes and signs the next heartbeat; `None` if this node does not act as a masternode. It goes to every
    /// live session.
    pub(crate) fn beat(
        &mut self,
        now: Now,
        links: OwnLinks,
        tip: (Height, BlockHash),
        crypto: &mut dyn Provider,
    ) -> Option<Box<Heartbeat>> {
        let own = self.acting?;
        let links = links.sorted(own);
        self.schedule.made(now.mono);
        let mut beat = Box::new(Heartbeat {
            network: self.network,
            signer: self.node,
            epoch: self.own.epoch(),
            sequence: self.own.next_sequence(),
            wall: now.wall,
            height: tip.0,
            tip: tip.1,
            registry: self.tag,
            links: links.entries,
            duplicates: links.duplicates,
            witnessed: self.witnessed(now.mono, own),
            signature: Signature::default(),
        });
        self.write_signing_bytes(&beat);
        beat.signature = crypto.sign(&self.scratch);
        self.own.signed(beat.sequence, beat.signature);
        self.keep(now, own, &beat);
        self.named(&beat.witnessed, own);
        Some(beat)
    }

    /// What the first bytes of a received body tell before it is decoded: `Repeat` or `Stale` for what need
    /// not be looked at any further, `None` for what must be decoded and given to [`Masternode::received`].
    pub(crate) fn glance(&self, body: &[u8]) -> Option<Verdict> {
        let identity = identity::heartbeat_identity(body)?;
        if identity.network != self.network || identity.signer == self.node {
            return None;
        }
        let seat = self.registry.index_of(&identity.signer)?;
        self.known(seat, (identity.epoch, identity.sequence))
    }

    /// Judges a heartbeat that `from` brought, and takes it in if it is valid.
    pub(crate) fn received(
        &mut self,
        now: Now,
        from: NodeId,
        beat: Box<Heartbeat>,
        crypto: &mut dyn Provider,
        events: &mut Vec<Event>,
    ) -> Verdict {
        if beat.network != self.network {
            return Verdict::Invalid(Flaw::WrongNetwork);
        }
        if beat.signer == self.node {
            return self.received_own(now, from, &beat, crypto, events);
        }
        let Some(seat) = self.registry.index_of(&beat.signer) else {
            return Verdict::Invalid(Flaw::Unregistered);
        };
        if let Some(known) = self.known(seat, (beat.epoch, beat.sequence)) {
            return known;
        }
        let spacing = self.timings.heartbeat / SPACINGS;
        if self.seats.get(usize::from(seat.0)).is_none_or(|seat| !seat.allowance.permits(now.mono, spacing)) {
            return Verdict::Excess;
        }
        let size = (beat.registry == self.tag).then_some(self.seats.len());
        if let Some(flaw) = verdict::flaw(&beat, seat, size, now.wall) {
            return Verdict::Invalid(flaw);
        }
        self.write_signing_bytes(&beat);
        if crypto.verify(&beat.signer, &self.scratch, &beat.signature) != Authenticity::Genuine {
            return Verdict::Invalid(Flaw::BadSignature);
        }
        self.accept(now, from, seat, beat, events)
    }

    /// Takes in a genuine heartbeat above its signer's mark.
    fn accept(
        &mut self,
        now: Now,
        from: NodeId,
        seat: MasternodeIndex,
        mut beat: Box<Heartbeat>,
        events: &mut Vec<Event>,
    ) -> Verdict {
        if beat.registry != self.tag {
            // Its signer is at another height: whom its positions name is not known here.
            beat.links.clear();
            beat.witnessed.clear();
        }
        let linked = beat.links.iter().map(|link| link.peer).collect();
        let audience = Audience::new(seat, linked, from);
        if let Some(known) = self.seats.get_mut(usize::from(seat.0)) {
            known.mark = (beat.epoch, beat.sequence);
            known.allowance.charge(now.mono, self.timings.heartbeat / SPACINGS);
        }
        let (timeliness, warning) = self.clocks.read(now, seat, beat.signer, beat.wall);
        events.extend(warning.map(Event::Warning));
        if timeliness == Timeliness::Off {
            return Verdict::OffTime(audience);
        }
        self.keep(now, seat, &beat);
        self.named(&beat.witnessed, seat);
        events.push(Event::Heartbeat { signer: beat.signer, sequence: beat.sequence, via: from });
        let change = self.active.heard(now.mono, seat);
        self.report(seat, change, events);
        if let Some(known) = self.seats.get_mut(usize::from(seat.0)) {
            known.newest = Some((now.mono, beat));
            known.linked = linked;
        }
        Verdict::New(audience)
    }

    /// An item under our own name: what we made is dropped, what we did not make is reported.
    fn received_own(
        &mut self,
        now: Now,
        from: NodeId,
        beat: &Heartbeat,
        crypto: &mut dyn Provider,
        events: &mut Vec<Event>,
    ) -> Verdict {
        if self.own.provenance(beat) == Provenance::Ours {
            return Verdict::Own;
        }
        self.write_signing_bytes(beat);
        if crypto.verify(&beat.signer, &self.scratch, &beat.signature) != Authenticity::Genuine {
            return Verdict::Invalid(Flaw::BadSignature);
        }
        if self.own.report(now.mono, clock::WARN_EVERY) {
            events.push(Event::Warning(Warning::ForeignSignature { via: from }));
        }
        Verdict::Foreign
    }

    /// To whom else an item of `author` goes that `from` brought (rule C-15): not to those to which the author has
    /// a link, by its newest heartbeat younger than 35 s.
    pub(crate) fn audience(&self, now: Mono, author: MasternodeIndex, from: NodeId) -> Audience {
        let is_fresh = |seat: &&Seat| {
            seat.newest.as_ref().is_some_and(|(at, _)| now.since(*at) < self.timings.active_for)
        };
        let fresh = self.seats.get(usize::from(author.0)).filter(is_fresh);
        Audience::new(author, fresh.map_or(SeatSet::EMPTY, |seat| seat.linked), from)
    }

    /// How many masternodes are registered.
    pub(crate) fn registered(&self) -> usize {
        self.registry.size()
    }

    /// Who of the others is active.
    pub(crate) fn active_others(&self) -> impl Iterator<Item = NodeId> {
        let indexed = (0..=u8::MAX).map(MasternodeIndex).zip(self.registry.entries());
        let active = indexed.filter(|(index, _)| self.active.activity(*index) == Activity::Active);
        active.map(|(_, entry)| entry.id).filter(|id| *id != self.node)
    }

    /// How many masternodes are active, this node included if it is one.
    pub(crate) fn active_count(&self) -> usize {
        self.active.count()
    }

    /// The median by which the others' signed clocks are ahead of ours, in milliseconds.
    pub(crate) fn clock_offset_ms(&self, now: Mono) -> i64 {
        self.clocks.median_offset_ms(now)
    }

    /// The registry and what is known of each masternode.
    pub(crate) fn masternodes(&self, now: Mono) -> Vec<MasternodeInfo> {
        let needed = witness::needed(self.registry.size());
        let indexed = (0..=u8::MAX).map(MasternodeIndex).zip(self.registry.entries()).zip(&self.seats);
        indexed
            .map(|((index, entry), seat)| {
                let newest = seat.track.newest();
                let attested = seat.track.newest_attested(needed);
                let witnesses = attested.map_or(SeatSet::EMPTY, |beat| beat.named);
                MasternodeInfo {
                    index,
                    node: entry.id,
                    addr: entry.addr,
                    activity: self.active.activity(index),
                    last_heartbeat: newest.map(|beat| beat.wall),
                    heard: newest.map(|beat| now.since(beat.at)),
                    epoch: newest.map(|beat| beat.epoch),
                    sequence: newest.map(|beat| beat.sequence),
                    height: seat.newest.as_ref().map(|(_, beat)| beat.height),
                    witnesses: witnesses.iter().filter_map(|by| Some(self.registry.at(by)?.id)).collect(),
                    attested: attested
                        .is_some_and(|beat| now.since(beat.at) <= self.timings.heartbeat * 5 / 2),
                    active_for: self.active.active_since(index).map(|since| now.since(since)),
                }
            })
            .collect()
    }

    /// The whole network's links, from the newest signed statements and this node's present links.
    /// `absent` are away on purpose.
    pub(crate) fn matrix(&self, now: Mono, own: OwnLinks, absent: SeatSet) -> Matrix {
        let own = self.acting.map(|index| (index, own.sorted(index)));
        matrix::matrix(&self.registry, absent, |index| match &own {
            Some((own, links)) if *own == index => Some(Statement {
                age: std::time::Duration::ZERO,
                links: &links.entries,
                duplicates: links.duplicates,
            }),
            _ => {
                let (at, beat) = self.seats.get(usize::from(index.0))?.newest.as_ref()?;
                let age = now.since(*at);
                (age < self.timings.active_for).then_some(Statement {
                    age,
                    links: &beat.links,
                    duplicates: beat.duplicates,
                })
            }
        })
    }

    /// `Repeat` or `Stale` for what is not above its signer's mark.
    fn known(&self, seat: MasternodeIndex, identity: (BootEpoch, u64)) -> Option<Verdict> {
        match identity.cmp(&self.seats.get(usize::from(seat.0))?.mark) {
            std::cmp::Ordering::Greater => None,
            std::cmp::Ordering::Equal => Some(Verdict::Repeat),
            std::cmp::Ordering::Less => Some(Verdict::Stale),
        }
    }

    fn write_signing_bytes(&mut self, beat: &Heartbeat) {
        self.scratch.clear();
        signing::append_heartbeat(beat, &mut self.scratch);
    }

    /// Remembers a heartbeat whose signing bytes are in `scratch`.
    fn keep(&mut self, now: Now, seat: MasternodeIndex, beat: &Heartbeat) {
        let digest = signing::digest(&self.scratch);
        if let Some(seat) = self.seats.get_mut(usize::from(seat.0)) {
            seat.track.keep(Kept {
                epoch: beat.epoch,
                sequence: beat.sequence,
                digest,
                wall: beat.wall,
                at: now.mono,
                named: SeatSet::EMPTY,
            });
        }
    }

    /// The other masternodes' newest heartbeats younger than 35 s, by ascending index.
    fn witnessed(&self, now: Mono, own: MasternodeIndex) -> Vec<Witness> {
        let mut list = Vec::with_capacity(self.seats.len());
        let fresh = |beat: &&Kept| now.since(beat.at) < self.timings.active_for;
        for (index, seat) in (0..=u8::MAX).map(MasternodeIndex).zip(&self.seats) {
            if let Some(beat) = seat.track.newest().filter(fresh).filter(|_| index != own) {
                list.push(Witness { signer: index, sequence: beat.sequence, digest: beat.digest });
            }
        }
        list
    }

    /// `by` has named these heartbeats.
    fn named(&mut self, witnessed: &[Witness], by: MasternodeIndex) {
        for witness in witnessed {
            if let Some(seat) = self.seats.get_mut(usize::from(witness.signer.0)) {
                seat.track.name(witness, by);
            }
        }
    }

    fn report(&self, seat: MasternodeIndex, change: Option<Activity>, events: &mut Vec<Event>) {
        if let (Some(activity), Some(entry)) = (change, self.registry.at(seat)) {
            events.push(Event::Activity { node: entry.id, activity });
        }
    }
}
