//! A thousand links to one node of the tokio shell. The other ends are in a process of their own, so everything here is
//! one end's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::application::{Application, Order, Role, Shared, wait_for};
use crate::measure::network::{Member, NEVER, Setting, node};
use crate::measure::table::{Unit, absolute, against, heading};
use crate::measure::{allocations, compare, cpu};
use crate::swarm::Swarm;
use crate::tokio_star::{Running, free};
use crate::traffic::{Traffic, per_delivery};

const MANY: u32 = 1_000;
const LIVENESS: Duration = Duration::from_secs(10);
const KIB: f64 = 1024.0;

pub(crate) fn print() {
    heading("a thousand links to one node of the tokio shell, one end");
    let mut one = Hub::new(NEVER);
    let _active = one.links(1, NEVER);
    let mut all = Hub::new(LIVENESS);
    let before = allocations::held();
    let _crowd = all.links(MANY, LIVENESS);
    let held = bytes(allocations::held().saturating_sub(before)) / f64::from(MANY);
    absolute("heap of an idle link end, of 1,000", Unit::Bytes, held, 8.0 * KIB, 4.0 * KIB);
    sleep(LIVENESS);
    let (begun, used) = (Instant::now(), cpu());
    sleep(LIVENESS * 2);
    let share = (cpu() - used).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
    assert_eq!(all.shared.down.load(Relaxed), 0, "links were lost");
    absolute("1,000 links, liveness every 10 s: of one core", Unit::Percent, share, 1.0, 1.0);
    let window = Duration::from_millis(500);
    let active = compare(7, || per_delivery(&mut one, window), || per_delivery(&mut all, window));
    against("a busy link among 1,000, against one alone", Unit::Micros, active, 1.1, 1.1);
}

#[allow(clippy::cast_precision_loss)] // Far below 2^52.
fn bytes(count: u64) -> f64 {
    count as f64
}

/// A node whose peers are elsewhere.
struct Hub {
    addr: SocketAddr,
    shared: Arc<Shared>,
    running: Option<Running>,
}

impl Hub {
    fn new(ping_after: Duration) -> Self {
        let addr = free(SocketAddr::from(([127, 0, 0, 1], 0)));
        let member = Member::new(0, addr);
        let shared = Arc::new(Shared::default());
        let setting = Setting { max_peers: 1_100, ping_after, ..Setting::knowing(vec![member.entry()]) };
        let core = node(&member, setting, timed_mio::now());
        // The first of the swarm is the one to talk to.
        let first = Member::new(1, SocketAddr::from(([127, 2, 0, 1], 1)));
        let role = Role::Hub { peers: vec![first], busy: 1 };
        let application = Application::new(Box::new(core), role, 1, Arc::clone(&shared));
        Self { addr, shared, running: Some(Running::start(member, application)) }
    }

    /// Lets so many nodes link up.
    fn links(&self, size: u32, ping_after: Duration) -> Swarm {
        let swarm = Swarm::start(self.addr, 1, size, ping_after);
        wait_for(&self.shared.up, u64::from(size));
        // Until the shell has let go of what only the handshakes needed.
        sleep(Duration::from_secs(2));
        swarm
    }
}

impl Traffic for Hub {
    fn start(&mut self) {
        self.shared.running.store(true, Relaxed);
        if let Some(running) = &self.running {
            running.order(&self.shared, Order::Begin);
        }
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
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}
