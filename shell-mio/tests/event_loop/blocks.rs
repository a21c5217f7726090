//! The loop and blocks: payloads, commits and loads carried out by other threads while it turns.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::scripted::blocks::{block, id, payload};
use crate::scripted::{PATIENCE, Rig, Script};
use bytes::Bytes;
use timed_core::{CommitPace, Fatal, FinalBlock, Height, LoadId, Mono, PayloadVerdict, RecordKey, Round};
use timed_mio::application::{Application, ApplicationError, Commitment, FifoPayload, Offer, Wanted};
use timed_mio::{Exit, ShellConfig, Store, now};

fn anywhere() -> ShellConfig {
    ShellConfig::listening_on("127.0.0.1:0".parse().unwrap())
}

fn later() -> Mono {
    now().mono + Duration::from_secs(60)
}

#[test]
fn payloads_are_built_and_judged_by_the_chain_before_them() {
    let rig = Rig::start();
    rig.act(|script| script.commit(block(1, &[b"old"]), CommitPace::Live));
    rig.until("stored", |script| (script.persisted == [1]).then_some(()));
    rig.see(|script| assert_eq!(script.committed, [(Height(1), vec![id(b"old")])]));
    rig.act(|script| {
        script.produce(3, later(), &[b"one", b"old", b"two"]);
        script.validate(&block(2, &[b"one", b"two"]));
        script.validate(&block(3, &[b"one", b"old"]));
    });
    rig.until("answered", |script| (script.validated.len() == 2).then_some(()));
    rig.see(|script| {
        let payload = Some(payload(&[b"one", b"two"]));
        assert_eq!(script.produced, [(Height(1), Round(3), payload, vec![id(b"old")])]);
        let of = |height| block(height, &[]).certificate.block;
        assert_eq!(script.validated, [(of(2), PayloadVerdict::Valid), (of(3), PayloadVerdict::Invalid)]);
    });
}

#[test]
fn blocks_are_answered_in_order_served_and_there_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    {
        let rig = Rig::with_store(anywhere(), Script::default(), &path, |_| {});
        rig.act(|script| {
            for height in 1..=200 {
                let pace = if height < 150 { CommitPace::CatchUp } else { CommitPace::Live };
                script.commit(block(height, &[&height.to_le_bytes()]), pace);
            }
            script.submit(b"waits");
            script.submit(&7_u64.to_le_bytes());
        });
        rig.until("all durable", |script| (script.persisted.len() == 202).then_some(()));
        rig.see(|script| {
            assert!(script.persisted.iter().copied().eq(1..=202));
            let committed = (1..=200_u64).map(|height| (Height(height), vec![id(&height.to_le_bytes())]));
            assert!(script.committed.iter().cloned().eq(committed));
        });
        let stored = |height: u64| block(height, &[&height.to_le_bytes()]).encode();
        let size = stored(1).len();
        rig.act(|script| {
            script.load(1, 1, 100, 3 * size);
            script.load(2, 199, 300, usize::MAX);
            script.load(3, 200, 200, 1);
            script.load(4, 201, 300, usize::MAX);
            script.load(5, 7, 9, usize::MAX);
            script.load(6, 9, 8, usize::MAX);
        });
        rig.until("loaded", |script| (script.loaded.len() == 6).then_some(()));
        rig.see(|script| {
            for ((load, blocks), (expected, heights)) in script.loaded.iter().zip([
                (1, 1..4),
                (2, 199..201),
                (3, 200..201),
                (4, 0..0),
                (5, 7..10),
                (6, 0..0),
            ]) {
                assert_eq!(*load, LoadId(expected));
                assert!(blocks.iter().map(|block| block.height.0).eq(heights));
                assert!(blocks.iter().all(|block| block.bytes == stored(block.height.0)));
            }
        });
        let counters = rig.remote.counters();
        assert_eq!((counters.records, counters.blocks, counters.loads), (202, 200, 6));
        assert!(
            counters.store_max_ns > 0 && counters.store.sum().as_nanos() >= u128::from(counters.store_max_ns)
        );
        println!("a durable write took {:?} at most", Duration::from_nanos(counters.store_max_ns));
    }
    let (_, records) = Store::open(&path).unwrap();
    assert_eq!(records[0].key, RecordKey::Tip);
    assert_eq!(FinalBlock::decode(&records[0].bytes).unwrap(), block(200, &[&200_u64.to_le_bytes()]));
    assert_eq!(records.len(), 2);
    assert_eq!(
        (records[1].key, &records[1].bytes[..]),
        (RecordKey::Transaction(id(b"waits")), &b"waits"[..])
    );
}

