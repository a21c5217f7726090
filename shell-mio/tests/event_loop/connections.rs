//! Connections under the loop: dialing, accepting, reading, writing, ending.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::scripted::{Conn, OnData, PATIENCE, Rig, Script, pattern_at};
use timed_core::{Reading, TransportCause};
use timed_mio::ShellConfig;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn connect(rig: &Rig) -> TcpStream {
    let stream = TcpStream::connect(rig.addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Bytes that tell where they belong.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(pattern_at).collect()
}

#[test]
fn two_loops_exchange_bytes_both_ways_and_see_each_end_once() {
    let (alpha, beta) = (
        Rig::with(ShellConfig::listening_on(at("127.0.0.2:0")), Script::default()),
        Rig::with(ShellConfig::listening_on(at("127.0.0.3:0")), Script::default()),
    );
    let out = alpha.act(|script| script.dial(beta.addr));
    let into = beta.accepted();
    let local = alpha.until("dialed", |script| script.conn(out).local);
    assert_eq!(local.ip(), alpha.addr.ip(), "dials come from the address that it listens on");
    assert_eq!(beta.see(|script| script.conn(into).from), Some(local));

    let (there, back) = (pattern(300_000), pattern(200_000));
    alpha.act(|script| script.send(out, &there));
    beta.act(|script| script.send(into, &back));
    beta.until("all bytes there", |script| (script.conn(into).received == there).then_some(()));
    alpha.until("all bytes back", |script| (script.conn(out).received == back).then_some(()));

    alpha.act(|script| script.close(out));
    assert_eq!(alpha.see(|script| script.conn(out).closed), Some(TransportCause::Commanded));
    let seen = beta.until("the end", |script| script.conn(into).closed);
    assert_eq!(seen, TransportCause::Eof);
}

#[test]
fn a_dial_that_fails_is_closed_with_its_cause() {
    let rig = Rig::start();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = rig.act(|script| script.dial(nobody));
    let cause = rig.until("refused", |script| script.conn(refused).closed);
    assert_eq!(cause, TransportCause::Refused);
    assert!(rig.see(|script| script.conn(refused).local).is_none());

    // From a loopback address there is no way to the world.
    let unreachable = rig.act(|script| script.dial(at("192.0.2.1:24100")));
    let cause = rig.until("unreachable", |script| script.conn(unreachable).closed);
    assert_eq!(cause, TransportCause::Unreachable);
}

#[test]
fn a_dial_under_way_ends_by_command() {
    let rig = Rig::start();
    // A full backlog leaves the kernel connecting for seconds.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&at("127.0.0.1:0").into()).unwrap();
    full.listen(0).unwrap();
    let addr = full.local_addr().unwrap().as_socket().unwrap();
    let _fill: Vec<_> =
        (0..4).map(|_| TcpStream::connect_timeout(&addr, Duration::from_millis(100))).collect();
    let conn = rig.act(|script| script.dial(addr));
    assert!(rig.see(|script| script.conn(conn).closed.is_none() && script.conn(conn).local.is_none()));
    rig.act(|script| script.close(conn));
    assert_eq!(rig.see(|script| script.conn(conn).closed), Some(TransportCause::Commanded));
    assert_eq!(rig.remote.counters().open, 0);
}

#[test]
fn bytes_sent_before_the_connect_is_done_are_not_lost() {
    let (alpha, beta) = (Rig::start(), Rig::start());
    let out = alpha.act(|script| {
        let out = script.dial(beta.addr);
        script.send(out, b"early");
        out
    });
    let into = beta.accepted();
    beta.until("early bytes", |script| (script.conn(into).received == b"early").then_some(()));
    assert!(alpha.see(|script| script.conn(out).closed.is_none()));
}

#[test]
fn a_slow_reader_gets_everything_and_nothing_is_taken_from_the_core_early() {
    let rig = Rig::start();
    let mut slow = connect(&rig);
    let conn = rig.accepted();
    let sent = pattern(24 << 20);
    // A fixed size: the kernel would let the buffer grow while nobody reads.
    socket2::SockRef::from(&slow).set_recv_buffer_size(256 * 1024).unwrap();
    rig.act(|script| script.send(conn, &sent));
    let pulled = || rig.see(|script| script.conn(conn).pulls.len());
    let mut pulls = pulled();
    for _ in 0..100 {
        thread::sleep(Duration::from_millis(30));
        if std::mem::replace(&mut pulls, pulled()) == pulls {
            break;
        }
    }
    let left = rig.see(|script| script.conn(conn).outgoing.len());
    assert!(left > 8 << 20, "the core keeps what the socket does not take, but only {left} bytes are left");
    let pending = rig.remote.counters().pending_bytes;
    assert!((1..=64 * 1024).contains(&pending), "{pending} bytes wait in the shell");
    thread::sleep(Duration::from_millis(50));
    assert_eq!(rig.see(|script| script.conn(conn).pulls.len()), pulls, "a full socket is left alone");

    // Others are served meanwhile.
    let mut other = connect(&rig);
    let other_conn = rig.until("another connection", |script| {
        script.open().into_iter().find(|&id| id != conn && script.conn(id).from.is_some())
    });
    rig.act(|script| script.send(other_conn, b"prompt"));
    let mut prompt = [0; 6];
    other.read_exact(&mut prompt).unwrap();

    let mut received = vec![0; sent.len()];
    slow.read_exact(&mut received).unwrap();
    assert!(received == sent, "bytes differ");
    rig.until("nothing pending", |_| (rig.remote.counters().pending_bytes == 0).then_some(()));
    let careful = rig.see(|script| script.conn(conn).pulls.iter().filter(|&&pull| pull <= 24 * 1024).count());
    assert!(careful > 10, "a socket that was full is fed in small steps: {careful}");
}

#[test]
fn messages_of_one_turn_leave_in_one_write() {
    let rig = Rig::start();
    let mut peer = connect(&rig);
    let target = rig.accepted();
    let mut sources: Vec<TcpStream> = (0..16).map(|_| connect(&rig)).collect();
    rig.until("all accepted", |script| (script.open().len() == 17).then_some(()));
    rig.act(|script| script.on_data = OnData::Forward(target));
    let before = rig.remote.counters().writes;
    // While the script is held the loop stands still, so that one turn sees all of them.
    rig.see(|_| {
        drop(rig.remote.request(timed_core::Request::Status).unwrap());
        thread::sleep(Duration::from_millis(20));
        for source in &mut sources {
            source.write_all(&[7; 200]).unwrap();
        }
    });
    let mut received = vec![0; 16 * 200];
    peer.read_exact(&mut received).unwrap();
    rig.act(|_| ());
    assert_eq!(rig.remote.counters().writes - before, 1);
}

#[test]
fn hs_04_a_crowd_that_is_refused_is_closed_at_once_and_keeps_nobody_waiting() {
    let rig = Rig::start();
    let mut peer = connect(&rig);
    rig.accepted();
    rig.act(|script| {
        script.on_data = OnData::Echo;
        script.refuse = true;
    });
    let over = AtomicBool::new(false);
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let crowd: Vec<_> = (0..16)
                    .filter_map(|_| TcpStream::connect_timeout(&rig.addr, PATIENCE).ok())
                    .inspect(|stream| _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)))
                    .collect();
                for mut stream in crowd {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)), "closed without a word");
                }
            }
        });
        for _ in 0..200 {
            let asked = Instant::now();
            peer.write_all(b"echo").unwrap();
            let mut echo = [0; 4];
            peer.read_exact(&mut echo).unwrap();
            slowest = slowest.max(asked.elapsed());
            thread::sleep(Duration::from_millis(5));
        }
        over.store(true, Ordering::Relaxed);
    });
    let refused = rig.remote.counters().refused;
    let lasted = begun.elapsed();
    println!("{refused} refused in {lasted:?}, the slowest echo took {slowest:?}");
    assert!(refused > 100 && refused as f64 <= 1024.0 + 5_100.0 * lasted.as_secs_f64());
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let counters = rig.remote.counters();
    assert_eq!((counters.open, counters.lingering), (1, 0), "nothing of the crowd is left");
}

