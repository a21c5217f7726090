//! All other masternodes of a network, played: they decide blocks with the node, or keep it from deciding any.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use timed_core::crypto::Provider;
use timed_core::wire::block::Outline;
use timed_core::wire::message::{Chunk, GetBlocks, Message, Proposal, Served, Vote};
use timed_core::wire::signing;
use timed_core::{
    Block, BlockHash, Certificate, CertificateHash, ChainConfig, FinalBlock, Header, Height, NodeId,
    Registry, Round, VoteKind, Wall,
};

use super::arm::{Miss, Verdict, broken};
use super::channel::Channel;
use super::exam::{Exam, Voice};
use crate::chain_auditor::leader;

/// A played masternode with its link to the node.
#[derive(Debug)]
pub struct Seat {
    /// Who speaks.
    pub voice: Voice,
    /// The link.
    pub channel: Channel,
}

/// The newest final block, as far as the next one refers to it.
#[derive(Clone, Debug, Default)]
pub struct Tip {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: BlockHash,
    /// Its slot; zero before the first block.
    pub slot: Wall,
    /// A certificate of it.
    pub certificate: Option<Box<Certificate>>,
}

/// They all.
#[derive(Debug)]
pub struct Council {
    /// Each with a live link, unless the case has closed it.
    pub seats: Vec<Seat>,
    /// The node's tip when they met, or what they have decided since.
    pub tip: Tip,
    /// Somebody who is not registered, and is told what is final.
    pub observer: Channel,
    registry: Registry,
    chain: ChainConfig,
    subject: NodeId,
    /// Rounds in which everybody has voted for no block.
    passed: BTreeSet<(Height, Round)>,
    /// The node's votes, as they were heard, repeats included.
    pub votes: Vec<Vote>,
    /// The node's fresh proposals for the height under way, as they were heard.
    pub proposals: Vec<Proposal>,
    /// Chunks of payloads that the node has handed out.
    pub chunks: Vec<Chunk>,
    /// The latest height and round of which the node was heard to speak.
    pub at: (Height, Round),
}

impl Council {
    /// Links every other masternode with the node.
    ///
    /// # Errors
    /// If the suite does not play them all, or a link is refused.
    pub fn convene(exam: &mut Exam<'_>) -> Result<Self, Miss> {
        let registry = exam.ground().config.registry.clone();
        let chain = exam.ground().config.chain.clone().ok_or(Miss::Lacks("a network that makes blocks"))?;
        let voices = exam.masternodes();
        let subject = exam.ground().subject;
        let others = registry.entries().iter().filter(|entry| entry.id != subject).count();
        if voices.len() < others {
            return Err(Miss::Lacks("the keys of all other masternodes"));
        }
        let mut seats = Vec::new();
        for mut voice in voices {
            let channel = exam.live(&mut voice)?;
            seats.push(Seat { voice, channel });
        }
        let mut tip = Tip::default();
        let told = seats[0].channel.ack.as_ref().map_or(Height(0), |ack| ack.from.height);
        if told > Height(0) {
            let block = fetch(exam, &mut seats[0].channel, told, told)?.pop();
            let block = block.ok_or_else(|| broken(format!("does not serve its tip, block {told}")))?;
            tip = Tip {
                height: told,
                hash: block.certificate.block,
                slot: block.block.header.slot,
                certificate: Some(Box::new(block.certificate)),
            };
        }
        let at = (tip.height, Round(0));
        let mut guest = exam.guest();
        let observer = exam.live(&mut guest)?;
        let mut council = Self {
            seats,
            tip,
            observer,
            registry,
            chain,
            subject,
            passed: BTreeSet::new(),
            votes: Vec::new(),
            proposals: Vec::new(),
            chunks: Vec::new(),
            at,
        };
        // One that is not registered says nothing of its round, and holds nobody to anything.
        if exam.process().is_err() && council.registry.get(&subject).is_some() {
            council.leave_the_past(exam)?;
        }
        Ok(council)
    }

