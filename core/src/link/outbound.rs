//! The way out of one link: four bounded lanes of frames, sealed into records only when the socket has room
//! (rules W-3 to W-5).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::crypto::Session;
use crate::limits::{
    FRAME_COST, FRAME_HEADER, FRAME_REUSED, Holding, Limits, MAX_RECORD_PLAINTEXT, RECORD_OVERHEAD,
    RECORD_PREFIX, holding,
};
use crate::wire::frame;
use crate::wire::message::{Lane, Message};
use crate::wire::record;

/// An encoded frame, shared by all links that it waits on.
pub(crate) type Frame = Arc<Vec<u8>>;

/// A record is not begun for less room than this.
const LEAST_ROOM: usize = 256;
/// A lane's queue keeps room for this many frames when it runs empty.
const QUEUE_KEPT: usize = 64;

/// Frame buffers used again once no link holds them any more, so that steady traffic allocates nothing.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct FramePool {
    /// Empty in a recorded state, and in the node whose state it is.
    #[serde(skip)]
    ring: Vec<Frame>,
    next: usize,
    bound: usize,
}

impl FramePool {
    pub(crate) const fn new(bound: usize) -> Self {
        Self { ring: Vec::new(), next: 0, bound }
    }

    pub(crate) fn holding(&self) -> Holding {
        holding("free frame buffers", self.ring.len(), self.bound)
    }

    /// Drops the free buffers. A recorded state is without them, and which of them would be used again decides how
    /// much memory a frame counts for.
    pub(crate) fn forget(&mut self) {
        self.ring.clear();
        self.next = 0;
    }

    /// Encodes a message once, for any number of links.
    pub(crate) fn encode(&mut self, message: &Message) -> Frame {
        self.fill(|out| frame::append_frame(message, out))
    }

    /// Copies an encoded frame. One that is too large to be kept for others holds no more than it needs.
    pub(crate) fn fill(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Frame {
        for _ in 0..self.ring.len().min(4) {
            self.next = (self.next + 1) % self.ring.len();
            let Some(slot) = self.ring.get_mut(self.next) else { break };
            if let Some(buffer) = Arc::get_mut(slot) {
                buffer.clear();
                write(buffer);
                if buffer.capacity() > FRAME_REUSED {
                    buffer.shrink_to_fit();
                    return std::mem::take(slot);
                }
                return Arc::clone(slot);
            }
        }
        let mut buffer = Vec::new();
        write(&mut buffer);
        if buffer.capacity() > FRAME_REUSED {
            buffer.shrink_to_fit();
            return Arc::new(buffer);
        }
        let fresh = Arc::new(buffer);
        if self.ring.len() < self.bound {
            self.ring.push(Arc::clone(&fresh));
        } else if let Some(slot) = self.ring.get_mut(self.next) {
            *slot = Arc::clone(&fresh);
        }
        fresh
    }
}

#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
struct LaneQueue {
    #[serde(with = "crate::recorded::frames")]
    frames: VecDeque<Frame>,
    /// Bytes of the first frame that went out already.
    sent: usize,
    /// Bytes that have not gone out.
    bytes: usize,
    /// Memory that the frames hold, their places in the queue included.
    held: usize,
}

/// Memory that a waiting frame holds.
fn cost(frame: &Frame) -> usize {
    frame.capacity() + FRAME_COST
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queued {
    /// It waits; nothing waited on any lane before.
    First,
    /// It waits behind others.
    Behind,
    /// It waits, and this many older ones of its lane were dropped.
    Dropped(usize),
    /// The lane is full and drops nothing.
    Full,
}

/// The lanes of one link.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Outbound {
    control: LaneQueue,
    payload: LaneQueue,
    relay: LaneQueue,
    bulk: LaneQueue,
}

impl Outbound {
    fn lane_mut(&mut self, lane: Lane) -> &mut LaneQueue {
        match lane {
            Lane::Control => &mut self.control,
            Lane::Payload => &mut self.payload,
            Lane::Relay => &mut self.relay,
            Lane::Bulk => &mut self.bulk,
        }
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.control.bytes + self.payload.bytes + self.relay.bytes + self.bulk.bytes
    }

