use super::*;
use crate::chain::consensus::sample::{HEIGHT, X, Y, certificate, id, precommit, prevote, registry, vote};

fn votes(size: u8) -> Votes {
    Votes::new(HEIGHT, registry(size))
}

fn add_all(votes: &mut Votes, all: impl IntoIterator<Item = Vote>) {
    for vote in all {
        assert_eq!(votes.add(&vote), Added::Counted, "{vote:?}");
    }
}

fn evidence(first: Vote, second: Vote) -> Evidence {
    Evidence { node: first.voter, first: Statement::Vote(first), second: Statement::Vote(second) }
}

#[test]
fn prod_03a_exactly_a_quorum_decides_and_one_vote_less_does_not() {
    for (size, quorum) in [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (128, 86)] {
        for kind in [VoteKind::Prevote, VoteKind::Precommit] {
            let mut votes = votes(size);
            let outcome = |votes: &Votes| votes.outcome(kind, Round(0));
            add_all(&mut votes, (0..quorum - 1).map(|seat| vote(kind, seat, 0, Some(X))));
            assert_eq!((outcome(&votes), votes.certificate(kind, Round(0))), (Outcome::Open, None), "{size}");
            let mut other = votes.clone();
            add_all(&mut other, [vote(kind, quorum - 1, 0, None)]);
            assert_eq!(outcome(&other), if quorum == 1 { Outcome::Nil } else { Outcome::Split }, "{size}");
            add_all(&mut votes, [vote(kind, quorum - 1, 0, Some(X))]);
            assert_eq!(outcome(&votes), Outcome::Block(X), "{size}");
            let signers: Vec<u8> = (0..quorum).collect();
            assert_eq!(votes.certificate(kind, Round(0)), Some(certificate(kind, &signers, 0, X)));
        }
    }
}

#[test]
fn a_certificate_carries_every_vote_held_and_no_other() {
    let mut votes = votes(7);
    add_all(&mut votes, [0, 2, 3, 5, 6].map(|seat| precommit(seat, 1, Some(X))));
    add_all(&mut votes, [precommit(4, 1, None)]);
    let commit = |seats: &[u8]| Some(certificate(VoteKind::Precommit, seats, 1, X));
    assert_eq!(votes.certificate(VoteKind::Precommit, Round(1)), commit(&[0, 2, 3, 5, 6]));
    assert_eq!(votes.committed(), Some((Round(1), X)));
    add_all(&mut votes, [precommit(1, 1, Some(X))]);
    assert_eq!(votes.certificate(VoteKind::Precommit, Round(1)), commit(&[0, 1, 2, 3, 5, 6]));
}

#[test]
fn line_55_more_than_a_third_in_one_later_round() {
    for (size, needed) in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 2), (6, 3), (7, 3), (128, 43)] {
        let mut votes = votes(size);
        // Both kinds count, each voter once, and only for one round.
        add_all(&mut votes, [prevote(size - 1, 3, None), precommit(size - 1, 3, None)]);
        add_all(&mut votes, (0..needed - 1).map(|seat| prevote(seat, 2, None)));
        assert_eq!(votes.later(), Some(Round(3)).filter(|_| needed == 1), "{size}");
        if needed > 1 {
            add_all(&mut votes, (0..needed - 1).map(|seat| prevote(seat, 3, Some(X))));
            assert_eq!(votes.later(), Some(Round(3)), "{size}");
            votes.enter(Round(3), None);
            assert_eq!(votes.later(), None, "{size}");
        }
    }
}

#[test]
fn prod_06_the_first_vote_counts_and_the_second_is_evidence_once() {
    let mut votes = votes(4);
    add_all(&mut votes, [0, 1].map(|seat| prevote(seat, 0, Some(X))));
    add_all(&mut votes, [prevote(3, 0, Some(Y))]);
    let before = votes.outcome(VoteKind::Prevote, Round(0));
    let second = prevote(3, 0, Some(X));
    assert!(!votes.known(&second));
    let told = Added::Equivocation(Box::new(evidence(prevote(3, 0, Some(Y)), second.clone())));
    assert_eq!(votes.add(&second), told);
    assert_eq!(votes.outcome(VoteKind::Prevote, Round(0)), before, "its weight counts once");
    for more in [second, prevote(3, 0, None), prevote(3, 0, Some(Y))] {
        assert!(votes.known(&more), "what can change nothing need not be verified");
        assert_eq!(votes.add(&more), Added::Ignored);
    }
    // Another kind or round is another vote.
    add_all(&mut votes, [precommit(3, 0, None), prevote(3, 1, None)]);
    assert_eq!(votes.lacking(&Held { height: HEIGHT, ..Held::default() }).len(), 5);
}

