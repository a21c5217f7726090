//! The blocks that are proposed at one height: what was said of each, how far its payload is, and what the
//! application has been asked (rule C-8).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::chain::assembly::{Assembly, ForgedChunk, Progress};
use crate::event::SignedProposal;
use crate::ids::{BlockHash, Height, NodeId, Round};
use crate::limits::{CANDIDATES, Holding, holding};
use crate::time::Mono;
use crate::wire::block::{Block, Certificate, Header, Outline};
use crate::wire::message::{Chunk, Proposal};

/// Proposals of so many rounds after the present one are listened to.
pub(crate) const ROUNDS_AHEAD: u32 = 4;

/// One proposed block, but for its payload.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Candidate {
    /// Its header.
    pub(crate) header: Header,
    /// The certificate of its parent.
    pub(crate) certificate: Option<Box<Certificate>>,
    /// What its payload's root is made of.
    pub(crate) outline: Outline,
    /// Who brought it first.
    pub(crate) from: NodeId,
    /// Whether the application was asked.
    pub(crate) word: Word,
    /// When its payload was asked for or grew, and how often it was asked for since it grew.
    pub(crate) fetch: Fetch,
}

/// What the application was asked about a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) enum Word {
    /// Nothing.
    Unasked,
    /// To judge its payload.
    Asked,
    /// It has judged, or need not be asked.
    Given,
}

/// How the missing part of a payload is being sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Fetch {
    /// When something last happened.
    pub(crate) since: Mono,
    /// How often it was asked for since.
    pub(crate) asked: u32,
}

/// The candidates of the height under way.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Candidates {
    height: Height,
    blocks: BTreeMap<BlockHash, Candidate>,
    /// The first proposal of each round.
    signed: BTreeMap<Round, SignedProposal>,
    assembly: Assembly,
}

/// What a round's leader was heard to propose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) enum Heard {
    /// Nothing yet.
    Nothing,
    /// Exactly this.
    Same,
    /// Something else.
    Other,
}

impl Candidates {
    pub(crate) fn holdings(&self) -> [Holding; 2] {
        [holding("blocks proposed", self.blocks.len(), CANDIDATES), self.assembly.holding()]
    }

    /// Another height begins. The payloads of the one before are kept until it has proposals of its own: whoever
    /// is a little late may ask for them.
    pub(crate) fn enter(&mut self, height: Height) {
        self.height = height;
        self.blocks.clear();
        self.signed.clear();
    }

    /// What was heard of the leader of a proposal's round.
    pub(crate) fn heard(&self, proposal: &SignedProposal) -> Heard {
        match self.signed.get(&proposal.round) {
            None => Heard::Nothing,
            Some(first) if (first.block, first.valid_round) == (proposal.block, proposal.valid_round) => {
                Heard::Same
            }
            Some(_) => Heard::Other,
        }
    }

    /// Takes in the block of a proposal that `from` brought. `kept` is never given up.
    pub(crate) fn insert(
        &mut self,
        now: Mono,
        from: NodeId,
        hash: BlockHash,
        proposal: Proposal,
        kept: Option<BlockHash>,
    ) {
        let candidate = Candidate {
            header: proposal.header,
            certificate: proposal.certificate,
            outline: proposal.outline,
            from,
            word: Word::Unasked,
            fetch: Fetch { since: now, asked: 0 },
        };
        self.put(hash, candidate, kept);
    }

    /// Notes a proposal that may be shown to others: a verified one, or an own one whose record is durable.
    pub(crate) fn note(&mut self, signed: &SignedProposal) {
        if signed.height == self.height {
            self.signed.entry(signed.round).or_insert_with(|| signed.clone());
        }
    }

    /// Puts back a whole block that is known to be valid.
    pub(crate) fn restore(&mut self, now: Mono, own: NodeId, hash: BlockHash, block: Block) {
        let outline = Outline::of(&block.payload);
        let candidate = Candidate {
            header: block.header,
            certificate: block.certificate,
            outline,
            from: own,
            word: Word::Given,
            fetch: Fetch { since: now, asked: 0 },
        };
        self.put(hash, candidate, None);
        self.assembly.keep(self.height, hash, block.payload, None);
    }

    fn put(&mut self, hash: BlockHash, candidate: Candidate, kept: Option<BlockHash>) {
        if self.blocks.contains_key(&hash) {
            return;
        }
        if self.blocks.len() >= CANDIDATES {
            let round = |(_, candidate): &(&BlockHash, &Candidate)| candidate.header.round;
            let oldest = self.blocks.iter().filter(|(hash, _)| Some(**hash) != kept).min_by_key(round);
            if let Some(hash) = oldest.map(|(hash, _)| *hash) {
                self.blocks.remove(&hash);
            }
        }
        self.blocks.insert(hash, candidate);
    }

