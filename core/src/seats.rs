//! A set of masternodes as bits: one word, whatever the registry's size.

use crate::registry::MasternodeIndex;

/// A set of registry positions. A registry has at most 128 entries, so it is one `u128`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize,
)]
pub struct SeatSet(pub u128);

impl SeatSet {
    /// The set of nobody.
    pub const EMPTY: Self = Self(0);

    fn bit(seat: MasternodeIndex) -> u128 {
        1u128.checked_shl(u32::from(seat.0)).unwrap_or(0)
    }

    /// Adds a masternode. An index that no registry can have is ignored.
    pub fn insert(&mut self, seat: MasternodeIndex) {
        self.0 |= Self::bit(seat);
    }

    /// Whether a masternode is in the set.
    #[must_use]
    pub fn contains(self, seat: MasternodeIndex) -> bool {
        self.0 & Self::bit(seat) != 0
    }

    /// How many are in the set.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether nobody is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, by ascending index.
    pub fn iter(self) -> impl Iterator<Item = MasternodeIndex> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let lowest = u8::try_from(rest.trailing_zeros()).ok().filter(|_| rest != 0)?;
            rest &= rest - 1;
            Some(MasternodeIndex(lowest))
        })
    }
}

impl FromIterator<MasternodeIndex> for SeatSet {
    fn from_iter<I: IntoIterator<Item = MasternodeIndex>>(seats: I) -> Self {
        let mut set = Self::EMPTY;
        seats.into_iter().for_each(|seat| set.insert(seat));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_every_seat_of_the_largest_registry_and_no_other() {
        let all: SeatSet = (0..=255).map(MasternodeIndex).collect();
        assert_eq!(all.len(), 128);
        assert!(all.contains(MasternodeIndex(127)) && !all.contains(MasternodeIndex(128)));
        assert!(all.iter().eq((0..128).map(MasternodeIndex)));
        assert_eq!(SeatSet::EMPTY.iter().next(), None);
    }
}
