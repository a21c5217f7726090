//! What the kernel takes for connections and round trips over loopback, with blocking sockets and nothing else.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

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

    /// Connects and accepts; dropping the pair closes it.
    pub(crate) fn connect(&self) -> Pair {
        let near = TcpStream::connect(self.0.local_addr().expect("it is bound")).expect("it listens");
        let (far, _) = self.0.accept().expect("a connection waits");
        near.set_nodelay(true).expect("it is connected");
        far.set_nodelay(true).expect("it is connected");
        Pair { near, far }
    }
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
