//! Restarts from the record: nothing is ever said differently (rule C-13).

use super::*;

/// Another life of a node: all that is left of the first is its record, and the polka of its valid block.
fn again(node: &Consensus, polka: Option<&Certificate>) -> Consensus {
    let mut again = Consensus::new(HEIGHT, Arc::clone(&node.registry), node.seat, Voice::Speaks);
    assert!(again.resume(node.record(), polka));
    again
}

#[test]
fn prod_06_what_was_said_is_said_again_and_nothing_else() {
    let mut node = started(1);
    propose(&mut node, 0, X);
    let mut life = again(&node, None);
    let acts = life.start();
    assert_eq!(acts, [prevotes(0, Some(X)), Act::RoundStarted(Round(0))]);
    // Another proposal of the same leader, the same time-out, a second start: it has voted.
    assert_eq!(propose(&mut life, 0, Y), []);
    assert_eq!(life.timeout(timer(Timeout::Propose, 0)), []);
    assert_eq!(life.start(), []);
    assert_eq!(life.record(), node.record());
}

#[test]
fn prod_06_a_locked_node_comes_back_locked() {
    let mut node = started(1);
    propose(&mut node, 0, X);
    vote_all(&mut node, [0, 1, 3].map(|seat| prevote(seat, 0, Some(X))));
    let shown = node.polka(Round(0));
    let mut life = again(&node, shown.as_ref());
    let said = [prevotes(0, Some(X)), precommits(0, Some(X))];
    assert_eq!(life.start(), [&said[..], &[Act::RoundStarted(Round(0))]].concat());
    assert_eq!((life.locked(), life.valid()), (Some((Round(0), X)), Some((Round(0), X))));
    assert_eq!(life.block_judged(X, Verdict::Valid), [], "the polka is durable already");
    let acts = vote_all(&mut life, [1, 0, 2].map(|seat| precommit(seat, 0, None)));
    assert_eq!(acts[0], Act::Foreign(Box::new(Statement::Vote(precommit(1, 0, None)))));
}

#[test]
fn prod_06_a_proposal_of_an_earlier_life_is_the_only_one_of_its_round() {
    let mut node = started(3);
    node.propose(&proposal(&registry(4), 0, X, None)).unwrap();
    let mut life = again(&node, None);
    assert_eq!(life.start(), [prevotes(0, Some(X)), Act::RoundStarted(Round(0))]);
    assert_eq!(life.propose(&proposal(&registry(4), 0, Y, None)), Err(NotDue));
    // A record of the proposal alone does the same.
    let mut record = node.record();
    (record.step, record.votes) = (Step::Propose, vec![]);
    let mut life = self::node(3);
    assert!(life.resume(record, None));
    assert_eq!(life.start(), [Act::RoundStarted(Round(0)), Act::Schedule(timer(Timeout::Propose, 0))]);
    assert_eq!(life.propose(&proposal(&registry(4), 0, Y, None)), Err(NotDue));
}

#[test]
fn a_round_is_resumed_at_its_step() {
    let mut node = started(1);
    node.certificate(&polka(&[0, 2, 3], 4, X));
    assert_eq!((node.round(), node.step()), (Round(4), Step::Propose));
    node.timeout(timer(Timeout::Propose, 4));
    let mut life = again(&node, None);
    assert_eq!(life.record(), node.record(), "before it starts, too");
    assert_eq!(life.start(), [prevotes(4, None), Act::RoundStarted(Round(4))]);
    assert_eq!((life.round(), life.step()), (Round(4), Step::Prevote));
    // The polka's block was not here: nothing is locked, and the time-out is set anew.
    assert_eq!(life.certificate(&polka(&[0, 2, 3], 4, X)), [Act::Schedule(timer(Timeout::Prevote, 4))]);
    assert_eq!(life.timeout(timer(Timeout::Prevote, 4)), [precommits(4, None)]);
}

#[test]
fn a_polka_without_its_precommit_is_enough_to_go_on() {
    // The valid block was durable, the record of the precommit was not.
    let mut node = started(1);
    propose(&mut node, 0, X);
    let record = node.record();
    vote_all(&mut node, [0, 1, 3].map(|seat| prevote(seat, 0, Some(X))));
    let mut life = self::node(1);
    assert!(life.resume(record, node.polka(Round(0)).as_ref()));
    life.start();
    assert_eq!(life.block_judged(X, Verdict::Valid), [precommits(0, Some(X))]);
    assert_eq!(life.locked(), Some((Round(0), X)));
}

#[test]
fn a_height_begins_where_the_others_are() {
    let mut node = started(1);
    propose(&mut node, 0, X);
    let mut life = again(&node, None);
    vote_all(&mut life, [0, 3].map(|seat| prevote(seat, 3, None)));
    let acts = life.start();
    let began = [Act::RoundStarted(Round(3)), Act::Schedule(timer(Timeout::Propose, 3))];
    assert_eq!(acts, [&[prevotes(0, Some(X))], &began[..]].concat());
}

#[test]
fn a_record_is_taken_by_its_own_height_and_before_it_begins() {
    let record = started(1).record();
    let other = Record { height: Height(6), ..record.clone() };
    assert!(!node(1).resume(other, None));
    let mut begun = started(1);
    propose(&mut begun, 0, X);
    let before = begun.clone();
    assert!(!begun.resume(record, None), "a second start does not wipe what was said");
    assert_eq!(begun, before);
}

