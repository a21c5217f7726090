//! Relay: who forwards what to whom, how often, and what a node makes of items under its own name.

use proptest::prelude::*;

use super::*;

/// Every heartbeat went over each link at most once in each direction.
fn assert_no_storm(net: &Net) {
    let worst = net.carried.values().max();
    assert!(worst.is_none_or(|times| *times == 1), "an item left a node {worst:?} times for one peer");
}

#[test]
fn gos_01c_a_full_mesh_sends_exactly_one_frame_a_pair_and_direction_an_interval() {
    for size in [2, 5, 10, 20] {
        let mut net = Net::full_mesh(size);
        net.run_until(at(20));
        let before = net.sent;
        let repeats = |net: &Net| {
            let all = net.hosts.iter().flat_map(|host| &host.verdicts);
            all.filter(|verdict| !matches!(verdict, Verdict::New(_))).count()
        };
        let repeats_before = repeats(&net);
        net.run_until(at(120));
        assert_eq!(net.sent - before, 10 * (size * (size - 1)) as u64, "{size} nodes, ten intervals");
        assert_eq!(repeats(&net), repeats_before, "nobody got anything twice");
        assert_no_storm(&net);
    }
}

#[test]
fn gos_04a_a_line_a_star_and_a_ring_reach_everyone() {
    for size in [3, 5, 10, 20] {
        for (name, mut net) in
            [("line", Net::line(size)), ("star", Net::star(size)), ("ring", Net::ring(size))]
        {
            net.run_until(at(60));
            let settled = net.sent;
            net.run_until(at(160));
            for (node, of) in (0..size).flat_map(|a| (0..size).map(move |b| (a, b))) {
                assert!(net.is_active(node, of), "{name} of {size}: {of} at {node}");
                assert!(net.changes(node, of).len() <= 1, "{name} of {size}: {of} flapped at {node}");
                assert!(net.info(node, of).attested, "{name} of {size}: {of} at {node}");
            }
            assert_no_storm(&net);
            let bound = 10 * size * net.links.len() * 2;
            assert!(net.sent - settled <= bound as u64, "{name} of {size}: {} frames", net.sent - settled);
        }
    }
}

#[test]
fn gos_01c_a_common_start_with_links_in_any_order_stays_bounded_and_is_soon_told() {
    let mut net = Net::new(20, 0);
    let mut draw = crate::rng::Rng::new([9; 32]);
    let pairs = (0..20).flat_map(|a| (a + 1..20).map(move |b| (a, b)));
    let mut links: Vec<_> = pairs.map(|pair| (draw.between(Duration::ZERO, SECOND * 3), pair)).collect();
    links.sort_unstable();
    for (when, (a, b)) in links {
        net.run_until(Mono(0) + when);
        net.connect(a, b);
    }
    net.run(SECOND * 2);
    for node in 0..20 {
        assert_eq!(net.matrix(node).links.len(), 190, "at {node}");
        assert!(net.info(0, node).sequence.unwrap() <= 3, "at most two early heartbeats an interval");
    }
    assert_no_storm(&net);
    assert!(net.sent <= 20 * 3 * 190 * 2);
}

#[test]
fn gos_04a_a_missing_link_in_a_mesh_is_bridged() {
    let mut net = Net::full_mesh(5);
    net.cut(1, 3);
    net.run_until(at(100));
    assert!(net.is_active(1, 3) && net.is_active(3, 1));
    assert_eq!(net.changes(1, 3).len(), 3, "up with the link, down with it, up by what the others bring");
    assert_no_storm(&net);
}

#[test]
fn gos_04a_observers_hear_everyone_over_one_link_and_carry_between_masternodes() {
    // 0 and 1 know each other only through observer 2; observer 3 has a link to 1 only.
    let mut net = Net::new(2, 2);
    net.connect(0, 2);
    net.connect(2, 1);
    net.connect(1, 3);
    net.run_until(at(60));
    for (node, of) in [(0, 1), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1)] {
        assert!(net.is_active(node, of), "{of} at {node}");
    }
    assert_eq!(net.hosts[3].machine.active_count(), 2, "an observer is not active itself");
    assert_no_storm(&net);
}

#[test]
fn gos_01a_observers_cost_one_copy_a_link() {
    let mut net = Net::new(4, 1);
    for (a, b) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3), (0, 4), (1, 4)] {
        net.connect(a, b);
    }
    net.run_until(at(20));
    let before = net.sent;
    net.run_until(at(30));
    let to_observer = net.sent - before - 12;
    // Own heartbeats of 0 and 1, and what each forwards: at most one copy a link and masternode, and no copy
    // back over the link that brought it first.
    assert!((4..=8).contains(&to_observer), "{to_observer}");
    assert_no_storm(&net);
}

