//! Addresses that are not worth another dial for a while.

use std::collections::BTreeMap;

use crate::addr::CanonicalAddr;
use crate::net::book::Moment;

/// Bounded; each ends by itself. When full, the one that would end first gives way.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Tombstones {
    until: BTreeMap<CanonicalAddr, Moment>,
    bound: usize,
}

impl Tombstones {
    pub(crate) const fn new(bound: usize) -> Self {
        Self { until: BTreeMap::new(), bound }
    }

    /// How many there are, those that have ended since the last addition included.
    pub(crate) fn len(&self) -> usize {
        self.until.len()
    }

    pub(crate) const fn bound(&self) -> usize {
        self.bound
    }

    pub(crate) fn stands(&self, now: Moment, addr: &CanonicalAddr) -> bool {
        self.until.get(addr).is_some_and(|until| *until > now)
    }

    /// Adds one, or prolongs it. Takes time proportional to the bound when it is full, and is called once a
    /// failed dial.
    pub(crate) fn add(&mut self, now: Moment, addr: CanonicalAddr, until: Moment) {
        if self.until.len() >= self.bound && !self.until.contains_key(&addr) {
            self.until.retain(|_, until| *until > now);
            if self.until.len() >= self.bound {
                let first = self.until.iter().min_by_key(|(_, until)| **until).map(|(addr, _)| *addr);
                let Some(first) = first else { return };
                self.until.remove(&first);
            }
        }
        let standing = self.until.entry(addr).or_insert(until);
        *standing = until.max(*standing);
    }

    pub(crate) fn remove(&mut self, addr: &CanonicalAddr) -> bool {
        self.until.remove(addr).is_some()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&CanonicalAddr, Moment)> {
        self.until.iter().map(|(addr, until)| (addr, *until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> CanonicalAddr {
        format!("9.0.0.1:{port}").parse().unwrap()
    }

    #[test]
    fn they_end_and_never_outgrow_their_bound() {
        let mut tombstones = Tombstones::new(3);
        for port in 1..=3 {
            tombstones.add(Moment(0), addr(port), Moment(i64::from(port) * 10));
        }
        assert!(tombstones.stands(Moment(9), &addr(1)) && !tombstones.stands(Moment(10), &addr(1)));
        tombstones.add(Moment(5), addr(4), Moment(50));
        assert_eq!(tombstones.len(), 3);
        assert!(!tombstones.stands(Moment(5), &addr(1)), "the first to end gave way");
        tombstones.add(Moment(35), addr(5), Moment(50));
        assert_eq!(tombstones.len(), 2, "those that have ended gave way");
        tombstones.add(Moment(35), addr(5), Moment(40));
        assert!(tombstones.stands(Moment(45), &addr(5)), "never shortened");
        assert!(tombstones.remove(&addr(5)) && !tombstones.stands(Moment(35), &addr(5)));
    }

    #[test]
    fn none_are_kept_where_there_is_no_room() {
        let mut tombstones = Tombstones::new(0);
        tombstones.add(Moment(0), addr(1), Moment(10));
        assert_eq!(tombstones.len(), 0);
    }

    #[test]
    fn one_that_stands_is_prolonged_and_never_cut_short_and_costs_no_other_its_place() {
        let mut stones = Tombstones::new(2);
        stones.add(Moment(0), addr(1), Moment(50));
        stones.add(Moment(0), addr(2), Moment(60));
        stones.add(Moment(0), addr(2), Moment(90));
        stones.add(Moment(0), addr(2), Moment(40));
        assert_eq!(stones.len(), 2);
        assert!(stones.stands(Moment(49), &addr(1)) && stones.stands(Moment(89), &addr(2)));
        assert!(!stones.stands(Moment(50), &addr(1)) && !stones.stands(Moment(90), &addr(2)));
    }
}
