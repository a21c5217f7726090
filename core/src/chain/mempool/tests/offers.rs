//! Offers on new links and in passes, what is asked for, and what is served (rule X-3).

use super::*;
use crate::limits::MAX_OFFERED;

fn never(_: &Message) -> bool {
    false
}

#[test]
fn x_3_a_new_link_brings_what_either_side_lacks() {
    let mut net = Net::new(2, 0);
    let all: Vec<Bytes> = (0..3000).map(|number| transaction(number, 250)).collect();
    for (number, bytes) in all.iter().enumerate() {
        net.submit(number % 2, bytes);
    }
    net.run(WRITE);
    net.link(0, 1);
    net.run(Duration::from_secs(1));
    assert!(all.iter().all(|bytes| net.holders(bytes).len() == 2));
    assert_eq!(net.sent(Kind::Transaction), 3000);
    assert!(net.sent(Kind::TransactionOffer) >= 3000_usize.div_ceil(MAX_OFFERED));
}

#[test]
fn x_3_a_large_mempool_never_fills_the_lane() {
    let mut net = Net::new(2, 0);
    let all: Vec<Bytes> = (0..150).map(|number| transaction(number, MAX_TRANSACTION)).collect();
    for bytes in &all {
        net.submit(0, bytes);
    }
    net.run(WRITE);
    net.link(0, 1);
    let mut most = 0;
    for _ in 0..500 {
        net.run(Duration::from_millis(20));
        most = most.max(net.in_flight(0, 1));
    }
    assert!(all.iter().all(|bytes| net.has(1, bytes)));
    assert!(most <= net.limits.relay_lane / 2 + 3 * (MAX_OFFERED * 32 + 8), "{most}");
    assert_eq!(net.sent(Kind::Transaction), 150);
}

#[test]
fn x_3_what_was_lost_on_its_way_is_offered_again() {
    let mut net = Net::full_mesh(4, 0);
    net.loses = |_| true;
    // Nobody has woken anybody for a while.
    net.run(2 * PASS);
    let bytes = transaction(1, 250);
    net.submit(0, &bytes);
    net.run(Duration::from_secs(1));
    assert_eq!(net.holders(&bytes), [0]);
    net.loses = never;
    net.run(2 * PASS);
    assert_eq!(net.holders(&bytes).len(), 4);
}

#[test]
fn x_3_a_lost_answer_delays_a_pass_and_no_more() {
    let mut net = Net::new(2, 0);
    let all: Vec<Bytes> = (0..2 * MAX_OFFERED as u64).map(|number| transaction(number, 250)).collect();
    for bytes in &all {
        net.submit(0, bytes);
    }
    net.run(WRITE);
    net.loses = |message| matches!(message, Message::TransactionWant(_));
    net.link(0, 1);
    net.run(PASS);
    assert_eq!(net.hosts[1].pool.info().transactions, 0);
    net.loses = never;
    net.run(4 * PASS);
    assert_eq!(net.hosts[1].pool.info().transactions, all.len());
}

#[test]
fn x_3_what_was_restored_is_offered_again_too() {
    let mut net = Net::new(2, 0);
    let bytes = transaction(1, 250);
    net.submit(0, &bytes);
    net.run(WRITE);
    net.restart(0);
    net.loses = |_| true;
    net.link(0, 1);
    net.run(Duration::from_secs(1));
    net.loses = never;
    net.run(2 * PASS);
    assert!(net.has(1, &bytes));
}

#[test]
fn x_3_a_peer_is_offered_one_slice_at_a_time() {
    let mut net = Net::new(2, 0);
    for number in 0..4 * MAX_OFFERED as u64 {
        net.submit(0, &transaction(number, 250));
    }
    net.run(PASS - Duration::from_millis(100));
    net.loses = |message| matches!(message, Message::TransactionWant(_));
    net.link(0, 1);
    net.link(0, 1);
    net.run(PASS);
    assert_eq!(net.sent(Kind::TransactionOffer), 1, "no answer, and no pass is over that it had to answer");
    net.run(PASS);
    assert_eq!(net.sent(Kind::TransactionOffer), 2);
}

#[test]
fn x_3_only_the_one_that_acknowledged_goes_on_offering() {
    let mut net = Net::full_mesh(4, 0);
    let all = [transaction(0, 250), transaction(1, 250)];
    for (host, bytes) in all.iter().enumerate() {
        net.submit(host, bytes);
    }
    net.run(PASS * 4 + Duration::from_secs(1));
    let offers: Vec<usize> = all.iter().map(|bytes| net.offers[&TxId::of(bytes)]).collect();
    assert_eq!(offers, [9, 9], "to three peers in three passes");
}

#[test]
fn x_3_whoever_is_no_masternode_any_more_is_offered_nothing() {
    let mut net = Net::full_mesh(2, 0);
    net.call(0, |pool, now, effects| pool.peer_up(now, node(1), Role::Observer, effects));
    net.submit(0, &transaction(1, 250));
    net.run(4 * PASS);
    assert_eq!(net.sent(Kind::TransactionOffer), 0);
}

