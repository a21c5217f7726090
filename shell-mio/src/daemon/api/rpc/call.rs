//! The envelope: what a body asks for, and how an answer looks. Calls of version 2.0 are held to the standard; those
//! that say 1.0, 1.1 or nothing are answered in the form that older scripts know.

use serde_json::{Map, Value, json};

use super::super::error::ApiError;
use super::MAX_BATCH;
use super::method::Method;
use crate::daemon::config::did_you_mean;

/// What a body asks for; a call that is none comes with its answer.
#[derive(Debug)]
pub(super) enum Body {
    /// One call.
    One(Result<Call, Value>),
    /// Several, in order.
    Batch(Vec<Result<Call, Value>>),
}

impl Body {
    /// Reads a body.
    pub(super) fn read(body: &[u8]) -> Result<Self, Fault> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| Fault::new(Fault::PARSE, format!("the body is no JSON: {error}")))?;
        let Value::Array(calls) = value else { return Ok(Self::One(Call::read(value))) };
        if calls.is_empty() {
            return Err(Fault::new(Fault::INVALID_REQUEST, "a batch has at least one call"));
        }
        if calls.len() > MAX_BATCH {
            let message = format!("a batch has at most {MAX_BATCH} calls; this one has {}", calls.len());
            return Err(Fault::new(Fault::INVALID_REQUEST, message));
        }
        Ok(Self::Batch(calls.into_iter().map(Call::read).collect()))
    }
}

/// In which form a call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// `result` or `error`, and nothing for a notification.
    Two,
    /// Always both, one of them null.
    Older,
}

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    version: Version,
    /// None for a notification.
    id: Option<Value>,
    pub(super) method: String,
    pub(super) parameters: Option<Value>,
}

impl Call {
    /// Reads a call, or says why it is none.
    fn read(value: Value) -> Result<Self, Value> {
        let invalid = |id: &Value, message: &str| Fault::new(Fault::INVALID_REQUEST, message).answer(id);
        let Value::Object(mut fields) = value else {
            return Err(invalid(&Value::Null, "a call is an object with method, params and id"));
        };
        let id = fields.remove("id");
        if !matches!(id, None | Some(Value::Null | Value::String(_) | Value::Number(_))) {
            return Err(invalid(&Value::Null, "id: expected a text, a number or null"));
        }
        let told = id.clone().unwrap_or(Value::Null);
        let version = match fields.remove("jsonrpc") {
            Some(Value::String(version)) if version == "2.0" => Version::Two,
            Some(Value::String(version)) if version == "1.0" || version == "1.1" => Version::Older,
            None => Version::Older,
            Some(_) => return Err(invalid(&told, "jsonrpc: expected \"2.0\"")),
        };
        let Some(Value::String(method)) = fields.remove("method") else {
            return Err(invalid(&told, "method: expected a text"));
        };
        let parameters = match fields.remove("params") {
            parameters @ (None | Some(Value::Array(_) | Value::Object(_))) => parameters,
            Some(Value::Null) if version == Version::Older => None,
            Some(_) => return Err(invalid(&told, "params: expected an array or an object")),
        };
        let id = match version {
            Version::Two => id,
            Version::Older => Some(told),
        };
        Ok(Self { version, id, method, parameters })
    }

    /// The answer; none to a notification, whatever became of it.
    pub(super) fn answer(&self, done: Result<Value, Fault>) -> Option<Value> {
        let id = self.id.as_ref()?;
        Some(match (self.version, done) {
            (Version::Two, Ok(result)) => json!({ "jsonrpc": "2.0", "result": result, "id": id }),
            (Version::Two, Err(fault)) => fault.answer(id),
            (Version::Older, Ok(result)) => json!({ "result": result, "error": null, "id": id }),
            (Version::Older, Err(fault)) => json!({ "result": null, "error": fault.object(), "id": id }),
        })
    }
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) code: i32,
    message: String,
    data: Option<Value>,
}

impl Fault {
    /// Of the standard.
    pub(super) const PARSE: i32 = -32_700;
    pub(super) const INVALID_REQUEST: i32 = -32_600;
    pub(super) const UNKNOWN_METHOD: i32 = -32_601;
    pub(super) const INVALID_PARAMETERS: i32 = -32_602;
    pub(super) const INTERNAL: i32 = -32_603;
    /// In the standard's range for servers: the node cannot answer now.
    pub(super) const SERVER: i32 = -32_000;
    /// In the same range: the token is missing or wrong.
    pub(super) const UNAUTHORIZED: i32 = -32_001;
    /// Of Bitcoin Core: anything else.
    pub(super) const MISC: i32 = -1;
    /// There is no such block or transaction.
    pub(super) const NOT_FOUND: i32 = -5;
    /// A height that no block has.
    pub(super) const OUT_OF_RANGE: i32 = -8;
    /// Bytes that are no hex.
    pub(super) const DESERIALIZATION: i32 = -22;
    /// The node or ban is there already.
    pub(super) const ALREADY_ADDED: i32 = -23;
    /// The node was not added.
    pub(super) const NOT_ADDED: i32 = -24;
    /// A transaction that is not taken.
    pub(super) const REJECTED: i32 = -26;
    /// A transaction that is in a block.
    pub(super) const ALREADY_IN_CHAIN: i32 = -27;
    /// No such peer.
    pub(super) const NOT_CONNECTED: i32 = -29;
    /// No such ban.
    pub(super) const NOT_BANNED: i32 = -30;

