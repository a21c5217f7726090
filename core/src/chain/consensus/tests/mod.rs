//! The consensus of one height, one node at a time: what it does with what it is told, in whatever order.

mod forgetting;
mod locks;
mod orders;
mod properties;
mod restarts;

use super::sample::{HEIGHT, X, Y, certificate, id, precommit, prevote, proposal, registry, vote};
use super::*;
use crate::chain::timeouts::Timeout;
use crate::event::Evidence;

/// The node at a seat of a registry of four. Round 0 of [`HEIGHT`] is led by seat 3, round 1 by seat 0.
fn node(seat: u8) -> Consensus {
    Consensus::new(HEIGHT, registry(4), Some(MasternodeIndex(seat)), Voice::Speaks)
}

fn started(seat: u8) -> Consensus {
    let mut node = node(seat);
    node.start();
    node
}

fn timer(timeout: Timeout, round: u32) -> Timer {
    Timer { height: HEIGHT, round: Round(round), timeout }
}

/// The fresh proposal of a round, and that its block is valid.
fn propose(node: &mut Consensus, round: u32, block: BlockHash) -> Acts {
    let proposal = proposal(&node.registry, round, block, None);
    let mut acts = node.proposal(&proposal, Timeliness::Timely);
    acts.extend(node.block_judged(block, Verdict::Valid));
    acts
}

fn vote_all(node: &mut Consensus, votes: impl IntoIterator<Item = Vote>) -> Acts {
    votes.into_iter().flat_map(|vote| node.vote(&vote)).collect()
}

fn casts(kind: VoteKind, round: u32, block: Option<BlockHash>) -> Act {
    Act::Vote(OwnVote { kind, round: Round(round), block })
}

fn prevotes(round: u32, block: Option<BlockHash>) -> Act {
    casts(VoteKind::Prevote, round, block)
}

fn precommits(round: u32, block: Option<BlockHash>) -> Act {
    casts(VoteKind::Precommit, round, block)
}

fn polka(seats: &[u8], round: u32, block: BlockHash) -> Certificate {
    certificate(VoteKind::Prevote, seats, round, block)
}

fn commit(seats: &[u8], round: u32, block: BlockHash) -> Certificate {
    certificate(VoteKind::Precommit, seats, round, block)
}

fn decides(seats: &[u8], round: u32, block: BlockHash) -> Act {
    Act::Decide(Box::new(commit(seats, round, block)))
}

#[test]
fn a_height_is_decided_in_four_steps() {
    let mut node = node(1);
    let schedule = |timeout| Act::Schedule(timer(timeout, 0));
    assert_eq!(node.start(), [Act::RoundStarted(Round(0)), schedule(Timeout::Propose)]);
    assert_eq!(propose(&mut node, 0, X), [prevotes(0, Some(X))]);
    assert_eq!(vote_all(&mut node, [0, 3].map(|seat| prevote(seat, 0, Some(X)))), []);
    let valid = Act::Valid(Box::new(polka(&[0, 1, 3], 0, X)));
    assert_eq!(node.vote(&prevote(1, 0, Some(X))), [valid, precommits(0, Some(X))]);
    assert_eq!(vote_all(&mut node, [0, 2].map(|seat| precommit(seat, 0, Some(X)))), []);
    assert_eq!(node.vote(&precommit(1, 0, Some(X))), [decides(&[0, 1, 2], 0, X)]);
    // What comes later makes the certificate larger.
    assert_eq!(node.vote(&precommit(3, 0, Some(X))), []);
    assert_eq!(node.commit(), Some(commit(&[0, 1, 2, 3], 0, X)));
}

#[test]
fn the_leader_s_proposal_and_its_prevote_are_in_one_record() {
    let mut node = node(3);
    let leads = Act::Propose(Round(0), None);
    let acts = node.start();
    assert_eq!(acts, [Act::RoundStarted(Round(0)), leads, Act::Schedule(timer(Timeout::Propose, 0))]);
    let own = proposal(&node.registry, 0, X, None);
    assert_eq!(node.propose(&own), Ok(vec![prevotes(0, Some(X))]));
    let record = node.record();
    assert_eq!(record.proposals, [OwnProposal { round: Round(0), valid_round: None, block: X }]);
    assert_eq!(record.votes, [OwnVote { kind: VoteKind::Prevote, round: Round(0), block: Some(X) }]);
    // Whoever sends it back tells nothing new.
    assert_eq!(node.proposal(&own, Timeliness::Timely), []);
    assert_eq!(node.propose(&proposal(&node.registry, 0, Y, None)), Err(NotDue));
}

