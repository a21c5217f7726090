//! Masternodes and their attested heartbeats.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use timed_core::{Activity, MasternodeInfo, Reply, Request};

use super::super::routes::{Context, consensus_info, under_way};
use super::call::Fault;
use super::parameters::Parameters;
use super::{Done, ask};
use crate::daemon::rfc3339;

/// The registry; this node's own height is the present one.
async fn registered(context: &Context) -> Result<Vec<MasternodeInfo>, Fault> {
    let mut list = ask(context, Request::Masternodes, |reply| match reply {
        Reply::Masternodes(list) => Some(list),
        _ => None,
    })
    .await?;
    let own = context.remote.summary().height;
    for info in list.iter_mut().filter(|info| info.node == context.facts.node) {
        info.height = Some(own);
    }
    Ok(list)
}

/// As Dash names states of masternodes.
const fn state(info: &MasternodeInfo) -> &'static str {
    match info.activity {
        Activity::Active => "ENABLED",
        Activity::Inactive => "EXPIRED",
    }
}

fn last_seen(info: &MasternodeInfo) -> Option<u64> {
    info.last_heartbeat.map(|at| at.0 / 1000)
}

fn whole(info: &MasternodeInfo) -> Value {
    json!({
        "index": info.index.0,
        "address": info.addr.to_string(),
        "status": state(info),
        "active": info.activity == Activity::Active,
        "lastseen": last_seen(info),
        "activeseconds": info.active_for.map(|span| span.as_secs()),
        "height": info.height.map(|height| height.0),
        "sequence": info.sequence,
        "attested": info.attested,
        "witnesses": info.witnesses.len(),
    })
}

/// `masternodelist`.
pub(super) async fn list(context: &Arc<Context>, given: &Parameters<'_>) -> Done {
    let shown: fn(&MasternodeInfo) -> Value = match given.text("mode")?.unwrap_or("json") {
        "json" => whole,
        "status" => |info| state(info).into(),
        "addr" => |info| info.addr.to_string().into(),
        "lastseen" => |info| last_seen(info).into(),
        "attested" => |info| info.attested.into(),
        _ => return Err(Fault::parameter("mode", "expected json, status, addr, lastseen or attested")),
    };
    let filter = given.text("filter")?.unwrap_or("");
    let mut list = Map::new();
    for info in registered(context).await? {
        let id = info.node.to_string();
        if id.contains(filter) || info.addr.to_string().contains(filter) {
            list.insert(id, shown(&info));
        }
    }
    Ok(Value::Object(list))
}

/// `masternodestatus`.
pub(super) async fn status(context: &Arc<Context>) -> Done {
    let facts = &context.facts;
    let list = registered(context).await?;
    let Some(own) = list.iter().find(|info| info.node == facts.node) else {
        return Ok(json!({
            "node_id": facts.node.to_string(),
            "masternode": false,
            "state": "OBSERVER",
            "status": "this node is not in the registry",
        }));
    };
    let (state, words) = match (facts.place.own, own.activity) {
        (0, _) => ("DISABLED", "this node is registered, and masternode.enabled is false"),
        (_, Activity::Active) => ("READY", "Ready"),
        (_, Activity::Inactive) => {
            ("EXPIRED", "this node is not active in its own view: it has too few links")
        }
    };
    Ok(json!({
        "node_id": own.node.to_string(),
        "masternode": true,
        "service": own.addr.to_string(),
        "state": state,
        "status": words,
        "masternode_index": own.index.0,
        "sequence": own.sequence,
        "boot_epoch": own.epoch.map(|epoch| epoch.0),
        "attested": own.attested,
        "witnesses": own.witnesses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "producing": super::super::consensus::ProducingJson::from(context.remote.summary().producing).producing,
    }))
}

/// `getconsensusinfo`.
pub(super) async fn consensus(context: &Arc<Context>) -> Done {
    let mut info = serde_json::to_value(consensus_info(context)).unwrap_or_default();
    if let Value::Object(fields) = &mut info {
        let under_way = under_way(context).await;
        fields.insert("consensus".to_owned(), serde_json::to_value(under_way).unwrap_or_default());
    }
    Ok(info)
}

/// `getattestationstats`.
pub(super) async fn attestations(context: &Arc<Context>) -> Done {
    let status = ask(context, Request::Status, |reply| match reply {
        Reply::Status(status) => Some(status),
        _ => None,
    })
    .await?;
    let list = registered(context).await?;
    let each = |info: &MasternodeInfo| {
        json!({
            "node_id": info.node.to_string(),
            "address": info.addr.to_string(),
            "active": info.activity == Activity::Active,
            "attested": info.attested,
            "sequence": info.sequence,
            "last_heartbeat": info.last_heartbeat.map(rfc3339),
            "witnesses": info.witnesses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    Ok(json!({
        "registered": list.len(),
        "quorum": context.facts.place.quorum,
        "active": list.iter().filter(|info| info.activity == Activity::Active).count(),
        "attested": list.iter().filter(|info| info.attested).count(),
        "heartbeats": status.counters.heartbeats,
        "heartbeat_repeats": status.counters.heartbeat_repeats,
        "heartbeats_invalid": status.counters.heartbeats_invalid,
        "masternodes": list.iter().map(each).collect::<Vec<_>>(),
    }))
}
