//! The book against liars, failures, restarts and clocks.

use std::collections::BTreeSet;

use super::*;
use crate::time::Wall;

const START: Now = Now { mono: Mono(1_000_000_000), wall: Wall(1_800_000_000_000) };
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn later(time: Duration) -> Now {
    Now { mono: START.mono + time, wall: START.wall + time }
}

fn book() -> Book {
    Book::new(AddrScope::Global, &Limits::default(), START, &mut Rng::new([7; 32]))
}

/// An address of its own /16 for each number below 30,000, in public space.
fn addr(number: u32) -> CanonicalAddr {
    let (a, b) = (u8::try_from(20 + number / 256).unwrap(), u8::try_from(number % 256).unwrap());
    CanonicalAddr::new(([a, b, 3, 4], 24_100).into()).unwrap()
}

fn at(text: &str) -> CanonicalAddr {
    text.parse().unwrap()
}

fn id(number: u32) -> NodeId {
    let mut key = [0xaa; 32];
    key[..4].copy_from_slice(&number.to_le_bytes());
    NodeId(key)
}

fn teller(number: u32) -> IpAddr {
    addr(30_000 + number).ip()
}

fn told(book: &mut Book, by: u32, number: u32) -> Heard {
    book.heard(START, teller(by), id(number), addr(number), Duration::ZERO)
}

fn anyone(_: &NodeId, _: &CanonicalAddr) -> Fitness {
    Fitness::Fit
}

fn nobody(_: &NodeId, _: &CanonicalAddr) -> bool {
    false
}

// Shares.

#[test]
fn a_liar_who_tells_a_thousand_addresses_gets_only_its_share() {
    let mut book = book();
    for number in 0..1_000 {
        told(&mut book, 0, number);
    }
    let taken = book.counts().heard;
    assert!((32..=1024 / 16).contains(&taken), "{taken} of 1,024");
    // Others find room beside it.
    let mut news = 0;
    for by in 1..=20 {
        for number in 0..10 {
            news += u32::from(told(&mut book, by, 1_000 + by * 10 + number) == Heard::New);
        }
    }
    assert!(news > 160, "{news} of 200");
}

#[test]
fn one_network_and_one_address_get_only_their_share_whoever_tells_them() {
    let mut book = book();
    for by in 0..500_u32 {
        let [.., c, d] = by.to_be_bytes();
        let addr = CanonicalAddr::new(([9, 9, c, d], 1).into()).unwrap();
        book.heard(START, teller(by), id(by), addr, Duration::ZERO);
    }
    assert_eq!(book.counts().heard, 1024 / 16);
    for port in 1..100 {
        let addr = CanonicalAddr::new(([9, 10, 1, 1], port).into()).unwrap();
        book.heard(START, teller(port.into()), id(port.into()), addr, Duration::ZERO);
    }
    assert_eq!(book.counts().heard, 1024 / 16 + HEARD_AN_IP);
}

#[test]
fn one_network_gets_only_its_share_of_what_was_tried() {
    let mut book = book();
    for number in 0..500_u32 {
        let [.., c, d] = number.to_be_bytes();
        book.verified(START, id(number), CanonicalAddr::new(([9, 9, c, d], 1).into()).unwrap());
    }
    let tried = book.counts().tried;
    assert!((8..=512 / 16).contains(&tried), "{tried} of 512");
    assert!(book.counts().heard > 0, "who finds no place is hearsay");
}

#[test]
fn pex_02a_a_million_addresses_leave_the_tables_at_their_size_and_what_was_tried_alone() {
    let mut book = book();
    for number in 0..40 {
        book.verified(START, id(number), addr(number));
    }
    let tried: Vec<Entry> = book.tried.iter().copied().collect();
    for number in 0..1_000_000_u32 {
        let [a, b, c, d] = (number + 0x0d00_0000).to_be_bytes();
        let addr = CanonicalAddr::new(([a, b, c, d], 7).into()).unwrap();
        let key = NodeId([9; 32]);
        book.heard(later(HOUR), teller(number % 1_000), key, addr, Duration::ZERO);
    }
    assert_eq!(book.tried.iter().copied().collect::<Vec<_>>(), tried);
    assert!(book.counts().heard <= 1024, "{:?}", book.counts());
    assert_eq!(book.heard.iter().count(), book.heard.len());
}

