//! The node: routes inputs to the machines and applies their effects; no policy of its own.

mod absence;
mod bans;
mod chain;
mod dialing;
mod door;
mod exchange;
mod frames;
mod handshake;
mod holdings;
mod lifecycle;
mod linkage;
mod names;
mod next;
mod observe;
mod places;
mod rates;
mod reach;
mod reconfigure;
mod registry;
mod replacing;
mod requests;
mod unproven;
mod why;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

use crate::addr::CanonicalAddr;
use crate::chain::Chain;
use crate::chain::effects::Binding;
use crate::command::{Command, Transmit};
use crate::config::{Config, ConfigError};
use crate::crypto::Provider;
use crate::event::{CloseReason, Counters, Event, Summary, Warning};
use crate::gate::Gate;
use crate::ids::{BlockHash, BootNonce, ConnId, ConnSlab, Height, NodeId, Ticket};
use crate::input::Input;
use crate::journal::Record;
use crate::limits::{COMMAND_BYTES, COMMANDS_KEPT, MAX_RECORD_PLAINTEXT, PARKED_BYTES, WAITING_BYTES};
use crate::link::Link;
use crate::link::arrivals::Arrivals;
use crate::link::handshake::Identity;
use crate::link::outbound::FramePool;
use crate::masternode::Masternode;
use crate::net::bans::Bans;
use crate::net::effort::Effort;
use crate::net::epoch::{Past, Standing};
use crate::net::pool::{Destination, Pool};
use crate::net::scores::Scores;
use crate::net::seeds::Seeds;
use crate::net::unauthenticated::Waiting;
use crate::node::absence::Leave;
use crate::node::bans::Saving;
use crate::node::chain::Outbox;
use crate::node::exchange::Addresses;
use crate::node::rates::Rates;
use crate::node::reach::Reach;
use crate::node::replacing::Replacing;
use crate::rng::Rng;
use crate::time::{Clock, Mono, Now, Reading};
use crate::timers::Timers;

pub use self::door::Core;

/// An inbound connection that the core does not take; the shell closes the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub CloseReason);

/// What a deadline belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
enum TimerKey {
    /// Handshake or dial time-out, or the next look at a live link.
    Link(ConnId),
    /// The next turn of inbound connections that wait for theirs.
    Unproven,
    /// The next decision about a destination.
    Dial(Destination),
    /// Heartbeats and expiries.
    Masternode,
    /// The periodic check of all peers.
    PeerCheck,
    /// The next look at the quality of links of our own choice.
    Quality,
    /// The earliest probe of an advertised address.
    Probes,
    /// The next question to the name service.
    Names,
    /// Addresses to be asked for, dialed or written down.
    Exchange,
    /// The end of the next ban, or the writing of those that are not written.
    Bans,
    /// The next snapshot.
    Summary,
    /// The earliest of everything that the chain waits for.
    Chain,
}

/// What waits for a durable record.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
enum Parked {
    /// Our `Hello` on this connection.
    Hello(ConnId),
    /// Our answer to a `Hello`.
    Answer(ConnId),
    /// What a record of the chain binds.
    Binding(Box<Binding>),
    /// The chain's word that the block of this height is durable.
    Commit(Height),
    /// The answers to orders that this record of bans holds.
    Bans,
}

/// Whether the node works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
enum Run {
    /// It does.
    Working,
    /// It says goodbye; `Stopped` follows when every connection is closed.
    Stopping,
    /// `Stopped` was told.
    Stopped,
}

/// One node of the network: the whole protocol as one state machine. See the crate's front page for the loop
/// that drives it.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Node {
    config: Config,
    identity: Identity,
    #[serde(skip, default = "crate::crypto::replayed_provider")]
    crypto: Box<dyn Provider>,
    rng: Rng,
    clock: Clock,
    gate: Gate<Parked>,
    boot_ticket: Ticket,
    past: Past,
    standing: Standing,
    raises: u32,
    run: Run,
    links: ConnSlab<Link>,
    /// Inbound connections without a proven identity, oldest first.
    unauthenticated: Vec<Waiting>,
    /// Of these, the ones that wait for a key agreement or an answer, longest waiting first.
    deferred: VecDeque<Waiting>,
    effort: Effort,
    /// Own dials whose handshake is not done.
    dialing: BTreeSet<ConnId>,
    /// Destinations that may dial as soon as there is room in `dialing`.
    waiting: VecDeque<Destination>,
    pool: Pool,
    leave: Leave,
    replacing: Replacing,
    reach: Reach,
    seeds: Seeds,
    addresses: Addresses,
    scores: Scores,
    bans: Bans,
    saving: Saving,
    masternode: Masternode,
    chain: Option<Box<Chain>>,
    outbox: Outbox,
    rates: Rates,
    timers: Timers<TimerKey>,
    /// Empty in a recorded state: it is written when all are taken.
    #[serde(skip)]
    commands: VecDeque<Command>,
    frames: FramePool,
    #[serde(skip)]
    arrivals: Arrivals,
    #[serde(skip)]
    scratch: Vec<u8>,
    counters: Counters,
    summary: Option<(Mono, Summary)>,
}

