//! Many links on one thread: what an idle one holds, what thousands cost, and what they do to a busy one. The other
//! ends are in a process of their own, so everything here is one end's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use timed_mio::Remote;

use crate::application::{Application, Order, Role, Shared, wait_for};
use crate::measure::network::{Member, NEVER, Setting, node};
use crate::measure::table::{Unit, absolute, against, heading};
use crate::measure::{allocations, compare, cpu};
use crate::star::bind;
use crate::swarm::Swarm;
use crate::traffic::{Traffic, per_delivery};

const MANY: u32 = 10_000;
const LIVENESS: Duration = Duration::from_secs(30);
const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;

pub(crate) fn print() {
    heading("many links on one thread, one end");
    let hub = Hub::new(Setting::knowing);
    let before = allocations::held();
    let swarm = hub.links(1, 1_000, NEVER);
    let held = bytes(allocations::held().saturating_sub(before)) / 1000.0;
    absolute("heap of an idle link end, of 1,000", Unit::Bytes, held, 2.0 * KIB, KIB);
    drop(swarm);
    drop(hub);

    let mut one = Hub::new(Setting::knowing);
    let _active = one.links(1, 1, NEVER);
    let mut all = Hub::new(|registry| Setting {
        max_peers: MANY as usize + 100,
        ping_after: LIVENESS,
        ..Setting::knowing(registry)
    });
    let before = allocations::held();
    let _crowd = all.links(1, MANY, LIVENESS);
    sleep(LIVENESS);
    let (begun, used) = (Instant::now(), cpu());
    sleep(LIVENESS * 2);
    let share = (cpu() - used).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
    let held = bytes(allocations::held().saturating_sub(before));
    assert_eq!(all.shared.down.load(Relaxed), 0, "links were lost");
    absolute("10,000 links: heap", Unit::Bytes, held, 24.0 * MIB, 12.0 * MIB);
    absolute("10,000 links, liveness every 30 s: of one core", Unit::Percent, share, 1.0, 1.0);
    let window = Duration::from_millis(500);
    let active = compare(7, || per_delivery(&mut one, window), || per_delivery(&mut all, window));
    against("a busy link among 10,000, against one alone", Unit::Micros, active, 1.1, 1.1);
}

#[allow(clippy::cast_precision_loss)] // Far below 2^52.
fn bytes(count: u64) -> f64 {
    count as f64
}

/// A node in a shell on a thread of its own, whose peers are elsewhere.
struct Hub {
    addr: SocketAddr,
    shared: Arc<Shared>,
    remote: Remote,
    thread: Option<JoinHandle<()>>,
    _stores: TempDir,
}

impl Hub {
    fn new(setting: impl FnOnce(Vec<timed_core::Masternode>) -> Setting) -> Self {
        let stores = TempDir::new().expect("there is room for temporary files");
        let shell = bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let addr = shell.local_addr();
        let member = Member::new(0, addr);
        let shared = Arc::new(Shared::default());
        let mut setting = setting(vec![member.entry()]);
        setting.max_peers = setting.max_peers.max(1_100);
        let node = node(&member, setting, timed_mio::now());
        // The first of the swarm is the one to talk to.
        let first = Member::new(1, SocketAddr::from(([127, 2, 0, 1], 1)));
        let role = Role::Hub { peers: vec![first], busy: 1 };
        let application = Application::new(Box::new(node), role, 1, Arc::clone(&shared));
        let (remote, thread) = application.spawn(shell, stores.path());
        Self { addr, shared, remote, thread: Some(thread), _stores: stores }
    }

    /// Lets `size` nodes link up, numbered from `first`.
    fn links(&self, first: u32, size: u32, ping_after: Duration) -> Swarm {
        let swarm = Swarm::start(self.addr, first, size, ping_after);
        wait_for(&self.shared.up, u64::from(size));
        // Until the shell has let go of what only the handshakes needed.
        sleep(Duration::from_secs(2));
        swarm
    }
}

impl Traffic for Hub {
    fn start(&mut self) {
        self.shared.running.store(true, Relaxed);
        self.shared.order(Order::Begin, &self.remote);
    }

    fn stop(&mut self) {
        self.shared.running.store(false, Relaxed);
    }

    fn delivered(&self) -> u64 {
        self.shared.delivered.load(Relaxed)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.remote.stop();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}
