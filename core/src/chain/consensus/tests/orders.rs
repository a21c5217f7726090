//! Order makes no difference: messages may come before their round and before the height begins.

use super::*;

#[derive(Clone, Debug)]
enum Told {
    Start,
    Proposal(SignedProposal),
    Judged(BlockHash),
    Vote(Vote),
    Certificate(Certificate),
}

fn tell(node: &mut Consensus, told: &Told) -> Acts {
    match told {
        Told::Start => node.start(),
        Told::Proposal(proposal) => node.proposal(proposal, Timeliness::Timely),
        Told::Judged(block) => node.block_judged(*block, Verdict::Valid),
        Told::Vote(vote) => node.vote(vote),
        Told::Certificate(certificate) => node.certificate(certificate),
    }
}

/// Calls `each` with every order of the items (Heap's algorithm).
fn permutations<T: Clone>(items: &mut [T], size: usize, each: &mut impl FnMut(&[T])) {
    if size <= 1 {
        return each(items);
    }
    for i in 0..size {
        permutations(items, size - 1, each);
        items.swap(if size.is_multiple_of(2) { i } else { 0 }, size - 1);
    }
}

/// The own votes among the acts, signed.
fn signed(acts: &Acts, seat: u8) -> Vec<Vote> {
    let own = |act: &Act| match act {
        Act::Vote(own) => Some(vote(own.kind, seat, own.round.0, own.block)),
        _ => None,
    };
    acts.iter().filter_map(own).collect()
}

/// Tells everything in this order; own votes are durable at once, or only after everything else.
fn run(order: &[Told], at_once: bool) -> (Consensus, Acts) {
    let (mut node, mut all, mut own) = (node(1), Acts::new(), Vec::new());
    for told in order {
        let acts = tell(&mut node, told);
        own.extend(signed(&acts, 1));
        all.extend(acts);
        while at_once && !own.is_empty() {
            let acts = node.vote(&own.remove(0));
            own.extend(signed(&acts, 1));
            all.extend(acts);
        }
    }
    while !own.is_empty() {
        let acts = node.vote(&own.remove(0));
        own.extend(signed(&acts, 1));
        all.extend(acts);
    }
    (node, all)
}

fn check(mut items: Vec<Told>, round: u32, own_vote_needed: bool) {
    let mut orders = 0;
    let size = items.len();
    permutations(&mut items, size, &mut |order| {
        orders += 1;
        for at_once in [true, false] {
            let (node, acts) = run(order, at_once);
            let decisions = acts.iter().filter(|act| matches!(act, Act::Decide(_))).count();
            assert_eq!((decisions, node.step()), (1, Step::Decided), "{order:?}\n{acts:?}");
            assert_eq!(node.commit().map(|commit| (commit.round, commit.block)), Some((Round(round), X)));
            let mut cast = signed(&acts, 1);
            assert!(!own_vote_needed || cast.len() == 2, "{order:?}\n{acts:?}");
            assert!(cast.iter().all(|vote| vote.block == Some(X)), "{order:?}\n{acts:?}");
            cast.dedup_by_key(|vote| (vote.round, vote.kind));
            assert_eq!(cast.len(), signed(&acts, 1).len(), "no vote is cast twice");
        }
    });
    assert_eq!(orders, (1..=size).product::<usize>());
}

/// A quorum of three with this node: the height can only be decided with both of its votes.
#[test]
fn prod_03c_every_order_of_proposal_votes_and_start_decides_at_the_exact_quorum() {
    let items = vec![
        Told::Start,
        Told::Proposal(proposal(&registry(4), 0, X, None)),
        Told::Judged(X),
        Told::Vote(prevote(0, 0, Some(X))),
        Told::Vote(prevote(3, 0, Some(X))),
        Told::Vote(precommit(0, 0, Some(X))),
        Told::Vote(precommit(3, 0, Some(X))),
    ];
    check(items, 0, true);
}

/// All others are in round 3: two of them take this node along, and their votes of that round count.
#[test]
fn prod_03c_every_order_in_a_round_ahead_of_the_local_one_decides() {
    let items = vec![
        Told::Start,
        Told::Proposal(proposal(&registry(4), 3, X, None)),
        Told::Judged(X),
        Told::Vote(prevote(0, 3, Some(X))),
        Told::Vote(prevote(3, 3, Some(X))),
        Told::Vote(precommit(0, 3, Some(X))),
        Told::Vote(precommit(3, 3, Some(X))),
    ];
    check(items, 3, true);
}

/// A block proposed again with the polka of round 0, which comes as votes, as a unit, or both.
#[test]
fn prod_03c_every_order_of_a_polka_and_what_refers_to_it_decides() {
    let later = || [0, 3].into_iter().map(|seat| Told::Vote(prevote(seat, 1, Some(X))));
    let mut items = vec![
        Told::Start,
        Told::Proposal(proposal(&registry(4), 1, X, Some(0))),
        Told::Judged(X),
        Told::Certificate(polka(&[0, 2, 3], 0, X)),
    ];
    items.extend(later());
    items.push(Told::Certificate(commit(&[0, 2, 3], 1, X)));
    check(items, 1, false);
}

#[test]
fn every_order_of_a_commit_and_its_block_decides() {
    let mut items = vec![
        Told::Start,
        Told::Judged(X),
        Told::Certificate(commit(&[0, 2, 3], 5, X)),
        Told::Vote(prevote(0, 0, None)),
        Told::Vote(prevote(2, 5, None)),
        Told::Vote(precommit(0, 5, Some(X))),
    ];
    let size = items.len();
    permutations(&mut items, size, &mut |order| {
        let (node, acts) = run(order, true);
        let decisions = acts.iter().filter(|act| matches!(act, Act::Decide(_))).count();
        assert_eq!((decisions, node.step()), (1, Step::Decided), "{order:?}\n{acts:?}");
    });
}