impl Node {
    /// Sets a node up and starts its first dials. `seed` is drawn once from the system's entropy and decides
    /// everything random; `journal` holds the records of earlier starts, in any order; `now` is the first
    /// reading of the clocks.
    ///
    /// # Errors
    /// If the configuration contradicts itself, the registry or the key, or a record is damaged.
    pub fn new(
        config: Config,
        mut crypto: Box<dyn Provider>,
        seed: [u8; 32],
        journal: impl IntoIterator<Item = Record>,
        now: Now,
    ) -> Result<Self, ConfigError> {
        lifecycle::check(&config, crypto.node_id())?;
        let keys: Vec<NodeId> = config.registry.entries().iter().map(|entry| entry.id).collect();
        crypto.trust(&keys)?;
        let mut rng = Rng::new(seed);
        let nonce = BootNonce(rng.next_u64());
        let (past, mut records) = lifecycle::past(journal)?;
        let (bans, damaged) = bans::recall(&mut records, &config, now);
        let identity = lifecycle::identity(&config, crypto.as_mut(), nonce, past, now.wall);
        let pool = Pool::new(&config, identity.node, now, &mut rng);
        let masternode = lifecycle::masternode(&config, &identity, now, &mut rng);
        let (addresses, set_aside) = exchange::recall(&mut records, &config, seed, now);
        let chain = lifecycle::chain(&config, &identity, past, records, now, &mut rng)?;
        let Config { timings, limits, registry, .. } = &config;
        let rates = Rates::new(timings, config.chain.as_ref(), limits, registry.size());
        let mut node = Self {
            identity,
            crypto,
            rng,
            clock: Clock::new(now),
            gate: Gate::new(),
            boot_ticket: Ticket(0),
            past,
            standing: Standing::Newcomer,
            raises: 0,
            run: Run::Working,
            links: ConnSlab::new(),
            unauthenticated: Vec::new(),
            deferred: VecDeque::new(),
            effort: Effort::default(),
            dialing: BTreeSet::new(),
            waiting: VecDeque::new(),
            pool,
            leave: Leave::default(),
            replacing: Replacing::NotBefore(now.mono),
            reach: Reach::default(),
            seeds: Seeds::new(&config.seeds, config.timings.backoff_other, now.mono),
            addresses,
            scores: Scores::new(config.limits.scores),
            bans,
            saving: Saving::default(),
            masternode,
            chain,
            outbox: Outbox::default(),
            rates,
            timers: Timers::new(),
            commands: VecDeque::new(),
            frames: FramePool::new(config.limits.frame_pool),
            arrivals: Arrivals::default(),
            scratch: Vec::with_capacity(MAX_RECORD_PLAINTEXT + crate::crypto::TAG),
            counters: Counters::default(),
            summary: None,
            config,
        };
        node.begin(now);
        for warning in set_aside.into_iter().chain(damaged) {
            node.event(Event::Warning(warning));
        }
        Ok(node)
    }

    /// A connection came in from `from`. The caller reads from it and hands the bytes in; it ends with
    /// [`Input::Closed`] like every other.
    ///
    /// # Errors
    /// If the node is stopping, or a ban on the address is in force.
    pub fn accept(&mut self, now: Now, from: SocketAddr) -> Result<ConnId, Refused> {
        let now = self.read_clock(now);
        if self.run != Run::Working {
            return Err(Refused(CloseReason::Shutdown));
        }
        if self.is_banned_address(now, from.ip()) {
            self.counters.inbound_banned += 1;
            return Err(Refused(CloseReason::Banned));
        }
        Ok(self.accepted(now, from))
    }

