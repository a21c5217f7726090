//! What is charged and what is not: honest nodes, and those who break rules.

use super::*;

// Honest nodes.

#[test]
fn ban_01b_a_cold_sync_charges_nobody_at_either_end() {
    let setup = Setup::new(null).masternodes(4).observers(1).chain(secs(1)).slots_before(1_200);
    let mut world = World::new(seed(1), &setup);
    let mut generator = world.generator();
    let blocks: Vec<StoredBlock> = (0..1_000).map(|_| generator.store()).collect();
    world.give_chain(&[0, 1, 2].map(HostId), &blocks);
    world.start_all();
    world.expect("everybody has caught up", minutes(5), |world| {
        world.height(HostId(3)).0 > 1_000 && world.height(HostId(4)).0 > 1_000
    });
    nobody_is_charged(&mut world);
}

#[test]
fn ban_01c_d_frozen_and_reconnecting_nodes_are_not_charged() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(5));
    world.freeze(HostId(1));
    world.run_for(minutes(10));
    world.thaw(HostId(1));
    world.expect("it is back", secs(20), World::is_meshed);
    for _ in 0..10 {
        world.reset_between(HostId(0), HostId(2));
        world.run_for(secs(6));
    }
    world.expect("it is back", secs(20), World::is_meshed);
    nobody_is_charged(&mut world);
}

#[test]
fn ban_02b_what_comes_from_an_address_before_a_handshake_is_nobody_s() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(3));
    let target = world.host(HostId(0)).config.advertised.unwrap().socket();
    let links = world.links();
    for round in 0..200 {
        let tcp = world.raw_dial(HostId(1), target);
        world.run_for(Duration::from_millis(50));
        world.raw_write(tcp, &[0x55; 100][..round % 100]);
        world.run_for(Duration::from_millis(50));
        world.raw_close(tcp);
    }
    world.run_for(secs(10));
    assert_eq!(world.links(), links);
    assert_eq!(world.seen(HostId(0)).summary.unwrap().active_masternodes, 3);
    nobody_is_charged(&mut world);
}

#[test]
fn ban_04_a_restart_of_everybody_in_one_prefix_bans_nobody() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(6).observers(3));
    for round in 0..10 {
        for host in (0..5).map(HostId) {
            world.kill(host);
        }
        world.run_for(secs(3));
        for host in (0..5).map(HostId) {
            world.start(host);
        }
        world.run_for(secs(3));
        assert!(world.is_meshed(), "round {round}");
    }
    nobody_is_charged(&mut world);
}

// Those who break rules.

const VICTIM: HostId = HostId(0);

/// What a player says to one node, once a second.
fn every_second(
    to: HostId,
    mut say: impl FnMut(&World, &mut Puppet, HostId) + 'static,
) -> impl FnMut(&mut World, &mut Puppet, Option<(HostId, &Message)>) + 'static {
    let mut next = None;
    move |world, puppet, heard| {
        if heard.is_none() && next.is_none_or(|next| world.now() >= next) {
            next = Some(world.now() + secs(1));
            say(world, puppet, to);
        }
    }
}

fn garbage(_: &World, puppet: &mut Puppet, to: HostId) {
    let mut frames = Vec::new();
    append_encoded(Kind::Ping, &[1, 2, 3], &mut frames);
    puppet.send(to, Lane::Control, &frames);
}

/// A heartbeat that `signer` never signed.
fn forgery(signer: NodeId) -> impl FnMut(&World, &mut Puppet, HostId) {
    let mut sequence = 0;
    move |world, puppet, to| {
        sequence += 1;
        let mut beat = puppet.actor().heartbeat(sequence, world.wall());
        beat.signer = signer;
        beat.epoch.0 += 1_000;
        beat.signature = forged();
        puppet.say(to, &Message::Heartbeat(Box::new(beat)));
    }
}

fn automatic(world: &mut World, host: HostId) -> Vec<(BanTarget, Offence)> {
    let of = |ban: Ban| match ban.cause {
        BanCause::Score(offence) => Some((ban.target, offence)),
        BanCause::Operator => None,
    };
    bans(world, host).into_iter().filter_map(of).collect()
}

/// Masternodes that stand, and observers for scripts to play.
fn with_players(masternodes: usize, players: usize) -> World {
    let mut world = World::new(seed(1), &Setup::new(null).masternodes(masternodes).observers(players));
    for host in (0..masternodes).map(HostId) {
        world.start(host);
    }
    world.expect("the mesh", secs(10), World::is_meshed);
    world.run_for(secs(40));
    world
}

