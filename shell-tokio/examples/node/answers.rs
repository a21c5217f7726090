//! The core's values as the daemon's API tells them: ids in hex, times in RFC 3339, spans in milliseconds where the
//! name says so. That the two tell the same is a test of `timed-mio`.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use timed_tokio::application::FifoPayload;
use timed_tokio::core::{
    Activity, Ban, BanCause, BanTarget, ConsensusInfo, Counters, Evidence, FinalBlock, Height, LinkCounts,
    MasternodeIndex, MasternodeInfo, Matrix, NotProducing, Offence, Pair, PeerInfo, Producing, Registry,
    SeatSet, Statement, Summary, TxId, Wall, Why,
};

pub(super) fn time(wall: Wall) -> String {
    let time = SystemTime::UNIX_EPOCH + wall.since(Wall(0));
    humantime::format_rfc3339_millis(time).to_string()
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn text(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}

pub(super) fn links(links: LinkCounts) -> Value {
    let LinkCounts { expected, up, inbound, outbound, duplicates } = links;
    json!({ "expected": expected, "up": up, "inbound": inbound, "outbound": outbound, "duplicates": duplicates })
}

fn why_not(summary: &Summary) -> Option<NotProducing> {
    match summary.producing {
        Producing::Yes => None,
        Producing::No(why) => Some(why),
    }
}

pub(super) fn sync_state(summary: &Summary) -> &'static str {
    match why_not(summary) {
        Some(why @ (NotProducing::NoChain | NotProducing::Starting)) => why.code(),
        _ => summary.sync.as_str(),
    }
}

pub(super) fn last_block_time(summary: &Summary) -> Option<String> {
    (summary.height > Height(0)).then(|| time(summary.last_slot))
}

pub(super) fn consensus_info(summary: &Summary) -> Value {
    let why = why_not(summary);
    json!({
        "active_masternodes": summary.active_masternodes,
        "connected_peers": summary.connected_peers,
        "height": summary.height.0,
        "tip_hash": summary.tip.to_string(),
        "last_block_time": last_block_time(summary),
        "producing": why.is_none(),
        "not_producing_reason": why.map(|why| why.code()),
        "not_producing_text": text(why),
        "sync_state": sync_state(summary),
        "links": links(summary.links),
    })
}

pub(super) fn sync(summary: &Summary) -> Value {
    let height = summary.height.0;
    let target = summary.sync.target().map_or(height, |target| target.0.max(height));
    json!({
        "state": sync_state(summary), "height": height, "target": target, "missing": target - height,
        "blocks_per_second": null, "seconds_left": null,
    })
}

pub(super) fn consensus(info: &ConsensusInfo, registry: &Registry) -> Value {
    let seats: SeatSet = registry.entries().iter().filter_map(|entry| registry.index_of(&entry.id)).collect();
    let without = |voted: SeatSet| -> Vec<u8> {
        seats.iter().filter(|seat| !voted.contains(*seat)).map(|seat| seat.0).collect()
    };
    let votes: Vec<Value> = info
        .votes
        .iter()
        .map(|held| {
            json!({
                "round": held.round.0, "prevotes": held.prevotes.len(), "precommits": held.precommits.len(),
                "no_prevote": without(held.prevotes), "no_precommit": without(held.precommits),
            })
        })
        .collect();
    json!({
        "height": info.height.0, "round": info.round.0, "step": info.step.as_str(),
        "leader": info.leader.to_string(), "proposal": text(info.proposal),
        "locked": info.locked.map(|(round, block)| json!({ "round": round.0, "block": block.to_string() })),
        "quorum": info.quorum, "votes": votes, "next_ms": info.next.map(millis),
    })
}

