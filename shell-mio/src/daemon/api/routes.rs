//! Every route, and the handlers of those that ask about links.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router, middleware};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use timed_core::{BanCause, CanonicalAddr, Height, MasternodeInfo, NodeId, PeerRef, Reply, Request, Summary};
use tokio::time::timeout;

use super::super::recordings::{Cause, NotWritten};
use super::super::rfc3339;
use super::answers::{
    AddressesJson, CountersJson, LinksJson, MasternodeJson, MatrixJson, PeerJson, SlotsJson, WhyJson, millis,
};
use super::budget::Budget;
use super::consensus::{ConsensusJson, MempoolJson, ProducingJson, SyncJson, sync_state};
use super::error::ApiError;
use super::feed::{self, Listeners};
use super::gate::{self, Gate};
use super::input::{Query, Segment, read_body};
use super::scrape::Scrape;
use super::{
    ApiFacts, attestations, bans, blocks, budget, dashboard, drain, evidence, input, readiness, rpc, scrape,
    transactions,
};
use crate::{Blocks, Busy, LoopCounters, NoReply, Remote};

/// The core answers within this time, or the route answers 503.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// What every handler sees.
pub(super) struct Context {
    pub(super) facts: ApiFacts,
    pub(super) remote: Remote,
    pub(super) blocks: Arc<dyn Blocks>,
    pub(super) listeners: Listeners,
    pub(super) scrape: Scrape,
}

pub(super) type Shared = State<Arc<Context>>;
pub(super) type Answer = Result<Response, ApiError>;

/// The routes behind their gate.
pub(super) fn router(context: Arc<Context>, gate: Arc<Gate>) -> Router {
    Router::new()
        .route("/", get(dashboard::page).post(rpc::serve))
        .route("/consensus_info", get(async |State(context): Shared| Json(consensus_info(&context))))
        .route("/status", get(status))
        .route("/peers", get(peers).post(connect))
        .route("/peers/{id}", delete(disconnect))
        .route("/matrix", get(matrix))
        .route("/why/{peer}", get(why))
        .route("/masternodes", get(masternodes))
        .route("/blocks", get(blocks::list))
        .route("/blocks/{height}", get(blocks::one))
        .route("/tx", post(transactions::submit))
        .route("/tx/{id}", get(transactions::state))
        .route("/attestations", get(attestations::attestations))
        .route("/evidence", get(evidence::list))
        .route("/bans", get(bans::list).post(bans::ban))
        // The rest of the path, for a prefix has a slash, encoded or not.
        .route("/bans/{*who}", delete(bans::unban))
        .route("/events", get(feed::events))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape::metrics))
        .route("/record", post(record))
        .route("/drain", post(drain::drain).delete(drain::undrain))
        .route("/stop", post(stop))
        .fallback(|| async { ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no such route") })
        .method_not_allowed_fallback(|| async {
            let message = "this route does not take this method";
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
        })
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn(input::query_layer))
        .layer(middleware::from_fn_with_state(Budget::new(), budget::layer))
        .layer(middleware::from_fn_with_state(gate, gate::layer))
        .with_state(context)
}

impl Context {
    /// Whom an operator means.
    pub(super) fn peer_named(&self, text: &str) -> Result<PeerRef, String> {
        self.facts.peer_named(text)
    }

    pub(super) async fn ask(&self, request: Request) -> Result<Reply, ApiError> {
        self.ask_within(request, ANSWER_WITHIN).await
    }

    /// Asks what may take longer than a moment.
    pub(super) async fn ask_within(&self, request: Request, within: Duration) -> Result<Reply, ApiError> {
        let pending = self.remote.request(request).map_err(|busy| match busy {
            Busy::QueueFull => ApiError::unavailable("busy", "too many requests wait for the node already"),
            Busy::Stopped => ApiError::unavailable("stopping", "the node has stopped"),
        })?;
        match timeout(within, pending).await {
            Ok(Ok(reply)) => refusal(reply),
            Ok(Err(NoReply::Stopped)) => Err(ApiError::unavailable("stopping", "the node has stopped")),
            Ok(Err(NoReply::TimedOut)) | Err(_) => Err(ApiError::unavailable(
                "no_answer",
                format!(
                    "the node's event loop did not answer within {} s; its last tick was {} ms ago",
                    within.as_secs(),
                    millis(self.remote.last_tick_age())
                ),
            )),
        }
    }
}

