//! The application of the daemon: a payload is the pending transactions, oldest first, each with its length.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use timed_core::limits::MAX_TRANSACTION;
use timed_core::{FinalBlock, Height, PayloadVerdict, TxId};

use super::{Application, ApplicationError, Commitment, Offer, Wanted};
use crate::store::BlockReader;

/// Bytes of the length before each transaction: a `u32`, little-endian.
const LENGTH: usize = 4;

/// Carries opaque transactions, each in one block only.
///
/// A payload is a sequence of `length ‖ bytes`, the length a little-endian `u32` from 1 to 65,536; an empty payload
/// carries nothing. A payload with a transaction twice, or with one of an earlier block, is invalid.
#[derive(Clone, Debug)]
pub struct FifoPayload {
    committed: BlockReader,
}

impl FifoPayload {
    /// Transactions in a payload at most: bounds what judging one costs, however small they are.
    pub const MAX_COUNT: usize = 16 * 1024;

    /// Looks up what earlier blocks carry in the store that this reads.
    #[must_use]
    pub const fn new(committed: BlockReader) -> Self {
        Self { committed }
    }

    /// The payload of these transactions, whatever they are.
    #[must_use]
    pub fn assemble(transactions: &[Bytes]) -> Bytes {
        let mut payload = Vec::with_capacity(transactions.iter().map(|bytes| LENGTH + bytes.len()).sum());
        for bytes in transactions {
            payload.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
            payload.extend(bytes);
        }
        payload.into()
    }

    /// The ids of a payload's transactions in their order; `None` if it is not well-formed.
    #[must_use]
    pub fn transactions(payload: &[u8]) -> Option<Vec<TxId>> {
        Some(Self::read(payload)?.into_iter().map(id_of).collect())
    }

    /// The transactions themselves; `None` as above.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Vec<&[u8]>> {
        let mut transactions = Vec::new();
        let mut rest = payload;
        while !rest.is_empty() {
            let (length, after) = rest.split_first_chunk::<LENGTH>()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (bytes, after) = after.split_at_checked(length)?;
            if !(1..=MAX_TRANSACTION).contains(&length) || transactions.len() == Self::MAX_COUNT {
                return None;
            }
            transactions.push(bytes);
            rest = after;
        }
        Some(transactions)
    }
}

fn id_of(transaction: &[u8]) -> TxId {
    TxId(Sha256::digest(transaction).into())
}

fn has_repeats(ids: &[TxId]) -> bool {
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair.first() == pair.last())
}

impl Application for FifoPayload {
    fn produce(&self, wanted: &Wanted) -> Result<Offer, ApplicationError> {
        let ids: Vec<TxId> = wanted.transactions.iter().map(|bytes| id_of(bytes)).collect();
        let places = self.committed.find_transactions(&ids)?;
        let (mut taken, mut stale) = (Vec::new(), Vec::new());
        let mut room = wanted.max_bytes;
        let mut seen = std::collections::BTreeSet::new();
        for ((bytes, id), place) in wanted.transactions.iter().zip(ids).zip(places) {
            if place.is_some() || !(1..=MAX_TRANSACTION).contains(&bytes.len()) {
                stale.push(id);
            } else if seen.insert(id) {
                // The first one that does not fit is the first of the next block.
                let Some(left) = room.checked_sub(LENGTH + bytes.len()) else { break };
                if taken.len() == Self::MAX_COUNT {
                    break;
                }
                room = left;
                taken.push(bytes.clone());
            }
        }
        Ok(Offer { payload: Some(Self::assemble(&taken)), stale })
    }

    fn validate(&self, _height: Height, payload: &Bytes) -> Result<PayloadVerdict, ApplicationError> {
        let Some(ids) = Self::transactions(payload).filter(|ids| !has_repeats(ids)) else {
            return Ok(PayloadVerdict::Invalid);
        };
        let fresh = self.committed.find_transactions(&ids)?.iter().all(Option::is_none);
        Ok(if fresh { PayloadVerdict::Valid } else { PayloadVerdict::Invalid })
    }

    fn commit(&self, block: &FinalBlock) -> Result<Commitment, ApplicationError> {
        // A block that more than two thirds made final is final, whatever this node would have said of it.
        let included = Self::transactions(&block.block.payload).unwrap_or_default();
        Ok(Commitment { registry_changes: Vec::new(), included })
    }
}

#[cfg(test)]
mod tests {
    use timed_core::Wall;

    use super::*;
    use crate::store::Store;
    use crate::store::samples::{block, id};

    /// A store whose first block carries these.
    fn with_committed(transactions: &[&[u8]]) -> (tempfile::TempDir, Store, FifoPayload) {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(folder.path().join("store")).unwrap();
        let application = FifoPayload::new(store.reader());
        store.append_blocks([block(1, transactions)], &application).unwrap();
        (folder, store, application)
    }

