//! A knock makes its receiver dial (rule D-3): only to where more than the knocker's word places it.

use std::net::SocketAddr;

use timed_core::wire::message::{Answer, Intent};
use timed_core::{CloseReason, DialedBecause, Input, Request, TransportCause};
use timed_tests::driver::{Crypto, addr, config};
use timed_tests::stage::{Stage, secs};

/// A node that is not registered and has a higher address than the driven one, so that the driven one dials.
const KNOCKER: u8 = 11;
/// Somewhere else.
const ELSEWHERE: &str = "192.0.2.7:40000";

fn elsewhere() -> SocketAddr {
    ELSEWHERE.parse().unwrap()
}

#[test]
fn d_3_a_stranger_does_not_aim_our_dials_at_a_third_party() {
    let mut stage = Stage::new(Crypto::Null);
    let mut actor = stage.actor(KNOCKER);
    let (_, ack) = stage.called(&mut actor, elsewhere(), Intent::Knock);
    assert_eq!(ack.answer, Answer::Refused(CloseReason::NotWanted));
    assert_eq!(stage.dials_within(addr(KNOCKER), secs(30)), None);
    // From where it says that it is, it is dialed.
    let mut stage = Stage::new(Crypto::Null);
    let (_, answer) = stage.introduced(&mut actor, KNOCKER, Intent::Knock);
    assert_eq!(answer, Answer::WillDial);
    assert!(stage.dials_within(addr(KNOCKER), secs(1)).is_some());
}

#[test]
fn d_3_the_registry_vouches_for_a_masternode_wherever_it_knocks_from() {
    let mut stage = Stage::new(Crypto::Null);
    let mut actor = stage.actor(3);
    let (_, ack) = stage.called(&mut actor, elsewhere(), Intent::Knock);
    assert_eq!(ack.answer, Answer::WillDial);
    assert!(stage.dials_within(addr(3), secs(1)).is_some());
}

#[test]
fn d_3_where_a_node_was_reached_it_may_be_dialed_again() {
    let mut stage = Stage::new(Crypto::Null);
    let mut actor = stage.actor(KNOCKER);
    stage.ask(Request::Connect { addr: addr(KNOCKER), id: None });
    let conn = stage.dials_within(addr(KNOCKER), secs(1)).expect("as ordered");
    let hello = stage.answered(conn, &mut actor, Answer::Accepted);
    assert_eq!(hello.intent, Intent::Session(DialedBecause::Manual));
    assert!(stage.peers().contains(&actor.id()));
    stage.handle(Input::Closed { conn, cause: TransportCause::Reset });
    let (_, ack) = stage.called(&mut actor, elsewhere(), Intent::Knock);
    assert_eq!(ack.answer, Answer::WillDial);
    assert!(stage.dials_within(addr(KNOCKER), secs(1)).is_some());
}

#[test]
fn d_3_strangers_draw_so_many_dials_a_minute_and_masternodes_as_many_as_they_need() {
    let mut config = config(Crypto::Null);
    config.limits.dialing = 16;
    let mut stage = Stage::with(Crypto::Null, config);
    let knock = |stage: &mut Stage, player: u8| {
        let mut actor = stage.actor(player);
        let (_, answer) = stage.introduced(&mut actor, player, Intent::Knock);
        let dial = stage.dials_within(addr(player), secs(0));
        if let Some(conn) = dial {
            stage.handle(Input::Closed { conn, cause: TransportCause::Refused });
        }
        (answer, dial.is_some())
    };
    for player in 100..130 {
        assert_eq!(knock(&mut stage, player), (Answer::WillDial, true), "{player}");
    }
    assert_eq!(knock(&mut stage, 130), (Answer::Refused(CloseReason::NotWanted), false));
    assert_eq!(knock(&mut stage, 3), (Answer::WillDial, true), "the registry's are sought anyway");
    for _ in 0..4 {
        stage.now = stage.later(secs(1));
        stage.handle(Input::Tick);
    }
    assert_eq!(knock(&mut stage, 130), (Answer::WillDial, true));
}
