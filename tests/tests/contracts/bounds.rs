//! C8: everything that grows has a bound, and a test that fills it.

use std::net::SocketAddr;

use timed_core::wire::frame::append_encoded;
use timed_core::wire::message::{Answer, Intent, Kind, Lane, Message};
use timed_core::{
    CanonicalAddr, CloseReason, Command, ConnId, DialOrdinal, DialedBecause, Event, Input, Limits, NodeId,
    RateLimit, Reply, Request, TrafficClass, TransportCause,
};
use timed_tests::driver::{Crypto, NODE, START, config};
use timed_tests::null_crypto::NullProvider;
use timed_tests::scripted::Actor;

use timed_tests::stage::{Stage, secs};

const CANONICAL: Intent = Intent::Session(DialedBecause::Canonical);

/// A stage with these limits and a quiet surrounding: nobody to dial but the registry.
fn stage(change: impl FnOnce(&mut Limits)) -> Stage {
    let mut config = config(Crypto::Null);
    config.bootstrap.clear();
    config.limits = Limits::for_registry(4);
    change(&mut config.limits);
    Stage::with(Crypto::Null, config)
}

/// A node that is not registered.
fn stranger(stage: &Stage, number: u32) -> Actor {
    let mut key = [0xee; 32];
    key[..4].copy_from_slice(&number.to_le_bytes());
    let [_, b, c, d] = number.to_be_bytes();
    let addr = CanonicalAddr::new(SocketAddr::from(([203, b, c, d], 1))).unwrap();
    Actor::new(Box::new(NullProvider::new(NodeId(key))), &stage.config, Some(addr), START.wall)
}

/// Where it says that it is.
fn home(actor: &Actor) -> SocketAddr {
    actor.from.advertised.expect("an advertised address").socket()
}

fn open_closes(commands: &[Command]) -> Vec<(ConnId, CloseReason)> {
    let close = |command: &Command| match command {
        Command::Close { conn, reason } => Some((*conn, *reason)),
        _ => None,
    };
    commands.iter().filter_map(close).collect()
}

#[test]
fn c8_a_thousand_silent_connections_hold_sixty_four_places() {
    let mut stage = stage(|_| {});
    let mut open = Vec::new();
    for number in 0..1_000u32 {
        let [_, _, c, d] = number.to_be_bytes();
        let from = SocketAddr::from(([198, 51, c, d], 40_000));
        open.push(stage.node.accept(stage.now, from).unwrap());
        stage.drain();
        for (conn, reason) in stage.obey() {
            assert_eq!(reason, CloseReason::Evicted);
            open.retain(|other| *other != conn);
        }
        assert!(open.len() <= stage.config.limits.unauthenticated);
    }
    // Strangers leave the places of the registered free.
    assert_eq!(open.len(), stage.config.limits.unauthenticated - stage.config.limits.unauthenticated_kept);
    assert_eq!(stage.counters().inbound_refused, 1_000 - 48);
    let registered = stage.accept(1);
    assert!(stage.obey().is_empty(), "a registered source pushed somebody out although there is room");
    stage.data(registered, b"TMD\x01");
}

#[test]
fn s_1_strangers_leave_the_places_of_reserved_sources_free() {
    let mut config = config(Crypto::Null);
    let reserved = "192.0.2.7:24100".parse().unwrap();
    config.reserved = vec![timed_core::Bootstrap { addr: reserved, id: None }];
    config.limits = Limits { unauthenticated: 4, unauthenticated_kept: 1, ..Limits::for_registry(4) };
    let mut stage = Stage::with(Crypto::Null, config);
    let mut come = |from: [u8; 4]| {
        let conn = stage.node.accept(stage.now, SocketAddr::from((from, 40_000))).unwrap();
        stage.drain();
        (conn, stage.obey().into_iter().map(|(conn, _)| conn).collect::<Vec<_>>())
    };
    for number in 0..10 {
        come([198, 51, 100, number]);
    }
    let (there, pushed_out) = come([192, 0, 2, 7]);
    assert_eq!(pushed_out, [], "there was room");
    for number in 10..20 {
        assert!(!come([198, 51, 100, number]).1.contains(&there), "a stranger pushed it out");
    }
}

