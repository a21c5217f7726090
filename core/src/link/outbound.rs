//! The way out of one link: four bounded lanes of frames, sealed into records only when the socket has room
//! (rules W-3 to W-5).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::crypto::Session;
use crate::limits::{FRAME_HEADER, Limits, MAX_RECORD_PLAINTEXT, RECORD_OVERHEAD, RECORD_PREFIX};
use crate::wire::frame;
use crate::wire::message::{Lane, Message};
use crate::wire::record;

/// An encoded frame, shared by all links that it waits on.
pub(crate) type Frame = Arc<Vec<u8>>;

/// A record is not begun for less room than this.
const LEAST_ROOM: usize = 256;
/// A lane's queue keeps room for this many frames when it runs empty.
const QUEUE_KEPT: usize = 64;
/// A frame's buffer is used again only up to this size.
const REUSED_UP_TO: usize = 4096;

/// Frame buffers used again once no link holds them any more, so that steady traffic allocates nothing.
#[derive(Clone, Debug)]
pub(crate) struct FramePool {
    ring: Vec<Frame>,
    next: usize,
    bound: usize,
}

impl FramePool {
    pub(crate) const fn new(bound: usize) -> Self {
        Self { ring: Vec::new(), next: 0, bound }
    }

    /// Encodes a message once, for any number of links.
    pub(crate) fn encode(&mut self, message: &Message) -> Frame {
        self.fill(|out| frame::append_frame(message, out))
    }

    /// Copies an encoded frame.
    pub(crate) fn fill(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Frame {
        for _ in 0..self.ring.len().min(4) {
            self.next = (self.next + 1) % self.ring.len();
            let Some(slot) = self.ring.get_mut(self.next) else { break };
            if let Some(buffer) = Arc::get_mut(slot)
                && buffer.capacity() <= REUSED_UP_TO
            {
                buffer.clear();
                write(buffer);
                return Arc::clone(slot);
            }
        }
        let mut buffer = Vec::new();
        write(&mut buffer);
        let fresh = Arc::new(buffer);
        if self.ring.len() < self.bound {
            self.ring.push(Arc::clone(&fresh));
        } else if let Some(slot) = self.ring.get_mut(self.next) {
            *slot = Arc::clone(&fresh);
        }
        fresh
    }
}

#[derive(Clone, Debug, Default)]
struct LaneQueue {
    frames: VecDeque<Frame>,
    /// Bytes of the first frame that went out already.
    sent: usize,
    bytes: usize,
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
#[derive(Clone, Debug, Default)]
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

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes() == 0
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
        while queue.bytes + frame.len() > bound {
            // The frame under way cannot be dropped: the peer has its beginning.
            let droppable = usize::from(queue.sent > 0);
            if lane != Lane::Relay || queue.frames.len() <= droppable {
                return Queued::Full;
            }
            if let Some(oldest) = queue.frames.remove(droppable) {
                queue.bytes -= oldest.len();
                dropped += 1;
            }
        }
        queue.bytes += frame.len();
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
            self.control.sent = sent;
            self.control.frames.push_back(frame);
        }
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
            self.frames.pop_front();
            self.sent = 0;
        }
        if self.frames.capacity() > QUEUE_KEPT {
            self.frames.shrink_to(QUEUE_KEPT);
        }
    }
}

const _: () = assert!(LEAST_ROOM > RECORD_PREFIX + RECORD_OVERHEAD + 1 + FRAME_HEADER);
