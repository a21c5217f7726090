//! Every way in which a height of few nodes can go, within bounds.
//!
//! A state is what is on the disks: what every correct node has said, its lock, its valid block. A step takes one
//! node from there to its next word or its next valid block: it starts anew from its disk, is given what it takes
//! to say something (a proposal; a polka; a quorum for nil or for nothing in particular; two voices of a later
//! round), in any order, with time-outs whenever they are set, until it says it. What it is given comes from what
//! has been said, and from traitors, who say everything to everybody and show each what suits them.
//!
//! Nothing is lost by it. A node that does not crash has heard more than one that starts anew, but it is given
//! that again if it matters; votes that do not complete a quorum make no node say anything; and whatever a node
//! may say because of votes that it holds, it may say as soon as they exist. Crashes are part of it at every point
//! where something has become durable.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::time::{Duration, Instant};

use timed_core::rounds::{Consensus, OwnVote, Polka, Record, Timeliness, Timer, Verdict};
use timed_core::{BlockHash, Height, MasternodeIndex, Round, SeatSet, Step, VoteKind};

use super::ground::Ground;
use super::life::{Disk, Life};
use super::word::{Body, Word};

/// How far the search goes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Masternodes.
    pub size: u8,
    /// The first so many seats are traitors.
    pub traitors: u8,
    /// The round that seat 0 leads first.
    pub led: u32,
    /// Rounds, from 0.
    pub rounds: u32,
    /// States at most.
    pub states: usize,
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// States met.
    pub states: usize,
    /// Steps taken from them.
    pub steps: usize,
    /// States in which somebody is locked.
    pub locked: usize,
    /// States in which a block can be final.
    pub decided: usize,
    /// The way to a state in which two blocks can be final: the disks after each step.
    pub wrong: Option<Vec<Vec<Disk>>>,
    /// Whether every state within the bounds was met.
    pub complete: bool,
    /// Real time.
    pub took: Duration,
}

/// What lies on the disks of the correct nodes, as far as it makes a difference.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State(Vec<Known>);

/// A disk without the signers of its certificates: whoever is shown one is shown any that can be made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Known {
    record: Option<Record>,
    valid: Option<(Round, BlockHash)>,
}

struct Search {
    bounds: Bounds,
    ground: Ground,
    traitors: SeatSet,
}

/// Goes everywhere within the bounds, or to the first state in which two blocks can be final.
#[must_use]
pub fn explore(bounds: Bounds) -> Found {
    let began = Instant::now();
    let size = u64::from(bounds.size);
    let height = Height(size - u64::from(bounds.led) % size);
    let search = Search {
        bounds,
        ground: Ground::new(height, bounds.size),
        traitors: (0..bounds.traitors).map(MasternodeIndex).collect(),
    };
    let nobody = Known { record: None, valid: None };
    let first = State(vec![nobody; usize::from(bounds.size - bounds.traitors)]);
    let mut met: Vec<(State, usize)> = vec![(first.clone(), 0)];
    let mut seen = HashSet::from([first]);
    let mut found = Found {
        states: 0,
        steps: 0,
        locked: 0,
        decided: 0,
        wrong: None,
        complete: true,
        took: Duration::ZERO,
    };
    while let Some((state, _)) = met.get(found.states).cloned() {
        let final_blocks = search.final_blocks(&state);
        found.decided += usize::from(!final_blocks.is_empty());
        found.locked += usize::from(state.0.iter().any(Known::is_locked));
        if final_blocks.len() > 1 {
            found.wrong = Some(search.way(&met, found.states));
        }
        found.states += 1;
        if found.wrong.is_some() || found.states >= bounds.states {
            found.complete = false;
            break;
        }
        for node in 0..state.0.len() {
            for known in search.next(&state, node) {
                found.steps += 1;
                let mut after = state.clone();
                after.0[node] = known;
                search.sort(&mut after);
                if seen.insert(after.clone()) {
                    met.push((after, found.states - 1));
                }
            }
        }
    }
    found.took = began.elapsed();
    found
}

impl Known {
    fn is_locked(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.locked.is_some())
    }

    fn of(disk: &Disk) -> Self {
        let record = disk.record.clone().map(|record| Record { reasons: Vec::new(), ..record });
        Self { record, valid: disk.valid.as_ref().map(|polka| (polka.round, polka.block)) }
    }
}

impl State {
    /// Who has voted so, among the correct.
    fn voted(&self, traitors: u8, vote: OwnVote) -> SeatSet {
        let nodes = self.0.iter().zip(traitors..);
        let so = |known: &Known| known.record.iter().any(|record| record.votes.contains(&vote));
        nodes.filter(|(known, _)| so(known)).map(|(_, seat)| MasternodeIndex(seat)).collect()
    }

    fn votes(&self) -> impl Iterator<Item = OwnVote> {
        self.0.iter().flat_map(|known| &known.record).flat_map(|record| record.votes.iter().copied())
    }
}

