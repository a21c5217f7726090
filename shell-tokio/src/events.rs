//! What happens, for whoever wants to know: a stream that cannot stall the node. Who reads too slowly is told how
//! much was missed.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;
use timed_core::{Event, TransportCause};

use crate::limits::{EVENT_BYTES, EVENTS};

/// One thing that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // In place, so that it can be matched on.
pub enum Notice {
    /// A fact from the core. Replies are not among them: they go to whoever asked.
    Core(Event),
    /// A fact from the shell itself.
    Shell(ShellEvent),
    /// This reader was too slow: so many notices that came before the next one are gone.
    Missed(u64),
}

/// What the shell itself reports.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShellEvent {
    /// The core is asked to stop; it has 8 s for it.
    Stopping,
    /// No connection can be accepted for now: this machine is out of descriptors or memory. Those who connect wait
    /// in the kernel. Told at the first failure of a row.
    AcceptPaused {
        /// Why.
        cause: TransportCause,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// Accepting works again.
    AcceptResumed {
        /// How many attempts failed in between.
        failures: u32,
    },
    /// A record or a block could not be made durable. [`Event::Fatal`] follows.
    StoreFailed(Arc<str>),
    /// Stored blocks could not be read for a peer, which got none. Told once in a run.
    LoadFailed(Arc<str>),
    /// The application has so many questions before it that it is asked no more for now. Told once until it answers.
    ApplicationBehind,
    /// The application cannot go on. The core is asked to stop.
    ApplicationFailed(Arc<str>),
}

/// A reader of what happens. It gets everything since it was made, in order, as long as it is not too late: the node
/// keeps the newest 4,096 notices, and no more than 4 MiB of messages in them.
///
/// Dropping it costs nothing. It ends when the node has.
pub struct Events {
    ring: Arc<Ring>,
    /// The number of the next notice to be read.
    next: u64,
    id: u64,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Events {
    /// The next notice; `None` after the last one of a node that has ended. May be dropped at any time without
    /// losing one.
    pub async fn next(&mut self) -> Option<Notice> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        let mut shelf = self.ring.shelf();
        let missed = shelf.first.saturating_sub(self.next);
        if missed > 0 {
            self.next = shelf.first;
            return Poll::Ready(Some(Notice::Missed(missed)));
        }
        let place = usize::try_from(self.next - shelf.first).unwrap_or(usize::MAX);
        if let Some((notice, _)) = shelf.kept.get(place) {
            self.next += 1;
            return Poll::Ready(Some(notice.clone()));
        }
        if shelf.state == State::Ended {
            return Poll::Ready(None);
        }
        match shelf.readers.get_mut(&self.id) {
            Some(Some(waker)) => waker.clone_from(cx.waker()),
            Some(empty) => *empty = Some(cx.waker().clone()),
            None => {}
        }
        Poll::Pending
    }
}

impl Stream for Events {
    type Item = Notice;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        self.poll(cx)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut shelf = self.ring.shelf();
        shelf.readers.remove(&self.id);
        if shelf.readers.is_empty() {
            shelf.clear();
        }
    }
}

/// Where notices are kept.
#[derive(Default)]
pub(crate) struct Ring(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    /// Each with the bytes that it keeps from being freed.
    kept: VecDeque<(Notice, usize)>,
    bytes: usize,
    /// The number of the oldest that is kept.
    first: u64,
    /// Who reads, and how to wake those that wait.
    readers: BTreeMap<u64, Option<Waker>>,
    next_reader: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Running,
    Ended,
}

impl Shelf {
    fn end(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    fn drop_oldest(&mut self) {
        if let Some((_, bytes)) = self.kept.pop_front() {
            self.bytes -= bytes;
            self.first += 1;
        }
    }

    fn clear(&mut self) {
        self.first = self.end();
        self.kept = VecDeque::new();
        self.bytes = 0;
    }

    fn wake(&mut self) {
        for waker in self.readers.values_mut().filter_map(Option::take) {
            waker.wake();
        }
    }
}

impl Ring {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader of everything from now on.
    pub(crate) fn subscribe(self: &Arc<Self>) -> Events {
        let mut shelf = self.shelf();
        let id = shelf.next_reader;
        shelf.next_reader += 1;
        shelf.readers.insert(id, None);
        Events { ring: Arc::clone(self), next: shelf.end(), id }
    }

