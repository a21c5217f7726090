//! The book at its edges: the moment that counts, the entry that gives way, the change that is written down.

use super::*;
use crate::time::Wall;

const START: Now = Now { mono: Mono(1_000_000_000), wall: Wall(1_800_000_000_000) };
const SECOND: Duration = Duration::from_secs(1);

fn later(time: Duration) -> Now {
    Now { mono: START.mono + time, wall: START.wall + time }
}

fn seeded(seed: u8) -> Book {
    Book::new(AddrScope::Global, &Limits::default(), START, &mut Rng::new([seed; 32]))
}

fn addr(number: u32) -> CanonicalAddr {
    let (a, b) = (u8::try_from(20 + number / 256).unwrap(), u8::try_from(number % 256).unwrap());
    CanonicalAddr::new(([a, b, 3, 4], 24_100).into()).unwrap()
}

fn id(number: u32) -> NodeId {
    let mut key = [0xaa; 32];
    key[..4].copy_from_slice(&number.to_le_bytes());
    NodeId(key)
}

fn told(book: &mut Book, now: Now, number: u32, of: NodeId, age: Duration) -> Heard {
    book.heard(now, addr(30_000 + number).ip(), of, addr(number), age)
}

/// Whether an act is one that has to be written down.
fn is_written(book: &mut Book, act: impl FnOnce(&mut Book)) -> bool {
    book.record(START);
    assert!(!book.has_changed());
    act(book);
    book.has_changed()
}

#[test]
fn what_changes_the_book_is_written_and_nothing_else() {
    let mut book = seeded(1);
    assert!(is_written(&mut book, |book| book.verified(START, id(1), addr(1))));
    assert!(!is_written(&mut book, |book| book.verified(START, id(1), addr(1))));
    assert!(is_written(&mut book, |book| book.verified(START, id(2), addr(1))), "another key there");
    assert!(is_written(&mut book, |book| book.failed(START, id(2), addr(1), Failure::Unreachable)));
    assert!(!is_written(&mut book, |book| book.failed(START, id(9), addr(1), Failure::Unreachable)));
    assert!(is_written(&mut book, |book| {
        told(book, START, 3, id(3), Duration::ZERO);
    }));
    assert!(!is_written(&mut book, |book| {
        told(book, START, 3, id(3), Duration::ZERO);
    }));
    assert!(!is_written(&mut book, |book| book.forget(|of, _| *of == id(9))));
    assert!(is_written(&mut book, |book| book.forget(|of, _| *of == id(3))));
    assert!(is_written(&mut book, |book| book.forget(|of, _| *of == id(2))));
    assert_eq!(book.known(), 0);
}

#[test]
fn one_success_ends_a_row_of_failures_at_once() {
    let mut book = seeded(1);
    book.verified(START, id(1), addr(1));
    book.failed(START, id(1), addr(1), Failure::Unreachable);
    let entry = |book: &Book| *book.tried.get(&addr(1)).unwrap();
    assert_eq!((entry(&book).failures, entry(&book).retry), (1, Moment(60)));
    book.verified(START, id(1), addr(1));
    assert_eq!((entry(&book).failures, entry(&book).retry), (0, Moment(0)));
}

#[test]
fn hearsay_is_believed_for_a_day_to_the_second() {
    let mut book = seeded(1);
    assert_eq!(told(&mut book, START, 1, id(1), TOLD_FOR), Heard::New);
    assert_eq!(told(&mut book, START, 2, id(2), TOLD_FOR + SECOND), Heard::Refused);
}

#[test]
fn hearsay_makes_younger_by_more_than_an_hour_and_only_the_same_node() {
    let mut book = seeded(1);
    let seen = |book: &Book| book.heard.get(&addr(1)).map(|entry| (entry.id, entry.seen)).unwrap();
    let now = later(TOLD_FOR);
    told(&mut book, now, 1, id(1), NOTED_EVERY * 3);
    let first = seen(&book);
    told(&mut book, now, 1, id(2), Duration::ZERO);
    assert_eq!(seen(&book), first, "the first word stands");
    assert!(!is_written(&mut book, |book| {
        told(book, now, 1, id(1), NOTED_EVERY * 2);
    }));
    assert_eq!(seen(&book), first, "an hour is no news");
    assert!(is_written(&mut book, |book| {
        told(book, now, 1, id(1), NOTED_EVERY * 2 - SECOND);
    }));
    assert_eq!(seen(&book).1, first.1.after(NOTED_EVERY + SECOND));
    // What has failed may be another node by now.
    book.failed(now, id(1), addr(1), Failure::Unreachable);
    assert!(is_written(&mut book, |book| {
        told(book, now, 1, id(2), NOTED_EVERY * 2);
    }));
    assert_eq!(seen(&book).0, id(2));
}

