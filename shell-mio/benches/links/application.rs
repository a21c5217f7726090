//! An application at the core's door, where an embedder would put it: messages come as events and leave as
//! requests, and no other thread takes part.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use bytes::Bytes;
use timed_core::{
    Command, ConnId, Event, Input, Mono, NodeId, Now, PeerRef, Refused, Request, RequestId, Transmit,
};
use timed_mio::{Core, Exit, Remote, Shell, Store};

use crate::measure::network::Member;
use crate::traffic::MESSAGE;

/// What a hub does at its next wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Order {
    /// Nothing.
    Nothing,
    /// Sends the first messages.
    Begin,
    /// Closes its links.
    Part,
    /// Dials its peers.
    Meet,
}

/// What an application and its benchmark tell each other.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Whether a hub sends back what it receives.
    pub(crate) running: AtomicBool,
    order: AtomicU8,
    /// Messages received.
    pub(crate) delivered: AtomicU64,
    /// Ends of links that became live.
    pub(crate) up: AtomicU64,
    /// Ends of links that were live and are no more.
    pub(crate) down: AtomicU64,
}

impl Shared {
    /// Leaves an order for the hub, which looks when it is asked something.
    pub(crate) fn put(&self, order: Order) {
        self.order.store(order as u8, Relaxed);
    }

    /// Gives an order to the hub behind `remote`.
    pub(crate) fn order(&self, order: Order, remote: &Remote) {
        self.put(order);
        // Any request wakes the loop up.
        let reply = remote.request(Request::Status).expect("the hub is idle");
        drop(reply.wait(Duration::from_secs(5)));
    }
}

/// Waits until `count` has reached `target`.
pub(crate) fn wait_for(count: &AtomicU64, target: u64) {
    for _ in 0..30_000 {
        if count.load(Relaxed) >= target {
            return;
        }
        sleep(Duration::from_millis(2));
    }
    panic!("{} of {target} after a minute", count.load(Relaxed));
}

/// What a node is in a benchmark.
pub(crate) enum Role {
    /// Knows these, and sends to the first so many of them.
    Hub { peers: Vec<Member>, busy: usize },
    /// Sends back what it receives.
    Peer,
}

/// The core with an application at its door.
pub(crate) struct Application {
    node: Box<dyn Core + Send>,
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
    pub(crate) fn new(node: Box<dyn Core + Send>, role: Role, waiting: usize, shared: Arc<Shared>) -> Self {
        let message = Bytes::from(vec![5; MESSAGE]);
        Self { node, role, shared, message, waiting, received: 0, now: timed_mio::now() }
    }

    /// Runs it in a shell on a thread of its own, with a store in `stores`.
    pub(crate) fn spawn(self, shell: Shell, stores: &Path) -> (Remote, JoinHandle<()>) {
        let remote = shell.remote();
        let path = stores.join(format!("{}.redb", shell.local_addr()));
        let thread = std::thread::spawn(move || {
            let (store, _) = Store::open(path).expect("the directory is ours");
            let exit = shell.run(self, store, |_: &Event| {});
            assert!(matches!(exit, Exit::Stopped), "{exit:?}");
        });
        (remote, thread)
    }

    fn ask(&mut self, request: Request) {
        self.node.handle(self.now, Input::Request { id: OWN, request });
    }

    fn send(&mut self, to: NodeId) {
        let payload = self.message.clone();
        self.ask(Request::Send { to: Some(to), payload });
    }

    fn obey(&mut self) {
        let Role::Hub { peers, busy } = &self.role else { return };
        let (peers, busy) = (peers.clone(), *busy);
        let order = self.shared.order.swap(Order::Nothing as u8, Relaxed);
        for (index, peer) in peers.into_iter().enumerate() {
            if order == Order::Begin as u8 && index < busy {
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
