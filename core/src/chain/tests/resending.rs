//! What was missed is heard again before it is needed (rule C-12).

use super::*;
use crate::wire::block::VoteKind;
use crate::wire::message::Held;

/// Hosts 5 and 6 prevote towards host 0 alone and are down then, so that it alone sees a polka and locks its block:
/// five of seven are left, and each is needed. Hosts 3 and 4 have not even seen the proposal. When all of them have
/// come to round 1, nothing is lost any more.
fn one_that_is_locked_and_four_that_know_nothing() -> Net {
    let mut net = Net::new(7);
    let torn = std::rc::Rc::new(std::cell::Cell::new(true));
    let lossy = std::rc::Rc::clone(&torn);
    net.lose = Box::new(move |_, to, message| {
        lossy.get()
            && match message {
                Message::Vote(vote) => to != 0 && (vote.voter == id(5) || vote.voter == id(6)),
                Message::Proposal(_) => to == 3 || to == 4,
                Message::Polka(_) => true,
                _ => false,
            }
    });
    net.run(LEAD + Duration::from_millis(500));
    net.crash(5);
    net.crash(6);
    let consensus = |net: &Net, host: usize| net.hosts[host].chain.consensus.clone().unwrap();
    while (0..5).any(|host| consensus(&net, host).round() == Round(0)) {
        net.run(Duration::from_millis(10));
    }
    let knows = |host| consensus(&net, host).votes().certificate(VoteKind::Prevote, Round(0)).is_some();
    assert_eq!([0, 1, 2, 3, 4].map(knows), [true, false, false, false, false]);
    assert!(consensus(&net, 0).locked().is_some());
    torn.set(false);
    net
}

/// Without the polka, or without its block, every leader up to the locked one would propose a block that this one
/// refuses: seven rounds, each longer than the one before.
#[test]
fn c_12_a_leader_that_has_missed_the_locked_block_learns_it_and_proposes_it_again() {
    let mut net = one_that_is_locked_and_four_that_know_nothing();
    let locked = net.hosts[0].chain.consensus.as_ref().and_then(Consensus::locked);
    net.run(INTERVAL);
    assert_eq!(net.ledger.get(&Height(1)).copied(), locked.map(|(_, block)| block));
    for host in 0..5 {
        // Host 3 leads round 2.
        assert_eq!(net.committed(host).first().map(|(_, round, ..)| *round), Some(Round(2)), "host {host}");
    }
}

/// What a host answers to what another says that it holds.
fn answers(net: &mut Net, host: usize, from: usize, held: &Held) -> Vec<Message> {
    let (now, mut effects) = (net.reading(0), Effects::new());
    net.hosts[host].chain.held_came(now, id(from), held, &mut effects);
    let to_it = |effect| match effect {
        Effect::Send(to, message) if to == id(from) => Some(message),
        _ => None,
    };
    effects.into_iter().filter_map(to_it).collect()
}

fn holds_nothing(height: u64, round: u32) -> Held {
    Held { height: Height(height), round: Round(round), proposal: None, rounds: Vec::new() }
}

fn kinds(messages: &[Message]) -> Vec<&'static str> {
    messages
        .iter()
        .map(|message| match message {
            Message::Commit(_) => "commit",
            Message::Polka(_) => "polka",
            Message::Proposal(_) => "proposal",
            Message::Tip(_) => "tip",
            Message::Vote(_) => "vote",
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn c_12_heights_that_are_over_are_answered_with_what_ends_them_and_those_to_come_with_nothing() {
    let mut net = Net::new(4);
    net.run(LEAD + 3 * INTERVAL + SECOND);
    let tip = net.height(0);
    assert!(tip >= 3);
    let space = |net: &mut Net| net.run(INTERVAL / 20);
    assert_eq!(kinds(&answers(&mut net, 0, 1, &holds_nothing(tip, 0))), ["commit"]);
    space(&mut net);
    assert_eq!(kinds(&answers(&mut net, 0, 1, &holds_nothing(tip - 1, 0))), ["tip"]);
    space(&mut net);
    assert_eq!(kinds(&answers(&mut net, 0, 1, &holds_nothing(tip + 2, 0))), [] as [&str; 0]);
}

#[test]
fn c_12_one_peer_is_answered_twenty_times_a_slot_at_most() {
    let mut net = Net::new(4);
    net.run(LEAD + 2 * INTERVAL + SECOND);
    let held = holds_nothing(net.height(0), 0);
    assert_eq!(kinds(&answers(&mut net, 0, 1, &held)), ["commit"]);
    assert!(answers(&mut net, 0, 1, &held).is_empty());
    assert_eq!(kinds(&answers(&mut net, 0, 2, &held)), ["commit"], "each for itself");
    net.run(INTERVAL / 20 - Duration::from_millis(1));
    assert!(answers(&mut net, 0, 1, &held).is_empty());
    net.run(Duration::from_millis(1));
    assert_eq!(kinds(&answers(&mut net, 0, 1, &held)), ["commit"]);
}

#[test]
fn c_12_a_polka_goes_with_the_block_that_it_is_for_to_whoever_lacks_either() {
    let mut net = one_that_is_locked_and_four_that_know_nothing();
    let consensus = net.hosts[0].chain.consensus.clone().unwrap();
    let (round, block) = consensus.locked().unwrap();
    let now = consensus.round();
    assert_eq!(round, Round(0));
    let polka_and_block = |answers: &[Message]| {
        let polka = answers.iter().any(|m| matches!(m, Message::Polka(p) if p.block == block));
        let carried = |m: &Message| matches!(m, Message::Proposal(p) if p.header.hash(&GENESIS) == block);
        (polka, answers.iter().filter(|m| carried(m)).count())
    };
    // Nothing at all.
    let told = answers(&mut net, 0, 3, &holds_nothing(1, now.0));
    assert_eq!(polka_and_block(&told), (true, 1), "{:?}", kinds(&told));
    net.run(INTERVAL / 20);
    // It has the block.
    let has_block = Held { proposal: Some(block), ..holds_nothing(1, now.0) };
    let told = answers(&mut net, 0, 3, &has_block);
    assert_eq!(polka_and_block(&told), (true, 0), "{:?}", kinds(&told));
}
