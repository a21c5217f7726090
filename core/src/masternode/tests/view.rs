//! What the machine shows: matrix and masternodes in a living network.

use super::*;

fn verdict(net: &Net, node: usize) -> String {
    net.matrix(node).verdict()
}

#[test]
fn m_5_the_matrix_is_complete_two_seconds_after_a_common_start() {
    for (size, expected) in [(2, "1/1"), (4, "6/6"), (14, "91/91")] {
        let mut net = Net::full_mesh(size);
        net.run_until(at(2) + net.latency);
        for node in 0..size {
            assert_eq!(
                verdict(&net, node),
                format!("{expected} links, 0 duplicate, 0 split, 0 one-sided, 0 wrong direction")
            );
            assert!(net.matrix(node).missing.is_empty());
        }
    }
}

#[test]
fn m_5_a_killed_and_restarted_node_is_seen_gone_and_back_soon() {
    let mut net = Net::full_mesh(5);
    net.run_until(at(63));
    net.kill(2);
    net.run(SECOND * 2);
    let matrix = net.matrix(0);
    assert_eq!((matrix.links.len(), matrix.one_sided.len() + matrix.missing.len()), (6, 4));
    net.restart(2, BootEpoch(FIRST_EPOCH.0 + 65_000));
    [0, 1, 3, 4].into_iter().for_each(|peer| net.connect(2, peer));
    net.run(SECOND * 2);
    for node in 0..5 {
        assert!(verdict(&net, node).starts_with("10/10 links, 0 duplicate, 0 split, 0 one-sided"));
    }
}

#[test]
fn m_5_a_replaced_link_is_split_for_no_more_than_two_seconds() {
    let mut net = Net::full_mesh(4);
    net.run_until(at(64));
    net.cut(1, 2);
    net.connect(1, 2);
    net.run(SECOND * 2);
    assert!((0..4).all(|node| net.matrix(node).links.len() == 6));
}

#[test]
fn m_2_only_a_change_of_links_makes_an_early_heartbeat() {
    let mut net = Net::full_mesh(3);
    net.run_until(at(60));
    let before = net.info(0, 0).sequence;
    for stale in [LinkTag([0xee; 8]), LinkTag([0xef; 8])] {
        net.act(0, |machine, now, _, events| machine.session_down(now, &id(1), stale, events));
    }
    net.act(0, |machine, now, _, events| machine.session_up(now, &id(77), LinkTag([1; 8]), events));
    let due = net.hosts[0].machine.schedule.next();
    net.run_until(due);
    assert!(due.since(at(60)) > SECOND, "the seed leaves room for an early one: {due:?}");
    assert_eq!(net.info(0, 0).sequence.zip(before).map(|(now, before)| now - before), Some(1));
    net.act(0, |machine, now, _, events| machine.session_up(now, &id(1), LinkTag([0xed; 8]), events));
    assert!(net.hosts[0].machine.schedule.next() < due + SECOND * 2);
}

#[test]
fn m_5_who_is_dead_for_35_seconds_says_nothing_any_more() {
    let mut net = Net::full_mesh(4);
    net.run_until(at(60));
    net.kill(3);
    net.run(SECOND * 36);
    let matrix = net.matrix(0);
    assert_eq!((matrix.links.len(), matrix.one_sided.len(), matrix.missing.len()), (3, 0, 3));
    assert_eq!(matrix.nodes.iter().filter(|node| node.heard.is_none()).count(), 1);
    assert_eq!(matrix.nodes[0].heard, Some(Duration::ZERO));
}

#[test]
fn m_5_an_observer_sees_the_same_matrix() {
    let mut net = Net::new(3, 1);
    for (a, b) in [(0, 1), (0, 2), (1, 2), (2, 3)] {
        net.connect(a, b);
    }
    net.run_until(at(12));
    assert!(verdict(&net, 3).starts_with("3/3 links"));
    assert_eq!(net.hosts[3].machine.deadline(), Some(net.hosts[3].machine.active.deadline().unwrap()));
    assert!(!net.hosts[3].machine.beat_due(at(100_000)), "an observer makes no heartbeat");
    let none = net.act(3, |machine, now, keys, _| {
        machine.beat(now, OwnLinks::default(), (Height(0), BlockHash::default()), keys)
    });
    assert_eq!(none, None);
}

#[test]
fn m_6_masternodes_are_shown_as_they_are() {
    let mut net = Net::line(3);
    net.run_until(at(100));
    net.kill(2);
    net.run(SECOND * 50);
    let shown = net.hosts[0].machine.masternodes(net.now);
    assert!(shown.iter().map(|info| info.index).eq((0..3).map(seat)));
    let [me, peer, dead] = &shown[..] else { panic!("three") };
    assert_eq!((me.active_for, me.activity), (Some(net.now.since(Mono(0))), Activity::Active));
    assert_eq!((peer.active_for, peer.activity), (Some(net.now.since(Mono(0))), Activity::Active));
    assert_eq!((dead.active_for, dead.activity, dead.attested), (None, Activity::Inactive, false));
    assert!(me.heard < Some(SECOND * 10) && peer.heard < Some(SECOND * 10) && dead.heard > Some(SECOND * 50));
    assert_eq!((peer.epoch, peer.witnesses.clone()), (Some(FIRST_EPOCH), vec![id(0)]));
    assert!(dead.last_heartbeat.is_some_and(|wall| wall < Wall(NOON + 101_000)));
}

#[test]
fn c8_a_masternode_costs_no_more_than_its_row_of_the_limits() {
    let heard = size_of::<Heartbeat>() + 127 * (size_of::<LinkEntry>() + size_of::<Witness>());
    let kept = size_of::<Seat>() + size_of::<activity::Presence>() + size_of::<clock::Reading>();
    assert!(heard + kept <= crate::limits::MASTERNODE_BYTES, "{heard} + {kept}");
}

#[test]
fn own_links_are_put_in_order() {
    let mut net = Net::full_mesh(3);
    let mut links = net.own_links(1);
    links.entries.reverse();
    links.entries.push(LinkEntry { peer: seat(1), ..links.entries[0] });
    links.entries.push(links.entries[0]);
    let beat = net.act(1, |machine, now, keys, _| {
        machine.beat(now, links, (Height(3), BlockHash([1; 32])), keys).unwrap()
    });
    assert!(beat.links.iter().map(|link| link.peer).eq([seat(0), seat(2)]));
    assert!(matches!(net.deliver(1, 0, &body(&beat)), Verdict::New(_)), "the others take it");
}
