//! The sockets by [`ConnId`], and what one read or write on them says.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;
use mio::{Interest, Registry};
use timed_core::{ConnId, Reading, TransportCause};

use super::sockets;
use super::token::Source;

/// One socket that the core knows.
#[derive(Debug)]
pub(super) struct Connection {
    id: ConnId,
    stream: TcpStream,
    pub(super) phase: Phase,
    pub(super) reading: Reading,
    pub(super) health: Health,
    pub(super) pace: Pace,
    pub(super) voice: Voice,
    /// Whether it waits in the list of those to be read.
    pub(super) to_read: bool,
    /// Whether it waits in the list of those to be flushed.
    pub(super) to_flush: bool,
    rest: Rest,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The kernel is connecting.
    Dialing,
    /// Established.
    Open,
}

/// What the kernel has hinted about a connection's future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// Nothing.
    Sound,
    /// No more than what the socket holds will arrive, and no event will announce the end.
    Ending,
    /// It takes nothing any more. What it still holds is read, as it may say why, then it is lost.
    Broken(TransportCause),
}

/// Whether this end has said anything: only then has a close something to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    /// Nothing was written yet.
    Silent,
    /// Something was.
    Heard,
}

/// How much is taken from the core at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// The socket has taken everything so far.
    Full,
    /// The socket was full: what is taken from the core and not by the socket can no longer be overtaken.
    Careful,
}

impl Pace {
    /// Bytes.
    pub(super) const fn budget(self) -> usize {
        match self {
            Self::Full => 64 * 1024,
            // Room for one record of the greatest size.
            Self::Careful => 24 * 1024,
        }
    }
}

/// Sealed bytes that the socket has not taken yet; holds no memory while there are none.
#[derive(Debug, Default)]
pub(super) struct Rest {
    bytes: Vec<u8>,
    taken: usize,
}

impl Rest {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), taken: 0 }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) const fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    pub(super) fn take(&mut self, count: usize) {
        self.taken += count;
        if self.taken >= self.bytes.len() {
            *self = Self::default();
        }
    }
}

/// What one call of the kernel did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Io {
    /// So many bytes.
    Moved(usize),
    /// None: an event will tell when there is more to do.
    Blocked,
    /// Reading: the peer's end of stream.
    Ended,
    /// The connection is broken.
    Failed(TransportCause),
}

fn outcome(mut call: impl FnMut() -> io::Result<usize>) -> Io {
    loop {
        return match call() {
            Ok(0) => Io::Ended,
            Ok(count) => Io::Moved(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Io::Blocked,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => Io::Failed(sockets::cause(&error)),
        };
    }
}

/// Reads once.
pub(super) fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> Io {
    outcome(|| stream.read(buffer))
}

/// Writes once.
pub(super) fn write(stream: &mut TcpStream, bytes: &[u8]) -> Io {
    match outcome(|| stream.write(bytes)) {
        Io::Ended => Io::Blocked,
        other => other,
    }
}

impl Connection {
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Io {
        read(&mut self.stream, buffer)
    }

    /// Writes and keeps what the socket does not take. Only while there is no rest.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Io {
        self.voice = Voice::Heard;
        let done = write(&mut self.stream, bytes);
        let taken = match done {
            Io::Moved(count) => count,
            Io::Blocked => 0,
            Io::Ended | Io::Failed(_) => return done,
        };
        if let Some(left) = bytes.get(taken..).filter(|left| !left.is_empty()) {
            self.rest = Rest::new(left);
            self.pace = Pace::Careful;
        }
        done
    }

    /// Writes the rest.
    pub(super) fn write_rest(&mut self) -> Io {
        let done = write(&mut self.stream, self.rest.as_slice());
        if let Io::Moved(count) = done {
            self.rest.take(count);
        }
        done
    }

    /// Whether the socket was full and has not become writable since.
    pub(super) const fn is_blocked(&self) -> bool {
        !self.rest.is_empty()
    }

    pub(super) const fn rest_len(&self) -> usize {
        self.rest.len()
    }

    /// What has become of the dial.
    pub(super) fn dial_progress(&self) -> sockets::Dial {
        sockets::progress(&self.stream)
    }

    /// The error that the socket has met, if any; asks once.
    pub(super) fn take_error(&self) -> Option<TransportCause> {
        match self.stream.take_error() {
            Ok(None) => None,
            Ok(Some(error)) | Err(error) => Some(sockets::cause(&error)),
        }
    }

    pub(super) fn into_parts(self) -> (TcpStream, Rest) {
        (self.stream, self.rest)
    }
}

/// Every open connection, at the index that the core gave it.
#[derive(Debug, Default)]
pub(super) struct Connections {
    slots: Vec<Option<Connection>>,
    open: usize,
}

impl Connections {
    /// Adds a socket to the table and to the poll.
    pub(super) fn insert(
        &mut self,
        registry: &Registry,
        id: ConnId,
        mut stream: TcpStream,
        phase: Phase,
    ) -> io::Result<()> {
        registry.register(&mut stream, Source::from(id).into(), Interest::READABLE | Interest::WRITABLE)?;
        let index = id.index() as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        if let Some(slot) = self.slots.get_mut(index) {
            debug_assert!(slot.is_none(), "the core gives an index again only after Closed");
            *slot = Some(Connection {
                id,
                stream,
                phase,
                reading: Reading::Resume,
                health: Health::Sound,
                pace: Pace::Full,
                voice: Voice::Silent,
                to_read: false,
                to_flush: false,
                rest: Rest::default(),
            });
            self.open += 1;
        }
        Ok(())
    }

    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.slots.get_mut(id.index() as usize)?.as_mut().filter(|connection| connection.id == id)
    }

    /// The id of the connection that an event names, if it is still open.
    pub(super) fn find(&self, index: u32, generation: u32) -> Option<ConnId> {
        let id = self.slots.get(index as usize)?.as_ref()?.id;
        (id.generation() == generation).then_some(id)
    }

    /// Takes a connection out of the table; its socket is still registered at the poll.
    pub(super) fn remove(&mut self, id: ConnId) -> Option<Connection> {
        self.get_mut(id)?;
        let removed = self.slots.get_mut(id.index() as usize)?.take();
        self.open -= usize::from(removed.is_some());
        removed
    }

    pub(super) const fn open(&self) -> usize {
        self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_index_answers_to_its_new_name_only() {
        let poll = mio::Poll::new().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (old, new) = (ConnId::from_parts(3, 1), ConnId::from_parts(3, 2));
        let mut connections = Connections::default();
        connections.insert(poll.registry(), old, connect(), Phase::Open).unwrap();
        assert_eq!(connections.find(3, 1), Some(old));
        assert!(connections.remove(old).is_some() && connections.remove(old).is_none());
        connections.insert(poll.registry(), new, connect(), Phase::Open).unwrap();
        assert_eq!((connections.find(3, 1), connections.find(3, 2)), (None, Some(new)));
        assert!(connections.get_mut(old).is_none() && connections.remove(old).is_none());
        assert_eq!((connections.open(), connections.find(7, 0)), (1, None));
    }

    #[test]
    fn a_rest_is_given_out_in_order_and_holds_nothing_when_it_is_gone() {
        let mut rest = Rest::new(b"abcdef");
        rest.take(2);
        assert_eq!((rest.as_slice(), rest.len()), (&b"cdef"[..], 4));
        rest.take(4);
        assert!(rest.is_empty() && rest.bytes.capacity() == 0);
    }
}
