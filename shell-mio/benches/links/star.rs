//! A hub and its peers, each a node of its own in a shell of its own on a thread of its own, with the traffic of
//! [`BareStar`](crate::bare::BareStar): whatever a peer receives it sends back, and so does the hub while running.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use tempfile::TempDir;
use timed_core::flight::Recorder;
use timed_mio::{Core, Remote, Shell, ShellConfig};

use crate::application::{Application, Order, Role, Shared, wait_for};
use crate::measure::network::{Member, Setting, node, parts};
use crate::traffic::Traffic;

/// Room of a recorder, as in the daemon.
const RECORDED: usize = 8 << 20;

/// Whether the peers are masternodes that the hub knows beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peers {
    /// They are: at most 127.
    Registered,
    /// Only the hub is one.
    Observers,
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
        Self::with_busy(peers, peers as usize, waiting, kind)
    }

    /// As [`Star::new`], with traffic on the first `busy` links only.
    pub(crate) fn with_busy(peers: u32, busy: usize, waiting: usize, kind: Peers) -> Self {
        Self::of(peers, busy, waiting, kind, |member, setting| {
            Box::new(node(member, setting, timed_mio::now()))
        })
    }

    /// As [`Star::new`], with a flight recorder in every node.
    pub(crate) fn recorded(peers: u32, waiting: usize, kind: Peers) -> Self {
        Self::of(peers, peers as usize, waiting, kind, |member, setting| {
            let now = timed_mio::now();
            let (config, provider, seed) = parts(member, setting, now);
            Box::new(
                Recorder::start(config, provider, seed, [], now, RECORDED).expect("a good configuration"),
            )
        })
    }

    fn of(
        peers: u32,
        busy: usize,
        waiting: usize,
        kind: Peers,
        machine: impl Fn(&Member, Setting) -> Box<dyn Core + Send>,
    ) -> Self {
        let stores = TempDir::new().expect("there is room for temporary files");
        let shared = Arc::new(Shared::default());
        let shells: Vec<Shell> = (0..=peers).map(|index| bind(source(index))).collect();
        let members: Vec<Member> =
            (0..).zip(&shells).map(|(key, shell)| Member::new(key, shell.local_addr())).collect();
        let hub = members[0];

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
            let role = if index == 0 { Role::Hub { peers: members[1..].to_vec(), busy } } else { Role::Peer };
            let node = machine(member, Setting::knowing(registry));
            let application = Application::new(node, role, waiting, Arc::clone(&shared));
            let (remote, thread) = application.spawn(shell, star._stores.path());
            star.remotes.push(remote);
            star.threads.push(thread);
        }
        if kind == Peers::Observers {
            star.order(Order::Meet);
        }
        wait_for(&star.shared.up, star.peers * 2);
        // Knocks and other first-second business are over then.
        sleep(Duration::from_secs(2));
        star
    }

    /// Closes every link from the hub, and waits until both ends of all are down.
    pub(crate) fn part(&mut self) {
        let target = self.shared.down.load(Relaxed) + self.peers * 2;
        self.order(Order::Part);
        wait_for(&self.shared.down, target);
        sleep(Duration::from_millis(20));
    }

    /// Dials every peer from the hub, and waits until both ends of all links are live.
    pub(crate) fn meet(&mut self) {
        let target = self.shared.up.load(Relaxed) + self.peers * 2;
        self.order(Order::Meet);
        wait_for(&self.shared.up, target);
    }

    fn order(&self, order: Order) {
        self.shared.order(order, &self.remotes[0]);
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

/// A shell that listens at `addr`.
pub(crate) fn bind(addr: SocketAddr) -> Shell {
    Shell::bind(ShellConfig::listening_on(addr)).expect("loopback has a free port")
}