#[test]
fn a_proposal_of_ones_own_is_made_in_its_round_only() {
    let fresh = |node: &Consensus, round| proposal(&node.registry, round, X, None);
    let mut waiting = node(3);
    assert_eq!(waiting.propose(&fresh(&waiting, 0)), Err(NotDue));
    let mut late = started(3);
    late.timeout(timer(Timeout::Propose, 0));
    assert_eq!(late.propose(&fresh(&late, 0)), Err(NotDue));
    let mut another = started(2);
    assert_eq!(another.propose(&fresh(&another, 0)), Err(NotDue));
    let mut early = started(0);
    assert_eq!(early.propose(&fresh(&early, 1)), Err(NotDue));
    let mut elsewhere = started(3);
    let other = SignedProposal { height: Height(11), ..fresh(&elsewhere, 0) };
    assert_eq!(elsewhere.propose(&other), Err(NotDue));
    for node in [waiting, late, another, early, elsewhere] {
        assert_eq!(node.record().proposals, []);
    }
}

#[test]
fn prod_03a_a_registry_of_one_decides_alone() {
    let mut node = Consensus::new(HEIGHT, registry(1), Some(MasternodeIndex(0)), Voice::Speaks);
    node.start();
    let own = proposal(&node.registry, 0, X, None);
    assert_eq!(node.propose(&own), Ok(vec![prevotes(0, Some(X))]));
    // Not before its votes come back, which is when they are durable.
    let acts = node.vote(&prevote(0, 0, Some(X)));
    assert_eq!(acts.last(), Some(&precommits(0, Some(X))));
    assert_eq!(node.vote(&precommit(0, 0, Some(X))), [decides(&[0], 0, X)]);
}

#[test]
fn prod_05a_an_absent_leader_is_followed_by_the_next() {
    let mut node = started(0);
    assert_eq!(node.timeout(timer(Timeout::Propose, 0)), [prevotes(0, None)]);
    let acts = vote_all(&mut node, [0, 1, 2].map(|seat| prevote(seat, 0, None)));
    assert_eq!(acts, [precommits(0, None)]);
    let acts = vote_all(&mut node, [0, 1, 2].map(|seat| precommit(seat, 0, None)));
    assert_eq!(acts, [Act::Schedule(timer(Timeout::Precommit, 0))]);
    let began = [
        Act::RoundStarted(Round(1)),
        Act::Propose(Round(1), None),
        Act::Schedule(timer(Timeout::Propose, 1)),
    ];
    assert_eq!(node.timeout(timer(Timeout::Precommit, 0)), began);
    let own = proposal(&node.registry, 1, Y, None);
    assert_eq!(node.propose(&own), Ok(vec![prevotes(1, Some(Y))]));
}

#[test]
fn prod_05b_a_proposal_that_missed_its_quorum_does_not_stand_in_the_way_of_another() {
    let mut node = started(3);
    node.propose(&proposal(&node.registry, 0, X, None)).unwrap();
    vote_all(&mut node, [prevote(3, 0, Some(X)), prevote(0, 0, None), prevote(1, 0, None)]);
    assert_eq!(node.timeout(timer(Timeout::Prevote, 0)), [precommits(0, None)]);
    vote_all(&mut node, [3, 0, 1].map(|seat| precommit(seat, 0, None)));
    assert_eq!(node.timeout(timer(Timeout::Precommit, 0)).first(), Some(&Act::RoundStarted(Round(1))));
    assert_eq!(propose(&mut node, 1, Y), [prevotes(1, Some(Y))]);
    vote_all(&mut node, [3, 0, 1].map(|seat| prevote(seat, 1, Some(Y))));
    let acts = vote_all(&mut node, [3, 0, 1].map(|seat| precommit(seat, 1, Some(Y))));
    assert_eq!(acts, [decides(&[0, 1, 3], 1, Y)]);
}

