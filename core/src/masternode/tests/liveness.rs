//! Who is active when: replays, restarts, losses, clocks.

use proptest::prelude::*;

use super::*;

const T: Duration = Duration::from_secs(35);

/// When `node` last verified a heartbeat of `of`.
fn last_heard(net: &Net, node: usize, of: usize) -> Mono {
    let of_it =
        |(_, event): &&(Mono, Event)| matches!(event, Event::Heartbeat { signer, .. } if *signer == id(of));
    net.hosts[node].events.iter().rfind(of_it).unwrap().0
}

#[test]
fn hb_01a_replays_and_forgeries_by_everybody_keep_nobody_active() {
    let mut net = Net::full_mesh(5);
    net.run_until(at(60));
    let recorded: Vec<_> =
        net.carried.keys().filter(|(from, ..)| *from == 4).map(|key| key.2.clone()).collect();
    net.kill(4);
    net.run(SECOND / 10);
    let died = net.now;
    while net.now < died + SECOND * 120 {
        net.run(SECOND);
        for (from, node) in (0..4).flat_map(|a| (0..4).map(move |b| (a, b))).filter(|(a, b)| a != b) {
            for item in &recorded {
                assert!(matches!(net.deliver(from, node, item), Verdict::Repeat | Verdict::Stale));
            }
            let mut forged = net.recorded(4, FIRST_EPOCH, 1_000_000);
            forged.signature = Signature([7; 64]);
            assert_eq!(net.deliver(from, node, &body(&forged)), Verdict::Invalid(Flaw::BadSignature));
        }
    }
    for node in 0..4 {
        let expected = (last_heard(&net, node, 4) + T, Activity::Inactive);
        assert_eq!(net.changes(node, 4).last(), Some(&expected), "at {node}: on time to the nanosecond");
        assert_eq!(net.hosts[node].machine.active_count(), 4);
    }
}

#[test]
fn hb_01a_a_restarted_node_is_fooled_by_no_heartbeat_older_than_a_minute() {
    let mut net = Net::line(2);
    net.run_until(at(30));
    let item = body(&net.recorded(1, FIRST_EPOCH, 1000));
    net.kill(1);
    net.run(SECOND * 61);
    net.restart(0, BootEpoch(FIRST_EPOCH.0 + 1));
    assert!(matches!(net.deliver(1, 0, &item), Verdict::OffTime(_)));
    assert!(!net.is_active(0, 1));
}

#[test]
fn hb_01b_reports_about_the_dead_do_not_feed_each_other() {
    for mut net in [Net::full_mesh(5), Net::ring(5)] {
        net.run_until(at(60));
        net.kill(2);
        let died = net.now;
        net.run(SECOND * 300);
        for node in [0, 1, 3, 4] {
            let (when, activity) = *net.changes(node, 2).last().unwrap();
            assert_eq!(activity, Activity::Inactive);
            assert!(when <= died + T + net.latency * 5, "{:?} after its end", when.since(died));
            assert!(net.info(node, 2).active_for.is_none() && !net.info(node, 2).attested);
        }
    }
}

#[test]
fn hb_01c_who_is_only_named_is_not_active() {
    let mut net = Net::new(12, 0);
    net.connect(0, 1);
    let mut beat = net.recorded(1, FIRST_EPOCH, 1);
    beat.witnessed =
        (2..12).map(|dead| Witness { signer: seat(dead), sequence: 5, digest: [1; 8] }).collect();
    beat.links = (2..12).map(|dead| LinkEntry { peer: seat(dead), ..net.own_links(0).entries[0] }).collect();
    assert!(matches!(net.deliver(1, 0, &body(&signed(beat))), Verdict::New(_)));
    assert_eq!(net.hosts[0].machine.active_count(), 2, "itself and its one peer");
}

#[test]
fn hb_02a_a_restarted_masternode_is_accepted_at_once() {
    for mut net in [Net::line(4), Net::full_mesh(4)] {
        net.run_until(at(600));
        let links = net.peers(3);
        assert!(net.info(0, 3).sequence.unwrap() >= 60);
        net.kill(3);
        net.run(SECOND * 40);
        assert!(!net.is_active(0, 3));
        net.restart(3, BootEpoch(FIRST_EPOCH.0 + 640_000));
        links.iter().for_each(|peer| net.connect(3, *peer));
        let started = net.now;
        net.run(SECOND * 2);
        let (when, activity) = *net.changes(0, 3).last().unwrap();
        assert_eq!(activity, Activity::Active);
        assert!(when.since(started) <= SECOND * 3 / 2 + net.latency * 3);
        assert!(net.info(0, 3).sequence.unwrap() <= 2, "within two heartbeats");
    }
}

