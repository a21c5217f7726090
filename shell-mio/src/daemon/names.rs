//! Peers as the configuration lists them: addresses go to the core at once, host names become its seeds, asked of
//! the system's resolver whenever the core says so.

use std::io;
use std::net::ToSocketAddrs as _;
use std::sync::atomic::{AtomicBool, Ordering};

use timed_core::{Bootstrap, CanonicalAddr, PeerList, Seed, SeedId};
use tracing::{info, warn};

use super::config::{Config, PeerEntry};
use crate::NameService;

/// The host names of a configuration, in the order of its lists.
#[derive(Debug)]
pub(crate) struct HostNames(Vec<HostName>);

#[derive(Debug)]
struct HostName {
    host: String,
    port: u16,
    /// What the log said of it last: it is asked about for as long as the node has no link to it, and a line for each
    /// question would be no news.
    fails: AtomicBool,
}

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
            PeerEntry::Dns { host, port, .. } => {
                Some(HostName::new(host.clone(), port.unwrap_or(config.network.port)))
            }
            PeerEntry::Addr { .. } => None,
        };
        let network = &config.network;
        Self(network.peers.iter().chain(&network.reserved_peers).filter_map(name).collect())
    }

    /// Each as `host:port`.
    pub(crate) fn to_texts(&self) -> Vec<String> {
        self.0.iter().map(|HostName { host, port, .. }| format!("{host}:{port}")).collect()
    }
}

impl HostName {
    const fn new(host: String, port: u16) -> Self {
        Self { host, port, fails: AtomicBool::new(false) }
    }

    /// Takes an answer of the resolver; what is news of it goes to the log.
    fn answered<T>(&self, answer: io::Result<T>) -> Option<T> {
        let host = self.host.as_str();
        let failed = self.fails.swap(answer.is_err(), Ordering::Relaxed);
        match &answer {
            Err(error) if !failed => {
                warn!(host, %error, "cannot resolve this peer's name; it is asked about again and again");
            }
            Ok(_) if failed => info!(host, "this peer's name can be resolved again"),
            _ => {}
        }
        answer.ok()
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
        let Some(name) = name else { return Vec::new() };
        let addrs = name.answered((name.host.as_str(), name.port).to_socket_addrs());
        addrs.into_iter().flatten().filter_map(|addr| CanonicalAddr::new(addr).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::config::Sources;
    use super::*;

    /// What is written to the log, line by line.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_name_that_cannot_be_resolved_is_one_line_until_it_can() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let name = HostName::new("seed.example".to_owned(), 1);
            for answer in [Ok(()), Err(()), Err(()), Err(()), Ok(()), Ok(()), Err(())] {
                let _ = name.answered(answer.map_err(|()| io::Error::other("no such host")));
            }
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let levels: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        assert_eq!(levels.len(), 3, "{text}");
        assert!(
            levels[0].contains("WARN") && levels[1].contains("INFO") && levels[2].contains("WARN"),
            "{text}"
        );
    }

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