pub(super) fn counters(c: &Counters) -> Value {
    let offences: serde_json::Map<String, Value> = Offence::ALL
        .iter()
        .zip(c.offences)
        .map(|(offence, count)| (offence.as_str().into(), count.into()))
        .collect();
    json!({
        "dials": c.dials, "knocks": c.knocks, "probes": c.probes, "probes_answered": c.probes_answered,
        "links_up": c.links_up, "links_down": c.links_down, "stale_inputs": c.stale_inputs,
        "clock_backwards": c.clock_backwards, "freezes": c.freezes, "unknown_frames": c.unknown_frames,
        "inbound_refused": c.inbound_refused, "candidates": c.candidates,
        "candidates_failed": c.candidates_failed, "address_requests_ignored": c.address_requests_ignored,
        "addresses_unasked": c.addresses_unasked, "inbound_banned": c.inbound_banned, "offences": offences,
        "heartbeats": c.heartbeats, "heartbeat_repeats": c.heartbeat_repeats,
        "heartbeats_invalid": c.heartbeats_invalid, "block_requests": c.block_requests,
        "block_races": c.block_races, "block_answers_unasked": c.block_answers_unasked,
        "block_requests_failed": c.block_requests_failed, "blocks_fetched": c.blocks_fetched,
        "blocks_surplus": c.blocks_surplus, "blocks_rejected": c.blocks_rejected,
        "block_requests_served": c.block_requests_served, "block_requests_refused": c.block_requests_refused,
        "blocks_served": c.blocks_served, "block_bytes_served": c.block_bytes_served,
    })
}

pub(super) fn peer(peer: &PeerInfo) -> Value {
    json!({
        "node_id": peer.node.to_string(), "addr": peer.remote.to_string(), "advertised": text(peer.advertised),
        "direction": peer.direction.as_str(), "dialed_because": peer.because.as_str(),
        "since": time(peer.since), "age_ms": millis(peer.age), "session": peer.session.to_string(),
        "masternode": peer.masternode.is_some(), "class": peer.class.as_str(), "height": peer.height.0,
        "rtt_ms": peer.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0), "health": peer.health,
        "bytes_in": peer.bytes_in, "bytes_out": peer.bytes_out, "queued_bytes": peer.queued_bytes,
        "reconnects_1h": peer.reconnects_1h,
        "excessive": peer.excessive.map(|excessive| {
            json!({ "class": excessive.class.as_str(), "handling": excessive.handling.as_str() })
        }),
        "version": peer.agent,
    })
}

fn pair(Pair { a, b }: &Pair) -> Value {
    json!({ "a": a.to_string(), "b": b.to_string() })
}

pub(super) fn matrix(matrix: &Matrix) -> Value {
    let pairs = |pairs: &[Pair]| pairs.iter().map(pair).collect::<Vec<_>>();
    let nodes = matrix.nodes.iter().map(|node| {
        json!({ "node_id": node.node.to_string(), "addr": node.addr.to_string(), "heard_ms": node.heard.map(millis) })
    });
    let links = matrix.links.iter().map(
        |link| json!({ "a": link.a.to_string(), "b": link.b.to_string(), "dialer": link.dialer.to_string() }),
    );
    let duplicate =
        matrix.duplicate.iter().map(|(node, count)| json!({ "node_id": node.to_string(), "count": count }));
    let wrong = matrix.wrong_direction.iter().map(|(Pair { a, b }, because)| {
        json!({ "a": a.to_string(), "b": b.to_string(), "reason": because.as_str() })
    });
    json!({
        "nodes": nodes.collect::<Vec<_>>(), "links": links.collect::<Vec<_>>(),
        "expected": matrix.expected, "observed": matrix.links.len(),
        "missing": pairs(&matrix.missing), "one_sided": pairs(&matrix.one_sided), "split": pairs(&matrix.split),
        "duplicate": duplicate.collect::<Vec<_>>(), "wrong_direction": wrong.collect::<Vec<_>>(),
        "verdict": matrix.verdict(),
    })
}

pub(super) fn masternode(info: &MasternodeInfo) -> Value {
    let MasternodeIndex(index) = info.index;
    json!({
        "index": index, "node_id": info.node.to_string(), "address": info.addr.to_string(),
        "active": info.activity == Activity::Active, "last_heartbeat": info.last_heartbeat.map(time),
        "heard_ms": info.heard.map(millis), "boot_epoch": info.epoch.map(|epoch| epoch.0),
        "height": info.height.map(|height| height.0), "sequence": info.sequence,
        "witnesses": info.witnesses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "attested": info.attested, "uptime": info.active_for.map(|span| span.as_secs()),
    })
}

