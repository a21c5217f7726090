//! How a node ends, and what happens to those who wait for it or stop waiting.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tokio::io::AsyncReadExt;
use tokio::task::unconstrained;

use super::*;
use crate::request::RequestError;

/// Polls once.
async fn begin<T>(future: impl Future<Output = T>) {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let _ = future.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

fn never<T>() -> Result<T, StoreError> {
    loop {
        std::thread::park();
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_says_goodbye_and_writes_what_was_promised() {
    let store = MemoryStore::new();
    let mut rig = Rig::with(store.clone(), Answers::default()).await;
    let (_conn, mut peer) = rig.dialed(100).await;
    rig.act(|script| script.goodbye = b"goodbye".to_vec()).await;
    rig.see(|script| (0..5000_u32).for_each(|number| script.persist(&number.to_le_bytes())));
    let (exit, heard) = tokio::join!(rig.handle.shutdown(), async {
        let mut heard = Vec::new();
        peer.read_to_end(&mut heard).await.unwrap();
        drop(peer);
        heard
    });
    assert_eq!((exit, &heard[..]), (Exit::Stopped, &b"goodbye"[..]));
    let boot = store.records().unwrap().pop().unwrap();
    assert_eq!(&boot.bytes[..], 4999_u32.to_le_bytes(), "everything that was handed over is written");
    assert!(matches!(rig.handle.peers().await, Err(RequestError::Ended)));
    assert_eq!(rig.handle.shutdown().await, Exit::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_nobody_waits_for_is_one() {
    let rig = Rig::start().await;
    begin(rig.handle.shutdown()).await;
    assert_eq!(timeout(PATIENCE, rig.run).await.expect("it ends").unwrap(), Exit::Stopped);
}

#[tokio::test(start_paused = true)]
async fn requests_that_nobody_waits_for_are_carried_out_and_hold_up_nobody() {
    let rig = Rig::start().await;
    for _ in 0..10 * REQUESTS {
        begin(unconstrained(rig.handle.peers())).await;
    }
    timeout(PATIENCE, rig.handle.request(Request::Status)).await.expect("an answer").unwrap();
    let taken = rig.handle.counters().requests;
    assert!(taken >= REQUESTS as u64, "{taken} were carried out");
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_core_that_does_not_stop_is_cut_off() {
    let mut rig = Rig::start().await;
    let (_conn, mut peer) = rig.dialed(100).await;
    rig.act(|script| script.deaf = true).await;
    let begun = Instant::now();
    assert_eq!(rig.handle.shutdown().await, Exit::StopTimedOut);
    let took = begun.elapsed();
    assert!((8000..9500).contains(&took.as_millis()), "{took:?}");
    assert_eq!(timeout(PATIENCE, peer.read(&mut [0])).await.expect("the socket is closed").unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_abort_ends_everything_at_once_also_while_it_stops() {
    let mut rig = Rig::start().await;
    let (_conn, mut peer) = rig.dialed(100).await;
    rig.act(|script| script.deaf = true).await;
    begin(rig.handle.shutdown()).await;
    let begun = Instant::now();
    assert_eq!(rig.handle.abort().await, Exit::Aborted);
    assert!(begun.elapsed() < Duration::from_millis(100));
    assert_eq!(timeout(PATIENCE, peer.read(&mut [0])).await.expect("the socket is closed").unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_close_delays_the_end_by_a_second() {
    let mut rig = Rig::start().await;
    let (_conn, _peer) = rig.dialed(100).await;
    rig.act(|script| script.goodbye = b"goodbye".to_vec()).await;
    let begun = Instant::now();
    assert_eq!(rig.handle.shutdown().await, Exit::Stopped);
    let took = begun.elapsed();
    assert!((900..1500).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn calls_that_never_return_hold_up_neither_a_shutdown_nor_a_runtime_that_is_given_a_time() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begun = std::time::Instant::now();
    let exits = runtime.block_on(async {
        let stores = Rig::with(Failing::after(0, never), Answers::default()).await;
        stores.act(|script| script.persist(b"under way for ever")).await;
        let answers = Answers { validate: Some(never), ..Answers::default() };
        let applications = Rig::with(MemoryStore::new(), answers).await;
        let (block, height, payload) =
            (timed_core::BlockHash::default(), timed_core::Height(1), Bytes::new());
        let question = Command::Validate { block, height, payload, by: Mono(0) };
        applications.act(|script| script.commands.push_back(question)).await;
        [stores.handle.shutdown().await, applications.handle.shutdown().await]
    });
    assert_eq!(exits, [Exit::StopTimedOut, Exit::Stopped]);
    runtime.shutdown_timeout(Duration::from_millis(100));
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn without_a_handle_there_is_no_node() {
    let Rig { core, handle, run, .. } = Rig::start().await;
    let clone = handle.clone();
    drop(handle);
    clone.request(Request::Status).await.unwrap();
    drop(clone);
    assert_eq!(timeout(PATIENCE, run).await.expect("it ends").unwrap(), Exit::Stopped);
    drop(core);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_node_that_is_torn_down_is_told() {
    let Rig { handle, run, .. } = Rig::start().await;
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.ended().await }
    });
    tokio::task::yield_now().await;
    run.abort();
    assert_eq!(timeout(PATIENCE, waiting).await.expect("an answer").unwrap(), Exit::Lost);
    assert!(matches!(handle.status().await, Err(RequestError::Ended)));
}

#[tokio::test(start_paused = true)]
async fn events_that_nobody_reads_stall_nothing() {
    let mut rig = Rig::start().await;
    rig.act(|script| {
        for _ in 0..20_000 {
            let node = timed_core::NodeId::default();
            let activity = timed_core::Activity::Active;
            script.commands.push_back(Command::Event(Event::Activity { node, activity }));
        }
    })
    .await;
    let missed = match rig.events.next().await {
        Some(Notice::Missed(missed)) => missed,
        other => panic!("{other:?}"),
    };
    assert_eq!(missed, 20_000 - crate::limits::EVENTS as u64);
    rig.stop().await;
}