/// Splits the core's refusals from its answers.
fn refusal(reply: Reply) -> Result<Reply, ApiError> {
    match reply {
        Reply::UnknownPeer => {
            Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_peer", "this node knows no such peer"))
        }
        Reply::AmbiguousPeer => Err(ApiError::new(
            StatusCode::CONFLICT,
            "ambiguous_peer",
            "more than one peer has this address or these digits; give the whole node id",
        )),
        Reply::IsSelf => Err(ApiError::new(StatusCode::CONFLICT, "is_self", "this is the node itself")),
        Reply::Draining => Err(ApiError::unavailable(
            "draining",
            "this node is about to be stopped and takes no more transactions: hand it to another one",
        )),
        Reply::Refused(why) => Err(ApiError::new(StatusCode::CONFLICT, "refused", why)),
        other => Ok(other),
    }
}

/// An answer of another kind than the question's: an error of this program.
pub(super) fn unexpected() -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the node gave an answer of another kind")
}

/// The answer of `/consensus_info`: its first three fields never change.
#[derive(Serialize)]
pub(super) struct ConsensusInfoJson {
    active_masternodes: usize,
    connected_peers: usize,
    height: u64,
    tip_hash: String,
    last_block_time: Option<String>,
    #[serde(flatten)]
    producing: ProducingJson,
    sync_state: &'static str,
    links: LinksJson,
    traffic: TrafficJson,
}

/// Bytes on the wire since the start.
#[derive(Serialize)]
struct TrafficJson {
    received_bytes: u64,
    sent_bytes: u64,
}

impl From<LoopCounters> for TrafficJson {
    fn from(counters: LoopCounters) -> Self {
        Self { received_bytes: counters.bytes_in, sent_bytes: counters.bytes_out }
    }
}

/// What the node last published about itself.
pub(super) fn consensus_info(context: &Context) -> ConsensusInfoJson {
    let summary = context.remote.summary();
    let Height(height) = summary.height;
    ConsensusInfoJson {
        active_masternodes: summary.active_masternodes,
        connected_peers: summary.connected_peers,
        height,
        tip_hash: summary.tip.to_string(),
        last_block_time: last_block_time(&summary),
        producing: summary.producing.into(),
        sync_state: sync_state(&summary),
        links: summary.links.into(),
        traffic: context.remote.counters().into(),
    }
}

/// When the newest block's slot started; none before the first block.
fn last_block_time(summary: &Summary) -> Option<String> {
    (summary.height > Height(0)).then(|| rfc3339(summary.last_slot))
}

/// The height under way; none where there is no chain, or no answer.
pub(super) async fn under_way(context: &Context) -> Option<ConsensusJson> {
    match context.ask(Request::Consensus).await {
        Ok(Reply::Consensus(info)) => info.map(|info| ConsensusJson::new(*info, &context.facts.registry)),
        _ => None,
    }
}

async fn status(State(context): Shared) -> Answer {
    let Reply::Status(status) = context.ask(Request::Status).await? else { return Err(unexpected()) };
    let consensus = under_way(&context).await;
    let facts = &context.facts;
    let summary = status.summary;
    let ProducingJson { producing, not_producing_reason, not_producing_text } = summary.producing.into();
    Ok(Json(json!({
        "node_id": status.node.to_string(),
        "name": facts.names.own(),
        "version": env!("CARGO_PKG_VERSION"),
        "network": facts.network,
        "genesis_hash": facts.genesis_hash.to_string(),
        "role": if facts.place.own > 0 { "masternode" } else { "observer" },
        "masternode_index": status.masternode.map(|index| index.0),
        "masternodes": { "registered": facts.registry.size(), "active": summary.active_masternodes, "quorum": facts.place.quorum },
        "advertised": status.advertised.map(|addr| addr.to_string()),
        "external_ip": status.external_ip.map(|ip| ip.to_string()),
        "seen_as": seen_as(&status.seen_as),
        "boot_epoch": status.epoch.0,
        "started": rfc3339(facts.started),
        "uptime": facts.since.elapsed().as_secs(),
        "height": summary.height.0,
        "tip_hash": summary.tip.to_string(),
        "last_block_time": last_block_time(&summary),
        "block_interval_ms": millis(facts.block_interval),
        "producing": producing,
        "not_producing_reason": not_producing_reason,
        "not_producing_text": not_producing_text,
        "sync_state": sync_state(&summary),
        "sync": SyncJson::new(&summary, facts.totals.sync_rate()),
        "consensus": consensus,
        "mempool": MempoolJson::from(summary.mempool),
        "bans": status.bans.iter().sum::<usize>(),
        "bans_by_cause": by_cause(status.bans),
        "slots": SlotsJson::from(summary.slots),
        "handshakes": json!({
            "unauthenticated": status.pending.unauthenticated,
            "deferred": status.pending.deferred,
            "dialing": status.pending.dialing,
        }),
        "clock_offset_ms": summary.clock_offset_ms,
        "last_tick_age_ms": millis(context.remote.last_tick_age()),
        "draining_s": summary.leaving.map(|lasts| lasts.as_secs()),
        "connected_peers": summary.connected_peers,
        "links": LinksJson::from(summary.links),
        "traffic": TrafficJson::from(context.remote.counters()),
        "addresses": AddressesJson::from(summary.addresses),
        "counters": CountersJson::from(status.counters),
    }))
    .into_response())
}

