//! What this node says: acts of its consensus are carried out, and whatever it signs leaves only when the record
//! of it is durable (rules C-10, C-11, C-13, C-14).

use bytes::Bytes;

use crate::chain::Chain;
use crate::chain::consensus::{Act, Acts, OwnVote};
use crate::chain::effects::{Binding, Effect, Effects, Said};
use crate::chain::evidence_log::Noted;
use crate::chain::round::Polka;
use crate::chain::timeouts::Timeout;
use crate::chain::validity;
use crate::chain::voting_record::ValidBlock;
use crate::command::Command;
use crate::crypto::Provider;
use crate::event::{CommittedVia, Event, Evidence, Producing, SignedProposal, Step};
use crate::ids::{BlockHash, Height, Round, Signature, TxId};
use crate::journal::RecordKey;
use crate::limits::MAX_PAYLOAD;
use crate::time::{Now, Wall};
use crate::wire::block::{Certificate, FinalBlock, Outline};
use crate::wire::message::{Message, Proposal, Vote};
use crate::wire::signing;

/// A proposal that this node owes as the leader of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(super) struct Owed {
    round: Round,
    /// The block to be proposed again.
    again: Option<Polka>,
    making: Making,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
enum Making {
    /// The gate was closed so far.
    NotBegun,
    /// The application was asked for a payload for this slot.
    Asked(Wall),
}

impl Chain {
    /// Carries out what the consensus of the height under way wants done.
    pub(super) fn perform(&mut self, now: Now, acts: Acts, crypto: &mut dyn Provider, effects: &mut Effects) {
        self.perform_with(now, acts, None, crypto, effects);
    }

    fn perform_with(
        &mut self,
        now: Now,
        acts: Acts,
        proposal: Option<Box<Proposal>>,
        crypto: &mut dyn Provider,
        effects: &mut Effects,
    ) {
        let mut votes = Vec::new();
        for act in acts {
            match act {
                Act::RoundStarted(round) => self.round_started(round, effects),
                Act::Propose(round, again) => {
                    self.owed = Some(Owed { round, again, making: Making::NotBegun });
                }
                Act::Schedule(timer) => {
                    let at = now.mono + timer.after(self.settings.interval);
                    self.timeouts.insert(timer.timeout, (timer, at));
                }
                Act::Valid(polka) => self.keep_valid(*polka, effects),
                Act::Vote(vote) => votes.extend(self.sign(vote, crypto)),
                Act::Certified(certificate) => self.certified(now, &certificate, effects),
                Act::Decide(certificate) => self.decided(now, *certificate, effects),
                Act::Equivocation(evidence) => self.note_evidence(*evidence, effects),
                Act::Foreign(statement) => self.speech.unrecorded(statement.height()),
            }
        }
        if proposal.is_some() || !votes.is_empty() {
            self.write_record(votes, proposal, effects);
        }
    }

    fn round_started(&mut self, round: Round, effects: &mut Effects) {
        self.owed = None;
        let first = Round(round.0.saturating_sub(crate::chain::votes::PAST_ROUNDS));
        self.candidates.forget_before(first);
        let Some(consensus) = &self.consensus else { return };
        let leader = consensus.registry().at(consensus.leader(round)).map(|entry| entry.id);
        let (height, leader) = (consensus.height(), leader.unwrap_or_default());
        if round > Round(0) {
            self.event(Event::RoundStarted { height, round, leader }, effects);
        }
    }

    /// The valid block is written before a vote that follows: after a common crash somebody must be able to
    /// propose it again, and to show why.
    fn keep_valid(&mut self, polka: Certificate, effects: &mut Effects) {
        if let Some(block) = self.candidates.block(&polka.block) {
            let record = ValidBlock { block, polka }.encode();
            effects.push(Effect::Persist(RecordKey::ValidBlock, record, Binding::Nothing));
        }
    }

    fn sign(&self, vote: OwnVote, crypto: &mut dyn Provider) -> Option<Vote> {
        let height = self.consensus.as_ref()?.height();
        let OwnVote { kind, round, block } = vote;
        let message = signing::vote(&self.genesis, kind, height, round, block.as_ref());
        let signature = crypto.sign(&message);
        Some(Vote { kind, height, round, block, voter: self.node, signature })
    }

    /// Writes the record as it is now; what is bound leaves when it is durable.
    pub(super) fn write_record(
        &mut self,
        votes: Vec<Vote>,
        proposal: Option<Box<Proposal>>,
        effects: &mut Effects,
    ) {
        let record = self.voting_record();
        let bytes = record.encode();
        self.record = Some(record);
        let said = Said { proposal, votes };
        effects.push(Effect::Persist(RecordKey::Voting, bytes, Binding::Said(Box::new(said))));
    }

