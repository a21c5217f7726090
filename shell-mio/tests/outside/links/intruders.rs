//! Whoever can reach the port: other versions, other protocols, floods of connections (field failures HS-01,
//! HS-02a, HS-04, FRAME-02, BAN-02b).

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::network::{Network, PORT, SECOND};
use socket2::{Domain, Socket, Type};
use timed_core::NetworkName;
use timed_core::wire::preamble::{NetworkId, Opening, Preamble, Version, VersionRange, read_opening};

const HOSTS: [u8; 4] = [1, 2, 3, 4];

/// Connects from an address of the test's choice.
fn dial(network: &Network, from: Ipv4Addr, to: u8) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&SocketAddr::from((network.ip(to), PORT)).into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(60 * SECOND)).unwrap();
    stream
}

/// What comes back until the node closes, and how long that took.
fn answer(mut stream: TcpStream, said: &[u8]) -> (Vec<u8>, Duration) {
    let begun = Instant::now();
    let _ = stream.write_all(said);
    let mut back = Vec::new();
    let mut chunk = [0; 256];
    // A reset after the last bytes is an end too.
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        back.extend_from_slice(&chunk[..read]);
    }
    (back, begun.elapsed())
}

#[test]
fn hs_02a_other_versions_and_protocols_are_told_why_and_harm_nobody() {
    let network = Network::standing(&HOSTS);
    let links = network.links();
    let preamble = |name: &str, min, max| {
        let versions = VersionRange { min: Version(min), max: Version(max) };
        let network = NetworkId::of(&NetworkName::new(name).unwrap());
        let mut opening = Preamble { network, versions }.encode().to_vec();
        opening.extend([7; 32]);
        opening
    };
    let stranger = network.ip(99);
    for (opening, reason) in [
        (preamble("testnet", 900, 901), "version_unsupported"),
        (preamble("testnet", 0, 0), "version_unsupported"),
        (preamble("elsewhere", 1, 1), "wrong_network"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), "wrong_magic"),
        (vec![0xff; 64], "wrong_magic"),
    ] {
        let (back, took) = answer(dial(&network, stranger, 1), &opening);
        assert!(took < 4 * SECOND, "{reason}: told only after {took:?}");
        let reject: &[u8; 16] = back.as_slice().try_into().unwrap_or_else(|_| panic!("{reason}: {back:?}"));
        let Opening::Reject(told) = read_opening(reject) else { panic!("{back:?}") };
        assert_eq!(told.as_str(), reason);
        let metric = format!("timed_inbound_failed_total{{reason=\"{reason}\"}}");
        network.eventually(reason, SECOND / 10, || {
            network.get(1, "/metrics").1.as_str().is_some_and(|numbers| numbers.contains(&metric))
        });
    }
    // Garbage behind a good preamble, and a length of gigabytes where a key should be.
    for tail in [vec![0xff; 4096], vec![0; 32], (0..=255).collect()] {
        let mut opening = preamble("testnet", 1, 1);
        opening.truncate(16);
        opening.extend(tail);
        let (_, took) = answer(dial(&network, stranger, 1), &opening);
        assert!(took < 5 * 5 * SECOND, "{took:?}");
    }
    assert_eq!(network.links(), links);
    let said = network.logged(1, &["inbound failed"]);
    assert!(said <= 12, "{said} lines: {}", network.log(1));
}

#[test]
fn hs_04_single_bytes_do_not_extend_the_handshake() {
    let network = Network::standing(&HOSTS);
    let mut stream = dial(&network, network.ip(99), 2);
    let begun = Instant::now();
    while stream.write_all(b"T").is_ok() {
        assert!(begun.elapsed() < 25 * SECOND, "still open");
        std::thread::sleep(Duration::from_millis(200));
        // 16 bytes that are no preamble would be told at once: stay below.
        if begun.elapsed() > 2 * SECOND {
            let (_, more) = answer(stream, b"");
            let took = begun.elapsed();
            println!("closed after {took:?} ({more:?} in silence)");
            assert!(took > 4 * SECOND && took < 25 * SECOND, "{took:?}");
            return;
        }
    }
}

#[test]
fn hs_04_a_crowd_of_silent_connections_keeps_no_masternode_out() {
    let mut network = Network::standing(&HOSTS);
    let kept = crate::network::without(&network.links(), 4);
    let mut crowd = Vec::new();
    let [a, b, c, _] = network.ip(1).octets();
    let mut press = |network: &Network| {
        for number in 0..400u16 {
            let [_, last] = number.to_be_bytes();
            let from = Ipv4Addr::new(a, b, c, 20 + last % 200);
            let to = HOSTS[usize::from(number % 4)];
            if to != 4 || number % 8 == 0 {
                crowd.push(dial(network, from, to));
            }
        }
    };
    press(&network);
    network.kill(4);
    network.start(4);
    network.eventually("the killed masternode is back", 3 * SECOND, || network.is_meshed(&HOSTS));
    press(&network);
    std::thread::sleep(2 * SECOND);
    for host in HOSTS {
        let at = network.ip(host);
        let inbound = network.sockets().into_iter().filter(|socket| {
            *socket.local.ip() == at && socket.local.port() == PORT && *socket.remote.ip() > network.ip(19)
        });
        let held =
            inbound.filter(|socket| socket.state == crate::network::kernel::State::Established).count();
        assert!(held <= 64, "node {host} holds {held} silent connections");
    }
    assert!(network.is_meshed(&HOSTS));
    let links = network.links();
    assert!(kept.iter().all(|link| links.contains(link)), "the links among the others moved");
    for host in [1, 2, 3] {
        assert_eq!(network.counter(host, "links_down"), 1, "only the killed one: {}", network.log(host));
        let said = network.logged(host, &["inbound failed"]);
        assert!(said < 60, "node {host}: {said} lines for a crowd");
    }
}
