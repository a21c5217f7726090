//! The suite's own ends of real connections, none of which ever blocks it, and the arm over them.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use socket2::{Domain, Protocol, Socket, Type};
use timed_core::Wall;

use super::arm::{Arm, Ground, Miss, Process, Stream, Verdict, Wire, broken};

/// The kernel's own handshake must be done by then.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Read at once.
const BUFFER: usize = 64 * 1024;

#[derive(Debug)]
struct Conn {
    /// `None` once it is over.
    stream: Option<TcpStream>,
    local: Option<SocketAddr>,
    out: Vec<u8>,
}

/// All of them, and the clock that they are waited for by.
#[derive(Debug)]
pub struct Sockets {
    began: Instant,
    conns: BTreeMap<Wire, Conn>,
    listeners: BTreeMap<SocketAddr, TcpListener>,
}

impl Default for Sockets {
    fn default() -> Self {
        Self { began: Instant::now(), conns: BTreeMap::new(), listeners: BTreeMap::new() }
    }
}

impl Sockets {
    /// Time since the beginning.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// The wall time.
    #[must_use]
    pub fn wall() -> Wall {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Wall(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        self.flush();
        std::thread::sleep(time);
        self.flush();
    }

    /// Connects; a failure shows as the connection's end.
    pub fn dial(&mut self, from: Option<IpAddr>, to: SocketAddr) -> Wire {
        let stream = connect(from, to).ok();
        self.keep(stream)
    }

    fn keep(&mut self, stream: Option<TcpStream>) -> Wire {
        let wire = Wire(self.conns.len());
        let local = stream.as_ref().and_then(|stream| stream.local_addr().ok());
        self.conns.insert(wire, Conn { stream, local, out: Vec::new() });
        wire
    }

    /// Listens there, once and from then on.
    ///
    /// # Errors
    /// If this machine has no such address.
    pub fn listen(&mut self, at: SocketAddr) -> Verdict {
        if self.listeners.contains_key(&at) {
            return Ok(());
        }
        let listener = listener(at).map_err(|error| match error.kind() {
            ErrorKind::AddrNotAvailable => {
                Miss::Lacks("the address of a masternode that the suite plays, on this machine")
            }
            _ => broken(format!("cannot listen on {at}: {error}")),
        })?;
        self.listeners.insert(at, listener);
        Ok(())
    }

    /// The next connection that came in there.
    pub fn take(&mut self, at: SocketAddr) -> Option<Wire> {
        let (stream, _) = self.listeners.get(&at)?.accept().ok()?;
        let ready = stream.set_nonblocking(true).is_ok() && stream.set_nodelay(true).is_ok();
        Some(self.keep(ready.then_some(stream)))
    }

    /// The suite's own end.
    #[must_use]
    pub fn local(&self, wire: Wire) -> Option<SocketAddr> {
        self.conns.get(&wire)?.local
    }

    /// Writes; what the kernel does not take waits.
    pub fn write(&mut self, wire: Wire, bytes: &[u8]) {
        if let Some(conn) = self.conns.get_mut(&wire) {
            conn.out.extend_from_slice(bytes);
            conn.flush();
        }
    }

    /// Appends what has arrived.
    pub fn read(&mut self, wire: Wire, out: &mut Vec<u8>) -> Stream {
        let Some(conn) = self.conns.get_mut(&wire) else { return Stream::Ended };
        conn.flush();
        let Some(stream) = &mut conn.stream else { return Stream::Ended };
        let mut buffer = [0; BUFFER];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => out.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Stream::Open,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        conn.stream = None;
        Stream::Ended
    }

    /// Closes the suite's end.
    pub fn close(&mut self, wire: Wire) {
        if let Some(conn) = self.conns.get_mut(&wire) {
            conn.flush();
            if let Some(stream) = conn.stream.take() {
                // A peer that has gone already is as good.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    fn flush(&mut self) {
        self.conns.values_mut().for_each(Conn::flush);
    }
}

/// A node at the other end of real connections: in this process, or anywhere.
pub(super) struct SocketArm {
    ground: Ground,
    sockets: Sockets,
    process: Option<Box<dyn Process>>,
}

impl SocketArm {
    /// `process` is the node's, where there is one in hand.
    pub(super) fn new(ground: Ground, process: Option<Box<dyn Process>>) -> Self {
        Self { ground, sockets: Sockets::default(), process }
    }
}

impl Arm for SocketArm {
    fn ground(&self) -> &Ground {
        &self.ground
    }

    fn now(&self) -> Duration {
        self.sockets.now()
    }

    fn wall(&self) -> Wall {
        Sockets::wall()
    }

    fn pass(&mut self, time: Duration) {
        self.sockets.pass(time);
    }

    fn dial(&mut self, from: Option<IpAddr>) -> Wire {
        self.sockets.dial(from, self.ground.addr.socket())
    }

    fn listen(&mut self, at: SocketAddr) -> Verdict {
        self.sockets.listen(at)
    }

    fn take(&mut self, at: SocketAddr) -> Option<Wire> {
        self.sockets.take(at)
    }

    fn local(&mut self, wire: Wire) -> Option<SocketAddr> {
        self.sockets.local(wire)
    }

    fn write(&mut self, wire: Wire, bytes: &[u8]) {
        self.sockets.write(wire, bytes);
    }

    fn read(&mut self, wire: Wire, out: &mut Vec<u8>) -> Stream {
        self.sockets.read(wire, out)
    }

    fn close(&mut self, wire: Wire) {
        self.sockets.close(wire);
    }

    fn process(&mut self) -> Option<&mut dyn Process> {
        match &mut self.process {
            Some(process) => Some(process.as_mut()),
            None => None,
        }
    }
}

impl Conn {
    fn flush(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        while !self.out.is_empty() {
            match stream.write(&self.out) {
                Ok(count) if count > 0 => _ = self.out.drain(..count),
                // The end shows when it is read.
                _ => return,
            }
        }
    }
}

fn connect(from: Option<IpAddr>, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(ip) = from {
        socket.bind(&SocketAddr::new(ip, 0).into())?;
    }
    socket.connect_timeout(&to.into(), CONNECT_WITHIN)?;
    socket.set_nonblocking(true)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn listener(at: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    socket.listen(128)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
