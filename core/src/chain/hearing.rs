//! What others say: proposals, votes, certificates and chunks are verified, counted where they belong, and passed
//! on (rules C-8, C-9, C-15). What is not what it must be is dropped and counted; no link ends for it.

use std::time::Duration;

use crate::chain::Chain;
use crate::chain::assembly::Progress;
use crate::chain::candidates::{Candidate, Heard, ROUNDS_AHEAD, Word};
use crate::chain::certificates::{self, BadCertificate};
use crate::chain::consensus::{Consensus, Timeliness, Verdict};
use crate::chain::effects::{Effect, Effects};
use crate::chain::evidence_log::conflict;
use crate::chain::round::Outcome;
use crate::chain::slots;
use crate::chain::timeouts::Timeout;
use crate::chain::validity::{self, Flaw};
use crate::chain::votes::PAST_ROUNDS;
use crate::command::Command;
use crate::crypto::{Authenticity, Provider};
use crate::event::{Offence, SignedProposal, Statement, Step};
use crate::ids::{BlockHash, Height, NodeId, Round, Signature};
use crate::input::PayloadVerdict;
use crate::limits::EARLY_PROPOSALS;
use crate::time::Now;
use crate::wire::block::{Certificate, VoteKind};
use crate::wire::message::{Chunk, GetPayload, Message, Proposal, Vote};
use crate::wire::signing;

/// The missing part of a payload is asked for when nothing of it came for a twentieth of a slot, within these.
const FETCH_PATIENCE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// How long nothing may come of a payload before it is asked for, with slots of this length.
pub(crate) fn fetch_patience(interval: Duration) -> Duration {
    (interval / 20).clamp(FETCH_PATIENCE.0, FETCH_PATIENCE.1)
}

impl Chain {
    pub(super) fn proposal_came(
        &mut self,
        now: Now,
        from: NodeId,
        proposal: Box<Proposal>,
        crypto: &mut dyn Provider,
        effects: &mut Effects,
    ) {
        let height = proposal.header.height;
        self.peer_has(now, from, Height(height.0.saturating_sub(1)), effects);
        let Some(consensus) = &self.consensus else { return };
        let present = consensus.height();
        if height == present.next() {
            return self.early_proposal(now, from, proposal, crypto, effects);
        }
        let first = Round(consensus.round().0.saturating_sub(PAST_ROUNDS));
        let last = Round(consensus.round().0.saturating_add(ROUNDS_AHEAD));
        if height != present || consensus.step() == Step::Decided || !(first..=last).contains(&proposal.round)
        {
            return;
        }
        let Some(signed) = self.signed(&proposal, consensus) else { return };
        let heard = self.candidates.heard(&signed);
        let told = || self.evidence.knows(&Statement::Proposal(signed.clone()));
        if heard == Heard::Same || (heard == Heard::Other && told()) {
            return;
        }
        // A genuine header with another outline or certificate is nothing that its leader has sent.
        if let Err(offence) = self.is_sound(&proposal, &signed, crypto) {
            return self.refused(from, offence, effects);
        }
        self.forward(&signed.proposer, from, Message::Proposal(proposal.clone()), effects);
        if heard == Heard::Other {
            // One proposal a round is followed; the other is evidence.
            let first = self.candidates.signed().find(|first| first.round == signed.round).cloned();
            let other = Statement::Proposal(signed.clone());
            let evidence = first.and_then(|first| conflict(&Statement::Proposal(first), &other));
            if let Some(evidence) = evidence {
                self.note_evidence(evidence, effects);
            }
            return self.hear(now, &signed, crypto, effects);
        }
        let stands = self.can_stand(now, &proposal, crypto, effects);
        self.candidates.insert(now.mono, from, signed.block, *proposal, self.kept());
        self.candidates.note(&signed);
        if stands {
            self.candidates.seek(&signed.block, self.kept());
            self.hear(now, &signed, crypto, effects);
            self.ask_application(now, signed.block, effects);
        } else {
            self.counts.invalid += 1;
            self.judged(now, signed.block, Verdict::Invalid, crypto, effects);
            self.hear(now, &signed, crypto, effects);
        }
    }

