//! The HTTP API, on a thread of its own: it asks the core across a bounded queue and reads published
//! snapshots, so that it can neither block nor stall the event loop.
//!
//! | file | mechanism |
//! |---|---|
//! | `server` | connections: how many, how long |
//! | `gate` | `Host` check and token |
//! | `routes` | every route and its handler |
//! | `answers` | the core's values as JSON |
//! | `consensus` | the same for the chain's state |
//! | `blocks` | final blocks, read from the store |
//! | `transactions` | taking them in, and where they are |
//! | `evidence` | proofs of equivocation |
//! | `feed`, `facts` | `/events`: who listens, and what is told |
//! | `readiness` | the checks behind `/readyz` |
//! | `error` | refusals |

mod answers;
mod blocks;
mod consensus;
mod error;
mod evidence;
mod facts;
mod feed;
mod gate;
mod readiness;
mod routes;
mod server;
mod transactions;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use timed_core::{GenesisHash, NodeId, PeerRef, Registry, Wall};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::assembly::Assembly;
use super::failure::Failure;
use super::metrics::Totals;
use crate::Remote;
pub(crate) use blocks::BlockReader;
pub(crate) use feed::Feed;
use gate::Gate;
use readiness::Place;
use routes::Context;

/// Threads that read blocks: more would only wait for the same disk.
const READING_THREADS: usize = 4;

/// What the API knows beside what it asks.
pub(crate) struct ApiFacts {
    name: Option<String>,
    network: String,
    genesis_hash: GenesisHash,
    node: NodeId,
    /// The first registry, and the only one that this version knows.
    registry: Registry,
    block_interval: Duration,
    place: Place,
    started: Wall,
    since: Instant,
    hosts: Vec<String>,
    token: Zeroizing<String>,
    totals: Arc<Totals>,
}

impl ApiFacts {
    /// The facts of a node that is about to run.
    pub(crate) fn new(assembly: &Assembly, token: Zeroizing<String>, totals: Arc<Totals>) -> Self {
        let config = &assembly.config;
        let registry = &assembly.genesis.registry;
        let own = usize::from(assembly.acts_as_masternode());
        Self {
            name: config.node.name.clone(),
            network: assembly.genesis.network.as_str().to_owned(),
            genesis_hash: assembly.genesis_hash,
            node: assembly.id,
            registry: registry.clone(),
            block_interval: assembly.genesis.block_interval,
            place: Place { quorum: registry.quorum(), own },
            started: crate::now().wall,
            since: Instant::now(),
            hosts: config.api.hosts.iter().chain(&config.node.name).cloned().collect(),
            token,
            totals,
        }
    }
}

/// A running API.
#[derive(Debug)]
pub(crate) struct ApiHandle {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl ApiHandle {
    /// Finishes the answers under way, for half a second at most, and ends the thread.
    pub(crate) fn stop(self) {
        let _ = self.end.send(());
        let _ = self.thread.join();
    }
}

/// A started API.
pub(crate) struct Started {
    /// Where it is.
    pub(crate) listen: SocketAddr,
    /// Ends it.
    pub(crate) handle: ApiHandle,
    /// Takes the loop's events to those who listen to them.
    pub(crate) feed: Feed,
}

/// Serves the API on a listener.
pub(crate) fn start(
    listener: TcpListener,
    facts: ApiFacts,
    remote: Remote,
    blocks: Box<dyn BlockReader>,
) -> Result<Started, Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("cannot start the API: {error}"));
    let listen = listener.local_addr().map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(READING_THREADS)
        .build()
        .map_err(failed)?;
    let (feed, listeners, carrier) = feed::feed();
    let context = Context { facts, remote, blocks, listeners };
    let gate = Arc::new(Gate::new(&context.facts.token, listen, context.facts.hosts.clone()));
    let router = routes::router(Arc::new(context), gate);
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener).map_err(failed)?
    };
    let (end, ended) = oneshot::channel();
    let serve = move || {
        runtime.spawn(carrier.carry());
        runtime.block_on(server::serve(listener, router, async move {
            let _ = ended.await;
        }));
    };
    let thread = thread::Builder::new().name("api".to_owned()).spawn(serve).map_err(failed)?;
    Ok(Started { listen, handle: ApiHandle { end, thread }, feed })
}

