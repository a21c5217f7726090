//! The ring that a recorder fills: segments, each a state of the machine and what happened from there on. When there is
//! no more room the oldest goes, and its memory is used again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::flight::Recorded;
use crate::flight::file::Segment;
use crate::time::Mono;

/// A segment is over when so much has happened in it, or four times what its state takes.
const SEGMENT: usize = 4 << 20;
/// The longest single call and what comes of it, for the room that is made beforehand.
const CALL: usize = 256 << 10;

/// The ring.
#[derive(Debug)]
pub(super) struct Tape {
    room: usize,
    /// The oldest first, with the time at which they begin.
    over: VecDeque<(Mono, Arc<Segment>)>,
    under_way: Option<(Mono, Segment)>,
    /// What was dropped last: memory for the next.
    spare: Segment,
    /// When something was written last.
    last: Mono,
    states: u64,
    dropped: u64,
}

/// How the segment under way is related to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seam {
    /// It goes on where that one ends.
    Continuous,
    /// Something between them is missing: what came before cannot be replayed up to here.
    Gap,
}

impl Tape {
    pub(super) const fn new(room: usize) -> Self {
        Self {
            room,
            over: VecDeque::new(),
            under_way: None,
            spare: Segment::EMPTY,
            last: Mono(0),
            states: 0,
            dropped: 0,
        }
    }

    /// Bytes of what happens in a segment, whose state takes so many: then the next begins.
    pub(super) fn segment(&self, state: usize) -> usize {
        SEGMENT.max(state.saturating_mul(4)).min(self.room / 4)
    }

    /// Whether a state of so many bytes leaves room for what happens.
    pub(super) const fn has_room_for(&self, state: usize) -> bool {
        state <= self.room / 2
    }

    /// Everything from the oldest state that is left, in order.
    pub(super) fn segments(&self) -> Vec<Arc<Segment>> {
        let under_way = self.under_way.as_ref().map(|(_, segment)| Arc::new(segment.clone()));
        self.over.iter().map(|(_, segment)| Arc::clone(segment)).chain(under_way).collect()
    }

    pub(super) fn recorded(&self) -> Recorded {
        let begun = self.over.front().map(|(begun, _)| *begun);
        let begun = begun.or_else(|| self.under_way.as_ref().map(|(begun, _)| *begun));
        Recorded {
            bytes: self.held(),
            span: begun.map_or(Duration::ZERO, |begun| self.last.since(begun)),
            states: self.states,
            dropped: self.dropped,
        }
    }

    fn held(&self) -> usize {
        let over: usize = self.over.iter().map(|(_, segment)| segment.len()).sum();
        over + self.under_way.as_ref().map_or(0, |(_, segment)| segment.len())
    }

    /// Memory for the next state.
    pub(super) fn take_state(&mut self) -> Vec<u8> {
        let mut state = std::mem::take(&mut self.spare.state);
        state.clear();
        state
    }

    /// The segment under way is over, and the next begins with this state.
    pub(super) fn begin(&mut self, now: Mono, seam: Seam, state: Vec<u8>) {
        if let Some((begun, segment)) = self.under_way.take() {
            self.over.push_back((begun, Arc::new(segment)));
        }
        if seam == Seam::Gap {
            self.dropped += self.over.len() as u64;
            self.over.clear();
        }
        let length = self.segment(state.len());
        while self.held() + state.len() + length > self.room
            && let Some((_, oldest)) = self.over.pop_front()
        {
            self.dropped += 1;
            // Whoever writes it to a file at present frees it.
            self.spare = Arc::into_inner(oldest).unwrap_or(Segment::EMPTY);
        }
        let mut log = std::mem::take(&mut self.spare.log);
        log.clear();
        log.reserve_exact(length + CALL);
        self.under_way = Some((now, Segment { state, log }));
        self.last = now;
        self.states += 1;
    }

    /// Appends to the segment under way.
    pub(super) fn append(&mut self, now: Mono, entries: &[u8]) {
        self.last = now;
        if let Some((_, segment)) = &mut self.under_way {
            segment.log.extend_from_slice(entries);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 1 << 20;

    fn filled(tape: &mut Tape, second: u64, seam: Seam) {
        let now = Mono(second * 1_000_000_000);
        tape.begin(now, seam, vec![1; 1000]);
        tape.append(now, &vec![2; tape.segment(1000)]);
    }

    #[test]
    fn the_oldest_gives_way_before_there_is_no_room() {
        let mut tape = Tape::new(ROOM);
        for second in 0..10 {
            filled(&mut tape, second, Seam::Continuous);
            assert!(tape.recorded().bytes <= ROOM);
        }
        let Recorded { states, dropped, span, .. } = tape.recorded();
        assert_eq!((states, dropped, span), (10, 7, Duration::from_secs(2)));
        assert_eq!(tape.segments().len(), 3);
    }

    #[test]
    fn memory_of_what_was_dropped_is_used_again_unless_somebody_holds_it() {
        let mut tape = Tape::new(ROOM);
        (0..4).for_each(|second| filled(&mut tape, second, Seam::Continuous));
        let oldest = tape.segments()[0].log.as_ptr();
        filled(&mut tape, 5, Seam::Continuous);
        assert_eq!(tape.under_way.as_ref().unwrap().1.log.as_ptr(), oldest);
        let held = tape.segments();
        filled(&mut tape, 6, Seam::Continuous);
        assert_ne!(tape.under_way.as_ref().unwrap().1.log.as_ptr(), held[0].log.as_ptr());
        assert!(held[0].log.iter().all(|byte| *byte == 2));
    }

    #[test]
    fn what_came_before_a_gap_is_dropped() {
        let mut tape = Tape::new(ROOM);
        (0..3).for_each(|second| filled(&mut tape, second, Seam::Continuous));
        filled(&mut tape, 9, Seam::Gap);
        assert_eq!(tape.segments().len(), 1);
        assert_eq!(tape.recorded().dropped, 3);
    }
}
