//! SIGTERM, SIGINT, SIGHUP, SIGUSR2 as events of the loop.

use std::fmt;
use std::io;

use mio::Registry;
use rustix::process::Signal;
use signal_hook_mio::v1_0 as hook;

use super::token::Source;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
    /// SIGUSR2.
    Record,
}

/// The installed handlers.
pub(super) struct Signals(hook::Signals);

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signals")
    }
}

impl Signals {
    /// Takes the four signals from their default meaning.
    pub(super) fn install(registry: &Registry) -> io::Result<Self> {
        let taken = [Signal::TERM, Signal::INT, Signal::HUP, Signal::USR2];
        let mut signals = hook::Signals::new(taken.map(Signal::as_raw))?;
        registry.register(&mut signals, Source::Signals.into(), mio::Interest::READABLE)?;
        Ok(Self(signals))
    }

    /// What has been asked for since the last call.
    pub(super) fn pending(&mut self) -> impl Iterator<Item = Order> {
        let (hangup, user) = (Signal::HUP.as_raw(), Signal::USR2.as_raw());
        self.0.pending().map(move |signal| match signal {
            signal if signal == hangup => Order::Reload,
            signal if signal == user => Order::Record,
            _ => Order::Stop,
        })
    }
}
