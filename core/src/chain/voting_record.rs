//! What must survive a crash before a signature leaves, and who keeps silent for want of it (rule C-13).

use bytes::Bytes;

use crate::chain::consensus::{OwnProposal, OwnVote, Record};
use crate::chain::durable::{
    Damaged, Reader, put_block, put_count, put_height, put_option, put_round, put_statement,
};
use crate::chain::question::Question;
use crate::chain::votes::PAST_ROUNDS;
use crate::event::{Statement, Step};
use crate::ids::{Height, Round};
use crate::limits::{OWN_PROPOSALS, OWN_VOTES};
use crate::registry::MAX_MASTERNODES;
use crate::wire::block::{Block, Certificate, VoteKind};
use crate::wire::codec;

const VERSION: u8 = 1;
/// With an open question behind it.
const VERSION_OPEN: u8 = 2;

/// The rounds whose votes are kept, the present one included, with one proposal and two votes in each.
const _: () = assert!(OWN_PROPOSALS == PAST_ROUNDS as usize + 1 && OWN_VOTES == 2 * OWN_PROPOSALS);

/// What is written before a statement leaves.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct VotingRecord {
    /// What this key has said at the height that it works on, and its lock.
    pub(crate) said: Record,
    /// The node abstains until a block above this height is final.
    pub(crate) silent_until_above: Option<Height>,
    /// While it is not known whether this key may speak: what has turned up of its past. No process has said
    /// anything since the question came up.
    pub(crate) question: Option<Question>,
}

/// What is to be made of somebody's showing us a statement with our own signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnStatement {
    /// It is in the record, or from before what the record still tells of.
    Recorded,
    /// Neither this process nor an earlier one that we know of has said it: the record is not the latest.
    Unrecorded,
}

impl VotingRecord {
    /// The record of a height at which nothing was said yet.
    pub(crate) fn of(height: Height) -> Self {
        let said = Record {
            height,
            round: Round(0),
            step: Step::Waiting,
            locked: None,
            reasons: Vec::new(),
            proposals: Vec::new(),
            votes: Vec::new(),
        };
        Self { said, silent_until_above: None, question: None }
    }

    /// Whether it is the record of a key that has never said anything, as far as its disk knows.
    pub(crate) fn says_nothing(&self) -> bool {
        let Record { height, proposals, votes, .. } = &self.said;
        *height <= Height(1) && proposals.is_empty() && votes.is_empty()
    }

    /// Judges a genuine statement with our own signature, of any height, that somebody else shows.
    pub(crate) fn judge_own(&self, shown: &Statement) -> OwnStatement {
        let Record { height, round, proposals, votes, .. } = &self.said;
        let oldest = Round(round.0.saturating_sub(PAST_ROUNDS));
        let known = match shown {
            _ if (shown.height(), shown.round()) < (*height, oldest) => true,
            _ if shown.height() > *height => false,
            Statement::Vote(vote) => {
                votes.contains(&OwnVote { kind: vote.kind, round: vote.round, block: vote.block })
            }
            Statement::Proposal(proposal) => proposals.contains(&OwnProposal {
                round: proposal.round,
                valid_round: proposal.valid_round,
                block: proposal.block,
            }),
        };
        if known { OwnStatement::Recorded } else { OwnStatement::Unrecorded }
    }