    /// Memory that the frames of the bulk lane hold: what serving tops up to its own, lower bound.
    pub(crate) fn bulk_held(&self) -> usize {
        self.bulk.held
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// Memory that what waits on a lane holds.
    pub(crate) const fn held(&self, lane: Lane) -> usize {
        match lane {
            Lane::Control => self.control.held,
            Lane::Payload => self.payload.held,
            Lane::Relay => self.relay.held,
            Lane::Bulk => self.bulk.held,
        }
    }

    /// Queues a frame on its lane. A full relay lane drops its oldest whole frames; the others refuse.
    pub(crate) fn push(&mut self, lane: Lane, frame: Frame, limits: &Limits) -> Queued {
        let bound = match lane {
            Lane::Control => limits.control_lane,
            Lane::Payload => limits.payload_lane,
            Lane::Relay => limits.relay_lane,
            Lane::Bulk => limits.bulk_lane,
        };
        let first = self.is_empty();
        let queue = self.lane_mut(lane);
        let mut dropped = 0;
        while queue.held + cost(&frame) > bound {
            // The frame under way cannot be dropped: the peer has its beginning.
            let droppable = usize::from(queue.sent > 0);
            if lane != Lane::Relay || queue.frames.len() <= droppable {
                return Queued::Full;
            }
            if let Some(oldest) = queue.frames.remove(droppable) {
                queue.bytes -= oldest.len();
                queue.held -= cost(&oldest);
                dropped += 1;
            }
        }
        queue.bytes += frame.len();
        queue.held += cost(&frame);
        queue.frames.push_back(frame);
        match (dropped, first) {
            (0, true) => Queued::First,
            (0, false) => Queued::Behind,
            (dropped, _) => Queued::Dropped(dropped),
        }
    }

    /// Drops everything that waits, except what is left of a frame under way on the control lane, so that a
    /// goodbye can follow.
    pub(crate) fn abandon(&mut self) {
        let under_way = self.control.frames.front().filter(|_| self.control.sent > 0).cloned();
        let sent = self.control.sent;
        *self = Self::default();
        if let Some(frame) = under_way {
            self.control.bytes = frame.len() - sent;
            self.control.held = cost(&frame);
            self.control.sent = sent;
            self.control.frames.push_back(frame);
        }
    }

    /// Drops everything that waits on the other lanes than control.
    pub(crate) fn abandon_all_but_control(&mut self) {
        let control = std::mem::take(&mut self.control);
        *self = Self { control, ..Self::default() };
    }

    /// Seals what waits into records, most urgent lane first, one record a lane and round, while `room` lasts.
    /// Answers the bytes appended to `out`.
    pub(crate) fn seal(&mut self, session: &mut dyn Session, room: usize, out: &mut Vec<u8>) -> usize {
        let begun = out.len();
        while let Some(lane) = Lane::ALL.into_iter().find(|lane| self.lane_mut(*lane).bytes > 0) {
            let used = out.len() - begun;
            let left = room.saturating_sub(used);
            if left < LEAST_ROOM {
                break;
            }
            let space = (left - RECORD_PREFIX - RECORD_OVERHEAD - 1).min(MAX_RECORD_PLAINTEXT - 1);
            let start = record::begin(out, lane);
            self.lane_mut(lane).take(space, out);
            record::finish(out, start, session);
        }
        out.len() - begun
    }
}

impl LaneQueue {
    /// Moves up to `space` bytes to `out`; a frame may be cut anywhere.
    fn take(&mut self, mut space: usize, out: &mut Vec<u8>) {
        while let Some(frame) = self.frames.front() {
            let rest = frame.get(self.sent..).unwrap_or_default();
            let part = rest.get(..space.min(rest.len())).unwrap_or_default();
            out.extend_from_slice(part);
            space -= part.len();
            self.bytes -= part.len();
            self.sent += part.len();
            if self.sent < frame.len() {
                return;
            }
            self.held -= cost(frame);
            self.frames.pop_front();
            self.sent = 0;
        }
        if self.frames.capacity() > QUEUE_KEPT {
            self.frames.shrink_to(QUEUE_KEPT);
        }
    }
}

const _: () = assert!(LEAST_ROOM > RECORD_PREFIX + RECORD_OVERHEAD + 1 + FRAME_HEADER);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::Ping;

