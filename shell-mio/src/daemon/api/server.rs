//! Accepting and serving connections of the API: few at once, none that dawdles.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Connections served at once; others wait in the kernel.
const MAX_CONNECTIONS: usize = 128;
/// A request's head must be complete within this time, and a kept connection sends its next one.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// One connection lives no longer than this.
const CONNECTION_WITHIN: Duration = Duration::from_secs(600);
/// Connections that finish their answer when the API ends get this long.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Serves until `end` resolves; answers under way are then finished.
pub(super) async fn serve(listener: TcpListener, router: Router, end: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut end = std::pin::pin!(end);
    let (closing, _) = tokio::sync::watch::channel(());
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
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
        let connection = serve_one(stream, router.clone(), closing.subscribe());
        tokio::spawn(async move {
            let _ = timeout(CONNECTION_WITHIN, connection).await;
            drop(slot);
        });
    }
    drop(listener);
    let _ = closing.send(());
    let all = u32::try_from(MAX_CONNECTIONS).unwrap_or(u32::MAX);
    let _ = timeout(LAST_ANSWERS, slots.acquire_many(all)).await;
}

async fn serve_one(stream: TcpStream, router: Router, mut closing: tokio::sync::watch::Receiver<()>) {
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
