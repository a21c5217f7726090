//! The transactions that wait, in the order in which they came, bounded and shared out (rules ).
//!
//! Each counts with the memory that it holds, and on whoever it came from. What was submitted here and what
//! others brought may each fill three quarters of the bound, so that neither shuts the other out. Among those who
//! bring, who holds most gives way to who holds less, newest first, and whoever is not registered gives way to
//! masternodes. What was submitted here never gives way: it was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::event::MempoolInfo;
use crate::ids::{NodeId, TxId};
use crate::limits::{Holding, TRANSACTION_COST, holding};

/// What the application puts in front of each transaction of a payload: its length.
const FRAMING: usize = 4;

/// On whose share a transaction counts; who gives way first comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
pub(super) enum Holder {
    /// A peer that is not registered brought it.
    Other(NodeId),
    /// A masternode brought it.
    Masternode(NodeId),
    /// It was submitted here.
    Here,
}

/// How a transaction's record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(super) enum Record {
    /// It has none: whoever brought it keeps it.
    None,
    /// It is being written.
    Writing,
    /// It is durable: the transaction is acknowledged.
    Durable,
}

/// Where a transaction stands in the order.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize,
)]
pub(super) struct Place(u64);

impl Place {
    /// The first one.
    pub(super) const START: Self = Self(0);

    /// The one behind it.
    pub(super) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// There is no room for a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
struct Entry {
    bytes: Bytes,
    holder: Holder,
    record: Record,
    /// None until it may be in a block: its first record is being written.
    place: Option<Place>,
}

#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
struct Share {
    memory: usize,
    places: BTreeSet<Place>,
}

/// The table.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(super) struct Waiting {
    bound: usize,
    by_id: BTreeMap<TxId, Entry>,
    /// With its length, so that a search for what fits reads nothing else.
    by_place: BTreeMap<Place, (TxId, usize)>,
    shares: BTreeMap<Holder, Share>,
    end: Place,
    memory: usize,
    info: MempoolInfo,
}

/// Memory that a waiting transaction holds.
pub(super) const fn cost(length: usize) -> usize {
    length + TRANSACTION_COST
}

impl Waiting {
    /// Room for transactions that hold so many bytes of memory.
    pub(super) const fn new(bound: usize) -> Self {
        Self {
            bound,
            by_id: BTreeMap::new(),
            by_place: BTreeMap::new(),
            shares: BTreeMap::new(),
            end: Place(0),
            memory: 0,
            info: MempoolInfo { transactions: 0, bytes: 0 },
        }
    }

    pub(super) const fn holding(&self) -> Holding {
        holding("bytes of transactions", self.memory, self.bound)
    }

    /// How much is here.
    pub(super) const fn info(&self) -> MempoolInfo {
        self.info
    }

    /// The bytes of a transaction that may be in a block.
    pub(super) fn get(&self, id: &TxId) -> Option<&Bytes> {
        self.by_id.get(id).filter(|entry| entry.place.is_some()).map(|entry| &entry.bytes)
    }

    /// How the record of a transaction stands that is here.
    pub(super) fn record(&self, id: &TxId) -> Option<Record> {
        self.by_id.get(id).map(|entry| entry.record)
    }

    /// The place behind the last one.
    pub(super) const fn end(&self) -> Place {
        self.end
    }

