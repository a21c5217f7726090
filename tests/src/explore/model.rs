//! The whole of a model: hosts, connections, one time; which steps are possible, and what each one does.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

use timed_core::{CanonicalAddr, Masternode, MasternodeMode, Mono, NodeId, Registry, TransportCause};

use super::bounds::{Bounds, Budget, Cast, Identities};
use super::host::{Activity, Around, Claim, Down, Host};
use super::step::{ConnKey, Death, HostIx, Memory, Side, Step};
use super::wire::{Fate, State, Wire};
use crate::sim::base_config;

/// A process may wake up so much later than it should while another goes on: below what it takes for a freeze.
const LATE: Duration = Duration::from_millis(1500);
/// How long an outage lasts: longer than until a link falls silent and its register expires.
const OUTAGE: Duration = Duration::from_secs(30);
/// Where the lower and the higher address listen. The order of keys is the opposite one.
const ADDRS: [&str; 2] = ["10.0.0.9:24100", "10.0.0.10:24100"];
const KEYS: [NodeId; 2] = [NodeId([9; 32]), NodeId([3; 32])];

/// Two masternodes, at times a third process, and all that is between them.
#[derive(Debug)]
pub struct Model {
    pub(crate) hosts: Vec<Host>,
    pub(crate) wire: Wire,
    pub(crate) now: Mono,
    left: Budget,
    pub(crate) bounds: Bounds,
    directory: BTreeMap<CanonicalAddr, HostIx>,
    faults: Vec<String>,
    trace: Option<Vec<String>>,
}

/// A step that is not possible in this state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impossible(pub Step);

impl Model {
    /// Both masternodes have just started.
    ///
    /// # Panics
    /// Never: the two masternodes are distinct.
    #[must_use]
    pub fn new(bounds: &Bounds) -> Self {
        let addrs = ADDRS.map(|addr| addr.parse::<CanonicalAddr>().expect("an address"));
        let entries = KEYS.iter().zip(addrs).map(|(id, addr)| Masternode { id: *id, addr }).collect();
        let registry = Registry::new(entries).expect("two masternodes");
        let twin = match bounds.cast {
            Cast::Pair => None,
            Cast::Twin(of) => Some(of.at()),
        };
        let hosts = [0, 1].into_iter().chain(twin).zip(0..).map(|(which, ix)| {
            let mut config = base_config(0, registry.clone(), Some(addrs[which]));
            config.timings = bounds.timings.clone();
            config.masternode = MasternodeMode::Disabled;
            Host::new(HostIx(ix), KEYS[which], config, bounds.seed)
        });
        let mut model = Self {
            hosts: hosts.collect(),
            wire: Wire::default(),
            now: Mono(1_000_000_000),
            left: bounds.budget,
            bounds: bounds.clone(),
            directory: addrs.into_iter().zip([HostIx(0), HostIx(1)]).collect(),
            faults: Vec::new(),
            trace: None,
        };
        for host in [HostIx(0), HostIx(1)] {
            model.at(host, |host, around| host.start(Memory::Whole, around));
        }
        model
    }

    /// Keeps a readable record of everything from now on.
    pub fn record(&mut self) {
        self.trace = Some(Vec::new());
    }

    /// What was recorded since the last call.
    pub fn recorded(&mut self) -> Vec<String> {
        self.trace.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// What was wrong so far; empty if nothing.
    #[must_use]
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// The time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now.since(Mono(1_000_000_000))
    }

    pub(crate) fn at<T>(&mut self, host: HostIx, act: impl FnOnce(&mut Host, &mut Around<'_>) -> T) -> T {
        let mut around = Around {
            wire: &mut self.wire,
            now: self.now,
            directory: &self.directory,
            disk: self.bounds.disk,
            faults: &mut self.faults,
            trace: &mut self.trace,
        };
        act(&mut self.hosts[host.at()], &mut around)
    }

    /// The state as a number: what may differ between two schedules that end in equal states stays out of it.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.now, self.left, &self.hosts, &self.wire).hash(&mut hasher);
        hasher.finish()
    }

    /// Whether nothing is on its way, waits for a disk, or waits to be started again.
    #[must_use]
    pub fn is_quiescent(&self) -> bool {
        self.all_started() && self.deliverable().is_empty()
    }

    /// Whether no host waits to be started again.
    pub(crate) fn all_started(&self) -> bool {
        let waits = |host: &Host| host.process.is_none() && matches!(host.down, Down::Killed | Down::Off);
        !self.hosts.iter().any(waits)
    }

