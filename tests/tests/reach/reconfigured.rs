//! What the operator changes while the node runs, and whom it orders and forgets.

use std::time::Duration;

use timed_core::wire::message::{Answer, Intent, Message, Pong};
use timed_core::{
    Bootstrap, CanonicalAddr, Command, DialedBecause, Input, NewSeed, PeerRef, Reconfiguration, Reply,
    Request, Seed, SeedId, TransportCause, Why,
};
use timed_tests::driver::{Crypto, addr, config};
use timed_tests::stage::{Stage, secs};

fn at(player: u8) -> Bootstrap {
    Bootstrap { addr: addr(player), id: None }
}

/// A node with these configured peers and one name.
fn configured(players: &[u8]) -> Stage {
    let mut config = config(Crypto::Null);
    config.bootstrap = players.iter().map(|player| at(*player)).collect();
    config.limits.known_peers = 100;
    config.seeds = vec![Seed::default()];
    Stage::with(Crypto::Null, config)
}

fn reconfigure(stage: &mut Stage, new: Reconfiguration) -> Reply {
    stage.ask(Request::Reconfigure(Box::new(new)))
}

/// Which addresses are dialed within a time in which no dial succeeds.
fn dialed(stage: &mut Stage, time: Duration) -> Vec<CanonicalAddr> {
    let end = stage.now.mono + time;
    let mut dialed = Vec::new();
    while stage.now.mono < end {
        stage.now = stage.later(Duration::from_millis(500));
        stage.handle(Input::Tick);
        for command in stage.took() {
            if let Command::Dial { conn, addr } = command {
                dialed.push(addr);
                stage.handle(Input::Closed { conn, cause: TransportCause::Refused });
            }
        }
    }
    dialed
}

fn why(stage: &mut Stage, peer: PeerRef) -> Option<Why> {
    match stage.ask(Request::Why(peer)) {
        Reply::Why(why) => Some(*why),
        Reply::UnknownPeer => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn d_6_new_lists_take_effect_at_once_and_as_a_whole() {
    let mut stage = configured(&[20, 21]);
    assert!(dialed(&mut stage, secs(2)).contains(&addr(20)));
    let new = Reconfiguration { bootstrap: vec![at(21), at(22)], ..Reconfiguration::default() };
    assert!(matches!(reconfigure(&mut stage, new), Reply::Reconfigured));
    let after = dialed(&mut stage, secs(1200));
    assert!(
        after.contains(&addr(21)) && after.contains(&addr(22)) && !after.contains(&addr(20)),
        "{after:?}"
    );
    assert_eq!(why(&mut stage, PeerRef::Addr(addr(22))).unwrap().sought_by, ["configured"]);
    assert!(why(&mut stage, PeerRef::Addr(addr(20))).is_none());
    // More than there is room for: nothing changes.
    let many = (30..130).map(at).collect();
    let new = Reconfiguration { bootstrap: many, ..Reconfiguration::default() };
    assert!(matches!(reconfigure(&mut stage, new), Reply::Refused(_)));
    let after = dialed(&mut stage, secs(1200));
    assert!(after.contains(&addr(22)) && !after.contains(&addr(30)), "{after:?}");
}

#[test]
fn p_8_a_name_is_known_by_its_new_number_and_late_answers_for_the_old_one_are_ignored() {
    let mut stage = configured(&[]);
    stage.handle(Input::Resolved { seed: SeedId(0), addrs: vec![addr(20)] });
    assert!(dialed(&mut stage, secs(2)).contains(&addr(20)));
    let name = NewSeed { number: SeedId(1), seed: Seed::default(), before: Some(SeedId(0)) };
    let new = Reconfiguration { seeds: vec![name], ..Reconfiguration::default() };
    assert!(matches!(reconfigure(&mut stage, new), Reply::Reconfigured));
    stage.handle(Input::Resolved { seed: SeedId(0), addrs: vec![addr(21)] });
    let after = dialed(&mut stage, secs(600));
    assert!(after.contains(&addr(20)) && !after.contains(&addr(21)), "what it led to holds: {after:?}");
    assert_eq!(why(&mut stage, PeerRef::Seed(SeedId(1))).unwrap().addr, Some(addr(20)));
    assert!(why(&mut stage, PeerRef::Seed(SeedId(0))).is_none());
    // A name that is gone takes its addresses along.
    assert!(matches!(reconfigure(&mut stage, Reconfiguration::default()), Reply::Reconfigured));
    assert!(!dialed(&mut stage, secs(1200)).contains(&addr(20)));
}

#[test]
fn p_8_a_name_that_leads_nowhere_is_explained() {
    let mut stage = configured(&[]);
    let told = why(&mut stage, PeerRef::Seed(SeedId(0))).unwrap();
    assert_eq!((told.decision, told.rule), ("unresolved", "P-8"));
    assert!(told.next.unwrap().within.unwrap() <= secs(30), "{told:?}");
}

/// Whoever only says that it listens somewhere may be wrong. An order dials the address and names who claims it; the
/// link of who is right stays as it is.
#[test]
fn d_6_an_order_to_dial_a_claimed_address_leaves_the_link_of_who_claims_it() {
    let mut stage = configured(&[]);
    let mut guest = stage.actor(9);
    guest.from.advertised = Some(addr(20));
    let (link, answer) = stage.introduced(&mut guest, 9, Intent::Session(DialedBecause::Canonical));
    assert_eq!(answer, Answer::Accepted);
    stage.say(link, &Message::Pong(Pong { token: stage.now.mono.0 }));
    stage.took();
    match stage.ask(Request::Connect { addr: addr(20), id: None }) {
        Reply::Dialing { claimed_by } => assert_eq!(claimed_by, Some(guest.id())),
        other => panic!("{other:?}"),
    }
    assert!(stage.dials_within(addr(20), secs(2)).is_some(), "only a dial shows whether it is there");
    assert_eq!(stage.peers(), [guest.id()], "its link stands meanwhile");
    match stage.ask(Request::Connect { addr: addr(21), id: None }) {
        Reply::Dialing { claimed_by } => assert_eq!(claimed_by, None),
        other => panic!("{other:?}"),
    }
}

#[test]
fn d_6_an_order_is_forgotten_and_what_others_seek_is_not() {
    let mut stage = configured(&[20]);
    for player in [20, 21] {
        let order = Request::Connect { addr: addr(player), id: None };
        assert!(matches!(stage.ask(order), Reply::Dialing { .. }));
        assert!(matches!(stage.ask(Request::Forget(PeerRef::Addr(addr(player)))), Reply::Forgotten));
    }
    assert!(matches!(stage.ask(Request::Forget(PeerRef::Addr(addr(20)))), Reply::NotOrdered));
    assert!(matches!(stage.ask(Request::Forget(PeerRef::Addr(addr(21)))), Reply::UnknownPeer));
    stage.took();
    let after = dialed(&mut stage, secs(1200));
    assert!(after.contains(&addr(20)) && !after.contains(&addr(21)), "{after:?}");
}

#[test]
fn why_knows_the_node_itself() {
    let mut stage = configured(&[]);
    let Reply::Status(status) = stage.ask(Request::Status) else { panic!("a status") };
    for name in [PeerRef::Id(status.node), PeerRef::IdPrefix(status.node.to_string()[..8].to_owned())] {
        let told = why(&mut stage, name).unwrap();
        assert_eq!((told.decision, told.rule, told.next), ("self", "D-7", None));
    }
}