#[test]
fn only_what_can_be_reached_is_believed() {
    let mut book = book();
    for text in ["127.0.0.1:1", "10.0.0.1:1", "192.0.2.1:1", "[fe80::1]:1", "240.0.0.1:1"] {
        assert_eq!(book.heard(START, teller(1), id(1), at(text), Duration::ZERO), Heard::Refused, "{text}");
        book.verified(START, id(1), at(text));
    }
    let old = DAY + Duration::from_secs(1);
    assert_eq!(book.heard(START, teller(1), id(1), addr(1), old), Heard::Refused);
    assert_eq!((book.known(), book.has_changed()), (0, false));
}

// What was told and what was tried.

#[test]
fn hearsay_changes_nothing_about_what_was_tried() {
    let mut book = book();
    book.verified(START, id(1), addr(1));
    let before = *book.tried.get(&addr(1)).unwrap();
    assert_eq!(book.heard(later(HOUR), teller(1), id(2), addr(1), Duration::ZERO), Heard::Known);
    assert_eq!(book.tried.get(&addr(1)), Some(&before));
    assert_eq!(book.counts().heard, 0);
}

#[test]
fn the_first_word_on_an_address_stands_until_it_fails() {
    let mut book = book();
    assert_eq!(told(&mut book, 1, 5), Heard::New);
    assert_eq!(book.heard(START, teller(2), id(6), addr(5), Duration::ZERO), Heard::Known);
    assert_eq!(book.heard.get(&addr(5)).unwrap().id, id(5));
    book.failed(START, id(5), addr(5), Failure::Unreachable);
    assert_eq!(book.heard(START, teller(2), id(6), addr(5), Duration::ZERO), Heard::Known);
    assert_eq!(book.heard.get(&addr(5)).unwrap().id, id(6));
}

#[test]
fn a_success_moves_an_address_to_the_tried_ones() {
    let mut book = book();
    told(&mut book, 1, 5);
    book.failed(START, id(5), addr(5), Failure::Unreachable);
    book.verified(later(HOUR), id(5), addr(5));
    assert_eq!(book.counts(), AddressCounts { tried: 1, heard: 0, tombstones: 0 });
    assert_eq!(book.tried.get(&addr(5)).unwrap().failures, 0);
}

#[test]
fn a_link_that_stands_keeps_its_address_fresh_without_writing_it_all_the_time() {
    let mut book = book();
    book.verified(START, id(1), addr(1));
    let _ = book.record(START);
    book.verified(later(HOUR / 2), id(1), addr(1));
    assert!(!book.has_changed());
    book.verified(later(HOUR), id(1), addr(1));
    assert!(book.has_changed());
    assert_eq!(book.tried.get(&addr(1)).unwrap().seen, Moment(3600));
}

// Failures.

#[test]
fn a_heard_address_that_fails_three_times_is_left_alone_for_a_day() {
    let mut book = book();
    told(&mut book, 1, 5);
    let mut now = START;
    for wait in [60, 240] {
        book.failed(now, id(5), addr(5), Failure::Unreachable);
        let before = Now { mono: now.mono + Duration::from_secs(wait - 1), ..now };
        let mut rng = Rng::new([1; 32]);
        assert_eq!(book.choose(before, &mut rng, 9, anyone), []);
        now = Now { mono: before.mono + Duration::from_secs(1), ..now };
        assert_eq!(book.choose(now, &mut rng, 9, anyone).len(), 1);
    }
    book.failed(now, id(5), addr(5), Failure::Unreachable);
    assert_eq!(book.counts(), AddressCounts { tried: 0, heard: 0, tombstones: 1 });
    assert_eq!(book.heard(now, teller(1), id(5), addr(5), Duration::ZERO), Heard::Refused);
    let now = Now { mono: now.mono + DAY, ..now };
    assert_eq!(book.heard(now, teller(1), id(5), addr(5), Duration::ZERO), Heard::New);
}