    /// The durable form: `u8` 1 ‖ `opt u64` silent until above ‖ `u64` height ‖ `u32` round ‖ `u8` step ‖
    /// `opt` (`u32` round ‖ `[32]` block) of the lock ‖ `u8` count ‖ each proposal: `u32` round ‖ `opt u32` valid
    /// round ‖ `[32]` block ‖ `u8` count ‖ each vote: `u32` round ‖ `u8` kind ‖ `opt [32]` block; in the notation
    /// of `core/PROTOCOL.md`, section 0. With an open question the first byte is 2 and the question follows.
    pub(crate) fn encode(&self) -> Bytes {
        let Record { height, round, step, locked, reasons, proposals, votes } = &self.said;
        let mut out = Vec::with_capacity(128 + 48 * (proposals.len() + votes.len()) + 144 * reasons.len());
        out.push(if self.question.is_some() { VERSION_OPEN } else { VERSION });
        put_option(self.silent_until_above, put_height, &mut out);
        put_height(*height, &mut out);
        put_round(*round, &mut out);
        out.push(match step {
            Step::Waiting => 0,
            Step::Propose => 1,
            Step::Prevote => 2,
            Step::Precommit => 3,
            Step::Decided => 4,
        });
        put_option(
            *locked,
            |(round, block), out| {
                put_round(round, out);
                put_block(block, out);
            },
            &mut out,
        );
        put_count(reasons.len(), &mut out);
        for reason in reasons {
            put_statement(&Statement::Vote(reason.clone()), &mut out);
        }
        put_count(proposals.len(), &mut out);
        for proposal in proposals {
            put_round(proposal.round, &mut out);
            put_option(proposal.valid_round, put_round, &mut out);
            put_block(proposal.block, &mut out);
        }
        put_count(votes.len(), &mut out);
        for vote in votes {
            put_round(vote.round, &mut out);
            out.push(match vote.kind {
                VoteKind::Prevote => 0,
                VoteKind::Precommit => 1,
            });
            put_option(vote.block, put_block, &mut out);
        }
        if let Some(question) = &self.question {
            question.put(&mut out);
        }
        Bytes::from(out)
    }

    /// Reads the durable form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let open = bytes.first() == Some(&VERSION_OPEN);
        let mut reader = Reader::new(bytes, if open { VERSION_OPEN } else { VERSION })?;
        let silent_until_above = reader.option(Reader::height)?;
        let (height, round) = (reader.height()?, reader.round()?);
        let step = match reader.u8()? {
            0 => Step::Waiting,
            1 => Step::Propose,
            2 => Step::Prevote,
            3 => Step::Precommit,
            4 => Step::Decided,
            _ => return Err(Damaged),
        };
        let locked = reader.option(|reader| Ok((reader.round()?, reader.block()?)))?;
        let reasons = reader.list(MAX_MASTERNODES, |reader| match reader.statement()? {
            Statement::Vote(vote) => Ok(vote),
            Statement::Proposal(_) => Err(Damaged),
        })?;
        let proposals = reader.list(OWN_PROPOSALS, |reader| {
            let (round, valid_round) = (reader.round()?, reader.option(Reader::round)?);
            Ok(OwnProposal { round, valid_round, block: reader.block()? })
        })?;
        let votes = reader.list(OWN_VOTES, |reader| {
            let round = reader.round()?;
            let kind = match reader.u8()? {
                0 => VoteKind::Prevote,
                1 => VoteKind::Precommit,
                _ => return Err(Damaged),
            };
            Ok(OwnVote { kind, round, block: reader.option(Reader::block)? })
        })?;
        let question = if open { Some(Question::read(&mut reader)?) } else { None };
        reader.end()?;
        let said = Record { height, round, step, locked, reasons, proposals, votes };
        if is_coherent(&said) { Ok(Self { said, silent_until_above, question }) } else { Err(Damaged) }
    }
}

/// Whether a node can have been in this state.
fn is_coherent(said: &Record) -> bool {
    let (proposals, votes) = (&said.proposals, &said.votes);
    let ascending = proposals.iter().zip(proposals.iter().skip(1)).all(|(a, b)| a.round < b.round)
        && votes.iter().zip(votes.iter().skip(1)).all(|(a, b)| (a.round, a.kind) < (b.round, b.kind));
    let rounds = proposals.iter().map(|own| own.round).chain(votes.iter().map(|own| own.round));
    let shown = proposals.iter().all(|own| own.valid_round.is_none_or(|shown| shown < own.round));
    // Precommits of the round before, or votes of the round itself.
    let reasons = said.reasons.iter().all(|vote| {
        let before = vote.round.next() == said.round && vote.kind == VoteKind::Precommit;
        vote.height == said.height && (before || vote.round == said.round)
    });
    ascending
        && shown
        && reasons
        && rounds.chain(said.locked.map(|(round, _)| round)).all(|round| round <= said.round)
}

