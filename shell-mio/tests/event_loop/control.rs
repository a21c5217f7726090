//! The loop's doors: requests, stopping, time, records, what it tells about itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::scripted::{PATIENCE, Rig, Script};
use timed_core::{Event, Fatal, REQUESTS_PER_WAKE, Reading, Reply, Request, Summary};
use timed_mio::{BindError, Busy, Exit, NoReply, Shell, ShellConfig, now};

fn anywhere() -> ShellConfig {
    ShellConfig::listening_on("127.0.0.1:0".parse().unwrap())
}

#[test]
fn requests_are_answered_to_threads_and_to_futures() {
    let rig = Rig::start();
    let pending = rig.remote.request(Request::Peers).unwrap();
    assert!(matches!(pending.wait(PATIENCE), Ok(Reply::Dialing { .. })));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let pending = rig.remote.request(Request::Matrix).unwrap();
    let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, pending).await });
    assert!(matches!(answer, Ok(Ok(Reply::Dialing { .. }))), "{answer:?}");
}

#[test]
fn a_busy_loop_refuses_requests_and_later_answers_those_it_took() {
    let rig = Rig::start();
    let turns = rig.remote.counters().turns;
    // The loop stands still while the script is held.
    let taken = rig.see(|_| {
        let mut taken = Vec::new();
        let refused = (0..2000).find_map(|_| match rig.remote.request(Request::Status) {
            Ok(pending) => {
                taken.push(pending);
                None
            }
            Err(busy) => Some(busy),
        });
        assert_eq!(refused, Some(Busy::QueueFull));
        let late = taken.pop().unwrap().wait(Duration::from_millis(50));
        assert_eq!(late.unwrap_err(), NoReply::TimedOut);
        taken
    });
    assert!((256..=512).contains(&(taken.len() + 1)), "{} were taken", taken.len() + 1);
    let count = taken.len();
    for pending in taken {
        pending.wait(PATIENCE).unwrap();
    }
    let turned = rig.until("counted", |_| {
        let counters = rig.remote.counters();
        (counters.requests > count as u64).then_some(counters.turns - turns)
    });
    assert!(turned >= (count / REQUESTS_PER_WAKE) as u64, "{count} requests in {turned} turns");
}

#[test]
fn stopping_says_goodbye_and_takes_no_more_requests() {
    let goodbye: Vec<u8> = (0..15_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut rig = Rig::with(anywhere(), Script { goodbye: goodbye.clone(), ..Script::default() });
    let mut peers: Vec<TcpStream> = (0..20).map(|_| rig.connect_with_little_room()).collect();
    let conns = rig.until("all accepted", |script| Some(script.open()).filter(|open| open.len() == 20));
    rig.act(|script| conns.iter().for_each(|&conn| script.reading(conn, Reading::Pause)));
    for peer in &mut peers {
        peer.write_all(b"never read").unwrap();
    }
    let readers: Vec<_> = peers
        .into_iter()
        .map(|mut peer| {
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(100));
                let mut heard = Vec::new();
                peer.read_to_end(&mut heard).map(|_| heard)
            })
        })
        .collect();
    let begun = Instant::now();
    assert!(matches!(rig.stop(), Exit::Stopped));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    for reader in readers {
        assert!(reader.join().unwrap().unwrap() == goodbye, "the end was cut off");
    }
    assert!(rig.told("Stopping(Order)"));
    assert_eq!(rig.remote.request(Request::Status).unwrap_err(), Busy::Stopped);
}

#[test]
fn a_stop_by_request_is_answered_and_ends_the_run() {
    let mut rig = Rig::start();
    let reply = rig.remote.request(Request::Stop).unwrap().wait(PATIENCE);
    assert!(matches!(reply, Ok(Reply::Stopping)), "{reply:?}");
    assert!(matches!(rig.join(), Exit::Stopped));
}

#[test]
fn a_stop_ordered_before_the_run_holds() {
    let mut rig = Rig::with_store(
        anywhere(),
        Script::default(),
        &tempfile::tempdir().unwrap().path().join("store"),
        |shell| shell.remote().stop(),
    );
    assert!(matches!(rig.join(), Exit::Stopped));
}

