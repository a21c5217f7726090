//! Reaching a node's API: where it is, with which token, and what its refusals mean.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use ureq::http::Uri;
use zeroize::Zeroizing;

use super::super::arguments::{ClientArgs, NodeArgs};
use super::super::assembly::read_config;
use super::super::data_dir::{DataDir, read_secret};
use super::super::failure::Failure;

/// Every question is answered within this time: longer than the API waits for a slow disk, whose word on it counts.
const WITHIN: Duration = Duration::from_secs(15);

/// Bytes of an answer at most: a full block of tiny transactions names many.
const LARGEST_ANSWER: u64 = 64 * 1024 * 1024;

/// A node's API.
#[derive(Clone)]
pub(crate) struct Api {
    base: String,
    token: Option<Zeroizing<String>>,
    agent: ureq::Agent,
    within: Duration,
}

/// What to do at a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Ask.
    Get,
    /// Order, with a JSON body.
    Post,
    /// Hand over bytes as they are.
    PostBytes,
    /// Take away.
    Delete,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// Nothing answers at the address.
    Unreachable(String),
    /// The node refused, in its own words.
    Refused(String),
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Unreachable(message) | Self::Refused(message)) = self;
        f.write_str(message)
    }
}

impl From<NoAnswer> for Failure {
    fn from(none: NoAnswer) -> Self {
        Self::failed(none.to_string())
    }
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) text: String,
    /// The body as JSON.
    pub(crate) json: Value,
}

impl Api {
    /// The API that the arguments mean: the URL given, else the one the data directory's node is configured
    /// to serve.
    pub(crate) fn of(args: &ClientArgs) -> Result<Self, Failure> {
        let dir = DataDir::locate(args.dir.data_dir.as_deref());
        let (base, send_token) = match &args.api {
            Some(url) => {
                let base = base_url(url)?;
                let named = args.dir.data_dir.is_some();
                let send = named || is_loopback(&base);
                (base, send)
            }
            None => (configured(&dir.clone()?, args)?, true),
        };
        let token = match dir {
            Ok(dir) if send_token => token(&dir)?,
            _ => None,
        };
        Ok(Self::at(base, token))
    }

    /// An API at a known place.
    pub(crate) fn at(base: String, token: Option<Zeroizing<String>>) -> Self {
        Self::within(base, token, WITHIN)
    }

