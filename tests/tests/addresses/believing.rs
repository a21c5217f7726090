//! Asking, telling and believing (rules P-3 and P-4).

use timed_core::wire::message::{Answer, Intent, Message, Pong};
use timed_core::wire::peers::{GetPeers, PeerAddress};
use timed_core::{
    AddrScope, AddressCounts, Bootstrap, CloseReason, Command, DialedBecause, Event, Input, Limits, NodeId,
    TransportCause,
};
use timed_tests::driver::{Crypto, NODE, addr};
use timed_tests::null_crypto::NullProvider;
use timed_tests::scripted::Actor;
use timed_tests::stage::{Stage, secs};

use super::{answers, asks, counts, dials, key, observer, pass, reached, stage, strangers, telling};

const ALL: Message = Message::GetPeers(GetPeers { most: 64 });

#[test]
fn p_4_an_observer_asks_each_live_peer_and_believes_what_it_asked_for() {
    let mut stage = stage();
    let link = telling(&mut stage, 9, strangers(5));
    assert_eq!(counts(&mut stage), AddressCounts { tried: 0, heard: 5, tombstones: 0 });
    // The same again was not asked for.
    stage.say(link, &Message::Peers(strangers(9)));
    assert_eq!((counts(&mut stage).heard, stage.counters().addresses_unasked), (5, 1));
    // It asks again after three minutes or so, while it seeks links.
    assert_eq!(asks(&pass(&mut stage, &[link], secs(130))), 0);
    assert_eq!(asks(&pass(&mut stage, &[link], secs(100))), 1);
    assert_eq!(stage.peers(), [NodeId([9; 32])]);
}

#[test]
fn p_4_a_masternode_asks_nobody_and_answers_everybody_in_turn() {
    let mut stage = Stage::new(Crypto::Null);
    let link = stage.live(9);
    assert_eq!(asks(&pass(&mut stage, &[link], secs(900))), 0);
    stage.say(link, &ALL);
    assert_eq!(answers(&pass(&mut stage, &[link], secs(1))), [vec![]]);
    for _ in 0..50 {
        stage.say(link, &ALL);
    }
    assert_eq!(answers(&pass(&mut stage, &[link], secs(118))), Vec::<Vec<PeerAddress>>::new());
    assert_eq!(stage.counters().address_requests_ignored, 50);
    // A new link is no new turn.
    stage.handle(Input::Closed { conn: link, cause: TransportCause::Eof });
    stage.lines.clear();
    let mut actor = stage.actor(9);
    actor.from.boot.epoch.0 += 1;
    let intent = Intent::Session(DialedBecause::Canonical);
    let (link, _) = stage.introduced(&mut actor, 9, intent);
    stage.say(link, &ALL);
    assert_eq!(answers(&pass(&mut stage, &[link], secs(1))), Vec::<Vec<PeerAddress>>::new());
    stage.say(link, &ALL);
    assert_eq!(answers(&pass(&mut stage, &[link], secs(1))), [vec![]]);
}

#[test]
fn p_4_only_what_the_node_reached_itself_is_told_and_never_to_the_asker() {
    let mut config = observer();
    config.bootstrap = vec![Bootstrap { addr: addr(9), id: None }];
    let mut stage = Stage::with(Crypto::Null, config);
    stage.now = stage.later(secs(1));
    stage.handle(Input::Tick);
    let dial = dials(&mut stage).into_iter().find(|(_, to)| *to == addr(9)).unwrap();
    reached(&mut stage, dial.0, 9);
    assert_eq!(counts(&mut stage).tried, 1);
    let other = telling(&mut stage, 10, strangers(20));
    assert_eq!(counts(&mut stage), AddressCounts { tried: 1, heard: 20, tombstones: 0 });
    for link in [other, dial.0] {
        stage.say(link, &ALL);
    }
    let told = pass(&mut stage, &[other, dial.0], secs(3));
    let to = |link| answers(&told.iter().filter(|(to, _)| *to == link).cloned().collect::<Vec<_>>());
    let nine = to(other);
    assert!(matches!(nine[..], [ref told] if told.len() == 1 && told[0].addr == addr(9)), "{nine:?}");
    assert_eq!(nine[0][0].node, NodeId([9; 32]));
    assert_eq!(to(dial.0), [vec![]], "hearsay is not passed on, and nobody is told of itself");
}