#[test]
fn gos_01b_the_first_is_new_and_forwarded_the_second_a_repeat_and_not() {
    let mut net = Net::line(3);
    let item = body(&net.recorded(0, FIRST_EPOCH, 9));
    assert!(matches!(net.deliver(0, 1, &item), Verdict::New(_)));
    assert_eq!(net.sent, 1, "to 2, not back to 0");
    let verified = net.hosts[1].keys.verified;
    assert_eq!(net.deliver(0, 1, &item), Verdict::Repeat);
    assert_eq!(net.deliver(2, 1, &item), Verdict::Repeat);
    assert_eq!((net.sent, net.hosts[1].keys.verified), (1, verified), "a repeat costs no signature");
}

#[test]
fn gos_02a_what_was_not_verified_leaves_no_mark() {
    let mut net = Net::line(3);
    let genuine = net.recorded(0, FIRST_EPOCH, 9);
    let mut forged = genuine.clone();
    forged.height = Height(77);
    assert_eq!(net.deliver(2, 1, &body(&forged)), Verdict::Invalid(Flaw::BadSignature));
    assert!(matches!(net.deliver(0, 1, &body(&genuine)), Verdict::New(_)));
}

#[test]
fn gos_02b_no_old_item_ever_comes_in_again() {
    let mut net = Net::line(3);
    let old = body(&net.recorded(0, FIRST_EPOCH, 2));
    assert!(matches!(net.deliver(0, 1, &old), Verdict::New(_)));
    for sequence in 3..500 {
        net.run(SECOND);
        let next = body(&net.recorded(0, FIRST_EPOCH, sequence));
        assert!(matches!(net.deliver(0, 1, &next), Verdict::New(_)));
    }
    let (sent, verified) = (net.sent, net.hosts[1].keys.verified);
    for from in [0, 2] {
        assert_eq!(net.deliver(from, 1, &old), Verdict::Stale);
    }
    assert_eq!((net.sent, net.hosts[1].keys.verified), (sent, verified));
}

#[test]
fn gos_04b_an_own_heartbeat_that_comes_back_is_dropped_in_silence() {
    let mut net = Net::line(2);
    net.run_until(at(100));
    let own: Vec<_> = net.carried.keys().filter(|(from, ..)| *from == 0).map(|key| key.2.clone()).collect();
    assert!(own.len() >= 10);
    let verified = net.hosts[0].keys.verified;
    for item in own {
        assert_eq!(net.deliver(1, 0, &item), Verdict::Own);
    }
    let earlier = body(&net.recorded(0, BootEpoch(FIRST_EPOCH.0 - 1), 4000));
    assert_eq!(net.deliver(1, 0, &earlier), Verdict::Own, "an earlier start of this node");
    assert_eq!((net.hosts[0].keys.verified, net.warnings(0)), (verified, vec![]));
}

#[test]
fn gos_04b_a_node_that_is_not_registered_drops_its_own_too() {
    let mut net = Net::new(2, 1);
    let item = body(&net.recorded(2, BootEpoch(1), 1));
    assert_eq!(net.deliver(1, 2, &item), Verdict::Own);
    assert_eq!(net.deliver(2, 1, &item), Verdict::Invalid(Flaw::Unregistered));
}

#[test]
fn gos_04b_what_another_holder_of_our_key_signed_is_reported_once_in_ten_minutes() {
    let mut net = Net::line(2);
    net.run_until(at(60));
    let told = net.info(0, 0).sequence.unwrap();
    let twin = [
        net.recorded(0, FIRST_EPOCH, told),
        net.recorded(0, FIRST_EPOCH, told + 50),
        net.recorded(0, BootEpoch(FIRST_EPOCH.0 + 1), 1),
    ];
    for item in &twin {
        assert_eq!(net.deliver(1, 0, &body(item)), Verdict::Foreign);
    }
    assert_eq!(net.warnings(0), [Warning::ForeignSignature { via: id(1) }]);
    let mut forged = twin[2].clone();
    forged.signature.0[0] ^= 1;
    assert_eq!(net.deliver(1, 0, &body(&forged)), Verdict::Invalid(Flaw::BadSignature));
    net.run(SECOND * 600);
    assert_eq!(net.deliver(1, 0, &body(&twin[2])), Verdict::Foreign);
    assert_eq!(net.warnings(0).len(), 2);
}