#[test]
fn hb_02a_restarted_peers_accept_a_masternode_that_went_on() {
    let mut net = Net::line(4);
    net.run_until(at(600));
    for node in 0..3 {
        net.restart(node, BootEpoch(FIRST_EPOCH.0 + 600_000));
    }
    (1..4).for_each(|b| net.connect(b - 1, b));
    net.run(SECOND * 10 + net.latency * 3);
    assert!(net.is_active(0, 3) && net.info(0, 3).sequence.unwrap() > 60);
}

#[test]
fn hb_02a_a_restored_disk_is_accepted_once_the_epoch_is_raised() {
    let mut net = Net::line(3);
    net.restart(2, BootEpoch(FIRST_EPOCH.0 + 1000));
    net.connect(1, 2);
    net.run_until(at(100));
    net.restart(2, BootEpoch(FIRST_EPOCH.0 + 10));
    net.connect(1, 2);
    net.run(SECOND * 5);
    assert!(net.hosts[1].verdicts.iter().rev().take(3).any(|verdict| *verdict == Verdict::Stale));
    net.act(2, |machine, now, _, _| machine.epoch_raised(now, BootEpoch(FIRST_EPOCH.0 + 1001)));
    net.run(SECOND * 2);
    let info = net.info(0, 2);
    assert_eq!((info.epoch, info.sequence), (Some(BootEpoch(FIRST_EPOCH.0 + 1001)), Some(1)));
    net.act(2, |machine, now, _, _| machine.epoch_raised(now, BootEpoch(1)));
    net.run(SECOND * 12);
    assert!(net.info(0, 2).sequence.unwrap() >= 2, "a lower epoch is never gone back to");
}

#[test]
fn hb_02b_every_emission_has_its_own_number_and_small_networks_attest() {
    for size in 1..=4 {
        for mut net in [Net::full_mesh(size), Net::star(size)] {
            net.run_until(at(100));
            for of in 0..size {
                let mut numbers = BTreeMap::new();
                for (from, _, item) in net.carried.keys() {
                    let identity = identity::heartbeat_identity(item).unwrap();
                    if *from == of && identity.signer == id(of) {
                        let content = numbers.insert(identity.sequence, item.clone());
                        assert!(content.is_none_or(|other| other == *item), "one number, one content");
                    }
                }
                for node in 0..size {
                    assert!(net.info(node, of).attested, "{size} nodes: {of} at {node}");
                    let witnesses = net.info(node, of).witnesses;
                    assert!(witnesses.len() >= witness::needed(size) && !witnesses.contains(&id(of)));
                }
            }
        }
    }
    let mut net = Net::full_mesh(4);
    net.run_until(at(30));
    net.kill(3);
    net.run(SECOND * 100);
    assert!((0..3).all(|node| (0..3).all(|of| net.info(node, of).attested)), "four with one down");
}

#[test]
fn hb_02b_an_attestation_stays_while_it_should() {
    for size in 2..=6 {
        let mut net = Net::full_mesh(size);
        net.run_until(at(30));
        while net.now < at(130) {
            net.run(SECOND / 4);
            assert!((0..size).all(|node| (0..size).all(|of| net.info(node, of).attested)), "{size} nodes");
        }
    }
}

#[test]
fn hb_03_after_a_common_restart_everybody_is_active_within_two_seconds_of_the_links() {
    let mut net = Net::full_mesh(7);
    net.run_until(at(100));
    (0..7).for_each(|node| net.restart(node, BootEpoch(FIRST_EPOCH.0 + 100_000)));
    net.run(SECOND * 7200);
    assert!((0..7).all(|node| net.hosts[node].machine.active_count() == 1), "only itself");
    (1..7).for_each(|b| net.connect(b - 1, b));
    net.run(SECOND * 2);
    assert!((0..7).all(|node| net.hosts[node].machine.active_count() == 7));
}

#[test]
fn hb_05a_two_lost_heartbeats_are_bridged_and_a_third_is_noticed_on_time() {
    for (lost, flaps) in [(0, 0), (1, 0), (2, 0), (3, 1)] {
        for phase in 0..20 {
            let mut net = Net::line(3);
            net.run_until(at(40) + SECOND * phase / 2);
            let before = net.changes(2, 0).len();
            let heard = last_heard(&net, 2, 0);
            net.lossy.insert((1, 2));
            net.run_until(heard + SECOND * 10 * lost + SECOND * 5);
            net.lossy.clear();
            net.run_until(heard + SECOND * 100);
            let changes = net.changes(2, 0).split_off(before);
            assert_eq!(changes.len(), 2 * flaps, "{lost} lost at phase {phase}: {changes:?}");
            if let Some((when, _)) = changes.first() {
                assert_eq!(*when, heard + T);
            }
        }
    }
}

