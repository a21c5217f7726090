//! Four nodes as they are: event loops, stores, the daemon's application, real cryptography.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;
use timed_core::{
    Command, ConnId, Event, FinalBlock, Height, Input, Mono, Node, Now, PayloadVerdict, Refused, Transmit,
};
use timed_mio::application::{Application, ApplicationError, Commitment, FifoPayload, Offer, Wanted};
use timed_mio::{Core, Exit, Remote, Shell, ShellConfig, Store};

use crate::measure::micros;
use crate::measure::network::{Member, Setting, node};

const NODES: u32 = 4;
/// Blocks that do not count: files grow, caches fill.
const RUN_IN: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// A network that runs until it is dropped.
pub(crate) struct Network {
    remotes: Vec<Remote>,
    threads: Vec<JoinHandle<()>>,
    told: Receiver<Told>,
    _stores: TempDir,
}

/// What a node tells of a height.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// Its payload is there.
    Produced(Height, Instant),
    /// It is durable, and with the application.
    Committed(Height, Instant),
}

impl Network {
    /// Starts it. Every block carries so many transactions of 250 bytes.
    pub(crate) fn start(transactions: usize, interval: Duration) -> Self {
        let stores = TempDir::new().expect("there is room for temporary files");
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let shells: Vec<Shell> = (0..NODES)
            .map(|_| Shell::bind(ShellConfig::listening_on(anywhere)).expect("loopback has a free port"))
            .collect();
        let members: Vec<Member> =
            (0..).zip(&shells).map(|(key, shell)| Member::new(key, shell.local_addr())).collect();
        let (tell, told) = channel();
        let (mut remotes, mut threads) = (Vec::new(), Vec::new());
        let now = timed_mio::now();
        for (index, (mut shell, member)) in shells.into_iter().zip(&members).enumerate() {
            let path = stores.path().join(format!("{index}.redb"));
            let (store, _) = Store::open(path).expect("the directory is ours");
            shell.use_application(Arc::new(Busy::new(FifoPayload::new(store.reader()), transactions)));
            let registry = members.iter().map(Member::entry).collect();
            let setting = Setting { blocks: Some(interval), ..Setting::knowing(registry) };
            let watched = Watched { node: node(member, setting, now), tell: tell.clone() };
            remotes.push(shell.remote());
            threads.push(std::thread::spawn(move || {
                let exit = shell.run(watched, store, |_: &Event| {});
                assert!(matches!(exit, Exit::Stopped), "{exit:?}");
            }));
        }
        Self { remotes, threads, told, _stores: stores }
    }

    /// Microseconds that so many blocks took, each from its payload to the last disk.
    pub(crate) fn blocks(self, count: usize) -> Vec<f64> {
        let mut open: BTreeMap<Height, (Option<Instant>, Vec<Instant>)> = BTreeMap::new();
        let mut took = Vec::new();
        while took.len() < RUN_IN + count {
            match self.told.recv_timeout(PATIENCE).expect("blocks go on") {
                // Of a round that failed, what was lost counts.
                Told::Produced(height, at) => _ = open.entry(height).or_default().0.get_or_insert(at),
                Told::Committed(height, at) => {
                    let (begun, ends) = open.entry(height).or_default();
                    ends.push(at);
                    let last = ends.iter().max().copied().filter(|_| ends.len() == NODES as usize);
                    if let (Some(begun), Some(last)) = (*begun, last) {
                        took.push(micros(last - begun));
                        open.remove(&height);
                    }
                }
            }
        }
        took.split_off(RUN_IN)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for remote in &self.remotes {
            remote.stop();
        }
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// A node whose payloads and commits are noted as they pass its door.
struct Watched {
    node: Node,
    tell: Sender<Told>,
}

impl Watched {
    fn tell(&self, told: Told) {
        // Nobody listens any more at the end of a round.
        let _ = self.tell.send(told);
    }
}

impl Core for Watched {
    fn accept(&mut self, now: Now, from: SocketAddr) -> Result<ConnId, Refused> {
        self.node.accept(now, from)
    }

    fn handle(&mut self, now: Now, input: Input<'_>) {
        if let Input::Produced { height, .. } = &input {
            self.tell(Told::Produced(*height, Instant::now()));
        }
        self.node.handle(now, input);
    }

    fn next_command(&mut self) -> Option<Command> {
        let command = self.node.next_command();
        if let Some(Command::Event(Event::BlockCommitted { height, .. })) = &command {
            self.tell(Told::Committed(*height, Instant::now()));
        }
        command
    }

    fn transmit(&mut self, now: Now, conn: ConnId, budget: usize, out: &mut Vec<u8>) -> Transmit {
        self.node.transmit(now, conn, budget, out)
    }

    fn deadline(&self) -> Option<Mono> {
        self.node.deadline()
    }
}

/// The daemon's application, with new transactions for every block.
#[derive(Debug)]
struct Busy {
    fifo: FifoPayload,
    transactions: u64,
    made: AtomicU64,
}

impl Busy {
    fn new(fifo: FifoPayload, transactions: usize) -> Self {
        Self { fifo, transactions: transactions as u64, made: AtomicU64::new(0) }
    }

    fn transaction(&self, height: Height) -> Bytes {
        let mut bytes = vec![7; 250];
        bytes[..8].copy_from_slice(&height.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.made.fetch_add(1, Relaxed).to_le_bytes());
        bytes.into()
    }
}

impl Application for Busy {
    fn produce(&self, wanted: &Wanted) -> Result<Offer, ApplicationError> {
        let transactions = (0..self.transactions).map(|_| self.transaction(wanted.height)).collect();
        self.fifo.produce(&Wanted { transactions, ..wanted.clone() })
    }

    fn validate(&self, height: Height, payload: &Bytes) -> Result<PayloadVerdict, ApplicationError> {
        self.fifo.validate(height, payload)
    }

    fn commit(&self, block: &FinalBlock) -> Result<Commitment, ApplicationError> {
        self.fifo.commit(block)
    }
}
