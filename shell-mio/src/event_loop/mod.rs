//! The event loop: one thread, edge-triggered, policy zero.
//!
//! | file | mechanism |
//! |---|---|
//! | `driver` | the turn of the loop: wait, read, accept, tick, settle |
//! | `commands` | the core's commands carried out, its bytes moved |
//! | `answers` | what other threads do for the core: the store, the application, the loader, the resolver |
//! | `workers` | the threads of the application, the loader and the resolver |
//! | `connections` | the sockets by [`ConnId`](timed_core::ConnId), and what one read or write on them says |
//! | `listener` | accepting, and waiting while the process is out of descriptors |
//! | `linger` | the second after a close in which the last bytes arrive |
//! | `sockets` | socket options, dialing, the kernel's errors as causes |
//! | `latencies` | durations counted by bounds |
//! | `inbox` | requests, stop orders and durable tickets from other threads; the snapshot they read |
//! | `remote` | the handle that other threads hold |
//! | `signals` | SIGTERM, SIGINT, SIGHUP, SIGUSR2 |
//! | `sink` | where events go |
//! | `token` | names of event sources at the poll |
//! | `clock` | the two clocks |

mod answers;
mod clock;
mod commands;
mod connections;
mod driver;
mod inbox;
mod latencies;
mod linger;
mod listener;
mod remote;
mod signals;
mod sink;
mod sockets;
mod token;
mod workers;

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

use mio::{Interest, Poll, Waker};
use timed_core::{Core, Fatal, Limits};

use self::driver::{Driver, State};
use self::inbox::{Asked, Shared};
use self::listener::Listener;
use self::signals::Signals;
use self::token::Source;
use crate::application::{Application, ApplicationError, FifoPayload};
use crate::names::NameService;
use crate::store::Store;

pub use self::clock::now;
pub use self::latencies::Latencies;
pub use self::remote::{Answer, Busy, Driven, LoopCounters, NoReply, PendingReply, Remote};
pub use self::sink::{EventSink, ShellEvent, StopCause};
pub use self::sockets::SocketOptions;

/// What a shell is told at its start.
#[derive(Clone, Debug)]
pub struct ShellConfig {
    /// Where to listen. Port 0 takes a free one; `[::]` takes IPv4 too.
    pub listen: SocketAddr,
    /// Source address of outbound connections of the same family; `None` leaves it to the kernel.
    pub dial_from: Option<IpAddr>,
    /// Options of every connection.
    pub sockets: SocketOptions,
}

/// Descriptors that a loop holds at most while it drives a core with these limits: its sockets, those whose
/// last bytes are under way, and a few for the poll, the listener, the store and its log.
#[must_use]
pub const fn descriptors(limits: &Limits) -> usize {
    limits.max_peers + limits.unauthenticated + limits.dialing + linger::LINGERING_MAX + OTHER_DESCRIPTORS
}

/// The standard streams, the poll, its waker, the signals, the listener and the store, twice over.
const OTHER_DESCRIPTORS: usize = 32;

impl ShellConfig {
    /// Listens on `listen`, dials from there too if it is a specific address, default options.
    #[must_use]
    pub fn listening_on(listen: SocketAddr) -> Self {
        let ip = listen.ip().to_canonical();
        Self { listen, dial_from: (!ip.is_unspecified()).then_some(ip), sockets: SocketOptions::default() }
    }
}

/// Why a shell could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process listens there.
    #[error("cannot listen on {0}: the address is in use; is another instance running?")]
    InUse(SocketAddr),
    /// The address belongs to no interface of this machine.
    #[error("cannot listen on {0}: this machine has no interface with that address")]
    NotAvailable(SocketAddr),
    /// A privileged port, or a policy that forbids it.
    #[error(
        "cannot listen on {0}: permission denied; ports below 1024 need the capability CAP_NET_BIND_SERVICE"
    )]
    Permission(SocketAddr),
    /// Anything else that the operating system reports about the address.
    #[error("cannot listen on {addr}: {error}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The operating system's words.
        error: io::Error,
    },
    /// The poll itself could not be set up: out of descriptors or memory.
    #[error("cannot set up the event loop: {0}")]
    Poll(io::Error),
}

/// How a run of the loop ended.
#[derive(Debug)]
#[must_use]
pub enum Exit {
    /// As asked: the core said goodbye to everyone and every connection is closed.
    Stopped,
    /// A second order to stop came before the first was carried out.
    Interrupted,
    /// Stopping took longer than 8 s; the rest was cut off.
    StopTimedOut,
    /// The core halted.
    Fatal(Fatal),
    /// The application could not go on.
    Application(ApplicationError),
    /// The poll failed or a thread could not be started; no connection can be served.
    Io(io::Error),
}

