//! What is too much, call by call: dropped at a stroke, or left in the socket for a bounded time.

use std::time::Duration;

use timed_core::wire::frame::append_frame;
use timed_core::wire::message::{Lane, Message, Ping};
use timed_core::{
    Bootstrap, CloseReason, Command, ConnId, Enforce, Event, Handling, Input, Limits, Offence, RateLimit,
    Reading, Reply, Request, Signature, TrafficClass,
};
use timed_tests::driver::{Crypto, addr, config};
use timed_tests::stage::{Stage, secs};

const MASTERNODE: u8 = 1;
const OBSERVER: u8 = 10;

fn stage(change: impl FnOnce(&mut Limits)) -> Stage {
    let mut config = config(Crypto::Null);
    config.bootstrap.clear();
    config.limits = Limits::for_registry(4);
    change(&mut config.limits);
    Stage::with(Crypto::Null, config)
}

/// Many frames in few records, as one piece.
fn messages(stage: &mut Stage, conn: ConnId, count: usize) {
    let mut frames = Vec::new();
    for _ in 0..count {
        append_frame(&Message::Datagram(bytes::Bytes::from(vec![7; 1_000])), &mut frames);
    }
    let bytes = stage.line(conn).seal(Lane::Relay, &frames);
    stage.data(conn, &bytes);
}

fn arrived(commands: &[Command]) -> usize {
    commands.iter().filter(|command| matches!(command, Command::Event(Event::Datagram { .. }))).count()
}

fn readings(commands: &[Command]) -> Vec<Reading> {
    let reading = |command: &Command| match command {
        Command::Reading { reading, .. } => Some(*reading),
        _ => None,
    };
    commands.iter().filter_map(reading).collect()
}

/// Messages to the application are limited to a small burst of 128 KiB and then to next to nothing.
fn few(limits: &mut Limits) {
    limits.rates.set(TrafficClass::Datagram, RateLimit { per_second: Some(1), enforce: Enforce::On });
}

#[test]
fn a_1_an_observers_excess_is_dropped_and_its_link_stands() {
    let mut stage = stage(few);
    let conn = stage.live(OBSERVER);
    stage.took();
    messages(&mut stage, conn, 300);
    let commands = stage.took();
    let through = arrived(&commands);
    assert!((100..140).contains(&through), "{through}");
    assert_eq!(readings(&commands), []);
    let told = |command: &Command| {
        matches!(command, Command::Event(Event::RateExceeded { class: TrafficClass::Datagram, .. }))
    };
    assert_eq!(commands.iter().filter(|command| told(command)).count(), 1, "told once");
    assert_eq!(stage.counters().rate_exceeded[TrafficClass::Datagram.index()], 300 - through as u64);
    // Other classes are not concerned.
    stage.heard(conn);
    stage.say(conn, &Message::Ping(Ping { token: 5 }));
    assert!(
        stage.heard(conn).iter().any(|message| matches!(message, Message::Pong(pong) if pong.token == 5))
    );
    let Reply::Peers(peers) = stage.ask(Request::Peers) else { panic!("no peers") };
    let excessive = peers[0].excessive.unwrap();
    assert_eq!((excessive.class, excessive.handling), (TrafficClass::Datagram, Handling::Dropped));
    let Reply::Why(why) = stage.ask(Request::Why(timed_core::PeerRef::Id(peers[0].node))) else {
        panic!("no why")
    };
    assert!(why.text.contains("dropped (rule A-1)"), "{}", why.text);
}

#[test]
fn a_6_a_masternode_is_left_unread_for_a_bounded_time_and_loses_nothing() {
    let mut stage = stage(few);
    let conn = stage.live(MASTERNODE);
    stage.took();
    let longest = stage.config.timings.write_timeout / 4;
    let began = stage.now;
    for round in 0..20 {
        // All that was read is handled, whatever has been commanded meanwhile.
        messages(&mut stage, conn, 300);
        let commands = stage.took();
        assert_eq!(arrived(&commands), 300, "round {round}");
        assert_eq!(readings(&commands), [Reading::Pause], "round {round}");
        assert!(stage.node.deadline().unwrap().since(stage.now.mono) <= longest);
        stage.now = stage.later(longest);
        stage.handle(Input::Tick);
        assert_eq!(readings(&stage.took()), [Reading::Resume], "round {round}");
        // It goes on reading itself.
        stage.heard(conn);
    }
    assert!(stage.now.mono.since(began.mono) > stage.config.timings.silent_after);
    assert_eq!(stage.peers().len(), 1, "nobody is dead");
}