#[test]
fn hb_05b_what_others_no_longer_see_does_not_end_an_own_session() {
    let mut net = Net::full_mesh(4);
    net.run_until(at(30));
    (1..3).for_each(|node| net.cut(3, node));
    net.cut(3, 0);
    net.run(SECOND / 5);
    net.connect(3, 0);
    net.run(SECOND * 100);
    assert_eq!(net.changes(0, 3).len(), 1, "active since the first link, through the break");
    assert!((1..3).all(|node| net.changes(node, 3).len() == 1), "heard through 0 in time");
}

#[test]
fn hb_05c_a_break_of_all_links_for_three_seconds_changes_nothing() {
    let mut net = Net::full_mesh(5);
    net.run_until(at(30));
    (1..5).for_each(|node| net.cut(0, node));
    net.run(SECOND * 3);
    (1..5).for_each(|node| net.connect(0, node));
    net.run(SECOND * 60);
    assert!((0..5).all(|node| (0..5).all(|of| net.changes(node, of).len() <= 1)));
}

#[test]
fn hb_07_skewed_clocks_within_the_tolerance_change_nothing_and_are_measured() {
    let mut net = Net::line(7);
    let skews = [-15_000, -10_000, -5_000, 0, 5_000, 10_000, 15_000];
    net.hosts.iter_mut().zip(skews).for_each(|(host, skew)| host.skew = skew);
    net.run_until(at(120));
    for (node, skew) in skews.into_iter().enumerate() {
        assert_eq!(net.hosts[node].machine.active_count(), 7);
        assert_eq!(net.warnings(node), []);
        let offset = net.hosts[node].machine.clock_offset_ms(net.now);
        assert!((offset + skew).abs() <= 2_500 + 200, "{offset} at a clock {skew} off");
    }
}

#[test]
fn hb_07_a_clock_step_changes_no_membership_and_is_warned_of() {
    for step in [-5_000, 120_000] {
        let mut net = Net::full_mesh(5);
        net.run_until(at(60));
        net.hosts[0].skew = step;
        net.run(SECOND * 300);
        for (node, of) in (0..5).flat_map(|a| (0..5).map(move |b| (a, b))) {
            assert!(net.changes(node, of).len() <= 1, "{of} at {node}");
        }
        if step == 120_000 {
            let skew = SECOND * 120 - net.latency;
            let own = net.warnings(0);
            let [Warning::ClockSkew { disagreeing: 4, agreeing: 0, skew: told, .. }] = own[..] else {
                panic!("{own:?}")
            };
            assert!(told >= skew && told <= SECOND * 121);
            for node in 1..5 {
                let theirs = net.warnings(node);
                let [Warning::ClockSkew { peer, disagreeing: 1, agreeing: 3, .. }] = theirs[..] else {
                    panic!("{theirs:?}")
                };
                assert_eq!(peer, id(0));
            }
        }
    }
}

#[test]
fn hb_07_a_wrong_clock_in_the_middle_cuts_nobody_off() {
    let mut net = Net::line(3);
    net.hosts[1].skew = -3_600_000;
    net.run_until(at(200));
    assert!(net.is_active(0, 2) && net.is_active(2, 0));
    assert_eq!(net.changes(0, 2).len(), 1);
    assert!(net.is_active(1, 0), "a live session needs no clock");
}

#[test]
fn hb_07_an_epoch_more_than_a_day_ahead_is_refused() {
    let mut net = Net::line(2);
    let day = 86_400_000;
    let ahead = net.recorded(1, BootEpoch(NOON + day + 1), 1);
    assert_eq!(net.deliver(1, 0, &body(&ahead)), Verdict::Invalid(Flaw::EpochInFuture));
    let within = net.recorded(1, BootEpoch(NOON + day), 1);
    assert!(matches!(net.deliver(1, 0, &body(&within)), Verdict::New(_)));
}

