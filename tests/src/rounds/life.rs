//! A correct node: its consensus in memory, its disk, and what waits between the two.

use std::collections::{BTreeMap, VecDeque};

use timed_core::rounds::{Act, Acts, Consensus, Polka, Record, Timeliness, Timer, Verdict, Voice};
use timed_core::{BlockHash, Certificate, Evidence, MasternodeIndex, Round, SignedProposal, Statement};

use super::ground::Ground;
use super::word::{Body, Word};

/// What outlives a crash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Disk {
    /// The voting record.
    pub record: Option<Record>,
    /// The polka of the valid block, which is here with it.
    pub valid: Option<Certificate>,
}

/// Something on its way to the disk; the words leave when it is there.
#[derive(Clone, Debug)]
enum Write {
    Record(Record, Vec<Word>),
    Valid(Certificate),
}

/// What a node has told beside words.
#[derive(Clone, Debug)]
pub enum Told {
    /// The height is final.
    Decided(Certificate),
    /// Somebody contradicted himself.
    Equivocation(Evidence),
    /// A statement with the node's own key that it did not make.
    Foreign(Statement),
}

/// A process of a correct node, from start to crash.
#[derive(Clone, Debug)]
pub struct Life {
    ground: Ground,
    seat: MasternodeIndex,
    consensus: Consensus,
    disk: Disk,
    writes: VecDeque<Write>,
    timers: Vec<Timer>,
    asked: Option<(Round, Option<Polka>)>,
    out: Vec<Word>,
    told: Vec<Told>,
    /// Blocks that are here.
    blocks: BTreeMap<BlockHash, Verdict>,
    /// The first proposal of each round, to be passed on.
    proposals: BTreeMap<Round, SignedProposal>,
}

impl Life {
    /// A process that starts with what an earlier one left on the disk. Call [`Life::start`] when its slot comes.
    #[must_use]
    pub fn new(ground: &Ground, seat: MasternodeIndex, disk: Disk) -> Self {
        let registry = std::sync::Arc::clone(&ground.registry);
        let mut consensus = Consensus::new(ground.height, registry, Some(seat), Voice::Speaks);
        if let Some(record) = disk.record.clone() {
            assert!(consensus.resume(record, disk.valid.as_ref()), "the record is of this height");
        }
        let mut life = Self {
            ground: ground.clone(),
            seat,
            consensus,
            writes: VecDeque::new(),
            timers: Vec::new(),
            asked: None,
            out: Vec::new(),
            told: Vec::new(),
            blocks: BTreeMap::new(),
            proposals: BTreeMap::new(),
            disk,
        };
        if let Some(block) = life.disk.valid.as_ref().map(|polka| polka.block) {
            life.learn(block);
        }
        life
    }

    /// The height's slot has come.
    pub fn start(&mut self) {
        let acts = self.consensus.start();
        self.carry_out(acts);
    }

    /// A word arrives.
    pub fn hear(&mut self, word: &Word) {
        let acts = match word {
            Word::Vote(vote) => {
                let known = self.consensus.known(vote);
                let before = known.then(|| self.consensus.clone());
                let acts = self.consensus.vote(vote);
                if let Some(before) = before {
                    assert!(acts.is_empty() && before == self.consensus, "{vote:?} was said to be known");
                }
                acts
            }
            Word::Certificate(certificate) => self.consensus.certificate(certificate),
            Word::Block(block) => return self.learn(*block),
            Word::Proposal { proposal, polka, body, timeliness } => {
                let mut acts =
                    polka.as_ref().map(|polka| self.consensus.certificate(polka)).unwrap_or_default();
                acts.extend(self.consensus.proposal(proposal, *timeliness));
                if self.consensus.proposed(proposal.round) == Some(proposal.block) {
                    self.proposals.entry(proposal.round).or_insert_with(|| proposal.clone());
                    if *body == Body::Sent {
                        acts.extend(self.judge(proposal.block));
                    }
                }
                acts
            }
        };
        self.carry_out(acts);
    }

    /// A block arrives by itself.
    pub fn learn(&mut self, block: BlockHash) {
        let acts = self.judge(block);
        self.carry_out(acts);
    }

    /// A time-out of [`Life::timers`] comes.
    pub fn time_out(&mut self, timer: Timer) {
        self.timers.retain(|other| *other != timer);
        let acts = self.consensus.timeout(timer);
        self.carry_out(acts);
    }