/// How an operator names a peer: node id, its first digits, `IP:PORT`, or IP.
pub(crate) fn parse_peer(text: &str) -> Result<PeerRef, String> {
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
        "{text:?} names no peer: give a node id or at least 4 of its first digits, IP:PORT, or an IP"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::client::{Api, Method};
    use super::*;
    use crate::{Shell, ShellConfig};
    use std::time::Duration;

    /// A loop that was bound and never runs stands for one that hangs.
    #[test]
    fn a_hanging_loop_is_told_by_what_needs_no_answer_of_it() {
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let shell = Shell::bind(ShellConfig::listening_on(here)).unwrap();
        let facts = ApiFacts {
            name: None,
            network: "testnet".to_owned(),
            genesis_hash: GenesisHash([0; 32]),
            node: NodeId([0; 32]),
            registry: Registry::new(vec![timed_core::Masternode {
                id: NodeId([0; 32]),
                addr: "10.0.0.1:1".parse().unwrap(),
            }])
            .unwrap(),
            block_interval: Duration::from_secs(10),
            place: Place { quorum: 3, own: 1 },
            started: Wall(0),
            since: Instant::now(),
            hosts: Vec::new(),
            token: Zeroizing::new("abc".to_owned()),
            totals: Arc::new(Totals::new()),
        };
        let blocks = Box::new(super::super::run::NoBlocks);
        let started = start(TcpListener::bind(here).unwrap(), facts, shell.remote(), blocks).unwrap();
        let Started { listen, handle, feed } = started;
        let token = Some(Zeroizing::new("abc".to_owned()));
        let api = Api::within(format!("http://{listen}"), token, Duration::from_secs(20));
        let get = |path| api.exchange(Method::Get, path, "").unwrap();

        assert_eq!(get("/consensus_info").json["links"]["up"], 0);
        assert_eq!(get("/livez").status, 200);
        let peers = get("/peers");
        assert_eq!((peers.status, peers.json["error"]["code"].as_str()), (503, Some("no_answer")));
        assert_eq!(get("/metrics").status, 200);
        thread::sleep(Duration::from_millis(500));
        let ready = get("/readyz?verbose=1");
        assert_eq!(ready.status, 503);
        let failed = ready.json["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
        assert_eq!(
            failed.map(|check| check["name"].as_str().unwrap()).collect::<Vec<_>>(),
            ["peers", "last_tick", "sync"]
        );
        assert_eq!(api.exchange(Method::Post, "/stop", "").unwrap().status, 202);
        drop(feed);
        handle.stop();
        assert!(api.exchange(Method::Get, "/livez", "").is_err());
    }

    #[test]
    fn peers_are_named_in_four_ways() {
        let id = NodeId([0xab; 32]);
        assert_eq!(parse_peer(&id.to_string()), Ok(PeerRef::Id(id)));
        assert_eq!(parse_peer("10.0.0.1:5"), Ok(PeerRef::Addr("10.0.0.1:5".parse().unwrap())));
        assert_eq!(parse_peer("::ffff:10.0.0.1"), Ok(PeerRef::Ip("10.0.0.1".parse().unwrap())));
        assert_eq!(parse_peer("[::1]"), Ok(PeerRef::Ip("::1".parse().unwrap())));
        assert_eq!(parse_peer("abab"), Ok(PeerRef::IdPrefix("abab".to_owned())));
        for wrong in ["", "ab", "xyz123", "10.0.0.1:0", "0.0.0.0:1"] {
            assert!(parse_peer(wrong).is_err(), "{wrong}");
        }
    }
}