    fn limits(lane: usize) -> Limits {
        Limits { control_lane: lane, relay_lane: lane, ..Limits::default() }
    }

    fn frame(pool: &mut FramePool, length: usize) -> Frame {
        pool.fill(|out| out.resize(length, 7))
    }

    #[test]
    fn c8_a_lane_counts_what_its_frames_hold() {
        let (mut pool, mut out, limits) = (FramePool::new(4), Outbound::default(), limits(10_000));
        let mut waiting = 0;
        while out.push(Lane::Control, frame(&mut pool, 14), &limits) != Queued::Full {
            waiting += 1;
        }
        assert!((10_000 / (FRAME_COST + 40)..=10_000 / (FRAME_COST + 14)).contains(&waiting), "{waiting}");
        assert_eq!(out.bytes(), 14 * waiting);
        assert_eq!(out.control.held, out.control.frames.iter().map(cost).sum());
    }

    #[test]
    fn c8_what_is_held_is_given_back_in_every_way_that_a_frame_leaves() {
        let (mut pool, mut out, limits) = (FramePool::new(4), Outbound::default(), limits(10_000));
        for _ in 0..200 {
            let _ = out.push(Lane::Relay, frame(&mut pool, 300), &limits);
        }
        assert!(out.relay.held <= 10_000 && out.relay.held > 9_000);
        let mut sent = Vec::new();
        out.relay.take(450, &mut sent);
        assert_eq!(out.relay.held, out.relay.frames.iter().map(cost).sum());
        out.relay.take(usize::MAX, &mut sent);
        assert_eq!((out.relay.held, out.bytes()), (0, 0));

        for _ in 0..3 {
            let _ = out.push(Lane::Control, frame(&mut pool, 300), &limits);
        }
        out.control.take(100, &mut sent);
        out.abandon();
        assert_eq!((out.control.frames.len(), out.bytes()), (1, 200));
        assert_eq!(out.control.held, cost(&out.control.frames[0]));
    }

    #[test]
    fn c8_the_pool_keeps_few_and_small_buffers() {
        let mut pool = FramePool::new(4);
        let frames: Vec<Frame> = (0..100).map(|_| pool.encode(&Message::Ping(Ping { token: 1 }))).collect();
        assert_eq!((pool.ring.len(), frames.len()), (4, 100));
        drop(frames);
        let largest = frame(&mut pool, 65_542);
        assert_eq!(largest.capacity(), 65_542);
        for length in [1, FRAME_REUSED, 3 * FRAME_REUSED, 9] {
            let _ = frame(&mut pool, length);
        }
        assert!(pool.ring.iter().all(|kept| kept.capacity() <= FRAME_REUSED));
    }

    #[test]
    fn a_free_buffer_is_filled_anew_and_stays_in_the_pool() {
        let mut pool = FramePool::new(4);
        let mut held: Vec<Frame> = (0..4).map(|_| frame(&mut pool, 100)).collect();
        let free = held.swap_remove(2);
        let place = Arc::as_ptr(&free);
        drop(free);
        // Wherever the pool looks first, it finds the one that nobody holds.
        for length in [10, FRAME_REUSED, 7] {
            let used = pool.fill(|out| out.extend_from_slice(&vec![9; length]));
            assert_eq!((Arc::as_ptr(&used), &used[..]), (place, &vec![9; length][..]));
            assert_eq!(Arc::strong_count(&used), 2, "the pool keeps it");
        }
    }

