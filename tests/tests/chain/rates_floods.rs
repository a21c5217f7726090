//! Who floods: an observer loses what is too much, a masternode is read more slowly; nobody else notices.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use bytes::Bytes;
use timed_core::wire::frame::append_encoded;
use timed_core::wire::message::{Chunk, GetBlocks, GetPayload, Kind, Lane, Message, Ping, Vote};
use timed_core::{
    BanCause, BlockHash, CloseReason, Event, Handling, Height, Offence, Reply, Request, Round, TrafficClass,
    TxId, VoteKind,
};
use timed_tests::sim::{HostId, Puppet, Setup, World, forged, null};

use super::{missed_slots, network, secs};

/// Four masternodes and an observer whose address is the lowest, so that it is the one to dial.
fn with_observer(edit: impl Fn(HostId, &mut timed_core::Config) + 'static) -> World {
    let masternodes = ["10.9.0.1:24100", "10.9.0.2:24100", "10.9.0.3:24100", "10.9.0.4:24100"];
    World::new(1, &Setup::new(null).masternodes_at(&masternodes).observers(1).chain(secs(2)).config(edit))
}

const VICTIM: HostId = HostId(1);
const FLOODER: HostId = HostId(4);
/// Said to the victim in a millisecond.
const AT_ONCE: usize = 3;

fn counted(world: &mut World, host: HostId, class: TrafficClass) -> u64 {
    let Reply::Status(status) = world.ask(host, Request::Status) else { panic!("no status") };
    status.counters.rate_exceeded[class.index()]
}

/// One message of a class, as a frame.
fn example(puppet: &Puppet, class: TrafficClass, number: u64) -> (Lane, Vec<u8>) {
    let frame = |message: &Message| {
        let mut frame = Vec::new();
        timed_core::wire::frame::append_frame(message, &mut frame);
        (message.kind().lane(), frame)
    };
    let (height, block) = (Height(1), BlockHash([7; 32]));
    match class {
        TrafficClass::Liveness => frame(&Message::Ping(Ping { token: number })),
        TrafficClass::Consensus => {
            let (kind, voter) = (VoteKind::Prevote, puppet.id());
            let vote = Vote { kind, height, round: Round(0), block: None, voter, signature: forged() };
            frame(&Message::Vote(Box::new(vote)))
        }
        TrafficClass::PayloadRequest => frame(&Message::GetPayload(GetPayload { height, block, missing: 1 })),
        TrafficClass::Payload => {
            let bytes = Bytes::from(vec![1; 10_000]);
            frame(&Message::Chunk(Box::new(Chunk { height, block, index: 0, bytes })))
        }
        TrafficClass::BlockRequest => {
            let get = GetBlocks { id: number, from: height, to: height, max_bytes: 1_000 };
            frame(&Message::GetBlocks(get))
        }
        TrafficClass::Transaction => {
            let mut bytes = vec![1; 5_000];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            frame(&Message::Transaction(bytes.into()))
        }
        TrafficClass::TransactionOffer => {
            frame(&Message::TransactionOffer(vec![TxId::of(&number.to_le_bytes())]))
        }
        TrafficClass::Datagram => frame(&Message::Datagram(Bytes::from(vec![1; 5_000]))),
        _ => {
            let mut frame = Vec::new();
            append_encoded(Kind::Datagram, &[1; 5_000], &mut frame);
            frame[4..6].copy_from_slice(&999u16.to_le_bytes());
            (Lane::Relay, frame)
        }
    }
}

