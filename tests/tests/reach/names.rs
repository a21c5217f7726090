//! Bootstrap peers that are known by name (rule P-8).

use std::time::Duration;

use timed_core::wire::message::{Answer, Intent, Message, Pong};
use timed_core::{
    CanonicalAddr, CloseReason, Command, ConfigError, ConnId, DialedBecause, Input, Mono, Node, Reply,
    Request, Seed, SeedId, TransportCause,
};
use timed_tests::driver::{Crypto, NODE, START, addr, config};
use timed_tests::stage::{Stage, secs};

const FIRST: SeedId = SeedId(0);

fn named(seeds: Vec<Seed>) -> Stage {
    let mut config = config(Crypto::Null);
    config.bootstrap.clear();
    config.limits.known_peers = 100;
    config.seeds = seeds;
    Stage::with(Crypto::Null, config)
}

fn questions(stage: &mut Stage) -> usize {
    let asks = |command: &Command| matches!(command, Command::Resolve { .. });
    stage.took().iter().filter(|command| asks(command)).count()
}

/// What happens in a time in which no dial succeeds: when each name is asked about, and which addresses are
/// dialed.
fn passes(stage: &mut Stage, time: Duration, links: &[ConnId]) -> (Vec<Mono>, Vec<CanonicalAddr>) {
    let end = stage.now.mono + time;
    let (mut asked, mut dialed) = (Vec::new(), Vec::new());
    while stage.now.mono < end {
        stage.now = stage.later(Duration::from_millis(500));
        stage.handle(Input::Tick);
        for link in links {
            stage.answer_pings(*link);
        }
        for command in stage.took() {
            match command {
                Command::Resolve { .. } => asked.push(stage.now.mono),
                Command::Dial { conn, addr } => {
                    dialed.push(addr);
                    stage.handle(Input::Closed { conn, cause: TransportCause::Refused });
                }
                _ => {}
            }
        }
    }
    (asked, dialed)
}

fn resolved(stage: &mut Stage, players: &[u8]) {
    let addrs = players.iter().map(|player| addr(*player)).collect();
    stage.handle(Input::Resolved { seed: FIRST, addrs });
}

#[test]
fn p_8_names_are_asked_about_at_the_start_and_what_they_stand_for_is_dialed() {
    let mut stage = named(vec![Seed::default(), Seed::default()]);
    assert_eq!(questions(&mut stage), 2);
    resolved(&mut stage, &[20, 21]);
    let (_, dialed) = passes(&mut stage, secs(2), &[]);
    assert!(dialed.contains(&addr(20)) && dialed.contains(&addr(21)), "{dialed:?}");
}

#[test]
fn p_8_a_name_without_a_link_is_asked_about_again_whether_it_was_answered_or_not() {
    for answers in [true, false] {
        let mut stage = named(vec![Seed::default()]);
        assert_eq!(questions(&mut stage), 1);
        if answers {
            resolved(&mut stage, &[20]);
        }
        let (asked, _) = passes(&mut stage, secs(3600), &[]);
        assert!((6..20).contains(&asked.len()), "{}", asked.len());
        let apart = asked.windows(2).all(|pair| pair[1].since(pair[0]) >= secs(30));
        assert!(apart, "{asked:?}");
    }
}

#[test]
fn p_8_an_address_that_the_name_gives_no_more_is_not_dialed_any_more() {
    let mut stage = named(vec![Seed::default()]);
    resolved(&mut stage, &[20, 21]);
    passes(&mut stage, secs(2), &[]);
    // A question that failed takes nothing away.
    resolved(&mut stage, &[]);
    assert!(passes(&mut stage, secs(60), &[]).1.contains(&addr(20)));
    resolved(&mut stage, &[21]);
    let (_, dialed) = passes(&mut stage, secs(1200), &[]);
    assert!(!dialed.contains(&addr(20)) && dialed.contains(&addr(21)), "{dialed:?}");
}

#[test]
fn p_8_what_others_seek_too_is_not_the_names_to_take() {
    let mut stage = named(vec![Seed::default()]);
    resolved(&mut stage, &[3, 20, 21]);
    assert!(matches!(stage.ask(Request::Connect { addr: addr(20), id: None }), Reply::Dialing { .. }));
    passes(&mut stage, secs(2), &[]);
    resolved(&mut stage, &[22]);
    let (_, dialed) = passes(&mut stage, secs(1200), &[]);
    // The registry names one of them, the operator another.
    assert!(dialed.contains(&addr(3)) && dialed.contains(&addr(20)), "{dialed:?}");
    assert!(!dialed.contains(&addr(21)), "{dialed:?}");
}

