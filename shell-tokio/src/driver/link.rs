//! What the driver and the two tasks of a connection have in common: at most one buffer of sealed bytes on its way
//! out, and what the driver wants of the connection. Holds no memory for a link that is idle.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use timed_core::{Reading, TransportCause};

use crate::limits::{BUDGET, CAREFUL_BUDGET, CHUNKS};

/// One connection, as its tasks see it.
#[derive(Debug)]
pub(super) struct Link(Mutex<State>);

#[derive(Debug)]
struct State {
    reading: Reading,
    course: Course,
    /// Chunks that were read and that the core has not taken yet.
    untaken: usize,
    out: Out,
    /// The driver wants to know when there is room for more.
    asked: bool,
    pace: Pace,
    voice: Voice,
    /// Wakes the task that reads, while it waits for something else than bytes.
    reader: Option<Waker>,
    /// Wakes the task that writes.
    writer: Option<Waker>,
}

/// Where the connection is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Open,
    /// It takes nothing any more. What it still holds is read, as it may say why, then it is lost.
    Broken(TransportCause),
    /// The core has let go of it: its last bytes are sent, then what comes in is thrown away until the peer has
    /// closed, too. Dropped with unread bytes, a socket answers with a reset, which may destroy the goodbye.
    Ending,
    /// Over, at once.
    Cut,
}

#[derive(Debug, Default)]
enum Out {
    #[default]
    Idle,
    Waiting(Vec<u8>),
    /// The writer has them.
    Writing,
    /// The writer has some, and these are the last that follow.
    WritingThen(Vec<u8>),
}

/// How much is taken from the core at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// The socket has taken everything at once so far.
    Full,
    /// It was full.
    Careful,
}

/// Whether this end has said anything: only then has a close something to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voice {
    Silent,
    Heard,
}

/// What the task that reads is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Read; once there is nothing more just now, the connection is lost if this says why.
    Read(Option<TransportCause>),
    /// Leave bytes in the socket.
    Pause,
    /// The core has enough of this connection to take for now.
    Wait,
    /// Read nothing more: the connection is lost.
    Lost(TransportCause),
    /// Throw away what comes, until the peer closes.
    Discard,
    /// Stop.
    Stop,
}

/// What the task that writes is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Task {
    Write(Vec<u8>),
    /// Write, tell the peer that nothing follows, and stop.
    Finish(Vec<u8>),
    Stop,
}

/// Whether the driver waits for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Room,
    Nothing,
}

/// Whether a writer may wait for its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    Left,
    Over,
}

/// Whether anybody at the other end may be told goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    UnderWay,
    /// Nothing of ours ever was: the crowd that was told nothing keeps no socket.
    Needless,
}