#[test]
fn prod_03b_time_outs_of_other_heights_and_rounds_do_nothing() {
    let mut node = started(1);
    vote_all(&mut node, [0, 2, 3].map(|seat| precommit(seat, 0, None)));
    let before = node.clone();
    for timeout in [Timeout::Propose, Timeout::Prevote, Timeout::Precommit] {
        for (height, round) in [(6, 0), (8, 0), (7, 1)] {
            let other = Timer { height: Height(height), round: Round(round), timeout };
            assert_eq!(node.timeout(other), [], "{other:?}");
        }
    }
    assert_eq!(node, before);
    propose(&mut node, 0, X);
    node.certificate(&commit(&[0, 2, 3], 1, X));
    assert_eq!(node.step(), Step::Decided);
    let decided = node.clone();
    for timeout in [Timeout::Propose, Timeout::Prevote, Timeout::Precommit] {
        assert_eq!(node.timeout(timer(timeout, 0)), []);
        assert_eq!(node.timeout(timer(timeout, 1)), []);
    }
    assert_eq!(node, decided);
}

#[test]
fn prod_03b_statements_of_other_heights_do_nothing() {
    let mut node = started(1);
    let before = node.clone();
    for height in [Height(6), Height(8)] {
        assert_eq!(node.vote(&Vote { height, ..prevote(0, 0, Some(X)) }), []);
        assert_eq!(node.vote(&Vote { height, ..prevote(1, 0, Some(X)) }), [], "with our own key");
        let fresh = SignedProposal { height, ..proposal(&node.registry, 0, X, None) };
        assert_eq!(node.proposal(&fresh, Timeliness::Timely), []);
        for kind in [VoteKind::Prevote, VoteKind::Precommit] {
            assert_eq!(node.certificate(&Certificate { height, ..certificate(kind, &[0, 1, 2], 0, X) }), []);
        }
    }
    assert_eq!(node, before);
}

#[test]
fn an_untimely_proposal_gets_a_nil_prevote_and_can_be_decided_all_the_same() {
    let mut node = started(1);
    let late = proposal(&node.registry, 0, X, None);
    assert_eq!(node.proposal(&late, Timeliness::Untimely), [prevotes(0, None)]);
    node.block_judged(X, Verdict::Valid);
    vote_all(&mut node, [prevote(1, 0, None)]);
    let acts = vote_all(&mut node, [0, 2, 3].map(|seat| prevote(seat, 0, Some(X))));
    assert_eq!(acts.last(), Some(&precommits(0, Some(X))));
}

#[test]
fn an_invalid_block_is_neither_prevoted_nor_locked_nor_decided() {
    let mut node = started(1);
    node.proposal(&proposal(&node.registry, 0, X, None), Timeliness::Timely);
    assert_eq!(node.block_judged(X, Verdict::Invalid), [prevotes(0, None)]);
    let acts = vote_all(&mut node, [0, 2, 3].map(|seat| prevote(seat, 0, Some(X))));
    assert_eq!(acts, [Act::Schedule(timer(Timeout::Prevote, 0))]);
    let acts = vote_all(&mut node, [0, 2, 3].map(|seat| precommit(seat, 0, Some(X))));
    assert_eq!(acts[0], Act::Certified(Box::new(commit(&[0, 2, 3], 0, X))));
    assert_eq!(node.block_judged(X, Verdict::Valid), [], "the first word stays");
    assert_eq!((node.wanted(), node.locked()), (None, None));
}

#[test]
fn a_block_that_a_quorum_wants_is_wanted_whoever_proposed_it() {
    let mut node = started(1);
    assert_eq!(propose(&mut node, 0, Y), [prevotes(0, Some(Y))]);
    vote_all(&mut node, [0, 2, 3].map(|seat| prevote(seat, 0, Some(X))));
    assert_eq!(node.wanted(), Some(X));
    assert_eq!(node.block_judged(X, Verdict::Valid).last(), Some(&precommits(0, Some(X))));
    assert_eq!(node.wanted(), None);
    let mut behind = started(1);
    let certified = behind.certificate(&commit(&[0, 2, 3], 2, X));
    assert_eq!(certified[0], Act::Certified(Box::new(commit(&[0, 2, 3], 2, X))));
    assert_eq!(behind.wanted(), Some(X));
    assert_eq!(behind.block_judged(X, Verdict::Valid), [decides(&[0, 2, 3], 2, X)]);
}

