//! A chain is made: its settings are checked, and what earlier lives of this node left behind is read.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::chain::candidates::Candidates;
use crate::chain::committing::{Commits, Final};
use crate::chain::evidence_log::EvidenceLog;
use crate::chain::mempool::Mempool;
use crate::chain::pacing::Pacing;
use crate::chain::payload_limit::PayloadLimit;
use crate::chain::producing::Part;
use crate::chain::registries::Registries;
use crate::chain::resend::Resend;
use crate::chain::slots::Grid;
use crate::chain::speech::Speech;
use crate::chain::sync::serving::Serving;
use crate::chain::sync::{Settings, Sync};
use crate::chain::voting_record::{ValidBlock, VotingRecord};
use crate::chain::{Chain, Counts};
use crate::config::{ChainConfig, ConfigError};
use crate::event::{CommittedVia, Producing, SyncState};
use crate::ids::{BootEpoch, GenesisHash, Height, NodeId, TxId};
use crate::journal::{Record, RecordKey};
use crate::limits::{Limits, MAX_ASSEMBLED};
use crate::registry::Registry;
use crate::rng::Rng;
use crate::time::Now;
use crate::wire::block::FinalBlock;
use crate::wire::message::Role;

/// The shortest slot.
const SHORTEST: Duration = Duration::from_millis(50);
/// The longest time that peers get to tell what they have, before this node goes on without it.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// What a chain is made from.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    /// The network.
    pub(crate) genesis: GenesisHash,
    /// This node's key.
    pub(crate) node: NodeId,
    /// Whether it has a part in making blocks, wherever it is registered.
    pub(crate) conduct: Conduct,
    /// The registry in force at the tip, if no record tells of another.
    pub(crate) registry: Registry,
    /// How blocks are made.
    pub(crate) settings: ChainConfig,
    /// The highest boot epoch that the disk knew of this key.
    pub(crate) used: BootEpoch,
    /// The boot epoch of this process.
    pub(crate) boot: BootEpoch,
    /// Bounds.
    pub(crate) limits: &'a Limits,
    /// A stream of randomness of its own.
    pub(crate) rng: Rng,
}

/// Whether a registered key is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) enum Conduct {
    /// To propose and to vote.
    Acts,
    /// Never.
    Observes,
}

/// What earlier lives of this node left behind.
#[derive(Default)]
struct Left {
    registries: Option<Registries>,
    tip: Option<Final>,
    record: Option<VotingRecord>,
    valid_block: Option<ValidBlock>,
    evidence: EvidenceLog,
    transactions: Vec<(TxId, Bytes)>,
}

impl Left {
    fn read(genesis: &GenesisHash, records: Vec<Record>) -> Result<Self, ConfigError> {
        let mut left = Self::default();
        for Record { key, bytes } in records {
            let damaged = || ConfigError::DamagedRecord(key.name());
            match key {
                RecordKey::Voting => {
                    left.record = Some(VotingRecord::decode(&bytes).map_err(|_| damaged())?);
                }
                RecordKey::ValidBlock => {
                    left.valid_block = Some(ValidBlock::decode(&bytes).map_err(|_| damaged())?);
                }
                RecordKey::Evidence => {
                    left.evidence = EvidenceLog::decode(&bytes).map_err(|_| damaged())?;
                }
                RecordKey::Registry => {
                    left.registries = Some(Registries::decode(&bytes).map_err(|_| damaged())?);
                }
                RecordKey::Tip => {
                    let block = FinalBlock::decode(&bytes).map_err(|_| damaged())?;
                    if block.block.header.hash(genesis) != block.certificate.block {
                        return Err(ConfigError::OtherGenesis(block.block.header.height));
                    }
                    left.tip = Some(Final::of(&block, CommittedVia::Sync));
                }
                RecordKey::Transaction(id) => left.transactions.push((id, bytes)),
                RecordKey::Boot | RecordKey::Bans | RecordKey::AddressBook => {}
            }
        }
        Ok(left)
    }
}

impl Chain {
    /// Reads what earlier lives left behind and stands at the tip; nothing is said before a quorum is linked.
    ///
    /// # Errors
    /// If the settings cannot work, or a record is damaged.
    pub(crate) fn new(now: Now, setup: Setup<'_>, records: Vec<Record>) -> Result<Self, ConfigError> {
        let settings = setup.settings;
        check(&settings)?;
        let left = Left::read(&setup.genesis, records)?;
        let tip = left.tip.as_ref().map(|tip| tip.parent.height).unwrap_or_default();
        // What the two newest blocks change may not have been recorded.
        let recorded = Height(tip.0.saturating_sub(2));
        let mut registries =
            left.registries.unwrap_or_else(|| Registries::new(setup.registry.clone(), recorded));
        registries.resume_at(recorded);
        let grid = Grid::of(&settings);
        let seat = setup.registry.index_of(&setup.node).filter(|_| setup.conduct == Conduct::Acts);
        let answers = ANSWERS_WITHIN.min(settings.interval / 4);
        let (role, part, grace) = match seat {
            Some(_) => (Role::Masternode, Part::Masternode, answers),
            None => (Role::Observer, Part::Observer, Duration::ZERO),
        };
        let hearing = if setup.registry.size() == 1 { Duration::ZERO } else { answers };
        let sync_settings = Settings { grace, window: setup.limits.sync_window };
        Ok(Self {
            genesis: setup.genesis,
            node: setup.node,
            conduct: setup.conduct,
            grid,
            part,
            linked: BTreeMap::new(),
            linked_masternodes: 0,
            registries,
            followed: setup.registry.hash(),
            commits: Commits::new(left.tip),
            consensus: None,
            next: None,
            early: Vec::new(),
            past: None,
            candidates: Candidates::default(),
            proven: None,
            timeouts: BTreeMap::new(),
            pacing: Pacing::default(),
            resend: Resend::default(),
            owed: None,
            speech: Speech::new(now.mono, left.record.clone(), tip, (setup.used, setup.boot), hearing),
            record: left.record,
            valid_block: left.valid_block,
            producing: Producing::default(),
            payload_limit: PayloadLimit::default(),
            clock_offset_ms: 0,
            evidence: left.evidence,
            mempool: Mempool::new(setup.limits, role, left.transactions)?,
            sync: Sync::new(sync_settings, &setup.registry, setup.node, tip, setup.rng),
            sync_told: SyncState::default(),
            serving: Serving::new(setup.limits, &setup.registry),
            counts: Counts::default(),
            settings,
        })
    }
}

/// Checks what the settings must fulfil.
fn check(settings: &ChainConfig) -> Result<(), ConfigError> {
    if settings.interval < SHORTEST || !settings.interval.subsec_nanos().is_multiple_of(1_000_000) {
        return Err(ConfigError::Chain("the interval must be 50 ms at least, in whole milliseconds"));
    }
    if settings.max_bytes > MAX_ASSEMBLED {
        return Err(ConfigError::Chain("a payload of more than 1 MiB would not be accepted everywhere"));
    }
    Ok(())
}
