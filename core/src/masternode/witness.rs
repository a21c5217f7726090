//! Who else has verified a heartbeat (rule M-6): each masternode names in its own heartbeat the others'
//! newest ones, so one signature attests to all of them.

use crate::ids::BootEpoch;
use crate::registry::MasternodeIndex;
use crate::seats::SeatSet;
use crate::time::{Mono, Wall};
use crate::wire::message::Witness;

/// Heartbeats remembered a masternode: two intervals even if every early one is used.
const KEPT: usize = 6;

/// Other masternodes that must have named a heartbeat for it to be attested: min(3, ⌊N/2⌋).
pub(crate) const fn needed(registered: usize) -> usize {
    if registered / 2 < 3 { registered / 2 } else { 3 }
}

/// What is remembered of one verified heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Kept {
    pub(crate) epoch: BootEpoch,
    pub(crate) sequence: u64,
    pub(crate) digest: [u8; 8],
    /// As its signer signed it.
    pub(crate) wall: Wall,
    /// When it was verified here.
    pub(crate) at: Mono,
    /// The other masternodes that have named it.
    pub(crate) named: SeatSet,
}

/// The newest heartbeats of one masternode, newest first.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Track {
    kept: [Option<Kept>; KEPT],
}

impl Track {
    /// Remembers a newly verified heartbeat and forgets the oldest.
    pub(crate) fn keep(&mut self, beat: Kept) {
        self.kept.rotate_right(1);
        if let Some(place) = self.kept.first_mut() {
            *place = Some(beat);
        }
    }

    /// The newest.
    pub(crate) fn newest(&self) -> Option<&Kept> {
        self.kept.first()?.as_ref()
    }

    /// The newest that at least `needed` others have named.
    pub(crate) fn newest_attested(&self, needed: usize) -> Option<&Kept> {
        self.kept.iter().flatten().find(|beat| beat.named.len() >= needed)
    }

    /// Who named them is not known by position any more.
    pub(crate) fn forget_witnesses(&mut self) {
        self.kept.iter_mut().flatten().for_each(|beat| beat.named = SeatSet::EMPTY);
    }

    /// `by` says that it has verified a heartbeat; it counts if it is the one that we verified.
    pub(crate) fn name(&mut self, witness: &Witness, by: MasternodeIndex) {
        let same = |beat: &&mut Kept| beat.sequence == witness.sequence && beat.digest == witness.digest;
        if let Some(beat) = self.kept.iter_mut().flatten().find(same) {
            beat.named.insert(by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(sequence: u64, digest: u8) -> Kept {
        Kept {
            epoch: BootEpoch(1),
            sequence,
            digest: [digest; 8],
            wall: Wall(0),
            at: Mono(sequence),
            named: SeatSet::EMPTY,
        }
    }

    fn witness(sequence: u64, digest: u8) -> Witness {
        Witness { signer: MasternodeIndex(0), sequence, digest: [digest; 8] }
    }

    #[test]
    fn hb_02b_what_is_needed_can_be_had_in_the_smallest_networks() {
        let table: Vec<_> = (1..=8).map(needed).collect();
        assert_eq!(table, [0, 1, 1, 2, 2, 3, 3, 3]);
        assert!((1..=128).all(|n| needed(n) < n));
    }

    #[test]
    fn hb_01b_only_who_names_what_we_verified_counts_and_once() {
        let mut track = Track::default();
        track.keep(beat(1, 11));
        track.keep(beat(2, 12));
        for by in [1, 2, 2, 2] {
            track.name(&witness(1, 11), MasternodeIndex(by));
        }
        track.name(&witness(2, 99), MasternodeIndex(3));
        track.name(&witness(7, 12), MasternodeIndex(3));
        assert_eq!(track.newest_attested(2).map(|b| b.sequence), Some(1));
        assert_eq!(track.newest_attested(3), None);
        assert_eq!(track.newest().map(|b| b.named.len()), Some(0));
    }

    #[test]
    fn ops_02_only_the_newest_few_are_kept() {
        let mut track = Track::default();
        (1..=100).for_each(|sequence| track.keep(beat(sequence, 0)));
        let kept: Vec<_> = track.kept.iter().flatten().map(|beat| beat.sequence).collect();
        assert_eq!(kept, [100, 99, 98, 97, 96, 95]);
    }
}
