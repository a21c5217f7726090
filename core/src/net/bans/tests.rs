use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn at(mono: u64, wall: u64) -> Now {
    Now { mono: Mono(0) + MINUTE * u32::try_from(mono).unwrap(), wall: Wall(wall * 60_000) }
}

fn t0() -> Now {
    at(10, 1_000_000)
}

fn after(minutes: u64) -> Now {
    at(10 + minutes, 1_000_000 + minutes)
}

fn target(text: &str) -> BanTarget {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn id(number: u8) -> NodeId {
    NodeId([number; 32])
}

fn order(bans: &mut Bans, text: &str, minutes: Option<u32>) -> Set {
    bans.order(t0(), target(text), minutes.map(|minutes| MINUTE * minutes), None).unwrap()
}

/// Each line: the operator's ban on the key, on the address, incompatibility, the score; and what is named.
#[test]
fn a_4_the_table_of_precedence() {
    let now = Mono(100);
    let (later, over) = (Some(Mono(200)), Some(Mono(100)));
    let hold = |text: &str, until| Some(Hold { target: target(text), until });
    let by_key = |until| hold(&"07".repeat(32), until);
    let by_net = |until| hold("10.0.0.0/8", until);
    let banned = |hold: Option<Hold>| Verdict::Banned(hold.unwrap());
    let table = [
        (None, None, None, None, Verdict::Clear),
        (by_key(None), by_net(None), later, by_key(later), banned(by_key(None))),
        (by_key(later), by_net(None), later, by_key(later), banned(by_key(later))),
        (by_key(over), by_net(None), later, by_key(later), banned(by_net(None))),
        (None, by_net(later), later, by_key(later), banned(by_net(later))),
        (None, by_net(over), later, by_key(later), Verdict::Incompatible(Mono(200))),
        (None, None, later, by_key(later), Verdict::Incompatible(Mono(200))),
        (None, None, over, by_key(later), banned(by_key(later))),
        (None, None, None, by_key(over), Verdict::Clear),
        (by_key(over), by_net(over), over, by_key(over), Verdict::Clear),
    ];
    for (line, (key, net, incompatible, score, expected)) in table.into_iter().enumerate() {
        let grounds = Grounds { key, net, incompatible, score };
        assert_eq!(verdict(now, &grounds), expected, "line {line}");
    }
}

#[test]
fn the_longest_prefix_speaks_and_every_form_of_an_address_is_one() {
    let mut bans = Bans::new(9);
    for text in ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "2001:db8::/32"] {
        order(&mut bans, text, None);
    }
    let on = |text: &str| bans.on_address(t0().mono, ip(text)).map(|hold| hold.target);
    assert_eq!(on("10.1.2.3"), Some(target("10.1.2.3")));
    assert_eq!(on("::ffff:10.1.2.3"), Some(target("10.1.2.3")));
    assert_eq!(on("10.1.2.4"), Some(target("10.1.0.0/16")));
    assert_eq!(on("10.2.0.1"), Some(target("10.0.0.0/8")));
    assert_eq!(on("2001:db8:1::1"), Some(target("2001:db8::/32")));
    assert_eq!((on("11.0.0.1"), on("2001:db9::1")), (None, None));
    bans.remove(t0(), &target("10.1.2.3")).unwrap();
    assert_eq!(
        bans.on_address(t0().mono, ip("10.1.2.3")).map(|hold| hold.target),
        Some(target("10.1.0.0/16"))
    );
    assert_eq!(bans.widths, [BTreeSet::from([8, 16]), BTreeSet::from([32])]);
}

#[test]
fn a_longer_prefix_that_is_over_hides_no_shorter_one() {
    let mut bans = Bans::new(9);
    order(&mut bans, "10.0.0.0/8", None);
    order(&mut bans, "10.1.0.0/16", Some(10));
    let on = |now: Now| bans.on_address(now.mono, ip("10.1.2.3")).map(|hold| hold.target);
    assert_eq!(on(after(9)), Some(target("10.1.0.0/16")));
    assert_eq!(on(after(10)), Some(target("10.0.0.0/8")), "although nobody has taken the other out yet");
}

#[test]
fn where_there_is_no_longer_a_place_for_all_the_operator_s_stay() {
    let mut bans = three();
    order(&mut bans, "10.9.9.9", None);
    let read = Bans::decode(&bans.encode(t0()), t0(), 3).unwrap();
    assert_eq!(read.count(), [3, 0, 0, 0, 0, 0]);
}

#[test]
fn an_order_replaces_and_the_operator_s_word_stands_against_ours() {
    let mut bans = Bans::new(9);
    let own = bans.punish(t0(), id(7), MINUTE * 10, Offence::Flood).unwrap();
    assert_eq!((own.ban.until, own.ended), (Some(after(10).wall), None));
    assert_eq!(
        bans.grounds(t0().mono, Some(&id(7)), None).score.map(|hold| hold.until),
        Some(Some(after(10).mono))
    );
    let operator = bans.order(t0(), BanTarget::Key(id(7)), None, BanNote::new("spam")).unwrap();
    assert_eq!(operator.ended.map(|(ban, end)| (ban.cause, end)), Some((own.ban.cause, BanEnd::Replaced)));
    assert_eq!(bans.punish(t0(), id(7), MINUTE, Offence::Flood), None);
    let grounds = bans.grounds(t0().mono, Some(&id(7)), None);
    assert_eq!((grounds.key.map(|hold| hold.until), grounds.score), (Some(None), None));
    assert_eq!(bans.list(t0()), [operator.ban]);
}

