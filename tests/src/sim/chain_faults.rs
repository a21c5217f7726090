//! Faults that befall networks that make blocks.

use std::time::Duration;

use bytes::Bytes;
use timed_core::Request;

use super::application::{Conduct, Judgement, Offer};
use super::disk::Snapshot;
use super::faults::Fault;
use super::host::{HostId, Role};
use super::path::Packets;
use super::world::World;

impl World {
    pub(super) fn strike_chain(&mut self, fault: Fault, at: HostId, lasts: Duration) {
        let conduct = self.host(at).application.conduct.clone();
        match fault {
            Fault::Partition => {
                let sides: Vec<bool> = self.ids().iter().map(|_| self.random_below(2) == 0).collect();
                self.between(&sides, Packets::Vanish);
                self.after(lasts, move |world| world.between(&sides, Packets::Arrive));
            }
            Fault::Uneven => {
                let sides: Vec<bool> = self.ids().iter().map(|_| self.random_below(2) == 0).collect();
                let bridge = HostId(self.random_below(sides.len()));
                let one_way = self.random_below(2) == 0;
                let cut = move |world: &mut Self, packets| {
                    for a in world.ids().into_iter().take(sides.len()) {
                        for b in world.ids().into_iter().take(sides.len()) {
                            let apart = sides[a.0] != sides[b.0] && (!one_way || sides[a.0]);
                            if apart && (one_way || (a != bridge && b != bridge)) {
                                world.packets(a, b, packets);
                            }
                        }
                    }
                };
                cut(self, Packets::Vanish);
                self.after(lasts, move |world| cut(world, Packets::Arrive));
            }
            Fault::AllDown => {
                let power = self.random_below(2) == 0;
                for host in self.ids() {
                    if self.host(host).is_up() {
                        if power {
                            self.cut_power(host);
                        } else {
                            self.kill(host);
                        }
                        let later = self.random(lasts);
                        self.start_after(host, later);
                    }
                }
            }
            Fault::LostDirectory if self.host(at).is_up() => {
                self.kill(at);
                self.restore_unheard(at, Snapshot::default());
                self.start_after(at, lasts);
            }
            Fault::Skew => {
                let interval = i64::try_from(self.origin().interval.as_millis()).unwrap_or(0);
                // Two of them may be wrong in opposite directions.
                let most = usize::try_from(2_000.min(interval / 4) * 3 / 8).unwrap_or(0);
                let error = i64::try_from(self.random_below(2 * most + 1)).unwrap_or(0);
                self.set_wall_error(at, error - i64::try_from(most).unwrap_or(0));
            }
            Fault::SlowApplication => {
                let slow = (Duration::ZERO, self.random(Duration::from_secs(3)));
                let conduct = Conduct { thinking: slow, committing: slow, loading: slow, ..conduct };
                self.behave(at, conduct, lasts);
            }
            Fault::BadOffer => {
                let offers =
                    [Offer::Wrong, Offer::TooLong, Offer::None, Offer::Silence, Offer::Filler(300_000)];
                let offer = offers[self.random_below(offers.len())];
                self.behave(at, Conduct { offer, ..conduct }, lasts);
            }
            Fault::BadJudgement => {
                let judgements = [Judgement::Blind, Judgement::Refusal, Judgement::Silence];
                let judgement = judgements[self.random_below(judgements.len())];
                self.behave(at, Conduct { judgement, ..conduct }, lasts);
            }
            Fault::Submit if self.host(at).is_running() => {
                for _ in 0..self.random_below(20) {
                    let mut bytes = vec![0; 8 + self.random_below(3_000)];
                    self.cx.rng.fill(&mut bytes);
                    if self.host(at).is_running() {
                        self.post(at, Request::Submit(Bytes::from(bytes)));
                    }
                }
            }
            _ => {}
        }
    }

    /// Has an application behave in some way for a while.
    fn behave(&mut self, host: HostId, conduct: Conduct, lasts: Duration) {
        self.note(host, &format!("has an application with {conduct:?}"));
        self.host_mut(host).application.conduct = conduct;
        self.after(lasts, move |world| {
            world.note(host, "has its application as before");
            world.host_mut(host).application.conduct = Conduct::default();
        });
    }

    /// Sets what becomes of packets between two groups of hosts.
    fn between(&mut self, sides: &[bool], packets: Packets) {
        // Who has come since belongs to neither.
        for a in self.ids().into_iter().take(sides.len()) {
            for b in self.ids().into_iter().take(sides.len()) {
                if sides[a.0] != sides[b.0] {
                    self.packets(a, b, packets);
                }
            }
        }
    }

    /// Ends what the faults of a chain have left behind.
    pub(super) fn heal_chain(&mut self) {
        for host in self.ids() {
            if self.host(host).role == Role::Node {
                self.host_mut(host).application.conduct = Conduct::default();
                self.set_wall_error(host, 0);
            }
        }
    }
}
