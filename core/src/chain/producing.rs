//! Whether this node proposes blocks, and why not (rule C-14). The gate is for proposing alone: votes are cast
//! whatever it says.

use std::time::Duration;

use crate::config::MinPeers;
use crate::event::{NotProducing, Producing, SyncState};
use crate::ids::Height;

/// The others' clocks are known only as well as their heartbeats are fast: less than this is no disagreement.
const CLOCK_GRAIN: Duration = Duration::from_millis(500);

/// Whether this node has a part in making blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) enum Part {
    /// It acts as a masternode that is registered at the height under way.
    Masternode,
    /// It follows.
    Observer,
    /// It says goodbye.
    Leaving,
}

/// All that the gate looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation {
    /// This node's part.
    pub(crate) part: Part,
    /// How far it has caught up.
    pub(crate) sync: SyncState,
    /// It abstains until a block above this height is final.
    pub(crate) abstains_until: Option<Height>,
    /// The median by which the others' clocks are ahead of ours, in milliseconds.
    pub(crate) clock_offset_ms: i64,
    /// By how much a proposal may be ahead of a receiver's clock (rule C-6).
    pub(crate) tolerance: Duration,
    /// Other registered masternodes with a live link.
    pub(crate) linked: usize,
    /// Masternodes registered at the height under way; 0 while that is not known.
    pub(crate) registered: usize,
    /// How many of them decide.
    pub(crate) quorum: usize,
    /// What the operator demands.
    pub(crate) min_peers: MinPeers,
}

/// The gate's word. The reason that an operator can do most about comes first.
pub(crate) fn producing(situation: &Situation) -> Producing {
    let s = situation;
    let reason = match (s.part, s.sync, s.abstains_until) {
        (Part::Leaving, ..) => Some(NotProducing::Stopping),
        (Part::Observer, ..) => Some(NotProducing::Observer),
        _ if s.registered == 0 => Some(NotProducing::Starting),
        (_, _, Some(until_above)) => Some(NotProducing::VotingRecord { until_above }),
        (_, SyncState::Syncing { height, target } | SyncState::Stalled { height, target }, _) => {
            Some(NotProducing::Syncing { height, target })
        }
        _ => None,
    };
    match reason.or_else(|| clock(s)).or_else(|| links(s)) {
        Some(reason) => Producing::No(reason),
        None => Producing::Yes,
    }
}

fn clock(s: &Situation) -> Option<NotProducing> {
    let off = Duration::from_millis(s.clock_offset_ms.unsigned_abs());
    (off > s.tolerance.max(CLOCK_GRAIN)).then_some(NotProducing::Clock { offset_ms: s.clock_offset_ms })
}

fn links(s: &Situation) -> Option<NotProducing> {
    let linked = s.linked + 1;
    let quorum = linked >= s.quorum;
    match s.min_peers {
        MinPeers::Auto if !quorum => {
            Some(NotProducing::NoQuorum { linked, needed: s.quorum, registered: s.registered })
        }
        MinPeers::AtLeast(required) if s.linked < required => {
            Some(NotProducing::MinPeers { linked: s.linked, required, quorum })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(registered: usize, linked: usize) -> Situation {
        Situation {
            part: Part::Masternode,
            sync: SyncState::Synced,
            abstains_until: None,
            clock_offset_ms: 0,
            tolerance: Duration::from_secs(2),
            linked,
            registered,
            quorum: registered * 2 / 3 + 1,
            min_peers: MinPeers::Auto,
        }
    }

    #[test]
    fn prod_01_the_gate_opens_exactly_when_a_quorum_is_linked_this_node_included() {
        // Registered, and how many of them may be down.
        for (registered, spare) in [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1), (6, 1), (7, 2)] {
            for down in 0..registered {
                let linked = registered - down - 1;
                let word = producing(&sound(registered, linked));
                if down <= spare {
                    assert_eq!(word, Producing::Yes, "{down} of {registered} down");
                } else {
                    let reason =
                        NotProducing::NoQuorum { linked: linked + 1, needed: registered - spare, registered };
                    assert_eq!(word, Producing::No(reason), "{down} of {registered} down");
                }
            }
        }
    }

    #[test]
    fn prod_01_an_explicit_number_is_honoured_and_says_when_a_quorum_could_decide() {
        let demands = |linked| producing(&Situation { min_peers: MinPeers::AtLeast(3), ..sound(4, linked) });
        assert_eq!(demands(3), Producing::Yes);
        let refused = |linked, quorum| Producing::No(NotProducing::MinPeers { linked, required: 3, quorum });
        assert_eq!(demands(2), refused(2, true));
        assert_eq!(demands(1), refused(1, false));
        let alone = Situation { min_peers: MinPeers::AtLeast(0), ..sound(4, 0) };
        assert_eq!(producing(&alone), Producing::Yes);
    }

    #[test]
    fn prod_08_nobody_proposes_who_is_behind_has_lost_its_record_or_has_a_wrong_clock() {
        let syncing = SyncState::Syncing { height: Height(3), target: Height(9) };
        let reason = |change: &dyn Fn(&mut Situation)| {
            let mut situation = sound(4, 3);
            change(&mut situation);
            match producing(&situation) {
                Producing::Yes => None,
                Producing::No(reason) => Some(reason),
            }
        };
        assert_eq!(
            reason(&|s| s.sync = syncing),
            Some(NotProducing::Syncing { height: Height(3), target: Height(9) })
        );
        // Nobody linked has the blocks that it lacks: it lacks them all the same (PROD-08).
        let stalled = SyncState::Stalled { height: Height(3), target: Height(9) };
        assert_eq!(
            reason(&|s| s.sync = stalled),
            Some(NotProducing::Syncing { height: Height(3), target: Height(9) })
        );
        assert_eq!(
            reason(&|s| s.abstains_until = Some(Height(4))),
            Some(NotProducing::VotingRecord { until_above: Height(4) })
        );
        for (offset_ms, off) in [(2_000, false), (2_001, true), (-2_000, false), (-2_001, true)] {
            let expected = off.then_some(NotProducing::Clock { offset_ms });
            assert_eq!(reason(&|s| s.clock_offset_ms = offset_ms), expected);
        }
        assert_eq!(reason(&|s| s.part = Part::Observer), Some(NotProducing::Observer));
        assert_eq!(reason(&|s| s.part = Part::Leaving), Some(NotProducing::Stopping));
        assert_eq!(reason(&|s| s.registered = 0), Some(NotProducing::Starting));
    }
}
