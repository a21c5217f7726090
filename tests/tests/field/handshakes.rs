//! What is said before, during and right after the signed words of a handshake: HS-01 and HS-02.

use timed_core::wire::frame::append_encoded;
use timed_core::wire::message::{Answer, Intent, Kind, Lane, Message, Ping, Pong};
use timed_core::{
    BanTarget, CloseReason, Command, ConnId, DialOrdinal, DialedBecause, Event, Reply, Request,
};
use timed_tests::driver::{Crypto, addr};
use timed_tests::samples;
use timed_tests::stage::Stage;

use super::secs;

const CANONICAL: Intent = Intent::Session(DialedBecause::Canonical);

fn banned(stage: &mut Stage) -> Vec<BanTarget> {
    match stage.ask(Request::Bans) {
        Reply::Bans(bans) => bans.into_iter().map(|ban| ban.target).collect(),
        other => panic!("{other:?}"),
    }
}

fn is_up(command: &Command) -> bool {
    matches!(command, Command::Event(Event::LinkUp { .. }))
}

/// The connection of a first dial to player 3, whose kernel has taken it.
fn dialed(stage: &mut Stage) -> ConnId {
    stage.dials_within(addr(3), secs(2)).expect("the canonical dialer dials")
}

#[test]
fn hs_01a_words_before_the_hello_end_the_connection_and_are_forgiven() {
    for message in samples::messages().into_iter().map(|(_, message)| message) {
        if matches!(message, Message::Hello(_)) {
            continue;
        }
        let mut stage = Stage::new(Crypto::Null);
        for _ in 0..20 {
            let mut impatient = stage.actor(1);
            let (conn, mut line) = stage.opened(&mut impatient, 1);
            let bytes = line.say(&message);
            stage.data(conn, &bytes);
            assert!(stage.peers().is_empty());
            let closed = stage.obey();
            assert_eq!(closed, [(conn, CloseReason::UnexpectedMessage)], "{:?}", message.kind());
        }
        assert_eq!(banned(&mut stage), []);
        stage.live(1);
        assert_eq!(stage.peers().len(), 1, "whoever does it right is taken in at once");
    }
}

#[test]
fn hs_01a_nothing_but_the_hello_is_sent_before_the_answer() {
    let mut stage = Stage::new(Crypto::Null);
    let conn = dialed(&mut stage);
    stage.handle(timed_core::Input::Dialed { conn, local: addr(2).socket() });
    let opening = stage.sent(conn);
    let mut slow = stage.actor(3);
    let (mut line, reply) = slow.answer(&opening).unwrap();
    stage.data(conn, &reply);
    let everyone = Request::Send { to: None, payload: vec![7; 100].into() };
    assert!(matches!(stage.ask(everyone.clone()), Reply::Sent(0)));
    for _ in 0..3 {
        stage.now = stage.later(secs(1));
        stage.handle(timed_core::Input::Tick);
        assert!(!matches!(stage.ask(everyone.clone()), Reply::Sent(1)));
    }
    let bytes = stage.sent(conn);
    let said = line.hear(&bytes).unwrap();
    assert!(matches!(said[..], [Message::Hello(_)]), "{said:?}");
}

#[test]
fn hs_01b_words_that_come_with_the_answer_are_heard() {
    let mut stage = Stage::new(Crypto::Null);
    let conn = dialed(&mut stage);
    stage.handle(timed_core::Input::Dialed { conn, local: addr(2).socket() });
    let opening = stage.sent(conn);
    let mut eager = stage.actor(3);
    let (mut line, reply) = eager.answer(&opening).unwrap();
    stage.data(conn, &reply);
    let bytes = stage.sent(conn);
    let Some(Message::Hello(hello)) = line.hear(&bytes).unwrap().pop() else { panic!("no Hello") };
    let ack = eager.ack(&line, &hello, Answer::Accepted);
    let beat = eager.heartbeat(1, stage.now.wall);
    let mut bytes = line.say(&Message::HelloAck(Box::new(ack)));
    bytes.extend(line.say(&Message::Ping(Ping { token: 77 })));
    bytes.extend(line.say(&Message::Heartbeat(Box::new(beat))));
    stage.took();
    stage.data(conn, &bytes);
    let events = stage.took();
    assert_eq!(events.iter().filter(|command| is_up(command)).count(), 1, "{events:?}");
    let beats = |command: &&Command| matches!(command, Command::Event(Event::Heartbeat { .. }));
    assert_eq!(events.iter().filter(beats).count(), 1, "{events:?}");
    let sent = stage.sent(conn);
    let heard = line.hear(&sent).unwrap();
    assert!(heard.contains(&Message::Pong(Pong { token: 77 })), "{heard:?}");
}

