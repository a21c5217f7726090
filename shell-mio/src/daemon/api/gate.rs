//! Who may ask what: the `Host` check against rebound names, and the token.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use zeroize::Zeroizing;

use super::ApiNames;
use super::error::ApiError;

/// The rules of one API.
pub(super) struct Gate {
    /// SHA-256 of the token: comparing digests takes the same time wherever they differ.
    token: [u8; 32],
    reads: Reads,
    names: Arc<ApiNames>,
}

/// Whether a request that passes has shown the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bearer {
    /// It has.
    Token,
    /// It has not, or a wrong one.
    Nobody,
}

/// Whether reads need the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    /// The API listens on a loopback address only.
    Open,
    /// Others can reach it.
    NeedToken,
}

impl Gate {
    /// The rules of an API that listens at `listen`, whose `names` are further ones it answers to.
    pub(super) fn new(token: &Zeroizing<String>, listen: SocketAddr, names: Arc<ApiNames>) -> Self {
        let reads = if listen.ip().to_canonical().is_loopback() { Reads::Open } else { Reads::NeedToken };
        Self { token: Sha256::digest(token.as_bytes()).into(), reads, names }
    }

    /// Lets a request pass, or says why not.
    fn admit(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<Bearer, ApiError> {
        self.check_host(headers)?;
        let bearer = self.check_token(headers);
        let open = match *method {
            // The page at `/` is the same for everybody; what it asks for then is not.
            Method::GET | Method::HEAD => {
                self.reads == Reads::Open || matches!(path, "/" | "/livez" | "/readyz")
            }
            // JSON-RPC: which of its methods need the token is known when they are read.
            Method::POST => self.reads == Reads::Open && path == "/",
            _ => false,
        };
        match bearer {
            Ok(()) => Ok(Bearer::Token),
            Err(_) if open => Ok(Bearer::Nobody),
            Err(refused) => Err(refused),
        }
    }

    /// A browser that was lured to a rebound name sends that name.
    fn check_host(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or("");
        if is_literal(host) || self.is_known_name(host) {
            return Ok(());
        }
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "wrong_host",
            format!(
                "Host {host:?} is neither an IP address nor localhost nor a configured name; add it to api.hosts \
                 if this node is meant"
            ),
        ))
    }

    fn is_known_name(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        name.eq_ignore_ascii_case("localhost") || self.names.answers_to(name)
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let unauthorized = |message: &str| ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message);
        let given = headers
            .get(AUTHORIZATION)
            .ok_or_else(|| {
                unauthorized("send Authorization: Bearer with the content of .cookie in the data directory")
            })?
            .as_bytes();
        let (scheme, credentials) = given
            .iter()
            .position(|byte| *byte == b' ')
            .map(|at| given.split_at(at))
            .ok_or_else(|| unauthorized("Authorization is not of the form: Bearer TOKEN"))?;
        let token = if scheme.eq_ignore_ascii_case(b"bearer") {
            Zeroizing::new(credentials.trim_ascii().to_vec())
        } else if scheme.eq_ignore_ascii_case(b"basic") {
            password(credentials.trim_ascii())
                .ok_or_else(|| unauthorized("Authorization: Basic is not followed by USER:TOKEN in base64"))?
        } else {
            return Err(unauthorized("Authorization is not of the form: Bearer TOKEN"));
        };
        let digest: [u8; 32] = Sha256::digest(&*token).into();
        let difference = digest.iter().zip(self.token).fold(0, |sum, (a, b)| sum | (a ^ b));
        if std::hint::black_box(difference) == 0 {
            Ok(())
        } else {
            Err(unauthorized("wrong token: it is new at each start of the node"))
        }
    }
}

/// The password of basic credentials, whoever the user is: what clients of Bitcoin Core send.
fn password(credentials: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let plain = Zeroizing::new(STANDARD.decode(credentials).ok()?);
    let colon = plain.iter().position(|byte| *byte == b':')?;
    plain.get(colon + 1..).map(|password| Zeroizing::new(password.to_vec()))
}

/// Says how to come back with a token.
pub(super) fn challenge(headers: &mut HeaderMap) {
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
}

/// Whether a `Host` is an IP address, with or without a port.
fn is_literal(host: &str) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    host.parse::<SocketAddr>().is_ok()
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4())
        || bracketed.is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok())
}

/// The gate as the outermost layer of the router.
pub(super) async fn layer(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    match gate.admit(request.method(), request.uri().path(), request.headers()) {
        Ok(bearer) => {
            request.extensions_mut().insert(bearer);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(gate: &Gate, method: &Method, path: &str, host: &str, token: Option<&str>) -> u16 {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        }
        gate.admit(method, path, &headers).map_or_else(|error| error.status.as_u16(), |_| 200)
    }

    fn names() -> Arc<ApiNames> {
        Arc::new(ApiNames::new(None, vec!["node.example".to_owned()]))
    }

    #[test]
    fn clients_of_bitcoin_core_send_the_token_as_a_password() {
        let gate = gate("127.0.0.1:8332");
        let sent = |credentials: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, "localhost".parse().unwrap());
            headers.insert(AUTHORIZATION, format!("Basic {credentials}").parse().unwrap());
            gate.admit(&Method::POST, "/stop", &headers).is_ok()
        };
        assert!(sent(&STANDARD.encode("__cookie__:abc")) && sent(&STANDARD.encode(":abc")));
        for wrong in
            [STANDARD.encode("abc"), STANDARD.encode("__cookie__:ab"), "abc".to_owned(), String::new()]
        {
            assert!(!sent(&wrong), "{wrong}");
        }
    }

    fn gate(listen: &str) -> Gate {
        Gate::new(&Zeroizing::new("abc".to_owned()), listen.parse().unwrap(), names())
    }

    #[test]
    fn only_literal_and_known_hosts_pass() {
        let gate = gate("127.0.0.1:8332");
        for host in [
            "127.0.0.1",
            "127.0.0.1:8332",
            "[::1]",
            "[::1]:8332",
            "localhost",
            "LOCALHOST:1",
            "node.example:8332",
        ] {
            assert_eq!(verdict(&gate, &Method::GET, "/status", host, None), 200, "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8332", "", "[evil]", "a:b"]
        {
            assert_eq!(verdict(&gate, &Method::GET, "/status", host, Some("abc")), 403, "{host}");
        }
    }

    #[test]
    fn writes_need_the_token_everywhere_and_reads_beyond_loopback() {
        let (local, public) = (gate("127.0.0.3:8332"), gate("0.0.0.0:8332"));
        for (gate, method, path, open) in [
            (&local, Method::GET, "/peers", 200),
            (&local, Method::POST, "/peers", 401),
            (&local, Method::DELETE, "/peers/x", 401),
            (&local, Method::OPTIONS, "/peers", 401),
            (&public, Method::GET, "/peers", 401),
            (&public, Method::GET, "/livez", 200),
            (&public, Method::GET, "/readyz", 200),
            (&public, Method::POST, "/readyz", 401),
            (&public, Method::GET, "/", 200),
            (&public, Method::POST, "/", 401),
            (&local, Method::POST, "/", 200),
        ] {
            assert_eq!(verdict(gate, &method, path, "10.0.0.1", None), open, "{method} {path}");
            assert_eq!(verdict(gate, &method, path, "10.0.0.1", Some("ab")), open, "{method} {path}");
            assert_eq!(verdict(gate, &method, path, "10.0.0.1", Some("abc")), 200, "{method} {path}");
        }
    }
}
