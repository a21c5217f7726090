//! A hub and its peers, each a node of its own in a shell of its own on a thread of its own, with the traffic of
//! [`BareStar`](crate::bare::BareStar): whatever a peer receives it sends back, and so does the hub while running.
//!
//! The application sits at the core's door, where an embedder would put it: messages come as events, leave as
//! requests, and no other thread takes part.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use timed_core::{
    Command, ConnId, Event, Input, Mono, Node, NodeId, Now, PeerRef, Refused, Request, RequestId, Transmit,
};
use timed_mio::{Core, Exit, Remote, Shell, ShellConfig, Store};

use crate::measure::network::{Member, Setting, node};
use crate::traffic::{MESSAGE, Traffic};

/// Whether the peers are masternodes that the hub knows beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peers {
    /// They are: at most 127.
    Registered,
    /// Only the hub is one.
    Observers,
}

/// What the hub does at its next wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Order {
    Nothing,
    Begin,
    Part,
    Meet,
}

#[derive(Debug, Default)]
struct Shared {
    running: AtomicBool,
    order: AtomicU8,
    delivered: AtomicU64,
    /// Ends of links that became live, and that ended.
    up: AtomicU64,
    down: AtomicU64,
}

/// A hub with its peers.
pub(crate) struct Star {
    shared: Arc<Shared>,
    remotes: Vec<Remote>,
    threads: Vec<JoinHandle<()>>,
    peers: u64,
    /// Held until the stores are closed.
    _stores: TempDir,
}

impl Star {
    /// Starts all nodes and waits for the links. `waiting` messages travel on each while it is running.
    pub(crate) fn new(peers: u32, waiting: usize, kind: Peers) -> Self {
        let stores = TempDir::new().expect("there is room for temporary files");
        let shared = Arc::new(Shared::default());
        let shells: Vec<Shell> = (0..=peers).map(|index| bind(source(index))).collect();
        let members: Vec<Member> =
            (0..).zip(&shells).map(|(key, shell)| Member::new(key, shell.local_addr())).collect();
        let hub = members[0];
        let targets: Vec<Member> = members[1..].to_vec();

        let mut star = Self {
            shared: Arc::clone(&shared),
            remotes: Vec::new(),
            threads: Vec::new(),
            peers: u64::from(peers),
            _stores: stores,
        };
        for (index, (shell, member)) in shells.into_iter().zip(&members).enumerate() {
            // A peer knows the hub and itself only, or all of them would link up.
            let registry = match (kind, index) {
                (Peers::Observers, _) => vec![hub.entry()],
                (Peers::Registered, 0) => members.iter().map(Member::entry).collect(),
                (Peers::Registered, _) => vec![hub.entry(), member.entry()],
            };
            let application = Application {
                node: node(member, Setting::knowing(registry), timed_mio::now()),
                role: if index == 0 { Role::Hub(targets.clone()) } else { Role::Peer },
                shared: Arc::clone(&shared),
                message: Bytes::from(vec![5; MESSAGE]),
                waiting,
                received: 0,
                now: timed_mio::now(),
            };
            let path = star._stores.path().join(format!("{index}.redb"));
            star.remotes.push(shell.remote());
            star.threads.push(std::thread::spawn(move || {
                let (store, _) = Store::open(path).expect("the directory is ours");
                let exit = shell.run(application, store, |_: &Event| {});
                assert!(matches!(exit, Exit::Stopped), "{exit:?}");
            }));
        }
        if kind == Peers::Observers {
            star.order(Order::Meet);
        }
        star.wait_for(|shared| shared.up.load(Relaxed), star.peers * 2);
        // Knocks and other first-second business are over then.
        sleep(Duration::from_secs(2));
        star
    }

    /// Closes every link from the hub, and waits until both ends of all are down.
    pub(crate) fn part(&mut self) {
        let target = self.shared.down.load(Relaxed) + self.peers * 2;
        self.order(Order::Part);
        self.wait_for(|shared| shared.down.load(Relaxed), target);
        sleep(Duration::from_millis(20));
    }

    /// Dials every peer from the hub, and waits until both ends of all links are live.
    pub(crate) fn meet(&mut self) {
        let target = self.shared.up.load(Relaxed) + self.peers * 2;
        self.order(Order::Meet);
        self.wait_for(|shared| shared.up.load(Relaxed), target);
    }

