//! A host: a machine with an address, clocks and a disk, and the process that runs on it, if any.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use timed_core::crypto::Provider;
use timed_core::{
    Config, ConfigError, ConnId, Core, Fatal, Height, Mono, NodeId, Reading, RecordKey, Reply, Request,
    RequestId, TransportCause,
};

use super::application::Application;
use super::chain_rules;
use super::clock::{HostClock, SimTime};
use super::context::Context;
use super::dial_rules::DialRules;
use super::disk::Disk;
use super::machine::{Machine, Recording};
use super::net::Net;
use super::observe::Seen;
use super::promises::Promises;
use super::shell;
use super::trace::What;
use super::wire::{Side, TcpId};

/// Names a host of a world: its position in the order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub usize);

impl HostId {
    /// Where no machine is.
    pub(crate) const NOWHERE: Self = Self(usize::MAX);
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// The secret from which a host's cryptography is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NodeKey(pub [u8; 32]);

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey")
    }
}

/// Makes a node's cryptography: null or Noise.
pub type MakeProvider = fn(&NodeKey) -> Box<dyn Provider>;

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It said goodbye to everyone after [`Request::Stop`].
    Stopped,
    /// It halted by itself.
    Fatal(Fatal),
    /// `kill -9`: its kernel closed its sockets.
    Killed,
    /// The machine lost power: nobody closed anything.
    PowerCut,
}

/// How fast a host's processes read what has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    Promptly,
    /// A few bytes of each connection, then nothing for a while.
    Slowly {
        bytes: usize,
        pause: Duration,
    },
}

/// What a host is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It runs a node.
    Node,
    /// A test plays it byte by byte.
    Stranger,
}

/// A version of the protocol, seen from this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The one that the core speaks.
    Present,
    /// The one after it, which speaks this one, too, and says things that are not known here.
    Next,
}

/// One host.
#[derive(Debug)]
pub struct Host {
    /// Its name.
    pub id: HostId,
    /// What it is there for.
    pub role: Role,
    /// Its key's public half.
    pub node_id: NodeId,
    /// Which version of the protocol its next process speaks.
    pub version: Version,
    /// What its process is told at the next start.
    pub config: Config,
    /// Its disk.
    pub disk: Disk,
    /// The application of its shell.
    pub application: Application,
    /// What the present process has shown, or the last one if none runs.
    pub seen: Seen,
    /// How the last process ended.
    pub exit: Option<Exit>,
    pub(crate) key: NodeKey,
    pub(crate) provider: MakeProvider,
    pub(crate) clock: HostClock,
    pub(crate) process: Option<Box<Process>>,
    pub(crate) replies: BTreeMap<RequestId, Reply>,
    /// How fast its processes read.
    pub(crate) reads: Reads,
    /// Whether what its next process does is recorded.
    pub recording: Recording,
    /// When something last befell it from outside.
    pub(crate) disturbed_at: SimTime,
}

/// A running node and its shell's part.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) node: Machine,
    pub(crate) run: RunState,
    pub(crate) sockets: BTreeMap<ConnId, Socket>,
    pub(crate) conns: BTreeMap<(TcpId, Side), ConnId>,
    /// Closes carried out, to be told.
    pub(crate) closed: VecDeque<(ConnId, TransportCause)>,
    /// Connections on which `transmit` is to be called.
    pub(crate) flush: Vec<ConnId>,
    /// When the entered timer fires.
    pub(crate) timer: Option<SimTime>,
    pub(crate) ended: Option<Exit>,
    pub(crate) durability: Durability,
    /// Connections that the core has closed by command: nothing may follow on them.
    pub(crate) commanded: BTreeSet<ConnId>,
    /// What it has signed of blocks.
    pub(crate) promises: Promises,
    /// Height of the newest block that it was told to commit, or that was there at its start.
    pub(crate) committed: Height,
    /// Calls of `handle` within one instant.
    pub(crate) busy: (SimTime, usize),
    /// It is killed when its core has given so many more commands.
    pub(crate) dies_after: Option<usize>,
    /// Whether links or sockets came or went since the last look.
    pub(crate) links: Links,
    pub(crate) dials: DialRules,
    /// What the monotonic clock showed at the last input.
    pub(crate) read_mono: Mono,
    /// Whether that clock has gone backwards.
    pub(crate) setback: Setback,
    /// Since when it has run, and its monotonic clock with it.
    pub(crate) steady_since: SimTime,
}

/// Whether a process has told that its monotonic clock went backwards (contract C4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setback {
    /// It did not.
    None,
    Unsaid,
    Said,
}

/// Whether a process's links are to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    Unchanged,
    Changed,
}

/// Whether the process gets to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunState {
    Running,
    /// SIGSTOP.
    Frozen,
}

/// Whether the first record of this start is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    NothingYet,
    BootRecord,
}

