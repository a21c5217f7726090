//! Persist before send: what a record must precede is parked until the record is durable.

use std::collections::VecDeque;

use crate::ids::Ticket;

/// Values parked behind tickets. Records become durable in order, so an answer releases everything parked
/// behind its ticket and the earlier ones.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct Gate<T> {
    next: u64,
    durable: u64,
    state: State,
    parked: VecDeque<(Ticket, T)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
enum State {
    Sound,
    /// A write failed: nothing passes any more.
    Poisoned,
}

/// What became of a value given to [`Gate::pass`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage<T> {
    /// Its record is durable: go on.
    Open(T),
    /// Kept until the record is durable.
    Parked,
    /// The gate is poisoned or full; the value is gone.
    Barred,
}

impl<T> Default for Gate<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Gate<T> {
    /// Nothing is issued or parked.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: 1, durable: 0, state: State::Sound, parked: VecDeque::new() }
    }

    /// What is parked, oldest ticket first.
    pub(crate) fn parked(&self) -> impl Iterator<Item = &T> {
        self.parked.iter().map(|(_, value)| value)
    }

    /// A ticket for a record about to be written.
    pub fn issue(&mut self) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        ticket
    }

    /// Lets `value` through if the record of `behind` is durable, else parks it; at most `bound` wait.
    pub fn pass(&mut self, behind: Ticket, value: T, bound: usize) -> Passage<T> {
        match self.state {
            State::Poisoned => Passage::Barred,
            State::Sound if behind.0 <= self.durable => Passage::Open(value),
            State::Sound if self.parked.len() >= bound => Passage::Barred,
            State::Sound => {
                // By ticket, so that nothing waits behind a later record than its own.
                let place = self.parked.iter().rposition(|(ticket, _)| *ticket <= behind);
                self.parked.insert(place.map_or(0, |place| place + 1), (behind, value));
                Passage::Parked
            }
        }
    }

    /// Forgets what is parked and not worth waiting for any more, if `bound` are parked.
    pub fn tidy(&mut self, bound: usize, worth: impl Fn(&T) -> bool) {
        if self.parked.len() >= bound {
            self.parked.retain(|(_, value)| worth(value));
        }
    }

    /// Records that everything up to `ticket` is durable. Take what this frees with [`Gate::next_open`].
    pub fn persisted(&mut self, ticket: Ticket) {
        if ticket.0 < self.next {
            self.durable = self.durable.max(ticket.0);
        }
    }

    /// The next parked value whose record is durable.
    pub fn next_open(&mut self) -> Option<T> {
        let (behind, _) = self.parked.front()?;
        if self.state == State::Poisoned || behind.0 > self.durable {
            return None;
        }
        self.parked.pop_front().map(|(_, value)| value)
    }

    /// Whether every record issued is durable, or none ever will be.
    pub fn is_settled(&self) -> bool {
        self.state == State::Poisoned || self.durable + 1 >= self.next
    }

    /// A write failed: drops what is parked and lets nothing pass any more.
    pub fn poison(&mut self) {
        self.state = State::Poisoned;
        self.parked.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_passes_before_its_record() {
        let mut gate = Gate::new();
        let (first, second) = (gate.issue(), gate.issue());
        assert_eq!(gate.pass(first, 'a', 9), Passage::Parked);
        assert_eq!(gate.pass(second, 'b', 9), Passage::Parked);
        assert_eq!(gate.next_open(), None);
        gate.persisted(first);
        assert_eq!((gate.next_open(), gate.next_open()), (Some('a'), None));
        assert!(!gate.is_settled());
        gate.persisted(second);
        assert!(gate.is_settled());
        assert_eq!(gate.next_open(), Some('b'));
        assert_eq!(gate.pass(first, 'c', 9), Passage::Open('c'));
    }

    #[test]
    fn nothing_waits_for_a_later_record_than_its_own() {
        let mut gate = Gate::new();
        let (first, second) = (gate.issue(), gate.issue());
        for (behind, value) in [(second, 'c'), (first, 'a'), (second, 'd'), (first, 'b')] {
            assert_eq!(gate.pass(behind, value, 9), Passage::Parked);
        }
        gate.persisted(first);
        assert_eq!((gate.next_open(), gate.next_open(), gate.next_open()), (Some('a'), Some('b'), None));
        gate.persisted(second);
        assert_eq!((gate.next_open(), gate.next_open()), (Some('c'), Some('d')));
    }

    #[test]
    fn a_failed_write_bars_for_ever() {
        let mut gate = Gate::new();
        let ticket = gate.issue();
        let _ = gate.pass(ticket, 'a', 9);
        gate.poison();
        gate.persisted(ticket);
        assert_eq!(gate.next_open(), None);
        assert_eq!(gate.pass(ticket, 'b', 9), Passage::Barred);
    }

    #[test]
    fn a_ticket_never_issued_opens_nothing() {
        let mut gate = Gate::new();
        let ticket = gate.issue();
        gate.persisted(Ticket(99));
        assert_eq!(gate.pass(ticket, 'a', 9), Passage::Parked);
    }
}
