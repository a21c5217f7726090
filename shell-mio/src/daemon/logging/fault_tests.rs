//! How much is logged while something is wrong: the facts of a node in the simulator, as lines, in virtual time.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use timed_core::{Event, GenesisHash, NodeId, PeerRef, Request};
use timed_tests::sim::{Dials, Disk, HostId, Packets, Setup, SimTime, World, null, seed};

use super::super::metrics::Totals;
use super::screen::Screen;
use super::sink::{Introduction, LogSink};
use super::tests::Lines;
use crate::EventSink as _;

/// A persistent fault writes this many lines at most in its worst minute.
const WORST_MINUTE: usize = 40;
/// And this many an hour.
const HOUR: usize = 360;

const WITNESS: HostId = HostId(0);
const VICTIM: HostId = HostId(3);

thread_local!(static VIRTUAL: Cell<Duration> = const { Cell::new(Duration::ZERO) });

fn virtual_now() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now) + VIRTUAL.with(Cell::get)
}

/// Lines by minute that the witness writes about what it has seen since `from`.
fn lines(world: &World, from: SimTime) -> (Vec<usize>, String) {
    let config = &world.host(WITNESS).config;
    let introduction = Introduction {
        node: world.host(WITNESS).node_id,
        network: "testnet".to_owned(),
        listen: config.advertised.expect("an address").socket(),
        advertised: config.advertised,
        api: None,
    };
    let (totals, written) = (Arc::new(Totals::new()), Lines::default());
    let registry = &config.registry;
    let mut sink =
        LogSink::timed_by(virtual_now, introduction, registry, totals, Screen::lines_only(), || {});
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(written.clone()).finish();
    let mut minutes = vec![0; 1];
    tracing::subscriber::with_default(subscriber, || {
        for (at, event) in &world.seen(WITNESS).facts {
            VIRTUAL.with(|now| now.set(Duration::from_nanos(at.0)));
            let before = written.count();
            sink.event(event);
            if *at >= from {
                let minute = usize::try_from(at.since(from).as_secs() / 60).expect("few minutes");
                minutes.resize(minutes.len().max(minute + 1), 0);
                minutes[minute] += written.count() - before;
            }
        }
    });
    (minutes, written.text())
}

/// A network that makes blocks, with something wrong for an hour.
fn an_hour_of(fault: &str, mut bring_about: impl FnMut(&mut World, u64)) {
    let setup = Setup::new(null).masternodes(4).observers(1).chain(Duration::from_secs(10));
    let mut world = World::new(seed(1), &setup);
    world.start_all();
    world.run_for(Duration::from_secs(60));
    let from = world.now();
    for second in 0..3600 {
        bring_about(&mut world, second);
        world.run_for(Duration::from_secs(1));
    }
    let (minutes, text) = lines(&world, from);
    let (worst, all) = (minutes.iter().max().copied().unwrap_or(0), minutes.iter().sum::<usize>());
    println!("{fault}: {worst} lines in the worst minute, {all} in an hour");
    assert!(worst <= WORST_MINUTE && all <= HOUR, "{fault}: {worst} a minute, {all} an hour\n{text}");
    assert!(all >= 30, "{fault}: at least the check of peers, every two minutes");
}

#[test]
fn ops_01_no_fault_fills_the_log() {
    let at_first = |act: fn(&mut World)| {
        move |world: &mut World, second| {
            if second == 0 {
                act(world);
            }
        }
    };
    an_hour_of("nothing", |_, _| {});
    an_hour_of("a peer is down", at_first(|world| world.kill(VICTIM)));
    an_hour_of("a machine is gone", at_first(|world| world.cut_power(VICTIM)));
    an_hour_of(
        "two of four are down",
        at_first(|world| {
            world.kill(VICTIM);
            world.kill(HostId(2));
        }),
    );
    an_hour_of("cut off", at_first(|world| world.isolate(WITNESS, Packets::Vanish)));
    an_hour_of(
        "nobody takes its dials",
        at_first(|world| {
            for other in [1, 2, 3, 4].map(HostId) {
                world.dials(WITNESS, other, Dials::Refused);
                world.dials(other, WITNESS, Dials::Refused);
                world.reset_between(WITNESS, other);
            }
        }),
    );
    an_hour_of(
        "kept apart",
        at_first(|world| {
            let peer = PeerRef::Id(world.host(VICTIM).node_id);
            world.ask(WITNESS, Request::Disconnect(peer));
        }),
    );
    an_hour_of(
        "another genesis",
        at_first(|world| {
            world.kill(VICTIM);
            world.host_mut(VICTIM).config.genesis = GenesisHash([9; 32]);
            world.host_mut(VICTIM).disk = Disk::new((Duration::ZERO, Duration::ZERO));
            world.start(VICTIM);
        }),
    );
    an_hour_of("a link that fails every five seconds", |world, second| {
        if second % 5 == 0 {
            world.reset_between(WITNESS, VICTIM);
        }
    });
    an_hour_of("a node that restarts every ten seconds", |world, second| {
        if second % 10 == 0 {
            world.kill(VICTIM);
            world.start(VICTIM);
        }
    });
    an_hour_of("two partitions a minute", |world, second| {
        let packets = if second % 60 < 20 { Packets::Vanish } else { Packets::Arrive };
        world.isolate(WITNESS, packets);
    });
    an_hour_of("port scans", |world, second| {
        let stranger = match second {
            0 => world.add_stranger(IpAddr::from([203, 0, 113, 1])),
            _ => HostId(5),
        };
        let target = world.host(WITNESS).config.advertised.expect("an address").socket();
        for _ in 0..3 {
            let tcp = world.raw_dial(stranger, target);
            world.run_for(Duration::from_millis(50));
            world.raw_write(tcp, b"GET / HTTP/1.1\r\n\r\n");
            world.run_for(Duration::from_millis(50));
            world.raw_close(tcp);
        }
    });
    an_hour_of("far behind", |world, second| match second {
        0 => world.kill(WITNESS),
        1800 => world.start(WITNESS),
        _ => {}
    });
}

/// Somebody without a key of the registry is one kind of line, however many keys it makes.
#[test]
fn ops_01_a_thousand_observers_that_come_and_go_are_one_kind_of_line() {
    let written = Lines::default();
    let master = NodeId([1; 32]);
    let entry = timed_core::Masternode { id: master, addr: "10.0.0.1:24100".parse().expect("an address") };
    let registry = timed_core::Registry::new(vec![entry]).expect("a registry");
    let introduction = Introduction {
        node: master,
        network: "testnet".to_owned(),
        listen: ([10, 0, 0, 1], 24_100).into(),
        advertised: None,
        api: None,
    };
    let totals = Arc::new(Totals::new());
    let mut sink =
        LogSink::timed_by(virtual_now, introduction, &registry, totals, Screen::lines_only(), || {});
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(written.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        for number in 0..3_600u64 {
            VIRTUAL.with(|now| now.set(Duration::from_secs(number)));
            let mut key = [9; 32];
            key[..8].copy_from_slice(&number.to_le_bytes());
            sink.event(&Event::LinkDown {
                conn: timed_core::ConnId::from_parts(1, 1),
                peer: NodeId(key),
                reason: timed_core::CloseReason::Shutdown,
                by: timed_core::ClosedBy::Peer,
                lasted: Duration::from_secs(1),
            });
        }
    });
    assert!(written.count() <= 9, "{} lines an hour", written.count());
}
