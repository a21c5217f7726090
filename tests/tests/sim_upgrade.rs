//! A network whose nodes are replaced one by one by those of the next protocol version, and back again: mixed, it is one
//! network. The next version is this one that speaks two versions and says things that this one does not know.

use std::time::Duration;

use timed_core::wire::message::Lane;
use timed_core::{CloseReason, Event, Height, Reply, Request};
use timed_tests::sim::{HostId, Link, Setup, Version, World, noise, null, seed};

const NODES: usize = 4;
const INTERVAL: Duration = Duration::from_secs(1);
/// A kind that no version knows yet.
const NEWS: u16 = 0x7e57;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn links_without(world: &World, host: HostId) -> Vec<Link> {
    world.links().into_iter().filter(|link| link.dialer != host && link.acceptor != host).collect()
}

fn height(world: &World, host: HostId) -> Height {
    world.host(host).disk.height()
}

fn highest(world: &World) -> Height {
    world.ids().into_iter().map(|host| height(world, host)).max().unwrap_or_default()
}

fn unknown_frames(world: &mut World, host: HostId) -> u64 {
    match world.ask(host, Request::Status) {
        Reply::Status(status) => status.counters.unknown_frames,
        other => panic!("{other:?}"),
    }
}

/// Lets so many seconds pass. Nodes of the next version say something new on every lane each second.
fn pass(world: &mut World, seconds: u64) {
    for _ in 0..seconds {
        for host in world.ids() {
            if world.host(host).version == Version::Next && world.host(host).is_running() {
                for lane in [Lane::Control, Lane::Payload, Lane::Relay, Lane::Bulk] {
                    world.say_anything(host, lane, NEWS, b"what will be said one day");
                }
            }
        }
        world.run_for(secs(1));
    }
}

/// Whether a link ended because of a version, or of what was said by one.
fn over_versions(world: &World) -> Vec<Event> {
    let of = |reason: &CloseReason| {
        !matches!(reason, CloseReason::Shutdown | CloseReason::ConnectionRefused | CloseReason::PeerClosed)
    };
    let mut found = Vec::new();
    for host in world.ids() {
        found.extend(world.seen(host).facts.iter().map(|(_, event)| event.clone()).filter(|event| {
            matches!(event, Event::LinkDown { reason, .. } | Event::InboundFailed { reason, .. }
                | Event::DialFailed { reason, .. } if of(reason))
        }));
    }
    found
}

/// Replaces one node. Nobody else loses a link, nobody a block, and the network makes one a slot.
fn replace(world: &mut World, host: HostId, version: Version) {
    let others = links_without(world, host);
    let before = highest(world);
    world.stop(host);
    pass(world, 3);
    world.host_mut(host).version = version;
    world.start(host);
    world.expect("its links are back", secs(3), World::is_meshed);
    pass(world, 7);
    assert_eq!(links_without(world, host), others, "a link of others was lost with {host}");
    let after = height(world, host);
    // Three seconds without one of four: a slot whose leader is away may need a second round.
    assert!(after.0 >= before.0 + 8, "{host} is at {after}, the network was at {before} ten slots ago");
    assert!(highest(world).0 <= after.0 + 1, "{host} has not caught up");
    assert!(over_versions(world).is_empty(), "{:?}", over_versions(world));
}

fn upgraded_one_by_one(mut world: World) {
    world.start_all();
    world.expect("the mesh", secs(10), World::is_meshed);
    pass(&mut world, 5);
    let hosts: Vec<HostId> = world.ids();
    for host in &hosts {
        replace(&mut world, *host, Version::Next);
        for old in hosts.iter().filter(|old| old.0 > host.0) {
            assert!(unknown_frames(&mut world, *old) > 0, "{old} counts what it does not know");
        }
    }
    assert!(hosts.iter().all(|host| world.host(*host).version == Version::Next));
    // Whoever regrets it goes back in the same way.
    for host in hosts.iter().rev() {
        replace(&mut world, *host, Version::Present);
    }
}

#[test]
fn a_network_is_upgraded_one_by_one_and_back_without_losing_a_link_or_a_block() {
    let setup = Setup::new(null).masternodes(NODES).chain(INTERVAL);
    upgraded_one_by_one(World::new(seed(1), &setup));
}

#[test]
fn the_same_with_real_cryptography() {
    let setup = Setup::new(noise).masternodes(NODES).chain(INTERVAL);
    upgraded_one_by_one(World::new(seed(2), &setup));
}
