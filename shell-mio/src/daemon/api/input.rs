//! What a request brings along: a segment of its path, its query, its body. Each is refused in the same words.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::BytesMut;
use tokio::time::timeout;

use super::error::ApiError;

/// A request's body must have arrived within this time.
pub(super) const BODY_WITHIN: Duration = Duration::from_secs(10);
/// Largest body of most routes.
pub(super) const MAX_BODY: usize = 64 * 1024;
/// So much of a body that is too large is read to its end, so that its sender reads the refusal.
pub(super) const READ_IN_VAIN: usize = 1024 * 1024;

/// The part of a path that names something, decoded.
pub(super) struct Segment(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(Self(text)),
            Err(error) => {
                Err(ApiError::bad_request(format!("the path cannot be read: {}", error.body_text())))
            }
        }
    }
}

/// The keys and values of a query that its route understands, each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(pub(super) Vec<(String, String)>);

impl Query {
    /// Which keys a route understands; `None` for those that take any.
    fn understood(path: &str) -> Option<&'static [&'static str]> {
        match path {
            // What a browser was given with the page's address is for the page.
            "/" => None,
            "/blocks" => Some(&["from", "limit"]),
            "/readyz" => Some(&["verbose"]),
            _ => Some(&[]),
        }
    }

    fn read(path: &str, query: &str) -> Result<Self, ApiError> {
        let Some(understood) = Self::understood(path) else { return Ok(Self::default()) };
        let pairs: Vec<(String, String)> =
            axum::extract::Query::try_from_uri(&format!("/?{query}").parse().map_err(|_| malformed())?)
                .map_err(|_| malformed())?
                .0;
        let mut seen = BTreeSet::new();
        for (name, _) in &pairs {
            let shown: String = name.chars().take(64).collect();
            if !understood.contains(&name.as_str()) {
                let hint = if understood.is_empty() {
                    "this route takes no query".to_owned()
                } else {
                    format!("this route understands {}", understood.join(" and "))
                };
                return Err(ApiError::bad_request(format!("{shown:?} is not understood: {hint}")));
            }
            if !seen.insert(name) {
                return Err(ApiError::bad_request(format!("{shown} is given twice")));
            }
        }
        Ok(Self(pairs))
    }

    /// Whether a key is given, with whatever value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(given, _)| given == name)
    }
}

fn malformed() -> ApiError {
    ApiError::bad_request("the query cannot be read")
}

/// Reads the query before the route is asked.
pub(super) async fn query_layer(mut request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or("");
    match Query::read(request.uri().path(), query) {
        Ok(query) => {
            request.extensions_mut().insert(query);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

/// The body of a route that takes a small one.
pub(super) async fn read_body(request: Request) -> Result<Bytes, ApiError> {
    read_body_of(request, MAX_BODY).await
}

/// A body of at most so many bytes.
pub(super) async fn read_body_of(request: Request, largest: usize) -> Result<Bytes, ApiError> {
    match timeout(BODY_WITHIN, read_whole(request.into_body(), largest)).await {
        Ok(Ok(body)) if body.len() > largest => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("the body is larger than {largest} bytes"),
        )),
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(ApiError::bad_request("the body is incomplete")),
        Err(_) => {
            Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "the body did not arrive in time"))
        }
    }
}

/// Reads a body to its end, but keeps no more of it than shows that it is larger than that.
pub(super) async fn read_whole(mut body: Body, largest: usize) -> Result<Bytes, axum::Error> {
    let (mut kept, mut seen) = (BytesMut::new(), 0_usize);
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(piece) = frame?.into_data() else { continue };
        seen = seen.saturating_add(piece.len());
        let room = (largest + 1).saturating_sub(kept.len());
        kept.extend_from_slice(&piece[..piece.len().min(room)]);
        if seen > READ_IN_VAIN {
            break;
        }
    }
    Ok(kept.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_understood_as_a_whole_or_refused() {
        let read = |path, query| Query::read(path, query).map_err(|error| error.message);
        assert_eq!(read("/blocks", "from=3&limit=%32").unwrap().0[1], ("limit".to_owned(), "2".to_owned()));
        assert!(read("/readyz", "verbose").unwrap().has("verbose") && read("/", "x=1&x=2").is_ok());
        for (path, query, told) in [
            ("/blocks", "form=3", "\"form\" is not understood: this route understands from and limit"),
            ("/blocks", "from=3&from=4", "from is given twice"),
            ("/status", "verbose", "\"verbose\" is not understood: this route takes no query"),
        ] {
            assert_eq!(read(path, query).unwrap_err(), told);
        }
    }
}
