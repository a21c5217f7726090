//! The store and the application: order, failures, slowness, panics.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use timed_core::{BlockHash, CommitPace, Height, LoadId, Round};

use super::*;
use crate::limits::QUESTIONS;
use crate::store::samples::block;

fn commit(script: &mut Script, height: u64) {
    script.tickets += 1;
    let block = block(height, &[]);
    script.commands.push_back(Command::Commit {
        ticket: Ticket(script.tickets),
        hash: block.certificate.block,
        bytes: block.encode(),
        block: Arc::new(block),
        pace: CommitPace::Live,
    });
}

fn produce(script: &mut Script, by: Mono) {
    script.commands.push_back(Command::Produce {
        height: Height(1),
        round: Round(0),
        slot: Wall(1000),
        by,
        max_bytes: 100,
        transactions: Vec::new(),
    });
}

fn validate(script: &mut Script) {
    script.commands.push_back(Command::Validate {
        block: BlockHash::default(),
        height: Height(1),
        payload: Bytes::new(),
        by: Mono(0),
    });
}

fn tickets(numbers: impl IntoIterator<Item = u64>) -> Vec<Ticket> {
    numbers.into_iter().map(Ticket).collect()
}

#[tokio::test(start_paused = true)]
async fn records_and_blocks_become_durable_in_order() {
    let store = MemoryStore::new();
    let rig = Rig::with(store.clone(), Answers::default()).await;
    rig.act(|script| {
        for number in 0..10 {
            script.persist(&[number]);
        }
        commit(script, 1);
        commit(script, 2);
        script.persist(b"last");
    })
    .await;
    rig.until("all", |script| (script.persisted.len() == 13).then_some(())).await;
    assert_eq!(rig.see(|script| script.persisted.clone()), tickets(1..=13));
    assert_eq!(rig.see(|script| script.committed.clone()), [1, 2]);
    let boot = store.records().unwrap().into_iter().find(|record| record.key == RecordKey::Boot).unwrap();
    assert_eq!(&boot.bytes[..], b"last");
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_after_a_write_has_failed() {
    let failures: [fn() -> Result<(), StoreError>; 2] = [|| Err("disk on fire".into()), || panic!("a bug")];
    for (fail, why) in failures.into_iter().zip(["disk on fire", "it panicked"]) {
        let mut rig = Rig::with(Failing::after(1, fail), Answers::default()).await;
        rig.act(|script| script.persist(b"one")).await;
        rig.until("the first", |script| (script.persisted.len() == 1).then_some(())).await;
        rig.act(|script| script.persist(b"two")).await;
        rig.until("lost", |script| (!script.lost.is_empty()).then_some(())).await;
        rig.act(|script| script.persist(b"three")).await;
        assert_eq!(rig.see(|script| script.persisted.clone()), tickets([1]));
        assert_eq!(rig.see(|script| script.lost.clone()), tickets([2, 3]));
        assert_eq!(rig.told().await, ShellEvent::StoreFailed(why.into()));
        assert_eq!(rig.handle.shutdown().await, Exit::Store(why.into()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_block_that_the_application_refuses_is_not_stored() {
    let failures: [fn() -> Result<Commitment, ApplicationError>; 2] =
        [|| Err("no room".into()), || panic!("a bug")];
    for (fail, why) in failures.into_iter().zip(["no room", "it panicked"]) {
        let store = MemoryStore::new();
        let answers = Answers { commit: Some(fail), ..Answers::default() };
        let rig = Rig::with(store.clone(), answers).await;
        rig.act(|script| commit(script, 1)).await;
        let exit = timeout(PATIENCE, rig.handle.ended()).await.expect("the node ends by itself");
        assert_eq!(exit, Exit::Application(format!("at the block of height 1: {why}").into()));
        assert_eq!(rig.see(|script| (script.persisted.len(), script.lost.len())), (0, 1));
        assert!(store.blocks(Height(1), Height(1), 1).unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_application_that_fails_or_panics_ends_the_node_in_peace() {
    for (answers, why) in [
        (Answers { produce: Some(|| Err("no disk".into())), ..Answers::default() }, "no disk"),
        (Answers { produce: Some(|| panic!("a bug")), ..Answers::default() }, "it panicked"),
        (Answers { validate: Some(|| panic!("a bug")), ..Answers::default() }, "it panicked"),
    ] {
        let mut rig = Rig::with(MemoryStore::new(), answers).await;
        let (_conn, mut peer) = rig.dialed(100).await;
        rig.act(|script| script.goodbye = b"goodbye".to_vec()).await;
        let by = rig.clock.now().mono + PATIENCE;
        rig.act(|script| {
            produce(script, by);
            validate(script);
        })
        .await;
        let mut heard = Vec::new();
        let hearing = tokio::io::AsyncReadExt::read_to_end(&mut peer, &mut heard);
        timeout(PATIENCE, hearing).await.expect("the peer is told").unwrap();
        assert_eq!(heard, b"goodbye");
        drop(peer);
        assert_eq!(rig.handle.ended().await, Exit::Application(why.into()));
    }
}

/// How many may go on.
static GATE: AtomicUsize = AtomicUsize::new(0);

#[tokio::test]
async fn a_slow_application_delays_nothing_but_its_answers_and_is_asked_no_more() {
    let slow = || {
        while GATE.load(Ordering::Acquire) == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(Offer { payload: Some(Bytes::from_static(b"late")), stale: Vec::new() })
    };
    let answers = Answers { produce: Some(slow), ..Answers::default() };
    let mut rig = Rig::with(MemoryStore::new(), answers).await;
    let by = rig.clock.now().mono + PATIENCE;
    let asked = QUESTIONS + 10;
    rig.act(|script| (0..asked).for_each(|_| produce(script, by))).await;
    assert_eq!(rig.told().await, ShellEvent::ApplicationBehind);
    // Those for which there was no room have an answer that is always true.
    let refused = rig.see(|script| script.produced.iter().filter(|payload| payload.is_none()).count());
    assert!((8..=10).contains(&refused), "{refused} of {asked} refused");
    // Everything else goes on.
    rig.act(|script| script.persist(b"x")).await;
    rig.until("durable", |script| (script.persisted.len() == 1).then_some(())).await;
    GATE.store(1, Ordering::Release);
    rig.until("all answers", |script| (script.produced.len() == asked).then_some(())).await;
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_question_whose_time_is_over_is_not_asked() {
    let answers = Answers { produce: Some(|| panic!("nobody waits for this")), ..Answers::default() };
    let rig = Rig::with(MemoryStore::new(), answers).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.act(|script| produce(script, Mono(1))).await;
    assert_eq!(rig.until("an answer", |script| script.produced.pop()).await, None);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn blocks_that_cannot_be_read_are_told_once_and_answered_with_none() {
    let mut rig = Rig::with(Failing::after(9, || Ok(())), Answers::default()).await;
    rig.act(|script| {
        for load in 0..3 {
            let (from, to) = (Height(1), Height(9));
            script.commands.push_back(Command::Load { load: LoadId(load), from, to, max_bytes: 100 });
        }
    })
    .await;
    rig.until("three answers", |script| (script.loaded == [0, 0, 0]).then_some(())).await;
    assert_eq!(rig.told().await, ShellEvent::LoadFailed("a bad sector".into()));
    assert_eq!(rig.handle.shutdown().await, Exit::Stopped);
    while let Some(notice) = rig.events.next().await {
        assert!(!matches!(notice, Notice::Shell(ShellEvent::LoadFailed(_))), "told twice");
        if matches!(notice, Notice::Core(Event::Stopped)) {
            break;
        }
    }
}
