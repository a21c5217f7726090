//! The bans in force (rule A-4): by key and by block of addresses, each with its end. While the process runs that
//! end is counted on the monotonic clock, so that a step of the wall clock neither frees nor prolongs; across a
//! restart the wall clock counts, and never adds to what was left.

mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::ban::{Ban, BanCause, BanEnd, BanNote, BanTarget, IpNet};
use crate::event::Offence;
use crate::ids::NodeId;
use crate::limits::{BAN_BYTES, Holding, holding};
use crate::time::{Mono, Now, Wall};

/// A ban as far as a decision depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Hold {
    /// What is banned.
    pub target: BanTarget,
    /// Until when; `None` until it is lifted.
    pub until: Option<Mono>,
}

/// Everything that speaks against a link to a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grounds {
    /// The operator's ban on its key.
    pub key: Option<Hold>,
    /// The operator's ban on its address; where there are several, the one of the longest prefix.
    pub net: Option<Hold>,
    /// It is incompatible, and not tried again before this time.
    pub incompatible: Option<Mono>,
    /// This node's own ban on its key.
    pub score: Option<Hold>,
}

/// What the grounds come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum Verdict {
    /// Nothing speaks against it.
    Clear,
    /// A ban.
    Banned(Hold),
    /// It is incompatible, which is no misbehaviour, until then.
    Incompatible(Mono),
}

/// Which ground is named where several hold (rule A-4): the operator's ban on the key, the operator's on the
/// address, incompatibility, the score. What is over does not count.
#[must_use]
pub fn verdict(now: Mono, grounds: &Grounds) -> Verdict {
    let holds = |hold: &Hold| hold.until.is_none_or(|until| until > now);
    let operator = grounds.key.filter(holds).or(grounds.net.filter(holds));
    let incompatible = grounds.incompatible.filter(|until| *until > now);
    match (operator, incompatible, grounds.score.filter(holds)) {
        (Some(hold), _, _) | (None, None, Some(hold)) => Verdict::Banned(hold),
        (None, Some(until), _) => Verdict::Incompatible(until),
        (None, None, None) => Verdict::Clear,
    }
}

/// A ban, but for what it is on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
struct Kept {
    cause: BanCause,
    since: Wall,
    until: Option<Mono>,
    /// Its end as it was told first. Two readings of the two clocks differ by a part of a millisecond, which is no news.
    told: Option<Wall>,
    note: Option<BanNote>,
}

impl Kept {
    fn new(now: Now, cause: BanCause, since: Wall, lasts: Option<Duration>, note: Option<BanNote>) -> Self {
        let until = lasts.map(|lasts| now.mono + lasts);
        Self { cause, since, until, told: lasts.map(|lasts| now.wall + lasts), note }
    }
}

/// From so much on, two readings of the clocks differ because the wall clock was set.
const CLOCK_SET: Duration = Duration::from_secs(1);

/// Every place is taken by a ban of the operator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A ban that came into force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) ban: Ban,
    /// The one that it took the place of.
    pub(crate) ended: Option<(Ban, BanEnd)>,
}

/// The table of bans: so many at most, at most one on each target. This node's own give way to the operator's.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Bans {
    kept: BTreeMap<BanTarget, Kept>,
    /// The widths of the blocks that are banned, of IPv4 and of IPv6: what a search looks at.
    widths: [BTreeSet<u8>; 2],
    bound: usize,
}

impl Bans {
    pub(crate) fn new(bound: usize) -> Self {
        Self { kept: BTreeMap::new(), widths: Default::default(), bound }
    }

    /// Reads the durable form; what is over by now is left out, and this node's own bans first where there is
    /// no longer a place for all. `None` if it is damaged.
    pub(crate) fn decode(record: &[u8], now: Now, bound: usize) -> Option<Self> {
        let mut bans = Self::new(bound);
        let mut kept = record::decode(record, now)?;
        kept.sort_by_key(|(_, kept)| kept.cause != BanCause::Operator);
        for (target, kept) in kept.into_iter().take(bound) {
            bans.insert(target, kept);
        }
        Some(bans)
    }

    /// The durable form.
    pub(crate) fn encode(&self, now: Now) -> Bytes {
        record::encode(&self.kept, now)
    }

    /// An order of the operator's: replaces whatever there is on the target.
    ///
    /// # Errors
    /// If every place is taken by others of the operator's.
    pub(crate) fn order(
        &mut self,
        now: Now,
        target: BanTarget,
        lasts: Option<Duration>,
        note: Option<BanNote>,
    ) -> Result<Set, Full> {
        let kept = Kept::new(now, BanCause::Operator, now.wall, lasts, note);
        self.set(now, target, kept)
    }

    /// A ban of this node's own. `None` if the operator has banned the key already, or there is no place.
    pub(crate) fn punish(&mut self, now: Now, id: NodeId, lasts: Duration, offence: Offence) -> Option<Set> {
        let target = BanTarget::Key(id);
        if self.kept.get(&target).is_some_and(|kept| kept.cause == BanCause::Operator) {
            return None;
        }
        let kept = Kept::new(now, BanCause::Score(offence), now.wall, Some(lasts), None);
        self.set(now, target, kept).ok()
    }

    fn set(&mut self, now: Now, target: BanTarget, kept: Kept) -> Result<Set, Full> {
        let mut ended = self.remove(now, &target).map(|ban| (ban, BanEnd::Replaced));
        if self.kept.len() >= self.bound {
            let own = self.kept.iter().filter(|(_, kept)| kept.cause != BanCause::Operator);
            let first = own.min_by_key(|(_, kept)| kept.until).map(|(target, _)| *target).ok_or(Full)?;
            ended = self.remove(now, &first).map(|ban| (ban, BanEnd::Crowded));
        }
        let ban = shown(now, target, &kept);
        self.insert(target, kept);
        Ok(Set { ban, ended })
    }

