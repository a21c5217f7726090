//! The ids of transactions that came into blocks lately: a late copy of one does not wait again.

use std::collections::{BTreeSet, VecDeque};

use crate::ids::TxId;
use crate::limits::{Holding, holding};

/// So many of the newest ids. Whether an older one is in a block is the application's to know.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(super) struct Recent {
    bound: usize,
    known: BTreeSet<Short>,
    order: VecDeque<Short>,
}

/// Half an id: to find another transaction with the same half is as hard as to forge a signature.
type Short = [u8; 16];

fn short(id: &TxId) -> Short {
    let mut short = Short::default();
    for (to, from) in short.iter_mut().zip(id.0) {
        *to = from;
    }
    short
}

impl Recent {
    pub(super) const fn new(bound: usize) -> Self {
        Self { bound, known: BTreeSet::new(), order: VecDeque::new() }
    }

    pub(super) fn holding(&self) -> Holding {
        holding("ids of included transactions", self.order.len(), self.bound)
    }

    /// Remembers one, and forgets the oldest where there are too many.
    pub(super) fn insert(&mut self, id: &TxId) {
        if !self.known.insert(short(id)) {
            return;
        }
        self.order.push_back(short(id));
        if self.order.len() > self.bound
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Whether it came into a block lately.
    pub(super) fn contains(&self, id: &TxId) -> bool {
        self.known.contains(&short(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c8_the_oldest_is_forgotten_first_and_none_is_counted_twice() {
        let id = |number: usize| TxId::of(&number.to_le_bytes());
        let mut recent = Recent::new(100);
        for number in 0..100 + 3 {
            recent.insert(&id(number));
            recent.insert(&id(number));
        }
        assert_eq!((recent.known.len(), recent.order.len()), (100, 100));
        assert!(!recent.contains(&id(2)) && recent.contains(&id(3)));
        assert!(recent.contains(&id(100 + 2)));
    }
}
