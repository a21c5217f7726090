//! The routes, with the daemon's answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::extract::{Path, Query, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::{Value, json};
use timed_tokio::core::{Height, PeerRef, Wall};
use timed_tokio::store::Inclusion;
use timed_tokio::{Connecting, Genesis, Handle, RequestError, TransactionState};
use zeroize::Zeroizing;

use super::answers;
use super::files::DataDir;

/// Bytes of the blocks of one listing, but for the last one's.
const LISTED_BYTES: usize = 4 * 1024 * 1024;

/// What every handler sees.
pub(crate) struct Context {
    handle: Handle,
    genesis: Genesis,
    name: Option<String>,
    token: Zeroizing<String>,
    started: Wall,
    since: Instant,
}

type Shared = State<Arc<Context>>;
type Answer = Result<Json<Value>, Refusal>;

/// A refusal: `{"error":{"code":"…","message":"…"}}`.
pub(crate) struct Refusal(StatusCode, &'static str, String);

impl Refusal {
    fn bad(message: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, "bad_request", message.into())
    }

    fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self(StatusCode::NOT_FOUND, code, message.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, code, message) = self;
        (status, Json(json!({ "error": { "code": code, "message": message } }))).into_response()
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        let (status, code) = match error {
            RequestError::Ended => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            RequestError::UnknownPeer => (StatusCode::NOT_FOUND, "unknown_peer"),
            RequestError::AmbiguousPeer => (StatusCode::CONFLICT, "ambiguous_peer"),
            RequestError::IsSelf => (StatusCode::CONFLICT, "is_self"),
            RequestError::Refused(_) => (StatusCode::CONFLICT, "refused"),
            RequestError::TransactionSize(0) => (StatusCode::BAD_REQUEST, "empty"),
            RequestError::TransactionSize(_) => (StatusCode::PAYLOAD_TOO_LARGE, "transaction_too_large"),
            RequestError::MempoolFull(_) => (StatusCode::SERVICE_UNAVAILABLE, "mempool_full"),
            RequestError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "store_failed"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Self(status, code, error.to_string())
    }
}

pub(crate) fn router(handle: Handle, dir: &DataDir, token: Zeroizing<String>) -> Router {
    let context = Arc::new(Context {
        handle,
        genesis: dir.genesis.clone(),
        name: dir.name.clone(),
        token,
        started: now(),
        since: Instant::now(),
    });
    Router::new()
        .route(
            "/consensus_info",
            get(async |State(context): Shared| Json(answers::consensus_info(&context.handle.summary()))),
        )
        .route("/status", get(status))
        .route("/peers", get(peers).post(connect))
        .route("/peers/{id}", axum::routing::delete(disconnect))
        .route("/matrix", get(matrix))
        .route("/why/{peer}", get(why))
        .route("/masternodes", get(masternodes))
        .route("/blocks", get(blocks))
        .route("/blocks/{height}", get(block))
        .route("/tx", post(submit))
        .route("/tx/{id}", get(transaction))
        .route("/evidence", get(evidence))
        .route("/bans", get(bans))
        .route("/livez", get(async || Json(json!({ "alive": true }))))
        .route("/readyz", get(readyz))
        .route("/stop", post(stop))
        .fallback(async || Refusal::not_found("not_found", "there is no such route"))
        .layer(from_fn_with_state(Arc::clone(&context), gate))
        .with_state(context)
}

