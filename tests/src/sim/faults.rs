//! Swarms of faults: each seed enables a random subset and lets it loose for a while; then everything heals
//! and the network must recover.

use std::collections::BTreeMap;
use std::time::Duration;

use timed_core::{Request, Rng};

use super::clock::SimTime;
use super::disk::{DiskHealth, Snapshot};
use super::host::HostId;
use super::path::{Dials, Packets};
use super::world::World;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9`, and a start some time later.
    Kill,
    /// A power-cut, and a start some time later.
    PowerCut,
    /// An orderly stop, and a start some time later.
    Stop,
    /// SIGSTOP, and SIGCONT some time later.
    Freeze,
    /// The wall clock jumps by up to two hours.
    WallStep,
    /// Packets between two hosts vanish for a while, both ways.
    BlackHole,
    /// Packets between two hosts vanish for a while, one way.
    OneWay,
    /// A host is cut from all others for a while.
    Isolation,
    /// Attempts to connect vanish or are refused for a while, one way.
    Firewall,
    /// The connections of a pair are reset.
    Reset,
    /// The network forgets the connections of a pair.
    Sever,
    /// A disk takes up to a second for a write for a while.
    SlowDisk,
    /// A disk fails, and the process is started again with a sound one.
    FailingDisk,
    /// A process is killed and started again with an older data directory.
    OldBackup,
    /// Operators connect both ends of a pair, nearly at once.
    ConnectBoth,
    /// Two groups of hosts are cut from one another for a while.
    Partition,
    /// All processes are killed, or all machines lose power, and start some time later.
    AllDown,
    /// A process is killed and started again with an empty data directory.
    LostDirectory,
    /// A wall clock is wrong by less than blocks tolerate.
    Skew,
    /// An application takes its time for a while.
    SlowApplication,
    /// An application offers nothing or what others refuse for a while.
    BadOffer,
    /// An application refuses everything, accepts everything or says nothing for a while.
    BadJudgement,
    /// Transactions are submitted.
    Submit,
}

impl Fault {
    /// Every kind that befalls networks that make blocks, beside [`Fault::ALL`].
    pub const CHAIN: [Self; 8] = [
        Self::Partition,
        Self::AllDown,
        Self::LostDirectory,
        Self::Skew,
        Self::SlowApplication,
        Self::BadOffer,
        Self::BadJudgement,
        Self::Submit,
    ];

    /// Every kind that befalls links.
    pub const ALL: [Self; 15] = [
        Self::Kill,
        Self::PowerCut,
        Self::Stop,
        Self::Freeze,
        Self::WallStep,
        Self::BlackHole,
        Self::OneWay,
        Self::Isolation,
        Self::Firewall,
        Self::Reset,
        Self::Sever,
        Self::SlowDisk,
        Self::FailingDisk,
        Self::OldBackup,
        Self::ConnectBoth,
    ];
}

/// Which faults occur and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swarm {
    /// The kinds that occur.
    pub faults: Vec<Fault>,
    /// The mean time between two faults.
    pub every: Duration,
    /// The longest that a fault lasts.
    pub lasts: Duration,
}

impl Swarm {
    /// A random subset of all kinds, at a random pace.
    #[must_use]
    pub fn drawn(rng: &mut Rng) -> Self {
        let mut faults: Vec<Fault> = Fault::ALL.into_iter().filter(|_| rng.below(3) == 0).collect();
        if faults.is_empty() {
            faults.push(Fault::Kill);
        }
        let every = Duration::from_millis(200 << rng.below(6));
        let lasts = Duration::from_secs(1 << rng.below(6));
        Self { faults, every, lasts }
    }
}

impl World {
    /// A swarm for a network that makes blocks, drawn from the world's seed.
    pub fn draw_chain_swarm(&mut self) -> Swarm {
        let mut swarm = self.draw_swarm();
        swarm.faults.extend(Fault::CHAIN.into_iter().filter(|_| self.cx.rng.below(3) == 0));
        let lost = |fault: &Fault| matches!(fault, Fault::OldBackup | Fault::LostDirectory);
        if swarm.faults.iter().any(lost) {
            // Nobody can tell a key with both its record and its clock set back from a second process.
            swarm.faults.retain(|fault| *fault != Fault::WallStep);
        }
        swarm
    }

    /// A swarm drawn from the world's seed.
    pub fn draw_swarm(&mut self) -> Swarm {
        Swarm::drawn(&mut self.cx.rng)
    }

    /// Lets a swarm loose for a while, then heals everything.
    pub fn unleash(&mut self, swarm: &Swarm, during: Duration) {
        let until = self.now() + during;
        let mut backups = BTreeMap::new();
        while self.now() < until {
            let pause = self.cx.rng.between(Duration::ZERO, swarm.every * 2);
            self.run_for(pause.min(until.since(self.now())));
            let fault = swarm.faults[self.draw(swarm.faults.len())];
            self.strike(fault, swarm.lasts, &mut backups);
            self.check();
        }
        self.heal();
        self.check();
    }

    fn draw(&mut self, below: usize) -> usize {
        usize::try_from(self.cx.rng.below(below as u64)).unwrap_or(0)
    }

    fn strike(&mut self, fault: Fault, lasts: Duration, backups: &mut BTreeMap<HostId, Snapshot>) {
        let mut a = HostId(self.draw(self.hosts.len()));
        if self.cx.ledger.is_some()
            && matches!(
                fault,
                Fault::OldBackup | Fault::LostDirectory | Fault::WallStep | Fault::BadJudgement
            )
        {
            // No chain survives that at more than a third: always the same one, and none of fewer than four. What
            // an application has said of a block stays for the height, however short it was wrong.
            a = HostId(0);
            if self.host(a).config.registry.size() < 4 {
                return;
            }
        }
        if self.hosts.len() < 2 {
            return;
        }
        let b = HostId((a.0 + 1 + self.draw(self.hosts.len() - 1)) % self.hosts.len());
        let lasts = self.cx.rng.between(Duration::ZERO, lasts);
        let running = self.host(a).is_running();
        match fault {
            Fault::Kill if self.host(a).is_up() => {
                self.kill(a);
                self.start_after(a, lasts);
            }
            Fault::PowerCut if self.host(a).is_up() => {
                self.cut_power(a);
                self.start_after(a, lasts);
            }
            Fault::Stop if running => {
                let process = self.host(a).seen.started;
                self.stop(a);
                self.start_once_over(a, process, lasts);
            }
            Fault::Freeze if running => {
                self.freeze(a);
                self.after(lasts, move |world| {
                    if world.host(a).is_up() && !world.host(a).is_running() {
                        world.thaw(a);
                    }
                });
            }
            Fault::WallStep => {
                let ms = i64::try_from(self.draw(4 * 3_600_000)).unwrap_or(0) - 2 * 3_600_000;
                self.set_wall_error(a, ms);
            }
            Fault::BlackHole => {
                self.vanish(a, b, lasts);
                self.vanish(b, a, lasts);
            }
            Fault::OneWay => self.vanish(a, b, lasts),
            Fault::Isolation => {
                self.isolate(a, Packets::Vanish);
                self.after(lasts, move |world| world.isolate(a, Packets::Arrive));
            }
            Fault::Firewall => {
                let dials = if self.draw(2) == 0 { Dials::Vanish } else { Dials::Refused };
                self.dials(a, b, dials);
                self.after(lasts, move |world| world.dials(a, b, Dials::Arrive));
            }
            Fault::Reset => self.reset_between(a, b),
            Fault::Sever => self.sever_between(a, b),
            Fault::SlowDisk => {
                self.note(a, "has a slow disk");
                self.host_mut(a).disk.set_latency((Duration::ZERO, Duration::from_secs(1)));
            }
            Fault::FailingDisk => {
                self.note(a, "has a failing disk");
                self.host_mut(a).disk.set_health(DiskHealth::Failing);
                self.after(lasts, move |world| {
                    world.note(a, "has a sound disk");
                    world.host_mut(a).disk.set_health(DiskHealth::Sound);
                });
                self.start_after(a, lasts + Duration::from_millis(1));
            }
            Fault::OldBackup if self.host(a).is_up() => match backups.remove(&a) {
                None => {
                    backups.insert(a, self.host(a).disk.snapshot());
                }
                Some(old) => {
                    self.kill(a);
                    self.restore_unheard(a, old);
                    self.start_after(a, lasts);
                }
            },
            Fault::ConnectBoth if running && self.host(b).is_running() => {
                self.connect(a, b);
                let offset = self.cx.rng.between(Duration::ZERO, Duration::from_millis(300));
                self.after(offset, move |world| {
                    if world.host(a).is_running() && world.host(b).is_running() {
                        world.connect(b, a);
                    }
                });
            }
            Fault::Partition
            | Fault::AllDown
            | Fault::LostDirectory
            | Fault::Skew
            | Fault::SlowApplication
            | Fault::BadOffer
            | Fault::BadJudgement
            | Fault::Submit => self.strike_chain(fault, a, lasts),
            Fault::Kill
            | Fault::PowerCut
            | Fault::Stop
            | Fault::Freeze
            | Fault::OldBackup
            | Fault::ConnectBoth => {}
        }
    }

    pub(super) fn start_after(&mut self, host: HostId, time: Duration) {
        self.after(time, move |world| {
            if !world.host(host).is_up() {
                world.start(host);
            }
        });
    }

    /// As [`World::start_after`], but no sooner than the process that began at a time has ended: it may still have
    /// something to write.
    fn start_once_over(&mut self, host: HostId, process: SimTime, time: Duration) {
        self.after(time, move |world| {
            let known = world.host(host);
            if known.is_up() && known.seen.started == process {
                world.start_once_over(host, process, Duration::from_millis(50));
            } else if !known.is_up() {
                world.start(host);
            }
        });
    }

    fn vanish(&mut self, from: HostId, to: HostId, lasts: Duration) {
        self.packets(from, to, Packets::Vanish);
        self.after(lasts, move |world| world.packets(from, to, Packets::Arrive));
    }

    /// An operator's `connect` at one end, if the other has an address.
    pub fn connect(&mut self, at: HostId, to: HostId) -> Option<timed_core::Reply> {
        let addr = self.host(to).config.advertised?;
        let id = Some(self.host(to).node_id);
        Some(self.ask(at, Request::Connect { addr, id }))
    }
}
