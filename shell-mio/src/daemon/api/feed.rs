//! `GET /events`: facts as they happen, as server-sent events.
//!
//! The loop leaves each fact in a bounded queue, and only while somebody listens. The API's thread hands it on
//! to the listeners; one that does not keep up misses facts and is told how many.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hyper::body::Frame;
use serde_json::json;
use timed_core::{Event, Wall};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::error::ApiError;
use super::facts::{Fact, fact};
use super::routes::{Answer, Shared};
use crate::EventSink;

/// Facts that wait for the API's thread at most.
const QUEUE: usize = 1024;
/// Facts that wait for one listener at most.
const LISTENER_QUEUE: usize = 256;
/// Listeners at most.
const MAX_LISTENERS: usize = 32;
/// A listener hears at least this often, so that both ends notice when the other is gone.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(15);

/// The loop's end: takes facts, never waits.
pub(crate) struct Feed {
    facts: Sender<(Wall, Event)>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    listeners: AtomicUsize,
    /// Facts that found the queue full.
    missed: AtomicU64,
}

/// The API's end: where listeners join.
#[derive(Clone)]
pub(super) struct Listeners(Sender<Sender<Bytes>>);

/// What carries facts from the one end to the other.
pub(super) struct Carrier {
    facts: Receiver<(Wall, Event)>,
    joining: Receiver<Sender<Bytes>>,
    counts: Arc<Counts>,
}

/// A feed and what belongs to it.
pub(super) fn feed() -> (Feed, Listeners, Carrier) {
    let counts = Arc::new(Counts::default());
    let (facts, from_loop) = channel(QUEUE);
    let (join, joining) = channel(MAX_LISTENERS);
    let carrier = Carrier { facts: from_loop, joining, counts: Arc::clone(&counts) };
    (Feed { facts, counts }, Listeners(join), carrier)
}

impl EventSink for Feed {
    fn event(&mut self, event: &Event) {
        if self.counts.listeners.load(Ordering::Relaxed) == 0 || !is_told(event) {
            return;
        }
        if self.facts.try_send((crate::now().wall, event.clone())).is_err() {
            self.counts.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whether an event is one for `/events`: what is asked for, and what is for the application alone, is not.
const fn is_told(event: &Event) -> bool {
    !matches!(event, Event::Summary(_) | Event::Reply { .. } | Event::Datagram { .. } | Event::Sample(_))
}

/// One listener.
struct Listener {
    queue: Sender<Bytes>,
    missed: u64,
}

impl Listener {
    /// Hands a message on; whether the listener is still there.
    fn tell(&mut self, message: &Bytes) -> bool {
        if self.missed > 0 {
            match self.queue.try_send(told("missed", &json!({ "facts": self.missed }).to_string())) {
                Ok(()) => self.missed = 0,
                Err(_) => return self.skip(),
            }
        }
        self.queue.try_send(message.clone()).is_ok() || self.skip()
    }

    fn skip(&mut self) -> bool {
        self.missed += 1;
        !self.queue.is_closed()
    }
}

/// A server-sent event. JSON has no line breaks.
fn told(name: &str, data: &str) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

impl Carrier {
    /// Hands facts on until the loop has ended.
    pub(super) async fn carry(mut self) {
        let mut listeners: Vec<Listener> = Vec::new();
        loop {
            tokio::select! {
                fact = self.facts.recv() => match fact {
                    Some((at, event)) => self.hand_on(&mut listeners, at, event),
                    None => return,
                },
                Some(queue) = self.joining.recv() => {
                    listeners.retain(|listener| !listener.queue.is_closed());
                    // One too many is dropped, which ends its stream.
                    if listeners.len() < MAX_LISTENERS {
                        listeners.push(Listener { queue, missed: 0 });
                    }
                }
            }
            self.counts.listeners.store(listeners.len(), Ordering::Relaxed);
        }
    }

    fn hand_on(&self, listeners: &mut Vec<Listener>, at: Wall, event: Event) {
        let Some(Fact { name, data }) = fact(at, event) else { return };
        let missed = self.counts.missed.swap(0, Ordering::Relaxed);
        let message = told(name, &data.to_string());
        listeners.retain_mut(|listener| {
            listener.missed += missed;
            listener.tell(&message)
        });
    }
}

/// The body of an answer that does not end.
struct Stream {
    facts: Receiver<Bytes>,
    alive: Interval,
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Poll::Ready(message) = self.facts.poll_recv(cx) {
            return Poll::Ready(message.map(|message| Ok(Frame::data(message))));
        }
        // The first tick is at once: it tells the client that it is heard.
        self.alive.poll_tick(cx).map(|_| Some(Ok(Frame::data(Bytes::from_static(b": \n\n")))))
    }
}

/// `GET /events`.
pub(super) async fn events(State(context): Shared) -> Answer {
    let full = || ApiError::unavailable("busy", format!("{MAX_LISTENERS} clients listen to /events already"));
    let (queue, facts) = channel(LISTENER_QUEUE);
    context.listeners.0.try_send(queue).map_err(|_| full())?;
    let mut alive = interval(SIGN_OF_LIFE_EVERY);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Ok(stream(Stream { facts, alive }))
}

fn stream(stream: Stream) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::new(stream)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use timed_core::Producing;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    #[test]
    fn nobody_listens_and_nothing_waits() {
        let (mut feed, _listeners, mut carrier) = feed();
        feed.event(&Event::Producing(Producing::Yes));
        assert!(carrier.facts.try_recv().is_err());
    }

    #[test]
    fn a_listener_that_does_not_keep_up_is_told_what_it_missed() {
        let (mut feed, listeners, carrier) = feed();
        runtime().block_on(async {
            let (queue, mut heard) = channel(2);
            listeners.0.send(queue).await.unwrap();
            let counts = Arc::clone(&carrier.counts);
            let carried = tokio::spawn(carrier.carry());
            while counts.listeners.load(Ordering::Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
            for _ in 0..10 {
                feed.event(&Event::Producing(Producing::Yes));
            }
            // Eight find no room; then there is room for a word about them and one more fact.
            while feed.facts.capacity() < QUEUE {
                tokio::task::yield_now().await;
            }
            let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
            assert!(text(heard.recv().await.unwrap()).starts_with("event: producing\ndata: {"));
            heard.recv().await.unwrap();
            feed.event(&Event::Producing(Producing::Yes));
            assert_eq!(text(heard.recv().await.unwrap()), "event: missed\ndata: {\"facts\":8}\n\n");
            assert!(text(heard.recv().await.unwrap()).starts_with("event: producing\n"));
            drop(feed);
            carried.await.unwrap();
            assert_eq!(heard.recv().await, None, "the stream ends with the loop");
        });
    }
}
