//! Links that an observer seeks from its book (rule S-5).

use timed_core::wire::message::{Answer, Intent, Message};
use timed_core::{AddressCounts, CloseReason, Event, Input, Limits, PeerRef, Reply, Request, TransportCause};
use timed_core::{Command, DialedBecause, NodeId};
use timed_tests::driver::{Crypto, addr};
use timed_tests::stage::{Stage, secs};

use super::{asks, counts, dials, observer, pass, reached, stage, status, strangers, telling};

/// Dials to the addresses of [`strangers`] since the last look.
fn candidates(stage: &mut Stage) -> Vec<timed_core::ConnId> {
    let told: Vec<_> = strangers(99).iter().map(|stranger| stranger.addr).collect();
    dials(stage).into_iter().filter(|(_, to)| told.contains(to)).map(|(conn, _)| conn).collect()
}

#[test]
fn s_5_an_observer_dials_a_few_candidates_at_a_time_and_expects_none_of_them() {
    let mut stage = stage();
    let expected = status(&mut stage).summary.links.expected;
    let link = telling(&mut stage, 9, strangers(40));
    let _ = pass(&mut stage, &[link], secs(1));
    let first = candidates(&mut stage);
    assert_eq!(first.len(), 3);
    // While these are under way there are no others.
    pass(&mut stage, &[link], secs(4));
    assert_eq!(candidates(&mut stage), []);
    assert_eq!(status(&mut stage).summary.links.expected, expected);
    // Others follow when they have failed, a few every few seconds.
    for conn in first {
        stage.handle(Input::Closed { conn, cause: TransportCause::Refused });
    }
    let mut most = 0;
    let mut all = 0;
    for _ in 0..30 {
        pass(&mut stage, &[link], secs(1));
        let next = candidates(&mut stage);
        most = most.max(next.len());
        all += next.len();
        for conn in next {
            stage.handle(Input::Closed { conn, cause: TransportCause::Refused });
        }
    }
    assert!(most == 3 && (9..=24).contains(&all), "{most} at once, {all} in 30 s");
    assert_eq!(status(&mut stage).summary.links.expected, expected);
}

#[test]
fn s_5_addresses_that_fail_are_left_alone_and_no_news_to_the_log() {
    let mut stage = stage();
    let link = telling(&mut stage, 9, strangers(2));
    for _ in 0..900 {
        pass(&mut stage, &[link], secs(1));
        let commands = stage.took();
        for command in commands {
            match command {
                Command::Dial { conn, addr } if strangers(2).iter().any(|stranger| stranger.addr == addr) => {
                    stage.handle(Input::Closed { conn, cause: TransportCause::Unreachable });
                }
                Command::Event(Event::DialFailed { addr, .. }) => {
                    assert!(strangers(2).iter().all(|stranger| stranger.addr != addr), "{addr} is no news");
                }
                _ => {}
            }
        }
    }
    assert_eq!(counts(&mut stage), AddressCounts { tried: 0, heard: 0, tombstones: 2 });
    let counters = stage.counters();
    assert_eq!((counters.candidates, counters.candidates_failed), (6, 6), "three times each");
}

#[test]
fn s_5_a_candidate_must_prove_the_key_it_is_expected_by() {
    let mut stage = stage();
    let liar = vec![timed_core::wire::peers::PeerAddress { node: NodeId([4; 32]), addr: addr(10), age: 0 }];
    let link = telling(&mut stage, 9, liar);
    assert_eq!(counts(&mut stage).heard, 0, "a registered key");
    pass(&mut stage, &[link], secs(760));
    let stranger = strangers(1);
    stage.say(link, &Message::Peers(stranger.clone()));
    assert_eq!(counts(&mut stage).heard, 1);
    pass(&mut stage, &[link], secs(2));
    let [conn] = candidates(&mut stage)[..] else { panic!("one dial") };
    stage.handle(Input::Dialed { conn, local: "10.0.0.2:4000".parse().unwrap() });
    let opening = stage.sent(conn);
    let mut actor = stage.actor(10);
    let (mut line, reply) = actor.answer(&opening).unwrap();
    stage.data(conn, &reply);
    let bytes = stage.sent(conn);
    let Some(Message::Hello(hello)) = line.hear(&bytes).unwrap().pop() else { panic!("no hello") };
    assert_eq!(hello.to, Some(stranger[0].node));
    let ack = actor.ack(&line, &hello, Answer::Refused(CloseReason::WrongIdentity));
    let bytes = line.say(&Message::HelloAck(Box::new(ack)));
    stage.data(conn, &bytes);
    assert!(stage.obey().contains(&(conn, CloseReason::WrongIdentity)));
    // Whoever is there may be worth a link, under its own key.
    assert_eq!(counts(&mut stage), AddressCounts { tried: 0, heard: 1, tombstones: 0 });
    pass(&mut stage, &[link], secs(8));
    let [conn] = candidates(&mut stage)[..] else { panic!("one dial") };
    reached(&mut stage, conn, 10);
    assert_eq!(counts(&mut stage), AddressCounts { tried: 1, heard: 0, tombstones: 0 });
    assert_eq!(stage.peers(), [NodeId([9; 32]), NodeId([10; 32])]);
}