#[test]
fn what_failed_and_gave_way_does_not_come_back_at_once() {
    let mut book = book();
    for number in 0..1_000 {
        told(&mut book, 0, number);
    }
    let failed = *book.heard.iter().next().unwrap();
    book.failed(START, failed.id, failed.addr, Failure::Unreachable);
    let mut number = 1_000;
    while book.heard.get(&failed.addr).is_some() {
        told(&mut book, 0, number);
        number += 1;
    }
    let again = |book: &mut Book, now| book.heard(now, teller(9), failed.id, failed.addr, Duration::ZERO);
    assert_eq!(again(&mut book, later(HOUR - Duration::from_secs(1))), Heard::Refused);
    assert_eq!(again(&mut book, later(HOUR)), Heard::New);
}

#[test]
fn a_tried_address_ends_only_when_it_failed_often_and_for_long() {
    let mut book = book();
    book.verified(START, id(1), addr(1));
    for _ in 0..20 {
        book.failed(later(HOUR), id(1), addr(1), Failure::Unreachable);
    }
    assert_eq!(book.counts().tried, 1, "an hour is not long");
    assert_eq!(book.choose(later(HOUR * 6), &mut Rng::new([1; 32]), 9, anyone), []);
    assert_eq!(book.choose(later(HOUR * 7), &mut Rng::new([1; 32]), 9, anyone).len(), 1);
    book.failed(later(DAY), id(1), addr(1), Failure::Unreachable);
    assert_eq!(book.counts(), AddressCounts { tried: 0, heard: 0, tombstones: 1 });
    book.verified(later(DAY), id(1), addr(1));
    assert_eq!(book.counts(), AddressCounts { tried: 1, heard: 0, tombstones: 0 });
}

#[test]
fn failures_of_a_node_that_is_cut_off_are_not_held_against_anybody() {
    let mut book = book();
    told(&mut book, 1, 5);
    for _ in 0..20 {
        book.failed(START, id(5), addr(5), Failure::Blind);
    }
    assert_eq!(book.heard.get(&addr(5)).unwrap().failures, 0);
    assert_eq!(book.choose(START, &mut Rng::new([1; 32]), 9, anyone), [], "yet it is tried again later only");
}

#[test]
fn who_refuses_us_is_there() {
    let mut book = book();
    told(&mut book, 1, 5);
    book.failed(START, id(5), addr(5), Failure::Refused);
    assert_eq!(book.counts(), AddressCounts { tried: 1, heard: 0, tombstones: 0 });
    assert_eq!(book.choose(later(HOUR / 6 - Duration::from_secs(1)), &mut Rng::new([1; 32]), 9, anyone), []);
    assert_eq!(book.choose(later(HOUR / 6), &mut Rng::new([1; 32]), 9, anyone).len(), 1);
}

#[test]
fn a_wrong_identity_takes_its_place_as_hearsay_or_is_left_alone() {
    let mut book = book();
    told(&mut book, 1, 5);
    book.failed(START, id(5), addr(5), Failure::WrongIdentity(Some(id(6))));
    assert_eq!(book.heard.get(&addr(5)).unwrap().id, id(6));
    book.failed(START, id(5), addr(5), Failure::WrongIdentity(None));
    assert_eq!(book.counts().heard, 1, "a late word about another node changes nothing");
    book.failed(START, id(6), addr(5), Failure::WrongIdentity(None));
    assert_eq!(book.counts(), AddressCounts { tried: 0, heard: 0, tombstones: 1 });
}

#[test]
fn dir_05_an_own_address_is_buried_whoever_was_said_to_be_there() {
    let mut book = book();
    book.verified(START, id(1), addr(1));
    book.failed(START, id(9), addr(1), Failure::Own);
    assert_eq!(book.counts(), AddressCounts { tried: 0, heard: 0, tombstones: 1 });
}

