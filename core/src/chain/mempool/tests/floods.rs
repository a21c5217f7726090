//! Bounds and shares (rules, contract C8).

use super::*;
use crate::chain::mempool::waiting::cost;

const BOUND: usize = 400 * cost(500);

fn bounded(masternodes: usize, observers: usize) -> Net {
    Net::bounded(masternodes, observers, Limits { mempool: BOUND, ..Limits::default() })
}

/// So many transactions come from a peer; answers how many of them are here.
fn flood(net: &mut Net, from: usize, count: u64) -> usize {
    let seat = net.seat(from);
    let all: Vec<Bytes> =
        (0..count).map(|number| transaction(from as u64 * 1_000_000 + number, 500)).collect();
    for bytes in &all {
        net.call(0, |pool, now, effects| {
            pool.received(now, node(from), seat, bytes, effects);
        });
    }
    all.iter().filter(|bytes| net.has(0, bytes)).count()
}

fn held_of(net: &Net, from: u64, count: u64) -> usize {
    (0..count).filter(|number| net.has(0, &transaction(from * 1_000_000 + number, 500))).count()
}

#[test]
fn x_1_submissions_are_refused_when_they_fill_their_share() {
    let mut net = bounded(1, 0);
    let requests: Vec<RequestId> = (0..400).map(|number| net.submit(0, &transaction(number, 500))).collect();
    net.run(WRITE);
    let taken = |id: &&RequestId| matches!(net.hosts[0].replies[id], Reply::Submitted(_));
    assert_eq!(requests.iter().filter(taken).count(), 300);
    let Reply::MempoolFull(info) = net.hosts[0].replies[&requests[300]] else { panic!("not refused") };
    assert_eq!(info, MempoolInfo { transactions: 300, bytes: 150_000 });
    assert_eq!(net.hosts[0].disk.len(), 300);
    let ids: Vec<TxId> = (0..100).map(|number| TxId::of(&transaction(number, 500))).collect();
    net.include(&ids);
    let request = net.submit(0, &transaction(9999, 500));
    net.run(WRITE);
    assert!(matches!(net.hosts[0].replies[&request], Reply::Submitted(_)));
}

#[test]
fn x_2_a_flood_from_others_leaves_room_for_submissions_and_takes_none_of_theirs() {
    let mut net = bounded(2, 1);
    for number in 0..50 {
        net.submit(0, &transaction(number, 500));
    }
    net.run(WRITE);
    assert_eq!(flood(&mut net, 2, 1000), 300);
    for number in 50..100 {
        net.submit(0, &transaction(number, 500));
    }
    net.run(WRITE);
    assert!((0..100).all(|number| net.has(0, &transaction(number, 500))));
    assert_eq!(net.hosts[0].pool.info().transactions, 400);
    let request = net.submit(0, &transaction(100, 500));
    assert!(matches!(net.hosts[0].replies[&request], Reply::MempoolFull(_)));
}

#[test]
fn x_2_a_copy_that_is_here_needs_no_more_room_to_be_acknowledged() {
    let mut net = bounded(2, 0);
    for number in 0..100 {
        net.submit(0, &transaction(number, 500));
    }
    net.run(WRITE);
    assert_eq!(flood(&mut net, 1, 300), 300);
    let request = net.submit(0, &transaction(1_000_000, 500));
    net.run(WRITE);
    assert!(matches!(net.hosts[0].replies[&request], Reply::Submitted(_)));
    assert_eq!(net.hosts[0].pool.info().transactions, 400);
}

#[test]
fn x_3_submissions_leave_room_for_others() {
    let mut net = bounded(2, 0);
    for number in 0..400 {
        net.submit(0, &transaction(number, 500));
    }
    net.run(WRITE);
    assert_eq!(flood(&mut net, 1, 1000), 100);
}

#[test]
fn x_3_peers_share_and_whoever_holds_most_gives_way_newest_first() {
    let mut net = bounded(4, 0);
    assert_eq!(flood(&mut net, 1, 300), 300);
    assert_eq!(flood(&mut net, 2, 300), 150);
    assert_eq!(held_of(&net, 1, 150), 150, "its oldest stay");
    assert_eq!(flood(&mut net, 3, 60), 60);
    let held = [held_of(&net, 1, 300), held_of(&net, 2, 300), held_of(&net, 3, 300)];
    assert!(held.iter().sum::<usize>() == 300 && held[0].abs_diff(held[1]) <= 1, "{held:?}");
}

#[test]
fn x_3_strangers_give_way_to_masternodes_and_never_the_other_way() {
    let mut net = bounded(3, 2);
    assert_eq!(flood(&mut net, 3, 1000), 300);
    assert_eq!(flood(&mut net, 1, 200), 200);
    assert_eq!(flood(&mut net, 4, 1000), 50, "strangers share what is left");
    assert_eq!(held_of(&net, 1, 200), 200);
    assert_eq!((held_of(&net, 3, 50), held_of(&net, 4, 50)), (50, 50), "the oldest of each stay");
}

#[test]
fn x_3_a_full_mempool_asks_for_nothing() {
    let mut net = bounded(2, 0);
    flood(&mut net, 1, 1000);
    net.links.insert((0, 1));
    let ids = [TxId::of(b"another")];
    net.call(0, |pool, now, effects| pool.offered(now, node(1), Some(MasternodeIndex(1)), &ids, effects));
    let Some(Flight::Message { message, .. }) = net.flights.values().last() else { panic!("no answer") };
    assert_eq!(*message, Message::TransactionWant(vec![]));
}

#[test]
fn x_2_whatever_was_acknowledged_is_restored_whatever_the_bound_is_now() {
    let mut net = bounded(1, 0);
    for number in 0..300 {
        net.submit(0, &transaction(number, 500));
    }
    net.run(WRITE);
    net.limits.mempool = BOUND / 10;
    net.restart(0);
    assert_eq!(net.hosts[0].pool.info().transactions, 300);
    let request = net.submit(0, &transaction(9999, 500));
    assert!(matches!(net.hosts[0].replies[&request], Reply::MempoolFull(_)));
}

#[test]
fn c8_the_smallest_transactions_are_bounded_by_what_they_cost() {
    let mut net = bounded(1, 0);
    for number in 0..100_000_u64 {
        net.submit(0, &Bytes::copy_from_slice(&number.to_le_bytes()));
    }
    assert_eq!(net.hosts[0].pool.info().transactions, BOUND / 4 * 3 / cost(8));
}