impl Search {
    /// Those who lead no round are interchangeable.
    fn sort(&self, state: &mut State) {
        let leads =
            |seat: u8| (0..self.bounds.rounds).any(|round| self.ground.leader(Round(round)).0 == seat);
        let followers: Vec<usize> = (0..state.0.len())
            .zip(self.bounds.traitors..)
            .filter(|(_, seat)| !leads(*seat))
            .map(|(at, _)| at)
            .collect();
        let mut known: Vec<Known> = followers.iter().map(|at| state.0[*at].clone()).collect();
        known.sort_by_cached_key(|known| format!("{known:?}"));
        for (at, known) in followers.into_iter().zip(known) {
            state.0[at] = known;
        }
    }

    /// Who can be shown to have voted so.
    fn support(&self, state: &State, vote: OwnVote) -> SeatSet {
        SeatSet(state.voted(self.bounds.traitors, vote).0 | self.traitors.0)
    }

    /// Blocks that anybody has voted for, and those that a traitor may propose.
    fn blocks(&self, state: &State) -> BTreeSet<BlockHash> {
        let own = [1, 2].map(|number| Ground::block(number, Verdict::Valid));
        let leads =
            (0..self.bounds.rounds).any(|round| self.traitors.contains(self.ground.leader(Round(round))));
        state.votes().filter_map(|vote| vote.block).chain(own.into_iter().filter(|_| leads)).collect()
    }

    fn is_quorum(&self, seats: SeatSet) -> bool {
        seats.len() >= self.ground.registry.quorum()
    }

    /// Blocks of which a commit certificate can be made.
    fn final_blocks(&self, state: &State) -> BTreeSet<BlockHash> {
        let precommits: BTreeSet<OwnVote> =
            state.votes().filter(|vote| vote.kind == VoteKind::Precommit && vote.block.is_some()).collect();
        let quorum = |vote: &OwnVote| self.is_quorum(self.support(state, *vote));
        precommits.into_iter().filter(quorum).filter_map(|vote| vote.block).collect()
    }

    fn disk(&self, state: &State, known: &Known) -> Disk {
        let polka = |(round, block)| {
            let vote = OwnVote { kind: VoteKind::Prevote, round, block: Some(block) };
            self.ground.certificate(VoteKind::Prevote, round, block, self.support(state, vote))
        };
        Disk { record: known.record.clone(), valid: known.valid.map(polka) }
    }

    /// What can be on a node's disk next.
    fn next(&self, state: &State, node: usize) -> Vec<Known> {
        let (before, seat) = (&state.0[node], self.bounds.traitors + u8::try_from(node).expect("few nodes"));
        let mut life = Life::new(&self.ground, MasternodeIndex(seat), self.disk(state, before));
        life.start();
        while life.write_one() {}
        let (mut seen, mut next) = (HashSet::new(), Vec::new());
        let mut open = VecDeque::from([life]);
        while let Some(life) = open.pop_front() {
            if !seen.insert(mind(&life)) || life.consensus().round().0 >= self.bounds.rounds {
                continue;
            }
            for mut life in self.given(state, &life) {
                // Only the first write counts: a crash may come after it.
                let wrote = life.write_one();
                let after = Known::of(life.disk());
                if after == *before {
                    if !wrote {
                        open.push_back(life);
                    }
                    continue;
                }
                assert!(extends(before, &after), "a word is taken back: {before:?} {after:?}");
                if !next.contains(&after) {
                    next.push(after);
                }
            }
        }
        next
    }

    /// A node after each of the things that it can be given or that can happen to it.
    fn given(&self, state: &State, life: &Life) -> Vec<Life> {
        let mut after = Vec::new();
        for timer in life.timers() {
            let mut life = life.clone();
            life.time_out(*timer);
            after.push(life);
        }
        if life.is_asked() {
            let mut life = life.clone();
            let number = 10 + u64::from(life.consensus().round().0);
            life.produce(Ground::block(number, Verdict::Valid));
            after.push(life);
        }
        for words in self.words(state, life.consensus()) {
            let mut life = life.clone();
            for word in &words {
                life.hear(word);
            }
            after.push(life);
        }
        after
    }

    /// What a node can be told, by bundles of which each may make it say something.
    fn words(&self, state: &State, node: &Consensus) -> Vec<Vec<Word>> {
        let round = node.round();
        let mut bundles = Vec::new();
        for block in self.blocks(state) {
            for earlier in (0..=round.0).map(Round) {
                let prevote = OwnVote { kind: VoteKind::Prevote, round: earlier, block: Some(block) };
                let signers = self.support(state, prevote);
                if self.is_quorum(signers) {
                    let polka = self.ground.certificate(VoteKind::Prevote, earlier, block, signers);
                    bundles.push(vec![Word::Certificate(polka), Word::Block(block)]);
                }
            }
        }
        bundles.extend(self.proposals(state, round).into_iter().map(|word| vec![word]));
        for kind in [VoteKind::Prevote, VoteKind::Precommit] {
            bundles.extend(self.quorums(state, kind, round));
        }
        for later in (round.0 + 1..self.bounds.rounds).map(Round) {
            bundles.extend(self.voices(state, later));
        }
        bundles
    }

