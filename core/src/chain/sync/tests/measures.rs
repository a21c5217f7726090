//! Serving, to the last request, byte and millisecond that its bounds allow.

use super::stampede::{Host, ends, heights};
use super::*;
use crate::chain::sync::serving::ServingCounts;

/// Reads of the store under way at most, and requests in line.
const LOADS: u8 = 4;
const LINE: u8 = 16;

fn is_busy(host: &Host, peer: NodeId) -> bool {
    let lane = host.lanes.get(&peer).map(Vec::as_slice).unwrap_or_default();
    matches!(ends(lane).last(), Some((_, Served::Busy(_))))
}

/// Room for any number of reads, of which four are under way and never answered.
fn with_reads_under_way(chain: &Rc<Vec<Bytes>>) -> Host {
    let limits = Limits { serving: 1 << 30, ..Limits::default() };
    let mut host = Host::new(chain, &limits);
    for number in 0..LOADS {
        host.ask(masternode(number), 1, 1, 9);
    }
    assert_eq!(host.loads.len(), usize::from(LOADS));
    host
}

#[test]
fn y5_so_many_requests_wait_and_the_next_is_told_to_come_back() {
    let chain = chain(9, 1_000);
    let mut host = with_reads_under_way(&chain);
    // Of strangers half as many.
    for number in 0..=LINE / 2 {
        host.ask(stranger(number), 1, 1, 9);
        assert_eq!(is_busy(&host, stranger(number)), number == LINE / 2, "stranger {number}");
    }
    for number in LOADS..=LOADS + LINE / 2 {
        host.ask(masternode(number), 1, 1, 9);
        assert_eq!(is_busy(&host, masternode(number)), number == LOADS + LINE / 2, "masternode {number}");
    }
    let counts = host.serving.counts();
    assert_eq!((counts.requests, counts.busy), (u64::from(LOADS + LINE), 2));
}

#[test]
fn y5_whoever_waits_is_told_to_come_back_after_a_second_and_may_ask_again() {
    let chain = chain(9, 1_000);
    let mut host = with_reads_under_way(&chain);
    let patient = masternode(20);
    host.ask(patient, 1, 1, 9);
    assert_eq!(host.serving.deadline(), Some(host.now + SECOND));
    host.pass(SECOND - MS);
    assert!(!is_busy(&host, patient));
    host.pass(MS);
    assert!(is_busy(&host, patient));
    assert_eq!(host.serving.deadline(), None, "nobody waits any more");
    host.lanes.clear();
    host.ask(patient, 2, 1, 9);
    assert!(!is_busy(&host, patient), "in line again");
    host.load();
    assert_eq!(host.loads.len(), usize::from(LOADS), "its turn has come");
}

#[test]
fn y5_a_node_without_room_for_a_block_serves_nobody_and_one_with_room_for_it_does() {
    let chain = chain(9, 1_000);
    for (serving, reads) in [(0, 0), (MAX_FINAL_BLOCK - 1, 0), (MAX_FINAL_BLOCK, 1), (2 * MAX_FINAL_BLOCK, 2)]
    {
        let mut host = Host::new(&chain, &Limits { serving, ..Limits::default() });
        for number in 0..3 {
            host.ask(masternode(number), 1, 1, 9);
            assert_eq!(is_busy(&host, masternode(number)), reads == 0);
        }
        assert_eq!(host.loads.len(), reads, "room for {serving} bytes");
    }
    // A stranger gets half of it.
    for (serving, reads) in [(2 * MAX_FINAL_BLOCK - 1, 0), (2 * MAX_FINAL_BLOCK, 1), (4 * MAX_FINAL_BLOCK, 2)]
    {
        let mut host = Host::new(&chain, &Limits { serving, ..Limits::default() });
        for number in 0..3 {
            host.ask(stranger(number), 1, 1, 9);
        }
        assert_eq!(host.loads.len(), reads, "room for {serving} bytes");
    }
}

#[test]
fn y5_the_room_of_whoever_leaves_is_the_next_one_s_at_once() {
    let chain = chain(9, 200_000);
    let mut host = Host::new(&chain, &Limits { serving: 2 * MAX_FINAL_BLOCK, ..Limits::default() });
    let (first, second) = (masternode(1), masternode(2));
    host.ask(first, 1, 1, 9);
    host.load();
    // What the first is being sent leaves room for no other read.
    host.ask(second, 1, 1, 9);
    let more = masternode(3);
    host.ask(more, 1, 1, 9);
    let waiting = 2 - host.loads.len();
    assert_eq!(waiting, 1, "one reads, one waits");
    let mut effects = Effects::new();
    host.serving.peer_down(host.now, first, &mut effects);
    host.carry_out(effects);
    assert_eq!(host.loads.len(), 2);
    assert!(!host.serving.is_serving(&first));
}

#[test]
fn y5_what_was_asked_on_a_link_that_is_gone_is_not_sent_on_the_next() {
    let chain = chain(9, 40_000);
    let mut host = Host::new(&chain, &Limits::default());
    let peer = masternode(1);
    for state in ["waiting to be read", "read", "sent in part"] {
        host.ask(peer, 1, 1, 9);
        if state != "waiting to be read" {
            host.load();
        }
        if state == "sent in part" {
            host.drain(peer, 50_000);
        }
        let mut effects = Effects::new();
        host.serving.peer_down(host.now, peer, &mut effects);
        host.carry_out(effects);
        host.lanes.remove(&peer);
        assert!(!host.serving.is_serving(&peer));
        host.ask(peer, 2, 7, 8);
        let taken = host.take_all(peer);
        assert_eq!((heights(&taken), ends(&taken)), (vec![7, 8], vec![(2, Served::All)]), "{state}");
    }
}

#[test]
fn what_serving_has_come_to_is_counted() {
    let chain = chain(9, 40_000);
    let mut host = Host::new(&chain, &Limits::default());
    let peer = masternode(1);
    host.ask(peer, 1, 2, 4);
    host.take_all(peer);
    host.ask(peer, 2, 10, 20);
    host.take_all(peer);
    host.ask(peer, 3, 1, 1);
    let (load, ..) = host.loads.remove(0);
    host.loaded(load, Vec::new());
    host.take_all(peer);
    let bytes = chain[1..4].iter().map(|block| block.len() as u64).sum();
    let expected = ServingCounts { requests: 2, busy: 0, nothing: 2, ignored: 0, blocks: 3, bytes };
    assert_eq!(host.serving.counts(), expected);
}