/// Bans in force, by cause.
fn by_cause(bans: [usize; BanCause::ALL.len()]) -> Value {
    let counted = BanCause::ALL.iter().map(|cause| cause.as_str().to_owned()).zip(bans.map(Value::from));
    Value::Object(counted.collect())
}

/// At which addresses the masternodes see this node, and how many at each.
fn seen_as(counted: &[(IpAddr, usize)]) -> Value {
    counted
        .iter()
        .map(|(ip, masternodes)| json!({ "ip": ip.to_string(), "masternodes": masternodes }))
        .collect()
}

async fn peers(State(context): Shared) -> Answer {
    let Reply::Peers(peers) = context.ask(Request::Peers).await? else { return Err(unexpected()) };
    Ok(Json(peers.into_iter().map(PeerJson::from).collect::<Vec<_>>()).into_response())
}

async fn matrix(State(context): Shared) -> Answer {
    let Reply::Matrix(matrix) = context.ask(Request::Matrix).await? else { return Err(unexpected()) };
    Ok(Json(MatrixJson::from(*matrix)).into_response())
}

async fn masternodes(State(context): Shared) -> Answer {
    let Reply::Masternodes(list) = context.ask(Request::Masternodes).await? else {
        return Err(unexpected());
    };
    let own = context.remote.summary().height;
    let entry = |mut info: MasternodeInfo| {
        if info.node == context.facts.node {
            info.height = Some(own);
        }
        MasternodeJson::from(info)
    };
    Ok(Json(list.into_iter().map(entry).collect::<Vec<_>>()).into_response())
}

async fn why(State(context): Shared, Segment(text): Segment) -> Answer {
    let peer = context.peer_named(&text).map_err(ApiError::bad_request)?;
    match context.ask(Request::Why(peer.clone())).await {
        Ok(Reply::Why(why)) => {
            let mut why = *why;
            if why.decision == "self" {
                why.since = Some(context.facts.started);
            }
            Ok(Json(WhyJson::from(why)).into_response())
        }
        Ok(_) => Err(unexpected()),
        Err(error) if error.code == "unknown_peer" => Ok(why_unknown(&peer, &error)),
        Err(error) => Err(error),
    }
}

/// Nobody knows this peer: an error whose body has the reasons too.
fn why_unknown(peer: &PeerRef, error: &ApiError) -> Response {
    let (node_id, addr) = match peer {
        PeerRef::Id(id) => (Some(id.to_string()), None),
        PeerRef::Addr(addr) => (None, Some(addr.to_string())),
        PeerRef::Ip(ip) => (None, Some(ip.to_string())),
        _ => (None, None),
    };
    let body = json!({
        "error": { "code": error.code, "message": error.message },
        "node_id": node_id,
        "addr": addr,
        "decision": "unknown",
        "text": "this node knows no such peer: it is not registered, not configured, was never linked, dialed or \
                 heard of, and no ban is on it",
        "rule": "P-1",
        "rule_text": "every peer has its place in one table",
        "masternode": false,
        "sought_by": [],
        "since": null,
        "ban": null,
        "next": { "action": "nothing, unless the peer dials or the operator connects it", "in_ms": null },
        "session": null,
        "attempts": [],
    });
    (error.status, Json(body)).into_response()
}

async fn livez() -> Response {
    Json(json!({ "alive": true })).into_response()
}