#[test]
fn ban_05b_an_observer_that_floods_one_class_loses_what_is_too_much_and_nobody_else_notices() {
    for class in [
        TrafficClass::Liveness,
        TrafficClass::Consensus,
        TrafficClass::PayloadRequest,
        TrafficClass::Payload,
        TrafficClass::BlockRequest,
        TrafficClass::Transaction,
        TrafficClass::TransactionOffer,
        TrafficClass::Datagram,
        TrafficClass::Unknown,
    ] {
        let mut world = with_observer(move |host, config| {
            // What is counted in bytes would need a flood of megabytes: its operator sets less. The others have to
            // take what it forwards.
            if host != VICTIM {
                return;
            }
            for class in [
                TrafficClass::Payload,
                TrafficClass::Transaction,
                TrafficClass::Datagram,
                TrafficClass::Unknown,
            ] {
                let mut limit = config.limits.rates.of(class);
                limit.per_second = Some(100_000);
                config.limits.rates.set(class, limit);
            }
        });
        let sent = Rc::new(Cell::new(0));
        let (begin, count) = (Rc::new(Cell::new(false)), Rc::clone(&sent));
        let floods = Rc::clone(&begin);
        world.play(FLOODER, move |_: &mut World, puppet: &mut Puppet, heard: Option<(HostId, &Message)>| {
            if heard.is_none() && floods.get() {
                for _ in 0..AT_ONCE {
                    count.set(count.get() + 1);
                    let (lane, frame) = example(puppet, class, count.get());
                    puppet.send(VICTIM, lane, &frame);
                }
            }
        });
        for host in (0..4).map(HostId) {
            world.start(host);
        }
        world.expect("the links", secs(10), |world| world.seen(VICTIM).live.len() == 4);
        world.run_for(secs(4));
        let (from, began) = (world.chain_height(), world.now());
        begin.set(true);
        world.run_for(secs(8));
        begin.set(false);
        world.run_for(secs(1));
        let (sent, dropped) = (sent.get(), counted(&mut world, VICTIM, class));
        println!("{}: {dropped} of {sent} dropped", class.as_str());
        assert!(dropped * 2 >= sent && dropped <= sent, "{}: {dropped} of {sent}", class.as_str());
        let told = |event: &Event| matches!(event, Event::RateExceeded { class: of, .. } if *of == class);
        assert_eq!(world.seen(VICTIM).count(told), 1, "{} is told once", class.as_str());
        let Reply::Peers(peers) = world.ask(VICTIM, Request::Peers) else { panic!("no peers") };
        let excessive = peers.iter().filter_map(|peer| peer.excessive).collect::<Vec<_>>();
        assert!(matches!(excessive[..], [of] if of.class == class && of.handling == Handling::Dropped));
        assert_eq!(missed_slots(&world, from), 0);
        for host in (0..4).map(HostId) {
            assert_eq!(world.seen(host).downs_since(began), [], "{host}");
            if host != VICTIM {
                assert_eq!(counted(&mut world, host, class), 0, "{host}");
            }
        }
    }
}

#[test]
fn ban_05b_a_flood_that_goes_on_ends_in_a_ban() {
    let mut world = with_observer(|_, _| {});
    world.play(FLOODER, move |_: &mut World, puppet: &mut Puppet, heard: Option<(HostId, &Message)>| {
        if heard.is_none() {
            puppet.say(VICTIM, &Message::Ping(Ping { token: 1 }));
        }
    });
    for host in (0..4).map(HostId) {
        world.start(host);
    }
    let flooder = world.host(FLOODER).node_id;
    world.expect("its link", secs(10), |world| world.seen(VICTIM).link(&flooder).is_some());
    let began = world.now();
    let banned =
        |event: &Event| matches!(event, Event::Banned(ban) if ban.cause == BanCause::Score(Offence::Flood));
    let took = world.expect("its ban", secs(60), |world| world.seen(VICTIM).count(banned) == 1);
    println!("banned after {took:?}");
    assert!(took > secs(20), "a burst is no flood: {took:?}");
    assert_eq!(world.seen(VICTIM).downs_since(began), [(flooder, CloseReason::Abuse)]);
    let from = world.chain_height();
    world.run_for(secs(60));
    assert!(world.seen(VICTIM).link(&flooder).is_none());
    assert_eq!(missed_slots(&world, from), 0);
    for host in [0, 2, 3].map(HostId) {
        assert!(world.seen(host).link(&flooder).is_some(), "{host} has seen nothing of it");
    }
}

#[test]
fn ban_05b_an_observed_rate_counts_and_drops_nothing() {
    let mut world = with_observer(|_, config| {
        let mut limit = config.limits.rates.of(TrafficClass::Datagram);
        (limit.per_second, limit.enforce) = (Some(1), timed_core::Enforce::Observe);
        config.limits.rates.set(TrafficClass::Datagram, limit);
    });
    let mut said = 0;
    world.play(FLOODER, move |world: &mut World, puppet: &mut Puppet, _: Option<(HostId, &Message)>| {
        if said < 1_000 && puppet.is_linked(world) && world.host(VICTIM).is_running() {
            said += 1;
            puppet.say(VICTIM, &Message::Datagram(Bytes::from(vec![1; 1_000])));
        }
    });
    for host in (0..4).map(HostId) {
        world.start(host);
    }
    world.run_for(secs(10));
    let Reply::Status(status) = world.ask(VICTIM, Request::Status) else { panic!("no status") };
    let class = TrafficClass::Datagram.index();
    assert!(status.counters.rate_observed[class] > 800 && status.counters.rate_exceeded[class] == 0);
    let arrived = world.seen(VICTIM).count(|event| matches!(event, Event::Datagram { .. }));
    assert_eq!(arrived, 1_000, "all are delivered");
}