#[test]
fn c8_a_connection_without_a_proven_identity_holds_a_small_buffer() {
    // A record that only a live link may send is refused at its prefix.
    let mut stage = stage(|_| {});
    let mut actor = stranger(&stage, 1);
    let (conn, mut line) = stage.opened(&mut actor, 1);
    let large = line.seal(Lane::Control, &[0; 2_000]);
    stage.took();
    stage.data(conn, &large[..10]);
    assert_eq!(open_closes(&stage.took()), [(conn, CloseReason::BadRecord)]);

    // Small records that only collect bytes of a frame that is no handshake are, too.
    for (lane, code, reason) in [
        (Lane::Control, 999, CloseReason::BadFrame),
        (Lane::Control, Kind::Heartbeat.code(), CloseReason::BadFrame),
        (Lane::Relay, Kind::Datagram.code(), CloseReason::UnexpectedMessage),
    ] {
        let (conn, mut line) = stage.opened(&mut actor, 1);
        stage.took();
        let mut frame = 4_000u32.to_le_bytes().to_vec();
        frame.extend(code.to_le_bytes());
        frame.extend([0; 3_000]);
        for piece in frame.chunks(500) {
            let record = line.seal(lane, piece);
            stage.data(conn, &record);
        }
        assert_eq!(open_closes(&stage.took()), [(conn, reason)], "{lane:?} {code}");
    }
}

#[test]
fn c8_ten_thousand_identities_leave_a_bounded_table() {
    let mut stage = stage(|limits| {
        limits.max_peers = 25;
        limits.known_peers = 40;
    });
    let known =
        |stage: &mut Stage| match stage.ask(Request::Why(timed_core::PeerRef::IdPrefix(String::new()))) {
            Reply::AmbiguousPeer => 2,
            Reply::Why(_) => 1,
            _ => 0,
        };
    for number in 0..10_000 {
        let mut actor = stranger(&stage, number);
        let (conn, answer) = stage.introduced(&mut actor, 1, CANONICAL);
        assert_eq!(answer, Answer::Accepted);
        stage.lines.clear();
        stage.handle(Input::Closed { conn, cause: TransportCause::Eof });
        stage.took();
    }
    assert_eq!(known(&mut stage), 2);
    // The latest are remembered, the earliest are not; nobody of the registry was forgotten for them.
    let why = |stage: &mut Stage, id| stage.ask(Request::Why(timed_core::PeerRef::Id(id)));
    let remembered: usize = (0..10_000)
        .filter(|number| {
            let id = stranger(&stage, *number).id();
            matches!(why(&mut stage, id), Reply::Why(_))
        })
        .count();
    assert_eq!(remembered, 40 - 3);
    for player in [1, 3, 4] {
        assert!(matches!(why(&mut stage, NodeId([player; 32])), Reply::Why(_)));
    }
    // No timer is left behind by those who were forgotten.
    let mut wakes = 0;
    let end = stage.later(secs(60)).mono;
    while let Some(at) = stage.node.deadline().filter(|at| *at <= end) {
        stage.now = stage.later(at.since(stage.now.mono));
        stage.handle(Input::Tick);
        wakes += 1;
    }
    assert!(wakes < 200, "{wakes} wake-ups in a minute");
}

