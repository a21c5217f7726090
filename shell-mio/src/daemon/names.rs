//! Peers as the configuration lists them: addresses go to the core at once, host names become its seeds, asked of
//! the system's resolver whenever the core says so.

use std::collections::BTreeMap;
use std::io;
use std::net::ToSocketAddrs as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use timed_core::{Bootstrap, CanonicalAddr, NewSeed, NodeId, PeerList, Seed, SeedId};
use tracing::{info, warn};

use super::config::{Config, PeerEntry};
use crate::NameService;

/// The host names of the configuration in force, by the numbers under which the core knows them.
#[derive(Debug)]
pub(crate) struct HostNames(RwLock<Numbered>);

#[derive(Debug)]
struct Numbered {
    names: BTreeMap<SeedId, Arc<HostName>>,
    /// No number is given twice.
    next: u32,
}

#[derive(Debug)]
struct HostName {
    host: String,
    port: u16,
    list: PeerList,
    id: Option<NodeId>,
    /// What the log said of it last: it is asked about for as long as the node has no link to it, and a line for each
    /// question would be no news.
    fails: AtomicBool,
}

impl HostNames {
    /// What the core is told of them.
    pub(crate) fn seeds(config: &Config) -> Vec<Seed> {
        listed(config).map(|name| name.seed()).collect()
    }

    /// What the name service is told of them.
    pub(crate) fn of(config: &Config) -> Self {
        let names: BTreeMap<SeedId, Arc<HostName>> =
            (0..).map(SeedId).zip(listed(config).map(Arc::new)).collect();
        let next = u32::try_from(names.len()).unwrap_or(u32::MAX);
        Self(RwLock::new(Numbered { names, next }))
    }

    /// No names.
    pub(crate) const fn none() -> Self {
        Self(RwLock::new(Numbered { names: BTreeMap::new(), next: 0 }))
    }

    /// Numbers the names of another configuration: whoever stays keeps the number. Those of the old one are known
    /// beside them until [`HostNames::keep`].
    pub(crate) fn renumber(&self, config: &Config) -> Vec<NewSeed> {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut new: Vec<NewSeed> = Vec::new();
        for name in listed(config) {
            let taken = |number: &SeedId| new.iter().any(|name| name.number == *number);
            let same = known.names.iter().find(|(number, old)| old.is(&name) && !taken(number));
            if let Some((number, old)) = same
                && old.list == name.list
            {
                new.push(NewSeed { number: *number, seed: name.seed(), before: Some(*number) });
                continue;
            }
            let before = same.map(|(number, _)| *number);
            let number = SeedId(known.next);
            known.next = known.next.saturating_add(1);
            new.push(NewSeed { number, seed: name.seed(), before });
            known.names.insert(number, Arc::new(name));
        }
        new
    }

    /// Forgets all names but these.
    pub(crate) fn keep(&self, names: &[NewSeed]) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.names.retain(|number, _| names.iter().any(|name| name.number == *number));
    }

    /// Forgets those of these that are new.
    pub(crate) fn forget_new(&self, names: &[NewSeed]) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_new =
            |number: &SeedId| names.iter().any(|name| name.number == *number && name.before != Some(*number));
        known.names.retain(|number, _| !is_new(number));
    }

    /// The number of a name as the configuration has it, with or without its port.
    pub(crate) fn find(&self, text: &str) -> Option<SeedId> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let named = |name: &HostName| match text.strip_prefix(name.host.as_str()) {
            Some("") => true,
            Some(rest) => rest.strip_prefix(':').and_then(|port| port.parse().ok()) == Some(name.port),
            None => name.host.eq_ignore_ascii_case(text),
        };
        known.names.iter().find(|(_, name)| named(name)).map(|(number, _)| *number)
    }

    /// Each as `host:port`.
    pub(crate) fn to_texts(&self) -> Vec<String> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.names.values().map(|name| format!("{}:{}", name.host, name.port)).collect()
    }
}

/// The names of a configuration in the order of its lists.
fn listed(config: &Config) -> impl Iterator<Item = HostName> {
    let network = &config.network;
    let of = |entry: &PeerEntry, list| match entry {
        PeerEntry::Dns { id, host, port } => {
            Some(HostName::new(host.clone(), port.unwrap_or(network.port), list, *id))
        }
        PeerEntry::Addr { .. } => None,
    };
    let peers = network.peers.iter().map(|entry| (entry, PeerList::Bootstrap));
    let reserved = network.reserved_peers.iter().map(|entry| (entry, PeerList::Reserved));
    peers.chain(reserved).filter_map(move |(entry, list)| of(entry, list))
}

impl HostName {
    const fn new(host: String, port: u16, list: PeerList, id: Option<NodeId>) -> Self {
        Self { host, port, list, id, fails: AtomicBool::new(false) }
    }

    const fn seed(&self) -> Seed {
        Seed { id: self.id, list: self.list }
    }

    /// Whether both stand for the same addresses and the same key.
    fn is(&self, other: &Self) -> bool {
        (&self.host, self.port, self.id) == (&other.host, other.port, other.id)
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
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).names.get(&seed).cloned();
        // The answer may take its time: nothing is locked until then.
        let Some(name) = known else { return Vec::new() };
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
            let name = HostName::new("seed.example".to_owned(), 1, PeerList::Bootstrap, None);
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

    #[test]
    fn a_name_that_stays_is_told_its_number_before_and_no_number_is_given_twice() {
        let config = |peers: &str| {
            let text = format!("[network]\npeers = [{peers}]\n");
            Config::read(Sources { file: Some(("config.toml", &text)), ..Sources::default() }).unwrap()
        };
        let names = HostNames::of(&config("\"a.example\", \"b.example:7\""));
        assert_eq!([names.find("a.example:24100"), names.find("B.EXAMPLE")], [0, 1].map(|n| Some(SeedId(n))));
        assert_eq!([names.find("b.example:8"), names.find("c.example")], [None, None]);
        let new = names.renumber(&config("\"c.example\", \"a.example\""));
        let shown: Vec<_> =
            new.iter().map(|name| (name.number.0, name.before.map(|before| before.0))).collect();
        assert_eq!(shown, [(2, None), (0, Some(0))]);
        names.keep(&new);
        assert_eq!([names.find("a.example"), names.find("b.example")], [Some(SeedId(0)), None]);
        assert_eq!(names.renumber(&config("\"b.example\""))[0].number, SeedId(3));
    }
}