/// A listening socket and everything else the loop needs before it runs.
#[derive(Debug)]
pub struct Shell {
    config: ShellConfig,
    local: SocketAddr,
    poll: Poll,
    listener: Listener,
    signals: Option<Signals>,
    requests: Receiver<Asked>,
    shared: Arc<Shared>,
    remote: Remote,
    application: Option<Arc<dyn Application>>,
    names: Option<Arc<dyn NameService>>,
}

impl Shell {
    /// Binds the listener. Connections wait in the kernel until [`Shell::run`].
    ///
    /// # Errors
    /// If the address cannot be had; the error names it.
    pub fn bind(config: ShellConfig) -> Result<Self, BindError> {
        let addr = config.listen;
        let listening = |error: io::Error| match error.kind() {
            ErrorKind::AddrInUse => BindError::InUse(addr),
            ErrorKind::AddrNotAvailable => BindError::NotAvailable(addr),
            ErrorKind::PermissionDenied => BindError::Permission(addr),
            _ => BindError::Listen { addr, error },
        };
        let socket = sockets::listen(addr, &config.sockets).map_err(listening)?;
        let local = socket.local_addr().map_err(listening)?;
        let mut listener = Listener::new(socket);
        let poll = Poll::new().map_err(BindError::Poll)?;
        poll.registry()
            .register(listener.socket_mut(), Source::Listener.into(), Interest::READABLE)
            .map_err(BindError::Poll)?;
        let waker = Waker::new(poll.registry(), Source::Inbox.into()).map_err(BindError::Poll)?;
        let shared = Arc::new(Shared::new(waker));
        let (asking, requests) = mpsc::sync_channel(inbox::QUEUE);
        let remote = Remote::new(asking, Arc::clone(&shared));
        Ok(Self {
            config,
            local,
            poll,
            listener,
            signals: None,
            requests,
            shared,
            remote,
            application: None,
            names: None,
        })
    }

    /// Where it listens, with the port that port 0 became.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The handle for other threads; any number may be taken, before the run too.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// From now on SIGTERM and SIGINT stop this shell (a second one at once), SIGHUP becomes [`ShellEvent::Reload`] and
    /// SIGUSR2 [`ShellEvent::Record`]. For the one shell of a process; without it, signals keep their meaning.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn take_signals(&mut self) -> io::Result<()> {
        self.signals = Some(Signals::install(self.poll.registry())?);
        Ok(())
    }

    /// What blocks carry from now on; without it, [`FifoPayload`].
    pub fn use_application(&mut self, application: Arc<dyn Application>) {
        self.application = Some(application);
    }

    /// Who says what the names of bootstrap peers stand for; without it, names stand for nothing.
    pub fn use_names(&mut self, names: Arc<dyn NameService>) {
        self.names = Some(names);
    }

    /// Runs the loop on the calling thread until the core has stopped, halted, or the second order to stop.
    ///
    /// `core` is a [`timed_core::Node`] or a [`timed_core::flight::Recorder`], made with a reading of [`now`]. `store` gets its records and blocks; when the
    /// run ends every acknowledged record is durable and the store is closed. `sink` is called on this thread
    /// and must not block.
    pub fn run(self, core: impl Core, store: Store, sink: impl EventSink) -> Exit {
        match self.driver(core, store, sink) {
            Ok(driver) => driver.run(),
            Err(error) => Exit::Io(error),
        }
    }

    /// Starts the other threads.
    fn driver<C: Core, S: EventSink>(self, core: C, store: Store, sink: S) -> io::Result<Driver<C, S>> {
        let Self { config, poll, listener, signals, requests, shared, application, names, .. } = self;
        let wake = || {
            let shared = Arc::clone(&shared);
            move || shared.notify()
        };
        let reader = store.reader();
        let carrying = application.unwrap_or_else(|| Arc::new(FifoPayload::new(reader.clone())));
        let loader = workers::loader(reader, wake())?;
        let resolver = names.map(|names| workers::resolver(names, wake())).transpose()?;
        let application = workers::application(Arc::clone(&carrying), wake())?;
        let store = store.start(carrying, wake())?;
        let state = State::new();
        Ok(Driver {
            core,
            sink,
            store,
            application,
            loader,
            resolver,
            config,
            poll,
            listener,
            signals,
            requests,
            shared,
            state,
        })
    }
}
