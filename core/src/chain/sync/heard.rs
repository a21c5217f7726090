//! Which heights count as final by hearsay, and what this node says of itself (rules Y-1, C-14).
//!
//! A node that lacks blocks must not propose, so whoever can make it believe that it lacks some can silence it.
//! A height is believed if
//! - a certificate for it was verified here; or
//! - so many masternodes tell it that one of them at least is honest: more than the registry may lose and still
//!   decide (f + 1). Silence is no answer (FORK-01a): what was vouched for is given up only once a quorum is
//!   linked and too few of it tell it; or
//! - a peer tells it that is *delivering*: two blocks in a row, at least, came by catching up, the newest within
//!   [`HOLD`], and one of them from this peer. Whoever lies about its tip has no second block to deliver.
//!
//! Any other tip is reason to ask that peer, and no more.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::event::SyncState;
use crate::ids::{Height, NodeId};
use crate::registry::Registry;
use crate::time::Mono;

/// How long a delivered block vouches for its peer's tip.
const HOLD: Duration = Duration::from_secs(5);
/// How long a single missing block is not called lacking: votes, or one request, bring it.
const LAG: Duration = Duration::from_secs(1);
/// Without a block for so long, catching up has stalled.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a live peer contributes.
pub(super) struct Told {
    pub(super) peer: NodeId,
    pub(super) tip: Height,
    /// When a block of it was applied last.
    pub(super) delivered: Option<Mono>,
}

/// Whether anybody can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sources {
    /// A live peer tells of a block that this node lacks.
    Some,
    /// None does.
    None,
}

/// What this node has heard of.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(super) struct Heard {
    own: NodeId,
    /// The registered masternodes, this one excepted.
    others: BTreeSet<NodeId>,
    /// How many of them must tell a height.
    vouching: usize,
    /// How many must be linked for the absence of their word to count.
    answering: usize,
    certified: Height,
    vouched: Height,
    delivering: Height,
    /// Blocks in a row that came by catching up, and when the newest was applied.
    run: (u32, Mono),
    progress: Mono,
    lacking_since: Option<Mono>,
}

impl Heard {
    pub(super) fn new(registry: &Registry, own: NodeId) -> Self {
        let mut heard = Self {
            own,
            others: BTreeSet::new(),
            vouching: 1,
            answering: 0,
            certified: Height(0),
            vouched: Height(0),
            delivering: Height(0),
            run: (0, Mono(0)),
            progress: Mono(0),
            lacking_since: None,
        };
        heard.registered(registry);
        heard
    }

    /// The registry has changed.
    pub(super) fn registered(&mut self, registry: &Registry) {
        let keys = registry.entries().iter().map(|entry| entry.id);
        self.others = keys.filter(|id| *id != self.own).collect();
        let own = registry.size() - self.others.len();
        self.vouching = registry.size() - registry.quorum() + 1;
        self.answering = registry.quorum() - own;
    }

    /// A certificate was verified. Answers whether it says something new.
    pub(super) fn certified(&mut self, height: Height) -> bool {
        let news = height > self.certified;
        self.certified = self.certified.max(height);
        news
    }

    /// A block that came by catching up was applied.
    pub(super) fn fetched(&mut self, now: Mono) {
        self.run = (self.run.0.saturating_add(1), now);
    }

    /// A block was applied that votes decided.
    pub(super) fn decided(&mut self) {
        self.run.0 = 0;
    }

    /// A missing block came.
    pub(super) fn progress(&mut self, now: Mono) {
        self.progress = now;
    }

    /// This node's own tip has moved.
    pub(super) fn moved(&mut self, now: Mono) {
        self.progress = now;
        self.lacking_since = self.lacking_since.map(|_| now);
    }

    /// Weighs what all live peers tell.
    pub(super) fn weigh(&mut self, now: Mono, told: impl Iterator<Item = Told>) {
        let running = self.run.0 >= 2 && now < self.run.1 + HOLD;
        self.delivering = Height(0);
        let mut tips = Vec::new();
        for Told { peer, tip, delivered } in told {
            if running && delivered.is_some_and(|at| now < at + HOLD) {
                self.delivering = self.delivering.max(tip);
            }
            if self.others.contains(&peer) {
                tips.push(tip);
            }
        }
        let answered = tips.len() >= self.answering;
        tips.sort_unstable_by(|a, b| b.cmp(a));
        let vouched = tips.get(self.vouching - 1).copied().unwrap_or_default();
        self.vouched = if answered { vouched } else { self.vouched.max(vouched) };
    }

    /// Whether a peer is another registered masternode.
    pub(super) fn is_masternode(&self, peer: &NodeId) -> bool {
        self.others.contains(peer)
    }