pub(super) fn why(why: &Why, now: Wall) -> Value {
    let attempts = why.attempts.iter().map(|attempt| {
        let end = attempt.end.map(|(reason, by)| {
            json!({ "reason": reason.as_str(), "by": by.as_str(), "text": reason.describe() })
        });
        json!({
            "at": time(attempt.at), "direction": attempt.direction.as_str(), "intent": attempt.intent, "end": end,
        })
    });
    json!({
        "node_id": text(why.peer), "addr": text(why.addr), "decision": why.decision, "text": why.text,
        "rule": why.rule, "rule_text": why.rule_text,
        "masternode": why.masternode.is_some(), "sought_by": why.sought_by, "since": why.since.map(time), "ban": why.ban.as_ref().map(|set| ban(set, now)),
        "next": why.next.map(|next| json!({ "action": next.action, "in_ms": next.within.map(millis) })),
        "session": why.session.as_ref().map(peer), "attempts": attempts.collect::<Vec<_>>(),
    })
}

pub(super) fn ban(ban: &Ban, now: Wall) -> Value {
    let seconds = |left: Duration| left.as_secs() + u64::from(left.subsec_nanos() > 0);
    let reason = match (&ban.note, ban.cause) {
        (Some(note), _) => Some(note.as_str().to_owned()),
        (None, BanCause::Operator) => None,
        (None, BanCause::Score(offence)) => Some(offence.describe().to_owned()),
    };
    json!({
        "target": ban.target.to_string(),
        "kind": match ban.target { BanTarget::Key(_) => "node", BanTarget::Net(_) => "net" },
        "cause": ban.cause.as_str(), "since": time(ban.since), "until": ban.until.map(time),
        "remaining_s": ban.until.map(|until| seconds(until.since(now))), "reason": reason,
    })
}

pub(super) fn block(found: &FinalBlock, registry: &Registry) -> Value {
    let (header, certificate) = (&found.block.header, &found.certificate);
    let known = header.registry == registry.hash();
    let signer = |seat| registry.at(seat).filter(|_| known).map(|entry| entry.id.to_string());
    let transactions = FifoPayload::transactions(&found.block.payload).unwrap_or_default();
    json!({
        "height": header.height.0, "hash": certificate.block.to_string(), "parent": header.parent.to_string(),
        "round": certificate.round.0, "proposer": header.proposer.to_string(), "time": time(header.slot),
        "payload_bytes": found.block.payload.len(),
        "header": {
            "height": header.height.0, "round": header.round.0, "slot_time": time(header.slot),
            "parent": header.parent.to_string(), "parent_certificate": header.certificate.to_string(),
            "payload_root": header.payload.to_string(), "registry_hash": header.registry.to_string(),
            "proposer": header.proposer.to_string(),
        },
        "commit_certificate": {
            "round": certificate.round.0,
            "seats": certificate.signers.iter().map(|seat| seat.0).collect::<Vec<_>>(),
            "signers": certificate.signers.iter().map(signer).collect::<Vec<_>>(),
            "signatures": certificate.signatures.iter().map(ToString::to_string).collect::<Vec<_>>(),
        },
        "transaction_ids": transactions.iter().map(|bytes| TxId::of(bytes).to_string()).collect::<Vec<_>>(),
    })
}

fn statement(statement: &Statement) -> Value {
    match statement {
        Statement::Vote(vote) => json!({
            "kind": vote.kind.as_str(), "height": vote.height.0, "round": vote.round.0, "block": text(vote.block),
            "signer": vote.voter.to_string(), "signature": vote.signature.to_string(),
        }),
        Statement::Proposal(proposal) => {
            let mut told = json!({
                "kind": "proposal", "height": proposal.height.0, "round": proposal.round.0,
                "block": proposal.block.to_string(), "signer": proposal.proposer.to_string(),
                "signature": proposal.signature.to_string(),
            });
            if let Some(round) = proposal.valid_round {
                told["valid_round"] = round.0.into();
            }
            told
        }
    }
}

pub(super) fn evidence(evidence: &Evidence) -> Value {
    let first = statement(&evidence.first);
    json!({
        "node_id": evidence.node.to_string(), "kind": first["kind"], "height": first["height"],
        "round": first["round"], "first": first, "second": statement(&evidence.second),
    })
}
