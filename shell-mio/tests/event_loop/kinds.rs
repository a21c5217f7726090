//! Real nodes with real Noise over loopback, in one process: what each of them hears from whom, and that no work of
//! an application or a disk keeps a link waiting (field failures LIVE-01b and IO-01c).

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use timed_core::crypto::Provider as _;
use timed_core::crypto::noise::NoiseProvider;
use timed_core::wire::message::Kind;
use timed_core::{
    AddrScope, CanonicalAddr, ChainConfig, Config, Event, FinalBlock, GenesisHash, Height, Limits,
    Masternode, MasternodeMode, MinPeers, NetworkName, Node, NodeId, PayloadVerdict, PeerInfo, PeerRef,
    QuorumLoss, Registry, Reply, Request, Timings, Wall,
};
use timed_mio::application::{Application, ApplicationError, Commitment, FifoPayload, Offer, Wanted};
use timed_mio::{Exit, Remote, Shell, ShellConfig, Store, now};
use timed_tests::overheard::{Overheard, Overhearing};
use zeroize::Zeroizing;

const PATIENCE: Duration = Duration::from_secs(60);

/// A node in threads of this process.
struct Running {
    remote: Remote,
    events: Receiver<Event>,
    thread: JoinHandle<Exit>,
}

/// Four masternodes that make blocks, at addresses of this test.
struct Net {
    addrs: Vec<SocketAddr>,
    chain: ChainConfig,
    heard: Overheard,
}

fn key(node: usize) -> NoiseProvider {
    NoiseProvider::new(Zeroizing::new([u8::try_from(node + 1).unwrap(); 32]))
}

fn id(node: usize) -> NodeId {
    key(node).node_id()
}

impl Net {
    fn new(third: u8, nodes: u8, interval: Duration) -> Self {
        let free = |last| {
            let host = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 79, third, last)), 0);
            std::net::TcpListener::bind(host).unwrap().local_addr().unwrap()
        };
        let genesis_time = Wall(now().wall.0);
        Self {
            addrs: (1..=nodes).map(free).collect(),
            chain: ChainConfig { genesis_time, interval, max_bytes: 1 << 20, min_peers: MinPeers::Auto },
            heard: Overheard::default(),
        }
    }

    fn registry(&self) -> Registry {
        let entry = |(node, addr): (usize, &SocketAddr)| Masternode {
            id: id(node),
            addr: CanonicalAddr::new(*addr).unwrap(),
        };
        Registry::new(self.addrs.iter().enumerate().map(entry).collect()).unwrap()
    }

    fn start(
        &self,
        node: usize,
        dir: &Path,
        timings: Timings,
        application: Option<Arc<dyn Application>>,
    ) -> Running {
        let own = self.addrs[node];
        let config = Config {
            network: NetworkName::new("kinds").unwrap(),
            genesis: GenesisHash([9; 32]),
            registry: self.registry(),
            advertised: Some(CanonicalAddr::new(own).unwrap()),
            bootstrap: Vec::new(),
            reserved: Vec::new(),
            seeds: Vec::new(),
            addresses: AddrScope::Private,
            masternode: MasternodeMode::Auto,
            agent: "kinds".into(),
            chain: Some(self.chain.clone()),
            timings,
            limits: Limits::for_registry(self.addrs.len()),
        };
        let provider = Overhearing::new(Box::new(key(node)), self.heard.clone());
        let (store, journal) = Store::open(dir.join("store")).unwrap();
        let application = application.unwrap_or_else(|| Arc::new(FifoPayload::new(store.reader())));
        let mut shell = Shell::bind(ShellConfig::listening_on(own)).unwrap();
        shell.use_application(application);
        let (remote, (tell, events)) = (shell.remote(), channel());
        let seed = [u8::try_from(now().mono.0 % 251).unwrap(); 32];
        let core = Node::new(config, Box::new(provider), seed, journal, now()).unwrap();
        let thread = thread::spawn(move || {
            shell.run(core, store, move |event: &Event| {
                let _ = tell.send(event.clone());
            })
        });
        Running { remote, events, thread }
    }
}