/// A stranger to the registry whom the operator has reserved a place is treated as a masternode is: for what is too
/// much, and for a score at its bound.
#[test]
fn a_6_a_reserved_peer_is_slowed_and_never_banned() {
    let mut config = config(Crypto::Null);
    config.bootstrap.clear();
    config.limits = Limits::for_registry(4);
    few(&mut config.limits);
    let reserved = Stage::new(Crypto::Null).actor(OBSERVER).id();
    config.reserved = vec![Bootstrap { addr: addr(OBSERVER), id: Some(reserved) }];
    let mut stage = Stage::with(Crypto::Null, config);
    let conn = stage.live(OBSERVER);
    stage.took();
    let longest = stage.config.timings.write_timeout / 4;
    let rests = |stage: &mut Stage| {
        assert_eq!(readings(&stage.took()), [Reading::Pause]);
        stage.now = stage.later(longest);
        stage.handle(Input::Tick);
        assert_eq!(readings(&stage.took()), [Reading::Resume]);
        stage.answer_pings(conn);
        stage.took();
    };
    messages(&mut stage, conn, 300);
    assert_eq!(arrived(&stage.commands), 300, "nothing is dropped");
    rests(&mut stage);
    // Twice what bans an observer.
    let mut slandered = stage.actor(MASTERNODE);
    let mut paused = 0;
    for sequence in 1..=20 {
        stage.now = stage.later(secs(5));
        stage.handle(Input::Tick);
        stage.answer_pings(conn);
        stage.took();
        let mut beat = slandered.heartbeat(sequence, stage.now.wall);
        beat.epoch.0 += 1_000;
        beat.signature = Signature([0x5e; 64]);
        stage.say(conn, &Message::Heartbeat(Box::new(beat)));
        if !readings(&stage.commands).is_empty() {
            paused += 1;
            rests(&mut stage);
        }
    }
    let counters = stage.counters();
    assert_eq!(counters.offences[Offence::BadSignature.index()], 20);
    assert_eq!(counters.rate_exceeded[TrafficClass::Heartbeat.index()], 0);
    assert!((5..=10).contains(&paused), "slowed {paused} times: from the bound on");
    assert!(matches!(stage.ask(Request::Bans), Reply::Bans(bans) if bans.is_empty()));
    assert_eq!(stage.peers(), [reserved]);
}

#[test]
fn a_6_our_own_pause_does_not_count_as_the_peers_silence() {
    let mut stage = stage(few);
    let conn = stage.live(MASTERNODE);
    let (silent_after, longest) = (stage.config.timings.silent_after, stage.config.timings.write_timeout / 4);
    messages(&mut stage, conn, 300);
    stage.took();
    // Just before it would be given up the next tick comes; the pause before it is not held against it.
    stage.now = stage.later(longest);
    stage.handle(Input::Tick);
    stage.answer_pings(conn);
    stage.took();
    let step = Duration::from_millis(100);
    let mut quiet = Duration::ZERO;
    while !stage
        .took()
        .iter()
        .any(|command| matches!(command, Command::Close { conn: of, .. } if *of == conn))
    {
        stage.now = stage.later(step);
        quiet += step;
        stage.handle(Input::Tick);
        // Our pings go out; nobody answers.
        stage.sent(conn);
        assert!(quiet < secs(60));
    }
    assert!(quiet >= silent_after - step, "given up after {quiet:?}");
}

#[test]
fn a_6_a_link_that_is_not_read_ends_like_any_other() {
    let mut stage = stage(few);
    let conn = stage.live(MASTERNODE);
    messages(&mut stage, conn, 300);
    stage.heard(conn);
    stage.took();
    stage.handle(Input::Request { id: timed_core::RequestId(1), request: Request::Stop });
    assert!(stage.heard(conn).iter().any(|message| matches!(message, Message::Goodbye(_))));
    assert!(stage.obey().contains(&(conn, CloseReason::Shutdown)));
    stage.now = stage.later(secs(5));
    stage.handle(Input::Tick);
    assert_eq!(readings(&stage.took()), [], "nothing is said of a connection that is gone");
}

#[test]
fn ban_01d_pings_beyond_their_rate_are_not_answered_and_pongs_are_free() {
    let mut stage = stage(|_| {});
    let conn = stage.live(OBSERVER);
    stage.heard(conn);
    for token in 0..1_000 {
        stage.say(conn, &Message::Ping(Ping { token }));
    }
    let pongs = stage.heard(conn).iter().filter(|message| matches!(message, Message::Pong(_))).count();
    assert!((100..200).contains(&pongs), "{pongs}");
    // What it is asked it may answer all the same.
    for _ in 0..20 {
        stage.now = stage.later(stage.config.timings.ping_after);
        stage.handle(Input::Tick);
        stage.answer_pings(conn);
    }
    assert_eq!(stage.peers().len(), 1);
}
