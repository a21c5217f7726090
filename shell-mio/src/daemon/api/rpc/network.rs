//! Peers, connections and bans.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use timed_core::{
    Ban, BanNote, BanTarget, CanonicalAddr, DialedBecause, Direction, PeerInfo, PeerRef, Reply, Request, Wall,
};

use super::super::bans::DURABLE_WITHIN;
use super::super::routes::{Context, connect_request};
use super::call::Fault;
use super::parameters::Parameters;
use super::{Done, ask};

/// How long a ban lasts where nothing is said, as in Bitcoin Core.
const STANDARD_BAN: Duration = Duration::from_secs(24 * 3600);
/// Bans lifted at once: so many wait for the disk together.
const LIFTED_AT_ONCE: usize = 16;

const fn seconds(at: Wall) -> u64 {
    at.0 / 1000
}

/// `getnetworkinfo`.
pub(super) async fn info(context: &Arc<Context>) -> Done {
    let status = ask(context, Request::Status, |reply| match reply {
        Reply::Status(status) => Some(status),
        _ => None,
    })
    .await?;
    let (facts, summary) = (&context.facts, status.summary);
    let family = |addr: CanonicalAddr, name: &str| json!({ "address": addr.ip().to_string(), "port": addr.port(), "score": 1, "network": name });
    let networks: Vec<Value> = ["ipv4", "ipv6"].map(network).into();
    let local = status.advertised.map(|addr| family(addr, network_of(addr.ip())));
    Ok(json!({
        "version": version_number(env!("CARGO_PKG_VERSION")),
        "subversion": concat!("/timed:", env!("CARGO_PKG_VERSION"), "/"),
        "protocolversion": 1,
        "localservices": "0000000000000000",
        "localservicesnames": [],
        "localrelay": true,
        "timeoffset": summary.clock_offset_ms.div_euclid(1000),
        "networkactive": true,
        "connections": summary.connected_peers,
        "connections_in": summary.links.inbound,
        "connections_out": summary.links.outbound,
        "networks": networks,
        "localaddresses": local.into_iter().collect::<Vec<_>>(),
        "warnings": [],
        "node_id": status.node.to_string(),
        "network": facts.network,
        "genesis_hash": facts.genesis_hash.to_string(),
        "connections_expected": summary.links.expected,
    }))
}

fn network(name: &str) -> Value {
    json!({ "name": name, "limited": false, "reachable": true, "proxy": "", "proxy_randomize_credentials": false })
}

/// 1.2.3 as 10203.
fn version_number(version: &str) -> u64 {
    let part = |part: &str| part.parse::<u64>().unwrap_or(0);
    version.split(['.', '-']).take(3).fold(0, |sum, text| sum * 100 + part(text))
}

const fn network_of(ip: std::net::IpAddr) -> &'static str {
    if ip.is_ipv4() { "ipv4" } else { "ipv6" }
}

