//! What a submission is answered, and what survives (rules ).

use super::*;

#[test]
fn x_2_an_acknowledged_transaction_is_durable_before_anybody_hears_of_it() {
    let mut net = Net::full_mesh(4, 0);
    let bytes = transaction(1, 250);
    let request = net.submit(0, &bytes);
    net.run(WRITE - Duration::from_nanos(1));
    assert!(net.hosts[0].replies.is_empty() && net.sent(Kind::Transaction) == 0 && !net.has(0, &bytes));
    assert!(net.hosts[0].pool.take(10_000).is_empty());
    assert_eq!(net.hosts[0].pool.info(), MempoolInfo { transactions: 1, bytes: 250 });
    net.run(Duration::from_nanos(1));
    assert!(matches!(net.hosts[0].replies[&request], Reply::Submitted(id) if id == TxId::of(&bytes)));
    assert_eq!(net.hosts[0].disk[&TxId::of(&bytes)], bytes);
    assert_eq!((net.hosts[0].pool.take(10_000), net.sent(Kind::Transaction)), (vec![bytes], 3));
}

#[test]
fn x_1_sizes_are_limited() {
    let mut net = Net::new(1, 0);
    for (length, taken) in [(0, false), (1, true), (MAX_TRANSACTION, true), (MAX_TRANSACTION + 1, false)] {
        let request = net.submit(0, &vec![3; length].into());
        net.run(WRITE);
        match net.hosts[0].replies[&request] {
            Reply::Submitted(_) => assert!(taken, "{length}"),
            Reply::TransactionSize(said) => assert!(!taken && said == length, "{length}"),
            ref other => panic!("{other:?}"),
        }
    }
}

#[test]
fn x_2_what_is_submitted_again_is_answered_alike_and_waits_once() {
    let mut net = Net::full_mesh(2, 0);
    let bytes = transaction(1, 100);
    let requests = [net.submit(0, &bytes), net.submit(0, &bytes)];
    net.run(WRITE);
    let late = net.submit(0, &bytes);
    for request in requests.into_iter().chain([late]) {
        assert!(matches!(net.hosts[0].replies[&request], Reply::Submitted(_)), "{request}");
    }
    assert_eq!((net.hosts[0].pool.take(1000).len(), net.sent(Kind::Transaction)), (1, 1));

    net.include(&[TxId::of(&bytes)]);
    let after = net.submit(0, &bytes);
    assert!(matches!(net.hosts[0].replies[&after], Reply::Submitted(_)));
    assert_eq!(net.hosts[0].pool.info(), MempoolInfo::default());
}

#[test]
fn x_2_a_copy_from_a_peer_does_not_acknowledge() {
    let mut net = Net::full_mesh(2, 0);
    let bytes = transaction(1, 100);
    for number in [1, 2] {
        net.submit(1, &transaction(number, 100));
        net.run(LATENCY + WRITE);
    }
    assert!(net.has(0, &bytes) && net.hosts[0].disk.is_empty());
    let before = net.hosts[0].pool.take(1000);
    assert_eq!(before[0], bytes);
    let request = net.submit(0, &bytes);
    assert!(net.hosts[0].replies.is_empty());
    assert_eq!(net.hosts[0].pool.take(1000), before, "it may be in a block all the while");
    net.run(WRITE);
    assert!(matches!(net.hosts[0].replies[&request], Reply::Submitted(_)));
    assert_eq!(net.hosts[0].pool.take(1000), before, "and keeps its place");
    assert_eq!((net.hosts[0].disk.len(), net.sent(Kind::Transaction)), (1, 2));
}

#[test]
fn x_4_a_block_that_is_faster_than_the_record_leaves_no_record() {
    let mut net = Net::new(1, 0);
    let bytes = transaction(1, 100);
    let request = net.submit(0, &bytes);
    net.include(&[TxId::of(&bytes)]);
    net.run(2 * WRITE);
    assert!(matches!(net.hosts[0].replies[&request], Reply::Submitted(_)));
    assert!(!net.has(0, &bytes) && net.hosts[0].disk[&TxId::of(&bytes)].is_empty());
    net.restart(0);
    assert_eq!(net.hosts[0].pool.info(), MempoolInfo::default());
}

#[test]
fn x_4_what_the_application_calls_stale_is_gone_for_good() {
    let mut net = Net::full_mesh(2, 0);
    let bytes = transaction(1, 100);
    net.submit(0, &bytes);
    net.run(LATENCY + WRITE);
    for host in 0..2 {
        net.call(host, |pool, _, effects| pool.stale(&[TxId::of(&bytes)], effects));
    }
    net.run(2 * PASS);
    assert!(net.holders(&bytes).is_empty());
    net.restart(0);
    net.link(0, 1);
    net.run(Duration::from_secs(1));
    assert!(net.holders(&bytes).is_empty());
}

#[test]
fn x_2_a_restart_loses_nothing_acknowledged() {
    let mut net = Net::new(4, 0);
    let all: Vec<Bytes> = (0..700).map(|number| transaction(number, 250)).collect();
    for bytes in &all {
        net.submit(0, bytes);
    }
    net.run(WRITE);
    net.submit(0, &transaction(9999, 250));
    net.restart(0);
    assert!(all.iter().all(|bytes| net.has(0, bytes)) && !net.has(0, &transaction(9999, 250)));
    net.link_all();
    net.run(Duration::from_secs(1));
    assert!(all.iter().all(|bytes| net.holders(bytes).len() == 4));
    assert!(
        all.iter()
            .all(|bytes| net.hosts[1].disk.is_empty() && net.hosts[0].disk.contains_key(&TxId::of(bytes)))
    );
}

#[test]
fn c8_a_submission_does_not_keep_the_buffer_that_it_came_in() {
    let mut net = Net::new(1, 0);
    let request = Bytes::from(vec![5; 100_000]);
    net.submit(0, &request.slice(..100));
    net.flights.clear();
    assert!(request.is_unique(), "nobody but the test holds it");
}

#[test]
fn x_2_a_damaged_record_is_no_transaction() {
    let id = TxId::of(b"acknowledged");
    let journal = [(id, Bytes::from_static(b"acknowledgef"))];
    let start = Mempool::new(&Limits::default(), Role::Masternode, journal);
    assert_eq!(start.unwrap_err(), ConfigError::DamagedRecord("transaction"));
}

#[test]
fn x_4_blocks_take_the_oldest_first_and_no_more_than_fits() {
    let mut net = Net::new(1, 0);
    let sizes = [100, 600, 200, 300];
    let all: Vec<Bytes> = (0..).zip(sizes).map(|(number, size)| transaction(number, size)).collect();
    for bytes in &all {
        net.submit(0, bytes);
        net.run(WRITE);
    }
    let pool = &net.hosts[0].pool;
    assert_eq!(pool.take(4 * 4 + 1200), all);
    assert_eq!(pool.take(4 * 4 + 1199), all[..3]);
    assert_eq!(pool.take(3 * 4 + 600), [all[0].clone(), all[2].clone(), all[3].clone()]);
    assert_eq!(pool.take(104), all[..1]);
    assert!(pool.take(103).is_empty());
    net.include(&[TxId::of(&all[0])]);
    assert_eq!(net.hosts[0].pool.take(2000), all[1..]);
}
