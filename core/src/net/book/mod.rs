//! The address book (rules P-3 and P-5): where other nodes are, as they are said to be and as this node found them.
//!
//! What was told and what this node reached itself are in two tables that never mix. A place in either depends,
//! by a secret of this node, on who told and on the address's group, so that one teller or one network can fill
//! only a small part and nobody knows which. Addresses that failed for long are remembered as such for a while.
//!
//! The book knows nothing of registries and links: whoever calls it lets no address in that is a masternode's
//! or this node's own.

mod choice;
mod group;
mod record;
mod table;
mod tombstones;

use std::net::IpAddr;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::addr::{AddrScope, CanonicalAddr};
use crate::event::AddressCounts;
use crate::ids::NodeId;
use crate::limits::{ADDRESSES_LEAST, Holding, Limits, holding};
use crate::net::book::table::{BUCKETS, Entry, Placed, Table};
use crate::net::book::tombstones::Tombstones;
use crate::rng::Rng;
use crate::time::{Mono, Now};

pub(crate) use choice::{Candidate, Fitness};
pub(crate) use group::Group;
pub(crate) use record::Damaged;

/// What this node reached itself is told to others, and believed from others, for so long.
pub(crate) const TOLD_FOR: Duration = Duration::from_secs(24 * 3600);
/// Buckets that one group of tellers, or one group of tried addresses, can reach: a sixteenth.
const SPREAD: u16 = BUCKETS / 16;
/// Hearsay older than this gives way to newer.
const STALE_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);
/// A success is noted again after so long: links that stand for days keep their addresses fresh.
const NOTED_EVERY: Duration = Duration::from_secs(3600);
/// Addresses of one IP address among hearsay, at most.
const HEARD_AN_IP: usize = 4;
/// Failures in a row that end a heard address.
const HEARD_FAILURES: u8 = 3;
/// Failures in a row that end a tried address, once it has been silent for [`TRIED_SILENCE`].
const TRIED_FAILURES: u8 = 8;
/// See [`TRIED_FAILURES`].
const TRIED_SILENCE: Duration = Duration::from_secs(24 * 3600);
/// After the first failure; four times as long after each further one, up to [`RETRY_LONGEST`].
const RETRY_FIRST: Duration = Duration::from_secs(60);
/// See [`RETRY_FIRST`].
const RETRY_LONGEST: Duration = Duration::from_secs(6 * 3600);
/// After a node that is there has refused us.
const RETRY_REFUSED: Duration = Duration::from_secs(600);
/// How long an address is left alone that has failed and whose place another took.
const DISPLACED: Duration = Duration::from_secs(3600);
/// How long an address is left alone that is not worth a dial.
const TOMBSTONE: Duration = Duration::from_secs(24 * 3600);

/// Seconds since the book was opened, negative before: monotonic, and able to tell of earlier processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
pub(crate) struct Moment(i64);

impl Moment {
    fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(seconds(time)))
    }

    fn before(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(seconds(time)))
    }

    /// Time passed since `earlier`; zero if `earlier` lies ahead.
    fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// How a dial to an address ended that did not lead to a live link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody answered, or not in this protocol. Counted only while other links show that we are not cut off
    /// ourselves; see [`Failure::Blind`].
    Unreachable,
    /// As [`Failure::Unreachable`], while this node had no link at all: it may be our own fault.
    Blind,
    /// The expected node proved its identity there and refused us: the address is good.
    Refused,
    /// The expected node proved that it is of another network or version.
    Incompatible,
    /// Another node answers there: the one named, if it proved its identity.
    WrongIdentity(Option<NodeId>),
    /// It is this node's own address.
    Own,
}

/// What became of hearsay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) enum Heard {
    /// It is new to the book.
    New,
    /// The address was in the book.
    Known,
    /// It is of a kind that is not believed, too old, has failed, or the teller's share is full.
    Refused,
}

/// What the book knows of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// This node has reached the key there itself.
    Tried(NodeId),
    /// It was told that the key is there.
    Heard(NodeId),
    /// It leaves the address alone for so long.
    LeftAlone(Duration),
}