#[test]
fn a_polka_that_does_not_belong_to_the_record_is_left_out() {
    let record = Record { round: Round(3), ..started(1).record() };
    for wrong in [
        Certificate { height: Height(6), ..polka(&[0, 2, 3], 2, X) },
        commit(&[0, 2, 3], 2, X),
        polka(&[0, 2, 3], 4, X),
    ] {
        let mut life = node(1);
        assert!(life.resume(record.clone(), Some(&wrong)));
        assert_eq!(life.valid(), None, "{wrong:?}");
    }
}

#[test]
fn an_own_vote_that_the_record_does_not_know_silences() {
    let foreign = |statement| Act::Foreign(Box::new(statement));
    type Tell = fn(&mut Consensus) -> Acts;
    let cases: [(&str, Tell, Statement); 4] = [
        ("a vote", |node| node.vote(&prevote(1, 0, Some(Y))), Statement::Vote(prevote(1, 0, Some(Y)))),
        ("a later vote", |node| node.vote(&prevote(1, 3, None)), Statement::Vote(prevote(1, 3, None))),
        (
            "a certificate",
            |node| node.certificate(&commit(&[0, 1, 2], 0, X)),
            Statement::Vote(precommit(1, 0, Some(X))),
        ),
        (
            "a proposal",
            |node| node.proposal(&proposal(&registry(4), 2, X, None), Timeliness::Timely),
            Statement::Proposal(proposal(&registry(4), 2, X, None)),
        ),
    ];
    for (name, tell, statement) in cases {
        let mut node = started(1);
        assert_eq!(tell(&mut node).first(), Some(&foreign(statement)), "{name}");
        assert_eq!(node.voice(), Voice::Silent);
        assert!(!tell(&mut node).iter().any(|act| matches!(act, Act::Foreign(_))), "{name}: told once");
        assert!(!propose(&mut node, 0, X).contains(&prevotes(0, Some(X))), "{name}");
    }
}

#[test]
fn an_own_vote_of_the_record_is_nothing_foreign_whichever_way_it_comes() {
    let mut node = started(1);
    propose(&mut node, 0, X);
    let mut life = again(&node, None);
    life.start();
    assert_eq!(life.certificate(&polka(&[0, 1, 2], 0, X)), [Act::Schedule(timer(Timeout::Prevote, 0))]);
    assert_eq!(life.vote(&prevote(1, 0, Some(X))), []);
    assert_eq!(life.voice(), Voice::Speaks);
}

/// Seat 3 precommits to seat 2 alone and is never heard of again: that took seat 2 to round 1, and only seat 2 can
/// show the others why.
#[test]
fn livelock_a_crash_does_not_lose_what_took_a_node_to_its_round() {
    let [mut a, mut b, mut c] = [started(0), started(1), started(2)];
    for node in [&mut a, &mut b] {
        propose(node, 0, X);
        vote_all(node, [0, 1, 2].map(|seat| prevote(seat, 0, Some(X))));
        vote_all(node, [0, 1].map(|seat| precommit(seat, 0, Some(X))));
        assert_eq!(node.step(), Step::Precommit);
    }
    propose(&mut c, 0, X);
    vote_all(&mut c, [precommit(0, 0, Some(X)), precommit(1, 0, Some(X)), precommit(3, 0, None)]);
    c.timeout(timer(Timeout::Precommit, 0));
    assert_eq!(c.timeout(timer(Timeout::Propose, 1)), [prevotes(1, None)]);

    let mut c = again(&c, None);
    c.start();
    assert_eq!((c.round(), c.step()), (Round(1), Step::Prevote));
    for node in [&mut a, &mut b] {
        let rounds = node.held();
        let held = Held { height: HEIGHT, round: node.round(), proposal: None, rounds };
        let lacked = c.lacking(&held);
        assert_eq!(lacked, [precommit(3, 0, None)]);
        assert_eq!(vote_all(node, lacked), [Act::Schedule(timer(Timeout::Precommit, 0))]);
        node.timeout(timer(Timeout::Precommit, 0));
        assert_eq!(node.round(), Round(1));
    }
}

#[test]
fn what_took_a_node_to_its_round_is_just_enough_to_take_others_along() {
    let mut node = started(1);
    assert_eq!(node.record().reasons, []);
    vote_all(&mut node, [0, 2, 3].map(|seat| precommit(seat, 0, None)));
    vote_all(&mut node, [prevote(1, 0, None), precommit(1, 0, None)]);
    node.timeout(timer(Timeout::Precommit, 0));
    assert_eq!(node.record().reasons, [0, 1, 2].map(|seat| precommit(seat, 0, None)));
    vote_all(&mut node, [precommit(0, 5, None), prevote(0, 5, None), prevote(3, 5, None)]);
    assert_eq!(node.round(), Round(5));
    assert_eq!(node.record().reasons, [prevote(0, 5, None), prevote(3, 5, None)]);
    let mut behind = started(2);
    vote_all(&mut behind, node.record().reasons);
    assert_eq!(behind.round(), Round(5));
}

#[test]
fn c_13_a_record_written_before_the_height_began_or_after_its_decision_holds_up_nothing() {
    for step in [Step::Waiting, Step::Decided] {
        let mut life = node(1);
        assert!(life.resume(Record { step, ..started(1).record() }, None));
        let _ = life.start();
        assert!(matches!(life.step(), Step::Propose | Step::Precommit), "{step:?}");
    }
}