#[test]
fn s_5_enough_links_are_enough_and_a_lost_one_is_not_sought_again_by_name() {
    let mut config = observer();
    config.limits = Limits { outbound: 1, ..config.limits };
    let mut stage = Stage::with(Crypto::Null, config);
    let told: Vec<_> = strangers(9)
        .into_iter()
        .map(|stranger| {
            // Player 10 is said to be at every address.
            timed_core::wire::peers::PeerAddress { node: NodeId([10; 32]), ..stranger }
        })
        .collect();
    let link = telling(&mut stage, 9, told);
    pass(&mut stage, &[link], secs(1));
    let [conn] = candidates(&mut stage)[..] else { panic!("one dial for one node") };
    reached(&mut stage, conn, 10);
    assert_eq!(stage.peers().len(), 2);
    pass(&mut stage, &[link, conn], secs(60));
    assert_eq!(candidates(&mut stage), []);
    stage.handle(Input::Closed { conn, cause: TransportCause::Reset });
    let Reply::Why(why) = stage.ask(Request::Why(PeerRef::Id(NodeId([10; 32])))) else { panic!("known") };
    assert_eq!(why.decision, "not_wanted");
    // What was reached is the first choice again; nothing else is at hand anyway.
    pass(&mut stage, &[link], secs(30));
    assert!(!candidates(&mut stage).is_empty());
}

#[test]
fn s_5_nobody_is_dialed_for_a_place_that_is_not_there() {
    let mut config = observer();
    // Three are kept for masternodes, and one is for observers.
    config.limits = Limits { max_peers: 4, masternode_slots: 3, ..config.limits };
    let mut stage = Stage::with(Crypto::Null, config);
    let link = telling(&mut stage, 9, strangers(9));
    pass(&mut stage, &[link], secs(60));
    assert_eq!(candidates(&mut stage), []);
    assert_eq!((counts(&mut stage).heard, stage.counters().candidates), (9, 0));
    // Once that one has left, there is a place to dial for.
    stage.handle(Input::Closed { conn: link, cause: TransportCause::Eof });
    pass(&mut stage, &[], secs(8));
    assert!(!candidates(&mut stage).is_empty());
}

#[test]
fn s_5_a_masternode_dials_nobody_from_its_book() {
    let mut stage = stage();
    let link = telling(&mut stage, 9, strangers(40));
    pass(&mut stage, &[link], secs(301));
    let record = stage.took().into_iter().rev().find_map(|command| match command {
        Command::Persist { key: timed_core::RecordKey::AddressBook, record, .. } => Some(record),
        _ => None,
    });
    let journal =
        vec![timed_core::Record { key: timed_core::RecordKey::AddressBook, bytes: record.unwrap() }];
    let masternode = timed_tests::driver::config(Crypto::Null);
    let mut stage = Stage::restarted(Crypto::Null, masternode, journal);
    assert!(counts(&mut stage).heard > 30);
    let link = stage.live(9);
    assert_eq!(asks(&pass(&mut stage, &[link], secs(300))), 0);
    assert_eq!(candidates(&mut stage), []);
}

#[test]
fn s_5_guests_are_no_links_of_ones_own() {
    let mut config = observer();
    config.limits = Limits { outbound: 2, ..config.limits };
    let mut stage = Stage::with(Crypto::Null, config);
    let link = telling(&mut stage, 9, strangers(9));
    let others = [8, 11, 12].map(|player| stage.live(player));
    pass(&mut stage, &[&others[..], &[link]].concat(), secs(1));
    assert_eq!(candidates(&mut stage).len(), 2, "whoever fills the places is not whom this node chose");
}

#[test]
fn s_3_a_candidate_that_refused_comes_as_a_guest() {
    let mut config = observer();
    // Three places for masternodes, four for observers: two of these for those that this node seeks.
    config.limits = Limits { max_peers: 7, masternode_slots: 3, ..config.limits };
    let mut stage = Stage::with(Crypto::Null, config);
    let told = vec![timed_core::wire::peers::PeerAddress { node: NodeId([10; 32]), addr: addr(10), age: 60 }];
    let link = telling(&mut stage, 9, told);
    pass(&mut stage, &[link], secs(1));
    let conn = stage.dials_within(addr(10), secs(1)).expect("a candidate");
    stage.handle(Input::Closed { conn, cause: TransportCause::Refused });
    let guest = stage.live(11);
    assert_eq!(stage.peers().len(), 2);
    let mut actor = stage.actor(10);
    let (_, answer) = stage.introduced(&mut actor, 10, Intent::Session(DialedBecause::Canonical));
    assert_eq!(answer, Answer::Refused(CloseReason::SlotsFull), "the two places left are not for guests");
    stage.handle(Input::Closed { conn: guest, cause: TransportCause::Reset });
    let (_, answer) = stage.introduced(&mut actor, 10, Intent::Session(DialedBecause::Canonical));
    assert_eq!(answer, Answer::Accepted);
}
