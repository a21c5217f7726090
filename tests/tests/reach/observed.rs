//! Where this node is, as the others see it (rule P-7).

use std::net::{IpAddr, SocketAddr};

use timed_core::wire::message::{Answer, Intent};
use timed_core::{
    CanonicalAddr, Command, DialedBecause, Event, Input, Reply, Request, Status, TransportCause, Warning,
};
use timed_tests::driver::{Crypto, NODE, addr};
use timed_tests::stage::{Stage, secs};

const CANONICAL: Intent = Intent::Session(DialedBecause::Canonical);
/// The other masternodes of the driven node's registry.
const OTHERS: [u8; 3] = [1, 3, 4];

fn elsewhere() -> CanonicalAddr {
    "198.51.100.9:24100".parse().unwrap()
}

fn status(stage: &mut Stage) -> Status {
    match stage.ask(Request::Status) {
        Reply::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

/// A player links to the node and says where it sees it.
fn sees(stage: &mut Stage, player: u8, at: CanonicalAddr) -> timed_core::ConnId {
    let mut actor = stage.actor(player);
    actor.from.observed = Some(at);
    let (conn, answer) = stage.introduced(&mut actor, player, CANONICAL);
    assert_eq!(answer, Answer::Accepted);
    conn
}

fn warnings(stage: &Stage) -> Vec<IpAddr> {
    let seen = |command: &Command| match command {
        Command::Event(Event::Warning(Warning::SeenElsewhere { advertised, seen })) => {
            assert_eq!(*advertised, addr(NODE));
            Some(*seen)
        }
        _ => None,
    };
    stage.commands.iter().filter_map(seen).collect()
}

#[test]
fn p_7_both_words_of_a_handshake_say_where_the_other_end_is() {
    let mut stage = Stage::new(Crypto::Null);
    let source: SocketAddr = "[::ffff:203.0.113.5]:40123".parse().unwrap();
    let mut actor = stage.actor(1);
    let (_, ack) = stage.called(&mut actor, source, CANONICAL);
    assert_eq!(ack.from.observed, "203.0.113.5:40123".parse().ok());
    let conn = stage.dials_within(addr(3), secs(1)).expect("a canonical dial");
    let hello = stage.answered(conn, &mut stage.actor(3), Answer::Accepted);
    assert_eq!(hello.from.observed, Some(addr(3)));
}

#[test]
fn p_7_what_all_the_others_see_is_learned_told_once_and_never_dialed() {
    let mut stage = Stage::new(Crypto::Null);
    for player in OTHERS {
        assert_eq!(status(&mut stage).external_ip, None);
        sees(&mut stage, player, elsewhere());
    }
    let now = status(&mut stage);
    assert_eq!((now.external_ip, now.seen_as), (Some(elsewhere().ip()), vec![(elsewhere().ip(), 3)]));
    assert_eq!(warnings(&stage), [elsewhere().ip()]);
    assert!(matches!(stage.ask(Request::Connect { addr: elsewhere(), id: None }), Reply::IsSelf));
    // The same again is no news.
    let conn = sees(&mut stage, 9, elsewhere());
    stage.handle(Input::Closed { conn, cause: TransportCause::Reset });
    assert_eq!(warnings(&stage).len(), 1);
    assert_eq!(status(&mut stage).seen_as, [(elsewhere().ip(), 3)], "whoever is not registered has no vote");
}

#[test]
fn p_7_the_advertised_address_is_no_news_and_a_single_liar_changes_nothing() {
    let mut stage = Stage::new(Crypto::Null);
    for player in OTHERS {
        sees(&mut stage, player, if player == 4 { elsewhere() } else { addr(NODE) });
    }
    let now = status(&mut stage);
    assert_eq!((now.external_ip, warnings(&stage)), (None, vec![]));
    assert_eq!(now.seen_as, [(addr(NODE).ip(), 2), (elsewhere().ip(), 1)]);
    assert!(matches!(stage.ask(Request::Connect { addr: elsewhere(), id: None }), Reply::Dialing { .. }));
    let mut stage = Stage::new(Crypto::Null);
    for player in OTHERS {
        sees(&mut stage, player, addr(NODE));
    }
    assert_eq!(status(&mut stage).external_ip, Some(addr(NODE).ip()));
    assert!(warnings(&stage).is_empty());
}

/// Many masternodes may be behind one address: that of another one is never taken for our own.
#[test]
fn p_7_the_address_of_another_masternode_is_still_dialed() {
    let mut stage = Stage::new(Crypto::Null);
    let conns = OTHERS.map(|player| sees(&mut stage, player, addr(3)));
    assert_eq!(warnings(&stage), [addr(3).ip()]);
    stage.handle(Input::Closed { conn: conns[1], cause: TransportCause::Reset });
    stage.took();
    assert!(stage.dials_within(addr(3), secs(5)).is_some());
}
