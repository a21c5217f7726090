//! The votes of one kind and round.

use std::collections::BTreeMap;

use crate::chain::round::Outcome;
use crate::ids::{BlockHash, Signature};
use crate::registry::MasternodeIndex;
use crate::seats::SeatSet;
use crate::wire::block::Certificate;

/// What one masternode has voted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Cast {
    pub(super) block: Option<BlockHash>,
    pub(super) signature: Signature,
}

/// The first vote of each masternode, and a certificate where that is not enough: the signers of a certificate
/// may have voted otherwise before, as we see it, and then only the certificate shows what a quorum wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Tally {
    casts: BTreeMap<MasternodeIndex, Cast>,
    unit: Option<Certificate>,
    /// Whose equivocation has been told.
    told: SeatSet,
}

impl Tally {
    pub(super) fn cast(&self, seat: MasternodeIndex) -> Option<&Cast> {
        self.casts.get(&seat)
    }

    pub(super) fn casts(&self) -> impl Iterator<Item = (MasternodeIndex, &Cast)> {
        self.casts.iter().map(|(seat, cast)| (*seat, cast))
    }

    pub(super) fn voters(&self) -> SeatSet {
        self.casts.keys().copied().collect()
    }

    pub(super) fn insert(&mut self, seat: MasternodeIndex, cast: Cast) {
        self.casts.entry(seat).or_insert(cast);
    }

    pub(super) fn remove(&mut self, seat: MasternodeIndex) {
        self.casts.remove(&seat);
    }

    pub(super) fn told(&self, seat: MasternodeIndex) -> bool {
        self.told.contains(seat)
    }

    /// Notes that a masternode's equivocation is told; false if it was before.
    pub(super) fn tell(&mut self, seat: MasternodeIndex) -> bool {
        let new = !self.told.contains(seat);
        self.told.insert(seat);
        new
    }

    /// The first certificate stays: two different ones would need more equivocators than the protocol bears.
    pub(super) fn take(&mut self, certificate: Certificate) {
        self.unit.get_or_insert(certificate);
    }

    pub(super) fn outcome(&self, quorum: usize) -> Outcome {
        if let Some(unit) = &self.unit {
            return Outcome::Block(unit.block);
        }
        if self.casts.len() < quorum {
            return Outcome::Open;
        }
        // Whatever more than half have voted survives when each vote cancels a different one.
        let mut likely = (None, 0usize);
        for cast in self.casts.values() {
            likely = match likely {
                (_, 0) => (cast.block, 1),
                (block, lead) if block == cast.block => (block, lead + 1),
                (block, lead) => (block, lead - 1),
            };
        }
        match likely.0 {
            block if self.casts.values().filter(|cast| cast.block == block).count() < quorum => {
                Outcome::Split
            }
            None => Outcome::Nil,
            Some(block) => Outcome::Block(block),
        }
    }

    /// Every signature held for a block, by seat.
    pub(super) fn signatures(&self, block: BlockHash) -> (SeatSet, Vec<Signature>) {
        let unit = self.unit.iter().filter(|unit| unit.block == block);
        let mut all: BTreeMap<MasternodeIndex, Signature> =
            unit.flat_map(|unit| unit.signers.iter().zip(unit.signatures.iter().copied())).collect();
        let casts = self.casts.iter().filter(|(_, cast)| cast.block == Some(block));
        all.extend(casts.map(|(seat, cast)| (*seat, cast.signature)));
        (all.keys().copied().collect(), all.into_values().collect())
    }
}
