//! Probes of advertised addresses (rule P-6): what is asked, what is answered, and that no link notices.

use std::net::SocketAddr;
use std::time::Duration;

use timed_core::wire::message::{Answer, Intent, Message, Pong};
use timed_core::{
    CloseReason, Command, ConnId, DialOrdinal, DialedBecause, Event, Input, PeerRef, Reply, Request,
    TransportCause,
};
use timed_tests::driver::{Crypto, NODE, addr};
use timed_tests::scripted::Actor;
use timed_tests::stage::{Stage, secs};

const CANONICAL: Intent = Intent::Session(DialedBecause::Canonical);
/// A node that is not registered.
const OBSERVER: u8 = 11;

fn probed(stage: &mut Stage) -> Vec<CloseReason> {
    let reason = |command: Command| match command {
        Command::Event(Event::Probed { reason, .. }) => Some(reason),
        _ => None,
    };
    stage.took().into_iter().filter_map(reason).collect()
}

/// An observer's live link to the node.
fn linked(stage: &mut Stage, from: SocketAddr) -> (ConnId, Actor) {
    let mut actor = stage.actor(OBSERVER);
    let (conn, ack) = stage.called(&mut actor, from, CANONICAL);
    assert_eq!(ack.answer, Answer::Accepted);
    // The first ping is answered.
    stage.say(conn, &Message::Pong(Pong { token: stage.now.mono.0 }));
    (conn, actor)
}

fn from_there() -> SocketAddr {
    SocketAddr::new(addr(OBSERVER).ip(), 40_000)
}

/// Keeps the link alive until the observer's address is dialed, for so long at most.
fn dial(stage: &mut Stage, link: ConnId, time: Duration) -> Option<ConnId> {
    let end = stage.now.mono + time;
    while stage.now.mono < end {
        stage.now = stage.later(secs(1));
        stage.handle(Input::Tick);
        stage.answer_pings(link);
        let to_observer = |command: &Command| match command {
            Command::Dial { conn, addr: to } if *to == addr(OBSERVER) => Some(*conn),
            _ => None,
        };
        if let Some(conn) = stage.took().iter().find_map(to_observer) {
            return Some(conn);
        }
    }
    None
}

fn prober(stage: &Stage) -> Actor {
    let mut actor = stage.actor(OBSERVER);
    actor.to = Some(stage.actor(NODE).id());
    actor
}

#[test]
fn p_6_a_probe_is_answered_and_leaves_no_trace() {
    let mut stage = Stage::new(Crypto::Noise);
    let mut actor = prober(&stage);
    let (conn, ack) = stage.called(&mut actor, from_there(), Intent::Probe);
    assert_eq!((ack.answer, ack.highest), (Answer::Here, DialOrdinal(0)));
    assert_eq!(stage.obey(), [(conn, CloseReason::ProbeDone)]);
    assert_eq!(stage.peers(), []);
    assert!(matches!(stage.ask(Request::Why(PeerRef::Id(actor.id()))), Reply::UnknownPeer));
    let counters = stage.counters();
    assert_eq!((counters.probes_answered, counters.links_up), (1, 0));
}

#[test]
fn p_6_a_probe_names_whom_it_means() {
    let mut stage = Stage::new(Crypto::Null);
    let mut actor = prober(&stage);
    actor.to = None;
    let (_, answer) = stage.introduced(&mut actor, OBSERVER, Intent::Probe);
    assert_eq!(answer, Answer::Refused(CloseReason::UnexpectedMessage));
    actor.to = Some(stage.actor(1).id());
    let (_, answer) = stage.introduced(&mut actor, OBSERVER, Intent::Probe);
    assert_eq!(answer, Answer::Refused(CloseReason::WrongIdentity));
}

