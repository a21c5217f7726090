//! Events of the core as the facts of `/events`.

use serde_json::{Value, json};
use timed_core::{Activity, Ban, Event, PeerAbsence, Producing, Wall, Warning};

use super::super::logging::warning_kind;
use super::super::rfc3339;
use super::answers::millis;
use super::bans::BanJson;
use super::evidence::EvidenceJson;

/// A fact with its name.
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) data: Value,
}

/// What an event says; nothing for those that are not told.
pub(crate) fn fact(at: Wall, event: Event) -> Option<Fact> {
    let (name, mut data) = parts(at, event)?;
    if let Value::Object(fields) = &mut data {
        fields.insert("at".to_owned(), rfc3339(at).into());
    }
    Some(Fact { name, data })
}

/// A ban's fields are texts and numbers, which never fail to become JSON.
fn ban_value(ban: Ban, at: Wall) -> Value {
    serde_json::to_value(BanJson::new(ban, at)).unwrap_or_default()
}

fn parts(at: Wall, event: Event) -> Option<(&'static str, Value)> {
    Some(match event {
        Event::LinkUp { peer, remote, direction, because, session, .. } => (
            "link_up",
            json!({
                "node_id": peer.to_string(),
                "addr": remote.to_string(),
                "direction": direction.as_str(),
                "dialed_because": because.as_str(),
                "session": session.to_string(),
            }),
        ),
        Event::LinkDown { peer, reason, by, lasted, .. } => (
            "link_down",
            json!({
                "node_id": peer.to_string(),
                "reason": reason.as_str(),
                "by": by.as_str(),
                "text": reason.describe(),
                "lasted_ms": millis(lasted),
            }),
        ),
        Event::DialFailed { peer, addr, reason, by, failures, retry_in } => (
            "dial_failed",
            json!({
                "node_id": peer.map(|peer| peer.to_string()),
                "addr": addr.to_string(),
                "reason": reason.as_str(),
                "by": by.as_str(),
                "failures": failures,
                "retry_in_ms": retry_in.map(millis),
            }),
        ),
        Event::InboundFailed { from, peer, reason, by } => (
            "inbound_failed",
            json!({
                "node_id": peer.map(|peer| peer.to_string()),
                "addr": from.to_string(),
                "reason": reason.as_str(),
                "by": by.as_str(),
            }),
        ),
        Event::Probed { peer, addr, reason } => (
            "probed",
            json!({ "node_id": peer.to_string(), "addr": addr.to_string(), "reason": reason.as_str() }),
        ),
        Event::Absence { peer, absence } => {
            let (state, lasts) = match absence {
                PeerAbsence::Announced(lasts) => ("announced", Some(lasts.as_secs())),
                PeerAbsence::TakenBack => ("taken_back", None),
                PeerAbsence::Overdue => ("overdue", None),
            };
            ("absence", json!({ "node_id": peer.to_string(), "state": state, "lasts_s": lasts }))
        }
        Event::Activity { node, activity } => {
            ("activity", json!({ "node_id": node.to_string(), "active": activity == Activity::Active }))
        }
        Event::Heartbeat { signer, sequence, via } => (
            "heartbeat",
            json!({ "node_id": signer.to_string(), "sequence": sequence, "via": via.to_string() }),
        ),
        Event::RateExceeded { peer, class, enforce } => (
            "rate_exceeded",
            json!({ "node_id": peer.to_string(), "class": class.as_str(), "enforce": enforce.as_str() }),
        ),
        Event::PeerCheck { expected, up } => ("peer_check", json!({ "expected": expected, "up": up })),
        Event::Banned(ban) => ("banned", ban_value(*ban, at)),
        Event::BanEnded { ban, end } => {
            let mut data = ban_value(*ban, at);
            if let Value::Object(fields) = &mut data {
                fields.insert("end".to_owned(), end.as_str().into());
            }
            ("ban_ended", data)
        }
        Event::Misbehaved { peer, offence, score, bound } => (
            "misbehaved",
            json!({
                "node_id": peer.to_string(),
                "offence": offence.as_str(),
                "text": offence.describe(),
                "score": score,
                "bound": bound,
            }),
        ),
        Event::Warning(warning) => ("warning", describe(&warning)),
        Event::Fatal(fatal) => ("fatal", json!({ "reason": fatal.code(), "text": fatal.to_string() })),
        other => return about_blocks(other),
    })
}