#[test]
fn a_3_an_observer_that_sends_garbage_is_banned_and_turned_away_and_let_in_again() {
    let mut world = with_players(3, 1);
    let player = HostId(3);
    let played = id(&world, player);
    world.play(player, every_second(VICTIM, garbage));
    world.expect("the ban", secs(20), |world| {
        world.seen(VICTIM).count(|event| matches!(event, Event::Banned(_))) == 1
    });
    let banned_at = world.now();
    assert_eq!(automatic(&mut world, VICTIM), [(BanTarget::Key(played), Offence::Malformed)]);
    let told: Vec<u32> = world
        .seen(VICTIM)
        .facts
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Misbehaved { peer, score, bound: 100, .. } if *peer == played => Some(*score),
            _ => None,
        })
        .collect();
    assert_eq!(told, [25, 50, 100]);
    // It tries again every second, in vain.
    world.run_for(minutes(9));
    assert!(world.seen(VICTIM).link(&played).is_none());
    let refused = status(&mut world, VICTIM).counters.inbound_banned;
    assert!(refused > 100, "{refused}");
    assert!(world.seen(HostId(1)).link(&played).is_some(), "nobody else is concerned");
    let why = why(&mut world, VICTIM, PeerRef::Id(played));
    assert_eq!((why.decision, why.rule), ("banned", "A-4"));
    assert!(why.text.contains("malformed") && why.ban.is_some() && why.since.is_some(), "{why:?}");
    let left = why.next.unwrap().within.unwrap();
    assert!(left <= minutes(1) && left > Duration::ZERO, "{left:?}");
    // Ten minutes later it is let in, and a second ban lasts longer.
    world.expect("it is admitted again", minutes(2), |world| world.seen(VICTIM).link(&played).is_some());
    assert!(world.now().since(banned_at) >= minutes(10));
    world.expect("the second ban", secs(60), |world| {
        world.seen(VICTIM).count(|event| matches!(event, Event::Banned(_))) == 2
    });
    let second = bans(&mut world, VICTIM).pop().unwrap();
    assert_eq!(second.until.unwrap().since(second.since).as_secs().div_ceil(60), 30);
    assert!(world.is_meshed());
}

#[test]
fn ban_02a_only_who_brings_it_is_charged_and_nothing_of_it_goes_on() {
    let mut world = with_players(4, 1);
    let player = HostId(4);
    let (played, slandered) = (id(&world, player), id(&world, HostId(2)));
    world.play(player, every_second(VICTIM, forgery(slandered)));
    world.expect("the ban", secs(30), |world| {
        world.seen(VICTIM).count(|event| matches!(event, Event::Banned(_))) == 1
    });
    assert_eq!(automatic(&mut world, VICTIM), [(BanTarget::Key(played), Offence::BadSignature)]);
    let charged = |world: &World| {
        world.seen(VICTIM).count(|event| matches!(event, Event::Misbehaved { peer, .. } if *peer != played))
    };
    assert_eq!(charged(&world), 0, "neither who was named nor who was told");
    for host in (1..4).map(HostId) {
        assert_eq!(status(&mut world, host).counters.offences, [0; 5], "{host}");
    }
    assert!(world.is_meshed());
}

#[test]
fn ban_02a_what_depends_on_the_state_of_the_judge_is_nobody_s_fault() {
    let mut world = with_players(3, 1);
    let stranger = NodeId([0x77; 32]);
    let mut sequence = 0;
    let odd = move |world: &World, puppet: &mut Puppet, to: HostId| {
        sequence += 1;
        let genuine: Heartbeat = puppet.actor().heartbeat(sequence, world.wall());
        let mut unregistered = genuine.clone();
        unregistered.signer = stranger;
        let mut ahead = genuine.clone();
        ahead.epoch.0 += 1_000_000_000_000;
        let mut off_time = genuine;
        off_time.wall = samples::heartbeat(stranger).wall;
        for beat in [unregistered, ahead, off_time] {
            let beat = puppet.actor().sign(beat);
            puppet.say(to, &Message::Heartbeat(Box::new(beat)));
        }
    };
    world.play(HostId(3), every_second(VICTIM, odd));
    world.run_for(minutes(5));
    assert!(status(&mut world, VICTIM).counters.heartbeats_invalid > 500);
    nobody_is_charged(&mut world);
}

#[test]
fn ban_05a_a_peer_with_a_wrong_setting_is_admitted_as_soon_as_it_is_mended() {
    let setup = Setup::new(null).masternodes(3).observers(1).config(|host, config| {
        if host == HostId(3) {
            config.genesis = GenesisHash([9; 32]);
        }
    });
    let mut world = World::new(seed(1), &setup);
    world.start_all();
    world.run_for(minutes(60));
    let right = world.host(HostId(0)).config.genesis;
    world.kill(HostId(3));
    world.host_mut(HostId(3)).config.genesis = right;
    world.start(HostId(3));
    world.expect("all its links", secs(30), |world| world.links().len() == 6);
    nobody_is_charged(&mut world);
}