#[test]
fn c8_knocks_of_strangers_neither_fill_the_queue_of_dials_nor_stand_before_masternodes() {
    let mut stage = stage(|limits| {
        limits.dialing = 4;
        limits.max_peers = 25;
        limits.known_peers = 40;
    });
    stage.took();
    let (mut promised, mut dialed) = (0, 0);
    for number in 0..200 {
        let mut actor = stranger(&stage, number);
        let from = home(&actor);
        let (conn, ack) = stage.called(&mut actor, from, Intent::Knock);
        stage.lines.clear();
        match ack.answer {
            Answer::WillDial => promised += 1,
            other => assert_eq!(other, Answer::Refused(CloseReason::NotWanted)),
        }
        stage.handle(Input::Closed { conn, cause: TransportCause::Eof });
        dialed += stage.took().iter().filter(|command| matches!(command, Command::Dial { .. })).count();
    }
    assert_eq!(dialed, 4);
    assert!((30..=31).contains(&promised), "{promised} of those who knock within seconds are to be dialed");
    // As these dials end, masternodes' come next; the strangers' knocks are forgotten.
    let mut addrs = Vec::new();
    for _ in 0..10 {
        stage.now = stage.later(secs(1));
        stage.handle(Input::Tick);
        for command in stage.took() {
            match command {
                Command::Dial { addr, .. } => addrs.push(addr.to_string()),
                Command::Close { conn, .. } => {
                    stage.handle(Input::Closed { conn, cause: TransportCause::Commanded });
                }
                _ => {}
            }
        }
    }
    assert!(!addrs.is_empty() && addrs.iter().all(|addr| addr.starts_with("10.0.0.")), "{addrs:?}");
}

#[test]
fn c8_sessions_are_bounded_and_masternodes_have_theirs() {
    let mut stage = stage(|limits| (limits.max_peers, limits.masternode_slots) = (6, 3));
    let mut live = Vec::new();
    for number in 0..20 {
        let mut actor = stranger(&stage, number);
        let (conn, answer) = stage.introduced(&mut actor, 1, CANONICAL);
        match answer {
            Answer::Accepted => live.push(conn),
            other => assert_eq!(other, Answer::Refused(CloseReason::SlotsFull)),
        }
        stage.obey();
    }
    assert_eq!(live.len(), 3, "three places are the masternodes'");
    for player in [1, 3, 4] {
        stage.live(player);
    }
    assert_eq!(stage.peers().len(), 6);
}

#[test]
fn c8_sessions_that_we_dial_for_a_knock_count_like_any_other() {
    let mut stage = stage(|limits| (limits.max_peers, limits.masternode_slots) = (5, 3));
    stage.took();
    for number in 0..10 {
        let mut actor = stranger(&stage, number);
        let from = home(&actor);
        let (_, ack) = stage.called(&mut actor, from, Intent::Knock);
        let dial = stage.took().into_iter().find_map(|command| match command {
            Command::Dial { conn, .. } => Some(conn),
            _ => None,
        });
        let Some(conn) = dial else {
            assert_eq!(ack.answer, Answer::Refused(CloseReason::SlotsFull));
            continue;
        };
        stage.handle(Input::Dialed { conn, local: "10.0.0.2:4000".parse().unwrap() });
        let opening = stage.sent(conn);
        let (mut line, reply) = actor.answer(&opening).unwrap();
        stage.data(conn, &reply);
        let bytes = stage.sent(conn);
        let Some(Message::Hello(hello)) = line.hear(&bytes).unwrap().pop() else { panic!("no hello") };
        let ack = actor.ack(&line, &hello, Answer::Accepted);
        let bytes = line.say(&Message::HelloAck(Box::new(ack)));
        stage.data(conn, &bytes);
    }
    assert_eq!(stage.peers().len(), 2, "three of five places are the masternodes'");
}

