//! What transactions can make a node hold: those that wait, before they are durable and after, and those that it
//! has asked for.

use std::time::Duration;

use bytes::Bytes;
use timed_core::limits::MAX_OFFERED;
use timed_core::wire::message::{Answer, Message};
use timed_core::{ChainConfig, Input, Limits, MinPeers, Request, RequestId, TxId};
use timed_tests::driver::START;

use super::{CANONICAL, Host, held, source, stranger};

/// As many transactions as a node takes, the smallest there are: from its operator, and from peers, who offer more.
#[test]
fn c8_the_worst_case_bounds_what_transactions_can_make_a_node_hold() {
    let limits = Limits {
        max_peers: 12,
        masternode_slots: 3,
        unauthenticated: 4,
        unauthenticated_kept: 1,
        known_peers: 20,
        bans: 10,
        scores: 10,
        control_lane: 16 * 1024,
        relay_lane: 32 * 1024,
        payload_lane: 0,
        bulk_lane: 0,
        sync_window: 0,
        serving: 0,
        mempool: 8 * 1024 * 1024,
        ..Limits::for_registry(4)
    };
    let chain = ChainConfig {
        genesis_time: START.wall,
        interval: Duration::from_secs(3600),
        max_bytes: 100_000,
        min_peers: MinPeers::Auto,
    };
    let mut host = Host::new(limits, Some(chain));
    let mut live = Vec::new();
    for number in 0..20 {
        let mut actor = stranger(&host.config, number);
        let (conn, line, answer) = host.hello(&mut actor, source(number), CANONICAL);
        if answer == Some(Answer::Accepted) {
            live.push((conn, line));
        }
    }
    let before = held();
    let mut number = 0_u64;
    for (conn, line) in &mut live {
        let mut lacking = || {
            number += 1;
            TxId::of(&number.to_le_bytes())
        };
        let ids: Vec<TxId> = (0..MAX_OFFERED).map(|_| lacking()).collect();
        let bytes = line.say(&Message::TransactionOffer(ids));
        host.data(*conn, &bytes);
    }
    let asked = held() - before;
    assert!(asked > live.len() * MAX_OFFERED * 60, "nothing is asked for");
    // Everybody fills his share, the operator first.
    for number in 0_u32..15_000 {
        let payload = Bytes::copy_from_slice(&number.to_be_bytes());
        host.handle(Input::Request { id: RequestId(1), request: Request::Submit(payload) });
    }
    // The disk has done nothing so far.
    let unwritten = held() - before - asked;
    let row = host.config.limits.rows().into_iter().find(|row| row.what == "transactions").unwrap();
    println!("{unwritten} bytes held for transactions that are not durable, of {}", row.bytes);
    assert!(unwritten < row.bytes);
    host.written();
    for number in 0_u32..2_000 {
        for (index, (conn, line)) in live.iter_mut().enumerate() {
            let mut transaction = vec![u8::try_from(index).unwrap(); 5];
            transaction[..4].copy_from_slice(&number.to_le_bytes());
            let bytes = line.say(&Message::Transaction(transaction.into()));
            host.data(*conn, &bytes);
        }
    }
    let (full, mempool) = (held() - before, host.config.limits.mempool);
    println!("{full} bytes held for a mempool of {mempool}, {asked} of them for what is asked for");
    assert!(full * 2 > mempool, "the table promises far more than can be held: {full} of {mempool}");
}