    pub(super) fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    pub(super) fn parameter(name: &str, message: impl std::fmt::Display) -> Self {
        Self {
            data: Some(json!({ "parameter": name })),
            ..Self::new(Self::INVALID_PARAMETERS, format!("{name}: {message}"))
        }
    }

    pub(super) fn server(message: impl Into<String>) -> Self {
        Self::new(Self::SERVER, message)
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(
            Self::UNAUTHORIZED,
            "this method changes something: send Authorization: Bearer with the content of .cookie in the data \
             directory",
        )
    }

    pub(super) const fn is_unauthorized(&self) -> bool {
        self.code == Self::UNAUTHORIZED
    }

    pub(super) fn unknown_method(method: &str) -> Self {
        let meant = did_you_mean(method, Method::ALL.iter().map(|method| method.name()));
        // A name can be as long as the body.
        let shown: String = method.chars().take(64).collect();
        let hint =
            meant.map_or_else(|| "; help lists all".to_owned(), |meant| format!("; did you mean {meant}?"));
        Self::new(Self::UNKNOWN_METHOD, format!("there is no method {shown:?}{hint}"))
    }

    /// The same fault under another number.
    pub(super) fn with_code(self, code: i32) -> Self {
        Self { code, ..self }
    }

    fn object(&self) -> Value {
        let mut object = Map::new();
        object.insert("code".to_owned(), self.code.into());
        object.insert("message".to_owned(), self.message.clone().into());
        if let Some(data) = &self.data {
            object.insert("data".to_owned(), data.clone());
        }
        Value::Object(object)
    }

    /// The whole answer, of version 2.0.
    pub(super) fn answer(&self, id: &Value) -> Value {
        json!({ "jsonrpc": "2.0", "error": self.object(), "id": id })
    }
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        let code = match (error.status.as_u16(), error.code) {
            (_, "unknown_peer") => Self::NOT_CONNECTED,
            (400, _) => Self::INVALID_PARAMETERS,
            (500, _) => Self::INTERNAL,
            (503, _) => Self::SERVER,
            _ => Self::MISC,
        };
        Self { code, message: error.message, data: Some(json!({ "code": error.code })) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> (i64, Value) {
        let refused = match Body::read(text.as_bytes()) {
            Err(fault) => fault.answer(&Value::Null),
            Ok(Body::One(Err(refused))) => refused,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(refused["jsonrpc"], "2.0");
        assert!(refused.get("result").is_none() && !refused["error"]["message"].as_str().unwrap().is_empty());
        (refused["error"]["code"].as_i64().unwrap(), refused["id"].clone())
    }

    #[test]
    fn what_is_no_call_is_told_by_the_standards_codes() {
        for (text, code, id) in [
            ("", -32_700, Value::Null),
            ("{\"jsonrpc\":\"2.0\",\"method\":", -32_700, Value::Null),
            ("[]", -32_600, Value::Null),
            ("1", -32_600, Value::Null),
            ("{}", -32_600, Value::Null),
            ("{\"jsonrpc\":\"2.0\",\"method\":1,\"params\":\"bar\",\"id\":7}", -32_600, 7.into()),
            (
                "{\"jsonrpc\":\"2.0\",\"method\":\"stop\",\"params\":\"bar\",\"id\":\"a\"}",
                -32_600,
                "a".into(),
            ),
            ("{\"jsonrpc\":\"3.0\",\"method\":\"stop\",\"id\":7}", -32_600, 7.into()),
            ("{\"jsonrpc\":2.0,\"method\":\"stop\",\"id\":7}", -32_600, 7.into()),
            ("{\"jsonrpc\":\"2.0\",\"method\":\"stop\",\"id\":{}}", -32_600, Value::Null),
            ("{\"jsonrpc\":\"2.0\",\"method\":\"stop\",\"id\":[1]}", -32_600, Value::Null),
        ] {
            assert_eq!(refusal(text), (code, id), "{text}");
        }
        let many = format!("[{}]", vec!["1"; MAX_BATCH + 1].join(","));
        assert_eq!(refusal(&many).0, -32_600);
        let nested = "[".repeat(100_000);
        assert_eq!(refusal(&nested).0, -32_700);
    }

    #[test]
    fn a_batch_keeps_its_order_and_each_bad_call_its_answer() {
        let Ok(Body::Batch(calls)) =
            Body::read(b"[1,{\"jsonrpc\":\"2.0\",\"method\":\"x\"},{\"method\":\"y\"}]")
        else {
            panic!("a batch")
        };
        assert_eq!(calls[0].as_ref().unwrap_err()["error"]["code"], -32_600);
        let call = calls[1].as_ref().unwrap();
        assert_eq!((call.method.as_str(), call.answer(Ok(Value::Null))), ("x", None), "a notification");
        let older = calls[2].as_ref().unwrap().answer(Err(Fault::server("busy"))).unwrap();
        let expected = json!({ "result": null, "error": { "code": -32_000, "message": "busy" }, "id": null });
        assert_eq!(older, expected);
    }

    #[test]
    fn unknown_methods_are_named_in_short_with_what_was_meant() {
        let fault = Fault::unknown_method("getblokcount");
        assert!(fault.message.contains("did you mean getblockcount?"), "{fault:?}");
        assert!(Fault::unknown_method(&"x".repeat(100_000)).message.len() < 200);
    }
}
