//! What holds of one node whatever it is told, in whatever order, by however many liars, and wherever it crashes.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use proptest::prelude::*;

use super::*;

/// This node. It leads round 2.
const OWN: u8 = 1;
const INVALID: BlockHash = BlockHash([0xcc; 32]);

/// Something that comes from outside, as far as it is verified: nothing of it is signed with our key.
#[derive(Clone, Debug)]
enum Told {
    Vote(VoteKind, u8, u32, Option<BlockHash>),
    Proposal(u32, Option<u32>, BlockHash),
    Judged(BlockHash),
    Certificate(VoteKind, u32, BlockHash),
    TimeOut(Timeout, u32),
    /// The application's block, if this node leads.
    Produced(BlockHash),
    /// An own vote comes back, durable.
    Back,
    /// The process dies and starts anew from what is durable.
    Crash,
}

fn block() -> impl Strategy<Value = BlockHash> {
    prop_oneof![4 => Just(X), 2 => Just(Y), 1 => Just(INVALID)]
}

fn kind() -> impl Strategy<Value = VoteKind> {
    prop_oneof![Just(VoteKind::Prevote), Just(VoteKind::Precommit)]
}

fn told() -> impl Strategy<Value = Told> {
    let round = || prop_oneof![6 => 0..4u32, 1 => 0..20u32];
    let timeout = prop_oneof![Just(Timeout::Propose), Just(Timeout::Prevote), Just(Timeout::Precommit)];
    let voter = prop_oneof![Just(0u8), Just(2), Just(3)];
    prop_oneof![
        12 => (kind(), voter, round(), proptest::option::weighted(0.7, block()))
            .prop_map(|(kind, seat, round, block)| Told::Vote(kind, seat, round, block)),
        3 => (round(), proptest::option::of(0..4u32), block())
            .prop_map(|(round, shown, block)| Told::Proposal(round, shown, block)),
        2 => block().prop_map(Told::Judged),
        1 => (kind(), round(), block()).prop_map(|(kind, round, block)| Told::Certificate(kind, round, block)),
        4 => (timeout, round()).prop_map(|(timeout, round)| Told::TimeOut(timeout, round)),
        1 => block().prop_filter("one's own is valid", |block| *block != INVALID).prop_map(Told::Produced),
        4 => Just(Told::Back),
        1 => Just(Told::Crash),
    ]
}

/// A node with its disk, where everything becomes durable at once, and everything that it has ever said.
#[derive(Clone, Debug)]
struct Watched {
    node: Consensus,
    record: Option<Record>,
    valid: Option<Certificate>,
    said: BTreeMap<(Round, VoteKind), Option<BlockHash>>,
    proposed: BTreeMap<Round, BlockHash>,
    coming_back: Vec<Vote>,
    decisions: u32,
}

impl Watched {
    fn new() -> Self {
        let mut watched = Self {
            node: node(OWN),
            record: None,
            valid: None,
            said: BTreeMap::new(),
            proposed: BTreeMap::new(),
            coming_back: Vec::new(),
            decisions: 0,
        };
        let acts = watched.node.start();
        watched.note(&acts);
        watched
    }

    fn hear(&mut self, told: &Told) {
        let acts = match told {
            Told::Vote(kind, seat, round, block) => self.node.vote(&vote(*kind, *seat, *round, *block)),
            Told::Proposal(round, shown, block) => {
                let proposal = proposal(&self.node.registry, *round, *block, *shown);
                if proposal.proposer == id(OWN) {
                    return;
                }
                self.node.proposal(&proposal, Timeliness::Timely)
            }
            Told::Judged(block) => {
                let verdict = if *block == INVALID { Verdict::Invalid } else { Verdict::Valid };
                self.node.block_judged(*block, verdict)
            }
            Told::Certificate(kind, round, block) => {
                self.node.certificate(&certificate(*kind, &[0, 2, 3], *round, *block))
            }
            Told::TimeOut(timeout, round) => self.node.timeout(timer(*timeout, *round)),
            Told::Produced(block) => {
                let round = self.node.round();
                let own = proposal(&self.node.registry, round.0, *block, None);
                let Ok(acts) = self.node.propose(&own) else { return };
                assert_eq!(self.proposed.insert(round, *block), None, "a second proposal of {round:?}");
                self.record = Some(self.node.record());
                acts
            }
            Told::Back => match self.coming_back.pop() {
                Some(own) => self.node.vote(&own),
                None => return,
            },
            Told::Crash => return self.crash(),
        };
        self.note(&acts);
    }

    fn crash(&mut self) {
        self.node = node(OWN);
        self.coming_back.clear();
        self.decisions = 0;
        if let Some(record) = self.record.clone() {
            assert!(self.node.resume(record, self.valid.as_ref()));
        }
        let acts = self.node.start();
        if let Some(valid) = self.valid.as_ref().map(|polka| polka.block) {
            self.note(&acts);
            let acts = self.node.block_judged(valid, Verdict::Valid);
            return self.note(&acts);
        }
        self.note(&acts);
    }

