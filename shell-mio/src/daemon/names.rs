//! Peers as the configuration lists them: addresses go to the core at once, host names become its seeds, asked of
//! the system's resolver whenever the core says so.

use std::net::ToSocketAddrs as _;

use timed_core::{Bootstrap, CanonicalAddr, PeerList, Seed, SeedId};
use tracing::warn;

use super::config::{Config, PeerEntry};
use crate::NameService;

/// The host names of a configuration, in the order of its lists.
#[derive(Debug)]
pub(crate) struct HostNames(Vec<(String, u16)>);

impl HostNames {
    /// What the core is told of them.
    pub(crate) fn seeds(config: &Config) -> Vec<Seed> {
        let seeds = |entries: &[PeerEntry], list| {
            let seed = move |entry: &PeerEntry| match entry {
                PeerEntry::Dns { id, .. } => Some(Seed { id: *id, list }),
                PeerEntry::Addr { .. } => None,
            };
            entries.iter().filter_map(seed).collect::<Vec<_>>()
        };
        let mut all = seeds(&config.network.peers, PeerList::Bootstrap);
        all.extend(seeds(&config.network.reserved_peers, PeerList::Reserved));
        all
    }

    /// What the name service is told of them.
    pub(crate) fn of(config: &Config) -> Self {
        let name = |entry: &PeerEntry| match entry {
            PeerEntry::Dns { host, port, .. } => Some((host.clone(), port.unwrap_or(config.network.port))),
            PeerEntry::Addr { .. } => None,
        };
        let network = &config.network;
        Self(network.peers.iter().chain(&network.reserved_peers).filter_map(name).collect())
    }
}

/// Those of a list that are listed by address.
pub(crate) fn by_address(entries: &[PeerEntry]) -> Vec<Bootstrap> {
    let addr = |entry: &PeerEntry| match entry {
        PeerEntry::Addr { id, addr } => Some(Bootstrap { addr: *addr, id: *id }),
        PeerEntry::Dns { .. } => None,
    };
    entries.iter().filter_map(addr).collect()
}

impl NameService for HostNames {
    fn resolve(&self, seed: SeedId) -> Vec<CanonicalAddr> {
        let name = usize::try_from(seed.0).ok().and_then(|place| self.0.get(place));
        let Some((host, port)) = name else { return Vec::new() };
        match (host.as_str(), *port).to_socket_addrs() {
            Ok(addrs) => addrs.filter_map(|addr| CanonicalAddr::new(addr).ok()).collect(),
            Err(error) => {
                warn!(host, %error, "cannot resolve this peer's name; it is asked about again");
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Sources;
    use super::*;

    #[test]
    fn names_and_addresses_go_their_ways() {
        let text = "[network]\nport = 24777\npeers = [\"10.0.0.1:1\", \"localhost\"]\n\
                    reserved_peers = [\"localhost:7\", \"10.0.0.2:1\"]\n";
        let config =
            Config::read(Sources { flags: &[], environment: &[], file: Some(("config.toml", text)) })
                .unwrap();
        let listed =
            |entries| by_address(entries).iter().map(|peer| peer.addr.to_string()).collect::<Vec<_>>();
        assert_eq!(listed(&config.network.peers), ["10.0.0.1:1"]);
        assert_eq!(listed(&config.network.reserved_peers), ["10.0.0.2:1"]);
        let lists: Vec<PeerList> = HostNames::seeds(&config).iter().map(|seed| seed.list).collect();
        assert_eq!(lists, [PeerList::Bootstrap, PeerList::Reserved]);
        let names = HostNames::of(&config);
        let ports = |seed| names.resolve(SeedId(seed)).iter().map(CanonicalAddr::port).collect::<Vec<_>>();
        assert!(ports(0).iter().all(|port| *port == 24_777) && !ports(0).is_empty());
        assert!(ports(1).iter().all(|port| *port == 7) && !ports(1).is_empty());
        assert!(ports(2).is_empty());
    }
}
