//! Connections: bytes both ways, back-pressure, pauses, ends.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::limits::{CAREFUL_BUDGET, CHUNK, CHUNKS};

#[tokio::test(start_paused = true)]
async fn bytes_go_both_ways_and_each_end_is_seen_once() {
    let mut rig = Rig::start().await;
    let (conn, mut peer) = rig.dialed(64).await;
    let (there, back) = (pattern(300_000), pattern(200_000));
    rig.act(|script| script.send(conn, &there)).await;
    let (mut from_peer, mut to_peer) = split(&mut peer);
    let mut got = vec![0; there.len()];
    let (read, written) = tokio::join!(from_peer.read_exact(&mut got), to_peer.write_all(&back));
    read.unwrap();
    written.unwrap();
    assert!(got == there);
    rig.until("all bytes back", |script| (script.conn(conn).received == back).then_some(())).await;
    drop(peer);
    let end = rig.until("the end", |script| script.conn(conn).closed).await;
    assert_eq!(end, TransportCause::Eof);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_full_socket_does_not_take_stays_with_the_core() {
    let mut rig = Rig::start().await;
    let (conn, mut peer) = rig.dialed(1000).await;
    let sent = pattern(2 << 20);
    rig.act(|script| script.send(conn, &sent)).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let left = rig.see(|script| script.conn(conn).outgoing.len());
    assert!(left >= sent.len() - BUDGETS, "{left} of {} bytes are left", sent.len());
    // Others are served meanwhile.
    let (other, mut prompt) = rig.dialed(1000).await;
    rig.act(|script| script.send(other, b"prompt")).await;
    let mut word = [0; 6];
    prompt.read_exact(&mut word).await.unwrap();
    let mut got = vec![0; sent.len()];
    peer.read_exact(&mut got).await.unwrap();
    assert!(got == sent, "bytes differ");
    let pulls = rig.see(|script| script.conn(conn).pulls.clone());
    let careful = pulls.iter().filter(|&&pull| pull <= CAREFUL_BUDGET).count();
    assert!(careful > pulls.len() / 2, "a socket that was full is fed in small steps: {pulls:?}");
    rig.stop().await;
}

/// Bytes that may have left the core for a socket that takes none.
const BUDGETS: usize = crate::limits::BUDGET;

#[tokio::test(start_paused = true)]
async fn messages_of_one_turn_leave_together() {
    let mut rig = Rig::start().await;
    let (conn, mut peer) = rig.dialed(1000).await;
    rig.act(|script| {
        for word in [b"one ", b"two ", b"six "] {
            script.send(conn, word);
        }
    })
    .await;
    let mut got = [0; 12];
    peer.read_exact(&mut got).await.unwrap();
    assert_eq!(rig.see(|script| script.conn(conn).pulls.clone()), [12]);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_a_pause_at_once_and_nothing_is_lost_by_it() {
    let mut rig = Rig::start().await;
    rig.act(|script| script.pause_at_once = true).await;
    let (conn, mut peer) = rig.dialed(10 << 20).await;
    let sent = pattern(1 << 20);
    peer.write_all(&sent).await.unwrap();
    drop(peer);
    rig.until("something", |script| (!script.conn(conn).received.is_empty()).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let first = rig.see(|script| script.conn(conn).received.len());
    assert!(first <= CHUNK, "{first} bytes came to a core that wanted no more");
    // One chunk each time it is resumed.
    rig.act(|script| script.reading(conn, Reading::Resume)).await;
    let second = rig.until("more", |script| {
        let count = script.conn(conn).received.len();
        (count > first).then_some(count)
    });
    assert!(second.await <= 2 * CHUNK);
    rig.act(|script| {
        script.pause_at_once = false;
        script.reading(conn, Reading::Resume);
    })
    .await;
    let end = rig.until("the end", |script| script.conn(conn).closed).await;
    assert_eq!(end, TransportCause::Eof);
    assert!(rig.see(|script| script.conn(conn).received == sent));
    rig.stop().await;
}

// Virtual time would stand still: there is always something to do.
#[tokio::test]
async fn a_peer_that_sends_without_end_is_held_up_and_starves_nobody() {
    let mut rig = Rig::start().await;
    let (loud, mut sender) = rig.dialed(1 << 20).await;
    let flood = tokio::spawn(async move { while sender.write_all(&[7; CHUNK]).await.is_ok() {} });
    let (quiet, mut peer) = rig.dialed(1000).await;
    for round in 1..=20 {
        peer.write_all(b"word").await.unwrap();
        rig.until("a word", |script| (script.conn(quiet).received.len() == 4 * round).then_some(())).await;
    }
    rig.act(|script| script.reading(loud, Reading::Pause)).await;
    let before = rig.see(|script| script.conn(loud).received.len());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let after = rig.see(|script| script.conn(loud).received.len());
    assert!(after - before <= CHUNKS * CHUNK, "{} bytes after the pause", after - before);
    rig.act(|script| script.close(loud)).await;
    flood.await.unwrap();
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_arrives_although_the_peer_has_sent_what_nobody_reads() {
    let mut rig = Rig::start().await;
    let (conn, mut peer) = rig.dialed(4096).await;
    rig.act(|script| script.reading(conn, Reading::Pause)).await;
    rig.act(|script| script.send(conn, b"hello, ")).await;
    let talking = tokio::spawn(async move {
        let (mut reading, mut writing) = split(&mut peer);
        let mut heard = Vec::new();
        let sent = async {
            while writing.write_all(&[1; 1000]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::join!(async { reading.read_to_end(&mut heard).await.unwrap() }, sent);
        heard
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    rig.act(|script| {
        script.conn(conn).outgoing.extend(b"goodbye");
        script.close(conn);
    })
    .await;
    assert_eq!(rig.see(|script| script.conn(conn).closed), Some(TransportCause::Commanded));
    assert_eq!(talking.await.unwrap(), b"hello, goodbye");
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_close_waits_a_second_for_a_peer_that_does_not_listen_and_no_longer() {
    let mut rig = Rig::start().await;
    let (conn, mut peer) = rig.dialed(10).await;
    rig.act(|script| script.send(conn, &pattern(1000))).await;
    rig.act(|script| script.close(conn)).await;
    let begun = Instant::now();
    // The peer's writes work until our end is dropped.
    while peer.write_all(b"x").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = begun.elapsed();
    assert!((900..1500).contains(&took.as_millis()), "{took:?}");
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_fails_says_why_and_one_under_way_ends_by_command() {
    let mut rig = Rig::start().await;
    let refused = rig.act(Script::dial).await;
    let answer = rig.dials.recv().await.unwrap();
    answer.send(Err(io::ErrorKind::ConnectionRefused.into())).unwrap();
    let cause = rig.until("refused", |script| script.conn(refused).closed).await;
    assert_eq!(cause, TransportCause::Refused);

    let hanging = rig.act(Script::dial).await;
    let mut answer = rig.dials.recv().await.unwrap();
    rig.act(|script| script.close(hanging)).await;
    assert_eq!(rig.see(|script| script.conn(hanging).closed), Some(TransportCause::Commanded));
    timeout(PATIENCE, answer.closed()).await.expect("the dial is given up");
    // Its place goes to another, whom a late success does not concern.
    let next = rig.act(Script::dial).await;
    assert_eq!(next.index(), hanging.index());
    let (ours, _theirs) = duplex(10);
    rig.dials.recv().await.unwrap().send(Ok(ours)).unwrap();
    rig.until("dialed", |script| script.conn(next).local).await;
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn bytes_for_a_dial_under_way_leave_when_it_is_done() {
    let mut rig = Rig::start().await;
    let conn = rig.act(Script::dial).await;
    rig.act(|script| script.send(conn, b"early")).await;
    let (ours, mut peer) = duplex(100);
    rig.dials.recv().await.unwrap().send(Ok(ours)).unwrap();
    let mut got = [0; 5];
    peer.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"early");
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_listener_out_of_descriptors_waits_and_tells_once() {
    let mut rig = Rig::start().await;
    let begun = Instant::now();
    for _ in 0..5 {
        rig.accepts.send(Err(io::Error::from_raw_os_error(24))).unwrap();
    }
    let retry_in = Duration::from_millis(100);
    let paused = ShellEvent::AcceptPaused { cause: TransportCause::LocalResources, retry_in };
    assert_eq!(rig.told().await, paused);
    let (conn, _peer) = rig.accepted(10).await;
    assert_eq!(rig.told().await, ShellEvent::AcceptResumed { failures: 5 });
    let took = begun.elapsed();
    assert!((2400..2700).contains(&took.as_millis()), "0.1 + 0.2 + 0.4 + 0.8 + 1.0 s, but {took:?}");
    assert_eq!(rig.handle.counters().accept_failures, 5);
    rig.act(|script| script.close(conn)).await;
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn hs_04_a_crowd_gets_a_burst_and_then_the_rate() {
    let rig = Rig::start().await;
    let mut peers = Vec::new();
    for _ in 0..3_000 {
        let (ours, theirs) = duplex(1);
        rig.accepts.send(Ok(ours)).unwrap();
        peers.push(theirs);
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    let at_once = rig.handle.counters().accepted;
    assert!((1000..1100).contains(&at_once), "{at_once} at once");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let later = rig.handle.counters().accepted - at_once;
    assert!((900..1100).contains(&later), "{later} in the next 0.2 s");
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn deadlines_are_met_to_the_millisecond_while_bytes_come_in() {
    let mut rig = Rig::start().await;
    let (_conn, mut peer) = rig.dialed(1 << 16).await;
    let talk = tokio::spawn(async move {
        while peer.write_all(&[1; 100]).await.is_ok() {
            tokio::time::sleep(Duration::from_micros(700)).await;
        }
    });
    for wait in [3, 500, 40, 1700] {
        let due = rig.clock.now().mono + Duration::from_millis(wait);
        rig.act(|script| script.deadline = Some(due)).await;
        let tick = rig.until("a tick", |script| script.ticks.pop()).await;
        assert!(tick >= due && tick.since(due) <= Duration::from_millis(2), "{:?} late", tick.since(due));
    }
    talk.abort();
    rig.stop().await;
}
