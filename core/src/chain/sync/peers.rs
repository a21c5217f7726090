//! What is known of a peer that blocks may be asked of.

use std::collections::BTreeMap;
use std::time::Duration;

use super::incoming::Incoming;
use crate::ids::{Height, NodeId};
use crate::limits::{Holding, holding};
use crate::rng::Rng;
use crate::time::Mono;

/// The first pause after a failure; each further one in a row doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(64);
/// The shortest and the longest pause that a busy peer is believed.
const BUSY_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long a peer is left alone whose block did not verify; each further time quadruples it.
const FIRST_DISTRUST: Duration = Duration::from_secs(30);
/// The longest time.
const LONGEST_DISTRUST: Duration = Duration::from_secs(600);
/// Peers that are remembered for a block that did not verify.
pub(super) const MAX_DISTRUSTED: usize = 64;

/// A live peer.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(super) struct Peer {
    /// The newest height that it has told on this session and not failed to serve.
    pub(super) tip: Height,
    /// Since when its tip has been above ours, counted from our newest block on.
    pub(super) above_since: Mono,
    /// What it is asked for.
    pub(super) incoming: Option<Incoming>,
    /// When a block of it was applied last.
    pub(super) delivered: Option<Mono>,
    not_before: Mono,
    failures: u32,
}

impl Peer {
    pub(super) fn new(tip: Height, now: Mono) -> Self {
        Self { tip, above_since: now, incoming: None, delivered: None, not_before: now, failures: 0 }
    }

    /// When it may be asked again.
    pub(super) fn not_before(&self) -> Mono {
        self.not_before
    }

    /// It did not answer as it should have: it is left alone for a while, longer each time.
    pub(super) fn failed(&mut self, now: Mono, rng: &mut Rng) {
        let pause = FIRST_PAUSE * 2u32.saturating_pow(self.failures.min(6));
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + rng.jitter(pause.min(LONGEST_PAUSE), 25);
    }

    /// It said that it is busy, and for how long.
    pub(super) fn busy(&mut self, now: Mono, retry: Duration, rng: &mut Rng) {
        let (shortest, longest) = BUSY_PAUSE;
        let growing = shortest * 2u32.saturating_pow(self.failures.min(6));
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + rng.jitter(retry.max(growing).min(longest), 25);
    }

    /// It brought a block that was missing.
    pub(super) fn useful(&mut self) {
        self.failures = 0;
    }
}

/// Peers whose blocks did not verify, remembered across sessions. The list is bounded: the one that would be
/// asked again first makes room.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Distrusted(BTreeMap<NodeId, Distrust>);

#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
struct Distrust {
    until: Mono,
    times: u32,
}

impl Distrusted {
    pub(super) fn holding(&self) -> Holding {
        holding("peers that served wrong blocks", self.0.len(), MAX_DISTRUSTED)
    }

    /// Until when a peer is not asked.
    pub(super) fn until(&self, peer: &NodeId) -> Option<Mono> {
        self.0.get(peer).map(|distrust| distrust.until)
    }

    /// Another block of it did not verify.
    pub(super) fn add(&mut self, now: Mono, peer: NodeId) {
        let times = self.0.get(&peer).map_or(0, |before| before.times);
        if times == 0 && self.0.len() >= MAX_DISTRUSTED {
            let soonest = self.0.iter().min_by_key(|(_, distrust)| distrust.until).map(|(peer, _)| *peer);
            soonest.and_then(|soonest| self.0.remove(&soonest));
        }
        let span = (FIRST_DISTRUST * 4u32.saturating_pow(times.min(4))).min(LONGEST_DISTRUST);
        self.0.insert(peer, Distrust { until: now + span, times: times.saturating_add(1) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn sync_01b_retries_grow_exponentially_and_a_block_ends_them() {
        let (mut rng, mut peer) = (Rng::new([1; 32]), Peer::new(Height(9), Mono(0)));
        for expected in [1, 2, 4, 8, 16, 32, 64, 64] {
            peer.failed(Mono(0), &mut rng);
            let pause = peer.not_before().since(Mono(0));
            assert!((SECOND * expected * 3 / 4..=SECOND * expected * 5 / 4).contains(&pause), "{pause:?}");
        }
        peer.useful();
        peer.failed(Mono(0), &mut rng);
        assert!(peer.not_before().since(Mono(0)) < SECOND * 3 / 2);
    }

    #[test]
    fn sync_01c_a_busy_peer_is_believed_within_bounds() {
        let (mut rng, mut peer) = (Rng::new([1; 32]), Peer::new(Height(9), Mono(0)));
        peer.busy(Mono(0), Duration::ZERO, &mut rng);
        assert!(peer.not_before() > Mono(0));
        peer.busy(Mono(0), Duration::from_secs(1_000_000), &mut rng);
        assert!(peer.not_before().since(Mono(0)) <= SECOND * 7);
    }

    #[test]
    fn c8_few_are_remembered_and_the_longest_distrust_stays() {
        let mut distrusted = Distrusted::default();
        let worst = NodeId([255; 32]);
        for _ in 0..3 {
            distrusted.add(Mono(0), worst);
        }
        for n in 0..200 {
            distrusted.add(Mono(n), NodeId([n as u8; 32]));
        }
        assert_eq!(distrusted.0.len(), MAX_DISTRUSTED);
        assert_eq!(distrusted.until(&worst), Some(Mono(0) + 480 * SECOND));
    }
}
