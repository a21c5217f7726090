//! The second after a close in which the last bytes arrive.
//!
//! A socket that is dropped while it holds unread bytes answers with a reset, and a reset may destroy what was
//! sent before it: the goodbye that says why. So our sending end is closed first, what still comes in is
//! thrown away, and the socket is dropped when the peer has closed too, or after a second. The core knows
//! nothing of it.

use std::collections::VecDeque;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry};
use timed_core::Mono;

use super::connections::{self, Io, Rest};
use super::sockets;
use super::token::Source;

/// How long a peer may take to close its end.
const LINGER: Duration = Duration::from_secs(1);
/// Sockets that linger at most; one more ends the oldest.
pub(super) const LINGERING_MAX: usize = 256;
/// Reads thrown away an event; one who sends faster than that has no ear for a goodbye.
const READS: usize = 64;

/// Closed connections whose last bytes are under way, oldest first.
#[derive(Debug, Default)]
pub(super) struct Lingering {
    sockets: VecDeque<Socket>,
    next: u32,
}

#[derive(Debug)]
struct Socket {
    number: u32,
    stream: TcpStream,
    rest: Rest,
    until: Mono,
}

/// Whether a socket has to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stay {
    Longer,
    Done,
}

/// Whether another socket was ended early for a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Enough,
    CutOldest,
}

impl Lingering {
    /// Takes over a registered socket and what it still has to send. `scratch` is any buffer.
    pub(super) fn add(
        &mut self,
        registry: &Registry,
        now: Mono,
        mut stream: TcpStream,
        rest: Rest,
        scratch: &mut [u8],
    ) -> Room {
        let number = self.next;
        self.next = number.wrapping_add(1);
        let token = Source::Lingering(number).into();
        if rest.is_empty() {
            sockets::finish_sending(&stream);
        }
        if registry.reregister(&mut stream, token, Interest::READABLE | Interest::WRITABLE).is_err() {
            return Room::Enough;
        }
        let mut socket = Socket { number, stream, rest, until: now + LINGER };
        if socket.pump(scratch) == Stay::Done {
            drop_socket(registry, socket);
            return Room::Enough;
        }
        self.sockets.push_back(socket);
        if self.sockets.len() <= LINGERING_MAX {
            return Room::Enough;
        }
        if let Some(oldest) = self.sockets.pop_front() {
            drop_socket(registry, oldest);
        }
        Room::CutOldest
    }

    /// An event came for a lingering socket.
    pub(super) fn handle(&mut self, registry: &Registry, number: u32, scratch: &mut [u8]) {
        let Some(at) = self.sockets.iter().position(|socket| socket.number == number) else { return };
        let stay = self.sockets.get_mut(at).map_or(Stay::Done, |socket| socket.pump(scratch));
        if let Some(socket) = (stay == Stay::Done).then(|| self.sockets.remove(at)).flatten() {
            drop_socket(registry, socket);
        }
    }

    /// Drops the sockets whose time is over.
    pub(super) fn expire(&mut self, registry: &Registry, now: Mono) {
        while self.sockets.front().is_some_and(|oldest| oldest.until <= now) {
            if let Some(oldest) = self.sockets.pop_front() {
                drop_socket(registry, oldest);
            }
        }
    }

    /// When [`Lingering::expire`] has something to do.
    pub(super) fn next_expiry(&self) -> Option<Mono> {
        self.sockets.front().map(|oldest| oldest.until)
    }

    pub(super) fn len(&self) -> usize {
        self.sockets.len()
    }
}

impl Socket {
    /// Sends the rest, then our end of stream; throws away what comes in.
    fn pump(&mut self, scratch: &mut [u8]) -> Stay {
        while !self.rest.is_empty() {
            match connections::write(&mut self.stream, self.rest.as_slice()) {
                Io::Moved(count) => self.rest.take(count),
                Io::Blocked | Io::Ended => break,
                Io::Failed(_) => return Stay::Done,
            }
            if self.rest.is_empty() {
                sockets::finish_sending(&self.stream);
            }
        }
        for _ in 0..READS {
            match connections::read(&mut self.stream, scratch) {
                Io::Moved(_) => {}
                Io::Blocked => return Stay::Longer,
                Io::Ended | Io::Failed(_) => return Stay::Done,
            }
        }
        Stay::Done
    }
}

fn drop_socket(registry: &Registry, mut socket: Socket) {
    // It may have failed at the poll already; dropping it is all that is left to do either way.
    let _ = registry.deregister(&mut socket.stream);
}