/// A network of four whose first masternode is played, votes as others do, and is needed: the fourth is down.
fn with_masternode(mut floods: impl FnMut(&mut World, &mut Puppet) + 'static) -> World {
    let mut world = World::new(1, &network(4, secs(4)));
    let mut voted = BTreeSet::new();
    world.play(
        HostId(0),
        move |world: &mut World, puppet: &mut Puppet, heard: Option<(HostId, &Message)>| {
            let mut agree = |puppet: &mut Puppet, kind, height, round, block| {
                if voted.insert((height, round, kind)) {
                    let vote = puppet.vote(kind, height, round, block);
                    puppet.say_to_all(&vote);
                }
            };
            match heard {
                Some((_, Message::Proposal(proposal))) => {
                    let block = proposal.header.hash(&world.origin().genesis);
                    agree(puppet, VoteKind::Prevote, proposal.header.height, proposal.round, Some(block));
                }
                Some((_, Message::Vote(vote))) => {
                    agree(puppet, vote.kind, vote.height, vote.round, vote.block);
                }
                Some(_) => {}
                None => floods(world, puppet),
            }
        },
    );
    for host in [1, 2].map(HostId) {
        world.start(host);
    }
    world.expect("a block", secs(60), |world| world.chain_height() >= Height(1));
    world
}

#[test]
fn a_6_a_masternode_that_floods_is_slowed_and_its_votes_count() {
    for class in [TrafficClass::Liveness, TrafficClass::Consensus] {
        let mut number = 0;
        let mut world = with_masternode(move |world, puppet| {
            let height = world.chain_height();
            for _ in 0..if height >= Height(1) { AT_ONCE } else { 0 } {
                number += 1;
                let flood = match class {
                    TrafficClass::Liveness => Message::Ping(Ping { token: number }),
                    // The same again and again, of a height that is over.
                    _ => puppet.vote(VoteKind::Prevote, height, Round(0), None),
                };
                puppet.say(HostId(1), &flood);
            }
        });
        let began = world.now();
        let before = world.chain_height();
        let mut slowed = 0;
        for _ in 0..60 {
            world.run_for(secs(1));
            let Reply::Peers(peers) = world.ask(HostId(1), Request::Peers) else { panic!("no peers") };
            let excessive = peers.iter().filter_map(|peer| peer.excessive);
            slowed += excessive.filter(|excessive| excessive.handling == Handling::Slowed).count();
        }
        let counted = counted(&mut world, HostId(1), class);
        println!("{}: slowed in {slowed} of 60 seconds, {counted} too many", class.as_str());
        assert!(slowed > 40 && counted > 1_000);
        for host in [1, 2].map(HostId) {
            assert_eq!(world.seen(host).downs_since(began), [], "{host}: the link stands");
        }
        let made = world.chain_height().0 - before.0;
        assert!(made >= 8, "{made} blocks in 60 s");
        let played = world.host(HostId(0)).node_id;
        let seat = world.registry_at(world.chain_height()).index_of(&played).unwrap();
        let last = world.final_block(world.chain_height()).unwrap();
        assert!(last.certificate.signers.contains(seat), "its votes count");
    }
}

#[test]
fn a_1_signatures_that_are_nobodys_use_up_the_rate_sooner() {
    // As many messages, each as large: the genuine vote again and again, or one that nobody has signed.
    for (forge, exceeds) in [(false, false), (true, true)] {
        let said = Rc::new(Cell::new(0));
        let count = Rc::clone(&said);
        let mut world = with_masternode(move |world, puppet| {
            if world.chain_height() >= Height(1) && count.get() < 400 {
                count.set(count.get() + 1);
                let voter = world.host(HostId(3)).node_id;
                let height = world.chain_height().next();
                let mut vote = puppet.vote(VoteKind::Prevote, height, Round(0), None);
                if let (true, Message::Vote(vote)) = (forge, &mut vote) {
                    (vote.voter, vote.signature) = (voter, forged());
                }
                puppet.say(HostId(1), &vote);
            }
        });
        world.run_for(secs(10));
        assert_eq!(said.get(), 400);
        let exceeded = counted(&mut world, HostId(1), TrafficClass::Consensus);
        assert_eq!(exceeded > 0, exceeds, "{exceeded} too many, forged: {forge}");
        let Reply::Status(status) = world.ask(HostId(1), Request::Status) else { panic!("no status") };
        assert_eq!(status.counters.block_items_invalid > 0, forge);
    }
}
