//! Addresses in buckets of a fixed depth, found by address or by bucket. What goes where, and who gives way, is
//! the book's to say.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::addr::CanonicalAddr;
use crate::ids::NodeId;
use crate::net::book::Moment;
use crate::net::book::group::Group;

/// Buckets of a table.
pub(crate) const BUCKETS: u16 = 64;

/// A node at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Entry {
    /// The node that is said, or proven, to be there.
    pub(crate) id: NodeId,
    /// Where.
    pub(crate) addr: CanonicalAddr,
    /// Who told: the group of the teller's address, its own for what this node has reached itself.
    pub(crate) source: Group,
    /// When it was last known to answer: by own success if it is tried, else as it was told.
    pub(crate) seen: Moment,
    /// Own dials that failed since then.
    pub(crate) failures: u8,
    /// No dial before.
    pub(crate) retry: Moment,
}

/// What became of an entry that was to be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// It is in; this one gave way.
    In(Option<Entry>),
    /// Its bucket is full of better ones.
    Refused,
}

/// A table with at most `BUCKETS` × depth entries, one an address.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Table {
    buckets: Vec<Vec<Entry>>,
    depth: usize,
    index: BTreeMap<CanonicalAddr, u16>,
}

impl Table {
    pub(crate) fn new(depth: usize) -> Self {
        Self { buckets: vec![Vec::new(); usize::from(BUCKETS)], depth, index: BTreeMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Entries at most.
    pub(crate) const fn places(&self) -> usize {
        self.depth * BUCKETS as usize
    }

    pub(crate) fn get(&self, addr: &CanonicalAddr) -> Option<&Entry> {
        let bucket = self.buckets.get(usize::from(*self.index.get(addr)?))?;
        bucket.iter().find(|entry| entry.addr == *addr)
    }

    pub(crate) fn get_mut(&mut self, addr: &CanonicalAddr) -> Option<&mut Entry> {
        let bucket = self.buckets.get_mut(usize::from(*self.index.get(addr)?))?;
        bucket.iter_mut().find(|entry| entry.addr == *addr)
    }

    pub(crate) fn remove(&mut self, addr: &CanonicalAddr) -> Option<Entry> {
        let bucket = self.buckets.get_mut(usize::from(self.index.remove(addr)?))?;
        let place = bucket.iter().position(|entry| entry.addr == *addr)?;
        Some(bucket.swap_remove(place))
    }

    /// Puts an entry into a bucket. If that is full, the worst of those that are `spent` gives way: the one that
    /// failed most, of these the one not seen for longest. An address that is in the table stays where it is.
    pub(crate) fn place(&mut self, bucket: u16, entry: Entry, spent: impl Fn(&Entry) -> bool) -> Placed {
        let Some(entries) = self.buckets.get_mut(usize::from(bucket)) else { return Placed::Refused };
        if self.index.contains_key(&entry.addr) {
            return Placed::Refused;
        }
        let mut out = None;
        if entries.len() >= self.depth {
            let worst = entries
                .iter()
                .enumerate()
                .filter(|(_, entry)| spent(entry))
                .max_by_key(|(_, entry)| (entry.failures, std::cmp::Reverse(entry.seen)))
                .map(|(place, _)| place);
            let Some(worst) = worst else { return Placed::Refused };
            let gone = entries.swap_remove(worst);
            self.index.remove(&gone.addr);
            out = Some(gone);
        }
        if entries.capacity() == entries.len() {
            // Never more than the depth, whatever a vector would grow to.
            entries.reserve_exact((entries.len() + 1).min(self.depth));
        }
        self.index.insert(entry.addr, bucket);
        entries.push(entry);
        Placed::In(out)
    }

    /// How many of these addresses are in the table, counted up to `bound`: those of a group.
    pub(crate) fn of_group(&self, group: Group, bound: usize) -> usize {
        let Some(first) = group.first() else { return 0 };
        let same = |(addr, _): &(&CanonicalAddr, &u16)| Group::of(addr.ip()) == group;
        self.index.range(first..).take_while(same).take(bound).count()
    }

    /// As [`Table::of_group`], those of one IP address.
    pub(crate) fn of_ip(&self, ip: IpAddr, bound: usize) -> usize {
        let Ok(first) = CanonicalAddr::new(SocketAddr::new(ip, 1)) else { return 0 };
        self.index.range(first..).take_while(|(addr, _)| addr.ip() == first.ip()).take(bound).count()
    }

    /// All entries, bucket by bucket.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.buckets.iter().flatten()
    }

    /// The buckets.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = &[Entry]> {
        self.buckets.iter().map(Vec::as_slice)
    }

