//! JSON-RPC 2.0 at `POST /`, with the names and fields that scripts for Bitcoin Core already use where there are any.
//!
//! | file | mechanism |
//! |---|---|
//! | `call` | one call of a body, batches, notifications; answers and errors |
//! | `parameters` | positional and named parameters, checked |
//! | `method` | every method: its parameters, and whether it changes anything |
//! | `network` | peers, connections, bans |
//! | `chain` | blocks and transactions |
//! | `masternodes` | masternodes and their attested heartbeats |

mod call;
mod chain;
mod masternodes;
mod method;
mod network;
mod parameters;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::error::ApiError;
use super::gate::Bearer;
use super::input::read_body_of;
use super::routes::{Context, Shared};
use call::{Body, Call, Fault};
use method::{Effect, Method};
use parameters::Parameters;

#[cfg(test)]
pub(crate) use method::table;

/// Largest body: the hex of the largest transaction, and room around it.
const MAX_BODY: usize = 192 * 1024;
/// Calls of one batch at most: as many as the node answers in one turn of its loop.
pub(super) const MAX_BATCH: usize = 50;
/// Once the answers of a batch have so many bytes together, further calls of it are refused.
const MAX_ANSWERS: usize = 8 * 1024 * 1024;

type Done = Result<Value, Fault>;

/// `POST /`.
pub(super) async fn serve(
    State(context): Shared,
    Extension(bearer): Extension<Bearer>,
    request: Request,
) -> Result<Response, ApiError> {
    let body = read_body_of(request, MAX_BODY).await?;
    match Body::read(&body) {
        Err(fault) => Ok(Json(fault.answer(&Value::Null)).into_response()),
        Ok(Body::One(call)) => {
            let call = match call {
                Ok(call) => call,
                Err(refused) => return Ok(Json(refused).into_response()),
            };
            let done = carry_out(&context, bearer, &call).await;
            let refused = matches!(&done, Err(fault) if fault.is_unauthorized());
            let mut response = match call.answer(done) {
                Some(answer) => Json(answer).into_response(),
                None => StatusCode::NO_CONTENT.into_response(),
            };
            if refused {
                *response.status_mut() = StatusCode::UNAUTHORIZED;
                super::gate::challenge(response.headers_mut());
            }
            Ok(response)
        }
        Ok(Body::Batch(calls)) => Ok(batch(&context, bearer, calls).await),
    }
}

/// One call after another, so that a later one sees what an earlier one has changed.
async fn batch(context: &Arc<Context>, bearer: Bearer, calls: Vec<Result<Call, Value>>) -> Response {
    let mut answers = Vec::with_capacity(calls.len());
    let mut bytes = 0;
    for call in calls {
        let call = match call {
            Ok(call) => call,
            Err(refused) => {
                answers.push(refused);
                continue;
            }
        };
        let done = if bytes > MAX_ANSWERS {
            Err(Fault::server(format!("the answers before this one have more than {MAX_ANSWERS} bytes")))
        } else {
            carry_out(context, bearer, &call).await
        };
        if let Some(answer) = call.answer(done) {
            bytes += weight(&answer);
            answers.push(answer);
        }
    }
    if answers.is_empty() { StatusCode::NO_CONTENT.into_response() } else { Json(answers).into_response() }
}

/// About how many bytes a value has as text.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(values) => 2 + values.iter().map(|value| weight(value) + 1).sum::<usize>(),
        Value::Object(fields) => {
            2 + fields.iter().map(|(name, value)| name.len() + 4 + weight(value)).sum::<usize>()
        }
        _ => 8,
    }
}

async fn carry_out(context: &Arc<Context>, bearer: Bearer, call: &Call) -> Done {
    let method = Method::find(&call.method).ok_or_else(|| Fault::unknown_method(&call.method))?;
    if method.effect() == Effect::Changes && bearer == Bearer::Nobody {
        return Err(Fault::unauthorized());
    }
    let parameters = Parameters::read(method, call.parameters.as_ref())?;
    method::run(context, method, &parameters).await
}

/// The core's word on a request that has one kind of answer.
async fn ask<T>(
    context: &Context,
    request: timed_core::Request,
    of: impl FnOnce(timed_core::Reply) -> Option<T>,
) -> Result<T, Fault> {
    let reply = context.ask(request).await?;
    of(reply).ok_or_else(|| Fault::new(Fault::INTERNAL, "the node gave an answer of another kind"))
}
