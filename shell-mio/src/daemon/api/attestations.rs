//! `GET /attestations`: the heartbeats that this node has kept, as text, a little at a time: whoever reads slowly costs a
//! buffer and a place.

use std::convert::Infallible;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::attest::opened;
use super::error::ApiError;
use super::routes::{Answer, Shared};

/// Clients that read at a time.
const READERS: usize = 4;
/// Bytes that are read at a time: from memory mostly, for these files are written by this process.
const PIECE: usize = 64 * 1024;

/// Where the heartbeats are, and who may read them now.
pub(super) struct Attestations {
    dir: Option<PathBuf>,
    places: Arc<Semaphore>,
}

impl Attestations {
    /// Those of a data directory, if there is one.
    pub(super) fn of(dir: Option<PathBuf>) -> Self {
        Self { dir, places: Arc::new(Semaphore::new(READERS)) }
    }
}

/// The files one after the other.
struct Pieces {
    source: Box<dyn Read + Send + Sync>,
    _place: OwnedSemaphorePermit,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut piece = vec![0; PIECE];
        // What cannot be read is missing at the end, as it would be in the file.
        let count = self.source.read(&mut piece).unwrap_or(0);
        piece.truncate(count);
        Poll::Ready((count > 0).then(|| Ok(Frame::data(Bytes::from(piece)))))
    }
}

/// `GET /attestations`.
pub(super) async fn attestations(State(context): Shared) -> Answer {
    let attestations = &context.facts.attestations;
    let Some(dir) = &attestations.dir else {
        let message = "this API is of no node that keeps heartbeats";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "not_kept", message));
    };
    let place = Arc::clone(&attestations.places).try_acquire_owned().map_err(|_| {
        ApiError::unavailable("busy", format!("{READERS} clients read the attestations already"))
    })?;
    let files: [File; 2] = opened(dir)
        .map_err(|error| ApiError::unavailable("disk", format!("cannot read the attestations: {error}")))?;
    let [older, newer] = files;
    let source = Box::new(older.chain(&b"\n"[..]).chain(newer));
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::new(Pieces { source, _place: place })).into_response())
}
