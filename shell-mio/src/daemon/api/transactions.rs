//! Transactions over HTTP: taking them in, and where they are.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, HttpBody as _};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use serde_json::json;
use timed_core::limits::MAX_TRANSACTION;
use timed_core::{Reply, Request, TxId, TxState};
use tokio::time::timeout;

use super::blocks::read;
use super::error::ApiError;
use super::input::{BODY_WITHIN, READ_IN_VAIN, Segment, read_whole};
use super::routes::{Answer, Context, Shared, unexpected};
use crate::Inclusion;

/// An acknowledgement waits for the disk, which may be slow.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(5);

/// `POST /tx`: 202 once the transaction is durable here.
pub(super) async fn submit(State(context): Shared, request: axum::extract::Request) -> Answer {
    let transaction = read_transaction(request.into_body()).await?;
    let (Submitted::Taken(id) | Submitted::InBlock(id, _)) = take(&context, transaction).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id.to_string() }))).into_response())
}

/// What became of a transaction.
pub(super) enum Submitted {
    /// It is durable here, and waits for a block.
    Taken(TxId),
    /// It is in a final block already and has nothing to wait for.
    InBlock(TxId, Inclusion),
}

/// Hands a transaction to the node.
pub(super) async fn take(context: &Arc<Context>, transaction: Bytes) -> Result<Submitted, ApiError> {
    let retry = context.facts.block_interval;
    let id = TxId::of(&transaction);
    if let Some(found) = read(context, move |context| context.blocks.find_transaction(id)).await? {
        return Ok(Submitted::InBlock(id, found));
    }
    match context.ask_within(Request::Submit(transaction), ACKNOWLEDGED_WITHIN).await? {
        Reply::Submitted(id) => Ok(Submitted::Taken(id)),
        Reply::TransactionSize(bytes) => Err(wrong_size(Some(bytes))),
        Reply::MempoolFull(held) => Err(ApiError::unavailable(
            "mempool_full",
            format!(
                "{} transactions with {} bytes wait for a block already; try again after one",
                held.transactions, held.bytes
            ),
        )
        .retry_after(retry)),
        _ => Err(unexpected()),
    }
}

/// `GET /tx/{id}`.
pub(super) async fn state(State(context): Shared, Segment(text): Segment) -> Answer {
    let id: TxId = text.parse().map_err(|error| ApiError::bad_request(format!("transaction id: {error}")))?;
    let stored = || read(&context, move |context| context.blocks.find_transaction(id));
    let mut found = stored().await?;
    if found.is_none() {
        let Reply::Transaction(state) = context.ask(Request::Transaction(id)).await? else {
            return Err(unexpected());
        };
        match state {
            TxState::Pending => {
                return Ok(Json(json!({ "id": text, "state": "pending" })).into_response());
            }
            // It may have gone from there into a block since the store was asked.
            TxState::NotPending => found = stored().await?,
        }
    }
    let Some(Inclusion { height, index }) = found else {
        let message =
            "this node knows no such transaction: it is in no final block and does not wait for one";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_transaction", message));
    };
    Ok(Json(json!({ "id": text, "state": "committed", "height": height.0, "index": index })).into_response())
}

/// An empty transaction is a mistake, one that is too large is told the limit.
fn wrong_size(bytes: Option<usize>) -> ApiError {
    match bytes {
        Some(0) => ApiError::new(StatusCode::BAD_REQUEST, "empty", "a transaction has at least one byte"),
        _ => {
            let this = bytes.map_or(String::new(), |bytes| format!("; this one has {bytes}"));
            let message = format!("a transaction may have at most {MAX_TRANSACTION} bytes{this}");
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "transaction_too_large", message)
        }
    }
}

async fn read_transaction(body: Body) -> Result<Bytes, ApiError> {
    let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    if announced.is_some_and(|bytes| bytes > READ_IN_VAIN) {
        return Err(wrong_size(announced));
    }
    match timeout(BODY_WITHIN, read_whole(body, MAX_TRANSACTION)).await {
        Ok(Ok(whole)) if whole.is_empty() => Err(wrong_size(Some(0))),
        Ok(Ok(whole)) if whole.len() > MAX_TRANSACTION => Err(wrong_size(announced)),
        Ok(Ok(whole)) => Ok(whole),
        Ok(Err(_)) => Err(ApiError::bad_request("the body is incomplete")),
        Err(_) => {
            Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "the body did not arrive in time"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: Vec<u8>) -> ApiError {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(read_transaction(Body::from(body))).unwrap_err()
    }

    #[test]
    fn sizes_are_bounded_on_both_sides() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let whole = runtime.block_on(read_transaction(Body::from(vec![7; MAX_TRANSACTION]))).unwrap();
        assert_eq!(whole.len(), MAX_TRANSACTION);
        assert_eq!(
            (refused(Vec::new()).status, refused(Vec::new()).code),
            (StatusCode::BAD_REQUEST, "empty")
        );
        for (bytes, told) in [
            (MAX_TRANSACTION + 1, "at most 65536 bytes; this one has 65537"),
            (READ_IN_VAIN + 1, "at most 65536 bytes; this one has 1048577"),
        ] {
            let error = refused(vec![7; bytes]);
            assert_eq!(error.status, StatusCode::PAYLOAD_TOO_LARGE);
            assert!(error.message.contains(told), "{error:?}");
        }
    }
}