    /// Forgets what is not worth keeping. Answers how many went.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Entry) -> bool) -> usize {
        let before = self.index.len();
        for bucket in &mut self.buckets {
            bucket.retain(|entry| {
                let kept = keep(entry);
                if !kept {
                    self.index.remove(&entry.addr);
                }
                kept
            });
        }
        before - self.index.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str, seen: i64, failures: u8) -> Entry {
        let addr: CanonicalAddr = text.parse().unwrap();
        let source = Group::of(addr.ip());
        Entry { id: NodeId([1; 32]), addr, source, seen: Moment(seen), failures, retry: Moment(0) }
    }

    fn table(depth: usize, entries: &[Entry]) -> Table {
        let mut table = Table::new(depth);
        for entry in entries {
            assert_eq!(table.place(3, *entry, |_| false), Placed::In(None));
        }
        table
    }

    #[test]
    fn a_full_bucket_gives_up_its_worst_or_nobody() {
        let [old, failed, fresh] = [("9.0.0.1:1", 10, 0), ("9.0.0.2:1", 30, 1), ("9.0.0.3:1", 40, 0)]
            .map(|(text, seen, failures)| entry(text, seen, failures));
        let mut table = table(3, &[old, failed, fresh]);
        let newcomer = entry("9.0.0.4:1", 50, 0);
        assert_eq!(table.place(3, newcomer, |_| false), Placed::Refused);
        assert_eq!(table.get(&newcomer.addr), None);
        let spent = |entry: &Entry| entry.failures > 0 || entry.seen < Moment(20);
        assert_eq!(table.place(3, newcomer, spent), Placed::In(Some(failed)));
        let another = entry("9.0.0.5:1", 50, 0);
        assert_eq!(table.place(3, another, spent), Placed::In(Some(old)));
        assert_eq!(table.place(3, old, spent), Placed::Refused);
        assert_eq!((table.len(), table.get(&old.addr), table.get(&fresh.addr)), (3, None, Some(&fresh)));
        assert_eq!(table.place(4, old, spent), Placed::In(None), "another bucket has room");
        assert_eq!(table.place(BUCKETS, failed, |_| true), Placed::Refused);
    }

    #[test]
    fn entries_are_found_counted_and_forgotten_by_their_address() {
        let all = ["9.1.0.1:1", "9.1.0.1:2", "9.1.200.1:1", "9.2.0.1:1", "[2a00::1]:1"]
            .map(|text| entry(text, 0, 0));
        let mut table = table(9, &all);
        let group = Group::of(all[0].addr.ip());
        assert_eq!((table.of_group(group, 9), table.of_group(group, 2)), (3, 2));
        assert_eq!((table.of_ip(all[0].addr.ip(), 9), table.of_ip(all[3].addr.ip(), 9)), (2, 1));
        assert_eq!(table.remove(&all[0].addr), Some(all[0]));
        assert_eq!(table.remove(&all[0].addr), None);
        assert_eq!(table.of_ip(all[1].addr.ip(), 9), 1);
        table.get_mut(&all[1].addr).unwrap().failures = 7;
        assert_eq!(table.retain(|entry| entry.failures == 0), 1);
        assert_eq!((table.len(), table.iter().count()), (3, 3));
        assert_eq!(table.buckets().filter(|bucket| !bucket.is_empty()).count(), 1);
    }
}
