//! The HTTP API, on a thread of its own: it asks the core across a bounded queue and reads published
//! snapshots, so that it can neither block nor stall the event loop.
//!
//! | file | mechanism |
//! |---|---|
//! | `server` | connections: how many, how long |
//! | `patience` | sockets that give up on a client that takes nothing |
//! | `budget` | how much memory large answers may hold |
//! | `gate` | `Host` check and token |
//! | `input` | path, query and body of a request |
//! | `names` | names of this node and of peers, which may change while it runs |
//! | `routes` | every route and its handler |
//! | `rpc` | JSON-RPC at `POST /` |
//! | `answers` | the core's values as JSON |
//! | `consensus` | the same for the chain's state |
//! | `blocks` | final blocks, read from the store |
//! | `transactions` | taking them in, and where they are |
//! | `attestations` | heartbeats that prove who was there |
//! | `evidence` | proofs of equivocation |
//! | `bans` | bans: listed, set, lifted |
//! | `dashboard` | the page at `/` |
//! | `feed`, `facts` | `/events`: who listens, and what is told |
//! | `readiness` | the checks behind `/readyz` |
//! | `scrape` | `/metrics`, made twenty times a second at most |
//! | `error` | refusals |

mod answers;
mod attestations;
mod bans;
mod blocks;
mod budget;
mod consensus;
mod dashboard;
mod drain;
mod error;
mod evidence;
mod facts;
mod feed;
mod gate;
mod input;
mod names;
mod patience;
mod readiness;
mod routes;
pub(crate) mod rpc;
mod scrape;
mod server;
mod transactions;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use timed_core::{GenesisHash, NodeId, Registry, Wall};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::assembly::Assembly;
use super::data_dir::DataDir;
use super::failure::Failure;
use super::metrics::Totals;
use super::names::HostNames;
use super::recordings::Recordings;
use crate::{Blocks, Remote};
use attestations::Attestations;
pub(crate) use facts::{Fact, fact};
pub(crate) use feed::Feed;
use gate::Gate;
pub(crate) use names::ApiNames;
use readiness::Place;
use routes::Context;
use scrape::Scrape;

/// Threads that read blocks: more would only wait for the same disk.
const READING_THREADS: usize = 4;

/// Descriptors that the API holds at most: connections, its listener and its runtime's.
pub(crate) const MAX_DESCRIPTORS: usize = server::MAX_CONNECTIONS + 16;

/// What the API knows beside what it asks.
pub(crate) struct ApiFacts {
    names: Arc<ApiNames>,
    /// The names of peers.
    peers: Arc<HostNames>,
    network: String,
    genesis_hash: GenesisHash,
    node: NodeId,
    /// The first registry, and the only one that this version knows.
    registry: Registry,
    block_interval: Duration,
    place: Place,
    started: Wall,
    since: Instant,
    /// Bytes that waiting transactions may hold.
    max_mempool: usize,
    token: Zeroizing<String>,
    totals: Arc<Totals>,
    recordings: Recordings,
    attestations: Attestations,
}

impl ApiFacts {
    /// The facts of a node that is about to run.
    pub(crate) fn new(
        assembly: &Assembly,
        dir: &DataDir,
        token: Zeroizing<String>,
        totals: Arc<Totals>,
        names: Arc<ApiNames>,
        peers: Arc<HostNames>,
        recordings: Recordings,
    ) -> Self {
        let config = &assembly.config;
        let registry = &assembly.genesis.registry;
        let own = usize::from(assembly.acts_as_masternode());
        Self {
            names,
            peers,
            network: assembly.genesis.network.as_str().to_owned(),
            genesis_hash: assembly.genesis_hash,
            node: assembly.id,
            registry: registry.clone(),
            block_interval: assembly.genesis.block_interval,
            place: Place { quorum: registry.quorum(), own },
            started: crate::now().wall,
            since: Instant::now(),
            max_mempool: config.limits.bounds.mempool,
            token,
            totals,
            recordings,
            attestations: Attestations::of(Some(dir.path().to_owned())),
        }
    }
}

impl ApiFacts {
    /// The facts of no node in particular: for what is tried on the API alone.
    pub(crate) fn made_up(registry: Registry, token: &str) -> Self {
        Self {
            names: Arc::new(ApiNames::new(None, Vec::new())),
            peers: Arc::new(HostNames::none()),
            network: "testnet".to_owned(),
            genesis_hash: GenesisHash([0; 32]),
            node: NodeId([1; 32]),
            place: Place { quorum: registry.quorum(), own: 1 },
            registry,
            block_interval: Duration::from_millis(1_500),
            started: Wall(0),
            since: Instant::now(),
            max_mempool: timed_core::Limits::default().mempool,
            token: Zeroizing::new(token.to_owned()),
            totals: Arc::new(Totals::new()),
            recordings: Recordings::none(),
            attestations: Attestations::of(None),
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
    blocks: Arc<dyn Blocks>,
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
    let context = Context { facts, remote, blocks, listeners, scrape: Scrape::default() };
    let gate = Arc::new(Gate::new(&context.facts.token, listen, Arc::clone(&context.facts.names)));
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

#[cfg(test)]
mod tests;
