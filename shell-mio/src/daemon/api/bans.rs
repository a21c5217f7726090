//! Bans over HTTP: listed, set and lifted; answered when they are durable.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use serde_json::json;
use timed_core::{Ban, BanCause, BanNote, BanTarget, Reply, Request, Wall};

use super::answers::{optional_time, text, time};
use super::error::ApiError;
use super::input::{Segment, read_body};
use super::routes::{Answer, Shared, unexpected};

/// An order is answered when its record is durable: a slow disk may need this long.
pub(super) const DURABLE_WITHIN: Duration = Duration::from_secs(10);

/// A ban in force.
#[derive(Serialize)]
pub(super) struct BanJson {
    #[serde(serialize_with = "text")]
    target: BanTarget,
    kind: &'static str,
    /// `operator`, or the offence for which this node has banned the peer itself.
    cause: &'static str,
    #[serde(serialize_with = "time")]
    since: Wall,
    #[serde(serialize_with = "optional_time")]
    until: Option<Wall>,
    /// Whole seconds, rounded up; none until it is lifted.
    remaining_s: Option<u64>,
    reason: Option<String>,
}

impl BanJson {
    pub(super) fn new(ban: Ban, now: Wall) -> Self {
        let seconds = |left: Duration| left.as_secs() + u64::from(left.subsec_nanos() > 0);
        Self {
            target: ban.target,
            kind: match ban.target {
                BanTarget::Key(_) => "node",
                BanTarget::Net(_) => "net",
            },
            cause: ban.cause.as_str(),
            since: ban.since,
            until: ban.until,
            remaining_s: ban.until.map(|until| seconds(until.since(now))),
            reason: match (ban.note, ban.cause) {
                (Some(note), _) => Some(note.as_str().to_owned()),
                (None, BanCause::Operator) => None,
                (None, BanCause::Score(offence)) => Some(offence.describe().to_owned()),
            },
        }
    }
}

/// `GET /bans`.
pub(super) async fn list(State(context): Shared) -> Answer {
    let Reply::Bans(bans) = context.ask(Request::Bans).await? else { return Err(unexpected()) };
    let now = crate::now().wall;
    Ok(Json(bans.into_iter().map(|ban| BanJson::new(ban, now)).collect::<Vec<_>>()).into_response())
}

/// The body of `POST /bans`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BanBody {
    /// Also by the name that it has in the path.
    #[serde(alias = "who")]
    target: String,
    duration: Option<Lasts>,
    reason: Option<String>,
}

/// How long a ban lasts: seconds, or a text such as `10m`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Lasts {
    Seconds(u64),
    Text(String),
}

impl Lasts {
    fn duration(&self) -> Result<Duration, ApiError> {
        let duration = match self {
            Self::Seconds(seconds) => Some(Duration::from_secs(*seconds)),
            Self::Text(text) => humantime::parse_duration(text).ok(),
        };
        duration.filter(|duration| !duration.is_zero()).ok_or_else(|| {
            ApiError::bad_request("duration: expected seconds, or a text such as \"10m\" or \"1day\"")
        })
    }
}

fn target(text: &str) -> Result<BanTarget, ApiError> {
    text.parse().map_err(|error| ApiError::bad_request(format!("{text:?}: {error}")))
}

fn ban_request(body: &[u8]) -> Result<Request, ApiError> {
    let body: BanBody = serde_json::from_slice(body).map_err(|error| {
        ApiError::bad_request(format!(
            "expected {{\"target\":\"NODE_ID, IP or PREFIX\",\"duration\":\"10m\",\"reason\":\"…\"}}: {error}"
        ))
    })?;
    let note = match body.reason.as_deref() {
        None | Some("") => None,
        Some(reason) => Some(BanNote::new(reason).ok_or_else(|| {
            ApiError::bad_request(format!("reason: one line of at most {} bytes", BanNote::MAX))
        })?),
    };
    let lasts = body.duration.map(|lasts| lasts.duration()).transpose()?;
    Ok(Request::Ban { target: target(&body.target)?, lasts, note })
}

/// `POST /bans`.
pub(super) async fn ban(State(context): Shared, request: axum::extract::Request) -> Answer {
    let request = ban_request(&read_body(request).await?)?;
    let reply = context.ask_within(request, DURABLE_WITHIN).await.map_err(|error| match error.code {
        "is_self" => ApiError::new(StatusCode::CONFLICT, "is_self", "a node does not ban itself"),
        _ => error,
    })?;
    let Reply::Banned { ban, masternodes } = reply else { return Err(unexpected()) };
    let ban = BanJson::new(*ban, crate::now().wall);
    let warning = (masternodes > 0).then(|| {
        format!(
            "this node has no link to {masternodes} registered masternode{} until the ban ends, and without \
             links to a quorum it proposes no blocks",
            if masternodes == 1 { "" } else { "s" }
        )
    });
    let body = json!({ "result": "banned", "ban": ban, "masternodes": masternodes, "warning": warning });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// `DELETE /bans/{who}`.
pub(super) async fn unban(State(context): Shared, Segment(who): Segment) -> Answer {
    let who = target(&who)?;
    match context.ask_within(Request::Unban(who), DURABLE_WITHIN).await? {
        Reply::Unbanned(ban) => {
            let ban = BanJson::new(*ban, crate::now().wall);
            Ok(Json(json!({ "result": "unbanned", "ban": ban })).into_response())
        }
        Reply::NotBanned(covers) => {
            let hint = covers.map_or_else(String::new, |net| format!("; {net}, which covers it, is banned"));
            let message = format!("no ban is on {who}{hint}");
            Err(ApiError::new(StatusCode::NOT_FOUND, "not_banned", message))
        }
        _ => Err(unexpected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: &str) -> Result<(BanTarget, Option<u64>, Option<String>), String> {
        match ban_request(body.as_bytes()) {
            Ok(Request::Ban { target, lasts, note }) => {
                Ok((target, lasts.map(|lasts| lasts.as_secs()), note.map(|note| note.as_str().to_owned())))
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.message),
        }
    }

    #[test]
    fn a_ban_is_asked_for_in_every_sound_form_and_mistakes_are_named() {
        let net: BanTarget = "10.1.0.0/16".parse().unwrap();
        assert_eq!(asked(r#"{"target":"10.1.2.3/16"}"#), Ok((net, None, None)));
        let long = r#"{"target":"10.1.0.0/16","duration":"10m","reason":"spam"}"#;
        assert_eq!(asked(long), Ok((net, Some(600), Some("spam".to_owned()))));
        assert_eq!(asked(r#"{"target":"10.1.0.0/16","duration":90}"#).unwrap().1, Some(90));
        assert_eq!(asked(r#"{"who":"10.1.0.0/16"}"#), Ok((net, None, None)));
        for (body, word) in [
            (r#"{"duration":90}"#, "target"),
            (r#"{"target":"example.org"}"#, "node id"),
            (r#"{"target":"0.0.0.0/0"}"#, "too much"),
            (r#"{"target":"10.0.0.1","duration":"soon"}"#, "duration"),
            (r#"{"target":"10.0.0.1","duration":0}"#, "duration"),
            (r#"{"target":"10.0.0.1","duration":-5}"#, "duration"),
            (r#"{"target":"10.0.0.1","reason":"two\nlines"}"#, "reason"),
            (r#"{"target":"10.0.0.1","forever":true}"#, "forever"),
        ] {
            let error = asked(body).unwrap_err();
            assert!(error.contains(word), "{body}: {error}");
        }
    }
}