    /// The next height's proposal proves that this one is decided; it is looked at when that height begins.
    fn early_proposal(
        &mut self,
        now: Now,
        from: NodeId,
        proposal: Box<Proposal>,
        crypto: &mut dyn Provider,
        effects: &mut Effects,
    ) {
        let known = |(_, early): &(NodeId, Box<Proposal>)| **early == *proposal;
        if self.early.len() >= EARLY_PROPOSALS || self.early.iter().any(known) {
            return;
        }
        self.prepare_next();
        let signed = self.next.as_ref().and_then(|next| self.signed(&proposal, next));
        let Some(signed) = signed else { return };
        if let Err(offence) = self.is_sound(&proposal, &signed, crypto) {
            return self.refused(from, offence, effects);
        }
        let certificate = proposal.certificate.clone();
        self.early.push((from, proposal));
        if let Some(certificate) = certificate.filter(|certificate| certificate.kind == VoteKind::Precommit) {
            self.certificate_came(now, from, &certificate, crypto, effects);
        }
    }

    fn signed(&self, proposal: &Proposal, consensus: &Consensus) -> Option<SignedProposal> {
        let leader = consensus.registry().at(consensus.leader(proposal.round))?.id;
        Some(SignedProposal {
            height: proposal.header.height,
            round: proposal.round,
            valid_round: proposal.valid_round,
            block: proposal.header.hash(&self.genesis),
            proposer: leader,
            signature: proposal.signature,
        })
    }

    /// Whether a proposal is in itself what its leader has sent. If not: what whoever passed it on is charged
    /// with. A signature counts where the header names the same author as this node does: else the registry
    /// that says who leads may be wrong here.
    fn is_sound(
        &mut self,
        proposal: &Proposal,
        signed: &SignedProposal,
        crypto: &mut dyn Provider,
    ) -> Result<(), Option<Offence>> {
        validity::check_form(proposal).map_err(|_| Some(Offence::InvalidBlock))?;
        let SignedProposal { height, round, valid_round, block, proposer, signature } = signed;
        let message = signing::proposal(&self.genesis, *height, *round, *valid_round, block);
        match crypto.verify(proposer, &message, signature) {
            Authenticity::Genuine => Ok(()),
            Authenticity::Forged => {
                self.counts.forged += 1;
                let agreed = proposal.header.proposer == *proposer;
                Err(agreed.then_some(Offence::BadSignature))
            }
        }
    }

    /// Something that a peer brought is not what it must be; what it is charged with, if our own state cannot be
    /// the cause.
    fn refused(&mut self, from: NodeId, offence: Option<Offence>, effects: &mut Effects) {
        self.counts.invalid += 1;
        effects.extend(offence.map(|offence| Effect::Offence(from, offence)));
    }

    /// What can be said of a proposal without its payload, whatever the clock says.
    fn can_stand(
        &mut self,
        now: Now,
        proposal: &Proposal,
        crypto: &mut dyn Provider,
        effects: &mut Effects,
    ) -> bool {
        let Some(context) = self.context() else { return false };
        match validity::judge(proposal, &context, now.wall) {
            Ok(()) | Err(Flaw::Early | Flaw::Late) => {}
            Err(_) => return false,
        }
        let Some(certificate) = proposal.certificate.as_deref() else { return true };
        let named = proposal.header.certificate;
        if self.proven == Some(named) {
            return true;
        }
        if !self.verify(certificate, crypto) {
            return false;
        }
        self.proven = Some(named);
        self.own_in(certificate);
        let acts = match &mut self.past {
            Some(past) if past.height() == certificate.height => past.certificate(certificate),
            _ => Vec::new(),
        };
        self.note(now, acts, effects);
        true
    }

    /// Verifies a certificate. A signature that was verified before is not verified again.
    fn verify(&mut self, certificate: &Certificate, crypto: &mut dyn Provider) -> bool {
        let Some(in_force) = self.registries.at(certificate.height) else { return false };
        let of = |consensus: &&Consensus| consensus.height() == certificate.height;
        let known = self.consensus.as_ref().filter(of).or(self.past.as_ref().filter(of));
        let fresh: Option<Vec<_>> = known.map(|known| known.votes().unverified(certificate).collect());
        let already = |voter: &NodeId, signature: &Signature| {
            let seat = in_force.registry.index_of(voter);
            let fresh = fresh.as_deref();
            seat.zip(fresh).is_some_and(|(seat, fresh)| !fresh.contains(&(seat, *signature)))
        };
        let verdict = certificates::verify(certificate, &in_force.registry, &self.genesis, crypto, already);
        if let Err(BadCertificate::Forged(_)) = verdict {
            self.counts.forged += certificate.signatures.len() as u64;
        }
        verdict.is_ok()
    }