#[test]
fn p_8_a_name_whose_peer_is_linked_is_asked_about_only_after_the_link_is_lost() {
    let mut stage = named(vec![Seed::default()]);
    resolved(&mut stage, &[20]);
    stage.took();
    let conn = stage.dials_within(addr(20), secs(2)).expect("it dials");
    let mut peer = stage.actor(20);
    stage.answered(conn, &mut peer, Answer::Accepted);
    stage.say(conn, &Message::Pong(Pong { token: stage.now.mono.0 }));
    assert_eq!(stage.peers(), [peer.id()]);
    assert!(passes(&mut stage, secs(1200), &[conn]).0.is_empty());
    // The name leads elsewhere meanwhile: the link stays, and is not sought again once it is lost.
    resolved(&mut stage, &[21]);
    assert_eq!(stage.peers(), [peer.id()]);
    stage.handle(Input::Closed { conn, cause: TransportCause::Reset });
    assert_eq!(questions(&mut stage), 1, "at once");
    resolved(&mut stage, &[21]);
    let (_, dialed) = passes(&mut stage, secs(1200), &[]);
    assert!(dialed.contains(&addr(21)) && !dialed.contains(&addr(20)), "{dialed:?}");
}

/// A stranger says that it listens where the name leads, before anybody is known there.
#[test]
fn p_8_whoever_claims_the_address_of_a_name_is_not_taken_for_it() {
    let mut stage = named(vec![Seed::default()]);
    let mut stranger = stage.actor(9);
    stranger.from.advertised = Some(addr(20));
    let (link, answer) = stage.introduced(&mut stranger, 9, Intent::Session(DialedBecause::Canonical));
    assert_eq!(answer, Answer::Accepted);
    stage.say(link, &Message::Pong(Pong { token: stage.now.mono.0 }));
    stage.took();
    resolved(&mut stage, &[20]);
    let conn = stage.dials_within(addr(20), secs(2)).expect("it dials whoever is there");
    let mut peer = stage.actor(10);
    let hello = stage.answered(conn, &mut peer, Answer::Refused(CloseReason::SlotsFull));
    assert_eq!(hello.to, None);
    stage.handle(Input::Closed { conn, cause: TransportCause::Commanded });
    // The stranger's link is no link of the name's.
    let (asked, _) = passes(&mut stage, secs(1200), &[link]);
    assert_eq!(stage.peers(), [stranger.id()]);
    assert!(asked.len() > 2, "{asked:?}");
}

/// What the operator ordered by its key is not the name's to take, wherever it was found.
#[test]
fn p_8_a_name_that_moves_leaves_the_operator_s_peer() {
    let mut stage = named(vec![Seed::default()]);
    resolved(&mut stage, &[20]);
    stage.took();
    let conn = stage.dials_within(addr(20), secs(2)).expect("it dials");
    let mut peer = stage.actor(10);
    stage.answered(conn, &mut peer, Answer::Accepted);
    let order = Request::Connect { addr: addr(20), id: Some(peer.id()) };
    assert!(matches!(stage.ask(order), Reply::AlreadyConnected(_)));
    stage.handle(Input::Closed { conn, cause: TransportCause::Reset });
    resolved(&mut stage, &[21]);
    let (_, dialed) = passes(&mut stage, secs(1200), &[]);
    assert!(dialed.contains(&addr(20)) && dialed.contains(&addr(21)), "{dialed:?}");
}

#[test]
fn p_8_the_own_address_behind_a_name_is_not_dialed() {
    let mut stage = named(vec![Seed::default()]);
    resolved(&mut stage, &[NODE, 20]);
    let (_, dialed) = passes(&mut stage, secs(60), &[]);
    assert!(!dialed.contains(&addr(NODE)) && dialed.contains(&addr(20)));
}

#[test]
fn p_8_a_key_behind_a_name_must_be_proven_at_whichever_address() {
    let peer = Stage::new(Crypto::Null).actor(20).id();
    let mut stage = named(vec![Seed { id: Some(peer), ..Seed::default() }]);
    resolved(&mut stage, &[20, 21]);
    stage.took();
    let conn = stage.dials_within(addr(20), secs(2)).expect("it dials");
    let mut impostor = stage.actor(22);
    let hello = stage.answered(conn, &mut impostor, Answer::Accepted);
    assert_eq!(hello.to, Some(peer));
    assert_eq!(stage.peers(), []);
    stage.handle(Input::Closed { conn, cause: TransportCause::Commanded });
    let (asked, _) = passes(&mut stage, secs(70), &[]);
    assert!(!asked.is_empty());
    resolved(&mut stage, &[20, 21]);
    assert!(passes(&mut stage, secs(60), &[]).1.contains(&addr(21)), "the other address is tried");
}

#[test]
fn p_8_more_names_than_are_supported_are_an_error() {
    let mut config = config(Crypto::Null);
    config.seeds = vec![Seed::default(); 65];
    let error = Node::new(config, Crypto::Null.provider(NODE), [1; 32], [], START).unwrap_err();
    assert_eq!(error, ConfigError::TooManySeeds(65));
}
