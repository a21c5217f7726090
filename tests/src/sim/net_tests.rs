//! The kernels and the network on their own, without a node.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use timed_core::TransportCause;

use super::clock::SimTime;
use super::context::{Context, Due};
use super::host::HostId;
use super::net::{Net, Read};
use super::path::{Cut, Dials, Packets, Profile};
use super::wire::{Side, TcpId};

const A: HostId = HostId(0);
const B: HostId = HostId(1);
const SECS: Duration = Duration::from_secs(1);

struct Bench {
    net: Net,
    cx: Context,
}

impl Bench {
    fn new(seed: u64, edit: impl Fn(&mut Profile)) -> Self {
        let mut profile = Profile::lan();
        edit(&mut profile);
        let mut net = Net::new(profile);
        for last in [1, 2] {
            let ip = IpAddr::from([10, 0, 0, last]);
            net.add_host(ip, ip, 7);
        }
        net.listen(B);
        Self { net, cx: Context::new(seed) }
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.cx.now + time;
        while self.cx.agenda.next_at().is_some_and(|at| at <= until) {
            let (at, due) = self.cx.agenda.take().unwrap();
            self.cx.now = at;
            match due {
                Due::Net(event) => self.net.on(event, &mut self.cx),
                Due::Wake(host) => self.net.woken(host),
                other => panic!("{other:?}"),
            }
        }
        self.cx.now = until;
    }

    fn dial(&mut self) -> TcpId {
        self.net.connect(A, SocketAddr::from(([10, 0, 0, 2], 7)), &mut self.cx)
    }

    /// A connection that stands.
    fn pair(&mut self) -> TcpId {
        let tcp = self.dial();
        self.run_for(SECS);
        assert!(self.net.connected(tcp).is_some());
        let (accepted, from) = self.net.accept(B, &mut self.cx).expect("came in");
        assert_eq!((accepted, from.ip()), (tcp, IpAddr::from([10, 0, 0, 1])));
        assert!(from.port() >= 32_768);
        tcp
    }

    fn read(&mut self, tcp: TcpId, side: Side) -> (Vec<u8>, Read) {
        let mut all = Vec::new();
        loop {
            match self.net.read(tcp, side, 1000, &mut all, &mut self.cx) {
                Read::Bytes(_) => {}
                end => return (all, end),
            }
        }
    }

    fn write(&mut self, tcp: TcpId, side: Side, bytes: &[u8]) {
        self.net.write(tcp, side, bytes, &mut self.cx);
    }
}

#[test]
fn bytes_arrive_in_order_however_they_are_cut_and_whatever_is_lost() {
    for seed in 1..40 {
        let mut bench = Bench::new(seed, |profile| {
            profile.cut = Cut::Random(5);
            profile.jitter = Duration::from_millis(2);
            profile.send_buffer = 3_000;
            profile.receive_buffer = 2_000;
        });
        let tcp = bench.pair();
        let sent: Vec<u8> = (0..60_000u32).map(|number| (number % 251) as u8).collect();
        let (mut at, mut got) = (0, Vec::new());
        while got.len() < sent.len() {
            let space = bench.net.space(tcp, Side::Dialer, bench.cx.now).min(sent.len() - at);
            bench.write(tcp, Side::Dialer, &sent[at..at + space]);
            at += space;
            if bench.cx.rng.below(10) == 0 {
                let hole = if bench.cx.rng.below(3) == 0 { Packets::Vanish } else { Packets::Arrive };
                let way = if bench.cx.rng.below(2) == 0 { (A, B) } else { (B, A) };
                bench.net.paths.get(way.0, way.1, &mut bench.cx.rng).packets = hole;
            }
            let pause = bench.cx.rng.below(300);
            bench.run_for(Duration::from_millis(pause));
            let (bytes, end) = bench.read(tcp, Side::Acceptor);
            assert_eq!(end, Read::Nothing);
            got.extend(bytes);
            assert!(bench.cx.now < SimTime(0) + 3600 * SECS, "no progress");
        }
        assert_eq!(got, sent);
    }
}

#[test]
fn close_delivers_what_was_written_and_both_kernels_forget() {
    let mut bench = Bench::new(1, |profile| profile.cut = Cut::Random(4));
    let tcp = bench.pair();
    bench.write(tcp, Side::Dialer, b"goodbye");
    bench.net.close(tcp, Side::Dialer, &mut bench.cx);
    bench.run_for(SECS);
    assert_eq!(bench.read(tcp, Side::Acceptor), (b"goodbye".to_vec(), Read::Eof));
    bench.net.close(tcp, Side::Acceptor, &mut bench.cx);
    bench.run_for(SECS);
    assert_eq!(bench.net.size(), 0);
}

#[test]
fn close_with_bytes_unread_resets() {
    let mut bench = Bench::new(1, |_| {});
    let tcp = bench.pair();
    bench.write(tcp, Side::Acceptor, b"unread");
    bench.run_for(SECS);
    bench.net.close(tcp, Side::Dialer, &mut bench.cx);
    bench.run_for(SECS);
    assert_eq!(bench.read(tcp, Side::Acceptor).1, Read::Failed(TransportCause::Reset));
}

