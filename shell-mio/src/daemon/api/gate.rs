//! Who may ask what: the `Host` check against rebound names, and the token.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use zeroize::Zeroizing;

use super::error::ApiError;

/// The rules of one API.
pub(super) struct Gate {
    /// SHA-256 of the token: comparing digests takes the same time wherever they differ.
    token: [u8; 32],
    reads: Reads,
    hosts: Vec<String>,
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
    /// The rules of an API that listens at `listen`, whose `hosts` are further names it answers to.
    pub(super) fn new(token: &Zeroizing<String>, listen: SocketAddr, hosts: Vec<String>) -> Self {
        let reads = if listen.ip().to_canonical().is_loopback() { Reads::Open } else { Reads::NeedToken };
        Self { token: Sha256::digest(token.as_bytes()).into(), reads, hosts }
    }

    /// Lets a request pass, or says why not.
    fn admit(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), ApiError> {
        self.check_host(headers)?;
        let open = match *method {
            // The page at `/` is the same for everybody; what it asks for then is not.
            Method::GET | Method::HEAD => {
                self.reads == Reads::Open || matches!(path, "/" | "/livez" | "/readyz")
            }
            _ => false,
        };
        if open { Ok(()) } else { self.check_token(headers) }
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
        name.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let unauthorized = |message: &str| ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message);
        let given = headers
            .get(AUTHORIZATION)
            .ok_or_else(|| {
                unauthorized("send Authorization: Bearer with the content of .cookie in the data directory")
            })?
            .as_bytes();
        let (scheme, token) = given
            .iter()
            .position(|byte| *byte == b' ')
            .map(|at| given.split_at(at))
            .ok_or_else(|| unauthorized("Authorization is not of the form: Bearer TOKEN"))?;
        if !scheme.eq_ignore_ascii_case(b"bearer") {
            return Err(unauthorized("Authorization is not of the form: Bearer TOKEN"));
        }
        let digest: [u8; 32] = Sha256::digest(token.trim_ascii()).into();
        let difference = digest.iter().zip(self.token).fold(0, |sum, (a, b)| sum | (a ^ b));
        if std::hint::black_box(difference) == 0 {
            Ok(())
        } else {
            Err(unauthorized("wrong token: it is new at each start of the node"))
        }
    }
}

/// Whether a `Host` is an IP address, with or without a port.
fn is_literal(host: &str) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    host.parse::<SocketAddr>().is_ok()
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4())
        || bracketed.is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok())
}

/// The gate as the outermost layer of the router.
pub(super) async fn layer(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    match gate.admit(request.method(), request.uri().path(), request.headers()) {
        Ok(()) => next.run(request).await,
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
        gate.admit(method, path, &headers).map_or_else(|error| error.status.as_u16(), |()| 200)
    }

    fn gate(listen: &str) -> Gate {
        Gate::new(&Zeroizing::new("abc".to_owned()), listen.parse().unwrap(), vec!["node.example".to_owned()])
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
            (&local, Method::POST, "/", 401),
        ] {
            assert_eq!(verdict(gate, &method, path, "10.0.0.1", None), open, "{method} {path}");
            assert_eq!(verdict(gate, &method, path, "10.0.0.1", Some("ab")), open, "{method} {path}");
            assert_eq!(verdict(gate, &method, path, "10.0.0.1", Some("abc")), 200, "{method} {path}");
        }
    }
}