#[test]
fn p_3_registered_and_own_addresses_and_keys_are_never_taken_from_others() {
    let mut stage = stage();
    let lie = |node, at: &str| PeerAddress { node, addr: at.parse().unwrap(), age: 0 };
    let told = vec![
        // A masternode's address for another key, a masternode's key at another address.
        lie(key(1), "10.0.0.1:24100"),
        // Our own, for another key.
        lie(key(2), "10.0.0.2:24100"),
        lie(NodeId([3; 32]), "10.0.0.77:24100"),
        // Our own key elsewhere.
        lie(NodeId([NODE; 32]), "10.0.0.78:24100"),
        // Reserved.
        lie(key(3), "240.0.0.1:1"),
    ];
    telling(&mut stage, 9, told);
    assert_eq!(counts(&mut stage), AddressCounts::default());
}

#[test]
fn p_3_private_addresses_are_believed_only_where_they_are_allowed() {
    for (scope, believed) in [(AddrScope::Global, 1), (AddrScope::Private, 4)] {
        let mut config = observer();
        config.addresses = scope;
        let mut stage = Stage::with(Crypto::Null, config);
        let there = |number, at: &str| PeerAddress { node: key(number), addr: at.parse().unwrap(), age: 0 };
        let told = vec![
            there(1, "9.9.9.9:1"),
            there(2, "10.9.9.9:1"),
            there(3, "127.0.0.9:1"),
            there(4, "[fd00::1]:1"),
            there(5, "[fe80::1]:1"),
        ];
        telling(&mut stage, 9, told);
        assert_eq!(counts(&mut stage).heard, believed, "{scope:?}");
    }
}

#[test]
fn p_3_nobody_enters_the_book_by_advertising_itself() {
    let mut stage = stage();
    let link = stage.live(9);
    pass(&mut stage, &[link], secs(5));
    assert_eq!(counts(&mut stage), AddressCounts::default());
}

#[test]
fn pex_02a_long_lists_from_fifty_peers_are_work_for_nobody() {
    let mut config = observer();
    // Room for fifty that come of their own accord, and no wish for others.
    config.limits = Limits { max_peers: 61, masternode_slots: 3, outbound: 0, ..config.limits };
    let mut stage = Stage::with(Crypto::Null, config);
    let mut links = Vec::new();
    for number in 0..50 {
        let mut provider = [0xd0; 32];
        provider[0] = number;
        let provider = Box::new(NullProvider::new(NodeId(provider)));
        let mut actor = Actor::new(provider, &stage.config, None, stage.now.wall);
        let intent = Intent::Session(DialedBecause::Canonical);
        let (link, answer) = stage.introduced(&mut actor, number, intent);
        assert_eq!(answer, Answer::Accepted, "{number}");
        let token = stage.now.mono.0;
        stage.say(link, &Message::Pong(Pong { token }));
        links.push(link);
    }
    pass(&mut stage, &links, secs(2));
    let _ = stage.took();
    // 242 rows, every 30 s, whether asked for or not.
    let rows: Vec<PeerAddress> = (0..242)
        .map(|row| {
            let [.., c, d] = u32::to_be_bytes(row);
            PeerAddress { node: key(row), addr: format!("10.200.{c}.{d}:24100").parse().unwrap(), age: 0 }
        })
        .collect();
    let (mut commands, mut misbehaved) = (0, 0);
    for _ in 0..12 {
        for link in &links {
            for part in rows.chunks(64) {
                stage.say(*link, &Message::Peers(part.to_vec()));
            }
        }
        let (told, other): (Vec<_>, Vec<_>) = stage
            .took()
            .into_iter()
            .partition(|command| matches!(command, Command::Event(Event::Misbehaved { .. })));
        (misbehaved, commands) = (misbehaved + told.len(), commands + other.len());
        pass(&mut stage, &links, secs(30));
        let dialed = dials(&mut stage);
        let listed = dialed.iter().filter(|(_, to)| rows.iter().any(|row| row.addr == *to));
        assert_eq!(listed.count(), 0, "it seeks nobody");
        assert_eq!(stage.peers().len(), 50, "every link stands");
    }
    let counts = counts(&mut stage);
    assert!((1..=64).contains(&counts.heard), "{counts:?}: one network gets its share");
    assert!(commands < 20, "{commands} commands for 2,400 lists");
    assert!(misbehaved <= 2 * 50, "{misbehaved} times to the log, at a quarter of the bound and at half");
    let unasked = stage.counters().addresses_unasked;
    assert!(unasked >= 12 * 50 * 4 - 100, "{unasked} of 2,400 lists were asked for by nobody");
    // Nobody goes on like this for ever (rule A-3).
    let mut shut_out = 0;
    for _ in 0..30 {
        for link in std::mem::take(&mut links) {
            stage.say(link, &Message::Peers(rows[..64].to_vec()));
            match &stage.obey()[..] {
                [] => links.push(link),
                closed => {
                    assert_eq!(closed, [(link, CloseReason::Abuse)]);
                    shut_out += 1;
                }
            }
        }
    }
    assert_eq!((shut_out, stage.peers()), (50, vec![]));
}