#[test]
fn c8_a_peer_that_never_reads_holds_bounded_lanes() {
    let mut stage = stage(|limits| {
        limits.relay_lane = 64 * 1024;
        // Else what is asked too often is not answered (rule A-1).
        let often = RateLimit { per_second: Some(100_000), ..RateLimit::default() };
        limits.rates.set(TrafficClass::Liveness, often);
    });
    let link = stage.live(1);
    stage.sent(link);
    // The relay lane drops its oldest.
    for _ in 0..5_000 {
        let payload = vec![1; 40].into();
        assert!(matches!(stage.ask(Request::Send { to: None, payload }), Reply::Sent(1)));
    }
    let queued = match stage.ask(Request::Peers) {
        Reply::Peers(peers) => peers[0].queued_bytes,
        other => panic!("{other:?}"),
    };
    assert!(queued < 64 * 1024, "{queued}");
    // What is held is more than what is sent: a small frame costs its place in the queue, too.
    assert!(queued / 46 * 130 <= 64 * 1024 + 200, "{} frames wait", queued / 46);
    stage.took();

    // The control lane drops nothing: a peer that asks for answers and takes none is closed.
    let mut pings = Vec::new();
    for _ in 0..1_000 {
        append_encoded(Kind::Ping, &[7; 8], &mut pings);
    }
    let mut rounds = 0;
    loop {
        let record = stage.line(link).seal(Lane::Control, &pings);
        stage.data(link, &record);
        rounds += 1;
        match open_closes(&stage.took())[..] {
            [] => assert!(rounds < 20, "the control lane grows"),
            ref closes => {
                assert_eq!(closes, [(link, CloseReason::Slow)]);
                break;
            }
        }
    }
    assert!(stage.sent(link).len() < 200, "what waited is dropped for the goodbye");
}