fn now() -> Wall {
    Wall(0) + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Orders need the token.
async fn gate(State(context): Shared, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = given.and_then(|given| given.strip_prefix("Bearer ")).map(str::trim);
    if request.method() == Method::GET || token == Some(&**context.token) {
        return next.run(request).await;
    }
    let message = "send Authorization: Bearer with the content of .cookie in the data directory".to_owned();
    Refusal(StatusCode::UNAUTHORIZED, "unauthorized", message).into_response()
}

async fn status(State(context): Shared) -> Answer {
    let status = context.handle.status().await?;
    let registry = &context.genesis.registry;
    let consensus = context.handle.consensus().await?.map(|info| answers::consensus(&info, registry));
    let info = answers::consensus_info(&status.summary);
    let summary = &status.summary;
    let seen = status.seen_as.iter().map(|(ip, count)| json!({ "ip": ip.to_string(), "masternodes": count }));
    let role = if registry.index_of(&status.node).is_some() { "masternode" } else { "observer" };
    Ok(Json(json!({
        "node_id": status.node.to_string(), "name": context.name, "version": env!("CARGO_PKG_VERSION"),
        "network": context.genesis.network.as_str(), "genesis_hash": context.genesis.hash().to_string(),
        "role": role, "masternode_index": status.masternode.map(|index| index.0),
        "masternodes": {
            "registered": registry.size(), "active": summary.active_masternodes, "quorum": registry.quorum(),
        },
        "advertised": status.advertised.map(|addr| addr.to_string()),
        "external_ip": status.external_ip.map(|ip| ip.to_string()), "seen_as": seen.collect::<Vec<_>>(),
        "boot_epoch": status.epoch.0, "started": answers::time(context.started),
        "uptime": context.since.elapsed().as_secs(), "height": summary.height.0,
        "tip_hash": summary.tip.to_string(), "last_block_time": answers::last_block_time(summary),
        "block_interval_ms": answers::millis(context.genesis.block_interval),
        "producing": info["producing"], "not_producing_reason": info["not_producing_reason"],
        "not_producing_text": info["not_producing_text"], "sync_state": answers::sync_state(summary),
        "sync": answers::sync(summary), "consensus": consensus,
        "mempool": { "transactions": summary.mempool.transactions, "bytes": summary.mempool.bytes },
        "bans": status.bans.iter().sum::<usize>(), "clock_offset_ms": summary.clock_offset_ms,
        "last_tick_age_ms": answers::millis(context.handle.last_turn_age()),
        "connected_peers": summary.connected_peers, "links": answers::links(summary.links),
        "addresses": {
            "tried": summary.addresses.tried, "heard": summary.addresses.heard,
            "tombstones": summary.addresses.tombstones,
        },
        "counters": answers::counters(&status.counters),
    })))
}

async fn peers(State(context): Shared) -> Answer {
    Ok(Json(context.handle.peers().await?.iter().map(answers::peer).collect()))
}

async fn matrix(State(context): Shared) -> Answer {
    Ok(Json(answers::matrix(&context.handle.matrix().await?)))
}

async fn masternodes(State(context): Shared) -> Answer {
    let own = context.handle.summary().height;
    let mut all = context.handle.masternodes().await?;
    for entry in all.iter_mut().filter(|entry| entry.node == context.handle.id()) {
        entry.height = Some(own);
    }
    Ok(Json(all.iter().map(answers::masternode).collect()))
}

fn parse_peer(text: &str) -> Result<PeerRef, Refusal> {
    let by_id = text.parse().map(PeerRef::Id).ok();
    let by_addr = || text.parse().map(PeerRef::Addr).ok();
    let by_ip = || text.parse().map(PeerRef::Ip).ok();
    let hex = text.len() >= 4 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let by_prefix = || hex.then(|| PeerRef::IdPrefix(text.to_owned()));
    by_id.or_else(by_addr).or_else(by_ip).or_else(by_prefix).ok_or_else(|| {
        Refusal::bad(format!(
            "{text:?} names no peer: give a node id or at least 4 of its first digits, IP:PORT, or an IP"
        ))
    })
}

async fn why(State(context): Shared, Path(peer): Path<String>) -> Answer {
    Ok(Json(answers::why(&context.handle.why(parse_peer(&peer)?).await?, now())))
}

async fn connect(State(context): Shared, Json(body): Json<Value>) -> Result<Response, Refusal> {
    let addr = body["addr"].as_str().ok_or_else(|| Refusal::bad("addr is missing"))?;
    let addr = addr.parse().map_err(|error| Refusal::bad(format!("addr {addr:?}: {error}")))?;
    let id = body["node_id"].as_str().map(str::parse).transpose();
    let id = id.map_err(|error| Refusal::bad(format!("node_id: {error}")))?;
    Ok(match context.handle.connect(addr, id).await? {
        Connecting::Dialing => (StatusCode::ACCEPTED, Json(json!({ "result": "dialing" }))).into_response(),
        Connecting::AlreadyConnected(id) => {
            Json(json!({ "result": "already connected", "node_id": id.to_string() })).into_response()
        }
    })
}

async fn disconnect(State(context): Shared, Path(peer): Path<String>) -> Answer {
    let id = context.handle.disconnect(parse_peer(&peer)?).await?;
    Ok(Json(json!({ "result": "disconnected", "node_id": id.map(|id| id.to_string()) })))
}

async fn block(State(context): Shared, Path(text): Path<String>) -> Answer {
    let height = match text.as_str() {
        "latest" => context.handle.summary().height,
        text => {
            Height(text.parse().map_err(|_| Refusal::bad(format!("{text:?} is no height, and not latest")))?)
        }
    };
    let found = context.handle.block(height).await?.filter(|_| height > Height(0));
    let found = found.ok_or_else(|| {
        Refusal::not_found("unknown_block", format!("there is no block at height {height}"))
    })?;
    Ok(Json(answers::block(&found, &context.genesis.registry)))
}

async fn blocks(State(context): Shared, Query(query): Query<BTreeMap<String, u64>>) -> Answer {
    let newest = context.handle.summary().height.0;
    let limit = query.get("limit").copied().unwrap_or(20);
    if !(1..=100).contains(&limit) {
        return Err(Refusal::bad("limit: expected 1 to 100"));
    }
    let from = query.get("from").copied().unwrap_or((newest + 1).saturating_sub(limit)).max(1);
    let to = from.saturating_add(limit - 1).min(newest);
    if from > to {
        return Ok(Json(json!([])));
    }
    let found = context.handle.blocks(Height(from), Height(to), LISTED_BYTES).await?;
    Ok(Json(found.iter().map(|found| answers::block(found, &context.genesis.registry)).collect()))
}

async fn submit(State(context): Shared, body: Bytes) -> Result<Response, Refusal> {
    let id = context.handle.submit(body).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id.to_string() }))).into_response())
}

