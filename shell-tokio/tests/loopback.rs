//! Whole nodes on real sockets: links form, blocks are made, nodes are killed and come back.

#![allow(clippy::unwrap_used)] // A test fails where it cannot go on.

mod networks;

use std::time::Duration;

use bytes::Bytes;
use networks::{Network, SECOND, eventually_async, ip};
use timed_tokio::core::{BanTarget, Direction, Event, Height, PeerRef, QuorumLoss};
use timed_tokio::{Connecting, Exit, Notice, RequestError, TransactionState};

const INTERVAL: Duration = Duration::from_millis(300);

#[tokio::test]
async fn four_nodes_hold_six_links_and_make_blocks() {
    let mut network = Network::started(1, 4, INTERVAL).await;
    network.until_whole().await;
    for key in 1..=4 {
        let peers = network.handle(key).peers().await.unwrap();
        let dialed = peers.iter().filter(|peer| peer.direction == Direction::Outbound).count();
        // The lower address dials: node 1 all others, node 4 nobody.
        assert_eq!((peers.len(), dialed), (3, 4 - usize::from(key)));
        for peer in peers {
            assert!(peer.remote.ip().to_string().starts_with("127.78.1."), "{peer:?}");
        }
    }
    network.until_height(3, 10 * INTERVAL).await;

    let id = network.handle(2).submit(Bytes::from_static(b"hello")).await.unwrap();
    eventually_async("the transaction is everywhere", 5 * INTERVAL, async || {
        for key in 1..=4 {
            let state = network.handle(key).transaction(id).await.unwrap();
            if !matches!(state, TransactionState::Committed(_)) {
                return false;
            }
        }
        true
    })
    .await;
    let common = Height(network.height());
    let mut hashes = Vec::new();
    for handle in network.running() {
        let hash = handle.block(common).await.unwrap().unwrap().certificate.block;
        assert_eq!(handle.height_of(hash).await.unwrap(), Some(common));
        hashes.push(hash);
    }
    hashes.dedup();
    assert_eq!(hashes.len(), 1, "one block a height");
    network.stop_all().await;
}