/// A socket as the shell knows it.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    pub(crate) tcp: TcpId,
    pub(crate) side: Side,
    pub(crate) phase: Phase,
    pub(crate) reading: Reading,
    /// Whether `transmit` may have more.
    pub(crate) pending: Pending,
    /// Bytes written so far.
    pub(crate) sent: u64,
    /// A slow reader takes nothing more before.
    pub(crate) reads_at: SimTime,
    /// When bytes were read last.
    pub(crate) heard_at: SimTime,
    /// Since when its kernel takes nothing of what waits.
    pub(crate) stuck_since: Option<SimTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Dialing,
    Established,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    Drained,
    More,
}

impl Host {
    /// The secret of its key, for a test that stands in for it.
    #[must_use]
    pub const fn secret(&self) -> [u8; 32] {
        self.key.0
    }

    /// Whether a process runs here (it may be frozen).
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Whether a process runs here and gets to run.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.run == RunState::Running)
    }

    /// Starts the process with what the disk has.
    pub(crate) fn start(&mut self, net: &mut Net, cx: &mut Context) -> Result<(), ConfigError> {
        let mut seed = [0; 32];
        cx.rng.fill(&mut seed);
        let promises = Promises::of(self.disk.record(RecordKey::Voting));
        let mut provider = (self.provider)(&self.key);
        if self.config.chain.is_some() {
            provider = promises.notary.watch(provider);
        }
        self.application.restart();
        let now = self.clock.read(cx.now);
        let (config, journal) = (self.config.clone(), self.disk.journal());
        let mut node = Machine::new(self.recording, config, provider, seed, journal, now)?;
        if let Some(node) = node.plain().filter(|_| self.version == Version::Next) {
            node.pass_for_next_version();
        }
        cx.trace.note(cx.now, Some(self.id), What::Started);
        self.process = Some(Box::new(Process {
            node,
            run: RunState::Running,
            sockets: BTreeMap::new(),
            conns: BTreeMap::new(),
            closed: VecDeque::new(),
            flush: Vec::new(),
            timer: None,
            ended: None,
            durability: Durability::NothingYet,
            commanded: BTreeSet::new(),
            promises,
            committed: self.disk.height(),
            busy: (cx.now, 0),
            dies_after: None,
            links: Links::Unchanged,
            dials: DialRules::default(),
            read_mono: now.mono,
            setback: Setback::None,
            steady_since: cx.now,
        }));
        self.exit = None;
        self.seen = Seen::new(cx.now);
        net.listen(self.id);
        self.wake(net, cx, None);
        Ok(())
    }

    /// One wake-up of the process, if it gets to run.
    pub(crate) fn wake(&mut self, net: &mut Net, cx: &mut Context, request: Option<(RequestId, Request)>) {
        if !self.is_running() {
            return;
        }
        if let Some(mut process) = self.process.take() {
            shell::turn(self, &mut process, net, cx, request);
            match process.ended.take() {
                None => self.process = Some(process),
                Some(exit) => {
                    net.process_died(self.id, cx);
                    // After a failed write others may still wait for the disk.
                    self.crash(process, cx);
                    self.exited(exit, cx);
                }
            }
        }
    }

    /// The timer has fired.
    pub(crate) fn timer(&mut self, net: &mut Net, cx: &mut Context) {
        if !self.is_running() {
            return;
        }
        let Some(process) = &mut self.process else { return };
        if process.timer != Some(cx.now) {
            return;
        }
        process.timer = None;
        let now = self.clock.read(cx.now);
        if process.node.deadline().is_some_and(|deadline| deadline <= now.mono) {
            self.wake(net, cx, None);
        } else if let Some(mut process) = self.process.take() {
            shell::arm_timer(self, &mut process, net, cx);
            self.process = Some(process);
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, net: &mut Net, cx: &mut Context) {
        if let Some(process) = self.process.take() {
            net.process_died(self.id, cx);
            self.crash(process, cx);
            self.exited(Exit::Killed, cx);
        }
    }

    /// The machine loses power.
    pub(crate) fn cut_power(&mut self, net: &mut Net, cx: &mut Context) {
        net.power_off(self.id);
        self.clock.reboot(cx.rng.below(1 << 50));
        if let Some(process) = self.process.take() {
            self.crash(process, cx);
            self.exited(Exit::PowerCut, cx);
        }
    }

    /// What the disk had taken and not made durable is lost, all but the first of it.
    fn crash(&mut self, mut process: Box<Process>, cx: &mut Context) {
        for ticket in self.disk.crash(&mut cx.rng) {
            chain_rules::durable(self, &mut process, cx, ticket);
        }
    }

    fn exited(&mut self, exit: Exit, cx: &mut Context) {
        cx.trace.note(cx.now, Some(self.id), What::Exited(format!("{exit:?}")));
        self.exit = Some(exit);
        self.seen.live.clear();
        self.disturbed_at = cx.now;
    }
}
