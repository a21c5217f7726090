//! Addresses of others: what a node asks, believes, tells, keeps and dials (rules P-3, P-4, P-5 and S-5). First one
//! node against scripted peers, then networks in virtual time.

#![allow(clippy::unwrap_used)]

mod believing;
mod candidates;
mod observers;
mod records;

use std::time::Duration;

use timed_core::wire::message::{Answer, Message};
use timed_core::wire::peers::PeerAddress;
use timed_core::{
    AddressCounts, CanonicalAddr, Command, Config, ConnId, Input, Limits, Masternode, NodeId, Registry,
    Reply, Request, Status,
};
use timed_tests::driver::{Crypto, addr, config};
use timed_tests::stage::{Stage, secs};

/// An observer at 10.0.0.2 that knows three masternodes, none of which is there, and accepts many peers.
fn observer() -> Config {
    let mut config = config(Crypto::Null);
    let entry = |player| Masternode { id: NodeId([player; 32]), addr: addr(player) };
    config.registry = Registry::new([1, 3, 4].map(entry).to_vec()).unwrap();
    config.bootstrap.clear();
    config.limits = Limits::for_registry(3);
    config
}

fn stage() -> Stage {
    Stage::with(Crypto::Null, observer())
}

/// Lets time pass second by second; the peers at the other ends of these links answer pings. Answers what they
/// were told beside.
fn pass(stage: &mut Stage, links: &[ConnId], time: Duration) -> Vec<(ConnId, Message)> {
    let mut told = Vec::new();
    for _ in 0..time.as_secs() {
        stage.now = stage.later(secs(1));
        stage.handle(Input::Tick);
        for link in links {
            let heard = stage.answer_pings(*link);
            told.extend(heard.into_iter().map(|message| (*link, message)));
        }
    }
    told
}

/// Whether the node asked for addresses.
fn asks(told: &[(ConnId, Message)]) -> usize {
    told.iter().filter(|(_, message)| matches!(message, Message::GetPeers(_))).count()
}

/// What the node told of others, answer by answer.
fn answers(told: &[(ConnId, Message)]) -> Vec<Vec<PeerAddress>> {
    let answer = |message: &Message| match message {
        Message::Peers(told) => Some(told.clone()),
        _ => None,
    };
    told.iter().filter_map(|(_, message)| answer(message)).collect()
}

fn status(stage: &mut Stage) -> Status {
    match stage.ask(Request::Status) {
        Reply::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

fn counts(stage: &mut Stage) -> AddressCounts {
    status(stage).summary.addresses
}

/// Dials since the last look.
fn dials(stage: &mut Stage) -> Vec<(ConnId, CanonicalAddr)> {
    let dial = |command| match command {
        Command::Dial { conn, addr } => Some((conn, addr)),
        _ => None,
    };
    stage.took().into_iter().filter_map(dial).collect()
}

/// The number of a stranger, in its key.
fn key(number: u32) -> NodeId {
    let mut key = [0xe1; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    NodeId(key)
}

/// Addresses in ascending order, each of its own /16.
fn strangers(count: u8) -> Vec<PeerAddress> {
    let stranger = |number: u8| PeerAddress {
        node: key(number.into()),
        addr: CanonicalAddr::new(([10, 100 + number, 0, 1], 24_100).into()).unwrap(),
        age: 60,
    };
    (1..=count).map(stranger).collect()
}

/// A live link that this player dialed, on which the node has asked for addresses and was told these.
fn telling(stage: &mut Stage, player: u8, told: Vec<PeerAddress>) -> ConnId {
    let link = stage.live(player);
    assert_eq!(asks(&pass(stage, &[link], secs(2))), 1);
    stage.say(link, &Message::Peers(told));
    link
}

/// The node's dial leads to this player, who takes it.
fn reached(stage: &mut Stage, conn: ConnId, player: u8) {
    stage.handle(Input::Dialed { conn, local: "10.0.0.2:4000".parse().unwrap() });
    let opening = stage.sent(conn);
    let mut actor = stage.actor(player);
    let (mut line, reply) = actor.answer(&opening).unwrap();
    stage.data(conn, &reply);
    let bytes = stage.sent(conn);
    let Some(Message::Hello(hello)) = line.hear(&bytes).unwrap().pop() else { panic!("no hello") };
    let ack = actor.ack(&line, &hello, Answer::Accepted);
    let bytes = line.say(&Message::HelloAck(Box::new(ack)));
    stage.lines.push((conn, line));
    stage.data(conn, &bytes);
}
