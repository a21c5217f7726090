//! A height through a storm that a seed draws, and the calm after it, in which it must be decided.

use std::collections::BTreeMap;
use std::time::Duration;

use timed_core::rounds::{Timeliness, Timer, Verdict};
use timed_core::wire::message::Held;
use timed_core::{BlockHash, Certificate, Height, MasternodeIndex, Round, SeatSet, Statement, VoteKind};

use super::dice::Dice;
use super::ground::Ground;
use super::life::{Disk, Life, Told};
use super::traitor::Traitors;
use super::word::Word;

const INTERVAL: Duration = Duration::from_secs(1);

/// Who takes part, and how rough it gets.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many masternodes there are.
    pub size: u8,
    /// Keys that sign whatever they like.
    pub traitors: u8,
    /// Keys that run in two processes, each with a disk of its own.
    pub twins: u8,
    /// Things that happen in the storm.
    pub steps: usize,
    /// How many in a thousand of these are crashes and restarts of correct nodes.
    pub crashes: usize,
    /// How many in a hundred words are lost.
    pub losses: usize,
    /// How much more often words arrive and writes end than time-outs come.
    pub calmness: usize,
}

impl Plan {
    /// A plan with as many bad keys as the protocol bears, or fewer.
    fn drawn(dice: &mut Dice) -> Self {
        let size = *dice.pick(&[1, 2, 3, 4, 4, 4, 4, 4, 5, 6, 7, 7, 7, 10]).expect("there are some");
        let bad = dice.small((size - 1) / 3 + 1);
        let twins = dice.small(bad + 1);
        Self {
            size,
            traitors: bad - twins,
            twins,
            steps: 50 + dice.below(600 * usize::from(size)),
            crashes: dice.below(8),
            losses: dice.below(30),
            calmness: 1 + dice.below(40),
        }
    }
}

/// What came out of one height.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// The round of the decision.
    pub round: Round,
    /// Crashes.
    pub crashes: u32,
    /// Pieces of evidence.
    pub evidence: u32,
    /// Blocks that were proposed again with a polka.
    pub again: u32,
    /// Nodes that were locked at the end of the storm.
    pub locked: usize,
    /// Nodes that had decided by then.
    pub in_storm: usize,
    /// Rounds that the calm took.
    pub calm_rounds: u32,
}

/// Whose side a process is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Correct,
    /// The key runs twice: both processes follow the protocol.
    Twin,
}

#[derive(Debug)]
enum Process {
    Runs(Box<Life>),
    Down(Box<Disk>),
}

#[derive(Debug)]
struct Member {
    seat: MasternodeIndex,
    side: Side,
    process: Process,
    started: bool,
    inbox: Vec<Word>,
    due: BTreeMap<Timer, Duration>,
    decided: Option<Certificate>,
}

/// A height under way.
#[derive(Debug)]
pub struct Storm {
    ground: Ground,
    dice: Dice,
    plan: Plan,
    members: Vec<Member>,
    traitors: Traitors,
    /// What each correct key has signed.
    signed: BTreeMap<(MasternodeIndex, Round, Option<VoteKind>), Statement>,
    decided: Option<Certificate>,
    fresh: u64,
    now: Duration,
    tally: Tally,
}

impl Storm {
    /// Draws and runs one height: through the storm, and through the calm until every correct node has decided.
    ///
    /// # Panics
    /// If anything is wrong.
    #[must_use]
    pub fn run(seed: u64) -> Tally {
        Self::run_plan(seed, Plan::drawn(&mut Dice::new(seed, 1)))
    }

    /// As [`Storm::run`], with a plan of the caller's.
    ///
    /// # Panics
    /// If anything is wrong.
    #[must_use]
    pub fn run_plan(seed: u64, plan: Plan) -> Tally {
        let _named = Named(seed);
        Self::new(Dice::new(seed, 2), plan).through()
    }

    /// As [`Storm::run`], with every draw decided by the next of these bytes, as far as they go.
    ///
    /// # Panics
    /// If anything is wrong.
    #[must_use]
    pub fn run_bytes(bytes: &[u8]) -> Tally {
        let mut dice = Dice::of(bytes);
        let drawn = Plan::drawn(&mut dice);
        Self::new(dice, Plan { steps: drawn.steps.min(bytes.len()), ..drawn }).through()
    }