/// Whether the book differs from its last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
enum Ink {
    Dry,
    Wet,
}

/// The address book. Every table is bounded by [`Limits::address_book`].
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Book {
    scope: AddrScope,
    /// In no recorded state: what it decides is recorded instead.
    #[serde(skip)]
    secret: [u8; 16],
    opened: Mono,
    tried: Table,
    heard: Table,
    tombstones: Tombstones,
    ink: Ink,
}

impl Book {
    /// An empty book.
    pub(crate) fn new(scope: AddrScope, limits: &Limits, now: Now, rng: &mut Rng) -> Self {
        let mut secret = [0; 16];
        rng.fill(&mut secret);
        Self::blank(scope, limits, now.mono, secret)
    }

    fn blank(scope: AddrScope, limits: &Limits, opened: Mono, secret: [u8; 16]) -> Self {
        // A half is for hearsay, a quarter for what was tried, a quarter for tombstones.
        let places = limits.address_book.max(ADDRESSES_LEAST);
        let depth = |share: usize| share / usize::from(BUCKETS);
        Self {
            scope,
            secret,
            opened,
            tried: Table::new(depth(places / 4)),
            heard: Table::new(depth(places / 2)),
            tombstones: Tombstones::new(places / 4),
            ink: Ink::Dry,
        }
    }

    /// As it was recorded by an earlier process. What is out of the scope now is left out.
    ///
    /// # Errors
    /// If the record does not decode.
    pub(crate) fn open(scope: AddrScope, limits: &Limits, record: &[u8], now: Now) -> Result<Self, Damaged> {
        let page = record::decode(record)?.aged(now.wall);
        let mut book = Self::blank(scope, limits, now.mono, page.secret);
        for entry in page.tried.into_iter().filter(|entry| scope.admits(&entry.addr)) {
            book.place_tried(Moment(0), entry);
        }
        for entry in page.heard.into_iter().filter(|entry| scope.admits(&entry.addr)) {
            book.place_heard(Moment(0), entry);
        }
        for (addr, until) in page.tombstones {
            book.tombstones.add(Moment(0), addr, until);
        }
        book.ink = Ink::Dry;
        Ok(book)
    }

    /// This node reached `id` at `addr` by a dial of its own, and it proved its key. Called when such a link
    /// becomes live, from time to time while it stands, and after a probe.
    pub(crate) fn verified(&mut self, now: Now, id: NodeId, addr: CanonicalAddr) {
        if !self.scope.admits(&addr) {
            return;
        }
        let now = self.moment(now);
        if self.tombstones.remove(&addr) {
            self.ink = Ink::Wet;
        }
        if let Some(known) = self.tried.get_mut(&addr) {
            let fresh = known.id == id && known.failures == 0 && now.since(known.seen) < NOTED_EVERY;
            if !fresh {
                (known.id, known.seen, known.failures) = (id, now, 0);
                self.ink = Ink::Wet;
            }
            known.retry = now;
            return;
        }
        self.heard.remove(&addr);
        let source = Group::of(addr.ip());
        self.place_tried(now, Entry { id, addr, source, seen: now, failures: 0, retry: now });
    }

    /// The peer at `from` says that `id` is at `addr`, where it found it itself so long ago.
    pub(crate) fn heard(
        &mut self,
        now: Now,
        from: IpAddr,
        id: NodeId,
        addr: CanonicalAddr,
        age: Duration,
    ) -> Heard {
        let now = self.moment(now);
        if !self.scope.admits(&addr) || age > TOLD_FOR || self.tombstones.stands(now, &addr) {
            return Heard::Refused;
        }
        if self.tried.get(&addr).is_some() {
            // Hearsay changes nothing about what this node knows better.
            return Heard::Known;
        }
        let seen = now.before(age);
        if let Some(known) = self.heard.get_mut(&addr) {
            if known.failures > 0 && known.id != id {
                known.id = id;
                self.ink = Ink::Wet;
            }
            if known.id == id && seen > known.seen.after(NOTED_EVERY) {
                known.seen = seen;
                self.ink = Ink::Wet;
            }
            return Heard::Known;
        }
        let source = Group::of(from);
        self.place_heard(now, Entry { id, addr, source, seen, failures: 0, retry: now })
    }

