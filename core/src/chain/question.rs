//! What has turned up of a key's past while it is not yet known whether the key may speak (rule C-13). It is kept
//! with the voting record: a process that ends before it has asked must not take the signs with it, because whoever
//! has shown one may have another to show the next time.

use std::collections::BTreeSet;

use crate::chain::durable::{Damaged, Reader, put_count, put_epoch, put_height, put_option};
use crate::ids::{BootEpoch, Height, NodeId};
use crate::registry::MAX_MASTERNODES;

/// The question whether there are lives of this key that its disk does not know of.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Question {
    /// The highest boot epoch of this key that its disk knew when the question came up.
    known: BootEpoch,
    /// The epoch of the process in which it came up: from here on they are of this disk.
    first: BootEpoch,
    /// Registered masternodes that have seen a boot that is not of this disk.
    witnesses: BTreeSet<NodeId>,
    /// The greatest height of a genuine statement with our own signature that is not in the record.
    unrecorded: Option<Height>,
}

impl Question {
    /// Comes up in the process of the epoch `first`, whose disk knew of epochs up to `known` at its start.
    pub(crate) const fn new(known: BootEpoch, first: BootEpoch) -> Self {
        Self { known, first, witnesses: BTreeSet::new(), unrecorded: None }
    }

    /// Whether a boot is of a life that this disk does not know of, which knew of epochs up to `used` at the start
    /// of the present process.
    pub(crate) fn is_foreign(&self, epoch: BootEpoch, used: BootEpoch) -> bool {
        epoch > used || (self.known < epoch && epoch < self.first)
    }

    /// A registered masternode has seen such a boot. Whether it is the first time that it says so.
    pub(crate) fn testified(&mut self, witness: NodeId) -> bool {
        self.witnesses.len() < MAX_MASTERNODES && self.witnesses.insert(witness)
    }

    /// How many have.
    pub(crate) fn witnesses(&self) -> usize {
        self.witnesses.len()
    }

    /// A statement of this height has turned up. Whether it is the highest.
    pub(crate) fn shown(&mut self, height: Height) -> bool {
        let higher = self.unrecorded < Some(height);
        self.unrecorded = self.unrecorded.max(Some(height));
        higher
    }

    /// The greatest height of such a statement.
    pub(crate) const fn unrecorded(&self) -> Option<Height> {
        self.unrecorded
    }

    /// Appends the durable form: `u64` known ‖ `u64` first ‖ `u8` count ‖ each witness: `[32]`, ascending ‖
    /// `opt u64` height.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_epoch(self.known, out);
        put_epoch(self.first, out);
        put_count(self.witnesses.len(), out);
        self.witnesses.iter().for_each(|witness| out.extend_from_slice(&witness.0));
        put_option(self.unrecorded, put_height, out);
    }

    /// Reads the durable form.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let (known, first) = (reader.epoch()?, reader.epoch()?);
        let listed = reader.list(MAX_MASTERNODES, Reader::node)?;
        if !listed.iter().zip(listed.iter().skip(1)).all(|(a, b)| a < b) {
            return Err(Damaged);
        }
        let unrecorded = reader.option(Reader::height)?;
        Ok(Self { known, first, witnesses: listed.into_iter().collect(), unrecorded })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prod_06_boots_of_this_disk_are_no_sign_of_another_life() {
        let foreign = |known, first, used, seen| {
            Question::new(BootEpoch(known), BootEpoch(first)).is_foreign(BootEpoch(seen), BootEpoch(used))
        };
        // The first start in an empty directory: any other boot is from before.
        assert!(foreign(0, 50, 0, 1));
        assert!(foreign(0, 50, 0, 60));
        // Later starts there: the first process was 50, the last 70.
        assert_eq!([40, 49, 50, 60, 70, 71].map(|seen| foreign(0, 50, 70, seen)), {
            [true, true, false, false, false, true]
        });
        // A directory that knew of epochs up to 30 when its record was last answered for.
        assert_eq!([30, 31, 49, 50].map(|seen| foreign(30, 50, 70, seen)), [false, true, true, false]);
        // The clock was set back between: nothing lies between.
        assert!(!foreign(90, 50, 90, 60));
    }

    #[test]
    fn a_witness_counts_once_and_only_the_highest_statement_counts() {
        let mut question = Question::new(BootEpoch(0), BootEpoch(1));
        let told = [1, 2, 1].map(|witness| question.testified(NodeId([witness; 32])));
        assert_eq!((told, question.witnesses()), ([true, true, false], 2));
        assert_eq!([4, 4, 3, 9].map(|height| question.shown(Height(height))), [true, false, false, true]);
        assert_eq!(question.unrecorded(), Some(Height(9)));
        for witness in 0..=u8::MAX {
            question.testified(NodeId([witness; 32]));
        }
        assert_eq!(question.witnesses(), MAX_MASTERNODES);
    }
}