    /// The steps that a network which behaves well takes: deliveries.
    pub(crate) fn deliverable(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (key, conn) in self.wire.iter() {
            let target = &self.hosts[conn.target.at()];
            let answers = (target.process.is_some() || target.down != Down::Off)
                && self.bounds.deaf != Some(conn.target);
            if conn.state == State::Dialed && answers {
                steps.push(Step::Arrive(key));
            }
            for side in [Side::Acceptor, Side::Dialer] {
                if conn.waiting(side) {
                    steps.push(Step::Deliver(key, side));
                }
            }
        }
        steps.extend(self.hosts.iter().filter(|host| host.writes()).map(|host| Step::Persist(host.ix)));
        steps
    }

    /// Every step that is possible now.
    #[must_use]
    pub fn enabled(&self) -> Vec<Step> {
        let mut steps = self.deliverable();
        let left = &self.left;
        for host in &self.hosts {
            if self.may_tick(host.ix) && left.timers > 0 {
                steps.push(Step::Timer(host.ix));
            }
            match (&host.process, host.down) {
                (Some(_), _) => {
                    if left.dials > 0 && !host.is_linked() {
                        steps.push(Step::Connect(host.ix));
                    }
                    if left.restarts > 0 {
                        steps.push(Step::Kill(host.ix, Death::Killed));
                        steps.push(Step::Kill(host.ix, Death::PowerCut));
                    }
                }
                (None, Down::Halted) => {}
                (None, _) => {
                    steps.push(Step::Start(host.ix, Memory::Whole));
                    if left.lost_epochs > 0 {
                        steps.push(Step::Start(host.ix, Memory::LostEpoch));
                    }
                }
            }
        }
        for (key, conn) in self.wire.iter() {
            if conn.state == State::Dialed && left.resets > 0 {
                steps.push(Step::Refuse(key));
            }
            if conn.state != State::Up {
                continue;
            }
            let both = conn.end(Side::Dialer).is_some() && conn.end(Side::Acceptor).is_some();
            let travels = conn.waiting(Side::Dialer) || conn.waiting(Side::Acceptor);
            if left.drops > 0 && (both || travels) {
                steps.push(Step::Drop(key));
            }
            if left.resets > 0 && (both || travels) {
                steps.push(Step::Reset(key));
            }
        }
        if left.outages > 0 {
            steps.push(Step::Outage);
        }
        steps
    }

    /// Whether a host's timer may fire before the others': it is the first, or they may be that late.
    fn may_tick(&self, host: HostIx) -> bool {
        let others = self.hosts.iter().filter(|other| other.ix != host).filter_map(Host::deadline).min();
        let Some(due) = self.hosts[host.at()].deadline() else { return false };
        others.is_none_or(|others| due.max(self.now) <= others + LATE)
    }

    /// Takes a step.
    ///
    /// # Errors
    /// If it is not possible now; nothing has changed.
    pub fn take(&mut self, step: Step) -> Result<(), Impossible> {
        if !self.enabled().contains(&step) {
            return Err(Impossible(step));
        }
        self.perform(step);
        Ok(())
    }

    pub(crate) fn perform(&mut self, step: Step) {
        if let Some(trace) = &mut self.trace {
            let elapsed = self.now.since(Mono(1_000_000_000));
            trace.push(format!("{elapsed:>12.3?}  {step}"));
        }
        match step {
            Step::Arrive(key) => self.arrive(key),
            Step::Deliver(key, side) => self.deliver(key, side),
            Step::Persist(host) => self.at(host, |host, around| host.persist(around)),
            Step::Timer(host) => self.timer(host),
            Step::Connect(host) => {
                self.left.dials -= 1;
                let own = self.hosts[host.at()].key;
                let peer = self.hosts.iter().find(|peer| peer.key != own);
                if let Some(addr) = peer.and_then(|peer| peer.config.advertised) {
                    self.at(host, |host, around| host.order(addr, around));
                }
            }
            Step::Drop(key) => {
                self.left.drops -= 1;
                if let Some(conn) = self.wire.get_mut(key) {
                    conn.cut();
                }
            }
            Step::Reset(key) => {
                self.left.resets -= 1;
                if let Some(conn) = self.wire.get_mut(key) {
                    conn.reset();
                }
            }
            Step::Refuse(key) => {
                self.left.resets -= 1;
                self.refuse(key);
            }
            Step::Kill(host, death) => {
                self.left.restarts -= 1;
                let down = if death == Death::Killed { Down::Killed } else { Down::Off };
                for (key, side) in self.hosts[host.at()].stop(down) {
                    match death {
                        Death::Killed => self.wire.close(key, side),
                        Death::PowerCut => self.wire.vanish(key, side),
                    }
                }
            }
            Step::Start(host, memory) => {
                if memory == Memory::LostEpoch {
                    self.left.lost_epochs -= 1;
                }
                self.at(host, |host, around| host.start(memory, around));
            }
            Step::Outage => {
                self.left.outages -= 1;
                self.pass(self.now + OUTAGE);
            }
        }
        self.deliver_pongs();
        self.judge_claims();
    }

