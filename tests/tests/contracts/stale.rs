//! C5: what is told of a connection that is gone is ignored and counted.

use timed_core::{ConnId, Input, Transmit, TransportCause};
use timed_tests::driver::Crypto;

use timed_tests::stage::Stage;

fn inputs(conn: ConnId) -> [Input<'static>; 3] {
    let local = "10.0.0.2:40000".parse().unwrap();
    [
        Input::Dialed { conn, local },
        Input::Data { conn, bytes: b"TMD\x01 and more" },
        Input::Closed { conn, cause: TransportCause::Eof },
    ]
}

/// Tells everything about `conn`; nothing may follow from it but the count.
fn ignored(stage: &mut Stage, conn: ConnId) {
    let (before, peers, deadline) = (stage.counters().stale_inputs, stage.peers(), stage.node.deadline());
    stage.took();
    for input in inputs(conn) {
        stage.handle(input);
    }
    let mut out = Vec::new();
    assert_eq!(stage.node.transmit(stage.now, conn, 1_000, &mut out), Transmit::Drained);
    assert!(out.is_empty());
    stage.drain();
    assert!(stage.took().is_empty(), "{conn}");
    assert_eq!((stage.peers(), stage.node.deadline()), (peers, deadline));
    assert_eq!(stage.counters().stale_inputs, before + 4, "{conn}");
}

#[test]
fn c5_inputs_about_connections_that_are_gone_are_ignored_and_counted() {
    let mut stage = Stage::new(Crypto::Null);
    let gone = stage.accept(1);
    stage.handle(Input::Closed { conn: gone, cause: TransportCause::Reset });
    ignored(&mut stage, gone);
    for (index, generation) in [(0, 0), (u32::MAX, u32::MAX), (gone.index(), u32::MAX), (7, 1)] {
        ignored(&mut stage, ConnId::from_parts(index, generation));
    }
}

#[test]
fn c5_an_index_used_again_belongs_to_the_new_connection_alone() {
    let mut stage = Stage::new(Crypto::Null);
    let gone = stage.accept(1);
    stage.handle(Input::Closed { conn: gone, cause: TransportCause::Reset });
    let live = stage.live(1);
    assert_eq!((live.index(), stage.peers().len()), (gone.index(), 1));
    ignored(&mut stage, gone);
    assert_eq!(stage.answer_pings(live), []);
}

#[test]
fn c5_a_dial_succeeds_once() {
    let mut stage = Stage::new(Crypto::Null);
    let accepted = stage.accept(1);
    let before = stage.counters().stale_inputs;
    let local = "10.0.0.2:40000".parse().unwrap();
    stage.handle(Input::Dialed { conn: accepted, local });
    assert_eq!(stage.counters().stale_inputs, before + 1);
    assert!(stage.sent(accepted).is_empty(), "an accepted connection was never dialed");
}