#[test]
fn c8_own_addresses_and_wanted_ones_are_bounded() {
    let mut stage = stage(|limits| {
        limits.max_peers = 5;
        limits.known_peers = 20;
        limits.dialing = 2;
    });
    let mut full = 0;
    for number in 0..100u8 {
        let addr = format!("192.0.2.{number}:5").parse().unwrap();
        match stage.ask(Request::Connect { addr, id: None }) {
            Reply::Dialing { .. } => {}
            Reply::Refused(_) => full += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(full, 80);
    for number in 0..100u8 {
        let (addr, id) = (format!("192.0.3.{number}:5").parse().unwrap(), Some(NodeId([number + 100; 32])));
        let _ = stage.ask(Request::Connect { addr, id });
    }
    let Reply::Status(status) = stage.ask(Request::Status) else { panic!("no status") };
    assert_eq!(status.summary.links.expected, 20, "peers are bounded by the table, too");
    let dials = stage.took().iter().filter(|command| matches!(command, Command::Dial { .. })).count();
    assert_eq!(dials, 2);
}

#[test]
fn c8_addresses_that_turn_out_to_be_our_own_are_bounded() {
    let mut stage = stage(|limits| limits.own_addrs = 4);
    let mut own = Vec::new();
    for number in 1..10u8 {
        let addr: CanonicalAddr = format!("192.0.2.{number}:5").parse().unwrap();
        assert!(matches!(stage.ask(Request::Connect { addr, id: None }), Reply::Dialing { .. }));
        let conn = stage.took().into_iter().find_map(|command| match command {
            Command::Dial { conn, .. } => Some(conn),
            _ => None,
        });
        let conn = conn.unwrap();
        stage.handle(Input::Dialed { conn, local: "10.0.0.2:4000".parse().unwrap() });
        let opening = stage.sent(conn);
        let mut mirror = stage.actor(NODE);
        let (mut line, reply) = mirror.answer(&opening).unwrap();
        stage.data(conn, &reply);
        let bytes = stage.sent(conn);
        let Some(Message::Hello(hello)) = line.hear(&bytes).unwrap().pop() else { panic!("no hello") };
        let ack = mirror.ack(&line, &hello, Answer::Refused(CloseReason::SelfConnection));
        let bytes = line.say(&Message::HelloAck(Box::new(ack)));
        stage.data(conn, &bytes);
        assert_eq!(stage.obey(), [(conn, CloseReason::SelfConnection)]);
        own.push(addr);
    }
    let known = own.iter().filter(|addr| {
        let request = Request::Connect { addr: **addr, id: None };
        matches!(stage.ask(request), Reply::IsSelf)
    });
    assert_eq!(known.count(), 4 - 1, "the advertised address and three more");
}

#[test]
fn c8_answers_parked_behind_the_boot_record_are_bounded() {
    let mut config = config(Crypto::Null);
    config.limits = Limits { gate: 5, ..Limits::for_registry(4) };
    let mut stage = Stage::undurable(Crypto::Null, config);
    let mut barred = 0;
    for number in 0..50 {
        stage.two_turns();
        let mut actor = stranger(&stage, number);
        let (conn, mut line) = stage.opened(&mut actor, 1);
        let hello = actor.hello(&line, DialOrdinal(1), CANONICAL, None);
        let bytes = line.say(&Message::Hello(Box::new(hello)));
        stage.data(conn, &bytes);
        barred += open_closes(&stage.took()).iter().filter(|(closed, _)| *closed == conn).count();
        assert!(stage.sent(conn).is_empty(), "answers before its boot record is durable");
    }
    assert_eq!(barred, 45);
}

#[test]
fn c8_connections_that_are_gone_leave_the_gate_to_others() {
    let mut config = config(Crypto::Null);
    config.limits = Limits { gate: 5, ..Limits::for_registry(4) };
    let mut stage = Stage::undurable(Crypto::Null, config);
    for number in 0..50 {
        stage.two_turns();
        let mut actor = stranger(&stage, number);
        let (conn, mut line) = stage.opened(&mut actor, 1);
        let hello = actor.hello(&line, DialOrdinal(1), CANONICAL, None);
        let bytes = line.say(&Message::Hello(Box::new(hello)));
        stage.data(conn, &bytes);
        assert_eq!(open_closes(&stage.took()), [], "{number}");
        stage.handle(Input::Closed { conn, cause: TransportCause::Eof });
    }
}

#[test]
fn c8_what_one_input_queues_is_bounded_by_its_bytes() {
    let mut stage = stage(|_| {});
    let link = stage.live(1);
    stage.took();
    let mut frames = Vec::new();
    while frames.len() < 60_000 {
        append_encoded(Kind::Datagram, &[], &mut frames);
    }
    let record = stage.line(link).seal(Lane::Relay, &frames);
    stage.node.handle(stage.now, Input::Data { conn: link, bytes: &record });
    let queued = std::iter::from_fn(|| stage.node.next_command()).count();
    assert!(queued <= record.len() / 6 + 4, "{queued} commands for {} bytes", record.len());
}

#[test]
fn c8_the_worst_case_is_told_at_the_start_and_grows_with_every_row() {
    let mut stage = stage(|_| {});
    let mut told = None;
    let mut node = timed_tests::driver::start(Crypto::Null, stage.config.clone(), [5; 32]);
    while let Some(command) = node.next_command() {
        if let Command::Event(Event::Started { worst_case_bytes, .. }) = command {
            told = Some(worst_case_bytes);
        }
    }
    let limits = stage.config.limits.clone();
    assert_eq!(told, Some(limits.worst_case_bytes()));
    type Row = fn(&mut Limits) -> &mut usize;
    let rows: [(Row, &str); 15] = [
        (|limits| &mut limits.max_peers, "max_peers"),
        (|limits| &mut limits.unauthenticated, "unauthenticated"),
        (|limits| &mut limits.dialing, "dialing"),
        (|limits| &mut limits.known_peers, "known_peers"),
        (|limits| &mut limits.own_addrs, "own_addrs"),
        (|limits| &mut limits.address_book, "address_book"),
        (|limits| &mut limits.control_lane, "control_lane"),
        (|limits| &mut limits.payload_lane, "payload_lane"),
        (|limits| &mut limits.relay_lane, "relay_lane"),
        (|limits| &mut limits.bulk_lane, "bulk_lane"),
        (|limits| &mut limits.sync_window, "sync_window"),
        (|limits| &mut limits.serving, "serving"),
        (|limits| &mut limits.mempool, "mempool"),
        (|limits| &mut limits.gate, "gate"),
        (|limits| &mut limits.frame_pool, "frame_pool"),
    ];
    for (row, name) in rows {
        let mut more = limits.clone();
        *row(&mut more) += 1;
        assert!(more.worst_case_bytes() > limits.worst_case_bytes(), "{name} is not in the sum");
    }
    let _ = stage.took();
}
