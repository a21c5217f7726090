//! What each kind of fault does to a world.

use std::collections::BTreeMap;
use std::time::Duration;

use timed_core::Request;

use super::clock::SimTime;
use super::disk::{DiskHealth, Snapshot};
use super::faults::{Fault, Swarm};
use super::host::{HostId, Reads};
use super::path::{Dials, Packets, Strain};
use super::world::World;

impl World {
    /// A swarm for a network that makes blocks, drawn from the world's seed.
    pub fn draw_chain_swarm(&mut self) -> Swarm {
        let kinds: Vec<Fault> = Fault::ALL.into_iter().chain(Fault::CHAIN).collect();
        Swarm::drawn_from(&kinds, &mut self.cx.rng)
    }

    /// A swarm of what befalls links, drawn from the world's seed.
    pub fn draw_swarm(&mut self) -> Swarm {
        Swarm::drawn_from(&Fault::ALL, &mut self.cx.rng)
    }

    /// A swarm of some of these kinds, drawn from the world's seed.
    pub fn draw_swarm_from(&mut self, kinds: &[Fault]) -> Swarm {
        Swarm::drawn_from(kinds, &mut self.cx.rng)
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
        let nodes = self.nodes();
        if nodes.len() < 2 {
            return;
        }
        let place = self.draw(nodes.len());
        let mut a = nodes[place];
        if self.cx.ledger.is_some()
            && matches!(
                fault,
                Fault::OldBackup | Fault::LostDirectory | Fault::WallStep | Fault::BadJudgement
            )
        {
            // No chain survives that at more than a third: always the same one, and none of fewer than four. An
            // application that misjudges counts, because what it has said of a block stays for the height, however
            // short it was wrong: see `app_01_…` in tests/chain/applications.rs.
            a = HostId(0);
            if self.host(a).config.registry.size() < 4 {
                return;
            }
        }
        let others: Vec<HostId> = nodes.into_iter().filter(|node| *node != a).collect();
        let b = others[self.draw(others.len())];
        *self.struck.entry(fault).or_default() += 1;
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
                self.fault(a, "is asked to stop");
                self.post(a, Request::Stop);
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
            Fault::BlackHole => self.both_ways(a, b, Packets::Vanish, lasts),
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
                self.order_link(a, b);
                let offset = self.cx.rng.between(Duration::ZERO, Duration::from_millis(300));
                self.after(offset, move |world| {
                    if world.host(a).is_running() && world.host(b).is_running() {
                        world.order_link(b, a);
                    }
                });
            }
            Fault::Lossy => self.both_ways(a, b, Packets::Lose, lasts),
            Fault::BadLine => {
                let line = Strain { slower: self.random(Duration::from_millis(400)), narrow: Some(30_000) };
                self.strain(a, b, line);
                self.after(lasts, move |world| world.strain(a, b, Strain::default()));
            }
            Fault::SlowReader => {
                self.fault(a, "reads little and late");
                let bytes = [1, 16, 512][self.draw(3)];
                let pause = Duration::from_millis([50, 1_000][self.draw(2)]);
                self.host_mut(a).reads = Reads::Slowly { bytes, pause };
                self.after(lasts, move |world| {
                    world.note(a, "reads as before");
                    world.host_mut(a).reads = Reads::Promptly;
                });
            }
            Fault::MidStep if running => {
                let commands = self.draw(60);
                self.dies_after(a, commands);
                self.start_after(a, lasts);
                self.start_after(a, lasts + Duration::from_secs(15));
            }
            Fault::MonoStep => {
                let behind = self.random(Duration::from_secs(5));
                self.set_mono_behind(a, behind);
                self.after(lasts, move |world| world.set_mono_behind(a, Duration::ZERO));
            }
            Fault::Garbage => self.garbage(a),
            Fault::Liar => self.liar(a, lasts),
            Fault::Partition
            | Fault::Uneven
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
            | Fault::MidStep
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

    fn both_ways(&mut self, a: HostId, b: HostId, packets: Packets, lasts: Duration) {
        for (from, to) in [(a, b), (b, a)] {
            self.packets(from, to, packets);
            self.after(lasts, move |world| world.packets(from, to, Packets::Arrive));
        }
    }

    /// An operator's `connect` at one end, if the other has an address.
    pub fn connect(&mut self, at: HostId, to: HostId) -> Option<timed_core::Reply> {
        let addr = self.host(to).config.advertised?;
        let id = Some(self.host(to).node_id);
        Some(self.ask(at, Request::Connect { addr, id }))
    }

    /// The same, whether or not the process lives to answer.
    fn order_link(&mut self, at: HostId, to: HostId) {
        if let Some(addr) = self.host(to).config.advertised {
            let id = Some(self.host(to).node_id);
            self.post(at, Request::Connect { addr, id });
        }
    }
}
