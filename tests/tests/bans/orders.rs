//! What the operator orders.

use super::*;

#[test]
fn a_4_a_ban_ends_the_live_session_at_both_ends_and_keeps_it_away_until_its_end() {
    for (at, to) in [(0, 2), (2, 0)] {
        for by_key in [true, false] {
            let (at, to) = (HostId(at), HostId(to));
            let mut world = World::standing(seed(1), &Setup::new(null).masternodes(4));
            let (peer, began) = (id(&world, to), world.now());
            let target =
                if by_key { BanTarget::Key(peer) } else { format!("{}/32", ip(&world, to)).parse().unwrap() };
            let (set, masternodes) = ban(&mut world, at, target, Some(minutes(10)));
            assert_eq!((set.target, set.cause, masternodes), (target, BanCause::Operator, 1));
            world.run_for(secs(1));
            assert_eq!(world.seen(at).downs_since(began), [(peer, CloseReason::Banned)]);
            assert_eq!(world.seen(to).downs_since(began), [(id(&world, at), CloseReason::Banned)]);
            let cost = |event: &Event| {
                matches!(
                    event,
                    Event::Warning(Warning::MasternodesBanned { masternodes: 1, left: 3, quorum: 3, .. })
                )
            };
            assert_eq!(world.seen(at).count(cost), 1);
            let why = why(&mut world, at, PeerRef::Id(peer));
            assert_eq!(why.decision, "banned");
            assert!(why.text.contains("for a test"), "{}", why.text);
            assert!(why.attempts.iter().any(|attempt| attempt.end.is_some()));
            let connect = world.connect(at, to);
            assert!(matches!(connect, Some(Reply::Refused(_))), "{connect:?}");
            let dials = world.seen(at).dials_since(began);
            for _ in 0..58 {
                world.run_for(secs(10));
                assert!(world.link(at, to).is_none(), "until {}", world.now());
            }
            assert_eq!(world.seen(at).dials_since(began), dials, "nobody banned is dialed");
            world.expect("the ban ends", secs(60), World::is_meshed);
            let ended = |event: &Event| matches!(event, Event::BanEnded { end: BanEnd::Expired, .. });
            assert_eq!(world.seen(at).count(ended), 1);
        }
    }
}

#[test]
fn a_4_a_lifted_ban_is_over_at_once() {
    for (at, to) in [(0, 1), (1, 0)] {
        let (at, to) = (HostId(at), HostId(to));
        let mut world = World::standing(seed(1), &Setup::new(null).masternodes(3));
        let target = BanTarget::Key(id(&world, to));
        ban(&mut world, at, target, None);
        world.run_for(minutes(30));
        assert!(world.link(at, to).is_none());
        let reply = order(&mut world, at, Request::Unban(target));
        assert!(matches!(&reply, Reply::Unbanned(ban) if ban.target == target), "{reply:?}");
        world.expect("the link", secs(10), World::is_meshed);
        let reply = order(&mut world, at, Request::Unban(target));
        assert!(matches!(reply, Reply::NotBanned(None)), "{reply:?}");
    }
}

#[test]
fn a_4_a_short_ban_is_over_at_once_for_either_side() {
    for (at, to) in [(0, 1), (1, 0)] {
        let (at, to) = (HostId(at), HostId(to));
        let mut world = World::standing(seed(1), &Setup::new(null).masternodes(3));
        let target = BanTarget::Key(id(&world, to));
        ban(&mut world, at, target, None);
        world.run_for(secs(5));
        order(&mut world, at, Request::Unban(target));
        world.expect("the link", secs(1), World::is_meshed);
    }
}

#[test]
fn a_4_a_restart_keeps_bans_and_what_is_left_of_them() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(3));
    let key = BanTarget::Key(id(&world, HostId(2)));
    let net: BanTarget = "192.0.2.0/24".parse().unwrap();
    ban(&mut world, HostId(0), key, Some(minutes(30)));
    ban(&mut world, HostId(0), net, None);
    world.run_for(minutes(10));
    let before = bans(&mut world, HostId(0));
    // Answered orders are durable: also against a loss of power.
    world.cut_power(HostId(0));
    world.run_for(secs(60));
    world.start(HostId(0));
    assert_eq!(bans(&mut world, HostId(0)), before);
    for _ in 0..18 {
        world.run_for(minutes(1));
        assert!(world.link(HostId(0), HostId(2)).is_none());
    }
    world.expect("the ban ends", minutes(2), World::is_meshed);
    world.cut_power(HostId(0));
    world.start(HostId(0));
    let left: Vec<BanTarget> = bans(&mut world, HostId(0)).into_iter().map(|ban| ban.target).collect();
    assert_eq!(left, [net]);
}

#[test]
fn a_4_a_damaged_record_is_set_aside_and_costs_nothing_else() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(3));
    let target = BanTarget::Key(NodeId([0x77; 32]));
    ban(&mut world, HostId(0), target, None);
    world.kill(HostId(0));
    let mut record = world.host(HostId(0)).disk.record(RecordKey::Bans).unwrap().to_vec();
    *record.last_mut().unwrap() ^= 1;
    world.host_mut(HostId(0)).disk.keep(RecordKey::Bans, record.into());
    world.start(HostId(0));
    let warned = |event: &Event| matches!(event, Event::Warning(Warning::CacheSetAside(RecordKey::Bans)));
    assert_eq!(world.seen(HostId(0)).count(warned), 1);
    assert_eq!(bans(&mut world, HostId(0)), []);
    world.expect("the mesh", secs(10), World::is_meshed);
    ban(&mut world, HostId(0), target, None);
    world.kill(HostId(0));
    world.start(HostId(0));
    assert_eq!((world.seen(HostId(0)).count(warned), bans(&mut world, HostId(0)).len()), (0, 1));
}