    /// A dial to `addr`, where `id` was expected, failed. Addresses that are not in the book stay out of it.
    pub(crate) fn failed(&mut self, now: Now, id: NodeId, addr: CanonicalAddr, why: Failure) {
        let now = self.moment(now);
        let tried = self.tried.get(&addr).is_some();
        let table = if tried { &mut self.tried } else { &mut self.heard };
        let Some(entry) = table.get_mut(&addr).filter(|entry| entry.id == id || why == Failure::Own) else {
            return;
        };
        self.ink = Ink::Wet;
        match why {
            Failure::Blind => entry.retry = now.after(RETRY_FIRST),
            Failure::Unreachable => {
                entry.failures = entry.failures.saturating_add(1);
                entry.retry = now.after(retry_after(entry.failures));
                let hopeless = if tried {
                    entry.failures >= TRIED_FAILURES && now.since(entry.seen) >= TRIED_SILENCE
                } else {
                    entry.failures >= HEARD_FAILURES
                };
                if hopeless {
                    self.bury(now, addr);
                }
            }
            Failure::Refused => {
                let known = Entry { seen: now, failures: 0, retry: now.after(RETRY_REFUSED), ..*entry };
                if tried {
                    *entry = known;
                } else {
                    self.heard.remove(&addr);
                    self.place_tried(now, Entry { source: Group::of(addr.ip()), ..known });
                }
            }
            Failure::WrongIdentity(Some(found)) => {
                // The one that answers may be worth a link of its own.
                self.drop(&addr);
                let source = Group::of(addr.ip());
                let entry = Entry { id: found, addr, source, seen: now, failures: 0, retry: now };
                self.place_heard(now, entry);
            }
            Failure::WrongIdentity(None) | Failure::Incompatible | Failure::Own => self.bury(now, addr),
        }
    }

    /// Forgets what is not to be in the book any more, for example because it is now a masternode's.
    pub(crate) fn forget(&mut self, unwanted: impl Fn(&NodeId, &CanonicalAddr) -> bool) {
        let keep = |entry: &Entry| !unwanted(&entry.id, &entry.addr);
        if self.tried.retain(keep) + self.heard.retain(keep) > 0 {
            self.ink = Ink::Wet;
        }
    }

    /// What it knows of the addresses that are meant by one of these, each with its key where that is known. Takes
    /// time proportional to the book: for questions of the operator.
    pub(crate) fn meant(
        &self,
        now: Now,
        meant: impl Fn(Option<&NodeId>, &CanonicalAddr) -> bool,
    ) -> Vec<(CanonicalAddr, Standing)> {
        let moment = self.moment(now);
        let of = |table: &Table, standing: fn(NodeId) -> Standing| {
            let entries = table.iter().filter(|entry| meant(Some(&entry.id), &entry.addr));
            entries.map(|entry| (entry.addr, standing(entry.id))).collect::<Vec<_>>()
        };
        let mut found = of(&self.tried, Standing::Tried);
        found.extend(of(&self.heard, Standing::Heard));
        let left = self.tombstones.iter().filter(|(addr, until)| *until > moment && meant(None, addr));
        found.extend(left.map(|(addr, until)| (*addr, Standing::LeftAlone(until.since(moment)))));
        found
    }

    /// How much it holds.
    pub(crate) fn counts(&self) -> AddressCounts {
        AddressCounts { tried: self.tried.len(), heard: self.heard.len(), tombstones: self.tombstones.len() }
    }

    pub(crate) fn holdings(&self) -> [Holding; 3] {
        [
            holding("addresses tried", self.tried.len(), self.tried.places()),
            holding("addresses heard of", self.heard.len(), self.heard.places()),
            holding("addresses left alone", self.tombstones.len(), self.tombstones.bound()),
        ]
    }