    /// The consensus hears a proposal, once its height has begun: only then is the clock asked about its slot.
    fn hear(&mut self, now: Now, signed: &SignedProposal, crypto: &mut dyn Provider, effects: &mut Effects) {
        let slot = self.candidates.get(&signed.block).map(|candidate| candidate.header.slot);
        let timely =
            slot.is_none_or(|slot| self.grid.timeliness(slot, now.wall) == slots::Timeliness::Timely);
        let timeliness = match signed.valid_round {
            None if !timely => Timeliness::Untimely,
            _ => Timeliness::Timely,
        };
        let Some(consensus) = &mut self.consensus else { return };
        if consensus.step() != Step::Waiting {
            let acts = consensus.proposal(signed, timeliness);
            self.perform(now, acts, crypto, effects);
        }
    }

    /// The height has begun: what came before is heard now (PROD-03c).
    pub(super) fn hear_candidates(&mut self, now: Now, crypto: &mut dyn Provider, effects: &mut Effects) {
        let signed: Vec<SignedProposal> = self.candidates.signed().cloned().collect();
        for signed in signed {
            self.hear(now, &signed, crypto, effects);
        }
    }

    /// A payload that is whole goes to the application, once.
    fn ask_application(&mut self, now: Now, block: BlockHash, effects: &mut Effects) {
        let Some(payload) = self.candidates.payload(&block).cloned() else { return };
        let Some(consensus) = &self.consensus else { return };
        if consensus.verdict(&block).is_some() {
            return;
        }
        let by = self.timeouts.get(&Timeout::Propose).map(|(_, at)| *at);
        let by = by.unwrap_or(now.mono + self.settings.interval / 5);
        let height = consensus.height();
        let Some(candidate) = self.candidates.get_mut(&block) else { return };
        if candidate.word == Word::Unasked {
            candidate.word = Word::Asked;
            effects.push(Effect::Command(Command::Validate { block, height, payload, by }));
        }
    }

    /// The application's word on a payload. One on a block of another height is nobody's.
    pub(crate) fn validated(
        &mut self,
        now: Now,
        block: BlockHash,
        verdict: PayloadVerdict,
        crypto: &mut dyn Provider,
        effects: &mut Effects,
    ) {
        let asked = |candidate: &&mut Candidate| candidate.word == Word::Asked;
        if let Some(candidate) = self.candidates.get_mut(&block).filter(asked) {
            candidate.word = Word::Given;
            let verdict = match verdict {
                PayloadVerdict::Valid => Verdict::Valid,
                PayloadVerdict::Invalid => Verdict::Invalid,
            };
            self.judged(now, block, verdict, crypto, effects);
        }
        self.advance(now, crypto, effects);
    }

    /// A block is known to be valid, or not to be.
    pub(super) fn judged(
        &mut self,
        now: Now,
        block: BlockHash,
        verdict: Verdict,
        crypto: &mut dyn Provider,
        effects: &mut Effects,
    ) {
        if let Some(consensus) = &mut self.consensus {
            let acts = consensus.block_judged(block, verdict);
            self.perform(now, acts, crypto, effects);
        }
    }

    pub(super) fn vote_came(
        &mut self,
        now: Now,
        from: NodeId,
        vote: &Vote,
        crypto: &mut dyn Provider,
        effects: &mut Effects,
    ) {
        self.peer_has(now, from, Height(vote.height.0.saturating_sub(1)), effects);
        let Some(present) = self.consensus.as_ref().map(Consensus::height) else { return };
        if vote.height == present.next() {
            self.prepare_next();
        }
        let of = |consensus: &&Consensus| consensus.height() == vote.height;
        let consensus = self.consensus.as_ref().filter(of);
        let other = self.next.as_ref().filter(of).or(self.past.as_ref().filter(of));
        let Some(consensus) = consensus.or(other) else { return };
        // Of a height that is over, only what adds to its certificate is of use.
        let late = vote.height < present;
        let adds = || {
            vote.kind == VoteKind::Precommit
                && consensus
                    .committed()
                    .is_some_and(|(round, block)| round == vote.round && Some(block) == vote.block)
        };
        if consensus.known(vote) || (late && !adds()) {
            return;
        }
        let message = signing::vote(&self.genesis, vote.kind, vote.height, vote.round, vote.block.as_ref());
        if crypto.verify(&vote.voter, &message, &vote.signature) == Authenticity::Forged {
            self.counts.forged += 1;
            return self.refused(from, Some(Offence::BadSignature), effects);
        }
        self.counts.votes += 1;
        self.forward(&vote.voter, from, Message::Vote(Box::new(vote.clone())), effects);
        self.count(now, vote, crypto, effects);
    }