    #[test]
    fn a_buffer_replaces_one_that_is_held_on_to() {
        let mut pool = FramePool::new(2);
        let held: Vec<Frame> = (0..2).map(|_| frame(&mut pool, 10)).collect();
        let newest = frame(&mut pool, 10);
        let place = Arc::as_ptr(&newest);
        drop(newest);
        assert_eq!((Arc::as_ptr(&frame(&mut pool, 20)), held.len()), (place, 2));
    }

    #[test]
    fn c8_a_large_frame_holds_no_more_than_its_bytes() {
        let mut pool = FramePool::new(4);
        let _ = frame(&mut pool, 10);
        for _ in 0..2 {
            // Grown piece by piece, into a buffer of the pool or into a new one.
            let large = pool.fill(|out| (0..5_000).for_each(|_| out.extend_from_slice(&[1; 13])));
            assert_eq!((large.len(), large.capacity()), (65_000, 65_000));
            pool = FramePool::new(4);
        }
    }

    /// A frame whose bytes all say which it is.
    fn numbered(number: u8) -> Frame {
        Arc::new(vec![number; 100])
    }

    #[test]
    fn w_5_a_full_relay_lane_drops_its_oldest_and_the_others_refuse() {
        let limits = limits(3 * cost(&numbered(0)));
        let mut out = Outbound::default();
        let answers = [1, 2, 3, 4].map(|number| out.push(Lane::Relay, numbered(number), &limits));
        assert_eq!(answers, [Queued::First, Queued::Behind, Queued::Behind, Queued::Dropped(1)]);
        let mut sent = Vec::new();
        out.relay.take(30, &mut sent);
        // The frame under way is finished: the one behind it gives way.
        assert_eq!(out.push(Lane::Relay, numbered(5), &limits), Queued::Dropped(1));
        let wide = Arc::new(vec![6; 100 + cost(&numbered(0))]);
        assert_eq!(out.push(Lane::Relay, wide, &limits), Queued::Dropped(2));
        out.relay.take(usize::MAX, &mut sent);
        sent.dedup();
        assert_eq!((sent, out.is_empty()), (vec![2, 6], true));
        assert_eq!(out.push(Lane::Relay, Arc::new(vec![7; 3_000]), &limits), Queued::Full, "never fits");

        let answers = [1, 2, 3, 4].map(|number| out.push(Lane::Control, numbered(number), &limits));
        assert_eq!(answers, [Queued::First, Queued::Behind, Queued::Behind, Queued::Full]);
        assert_eq!(out.push(Lane::Relay, numbered(5), &limits), Queued::Behind);
    }

    #[test]
    fn w_4_frames_leave_in_pieces_of_any_size_without_loss() {
        for piece in [1, 7, 99, 100, 101, 250, 1_000] {
            let (mut out, limits, mut sent) = (Outbound::default(), limits(10_000), Vec::new());
            for number in 1..=5 {
                let _ = out.push(Lane::Relay, numbered(number), &limits);
            }
            while !out.is_empty() {
                let before = sent.len();
                out.relay.take(piece, &mut sent);
                assert_eq!(sent.len() - before, piece.min(500 - before));
            }
            assert_eq!(sent, [[1; 100], [2; 100], [3; 100], [4; 100], [5; 100]].concat());
        }
    }

    #[test]
    fn w_5_what_is_abandoned_is_whole_frames_and_a_goodbye_can_follow() {
        for (under_way, left) in [(0, vec![]), (30, vec![1; 70])] {
            let (mut out, limits, mut sent) = (Outbound::default(), limits(10_000), Vec::new());
            for lane in [Lane::Control, Lane::Control, Lane::Relay, Lane::Payload, Lane::Bulk] {
                let _ = out.push(lane, numbered(1), &limits);
            }
            out.control.take(under_way, &mut sent);
            out.abandon();
            let _ = out.push(Lane::Control, numbered(2), &limits);
            sent.clear();
            out.control.take(usize::MAX, &mut sent);
            assert_eq!(sent, [left, vec![2; 100]].concat());
            assert!(out.is_empty());
        }
    }
}
