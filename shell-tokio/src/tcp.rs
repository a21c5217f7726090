//! TCP: socket options, listening, dialing, and what the kernel's errors mean.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use timed_core::TransportCause;
use tokio::io::Interest;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

use crate::network::{Halves, Network};

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
    /// The kernel takes bytes only while fewer than this many are not yet sent (Linux): what it does not hold can
    /// still be reordered, dropped, or moved to another link.
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

/// The network of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp {
    /// Source address of connections that are dialed, if of the same family; `None` leaves it to the kernel.
    pub dial_from: Option<IpAddr>,
    /// Options of every connection.
    pub sockets: SocketOptions,
}

impl Tcp {
    fn socket(&self, addr: SocketAddr) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        self.sockets.apply(&socket)?;
        Ok(socket)
    }
}

impl Network for Tcp {
    type Listener = TcpListener;
    type Read = OwnedReadHalf;
    type Write = OwnedWriteHalf;

    async fn listen(&self, at: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
        let at = canonical(at);
        // Accepted sockets inherit the options.
        let socket = self.socket(at)?;
        // A restarted node takes its port back although connections of its former life are in TIME_WAIT.
        socket.set_reuse_address(true)?;
        if at.is_ipv6() {
            socket.set_only_v6(!at.ip().is_unspecified())?;
        }
        socket.bind(&at.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
        let local = listener.local_addr()?;
        Ok((listener, local))
    }

    async fn accept(&self, listener: &mut TcpListener) -> io::Result<(Halves<Self>, SocketAddr)> {
        let (stream, from) = listener.accept().await?;
        Ok((stream.into_split(), canonical(from)))
    }

    async fn dial(&self, to: SocketAddr) -> io::Result<(Halves<Self>, SocketAddr)> {
        let socket = self.socket(to)?;
        if let Some(source) = self.dial_from.filter(|source| source.is_ipv4() == to.is_ipv4()) {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        let stream: TcpStream = TcpSocket::from_std_stream(socket.into()).connect(to).await?;
        let local = stream.local_addr()?;
        Ok((stream.into_split(), local))
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(lookup_host(name).await?.collect())
    }

    async fn broken(&self, read: &OwnedReadHalf) -> io::Error {
        let broken = async {
            read.ready(Interest::ERROR).await?;
            read.as_ref().take_error()
        };
        match broken.await {
            Ok(Some(error)) | Err(error) => error,
            // It was asked for already, by a write.
            Ok(None) => io::ErrorKind::ConnectionReset.into(),
        }
    }
}

/// An address as the core compares it: IPv4 from a dual-stack listener is IPv4.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// The kernel's error in the core's terms. Errors that are not the kernel's are told by their kind.
pub(crate) fn cause(error: &io::Error) -> TransportCause {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        NetworkUnreachable, NotConnected, TimedOut, UnexpectedEof,
    };
    match Errno::from_io_error(error) {
        Some(
            Errno::NETDOWN
            | Errno::HOSTDOWN
            | Errno::ACCESS
            | Errno::PERM
            | Errno::ADDRNOTAVAIL
            | Errno::AFNOSUPPORT
            | Errno::INVAL,
        ) => return TransportCause::Unreachable,
        Some(
            Errno::MFILE
            | Errno::NFILE
            | Errno::NOBUFS
            | Errno::NOMEM
            | Errno::NOSPC
            | Errno::ADDRINUSE
            | Errno::AGAIN,
        ) => return TransportCause::LocalResources,
        _ => {}
    }
    match error.kind() {
        ConnectionRefused => TransportCause::Refused,
        ConnectionReset | BrokenPipe | ConnectionAborted | NotConnected => TransportCause::Reset,
        NetworkUnreachable | HostUnreachable => TransportCause::Unreachable,
        TimedOut => TransportCause::TimedOut,
        UnexpectedEof => TransportCause::Eof,
        _ => TransportCause::Other,
    }
}

/// Whether an error of `accept` is that of the new connection alone, as Linux reports them.
pub(crate) fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::INTR
                | Errno::CONNABORTED
                | Errno::PROTO
                | Errno::PERM
                | Errno::NETDOWN
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
                | Errno::TIMEDOUT
        )
    )
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn both_ends_have_every_option_and_the_source_address() {
        let network = Tcp { dial_from: Some([127, 0, 0, 9].into()), ..Tcp::default() };
        let (mut listener, at) = network.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (dialed, accepted) = tokio::join!(network.dial(at), network.accept(&mut listener));
        let ((dialed, local), (accepted, from)) = (dialed.unwrap(), accepted.unwrap());
        assert_eq!(local, from);
        assert_eq!(from.ip(), IpAddr::from([127, 0, 0, 9]));
        for (read, _) in [&dialed, &accepted] {
            let socket = SockRef::from(read.as_ref());
            assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(10));
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(30)));
            assert_eq!(socket.tcp_notsent_lowat().unwrap(), 32 * 1024);
        }
    }

    #[tokio::test]
    async fn a_dial_that_fails_says_why() {
        let network = Tcp { dial_from: Some([127, 0, 0, 1].into()), ..Tcp::default() };
        let (nobody, at) = network.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        drop(nobody);
        let refused = network.dial(at).await.map(|_| ()).unwrap_err();
        assert_eq!(cause(&refused), TransportCause::Refused);
        // From a loopback address there is no way to the world.
        let unreachable = network.dial("192.0.2.1:24100".parse().unwrap()).await.map(|_| ()).unwrap_err();
        assert_eq!(cause(&unreachable), TransportCause::Unreachable);
    }
}
