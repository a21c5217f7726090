//! `GET /metrics`: made anew twenty times a second at most, however many ask and however often.

use std::future::Future;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use timed_core::{Reply, Request};
use tokio::sync::Mutex;

use super::super::metrics::{ProcessNumbers, Reading, prometheus};
use super::routes::{Context, Shared};

/// A text is answered again for so long: nobody who looks at it sees it stand still.
const FRESH: Duration = Duration::from_millis(50);

/// The newest text.
#[derive(Debug, Default)]
pub(super) struct Scrape(Mutex<Option<(Instant, Bytes)>>);

impl Scrape {
    /// The text, made where there is none that is fresh. Whoever asks meanwhile waits for it.
    async fn text(&self, make: impl Future<Output = String>) -> Bytes {
        let mut newest = self.0.lock().await;
        if let Some((_, text)) = newest.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return text.clone();
        }
        let text = Bytes::from(make.await);
        *newest = Some((Instant::now(), text.clone()));
        text
    }
}

/// `GET /metrics`.
pub(super) async fn metrics(State(context): Shared) -> Response {
    let text = context.scrape.text(read(&context)).await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// All numbers of this moment.
async fn read(context: &Context) -> String {
    // A scrape is answered also while the core is not: then without the core's totals.
    let status = match context.ask(Request::Status).await {
        Ok(Reply::Status(status)) => Some(status),
        _ => None,
    };
    let masternodes = match status.is_some().then(|| context.ask(Request::Masternodes)) {
        Some(asked) => match asked.await {
            Ok(Reply::Masternodes(list)) => list,
            _ => Vec::new(),
        },
        None => Vec::new(),
    };
    prometheus(&Reading {
        summary: context.remote.summary(),
        counters: status.as_ref().map(|status| status.counters),
        pending: status.as_ref().map(|status| status.pending),
        bans: status.map(|status| status.bans),
        masternodes: &masternodes,
        quorum: context.facts.place.quorum,
        block_interval: context.facts.block_interval,
        process: ProcessNumbers::read(),
        recorder: context.facts.recordings.numbers(),
        shell: context.remote.counters(),
        last_tick_seconds: context.remote.last_tick_age().as_secs_f64(),
        uptime_seconds: context.facts.since.elapsed().as_secs_f64(),
        totals: &context.facts.totals,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_text_is_made_once_for_all_who_ask_within_a_moment() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (scrape, made) = (Scrape::default(), Cell::new(0));
        let make = || async {
            tokio::task::yield_now().await;
            made.set(made.get() + 1);
            made.get().to_string()
        };
        runtime.block_on(async {
            let (first, second) = tokio::join!(scrape.text(make()), scrape.text(make()));
            assert_eq!((&first[..], &second[..]), (&b"1"[..], &b"1"[..]));
            tokio::time::sleep(FRESH + Duration::from_millis(20)).await;
            assert_eq!(&scrape.text(make()).await[..], b"2");
        });
        assert_eq!(made.get(), 2);
    }
}
