//! The world: the event loop, what befalls hosts and paths, and what a test sees.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use timed_core::wire::message::Lane;
use timed_core::{ConfigError, Reply, Request, RequestId};

use super::application::Application;
use super::clock::{HostClock, SimTime, nanos};
use super::context::{Context, Due};
use super::disk::Disk;
use super::faults::Fault;
use super::host::{Host, HostId, MakeProvider, Reads, Role, RunState, Version};
use super::invariants::{self, SWEEP_EVERY};
use super::machine::Recording;
use super::net::{Net, Power};
use super::observe::Seen;
use super::path::{Dials, Packets, Profile, Strain};
use super::setup::{HostPlan, Setup};
use super::trace::What;

/// Events shown when a world fails.
const SHOWN: usize = 40;

type Action = Box<dyn FnOnce(&mut World)>;

/// A simulated network.
pub struct World {
    pub(super) hosts: Vec<Host>,
    pub(super) net: Net,
    pub(super) cx: Context,
    seed: u64,
    step: u64,
    provider: MakeProvider,
    fsync: (Duration, Duration),
    actions: BTreeMap<u64, Action>,
    actions_entered: u64,
    requests: u64,
    swept_at: SimTime,
    /// How often each fault has struck.
    pub(super) struck: BTreeMap<Fault, u64>,
    /// Machines from which strangers come.
    pub(super) strangers: Vec<HostId>,
    /// The command that repeats the run, if it is no test's.
    repeat: Option<String>,
    reported: Cell<bool>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World(seed {}, at {}, step {})", self.seed, self.cx.now, self.step)
    }
}

