//! `POST /drain` announces that this node is about to be away; `DELETE /drain` takes that back.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};
use timed_core::{Drain, QuorumLoss, Reply, Request};

use super::error::ApiError;
use super::input::read_body;
use super::routes::{Answer, Shared, unexpected};

/// An absence that is ordered without a word about how long.
const USUAL: Duration = Duration::from_secs(15 * 60);

/// The body of `POST /drain`; an empty one means the usual.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DrainBody {
    #[serde(rename = "for")]
    lasts: Option<Lasts>,
    #[serde(default)]
    force: bool,
}

/// How long: seconds, or a text such as `10m`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Lasts {
    Seconds(u64),
    Text(String),
}

fn order(body: &[u8]) -> Result<Request, ApiError> {
    let body: DrainBody = if body.iter().all(u8::is_ascii_whitespace) {
        DrainBody::default()
    } else {
        serde_json::from_slice(body).map_err(|error| {
            ApiError::bad_request(format!("expected {{\"for\":\"15m\",\"force\":false}}: {error}"))
        })?
    };
    let lasts = match body.lasts {
        None => Some(USUAL),
        Some(Lasts::Seconds(seconds)) => Some(Duration::from_secs(seconds)),
        Some(Lasts::Text(text)) => humantime::parse_duration(&text).ok(),
    };
    let allowed = Duration::from_secs(1)..=Duration::from_secs(86_400);
    let lasts = lasts.filter(|lasts| allowed.contains(lasts)).ok_or_else(|| {
        ApiError::bad_request("for: expected seconds, or a text such as \"15m\", from 1s to 24h")
    })?;
    let loss = if body.force { QuorumLoss::Accepted } else { QuorumLoss::Refused };
    Ok(Request::Drain { lasts, loss })
}

fn shown(drain: Drain) -> Value {
    let warning = (drain.absence.is_some() && drain.left < drain.quorum).then(|| {
        format!(
            "only {} masternodes are left, and {} decide: no block comes until this node is back",
            drain.left, drain.quorum
        )
    });
    json!({
        "result": if drain.absence.is_some() { "draining" } else { "not draining" },
        "absence_s": drain.absence.map(|lasts| lasts.as_secs()),
        "told": drain.told,
        "masternodes_left": drain.left,
        "quorum": drain.quorum,
        "warning": warning,
    })
}

/// `POST /drain`.
pub(super) async fn drain(State(context): Shared, request: axum::extract::Request) -> Answer {
    match context.ask(order(&read_body(request).await?)?).await? {
        Reply::Drain(drain) => Ok((StatusCode::ACCEPTED, Json(shown(drain))).into_response()),
        Reply::QuorumLost(Drain { left, quorum, .. }) => Err(ApiError::new(
            StatusCode::CONFLICT,
            "quorum_lost",
            format!(
                "without this node {left} masternodes are left that are here to stay, and {quorum} decide blocks: \
                 wait until the others are back, or insist with force"
            ),
        )),
        _ => Err(unexpected()),
    }
}

/// `DELETE /drain`.
pub(super) async fn undrain(State(context): Shared) -> Answer {
    match context.ask(Request::Undrain).await? {
        Reply::Drain(drain) => Ok(Json(shown(drain)).into_response()),
        _ => Err(unexpected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: &str) -> Result<(u64, QuorumLoss), String> {
        match order(body.as_bytes()) {
            Ok(Request::Drain { lasts, loss }) => Ok((lasts.as_secs(), loss)),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.message),
        }
    }

    #[test]
    fn an_absence_is_asked_for_in_every_sound_form_and_mistakes_are_named() {
        let refused = QuorumLoss::Refused;
        for (body, seconds) in
            [("", 900), (" {}\n", 900), (r#"{"for":90}"#, 90), (r#"{"for":"24h"}"#, 86_400)]
        {
            assert_eq!(asked(body), Ok((seconds, refused)), "{body}");
        }
        assert_eq!(asked(r#"{"for":"2m","force":true}"#), Ok((120, QuorumLoss::Accepted)));
        for (body, word) in [
            (r#"{"for":0}"#, "1s to 24h"),
            (r#"{"for":"25h"}"#, "1s to 24h"),
            (r#"{"for":"soon"}"#, "1s to 24h"),
            (r#"{"for":-1}"#, "for"),
            (r#"{"force":"yes"}"#, "force"),
            (r#"{"until":"noon"}"#, "until"),
            ("[", "expected"),
        ] {
            let error = asked(body).unwrap_err();
            assert!(error.contains(word), "{body}: {error}");
        }
    }
}
