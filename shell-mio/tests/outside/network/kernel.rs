//! The kernel's socket table: the only judge of who dialed whom.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A line of `/proc/net/tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Socket {
    pub local: SocketAddrV4,
    pub remote: SocketAddrV4,
    pub state: State,
}

/// What matters of a TCP socket's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Established,
    Listening,
    /// Held by the kernel alone, after the process.
    TimeWait,
    Other,
}

/// An established connection between two nodes, named by their host numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// Whose port is ephemeral.
    pub dialer: u8,
    pub acceptor: u8,
    /// The dialer's port: the same number is the same socket.
    pub port: u16,
}

/// Reads a socket table: `/proc/net/tcp`, or `/proc/PID/net/tcp` for the namespace of a process. The kernel walks
/// it page by page while sockets come and go, and may pass one over or show it twice: what either of two
/// readings shows counts, once.
pub fn sockets(table: &str) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let text = fs::read_to_string(table).unwrap();
        let socket = |line| parse(line).unwrap_or_else(|| panic!("{table}: {line}"));
        sockets.extend(text.lines().skip(1).map(socket));
    }
    sockets.sort_unstable();
    sockets.dedup();
    sockets
}

fn parse(line: &str) -> Option<Socket> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (local, remote) = (address(words.next()?)?, address(words.next()?)?);
    let state = match words.next()? {
        "01" => State::Established,
        "0A" => State::Listening,
        "06" => State::TimeWait,
        _ => State::Other,
    };
    Some(Socket { local, remote, state })
}

/// `0100007F:5E24`: the address in the machine's byte order, the port in the reader's.
fn address(text: &str) -> Option<SocketAddrV4> {
    let (ip, port) = text.split_once(':')?;
    let ip = u32::from_str_radix(ip, 16).ok()?.to_ne_bytes();
    Some(SocketAddrV4::new(Ipv4Addr::from(ip), u16::from_str_radix(port, 16).ok()?))
}

/// The established connections between the nodes of a /24 that listen at `port`, as their dialers hold them.
pub fn links(sockets: &[Socket], net: [u8; 3], port: u16) -> Vec<Link> {
    let host = |addr: &SocketAddrV4| {
        let [a, b, c, host] = addr.ip().octets();
        ([a, b, c] == net).then_some(host)
    };
    let mut links: Vec<Link> = sockets
        .iter()
        .filter(|socket| socket.state == State::Established && socket.remote.port() == port)
        .filter_map(|socket| {
            let (dialer, acceptor) = (host(&socket.local)?, host(&socket.remote)?);
            Some(Link { dialer, acceptor, port: socket.local.port() })
        })
        .collect();
    links.sort_unstable();
    links
}
