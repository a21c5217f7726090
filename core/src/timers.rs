//! All deadlines of a node: at most one a key, the earliest in constant time.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Mono;

/// A table of deadlines. Arming a key again replaces its deadline, so there is nothing to cancel or leak.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
#[serde(bound(deserialize = "K: serde::Deserialize<'de> + Ord"))]
pub(crate) struct Timers<K> {
    by_key: BTreeMap<K, Mono>,
    by_time: BTreeSet<(Mono, K)>,
}

impl<K: Copy + Ord> Timers<K> {
    pub(crate) const fn new() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Sets, moves or (with `None`) removes the deadline of a key.
    pub(crate) fn set(&mut self, key: K, at: Option<Mono>) {
        let before = match at {
            Some(at) => self.by_key.insert(key, at),
            None => self.by_key.remove(&key),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, key));
        }
        if let Some(at) = at {
            self.by_time.insert((at, key));
        }
    }

    /// Moves the deadline of a key forward to `at`, unless it is due before.
    pub(crate) fn earlier(&mut self, key: K, at: Mono) {
        if self.by_key.get(&key).is_none_or(|before| at < *before) {
            self.set(key, Some(at));
        }
    }

    /// How many are armed.
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The earliest deadline.
    pub(crate) fn earliest(&self) -> Option<Mono> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes one key whose deadline has passed, earliest first.
    pub(crate) fn pop_due(&mut self, now: Mono) -> Option<K> {
        let (at, key) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.set(key, None);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_deadline_a_key() {
        let mut timers = Timers::new();
        timers.set('a', Some(Mono(5)));
        timers.set('b', Some(Mono(3)));
        timers.set('a', Some(Mono(1)));
        assert_eq!(timers.earliest(), Some(Mono(1)));
        timers.set('a', None);
        assert_eq!((timers.pop_due(Mono(2)), timers.pop_due(Mono(3))), (None, Some('b')));
        assert_eq!(timers.earliest(), None);
    }
}
