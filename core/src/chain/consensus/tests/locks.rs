//! Locks: who holds one must keep it, and be able to show why.

use super::*;

/// Seat 3 leads round 0 with X and prevotes both X and nil. Seat 0 sees a polka for X and locks; seats 1 and 2
/// count the nil, see none, and lock nothing.
fn torn_apart() -> [Consensus; 3] {
    let mut nodes = [started(0), started(1), started(2)];
    for (node, twice) in nodes.iter_mut().zip([Some(X), None, None]) {
        // Seat 2 gets the proposal when it has prevoted nil already.
        if node.is_own(MasternodeIndex(2)) {
            node.timeout(timer(Timeout::Propose, 0));
        }
        propose(node, 0, X);
        vote_all(
            node,
            [prevote(0, 0, Some(X)), prevote(1, 0, Some(X)), prevote(2, 0, None), prevote(3, 0, twice)],
        );
        node.timeout(timer(Timeout::Prevote, 0));
    }
    let [a, b, c] = &mut nodes;
    for node in [&mut *a, &mut *b, &mut *c] {
        let precommits = [precommit(0, 0, Some(X)), precommit(1, 0, None), precommit(2, 0, None)];
        vote_all(node, precommits);
        node.timeout(timer(Timeout::Precommit, 0));
        assert_eq!((node.round(), node.step()), (Round(1), Step::Propose));
    }
    assert_eq!([a.locked(), b.locked(), c.locked()], [Some((Round(0), X)), None, None]);
    nodes
}

/// The equivocator falls silent. The others need each other: the one that is locked leads, proposes its block again,
/// and has to convince two that have counted the equivocator's other vote.
#[test]
fn livelock_a_polka_with_an_equivocator_s_vote_convinces_those_who_counted_the_other() {
    let [mut a, mut b, mut c] = torn_apart();
    assert_eq!(a.valid(), Some((Round(0), X)));
    let again = proposal(&registry(4), 1, X, Some(0));
    assert_eq!(a.propose(&again), Ok(vec![prevotes(1, Some(X))]));
    let shown = a.polka(Round(0)).unwrap();
    assert_eq!(shown, polka(&[0, 1, 3], 0, X));

    for node in [&mut b, &mut c] {
        // The votes one by one do not convince, now or ever.
        assert_eq!(node.proposal(&again, Timeliness::Timely), []);
        assert!(a.lacking(&held(node)).is_empty(), "votes say nothing that {:?} does not hold", node.seat);
        let acts = node.certificate(&shown);
        assert!(matches!(&acts[0], Act::Equivocation(told) if told.node == id(3)));
        assert_eq!(acts[1..], [prevotes(1, Some(X))]);
        // Who was convinced can convince others.
        assert_eq!(node.polka(Round(0)), Some(shown.clone()));
    }
    for node in [&mut a, &mut b, &mut c] {
        vote_all(node, [0, 1, 2].map(|seat| prevote(seat, 1, Some(X))));
        let acts = vote_all(node, [0, 1, 2].map(|seat| precommit(seat, 1, Some(X))));
        assert_eq!(acts, [decides(&[0, 1, 2], 1, X)]);
    }
}

/// The same after all three have crashed: the polka is with the valid block.
#[test]
fn livelock_a_polka_outlives_a_crash_of_everybody() {
    let [a, b, c] = torn_apart();
    let shown = a.polka(Round(0));
    let [mut a, mut b, mut c] = [(a, shown.as_ref()), (b, None), (c, None)].map(|(node, polka)| {
        let mut again = Consensus::new(HEIGHT, registry(4), node.seat, Voice::Speaks);
        assert!(again.resume(node.record(), polka));
        again
    });
    let acts = a.start();
    // Its last record is of round 0; the precommits of round 0, said again, bring it to round 1.
    assert!(acts.contains(&precommits(0, Some(X))));
    b.start();
    c.start();
    for node in [&mut a, &mut b, &mut c] {
        vote_all(node, [prevote(0, 0, Some(X)), prevote(1, 0, Some(X)), prevote(2, 0, None)]);
        vote_all(node, [precommit(0, 0, Some(X)), precommit(1, 0, None), precommit(2, 0, None)]);
        node.timeout(timer(Timeout::Precommit, 0));
        assert_eq!(node.round(), Round(1));
    }
    assert_eq!(a.valid(), Some((Round(0), X)));
    let again = proposal(&registry(4), 1, X, Some(0));
    a.block_judged(X, Verdict::Valid);
    assert_eq!(a.propose(&again), Ok(vec![prevotes(1, Some(X))]));
    assert_eq!(a.polka(Round(0)), shown);
    for node in [&mut b, &mut c] {
        node.proposal(&again, Timeliness::Timely);
        node.block_judged(X, Verdict::Valid);
        assert_eq!(node.certificate(shown.as_ref().unwrap()).last(), Some(&prevotes(1, Some(X))));
    }
}

#[test]
fn a_locked_node_prevotes_nil_for_another_block_until_a_later_polka_is_shown() {
    let [mut a, ..] = torn_apart();
    a.timeout(timer(Timeout::Propose, 1));
    vote_all(&mut a, [0, 1, 2].map(|seat| prevote(seat, 1, None)));
    vote_all(&mut a, [0, 1, 2].map(|seat| precommit(seat, 1, None)));
    a.timeout(timer(Timeout::Precommit, 1));
    let mut later = a.clone();
    // Seat 1 leads round 2 with a fresh block.
    assert_eq!(propose(&mut a, 2, Y), [prevotes(2, None)]);
    // Or with one of which there was a polka in round 1.
    later.certificate(&polka(&[1, 2, 3], 1, Y));
    let shown = proposal(&registry(4), 2, Y, Some(1));
    assert_eq!(later.proposal(&shown, Timeliness::Timely), []);
    assert_eq!(later.block_judged(Y, Verdict::Valid), [prevotes(2, Some(Y))]);
    assert_eq!(later.locked(), Some((Round(0), X)), "the lock stays until this node precommits again");
}

#[test]
fn a_leader_proposes_the_block_of_the_latest_polka_it_saw() {
    // Seat 0 prevoted and precommitted nil before it saw the polka: it is not locked.
    let mut node = started(0);
    node.timeout(timer(Timeout::Propose, 0));
    vote_all(&mut node, [0, 1, 2].map(|seat| prevote(seat, 0, if seat == 0 { None } else { Some(X) })));
    assert_eq!(node.timeout(timer(Timeout::Prevote, 0)), [precommits(0, None)]);
    propose(&mut node, 0, X);
    let acts = node.vote(&prevote(3, 0, Some(X)));
    assert_eq!(acts, [Act::Valid(Box::new(polka(&[1, 2, 3], 0, X)))]);
    assert_eq!((node.locked(), node.valid()), (None, Some((Round(0), X))));
    vote_all(&mut node, [0, 1, 2].map(|seat| precommit(seat, 0, None)));
    let acts = node.timeout(timer(Timeout::Precommit, 0));
    assert_eq!(acts[1], Act::Propose(Round(1), Some((Round(0), X))));
}

fn held(node: &Consensus) -> Held {
    Held { height: HEIGHT, round: node.round(), proposal: None, rounds: node.held() }
}