    fn note(&mut self, acts: &[Act]) {
        for act in acts {
            match act {
                Act::Vote(OwnVote { kind, round, block }) => {
                    let first = *self.said.entry((*round, *kind)).or_insert(*block);
                    assert_eq!(first, *block, "two {kind:?}s of {round:?}");
                    assert_ne!(*block, Some(INVALID));
                    self.coming_back.push(vote(*kind, OWN, round.0, *block));
                    self.record = Some(self.node.record());
                }
                Act::Valid(polka) => {
                    assert_eq!((polka.kind, polka.signers.len() >= 3), (VoteKind::Prevote, true));
                    self.valid = Some((**polka).clone());
                }
                Act::Decide(commit) => {
                    self.decisions += 1;
                    assert_eq!((commit.kind, commit.signers.len() >= 3), (VoteKind::Precommit, true));
                    assert_eq!(commit.signers.len(), commit.signatures.len());
                    assert_eq!(self.node.verdict(&commit.block), Some(Verdict::Valid));
                    assert_eq!(self.decisions, 1, "decided twice");
                }
                Act::Foreign(statement) => panic!("it disowns {statement:?}"),
                _ => {}
            }
        }
    }
}

fn hash(node: &Consensus) -> u64 {
    let mut hasher = DefaultHasher::new();
    node.hash(&mut hasher);
    hasher.finish()
}

/// A lock or a valid block may change only for one of a later round, and not without its polka.
fn only_with_a_polka(what: &str, node: &Consensus, before: Option<Polka>, now: Option<Polka>) {
    if before == now {
        return;
    }
    let (round, block) = now.unwrap_or_else(|| panic!("{what} is lost"));
    assert!(before.is_none_or(|(earlier, _)| earlier < round), "{what} goes from {before:?} to {now:?}");
    let polka = node.polka(round).unwrap_or_else(|| panic!("{what} without a polka"));
    assert_eq!((polka.block, polka.signers.len() >= 3), (block, true), "{what}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Every vote and proposal is the only one of its kind and round, through all crashes; what is locked or valid
    /// has a polka and changes forwards only; a decision has its certificate and its block.
    #[test]
    fn prod_06_no_input_makes_a_node_contradict_itself(story in proptest::collection::vec(told(), 0..150)) {
        let mut watched = Watched::new();
        for told in &story {
            let before = watched.node.clone();
            watched.hear(told);
            let node = &watched.node;
            if matches!(told, Told::Crash) {
                prop_assert_eq!(node.locked(), watched.record.as_ref().and_then(|record| record.locked));
                continue;
            }
            only_with_a_polka("the lock", node, before.locked(), node.locked());
            only_with_a_polka("the valid block", node, before.valid(), node.valid());
            prop_assert!(node.locked().is_none_or(|lock| node.valid().is_some_and(|valid| lock.0 <= valid.0)));
            prop_assert!((before.round(), before.step()) <= (node.round(), node.step()) || node.step() == Step::Decided);
        }
    }

    /// Time-outs of rounds that are over do nothing, and neither does a vote that is said to be known.
    #[test]
    fn prod_03b_what_is_over_changes_nothing(story in proptest::collection::vec(told(), 0..60)) {
        let mut watched = Watched::new();
        for told in &story {
            watched.hear(told);
            let mut node = watched.node.clone();
            for round in 0..node.round().0 {
                for timeout in [Timeout::Propose, Timeout::Prevote, Timeout::Precommit] {
                    prop_assert_eq!(node.timeout(timer(timeout, round)), Acts::new());
                }
            }
            if let Told::Vote(kind, seat, round, block) = told {
                let vote = vote(*kind, *seat, *round, *block);
                if node.known(&vote) {
                    prop_assert_eq!(node.vote(&vote), Acts::new());
                }
            }
            prop_assert_eq!(&node, &watched.node);
        }
    }

    /// The same story has the same outcome, in a clone too, and equal states have equal hashes.
    #[test]
    fn the_same_inputs_make_the_same_node(
        story in proptest::collection::vec(told(), 0..80),
        rest in proptest::collection::vec(told(), 0..40),
    ) {
        let (mut one, mut other) = (Watched::new(), Watched::new());
        story.iter().for_each(|told| one.hear(told));
        story.iter().for_each(|told| other.hear(told));
        prop_assert_eq!(&one.node, &other.node);
        let mut clone = one.clone();
        let kept = one.node.clone();
        rest.iter().for_each(|told| clone.hear(told));
        prop_assert_eq!(&one.node, &kept, "a clone leaves the original alone");
        rest.iter().for_each(|told| other.hear(told));
        prop_assert_eq!(&clone.node, &other.node);
        prop_assert_eq!(hash(&clone.node), hash(&other.node));
        prop_assert_eq!(&clone.said, &other.said);
    }

    /// Wherever it crashes, a node that starts from what is durable says again what it has said, and nothing else
    /// until it is told something.
    #[test]
    fn prod_06_a_restart_repeats_what_is_recorded(story in proptest::collection::vec(told(), 0..80)) {
        let mut watched = Watched::new();
        for told in &story {
            watched.hear(told);
            let Some(record) = watched.record.clone() else { continue };
            let mut again = node(OWN);
            prop_assert!(again.resume(record.clone(), watched.valid.as_ref()));
            let votes = again.start().into_iter().filter_map(|act| match act {
                Act::Vote(vote) => Some(vote),
                _ => None,
            });
            prop_assert_eq!(votes.collect::<Vec<_>>(), record.votes);
        }
    }
}