#[test]
fn a_closed_port_refuses_and_a_black_hole_says_nothing_for_127_seconds() {
    let mut bench = Bench::new(1, |_| {});
    bench.net.process_died(B, &mut bench.cx);
    let tcp = bench.dial();
    bench.run_for(SECS);
    assert_eq!(bench.net.error(tcp, Side::Dialer), Some(TransportCause::Refused));

    for hole in [Some((A, B)), Some((B, A)), None] {
        let mut bench = Bench::new(1, |_| {});
        match hole {
            Some((from, to)) => {
                bench.net.paths.get(from, to, &mut bench.cx.rng).packets = Packets::Vanish;
            }
            None => bench.net.paths.get(A, B, &mut bench.cx.rng).dials = Dials::Vanish,
        }
        let tcp = bench.dial();
        bench.run_for(126 * SECS);
        assert_eq!(bench.net.error(tcp, Side::Dialer), None);
        assert_eq!(bench.net.connected(tcp), None);
        bench.run_for(2 * SECS);
        assert_eq!(bench.net.error(tcp, Side::Dialer), Some(TransportCause::TimedOut));
    }
}

#[test]
fn a_hole_that_closes_in_time_lets_the_next_syn_through() {
    let mut bench = Bench::new(1, |_| {});
    bench.net.paths.get(A, B, &mut bench.cx.rng).packets = Packets::Vanish;
    let tcp = bench.dial();
    bench.run_for(4 * SECS);
    bench.net.paths.heal();
    bench.run_for(2 * SECS);
    assert_eq!(bench.net.connected(tcp), None);
    bench.run_for(2 * SECS);
    assert!(bench.net.connected(tcp).is_some(), "the SYN at 7 s");
}

#[test]
fn a_power_cut_is_silent_until_the_machine_is_back() {
    let mut bench = Bench::new(1, |_| {});
    let tcp = bench.pair();
    bench.net.power_off(B);
    bench.write(tcp, Side::Dialer, b"hello?");
    bench.run_for(10 * SECS);
    assert_eq!(bench.read(tcp, Side::Dialer).1, Read::Nothing);
    bench.net.power_on(B);
    bench.run_for(20 * SECS);
    assert_eq!(bench.read(tcp, Side::Dialer).1, Read::Failed(TransportCause::Reset));
}

#[test]
fn a_killed_process_leaves_fin_or_rst_and_nothing_to_accept() {
    let mut bench = Bench::new(1, |_| {});
    let tcp = bench.pair();
    let waiting = bench.dial();
    bench.run_for(SECS);
    assert!(bench.net.connected(waiting).is_some(), "the kernel accepts for a busy process");
    bench.net.process_died(B, &mut bench.cx);
    bench.run_for(SECS);
    assert_eq!(bench.read(tcp, Side::Dialer).1, Read::Eof);
    assert_eq!(bench.read(waiting, Side::Dialer).1, Read::Failed(TransportCause::Reset));
    bench.net.listen(B);
    assert!(bench.net.accept(B, &mut bench.cx).is_none());
}

#[test]
fn what_stays_unacknowledged_for_two_minutes_ends_the_connection() {
    let mut bench = Bench::new(1, |_| {});
    let tcp = bench.pair();
    bench.net.sever_between(A, B);
    bench.write(tcp, Side::Dialer, b"x");
    bench.run_for(119 * SECS);
    assert_eq!(bench.net.error(tcp, Side::Dialer), None);
    bench.run_for(60 * SECS);
    assert_eq!(bench.net.error(tcp, Side::Dialer), Some(TransportCause::TimedOut));
    assert!(bench.net.connected(tcp).is_none());
    let again = bench.pair();
    assert!(bench.net.connected(again).is_some(), "new connections are not affected");
}

#[test]
fn a_reader_that_pauses_closes_the_senders_window_and_opens_it_again() {
    let mut bench = Bench::new(1, |profile| {
        profile.send_buffer = 1_000;
        profile.receive_buffer = 500;
    });
    let tcp = bench.pair();
    let mut total = 0;
    for _ in 0..10 {
        let space = bench.net.space(tcp, Side::Dialer, bench.cx.now);
        bench.write(tcp, Side::Dialer, &vec![7; space]);
        total += space;
        bench.run_for(SECS);
    }
    assert_eq!(total, 1_500);
    bench.net.want_space(tcp, Side::Dialer, &mut bench.cx);
    let _ = bench.net.take_ready(A);
    let (bytes, _) = bench.read(tcp, Side::Acceptor);
    assert_eq!(bytes.len(), 500);
    bench.run_for(SECS);
    assert!(bench.net.take_ready(A).contains(&(tcp, Side::Dialer)), "told that there is space");
    assert!(bench.net.space(tcp, Side::Dialer, bench.cx.now) >= 500);
}