#[test]
fn a_store_that_refuses_halts_the_core() {
    let mut rig = Rig::start();
    rig.act(|script| {
        script.commit(block(2, &[]), CommitPace::Live);
        script.persist(b"after it");
    });
    let exit = rig.join();
    assert!(matches!(exit, Exit::Fatal(Fatal::PersistFailed)), "{exit:?}");
    assert!(rig.told("StoreFailed(NotNext"), "{:?}", rig.told);
    rig.see(|script| assert_eq!((&script.persisted[..], &script.persist_failed[..]), (&[][..], &[1, 2][..])));
}

/// Answers when the test says so, and keeps what it was asked.
#[derive(Debug)]
struct Slow {
    orders: Mutex<Receiver<Result<(), &'static str>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Slow {
    fn wait(&self, asked: String) -> Result<(), ApplicationError> {
        self.asked.lock().unwrap().push(asked);
        match self.orders.lock().unwrap().recv_timeout(PATIENCE) {
            Ok(Ok(())) => Ok(()),
            Ok(Err("panic")) => panic!("as the test wants"),
            Ok(Err(words)) => Err(words.into()),
            Err(_) => Err("the test has forgotten it".into()),
        }
    }
}

impl Application for Slow {
    fn produce(&self, wanted: &Wanted) -> Result<Offer, ApplicationError> {
        self.wait(format!("produce {}", wanted.transactions.len()))?;
        Ok(Offer { payload: Some(Bytes::from_static(b"built")), stale: Vec::new() })
    }

    fn validate(&self, height: Height, _payload: &Bytes) -> Result<PayloadVerdict, ApplicationError> {
        self.wait(format!("validate {height}"))?;
        Ok(PayloadVerdict::Valid)
    }

    fn commit(&self, _block: &FinalBlock) -> Result<Commitment, ApplicationError> {
        Ok(Commitment::default())
    }
}

struct Orders {
    orders: Sender<Result<(), &'static str>>,
    asked: Arc<Mutex<Vec<String>>>,
}

fn with_slow_application() -> (Rig, Orders) {
    let ((orders, waiting), asked) = (channel(), Arc::<Mutex<Vec<String>>>::default());
    let slow = Slow { orders: Mutex::new(waiting), asked: Arc::clone(&asked) };
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::with_store(anywhere(), Script::default(), &folder.path().join("store"), |shell| {
        shell.use_application(Arc::new(slow));
    });
    (rig, Orders { orders, asked })
}

#[test]
fn a_slow_application_delays_only_its_own_answers() {
    let (rig, application) = with_slow_application();
    rig.act(|script| script.produce(0, later(), &[]));
    rig.until("asked", |_| (application.asked.lock().unwrap().len() == 1).then_some(()));
    let begun = Instant::now();
    rig.act(|script| {
        for height in 1..=20 {
            script.commit(block(height, &[]), CommitPace::Live);
        }
        script.load(1, 1, 9, usize::MAX);
    });
    let deadline = rig.act(|script| *script.deadline.insert(now().mono + Duration::from_millis(30)));
    rig.until("committed, loaded and ticked", |script| {
        (script.persisted.len() == 20 && script.loaded.len() == 1 && script.ticks.len() == 1).then_some(())
    });
    println!("twenty blocks took {:?}", begun.elapsed());
    let (told, at) = rig.see(|script| script.ticks[0]);
    assert!(told == deadline && at.since(deadline) < Duration::from_millis(500), "{:?}", at.since(deadline));
    rig.see(|script| assert!(script.produced.is_empty()));
    application.orders.send(Ok(())).unwrap();
    let answer = rig.until("the late answer", |script| script.produced.pop());
    assert_eq!(answer, (Height(1), Round(0), Some(Bytes::from_static(b"built")), vec![]));
}