    /// Addresses that might be dialed some day.
    pub(crate) fn known(&self) -> usize {
        self.tried.len() + self.heard.len()
    }

    /// Whether it differs from its last record.
    pub(crate) fn has_changed(&self) -> bool {
        self.ink == Ink::Wet
    }

    /// Its durable form.
    pub(crate) fn record(&mut self, now: Now) -> Vec<u8> {
        self.ink = Ink::Dry;
        let moment = self.moment(now);
        record::encode(self, moment, now.wall)
    }

    fn moment(&self, now: Now) -> Moment {
        Moment(seconds(now.mono.since(self.opened)))
    }

    fn drop(&mut self, addr: &CanonicalAddr) {
        if self.tried.remove(addr).is_none() {
            self.heard.remove(addr);
        }
    }

    fn bury(&mut self, now: Moment, addr: CanonicalAddr) {
        self.drop(&addr);
        self.tombstones.add(now, addr, now.after(TOMBSTONE));
    }

    /// A bucket of own successes holds on to those that still answer; who finds no place is hearsay of its own.
    fn place_tried(&mut self, now: Moment, entry: Entry) {
        self.ink = Ink::Wet;
        let part = self.draw(&[b"part", &octets(&entry.addr), &entry.addr.port().to_le_bytes()], SPREAD);
        let bucket = self.draw(&[b"tried", &entry.source.bytes(), &part.to_le_bytes()], BUCKETS);
        let spent = |entry: &Entry| entry.failures > 0 || now.since(entry.seen) > TOLD_FOR;
        match self.tried.place(bucket, entry, spent) {
            Placed::In(None) => {}
            Placed::In(Some(gone)) => {
                self.place_heard(now, gone);
            }
            Placed::Refused => {
                self.place_heard(now, entry);
            }
        }
    }

    fn place_heard(&mut self, now: Moment, entry: Entry) -> Heard {
        let group = Group::of(entry.addr.ip());
        let share = self.heard.places() / 16;
        if self.heard.of_group(group, share) >= share
            || self.heard.of_ip(entry.addr.ip(), HEARD_AN_IP) >= HEARD_AN_IP
        {
            return Heard::Refused;
        }
        let part = self.draw(&[b"part", &entry.source.bytes(), &group.bytes()], SPREAD);
        let bucket = self.draw(&[b"heard", &entry.source.bytes(), &part.to_le_bytes()], BUCKETS);
        let spent = |entry: &Entry| entry.failures > 0 || now.since(entry.seen) > STALE_AFTER;
        match self.heard.place(bucket, entry, spent) {
            Placed::In(gone) => {
                self.ink = Ink::Wet;
                // What failed is not to come back at once, for whoever tells it again and again.
                if let Some(gone) = gone.filter(|gone| gone.failures > 0) {
                    self.tombstones.add(now, gone.addr, now.after(DISPLACED));
                }
                Heard::New
            }
            Placed::Refused => Heard::Refused,
        }
    }

    /// A number below `bound` that nobody without the secret can foresee.
    fn draw(&self, parts: &[&[u8]], bound: u16) -> u16 {
        let hasher = Sha256::new().chain_update(self.secret);
        let hash = parts.iter().fold(hasher, |hasher, part| hasher.chain_update(part)).finalize();
        let number = hash.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        // Recorded instead of the secret: a replay has no other way to know it.
        let drawn = crate::witness::drawn(number % u64::from(bound.max(1)));
        u16::try_from(drawn).unwrap_or(0)
    }
}

/// How long an address is left alone after so many failures in a row.
fn retry_after(failures: u8) -> Duration {
    let doublings = u32::from(failures.saturating_sub(1)).min(8) * 2;
    (RETRY_FIRST * (1 << doublings)).min(RETRY_LONGEST)
}

fn octets(addr: &CanonicalAddr) -> [u8; 16] {
    match addr.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod edge_tests;
#[cfg(test)]
mod tests;
