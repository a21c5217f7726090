//! Words that are forged, late, or overtaken by others.

use std::time::Duration;

use timed_core::wire::message::{Answer, Intent, Message};
use timed_core::wire::preamble::{NetworkId, Preamble, VersionRange};
use timed_core::{
    BootEpoch, CloseReason, Command, ConnId, DialOrdinal, DialedBecause, Input, TransportCause,
};
use timed_tests::driver::{Crypto, addr};

use timed_tests::stage::Stage;

/// Connections that the node dials to a player now, and the dials that it gives up at once.
fn dials(commands: &[Command], player: u8) -> (Vec<ConnId>, usize) {
    let dialed: Vec<ConnId> = commands
        .iter()
        .filter_map(|command| match command {
            Command::Dial { conn, addr: to } if *to == addr(player) => Some(*conn),
            _ => None,
        })
        .collect();
    let dropped =
        |command: &&Command| matches!(command, Command::Close { conn, .. } if dialed.contains(conn));
    let dropped = commands.iter().filter(dropped).count();
    (dialed, dropped)
}

fn dialed_within(stage: &mut Stage, player: u8, time: Duration) -> Option<ConnId> {
    for _ in 0..time.as_millis() / 50 {
        stage.now = stage.later(Duration::from_millis(50));
        stage.handle(Input::Tick);
        if let Some(conn) = dials(&stage.took(), player).0.pop() {
            return Some(conn);
        }
    }
    None
}

/// Rule H-5: whatever reason a cleartext reject gives, the address is dialed again before long.
#[test]
fn h_5_a_forged_reject_teaches_nothing() {
    for reason in CloseReason::ALL {
        let mut stage = Stage::new(Crypto::Null);
        let preamble =
            Preamble { network: NetworkId::of(&stage.config.network), versions: VersionRange::OURS };
        let conn = dialed_within(&mut stage, 3, Duration::from_secs(1)).expect("a first dial");
        stage.handle(Input::Dialed { conn, local: addr(2).socket() });
        stage.sent(conn);
        stage.data(conn, &preamble.encode_reject(*reason));
        stage.handle(Input::Closed { conn, cause: TransportCause::Commanded });
        stage.took();
        let again = dialed_within(&mut stage, 3, Duration::from_millis(1_100));
        assert!(again.is_some(), "not dialed again after {reason}");
    }
}

/// Rule B-2: a link that is replaced before its answer has left still gets the answer, then the goodbye.
#[test]
fn b_2_a_link_replaced_at_once_is_told_both_words() {
    let mut stage = Stage::new(Crypto::Null);
    let mut actor = stage.actor(1);
    let intent = Intent::Session(DialedBecause::Canonical);
    let mut lines = Vec::new();
    for ordinal in [1, 2] {
        let (conn, mut line) = stage.opened(&mut actor, 1);
        let hello = actor.hello(&line, DialOrdinal(ordinal), intent, None);
        lines.push((conn, line.say(&Message::Hello(Box::new(hello))), line));
    }
    for (conn, hello, _) in &lines {
        stage.data(*conn, hello);
    }
    let (first, _, mut line) = lines.remove(0);
    let bytes = stage.sent(first);
    let heard = line.hear(&bytes).unwrap();
    let Some(Message::HelloAck(ack)) = heard.first() else { panic!("no answer: {heard:?}") };
    assert_eq!(ack.answer, Answer::Accepted);
    let Some(Message::Goodbye(goodbye)) = heard.last() else { panic!("no goodbye: {heard:?}") };
    assert_eq!(goodbye.reason, CloseReason::Duplicate);
}

/// Rule D-3: the knock of a restarted peer, whose ghost is held, makes one dial.
#[test]
fn d_3_a_knock_that_drops_a_ghost_is_answered_with_one_dial() {
    let mut stage = Stage::new(Crypto::Null);
    stage.live(3);
    stage.took();
    let mut restarted = stage.actor(3);
    restarted.from.boot.epoch = BootEpoch(restarted.from.boot.epoch.0 + 1);
    let (_, answer) = stage.introduced(&mut restarted, 3, Intent::Knock);
    assert_eq!(answer, Answer::WillDial);
    let (dialed, dropped) = dials(&stage.took(), 3);
    assert_eq!((dialed.len(), dropped), (1, 0));
}