    /// An API that must answer within a time.
    pub(crate) fn within(base: String, token: Option<Zeroizing<String>>, within: Duration) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(within))
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .build()
            .new_agent();
        Self { base, token, agent, within }
    }

    /// Asks, and takes only success for an answer.
    pub(crate) fn call(
        &self,
        method: Method,
        path: &str,
        body: impl AsRef<[u8]>,
    ) -> Result<Answer, NoAnswer> {
        let answer = self.exchange(method, path, body)?;
        self.accepted(answer)
    }

    /// Takes only success for an answer.
    pub(crate) fn accepted(&self, answer: Answer) -> Result<Answer, NoAnswer> {
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        let message = answer.json["error"]["message"].as_str().unwrap_or(answer.text.trim());
        let hint = match answer.status {
            401 => "; --data-dir DIR of that node gives its token",
            _ => "",
        };
        Err(NoAnswer::Refused(format!("{} refused ({}): {message}{hint}", self.base, answer.status)))
    }

    /// Asks for what does not end by itself; reading it fails once nothing has come for so long.
    pub(crate) fn stream(&self, path: &str, patience: Duration) -> Result<impl Read + use<>, NoAnswer> {
        let url = format!("{}{path}", self.base);
        let bearer = self.token.as_ref().map(|token| Zeroizing::new(format!("Bearer {}", token.as_str())));
        let request = authorized(self.agent.get(&url), bearer.as_ref());
        let request = request
            .config()
            .timeout_global(None)
            .timeout_connect(Some(WITHIN))
            .timeout_recv_response(Some(WITHIN))
            .timeout_per_read(Some(patience))
            .build();
        let answer = request.call().map_err(|error| NoAnswer::Unreachable(error.to_string()))?;
        if !answer.status().is_success() {
            return Err(NoAnswer::Refused(answer.status().to_string()));
        }
        Ok(answer.into_body().into_reader())
    }

    /// Asks, and returns whatever the node says.
    pub(crate) fn exchange(
        &self,
        method: Method,
        path: &str,
        body: impl AsRef<[u8]>,
    ) -> Result<Answer, NoAnswer> {
        let url = format!("{}{path}", self.base);
        let bearer = self.token.as_ref().map(|token| Zeroizing::new(format!("Bearer {}", token.as_str())));
        let sent = match method {
            Method::Get => {
                let request = self.agent.get(&url);
                authorized(request, bearer.as_ref()).call()
            }
            Method::Delete => authorized(self.agent.delete(&url), bearer.as_ref()).call(),
            Method::Post | Method::PostBytes => {
                let kind = match method {
                    Method::PostBytes => "application/octet-stream",
                    _ => "application/json",
                };
                let request = self.agent.post(&url).header("content-type", kind);
                authorized(request, bearer.as_ref()).send(body.as_ref())
            }
        };
        let unreachable = |error: ureq::Error| {
            let base = &self.base;
            NoAnswer::Unreachable(match error {
                ureq::Error::Timeout(_) => {
                    format!(
                        "no answer from {base} within {} s: the node hangs, or the path to it",
                        self.within.as_secs()
                    )
                }
                error => format!(
                    "cannot reach a node at {base}: {error}; is it running? (--api URL or --data-dir DIR names another)"
                ),
            })
        };
        let mut response = sent.map_err(unreachable)?;
        let status = response.status().as_u16();
        let text =
            response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_string().map_err(unreachable)?;
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { status, text, json })
    }
}

fn authorized<B>(
    request: ureq::RequestBuilder<B>,
    bearer: Option<&Zeroizing<String>>,
) -> ureq::RequestBuilder<B> {
    match bearer {
        Some(bearer) => request.header("authorization", bearer.as_str()),
        None => request,
    }
}

/// A URL without its trailing slash; `http://` where no scheme is given.
fn base_url(url: &str) -> Result<String, Failure> {
    let place = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    let url = format!("http://{place}");
    let good = url
        .parse::<Uri>()
        .is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty()) && !place.contains("://"));
    if good {
        Ok(url)
    } else {
        Err(Failure::usage(format!("--api {url}: expected a URL such as http://127.0.0.1:8332")))
    }
}

fn is_loopback(base: &str) -> bool {
    let host = base.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn configured(dir: &DataDir, args: &ClientArgs) -> Result<String, Failure> {
    let config = read_config(dir, &NodeArgs::without_overrides(args.config.clone()))?;
    if !config.api.enabled {
        return Err(Failure::failed(
            "this node's configuration has api.enabled = false: there is nobody to ask",
        ));
    }
    Ok(url_of(config.api.listen))
}

/// The URL at which an API that listens at an address is reached from this machine.
pub(crate) fn url_of(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, listen.port()))
}

/// The token of the node that runs in a data directory, if one does.
pub(crate) fn token(dir: &DataDir) -> Result<Option<Zeroizing<String>>, Failure> {
    let path: &Path = &dir.cookie();
    Ok(read_secret(path)?.map(|text| Zeroizing::new(text.trim().to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_completed_and_checked() {
        assert_eq!(base_url("127.0.0.1:8332").unwrap(), "http://127.0.0.1:8332");
        assert_eq!(base_url("http://h:1/").unwrap(), "http://h:1");
        for wrong in ["https://h:1", "", "http://", "ftp://h"] {
            assert!(base_url(wrong).is_err(), "{wrong}");
        }
        assert!(is_loopback("http://127.0.0.9:1") && is_loopback("http://[::1]:1"));
        assert!(!is_loopback("http://10.0.0.1:1") && !is_loopback("http://127.0.0.1.evil:1"));
        assert_eq!(url_of("0.0.0.0:5".parse().unwrap()), "http://127.0.0.1:5");
    }
}