    fn through(mut self) -> Tally {
        self.rage();
        self.calm();
        self.tally
    }

    fn new(mut dice: Dice, plan: Plan) -> Self {
        let ground = Ground::new(Height(1 + u64::from(dice.small(16))), plan.size);
        let mut seats: Vec<MasternodeIndex> = (0..plan.size).map(MasternodeIndex).collect();
        let mut draw = |count: u8| -> SeatSet {
            let mut drawn = SeatSet::EMPTY;
            for _ in 0..count {
                drawn.insert(seats.remove(dice.below(seats.len())));
            }
            drawn
        };
        let (bad, twins) = (draw(plan.traitors), draw(plan.twins));
        let member = |seat, side| Member {
            seat,
            side,
            process: Process::Down(Box::default()),
            started: false,
            inbox: Vec::new(),
            due: BTreeMap::new(),
            decided: None,
        };
        let correct = seats.into_iter().map(|seat| member(seat, Side::Correct));
        let twice = twins.iter().flat_map(|seat| [seat, seat]).map(|seat| member(seat, Side::Twin));
        Self {
            members: correct.chain(twice).collect(),
            traitors: Traitors::new(bad),
            ground,
            dice,
            plan,
            signed: BTreeMap::new(),
            decided: None,
            fresh: 0,
            now: Duration::ZERO,
            tally: Tally::default(),
        }
    }

    /// Anything happens in any order.
    fn rage(&mut self) {
        for _ in 0..self.plan.steps {
            let at = self.dice.below(self.members.len());
            if self.dice.falls(self.plan.crashes, 1000) {
                self.crash_or_restart(at);
            }
            match self.dice.below(2 + 8 * self.plan.calmness) {
                0 => self.lie(),
                1 => self.fire_any(at),
                other => match other % 16 {
                    0 => self.start(at),
                    1 => self.produce(at),
                    2 => self.ask_any(at),
                    3..=5 => self.write(at),
                    _ => self.deliver_any(at),
                },
            }
        }
        self.tally.locked = self.lives().filter(|life| life.consensus().locked().is_some()).count();
        self.tally.in_storm = self.correct().filter(|member| member.decided.is_some()).count();
    }

    /// Nothing is lost any more, whatever was lost is sent again, and time-outs come when they are due.
    fn calm(&mut self) {
        let latest =
            |storm: &Self| storm.lives().map(|life| life.consensus().round()).max().unwrap_or_default();
        for at in 0..self.members.len() {
            self.start(at);
        }
        let before = latest(self);
        loop {
            self.settle();
            self.tally.calm_rounds = latest(self).0 - before.0;
            if self.correct().all(|member| member.decided.is_some()) {
                break;
            }
            let bound = 4 * u32::from(self.plan.size) + 8;
            assert!(self.tally.calm_rounds < bound, "no decision in {bound} rounds of calm: {self:#?}");
            self.lie();
            self.wait();
        }
        let decided = self.decided.as_ref().expect("somebody has decided");
        self.tally.round = decided.round;
    }