#[test]
fn what_is_a_masternodes_now_is_forgotten() {
    let mut book = book();
    book.verified(START, id(1), addr(1));
    told(&mut book, 1, 5);
    told(&mut book, 1, 6);
    book.forget(|id_, addr_| *id_ == id(1) || *addr_ == addr(5));
    assert_eq!(book.counts(), AddressCounts { tried: 0, heard: 1, tombstones: 0 });
}

// Choosing and telling.

#[test]
fn a_choice_follows_from_the_stream_of_randomness_alone() {
    let mut book = book();
    for number in 0..30 {
        told(&mut book, number % 5, number);
        book.verified(START, id(100 + number), addr(100 + number));
    }
    let choose = |seed| book.choose(START, &mut Rng::new([seed; 32]), 5, anyone);
    assert_eq!(choose(1), choose(1));
    assert_ne!(choose(1), choose(2));
    let distinct: BTreeSet<CanonicalAddr> = choose(1).iter().map(|candidate| candidate.addr).collect();
    assert_eq!(distinct.len(), 5);
}

#[test]
fn a_choice_keeps_to_who_is_fit_and_takes_spares_last() {
    let mut book = book();
    for number in 0..9 {
        told(&mut book, number, number);
    }
    let fitness = |id_: &NodeId, _: &CanonicalAddr| match id_ {
        known if *known == id(1) || *known == id(2) => Fitness::Fit,
        known if *known == id(3) => Fitness::Spare,
        _ => Fitness::Unfit,
    };
    for seed in 0..20 {
        let two = book.choose(START, &mut Rng::new([seed; 32]), 2, fitness);
        assert!(two.iter().all(|candidate| candidate.id != id(3)) && two.len() == 2, "{two:?}");
        let all = book.choose(START, &mut Rng::new([seed; 32]), 9, fitness);
        assert_eq!((all.len(), all[2].id), (3, id(3)));
    }
}

#[test]
fn a_node_at_several_addresses_is_chosen_once_at_a_time() {
    let mut book = book();
    for number in 0..9 {
        book.heard(START, teller(number), id(1), addr(number), Duration::ZERO);
    }
    assert_eq!(book.choose(START, &mut Rng::new([1; 32]), 9, anyone).len(), 1);
}

#[test]
fn a_liar_is_chosen_by_its_share_not_by_its_words() {
    let mut book = book();
    for number in 0..1_000 {
        told(&mut book, 0, number);
    }
    for by in 1..=30 {
        told(&mut book, by, 2_000 + by);
    }
    let honest: BTreeSet<NodeId> = (1..=30).map(|by| id(2_000 + by)).collect();
    let mut rng = Rng::new([5; 32]);
    let draws = 1_000;
    let good = (0..draws)
        .flat_map(|_| book.choose(START, &mut rng, 1, anyone))
        .filter(|candidate| honest.contains(&candidate.id))
        .count();
    assert!(good * 10 > draws * 7, "{good} of {draws}, though the liar told most addresses by far");
}

#[test]
fn only_what_this_node_reached_within_a_day_is_told() {
    let mut book = book();
    for number in 0..300 {
        book.verified(START, id(number), addr(number));
    }
    told(&mut book, 1, 1_000);
    let fails = book.tried.iter().next().copied().unwrap();
    book.failed(START, fails.id, fails.addr, Failure::Unreachable);
    let mut rng = Rng::new([1; 32]);
    let hidden = |id_: &NodeId, _: &CanonicalAddr| *id_ == id(7);
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        let told = book.sample(later(HOUR), &mut rng, 64, hidden);
        assert_eq!(told.len(), 64);
        assert!(told.windows(2).all(|pair| pair[0].addr < pair[1].addr));
        assert!(told.iter().all(|entry| entry.age == 3600));
        seen.extend(told.iter().map(|entry| entry.node));
    }
    assert!(!seen.contains(&id(7)) && !seen.contains(&id(1_000)) && !seen.contains(&fails.id));
    assert!(seen.len() > book.counts().tried / 2, "each has its chance");
    assert_eq!(book.sample(later(HOUR), &mut rng, 0, nobody), []);
    assert_eq!(book.sample(later(DAY), &mut rng, 64, nobody), []);
}

