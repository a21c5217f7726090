//! Arms on which a shell runs a node in this process, over the loopback interface, in real time.
//!
//! A shell joins by implementing [`Hosted`].

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use timed_core::crypto::Provider;
use timed_core::crypto::noise::NoiseProvider;
use timed_core::limits::MAX_ASSEMBLED;
use timed_core::{
    AddrScope, CanonicalAddr, ChainConfig, Config, Event, GenesisHash, Limits, Masternode, MasternodeMode,
    MinPeers, NetworkName, NodeId, Registry, Reply, Request, Timings, Wall,
};
use zeroize::Zeroizing;

use super::arm::{Arm, Ground, Miss, Player, Process, Scene, Stage, broken};
use super::hosted::{Hosted, Plan};
use super::sockets::SocketArm;

/// Sets up one network after the other, each at addresses of its own.
#[derive(Debug)]
pub struct Loopback<H> {
    /// The second octet of all addresses.
    pub net: u8,
    taken: AtomicU8,
    shell: std::marker::PhantomData<fn() -> H>,
}

impl<H: Hosted> Loopback<H> {
    /// Networks in 127.`net`.0.0/16, which nobody else on this machine uses: at most 256 of them.
    #[must_use]
    pub const fn new(net: u8) -> Self {
        Self { net, taken: AtomicU8::new(0), shell: std::marker::PhantomData }
    }
}

impl<H: Hosted> Stage for Loopback<H> {
    fn name(&self) -> &'static str {
        H::NAME
    }

    fn set(&self, scene: Scene) -> Result<Box<dyn Arm>, Miss> {
        let net = self.taken.fetch_add(1, Ordering::Relaxed);
        let (ground, plan, dir) = network([127, self.net, net], scene).map_err(broken)?;
        let process = InProcess::<H> { plan, hosted: None, starts: 0, _dir: dir };
        Ok(Box::new(SocketArm::new(ground, Some(Box::new(process)))))
    }
}

/// Real times are a quarter of the standard ones: a case has to wait for them.
const HASTE: u32 = 4;
/// Between two blocks: the time-outs of rounds leave the suite, on a busy machine, some hundred milliseconds.
const INTERVAL: Duration = Duration::from_secs(3);
/// The node's own position among the hosts of its network.
const SUBJECT: u8 = 2;

/// A network at these addresses, and what the node in it is told.
fn network(net: [u8; 3], scene: Scene) -> Result<(Ground, Plan, tempfile::TempDir), String> {
    // Processes that run at the same time differ in the port.
    let port = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap_or(0);
    let at = |host: u8| SocketAddr::new(Ipv4Addr::new(net[0], net[1], net[2], host).into(), port);
    let listed = match scene {
        Scene::Links | Scene::Blocks => vec![1, SUBJECT, 3, 4],
        Scene::Observer => vec![1, 3, 4],
    };
    let member = |host: u8| -> Result<Player, String> {
        let key = [host; 32];
        let addr = CanonicalAddr::new(at(host)).map_err(|error| error.to_string())?;
        Ok(Player { key, node: node_of(key), addr })
    };
    let subject = member(SUBJECT)?;
    let members = listed.into_iter().map(member).collect::<Result<Vec<_>, _>>()?;
    let entries = members.iter().map(|member| Masternode { id: member.node, addr: member.addr });
    let registry = Registry::new(entries.collect()).map_err(|error| error.to_string())?;
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let config = Config {
        network: NetworkName::new("conformance").map_err(|error| error.to_string())?,
        genesis: GenesisHash([net[2]; 32]),
        limits: Limits::for_registry(registry.size()),
        registry,
        advertised: Some(subject.addr),
        bootstrap: Vec::new(),
        reserved: Vec::new(),
        seeds: Vec::new(),
        addresses: AddrScope::Private,
        masternode: MasternodeMode::Auto,
        agent: "conformance".to_owned(),
        chain: (scene != Scene::Links).then_some(ChainConfig {
            genesis_time: Wall(0),
            interval: INTERVAL,
            max_bytes: MAX_ASSEMBLED,
            min_peers: MinPeers::Auto,
        }),
        timings: hasty(),
    };
    let ground = Ground {
        subject: subject.node,
        addr: subject.addr,
        config: config.clone(),
        players: members.into_iter().filter(|member| member.node != subject.node).collect(),
        guests_from: Some(at(100).ip()),
        slack: 5,
    };
    let plan =
        Plan { config, key: subject.key, draws: [0; 32], listen: at(SUBJECT), dir: dir.path().to_owned() };
    Ok((ground, plan, dir))
}

fn node_of(key: [u8; 32]) -> NodeId {
    NoiseProvider::new(Zeroizing::new(key)).node_id()
}

/// The standard times, [`HASTE`] times as fast, but for the deadlines that a busy machine would break.
fn hasty() -> Timings {
    let usual = Timings::default();
    Timings {
        dial_timeout: usual.dial_timeout / 2,
        handshake_timeout: usual.handshake_timeout / 2,
        write_timeout: usual.write_timeout / HASTE,
        ping_after: usual.ping_after / HASTE,
        measure_every: usual.measure_every / (8 * HASTE),
        silent_after: usual.silent_after / HASTE,
        passive_wait: usual.passive_wait / HASTE,
        backoff_masternode: usual.backoff_masternode / HASTE,
        heartbeat: usual.heartbeat / HASTE,
        active_for: usual.active_for / HASTE,
        ..usual
    }
}

/// The node's process: a thread of this one.
struct InProcess<H> {
    plan: Plan,
    hosted: Option<H>,
    starts: u8,
    _dir: tempfile::TempDir,
}

impl<H: Hosted> Process for InProcess<H> {
    fn start(&mut self) {
        self.starts += 1;
        self.plan.draws[0] = self.starts;
        match H::start(&self.plan) {
            Ok(hosted) => self.hosted = Some(hosted),
            Err(error) => panic!("the node does not start: {error}"),
        }
    }

    fn kill(&mut self) {
        if let Some(hosted) = self.hosted.take() {
            hosted.kill();
        }
    }

    fn freeze(&mut self, time: Duration) {
        if let Some(hosted) = &self.hosted {
            hosted.freeze(time);
        }
    }

    fn ask(&mut self, request: Request) -> Option<Reply> {
        self.hosted.as_ref()?.ask(request)
    }

    fn facts(&mut self) -> Vec<Event> {
        self.hosted.as_ref().map_or_else(Vec::new, Hosted::facts)
    }

    fn key(&self) -> [u8; 32] {
        self.plan.key
    }
}
