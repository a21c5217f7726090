//! The votes of one kind and round, one by one.

use std::collections::BTreeMap;

use crate::chain::round::Outcome;
use crate::ids::{BlockHash, Signature};
use crate::registry::MasternodeIndex;
use crate::seats::SeatSet;

/// What one masternode has voted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub(super) struct Tally {
    casts: BTreeMap<MasternodeIndex, Cast>,
    /// How many of them there are for each block, ordered by block: the question is asked at every vote.
    counts: Vec<(Option<BlockHash>, usize)>,
    /// Whose equivocation has been told.
    told: SeatSet,
}

impl Tally {
    pub(super) fn len(&self) -> usize {
        self.casts.len()
    }

    /// Counts a vote, unless its voter has voted before.
    pub(super) fn count(&mut self, seat: MasternodeIndex, cast: Cast) -> Counted {
        match self.casts.get(&seat) {
            None => {
                self.casts.insert(seat, cast);
                match self.position(cast.block) {
                    Ok(at) => self.counts.iter_mut().skip(at).take(1).for_each(|(_, count)| *count += 1),
                    Err(at) => {
                        self.counts.reserve_exact(1);
                        self.counts.insert(at, (cast.block, 1));
                    }
                }
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
        let Some(cast) = self.casts.remove(&seat) else { return };
        let block = cast.block;
        self.counts.retain_mut(|(counted, count)| {
            *count -= usize::from(*counted == block);
            *count > 0
        });
    }

    /// What the votes say, if `quorum` of them decide.
    pub(super) fn outcome(&self, quorum: usize) -> Outcome {
        if self.casts.len() < quorum {
            return Outcome::Open;
        }
        match self.counts.iter().find(|(_, count)| *count >= quorum) {
            None => Outcome::Split,
            Some((None, _)) => Outcome::Nil,
            Some((Some(block), _)) => Outcome::Block(*block),
        }
    }

    fn position(&self, block: Option<BlockHash>) -> Result<usize, usize> {
        self.counts.binary_search_by(|(counted, _)| counted.cmp(&block))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The counts are those of the votes that are there, in whatever order these came and went.
        #[test]
        fn the_outcome_is_that_of_the_votes_one_by_one(
            steps in prop::collection::vec((0..9_u8, 0..4_u8), 0..60),
        ) {
            let mut tally = Tally::default();
            for (seat, vote) in steps {
                let seat = MasternodeIndex(seat);
                match vote {
                    0 => tally.forget(seat),
                    _ => {
                        let block = (vote > 1).then_some(BlockHash([vote; 32]));
                        tally.count(seat, Cast { block, signature: Signature([seat.0; 64]) });
                    }
                }
                let votes = |block| tally.casts().filter(|(_, cast)| cast.block == block).count();
                for quorum in 5..=9 {
                    let blocks = [2, 3].map(|vote| BlockHash([vote; 32]));
                    let block = blocks.into_iter().find(|block| votes(Some(*block)) >= quorum);
                    let expected = match block {
                        _ if tally.casts().count() < quorum => Outcome::Open,
                        Some(block) => Outcome::Block(block),
                        None if votes(None) >= quorum => Outcome::Nil,
                        None => Outcome::Split,
                    };
                    prop_assert_eq!(tally.outcome(quorum), expected);
                }
            }
        }
    }
}
