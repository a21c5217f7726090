//! What must survive a crash before a signature leaves, and who keeps silent for want of it (rule C-13).

use bytes::Bytes;

use crate::chain::durable::{Damaged, Reader, put_count, put_round, put_statement};
use crate::event::{Statement, Step};
use crate::ids::{BlockHash, Height, NodeId, Round};
use crate::limits::OWN_STATEMENTS;
use crate::wire::block::{Block, Certificate, VoteKind};
use crate::wire::codec;
use crate::wire::message::MAX_ROUNDS_HELD;

const VERSION: u8 = 1;

/// What peers may ask for (rule C-12) is what the record tells of.
const _: () = assert!(OWN_STATEMENTS == 3 * MAX_ROUNDS_HELD);

/// A round and the block that a quorum prevoted in it.
type Polka = (Round, BlockHash);

/// What this key has signed of the height that it works on, and its locks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VotingRecord {
    /// The height.
    pub(crate) height: Height,
    /// The latest round in which this key has signed, or which it has entered.
    pub(crate) round: Round,
    /// How far it was in that round.
    pub(crate) step: Step,
    /// The node abstains until a block above this height is final.
    pub(crate) silent_until_above: Option<Height>,
    /// The block that it is locked on.
    pub(crate) locked: Option<Polka>,
    /// The block of the latest polka that it has seen.
    pub(crate) valid: Option<Polka>,
    /// What it has signed in the latest rounds of the height, oldest first, at most [`OWN_STATEMENTS`].
    pub(crate) statements: Vec<Statement>,
}

/// What is to be made of somebody's showing us a statement with our own signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnStatement {
    /// It is in the record, or from before what the record still tells of.
    Recorded,
    /// This process has not signed it, nor do we know of an earlier one that has: the record is not the latest.
    Unrecorded,
}

impl VotingRecord {
    /// The record of a height of which nothing was signed yet.
    pub(crate) fn of(height: Height) -> Self {
        Self { height, ..Self::default() }
    }

    /// Adds a statement; with too many, the oldest go.
    pub(crate) fn add(&mut self, statement: Statement) {
        self.statements.push(statement);
        let excess = self.statements.len().saturating_sub(OWN_STATEMENTS);
        self.statements.drain(..excess);
    }

    /// Judges a genuine statement with our own signature that somebody else shows.
    pub(crate) fn judge_own(&self, shown: &Statement) -> OwnStatement {
        let oldest = self.statements.first().map_or(self.round, Statement::round);
        let forgotten = (shown.height(), shown.round()) < (self.height, oldest);
        if forgotten || self.statements.iter().any(|own| own.says_the_same_as(shown)) {
            OwnStatement::Recorded
        } else {
            OwnStatement::Unrecorded
        }
    }

    /// The durable form.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(128 + 192 * self.statements.len());
        out.push(VERSION);
        out.extend_from_slice(&self.height.0.to_le_bytes());
        out.extend_from_slice(&self.round.0.to_le_bytes());
        out.push(match self.step {
            Step::Waiting => 0,
            Step::Propose => 1,
            Step::Prevote => 2,
            Step::Precommit => 3,
            Step::Decided => 4,
        });
        match self.silent_until_above {
            None => out.push(0),
            Some(height) => {
                out.push(1);
                out.extend_from_slice(&height.0.to_le_bytes());
            }
        }
        for polka in [self.locked, self.valid] {
            put_round(polka.map(|(round, _)| round), &mut out);
            if let Some((_, block)) = polka {
                out.extend_from_slice(&block.0);
            }
        }
        put_count(self.statements.len(), &mut out);
        for statement in &self.statements {
            put_statement(statement, &mut out);
        }
        Bytes::from(out)
    }

    /// Reads the durable form of the record of `own` key.
    pub(crate) fn decode(bytes: &[u8], own: &NodeId) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, VERSION)?;
        let (height, round) = (reader.height()?, reader.round()?);
        let step = match reader.u8()? {
            0 => Step::Waiting,
            1 => Step::Propose,
            2 => Step::Prevote,
            3 => Step::Precommit,
            4 => Step::Decided,
            _ => return Err(Damaged),
        };
        let silent_until_above = reader.option(Reader::height)?;
        let polka = |reader: &mut Reader<'_>| Ok((reader.round()?, reader.block()?));
        let (locked, valid) = (reader.option(polka)?, reader.option(polka)?);
        let count = reader.count(OWN_STATEMENTS)?;
        let mut statements = Vec::with_capacity(count);
        for _ in 0..count {
            statements.push(reader.statement()?);
        }
        reader.end()?;
        let record = Self { height, round, step, silent_until_above, locked, valid, statements };
        if record.is_coherent(own) { Ok(record) } else { Err(Damaged) }
    }

    fn is_coherent(&self, own: &NodeId) -> bool {
        let ours = |statement: &Statement| {
            statement.author() == *own && statement.height() == self.height && statement.round() <= self.round
        };
        let ordered = self
            .statements
            .iter()
            .zip(self.statements.iter().skip(1))
            .all(|(a, b)| (a.round(), a.kind()) < (b.round(), b.kind()));
        // A lock is on a block whose polka was seen, in a round that has come: line 42 follows line 38.
        let seen = match (self.locked, self.valid) {
            (None, valid) => valid.is_none_or(|(round, _)| round <= self.round),
            (Some(_), None) => false,
            (Some(locked), Some(valid)) => valid.0 <= self.round && (locked == valid || locked.0 < valid.0),
        };
        ordered && self.statements.iter().all(ours) && seen
    }
}