#[test]
fn a_close_with_nothing_said_waits_for_nobody() {
    let rig = Rig::start();
    let silent = connect(&rig);
    let conn = rig.accepted();
    rig.act(|script| script.close(conn));
    rig.act(|_| ());
    assert_eq!(rig.remote.counters().lingering, 0);
    drop(silent);
}

#[test]
fn reading_stops_and_goes_on_without_a_new_event() {
    let rig = Rig::start();
    let mut peer = connect(&rig);
    let conn = rig.accepted();
    rig.act(|script| script.reading(conn, Reading::Pause));
    let sent = pattern(150_000);
    peer.write_all(&sent).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    thread::sleep(Duration::from_millis(50));
    rig.see(|script| {
        assert_eq!(script.conn(conn).received.len(), 0, "read during the pause");
        assert_eq!(script.conn(conn).closed, None, "the end overtook the bytes before it");
    });
    rig.act(|script| script.reading(conn, Reading::Resume));
    let cause = rig.until("the end", |script| script.conn(conn).closed);
    assert_eq!(cause, TransportCause::Eof);
    assert!(rig.see(|script| script.conn(conn).received == sent));
}

#[test]
fn what_a_turn_leaves_unread_is_read_in_the_next_without_a_new_event() {
    let rig = Rig::start();
    let mut peer = connect(&rig);
    let conn = rig.accepted();
    rig.act(|script| script.reading(conn, Reading::Pause));
    peer.set_nonblocking(true).unwrap();
    let sent: usize = (0..100).map_while(|_| peer.write(&[5; 64 * 1024]).ok()).sum();
    assert!(sent > 512 * 1024, "{sent} bytes are not enough for many turns");
    let begun = Instant::now();
    rig.act(|script| script.reading(conn, Reading::Resume));
    rig.until("all bytes", |script| (script.conn(conn).received.len() == sent).then_some(()));
    assert!(begun.elapsed() < Duration::from_secs(3), "{sent} bytes took {:?}", begun.elapsed());
}

