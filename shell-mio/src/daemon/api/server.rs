//! Accepting and serving connections of the API: few at once, and none that dawdles keeps another out.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// Connections served at once. One more ends the oldest: answers take milliseconds, so that it is an idle one
/// or one that wants to be in the way.
pub(super) const MAX_CONNECTIONS: usize = 128;
/// A request's head must be complete within this time, and a kept connection sends its next one.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Answers under way when the API ends get this long.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Serves until `end` resolves; answers under way are then finished.
pub(super) async fn serve(listener: TcpListener, router: Router, end: impl Future<Output = ()>) {
    let mut end = std::pin::pin!(end);
    let (closing, _) = watch::channel(());
    let mut served = JoinSet::new();
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
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
        oldest_first.retain(|connection| !connection.is_finished());
        if oldest_first.len() >= MAX_CONNECTIONS
            && let Some(oldest) = oldest_first.pop_front()
        {
            oldest.abort();
        }
        oldest_first.push_back(served.spawn(serve_one(stream, router.clone(), closing.subscribe())));
    }
    drop(listener);
    let _ = closing.send(());
    let _ = timeout(LAST_ANSWERS, async { while served.join_next().await.is_some() {} }).await;
}

async fn serve_one(stream: TcpStream, router: Router, mut closing: watch::Receiver<()>) {
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
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
