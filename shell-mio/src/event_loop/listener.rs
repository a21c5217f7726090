//! Accepting at a bounded rate, and waiting while the process is out of descriptors.
//!
//! Whoever connects faster than that waits in the kernel, whose queue is bounded too: taking a connection and
//! closing it again costs about 20 µs, and a crowd that does nothing else gets a tenth of one core at most.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use rustix::io::Errno;
use timed_core::{Mono, TransportCause};

use super::sockets;

/// First wait after a failure of our own; doubles with each further one.
const WAIT_FIRST: Duration = Duration::from_millis(100);
/// Longest wait.
const WAIT_LONGEST: Duration = Duration::from_secs(1);

/// Between two connections, on average.
const ACCEPT_EVERY: Duration = Duration::from_micros(200);
/// Connections at once, after a time without any: as many as wait in the kernel at most.
const ACCEPTS_AT_ONCE: u32 = 1024;
/// How long the listener rests when it has been too fast: one turn of the loop then takes a few connections.
const REST: Duration = Duration::from_millis(2);

/// The listening socket and whether it is worth asking.
#[derive(Debug)]
pub(super) struct Listener {
    socket: TcpListener,
    state: State,
    rate: Rate,
    /// Failures since the queue was last seen empty.
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The queue was empty when last looked at; an event will come.
    Idle,
    /// Somebody may be waiting.
    Ready,
    /// Out of resources, or too fast: those who connect wait in the kernel.
    Paused { until: Mono },
}

/// The time at which every connection that was taken is allowed for: ahead of the clock by as much as was
/// taken at once.
#[derive(Clone, Copy, Debug)]
struct Rate(Mono);

impl Rate {
    /// Counts one connection. Answers when the listener has to rest until, if that was the last for now.
    fn spend(&mut self, now: Mono) -> Option<Mono> {
        self.0 = self.0.max(now) + ACCEPT_EVERY;
        let ahead = self.0.since(now);
        (ahead + ACCEPT_EVERY > ACCEPT_EVERY * ACCEPTS_AT_ONCE).then(|| now + REST)
    }
}

/// The answer to one attempt.
#[derive(Debug)]
pub(super) enum Accepted {
    /// A connection.
    Stream(TcpStream, SocketAddr),
    /// Nobody waits, or it is not the time to look.
    Nobody,
    /// Nobody waits any more: a row of failures is over.
    Recovered {
        /// How long the row was.
        failures: u32,
    },
    /// A connection was gone before it could be accepted: there may be another.
    Lost,
    /// Out of resources.
    Paused {
        /// Why.
        cause: TransportCause,
        /// When it is tried again.
        retry_in: Duration,
        /// Failures in a row, this one included.
        failures: u32,
    },
}

impl Listener {
    pub(super) const fn new(socket: TcpListener) -> Self {
        Self { socket, state: State::Idle, rate: Rate(Mono(0)), failures: 0 }
    }

    pub(super) const fn socket_mut(&mut self) -> &mut TcpListener {
        &mut self.socket
    }

    /// An event came. It does not shorten a pause.
    pub(super) fn mark_ready(&mut self) {
        if self.state == State::Idle {
            self.state = State::Ready;
        }
    }

    /// When the listener wants a turn of the loop: now, at the end of its pause, or not before an event.
    pub(super) const fn wants_turn(&self, now: Mono) -> Option<Mono> {
        match self.state {
            State::Idle => None,
            State::Ready => Some(now),
            State::Paused { until } => Some(until),
        }
    }

    /// Takes one connection out of the kernel's queue.
    pub(super) fn accept(&mut self, now: Mono) -> Accepted {
        match self.state {
            State::Idle => return Accepted::Nobody,
            State::Paused { until } if now < until => return Accepted::Nobody,
            State::Paused { .. } | State::Ready => {}
        }
        match self.socket.accept() {
            Ok((stream, from)) => {
                self.state = self.rate.spend(now).map_or(State::Ready, |until| State::Paused { until });
                Accepted::Stream(stream, sockets::canonical(from))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.state = State::Idle;
                match std::mem::replace(&mut self.failures, 0) {
                    0 => Accepted::Nobody,
                    failures => Accepted::Recovered { failures },
                }
            }
            Err(error) if concerns_one_connection(&error) => Accepted::Lost,
            Err(error) => {
                let retry_in = WAIT_LONGEST.min(WAIT_FIRST * 2_u32.pow(self.failures.min(8)));
                self.state = State::Paused { until: now + retry_in };
                self.failures = self.failures.saturating_add(1);
                Accepted::Paused { cause: sockets::cause(&error), retry_in, failures: self.failures }
            }
        }
    }
}

/// Linux reports errors of the new connection as errors of `accept`.
fn concerns_one_connection(error: &io::Error) -> bool {
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
    use super::*;

    #[test]
    fn hs_04_a_crowd_gets_a_burst_and_then_the_rate() {
        let mut rate = Rate(Mono(0));
        let mut now = Mono(0) + Duration::from_secs(1);
        let mut taken = 0;
        let mut wakes = 0;
        let until = now + Duration::from_secs(1);
        while now < until {
            wakes += 1;
            let rest = loop {
                taken += 1;
                if let Some(until) = rate.spend(now) {
                    break until;
                }
            };
            now = rest;
        }
        assert!((6_000..=6_100).contains(&taken), "{taken} in a second");
        assert!(wakes <= 500, "{wakes} wake-ups");
    }
}