/// A block that a quorum has prevoted, with the proof: whoever is locked on it must be able to propose it again
/// and to show why, or the chain may stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ValidBlock {
    /// The block.
    pub(crate) block: Block,
    /// Prevotes of a quorum for it, of the latest round in which there were.
    pub(crate) polka: Certificate,
}

impl ValidBlock {
    /// The durable form.
    pub(crate) fn encode(&self) -> Bytes {
        codec::encode_proven_block(&self.block, &self.polka)
    }

    /// Reads the durable form. Only the form is checked.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let (block, polka) = codec::decode_proven_block(bytes, VoteKind::Prevote).map_err(|_| Damaged)?;
        if polka.height == block.header.height { Ok(Self { block, polka }) } else { Err(Damaged) }
    }
}

/// What is known of this key's past when it might speak.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Past<'a> {
    /// The record, as it was at the start.
    pub(crate) record: Option<&'a VotingRecord>,
    /// The newest final block that was in the store at the start.
    pub(crate) stored: Height,
    /// The newest final block whose certificate this node has verified by now, stored or heard of.
    pub(crate) certified: Height,
    /// The greatest height of a genuine statement with our own signature that is [`OwnStatement::Unrecorded`].
    pub(crate) unrecorded: Option<Height>,
    /// How many registered masternodes have seen a later boot of this key than its disk knew at the start.
    pub(crate) later_boots: usize,
    /// How many masternodes may lie: all of them less a quorum.
    pub(crate) tolerated: usize,
}

/// Whether a masternode proposes and votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    /// It does.
    Speaks,
    /// It might contradict what it has signed before: it does not until a block above this height is final.
    Abstains {
        /// The height.
        until_above: Height,
    },
}

/// Whether this key may speak (rule C-13). Asked before the first statement of a process, when a quorum is
/// linked and every block that is certified was fetched, and again when an unrecorded statement turns up. What
/// it answers goes into the record's `silent_until_above` before it counts: a restart must not forget it.
///
/// A key that signed at a height h had the block h-1, final and stored; so a quorum has voted at h-1, and
/// whoever is linked to a quorum hears of h-2 at least, certified. To wait for a block above that and one more
/// is to wait until h is decided without us.
pub(crate) fn voice(past: &Past<'_>, tip: Height) -> Voice {
    let lost = past.record.is_none() && past.stored > Height(0);
    let outdated = past.unrecorded.is_some() || past.later_boots > past.tolerated;
    let recorded = past.record.map(|record| record.height).unwrap_or_default();
    let learned = [past.certified.next(), recorded, past.unrecorded.unwrap_or_default()];
    let silence = (lost || outdated).then(|| learned.into_iter().max()).flatten();
    match silence.max(past.record.and_then(|record| record.silent_until_above)) {
        Some(until_above) if until_above >= tip => Voice::Abstains { until_above },
        _ => Voice::Speaks,
    }
}