    fn order(&self, order: Order) {
        self.shared.order.store(order as u8, Relaxed);
        // Any request wakes the loop up.
        let reply = self.remotes[0].request(Request::Status).expect("the hub is idle");
        drop(reply.wait(Duration::from_secs(5)));
    }

    fn wait_for(&self, count: impl Fn(&Shared) -> u64, target: u64) {
        for _ in 0..15_000 {
            if count(&self.shared) >= target {
                return;
            }
            sleep(Duration::from_millis(2));
        }
        panic!("{} of {target} after 30 s", count(&self.shared));
    }
}

impl Traffic for Star {
    fn start(&mut self) {
        self.shared.running.store(true, Relaxed);
        self.order(Order::Begin);
    }

    fn stop(&mut self) {
        self.shared.running.store(false, Relaxed);
    }

    fn delivered(&self) -> u64 {
        self.shared.delivered.load(Relaxed)
    }
}

impl Drop for Star {
    fn drop(&mut self) {
        for remote in &self.remotes {
            remote.stop();
        }
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn source(index: u32) -> SocketAddr {
    let [.., high, low] = index.to_be_bytes();
    SocketAddr::from(([127, 1, high, low], 0))
}

fn bind(addr: SocketAddr) -> Shell {
    Shell::bind(ShellConfig::listening_on(addr)).expect("loopback has a free port")
}

enum Role {
    /// Its peers.
    Hub(Vec<Member>),
    Peer,
}

/// The core with an application at its door.
struct Application {
    node: Node,
    role: Role,
    shared: Arc<Shared>,
    message: Bytes,
    waiting: usize,
    /// Messages received and not yet added to the shared count.
    received: u64,
    now: Now,
}

/// The id of the application's own requests, whose replies are for nobody.
const OWN: RequestId = RequestId(u64::MAX);

impl Application {
    fn ask(&mut self, request: Request) {
        self.node.handle(self.now, Input::Request { id: OWN, request });
    }

    fn send(&mut self, to: NodeId) {
        let payload = self.message.clone();
        self.ask(Request::Send { to: Some(to), payload });
    }

    fn obey(&mut self) {
        let Role::Hub(peers) = &self.role else { return };
        let peers = peers.clone();
        let order = self.shared.order.swap(Order::Nothing as u8, Relaxed);
        for peer in peers {
            if order == Order::Begin as u8 {
                (0..self.waiting).for_each(|_| self.send(peer.id));
            } else if order == Order::Part as u8 {
                self.ask(Request::Disconnect(PeerRef::Id(peer.id)));
            } else if order == Order::Meet as u8 {
                self.ask(Request::Connect { addr: peer.addr, id: Some(peer.id) });
            }
        }
    }

    fn observe(&mut self, event: &Event) {
        match event {
            Event::Datagram { from, .. } => {
                self.received += 1;
                if matches!(self.role, Role::Peer) || self.shared.running.load(Relaxed) {
                    self.send(*from);
                }
            }
            Event::LinkUp { .. } => _ = self.shared.up.fetch_add(1, Relaxed),
            Event::LinkDown { .. } => _ = self.shared.down.fetch_add(1, Relaxed),
            _ => {}
        }
    }
}

impl Core for Application {
    fn accept(&mut self, now: Now, from: SocketAddr) -> Result<ConnId, Refused> {
        self.now = now;
        self.node.accept(now, from)
    }

    fn handle(&mut self, now: Now, input: Input<'_>) {
        self.now = now;
        let asked = matches!(input, Input::Request { .. });
        self.node.handle(now, input);
        if asked {
            self.obey();
        }
    }

    fn next_command(&mut self) -> Option<Command> {
        loop {
            match self.node.next_command() {
                Some(Command::Event(Event::Reply { id: OWN, .. })) => {}
                Some(Command::Event(event)) => {
                    self.observe(&event);
                    return Some(Command::Event(event));
                }
                None if self.received > 0 => {
                    self.shared.delivered.fetch_add(self.received, Relaxed);
                    self.received = 0;
                }
                other => return other,
            }
        }
    }

    fn transmit(&mut self, now: Now, conn: ConnId, budget: usize, out: &mut Vec<u8>) -> Transmit {
        self.now = now;
        self.node.transmit(now, conn, budget, out)
    }

    fn deadline(&self) -> Option<Mono> {
        self.node.deadline()
    }
}
