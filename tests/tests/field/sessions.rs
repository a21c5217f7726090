//! Two connections of one peer at one node: on which of them it is answered, whichever comes first: DUP-02,
//! DUP-06b, LIVE-01a.

use timed_core::wire::message::{Answer, Intent, Message, Ping, Pong};
use timed_core::{CloseReason, Command, ConnId, DialOrdinal, DialedBecause, Event, Input, Reply, Request};
use timed_tests::driver::Crypto;
use timed_tests::scripted::Line;
use timed_tests::stage::Stage;

use super::secs;

const CANONICAL: Intent = Intent::Session(DialedBecause::Canonical);

/// A connection of player 1 up to its `Hello`, which is not handed in yet.
fn about_to_say(stage: &mut Stage, ordinal: u64) -> (ConnId, Vec<u8>) {
    let mut actor = stage.actor(1);
    let (conn, mut line) = stage.opened(&mut actor, 1);
    let hello = actor.hello(&line, DialOrdinal(ordinal), CANONICAL, None);
    let bytes = line.say(&Message::Hello(Box::new(hello)));
    stage.lines.push((conn, line));
    (conn, bytes)
}

fn answer(heard: &[Message]) -> Option<Answer> {
    heard.iter().find_map(|message| match message {
        Message::HelloAck(ack) => Some(ack.answer),
        _ => None,
    })
}

fn datagrams(heard: &[Message]) -> usize {
    heard.iter().filter(|message| matches!(message, Message::Datagram(_))).count()
}

#[test]
fn dup_02_after_a_refused_duplicate_words_leave_on_the_link_that_stands() {
    let mut stage = Stage::new(Crypto::Null);
    let (first, hello) = about_to_say(&mut stage, 5);
    stage.data(first, &hello);
    stage.two_turns();
    assert_eq!(answer(&stage.answer_pings(first)), Some(Answer::Accepted));
    for ordinal in [4, 1, 5] {
        let (second, hello) = about_to_say(&mut stage, ordinal);
        if ordinal == 5 && line_hash(&mut stage, second) > line_hash(&mut stage, first) {
            // The tie is broken by the sessions' names, this time for the newcomer.
            continue;
        }
        stage.data(second, &hello);
        stage.two_turns();
        let refused = stage.heard(second);
        assert_eq!(answer(&refused), Some(Answer::Refused(CloseReason::Duplicate)));
        assert_eq!(datagrams(&refused), 0);
        // Before and after the end of the refused one.
        for round in 0..2 {
            let sent = stage.ask(Request::Send { to: None, payload: vec![round; 10].into() });
            assert!(matches!(sent, Reply::Sent(1)), "{sent:?}");
            assert_eq!(datagrams(&stage.answer_pings(first)), 1);
            assert!(stage.sent(second).is_empty(), "nothing more leaves on the refused one");
            let closed = stage.obey();
            assert!(closed.iter().all(|(conn, _)| *conn == second), "{closed:?}");
        }
        stage.say(first, &Message::Ping(Ping { token: ordinal }));
        assert!(stage.answer_pings(first).contains(&Message::Pong(Pong { token: ordinal })));
    }
    // The link that stands was not starved meanwhile.
    stage.took();
    for _ in 0..60 {
        stage.now = stage.later(secs(1));
        stage.handle(Input::Tick);
        stage.answer_pings(first);
    }
    assert_eq!(stage.peers().len(), 1);
    let downs = |command: &Command| matches!(command, Command::Event(Event::LinkDown { .. }));
    assert!(!stage.took().iter().any(downs));
}

/// The links that are live after what has happened: one at most, after every call.
fn follow(stage: &mut Stage, live: &mut Vec<ConnId>) {
    for command in stage.took() {
        match command {
            Command::Event(Event::LinkUp { conn, .. }) => live.push(conn),
            Command::Event(Event::LinkDown { conn, reason, .. }) => {
                assert_eq!(reason, CloseReason::Duplicate);
                live.retain(|up| *up != conn);
            }
            _ => {}
        }
    }
    assert!(live.len() <= 1, "two at once: {live:?}");
}

fn line_hash(stage: &mut Stage, conn: ConnId) -> [u8; 32] {
    let line: &mut Line = stage.line(conn);
    line.hash.0
}

#[test]
fn dup_06b_two_hellos_in_one_instant_leave_the_same_link_in_either_order() {
    for ordinals in [(1, 2), (2, 1)] {
        for swapped in [false, true] {
            let mut stage = Stage::new(Crypto::Null);
            let (one, other) = (about_to_say(&mut stage, ordinals.0), about_to_say(&mut stage, ordinals.1));
            let survivor = if ordinals.0 > ordinals.1 { one.0 } else { other.0 };
            let mut hellos = [one, other];
            if swapped {
                hellos.reverse();
            }
            stage.took();
            let mut live = Vec::new();
            for (conn, hello) in &hellos {
                stage.data(*conn, hello);
                follow(&mut stage, &mut live);
            }
            stage.two_turns();
            follow(&mut stage, &mut live);
            assert_eq!(live, [survivor], "{ordinals:?}, swapped: {swapped}");
            let Reply::Peers(peers) = stage.ask(Request::Peers) else { panic!("no peers") };
            assert_eq!(peers.len(), 1);
        }
    }
}

#[test]
fn live_01a_a_pong_leaves_on_the_connection_that_brought_the_ping() {
    let mut stage = Stage::new(Crypto::Null);
    // By either side's dial, and both at once.
    let inbound = stage.live(1);
    let conn = stage.dials_within(timed_tests::driver::addr(3), secs(2)).expect("a dial");
    let mut actor = stage.actor(3);
    stage.answered(conn, &mut actor, Answer::Accepted);
    stage.answer_pings(conn);
    for (round, (asked, other)) in (1u64..).zip([(inbound, conn), (conn, inbound), (inbound, conn)]) {
        stage.say(asked, &Message::Ping(Ping { token: round }));
        let pong = Message::Pong(Pong { token: round });
        assert!(stage.heard(asked).contains(&pong));
        assert!(!stage.heard(other).contains(&pong));
    }
}

#[test]
fn io_01b_a_socket_that_has_taken_everything_and_takes_no_more_is_given_up_in_time() {
    let mut stage = Stage::new(Crypto::Null);
    let conn = stage.live(1);
    stage.say(conn, &Message::Ping(Ping { token: 7 }));
    assert!(!stage.heard(conn).is_empty(), "all that waited is taken");
    stage.took();
    // From now on the shell's socket is full: nobody asks the core for bytes. The peer still speaks.
    let began = stage.now.mono;
    let mut closed = None;
    for token in 0..100 {
        stage.say(conn, &Message::Ping(Ping { token }));
        closed = stage.took().into_iter().find_map(|command| match command {
            Command::Close { reason, .. } => Some(reason),
            _ => None,
        });
        if closed.is_some() {
            break;
        }
        stage.now = stage.later(std::time::Duration::from_millis(100));
        if stage.node.deadline().is_some_and(|due| due <= stage.now.mono) {
            stage.handle(Input::Tick);
        }
    }
    assert_eq!(closed, Some(CloseReason::Slow));
    let took = stage.now.mono.since(began);
    assert!((secs(5)..secs(6)).contains(&took), "{took:?}");
}
