//! Socket options, dialing, and what the kernel's errors mean.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use timed_core::TransportCause;

/// Options of every connection, dialed and accepted alike. Nagle's algorithm is always off.
///
/// The kernel's own time-outs are only a backstop: the core declares a silent peer dead long before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Idle time before the first keepalive probe; whole seconds, at least one.
    pub keepalive_time: Duration,
    /// Between two probes; whole seconds, at least one.
    pub keepalive_interval: Duration,
    /// Probes without an answer after which the kernel gives up.
    pub keepalive_probes: u32,
    /// Bytes not acknowledged for so long break the connection (Linux).
    pub user_timeout: Duration,
    /// The kernel takes bytes only while fewer than this many are not yet sent (Linux): what it does not hold
    /// can still be reordered, dropped, or moved to another link.
    pub notsent_lowat: u32,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            keepalive_time: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(10),
            keepalive_probes: 3,
            user_timeout: Duration::from_secs(30),
            notsent_lowat: 32 * 1024,
        }
    }
}

impl SocketOptions {
    fn apply(&self, socket: &Socket) -> io::Result<()> {
        let second = Duration::from_secs(1);
        let keepalive = TcpKeepalive::new()
            .with_time(self.keepalive_time.max(second))
            .with_interval(self.keepalive_interval.max(second))
            .with_retries(self.keepalive_probes.max(1));
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        {
            socket.set_tcp_user_timeout(Some(self.user_timeout))?;
            socket.set_tcp_notsent_lowat(self.notsent_lowat)?;
        }
        Ok(())
    }
}

/// Connections that wait in the kernel to be accepted.
const BACKLOG: i32 = 1024;

/// Binds and listens. The options are set once here: accepted sockets inherit them.
pub(super) fn listen(addr: SocketAddr, options: &SocketOptions) -> io::Result<TcpListener> {
    let addr = canonical(addr);
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    // A restarted node takes its port back although connections of its former life are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    options.apply(&socket)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Begins to connect. The connection is established when the socket is writable, has no error, and has a peer.
pub(super) fn dial(addr: SocketAddr, from: Option<IpAddr>, options: &SocketOptions) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    options.apply(&socket)?;
    if let Some(source) = from.filter(|source| source.is_ipv4() == addr.is_ipv4()) {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    match socket.connect(&addr.into()) {
        Ok(()) => {}
        Err(error) if in_progress(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// An interrupted `connect` goes on in the background, like one that would block.
fn in_progress(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INPROGRESS | Errno::INTR | Errno::ALREADY))
}

/// What has become of a dial whose socket shows signs of life.
#[derive(Debug)]
pub(super) enum Dial {
    /// Established; our end is at the address.
    Done(SocketAddr),
    /// Nothing is decided yet.
    UnderWay,
    /// It failed.
    Failed(TransportCause),
}

/// Asks the kernel about a dial: readiness alone proves nothing.
pub(super) fn progress(stream: &TcpStream) -> Dial {
    let outcome = match stream.take_error() {
        Ok(None) => stream.peer_addr().and_then(|_| stream.local_addr()),
        Ok(Some(error)) | Err(error) => Err(error),
    };
    match outcome {
        Ok(local) => Dial::Done(local),
        Err(error) if error.kind() == io::ErrorKind::NotConnected || in_progress(&error) => Dial::UnderWay,
        Err(error) => Dial::Failed(cause(&error)),
    }
}

/// Sends our end of stream; an error means that the connection is gone already, which is as good.
pub(super) fn finish_sending(stream: &TcpStream) {
    let _ = SockRef::from(stream).shutdown(std::net::Shutdown::Write);
}

/// An address as the core compares it: IPv4 from a dual-stack listener is IPv4.
pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// The kernel's error in the core's terms.
pub(super) fn cause(error: &io::Error) -> TransportCause {
    match Errno::from_io_error(error) {
        Some(Errno::CONNREFUSED) => TransportCause::Refused,
        Some(Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED | Errno::NOTCONN) => TransportCause::Reset,
        Some(
            Errno::NETUNREACH
            | Errno::HOSTUNREACH
            | Errno::NETDOWN
            | Errno::HOSTDOWN
            | Errno::ACCESS
            | Errno::PERM
            | Errno::ADDRNOTAVAIL
            | Errno::AFNOSUPPORT
            | Errno::INVAL,
        ) => TransportCause::Unreachable,
        Some(Errno::TIMEDOUT) => TransportCause::TimedOut,
        Some(
            Errno::MFILE
            | Errno::NFILE
            | Errno::NOBUFS
            | Errno::NOMEM
            | Errno::NOSPC
            | Errno::ADDRINUSE
            | Errno::AGAIN,
        ) => TransportCause::LocalResources,
        _ => TransportCause::Other,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Instant;

    use super::*;

    #[allow(clippy::unwrap_used)]
    fn established(listener: &TcpListener, from: Option<IpAddr>) -> (TcpStream, TcpStream) {
        let dialed = dial(listener.local_addr().unwrap(), from, &SocketOptions::default()).unwrap();
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < Duration::from_secs(10));
            match (progress(&dialed), listener.accept()) {
                (Dial::Failed(cause), _) => panic!("{cause:?}"),
                (_, Ok((accepted, _))) => return (dialed, accepted),
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    #[test]
    fn both_ends_have_every_option() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap();
        let (dialed, accepted) = established(&listener, None);
        for stream in [&dialed, &accepted] {
            let socket = SockRef::from(stream);
            assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(10));
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(30)));
            assert_eq!(socket.tcp_notsent_lowat().unwrap(), 32 * 1024);
            assert!(socket.nonblocking().unwrap());
        }
    }

    #[test]
    fn the_source_address_holds_for_its_own_family_only() {
        let source: IpAddr = "127.0.0.9".parse().unwrap();
        let listener = listen("127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap();
        let (_dialed, accepted) = established(&listener, Some(source));
        assert_eq!(accepted.peer_addr().unwrap().ip(), source);
        let listener = listen("[::1]:0".parse().unwrap(), &SocketOptions::default()).unwrap();
        let (_dialed, accepted) = established(&listener, Some(source));
        assert!(accepted.peer_addr().unwrap().is_ipv6());
    }

    #[test]
    fn a_dial_is_done_neither_too_early_nor_in_spite_of_an_error() {
        let nobody = listen("127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap();
        let addr = nobody.local_addr().unwrap();
        drop(nobody);
        match dial(addr, None, &SocketOptions::default()) {
            Err(error) => assert_eq!(cause(&error), TransportCause::Refused),
            Ok(stream) => assert!(matches!(progress(&stream), Dial::Failed(TransportCause::Refused))),
        }
        let unconnected = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
        assert!(matches!(progress(&TcpStream::from_std(unconnected.into())), Dial::UnderWay));
    }
}
