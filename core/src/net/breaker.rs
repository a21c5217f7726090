//! Whether the fault is ours (rule A-5): when many registered masternodes seem to break one rule at about the same
//! time, it is likelier that this node misjudges them than that they have all turned.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::Offence;
use crate::ids::NodeId;
use crate::limits::{Holding, holding};
use crate::registry::MAX_MASTERNODES;
use crate::time::Mono;

/// Masternodes whose scores reach the bound within so long are counted together.
const WINDOW: Duration = Duration::from_secs(10 * 60);
/// How long nobody is charged with an offence for which this node suspects itself.
const TRUCE: Duration = Duration::from_secs(30 * 60);

/// How many of `others` registered masternodes must seem to break the same rule: a third, and two at least.
#[must_use]
pub(crate) const fn suspicious(others: usize) -> usize {
    let third = others.div_ceil(3);
    if third < 2 { 2 } else { third }
}

/// One for each offence, in the order of [`Offence::ALL`].
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Breaker {
    watches: [Watch; Offence::ALL.len()],
}

#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
struct Watch {
    /// Registered masternodes whose scores reached the bound, and when they last did.
    reached: BTreeMap<NodeId, Mono>,
    truce: Option<Mono>,
}

/// What the breaker makes of another masternode at the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspicion {
    /// The peer.
    Of(NodeId),
    /// This node: so many masternodes seem to break the same rule.
    OfSelf(usize),
}

impl Breaker {
    pub(crate) fn holding(&self) -> Holding {
        let held = self.watches.iter().map(|watch| watch.reached.len()).sum();
        holding("masternodes at the bound of their score", held, Offence::ALL.len() * MAX_MASTERNODES)
    }

    /// Whether this node suspects itself of misjudging this offence.
    pub(crate) fn is_truce(&self, now: Mono, offence: Offence) -> bool {
        self.watches.get(offence.index()).is_some_and(|watch| watch.truce.is_some_and(|until| until > now))
    }

    /// The score of a registered masternode is at the bound, mostly for this offence. `others` are registered
    /// beside this node.
    pub(crate) fn reached(&mut self, now: Mono, offence: Offence, peer: NodeId, others: usize) -> Suspicion {
        let Some(watch) = self.watches.get_mut(offence.index()) else { return Suspicion::Of(peer) };
        watch.reached.retain(|_, at| now.since(*at) < WINDOW);
        watch.reached.insert(peer, now);
        let peers = watch.reached.len();
        if peers < suspicious(others) {
            return Suspicion::Of(peer);
        }
        *watch = Watch { reached: BTreeMap::new(), truce: Some(now + TRUCE) };
        Suspicion::OfSelf(peers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    const T0: Mono = Mono(1_000_000_000);
    const FORGED: Offence = Offence::BadSignature;

    #[test]
    fn a_third_of_the_others_and_two_at_least() {
        assert_eq!([1, 2, 3, 6, 7, 13, 127].map(suspicious), [2, 2, 2, 2, 3, 5, 43]);
    }

    #[test]
    fn a_5_many_at_once_make_this_node_suspect_itself() {
        let mut breaker = Breaker::default();
        for number in 1..=4 {
            assert_eq!(breaker.reached(T0, FORGED, peer(number), 13), Suspicion::Of(peer(number)));
        }
        // The same one again is one, and another rule has its own count.
        assert_eq!(breaker.reached(T0, FORGED, peer(4), 13), Suspicion::Of(peer(4)));
        assert_eq!(breaker.reached(T0, Offence::Flood, peer(9), 13), Suspicion::Of(peer(9)));
        assert!(!breaker.is_truce(T0, FORGED));
        assert_eq!(breaker.reached(T0, FORGED, peer(5), 13), Suspicion::OfSelf(5));
        assert!(breaker.is_truce(T0, FORGED) && !breaker.is_truce(T0, Offence::Flood));
        assert!(breaker.is_truce(T0 + TRUCE - Duration::from_nanos(1), FORGED));
        assert!(!breaker.is_truce(T0 + TRUCE, FORGED));
    }

    #[test]
    fn a_5_one_after_the_other_over_hours_are_to_blame_themselves() {
        let mut breaker = Breaker::default();
        for number in 1..=13 {
            let at = T0 + WINDOW * u32::from(number);
            assert_eq!(breaker.reached(at, FORGED, peer(number), 13), Suspicion::Of(peer(number)));
        }
    }
}
