//! The votes of one kind and round, one by one.

use std::collections::BTreeMap;

use crate::chain::round::Outcome;
use crate::ids::{BlockHash, Signature};
use crate::registry::MasternodeIndex;
use crate::seats::SeatSet;

/// What one masternode has voted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Cast {
    pub(super) block: Option<BlockHash>,
    pub(super) signature: Signature,
}

/// What became of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// It counts.
    New,
    /// It is there already, or its voter's equivocation is known.
    Known,
    /// Its voter has voted this before, which is what counts. Told once.
    Contradicts(Cast),
}

/// The first vote of each masternode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Tally {
    casts: BTreeMap<MasternodeIndex, Cast>,
    /// Whose equivocation has been told.
    told: SeatSet,
}

impl Tally {
    /// Counts a vote, unless its voter has voted before.
    pub(super) fn count(&mut self, seat: MasternodeIndex, cast: Cast) -> Counted {
        match self.casts.get(&seat) {
            None => {
                self.casts.insert(seat, cast);
                Counted::New
            }
            Some(first) if first.block == cast.block || self.told.contains(seat) => Counted::Known,
            Some(first) => {
                self.told.insert(seat);
                Counted::Contradicts(*first)
            }
        }
    }

    /// Whether [`Tally::count`] would learn nothing.
    pub(super) fn knows(&self, seat: MasternodeIndex, block: Option<BlockHash>) -> bool {
        self.casts.get(&seat).is_some_and(|cast| cast.block == block || self.told.contains(seat))
    }

    pub(super) fn holds(&self, seat: MasternodeIndex, cast: &Cast) -> bool {
        self.casts.get(&seat) == Some(cast)
    }

    pub(super) fn casts(&self) -> impl Iterator<Item = (MasternodeIndex, &Cast)> {
        self.casts.iter().map(|(seat, cast)| (*seat, cast))
    }

    pub(super) fn voters(&self) -> SeatSet {
        self.casts.keys().copied().collect()
    }

    pub(super) fn forget(&mut self, seat: MasternodeIndex) {
        self.casts.remove(&seat);
    }

    /// What the votes say, if `quorum` of them decide.
    pub(super) fn outcome(&self, quorum: usize) -> Outcome {
        if self.casts.len() < quorum {
            return Outcome::Open;
        }
        let likely = self.likely();
        match likely {
            _ if self.casts.values().filter(|cast| cast.block == likely).count() < quorum => Outcome::Split,
            None => Outcome::Nil,
            Some(block) => Outcome::Block(block),
        }
    }

    /// What more than half have voted, if there is such a thing: it survives when votes cancel each other.
    fn likely(&self) -> Option<BlockHash> {
        let mut leads = (None, 0usize);
        for cast in self.casts.values() {
            leads = match leads {
                (_, 0) => (cast.block, 1),
                (block, lead) if block == cast.block => (block, lead + 1),
                (block, lead) => (block, lead - 1),
            };
        }
        leads.0
    }
}