#[test]
fn m_3_what_no_masternode_signs_is_invalid_before_any_signature_check() {
    let mut net = Net::line(3);
    let fine = net.recorded(1, FIRST_EPOCH, 7);
    let link = LinkEntry {
        peer: seat(0),
        direction: Direction::Inbound,
        because: DialedBecause::Manual,
        session: LinkTag([0; 8]),
    };
    let name = |of| Witness { signer: seat(of), sequence: 1, digest: [0; 8] };
    let flawed: [(Flaw, Heartbeat); 8] = [
        (Flaw::WrongNetwork, Heartbeat { network: NetworkId([9; 4]), ..fine.clone() }),
        (Flaw::Unregistered, Heartbeat { signer: id(99), ..fine.clone() }),
        (Flaw::Malformed, Heartbeat { links: vec![LinkEntry { peer: seat(1), ..link }], ..fine.clone() }),
        (Flaw::Malformed, Heartbeat { links: vec![LinkEntry { peer: seat(3), ..link }], ..fine.clone() }),
        (Flaw::Malformed, Heartbeat { links: vec![link, link], ..fine.clone() }),
        (Flaw::Malformed, Heartbeat { witnessed: vec![name(2), name(0)], ..fine.clone() }),
        (Flaw::Malformed, Heartbeat { witnessed: vec![name(1)], ..fine.clone() }),
        (Flaw::Malformed, Heartbeat { witnessed: vec![Witness { sequence: 0, ..name(0) }], ..fine.clone() }),
    ];
    for (flaw, beat) in flawed {
        let verdict =
            net.act(0, |machine, now, keys, events| machine.received(now, id(1), signed(beat), keys, events));
        assert_eq!(verdict, Verdict::Invalid(flaw), "{}", flaw.as_str());
    }
    assert_eq!(net.hosts[0].keys.verified, 0);
    assert!(matches!(net.deliver(1, 0, &body(&fine)), Verdict::New(_)));
    let never = signed(Heartbeat { sequence: 0, epoch: BootEpoch(FIRST_EPOCH.0 + 1), ..fine });
    assert_eq!(net.deliver(1, 0, &body(&never)), Verdict::Invalid(Flaw::Malformed));
}

#[test]
fn m_3_a_masternode_that_signs_without_end_is_slowed_and_costs_no_signature() {
    let mut net = Net::line(3);
    net.hosts[0].running = false;
    let (mut taken, mut sequence) = (0, 0);
    let span = 100;
    while net.now < at(span) {
        sequence += 1;
        let item = body(&net.recorded(0, FIRST_EPOCH, sequence));
        match net.deliver(0, 1, &item) {
            Verdict::New(_) => taken += 1,
            verdict => assert_eq!(verdict, Verdict::Excess),
        }
        net.run(SECOND / 20);
    }
    assert!((span..=span + 16).contains(&taken), "{taken}");
    let of_others = net.info(1, 2).sequence.unwrap();
    assert_eq!(net.hosts[1].keys.verified as u64, taken + of_others);
    for _ in 0..100 {
        let mut forged = net.recorded(2, FIRST_EPOCH, 1_000_000);
        forged.signature.0[0] ^= 1;
        assert_eq!(net.deliver(0, 1, &body(&forged)), Verdict::Invalid(Flaw::BadSignature));
    }
    let genuine = net.recorded(2, FIRST_EPOCH, 1_000_000);
    assert!(matches!(net.deliver(0, 1, &body(&genuine)), Verdict::New(_)), "forgeries use up nothing");
}

#[test]
fn ops_02_a_day_of_heartbeats_leaves_nothing_behind() {
    let mut net = Net::full_mesh(3);
    net.run_until(at(1000));
    let size = |net: &Net| {
        let machine = &net.hosts[0].machine;
        (
            machine.seats.len(),
            machine.scratch.capacity(),
            machine.deadline().map(|at| at.since(net.now)) < Some(T),
        )
    };
    let (warm, events) = (size(&net), net.hosts[0].events.len());
    net.run_until(at(11_000));
    assert_eq!(size(&net), warm);
    assert_eq!(net.hosts[0].events.len() - events, 2_000, "one event a verified heartbeat, nothing else");
}

/// What may come in from one masternode: an epoch, a sequence, and whether it is genuine.
fn items() -> impl Strategy<Value = Vec<(u8, u64, u64, bool, u16)>> {
    prop::collection::vec((0u8..3, 0u64..3, 1u64..6, prop::bool::weighted(0.8), 0u16..20_000), 1..60)
}

proptest! {
    /// Whatever the order, the repeats and the forgeries: a signer is active exactly for 35 s from the last
    /// genuine heartbeat that was above all before it.
    #[test]
    fn hb_01a_only_progress_by_the_signer_itself_counts(items in items()) {
        let mut net = Net::new(4, 0);
        let mut model: [(Option<Mono>, (u64, u64)); 3] = [(None, (0, 0)); 3];
        for (of, epoch, sequence, genuine, wait) in items {
            net.run(Duration::from_millis(u64::from(wait)));
            let mut beat = net.recorded(usize::from(of), BootEpoch(epoch), sequence);
            if !genuine {
                beat.signature.0[5] ^= 1;
            }
            let verdict = net.deliver(3, 3, &body(&beat));
            let (heard, mark) = &mut model[usize::from(of)];
            let above = (epoch, sequence) > *mark;
            prop_assert_eq!(matches!(verdict, Verdict::New(_)), above && genuine);
            if above && genuine {
                (*heard, *mark) = (Some(net.now), (epoch, sequence));
            }
            for (of, (heard, _)) in model.iter().enumerate() {
                let expected = heard.is_some_and(|at| net.now.since(at) < T);
                prop_assert_eq!(net.is_active(3, of), expected);
            }
        }
    }
}
