//! What is of a round or a height that does not matter here changes nothing and takes no room.

use super::*;
use crate::limits::{OWN_PROPOSALS, OWN_VOTES};

/// A node that others have taken to a round.
fn at_round(seat: u8, round: u32) -> Consensus {
    let mut node = started(seat);
    let others = (0..4).filter(|other| *other != seat).take(2);
    vote_all(&mut node, others.map(|other| prevote(other, round, None)));
    assert_eq!(node.round(), Round(round));
    node
}

#[test]
fn c_13_a_silent_node_says_nothing_whatever_it_has_said_before() {
    let mut spoke = started(0);
    propose(&mut spoke, 0, X);
    let mut life = node(0);
    assert!(life.resume(spoke.record(), None));
    life.silence();
    let says = |act: &Act| matches!(act, Act::Vote(_) | Act::Propose(..));
    assert!(!life.start().iter().any(says));
    // It leads round 1, where the others go.
    assert!(!vote_all(&mut life, [1, 2].map(|seat| prevote(seat, 1, None))).iter().any(says));
    assert_eq!((life.round(), life.step()), (Round(1), Step::Propose));
    assert_eq!(life.propose(&proposal(&registry(4), 1, Y, None)), Err(NotDue));
}

#[test]
fn c_13_no_vote_is_cast_beside_the_recorded_one_however_the_record_came_about() {
    let mut spoke = started(1);
    propose(&mut spoke, 0, X);
    let mut life = node(1);
    assert!(life.resume(Record { step: Step::Propose, ..spoke.record() }, None));
    life.start();
    assert_eq!(life.timeout(timer(Timeout::Propose, 0)), []);
    assert_eq!(life.record().votes, spoke.record().votes);
}

#[test]
fn c_13_the_record_is_bounded_however_long_the_height_takes() {
    // Seat 0 leads each fourth round.
    let mut node = started(0);
    for round in 1..40 {
        vote_all(&mut node, [1, 2].map(|seat| prevote(seat, round, None)));
        let _ = node.propose(&proposal(&registry(4), round, X, None));
        node.timeout(timer(Timeout::Propose, round));
        let record = node.record();
        assert!(record.votes.len() <= OWN_VOTES && record.proposals.len() <= OWN_PROPOSALS, "round {round}");
    }
    assert!(!node.record().votes.is_empty() && !node.record().proposals.is_empty());
}

#[test]
fn c_13_an_own_statement_of_a_forgotten_round_is_nothing_foreign() {
    let mut node = at_round(1, 12);
    // Seat 1 leads round 2.
    let own = proposal(&node.registry, 2, X, None);
    assert_eq!(node.proposal(&own, Timeliness::Timely), []);
    assert_eq!(node.vote(&prevote(1, 2, Some(X))), []);
    assert_eq!(node.certificate(&polka(&[0, 1, 2], 2, X)), []);
    assert_eq!(node.voice(), Voice::Speaks);
}

#[test]
fn c_10_a_polka_of_the_round_itself_is_no_reason_to_propose_again() {
    // Seat 0 leads round 1, of which it has recorded the valid block and has not voted yet.
    let mut life = node(0);
    let record = Record { round: Round(1), step: Step::Propose, ..started(0).record() };
    assert!(life.resume(record, Some(&polka(&[1, 2, 3], 1, X))));
    assert!(life.start().contains(&Act::Propose(Round(1), None)));
}

#[test]
fn line_28_a_polka_for_another_block_shows_nothing() {
    let mut node = at_round(1, 1);
    node.certificate(&polka(&[0, 2, 3], 0, X));
    node.block_judged(Y, Verdict::Valid);
    assert_eq!(node.proposal(&proposal(&registry(4), 1, Y, Some(0)), Timeliness::Timely), []);
    assert_eq!(node.step(), Step::Propose);
}

#[test]
fn c_8_proposals_of_other_heights_and_of_forgotten_rounds_are_not_kept() {
    let mut node = started(1);
    let elsewhere =
        SignedProposal { height: Height(6), proposer: id(2), ..proposal(&registry(4), 0, X, None) };
    node.proposal(&elsewhere, Timeliness::Timely);
    assert_eq!(node.proposed(Round(0)), None);
    let fresh = proposal(&registry(4), 0, X, None);
    node.proposal(&fresh, Timeliness::Timely);
    assert_eq!(node.proposed(Round(0)), Some(X));
    vote_all(&mut node, [0, 2].map(|seat| prevote(seat, 12, None)));
    assert_eq!(node.proposed(Round(0)), None);
    node.proposal(&fresh, Timeliness::Timely);
    assert_eq!(node.proposed(Round(0)), None);
}

#[test]
fn c_8_of_the_later_proposals_of_a_leader_the_latest_are_kept() {
    let mut node = started(1);
    // Seat 3 leads each of them.
    for round in [12, 16, 8, 4] {
        node.proposal(&proposal(&registry(4), round, X, None), Timeliness::Timely);
    }
    assert_eq!([4, 8, 12, 16].map(|round| node.proposed(Round(round)).is_some()), [false, false, true, true]);
}

#[test]
fn c_8_verdicts_are_bounded_and_that_on_the_locked_block_stays() {
    let mut node = Consensus::new(HEIGHT, registry(64), Some(MasternodeIndex(1)), Voice::Speaks);
    node.start();
    propose(&mut node, 0, X);
    vote_all(&mut node, (0..43).map(|seat| prevote(seat, 0, Some(X))));
    assert_eq!(node.locked(), Some((Round(0), X)));
    vote_all(&mut node, (2..24).map(|seat| prevote(seat, 12, None)));
    let blocks: Vec<BlockHash> = (0..60).map(|seed| BlockHash([seed; 32])).collect();
    for (round, block) in (13..).zip(&blocks) {
        propose(&mut node, round, *block);
    }
    let judged = blocks.iter().filter(|block| node.verdict(block).is_some()).count();
    assert!(judged < 32, "{judged}");
    assert_eq!(node.verdict(&X), Some(Verdict::Valid));
}
