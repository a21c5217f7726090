//! Blocks are made, a slot each, whoever is missing.

use super::*;

#[test]
fn prod_01_networks_of_any_size_make_a_block_a_slot() {
    for size in [1, 2, 3, 4, 7] {
        let mut net = Net::new(size);
        net.run(SECOND * 59);
        assert_eq!(net.heights(), vec![6; size], "{size} masternodes");
        for host in 0..size {
            let committed = net.committed(host);
            let expected: Vec<_> = (0..6)
                .map(|slot| {
                    let start = Wall(NOON + 10_000 * slot);
                    (slot + 1, Round(0), start, CommittedVia::Consensus)
                })
                .collect();
            assert_eq!(committed, expected);
        }
    }
}

/// How long after its slot's start each block was final at a host.
fn lateness(net: &Net, host: usize) -> Vec<(u64, Round, Duration)> {
    let events = net.hosts[host].events.iter();
    events
        .filter_map(|(at, event)| match event {
            Event::BlockCommitted { height, round, slot, .. } => {
                let start = Mono((slot.0 - FIRST) * 1_000_000);
                Some((height.0, *round, at.since(start)))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn prod_05a_a_missing_leader_costs_less_than_half_a_slot() {
    for down in 0..4 {
        let mut net = Net::new(4);
        net.crash(down);
        net.run(SECOND * 89);
        let witness = (down + 1) % 4;
        let late = lateness(&net, witness);
        assert_eq!(late.len(), 9, "{down} is down");
        for (height, round, late) in late {
            let leads = usize::try_from(height % 4).unwrap() == down;
            assert_eq!(round, Round(u32::from(leads)), "height {height}, {down} is down");
            assert!(late < INTERVAL / 2, "height {height} after {late:?}");
        }
    }
}

#[test]
fn prod_01_without_a_quorum_no_block_is_made_and_everybody_says_why() {
    let mut net = Net::new(4);
    net.run(LEAD + SECOND * 24);
    net.crash(0);
    net.crash(1);
    net.run(SECOND * 100);
    assert_eq!(net.heights()[2..], [3, 3]);
    for host in [2, 3] {
        let reason = NotProducing::NoQuorum { linked: 2, needed: 3, registered: 4 };
        assert_eq!(net.hosts[host].chain.overview().producing, Producing::No(reason));
    }
    net.restart(0);
    net.run(INTERVAL * 3);
    assert!(net.height(2) >= 4, "{:?}", net.heights());
}

#[test]
fn prod_05b_a_leader_whose_application_says_nothing_costs_its_round_alone() {
    let mut net = Net::new(4);
    net.hosts[2].application = Application::Silent;
    net.run(SECOND * 59);
    assert_eq!(net.heights(), [6; 4]);
    let rounds: Vec<u32> = net.committed(0).iter().map(|(_, round, ..)| round.0).collect();
    assert_eq!(rounds, [0, 1, 0, 0, 0, 1]);
}

#[test]
fn prod_03c_clocks_that_differ_by_less_than_the_tolerance_cost_no_slot() {
    for skew in [1_500, -1_500] {
        let mut net = Net::new(4);
        net.hosts[0].skew = skew;
        net.run(SECOND * 100);
        assert!(net.heights().iter().all(|height| *height >= 10), "{:?}", net.heights());
        assert!(net.committed(3).iter().all(|(_, round, ..)| *round == Round(0)));
    }
}

#[test]
fn y_1_observers_follow_the_tips_and_are_sent_no_votes() {
    let mut net = Net::with(4, 6, settings());
    net.lose = Box::new(|from, to, message| {
        assert!(to < 4 || !matches!(message, Message::Vote(_) | Message::Proposal(_)), "{message:?}");
        // Nor do they tell masternodes what they hold, which is nothing.
        assert!(from < 4 || !matches!(message, Message::Vote(_) | Message::Held(_)), "{message:?}");
        false
    });
    net.run(SECOND * 59);
    assert_eq!(net.heights(), [6; 6]);
    assert!(net.committed(5).iter().all(|(.., via)| *via == CommittedVia::Sync));
    let observer = Producing::No(NotProducing::Observer);
    assert_eq!(net.hosts[5].chain.overview().producing, observer);
}

#[test]
fn c_8_a_payload_whose_chunks_are_lost_is_asked_for() {
    let mut net = Net::new(4);
    for host in &mut net.hosts {
        host.payload = 200_000;
    }
    // What the leaders push never arrives at host 3; what it asks for does.
    let asked = std::cell::Cell::new(false);
    net.lose = Box::new(move |_, to, message| match message {
        Message::GetPayload(_) => {
            asked.set(true);
            false
        }
        Message::Chunk(chunk) => to == 3 && !asked.get() && chunk.index % 2 == 0,
        _ => false,
    });
    net.run(SECOND * 19);
    assert_eq!(net.heights(), [2; 4]);
    assert!(net.committed(3).iter().all(|(.., via)| *via == CommittedVia::Consensus));
}

#[test]
fn c_12_whatever_is_lost_is_said_again() {
    // Every message of some kind is lost at first, in both directions of one node.
    for (name, lost) in [
        ("votes", Box::new(|m: &Message| matches!(m, Message::Vote(_))) as Box<dyn Fn(&Message) -> bool>),
        ("proposals", Box::new(|m: &Message| matches!(m, Message::Proposal(_)))),
        ("everything", Box::new(|_: &Message| true)),
    ] {
        let mut net = Net::new(4);
        let start = net.now;
        let silence = std::rc::Rc::new(std::cell::Cell::new(true));
        let told = std::rc::Rc::clone(&silence);
        net.lose = Box::new(move |from, to, message| told.get() && (from == 1 || to == 1) && lost(message));
        net.crash(0);
        net.run(SECOND * 21);
        assert!(net.heights()[1..].iter().all(|height| *height == 0), "{name}: {:?}", net.heights());
        silence.set(false);
        net.run(INTERVAL * 3);
        assert!(net.heights()[1..].iter().all(|height| *height >= 2), "{name}: {:?}", net.heights());
        assert!(net.now > start);
    }
}
