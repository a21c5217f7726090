//! What was missed is heard again before it is needed (rule C-12).

use super::*;
use crate::wire::block::VoteKind;

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