#[test]
fn what_nobody_waits_for_any_more_is_not_built() {
    let (rig, application) = with_slow_application();
    let soon = rig.act(|script| {
        script.produce(0, later(), &[]);
        let soon = now().mono + Duration::from_millis(50);
        script.produce(1, soon, &[b"one"]);
        script.produce(2, later(), &[b"one", b"two"]);
        soon
    });
    while now().mono <= soon {
        thread::sleep(Duration::from_millis(1));
    }
    (0..2).for_each(|_| application.orders.send(Ok(())).unwrap());
    rig.until("all answered", |script| (script.produced.len() == 3).then_some(()));
    rig.see(|script| {
        let built = Some(Bytes::from_static(b"built"));
        let of = |round, payload| (Height(1), Round(round), payload, vec![]);
        assert_eq!(script.produced, [of(0, built.clone()), of(1, None), of(2, built)]);
    });
    assert_eq!(*application.asked.lock().unwrap(), ["produce 0", "produce 2"]);
}

#[test]
fn an_application_that_never_answers_is_told_and_costs_bounded_memory() {
    let (rig, application) = with_slow_application();
    rig.act(|script| {
        for round in 0..100 {
            script.validate(&block(1, &[]));
            script.produce(round, later(), &[]);
        }
    });
    let refused = rig.until("answers at once", |script| Some(script.produced.len()).filter(|len| *len > 0));
    assert!((80..100).contains(&refused), "{refused} of 100 were not taken");
    rig.see(|script| assert!(script.produced.iter().all(|(.., payload, _)| payload.is_none())));
    let told = || rig.told.0.lock().unwrap().iter().filter(|line| *line == "ApplicationBehind").count();
    assert_eq!(told(), 1);
    // It comes back, and so do its answers.
    (0..200 - refused).for_each(|_| application.orders.send(Ok(())).unwrap());
    rig.until("the rest", |script| (script.produced.len() == 100).then_some(()));
    rig.act(|script| script.produce(100, later(), &[]));
    let answer = rig.until("a new answer", |script| script.produced.get(100).cloned());
    assert_eq!((answer.1, answer.2.is_some()), (Round(100), true));
    assert_eq!(told(), 1);
}

#[test]
fn an_application_that_cannot_go_on_ends_the_run() {
    for (order, words) in [("out of paper", "out of paper"), ("panic", "it panicked")] {
        let (mut rig, application) = with_slow_application();
        rig.act(|script| script.validate(&block(1, &[])));
        application.orders.send(Err(order)).unwrap();
        let exit = rig.join();
        assert!(matches!(&exit, Exit::Application(error) if error.to_string() == words), "{exit:?}");
        assert!(rig.told(&format!("ApplicationFailed({words:?})")) && rig.told("Stopping(Application)"));
    }
}

/// A damaged block is no reason to leave the network, and none to fill the log.
#[test]
fn what_cannot_be_read_is_told_once_and_answered_with_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    {
        let (mut store, _) = Store::open(&path).unwrap();
        let application = FifoPayload::new(store.reader());
        let chain = (1..50).map(|height| block(height, &[&[7; 3000]])).chain([block(50, &[])]);
        store.append_blocks(chain, &application).unwrap();
    }
    let blocks = folder.path().join("store.blocks");
    let mut bytes = std::fs::read(&blocks).unwrap();
    for at in (0..bytes.len() - 2000).step_by(1000) {
        if bytes[at..at + 2000] == [7; 2000] {
            bytes[at + 1000] = 8;
        }
    }
    std::fs::write(&blocks, bytes).unwrap();
    let rig = Rig::with_store(anywhere(), Script::default(), &path, |_| {});
    rig.act(|script| [1, 20, 50].into_iter().for_each(|from| script.load(from, from, from, usize::MAX)));
    rig.until("answered", |script| (script.loaded.len() == 3).then_some(()));
    rig.see(|script| {
        let heights: Vec<_> = script.loaded.iter().map(|(_, blocks)| blocks.len()).collect();
        assert_eq!(heights, [0, 0, 1]);
    });
    let told = rig.told.0.lock().unwrap();
    let failed: Vec<_> = told.iter().filter(|line| line.starts_with("LoadFailed(DamagedChain")).collect();
    assert_eq!(failed.len(), 1, "{told:?}");
}
