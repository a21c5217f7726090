//! Where the chain stands at this node: whether it produces and why not, how far it has caught up, and the
//! height under way.

use std::time::Duration;

use serde::Serialize;
use timed_core::{
    BlockHash, ConsensusInfo, MempoolInfo, NodeId, NotProducing, Producing, Registry, Round, SeatSet, Summary,
};

use super::answers::{millis, optional_text, text};

/// Whether a node proposes blocks, and if not, why: the code for scripts, the words for people.
#[derive(Serialize)]
pub(super) struct ProducingJson {
    pub(super) producing: bool,
    pub(super) not_producing_reason: Option<&'static str>,
    pub(super) not_producing_text: Option<String>,
}

impl From<Producing> for ProducingJson {
    fn from(producing: Producing) -> Self {
        let why = match producing {
            Producing::Yes => None,
            Producing::No(why) => Some(why),
        };
        Self {
            producing: why.is_none(),
            not_producing_reason: why.map(|why| why.code()),
            not_producing_text: why.map(|why| why.to_string()),
        }
    }
}

/// How far a node has caught up.
#[derive(Serialize)]
pub(super) struct SyncJson {
    state: &'static str,
    height: u64,
    /// The newest height heard of.
    target: u64,
    missing: u64,
    blocks_per_second: Option<f64>,
    seconds_left: Option<u64>,
}

impl SyncJson {
    /// The state of a summary; `rate` is in blocks a second, where it is known.
    pub(super) fn new(summary: &Summary, rate: Option<f64>) -> Self {
        let height = summary.height.0;
        let target = summary.sync.target().map_or(height, |target| target.0.max(height));
        let missing = target - height;
        let seconds = rate.filter(|rate| *rate > 0.0).map(|rate| missing as f64 / rate);
        let left = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.ceil()).ok());
        Self {
            state: sync_state(summary),
            height,
            target,
            missing,
            blocks_per_second: rate,
            seconds_left: left.map(|left| left.as_secs()).filter(|_| missing > 0),
        }
    }
}

/// The state in one word.
pub(super) fn sync_state(summary: &Summary) -> &'static str {
    match summary.producing {
        Producing::No(why @ (NotProducing::NoChain | NotProducing::Starting)) => why.code(),
        _ => summary.sync.as_str(),
    }
}

/// What waits to be in a block.
#[derive(Serialize)]
pub(super) struct MempoolJson {
    transactions: usize,
    bytes: usize,
}

impl From<MempoolInfo> for MempoolJson {
    fn from(MempoolInfo { transactions, bytes }: MempoolInfo) -> Self {
        Self { transactions, bytes }
    }
}

#[derive(Serialize)]
struct VotesJson {
    round: u32,
    prevotes: usize,
    precommits: usize,
    /// Whose prevotes are missing, by position in the registry.
    no_prevote: Vec<u8>,
    /// Whose precommits are.
    no_precommit: Vec<u8>,
}

#[derive(Serialize)]
struct LockJson {
    round: u32,
    #[serde(serialize_with = "text")]
    block: BlockHash,
}

/// The height under way.
#[derive(Serialize)]
pub(super) struct ConsensusJson {
    height: u64,
    round: u32,
    step: &'static str,
    #[serde(serialize_with = "text")]
    leader: NodeId,
    #[serde(serialize_with = "optional_text")]
    proposal: Option<BlockHash>,
    locked: Option<LockJson>,
    quorum: usize,
    votes: Vec<VotesJson>,
    next_ms: Option<u64>,
}

impl ConsensusJson {
    /// The height under way in a network with this registry.
    pub(super) fn new(info: ConsensusInfo, registry: &Registry) -> Self {
        let seats: SeatSet =
            registry.entries().iter().filter_map(|entry| registry.index_of(&entry.id)).collect();
        let without =
            |voted: SeatSet| seats.iter().filter(move |seat| !voted.contains(*seat)).map(|seat| seat.0);
        let votes = info.votes.into_iter().map(|held| VotesJson {
            round: held.round.0,
            prevotes: held.prevotes.len(),
            precommits: held.precommits.len(),
            no_prevote: without(held.prevotes).collect(),
            no_precommit: without(held.precommits).collect(),
        });
        let Round(round) = info.round;
        Self {
            height: info.height.0,
            round,
            step: info.step.as_str(),
            leader: info.leader,
            proposal: info.proposal,
            locked: info.locked.map(|(round, block)| LockJson { round: round.0, block }),
            quorum: info.quorum,
            votes: votes.collect(),
            next_ms: info.next.map(millis),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timed_core::{Height, SyncState};

    #[test]
    fn the_time_left_follows_from_what_is_missing() {
        let sync = SyncState::Syncing { height: Height(90), target: Height(1_100) };
        let summary = Summary { height: Height(100), sync, producing: Producing::Yes, ..Summary::default() };
        let json = serde_json::to_value(SyncJson::new(&summary, Some(400.0))).unwrap();
        let expected = serde_json::json!({
            "state": "syncing", "height": 100, "target": 1_100, "missing": 1_000,
            "blocks_per_second": 400.0, "seconds_left": 3,
        });
        assert_eq!(json, expected);
        let unknown = serde_json::to_value(SyncJson::new(&summary, None)).unwrap();
        assert!(unknown["seconds_left"].is_null() && unknown["blocks_per_second"].is_null(), "{unknown}");
    }
}
