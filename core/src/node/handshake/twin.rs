//! What others say of another process with our own key: believed only with that process's signature (rules E-5
//! to E-7), so that nobody can make it up.

use crate::crypto::Authenticity;
use crate::event::{CloseReason, ClosedBy, Event, Fatal, Warning};
use crate::ids::NodeId;
use crate::net::epoch::{self, Circumstances, Remedy, Source, Witness};
use crate::net::pool::Destination;
use crate::node::Node;
use crate::time::Now;
use crate::wire::message::{Boot, Hello, HelloAck, ProvenBoot};
use crate::wire::signing;

impl Node {
    /// The later boot of our own key that somebody has seen, if there is one and it is proven. The signature is
    /// looked at only where it would make a difference.
    pub(super) fn shown(&mut self, now: Now, claim: Option<ProvenBoot>) -> Option<Boot> {
        let ProvenBoot { boot, proof } = claim?;
        if !epoch::may_supersede(boot, self.identity.boot, now.wall) {
            return None;
        }
        let bytes = signing::boot(&self.identity.genesis, &self.identity.node, boot);
        match self.crypto.verify(&self.identity.node, &bytes, &proof) {
            Authenticity::Genuine => Some(boot),
            Authenticity::Forged => None,
        }
    }

    /// What a `Hello` that was refused for `reason` tells about our own key.
    pub(super) fn learn_from_hello(&mut self, now: Now, hello: &Hello, reason: CloseReason) {
        let from = hello.from.node;
        if from == self.identity.node {
            if hello.from.boot != self.identity.boot {
                self.other_boot(now, from, hello.from.boot, Source::InUse);
            }
        } else if reason == CloseReason::StaleEpoch
            && let Some(other) = self.shown(now, hello.from.seen)
        {
            self.other_boot(now, from, other, Source::Stale);
        }
    }

    /// What a refusal of our own present handshake tells about our own key.
    pub(super) fn learn_from_refusal(&mut self, now: Now, ack: &HelloAck, reason: CloseReason) {
        let source = match reason {
            CloseReason::StaleEpoch => Source::Stale,
            CloseReason::KeyInUse => Source::InUse,
            _ => return,
        };
        if let Some(other) = self.shown(now, ack.from.seen) {
            self.other_boot(now, ack.from.node, other, source);
        }
    }

    /// Another boot of our own key was proven: rules E-5 and E-6.
    fn other_boot(&mut self, now: Now, peer: NodeId, other: Boot, source: Source) {
        let ours = self.identity.boot;
        let known = self.pool.get(&peer).and_then(|peer| peer.masternode);
        let witness = if known.is_some() || peer == self.identity.node {
            Witness::Registered
        } else {
            Witness::Stranger
        };
        let circumstances =
            Circumstances { source, witness, standing: self.standing, raises: self.raises, wall: now.wall };
        match epoch::remedy(ours, other, circumstances) {
            Remedy::None => {}
            Remedy::BackOff => {
                self.event(Event::Warning(Warning::KeyInUse { peer, epoch: other.epoch }));
            }
            Remedy::Halt => {
                // If the other boot is only remembered, as after a backup and a clock set back, the next start
                // must be above it; else it would halt again.
                self.past.used = self.past.used.max(other.epoch);
                self.persist_past();
                self.halt(now, Fatal::KeyInUse { peer, ours: ours.epoch, other: other.epoch });
            }
            Remedy::Raise(to) => {
                self.raises += 1;
                self.identity.boot.epoch = to;
                self.identity.prove(self.crypto.as_mut());
                self.persist_boot();
                self.masternode.epoch_raised(now, to);
                self.arm_masternode();
                self.event(Event::Warning(Warning::EpochRaised { to }));
                // Whatever is under way was signed, or is about to be judged, with the stale epoch.
                for conn in self.open_links() {
                    self.end(now, conn, CloseReason::StaleEpoch, ClosedBy::Us);
                }
                let destinations: Vec<Destination> = self.pool.destinations().collect();
                for destination in destinations {
                    if let Some(dialing) = self.pool.dialing_mut(destination) {
                        dialing.backoff.clear();
                    }
                    self.pursue(now, destination);
                }
            }
        }
    }
}