#[test]
fn a_4_a_banned_address_is_refused_before_anything_is_read() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(3));
    ban(&mut world, HostId(0), "203.0.113.0/24".parse().unwrap(), None);
    let stranger = world.add_stranger("203.0.113.9".parse().unwrap());
    let target = world.host(HostId(0)).config.advertised.unwrap().socket();
    let events = world.seen(HostId(0)).facts.len();
    for _ in 0..1_000 {
        let tcp = world.raw_dial(stranger, target);
        world.run_for(Duration::from_millis(2));
        assert_eq!(world.raw_read(tcp), None, "closed without a word");
    }
    let status = status(&mut world, HostId(0));
    assert_eq!((status.counters.inbound_banned, status.bans), (1_000, [1, 0, 0, 0, 0, 0]));
    assert_eq!(world.seen(HostId(0)).facts.len(), events, "counted, not told one by one");
    let why = why(&mut world, HostId(0), PeerRef::Ip("203.0.113.9".parse().unwrap()));
    assert_eq!((why.decision, why.peer), ("banned", None));
    assert!(why.text.contains("203.0.113.0/24"), "{}", why.text);
    let reply = order(&mut world, HostId(0), Request::Unban("203.0.113.9".parse().unwrap()));
    assert!(matches!(reply, Reply::NotBanned(Some(net)) if net.to_string() == "203.0.113.0/24"), "{reply:?}");
}

#[test]
fn a_4_a_ban_cancels_dials_under_way_and_those_that_wait() {
    let limits = |limits: Limits| Limits { dialing: 2, ..limits };
    let setup = Setup::new(null).masternodes(6).config(move |_, config| {
        config.limits = limits(config.limits.clone());
    });
    let mut world = World::new(seed(1), &setup);
    // The first dials everybody, and nobody answers it.
    for host in (1..6).map(HostId) {
        world.dials(HostId(0), host, Dials::Vanish);
        world.dials(host, HostId(0), Dials::Vanish);
    }
    world.start_all();
    world.run_for(secs(2));
    let (at, held) = (world.now(), world.held(HostId(0)));
    assert_eq!(held, 2, "two dials under way");
    ban(&mut world, HostId(0), "10.0.0.0/16".parse().unwrap(), Some(minutes(10)));
    world.run_for(secs(1));
    assert_eq!(world.held(HostId(0)), 0);
    for host in (1..6).map(HostId) {
        world.dials(HostId(0), host, Dials::Arrive);
        world.dials(host, HostId(0), Dials::Arrive);
    }
    world.run_for(minutes(9));
    assert_eq!(world.seen(HostId(0)).dials_since(at), 0);
    assert_eq!(world.links().len(), 10);
    world.expect("the ban ends", minutes(2), World::is_meshed);
}

#[test]
fn a_4_a_bare_address_that_leads_to_a_banned_key_is_left_alone_and_found_again() {
    let setup = Setup::new(null).masternodes(2).observers(2).config(|host, config| {
        if host == HostId(2) {
            let other = "10.1.0.2:24100".parse().unwrap();
            config.bootstrap = vec![Bootstrap { addr: other, id: None }];
        }
    });
    let mut world = World::new(seed(1), &setup);
    for host in [0, 1, 3].map(HostId) {
        world.start(host);
    }
    world.start(HostId(2));
    // Banned before the address is known to lead to it.
    let target = BanTarget::Key(id(&world, HostId(3)));
    ban(&mut world, HostId(2), target, Some(minutes(10)));
    world.run_for(secs(20));
    let began = world.now();
    world.run_for(minutes(9));
    let there = world.host(HostId(3)).config.advertised.unwrap();
    let dials = world.seen(HostId(2)).dials.iter().filter(|(at, addr)| *at >= began && *addr == there);
    assert_eq!(dials.count(), 0);
    assert!(world.link(HostId(2), HostId(3)).is_none());
    world.expect("the ban ends", minutes(2), |world| world.link(HostId(2), HostId(3)).is_some());
}

#[test]
fn a_4_what_cannot_be_ordered_is_refused_with_a_word() {
    let mut world = World::standing(seed(1), &Setup::new(null).masternodes(2));
    let own = [BanTarget::Key(id(&world, HostId(0))), ip(&world, HostId(0)).to_string().parse().unwrap()];
    for target in own {
        let reply = world.ask(HostId(0), Request::Ban { target, lasts: None, note: None });
        assert!(matches!(reply, Reply::IsSelf), "{reply:?}");
    }
    let target = BanTarget::Key(NodeId([0x77; 32]));
    let reply = world.ask(HostId(0), Request::Ban { target, lasts: Some(Duration::ZERO), note: None });
    assert!(matches!(reply, Reply::Refused(_)), "{reply:?}");
    assert_eq!(bans(&mut world, HostId(0)), []);
}

#[test]
fn c8_a_full_table_of_bans_refuses_the_next_order() {
    let setup = Setup::new(null).masternodes(2).config(|_, config| config.limits.bans = 10);
    let mut world = World::standing(seed(1), &setup);
    for number in 1..=10 {
        ban(&mut world, HostId(0), BanTarget::Key(NodeId([number; 32])), None);
    }
    let target = BanTarget::Key(NodeId([11; 32]));
    let reply = world.ask(HostId(0), Request::Ban { target, lasts: None, note: None });
    assert!(matches!(reply, Reply::Refused(_)), "{reply:?}");
    assert_eq!(bans(&mut world, HostId(0)).len(), 10);
}
