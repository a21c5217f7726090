//! What outlives a process (rule P-5).

use bytes::Bytes;
use timed_core::wire::message::Message;
use timed_core::wire::peers::GetPeers;
use timed_core::{
    AddressCounts, Bootstrap, Command, ConnId, Event, Input, Record, RecordKey, Request, Ticket, Warning,
};
use timed_tests::driver::{Crypto, addr};
use timed_tests::stage::{Stage, secs};

use super::{answers, counts, dials, observer, pass, reached, stage, strangers, telling};

/// Records of the book since the last look.
fn written(stage: &mut Stage) -> Vec<(Ticket, Bytes)> {
    let written = |command| match command {
        Command::Persist { ticket, key: RecordKey::AddressBook, record } => Some((ticket, record)),
        _ => None,
    };
    stage.took().into_iter().filter_map(written).collect()
}

/// An observer that has reached player 9 and was told of 20 others, and its links.
fn knowing() -> (Stage, [ConnId; 2]) {
    let mut config = observer();
    config.bootstrap = vec![Bootstrap { addr: addr(9), id: None }];
    let mut stage = Stage::with(Crypto::Null, config);
    stage.now = stage.later(secs(1));
    stage.handle(Input::Tick);
    let dial = dials(&mut stage).into_iter().find(|(_, to)| *to == addr(9)).unwrap().0;
    reached(&mut stage, dial, 9);
    let other = telling(&mut stage, 10, strangers(20));
    (stage, [dial, other])
}

#[test]
fn p_5_the_book_is_written_when_it_has_changed_and_at_most_every_five_minutes() {
    let mut quiet = stage();
    let link = quiet.live(9);
    pass(&mut quiet, &[link], secs(1_000));
    assert_eq!(written(&mut quiet), [], "nothing to write");
    let (mut stage, links) = knowing();
    pass(&mut stage, &links, secs(290));
    assert_eq!(written(&mut stage), []);
    pass(&mut stage, &links, secs(10));
    assert_eq!(written(&mut stage).len(), 1);
    let began = stage.now.mono;
    pass(&mut stage, &links, secs(1_200));
    let most = stage.now.mono.since(began).as_secs() / 300;
    assert!(written(&mut stage).len() <= usize::try_from(most).unwrap());
}

#[test]
fn p_5_a_stop_writes_the_book_and_waits_for_it() {
    let (mut stage, _) = knowing();
    let _ = stage.took();
    stage.handle(Input::Request { id: timed_core::RequestId(1), request: Request::Stop });
    let commands = stage.took();
    let tickets: Vec<Ticket> = commands
        .iter()
        .filter_map(|command| match command {
            Command::Persist { ticket, key: RecordKey::AddressBook, .. } => Some(*ticket),
            _ => None,
        })
        .collect();
    assert_eq!(tickets.len(), 1);
    for command in commands {
        if let Command::Close { conn, .. } = command {
            stage.sent(conn);
            stage.handle(Input::Closed { conn, cause: timed_core::TransportCause::Commanded });
        }
    }
    let stopped = |stage: &mut Stage| {
        stage.took().iter().any(|command| matches!(command, Command::Event(Event::Stopped)))
    };
    assert!(!stopped(&mut stage));
    stage.handle(Input::Persisted(tickets[0]));
    assert!(stopped(&mut stage));
}

#[test]
fn p_5_a_restart_knows_and_tells_what_was_tried_and_dials_it() {
    let (mut stage, links) = knowing();
    pass(&mut stage, &links, secs(300));
    let (_, bytes) = written(&mut stage).pop().unwrap();
    let before = counts(&mut stage);
    assert_eq!((before.tried, before.heard), (1, 20));
    let journal = vec![Record { key: RecordKey::AddressBook, bytes }];
    let mut stage = Stage::restarted(Crypto::Null, observer(), journal);
    assert_eq!(counts(&mut stage), before);
    let link = stage.live(10);
    stage.say(link, &Message::GetPeers(GetPeers { most: 64 }));
    let told = answers(&pass(&mut stage, &[link], secs(1)));
    assert!(matches!(told[..], [ref told] if told.len() == 1 && told[0].addr == addr(9)), "{told:?}");
    pass(&mut stage, &[link], secs(10));
    let candidates = dials(&mut stage).iter().filter(|(_, to)| to.ip() != addr(1).ip()).count();
    assert!(candidates >= 3, "{candidates}");
}

#[test]
fn p_5_a_damaged_record_is_set_aside_with_a_warning() {
    let (mut stage, links) = knowing();
    pass(&mut stage, &links, secs(300));
    let (_, good) = written(&mut stage).pop().unwrap();
    let mut flipped = good.to_vec();
    flipped[100] ^= 1;
    for bad in
        [Bytes::new(), good.slice(..good.len() - 1), Bytes::from(flipped), Bytes::from_static(&[7; 99])]
    {
        let journal = vec![Record { key: RecordKey::AddressBook, bytes: bad }];
        let mut stage = Stage::restarted(Crypto::Null, observer(), journal);
        let events: Vec<Event> = stage
            .took()
            .into_iter()
            .filter_map(|command| match command {
                Command::Event(event) => Some(event),
                _ => None,
            })
            .collect();
        assert!(matches!(events[0], Event::Started { .. }));
        let warned =
            |event: &Event| matches!(event, Event::Warning(Warning::CacheSetAside(RecordKey::AddressBook)));
        assert_eq!(events.iter().filter(|event| warned(event)).count(), 1);
        assert_eq!(counts(&mut stage), AddressCounts::default());
        let link = telling(&mut stage, 9, strangers(5));
        assert_eq!(counts(&mut stage).heard, 5, "the start goes on");
        pass(&mut stage, &[link], secs(1));
    }
}
