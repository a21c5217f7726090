//! What a connection costs that is not let in: the acceptor's thread alone, against a bare mio loop that accepts and
//! closes.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;
use timed_core::{CloseReason, Command, ConnId, Event, Input, Mono, Node, Now, Refused, Transmit};
use timed_mio::{Core, Remote, Store};

use crate::application::wait_for;
use crate::measure::compare;
use crate::measure::network::{Member, Setting, node};
use crate::measure::table::{Unit, against, heading};
use crate::star::bind;

const ROUNDS: usize = 9;
/// Connections a round: fewer than a listener takes at once.
const CROWD: u64 = 900;
/// Connections that the crowd holds on to: more than have a place.
const HELD: usize = 100;
/// Connections between two rests of the crowd, so that the kernel's queue never overflows.
const AT_ONCE: u64 = 16;

pub(crate) fn print() {
    heading("a connection that is not let in, the acceptor's end");
    let (mut bare, mut refusing) = (Door::bare(), Door::of_a_node(Conduct::Refuses));
    let refused = compare(ROUNDS, || bare.crowd(), || refusing.crowd());
    against("refused at once, against accept and close", Unit::Micros, refused, 1.5, 1.1);
    drop(refusing);
    let mut evicting = Door::of_a_node(Conduct::AsEver);
    let evicted = compare(ROUNDS, || bare.crowd(), || evicting.crowd());
    against("silent, evicted by the next, against the same", Unit::Micros, evicted, 1.5, 1.5);
}

/// What the acceptor's thread counts.
#[derive(Debug, Default)]
struct Meter {
    /// Connections taken.
    taken: AtomicU64,
    /// CPU nanoseconds of the thread when the last whole crowd had been taken.
    cpu: AtomicU64,
    over: AtomicBool,
}

impl Meter {
    fn count(&self) {
        let taken = self.taken.load(Relaxed) + 1;
        if taken.is_multiple_of(CROWD) {
            let used = clock_gettime(ClockId::ThreadCPUTime);
            let nanos = used.tv_sec * 1_000_000_000 + used.tv_nsec;
            self.cpu.store(u64::try_from(nanos).expect("CPU time is not negative"), Relaxed);
        }
        self.taken.store(taken, Relaxed);
    }
}

/// A listener, and the crowd before it.
struct Door {
    addr: SocketAddr,
    meter: Arc<Meter>,
    held: VecDeque<TcpStream>,
    thread: Option<JoinHandle<()>>,
    remote: Option<Remote>,
    _stores: TempDir,
}

impl Door {
    fn bare() -> Self {
        let mut listener = mio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .expect("loopback has a free port");
        let (addr, meter) = (listener.local_addr().expect("it is bound"), Arc::<Meter>::default());
        let counting = Arc::clone(&meter);
        let thread = std::thread::spawn(move || {
            let mut poll = Poll::new().expect("descriptors are left");
            let mut events = Events::with_capacity(16);
            poll.registry().register(&mut listener, Token(0), Interest::READABLE).expect("it is a socket");
            while !counting.over.load(Relaxed) {
                match poll.poll(&mut events, Some(Duration::from_secs(1))) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    result => result.expect("the poll lives"),
                }
                while let Ok((stream, _)) = listener.accept() {
                    drop(stream);
                    counting.count();
                }
            }
        });
        Self::new(addr, meter, thread, None, TempDir::new().expect("there is room for temporary files"))
    }

    fn of_a_node(conduct: Conduct) -> Self {
        let stores = TempDir::new().expect("there is room for temporary files");
        let shell = bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let (addr, meter, remote) = (shell.local_addr(), Arc::<Meter>::default(), shell.remote());
        let member = Member::new(0, SocketAddr::from(([127, 0, 0, 2], 1)));
        let node = node(&member, Setting::knowing(vec![member.entry()]), timed_mio::now());
        let core = Metered { node, conduct, meter: Arc::clone(&meter) };
        let path = stores.path().join("store.redb");
        let thread = std::thread::spawn(move || {
            let (store, _) = Store::open(path).expect("the directory is ours");
            drop(shell.run(core, store, |_: &Event| {}));
        });
        Self::new(addr, meter, thread, Some(remote), stores)
    }

    fn new(
        addr: SocketAddr,
        meter: Arc<Meter>,
        thread: JoinHandle<()>,
        remote: Option<Remote>,
        stores: TempDir,
    ) -> Self {
        Self { addr, meter, held: VecDeque::new(), thread: Some(thread), remote, _stores: stores }
    }

    /// CPU microseconds of the acceptor's thread for each connection of a crowd.
    fn crowd(&mut self) -> f64 {
        let (before, taken) = (self.meter.cpu.load(Relaxed), self.meter.taken.load(Relaxed));
        for number in 1..=CROWD {
            self.held.push_back(TcpStream::connect(self.addr).expect("it listens"));
            if self.held.len() > HELD {
                self.held.pop_front();
            }
            if number.is_multiple_of(AT_ONCE) {
                sleep(Duration::from_millis(1));
            }
        }
        wait_for(&self.meter.taken, taken + CROWD);
        let used = self.meter.cpu.load(Relaxed) - before;
        // Until the listener may take as many at once again.
        sleep(Duration::from_millis(250));
        #[allow(clippy::cast_precision_loss)] // Far below 2^52.
        let each = used as f64 / 1e3 / CROWD as f64;
        each
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.meter.over.store(true, Relaxed);
        if let Some(remote) = &self.remote {
            remote.stop();
        }
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// How a node treats who comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conduct {
    /// It takes nobody, as where the address is banned.
    Refuses,
    /// It is a node.
    AsEver,
}

/// A node whose shell's thread is measured.
struct Metered {
    node: Node,
    conduct: Conduct,
    meter: Arc<Meter>,
}

impl Core for Metered {
    fn accept(&mut self, now: Now, from: SocketAddr) -> Result<ConnId, Refused> {
        self.meter.count();
        match self.conduct {
            Conduct::Refuses => Err(Refused(CloseReason::Banned)),
            Conduct::AsEver => self.node.accept(now, from),
        }
    }

    fn handle(&mut self, now: Now, input: Input<'_>) {
        self.node.handle(now, input);
    }

    fn next_command(&mut self) -> Option<Command> {
        self.node.next_command()
    }

    fn transmit(&mut self, now: Now, conn: ConnId, budget: usize, out: &mut Vec<u8>) -> Transmit {
        self.node.transmit(now, conn, budget, out)
    }

    fn deadline(&self) -> Option<Mono> {
        self.node.deadline()
    }
}