    /// What one host did about a link must agree with what the other one holds, unless a key has two
    /// processes or seems to.
    fn judge_claims(&mut self) {
        let claims: Vec<(HostIx, Claim)> = self
            .hosts
            .iter_mut()
            .flat_map(|host| std::mem::take(&mut host.claims).into_iter().map(|claim| (host.ix, claim)))
            .collect();
        if self.bounds.identities() == Identities::Confused {
            return;
        }
        for (ix, claim) in claims {
            match claim {
                Claim::Up(key) if self.wire.get(key).is_some_and(|conn| conn.fate == Fate::Lost) => {
                    self.faults.push(format!("{ix}: {key} became live after the other end had let it go"));
                }
                Claim::Forsaken(key, reason)
                    if self.hosts.iter().any(|other| other.ix != ix && other.holds(key)) =>
                {
                    self.faults
                        .push(format!("{ix}: closed {key} ({reason}), which the other end holds as live"));
                }
                _ => {}
            }
        }
    }

    fn deliver(&mut self, key: ConnKey, side: Side) {
        let Some(host) = self.wire.get(key).map(|conn| conn.host(key, side)) else { return };
        self.at(host, |host, around| host.receive(key, side, around));
    }

    /// What nobody decides by is delivered at once: when it arrives makes no difference.
    fn deliver_pongs(&mut self) {
        let pong = |(key, conn): (ConnKey, &super::wire::Conn)| {
            let side = [Side::Dialer, Side::Acceptor].into_iter().find(|side| conn.has_pong_next(*side));
            side.map(|side| (key, side))
        };
        loop {
            let next = self.wire.iter().find_map(pong);
            let Some((key, side)) = next else { return };
            self.deliver(key, side);
        }
    }

    fn arrive(&mut self, key: ConnKey) {
        let Some((target, conn)) =
            self.wire.get(key).and_then(|conn| Some((conn.target, conn.end(Side::Dialer)?)))
        else {
            return;
        };
        let from = self.source(key);
        match self.at(target, |host, around| host.accept(key, from, around)) {
            Some(accepted) => {
                if let Some(conn) = self.wire.get_mut(key) {
                    conn.accepted(accepted);
                }
                self.at(target, |host, around| host.wake(around));
                self.at(key.dialer, |host, around| host.dialed(key, conn, from, around));
                // The acceptor's answer to the dialer's preamble depends on nothing else: no step of its own.
                self.deliver(key, Side::Acceptor);
            }
            None => self.refuse(key),
        }
    }

    fn refuse(&mut self, key: ConnKey) {
        self.at(key.dialer, |host, around| {
            host.lose(key, Side::Dialer, TransportCause::Refused, &[7, u64::from(key.number)], around);
        });
    }

    fn source(&self, key: ConnKey) -> SocketAddr {
        let ip = self.hosts[key.dialer.at()].config.advertised.map_or([0, 0, 0, 0].into(), |addr| addr.ip());
        SocketAddr::new(ip, 30_000 + key.number)
    }

    /// Time goes on to the host's next deadline at which it does something. What nobody can notice costs
    /// nothing of the budget.
    fn timer(&mut self, host: HostIx) {
        while self.may_tick(host) {
            let Some(due) = self.hosts[host.at()].deadline() else { return };
            self.now = self.now.max(due);
            if self.at(host, |host, around| host.tick(around)) == Activity::Acted {
                self.left.timers -= 1;
                return;
            }
        }
    }

    /// Time goes on and timers fire in order, nothing is delivered.
    pub(crate) fn pass(&mut self, until: Mono) {
        while let Some((due, host)) = self.next_due().filter(|(due, _)| *due <= until) {
            self.now = self.now.max(due);
            self.at(host, |host, around| host.tick(around));
        }
        self.now = self.now.max(until);
    }

    /// The earliest deadline of all.
    pub(crate) fn next_due(&self) -> Option<(Mono, HostIx)> {
        self.hosts.iter().filter_map(|host| Some((host.deadline()?, host.ix))).min()
    }
}