    /// A record is durable: what it bound is sent, and an own vote counts like everybody's (PROD-03a).
    pub(crate) fn durable(
        &mut self,
        now: Now,
        binding: Binding,
        crypto: &mut dyn Provider,
        effects: &mut Effects,
    ) {
        match binding {
            Binding::Nothing => {}
            Binding::Transaction(request, id) => {
                self.mempool.durable(now.mono, request, id, effects);
            }
            Binding::Said(said) => {
                let Said { proposal, votes } = *said;
                if let Some(proposal) = proposal {
                    self.send_proposal(proposal, effects);
                }
                for vote in votes {
                    Self::broadcast(Message::Vote(Box::new(vote.clone())), effects);
                    self.count(now, &vote, crypto, effects);
                }
            }
        }
        self.advance(now, crypto, effects);
    }

    /// Counts a verified vote where it belongs.
    pub(super) fn count(&mut self, now: Now, vote: &Vote, crypto: &mut dyn Provider, effects: &mut Effects) {
        let of =
            |height: Height| move |consensus: &&mut super::consensus::Consensus| consensus.height() == height;
        let height = vote.height;
        if let Some(consensus) = self.consensus.as_mut().filter(of(height)) {
            let acts = consensus.vote(vote);
            self.perform(now, acts, crypto, effects);
        } else if let Some(other) =
            self.past.as_mut().filter(of(height)).or(self.next.as_mut().filter(of(height)))
        {
            let acts = other.vote(vote);
            self.note(now, acts, effects);
        }
    }

    fn send_proposal(&mut self, proposal: Box<Proposal>, effects: &mut Effects) {
        let (height, round, valid_round) = (proposal.header.height, proposal.round, proposal.valid_round);
        let block = proposal.header.hash(&self.genesis);
        let (proposer, signature) = (self.node, proposal.signature);
        // Only now may it be shown to whoever lacks it.
        self.candidates.note(&SignedProposal { height, round, valid_round, block, proposer, signature });
        let polka = valid_round.and_then(|valid| self.consensus.as_ref()?.polka(valid));
        let fresh = valid_round.is_none();
        self.event(Event::Proposed { height, round, block }, effects);
        if let Some(polka) = polka.filter(|polka| polka.height == height) {
            Self::broadcast(Message::Polka(Box::new(polka)), effects);
        }
        Self::broadcast(Message::Proposal(proposal), effects);
        // A block that is proposed again is at a quorum already; the others ask for what they lack.
        if fresh {
            for chunk in self.candidates.chunks(&block, u128::MAX) {
                Self::broadcast(Message::Chunk(Box::new(chunk)), effects);
            }
        }
    }

    /// The height is certified at a block that is not known to be valid here: whoever precommitted it has it.
    fn certified(&mut self, now: Now, certificate: &Certificate, effects: &mut Effects) {
        self.speech.certified(certificate.height);
        self.sync.certified(now.mono, certificate.height, effects);
    }

    /// The height is decided and its block is here.
    fn decided(&mut self, now: Now, certificate: Certificate, effects: &mut Effects) {
        self.timeouts.clear();
        self.owed = None;
        self.resend.rest();
        let Some(block) = self.candidates.block(&certificate.block) else {
            // Its payload gave way to others: it comes from whoever has it.
            return self.certified(now, &certificate, effects);
        };
        let block = FinalBlock { block, certificate };
        let bytes = block.encode();
        self.commit(now, block, bytes, CommittedVia::Consensus, effects);
    }

    /// Rule C-16: kept once, written, told once, relayed no further.
    pub(super) fn note_evidence(&mut self, evidence: Evidence, effects: &mut Effects) {
        if self.evidence.note(evidence.clone()) == Noted::New {
            let record = Bytes::from(self.evidence.encode());
            effects.push(Effect::Persist(RecordKey::Evidence, record, Binding::Nothing));
            self.event(Event::Equivocation(Box::new(evidence)), effects);
        }
    }