#[test]
fn hs_01b_an_answer_that_never_comes_is_no_link() {
    let mut stage = Stage::new(Crypto::Null);
    let conn = dialed(&mut stage);
    stage.handle(timed_core::Input::Dialed { conn, local: addr(2).socket() });
    let opening = stage.sent(conn);
    let mut mute = stage.actor(3);
    let (_, reply) = mute.answer(&opening).unwrap();
    stage.data(conn, &reply);
    let begun = stage.now.mono;
    let limit = stage.config.timings.handshake_timeout;
    loop {
        let events = stage.took();
        assert!(!events.iter().any(is_up), "{events:?}");
        if events.iter().any(|command| matches!(command, Command::Close { conn: closed, reason: CloseReason::HandshakeTimeout } if *closed == conn)) {
            break;
        }
        assert!(stage.now.mono.since(begun) <= limit, "still open after {limit:?}");
        stage.now = stage.later(std::time::Duration::from_millis(100));
        stage.handle(timed_core::Input::Tick);
    }
    assert!(stage.peers().is_empty());
}

#[test]
fn hs_02c_kinds_of_another_version_are_skipped_and_counted() {
    let mut stage = Stage::new(Crypto::Null);
    let conn = stage.live(1);
    let before = stage.counters().unknown_frames;
    let mut frames = Vec::new();
    for kind in [7u16, 99, 999] {
        let body = vec![1; usize::from(kind)];
        frames.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        frames.extend(kind.to_le_bytes());
        frames.extend(body);
    }
    let bytes = stage.line(conn).seal(Lane::Control, &frames);
    stage.data(conn, &bytes);
    assert_eq!(stage.counters().unknown_frames, before + 3);
    assert_eq!(stage.peers().len(), 1, "the link stands");
    stage.say(conn, &Message::Ping(Ping { token: 5 }));
    assert!(stage.heard(conn).contains(&Message::Pong(Pong { token: 5 })), "and is in step");
}

#[test]
fn hs_02c_a_known_kind_with_a_field_more_ends_the_link_and_says_why() {
    for kind in [Kind::Ping, Kind::Heartbeat, Kind::GetPeers, Kind::Goodbye] {
        let mut stage = Stage::new(Crypto::Null);
        let conn = stage.live(1);
        let message = samples::messages().into_iter().find(|(_, message)| message.kind() == kind).unwrap().1;
        let mut body = Vec::new();
        timed_core::wire::codec::encode_body(&message, &mut body);
        body.push(0);
        let mut frame = Vec::new();
        append_encoded(kind, &body, &mut frame);
        let bytes = stage.line(conn).seal(kind.lane(), &frame);
        stage.took();
        stage.data(conn, &bytes);
        let events = stage.took();
        let told = |command: &&Command| {
            matches!(command, Command::Event(Event::LinkDown { reason: CloseReason::BadMessage, .. }))
        };
        assert_eq!(events.iter().filter(told).count(), 1, "{kind:?}: {events:?}");
    }
}

#[test]
fn hs_02c_a_dialer_of_a_newer_version_is_answered_in_ours() {
    let mut stage = Stage::new(Crypto::Null);
    let mut newer = stage.actor(1);
    newer.from.versions.max.0 += 5;
    let (conn, mut line) = stage.opened(&mut newer, 1);
    let hello = newer.hello(&line, DialOrdinal(1), CANONICAL, None);
    let bytes = line.say(&Message::Hello(Box::new(hello)));
    stage.data(conn, &bytes);
    stage.two_turns();
    let bytes = stage.sent(conn);
    let Some(Message::HelloAck(ack)) = line.hear(&bytes).unwrap().into_iter().next() else {
        panic!("no answer")
    };
    assert_eq!(ack.answer, Answer::Accepted);
}
