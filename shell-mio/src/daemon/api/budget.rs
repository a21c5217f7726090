//! How much memory large answers may hold while their readers take them, however many and however slow these are.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, SizeHint};
use tokio::sync::Semaphore;

use super::error::ApiError;

/// Answers of at most so many bytes are not counted: connections are few.
const SMALL: u64 = 64 * 1024;
/// What all larger ones may hold together, in KiB.
const LARGE_KIB: u32 = 32 * 1024;

/// What is left for large answers.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Semaphore>);

impl Budget {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(LARGE_KIB.try_into().unwrap_or(usize::MAX))))
    }

    /// Counts an answer until its reader has it, or is gone.
    fn charge(&self, response: Response) -> Response {
        let bytes = response.body().size_hint().exact().unwrap_or(0);
        if bytes <= SMALL {
            return response;
        }
        // One that alone is larger than all waits for all.
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).min(LARGE_KIB);
        match Arc::clone(&self.0).try_acquire_many_owned(kib) {
            Ok(permit) => response.map(|body| Body::new(Holding::new(body, permit))),
            Err(_) => {
                let message = "too many large answers wait for their readers";
                ApiError::unavailable("busy", message).into_response()
            }
        }
    }
}

/// A body that keeps something until its reader has it all, or is gone.
pub(super) struct Holding<T> {
    body: Body,
    _held: T,
}

impl<T> Holding<T> {
    pub(super) const fn new(body: Body, held: T) -> Self {
        Self { body, _held: held }
    }
}

impl<T: Unpin> HttpBody for Holding<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    /// Not before it is asked for what follows its last part, which is when that part has been taken: whoever says
    /// so earlier is dropped as soon as the part waits to be sent.
    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The budget as a layer around the routes.
pub(super) async fn layer(State(budget): State<Budget>, request: Request, next: Next) -> Response {
    budget.charge(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;

    #[test]
    fn large_answers_are_counted_until_they_are_gone() {
        let budget = Budget::new();
        let large = usize::try_from(LARGE_KIB).unwrap();
        let answer = |kib: usize| budget.charge(vec![0_u8; kib * 1024].into_response());
        let held: Vec<Response> = (0..large / 8192).map(|_| answer(8192)).collect();
        assert!(held.iter().all(|response| response.status() == StatusCode::OK));
        assert_eq!(held[0].body().size_hint().exact(), Some(8192 * 1024));
        let refused = answer(65);
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers().contains_key("retry-after"));
        assert_eq!(answer(64).status(), StatusCode::OK, "small ones are never refused");
        drop(held);
        assert_eq!(answer(large + 1).status(), StatusCode::OK);
    }
}