/// A block that a quorum has prevoted, with the proof: whoever is locked on it must be able to propose it again
/// and to show why, or the chain may stop.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
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
    /// How many registered masternodes have seen a boot of this key of which its disk does not know.
    pub(crate) foreign_boots: usize,
    /// How many masternodes may lie: all of them less a quorum.
    pub(crate) tolerated: usize,
    /// The height of the abstention that was answered before in this process, be it over or not: what led to it
    /// does not lead to another, or the silence would grow with the chain.
    pub(crate) abstained: Option<Height>,
}

/// Whether a masternode proposes and votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
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
/// A store gets no block before a record is durable beside it, be it one that says nothing: so whoever has blocks
/// and no record has lost it. What its disk was without while it was empty is the question's.
///
/// A key that signed at a height h had the block h-1, final and stored; so a quorum has voted at h-1, and
/// whoever is linked to a quorum hears of h-2 at least, certified. To wait for a block above that and one more
/// is to wait until h is decided without us.
pub(crate) fn voice(past: &Past<'_>, tip: Height) -> Voice {
    let lost = past.record.is_none() && past.stored > Height(0);
    let outdated = past.unrecorded.is_some() || past.foreign_boots > past.tolerated;
    let recorded = past.record.map(|record| record.said.height);
    let silence = match past.abstained {
        None if lost || outdated => Some(past.certified.next()).max(recorded).max(past.unrecorded),
        None => None,
        Some(before) => Some(before).max(past.unrecorded),
    };
    match silence.max(past.record.and_then(|record| record.silent_until_above)) {
        Some(until_above) if until_above >= tip => Voice::Abstains { until_above },
        _ => Voice::Speaks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::durable::tests::assert_strict;
    use crate::chain::fixture;
    use crate::event::SignedProposal;
    use crate::ids::{BlockHash, BootEpoch, NodeId, Signature};
    use crate::wire::block::FinalBlock;

    const A: BlockHash = BlockHash([1; 32]);
    const B: BlockHash = BlockHash([2; 32]);

    /// A node that led round 1, was locked there, and has prevoted in round 2.
    fn record() -> VotingRecord {
        let vote = |round, kind, block| OwnVote { kind, round: Round(round), block };
        VotingRecord {
            said: Record {
                height: Height(7),
                round: Round(2),
                step: Step::Prevote,
                locked: Some((Round(1), A)),
                reasons: (0..3)
                    .map(|seat| fixture::vote(seat, VoteKind::Precommit, Height(7), Round(1), None))
                    .collect(),
                proposals: vec![OwnProposal { round: Round(1), valid_round: Some(Round(0)), block: A }],
                votes: vec![
                    vote(0, VoteKind::Prevote, None),
                    vote(1, VoteKind::Prevote, Some(A)),
                    vote(1, VoteKind::Precommit, Some(A)),
                    vote(2, VoteKind::Prevote, Some(A)),
                ],
            },
            silent_until_above: None,
            question: None,
        }
    }

    #[test]
    fn the_record_round_trips_and_nothing_else_is_read() {
        let encode = |record: &VotingRecord| record.encode().to_vec();
        let silent = VotingRecord { silent_until_above: Some(Height(9)), ..record() };
        let mut question = Question::new(BootEpoch(3), BootEpoch(9));
        let open = VotingRecord { question: Some(question.clone()), ..VotingRecord::of(Height(1)) };
        for witness in 1..=2 {
            question.testified(NodeId([witness; 32]));
        }
        question.shown(Height(4));
        let more = VotingRecord { question: Some(question), ..silent.clone() };
        for sound in [record(), silent, VotingRecord::of(Height(1)), open, more] {
            assert_strict(&sound.encode(), VotingRecord::decode, encode);
        }
        assert_eq!(VotingRecord::decode(&[]), Err(Damaged));
    }

    #[test]
    fn a_record_of_a_version_without_the_question_is_one_of_a_key_that_was_answered_for() {
        let old = [&[1, 0][..], &[7, 0, 0, 0, 0, 0, 0, 0], &[0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(VotingRecord::decode(&old), Ok(VotingRecord::of(Height(7))));
        assert_eq!(VotingRecord::of(Height(7)).encode(), old);
        assert!(VotingRecord::of(Height(1)).says_nothing());
        assert!(![VotingRecord::of(Height(7)), record()].iter().any(VotingRecord::says_nothing));
    }

    #[test]
    fn a_state_in_which_no_node_can_have_been_is_damage() {
        let refused = |change: &dyn Fn(&mut Record)| {
            let mut record = record();
            change(&mut record.said);
            VotingRecord::decode(&record.encode()) == Err(Damaged)
        };
        assert!(!refused(&|_| {}));
        assert!(refused(&|said| said.locked = Some((Round(3), A))));
        assert!(refused(&|said| said.round = Round(1)));
        assert!(refused(&|said| said.reasons[0].height = Height(6)));
        assert!(refused(&|said| said.reasons[0].kind = VoteKind::Prevote));
        assert!(refused(&|said| said.reasons[0].round = Round(0)));
        assert!(!refused(&|said| said.reasons[0].round = Round(2)));
        assert!(refused(&|said| said.votes.swap(0, 1)));
        assert!(refused(&|said| said.votes.push(said.votes[3])));
        assert!(refused(&|said| said.proposals.push(said.proposals[0])));
        assert!(refused(&|said| said.proposals[0].valid_round = Some(Round(1))));
        let many = |count: usize| {
            let vote = |round| OwnVote { kind: VoteKind::Prevote, round: Round(round), block: None };
            refused(&|said| {
                said.round = Round(100);
                said.reasons.clear();
                said.votes = (0..u32::try_from(count).unwrap()).map(vote).collect();
            })
        };
        assert!(!many(OWN_VOTES) && many(OWN_VOTES + 1));
    }

    #[test]
    fn own_statements_that_others_show_are_known_or_not() {
        let vote = |height, round, kind, block| {
            Statement::Vote(fixture::vote(0, kind, Height(height), Round(round), block))
        };
        let proposal = |valid_round, block| {
            Statement::Proposal(SignedProposal {
                height: Height(7),
                round: Round(1),
                valid_round,
                block,
                proposer: fixture::id(0),
                signature: Signature::default(),
            })
        };
        let (prevote, precommit) = (VoteKind::Prevote, VoteKind::Precommit);
        let mut record = record();
        for known in [
            vote(7, 1, precommit, Some(A)),
            vote(7, 0, prevote, None),
            vote(6, 9, precommit, Some(B)),
            proposal(Some(Round(0)), A),
        ] {
            assert_eq!(record.judge_own(&known), OwnStatement::Recorded, "{known:?}");
        }
        for unknown in [
            vote(7, 1, precommit, Some(B)),
            vote(7, 1, precommit, None),
            vote(7, 0, precommit, None),
            vote(7, 2, precommit, Some(A)),
            vote(7, 3, prevote, Some(A)),
            vote(8, 0, prevote, Some(A)),
            proposal(None, A),
            proposal(Some(Round(0)), B),
        ] {
            assert_eq!(record.judge_own(&unknown), OwnStatement::Unrecorded, "{unknown:?}");
        }
        // The votes of early rounds are forgotten when they do not matter any more.
        record.said.round = Round(8);
        record.said.votes.clear();
        assert_eq!(record.judge_own(&vote(7, 0, prevote, None)), OwnStatement::Recorded);
        assert_eq!(record.judge_own(&vote(7, 1, prevote, None)), OwnStatement::Unrecorded);
    }

    #[test]
    fn a_valid_block_is_kept_with_its_polka() {
        let registry = fixture::registry(4);
        let FinalBlock { block, certificate } = fixture::chain(&registry, 3).remove(2);
        let hash = certificate.block;
        let polka = fixture::certificate(0..3, VoteKind::Prevote, Height(3), Round(1), hash);
        let valid = ValidBlock { block: block.clone(), polka: polka.clone() };
        let bytes = valid.encode();
        assert_eq!(ValidBlock::decode(&bytes), Ok(valid));
        assert_eq!(ValidBlock::decode(&bytes[1..]), Err(Damaged));
        let commit = ValidBlock { block: block.clone(), polka: certificate };
        assert_eq!(ValidBlock::decode(&commit.encode()), Err(Damaged));
        let other = ValidBlock { block, polka: Certificate { height: Height(4), ..polka } };
        assert_eq!(ValidBlock::decode(&other.encode()), Err(Damaged));
    }

    /// A network of four in which nothing is amiss with this node.
    fn sound(record: Option<&VotingRecord>, stored: u64) -> Past<'_> {
        Past {
            record,
            stored: Height(stored),
            certified: Height(stored),
            unrecorded: None,
            foreign_boots: 0,
            tolerated: 1,
            abstained: None,
        }
    }

    #[test]
    fn prod_06_who_may_have_forgotten_what_it_signed_keeps_silent() {
        let record = record();
        let silent = |height| Voice::Abstains { until_above: Height(height) };
        let judge = |past: Past<'_>| voice(&past, past.stored);
        // The first start of a key in a new network, or in an old one that it has fetched since.
        assert_eq!(judge(sound(None, 0)), Voice::Speaks);
        assert_eq!(judge(Past { certified: Height(90), ..sound(None, 0) }), Voice::Speaks);
        // A start like any other, and after having been down for a while.
        assert_eq!(judge(sound(Some(&record), 6)), Voice::Speaks);
        assert_eq!(judge(Past { certified: Height(900), ..sound(Some(&record), 6) }), Voice::Speaks);
        // It has fetched blocks, and has never said anything.
        let blank = VotingRecord::of(Height(1));
        assert_eq!(judge(sound(Some(&blank), 6)), Voice::Speaks);
        assert_eq!(judge(Past { certified: Height(90), ..sound(Some(&blank), 6) }), Voice::Speaks);
        assert_eq!(judge(Past { unrecorded: Some(Height(4)), ..sound(Some(&blank), 6) }), silent(7));
        // The record is gone, the blocks are not.
        assert_eq!(judge(sound(None, 6)), silent(7));
        assert_eq!(judge(Past { certified: Height(90), ..sound(None, 6) }), silent(91));
        // Everything is gone; a peer shows what this key has signed.
        assert_eq!(judge(Past { unrecorded: Some(Height(40)), ..sound(None, 0) }), silent(40));
        // The record is older than what this key has signed: a restored disk, or the key in two processes.
        assert_eq!(judge(Past { unrecorded: Some(Height(40)), ..sound(Some(&record), 6) }), silent(40));
        assert_eq!(judge(Past { unrecorded: Some(Height(7)), ..sound(Some(&record), 6) }), silent(7));
        // So say more masternodes than may lie. One that lies silences nobody.
        assert_eq!(judge(Past { foreign_boots: 1, ..sound(None, 0) }), Voice::Speaks);
        assert_eq!(judge(Past { foreign_boots: 2, ..sound(None, 0) }), silent(1));
        assert_eq!(judge(Past { foreign_boots: 2, ..sound(Some(&record), 9) }), silent(10));
        assert_eq!(judge(Past { foreign_boots: 1, tolerated: 0, ..sound(None, 0) }), silent(1));
        // What the record tells of is ahead of every certificate that was heard of.
        assert_eq!(judge(Past { foreign_boots: 2, ..sound(Some(&record), 3) }), silent(7));
    }

    #[test]
    fn silence_ends_with_a_block_above_and_outlasts_a_restart() {
        let kept = VotingRecord { silent_until_above: Some(Height(40)), ..record() };
        let past = sound(Some(&kept), 6);
        for tip in [6, 39, 40] {
            assert_eq!(voice(&past, Height(tip)), Voice::Abstains { until_above: Height(40) }, "{tip}");
        }
        assert_eq!(voice(&past, Height(41)), Voice::Speaks);
        // The chain goes on, the signs are the old ones: they count once.
        let lost = Past { certified: Height(50), abstained: Some(Height(7)), ..sound(None, 6) };
        assert_eq!(voice(&lost, Height(7)), Voice::Abstains { until_above: Height(7) });
        assert_eq!(voice(&lost, Height(8)), Voice::Speaks);
        let shown = Past { unrecorded: Some(Height(9)), ..lost };
        assert_eq!(voice(&shown, Height(8)), Voice::Abstains { until_above: Height(9) });
        // A later sign prolongs it, an earlier one does not shorten it.
        for (unrecorded, until_above) in [(90, 90), (20, 40)] {
            let past = Past { unrecorded: Some(Height(unrecorded)), ..past };
            let silence = Voice::Abstains { until_above: Height(until_above) };
            assert_eq!(voice(&past, Height(30)), silence);
        }
    }
}