#[test]
fn m_3_no_bit_of_a_heartbeat_can_be_changed() {
    let mut signer = crate::crypto::noise::NoiseProvider::new(Zeroizing::new([5; 32]));
    let other = Entry { id: id(0), addr: "10.0.0.1:1".parse().unwrap() };
    let author = Entry { id: signer.node_id(), addr: "10.0.0.2:1".parse().unwrap() };
    let registry = Registry::new(vec![other, author]).unwrap();
    let (now, timings) = (Now { mono: at(1), wall: Wall(NOON) }, Timings::default());
    let machine = |node: &Entry| {
        let setup = Setup {
            network: NETWORK,
            node: node.id,
            acting: registry.index_of(&node.id),
            epoch: BootEpoch(7),
        };
        Masternode::new(now, &setup, registry.clone(), &timings, &mut crate::rng::Rng::new([0; 32]))
    };
    let (mut here, mut there) = (machine(&other), machine(&author));
    let link = LinkEntry {
        peer: registry.index_of(&other.id).unwrap(),
        direction: Direction::Inbound,
        because: DialedBecause::Canonical,
        session: LinkTag([3; 8]),
    };
    let heard = here.beat(now, OwnLinks::default(), (Height(0), BlockHash::default()), &mut signer).unwrap();
    let mut events = Vec::new();
    assert_eq!(
        there.received(now, other.id, heard, &mut signer, &mut events),
        Verdict::Invalid(Flaw::BadSignature),
        "signed by another than it says"
    );
    let links = OwnLinks { entries: vec![link], duplicates: 0 };
    let bytes = body(&there.beat(now, links, (Height(5), BlockHash([4; 32])), &mut signer).unwrap());
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(Message::Heartbeat(beat)) = codec::decode_body(Kind::Heartbeat, &changed) {
            let verdict = here.received(now, author.id, beat, &mut signer, &mut events);
            assert!(matches!(verdict, Verdict::Invalid(_) | Verdict::Stale), "bit {bit}: {verdict:?}");
        }
    }
    let Ok(Message::Heartbeat(beat)) = codec::decode_body(Kind::Heartbeat, &bytes) else { panic!() };
    assert!(matches!(here.received(now, author.id, beat, &mut signer, &mut events), Verdict::New(_)));
}

#[test]
fn the_identity_is_where_the_codec_puts_it() {
    let net = Net::new(3, 0);
    let beat = net.recorded(2, BootEpoch(0x0102_0304_0506_0708), 0x1112_1314_1516_1718);
    let bytes = body(&beat);
    let identity = identity::heartbeat_identity(&bytes).unwrap();
    assert_eq!((identity.network, identity.signer), (beat.network, beat.signer));
    assert_eq!((identity.epoch, identity.sequence), (beat.epoch, beat.sequence));
    assert_eq!(identity::heartbeat_identity(&bytes[..51]), None);
    assert!(identity::heartbeat_identity(&bytes[..52]).is_some());
}

/// A connected network: a random tree and some links more.
fn connected() -> impl Strategy<Value = (usize, Vec<(usize, usize)>)> {
    (2usize..14).prop_flat_map(|size| {
        let tree = (1..size).map(|node| (0..node).prop_map(move |to| (to, node))).collect::<Vec<_>>();
        let more = prop::collection::vec((0..size, 0..size), 0..20);
        (tree, more).prop_map(move |(tree, more)| {
            let more = more.into_iter().filter(|(a, b)| a != b).map(|(a, b)| (a.min(b), a.max(b)));
            let links: BTreeSet<_> = tree.into_iter().chain(more).collect();
            (size, links.into_iter().collect())
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn gos_04a_any_connected_network_hears_everyone_at_no_more_than_two_frames_a_link(
        (size, links) in connected(),
        observers in 0usize..3,
        latency in 1u32..400,
    ) {
        // The last hosts observe: they carry, but are not heard.
        let masternodes = size.saturating_sub(observers).max(1);
        let mut net = Net::new(masternodes, size - masternodes);
        net.latency = Duration::from_millis(u64::from(latency));
        links.iter().for_each(|(a, b)| net.connect(*a, *b));
        net.run_until(at(40));
        for (node, of) in (0..size).flat_map(|a| (0..masternodes).map(move |b| (a, b))) {
            prop_assert!(net.is_active(node, of), "{} at {}", of, node);
            prop_assert!(net.changes(node, of).len() <= 1);
        }
        assert_no_storm(&net);
        let beats: BTreeSet<_> = net.carried.keys().map(|key| &key.2).collect();
        prop_assert!(net.sent <= (beats.len() * links.len() * 2) as u64);
    }
}
