//! A hub and its peers in the tokio shell, with the application and the traffic of the mio shell's star.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use timed_core::{Now, Request};
use timed_tokio::application::FifoPayload;
use timed_tokio::{Clock, Handle, MemoryStore, Surroundings, Tcp};

use crate::application::{Application, Order, Role, Shared, wait_for};
use crate::measure::network::{Member, Setting, node};
use crate::traffic::Traffic;

/// The clocks that the nodes of these benchmarks are made with.
struct SameClock;

impl Clock for SameClock {
    fn now(&self) -> Now {
        timed_mio::now()
    }
}

/// A node on a thread of its own with a runtime of its own.
pub(crate) struct Running {
    pub(crate) handle: Handle,
    runtime: tokio::runtime::Handle,
    thread: JoinHandle<()>,
}

impl Running {
    /// Starts one that listens at its member's address.
    pub(crate) fn start(member: Member, application: Application) -> Self {
        let (tell, told) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("descriptors are left").block_on(async {
                let surroundings = Surroundings {
                    network: Tcp { dial_from: Some(member.addr.ip()), ..Tcp::default() },
                    clock: Arc::new(SameClock),
                    listen: Some(member.addr.socket()),
                    names: Vec::new(),
                };
                let store = MemoryStore::new();
                let blocks = FifoPayload::new(Arc::new(store.clone()));
                let core = |_, _| Ok(application);
                let spawned =
                    timed_tokio::Node::spawn_core(surroundings, member.id, store, blocks, core).await;
                let (handle, _) = spawned.expect("loopback has room");
                let ended = handle.clone();
                tell.send((handle, tokio::runtime::Handle::current())).expect("somebody waits");
                let _ = ended.ended().await;
            });
        });
        let (handle, runtime) = told.recv().expect("it starts");
        Self { handle, runtime, thread }
    }

    /// Gives an order to the application behind it.
    pub(crate) fn order(&self, shared: &Shared, order: Order) {
        shared.put(order);
        let handle = self.handle.clone();
        // Any request wakes the driver up.
        self.runtime.spawn(async move { handle.request(Request::Status).await });
    }

    pub(crate) fn stop(self) {
        let handle = self.handle;
        self.runtime.spawn(async move { handle.shutdown().await });
        // A thread that panicked has said so.
        let _ = self.thread.join();
    }
}

/// An address with a port that is free.
pub(crate) fn free(addr: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(addr).expect("loopback has a free port");
    listener.local_addr().expect("it is bound")
}

/// A hub with its peers.
pub(crate) struct TokioStar {
    shared: Arc<Shared>,
    nodes: Vec<Running>,
}

impl TokioStar {
    /// Starts all nodes and waits for the links. `waiting` messages travel on each while it is running.
    pub(crate) fn new(peers: u32, waiting: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let source = |index: u32| {
            let [.., high, low] = index.to_be_bytes();
            SocketAddr::from(([127, 9, high, low], 0))
        };
        let members: Vec<Member> = (0..=peers).map(|key| Member::new(key, free(source(key)))).collect();
        let hub = members[0];
        let mut nodes = Vec::new();
        for (index, member) in members.iter().enumerate() {
            let (registry, role) = if index == 0 {
                let role = Role::Hub { peers: members[1..].to_vec(), busy: peers as usize };
                (members.iter().map(Member::entry).collect(), role)
            } else {
                (vec![hub.entry(), member.entry()], Role::Peer)
            };
            let core = node(member, Setting::knowing(registry), timed_mio::now());
            nodes.push(Running::start(
                *member,
                Application::new(Box::new(core), role, waiting, Arc::clone(&shared)),
            ));
        }
        wait_for(&shared.up, u64::from(peers) * 2);
        // Knocks and other first-second business are over then.
        sleep(Duration::from_secs(2));
        Self { shared, nodes }
    }
}

impl Traffic for TokioStar {
    fn start(&mut self) {
        self.shared.running.store(true, Relaxed);
        self.nodes[0].order(&self.shared, Order::Begin);
    }

    fn stop(&mut self) {
        self.shared.running.store(false, Relaxed);
    }

    fn delivered(&self) -> u64 {
        self.shared.delivered.load(Relaxed)
    }
}

impl Drop for TokioStar {
    fn drop(&mut self) {
        self.nodes.drain(..).for_each(Running::stop);
    }
}
