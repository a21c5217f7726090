//! How long a step of a round waits (rule C-11). All of it is monotonic time.

use std::time::Duration;

use crate::ids::Round;

/// What has timed out: each kind once a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timeout {
    /// No acceptable proposal came (line 57).
    Propose,
    /// A quorum has prevoted, but not for one thing (line 61).
    Prevote,
    /// A quorum has precommitted, but not for one block (line 65).
    Precommit,
}

/// Time-outs grow up to this round. Longer ones would only make the next block wait after a long outage.
const GROWTH_ENDS: u32 = 20;

/// How long a round waits, for slots of `interval`: a fifth of a slot for the proposal, a tenth for either kind
/// of votes, and a tenth more each round.
pub(crate) fn after(timeout: Timeout, round: Round, interval: Duration) -> Duration {
    let tenth = interval / 10;
    let first = match timeout {
        Timeout::Propose => interval / 5,
        Timeout::Prevote | Timeout::Precommit => tenth,
    };
    first.saturating_add(tenth.saturating_mul(round.0.min(GROWTH_ENDS)))
}