#[test]
fn a_polka_stands_as_a_whole_where_one_of_its_signers_has_voted_twice() {
    let mut votes = votes(4);
    add_all(&mut votes, [prevote(0, 0, Some(X)), prevote(2, 0, None), prevote(3, 0, None)]);
    assert_eq!(votes.outcome(VoteKind::Prevote, Round(0)), Outcome::Split);
    let polka = certificate(VoteKind::Prevote, &[0, 1, 3], 0, X);
    assert_eq!(votes.take(&polka), [evidence(prevote(3, 0, None), prevote(3, 0, Some(X)))]);
    assert_eq!(votes.outcome(VoteKind::Prevote, Round(0)), Outcome::Block(X));
    assert_eq!(
        votes.certificate(VoteKind::Prevote, Round(0)),
        Some(polka.clone()),
        "it can be shown to others"
    );
    assert_eq!(votes.take(&polka), []);
    // What came with it counts as votes, too.
    assert!(votes.known(&prevote(1, 0, Some(X))));
}

#[test]
fn a_commit_stands_as_a_whole_in_any_round_and_grows() {
    for round in [0, 30] {
        let mut votes = votes(4);
        votes.enter(Round(20), None);
        let commit = certificate(VoteKind::Precommit, &[0, 1, 3], round, X);
        assert_eq!(votes.take(&commit), []);
        assert_eq!(votes.committed(), Some((Round(round), X)));
        assert_eq!(votes.certificate(VoteKind::Precommit, Round(round)), Some(commit));
        if round == 30 {
            add_all(&mut votes, [precommit(2, round, Some(X))]);
            let all = certificate(VoteKind::Precommit, &[0, 1, 2, 3], round, X);
            assert_eq!(votes.certificate(VoteKind::Precommit, Round(round)), Some(all));
        }
    }
}

#[test]
fn a_signature_that_was_verified_in_a_vote_is_not_verified_again() {
    let mut votes = votes(4);
    add_all(&mut votes, [precommit(0, 0, Some(X)), precommit(1, 0, None), precommit(2, 0, Some(X))]);
    let mut commit = certificate(VoteKind::Precommit, &[0, 1, 2], 0, X);
    commit.signatures[2] = Signature([9; 64]);
    let left: Vec<_> = votes.unverified(&commit).collect();
    assert_eq!(left, [1, 2].map(|seat: u8| (MasternodeIndex(seat), commit.signatures[usize::from(seat)])));
    for other in [
        Certificate { height: HEIGHT.next(), ..commit.clone() },
        Certificate { round: Round(1), ..commit.clone() },
        Certificate { kind: VoteKind::Prevote, ..commit.clone() },
        Certificate { block: Y, ..commit.clone() },
    ] {
        assert_eq!(votes.unverified(&other).count(), 3, "{other:?}");
    }
}

#[test]
fn prod_03b_votes_of_other_heights_strangers_and_rounds_long_past_are_of_no_use() {
    let mut votes = votes(4);
    add_all(&mut votes, [prevote(1, 0, Some(X))]);
    votes.enter(Round(PAST_ROUNDS + 1), None);
    let stale = [
        prevote(1, 0, Some(X)),
        prevote(2, 0, Some(X)),
        Vote { height: Height(6), ..prevote(1, 9, Some(X)) },
        Vote { height: Height(8), ..prevote(1, 9, Some(X)) },
        Vote { voter: id(4), ..prevote(1, 9, Some(X)) },
    ];
    let before = votes.clone();
    for vote in &stale {
        assert!(votes.known(vote), "{vote:?}");
        assert_eq!(votes.add(vote), Added::Ignored, "{vote:?}");
    }
    assert_eq!(votes, before);
    assert_eq!(
        votes.take(&Certificate { height: Height(8), ..certificate(VoteKind::Prevote, &[0], 9, X) }),
        []
    );
    assert_eq!(votes, before);
}

#[test]
fn of_rounds_far_ahead_the_latest_of_each_voter_are_kept() {
    let mut votes = votes(4);
    let rounds = |votes: &Votes| votes.rounds.keys().map(|round| round.0).collect::<Vec<_>>();
    add_all(&mut votes, [0, 1, 10, 20].map(|round| prevote(3, round, None)));
    add_all(&mut votes, [precommit(3, 10, None)]);
    assert_eq!(rounds(&votes), [0, 1, 10, 20]);
    assert!(votes.known(&prevote(3, 5, None)));
    assert_eq!(votes.add(&prevote(3, 5, None)), Added::Ignored);
    assert!(!votes.known(&prevote(3, 15, None)));
    add_all(&mut votes, [prevote(3, 15, None)]);
    assert_eq!(rounds(&votes), [0, 1, 15, 20]);
    add_all(&mut votes, (100..200).map(|round| prevote(3, round, None)));
    assert_eq!(rounds(&votes), [0, 1, 198, 199]);
    // Nobody loses a place by it.
    add_all(&mut votes, [prevote(2, 5, None), prevote(2, 198, None)]);
    assert_eq!(rounds(&votes), [0, 1, 5, 198, 199]);
    assert_eq!(votes.later(), Some(Round(198)));
}

