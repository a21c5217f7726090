//! C6: no input makes the core fail or panic. A peer's fault closes its connection, our own halts the node.

use proptest::prelude::*;
use timed_core::wire::message::{Goodbye, Lane, Message, Ping};
use timed_core::{
    CloseReason, Command, Event, Fatal, Input, Mono, Now, Refused, Ticket, TransportCause, Wall,
};
use timed_tests::driver::{Crypto, Driver};

use timed_tests::stage::{Stage, secs};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn c6_no_life_makes_it_fail(bytes in proptest::collection::vec(any::<u8>(), 0..3_000)) {
        Driver::new(Crypto::Null, [1; 32]).run(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn c6_no_life_makes_it_fail_with_real_cryptography(
        bytes in proptest::collection::vec(any::<u8>(), 0..1_500),
    ) {
        Driver::new(Crypto::Noise, [1; 32]).run(&bytes);
    }
}

/// The orders to close that followed from something.
fn closes(commands: &[Command]) -> Vec<CloseReason> {
    let reason = |command: &Command| match command {
        Command::Close { reason, .. } => Some(*reason),
        _ => None,
    };
    commands.iter().filter_map(reason).collect()
}

#[test]
fn c6_a_peers_fault_in_any_phase_closes_its_connection_with_a_reason() {
    let garbage = [0xa5; 400];
    // Before anything, in the channel, and live.
    let mut stage = Stage::new(Crypto::Null);
    let conn = stage.accept(1);
    stage.took();
    stage.data(conn, &garbage);
    assert_eq!(closes(&stage.took()), [CloseReason::WrongMagic]);

    let mut actor = stage.actor(1);
    let (conn, _) = stage.opened(&mut actor, 1);
    stage.took();
    stage.data(conn, &garbage);
    assert_eq!(closes(&stage.took()), [CloseReason::BadRecord]);

    let mut actor = stage.actor(1);
    let (conn, mut line) = stage.opened(&mut actor, 1);
    stage.took();
    let ping = line.say(&Message::Ping(Ping { token: 1 }));
    stage.data(conn, &ping);
    assert_eq!(closes(&stage.took()), [CloseReason::UnexpectedMessage]);

    for (lane, plain, reason) in [
        (Lane::Control, &[0xff; 40][..], CloseReason::BadFrame),
        (Lane::Bulk, &[16, 0, 0, 0, 4, 0, 1, 2], CloseReason::UnexpectedMessage),
        (Lane::Control, &[1, 0, 0, 0, 4, 0, 1], CloseReason::BadMessage),
        (Lane::Control, &[0, 0, 0, 0, 1, 0], CloseReason::UnexpectedMessage),
    ] {
        let mut stage = Stage::new(Crypto::Null);
        let conn = stage.live(1);
        stage.took();
        let bytes = stage.line(conn).seal(lane, plain);
        stage.data(conn, &bytes);
        assert_eq!(closes(&stage.took()), [reason], "{plain:?}");
    }
}

#[test]
fn c6_a_failed_write_halts_and_nothing_but_goodbyes_is_sent() {
    let mut stage = Stage::new(Crypto::Null);
    let live = stage.live(1);
    let handshaking = stage.accept(3);
    let (dialing, opening) = stage.actor(3).dial();
    stage.data(handshaking, &opening);
    drop(dialing);
    stage.took();

    stage.handle(Input::PersistFailed(Ticket(1)));
    let commands = stage.took();
    let fatal = |command: &&Command| matches!(command, Command::Event(Event::Fatal(Fatal::PersistFailed)));
    assert_eq!(commands.iter().filter(fatal).count(), 1);
    assert!(closes(&commands).iter().all(|reason| *reason == CloseReason::Halted));
    let heard = stage.heard(live);
    assert!(
        matches!(heard[..], [Message::Goodbye(Goodbye { reason: CloseReason::Halted, .. })]),
        "{heard:?}"
    );
    assert!(stage.sent(handshaking).is_empty(), "a handshake goes on after the halt");

    assert_eq!(
        stage.node.accept(stage.now, "10.0.0.1:5".parse().unwrap()),
        Err(Refused(CloseReason::Shutdown))
    );
    stage.now = stage.later(secs(30));
    stage.handle(Input::Tick);
    stage.handle(Input::Persisted(Ticket(1)));
    stage.say(live, &Message::Ping(Ping { token: 3 }));
    assert!(stage.sent(live).is_empty() && stage.sent(handshaking).is_empty());
    let closed = commands.iter().filter_map(|command| match command {
        Command::Close { conn, .. } => Some(*conn),
        _ => None,
    });
    for conn in closed {
        stage.handle(Input::Closed { conn, cause: TransportCause::Commanded });
    }
    let silent = |command: &Command| {
        matches!(command, Command::Event(Event::Stopped | Event::Summary(_) | Event::Warning(_)))
    };
    let after = stage.took();
    assert!(after.iter().all(silent), "{after:?}");
    assert!(matches!(after.last(), Some(Command::Event(Event::Stopped))), "{after:?}");
}

#[test]
fn c6_no_reading_of_the_clocks_makes_it_fail() {
    let far = [0, 1, 1 << 40, u64::MAX / 2, u64::MAX - 1, u64::MAX];
    for mono in far {
        for wall in far {
            let mut stage = Stage::new(Crypto::Null);
            let live = stage.live(1);
            let waiting = stage.accept(3);
            for now in
                [Now { mono: Mono(mono), wall: Wall(wall) }, Now { mono: Mono(wall), wall: Wall(mono) }]
            {
                stage.now = now;
                for _ in 0..3 {
                    stage.handle(Input::Tick);
                }
                let _ = stage.sent(live);
                let _ = stage.sent(waiting);
                stage.say(live, &Message::Ping(Ping { token: mono }));
                let (_, opening) = stage.actor(9).dial();
                stage.data(waiting, &opening);
                let _ = stage.counters();
            }
        }
    }
}