    /// Proposals of earlier rounds than these are forgotten.
    pub(crate) fn forget_before(&mut self, round: Round) {
        self.signed = self.signed.split_off(&round);
    }

    /// A candidate.
    pub(crate) fn get(&self, block: &BlockHash) -> Option<&Candidate> {
        self.blocks.get(block)
    }

    /// A candidate, to be changed.
    pub(crate) fn get_mut(&mut self, block: &BlockHash) -> Option<&mut Candidate> {
        self.blocks.get_mut(block)
    }

    /// The first proposal of each round, by ascending round.
    pub(crate) fn signed(&self) -> impl Iterator<Item = &SignedProposal> {
        self.signed.values()
    }

    /// The proposal of a round as it is sent.
    pub(crate) fn proposal(&self, round: Round) -> Option<Proposal> {
        self.message(self.signed.get(&round)?)
    }

    /// A signed proposal as it is sent, if its block is here.
    pub(crate) fn message(&self, signed: &SignedProposal) -> Option<Proposal> {
        let candidate = self.blocks.get(&signed.block)?;
        Some(Proposal {
            header: candidate.header.clone(),
            round: signed.round,
            valid_round: signed.valid_round,
            certificate: candidate.certificate.clone(),
            outline: candidate.outline.clone(),
            signature: signed.signature,
        })
    }

    /// Seeks a candidate's payload.
    pub(crate) fn seek(&mut self, block: &BlockHash, kept: Option<BlockHash>) {
        if let Some(candidate) = self.blocks.get(block) {
            self.assembly.at_height(self.height);
            self.assembly.seek(self.height, *block, &candidate.outline, kept.as_ref());
        }
    }

    /// Keeps an own payload.
    pub(crate) fn keep(&mut self, block: BlockHash, payload: Bytes, kept: Option<BlockHash>) {
        self.assembly.at_height(self.height);
        self.assembly.keep(self.height, block, payload, kept.as_ref());
    }

    /// Takes a chunk in.
    ///
    /// # Errors
    /// If it is not the chunk that its block's outline names.
    pub(crate) fn take(&mut self, now: Mono, chunk: &Chunk) -> Result<Progress, ForgedChunk> {
        let progress = self.assembly.take(chunk)?;
        if matches!(progress, Progress::Missing | Progress::Whole)
            && let Some(candidate) = self.blocks.get_mut(&chunk.block)
        {
            candidate.fetch = Fetch { since: now, asked: 0 };
        }
        Ok(progress)
    }

    /// The whole payload of a block.
    pub(crate) fn payload(&self, block: &BlockHash) -> Option<&Bytes> {
        self.assembly.payload(block)
    }

    /// The whole block.
    pub(crate) fn block(&self, block: &BlockHash) -> Option<Block> {
        let candidate = self.blocks.get(block)?;
        Some(Block {
            header: candidate.header.clone(),
            certificate: candidate.certificate.clone(),
            payload: self.assembly.payload(block)?.clone(),
        })
    }

    /// Those of the wanted chunks of a block that are here.
    pub(crate) fn chunks(&self, block: &BlockHash, wanted: u128) -> impl Iterator<Item = Chunk> {
        self.assembly.chunks(block, wanted)
    }

    /// When the missing part of some payload is to be asked for next.
    pub(crate) fn fetch_due(&self, patience: Duration) -> Option<Mono> {
        let growing = self.blocks.iter().filter(|(hash, _)| self.assembly.missing(hash).is_some());
        growing.map(|(_, candidate)| candidate.fetch.since + patience).min()
    }

    /// The payloads whose missing part is to be asked for now, with what is missing and how often it was asked
    /// for already. Each is asked for again after the same time.
    pub(crate) fn fetch(&mut self, now: Mono, patience: Duration) -> Vec<(BlockHash, u128, u32)> {
        let mut due = Vec::new();
        for (hash, candidate) in &mut self.blocks {
            if let Some(missing) = self.assembly.missing(hash)
                && candidate.fetch.since + patience <= now
            {
                due.push((*hash, missing, candidate.fetch.asked));
                candidate.fetch = Fetch { since: now, asked: candidate.fetch.asked.saturating_add(1) };
            }
        }
        due
    }
}