#[test]
fn ban_05a_a_banned_peer_that_is_mended_is_admitted_within_the_longest_ban() {
    let mut world = with_players(3, 1);
    let player = HostId(3);
    let played = id(&world, player);
    let until = world.now() + minutes(60);
    let mut talk = every_second(VICTIM, garbage);
    world.play(player, move |world: &mut World, puppet: &mut Puppet, heard: Option<(HostId, &Message)>| {
        if world.now() < until {
            talk(world, puppet, heard);
        }
    });
    world.run_for(minutes(60));
    assert!(world.seen(VICTIM).count(|event| matches!(event, Event::Banned(_))) >= 2);
    world.expect("it is admitted", minutes(61), |world| world.seen(VICTIM).link(&played).is_some());
    world.run_for(minutes(5));
    assert!(world.seen(VICTIM).link(&played).is_some());
}

#[test]
fn a_6_a_masternode_that_breaks_rules_is_never_banned_by_us() {
    let mut world = World::new(seed(1), &Setup::new(null).masternodes(4));
    for host in (1..4).map(HostId) {
        world.start(host);
    }
    let slandered = id(&world, HostId(3));
    world.play(HostId(0), every_second(HostId(1), forgery(slandered)));
    world.run_for(minutes(10));
    let offences = status(&mut world, HostId(1)).counters.offences;
    assert!(offences[Offence::BadSignature.index()] > 500, "{offences:?}");
    assert_eq!(bans(&mut world, HostId(1)), []);
    assert!(world.seen(HostId(1)).link(&id(&world, HostId(0))).is_some());
    let scores: Vec<u32> = world
        .seen(HostId(1))
        .facts
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Misbehaved { score, .. } => Some(*score),
            _ => None,
        })
        .collect();
    assert_eq!(scores, [30, 50, 100], "told, and told once");
}

#[test]
fn a_5_a_node_that_finds_fault_with_many_masternodes_suspects_itself_and_punishes_nobody() {
    let mut world = World::new(seed(1), &Setup::new(null).masternodes(6).observers(1));
    let victim = HostId(5);
    for host in (3..6).map(HostId) {
        world.start(host);
    }
    let slandered = id(&world, HostId(4));
    // The observer is first: its ban is taken back.
    world.play(HostId(6), every_second(victim, forgery(slandered)));
    world.run_for(secs(20));
    assert_eq!(bans(&mut world, victim).len(), 1);
    for host in (0..3).map(HostId) {
        world.play(host, every_second(victim, forgery(slandered)));
    }
    world.run_for(secs(30));
    let suspected = |event: &Event| {
        matches!(event, Event::Warning(Warning::SelfSuspected { offence: Offence::BadSignature, peers: 2 }))
    };
    assert_eq!(world.seen(victim).count(suspected), 1);
    let withdrawn = |event: &Event| matches!(event, Event::BanEnded { end: BanEnd::Withdrawn, .. });
    assert_eq!(world.seen(victim).count(withdrawn), 1);
    world.run_for(minutes(20));
    assert_eq!((world.seen(victim).count(suspected), bans(&mut world, victim)), (1, vec![]));
    for host in [0, 1, 2, 6].map(HostId) {
        assert!(world.seen(victim).link(&id(&world, host)).is_some(), "{host}");
    }
}

#[test]
fn a_5_a_node_with_a_wrong_clock_isolates_nobody_and_says_so() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(5).observers(1));
    for error in [3_600_000, -3_600_000, 400_000_000_000] {
        world.set_wall_error(HostId(2), error);
        world.run_for(minutes(5));
        world.kill(HostId(2));
        world.start(HostId(2));
        world.run_for(minutes(5));
    }
    let says = |event: &Event| {
        matches!(
            event,
            Event::Warning(
                Warning::ClockSkew { .. } | Warning::EpochInFuture { .. } | Warning::EpochRaised { .. }
            )
        )
    };
    assert!(world.seen(HostId(2)).count(says) > 0);
    nobody_is_charged(&mut world);
    let others = (0..6).filter(|host| *host != 2).map(HostId).collect::<Vec<_>>();
    for (index, a) in others.iter().enumerate() {
        for b in &others[..index] {
            assert!(world.link(*a, *b).is_some() || (a.0 == 5 && b.0 == 5), "{a} {b}");
        }
    }
}
