//! Offences, scores and bans: field failures BAN, and what an operator orders.

// A test fails where it cannot go on.
#![allow(clippy::unwrap_used)]

mod offences;
mod orders;

use std::net::IpAddr;
use std::time::Duration;

use timed_core::wire::frame::append_encoded;
use timed_core::wire::message::{Heartbeat, Kind, Lane, Message};
use timed_core::{
    Ban, BanCause, BanEnd, BanNote, BanTarget, Bootstrap, CloseReason, Event, GenesisHash, Limits, NodeId,
    Offence, PeerRef, RecordKey, Reply, Request, Status, StoredBlock, Warning, Why,
};
use timed_tests::samples;
use timed_tests::sim::{Dials, HostId, Puppet, Setup, World, forged, null, seed};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn id(world: &World, host: HostId) -> NodeId {
    world.host(host).node_id
}

fn ip(world: &World, host: HostId) -> IpAddr {
    world.host(host).config.advertised.unwrap().ip()
}

fn status(world: &mut World, host: HostId) -> Status {
    match world.ask(host, Request::Status) {
        Reply::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

fn bans(world: &mut World, host: HostId) -> Vec<Ban> {
    match world.ask(host, Request::Bans) {
        Reply::Bans(bans) => bans,
        other => panic!("{other:?}"),
    }
}

fn why(world: &mut World, host: HostId, peer: PeerRef) -> Why {
    match world.ask(host, Request::Why(peer)) {
        Reply::Why(why) => *why,
        other => panic!("{other:?}"),
    }
}

/// An order that is answered when it is durable.
fn order(world: &mut World, host: HostId, request: Request) -> Reply {
    let id = world.post(host, request);
    for _ in 0..1_000 {
        if let Some(reply) = world.answer(host, id) {
            return reply;
        }
        world.run_for(Duration::from_millis(1));
    }
    panic!("no answer within a second");
}

fn ban(world: &mut World, host: HostId, target: BanTarget, lasts: Option<Duration>) -> (Ban, usize) {
    let note = BanNote::new("for a test");
    match order(world, host, Request::Ban { target, lasts, note }) {
        Reply::Banned { ban, masternodes } => (*ban, masternodes),
        other => panic!("{other:?}"),
    }
}

/// Nobody was charged with anything by any running node.
fn nobody_is_charged(world: &mut World) {
    for host in world.ids().into_iter().filter(|host| world.host(*host).is_running()).collect::<Vec<_>>() {
        let counters = status(world, host).counters;
        assert_eq!((counters.offences, counters.bans), ([0; 5], [0; 6]), "{host}");
        let told = |event: &Event| {
            matches!(event, Event::Misbehaved { .. } | Event::RateExceeded { .. } | Event::Banned(_))
        };
        assert_eq!(world.seen(host).count(told), 0, "{host}");
    }
}
