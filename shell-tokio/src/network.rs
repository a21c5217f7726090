//! What a node asks of a network: to listen, to dial, to resolve names. TCP is [`Tcp`](crate::Tcp); a test may give
//! it another.

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};

/// The two directions of a connection.
pub type Halves<N> = (<N as Network>::Read, <N as Network>::Write);

/// Where connections come from. Errors are the operating system's: what they mean for a peer is said to the core by
/// their [`io::ErrorKind`].
pub trait Network: Send + Sync + 'static {
    /// Where connections come in.
    type Listener: Send + 'static;
    /// What a peer sends. An end of stream is the peer's; an error ends the connection.
    type Read: AsyncRead + Send + Sync + Unpin + 'static;
    /// What this node sends. `poll_shutdown` tells the peer that nothing more follows.
    type Write: AsyncWrite + Send + Unpin + 'static;

    /// Begins to listen; answers where, with the port that port 0 became. Called once, before anything else.
    fn listen(&self, at: SocketAddr)
    -> impl Future<Output = io::Result<(Self::Listener, SocketAddr)>> + Send;

    /// Waits for a connection; answers with it and where it comes from. Must be safe to drop at any time without
    /// losing one.
    fn accept(
        &self,
        listener: &mut Self::Listener,
    ) -> impl Future<Output = io::Result<(Halves<Self>, SocketAddr)>> + Send
    where
        Self: Sized;

    /// Connects; answers with the connection and the address of our end. Dropped when the core gives up: its
    /// time-outs are the core's.
    fn dial(&self, to: SocketAddr) -> impl Future<Output = io::Result<(Halves<Self>, SocketAddr)>> + Send
    where
        Self: Sized;

    /// What a name of [`Config::names`](crate::Config::names) stands for at present. Given up after 30 s.
    fn resolve(&self, name: &str) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;

    /// Resolves when a connection that is not being read just now has broken. A network that cannot know never does:
    /// the core finds a silent peer by itself.
    fn broken(&self, read: &Self::Read) -> impl Future<Output = io::Error> + Send {
        let _ = read;
        pending()
    }
}