impl Running {
    fn ask(&self, request: Request) -> Reply {
        self.remote.request(request).unwrap().wait(PATIENCE).unwrap()
    }

    fn peers(&self) -> Vec<PeerInfo> {
        match self.ask(Request::Peers) {
            Reply::Peers(peers) => peers,
            other => panic!("{other:?}"),
        }
    }

    fn height(&self) -> Height {
        self.remote.summary().height
    }

    fn stop(self) {
        self.remote.stop();
        assert!(matches!(self.thread.join().unwrap(), Exit::Stopped));
    }
}

fn eventually(what: &str, within: Duration, holds: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < within, "not within {within:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
    begun.elapsed()
}

#[test]
fn live_01b_every_kind_is_sent_and_heard_from_dialer_to_acceptor_and_back() {
    let net = Net::new(0, 4, Duration::from_millis(400));
    let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let timings = Timings { ping_after: Duration::from_secs(1), ..Timings::default() };
    let start = |node: usize| net.start(node, dirs[node].path(), timings.clone(), None);
    let mut nodes: Vec<Option<Running>> = (0..4).map(|node| Some(start(node))).collect();
    let meshed = |nodes: &[Option<Running>]| nodes.iter().flatten().all(|node| node.peers().len() == 3);
    eventually("the mesh", PATIENCE, || meshed(&nodes));
    let mut number = 0_u32;
    let mut talk = |nodes: &[Option<Running>]| {
        for node in nodes.iter().flatten() {
            number += 1;
            let mut transaction = vec![7; 40_000];
            transaction[..4].copy_from_slice(&number.to_le_bytes());
            node.ask(Request::Submit(Bytes::from(transaction)));
            node.ask(Request::Send { to: None, payload: Bytes::from_static(b"datagram") });
        }
        thread::sleep(Duration::from_millis(300));
    };
    // Each is stopped in turn and catches up with what it has missed.
    for victim in 0..4 {
        nodes[victim].take().unwrap().stop();
        for _ in 0..12 {
            talk(&nodes);
        }
        nodes[victim] = Some(start(victim));
        eventually("it is back", PATIENCE, || meshed(&nodes));
        let far = nodes.iter().flatten().map(Running::height).max().unwrap();
        eventually("it has caught up", PATIENCE, || nodes[victim].as_ref().unwrap().height() >= far);
        talk(&nodes);
    }
    // A link that the upper end asks for.
    nodes[0].as_ref().unwrap().ask(Request::Disconnect(PeerRef::Id(id(3))));
    let addr = CanonicalAddr::new(net.addrs[0]).unwrap();
    nodes[3].as_ref().unwrap().ask(Request::Connect { addr, id: None });
    // All announce that they are about to go.
    for node in nodes.iter().flatten() {
        let order = Request::Drain { lasts: Duration::from_secs(60), loss: QuorumLoss::Accepted };
        assert!(matches!(node.ask(order), Reply::Drain(_)));
    }
    thread::sleep(Duration::from_millis(500));
    for (at, node) in nodes.into_iter().flatten().enumerate() {
        // What came out of a channel reached those whom it was for, too.
        let datagram = |event: Event| match event {
            Event::Datagram { from, .. } => Some(from),
            _ => None,
        };
        let from: BTreeSet<NodeId> = node.events.try_iter().filter_map(datagram).collect();
        assert_eq!(
            from,
            (0..4).filter(|other| *other != at).map(id).collect(),
            "node {at} was sent datagrams"
        );
        node.stop();
    }
    // These come of what is rare on a sound network: the simulator brings it about (`field::network`).
    let rare = [
        Kind::Polka,
        Kind::Commit,
        Kind::GetPayload,
        Kind::GetPeers,
        Kind::Peers,
        Kind::TransactionOffer,
        Kind::TransactionWant,
    ];
    let missing: Vec<_> = net.heard.missing().into_iter().filter(|(kind, _)| !rare.contains(kind)).collect();
    assert_eq!(missing, []);
}

