//! One TCP connection as two directed byte pipes between two ends.
//!
//! A pipe keeps order and loses nothing while its two ends live: what a path drops is sent again, later and
//! later, as TCP does. What can be lost is the connection.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use timed_core::TransportCause;

use super::clock::SimTime;
use super::host::HostId;

/// First wait before lost bytes are sent again; doubles up to [`RETRY_MOST`].
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(200);
/// Longest wait before lost bytes are sent again.
pub(crate) const RETRY_MOST: Duration = Duration::from_secs(30);
/// A receiver that has no more room than this, or than half its buffer, tells of none: bytes that are read a few at a
/// time do not come a few at a time (RFC 9293, 3.8.6.2.2).
const WORTH_SENDING: usize = 1_460;

/// Names one TCP connection of the world; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TcpId(pub(crate) u64);

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The one that sent the SYN.
    Dialer,
    /// The one that it was sent to.
    Acceptor,
}

impl Side {
    /// Both, the dialer first.
    pub const BOTH: [Self; 2] = [Self::Dialer, Self::Acceptor];

    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Acceptor,
            Self::Acceptor => Self::Dialer,
        }
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Dialer => 0,
            Self::Acceptor => 1,
        }
    }
}

/// The life of one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndState {
    /// No such end (yet, or any more): what arrives for it is answered with RST if its host is on.
    Gone,
    /// SYN sent, nothing heard.
    SynSent,
    /// SYN answered, the last step of the kernel's handshake missing.
    SynReceived,
    /// Established; the process has it, or it waits to be accepted.
    Open,
    /// The process has closed it; the kernel still delivers what was written.
    Closing,
}

/// One end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) host: HostId,
    pub(crate) addr: SocketAddr,
    pub(crate) state: EndState,
    /// What the process is to be told instead of further bytes.
    pub(crate) error: Option<TransportCause>,
    /// Whether the process has it: a dialer at once, an acceptor after `accept`.
    pub(crate) owner: Owner,
    /// Whether it stands in its host's queue of ready ends.
    pub(crate) announced: bool,
    /// The process waits for space to write.
    pub(crate) wants_space: bool,
}

/// Who has an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Kernel,
    Process,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Tcp {
    /// The dialer, the acceptor.
    pub(crate) ends: [End; 2],
    /// What the dialer sends, what the acceptor sends.
    pub(crate) pipes: [Pipe; 2],
    /// When the acceptor's process got it.
    pub(crate) accepted_at: Option<SimTime>,
    /// Something on the way has forgotten it: none of its packets arrive any more.
    pub(crate) severed: bool,
}

/// How far the end of a pipe's stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fin {
    Open,
    /// To be sent after the last byte.
    Queued,
    Sent,
    Arrived,
}

/// A piece of the stream on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) len: usize,
    pub(crate) fin: bool,
}

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Pipe {
    /// Written by the sender and not yet with the receiver; the first `flying` bytes are on their way.
    queue: VecDeque<u8>,
    flying: usize,
    segments: VecDeque<Segment>,
    /// Segments of an earlier flight were lost: their arrival means nothing.
    pub(crate) flight: u32,
    /// With the receiver's kernel, not yet read.
    inbox: VecDeque<u8>,
    /// Acknowledgements on their way back.
    acks: VecDeque<(SimTime, usize)>,
    unacked: usize,
    /// Acknowledgements that were lost.
    pub(crate) acks_lost: usize,
    send_buffer: usize,
    receive_buffer: usize,
    pub(crate) fin: Fin,
    /// The next wait before sending again.
    retry_after: Duration,
    /// A retry is on the agenda: nothing is sent before.
    pub(crate) retrying: bool,
    /// Since when nothing has come through.
    pub(crate) stuck_since: Option<SimTime>,
    /// Arrival of the last segment sent: order is kept.
    pub(crate) last_arrival: SimTime,
}