#[test]
fn somebody_silent_follows_and_decides_without_a_word() {
    let observer = Consensus::new(HEIGHT, registry(4), None, Voice::Speaks);
    let abstains = |seat| Consensus::new(HEIGHT, registry(4), Some(MasternodeIndex(seat)), Voice::Silent);
    for mut node in [observer, abstains(2), abstains(3)] {
        let mut acts = node.start();
        acts.extend(propose(&mut node, 0, X));
        acts.extend(vote_all(&mut node, [0, 1, 3].map(|seat| prevote(seat, 0, Some(X)))));
        assert_eq!(node.step(), Step::Precommit);
        acts.extend(vote_all(&mut node, [0, 1, 3].map(|seat| precommit(seat, 0, Some(X)))));
        assert_eq!(acts.last(), Some(&decides(&[0, 1, 3], 0, X)));
        assert!(!acts.iter().any(|act| matches!(act, Act::Vote(_) | Act::Propose(..) | Act::Foreign(_))));
        assert_eq!(node.record().votes, []);
    }
}

#[test]
fn prod_06_a_leader_s_second_proposal_is_evidence_and_changes_nothing() {
    let mut node = started(1);
    let [first, second] = [X, Y].map(|block| proposal(&node.registry, 0, block, None));
    assert_eq!(propose(&mut node, 0, X), [prevotes(0, Some(X))]);
    let told = Act::Equivocation(Box::new(Evidence {
        node: first.proposer,
        first: Statement::Proposal(first.clone()),
        second: Statement::Proposal(second.clone()),
    }));
    assert_eq!(node.proposal(&second, Timeliness::Timely), [told]);
    assert_eq!(node.proposal(&second, Timeliness::Timely), []);
    assert_eq!(node.proposal(&first, Timeliness::Timely), []);
    assert_eq!(node.proposed(Round(0)), Some(X));
    assert_eq!(node.block_judged(Y, Verdict::Valid), []);
}

#[test]
fn proposals_by_others_than_the_leader_and_with_impossible_rounds_are_ignored() {
    let mut node = started(1);
    let fresh = proposal(&node.registry, 0, X, None);
    for bad in [
        SignedProposal { proposer: id(2), ..fresh.clone() },
        SignedProposal { proposer: id(9), ..fresh },
        proposal(&node.registry, 1, X, Some(1)),
        proposal(&node.registry, 1, X, Some(2)),
    ] {
        assert_eq!(node.proposal(&bad, Timeliness::Timely), [], "{bad:?}");
        assert_eq!(node.proposed(bad.round), None, "{bad:?}");
    }
}

#[test]
fn proposals_of_rounds_far_ahead_are_bounded_for_each_leader() {
    let mut node = started(1);
    for round in 0..400 {
        node.proposal(&proposal(&node.registry, round, X, None), Timeliness::Timely);
    }
    let kept: Vec<u32> = (0..400).filter(|round| node.proposed(Round(*round)).is_some()).collect();
    assert_eq!(kept, [0, 1, 392, 393, 394, 395, 396, 397, 398, 399]);
}

#[test]
fn the_memory_of_judged_blocks_is_bounded_and_keeps_those_in_use() {
    let mut node = started(1);
    propose(&mut node, 0, X);
    for i in 0..1000u32 {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&i.to_le_bytes());
        node.block_judged(BlockHash(hash), Verdict::Invalid);
    }
    let remembered = (0..1000u32).filter(|i| {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&i.to_le_bytes());
        node.verdict(&BlockHash(hash)).is_some()
    });
    assert!(remembered.count() < 32);
    assert_eq!(node.verdict(&X), Some(Verdict::Valid));
}