    fn produced(
        application: &FifoPayload,
        max_bytes: usize,
        transactions: &[&[u8]],
    ) -> (Vec<TxId>, Vec<TxId>) {
        let transactions = transactions.iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect();
        let wanted = Wanted { height: Height(2), slot: Wall(0), max_bytes, transactions };
        let Offer { payload, stale } = application.produce(&wanted).unwrap();
        let payload = payload.expect("an empty one at least");
        assert!(payload.len() <= max_bytes, "{} bytes", payload.len());
        assert_eq!(application.validate(Height(2), &payload).unwrap(), PayloadVerdict::Valid);
        (FifoPayload::transactions(&payload).unwrap(), stale)
    }

    fn ids(transactions: &[&[u8]]) -> Vec<TxId> {
        transactions.iter().map(|bytes| id(bytes)).collect()
    }

    #[test]
    fn the_oldest_that_fit_are_taken_each_once() {
        let (_folder, _store, application) = with_committed(&[b"old"]);
        let of = |max, waiting: &[&[u8]]| produced(&application, max, waiting);
        assert_eq!(of(100, &[]), (vec![], vec![]));
        assert_eq!(of(0, &[b"a"]), (vec![], vec![]));
        assert_eq!(of(100, &[b"b", b"a", b"b"]), (ids(&[b"b", b"a"]), vec![]));
        // A small one does not overtake the large one before it.
        assert_eq!(of(15, &[b"five!", b"larger", b"c"]), (ids(&[b"five!"]), vec![]));
        assert_eq!(of(19, &[b"five!", b"larger", b"c"]), (ids(&[b"five!", b"larger"]), vec![]));
        let long = vec![7; MAX_TRANSACTION + 1];
        let (taken, stale) = of(1 << 20, &[b"old", b"new", b"", &long, &long[1..]]);
        assert_eq!(taken, ids(&[b"new", &long[1..]]));
        assert_eq!(stale, vec![id(b"old"), id_of(b""), id_of(&long)]);
    }

    #[test]
    fn the_number_of_transactions_is_bounded_on_both_sides() {
        let (_folder, _store, application) = with_committed(&[]);
        let many: Vec<Vec<u8>> =
            (0..=FifoPayload::MAX_COUNT).map(|n| n.to_le_bytes()[..3].to_vec()).collect();
        let many: Vec<&[u8]> = many.iter().map(|bytes| &bytes[..]).collect();
        let (taken, stale) = produced(&application, 1 << 20, &many);
        assert_eq!((taken.len(), stale.len()), (FifoPayload::MAX_COUNT, 0));
        let all: Vec<Bytes> = many.iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect();
        let verdict = application.validate(Height(2), &FifoPayload::assemble(&all));
        assert_eq!(verdict.unwrap(), PayloadVerdict::Invalid);
    }

    #[test]
    fn a_payload_that_is_malformed_or_repeats_is_refused() {
        let (_folder, _store, application) = with_committed(&[b"old", b"older"]);
        let assemble = |transactions: &[&[u8]]| {
            let all: Vec<_> = transactions.iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect();
            FifoPayload::assemble(&all)
        };
        let verdict = |payload: Bytes| application.validate(Height(2), &payload).unwrap();
        let good = assemble(&[b"one", b"two"]);
        assert_eq!(verdict(good.clone()), PayloadVerdict::Valid);
        assert_eq!(verdict(Bytes::new()), PayloadVerdict::Valid);
        assert_eq!(verdict(assemble(&[&[1; MAX_TRANSACTION]])), PayloadVerdict::Valid);
        for cut in (1..good.len()).filter(|&cut| cut != 7) {
            assert_eq!(verdict(good.slice(..cut)), PayloadVerdict::Invalid, "cut at {cut}");
        }
        for bad in [
            assemble(&[b"one", b"two", b"one"]),
            assemble(&[b"one", b"older"]),
            assemble(&[b"old"]),
            assemble(&[b"one", b""]),
            assemble(&[&[1; MAX_TRANSACTION + 1]]),
            Bytes::from_static(&[0xff; 20]),
        ] {
            assert_eq!(verdict(bad), PayloadVerdict::Invalid);
        }
    }

    #[test]
    fn a_final_block_is_taken_in_whatever_it_carries() {
        let (_folder, _store, application) = with_committed(&[b"old"]);
        let included = |block: &FinalBlock| application.commit(block).unwrap().included;
        assert_eq!(included(&block(2, &[b"old", b"new", b"new"])), ids(&[b"old", b"new", b"new"]));
        let mut malformed = block(2, &[b"one"]);
        malformed.block.payload = Bytes::from_static(b"nonsense");
        assert_eq!(included(&malformed), []);
    }
}
