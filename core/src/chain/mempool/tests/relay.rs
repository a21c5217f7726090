//! Who hears of a transaction at once (rule X-3).

use super::*;

#[test]
fn x_3_masternodes_have_it_after_one_message() {
    let mut net = Net::full_mesh(14, 1);
    let bytes = transaction(1, 250);
    net.submit(3, &bytes);
    net.run(WRITE + LATENCY);
    assert_eq!(net.holders(&bytes), (0..14).collect::<Vec<_>>());
    net.run(Duration::from_secs(1));
    assert_eq!((net.sent(Kind::Transaction), net.sent(Kind::TransactionOffer)), (13, 0));
}

#[test]
fn x_3_an_observer_reaches_every_masternode_without_telling_each_of_many() {
    let mut net = Net::full_mesh(14, 1);
    let bytes = transaction(1, 250);
    net.submit(14, &bytes);
    net.run(WRITE + 2 * LATENCY);
    assert_eq!(net.holders(&bytes), (0..15).collect::<Vec<_>>());
    net.run(Duration::from_secs(1));
    let copies = net.sent(Kind::Transaction);
    assert!(copies <= PUSHED_BY_OBSERVER * 14, "{copies}");
}

#[test]
fn x_3_an_observer_pushes_to_others_each_time() {
    let mut net = Net::full_mesh(9, 1);
    let mut pushed = BTreeSet::new();
    for number in 0..9 {
        net.submit(9, &transaction(number, 250));
        net.run(WRITE);
        for flight in net.flights.values() {
            if let Flight::Message { from: 9, to, .. } = flight {
                pushed.insert(*to);
            }
        }
    }
    assert_eq!(pushed.len(), 9);
}

#[test]
fn x_3_whoever_the_bringer_does_not_reach_is_told_by_others() {
    // 0 - 1 - 2 - 3 in a row.
    let mut net = Net::new(4, 0);
    (0..3).for_each(|a| net.link(a, a + 1));
    let bytes = transaction(1, 250);
    net.submit(0, &bytes);
    net.run(WRITE + 3 * LATENCY);
    assert_eq!(net.holders(&bytes).len(), 4);
    assert_eq!(net.sent(Kind::Transaction), 3);
}

#[test]
fn x_3_an_observer_keeps_nothing_of_others() {
    let mut net = Net::full_mesh(2, 1);
    let bytes = transaction(1, 250);
    net.call(2, |pool, now, effects| {
        pool.received(now, node(0), Some(MasternodeIndex(0)), &bytes, effects);
        pool.offered(now, node(0), Some(MasternodeIndex(0)), &[TxId::of(&bytes)], effects);
    });
    assert_eq!((net.hosts[2].pool.info(), net.flights.len()), (MempoolInfo::default(), 0));
}

#[test]
fn x_4_a_late_copy_of_an_included_transaction_does_not_wait_again() {
    let mut net = Net::full_mesh(4, 0);
    let bytes = transaction(1, 250);
    net.submit(0, &bytes);
    net.run(WRITE);
    net.include(&[TxId::of(&bytes)]);
    net.run(Duration::from_secs(20));
    assert!(net.holders(&bytes).is_empty());
    assert_eq!(net.sent(Kind::Transaction), 3);
}

#[test]
fn x_3_a_copy_that_came_twice_waits_once_and_is_told_once() {
    let mut net = Net::full_mesh(4, 1);
    let bytes = transaction(1, 250);
    for expected in [Brought::New, Brought::Unasked, Brought::Unasked] {
        net.call(0, |pool, now, effects| {
            assert_eq!(pool.received(now, node(4), None, &bytes, effects), expected);
        });
    }
    assert_eq!((net.hosts[0].pool.take(10_000).len(), net.sent(Kind::Transaction)), (1, 3));
}