#[test]
fn a_reset_during_a_pause_is_told() {
    let rig = Rig::start();
    let peer = connect(&rig);
    let conn = rig.accepted();
    rig.act(|script| script.reading(conn, Reading::Pause));
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    let cause = rig.until("the reset", |script| script.conn(conn).closed);
    assert_eq!(cause, TransportCause::Reset);
}

#[test]
fn bytes_and_end_of_stream_in_one_event_are_both_seen() {
    let rig = Rig::start();
    for _ in 0..200 {
        let mut peer = connect(&rig);
        peer.write_all(b"last words").unwrap();
    }
    rig.until("all ends", |script| (script.conns.len() == 200 && script.open().is_empty()).then_some(()));
    rig.see(|script| assert!(script.conns.values().all(|conn| conn.received == b"last words")));
}

#[test]
fn the_goodbye_arrives_although_the_peer_had_sent_what_was_never_read() {
    let rig = Rig::start();
    let mut peer = rig.connect_with_little_room();
    let conn = rig.accepted();
    rig.act(|script| script.reading(conn, Reading::Pause));
    peer.write_all(&[1; 100_000]).unwrap();
    let sent = pattern(60_000);
    rig.act(|script| {
        script.send(conn, &sent);
        script.close(conn);
    });
    assert_eq!(rig.see(|script| script.conn(conn).closed), Some(TransportCause::Commanded));
    // What is sent now finds nobody, and must not destroy what is under way.
    peer.write_all(&[2; 10_000]).unwrap();
    thread::sleep(Duration::from_millis(20));
    let mut received = Vec::new();
    peer.read_to_end(&mut received).unwrap();
    assert!(received == sent, "only {} bytes arrived", received.len());
}

#[test]
fn a_goodbye_after_a_full_socket_waits_for_the_peer_but_not_for_ever() {
    let rig = Rig::start();
    let mut peer = connect(&rig);
    let conn = rig.accepted();
    rig.act(|script| script.send(conn, &pattern(24 << 20)));
    rig.act(|script| {
        script.conn_mut(conn).outgoing.clear();
        script.send(conn, b"goodbye");
        script.close(conn);
    });
    rig.until("lingering", |_| (rig.remote.counters().lingering == 1).then_some(()));
    let mut received = Vec::new();
    peer.read_to_end(&mut received).unwrap();
    assert!(received.ends_with(b"goodbye"));
    drop(peer);
    rig.until("gone", |_| (rig.remote.counters().lingering == 0).then_some(()));

    let silent = connect(&rig);
    let conn = rig.accepted();
    rig.act(|script| script.close(conn));
    let begun = Instant::now();
    rig.until("gone", |_| {
        (rig.remote.counters().lingering == 0 && rig.remote.counters().open == 0).then_some(())
    });
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    drop(silent);
}

#[test]
fn the_last_words_of_a_peer_are_read_although_writing_fails_first() {
    let rig = Rig::start();
    let mut peer = connect(&rig);
    let conn = rig.accepted();
    // Both the words and the reset arrive after this turn's reads and before its write.
    rig.act(|script| {
        script.on_transmit.0 = Some(Box::new(move || {
            peer.write_all(b"because").unwrap();
            socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        }));
        script.send(conn, &[3; 1000]);
    });
    let cause = rig.until("the end", |script| script.conn(conn).closed);
    assert_eq!(cause, TransportCause::Reset);
    assert_eq!(rig.see(|script| script.conn(conn).received.clone()), b"because");
}