/// The seed to run with: `TIMED_SEED` if it is set, else the test's own.
#[must_use]
pub fn seed(default: u64) -> u64 {
    std::env::var("TIMED_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The seeds to run with: `TIMED_SEED` alone if it is set, else the first `count`, or `TIMED_SEEDS` of them.
#[must_use]
pub fn seeds(count: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("TIMED_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("TIMED_SEEDS").unwrap_or(count)).collect(),
    }
}

impl World {
    /// A world at its beginning: all machines are on, no process runs.
    #[must_use]
    pub fn new(seed: u64, setup: &Setup) -> Self {
        let mut cx = Context::new(seed);
        let profile = setup.profile.clone().unwrap_or_else(|| Profile::drawn(&mut cx.rng));
        let mut world = Self {
            hosts: Vec::new(),
            net: Net::new(profile),
            cx,
            seed,
            step: 0,
            provider: setup.provider,
            fsync: setup.fsync,
            actions: BTreeMap::new(),
            actions_entered: 0,
            requests: 0,
            swept_at: SimTime(0),
            struck: BTreeMap::new(),
            strangers: Vec::new(),
            repeat: None,
            reported: Cell::new(false),
        };
        for plan in setup.hosts(seed) {
            world.add_host(plan);
        }
        world.begin_chain();
        world
    }

    /// Adds a machine; its process does not run yet.
    pub fn add_host(&mut self, plan: HostPlan) -> HostId {
        let id = self.net.add_host(plan.ip, plan.seen_as, plan.port);
        self.hosts.push(Host {
            id,
            role: Role::Node,
            node_id: (self.provider)(&plan.key).node_id(),
            version: Version::Present,
            config: plan.config,
            disk: Disk::new(self.fsync),
            application: Application::default(),
            seen: Seen::new(self.cx.now),
            exit: None,
            key: plan.key,
            provider: self.provider,
            clock: HostClock::new(self.cx.rng.below(1 << 50)),
            process: None,
            replies: BTreeMap::new(),
            reads: Reads::Promptly,
            recording: Recording::Off,
            disturbed_at: self.cx.now,
        });
        id
    }

    /// A world whose processes all started together and whose masternodes have stood fully linked for 40 s, so
    /// that every invariant is in force.
    #[must_use]
    pub fn standing(seed: u64, setup: &Setup) -> Self {
        let mut world = Self::new(seed, setup);
        world.start_all();
        world.expect("the first mesh", Duration::from_secs(10), Self::is_meshed);
        world.run_for(Duration::from_secs(40));
        world
    }

    // Time.

    /// Now.
    #[must_use]
    pub const fn now(&self) -> SimTime {
        self.cx.now
    }

    /// The seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Events handled so far.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.step
    }

    /// Handles the next event. Returns whether it concerned a process (and not the network alone), or `None`
    /// if nothing is to happen any more.
    pub fn step(&mut self) -> Option<bool> {
        let (at, due) = self.cx.agenda.take()?;
        self.cx.now = at;
        self.step += 1;
        match due {
            Due::Net(event) => self.net.on(event, &mut self.cx),
            Due::Wake(host) => {
                self.net.woken(host);
                self.hosts[host.0].wake(&mut self.net, &mut self.cx, None);
            }
            Due::Disk(host) | Due::Answer(host) => self.hosts[host.0].wake(&mut self.net, &mut self.cx, None),
            Due::Timer(host) => self.hosts[host.0].timer(&mut self.net, &mut self.cx),
            Due::Look(tcp, side) => self.net.look_again(tcp, side, &mut self.cx),
            Due::Action(number) => {
                if let Some(action) = self.actions.remove(&number) {
                    action(self);
                }
            }
        }
        if self.step.is_multiple_of(SWEEP_EVERY) {
            self.sweep();
        }
        self.check();
        Some(!matches!(due, Due::Net(_)))
    }

    /// Lets this much time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.cx.now + time;
        while self.cx.agenda.next_at().is_some_and(|at| at <= until) {
            self.step();
        }
        self.cx.now = until;
        if self.cx.now.since(self.swept_at) >= Duration::from_secs(1) {
            self.sweep();
            self.check();
        }
    }

    fn sweep(&mut self) {
        self.swept_at = self.cx.now;
        invariants::sweep(&self.hosts, &self.net, &mut self.cx);
    }

    /// Lets time pass until something holds; returns how long it took, or `None` if it took longer than
    /// `limit`.
    pub fn run_until(&mut self, limit: Duration, holds: impl Fn(&Self) -> bool) -> Option<Duration> {
        let (began, until) = (self.cx.now, self.cx.now + limit);
        if holds(self) {
            return Some(Duration::ZERO);
        }
        while self.cx.agenda.next_at().is_some_and(|at| at <= until) {
            if self.step() == Some(true) && holds(self) {
                return Some(self.cx.now.since(began));
            }
        }
        self.cx.now = until;
        None
    }

    /// As [`World::run_until`]; fails the world if it takes longer.
    pub fn expect(&mut self, what: &str, limit: Duration, holds: impl Fn(&Self) -> bool) -> Duration {
        match self.run_until(limit, holds) {
            Some(took) => took,
            None => self.fail(&format!("{what}: not within {limit:?}\n{}", self.describe())),
        }
    }

    /// Has something done after a time.
    pub fn after(&mut self, time: Duration, action: impl FnOnce(&mut Self) + 'static) {
        self.actions_entered += 1;
        self.actions.insert(self.actions_entered, Box::new(action));
        self.cx.agenda.enter(self.cx.now + time, Due::Action(self.actions_entered));
    }

    // What befalls hosts.

    /// Starts a host's process; turns its machine on if need be.
    ///
    /// # Errors
    /// If the core refuses the configuration.
    pub fn try_start(&mut self, host: HostId) -> Result<(), ConfigError> {
        assert!(!self.hosts[host.0].is_up(), "{host} runs already");
        if self.net.power(host) == Power::Off {
            self.net.power_on(host);
        }
        self.hosts[host.0].disturbed_at = self.cx.now;
        let started = self.hosts[host.0].start(&mut self.net, &mut self.cx);
        self.check();
        started
    }

    /// As [`World::try_start`]; fails the world if the configuration is refused.
    pub fn start(&mut self, host: HostId) {
        if let Err(error) = self.try_start(host) {
            self.fail(&format!("{host} does not start: {error}"));
        }
    }

    /// Starts every node that does not run.
    pub fn start_all(&mut self) {
        for host in self.ids() {
            if !self.hosts[host.0].is_up() && self.hosts[host.0].role == Role::Node {
                self.start(host);
            }
        }
    }

    /// Asks a process to stop; it is gone when its goodbyes are said.
    pub fn stop(&mut self, host: HostId) {
        self.fault(host, "is asked to stop");
        self.ask(host, Request::Stop);
    }

    /// `kill -9`.
    pub fn kill(&mut self, host: HostId) {
        self.fault(host, "is killed");
        self.hosts[host.0].kill(&mut self.net, &mut self.cx);
    }

    /// Power-cut: no FIN, no RST.
    pub fn cut_power(&mut self, host: HostId) {
        self.fault(host, "loses power");
        self.hosts[host.0].cut_power(&mut self.net, &mut self.cx);
    }

    /// SIGSTOP.
    pub fn freeze(&mut self, host: HostId) {
        self.fault(host, "is frozen");
        if let Some(process) = &mut self.hosts[host.0].process {
            process.run = RunState::Frozen;
        }
    }

    /// SIGCONT.
    pub fn thaw(&mut self, host: HostId) {
        self.fault(host, "is thawed");
        if let Some(process) = &mut self.hosts[host.0].process {
            process.run = RunState::Running;
            process.timer = None;
            process.steady_since = self.cx.now;
        }
        self.hosts[host.0].wake(&mut self.net, &mut self.cx, None);
        self.check();
    }

    /// Sets how far a host's wall clock is ahead of the truth, in ms (negative: behind).
    pub fn set_wall_error(&mut self, host: HostId, ms: i64) {
        self.note(host, &format!("has its wall clock set {ms} ms ahead"));
        self.hosts[host.0].clock.set_wall_error(ms);
    }

    /// Sets how much too little a host's monotonic clock reads, against every promise.
    pub fn set_mono_behind(&mut self, host: HostId, behind: Duration) {
        self.note(host, &format!("has its monotonic clock {behind:?} behind"));
        self.hosts[host.0].clock.set_mono_behind(nanos(behind));
        // Timers are where the clock said that they would be.
        if let Some(process) = &mut self.hosts[host.0].process {
            process.timer = None;
            // Until it shows what it has shown before, it stands still for the core.
            process.steady_since = self.cx.now + behind;
        }
        self.hosts[host.0].wake(&mut self.net, &mut self.cx, None);
        self.check();
    }

    /// Kills a host's process as soon as its core has given so many more commands: in the midst of whatever it does
    /// then.
    pub fn dies_after(&mut self, host: HostId, commands: usize) {
        self.fault(host, &format!("is to die {commands} commands from now"));
        if let Some(process) = &mut self.hosts[host.0].process {
            process.dies_after = Some(commands);
        }
    }

    // What befalls paths and connections.

    /// Sets what becomes of packets in one direction.
    pub fn packets(&mut self, from: HostId, to: HostId, packets: Packets) {
        self.fault(from, &format!("packets to {to} now {packets:?}"));
        self.hosts[to.0].disturbed_at = self.cx.now;
        self.net.paths.get(from, to, &mut self.cx.rng).packets = packets;
    }

    /// Sets what becomes of attempts to connect in one direction.
    pub fn dials(&mut self, from: HostId, to: HostId, dials: Dials) {
        self.note(from, &format!("dials to {to} now {dials:?}"));
        self.net.paths.get(from, to, &mut self.cx.rng).dials = dials;
    }

    /// Sets what becomes of packets between a host and all others, both ways.
    pub fn isolate(&mut self, host: HostId, packets: Packets) {
        for other in self.ids().into_iter().filter(|other| *other != host) {
            self.packets(host, other, packets);
            self.packets(other, host, packets);
        }
    }

    /// Sets the one-way latency of a direction.
    pub fn set_latency(&mut self, from: HostId, to: HostId, latency: Duration) {
        self.net.paths.get(from, to, &mut self.cx.rng).latency = latency;
    }

    /// Makes the line between two hosts worse, or as it was, both ways.
    pub fn strain(&mut self, a: HostId, b: HostId, strain: Strain) {
        self.fault(a, &format!("the line to {b} is under {strain:?}"));
        self.hosts[b.0].disturbed_at = self.cx.now;
        for (from, to) in [(a, b), (b, a)] {
            self.net.paths.get(from, to, &mut self.cx.rng).strain = strain;
        }
    }

    /// Resets every connection between two hosts at both ends.
    pub fn reset_between(&mut self, a: HostId, b: HostId) {
        self.fault(a, &format!("connections with {b} are reset"));
        self.hosts[b.0].disturbed_at = self.cx.now;
        self.net.reset_between(a, b, &mut self.cx);
    }

    /// Something on the way forgets every connection between two hosts: nothing passes on these any more.
    pub fn sever_between(&mut self, a: HostId, b: HostId) {
        self.fault(a, &format!("connections with {b} are forgotten by the network"));
        self.hosts[b.0].disturbed_at = self.cx.now;
        self.net.sever_between(a, b);
    }

    /// Removes every fault of paths, disks and processes; starts what is down.
    pub fn heal(&mut self) {
        self.cx.trace.note(self.cx.now, None, What::Fault("all faults end".to_owned()));
        self.net.paths.heal();
        if self.cx.ledger.is_some() {
            self.heal_chain();
        }
        for host in self.ids() {
            let known = &mut self.hosts[host.0];
            known.disturbed_at = self.cx.now;
            known.disk.set_health(super::DiskHealth::Sound);
            known.disk.set_latency(self.fsync);
            known.reads = Reads::Promptly;
            if let Some(process) = &mut known.process {
                process.dies_after = None;
            }
            if known.clock.is_behind() {
                self.set_mono_behind(host, Duration::ZERO);
            }
            let known = &mut self.hosts[host.0];
            if known.is_up() && !known.is_running() {
                self.thaw(host);
            }
        }
        self.start_all();
    }

    // How a run is watched.

    /// A request, answered at this very instant. Fails the world if no answer comes.
    pub fn ask(&mut self, host: HostId, request: Request) -> Reply {
        self.requests += 1;
        let id = RequestId(self.requests);
        let question = format!("{request:?}");
        self.hosts[host.0].wake(&mut self.net, &mut self.cx, Some((id, request)));
        self.check();
        match self.hosts[host.0].replies.remove(&id) {
            Some(reply) => reply,
            None => self.fail(&format!("{host} does not answer {question}")),
        }
    }

    /// A request that is answered when something is durable: take the answer with [`World::answer`].
    pub fn post(&mut self, host: HostId, request: Request) -> RequestId {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.hosts[host.0].wake(&mut self.net, &mut self.cx, Some((id, request)));
        self.check();
        id
    }

    /// Has a host's node send a frame of any kind to every live peer.
    pub fn say_anything(&mut self, host: HostId, lane: Lane, kind: u16, body: &[u8]) {
        let known = &mut self.hosts[host.0];
        if let Some(process) = &mut known.process
            && let Some(node) = process.node.plain()
        {
            node.say_anything(lane, kind, body);
        }
        known.wake(&mut self.net, &mut self.cx, None);
        self.check();
    }

    /// The answer to a request, once it is there.
    pub fn answer(&mut self, host: HostId, id: RequestId) -> Option<Reply> {
        self.hosts[host.0].replies.remove(&id)
    }

    /// Sets the command that repeats the run, where that is no test's.
    pub fn repeated_by(&mut self, command: String) {
        self.repeat = Some(command);
    }

    /// Ends the run: prints what one needs to repeat and understand it.
    ///
    /// # Panics
    /// Always.
    pub fn fail(&self, what: &str) -> ! {
        self.reported.set(true);
        panic!("{what}\n{}", self.report());
    }

    fn report(&self) -> String {
        format!(
            "seed {}, virtual time {}, step {}; the last events:\n{}repeat with: {}",
            self.seed,
            self.cx.now,
            self.step,
            self.cx.trace.last(SHOWN),
            self.repeat.clone().unwrap_or_else(|| repeat_command(self.seed))
        )
    }

    pub(super) fn check(&mut self) {
        let violations = self.cx.take_violations();
        if !violations.is_empty() {
            self.fail(&format!("broken: {}", violations.join("\n        ")));
        }
    }

    /// Notes something that befalls a host and excuses what follows from it.
    pub(super) fn fault(&mut self, host: HostId, what: &str) {
        self.hosts[host.0].disturbed_at = self.cx.now;
        self.note(host, what);
    }

    pub(super) fn note(&mut self, host: HostId, what: &str) {
        self.cx.trace.note(self.cx.now, Some(host), What::Fault(what.to_owned()));
    }
}

impl Drop for World {
    /// A failed assertion of a test prints the report too.
    fn drop(&mut self) {
        if std::thread::panicking() && !self.reported.get() {
            eprintln!("{}{}", self.describe(), self.report());
        }
    }
}

/// The command that repeats the running test with this seed.
fn repeat_command(seed: u64) -> String {
    let program = std::env::args().next().unwrap_or_default();
    let stem = std::path::Path::new(&program).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let target = match stem.rsplit_once('-').map_or(stem.as_str(), |(name, _)| name) {
        "timed_tests" => "--lib".to_owned(),
        name => format!("--test {name}"),
    };
    let thread = std::thread::current();
    let test = match thread.name() {
        Some("main") | None => "TEST",
        Some(name) => name,
    };
    format!("TIMED_SEED={seed} cargo test -p timed-tests {target} -- {test} --exact")
}