    fn correct(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.side == Side::Correct)
    }

    fn lives(&self) -> impl Iterator<Item = &Life> {
        self.members.iter().filter_map(Member::life)
    }

    fn crash_or_restart(&mut self, at: usize) {
        let member = &mut self.members[at];
        match std::mem::replace(&mut member.process, Process::Down(Box::default())) {
            Process::Runs(life) => {
                member.process = Process::Down(Box::new(life.crash()));
                (member.started, member.decided) = (false, None);
                member.due.clear();
                member.inbox.clear();
                self.tally.crashes += 1;
            }
            Process::Down(disk) => {
                member.process = Process::Runs(Box::new(Life::new(&self.ground, member.seat, *disk)));
                self.collect(at);
            }
        }
    }

    fn start(&mut self, at: usize) {
        if let Process::Down(_) = self.members[at].process {
            self.crash_or_restart(at);
        }
        if !std::mem::replace(&mut self.members[at].started, true) {
            self.with(at, Life::start);
        }
    }

    fn write(&mut self, at: usize) {
        self.with(at, |life| {
            life.write_one();
        });
    }

    fn produce(&mut self, at: usize) {
        let fresh = self.fresh_block(Verdict::Valid);
        self.with(at, |life| life.produce(fresh));
    }

    fn fire_any(&mut self, at: usize) {
        let Some(life) = self.members[at].life() else { return };
        let Some(timer) = self.dice.pick(life.timers()).copied() else { return };
        self.with(at, |life| life.time_out(timer));
    }

    fn deliver_any(&mut self, at: usize) {
        let waiting = self.members[at].inbox.len();
        if waiting == 0 {
            return;
        }
        let index = self.dice.below(waiting);
        let word = if self.dice.falls(1, 20) {
            self.members[at].inbox[index].clone()
        } else {
            self.members[at].inbox.swap_remove(index)
        };
        if !self.dice.falls(self.plan.losses, 100) {
            self.hear(at, word);
        }
    }

    /// Somebody is told what this node holds, and answers.
    fn ask_any(&mut self, at: usize) {
        let other = self.dice.below(self.members.len());
        if let (Some(asks), Some(gives)) = (self.members[at].life(), self.members[other].life()) {
            let words = answer(asks, gives);
            self.members[at].inbox.extend(words);
        }
    }

    fn hear(&mut self, at: usize, mut word: Word) {
        if let Word::Proposal { timeliness, .. } = &mut word
            && self.dice.falls(1, 16)
        {
            *timeliness = Timeliness::Untimely;
        }
        if self.members[at].accepts(&self.ground, &word) {
            self.with(at, |life| life.hear(&word));
        }
    }

    fn lie(&mut self) {
        let verdict = if self.dice.falls(1, 4) { Verdict::Invalid } else { Verdict::Valid };
        let fresh = self.fresh_block(verdict);
        let Some(word) = self.traitors.lie(&self.ground, &mut self.dice, fresh) else { return };
        for at in 0..self.members.len() {
            if self.dice.falls(1, 2) {
                self.members[at].inbox.push(word.clone());
            }
        }
    }

    fn fresh_block(&mut self, verdict: Verdict) -> BlockHash {
        self.fresh += 1;
        Ground::block(self.fresh, verdict)
    }

    fn with(&mut self, at: usize, act: impl FnOnce(&mut Life)) {
        if let Process::Runs(life) = &mut self.members[at].process {
            act(life);
            self.collect(at);
        }
    }

    /// Takes what a process has said and told, and checks it.
    fn collect(&mut self, at: usize) {
        let member = &mut self.members[at];
        let Process::Runs(life) = &mut member.process else { return };
        let (said, told) = (life.take_out(), life.take_told());
        for word in said {
            self.say(at, &word);
        }
        for told in told {
            self.note(at, told);
        }
    }

    fn say(&mut self, at: usize, word: &Word) {
        let (seat, side) = (self.members[at].seat, self.members[at].side);
        let statement = match word {
            Word::Vote(vote) => Some(((seat, vote.round, Some(vote.kind)), Statement::Vote(vote.clone()))),
            Word::Proposal { proposal, .. } => {
                Some(((seat, proposal.round, None), Statement::Proposal(proposal.clone())))
            }
            Word::Certificate(_) | Word::Block(_) => None,
        };
        if let (Some((key, statement)), Side::Correct) = (statement, side) {
            let first = self.signed.entry(key).or_insert_with(|| statement.clone());
            assert_eq!(*first, statement, "a correct node contradicts itself");
        }
        self.traitors.overhear(&self.ground, word);
        self.tally.again +=
            u32::from(matches!(word, Word::Proposal { proposal, .. } if proposal.valid_round.is_some()));
        for (other, member) in self.members.iter_mut().enumerate() {
            if other != at {
                member.inbox.push(word.clone());
            }
        }
    }

    fn note(&mut self, at: usize, told: Told) {
        let member = &mut self.members[at];
        match told {
            Told::Decided(commit) => {
                assert_eq!((self.ground.fault(&commit), commit.kind), (None, VoteKind::Precommit));
                member.decided = Some(commit.clone());
                let first = self.decided.get_or_insert_with(|| commit.clone());
                assert_eq!(first.block, commit.block, "two blocks are final at one height");
            }
            Told::Equivocation(evidence) => {
                let seat = self.ground.registry.index_of(&evidence.node).expect("a registered masternode");
                let correct = self.members.iter().any(|m| m.seat == seat && m.side == Side::Correct);
                assert!(!correct, "a correct node is accused: {evidence:?}");
                assert_ne!(evidence.first, evidence.second);
                self.tally.evidence += 1;
            }
            Told::Foreign(statement) => {
                assert_eq!(member.side, Side::Twin, "a correct node disowns {statement:?}");
            }
        }
    }

    /// Everything that can happen without a time-out happens.
    fn settle(&mut self) {
        loop {
            let mut changed = false;
            for at in 0..self.members.len() {
                while self.members[at].life_mut().is_some_and(Life::write_one) {
                    self.collect(at);
                    changed = true;
                }
                if self.members[at].life().is_some_and(Life::is_asked) {
                    self.produce(at);
                    changed = true;
                }
                while !self.members[at].inbox.is_empty() {
                    let index = self.dice.below(self.members[at].inbox.len());
                    let word = self.members[at].inbox.swap_remove(index);
                    self.hear(at, word);
                    changed = true;
                }
            }
            if !changed && !self.gossip() {
                return;
            }
        }
    }

    /// Everybody tells everybody what he holds, and gets what he lacks (rule C-12). True if anybody got something.
    fn gossip(&mut self) -> bool {
        let mut changed = false;
        for to in 0..self.members.len() {
            for from in 0..self.members.len() {
                let (Some(asks), Some(gives)) = (self.members[to].life(), self.members[from].life()) else {
                    continue;
                };
                if to == from || self.members[to].decided.is_some() {
                    continue;
                }
                let before = asks.consensus().clone();
                for word in answer(asks, gives) {
                    self.hear(to, word);
                }
                changed |= self.members[to].life().is_some_and(|life| *life.consensus() != before);
            }
        }
        changed
    }

    /// The next time-out comes.
    fn wait(&mut self) {
        for member in &mut self.members {
            let Process::Runs(life) = &member.process else { continue };
            member.due.retain(|timer, _| life.timers().contains(timer));
            for timer in life.timers() {
                member.due.entry(*timer).or_insert(self.now + timer.after(INTERVAL));
            }
        }
        let all = self.members.iter().flat_map(|member| member.due.values());
        self.now = all.min().copied().unwrap_or_else(|| panic!("nothing will ever happen again: {self:#?}"));
        for at in 0..self.members.len() {
            let due: Vec<Timer> = self.members[at]
                .due
                .iter()
                .filter(|(_, at)| **at <= self.now)
                .map(|(timer, _)| *timer)
                .collect();
            for timer in due {
                self.members[at].due.remove(&timer);
                self.with(at, |life| life.time_out(timer));
            }
        }
    }
}

