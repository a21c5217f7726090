//! What the kernel takes for connections and round trips over loopback, with blocking sockets and nothing else.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

/// A connection over loopback, both ends.
pub(crate) struct Pair {
    near: TcpStream,
    far: TcpStream,
}

/// A listener that connects to itself.
pub(crate) struct Loopback(TcpListener);

impl Loopback {
    pub(crate) fn new() -> Self {
        Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port"))
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.0.local_addr().expect("it is bound")
    }

    /// The next connection.
    pub(crate) fn accept(&self) -> TcpStream {
        let (stream, _) = self.0.accept().expect("a connection comes");
        stream.set_nodelay(true).expect("it is connected");
        stream
    }

    /// Connects and accepts; dropping the pair closes it.
    pub(crate) fn connect(&self) -> Pair {
        Pair { near: connect(self.addr()), far: self.accept() }
    }
}

/// Connects to a listener.
pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("it listens");
    stream.set_nodelay(true).expect("it is connected");
    stream
}

impl Pair {
    /// `bytes` there, `bytes` back.
    pub(crate) fn round_trip(&mut self, bytes: &mut [u8]) {
        self.one_way(bytes);
        self.far.write_all(bytes).expect("the socket has room");
        self.near.read_exact(bytes).expect("they were written");
    }

    /// `bytes` there.
    pub(crate) fn one_way(&mut self, bytes: &mut [u8]) {
        self.near.write_all(bytes).expect("the socket has room");
        self.far.read_exact(bytes).expect("they were written");
    }
}