    /// What comes for the next height is kept by a consensus that has not begun.
    fn prepare_next(&mut self) {
        let Some(height) = self.consensus.as_ref().map(|consensus| consensus.height().next()) else { return };
        if self.next.as_ref().is_some_and(|next| next.height() == height) {
            return;
        }
        self.next = self.fresh_consensus(height);
    }

    pub(super) fn certificate_came(
        &mut self,
        now: Now,
        from: NodeId,
        certificate: &Certificate,
        crypto: &mut dyn Provider,
        effects: &mut Effects,
    ) {
        let has = match certificate.kind {
            VoteKind::Precommit => certificate.height,
            VoteKind::Prevote => Height(certificate.height.0.saturating_sub(1)),
        };
        self.peer_has(now, from, has, effects);
        let Some(consensus) = self.consensus.as_ref() else { return };
        let known = match certificate.kind {
            VoteKind::Precommit => consensus.committed().is_some(),
            VoteKind::Prevote => {
                consensus.votes().outcome(VoteKind::Prevote, certificate.round)
                    == Outcome::Block(certificate.block)
            }
        };
        if consensus.height() != certificate.height || known {
            return;
        }
        if !self.verify(certificate, crypto) {
            // The registry of a height follows from the chain below it, which both have.
            let known = self.registries.at(certificate.height).is_some();
            return self.refused(from, known.then_some(Offence::InvalidBlock), effects);
        }
        let acts = self.consensus.as_mut().map(|consensus| consensus.certificate(certificate));
        self.perform(now, acts.unwrap_or_default(), crypto, effects);
    }

    pub(super) fn chunk_came(&mut self, now: Now, from: NodeId, chunk: &Chunk, effects: &mut Effects) {
        match self.candidates.take(now.mono, chunk) {
            Ok(Progress::Whole) => self.ask_application(now, chunk.block, effects),
            Ok(Progress::Unsought | Progress::Repeat | Progress::Missing) => {}
            // Its hash is in an outline whose root is in the block's.
            Err(_) => self.refused(from, Some(Offence::InvalidBlock), effects),
        }
    }

    /// A masternode lacks chunks.
    pub(super) fn payload_wanted(&mut self, from: NodeId, wanted: GetPayload, effects: &mut Effects) {
        let chunks = self.candidates.chunks(&wanted.block, wanted.missing);
        effects.extend(chunks.map(|chunk| Effect::Send(from, Message::Chunk(Box::new(chunk)))));
    }

    /// Asks for the missing part of payloads: first whoever brought the proposal, then its leader and whoever
    /// voted for the block, in turns.
    pub(super) fn fetch_payloads(&mut self, now: Now, effects: &mut Effects) {
        let patience = fetch_patience(self.settings.interval);
        for (block, missing, asked) in self.candidates.fetch(now.mono, patience) {
            let sources = self.sources(&block);
            let turn = usize::try_from(asked).unwrap_or(0).checked_rem(sources.len());
            let Some(source) = turn.and_then(|turn| sources.get(turn)) else { continue };
            let Some(height) = self.candidates.get(&block).map(|candidate| candidate.header.height) else {
                continue;
            };
            effects.push(Effect::Send(*source, Message::GetPayload(GetPayload { height, block, missing })));
        }
    }

    /// Live masternodes that are likely to have a block.
    fn sources(&self, block: &BlockHash) -> Vec<NodeId> {
        let Some(candidate) = self.candidates.get(block) else { return Vec::new() };
        let Some(consensus) = &self.consensus else { return Vec::new() };
        let mut sources = vec![candidate.from];
        let leaders = self.candidates.signed().filter(|signed| signed.block == *block);
        sources.extend(leaders.map(|signed| signed.proposer));
        for certificate in [consensus.commit(), consensus.polka(consensus.round())].into_iter().flatten() {
            if certificate.block == *block {
                let voters = certificate.signers.iter().filter_map(|seat| consensus.registry().at(seat));
                sources.extend(voters.map(|entry| entry.id));
            }
        }
        sources.retain(|source| self.linked.contains_key(source));
        let mut seen = Vec::with_capacity(sources.len());
        for source in sources {
            if !seen.contains(&source) {
                seen.push(source);
            }
        }
        seen
    }
}