    /// Lifts the ban on exactly this target.
    pub(crate) fn remove(&mut self, now: Now, target: &BanTarget) -> Option<Ban> {
        let kept = self.kept.remove(target)?;
        if let BanTarget::Net(net) = target
            && !self.nets().any(|other| (family(other.ip()), other.bits()) == (family(net.ip()), net.bits()))
            && let Some(widths) = self.widths.get_mut(family(net.ip()))
        {
            widths.remove(&net.bits());
        }
        Some(shown(now, *target, &kept))
    }

    /// Lifts this node's own bans that meet a condition.
    pub(crate) fn withdraw(&mut self, now: Now, which: impl Fn(&NodeId, Offence) -> bool) -> Vec<Ban> {
        let meets = |(target, kept): (&BanTarget, &Kept)| match (target, kept.cause) {
            (BanTarget::Key(id), BanCause::Score(offence)) => which(id, offence).then_some(*target),
            _ => None,
        };
        let targets: Vec<BanTarget> = self.kept.iter().filter_map(meets).collect();
        targets.iter().filter_map(|target| self.remove(now, target)).collect()
    }

    /// Takes out what is over.
    pub(crate) fn expire(&mut self, now: Now) -> Vec<Ban> {
        let over = |kept: &Kept| kept.until.is_some_and(|until| until <= now.mono);
        let targets: Vec<BanTarget> =
            self.kept.iter().filter(|(_, kept)| over(kept)).map(|(target, _)| *target).collect();
        targets.iter().filter_map(|target| self.remove(now, target)).collect()
    }

    /// When the next one is over.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        self.kept.values().filter_map(|kept| kept.until).min()
    }

    /// What bans say of a peer with this key, at this address.
    pub(crate) fn grounds(&self, now: Mono, id: Option<&NodeId>, ip: Option<IpAddr>) -> Grounds {
        let on_key = id.and_then(|id| {
            let target = BanTarget::Key(*id);
            let kept = self.kept.get(&target)?;
            Some((kept.cause, Hold { target, until: kept.until }))
        });
        let (key, score) = match on_key {
            Some((BanCause::Operator, hold)) => (Some(hold), None),
            Some((BanCause::Score(_), hold)) => (None, Some(hold)),
            None => (None, None),
        };
        Grounds { key, net: ip.and_then(|ip| self.on_address(now, ip)), incompatible: None, score }
    }

    /// Whether a ban keeps us from a peer with this key, at this address.
    pub(crate) fn concern(&self, now: Mono, id: &NodeId, ip: IpAddr) -> bool {
        matches!(verdict(now, &self.grounds(now, Some(id), Some(ip))), Verdict::Banned(_))
    }

    /// The ban of the longest prefix in force on an address. A search for each width that is banned, for it is asked of
    /// every connection that comes in.
    pub(crate) fn on_address(&self, now: Mono, ip: IpAddr) -> Option<Hold> {
        let ip = ip.to_canonical();
        let widths = self.widths.get(family(ip))?;
        widths.iter().rev().find_map(|bits| {
            let target = BanTarget::Net(IpNet::new(ip, *bits).ok()?);
            // One that is over, and still in the table, hides no shorter one.
            let kept = self.kept.get(&target).filter(|kept| kept.until.is_none_or(|until| until > now))?;
            Some(Hold { target, until: kept.until })
        })
    }

    /// The ban on exactly this target.
    pub(crate) fn get(&self, now: Now, target: &BanTarget) -> Option<Ban> {
        self.kept.get(target).map(|kept| shown(now, *target, kept))
    }

    /// All of them, oldest first.
    pub(crate) fn list(&self, now: Now) -> Vec<Ban> {
        let mut list: Vec<Ban> = self.kept.iter().map(|(target, kept)| shown(now, *target, kept)).collect();
        list.sort_by_key(|ban| ban.since);
        list
    }

    pub(crate) fn holding(&self) -> Holding {
        holding("bans", self.kept.len(), self.bound)
    }

    /// How many there are of each cause, in the order of [`BanCause::ALL`].
    pub(crate) fn count(&self) -> [usize; BanCause::ALL.len()] {
        let mut counts = [0; BanCause::ALL.len()];
        for kept in self.kept.values() {
            if let Some(count) = counts.get_mut(kept.cause.index()) {
                *count += 1;
            }
        }
        counts
    }

    fn nets(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.kept.keys().filter_map(|target| match target {
            BanTarget::Net(net) => Some(*net),
            BanTarget::Key(_) => None,
        })
    }

    fn insert(&mut self, target: BanTarget, kept: Kept) {
        if let BanTarget::Net(net) = target
            && let Some(widths) = self.widths.get_mut(family(net.ip()))
        {
            widths.insert(net.bits());
        }
        self.kept.insert(target, kept);
    }
}

const fn family(ip: IpAddr) -> usize {
    if ip.is_ipv4() { 0 } else { 1 }
}

fn shown(now: Now, target: BanTarget, kept: &Kept) -> Ban {
    let until = kept.until.map(|until| {
        let end = now.wall + until.since(now.mono);
        // The wall clock may have been set since: the ban has its length all the same.
        kept.told.filter(|told| told.distance(end) < CLOCK_SET).unwrap_or(end)
    });
    Ban { target, cause: kept.cause, since: kept.since, until, note: kept.note.clone() }
}

/// The nodes of a tree are half empty at worst; a note lies beside, and each width is one of the bans'.
const _: () = {
    const KEPT: usize = 2 * (size_of::<(BanTarget, Kept)>() + 2);
    assert!(KEPT + BanNote::MAX <= BAN_BYTES);
};

#[cfg(test)]
mod tests;