#[test]
fn polkas_outlive_the_votes_of_their_rounds() {
    let mut votes = votes(4);
    for round in 0..40 {
        votes.enter(Round(round), Some(Round(2)));
        if round % 2 == 0 {
            add_all(&mut votes, [0, 1, 2].map(|seat| prevote(seat, round, Some(X))));
        }
    }
    let polkas = |votes: &Votes| -> Vec<u32> {
        (0..40).filter(|round| votes.outcome(VoteKind::Prevote, Round(*round)) == Outcome::Block(X)).collect()
    };
    // The valid block's, four more, and those of the rounds whose votes are kept.
    assert_eq!(polkas(&votes), [2, 24, 26, 28, 30, 32, 34, 36, 38]);
    assert_eq!(votes.take(&certificate(VoteKind::Prevote, &[0, 1, 3], 31, X)), []);
    assert_eq!(polkas(&votes), [2, 26, 28, 30, 31, 32, 34, 36, 38]);
    assert_eq!(votes.rounds.len(), 1 + PAST_ROUNDS as usize / 2);
}

#[test]
fn a_commit_outlives_the_votes_of_its_round() {
    let mut votes = votes(4);
    add_all(&mut votes, [0, 1, 2].map(|seat| precommit(seat, 0, Some(X))));
    votes.enter(Round(50), None);
    assert_eq!(votes.committed(), Some((Round(0), X)));
    let commit = certificate(VoteKind::Precommit, &[0, 1, 2], 0, X);
    assert_eq!(votes.certificate(VoteKind::Precommit, Round(0)), Some(commit));
}

#[test]
fn what_somebody_lacks_is_what_he_does_not_hold_and_can_use() {
    let mut votes = votes(4);
    votes.enter(Round(2), None);
    let all = [prevote(0, 1, None), prevote(1, 2, Some(X)), precommit(1, 2, None), prevote(2, 3, None)];
    add_all(&mut votes, all.clone());
    let held = |round, rounds| Held { height: HEIGHT, round: Round(round), proposal: None, rounds };
    let nothing_of = |round| RoundHeld { round: Round(round), ..RoundHeld::default() };
    assert_eq!(votes.lacking(&held(0, vec![])), all);
    assert_eq!(votes.lacking(&held(2, vec![])), all[1..]);
    assert_eq!(votes.lacking(&held(2, vec![nothing_of(1)])), all);
    assert_eq!(votes.lacking(&held(0, votes.held())), []);
    let seat = |seat| SeatSet::from_iter([MasternodeIndex(seat)]);
    let some = vec![
        RoundHeld { prevotes: seat(1), ..nothing_of(2) },
        RoundHeld { prevotes: seat(0), ..nothing_of(3) },
    ];
    assert_eq!(votes.lacking(&held(2, some)), all[2..]);
    assert_eq!(votes.lacking(&Held { height: Height(6), ..held(0, vec![]) }), []);
}

#[test]
fn what_is_held_is_told_of_the_next_round_and_those_before() {
    let mut votes = votes(4);
    votes.enter(Round(4), None);
    add_all(&mut votes, (0..10).map(|round| prevote(0, round, None)).filter(|vote| vote.round.0 < 6));
    add_all(&mut votes, [prevote(0, 8, None), precommit(3, 4, None)]);
    let seats = |seats: &[u8]| seats.iter().map(|seat| MasternodeIndex(*seat)).collect();
    let held = |round, precommits: &[u8]| RoundHeld {
        round: Round(round),
        prevotes: seats(&[0]),
        precommits: seats(precommits),
    };
    assert_eq!(votes.held(), [held(2, &[]), held(3, &[]), held(4, &[3]), held(5, &[])]);
}

/// Its signers have gone on to later rounds, and it goes with their votes: nobody fills the memory with polkas.
#[test]
fn c_9_a_polka_of_a_later_round_is_kept_as_long_as_its_votes() {
    let later = |votes: &mut Votes| {
        let seats =
            [20, 21].into_iter().flat_map(|round| [0, 1, 2, 3].map(|seat| prevote(seat, round, None)));
        seats.for_each(|vote| drop(votes.add(&vote)));
    };
    let polka = certificate(VoteKind::Prevote, &[0, 1, 3], 15, X);
    let mut before = votes(4);
    later(&mut before);
    before.take(&polka);
    assert_eq!(before.outcome(VoteKind::Prevote, Round(15)), Outcome::Open);
    let mut after = votes(4);
    add_all(&mut after, [prevote(3, 15, None)]);
    assert_eq!(after.take(&polka).len(), 1);
    assert_eq!(after.outcome(VoteKind::Prevote, Round(15)), Outcome::Block(X));
    later(&mut after);
    assert_eq!(after.outcome(VoteKind::Prevote, Round(15)), Outcome::Open);
}

#[test]
fn c_12_fewer_precommits_than_a_quorum_are_no_reason_to_enter_the_next_round() {
    let mut votes = votes(4);
    add_all(&mut votes, [precommit(0, 4, None), precommit(1, 4, None)]);
    add_all(&mut votes, [prevote(0, 5, None), prevote(1, 5, None)]);
    assert_eq!(votes.reasons(Round(5)), [prevote(0, 5, None), prevote(1, 5, None)]);
}
