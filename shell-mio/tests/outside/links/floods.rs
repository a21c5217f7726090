//! Floods of every kind against real daemons that make a block a second, each from one source and from many (field
//! failures HS-04, FRAME-02, IO-01b, IO-02a, REC-03): the links stand, every slot has its block, memory stays, and a
//! masternode that is killed and restarted meanwhile gets in. `TIMED_SOAK` makes minutes of the seconds.

use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use crate::network::{PORT, SECOND};
use crate::siege::{DEFERRED, Siege, Sources, attackers, peers};
use timed_core::wire::message::Intent;
use timed_core::{CloseReason, DialedBecause};

#[test]
fn hs_04_silent_connections_and_single_bytes() {
    let mut siege = Siege::laid();
    siege.endure("a thousand silent connections a second", attackers::silence);
    siege.endure("a byte a second", attackers::dripping);
}

#[test]
fn frame_02_garbage_and_giant_lengths_before_the_handshake() {
    let mut siege = Siege::laid();
    siege.endure("garbage", attackers::garbage);
    siege.endure("giant lengths before the handshake", attackers::giant_lengths);
}

#[test]
fn frame_02_giant_lengths_after_the_handshake() {
    let mut siege = Siege::laid();
    let papers = peers::Papers::of(&siege.network);
    siege.endure("giant lengths after the handshake", peers::giant_guests(&papers));
}

#[test]
fn hs_04_replayed_handshakes() {
    let mut siege = Siege::laid();
    let papers = peers::Papers::of(&siege.network);
    let stream = TcpStream::connect((siege.network.ip(1), PORT)).unwrap();
    let genuine = papers.handshake(stream, Intent::Session(DialedBecause::Canonical));
    let (_, recorded) = genuine.expect("a genuine handshake to record");
    siege.endure("replayed handshakes", attackers::replayed(&recorded));
    assert!(siege.metric(1, DEFERRED) > 0, "nobody had to wait for a key agreement");
}

#[test]
fn hs_04_knocks_and_sessions_of_strangers() {
    let mut siege = Siege::laid();
    let papers = peers::Papers::of(&siege.network);
    siege.endure("knocks of strangers", peers::knocks(&papers));
    siege.endure("sessions of strangers", peers::comers_and_goers(&papers));
}

#[test]
fn hs_01_forged_rejects() {
    let host = 77;
    let mut siege = Siege::prepared(|network| {
        for node in crate::siege::HOSTS {
            network.configure(node, "peers", &format!("[\"{}\"]", network.addr(host)));
        }
    });
    let addr = (siege.network.ip(host), PORT).into();
    siege.endure_from("forged rejects", Sources::Many, &attackers::forged_rejects(addr));

    // Somebody takes the place of a masternode that is down, and sends those away who dial it.
    let network = &mut siege.network;
    network.kill(4);
    let impostor = TcpListener::bind((network.ip(4), PORT)).unwrap();
    impostor.set_nonblocking(true).unwrap();
    let until = Instant::now() + 3 * SECOND;
    let mut rejected = 0;
    while Instant::now() < until {
        rejected += u32::from(attackers::reject(&impostor, CloseReason::WrongNetwork));
        std::thread::sleep(SECOND / 100);
    }
    assert!(rejected > 0, "nobody dialed the impostor");
    drop(impostor);
    network.start(4);
    network
        .eventually("the genuine masternode is back", 5 * SECOND, || network.is_meshed(&crate::siege::HOSTS));
}

#[test]
fn io_02a_observers_that_never_read() {
    let mut siege = Siege::laid();
    let papers = peers::Papers::of(&siege.network);
    siege.endure("observers that never read", peers::deaf_guests(&papers));
}

#[test]
fn io_02a_observers_that_say_too_much() {
    let mut siege = Siege::laid();
    let papers = peers::Papers::of(&siege.network);
    siege.endure("observers that say too much", peers::chatterers(&papers));
}