/// A number for a link, the same at both ends for as long as it lives: Bitcoin's are of its own counting.
fn number_of(peer: &PeerInfo) -> u64 {
    peer.session.0.iter().take(6).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

async fn sessions(context: &Context) -> Result<Vec<PeerInfo>, Fault> {
    ask(context, Request::Peers, |reply| match reply {
        Reply::Peers(peers) => Some(peers),
        _ => None,
    })
    .await
}

/// `getconnectioncount`.
pub(super) async fn count(context: &Arc<Context>) -> Done {
    Ok(sessions(context).await?.len().into())
}

/// `getpeerinfo`.
pub(super) async fn peers(context: &Arc<Context>) -> Done {
    Ok(sessions(context).await?.iter().map(peer).collect())
}

fn peer(peer: &PeerInfo) -> Value {
    let kind = match (peer.direction, peer.because) {
        (Direction::Inbound, _) => "inbound",
        (Direction::Outbound, DialedBecause::Manual) => "manual",
        (Direction::Outbound, _) => "outbound-full-relay",
    };
    json!({
        "id": number_of(peer),
        "addr": peer.remote.to_string(),
        "network": network_of(peer.remote.ip().to_canonical()),
        "services": "0000000000000000",
        "servicesnames": [],
        "relaytxes": true,
        "bytessent": peer.bytes_out,
        "bytesrecv": peer.bytes_in,
        "conntime": seconds(peer.since),
        "pingtime": peer.rtt.map(|rtt| rtt.as_secs_f64()),
        "version": 1,
        "subver": format!("/{}/", peer.agent.replace('/', ":")),
        "inbound": peer.direction == Direction::Inbound,
        "synced_headers": peer.height.0,
        "synced_blocks": peer.height.0,
        "connection_type": kind,
        "permissions": [],
        "node_id": peer.node.to_string(),
        "advertised": peer.advertised.map(|addr| addr.to_string()),
        "session": peer.session.to_string(),
        "dialed_because": peer.because.as_str(),
        "masternode": peer.masternode.is_some(),
        "class": peer.class.as_str(),
        "health": peer.health,
        "queued_bytes": peer.queued_bytes,
    })
}

/// `addnode`.
pub(super) async fn add(context: &Arc<Context>, given: &Parameters<'_>) -> Done {
    let node = given.required_text("node")?;
    let command = given.required_text("command")?;
    if !matches!(command, "add" | "onetry" | "remove") {
        return Err(Fault::parameter("command", "expected add, onetry or remove"));
    }
    if command == "remove" {
        let named = node.split_once('@').map_or(node, |(id, _)| id);
        let peer = context.peer_named(named).map_err(|error| Fault::parameter("node", error))?;
        let forgotten = context.ask(Request::Forget(peer)).await;
        let not_added = || Fault::new(Fault::NOT_ADDED, "Error: Node has not been added.");
        return match forgotten {
            Ok(Reply::Forgotten) => Ok(Value::Null),
            Ok(Reply::NotOrdered) => Err(not_added()),
            Err(error) if error.code == "unknown_peer" => Err(not_added()),
            Err(error) => Err(error.into()),
            Ok(_) => Err(Fault::new(Fault::INTERNAL, "the node gave an answer of another kind")),
        };
    }
    let id = node.parse::<timed_core::NodeId>().is_ok();
    let (addr, node_id) = if id { (None, Some(node)) } else { (Some(node), None) };
    let request = connect_request(addr, node_id).map_err(|error| {
        Fault::parameter(
            "node",
            format!("{}; expected IP:PORT, NODE_ID@IP:PORT or a known node id", error.message),
        )
    })?;
    if command == "add" && is_ordered(context, node).await {
        return Err(Fault::new(Fault::ALREADY_ADDED, "Error: Node already added"));
    }
    context.ask(request).await?;
    Ok(Value::Null)
}

/// Whether an earlier order seeks a node.
async fn is_ordered(context: &Context, node: &str) -> bool {
    let named = node.split_once('@').map_or(node, |(id, _)| id);
    let Ok(peer) = context.peer_named(named) else { return false };
    match context.ask(Request::Why(peer)).await {
        Ok(Reply::Why(why)) => why.sought_by.contains(&"ordered"),
        _ => false,
    }
}

/// `disconnectnode`: by address, or by the number of `getpeerinfo` or a node id.
pub(super) async fn disconnect(context: &Arc<Context>, given: &Parameters<'_>) -> Done {
    let address = given.text("address")?.filter(|address| !address.is_empty());
    let not_connected = || Fault::new(Fault::NOT_CONNECTED, "Node not found in connected nodes");
    let peer = match (address, given.any("nodeid")) {
        (Some(_), Some(_)) | (None, None) => {
            let message = "Only one of address and nodeid should be provided.";
            return Err(Fault::new(Fault::INVALID_PARAMETERS, message));
        }
        (Some(address), None) => {
            context.peer_named(address).map_err(|error| Fault::parameter("address", error))?
        }
        (None, Some(number)) => match (number.as_u64(), number.as_str()) {
            (Some(number), _) => {
                let sessions = sessions(context).await?;
                let found = sessions.iter().find(|peer| number_of(peer) == number);
                PeerRef::Id(found.ok_or_else(not_connected)?.node)
            }
            (None, Some(id)) => context.peer_named(id).map_err(|error| Fault::parameter("nodeid", error))?,
            (None, None) => return Err(Fault::parameter("nodeid", "expected a number or a node id")),
        },
    };
    // Whoever is not connected is not kept apart either.
    let why = ask(context, Request::Why(peer.clone()), |reply| match reply {
        Reply::Why(why) => Some(why),
        _ => None,
    })
    .await?;
    if why.decision == "self" {
        return Err(Fault::new(Fault::MISC, "this is the node itself"));
    }
    if why.session.is_none() {
        return Err(not_connected());
    }
    context.ask(Request::Disconnect(peer)).await?;
    Ok(Value::Null)
}

async fn banned(context: &Context) -> Result<Vec<Ban>, Fault> {
    ask(context, Request::Bans, |reply| match reply {
        Reply::Bans(bans) => Some(bans),
        _ => None,
    })
    .await
}

/// `setban`.
pub(super) async fn set_ban(context: &Arc<Context>, given: &Parameters<'_>) -> Done {
    let target: BanTarget = given
        .required_text("subnet")?
        .parse()
        .map_err(|error| Fault::new(Fault::NOT_BANNED, format!("Error: Invalid IP/Subnet: {error}")))?;
    match given.required_text("command")? {
        "add" => ban(context, target, given).await,
        "remove" => match context.ask_within(Request::Unban(target), DURABLE_WITHIN).await? {
            Reply::Unbanned(_) => Ok(Value::Null),
            _ => {
                let message = format!("Error: Unban failed. No ban is on {target}.");
                Err(Fault::new(Fault::NOT_BANNED, message))
            }
        },
        _ => Err(Fault::parameter("command", "expected add or remove")),
    }
}

async fn ban(context: &Arc<Context>, target: BanTarget, given: &Parameters<'_>) -> Done {
    let time = given.number("bantime")?.filter(|time| *time > 0);
    let lasts = match (given.flag("absolute")?, time) {
        (_, None) => STANDARD_BAN,
        (false, Some(time)) => Duration::from_secs(time),
        (true, Some(until)) => {
            let left = until.saturating_sub(seconds(crate::now().wall));
            if left == 0 {
                return Err(Fault::new(Fault::OUT_OF_RANGE, "Error: Absolute timestamp is in the past"));
            }
            Duration::from_secs(left)
        }
    };
    let note = match given.text("reason")? {
        None | Some("") => None,
        Some(reason) => Some(BanNote::new(reason).ok_or_else(|| {
            Fault::parameter("reason", format!("one line of at most {} bytes", BanNote::MAX))
        })?),
    };
    if banned(context).await?.iter().any(|ban| ban.target == target) {
        return Err(Fault::new(Fault::ALREADY_ADDED, "Error: IP/Subnet already banned"));
    }
    context.ask_within(Request::Ban { target, lasts: Some(lasts), note }, DURABLE_WITHIN).await?;
    Ok(Value::Null)
}

/// `listbanned`.
pub(super) async fn bans(context: &Arc<Context>) -> Done {
    let now = crate::now().wall;
    let shown = |ban: &Ban| {
        json!({
            "address": ban.target.to_string(),
            "ban_created": seconds(ban.since),
            "banned_until": ban.until.map(seconds),
            "ban_duration": ban.until.map(|until| seconds(until).saturating_sub(seconds(ban.since))),
            "time_remaining": ban.until.map(|until| seconds(until).saturating_sub(seconds(now))),
            "ban_reason": ban.note.as_ref().map(|note| note.as_str().to_owned()),
            "cause": ban.cause.as_str(),
        })
    };
    Ok(banned(context).await?.iter().map(shown).collect())
}

/// `clearbanned`.
pub(super) async fn clear_bans(context: &Arc<Context>) -> Done {
    let targets: Vec<BanTarget> = banned(context).await?.iter().map(|ban| ban.target).collect();
    for some in targets.chunks(LIFTED_AT_ONCE) {
        let mut lifting = tokio::task::JoinSet::new();
        for target in some.iter().copied() {
            let context = Arc::clone(context);
            lifting.spawn(async move { context.ask_within(Request::Unban(target), DURABLE_WITHIN).await });
        }
        while let Some(lifted) = lifting.join_next().await {
            lifted.map_err(|_| Fault::new(Fault::INTERNAL, "lifting a ban failed"))??;
        }
    }
    Ok(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_as_bitcoins() {
        assert_eq!([version_number("0.1.0"), version_number("1.20.3-rc1")], [100, 12_003]);
    }
}