async fn transaction(State(context): Shared, Path(text): Path<String>) -> Answer {
    let id = text.parse().map_err(|error| Refusal::bad(format!("transaction id: {error}")))?;
    match context.handle.transaction(id).await? {
        TransactionState::Pending => Ok(Json(json!({ "id": text, "state": "pending" }))),
        TransactionState::Committed(Inclusion { height, index }) => {
            Ok(Json(json!({ "id": text, "state": "committed", "height": height.0, "index": index })))
        }
        TransactionState::Unknown => {
            Err(Refusal::not_found("unknown_transaction", "this node knows no such transaction"))
        }
    }
}

async fn evidence(State(context): Shared) -> Answer {
    Ok(Json(context.handle.evidence().await?.iter().map(answers::evidence).collect()))
}

async fn bans(State(context): Shared) -> Answer {
    Ok(Json(context.handle.bans().await?.iter().map(|ban| answers::ban(ban, now())).collect()))
}

async fn readyz(State(context): Shared) -> Response {
    let summary = context.handle.summary();
    let quorum = context.genesis.registry.quorum();
    let synced = answers::sync_state(&summary) == "synced";
    let ready = summary.links.up + 1 >= quorum && synced && context.handle.last_turn_age().as_secs() < 3;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready }))).into_response()
}

async fn stop(State(context): Shared) -> Response {
    let handle = context.handle.clone();
    tokio::spawn(async move { handle.shutdown().await });
    (StatusCode::ACCEPTED, Json(json!({ "result": "stopping" }))).into_response()
}