    /// The highest height believed final by a node whose own tip is `applied`.
    pub(super) fn target(&self, applied: Height) -> Height {
        applied.max(self.certified).max(self.vouched).max(self.delivering)
    }

    /// How far a node is that has come to `applied`.
    pub(super) fn state(&mut self, now: Mono, applied: Height, sources: Sources) -> SyncState {
        let target = self.target(applied);
        if target == applied {
            self.lacking_since = None;
            return SyncState::Synced;
        }
        let since = *self.lacking_since.get_or_insert(now);
        if target == applied.next() && now < since + LAG {
            SyncState::Synced
        } else if sources == Sources::None || now >= self.progress.max(since) + PATIENCE {
            SyncState::Stalled { height: applied, target }
        } else {
            SyncState::Syncing { height: applied, target }
        }
    }

    /// When the state may change by itself.
    pub(super) fn changes(&self, applied: Height) -> impl Iterator<Item = Mono> + use<> {
        let held = (self.delivering > applied).then(|| self.run.1 + HOLD);
        let lacking = self.lacking_since.map(|since| [since + LAG, self.progress.max(since) + PATIENCE]);
        held.into_iter().chain(lacking.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Masternode;

    const LIE: Height = Height(u64::MAX);
    const SECOND: Duration = Duration::from_secs(1);

    fn node(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    /// What the last of four masternodes has heard.
    fn heard() -> Heard {
        let addr = |number: u8| format!("10.0.0.{number}:1").parse().unwrap();
        let entry = |number: u8| Masternode { id: node(number), addr: addr(number) };
        Heard::new(&Registry::new((1..=4).map(entry).collect()).unwrap(), node(4))
    }

    fn told(number: u8, tip: u64, delivered: Option<Mono>) -> Told {
        Told { peer: node(number), tip: Height(tip), delivered }
    }

    #[test]
    fn one_delivered_block_vouches_for_nothing_and_two_in_a_row_only_for_their_peers() {
        let (mut heard, now) = (heard(), Mono(0) + 100 * SECOND);
        let peers = || [told(9, LIE.0, Some(now)), told(8, LIE.0 - 1, None)].into_iter();
        heard.fetched(now);
        heard.weigh(now, peers());
        assert_eq!(heard.target(Height(5)), Height(5));
        // Votes decided the one between: the liar is back where it began.
        heard.decided();
        heard.fetched(now);
        heard.weigh(now, peers());
        assert_eq!(heard.target(Height(7)), Height(7));
        heard.fetched(now);
        heard.weigh(now, peers());
        assert_eq!(heard.target(Height(8)), LIE);
        heard.weigh(now, [told(8, LIE.0 - 1, None)].into_iter());
        assert_eq!(heard.target(Height(8)), Height(8), "the other has delivered nothing");
        // Without a third block it is forgotten.
        heard.weigh(now + HOLD, peers());
        assert_eq!(heard.target(Height(8)), Height(8));
    }

    #[test]
    fn one_masternode_of_four_vouches_for_nothing_and_two_do() {
        let (mut heard, now) = (heard(), Mono(0) + 100 * SECOND);
        heard.weigh(now, [told(1, 90, None), told(9, 95, None)].into_iter());
        assert_eq!(heard.target(Height(5)), Height(5));
        heard.weigh(now, [told(1, 90, None), told(2, 80, None)].into_iter());
        assert_eq!(heard.target(Height(5)), Height(80));
        // fork_01a: silence takes nothing back; two answers, a quorum with this node's own, do.
        heard.weigh(now, [told(1, 5, None)].into_iter());
        assert_eq!(heard.target(Height(5)), Height(80));
        heard.weigh(now, [told(1, 5, None), told(2, 80, None)].into_iter());
        assert_eq!(heard.target(Height(5)), Height(5));
    }

    #[test]
    fn what_lacks_is_told_in_time() {
        let (mut heard, now) = (heard(), Mono(0) + 100 * SECOND);
        assert!(heard.certified(Height(6)) && !heard.certified(Height(6)));
        assert_eq!(heard.state(now, Height(5), Sources::Some), SyncState::Synced);
        let (height, target) = (Height(5), Height(6));
        let later = now + LAG;
        assert_eq!(heard.state(later, Height(5), Sources::Some), SyncState::Syncing { height, target });
        assert_eq!(heard.state(later, Height(5), Sources::None), SyncState::Stalled { height, target });
        let stuck = now + PATIENCE;
        assert_eq!(heard.state(stuck, Height(5), Sources::Some), SyncState::Stalled { height, target });
        heard.progress(stuck);
        assert_eq!(heard.state(stuck, Height(5), Sources::Some), SyncState::Syncing { height, target });
        assert_eq!(heard.state(stuck, Height(6), Sources::None), SyncState::Synced);
    }
}