// Records.

fn filled() -> Book {
    let mut book = book();
    for number in 0..50 {
        book.verified(later(HOUR * number / 10), id(number), addr(number));
        book.heard(START, teller(number % 7), id(100 + number), addr(100 + number), HOUR);
    }
    book.verified(START, id(60), at("[2a00:1::1]:24100"));
    let entry = book.heard.iter().next().copied().unwrap();
    for _ in 0..3 {
        book.failed(later(HOUR), entry.id, entry.addr, Failure::Unreachable);
    }
    book
}

fn open(record: &[u8], now: Now) -> Result<Book, Damaged> {
    Book::open(AddrScope::Global, &Limits::default(), record, now)
}

fn aged(table: &Table, by: i64) -> BTreeSet<(CanonicalAddr, NodeId, Group, i64, u8)> {
    let aged = |entry: &Entry| (entry.addr, entry.id, entry.source, entry.seen.0 + by, entry.failures);
    table.iter().map(aged).collect()
}

#[test]
fn a_restart_finds_everything_in_its_place() {
    let mut book = filled();
    let record = book.record(later(DAY));
    assert!(!book.has_changed());
    let mut again = open(&record, Now { mono: Mono(5), wall: START.wall + DAY + HOUR / 2 }).unwrap();
    assert_eq!(again.counts(), book.counts());
    let passed = 49 * 1800;
    assert!(aged(&again.tried, passed) == aged(&book.tried, 0));
    assert!(aged(&again.heard, passed) == aged(&book.heard, 0));
    assert!(!again.has_changed());
    for (before, after) in book.tried.buckets().zip(again.tried.buckets()) {
        assert_eq!(before.len(), after.len(), "the secret is kept");
    }
    let _ = again.record(later(DAY));
}

#[test]
fn a_clock_that_was_set_makes_nothing_young_and_nothing_ancient() {
    let mut book = filled();
    let record = book.record(later(HOUR * 5));
    let set_back = open(&record, Now { wall: Wall(5), ..START }).unwrap();
    assert_eq!(set_back.counts(), book.counts());
    assert!(aged(&set_back.tried, 5 * 3600) == aged(&book.tried, 0), "no time passed");
    let set_ahead = open(&record, Now { wall: Wall(u64::MAX), ..START }).unwrap();
    let month = 30 * 24 * 3600;
    assert!(aged(&set_ahead.tried, 5 * 3600 + month) == aged(&book.tried, 0));
    assert_eq!(set_ahead.counts().tombstones, 0);
}

#[test]
fn a_record_that_is_not_what_was_written_is_damaged() {
    let mut book = filled();
    let record = book.record(START);
    assert!(open(&record, START).is_ok());
    for length in 0..record.len() {
        assert!(open(&record[..length], START).is_err(), "cut to {length}");
    }
    for place in 0..record.len() {
        let mut bad = record.clone();
        bad[place] ^= 0x10;
        assert!(open(&bad, START).is_err(), "byte {place}");
    }
    assert!(open(&[record, vec![0]].concat(), START).is_err());
}

#[test]
fn what_is_out_of_scope_now_is_left_out() {
    let mut rng = Rng::new([1; 32]);
    let mut book = Book::new(AddrScope::Private, &Limits::default(), START, &mut rng);
    book.verified(START, id(1), at("10.0.0.1:1"));
    book.verified(START, id(2), addr(2));
    assert_eq!(book.counts().tried, 2);
    assert_eq!(open(&book.record(START), START).unwrap().counts().tried, 1);
}

#[test]
fn a_smaller_book_takes_what_it_has_room_for() {
    let mut book = book();
    for number in 0..5_000 {
        told(&mut book, number % 200, number);
        book.verified(START, id(10_000 + number), addr(10_000 + number));
    }
    let record = book.record(START);
    let limits = Limits { address_book: 0, ..Limits::default() };
    let small = Book::open(AddrScope::Global, &limits, &record, START).unwrap();
    assert!(small.counts().tried <= 64 && small.counts().heard <= 128, "{:?}", small.counts());
}