#[test]
fn the_operator_s_bans_never_give_way_to_ours() {
    let mut bans = Bans::new(3);
    order(&mut bans, "10.0.0.1", None);
    bans.punish(t0(), id(1), MINUTE * 30, Offence::Flood).unwrap();
    bans.punish(t0(), id(2), MINUTE * 10, Offence::Flood).unwrap();
    // Of ours, the one that ends first.
    let third = bans.punish(t0(), id(3), MINUTE * 10, Offence::Flood).unwrap();
    let crowded = third.ended.map(|(ban, end)| (ban.target, end));
    assert_eq!(crowded, Some((BanTarget::Key(id(2)), BanEnd::Crowded)));
    order(&mut bans, "10.0.0.2", None);
    order(&mut bans, "10.0.0.3", None);
    assert_eq!(bans.punish(t0(), id(4), MINUTE * 60, Offence::Flood), None);
    assert_eq!(bans.order(t0(), target("10.0.0.4"), None, None), Err(Full));
    // One on a target that has one needs no place.
    assert!(bans.order(t0(), target("10.0.0.3"), Some(MINUTE), None).is_ok());
    assert!(bans.list(t0()).iter().all(|ban| ban.cause == BanCause::Operator));
}

#[test]
fn ban_05a_a_ban_ends_in_its_time_whatever_the_wall_clock_does() {
    let mut bans = Bans::new(9);
    order(&mut bans, "10.0.0.1", Some(10));
    order(&mut bans, "10.0.0.2", None);
    assert_eq!(bans.deadline(), Some(after(10).mono));
    for wall in [0, 1, 999_000, 1_000_009, 9_000_000] {
        let now = at(19, wall);
        assert!(bans.expire(now).is_empty(), "{wall}");
        let shown = bans.list(now).into_iter().find(|ban| ban.target == target("10.0.0.1")).unwrap();
        assert_eq!(shown.until, Some(Wall((wall + 1) * 60_000)), "one minute is left");
    }
    let over: Vec<BanTarget> = bans.expire(at(20, 0)).iter().map(|ban| ban.target).collect();
    assert_eq!(over, [target("10.0.0.1")]);
    assert_eq!((bans.deadline(), bans.list(t0()).len()), (None, 1));
}

fn three() -> Bans {
    let mut bans = Bans::new(9);
    bans.order(t0(), target("2001:db8::/32"), Some(MINUTE * 30), BanNote::new("a note, in ünïcode")).unwrap();
    order(&mut bans, "10.0.0.0/8", None);
    bans.punish(t0(), id(7), MINUTE * 10, Offence::BadSignature).unwrap();
    bans
}

#[test]
fn a_restart_keeps_bans_with_what_is_left_of_them() {
    let record = three().encode(t0());
    let read = |now: Now| {
        let bans = Bans::decode(&record, now, 9).unwrap();
        let left = bans.kept.values().map(|kept| kept.until.map(|until| until.since(now.mono)));
        left.collect::<Vec<_>>()
    };
    // Another origin of the monotonic clock, five minutes later.
    let key_v4_v6 = |key, v6| vec![Some(MINUTE * key), None, Some(MINUTE * v6)];
    assert_eq!(read(at(0, 1_000_005)), key_v4_v6(5, 25));
    assert_eq!(read(at(0, 1_000_010)), vec![None, Some(MINUTE * 20)], "the first is over");
    assert_eq!(read(at(0, 1)), key_v4_v6(10, 30), "a clock that was set back adds nothing");
    assert_eq!(read(at(0, 90_000_000)), vec![None]);
    let read = Bans::decode(&record, t0(), 9).unwrap();
    assert_eq!((read.list(t0()), read.widths.clone()), (three().list(t0()), three().widths));
    assert_eq!(read.encode(t0()), record, "one form");
}

#[test]
fn nothing_but_a_whole_record_is_read() {
    let record = three().encode(t0());
    for cut in 0..record.len() {
        assert!(Bans::decode(&record[..cut], t0(), 9).is_none(), "{cut}");
    }
    for place in 0..record.len() {
        let mut changed = record.to_vec();
        changed[place] ^= 1;
        assert!(Bans::decode(&changed, t0(), 9).is_none(), "{place}");
    }
    assert_eq!(Bans::decode(&Bans::new(9).encode(t0()), t0(), 9).unwrap().list(t0()), []);
}

#[test]
fn c8_a_full_table_is_as_large_in_its_record_as_it_may_be() {
    let mut bans = Bans::new(20);
    for number in 0..20 {
        let note = BanNote::new(&"n".repeat(BanNote::MAX));
        bans.order(t0(), BanTarget::Key(id(number)), None, note).unwrap();
    }
    let record = bans.encode(t0());
    assert!(record.len() <= 20 * BAN_BYTES);
    assert_eq!(Bans::decode(&record, t0(), 20).unwrap().list(t0()).len(), 20);
}

#[test]
fn our_own_are_withdrawn_and_the_operator_s_stay() {
    let mut bans = three();
    bans.order(t0(), BanTarget::Key(id(8)), None, None).unwrap();
    bans.punish(t0(), id(9), MINUTE * 10, Offence::Flood).unwrap();
    let withdrawn = bans.withdraw(t0(), |_, offence| offence == Offence::BadSignature);
    assert_eq!(withdrawn.iter().map(|ban| ban.target).collect::<Vec<_>>(), [BanTarget::Key(id(7))]);
    assert_eq!(bans.count(), [3, 0, 0, 0, 0, 1]);
    assert_eq!(bans.withdraw(t0(), |_, _| true).len(), 1);
}
