//! Sieges of a network of real daemons: attackers at addresses of their own, and what must not move meanwhile.

pub mod attackers;
pub mod peers;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::network::chain::usually_or_soaking;
use crate::network::kernel::Link;
use crate::network::{Network, PORT, SECOND, without};

pub const HOSTS: [u8; 4] = [1, 2, 3, 4];
/// The masternode that is killed and restarted during each attack.
const VICTIM: u8 = 4;
/// The others.
const STEADY: [u8; 3] = [1, 2, 3];
/// How much the resident memory of a daemon may grow.
const GROWTH_KB: u64 = 16 * 1024;

/// Handshakes of strangers that had to wait their turn.
pub const DEFERRED: &str = "timed_handshakes_deferred_total";

/// Sieges of concurrent tests would only besiege each other.
static TURN: Mutex<()> = Mutex::new(());

/// Where an attack comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sources {
    /// One address, all of it against one node.
    One,
    /// Thousands of prefixes, against all nodes.
    Many,
}

/// What an attack knows while it lasts.
pub struct Field {
    pub sources: Sources,
    targets: Vec<SocketAddr>,
    number: AtomicU32,
    over: AtomicBool,
    /// Whatever the attack counts, for the report.
    pub done: AtomicU32,
}

impl Field {
    pub fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    /// A connection from the next source to the next target.
    pub fn dial(&self) -> Option<TcpStream> {
        let number = self.number.fetch_add(1, Relaxed);
        let [_, b, c, d] = number.to_be_bytes();
        let (from, to) = match self.sources {
            Sources::One => (Ipv4Addr::new(127, 32, 0, 7), self.targets.first()),
            Sources::Many => (
                Ipv4Addr::new(127, 33 + (b & 15), c.wrapping_add(d), d | 1),
                self.targets.get(number as usize % self.targets.len()),
            ),
        };
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
        socket.bind(&SocketAddr::from((from, 0)).into()).ok()?;
        // Nothing of the attack stays in the kernel's tables.
        socket.set_linger(Some(Duration::ZERO)).ok()?;
        socket.connect_timeout(&(*to?).into(), SECOND).ok()?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(SECOND)).ok()?;
        stream.set_write_timeout(Some(SECOND)).ok()?;
        Some(stream)
    }

    /// Does something so often a second until the attack is over.
    pub fn repeat(&self, a_second: u32, mut act: impl FnMut()) {
        let begun = Instant::now();
        let mut done = 0.0_f64;
        while !self.is_over() {
            let due = begun.elapsed().as_secs_f64() * f64::from(a_second);
            // Behind on a busy machine: not all at once.
            done = done.max(due - f64::from(a_second) / 10.0);
            while done < due && !self.is_over() {
                act();
                done += 1.0;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A standing network that makes a block a second.
pub struct Siege {
    pub network: Network,
    _turn: MutexGuard<'static, ()>,
}

/// What is compared before and after.
struct State {
    links: Vec<Link>,
    down: Vec<u64>,
    rss: Vec<u64>,
    heights: (u64, u64),
}

impl Siege {
    pub fn laid() -> Self {
        Self::prepared(|_| {})
    }

    pub fn prepared(prepare: impl FnOnce(&mut Network)) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut network = Network::with_blocks(&HOSTS, SECOND);
        // The flight recorder's ring fills whatever comes: here it is no part of what is measured.
        HOSTS.iter().for_each(|host| network.configure(*host, "memory", "\"1MiB\""));
        prepare(&mut network);
        network.start_all();
        network.eventually("every link stands", 10 * SECOND, || network.is_meshed(&HOSTS));
        network.await_height(&HOSTS, 2, 4);
        Self { network, _turn: turn }
    }

    fn rss(&self) -> Vec<u64> {
        STEADY.iter().map(|host| resident(self.network.pid(*host))).collect()
    }

    fn state(&self) -> State {
        let mut links = self.network.links();
        links.retain(|link| HOSTS.contains(&link.dialer) && HOSTS.contains(&link.acceptor));
        State {
            links: without(&links, VICTIM),
            down: STEADY.iter().map(|host| self.down_among_masternodes(*host)).collect(),
            rss: self.rss(),
            heights: self.network.heights(&STEADY),
        }
    }

    /// Links to masternodes that ended, as the log tells them.
    fn down_among_masternodes(&self, host: u8) -> u64 {
        let others = HOSTS.iter().filter(|other| **other != host);
        let ends = others.map(|other| {
            let id = self.network.id(*other);
            self.network.logged(host, &["link down", &id[..16]]) as u64
        });
        ends.sum()
    }

    /// The attack from one source and from many; see [`Self::endure_from`].
    pub fn endure(&mut self, name: &str, attack: impl Fn(&Field) + Sync) {
        for sources in [Sources::One, Sources::Many] {
            self.endure_from(name, sources, &attack);
        }
    }

    /// Lets an attack run, kills and restarts a masternode in its middle, and asserts that nobody else noticed.
    pub fn endure_from(&mut self, name: &str, sources: Sources, attack: &(impl Fn(&Field) + Sync)) {
        let name = format!("{name} ({sources:?})");
        let field = Field {
            sources,
            targets: HOSTS.iter().map(|host| (self.network.ip(*host), PORT).into()).collect(),
            number: AtomicU32::new(0),
            over: AtomicBool::new(false),
            done: AtomicU32::new(0),
        };
        let before = self.state();
        let begun = Instant::now();
        let mut peak = before.rss.clone();
        thread::scope(|scope| {
            let attacker = scope.spawn(|| attack(&field));
            // A failed assertion below must end the attack, or the scope waits for ever.
            let _end = Ending(&field);
            let part = usually_or_soaking(2 * SECOND, 40 * SECOND);
            self.watch(part, &mut peak);
            self.network.kill(VICTIM);
            self.network.start(VICTIM);
            let restarted = Instant::now();
            self.network.eventually(&format!("{name}: the masternode is back"), 5 * SECOND, || {
                self.network.is_meshed(&HOSTS)
            });
            println!("{name}: its links were back {:?} after the restart", restarted.elapsed());
            self.watch(part, &mut peak);
            field.over.store(true, Relaxed);
            assert!(attacker.join().is_ok(), "{name}: the attack itself failed");
        });
        let lasted = begun.elapsed();
        let after = self.state();
        let grown: Vec<u64> =
            peak.iter().zip(&before.rss).map(|(peak, was)| peak.saturating_sub(*was)).collect();
        let blocks = after.heights.0.saturating_sub(before.heights.1);
        println!(
            "{name}: {blocks} blocks in {lasted:?}, grown by {grown:?} kB from {:?} kB, {} times, {} deferred",
            before.rss,
            field.done.load(Relaxed),
            self.metric(1, DEFERRED),
        );
        assert_eq!(after.links, before.links, "{name}: links moved");
        let down: Vec<u64> = before.down.iter().map(|down| down + 1).collect();
        assert_eq!(after.down, down, "{name}: only the killed one goes");
        // Every slot has its block; on a machine with other work at least every other one.
        let slots = lasted.as_secs();
        assert!(blocks >= slots / 2, "{name}: {blocks} blocks in {slots} slots");
        assert!(grown.iter().all(|kb| *kb < GROWTH_KB), "{name}: memory grew by {grown:?} kB");
        assert!(field.done.load(Relaxed) > 5, "{name}: there was no attack");
    }

    fn watch(&self, time: Duration, peak: &mut [u64]) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            for (peak, now) in peak.iter_mut().zip(self.rss()) {
                *peak = now.max(*peak);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// A counter of `/metrics` without labels.
    pub fn metric(&self, host: u8, name: &str) -> u64 {
        let metrics = self.network.get(host, "/metrics").1;
        let mut lines = metrics.as_str().unwrap().lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("node {host} has no metric {name}"))
    }
}

struct Ending<'a>(&'a Field);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Relaxed);
    }
}

/// The resident memory of a process, in kB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}