#[test]
fn a_tried_address_ends_with_its_eighth_failure_after_a_day() {
    for (failures, silence, ends) in [
        (TRIED_FAILURES, TRIED_SILENCE, true),
        (TRIED_FAILURES - 1, TRIED_SILENCE, false),
        (TRIED_FAILURES, TRIED_SILENCE - SECOND, false),
    ] {
        let mut book = seeded(1);
        book.verified(START, id(1), addr(1));
        for _ in 0..failures {
            book.failed(later(silence), id(1), addr(1), Failure::Unreachable);
        }
        assert_eq!(book.counts().tried == 0, ends, "{failures} failures after {silence:?}");
    }
}

/// A book with as many tried addresses as find a place.
fn full_of_tried() -> (Book, u32) {
    let mut book = seeded(1);
    let mut number = 0;
    while number < 4_000 {
        book.verified(START, id(number), addr(number));
        number += 1;
    }
    (book, number)
}

#[test]
fn a_tried_address_that_answers_never_gives_way_and_one_that_fails_or_is_silent_does() {
    let (mut book, mut number) = full_of_tried();
    let all: Vec<Entry> = book.tried.iter().copied().collect();
    let (failed, silent) = (all[0], all[1]);
    book.failed(START, failed.id, failed.addr, Failure::Unreachable);
    let now = later(TOLD_FOR + SECOND);
    for entry in &all[2..] {
        book.verified(now, entry.id, entry.addr);
    }
    for _ in 0..2_000 {
        book.verified(now, id(number), addr(number));
        number += 1;
    }
    let stays = |entry: &Entry| book.tried.get(&entry.addr).is_some();
    assert!(!stays(&failed) && !stays(&silent));
    assert!(all[2..].iter().all(stays));
}

#[test]
fn hearsay_that_is_a_week_old_gives_way_and_may_come_back_at_once() {
    let mut book = seeded(1);
    let tell = |book: &mut Book, now, number: u32| {
        book.heard(now, addr(0).ip(), id(number), addr(number), Duration::ZERO)
    };
    for number in 0..1_000 {
        tell(&mut book, START, number);
    }
    let first: Vec<Entry> = book.heard.iter().copied().collect();
    for number in 1_000..2_000 {
        tell(&mut book, later(STALE_AFTER), number);
    }
    let stays = |book: &Book, entry: &Entry| book.heard.get(&entry.addr).is_some();
    assert!(first.iter().all(|entry| stays(&book, entry)), "a week is not long");
    let now = later(STALE_AFTER + SECOND);
    for number in 2_000..4_000 {
        tell(&mut book, now, number);
    }
    let gone: Vec<&Entry> = first.iter().filter(|entry| !stays(&book, entry)).collect();
    assert_eq!(gone.len(), first.len());
    assert_eq!(book.counts().tombstones, 0, "it has not failed");
}

#[test]
fn each_book_has_its_own_order() {
    let mut books = [seeded(1), seeded(2), seeded(1)];
    for book in &mut books {
        for number in 0..50 {
            book.verified(START, id(number), addr(number));
        }
    }
    let order = |book: &Book| book.tried.iter().map(|entry| entry.addr).collect::<Vec<_>>();
    assert_ne!(order(&books[0]), order(&books[1]), "nobody can foresee it");
    assert_eq!(order(&books[0]), order(&books[2]));
}

#[test]
fn what_was_to_wait_waits_through_a_restart_and_no_longer() {
    let mut book = seeded(1);
    book.verified(START, id(1), addr(1));
    book.failed(START, id(1), addr(1), Failure::Refused);
    let record = book.record(START);
    let down = RETRY_REFUSED / 2;
    let book = Book::open(AddrScope::Global, &Limits::default(), &record, later(down)).unwrap();
    assert_eq!(book.tried.get(&addr(1)).unwrap().retry, Moment(seconds(RETRY_REFUSED - down)));
}