    /// As the leader of a round this node proposes, as soon as the gate is open.
    pub(super) fn pay_what_is_owed(&mut self, now: Now, crypto: &mut dyn Provider, effects: &mut Effects) {
        if self.producing != Producing::Yes {
            return;
        }
        let Some(owed) = self.owed.filter(|owed| owed.making == Making::NotBegun) else { return };
        let Some(consensus) = self.consensus.as_ref().filter(|consensus| consensus.step() == Step::Propose)
        else {
            return;
        };
        let (height, round) = (consensus.height(), owed.round);
        if let Some((shown, block)) = owed.again {
            self.owed = None;
            self.propose(now, (round, Some(shown)), block, crypto, effects);
            return;
        }
        let Some(slot) = self.context().map(|context| context.slot(now.wall)) else { return };
        let by = self.timeouts.get(&Timeout::Propose).map(|(_, at)| *at);
        self.owed = Some(Owed { making: Making::Asked(slot), ..owed });
        let max_bytes = self.most_bytes(round);
        effects.push(Effect::Command(Command::Produce {
            height,
            round,
            slot,
            by: by.unwrap_or(now.mono),
            max_bytes,
            transactions: self.mempool.take(max_bytes),
        }));
    }

    /// The application's payload. One for another round, or too late, does no harm.
    pub(crate) fn produced(
        &mut self,
        now: Now,
        (height, round): (Height, Round),
        payload: Option<Bytes>,
        stale: &[TxId],
        crypto: &mut dyn Provider,
        effects: &mut Effects,
    ) {
        self.mempool.stale(stale, effects);
        let asked = match self.owed {
            Some(Owed { round: of, making: Making::Asked(slot), .. }) if of == round => Some(slot),
            _ => None,
        };
        let current = self.consensus.as_ref().is_some_and(|consensus| consensus.height() == height);
        if let (Some(slot), true) = (asked, current) {
            self.owed = None;
            let most = self.most_bytes(round).min(MAX_PAYLOAD);
            let payload = payload.filter(|payload| payload.len() <= most);
            if let Some(payload) = payload {
                self.draft(now, round, slot, payload, crypto, effects);
            }
        }
        self.advance(now, crypto, effects);
    }

    fn draft(
        &mut self,
        now: Now,
        round: Round,
        slot: Wall,
        payload: Bytes,
        crypto: &mut dyn Provider,
        effects: &mut Effects,
    ) {
        // Every precommit that is held goes along: whoever has lost its record learns of its own.
        let late = self.past.as_ref().and_then(|past| past.commit());
        let certificate = late.or_else(|| self.commits.tip().map(|tip| tip.certificate.clone()));
        let Some(context) = self.context() else { return };
        let outline = Outline::of(&payload);
        let header = validity::draft(&context, round, slot, certificate.as_ref(), &outline);
        let block = header.hash(&self.genesis);
        let signature = self.sign_proposal(header.height, (round, None), &block, crypto);
        let signed = SignedProposal {
            height: header.height,
            round,
            valid_round: None,
            block,
            proposer: self.node,
            signature,
        };
        let certificate = certificate.map(Box::new);
        let message = Proposal { header, round, valid_round: None, certificate, outline, signature };
        self.candidates.insert(now.mono, self.node, block, message, self.kept());
        self.candidates.keep(block, payload, self.kept());
        self.said(now, &signed, crypto, effects);
    }

    /// Proposes a block again that a quorum has prevoted.
    fn propose(
        &mut self,
        now: Now,
        (round, shown): (Round, Option<Round>),
        block: BlockHash,
        crypto: &mut dyn Provider,
        effects: &mut Effects,
    ) {
        let Some(height) = self.consensus.as_ref().map(|consensus| consensus.height()) else { return };
        let signature = self.sign_proposal(height, (round, shown), &block, crypto);
        let signed =
            SignedProposal { height, round, valid_round: shown, block, proposer: self.node, signature };
        self.said(now, &signed, crypto, effects);
    }

    fn sign_proposal(
        &self,
        height: Height,
        (round, shown): (Round, Option<Round>),
        block: &BlockHash,
        crypto: &mut dyn Provider,
    ) -> Signature {
        crypto.sign(&signing::proposal(&self.genesis, height, round, shown, block))
    }

    /// The consensus takes an own proposal, if the round still waits for one.
    fn said(&mut self, now: Now, signed: &SignedProposal, crypto: &mut dyn Provider, effects: &mut Effects) {
        let Some(message) = self.candidates.message(signed).map(Box::new) else { return };
        let taken = self.consensus.as_mut().map(|consensus| consensus.propose(signed));
        if let Some(Ok(acts)) = taken {
            self.perform_with(now, acts, Some(message), crypto, effects);
        }
    }

    /// How many bytes the application's payload for a round may have (rule C-11).
    fn most_bytes(&self, round: Round) -> usize {
        self.payload_limit.bytes(self.settings.max_bytes, round)
    }

    /// The block whose payload must not be lost.
    pub(super) fn kept(&self) -> Option<BlockHash> {
        let consensus = self.consensus.as_ref()?;
        let again = || consensus.again(consensus.round().next()).map(|(_, block)| block);
        consensus.wanted().or_else(again)
    }
}