#[test]
fn events_of_a_connection_closed_in_the_same_turn_reach_nobody() {
    let rig = Rig::with(
        ShellConfig::listening_on(at("127.0.0.1:0")),
        Script { on_data: OnData::CloseOthers, ..Script::default() },
    );
    for _ in 0..20 {
        let mut peers: Vec<TcpStream> = (0..20).map(|_| connect(&rig)).collect();
        rig.until("all accepted", |script| (script.open().len() == 20).then_some(()));
        // While the script is locked the loop stands still, so that one turn sees all of them.
        rig.see(|_| {
            for peer in &mut peers {
                peer.write_all(b"x").unwrap();
            }
            thread::sleep(Duration::from_millis(5));
        });
        rig.until("one left", |script| (script.open().len() == 1).then_some(()));
        drop(peers);
        rig.until("none left", |script| script.open().is_empty().then_some(()));
    }
}

#[test]
fn a_flood_on_one_connection_does_not_delay_another() {
    let rig = Rig::start();
    let mut flood = connect(&rig);
    let flooded = rig.accepted();
    let mut quiet = connect(&rig);
    let whispered = rig.until("both accepted", |script| script.open().into_iter().find(|&id| id != flooded));
    let flooder = thread::spawn(move || {
        let bytes = vec![9; 1 << 20];
        (0..64).for_each(|_| flood.write_all(&bytes).unwrap());
        flood
    });
    rig.until("the flood", |script| (script.conn(flooded).received.len() > 1 << 20).then_some(()));
    let before = rig.see(|script| script.conn(flooded).received.len());
    quiet.write_all(b"psst").unwrap();
    let after = rig.until("the whisper", |script| {
        (script.conn(whispered).received == b"psst").then(|| script.conn(flooded).received.len())
    });
    assert!(after - before < 16 << 20, "{} bytes of the flood came first", after - before);
    let _flood = flooder.join().unwrap();
    rig.until("the whole flood", |script| (script.conn(flooded).received.len() == 64 << 20).then_some(()));
}

#[test]
fn a_thousand_connections_come_and_go() {
    let rig = Rig::with(
        ShellConfig::listening_on(at("127.0.0.1:0")),
        Script { on_data: OnData::Echo, ..Script::default() },
    );
    let peers: Vec<TcpStream> = (0..1000)
        .map(|_| {
            let mut peer = connect(&rig);
            peer.write_all(b"hello").unwrap();
            peer
        })
        .collect();
    for mut peer in &peers {
        let mut echo = [0; 5];
        peer.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"hello");
    }
    assert_eq!(rig.remote.counters().open, 1000);
    drop(peers);
    rig.until("all gone", |script| script.open().is_empty().then_some(()));
    rig.see(|script| {
        assert_eq!(script.conns.len(), 1000);
        assert!(script.conns.values().all(|conn| conn.closed == Some(TransportCause::Eof)));
    });
}

#[test]
fn a_thousand_dials_at_once() {
    let beta = Rig::start();
    let alpha = Rig::start();
    alpha.act(|script| (0..1000).map(|_| script.dial(beta.addr)).count());
    alpha.until("all dialed", |script| script.conns.values().all(|conn| conn.local.is_some()).then_some(()));
    beta.until("all accepted", |script| (script.open().len() == 1000).then_some(()));
}

#[test]
fn a_dual_stack_listener_sees_ipv4_as_ipv4() {
    let rig = Rig::with(ShellConfig::listening_on(at("[::]:0")), Script::default());
    let port = rig.addr.port();
    let four = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let conn = rig.accepted();
    assert_eq!(rig.see(|script| script.conn(conn).from), Some(four.local_addr().unwrap()));
    let six = TcpStream::connect(("::1", port)).unwrap();
    rig.until("over IPv6", |script| {
        script.conns.values().find(|Conn { from, .. }| *from == six.local_addr().ok()).map(|_| ())
    });
}

#[test]
fn a_refused_connection_is_closed_and_has_no_name() {
    let rig =
        Rig::with(ShellConfig::listening_on(at("127.0.0.1:0")), Script { refuse: true, ..Script::default() });
    let mut peer = connect(&rig);
    match peer.read(&mut [0; 16]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("{other:?}"),
    }
    rig.until("counted", |_| (rig.remote.counters().refused == 1).then_some(()));
    assert!(rig.see(|script| script.conns.is_empty()));
}