impl Link {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(State {
            reading: Reading::Resume,
            course: Course::Open,
            untaken: 0,
            out: Out::Idle,
            asked: false,
            pace: Pace::Full,
            voice: Voice::Silent,
            reader: None,
            writer: None,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the driver: how many bytes may be taken from the core for this connection now. `None` if it has some
    /// already: it is told when there is room.
    pub(super) fn room(&self) -> Option<usize> {
        let mut state = self.state();
        match (&state.course, &state.out) {
            (Course::Open, Out::Idle) => Some(match state.pace {
                Pace::Full => BUDGET,
                Pace::Careful => CAREFUL_BUDGET,
            }),
            (Course::Open, _) => {
                state.asked = true;
                None
            }
            _ => None,
        }
    }

    /// For the driver, when there was [room](Self::room).
    pub(super) fn put(&self, bytes: Vec<u8>) {
        let waker = {
            let mut state = self.state();
            state.voice = Voice::Heard;
            state.out = Out::Waiting(bytes);
            state.writer.take()
        };
        wake(waker);
    }

    /// For the driver: the core has nothing more to send just now.
    pub(super) fn drained(&self) {
        self.state().pace = Pace::Full;
    }

    /// For the driver: there is more where that came from.
    pub(super) fn ask_for_room(&self) {
        self.state().asked = true;
    }

    /// For the driver: the core has taken a chunk.
    pub(super) fn taken(&self) {
        let waker = {
            let mut state = self.state();
            state.untaken = state.untaken.saturating_sub(1);
            if state.untaken + 1 == CHUNKS { state.reader.take() } else { None }
        };
        wake(waker);
    }

    pub(super) fn set_reading(&self, reading: Reading) {
        let waker = {
            let mut state = self.state();
            state.reading = reading;
            state.reader.take()
        };
        wake(waker);
    }

    /// For the driver: these bytes are the last ones.
    pub(super) fn end(&self, last: Vec<u8>) -> Farewell {
        let (wakers, farewell) = {
            let mut state = self.state();
            let broken = matches!(state.course, Course::Broken(_) | Course::Cut);
            let silent = state.voice == Voice::Silent && last.is_empty();
            if broken || silent {
                state.course = Course::Cut;
            } else {
                state.course = Course::Ending;
                state.out = match mem::take(&mut state.out) {
                    Out::Idle => Out::Waiting(last),
                    Out::Waiting(mut bytes) => {
                        bytes.extend(last);
                        Out::Waiting(bytes)
                    }
                    Out::Writing | Out::WritingThen(_) => Out::WritingThen(last),
                };
            }
            let farewell = if broken || silent { Farewell::Needless } else { Farewell::UnderWay };
            ([state.reader.take(), state.writer.take()], farewell)
        };
        wakers.into_iter().for_each(wake);
        farewell
    }

    /// Both tasks end at once.
    pub(super) fn cut(&self) {
        let wakers = {
            let mut state = self.state();
            state.course = Course::Cut;
            state.out = Out::Idle;
            [state.reader.take(), state.writer.take()]
        };
        wakers.into_iter().for_each(wake);
    }

    /// For the writer: waits for something to do.
    pub(super) fn poll_task(&self, cx: &mut Context<'_>) -> Poll<Task> {
        let mut state = self.state();
        match state.course {
            Course::Cut | Course::Broken(_) => return Poll::Ready(Task::Stop),
            Course::Open | Course::Ending => {}
        }
        match (mem::take(&mut state.out), state.course) {
            (Out::Waiting(bytes), Course::Ending) | (Out::WritingThen(bytes), _) => {
                Poll::Ready(Task::Finish(bytes))
            }
            (Out::Waiting(bytes), _) => {
                state.out = Out::Writing;
                Poll::Ready(Task::Write(bytes))
            }
            (Out::Idle | Out::Writing, Course::Ending) => Poll::Ready(Task::Finish(Vec::new())),
            (Out::Idle | Out::Writing, _) => {
                keep(&mut state.writer, cx);
                Poll::Pending
            }
        }
    }

    /// For the writer, which is woken when that changes: the socket is full. Whether it is worth waiting for.
    pub(super) fn strained(&self, cx: &Context<'_>) -> Patience {
        let mut state = self.state();
        state.pace = Pace::Careful;
        keep(&mut state.writer, cx);
        if state.course == Course::Cut { Patience::Over } else { Patience::Left }
    }

    /// For the writer: the bytes are with the kernel.
    pub(super) fn written(&self) -> Wanted {
        let mut state = self.state();
        if matches!(state.out, Out::Writing) {
            state.out = Out::Idle;
        }
        if mem::take(&mut state.asked) { Wanted::Room } else { Wanted::Nothing }
    }

    /// For the writer: the socket takes nothing any more.
    pub(super) fn broken(&self, cause: TransportCause) {
        let waker = {
            let mut state = self.state();
            state.out = Out::Idle;
            state.course = match state.course {
                Course::Open => Course::Broken(cause),
                Course::Broken(first) => Course::Broken(first),
                Course::Ending | Course::Cut => Course::Cut,
            };
            state.reader.take()
        };
        wake(waker);
    }

    /// For the reader: a chunk is about to go to the driver.
    pub(super) fn brought(&self) {
        self.state().untaken += 1;
    }

    /// For the reader: what to do now; it is woken when that changes.
    pub(super) fn order(&self, cx: &mut Context<'_>) -> Order {
        let mut state = self.state();
        let order = match (state.course, state.reading) {
            (Course::Open | Course::Broken(_), Reading::Resume) if state.untaken >= CHUNKS => Order::Wait,
            (Course::Open, Reading::Resume) => Order::Read(None),
            (Course::Open, Reading::Pause) => Order::Pause,
            (Course::Broken(cause), Reading::Resume) => Order::Read(Some(cause)),
            (Course::Broken(cause), Reading::Pause) => Order::Lost(cause),
            (Course::Ending, _) => Order::Discard,
            (Course::Cut, _) => return Order::Stop,
        };
        keep(&mut state.reader, cx);
        order
    }
}

fn keep(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(link: &Link) -> Option<Task> {
        match link.poll_task(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(task) => Some(task),
            Poll::Pending => None,
        }
    }

    fn strained(link: &Link) -> Patience {
        link.strained(&Context::from_waker(Waker::noop()))
    }

    fn order(link: &Link) -> Order {
        link.order(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn one_buffer_is_under_way_at_a_time_and_the_driver_is_told_of_room() {
        let link = Link::new();
        assert_eq!(task(&link), None);
        assert_eq!(link.room(), Some(BUDGET));
        link.put(b"one".to_vec());
        assert_eq!(link.room(), None);
        assert_eq!(task(&link), Some(Task::Write(b"one".to_vec())));
        assert_eq!((link.room(), task(&link)), (None, None));
        assert_eq!(strained(&link), Patience::Left);
        assert_eq!(link.written(), Wanted::Room);
        assert_eq!(link.room(), Some(CAREFUL_BUDGET));
        link.drained();
        assert_eq!(link.room(), Some(BUDGET));
        link.put(b"two".to_vec());
        assert_eq!(task(&link), Some(Task::Write(b"two".to_vec())));
        assert_eq!(link.written(), Wanted::Nothing);
    }

    #[test]
    fn the_last_bytes_follow_those_under_way() {
        let waiting = Link::new();
        waiting.put(b"one ".to_vec());
        assert_eq!(waiting.end(b"bye".to_vec()), Farewell::UnderWay);
        assert_eq!(task(&waiting), Some(Task::Finish(b"one bye".to_vec())));
        let writing = Link::new();
        writing.put(b"one".to_vec());
        assert!(task(&writing).is_some());
        assert_eq!(writing.end(b"bye".to_vec()), Farewell::UnderWay);
        assert_eq!(writing.written(), Wanted::Nothing);
        assert_eq!(task(&writing), Some(Task::Finish(b"bye".to_vec())));
        assert_eq!(order(&writing), Order::Discard);
        let idle = Link::new();
        idle.put(b"one".to_vec());
        assert!(task(&idle).is_some());
        idle.written();
        assert_eq!(idle.end(Vec::new()), Farewell::UnderWay);
        assert_eq!(task(&idle), Some(Task::Finish(Vec::new())));
    }

    #[test]
    fn a_reader_is_never_far_ahead_of_the_core() {
        let link = Link::new();
        for _ in 0..CHUNKS {
            assert_eq!(order(&link), Order::Read(None));
            link.brought();
        }
        assert_eq!(order(&link), Order::Wait);
        link.taken();
        assert_eq!(order(&link), Order::Read(None));
    }

    #[test]
    fn nobody_waits_for_one_who_was_told_nothing_or_hears_nothing() {
        let silent = Link::new();
        assert_eq!(silent.end(Vec::new()), Farewell::Needless);
        assert_eq!((order(&silent), task(&silent)), (Order::Stop, Some(Task::Stop)));
        let broken = Link::new();
        broken.put(b"one".to_vec());
        broken.broken(TransportCause::Reset);
        assert_eq!(broken.end(b"bye".to_vec()), Farewell::Needless);
        assert_eq!((order(&broken), task(&broken)), (Order::Stop, Some(Task::Stop)));
        assert_eq!(strained(&broken), Patience::Over);
    }

    #[test]
    fn a_broken_connection_is_read_to_its_end_unless_reading_is_paused() {
        let link = Link::new();
        assert_eq!(order(&link), Order::Read(None));
        link.broken(TransportCause::Reset);
        link.broken(TransportCause::TimedOut);
        assert_eq!(order(&link), Order::Read(Some(TransportCause::Reset)));
        link.set_reading(Reading::Pause);
        assert_eq!(order(&link), Order::Lost(TransportCause::Reset));
        let paused = Link::new();
        paused.set_reading(Reading::Pause);
        assert_eq!(order(&paused), Order::Pause);
    }
}