/// From some time on takes as long as a large block on a slow disk, or an application that thinks.
#[derive(Debug)]
struct Laborious {
    time: Duration,
    slow: AtomicBool,
    /// Questions, and blocks, that it has taken its time for.
    asked: AtomicUsize,
    taken_in: AtomicUsize,
}

impl Laborious {
    fn work(&self, count: &AtomicUsize) {
        if self.slow.load(Ordering::SeqCst) {
            count.fetch_add(1, Ordering::SeqCst);
            thread::sleep(self.time);
        }
    }
}

impl Application for Laborious {
    fn produce(&self, _: &Wanted) -> Result<Offer, ApplicationError> {
        self.work(&self.asked);
        Ok(Offer { payload: Some(Bytes::new()), stale: Vec::new() })
    }

    fn validate(&self, _: Height, _: &Bytes) -> Result<PayloadVerdict, ApplicationError> {
        self.work(&self.asked);
        Ok(PayloadVerdict::Valid)
    }

    fn commit(&self, _: &FinalBlock) -> Result<Commitment, ApplicationError> {
        self.work(&self.taken_in);
        Ok(Commitment::default())
    }
}

#[test]
fn io_01c_work_of_many_seconds_delays_no_ping_and_ends_no_link() {
    let net = Net::new(1, 4, Duration::from_millis(500));
    let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    // A node that its work keeps from answering for three seconds loses its links.
    let timings = Timings {
        ping_after: Duration::from_millis(500),
        measure_every: Duration::from_secs(1),
        silent_after: Duration::from_secs(3),
        ..Timings::default()
    };
    let laborious = Arc::new(Laborious {
        time: Duration::from_secs(7),
        slow: AtomicBool::new(false),
        asked: AtomicUsize::new(0),
        taken_in: AtomicUsize::new(0),
    });
    let labour = |node| (node == 3).then(|| laborious.clone() as Arc<dyn Application>);
    let nodes: Vec<Running> =
        (0..4).map(|node| net.start(node, dirs[node].path(), timings.clone(), labour(node))).collect();
    eventually("the mesh", PATIENCE, || nodes.iter().all(|node| node.peers().len() == 3));
    eventually("blocks of everybody", PATIENCE, || nodes.iter().all(|node| node.height() >= Height(4)));
    for node in &nodes {
        while node.events.try_recv().is_ok() {}
    }
    laborious.slow.store(true, Ordering::SeqCst);
    let (begun, from) = (Instant::now(), nodes[0].height());
    let mut slowest = Duration::ZERO;
    while begun.elapsed() < Duration::from_secs(10) {
        for (at, node) in nodes.iter().enumerate() {
            let asked = Instant::now();
            let peers = node.peers();
            slowest = slowest.max(asked.elapsed());
            assert_eq!(peers.len(), 3, "node {at} after {:?}", begun.elapsed());
        }
        thread::sleep(Duration::from_millis(50));
    }
    println!("the slowest answer of a loop took {slowest:?}; {} to {} meanwhile", from, nodes[0].height());
    assert!(slowest < Duration::from_secs(2), "a loop answered after {slowest:?}");
    let worked = [&laborious.asked, &laborious.taken_in].map(|count| count.load(Ordering::SeqCst));
    assert!(worked.iter().all(|count| *count > 0), "{worked:?}: there was work");
    for (at, node) in nodes.iter().enumerate() {
        let downs: Vec<Event> =
            node.events.try_iter().filter(|event| matches!(event, Event::LinkDown { .. })).collect();
        assert!(downs.is_empty(), "node {at}: {downs:?}");
        let rtt = node.peers().iter().filter_map(|peer| peer.rtt).max().expect("measured");
        assert!(rtt < Duration::from_secs(1), "node {at}: {rtt:?}");
    }
    assert!(nodes[0].height().0 > from.0 + 8, "the others go on: {}", nodes[0].height());
    for node in nodes {
        node.remote.stop();
        let _ = node.thread.join();
    }
}