    /// Everything that the leader of a round has proposed, or may say that it has.
    fn proposals(&self, state: &State, round: Round) -> Vec<Word> {
        let leader = self.ground.leader(round);
        let word = |block, shown: Option<Round>| {
            let polka = shown.map(|shown| {
                let prevote = OwnVote { kind: VoteKind::Prevote, round: shown, block: Some(block) };
                self.ground.certificate(VoteKind::Prevote, shown, block, self.support(state, prevote))
            });
            let proposal = self.ground.proposal(round, shown, block);
            Word::Proposal { proposal, polka, body: Body::Sent, timeliness: Timeliness::Timely }
        };
        if self.traitors.contains(leader) {
            let mut words = Vec::new();
            for block in self.blocks(state) {
                words.push(word(block, None));
                for shown in (0..round.0).map(Round) {
                    let prevote = OwnVote { kind: VoteKind::Prevote, round: shown, block: Some(block) };
                    if self.is_quorum(self.support(state, prevote)) {
                        words.push(word(block, Some(shown)));
                    }
                }
            }
            return words;
        }
        let known = &state.0[usize::from(leader.0 - self.bounds.traitors)];
        let made = known.record.iter().flat_map(|record| &record.proposals);
        made.filter(|made| made.round == round).map(|made| word(made.block, made.valid_round)).collect()
    }

    /// Every smallest quorum that has voted in a round, as somebody may be shown it; traitors have voted nil. (If
    /// one for a block is shown with a traitor's vote, it is shown as a polka.)
    fn quorums(&self, state: &State, kind: VoteKind, round: Round) -> Vec<Vec<Word>> {
        let mut cast: Vec<Word> = Vec::new();
        for traitor in self.traitors.iter() {
            cast.push(Word::Vote(self.ground.vote(traitor, OwnVote { kind, round, block: None })));
        }
        let votes: BTreeSet<OwnVote> =
            state.votes().filter(|vote| (vote.kind, vote.round) == (kind, round)).collect();
        for vote in votes {
            let voters = state.voted(self.bounds.traitors, vote);
            cast.extend(voters.iter().map(|seat| Word::Vote(self.ground.vote(seat, vote))));
        }
        let quorum = self.ground.registry.quorum();
        let choices = (0u32..1 << cast.len()).filter(|choice| choice.count_ones() as usize == quorum);
        choices
            .map(|choice| {
                let chosen = cast.iter().enumerate().filter(|(i, _)| choice & (1 << i) != 0);
                chosen.map(|(_, word)| word.clone()).collect()
            })
            .collect()
    }

    /// More than a third in a later round.
    fn voices(&self, state: &State, round: Round) -> Option<Vec<Word>> {
        let needed = self.ground.registry.size() / 3 + 1;
        let mut words: Vec<Word> = Vec::new();
        let mut heard = SeatSet::EMPTY;
        for vote in state.votes().filter(|vote| vote.round == round) {
            for seat in state.voted(self.bounds.traitors, vote).iter().filter(|seat| !heard.contains(*seat)) {
                words.push(Word::Vote(self.ground.vote(seat, vote)));
            }
            heard = SeatSet(heard.0 | state.voted(self.bounds.traitors, vote).0);
        }
        let nil = OwnVote { kind: VoteKind::Prevote, round, block: None };
        words.splice(0..0, self.traitors.iter().map(|traitor| Word::Vote(self.ground.vote(traitor, nil))));
        words.truncate(needed);
        (words.len() == needed).then_some(words)
    }

    /// How the search came to a state.
    fn way(&self, met: &[(State, usize)], mut at: usize) -> Vec<Vec<Disk>> {
        let mut way = Vec::new();
        while at != 0 {
            let (state, before) = &met[at];
            way.push(state.0.iter().map(|known| self.disk(state, known)).collect());
            at = *before;
        }
        way.reverse();
        way
    }
}

/// What a process has in mind. Which votes it holds is no part of it: what it may say because of them it may say
/// as soon as they are given to it again.
type Mind = (Round, Step, Option<Polka>, Option<Polka>, BTreeSet<Timer>, bool);

fn mind(life: &Life) -> Mind {
    let node = life.consensus();
    let timers = life.timers().iter().copied().collect();
    (node.round(), node.step(), node.locked(), node.valid(), timers, life.is_asked())
}

/// Whether everything that was said before is still said.
fn extends(before: &Known, after: &Known) -> bool {
    let Some(said) = &before.record else { return true };
    let Some(says) = &after.record else { return false };
    said.votes.iter().all(|vote| says.votes.contains(vote))
        && said.proposals.iter().all(|proposal| says.proposals.contains(proposal))
        && said.round <= says.round
        && said.locked.map(|(round, _)| round) <= says.locked.map(|(round, _)| round)
}
