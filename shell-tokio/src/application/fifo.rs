//! Opaque transactions, oldest first, each with its length: the payload of the daemon's networks.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use timed_core::limits::MAX_TRANSACTION;
use timed_core::{FinalBlock, Height, PayloadVerdict, TxId};

use super::{Application, ApplicationError, Commitment, Offer, Wanted};
use crate::store::Store;

/// Bytes of the length before each transaction: a `u32`, little-endian.
const LENGTH: usize = 4;

/// Carries opaque transactions, each in one block only. A node with it can be in one network with the daemon.
///
/// A payload is a sequence of `length ‖ bytes`, the length a little-endian `u32` from 1 to 65,536, of 16,384
/// transactions at most; an empty payload carries nothing. A payload with a transaction twice, or with one of an
/// earlier block, is invalid. Needs a store that indexes transactions, see [`Store::find`].
#[derive(Clone)]
pub struct FifoPayload {
    committed: Arc<dyn Store>,
}

impl fmt::Debug for FifoPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FifoPayload")
    }
}

impl FifoPayload {
    /// Transactions in a payload at most: bounds what judging one costs, however small they are.
    pub const MAX_COUNT: usize = 16 * 1024;

    /// Looks up what earlier blocks carry in this store, which must be the node's.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { committed: store }
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

    /// A payload's transactions in their order; `None` if it is not well-formed.
    #[must_use]
    pub fn transactions(payload: &Bytes) -> Option<Vec<Bytes>> {
        let mut found = Vec::new();
        let mut rest = payload.clone();
        while !rest.is_empty() {
            let length = u32::from_le_bytes(*rest.first_chunk::<LENGTH>()?);
            let length = usize::try_from(length).ok()?;
            let fits = (1..=MAX_TRANSACTION).contains(&length) && rest.len() - LENGTH >= length;
            if !fits || found.len() == Self::MAX_COUNT {
                return None;
            }
            let _ = rest.split_to(LENGTH);
            found.push(rest.split_to(length));
        }
        Some(found)
    }

    fn ids(payload: &Bytes) -> Option<Vec<TxId>> {
        Some(Self::transactions(payload)?.iter().map(|bytes| TxId::of(bytes)).collect())
    }

    fn is_committed(&self, id: &TxId) -> Result<bool, ApplicationError> {
        Ok(self.committed.find(id)?.is_some())
    }
}

impl Application for FifoPayload {
    fn produce(&self, wanted: &Wanted) -> Result<Offer, ApplicationError> {
        let (mut taken, mut stale, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut room = wanted.max_bytes;
        for bytes in &wanted.transactions {
            let id = TxId::of(bytes);
            if !(1..=MAX_TRANSACTION).contains(&bytes.len()) || self.is_committed(&id)? {
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
        let Some(ids) = Self::ids(payload) else { return Ok(PayloadVerdict::Invalid) };
        let mut seen = BTreeSet::new();
        for id in &ids {
            if !seen.insert(id) || self.is_committed(id)? {
                return Ok(PayloadVerdict::Invalid);
            }
        }
        Ok(PayloadVerdict::Valid)
    }

    fn commit(&self, block: &FinalBlock) -> Result<Commitment, ApplicationError> {
        // A block that more than two thirds made final is final, whatever this node would have said of it.
        let included = Self::ids(&block.block.payload).unwrap_or_default();
        Ok(Commitment { registry_changes: Vec::new(), included })
    }
}

#[cfg(test)]
mod tests {
    use timed_core::Wall;

    use super::*;
    use crate::store::MemoryStore;
    use crate::store::samples::{block, id, write};

    /// A store whose first block carries these.
    fn with_committed(transactions: &[&[u8]]) -> FifoPayload {
        let store = MemoryStore::new();
        store.write(&[write(&block(1, transactions))]).unwrap();
        FifoPayload::new(Arc::new(store))
    }

    fn assembled(transactions: &[&[u8]]) -> Bytes {
        let all: Vec<_> = transactions.iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect();
        FifoPayload::assemble(&all)
    }

    #[test]
    fn the_oldest_that_fit_are_taken_each_once() {
        let application = with_committed(&[b"old"]);
        let produced = |max_bytes, waiting: &[&[u8]]| {
            let transactions = waiting.iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect();
            let wanted = Wanted { height: Height(2), slot: Wall(0), max_bytes, transactions };
            let Offer { payload, stale } = application.produce(&wanted).unwrap();
            let payload = payload.unwrap();
            assert!(payload.len() <= max_bytes);
            assert_eq!(application.validate(Height(2), &payload).unwrap(), PayloadVerdict::Valid);
            (payload, stale)
        };
        assert_eq!(produced(100, &[]), (Bytes::new(), vec![]));
        assert_eq!(produced(100, &[b"b", b"a", b"b"]), (assembled(&[b"b", b"a"]), vec![]));
        // A small one does not overtake the large one before it.
        assert_eq!(produced(15, &[b"five!", b"larger", b"c"]).0, assembled(&[b"five!"]));
        let long = vec![7; MAX_TRANSACTION + 1];
        let (payload, stale) = produced(1 << 20, &[b"old", b"new", b"", &long, &long[1..]]);
        assert_eq!(payload, assembled(&[b"new", &long[1..]]));
        assert_eq!(stale, vec![id(b"old"), id(b""), id(&long)]);
    }

    #[test]
    fn a_payload_that_is_malformed_or_repeats_is_refused() {
        let application = with_committed(&[b"old", b"older"]);
        let verdict = |payload: Bytes| application.validate(Height(2), &payload).unwrap();
        let good = assembled(&[b"one", b"two"]);
        assert_eq!(verdict(good.clone()), PayloadVerdict::Valid);
        assert_eq!(verdict(Bytes::new()), PayloadVerdict::Valid);
        for cut in (1..good.len()).filter(|&cut| cut != 7) {
            assert_eq!(verdict(good.slice(..cut)), PayloadVerdict::Invalid, "cut at {cut}");
        }
        for bad in [
            assembled(&[b"one", b"two", b"one"]),
            assembled(&[b"one", b"older"]),
            assembled(&[b"one", b""]),
            assembled(&[&[1; MAX_TRANSACTION + 1]]),
            Bytes::from_static(&[0xff; 20]),
        ] {
            assert_eq!(verdict(bad), PayloadVerdict::Invalid);
        }
        let many: Vec<Vec<u8>> =
            (0..=FifoPayload::MAX_COUNT).map(|n| n.to_le_bytes()[..3].to_vec()).collect();
        let many: Vec<&[u8]> = many.iter().map(|bytes| &bytes[..]).collect();
        assert_eq!(verdict(assembled(&many)), PayloadVerdict::Invalid);
        assert_eq!(verdict(assembled(&many[1..])), PayloadVerdict::Valid);
    }
}