fn about_blocks(event: Event) -> Option<(&'static str, Value)> {
    Some(match event {
        Event::BlockCommitted { height, hash, round, slot, proposer, payload_bytes, via } => (
            "block",
            json!({
                "height": height.0,
                "hash": hash.to_string(),
                "round": round.0,
                "time": rfc3339(slot),
                "proposer": proposer.to_string(),
                "payload_bytes": payload_bytes,
                "via": via.as_str(),
            }),
        ),
        Event::Proposed { height, round, block } => {
            ("proposed", json!({ "height": height.0, "round": round.0, "block": block.to_string() }))
        }
        Event::RoundStarted { height, round, leader } => {
            ("round", json!({ "height": height.0, "round": round.0, "leader": leader.to_string() }))
        }
        Event::Producing(Producing::Yes) => {
            ("producing", json!({ "producing": true, "reason": null, "text": null }))
        }
        Event::Producing(Producing::No(why)) => {
            ("producing", json!({ "producing": false, "reason": why.code(), "text": why.to_string() }))
        }
        Event::Sync(state) => {
            let target = state.target().map(|target| target.0);
            ("sync", json!({ "state": state.as_str(), "target": target }))
        }
        Event::Equivocation(evidence) => {
            // The fields are texts and numbers, which never fail to become JSON.
            ("evidence", serde_json::to_value(EvidenceJson::from(*evidence)).unwrap_or_default())
        }
        _ => return None,
    })
}

/// A warning's name and what it names.
fn describe(warning: &Warning) -> Value {
    let name = warning_kind(warning);
    match warning {
        Warning::Frozen { late, forgiven } => {
            json!({ "warning": name, "late_ms": millis(*late), "forgiven_ms": millis(*forgiven) })
        }
        Warning::ClockBackwards(by) => json!({ "warning": name, "by_ms": millis(*by) }),
        Warning::ClockSkew { peer, skew, disagreeing, agreeing } => json!({
            "warning": name,
            "node_id": peer.to_string(),
            "skew_ms": millis(*skew),
            "disagreeing": disagreeing,
            "agreeing": agreeing,
        }),
        Warning::EpochInFuture { peer, by } => {
            json!({ "warning": name, "node_id": peer.to_string(), "by": by.as_str() })
        }
        Warning::EpochRaised { to } => json!({ "warning": name, "epoch": to.0 }),
        Warning::KeyInUse { peer, epoch } => {
            json!({ "warning": name, "node_id": peer.to_string(), "epoch": epoch.0 })
        }
        Warning::OwnAddress(addr) => json!({ "warning": name, "addr": addr.to_string() }),
        Warning::Incompatible { addr, reason } => {
            json!({ "warning": name, "addr": addr.to_string(), "reason": reason.as_str() })
        }
        Warning::SeenElsewhere { advertised, seen } => {
            json!({ "warning": name, "advertised": advertised.to_string(), "seen": seen.to_string() })
        }
        Warning::SelfSuspected { offence, peers } => {
            json!({ "warning": name, "offence": offence.as_str(), "peers": peers })
        }
        Warning::MasternodesBanned { target, masternodes, left, quorum } => json!({
            "warning": name,
            "target": target.to_string(),
            "masternodes": masternodes,
            "left": left,
            "quorum": quorum,
        }),
        Warning::CacheSetAside(key) => json!({ "warning": name, "record": key.name() }),
        Warning::ForeignSignature { via } => json!({ "warning": name, "via": via.to_string() }),
        _ => json!({ "warning": name }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timed_core::{Height, SyncState};

    #[test]
    fn a_fact_has_a_name_a_time_and_its_fields() {
        let state = SyncState::Syncing { height: Height(1), target: Height(9) };
        let Fact { name, data } = fact(Wall(1_500), Event::Sync(state)).unwrap();
        let expected = json!({ "at": "1970-01-01T00:00:01.500Z", "state": "syncing", "target": 9 });
        assert_eq!((name, data), ("sync", expected));
        assert!(fact(Wall(0), Event::Stopped).is_none());
    }
}