#[tokio::test]
async fn a_node_that_is_killed_comes_back_and_catches_up() {
    let mut network = Network::started(2, 4, INTERVAL).await;
    network.until_height(2, 20 * INTERVAL).await;
    network.kill(3).await;
    let height = network.height();
    network.until_height(height + 3, 20 * INTERVAL).await;
    network.start(3).await;
    network.until_whole().await;
    network.until_height(network.height() + 2, 20 * INTERVAL).await;
    // All of them, one after the other, while the network goes on.
    for key in [1, 2, 4] {
        network.kill(key).await;
        network.start(key).await;
        network.until_whole().await;
    }
    network.until_height(network.height() + 2, 20 * INTERVAL).await;
    network.stop_all().await;
    // And from nothing but what was stored.
    for key in 1..=4 {
        network.start(key).await;
    }
    network.until_height(network.height() + 2, 20 * INTERVAL).await;
    network.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_runs_on_several_threads_too() {
    let mut network = Network::started(3, 4, INTERVAL).await;
    network.until_whole().await;
    network.until_height(4, 10 * INTERVAL).await;
    network.stop_all().await;
}

#[tokio::test]
async fn orders_and_questions_reach_the_core() {
    let mut network = Network::started(4, 3, 10 * SECOND).await;
    network.until_whole().await;
    let handle = network.handle(1).clone();
    let other = network.handle(2).id();
    assert_eq!(handle.status().await.unwrap().node, handle.id());
    assert_eq!(handle.matrix().await.unwrap().expected, 3);
    assert_eq!(handle.masternodes().await.unwrap().len(), 3);
    assert_eq!(handle.consensus().await.unwrap().unwrap().quorum, 3);
    assert!(handle.evidence().await.unwrap().is_empty());
    assert_eq!(handle.why(PeerRef::Id(other)).await.unwrap().decision, "connected");
    assert!(matches!(handle.why(PeerRef::Ip(ip(99, 9))).await, Err(RequestError::UnknownPeer)));
    assert!(matches!(handle.submit(Bytes::new()).await, Err(RequestError::TransactionSize(0))));
    assert_eq!(handle.block(Height(77)).await.unwrap(), None);

    assert_eq!(handle.connect_known(PeerRef::Id(other)).await.unwrap(), Connecting::AlreadyConnected(other));
    assert_eq!(handle.disconnect(PeerRef::Id(other)).await.unwrap(), Some(other));
    assert_eq!(handle.why(PeerRef::Id(other)).await.unwrap().session.map(|_| ()), None);
    assert_eq!(handle.connect_known(PeerRef::Id(other)).await.unwrap(), Connecting::Dialing);
    network.until_whole().await;

    handle.forget(PeerRef::Id(other)).await.unwrap();
    assert!(matches!(handle.forget(PeerRef::Id(other)).await, Err(RequestError::NotOrdered)));
    let hour = 3600 * SECOND;
    assert!(matches!(handle.drain(hour, QuorumLoss::Refused).await, Err(RequestError::QuorumLost(_))));
    assert_eq!(handle.drain(hour, QuorumLoss::Accepted).await.unwrap().absence, Some(hour));
    assert!(matches!(handle.submit(Bytes::from_static(b"late")).await, Err(RequestError::Draining)));
    let taken_back = async || handle.undrain().await.is_ok_and(|drain| drain.absence.is_none());
    eventually_async("one such order a second is taken", SECOND, taken_back).await;
    handle.submit(Bytes::from_static(b"in time")).await.unwrap();

    let target = BanTarget::Key(other);
    handle.ban(target, Some(60 * SECOND), None).await.unwrap();
    assert_eq!(handle.bans().await.unwrap().len(), 1);
    assert_eq!(handle.peers().await.unwrap().len(), 1);
    handle.unban(target).await.unwrap();
    assert!(matches!(handle.unban(target).await, Err(RequestError::NotBanned(None))));
    // The summary may be a moment old, the core's own word is not.
    let linked = async || handle.peers().await.unwrap().len() == 2;
    eventually_async("the link is back", 10 * SECOND, linked).await;

    let (_, events) = network.nodes[1].as_mut().unwrap();
    assert_eq!(handle.send(Some(other), Bytes::from_static(b"word")).await.unwrap(), 1);
    loop {
        if let Notice::Core(Event::Datagram { from, payload }) = events.next().await.unwrap() {
            assert_eq!((from, &payload[..]), (handle.id(), &b"word"[..]));
            break;
        }
    }
    assert!(handle.counters().bytes_in > 0 && handle.last_turn_age() < 5 * SECOND);
    network.stop_all().await;
    assert!(matches!(handle.peers().await, Err(RequestError::Ended)));
    assert!(matches!(handle.block(Height(1)).await, Err(RequestError::Ended)));
    assert_eq!(handle.ended().await, Exit::Stopped);
}

#[tokio::test]
async fn goodbyes_are_heard_and_nobody_dials_a_node_that_left_in_vain() {
    let mut network = Network::started(5, 3, 10 * SECOND).await;
    network.until_whole().await;
    let (leaving, _) = network.nodes[2].take().unwrap();
    let mut events = network.handle(1).events();
    assert_eq!(leaving.shutdown().await, Exit::Stopped);
    loop {
        if let Notice::Core(Event::LinkDown { peer, reason, .. }) = events.next().await.unwrap() {
            assert_eq!((peer, reason.as_str()), (leaving.id(), "shutdown"));
            break;
        }
    }
    network.stop_all().await;
}

#[tokio::test]
async fn a_node_stops_when_its_last_handle_is_dropped() {
    let mut network = Network::started(6, 2, 10 * SECOND).await;
    network.until_whole().await;
    let (handle, mut events) = network.nodes[1].take().unwrap();
    let clone = handle.clone();
    drop(handle);
    assert!(clone.status().await.is_ok());
    drop(clone);
    let all = async { while events.next().await.is_some() {} };
    tokio::time::timeout(10 * SECOND, all).await.expect("the events end with the node");
    network.stop_all().await;
}
