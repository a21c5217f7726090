//! What follows from the conduct of peers and from the operator's orders about them (rules ).

use crate::event::{CloseReason, ClosedBy, Enforce, Event, Offence, Warning};
use crate::ids::NodeId;
use crate::net::scores::{BOUND, Charge, Pace, Rank, Sentence};
use crate::node::Node;
use crate::time::Now;

impl Node {
    /// The one door for offences: an authenticated peer broke a rule that no state of ours can explain. It may
    /// have lost its link when this returns.
    pub(super) fn offended(&mut self, now: Now, id: NodeId, offence: Offence) {
        if let Some(count) = self.counters.offences.get_mut(offence.index()) {
            *count += 1;
        }
        let others = self.config.registry.entries().iter().filter(|entry| entry.id != self.identity.node);
        let charge = self.scores.charge(now.mono, id, offence, self.rank(&id), others.count());
        let Some(Charge { score, passed, sentence }) = charge else { return };
        if passed.is_some() {
            self.event(Event::Misbehaved { peer: id, offence, score, bound: BOUND });
        }
        if self.config.limits.punish == Enforce::Observe {
            return;
        }
        match sentence {
            Sentence::None | Sentence::Slowed => {}
            Sentence::Ban(..) => {
                if let Some(live) = self.pool.get(&id).and_then(|peer| peer.live) {
                    self.end(now, live.conn, CloseReason::Abuse, ClosedBy::Us);
                }
            }
            Sentence::SelfSuspected(offence, peers) => {
                self.event(Event::Warning(Warning::SelfSuspected { offence, peers }));
            }
        }
    }

    /// How a peer's traffic is handled: a registered or reserved one at the bound is slowed (rule A-6).
    pub(super) fn pace(&self, now: Now, id: &NodeId) -> Pace {
        match self.config.limits.punish {
            Enforce::On => self.scores.pace(now.mono, id),
            Enforce::Observe => Pace::Free,
        }
    }

    fn rank(&self, id: &NodeId) -> Rank {
        if self.config.registry.get(id).is_some() { Rank::Registered } else { Rank::Other }
    }
}