async fn readyz(State(context): Shared, Extension(query): Extension<Query>) -> Response {
    let checks =
        readiness::checks(&context.remote.summary(), context.facts.place, context.remote.last_tick_age());
    let ready = checks.iter().all(|check| check.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = if query.has("verbose") {
        json!({ "ready": ready, "checks": checks })
    } else {
        json!({ "ready": ready })
    };
    (status, Json(body)).into_response()
}

/// The body of `POST /peers`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectBody {
    /// Also by the name that it has in `/masternodes`.
    #[serde(alias = "address")]
    addr: Option<String>,
    node_id: Option<String>,
}

/// An order to dial: an address, a key, or both.
pub(super) fn connect_request(addr: Option<&str>, node_id: Option<&str>) -> Result<Request, ApiError> {
    let id = |text: &str| {
        text.parse::<NodeId>().map_err(|error| ApiError::bad_request(format!("node_id: {error}")))
    };
    let node_id = node_id.map(id).transpose()?;
    let Some(addr) = addr else {
        let known = node_id.ok_or_else(|| ApiError::bad_request("addr is missing"))?;
        return Ok(Request::ConnectKnown(PeerRef::Id(known)));
    };
    let (in_addr, addr) = match addr.split_once('@') {
        Some((text, addr)) => (Some(id(text)?), addr),
        None => (None, addr),
    };
    if in_addr.is_some() && node_id.is_some() && in_addr != node_id {
        return Err(ApiError::bad_request("addr and node_id name different nodes"));
    }
    let addr: CanonicalAddr =
        addr.parse().map_err(|error| ApiError::bad_request(format!("addr {addr:?}: {error}")))?;
    Ok(Request::Connect { addr, id: in_addr.or(node_id) })
}

async fn connect(State(context): Shared, request: axum::extract::Request) -> Answer {
    let body = read_body(request).await?;
    let body: ConnectBody = serde_json::from_slice(&body).map_err(|error| {
        ApiError::bad_request(format!("expected {{\"addr\":\"IP:PORT\",\"node_id\":\"…\"}}: {error}"))
    })?;
    match context.ask(connect_request(body.addr.as_deref(), body.node_id.as_deref())?).await? {
        Reply::Dialing { claimed_by } => {
            let claimed_by = claimed_by.map(|id| id.to_string());
            let body = json!({ "result": "dialing", "claimed_by": claimed_by });
            Ok((StatusCode::ACCEPTED, Json(body)).into_response())
        }
        Reply::AlreadyConnected(id) => {
            Ok(Json(json!({ "result": "already connected", "node_id": id.to_string() })).into_response())
        }
        _ => Err(unexpected()),
    }
}

async fn disconnect(State(context): Shared, Segment(peer): Segment) -> Answer {
    let peer = context.peer_named(&peer).map_err(ApiError::bad_request)?;
    match context.ask(Request::Disconnect(peer)).await? {
        Reply::Disconnected(id) => {
            let id = id.map(|id| id.to_string());
            Ok(Json(json!({ "result": "disconnected", "node_id": id })).into_response())
        }
        _ => Err(unexpected()),
    }
}

async fn stop(State(context): Shared) -> Answer {
    order_stop(&context).await;
    Ok((StatusCode::ACCEPTED, Json(json!({ "result": "stopping" }))).into_response())
}

/// Stops the node, whatever it answers.
pub(super) async fn order_stop(context: &Context) {
    match context.ask(Request::Stop).await {
        Ok(_) => {}
        // A loop that does not answer is told by the other way, which needs no answer.
        Err(error) if error.code == "stopping" => {}
        Err(_) => context.remote.stop(),
    }
}

/// `POST /record`: answered when the file is durable.
async fn record(State(context): Shared) -> Answer {
    let recordings = context.facts.recordings.clone();
    let written = tokio::task::spawn_blocking(move || recordings.write(Cause::Order)).await;
    match written.map_err(|_| unexpected())? {
        Ok(written) => {
            let body = json!({ "file": written.path.display().to_string(), "bytes": written.bytes });
            Ok((StatusCode::CREATED, Json(body)).into_response())
        }
        Err(error @ NotWritten::Off) => {
            Err(ApiError::new(StatusCode::CONFLICT, "recorder_off", error.to_string()))
        }
        Err(error @ NotWritten::Empty) => Err(ApiError::unavailable("nothing_recorded", error.to_string())),
        Err(error @ NotWritten::Io { .. }) => {
            Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "not_written", error.to_string()))
        }
    }
}