impl Member {
    fn life(&self) -> Option<&Life> {
        match &self.process {
            Process::Runs(life) => Some(life),
            Process::Down(_) => None,
        }
    }

    fn life_mut(&mut self) -> Option<&mut Life> {
        match &mut self.process {
            Process::Runs(life) => Some(life),
            Process::Down(_) => None,
        }
    }

    /// What a twin's other process has signed does not reach it: it would fall silent.
    fn accepts(&self, ground: &Ground, word: &Word) -> bool {
        let own = |id| ground.registry.index_of(id) == Some(self.seat);
        self.side == Side::Correct
            || match word {
                Word::Vote(vote) => !own(&vote.voter),
                Word::Proposal { proposal, .. } => !own(&proposal.proposer),
                Word::Certificate(certificate) => !certificate.signers.contains(self.seat),
                Word::Block(_) => true,
            }
    }
}

/// What one node answers to what another holds.
fn answer(asks: &Life, gives: &Life) -> Vec<Word> {
    let (there, here) = (asks.consensus(), gives.consensus());
    let mut words = Vec::new();
    if let Some(commit) = here.commit() {
        if gives.has(&commit.block) {
            words.push(Word::Block(commit.block));
        }
        words.push(Word::Certificate(commit));
        return words;
    }
    let round = there.round();
    let held = Held { height: there.height(), round, proposal: there.proposed(round), rounds: there.held() };
    if there.proposed(round).is_none_or(|block| !asks.has(&block)) {
        words.extend(gives.proposal(round));
    }
    words.extend(here.lacking(&held).into_iter().map(Word::Vote));
    words.extend(there.wanted().filter(|block| gives.has(block)).map(Word::Block));
    words
}

/// Says which seed it was when a height goes wrong.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!(
                "seed {seed}: repeat with TIMED_SEED={seed} cargo test -p timed-tests --test rounds_storm"
            );
        }
    }
}