    /// Keeps a notice for those who read, if there are any.
    pub(crate) fn publish(&self, notice: Notice) {
        let mut shelf = self.shelf();
        if shelf.readers.is_empty() {
            shelf.first += 1;
            return;
        }
        let bytes = weight(&notice);
        shelf.bytes += bytes;
        shelf.kept.push_back((notice, bytes));
        while shelf.kept.len() > EVENTS || (shelf.bytes > EVENT_BYTES && shelf.kept.len() > 1) {
            shelf.drop_oldest();
        }
        shelf.wake();
    }

    /// Nothing follows.
    pub(crate) fn end(&self) {
        let mut shelf = self.shelf();
        shelf.state = State::Ended;
        shelf.wake();
    }
}

/// Bytes that a notice holds beside its place.
fn weight(notice: &Notice) -> usize {
    match notice {
        Notice::Core(Event::Datagram { payload, .. } | Event::Sample(payload)) => payload.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use timed_core::NodeId;

    use super::*;

    fn numbered(number: u32) -> Notice {
        Notice::Shell(ShellEvent::AcceptResumed { failures: number })
    }

    fn number(notice: Option<Notice>) -> u32 {
        match notice {
            Some(Notice::Shell(ShellEvent::AcceptResumed { failures })) => failures,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn every_reader_gets_everything_since_it_began() {
        let ring = Arc::new(Ring::default());
        ring.publish(numbered(0));
        let mut first = ring.subscribe();
        ring.publish(numbered(1));
        let mut second = ring.subscribe();
        ring.publish(numbered(2));
        assert_eq!((number(first.next().await), number(first.next().await)), (1, 2));
        assert_eq!(number(second.next().await), 2);
        let waiting = tokio::spawn(async move { (number(first.next().await), first.next().await.is_none()) });
        tokio::task::yield_now().await;
        ring.publish(numbered(3));
        ring.end();
        assert_eq!(waiting.await.unwrap(), (3, true));
        assert_eq!(number(second.next().await), 3);
        assert!(second.next().await.is_none() && second.next().await.is_none());
    }

    #[tokio::test]
    async fn who_is_too_late_is_told_by_how_much() {
        let ring = Arc::new(Ring::default());
        let (mut late, mut prompt) = (ring.subscribe(), ring.subscribe());
        let count = u32::try_from(EVENTS).unwrap() + 10;
        for sent in 0..count {
            ring.publish(numbered(sent));
            assert_eq!(number(prompt.next().await), sent);
        }
        assert!(matches!(late.next().await, Some(Notice::Missed(10))));
        for expected in 10..count {
            assert_eq!(number(late.next().await), expected);
        }
    }

    #[tokio::test]
    async fn large_messages_do_not_pile_up() {
        let ring = Arc::new(Ring::default());
        let mut late = ring.subscribe();
        let payload = Bytes::from(vec![0; EVENT_BYTES / 4]);
        for _ in 0..10 {
            let from = NodeId::default();
            ring.publish(Notice::Core(Event::Datagram { from, payload: payload.clone() }));
        }
        assert!(matches!(late.next().await, Some(Notice::Missed(6))));
        for _ in 0..4 {
            assert!(matches!(late.next().await, Some(Notice::Core(_))));
        }
        drop(late);
        assert!(ring.shelf().kept.is_empty() && ring.shelf().bytes == 0);
    }

    #[tokio::test]
    async fn a_reader_that_was_dropped_while_it_waited_loses_nothing() {
        let ring = Arc::new(Ring::default());
        let mut events = ring.subscribe();
        {
            let waiting = events.next();
            tokio::pin!(waiting);
            let polled = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await;
            assert!(polled);
            ring.publish(numbered(7));
        }
        assert_eq!(number(events.next().await), 7);
    }
}