#[test]
fn a_second_order_ends_at_once() {
    let mut rig = Rig::with(anywhere(), Script { deaf: true, ..Script::default() });
    rig.remote.stop();
    rig.until("stopping", |script| script.stopping.then_some(()));
    let pending = rig.remote.request(Request::Status).unwrap();
    pending.wait(PATIENCE).unwrap();
    let begun = Instant::now();
    rig.remote.stop();
    assert!(matches!(rig.join(), Exit::Interrupted));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn a_core_that_does_not_stop_is_cut_off() {
    let mut rig = Rig::with(anywhere(), Script { deaf: true, ..Script::default() });
    let begun = Instant::now();
    let exit = rig.stop();
    assert!(matches!(exit, Exit::StopTimedOut), "{exit:?}");
    assert!((8..10).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[test]
fn a_halt_closes_everything_and_is_the_exit() {
    let mut rig = Rig::with(anywhere(), Script { goodbye: b"halted".to_vec(), ..Script::default() });
    let mut peer = TcpStream::connect(rig.addr).unwrap();
    rig.accepted();
    let _ = rig.see(|script| {
        script.emit(Event::Fatal(Fatal::Internal("a test")));
        rig.remote.request(Request::Stop)
    });
    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"halted");
    let exit = rig.join();
    assert!(matches!(exit, Exit::Fatal(Fatal::Internal("a test"))), "{exit:?}");
    assert!(rig.told("Fatal(Internal(\"a test\"))"), "the sink hears it too");
}

#[test]
fn ticks_come_at_their_time_whatever_else_happens() {
    let rig = Rig::start();
    let after = Duration::from_millis(60);
    let deadline = rig.act(|script| *script.deadline.insert(now().mono + after));
    let (told, at) = rig.until("a tick", |script| script.ticks.first().copied());
    assert!(told == deadline && at >= deadline, "early: {at:?} for {deadline:?}");
    println!("idle: {:?} late", at.since(deadline));

    let mut flood = TcpStream::connect(rig.addr).unwrap();
    let flooder = thread::spawn(move || {
        let bytes = vec![1; 1 << 20];
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(600) {
            flood.write_all(&bytes).unwrap();
        }
    });
    let conn = rig.accepted();
    rig.until("the flood", |script| (script.conn(conn).received.len() > 1 << 20).then_some(()));
    let deadline = rig.act(|script| *script.deadline.insert(now().mono + after));
    let (_, at) = rig.until("a tick", |script| script.ticks.get(1).copied());
    println!("under a flood: {:?} late", at.since(deadline));
    assert!(!flooder.is_finished(), "the tick waited for the end of the flood");
    flooder.join().unwrap();
    let counters =
        rig.until("counted", |_| Some(rig.remote.counters()).filter(|counters| counters.ticks == 2));
    assert!(counters.lag_max_ns >= counters.lag_last_ns && counters.lag_last_ns > 0);
}

#[test]
fn an_idle_loop_is_seen_to_live_and_a_stuck_one_is_not() {
    let rig = Rig::start();
    thread::sleep(Duration::from_millis(1100));
    let turns = rig.remote.counters().turns;
    for _ in 0..25 {
        thread::sleep(Duration::from_millis(100));
        let age = rig.remote.last_tick_age();
        assert!(age < Duration::from_millis(2500), "{age:?}");
    }
    let idle = rig.remote.counters().turns - turns;
    assert!((1..=6).contains(&idle), "{idle} turns in 2.5 s of idleness");
    rig.see(|_| {
        let _ = rig.remote.request(Request::Status);
        thread::sleep(Duration::from_millis(3000));
        assert!(rig.remote.last_tick_age() > Duration::from_millis(1500));
    });
}

#[test]
fn the_newest_summary_is_shown() {
    let rig = Rig::start();
    assert_eq!(rig.remote.summary(), Summary::default());
    let summary = Summary { connected_peers: 3, active_masternodes: 4, ..Summary::default() };
    rig.act(|script| script.emit(Event::Summary(summary)));
    rig.until("shown", |_| (rig.remote.summary() == summary).then_some(()));
}

#[test]
fn records_are_answered_in_order_and_there_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    {
        let rig = Rig::with_store(anywhere(), Script::default(), &path, |_| {});
        let last = rig.act(|script| (1..=300_u64).map(|n| script.persist(&n.to_le_bytes())).max().unwrap());
        rig.until("all durable", |script| script.persisted.contains(&last).then_some(()));
        rig.see(|script| assert!(script.persisted.iter().copied().eq(1..=last)));
    }
    let (_, journal) = timed_mio::Store::open(&path).unwrap();
    assert_eq!(journal.len(), 1);
    assert_eq!(journal[0].bytes[..], 300_u64.to_le_bytes());
}

#[test]
fn an_address_that_cannot_be_had_is_named() {
    let holder = Shell::bind(anywhere()).unwrap();
    let taken = holder.local_addr();
    let error = Shell::bind(ShellConfig::listening_on(taken)).unwrap_err();
    assert!(matches!(error, BindError::InUse(addr) if addr == taken), "{error:?}");
    assert!(error.to_string().contains(&taken.to_string()), "{error}");

    let foreign: SocketAddr = "192.0.2.77:24100".parse().unwrap();
    let error = Shell::bind(ShellConfig::listening_on(foreign)).unwrap_err();
    assert!(matches!(error, BindError::NotAvailable(addr) if addr == foreign), "{error:?}");
    assert!(error.to_string().contains("192.0.2.77:24100"), "{error}");
}