#[test]
fn p_6_only_so_many_are_answered_in_a_minute() {
    let mut stage = Stage::new(Crypto::Null);
    let mut actor = prober(&stage);
    let mut answers = |stage: &mut Stage| {
        let answered = |_: &u32| {
            let (_, answer) = stage.introduced(&mut actor, OBSERVER, Intent::Probe);
            stage.obey();
            assert!(matches!(answer, Answer::Here | Answer::Refused(CloseReason::NotWanted)), "{answer:?}");
            answer == Answer::Here
        };
        (0..50).filter(answered).count()
    };
    assert_eq!(answers(&mut stage), 30);
    for _ in 0..60 {
        stage.now = stage.later(secs(1));
        stage.handle(Input::Tick);
    }
    assert_eq!(answers(&mut stage), 30);
}

#[test]
fn p_6_a_linked_observers_address_is_probed_and_found_good() {
    let mut stage = Stage::new(Crypto::Noise);
    let (link, mut actor) = linked(&mut stage, from_there());
    let conn = dial(&mut stage, link, secs(30)).expect("a probe");
    let before = stage.counters();
    stage.took();
    let hello = stage.answered(conn, &mut actor, Answer::Here);
    assert_eq!((hello.intent, hello.to), (Intent::Probe, Some(actor.id())));
    assert_eq!(hello.ordinal, DialOrdinal(1), "it consumes none");
    let closed = |command: &Command| matches!(command, Command::Close { conn: closed, reason: CloseReason::ProbeDone } if *closed == conn);
    assert!(stage.commands.iter().any(closed));
    assert_eq!(probed(&mut stage), [CloseReason::ProbeDone]);
    stage.handle(Input::Closed { conn, cause: TransportCause::Commanded });
    assert_eq!(dial(&mut stage, link, secs(3600)), None);
    let after = stage.counters();
    assert_eq!((after.probes, after.links_up, after.links_down), (1, before.links_up, before.links_down));
    assert_eq!(stage.peers(), [actor.id()]);
}

#[test]
fn dir_03b_an_address_that_leads_nowhere_costs_one_probe_in_ten_minutes_and_nothing_else() {
    let mut stage = Stage::new(Crypto::Null);
    let (link, actor) = linked(&mut stage, from_there());
    let mut times = Vec::new();
    for _ in 0..4 {
        let conn = dial(&mut stage, link, secs(7200)).expect("a probe");
        times.push(stage.now.mono);
        stage.handle(Input::Closed { conn, cause: TransportCause::Refused });
        assert_eq!(probed(&mut stage), [CloseReason::ConnectionRefused]);
    }
    for pair in times.windows(2) {
        assert!(pair[1].since(pair[0]) >= secs(600), "{times:?}");
    }
    assert_eq!(stage.peers(), [actor.id()]);
    let Reply::Why(why) = stage.ask(Request::Why(PeerRef::Id(actor.id()))) else { panic!("known") };
    assert_eq!((why.decision, why.attempts.len()), ("connected", 0), "no failure of the pair");
}

#[test]
fn p_6_a_third_party_is_never_probed() {
    let mut stage = Stage::new(Crypto::Null);
    let (link, _) = linked(&mut stage, "192.0.2.7:40000".parse().unwrap());
    assert_eq!(dial(&mut stage, link, secs(60)), None);
}

#[test]
fn p_6_another_node_at_the_address_is_no_success() {
    let mut stage = Stage::new(Crypto::Null);
    let (link, observer) = linked(&mut stage, from_there());
    let conn = dial(&mut stage, link, secs(30)).expect("a probe");
    let mut other = stage.actor(12);
    stage.answered(conn, &mut other, Answer::Here);
    assert_eq!(probed(&mut stage), [CloseReason::WrongIdentity]);
    assert_eq!(stage.peers(), [observer.id()]);
}

#[test]
fn p_6_a_crowd_that_comes_and_goes_postpones_no_probe() {
    let mut stage = Stage::new(Crypto::Null);
    let (link, _) = linked(&mut stage, from_there());
    for player in 100..115 {
        let passing = stage.live(player);
        stage.handle(Input::Closed { conn: passing, cause: TransportCause::Eof });
        if dial(&mut stage, link, secs(1)).is_some() {
            return;
        }
    }
    panic!("no probe");
}
