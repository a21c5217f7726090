//! Accepting and serving connections of the API: few at once, and none that dawdles keeps another out.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet, yield_now};
use tokio::time::{sleep, timeout};

use super::budget::Holding;
use super::patience::Impatient;

/// Connections served at once. One more ends the one that has waited longest for its next request to be complete:
/// who sends a whole request is answered, whoever else only sends parts. Where all are being answered it ends the
/// oldest: answers take milliseconds, so that it is one that wants to be in the way.
pub(super) const MAX_CONNECTIONS: usize = 128;
/// A request's head must be complete within this time, and a kept connection sends its next one.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// A client that takes nothing of its answer for so long is given up.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);
/// Answers under way when the API ends get this long.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Serves until `end` resolves; answers under way are then finished.
pub(super) async fn serve(listener: TcpListener, router: Router, end: impl Future<Output = ()>) {
    let mut end = std::pin::pin!(end);
    let (closing, _) = watch::channel(());
    let mut served = JoinSet::new();
    let mut oldest_first: VecDeque<Served> = VecDeque::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Out of descriptors, or the connection is gone already.
                Err(_) => {
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = &mut end => break,
        };
        while served.try_join_next().is_some() {}
        oldest_first.retain(|connection| !connection.task.is_finished());
        if oldest_first.len() >= MAX_CONNECTIONS {
            let dawdles = |connection: &Served| connection.answering.load(Ordering::Relaxed) == 0;
            let victim = oldest_first.iter().position(dawdles).unwrap_or(0);
            if let Some(victim) = oldest_first.remove(victim) {
                victim.task.abort();
            }
        }
        let answering = Arc::new(AtomicUsize::new(0));
        let serving = serve_one(stream, router.clone(), Arc::clone(&answering), closing.subscribe());
        oldest_first.push_back(Served { task: served.spawn(serving), answering });
        // It reads what has arrived, and whoever gave way is gone, before the next one is accepted: a flood that is
        // taken in one go would displace requests that nobody has read yet.
        yield_now().await;
    }
    drop(listener);
    let _ = closing.send(());
    let _ = timeout(LAST_ANSWERS, async { while served.join_next().await.is_some() {} }).await;
}

/// A connection.
struct Served {
    task: AbortHandle,
    /// Requests of it that are being answered: one or none.
    answering: Arc<AtomicUsize>,
}

/// Counts a request until its answer has been taken.
struct Answering(Arc<AtomicUsize>);

impl Answering {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve_one(
    stream: TcpStream,
    router: Router,
    answering: Arc<AtomicUsize>,
    mut closing: watch::Receiver<()>,
) {
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let (answering, answer) = (Answering::begin(&answering), router.call(request));
        async move {
            let answer = answer.await?;
            Ok::<_, Infallible>(answer.map(|body| Body::new(Holding::new(body, answering))))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(Impatient::new(stream, TAKEN_WITHIN)), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // A broken connection is the client's loss alone.
        _ = connection.as_mut() => {}
        _ = closing.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