    /// Takes one input; drain [`Node::next_command`] afterwards, at once or after further inputs. Never fails:
    /// a peer's fault closes its connection, our own is told as [`Event::Fatal`].
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        let now = self.read_clock(now);
        match input {
            Input::Tick => self.tick(now),
            Input::Dialed { conn, local: _ } => self.dialed(now, conn),
            Input::Data { conn, bytes } => self.read(now, conn, bytes),
            Input::Closed { conn, cause } => self.closed(now, conn, cause),
            Input::Persisted(ticket) => self.persisted(now, ticket),
            Input::PersistFailed(_) => self.persist_failed(now),
            Input::Produced { .. }
            | Input::Validated { .. }
            | Input::Committed { .. }
            | Input::Loaded { .. } => self.chain_input(now, input),
            Input::Resolved { seed, addrs } => self.resolved(now, seed, &addrs),
            Input::Request { id, request } => self.request(now, id, request),
        }
        self.arm_chain(now);
        self.finish_stopping();
    }

    /// The next command, in order. Changes nothing else (contract C2).
    pub fn next_command(&mut self) -> Option<Command> {
        let command = self.commands.pop_front();
        if self.commands.is_empty() && self.commands.capacity() > COMMANDS_KEPT {
            self.commands.shrink_to(COMMANDS_KEPT);
        }
        command
    }

    /// Appends at most `budget` bytes of what waits for a connection to `out`, sealed only now. Call it after
    /// [`Command::Send`] and while the socket takes more; with less than 256 bytes of budget it may append
    /// nothing. May queue commands: drain them afterwards (contract C3).
    pub fn transmit(&mut self, now: Now, conn: ConnId, budget: usize, out: &mut Vec<u8>) -> Transmit {
        let now = self.read_clock(now);
        self.transmitted(now, conn, budget, out)
    }

    /// The one timer: hand in [`Input::Tick`] when the monotonic clock has passed this. A pure getter.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        self.timers.earliest().map(|at| self.clock.to_shell(at))
    }

    fn read_clock(&mut self, now: Now) -> Now {
        match self.clock.read(now, self.timers.earliest()) {
            Reading::Regular => {}
            Reading::Backwards(by) => {
                self.counters.clock_backwards += 1;
                if self.counters.clock_backwards == 1 {
                    self.event(Event::Warning(Warning::ClockBackwards(by)));
                }
            }
            Reading::Frozen(late, forgiven) => {
                self.counters.freezes += 1;
                self.event(Event::Warning(Warning::Frozen { late, forgiven }));
            }
        }
        self.clock.now()
    }

    fn event(&mut self, event: Event) {
        self.commands.push_back(Command::Event(event));
    }

    fn tick(&mut self, now: Now) {
        // The wall clock may have been set since the last input: a slot that has begun is due in this tick.
        self.arm_chain(now);
        // Every timer that fires is armed again for later, so this ends; what is due twice waits for the next tick.
        let mut fired = BTreeSet::new();
        while let Some(key) = self.timers.pop_due(now.mono) {
            if !fired.insert(key) {
                self.timers.set(key, Some(now.mono));
                break;
            }
            match key {
                TimerKey::Link(conn) => self.look_at_link(now, conn),
                TimerKey::Unproven => self.deferred_due(now),
                TimerKey::Dial(destination) => self.pursue(now, destination),
                TimerKey::Masternode => self.masternode_due(now),
                TimerKey::PeerCheck => self.check_peers(now),
                TimerKey::Quality => self.look_at_quality(now),
                TimerKey::Probes => self.probes_due(now),
                TimerKey::Names => self.ask_for_names(now),
                TimerKey::Exchange => self.exchange_due(now),
                TimerKey::Bans => self.bans_due(now),
                TimerKey::Summary => self.summarise(now),
                TimerKey::Chain => self.chain_due(now),
            }
        }
    }

    /// The addresses and heights that the layers above hand down for the handshake.
    fn tip(&self) -> (Height, BlockHash) {
        (self.identity.height, self.identity.tip)
    }

    /// Whether a registered or reserved peer may come from there: some places are kept for these (rule S-1).
    fn expected_ip(&self, addr: SocketAddr) -> bool {
        self.config.registry.has_ip(addr.ip()) || self.pool.reserves_ip(addr.ip())
    }

    fn registered_addr(&self, id: &NodeId) -> Option<CanonicalAddr> {
        self.config.registry.get(id).map(|entry| entry.addr)
    }
}

#[cfg(test)]
impl Node {
    /// Has it look after its peers half as often: another core to a recording.
    pub(crate) fn look_after_peers_less(&mut self) {
        self.config.timings.peer_check *= 2;
    }
}

const _: () = {
    assert!(size_of::<Command>() <= COMMAND_BYTES);
    // Queues grow by doubling.
    assert!(2 * size_of::<(Ticket, Parked)>() <= PARKED_BYTES);
    assert!(2 * size_of::<Destination>() <= WAITING_BYTES);
};