    /// What may be in a block, from a place on: of everybody, or of one holder only.
    pub(super) fn starting_at(
        &self,
        from: Place,
        only: Option<Holder>,
    ) -> Box<dyn Iterator<Item = (Place, TxId)> + '_> {
        match only {
            None => Box::new(self.by_place.range(from..).map(|(place, (id, _))| (*place, *id))),
            Some(holder) => {
                let share = self.shares.get(&holder);
                let places = share.into_iter().flat_map(move |share| share.places.range(from..));
                Box::new(places.filter_map(|place| Some((*place, self.by_place.get(place)?.0))))
            }
        }
    }

    /// What fits into a payload of `room` bytes, oldest first; a younger one may take the room that an older one
    /// finds too small.
    pub(super) fn take(&self, mut room: usize) -> Vec<Bytes> {
        let fits = |(id, length): &(TxId, usize)| {
            room = room.checked_sub(FRAMING + length)?;
            self.get(id).cloned()
        };
        self.by_place.values().filter_map(fits).collect()
    }

    /// Takes in what is submitted here and is to be written. One that a peer has brought counts as ours from
    /// now on, and keeps its place.
    pub(super) fn write(&mut self, id: TxId, bytes: &Bytes) -> Result<(), Full> {
        let known = self.by_id.get(&id).map(|entry| entry.holder);
        if known != Some(Holder::Here) {
            let added = if known.is_some() { 0 } else { cost(bytes.len()) };
            let own = self.held(Holder::Here) + cost(bytes.len());
            if own > self.share() || self.memory + added > self.bound {
                return Err(Full);
            }
        }
        match self.remove(&id) {
            Some(entry) => self.insert(id, Entry { holder: Holder::Here, record: Record::Writing, ..entry }),
            // A copy: what was handed in may be a piece of a larger buffer, which it would keep.
            None => self.insert(
                id,
                Entry {
                    bytes: Bytes::copy_from_slice(bytes),
                    holder: Holder::Here,
                    record: Record::Writing,
                    place: None,
                },
            ),
        }
        Ok(())
    }

    /// The record of a transaction is durable: it may be in a block, behind all others unless it stood in the
    /// order before. Answers its bytes, or none if it is gone already.
    pub(super) fn written(&mut self, id: TxId) -> Option<Bytes> {
        let entry = self.remove(&id)?;
        let bytes = entry.bytes.clone();
        let place = entry.place.or_else(|| Some(self.allocate()));
        self.insert(id, Entry { record: Record::Durable, place, ..entry });
        Some(bytes)
    }

    /// Takes in what was acknowledged before a restart, whatever the bounds say now.
    pub(super) fn restore(&mut self, id: TxId, bytes: Bytes) {
        self.remove(&id);
        let place = Some(self.allocate());
        self.insert(id, Entry { bytes, holder: Holder::Here, record: Record::Durable, place });
    }

    /// Takes in what a peer brings and is not here.
    pub(super) fn bring(&mut self, id: TxId, bytes: &Bytes, holder: Holder) -> Result<(), Full> {
        self.make_room(cost(bytes.len()), holder)?;
        let place = Some(self.allocate());
        self.insert(id, Entry { bytes: bytes.clone(), holder, record: Record::None, place });
        Ok(())
    }

    /// Whether a peer could bring anything.
    pub(super) fn has_room(&self, holder: Holder) -> bool {
        self.victims(cost(1), holder).is_some()
    }

    /// Lets go of one; answers how its record stood.
    pub(super) fn forget(&mut self, id: &TxId) -> Option<Record> {
        self.remove(id).map(|entry| entry.record)
    }

    /// What one side, this node or all others, may hold.
    const fn share(&self) -> usize {
        self.bound / 4 * 3
    }

    fn held(&self, holder: Holder) -> usize {
        self.shares.get(&holder).map_or(0, |share| share.memory)
    }

    fn allocate(&mut self) -> Place {
        let place = self.end;
        self.end = place.next();
        place
    }

    fn insert(&mut self, id: TxId, entry: Entry) {
        let share = self.shares.entry(entry.holder).or_default();
        share.memory += cost(entry.bytes.len());
        if let Some(place) = entry.place {
            share.places.insert(place);
            self.by_place.insert(place, (id, entry.bytes.len()));
        }
        self.memory += cost(entry.bytes.len());
        self.info.transactions += 1;
        self.info.bytes += entry.bytes.len();
        self.by_id.insert(id, entry);
    }

    fn remove(&mut self, id: &TxId) -> Option<Entry> {
        let entry = self.by_id.remove(id)?;
        if let Some(share) = self.shares.get_mut(&entry.holder) {
            share.memory -= cost(entry.bytes.len());
            if let Some(place) = entry.place {
                share.places.remove(&place);
                self.by_place.remove(&place);
            }
            if share.memory == 0 {
                self.shares.remove(&entry.holder);
            }
        }
        self.memory -= cost(entry.bytes.len());
        self.info.transactions -= 1;
        self.info.bytes -= entry.bytes.len();
        Some(entry)
    }

    fn make_room(&mut self, needed: usize, holder: Holder) -> Result<(), Full> {
        let victims = self.victims(needed, holder).ok_or(Full)?;
        let missing = self.missing(needed);
        let target = self.memory.saturating_sub(missing);
        while self.memory > target {
            // Of those who may be asked to give way, the one who holds most; of that, the newest.
            let largest = self
                .shares
                .iter()
                .filter(|(holder, _)| victims.includes(holder))
                .max_by_key(|(_, share)| share.memory)
                .and_then(|(_, share)| share.places.last());
            let id = largest.and_then(|place| self.by_place.get(place)).ok_or(Full)?.0;
            self.remove(&id);
        }
        Ok(())
    }

    /// How much must go for a newcomer of this size that somebody else brings.
    fn missing(&self, needed: usize) -> usize {
        let relayed = self.memory - self.held(Holder::Here);
        (relayed + needed).saturating_sub(self.share()).max((self.memory + needed).saturating_sub(self.bound))
    }

    /// Who gives way for a newcomer; none if there is no room for it.
    fn victims(&self, needed: usize, newcomer: Holder) -> Option<Victims> {
        let missing = self.missing(needed);
        if missing == 0 {
            return Some(Victims::Nobody);
        }
        let others: usize = self.others().map(|(_, share)| share.memory).sum();
        if matches!(newcomer, Holder::Masternode(_)) && others >= missing {
            return Some(Victims::Others);
        }
        let same_rank =
            |holder: &Holder| matches!(holder, Holder::Other(_)) == matches!(newcomer, Holder::Other(_));
        let (holder, most) = self
            .shares
            .iter()
            .filter(|(holder, _)| **holder != Holder::Here && same_rank(holder))
            .max_by_key(|(_, share)| share.memory)?;
        let fair = most.memory.saturating_sub(missing) >= self.held(newcomer) + needed;
        fair.then_some(Victims::One(*holder))
    }

    fn others(&self) -> impl Iterator<Item = (&Holder, &Share)> {
        self.shares.iter().filter(|(holder, _)| matches!(holder, Holder::Other(_)))
    }
}

/// Whose transactions give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victims {
    /// There is room.
    Nobody,
    /// Those of whoever is not registered.
    Others,
    /// One peer's.
    One(Holder),
}

impl Victims {
    fn includes(self, holder: &Holder) -> bool {
        match self {
            Self::Nobody => false,
            Self::Others => matches!(holder, Holder::Other(_)),
            Self::One(victim) => victim == *holder,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c8_nothing_is_left_of_what_is_gone() {
        let mut waiting = Waiting::new(100 * cost(10));
        let brought = Bytes::from_static(&[1; 10]);
        for number in 0..200_u8 {
            let holder = match number % 2 {
                0 => Holder::Other(NodeId([number; 32])),
                _ => Holder::Masternode(NodeId([number; 32])),
            };
            let _ = waiting.bring(TxId([number; 32]), &brought, holder);
        }
        assert!(waiting.memory <= waiting.share() && waiting.memory + cost(10) > waiting.share());
        for number in 0..200 {
            let _ = waiting.forget(&TxId([number; 32]));
        }
        assert_eq!((waiting.memory, waiting.info), (0, MempoolInfo::default()));
        assert!(waiting.by_id.is_empty() && waiting.by_place.is_empty() && waiting.shares.is_empty());
    }
}