#[test]
fn x_3_a_cut_link_is_made_good_by_the_next() {
    let mut net = Net::new(3, 0);
    net.link(0, 1);
    let bytes = transaction(1, 250);
    net.submit(0, &bytes);
    net.run(WRITE + LATENCY / 2);
    net.cut(0, 1);
    net.run(Duration::from_secs(1));
    assert_eq!(net.holders(&bytes), [0]);
    net.link(0, 2);
    net.link(1, 2);
    net.run(Duration::from_secs(1));
    assert_eq!(net.holders(&bytes).len(), 3, "the second hands on what it got by its offer");
}

/// A transaction that host 0 has asked of 1 and that 2 offers too, with links to both.
fn asked_of_one_offered_by_two() -> (Net, TxId) {
    let mut net = Net::new(3, 0);
    net.link(0, 1);
    net.link(0, 2);
    let id = TxId::of(&transaction(1, 250));
    for peer in [1, 2] {
        net.call(0, |pool, now, effects| {
            pool.offered(now, node(peer), Some(MasternodeIndex(1)), &[id], effects);
        });
    }
    assert_eq!((net.wants(1), net.wants(2)), (vec![vec![id]], vec![vec![]]));
    net.flights.clear();
    (net, id)
}

#[test]
fn x_3_a_peer_that_offers_and_never_delivers_holds_nobody_up() {
    let (mut net, id) = asked_of_one_offered_by_two();
    net.run(SILENT - Duration::from_nanos(1));
    assert!(net.wants(2).is_empty());
    net.run(Duration::from_nanos(1));
    assert_eq!(net.wants(2), [[id]]);
}

#[test]
fn x_3_what_was_asked_of_a_lost_link_is_asked_elsewhere_at_once() {
    let (mut net, id) = asked_of_one_offered_by_two();
    net.cut(0, 1);
    assert_eq!(net.wants(2), [[id]]);
}

#[test]
fn x_3_what_came_otherwise_is_waited_for_no_longer() {
    let bytes = transaction(1, 250);
    let (mut net, id) = asked_of_one_offered_by_two();
    net.include(&[id]);
    assert_eq!(net.wants(1), [[]], "go on");

    let (mut net, _) = asked_of_one_offered_by_two();
    net.submit(0, &bytes);
    net.run(WRITE);
    assert_eq!(net.wants(1), [[]]);

    let (mut net, _) = asked_of_one_offered_by_two();
    net.call(0, |pool, now, effects| {
        pool.received(now, node(2), Some(MasternodeIndex(2)), &bytes, effects);
    });
    assert_eq!(net.wants(1), [[]]);
}

#[test]
fn x_4_what_is_in_a_block_is_not_asked_for() {
    let mut net = Net::new(2, 0);
    net.link(0, 1);
    let id = TxId::of(&transaction(1, 250));
    net.include(&[id]);
    net.call(0, |pool, now, effects| pool.offered(now, node(1), None, &[id], effects));
    assert_eq!(net.wants(1), [[]]);
}

#[test]
fn x_3_a_flood_of_offers_is_asked_for_within_bounds() {
    let mut net = Net::new(2, 0);
    net.links.insert((0, 1));
    for slice in 0..100_u64 {
        let ids: Vec<TxId> = (0..MAX_OFFERED as u64)
            .map(|number| TxId::of(&(slice * MAX_OFFERED as u64 + number).to_le_bytes()))
            .collect();
        net.call(0, |pool, now, effects| pool.offered(now, node(1), None, &ids, effects));
    }
    let asked: usize = net
        .flights
        .values()
        .map(|flight| match flight {
            Flight::Message { message: Message::TransactionWant(ids), .. } => ids.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(asked, asking::MAX_WANTED);
}

#[test]
fn x_3_whoever_wants_without_end_is_served_a_bounded_amount() {
    let mut net = Net::new(2, 0);
    let all: Vec<Bytes> = (0..100).map(|number| transaction(number, MAX_TRANSACTION)).collect();
    let ids: Vec<TxId> = all.iter().map(|bytes| TxId::of(bytes)).collect();
    for bytes in &all {
        net.submit(0, bytes);
    }
    net.run(WRITE);
    net.link(0, 1);
    for _ in 0..1000 {
        net.call(0, |pool, now, effects| pool.wanted(now, node(1), &ids, effects));
    }
    assert!(net.sent(Kind::Transaction) * MAX_TRANSACTION <= net.limits.mempool);
    net.flights.clear();
    net.now = net.now + offering::SERVED_WINDOW;
    let before = net.sent(Kind::Transaction);
    net.call(0, |pool, now, effects| pool.wanted(now, node(1), &ids, effects));
    assert!(net.sent(Kind::Transaction) > before);
}

#[test]
fn x_3_nothing_is_said_where_nothing_waits_for_long() {
    let mut net = Net::full_mesh(4, 0);
    for number in 0..100 {
        let bytes = transaction(number, 250);
        net.submit(number as usize % 4, &bytes);
        net.run(Duration::from_secs(1));
        net.include(&[TxId::of(&bytes)]);
    }
    assert_eq!((net.sent(Kind::TransactionOffer), net.sent(Kind::TransactionWant)), (0, 0));
    net.run(2 * PASS);
    assert!(net.hosts.iter().all(|host| host.pool.deadline().is_none()), "and nobody is woken for nothing");
}
