//! By which names this node answers, and how an operator names a peer. Names may change while the node runs.

use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

use timed_core::{NodeId, PeerRef};

use super::ApiFacts;

/// The names that this node goes by.
#[derive(Debug)]
pub(crate) struct ApiNames(RwLock<Names>);

#[derive(Debug)]
struct Names {
    own: Option<String>,
    hosts: Vec<String>,
}

impl ApiNames {
    /// `node.name` and `api.hosts`.
    pub(crate) const fn new(own: Option<String>, hosts: Vec<String>) -> Self {
        Self(RwLock::new(Names { own, hosts }))
    }

    /// From now on it goes by these.
    pub(crate) fn change(&self, own: Option<String>, hosts: Vec<String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Names { own, hosts };
    }

    /// `node.name`.
    pub(super) fn own(&self) -> Option<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).own.clone()
    }

    /// Whether a host name in a request means this node.
    pub(super) fn answers_to(&self, name: &str) -> bool {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        names.hosts.iter().chain(&names.own).any(|known| known.eq_ignore_ascii_case(name))
    }
}

impl ApiFacts {
    /// Whom an operator means: besides what [`parse_peer`] knows, a name of the configuration, this node's own
    /// included.
    pub(super) fn peer_named(&self, text: &str) -> Result<PeerRef, String> {
        if self.names.own().is_some_and(|own| own == text) {
            return Ok(PeerRef::Id(self.node));
        }
        self.peers.find(text).map(PeerRef::Seed).map_or_else(|| parse_peer(text), Ok)
    }
}

/// How an operator names a peer: node id, its first digits, `IP:PORT`, or IP.
pub(super) fn parse_peer(text: &str) -> Result<PeerRef, String> {
    if let Ok(id) = text.parse::<NodeId>() {
        return Ok(PeerRef::Id(id));
    }
    if let Ok(addr) = text.parse() {
        return Ok(PeerRef::Addr(addr));
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(PeerRef::Ip(ip.to_canonical()));
    }
    let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if (4..64).contains(&text.len()) && hex {
        return Ok(PeerRef::IdPrefix(text.to_owned()));
    }
    Err(format!(
        "{text:?} names no peer: give a node id or at least 4 of its first digits, IP:PORT, an IP, or a name from the \
         configuration"
    ))
}