    /// A node that has been there before knows what these keys have said in the round that it is in: the next one is
    /// new.
    fn leave_the_past(&mut self, exam: &mut Exam<'_>) -> Verdict {
        let (height, limit) = (self.height(), exam.patience(2 * self.chain.interval));
        self.hear(exam, limit, "the node at work on a height", |council, _, _, _| {
            (council.at.0 == height).then_some(())
        })?;
        let there = self.at;
        self.pass(exam, there);
        let limit = self.all_turns(exam);
        self.hear(exam, limit, "the next round", |council, _, _, _| (council.at > there).then_some(()))
    }

    /// The height under way.
    #[must_use]
    pub fn height(&self) -> Height {
        self.tip.height.next()
    }

    /// Between two blocks.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.chain.interval
    }

    /// Who leads a round of the height under way.
    #[must_use]
    pub fn leader(&self, height: Height, round: Round) -> NodeId {
        leader(&self.registry, height, u64::from(round.0))
    }

    /// Long enough for every masternode to have had its turn, in rounds that become longer.
    #[must_use]
    pub fn all_turns(&self, exam: &Exam<'_>) -> Duration {
        exam.patience(8 * self.chain.interval)
    }

    /// The first message on any link that a case is looking for.
    ///
    /// # Errors
    /// If it does not come in time, or a link ends.
    pub fn hear<T>(
        &mut self,
        exam: &mut Exam<'_>,
        limit: Duration,
        what: &str,
        mut pick: impl FnMut(&mut Self, &mut Exam<'_>, usize, &Message) -> Option<T>,
    ) -> Result<T, Miss> {
        exam.until(limit, what, |exam| {
            exam.pump(&mut self.observer)?;
            for at in 0..self.seats.len() {
                exam.pump(&mut self.seats[at].channel)?;
                while let Some(heard) = self.seats[at].channel.heard.pop_front() {
                    let Some(message) = heard.message else { continue };
                    self.note(&message);
                    if let Some(found) = pick(self, exam, at, &message) {
                        return Ok(Some(found));
                    }
                }
                if self.seats[at].channel.ended {
                    let reason = self.seats[at].channel.goodbye;
                    return Err(broken(format!("the link of a masternode ended ({reason:?}) before {what}")));
                }
            }
            Ok(None)
        })
    }

    /// Where the node is, by its own words.
    fn note(&mut self, message: &Message) {
        let at = match message {
            Message::Held(held) => (held.height, held.round),
            Message::Vote(vote) if vote.voter == self.subject => {
                self.votes.push((**vote).clone());
                (vote.height, vote.round)
            }
            Message::Proposal(proposal) if self.is_own(proposal) => {
                self.proposals.push((**proposal).clone());
                (proposal.header.height, proposal.round)
            }
            Message::Chunk(chunk) => {
                self.chunks.push((**chunk).clone());
                return;
            }
            _ => return,
        };
        self.at = self.at.max(at);
    }

    /// A signed vote of one of them.
    pub fn vote(
        &mut self,
        exam: &Exam<'_>,
        seat: usize,
        kind: VoteKind,
        at: (Height, Round),
        block: Option<BlockHash>,
    ) -> Vote {
        let bytes = signing::vote(&exam.ground().config.genesis, kind, at.0, at.1, block.as_ref());
        let voice = &mut self.seats[seat].voice;
        Vote { kind, height: at.0, round: at.1, block, voter: voice.id(), signature: voice.key.sign(&bytes) }
    }

    /// One of them votes, on its own link.
    pub fn votes(
        &mut self,
        exam: &mut Exam<'_>,
        seat: usize,
        kind: VoteKind,
        at: (Height, Round),
        block: Option<BlockHash>,
    ) {
        let vote = self.vote(exam, seat, kind, at, block);
        exam.say(&mut self.seats[seat].channel, &Message::Vote(Box::new(vote)));
    }

    /// All of them pass a round: once, by votes for no block.
    pub fn pass(&mut self, exam: &mut Exam<'_>, at: (Height, Round)) {
        if self.passed.insert(at) {
            for seat in 0..self.seats.len() {
                self.votes(exam, seat, VoteKind::Prevote, at, None);
                self.votes(exam, seat, VoteKind::Precommit, at, None);
            }
        }
    }

    /// Passes every round before this one in which the node has prevoted.
    fn pass_before(&mut self, exam: &mut Exam<'_>, end: (Height, Round)) {
        let due = |vote: &&Vote| vote.kind == VoteKind::Prevote && vote.height == end.0 && vote.round < end.1;
        let due: Vec<_> = self.votes.iter().filter(due).map(|vote| (vote.height, vote.round)).collect();
        for at in due {
            self.pass(exam, at);
        }
    }

    /// Passes rounds until the node proposes a fresh block.
    ///
    /// # Errors
    /// If it does not within as many rounds as there are masternodes.
    pub fn proposal_of_the_node(&mut self, exam: &mut Exam<'_>) -> Result<Proposal, Miss> {
        let (limit, height) = (self.all_turns(exam), self.height());
        exam.until(limit, "a fresh proposal of the node's", |exam| {
            self.take_in(exam)?;
            let fresh = |proposal: &&Proposal| {
                proposal.header.height == height && !self.passed.contains(&(height, proposal.round))
            };
            if let Some(proposal) = self.proposals.iter().rfind(fresh) {
                return Ok(Some(proposal.clone()));
            }
            self.pass_before(exam, (height, Round(u32::MAX)));
            Ok(None)
        })
    }

    /// Passes each round as soon as the node has prevoted in it, until something is there.
    ///
    /// # Errors
    /// If it is not in time.
    pub fn pass_until<T>(
        &mut self,
        exam: &mut Exam<'_>,
        limit: Duration,
        what: &str,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T, Miss> {
        let height = self.height();
        exam.until(limit, what, |exam| {
            self.take_in(exam)?;
            let found = look(self);
            if found.is_none() {
                self.pass_before(exam, (height, Round(u32::MAX)));
            }
            Ok(found)
        })
    }

    /// Whether a proposal is the node's own for the height under way, and fresh.
    #[must_use]
    pub fn is_own(&self, proposal: &Proposal) -> bool {
        proposal.header.proposer == self.subject
            && proposal.valid_round.is_none()
            && proposal.header.height == self.height()
    }

    /// Everybody votes for a block of a round, with both votes.
    pub fn agree(&mut self, exam: &mut Exam<'_>, at: (Height, Round), block: BlockHash) {
        for seat in 0..self.seats.len() {
            self.votes(exam, seat, VoteKind::Prevote, at, Some(block));
            self.votes(exam, seat, VoteKind::Precommit, at, Some(block));
        }
    }

    /// Decides the node's next block with it, and waits until an observer is told of it.
    ///
    /// # Errors
    /// If it proposes none or does not decide.
    pub fn decide(&mut self, exam: &mut Exam<'_>) -> Result<Header, Miss> {
        let proposal = self.proposal_of_the_node(exam)?;
        let block = proposal.header.hash(&exam.ground().config.genesis);
        self.agree(exam, (proposal.header.height, proposal.round), block);
        self.hears_of(exam, block)?;
        let height = proposal.header.height;
        let stored = fetch(exam, &mut self.observer, height, height)?.pop();
        let stored = stored.ok_or_else(|| broken("does not serve the block that it has decided"))?;
        self.tip = Tip {
            height,
            hash: block,
            slot: proposal.header.slot,
            certificate: Some(Box::new(stored.certificate)),
        };
        Ok(proposal.header)
    }

    /// The observer is told that a block is final.
    ///
    /// # Errors
    /// If it is not, in time.
    pub fn hears_of(&mut self, exam: &mut Exam<'_>, block: BlockHash) -> Verdict {
        let limit = exam.patience(self.chain.interval);
        exam.hear(&mut self.observer, limit, "the new tip", |message| match message {
            Message::Tip(tip) if tip.block == block => Some(()),
            _ => None,
        })
    }

    /// The start of the slot in force.
    #[must_use]
    pub fn slot(&self, wall: Wall) -> Wall {
        let interval = u64::try_from(self.chain.interval.as_millis()).unwrap_or(1).max(1);
        let origin = self.chain.genesis_time.0;
        Wall(origin + wall.0.saturating_sub(origin) / interval * interval)
    }

    /// A block that one of them may propose in a round that it leads, in the slot in force, without payload.
    #[must_use]
    pub fn draft(&self, exam: &Exam<'_>, round: Round) -> Header {
        let certificate = self.tip.certificate.as_ref();
        Header {
            height: self.height(),
            round,
            slot: self.slot(exam.wall()),
            parent: self.tip.hash,
            certificate: certificate.map_or_else(CertificateHash::default, |certificate| certificate.hash()),
            payload: Outline::default().root(),
            registry: self.registry.hash(),
            proposer: self.leader(self.height(), round),
        }
    }

    /// Its leader proposes a block for a round, to the node.
    pub fn propose(&mut self, exam: &mut Exam<'_>, header: Header, round: Round) -> BlockHash {
        let genesis = exam.ground().config.genesis;
        let block = header.hash(&genesis);
        let by = self.leader(header.height, round);
        let bytes = signing::proposal(&genesis, header.height, round, None, &block);
        let certificate = self.tip.certificate.clone();
        if let Some(seat) = self.seats.iter_mut().find(|seat| seat.voice.id() == by) {
            let signature = seat.voice.key.sign(&bytes);
            let outline = Outline::default();
            let proposal = Proposal { header, round, valid_round: None, certificate, outline, signature };
            exam.say(&mut seat.channel, &Message::Proposal(Box::new(proposal)));
        }
        block
    }

    /// The next round after the one that the node is in which one of them leads. The height has begun, and a slot
    /// later than the tip's too.
    ///
    /// # Errors
    /// If the node does not begin the height.
    pub fn coming_turn(&mut self, exam: &mut Exam<'_>) -> Result<Round, Miss> {
        let (limit, height) = (exam.patience(2 * self.chain.interval), self.height());
        if self.at.0 < height {
            self.hear(exam, limit, "the beginning of the height", |council, _, _, _| {
                (council.at.0 == height).then_some(())
            })?;
        }
        exam.until(limit, "a slot after the tip's", |exam| {
            Ok((self.slot(exam.wall()) > self.tip.slot || self.tip.height == Height(0)).then_some(()))
        })?;
        let mut round = Round(self.at.1.0 + 1);
        while self.leader(height, round) == self.subject {
            round = Round(round.0 + 1);
        }
        Ok(round)
    }

    /// What the node prevotes for in a round, all rounds before it being passed.
    ///
    /// # Errors
    /// If it does not vote.
    pub fn prevote_of_the_node(&mut self, exam: &mut Exam<'_>, round: Round) -> Result<Vote, Miss> {
        let (limit, at) = (self.all_turns(exam), (self.height(), round));
        exam.until(limit, "the node's prevote", |exam| {
            self.take_in(exam)?;
            self.pass_before(exam, at);
            let is = |vote: &&Vote| vote.kind == VoteKind::Prevote && (vote.height, vote.round) == at;
            Ok(self.votes.iter().find(is).cloned())
        })
    }

    /// Takes note of what has arrived on every link.
    ///
    /// # Errors
    /// If a link has ended.
    pub fn take_in(&mut self, exam: &mut Exam<'_>) -> Verdict {
        exam.pump(&mut self.observer)?;
        for at in 0..self.seats.len() {
            exam.pump(&mut self.seats[at].channel)?;
            if self.seats[at].channel.ended {
                return Err(broken(format!(
                    "a masternode's link ended: {:?}",
                    self.seats[at].channel.goodbye
                )));
            }
            while let Some(heard) = self.seats[at].channel.heard.pop_front() {
                heard.message.iter().for_each(|message| self.note(message));
            }
        }
        Ok(())
    }

    /// The next blocks of the chain, which they have decided without the node: a quorum has signed them.
    pub fn decide_elsewhere(&mut self, exam: &Exam<'_>, count: usize) -> Vec<FinalBlock> {
        let genesis = exam.ground().config.genesis;
        let mut blocks = Vec::new();
        for _ in 0..count {
            // At the beginning of a chain any slot will do.
            let slot = self.tip.slot.max(self.chain.genesis_time) + self.chain.interval;
            let header = Header { slot, ..self.draft(exam, Round(0)) };
            let (height, hash) = (header.height, header.hash(&genesis));
            let words = signing::vote(&genesis, VoteKind::Precommit, height, Round(0), Some(&hash));
            let sign = |seat: &mut Seat| {
                let index = self.registry.index_of(&seat.voice.id())?;
                Some((index, seat.voice.key.sign(&words)))
            };
            let mut signed: Vec<_> = self.seats.iter_mut().filter_map(sign).collect();
            signed.sort_by_key(|(index, _)| *index);
            let certificate = Certificate {
                kind: VoteKind::Precommit,
                height,
                round: Round(0),
                block: hash,
                signers: signed.iter().map(|(index, _)| *index).collect(),
                signatures: signed.into_iter().map(|(_, signature)| signature).collect(),
            };
            let parent = self.tip.certificate.replace(Box::new(certificate.clone()));
            self.tip = Tip { height, hash, slot, certificate: self.tip.certificate.take() };
            let block = Block { header, certificate: parent, payload: Bytes::new() };
            blocks.push(FinalBlock { block, certificate });
        }
        blocks
    }

    /// Takes in what has arrived on every link, and forgets it.
    ///
    /// # Errors
    /// If it is not well-formed.
    pub fn settle(&mut self, exam: &mut Exam<'_>) -> Verdict {
        for seat in &mut self.seats {
            exam.pump(&mut seat.channel)?;
            seat.channel.forget();
        }
        Ok(())
    }
}

/// Asks for blocks, and gives what comes until the end of the answer.
///
/// # Errors
/// If parts are out of order, or no end comes.
pub fn fetch(
    exam: &mut Exam<'_>,
    channel: &mut Channel,
    from: Height,
    to: Height,
) -> Result<Vec<FinalBlock>, Miss> {
    let id = exam.wall().0 ^ from.0;
    exam.say(channel, &Message::GetBlocks(GetBlocks { id, from, to, max_bytes: 1 << 20 }));
    let (mut blocks, mut parts, mut wrong) = (Vec::new(), Vec::new(), None);
    let mut next = from;
    let limit = exam.patience(Duration::from_secs(3));
    let served = exam.hear(channel, limit, "the end of the answer", |message| match message {
        Message::BlockPart(part) if part.id == id => {
            if part.height != next || usize::from(part.index) != parts.len() {
                wrong = Some(broken(format!("part {} of block {} out of order", part.index, part.height)));
            }
            parts.push(part.bytes.clone());
            if parts.len() == usize::from(part.count) {
                match FinalBlock::decode(&parts.concat()) {
                    Ok(block) => blocks.push(block),
                    Err(_) => wrong = Some(broken(format!("block {} does not decode", part.height))),
                }
                parts.clear();
                next = next.next();
            }
            None
        }
        Message::BlocksEnd(end) if end.id == id => Some(end.served),
        _ => None,
    })?;
    match (wrong, served) {
        (Some(wrong), _) => Err(wrong),
        (None, Served::All) if !blocks.is_empty() => Ok(blocks),
        (None, Served::Nothing) if blocks.is_empty() => Ok(blocks),
        (None, served) => Err(broken(format!("{} blocks, and {served:?}", blocks.len()))),
    }
}
