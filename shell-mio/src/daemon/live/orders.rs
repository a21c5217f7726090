//! What a person, or whoever started the program, tells it: signals, and keys on a live screen.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use rustix::process::Signal;
use signal_hook_mio::v1_0::Signals;

use super::super::failure::Failure;
use super::terminal;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Ctrl-C, SIGTERM or SIGHUP.
    Stop,
    /// Ctrl-Z on a live screen.
    Suspend,
    /// The screen is to be drawn anew: it has another size, or another program has drawn on it.
    Redraw,
}

/// Where orders come from.
pub(crate) struct Orders {
    poll: Poll,
    signals: Signals,
    /// Whether there are keys to read.
    keys: bool,
}

impl Orders {
    /// Makes signals that would end the program into orders.
    pub(crate) fn take() -> Result<Self, Failure> {
        let poll = Poll::new().map_err(|error| failed(&error))?;
        let mut signals = Signals::new([Signal::INT, Signal::TERM, Signal::HUP].map(Signal::as_raw))
            .map_err(|error| failed(&error))?;
        poll.registry()
            .register(&mut signals, Token(0), Interest::READABLE)
            .map_err(|error| failed(&error))?;
        Ok(Self { poll, signals, keys: false })
    }

    /// Heeds what concerns a live screen, too.
    pub(crate) fn watch_screen(&mut self) -> Result<(), Failure> {
        for signal in [Signal::WINCH, Signal::TSTP, Signal::CONT] {
            self.signals.add_signal(signal.as_raw()).map_err(|error| failed(&error))?;
        }
        self.keys = io::stdin().is_terminal();
        Ok(())
    }

    /// Waits for an order, for so long.
    pub(crate) fn wait(&mut self, timeout: Duration) -> Option<Order> {
        let mut events = Events::with_capacity(4);
        // An interrupted wait is as good as one that timed out.
        let _ = self.poll.poll(&mut events, Some(timeout));
        let told = self.signals.pending().filter_map(meaning);
        told.chain(self.key().then_some(Order::Stop)).max_by_key(|order| match order {
            Order::Stop => 2,
            Order::Suspend => 1,
            Order::Redraw => 0,
        })
    }

    /// Reads what was typed; whether it was the key that ends.
    fn key(&self) -> bool {
        let mut typed = [0; 64];
        // Only a terminal that is ours answers at once, and to us.
        let count = if self.keys && terminal::is_taken() {
            rustix::io::read(io::stdin(), &mut typed).unwrap_or(0)
        } else {
            0
        };
        typed.iter().take(count).any(|key| matches!(key, b'q' | b'Q'))
    }
}

fn meaning(signal: i32) -> Option<Order> {
    let is = |known: Signal| signal == known.as_raw();
    if is(Signal::INT) || is(Signal::TERM) || is(Signal::HUP) {
        Some(Order::Stop)
    } else if is(Signal::TSTP) {
        Some(Order::Suspend)
    } else {
        (is(Signal::WINCH) || is(Signal::CONT)).then_some(Order::Redraw)
    }
}

fn failed(error: &io::Error) -> Failure {
    Failure::failed(format!("cannot handle signals: {error}"))
}
