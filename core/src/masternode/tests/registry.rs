//! Another registry comes into force: positions change, keys stay (rule C-7).

use super::*;

/// The network's registry without its first masternode: every position moves.
fn smaller(size: usize) -> Registry {
    Registry::new(registry(size).entries().iter().skip(1).copied().collect()).unwrap()
}

fn change(net: &mut Net, node: usize, to: &Registry) {
    let acting = to.index_of(&id(node));
    net.act(node, |machine, now, _, events| machine.registry_changed(now, to.clone(), acting, events));
}

fn up(net: &Net, node: usize) -> usize {
    net.hosts[node].machine.matrix(net.now, OwnLinks::default(), SeatSet::EMPTY).links.len()
}

#[test]
fn c_7_who_stays_stays_active_and_who_left_is_told_once() {
    let mut net = Net::full_mesh(4);
    net.run_until(at(30));
    assert_eq!(net.hosts[1].machine.active_count(), 4);
    let before = net.hosts[1].events.len();
    change(&mut net, 1, &smaller(4));
    assert_eq!(net.hosts[1].machine.active_count(), 3);
    let told: Vec<&Event> = net.hosts[1].events[before..].iter().map(|(_, event)| event).collect();
    assert!(
        matches!(told[..], [Event::Activity { node, activity: Activity::Inactive }] if *node == id(0)),
        "{told:?}"
    );
    let marks = |net: &Net| {
        net.hosts[1]
            .machine
            .masternodes(net.now)
            .iter()
            .map(|info| (info.node, info.sequence))
            .collect::<Vec<_>>()
    };
    assert!(marks(&net).iter().all(|(node, sequence)| *node != id(0) && sequence.is_some()));
}

#[test]
fn c_7_lists_that_refer_to_another_registry_keep_their_signer_active_and_are_not_read() {
    let mut net = Net::full_mesh(4);
    net.run_until(at(30));
    change(&mut net, 1, &smaller(4));
    let entry = LinkEntry {
        // Position 2 is another masternode here than with the signer; position 3 is nobody here.
        peer: seat(3),
        direction: Direction::Inbound,
        because: DialedBecause::Canonical,
        session: LinkTag([9; 8]),
    };
    let beat = net.recorded(2, FIRST_EPOCH, 1000);
    let beat = signed(Heartbeat { links: vec![LinkEntry { peer: seat(1), ..entry }, entry], ..beat });
    assert!(matches!(net.deliver(2, 1, &body(&beat)), Verdict::New(_)));
    assert!(net.hosts[1].machine.masternodes(net.now).iter().any(|info| info.sequence == Some(1000)));
    let one_sided = net.hosts[1].machine.matrix(net.now, OwnLinks::default(), SeatSet::EMPTY).one_sided;
    assert_eq!(one_sided, [], "positions of another registry were read");
    // Lists that claim to refer to our registry are still judged by it.
    let mut malformed = net.recorded(3, FIRST_EPOCH, 1000);
    malformed.registry = smaller(4).hash().tag();
    malformed.links = vec![entry];
    assert_eq!(net.deliver(3, 1, &body(&signed(malformed))), Verdict::Invalid(Flaw::Malformed));
}

#[test]
fn c_7_the_matrix_is_whole_again_soon_after_a_change() {
    let mut net = Net::full_mesh(4);
    net.run_until(at(30));
    for node in 1..4 {
        change(&mut net, node, &smaller(4));
        assert_eq!(up(&net, node), 0, "statements by former positions");
    }
    net.run(SECOND * 3);
    for node in 1..4 {
        let own = net.own_links(node);
        let matrix = net.hosts[node].machine.matrix(net.now, own, SeatSet::EMPTY);
        assert_eq!(matrix.verdict(), "3/3 links, 0 duplicate, 0 split, 0 one-sided, 0 wrong direction");
    }
}
