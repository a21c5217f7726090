//! Every message kind from the dialer to the acceptor and back, on real sockets with real Noise (field failures
//! LIVE-01b and IO-03a: a handler or a sender for one direction only).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use timed_core::crypto::Provider;
use timed_core::crypto::noise::NoiseProvider;
use timed_core::{
    AddrScope, CanonicalAddr, CloseReason, ClosedBy, Config, Direction, Event, GenesisHash, Limits,
    Masternode, MasternodeMode, NetworkName, Node, NodeId, PeerInfo, Registry, Reply, Request, Timings,
};
use timed_mio::{Exit, Remote, Shell, ShellConfig, Store, now};
use zeroize::Zeroizing;

const PATIENCE: Duration = Duration::from_secs(30);

fn provider(node: u8) -> Box<dyn Provider> {
    Box::new(NoiseProvider::new(Zeroizing::new([node; 32])))
}

fn id(node: u8) -> NodeId {
    provider(node).node_id()
}

/// A node of two, 1 or 2, with everything that it tells.
struct End {
    remote: Remote,
    events: Receiver<Event>,
    thread: JoinHandle<Exit>,
}

impl End {
    fn ask(&self, request: Request) -> Reply {
        self.remote.request(request).unwrap().wait(PATIENCE).unwrap()
    }

    fn peer(&self) -> Option<PeerInfo> {
        match self.ask(Request::Peers) {
            Reply::Peers(peers) => peers.into_iter().next(),
            other => panic!("{other:?}"),
        }
    }

    /// The next event that `pick` takes.
    fn next<T>(&self, what: &str, pick: impl Fn(&Event) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left).unwrap_or_else(|_| panic!("no {what}"));
            if let Some(found) = pick(&event) {
                return found;
            }
        }
    }

    fn stop(self) {
        self.remote.stop();
        assert!(matches!(self.thread.join().unwrap(), Exit::Stopped));
    }
}

fn start(addrs: &[SocketAddr; 2], node: u8, starts: u8) -> End {
    let own = addrs[usize::from(node) - 1];
    let entries = addrs
        .iter()
        .zip(1..)
        .map(|(addr, node)| Masternode { id: id(node), addr: CanonicalAddr::new(*addr).unwrap() })
        .collect();
    let config = Config {
        network: NetworkName::new("kinds").unwrap(),
        genesis: GenesisHash([9; 32]),
        registry: Registry::new(entries).unwrap(),
        advertised: Some(CanonicalAddr::new(own).unwrap()),
        bootstrap: Vec::new(),
        reserved: Vec::new(),
        seeds: Vec::new(),
        addresses: AddrScope::Private,
        masternode: MasternodeMode::Auto,
        agent: "kinds".into(),
        chain: None,
        timings: Timings { ping_after: Duration::from_secs(1), ..Timings::default() },
        limits: Limits::default(),
    };
    let shell = Shell::bind(ShellConfig::listening_on(own)).unwrap();
    let remote = shell.remote();
    let (tell, events) = channel();
    let thread = thread::spawn(move || {
        let dir = tempfile::tempdir().unwrap();
        let (store, journal) = Store::open(dir.path().join("store.redb")).unwrap();
        let node = Node::new(config, provider(node), [starts; 32], journal, now()).unwrap();
        shell.run(node, store, move |event: &Event| {
            let _ = tell.send(event.clone());
        })
    });
    End { remote, events, thread }
}

fn linked(end: &End, with: NodeId, direction: Direction) {
    let found = end.next("link", |event| match event {
        Event::LinkUp { peer, direction, .. } => Some((*peer, *direction)),
        _ => None,
    });
    assert_eq!(found, (with, direction));
}

#[test]
fn io_03a_every_kind_works_from_dialer_to_acceptor_and_back() {
    let host = |last| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 78, 0, last)), 0);
    let free = |last| std::net::TcpListener::bind(host(last)).unwrap().local_addr().unwrap();
    let addrs = [free(1), free(2)];
    let (one, two) = (start(&addrs, 1, 1), start(&addrs, 2, 2));
    // Hello from 1, HelloAck from 2.
    linked(&one, id(2), Direction::Outbound);
    linked(&two, id(1), Direction::Inbound);

    for (sender, receiver, from) in [(&one, &two, 1), (&two, &one, 2)] {
        let heard = receiver.next("heartbeat", |event| match event {
            Event::Heartbeat { signer, via, .. } => Some((*signer, *via)),
            _ => None,
        });
        assert_eq!(heard, (id(from), id(from)));

        for (size, everyone) in [(0, false), (1, true), (16 * 1024, false), (64 * 1024, true)] {
            let payload: Vec<u8> = (0..size).map(|at: usize| u8::try_from(at % 251).unwrap()).collect();
            let to = (!everyone).then(|| id(3 - from));
            let sent = sender.ask(Request::Send { to, payload: payload.clone().into() });
            assert!(matches!(sent, Reply::Sent(1)), "{sent:?}");
            let got = receiver.next("datagram", |event| match event {
                Event::Datagram { from, payload } => Some((*from, payload.to_vec())),
                _ => None,
            });
            assert!(got == (id(from), payload), "{size} bytes from {from}");
        }
        let begun = Instant::now();
        // Only the answer to a ping of its own gives an end the round trip time.
        while sender.peer().unwrap().rtt.is_none() {
            assert!(begun.elapsed() < PATIENCE, "no pong to {from}");
            thread::sleep(Duration::from_millis(10));
        }
    }
    thread::sleep(Duration::from_secs(3));
    let (at_one, at_two) = (one.peer().unwrap(), two.peer().unwrap());
    assert_eq!(at_one.session, at_two.session);
    // Goodbye, from the dialer and from the acceptor.
    let down = |end: &End| {
        end.next("end of the link", |event| match event {
            Event::LinkDown { reason, by, .. } => Some((*reason, *by)),
            _ => None,
        })
    };
    one.stop();
    assert_eq!(down(&two), (CloseReason::Shutdown, ClosedBy::Peer));
    let one = start(&addrs, 1, 3);
    linked(&two, id(1), Direction::Inbound);
    linked(&one, id(2), Direction::Outbound);
    two.stop();
    assert_eq!(down(&one), (CloseReason::Shutdown, ClosedBy::Peer));
    one.stop();
}