impl Pipe {
    pub(crate) const fn new(send_buffer: usize, receive_buffer: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            flying: 0,
            segments: VecDeque::new(),
            flight: 0,
            inbox: VecDeque::new(),
            acks: VecDeque::new(),
            unacked: 0,
            acks_lost: 0,
            send_buffer,
            receive_buffer,
            fin: Fin::Open,
            retry_after: RETRY_FIRST,
            retrying: false,
            stuck_since: None,
            last_arrival: SimTime(0),
        }
    }

    /// How many bytes the sender's kernel takes now.
    pub(crate) fn space(&mut self, now: SimTime) -> usize {
        while let Some((at, len)) = self.acks.front().copied()
            && at <= now
        {
            self.unacked -= len;
            self.acks.pop_front();
        }
        self.send_buffer.saturating_sub(self.queue.len() + self.unacked)
    }

    /// When the next acknowledgement arrives.
    pub(crate) fn next_ack(&self) -> Option<SimTime> {
        self.acks.front().map(|(at, _)| *at)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.queue.extend(bytes);
    }

    /// How many bytes may be sent now: written, not flying, and with room at the receiver.
    pub(crate) fn sendable(&self) -> usize {
        let room = self.receive_buffer.saturating_sub(self.inbox.len() + self.flying);
        let waits = self.queue.len() - self.flying;
        if room < waits.min(WORTH_SENDING).min(self.receive_buffer / 2) { 0 } else { waits.min(room) }
    }

    /// Whether everything written is on its way or with the receiver.
    pub(crate) fn all_sent(&self) -> bool {
        self.queue.len() == self.flying
    }

    pub(crate) fn launch(&mut self, segment: Segment) {
        self.flying += segment.len;
        self.segments.push_back(segment);
        if segment.fin {
            self.fin = Fin::Sent;
        }
    }

    /// The oldest segment in flight, of which the event has come.
    pub(crate) fn land(&mut self) -> Option<Segment> {
        self.segments.pop_front()
    }

    /// The receiver's kernel has a segment; `ack_at` is when the sender knows, if ever.
    pub(crate) fn arrive(&mut self, segment: Segment, ack_at: Option<SimTime>) {
        let (head, tail) = self.queue.as_slices();
        let from_head = segment.len.min(head.len());
        self.inbox.extend(&head[..from_head]);
        self.inbox.extend(&tail[..segment.len - from_head]);
        self.queue.drain(..segment.len);
        self.flying -= segment.len;
        self.unacked += segment.len;
        match ack_at {
            Some(at) => self.acks.push_back((at, segment.len)),
            None => self.acks_lost += segment.len,
        }
        if segment.fin {
            self.fin = Fin::Arrived;
        }
        self.retry_after = RETRY_FIRST;
        self.stuck_since = None;
    }

    /// A segment did not arrive: it and all behind it are to be sent again. Returns after which wait.
    pub(crate) fn lose_flight(&mut self, now: SimTime) -> Duration {
        self.segments.clear();
        self.flying = 0;
        self.flight += 1;
        if self.fin == Fin::Sent {
            self.fin = Fin::Queued;
        }
        self.next_retry(now)
    }

    /// Counts one more futile attempt.
    pub(crate) fn next_retry(&mut self, now: SimTime) -> Duration {
        self.stuck_since.get_or_insert(now);
        let wait = self.retry_after;
        self.retry_after = (wait * 2).min(RETRY_MOST);
        wait
    }

    /// The acknowledgements that were lost come after all.
    pub(crate) fn recover_acks(&mut self, ack_at: SimTime) {
        if self.acks_lost > 0 {
            self.acks.push_back((ack_at, self.acks_lost));
            self.acks_lost = 0;
            self.stuck_since = None;
            self.retry_after = RETRY_FIRST;
        }
    }

    /// Takes at most `max` bytes that have arrived.
    pub(crate) fn read(&mut self, max: usize, out: &mut Vec<u8>) -> usize {
        let len = self.inbox.len().min(max);
        let (head, tail) = self.inbox.as_slices();
        let from_head = len.min(head.len());
        out.extend_from_slice(&head[..from_head]);
        out.extend_from_slice(&tail[..len - from_head]);
        self.inbox.drain(..len);
        len
    }

    pub(crate) fn unread(&self) -> usize {
        self.inbox.len()
    }

    /// Drops what has arrived and was not read.
    pub(crate) fn discard_unread(&mut self) {
        self.inbox.clear();
    }

    /// The sender's machine died: only what is on its way still arrives.
    pub(crate) fn sender_died(&mut self) {
        self.queue.truncate(self.flying);
        if self.fin == Fin::Queued {
            self.fin = Fin::Open;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_keeps_order_and_bounds_through_any_cut_and_loss() {
        let mut pipe = Pipe::new(100, 40);
        let mut written = Vec::new();
        let mut read = Vec::new();
        let mut next = 0u8;
        for round in 0..2000 {
            let now = SimTime(round as u64 * 10);
            let space = pipe.space(now);
            for _ in 0..space.min(7) {
                pipe.write(&[next]);
                written.push(next);
                next = next.wrapping_add(1);
            }
            while pipe.sendable() > 0 {
                let len = pipe.sendable().min(1 + round % 5);
                pipe.launch(Segment { len, fin: false });
            }
            if round % 7 == 3 {
                pipe.lose_flight(now);
            } else if let Some(segment) = pipe.land() {
                pipe.arrive(segment, Some(now + Duration::from_nanos(5)));
            }
            assert!(pipe.unread() <= 40 && pipe.queue.len() + pipe.unacked <= 100);
            if round % 3 == 0 {
                pipe.read(6, &mut read);
            }
        }
        assert!(read.len() > 2000, "{}", read.len());
        assert_eq!(read[..], written[..read.len()]);
    }

    #[test]
    fn the_window_opens_with_the_acknowledgement_only() {
        let mut pipe = Pipe::new(10, 100);
        pipe.write(&[1; 10]);
        assert_eq!(pipe.space(SimTime(0)), 0);
        pipe.launch(Segment { len: 10, fin: false });
        let segment = pipe.land().unwrap();
        pipe.arrive(segment, Some(SimTime(50)));
        assert_eq!((pipe.space(SimTime(49)), pipe.space(SimTime(50))), (0, 10));
        pipe.write(&[2; 4]);
        pipe.launch(Segment { len: 4, fin: false });
        let segment = pipe.land().unwrap();
        pipe.arrive(segment, None);
        assert_eq!(pipe.space(SimTime(1000)), 6);
        pipe.recover_acks(SimTime(2000));
        assert_eq!(pipe.space(SimTime(2000)), 10);
    }

    #[test]
    fn a_little_room_is_not_worth_a_segment() {
        let mut pipe = Pipe::new(100_000, 4_000);
        pipe.write(&[1; 10_000]);
        pipe.launch(Segment { len: pipe.sendable(), fin: false });
        let segment = pipe.land().unwrap();
        pipe.arrive(segment, None);
        let mut read = Vec::new();
        pipe.read(1_459, &mut read);
        assert_eq!(pipe.sendable(), 0);
        pipe.read(1, &mut read);
        assert_eq!(pipe.sendable(), 1_460);
        pipe.read(4_000, &mut read);
        assert_eq!((read.len(), pipe.sendable()), (4_000, 4_000));
        // The last bytes go as soon as they fit.
        let mut pipe = Pipe::new(100, 10);
        pipe.write(&[1; 12]);
        pipe.launch(Segment { len: pipe.sendable(), fin: false });
        let segment = pipe.land().unwrap();
        pipe.arrive(segment, None);
        pipe.read(1, &mut read);
        assert_eq!(pipe.sendable(), 0);
        pipe.read(1, &mut read);
        assert_eq!(pipe.sendable(), 2);
    }

    #[test]
    fn the_end_of_the_stream_is_sent_again_too() {
        let mut pipe = Pipe::new(10, 10);
        pipe.fin = Fin::Queued;
        pipe.launch(Segment { len: 0, fin: true });
        assert_eq!(pipe.fin, Fin::Sent);
        let first = pipe.lose_flight(SimTime(0));
        assert_eq!((pipe.fin, first), (Fin::Queued, RETRY_FIRST));
        assert_eq!(pipe.lose_flight(SimTime(1)), 2 * RETRY_FIRST);
    }
}
