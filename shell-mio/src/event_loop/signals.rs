//! SIGTERM, SIGINT, SIGHUP as events of the loop.

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
}

/// The installed handlers.
pub(super) struct Signals(hook::Signals);

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signals")
    }
}

impl Signals {
    /// Takes the three signals from their default meaning.
    pub(super) fn install(registry: &Registry) -> io::Result<Self> {
        let mut signals = hook::Signals::new([Signal::TERM, Signal::INT, Signal::HUP].map(Signal::as_raw))?;
        registry.register(&mut signals, Source::Signals.into(), mio::Interest::READABLE)?;
        Ok(Self(signals))
    }

    /// What has been asked for since the last call.
    pub(super) fn pending(&mut self) -> impl Iterator<Item = Order> {
        let hangup = Signal::HUP.as_raw();
        self.0.pending().map(move |signal| if signal == hangup { Order::Reload } else { Order::Stop })
    }
}