    /// The application answers with a fresh block, if this node was asked to propose one; a block that is
    /// proposed again needs no answer.
    pub fn produce(&mut self, fresh: BlockHash) {
        let Some((round, valid)) = self.asked.take() else { return };
        let (shown, block) = valid.map_or((None, fresh), |(shown, block)| (Some(shown), block));
        let proposal = self.ground.proposal(round, shown, block);
        let Ok(acts) = self.consensus.propose(&proposal) else { return };
        self.blocks.insert(block, Verdict::Valid);
        let polka =
            shown.map(|shown| self.consensus.polka(shown).expect("the polka of a valid block is kept"));
        let word = Word::Proposal { proposal, polka, body: Body::Sent, timeliness: Timeliness::Timely };
        self.record(acts, vec![word]);
    }

    /// What this node can tell of the proposal of a round: itself, its polka if it has one, and its block.
    #[must_use]
    pub fn proposal(&self, round: Round) -> Option<Word> {
        let proposal = self.proposals.get(&round)?.clone();
        let polka = match proposal.valid_round {
            Some(shown) => Some(self.consensus.polka(shown).filter(|polka| polka.block == proposal.block)?),
            None => None,
        };
        let body = if self.has(&proposal.block) { Body::Sent } else { Body::Withheld };
        Some(Word::Proposal { proposal, polka, body, timeliness: Timeliness::Timely })
    }

    /// One write becomes durable, and what waited for it leaves. False if there was none.
    pub fn write_one(&mut self) -> bool {
        match self.writes.pop_front() {
            None => return false,
            Some(Write::Valid(polka)) => self.disk.valid = Some(polka),
            Some(Write::Record(record, words)) => {
                self.disk.record = Some(record);
                for word in words {
                    match &word {
                        Word::Vote(vote) => {
                            let acts = self.consensus.vote(vote);
                            self.carry_out(acts);
                        }
                        Word::Proposal { proposal, .. } => {
                            self.proposals.insert(proposal.round, proposal.clone());
                        }
                        Word::Certificate(_) | Word::Block(_) => {}
                    }
                    self.out.push(word);
                }
            }
        }
        true
    }

    /// The process ends: the disk is left.
    #[must_use]
    pub fn crash(self) -> Disk {
        self.disk
    }

    /// What has left since the last call.
    pub fn take_out(&mut self) -> Vec<Word> {
        std::mem::take(&mut self.out)
    }

    /// What was told since the last call.
    pub fn take_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// Time-outs that are set.
    #[must_use]
    pub fn timers(&self) -> &[Timer] {
        &self.timers
    }

    /// Whether the application is asked for a block.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// The consensus.
    #[must_use]
    pub fn consensus(&self) -> &Consensus {
        &self.consensus
    }

    /// Whose process it is.
    #[must_use]
    pub fn seat(&self) -> MasternodeIndex {
        self.seat
    }

    /// What is durable.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Whether the block is here.
    #[must_use]
    pub fn has(&self, block: &BlockHash) -> bool {
        self.blocks.contains_key(block)
    }

    fn judge(&mut self, block: BlockHash) -> Acts {
        let verdict = Ground::verdict(&block);
        self.blocks.insert(block, verdict);
        self.consensus.block_judged(block, verdict)
    }

    fn carry_out(&mut self, acts: Acts) {
        self.record(acts, Vec::new());
    }

    /// Votes and proposals wait for the record as it is after the call that they come from.
    fn record(&mut self, acts: Acts, mut words: Vec<Word>) {
        for act in acts {
            match act {
                Act::RoundStarted(_) => self.asked = None,
                Act::Propose(round, valid) => self.asked = Some((round, valid)),
                Act::Schedule(timer) => self.timers.push(timer),
                Act::Valid(polka) => self.writes.push_back(Write::Valid(*polka)),
                Act::Vote(vote) => words.push(Word::Vote(self.ground.vote(self.seat, vote))),
                Act::Certified(_) => {}
                Act::Decide(commit) => self.told.push(Told::Decided(*commit)),
                Act::Equivocation(evidence) => self.told.push(Told::Equivocation(*evidence)),
                Act::Foreign(statement) => self.told.push(Told::Foreign(*statement)),
            }
        }
        if !words.is_empty() {
            self.writes.push_back(Write::Record(self.consensus.record(), words));
        }
    }
}
