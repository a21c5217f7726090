//! The turn of the loop: wait, read, accept, tick, then commands and bytes out until nothing is left to do.

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use timed_core::{
    ConnId, Core, Fatal, Input, Mono, Now, REQUESTS_PER_WAKE, Reading, Reply, Request, RequestId, SeedId,
    Summary,
};
use tokio::sync::oneshot;

use super::answers::Standing;
use super::connections::{Connections, Health, Phase};
use super::inbox::{Asked, Shared, Snapshot};
use super::linger::Lingering;
use super::listener::{Accepted, Listener};
use super::remote::LoopCounters;
use super::signals::{Order, Signals};
use super::sink::{EventSink, ShellEvent, StopCause};
use super::sockets::Dial;
use super::token::Source;
use super::workers::{Load, Loaded, Question, Resolved, Word, Worker};
use super::{Exit, ShellConfig, clock};
use crate::store::Writer;

/// Longest wait for events: a loop that does not turn for longer than that is in trouble.
const TURN_AT_LEAST_EVERY: Duration = Duration::from_secs(1);
/// Events taken from the poll at once.
pub(super) const EVENTS: usize = 1024;
/// Connections accepted in one turn: half a millisecond, then those who are linked are read again.
const ACCEPTS_PER_TURN: usize = 16;
/// How long the core may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(8);
/// How long the store may take to write what still waits, and the other threads to end.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Everything that one run of the loop holds.
pub(super) struct Driver<C, S> {
    pub(super) core: C,
    pub(super) sink: S,
    pub(super) store: Writer,
    pub(super) application: Worker<Question, Word>,
    pub(super) loader: Worker<Load, Loaded>,
    pub(super) resolver: Option<Worker<SeedId, Resolved>>,
    pub(super) config: ShellConfig,
    pub(super) poll: Poll,
    pub(super) listener: Listener,
    pub(super) signals: Option<Signals>,
    pub(super) requests: Receiver<Asked>,
    pub(super) shared: Arc<Shared>,
    pub(super) state: State,
}

/// What a run begins without.
#[derive(Debug)]
pub(super) struct State {
    /// Sampled once a turn.
    pub(super) now: Now,
    /// When the last turn ended.
    turned: Mono,
    pub(super) connections: Connections,
    pub(super) lingering: Lingering,
    /// To be read, longest waiting first.
    pub(super) to_read: VecDeque<ConnId>,
    /// To be flushed at the end of the turn.
    pub(super) to_flush: Vec<ConnId>,
    /// To be flushed again in the next turn; empty between two turns.
    pub(super) flush_next: Vec<ConnId>,
    pub(super) read_buffer: Box<[u8]>,
    pub(super) write_buffer: Vec<u8>,
    pub(super) asked: BTreeMap<RequestId, oneshot::Sender<Reply>>,
    next_request: u64,
    /// Whether requests may wait although nobody will announce them.
    requests_left: bool,
    /// Orders to stop from other threads that have been seen.
    stops_seen: u32,
    pub(super) stage: Stage,
    pub(super) fatal: Option<Fatal>,
    pub(super) standing: Standing,
    pub(super) summary: Summary,
    pub(super) counters: LoopCounters,
}

/// How far the run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Running,
    /// The core was asked to stop, or halted.
    Stopping {
        until: Mono,
    },
    /// The core has no connections any more; the last bytes may be under way.
    Stopped {
        until: Mono,
    },
    /// A second order to stop.
    Interrupted,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            now: clock::now(),
            turned: clock::mono(),
            connections: Connections::default(),
            lingering: Lingering::default(),
            to_read: VecDeque::new(),
            to_flush: Vec::new(),
            flush_next: Vec::new(),
            read_buffer: vec![0; 64 * 1024].into(),
            write_buffer: Vec::with_capacity(64 * 1024),
            asked: BTreeMap::new(),
            next_request: 0,
            requests_left: true,
            stops_seen: 0,
            stage: Stage::Running,
            fatal: None,
            standing: Standing::default(),
            summary: Summary::default(),
            counters: LoopCounters::default(),
        }
    }
}

impl<C: Core, S: EventSink> Driver<C, S> {
    /// Turns until there is a reason to end.
    pub(super) fn run(mut self) -> Exit {
        let mut events = Events::with_capacity(EVENTS);
        let exit = loop {
            if let Some(exit) = self.exit() {
                break exit;
            }
            let timeout = self.timeout();
            match self.poll.poll(&mut events, Some(timeout)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Exit::Io(error),
            }
            self.turn(&events);
        };
        let patience = match self.state.stage {
            Stage::Interrupted => Duration::ZERO,
            _ => CLOSE_WITHIN,
        };
        let until = Instant::now() + patience;
        self.store.close(until);
        self.loader.close(until);
        self.application.close(until);
        if let Some(resolver) = self.resolver {
            // The name service may be hung: what it says matters to nobody any more.
            resolver.close(Instant::now());
        }
        exit
    }

    fn turn(&mut self, events: &Events) {
        self.state.now = clock::now();
        self.take_events(events);
        if self.shared.take_news() || self.state.requests_left {
            self.take_answers();
            self.take_requests();
            self.take_stops();
        }
        self.drain();
        self.read_all();
        self.accept_some();
        self.tick();
        self.settle();
        self.state.lingering.expire(self.poll.registry(), self.state.now.mono);
        self.publish();
    }

    /// Notes which connections to read and to flush, and looks after the rest at once.
    fn take_events(&mut self, events: &Events) {
        for event in events {
            match Source::from(event.token()) {
                Source::Listener => self.listener.mark_ready(),
                Source::Inbox => {}
                Source::Signals => self.take_signals(),
                Source::Lingering(number) => {
                    let state = &mut self.state;
                    state.lingering.handle(self.poll.registry(), number, &mut state.read_buffer);
                }
                Source::Connection { index, generation } => {
                    if let Some(conn) = self.state.connections.find(index, generation) {
                        self.take_event(conn, event);
                    }
                }
            }
        }
    }

    fn take_event(&mut self, conn: ConnId, event: &mio::event::Event) {
        let Some(connection) = self.state.connections.get_mut(conn) else { return };
        if connection.phase == Phase::Dialing {
            match connection.dial_progress() {
                Dial::UnderWay => return,
                Dial::Failed(cause) => return self.lost(conn, cause),
                Dial::Done(local) => {
                    connection.phase = Phase::Open;
                    self.core.handle(self.state.now, Input::Dialed { conn, local });
                    self.drain();
                    self.want_flush(conn);
                }
            }
        }
        let Some(connection) = self.state.connections.get_mut(conn) else { return };
        if (event.is_read_closed() || event.is_error()) && connection.health == Health::Sound {
            connection.health = Health::Ending;
        }
        let paused = connection.reading == Reading::Pause;
        if let Some(cause) = (event.is_error() && paused).then(|| connection.take_error()).flatten() {
            return self.lost(conn, cause);
        }
        let blocked = connection.is_blocked();
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.want_read(conn);
        }
        if event.is_writable() && blocked {
            self.want_flush(conn);
        }
    }

    fn take_signals(&mut self) {
        let orders: Vec<Order> = self.signals.iter_mut().flat_map(Signals::pending).collect();
        for order in orders {
            match order {
                Order::Reload => self.sink.shell_event(&ShellEvent::Reload),
                Order::Record => self.sink.shell_event(&ShellEvent::Record),
                Order::Stop => self.order_stop(StopCause::Signal),
            }
        }
    }

    fn take_stops(&mut self) {
        let ordered = self.shared.stops_ordered();
        while self.state.stops_seen != ordered {
            self.state.stops_seen = self.state.stops_seen.wrapping_add(1);
            self.order_stop(StopCause::Order);
        }
    }

    fn order_stop(&mut self, cause: StopCause) {
        if self.state.stage != Stage::Running {
            self.state.stage = Stage::Interrupted;
            return;
        }
        self.end_because_of(cause);
    }

    /// Has the core say goodbye, unless it does so already.
    pub(super) fn end_because_of(&mut self, cause: StopCause) {
        if self.state.stage == Stage::Running {
            let id = self.next_request();
            self.begin_to_stop(cause);
            self.core.handle(self.state.now, Input::Request { id, request: Request::Stop });
        }
    }

    fn begin_to_stop(&mut self, cause: StopCause) {
        if self.state.stage == Stage::Running {
            self.state.stage = Stage::Stopping { until: self.state.now.mono + STOP_WITHIN };
            self.sink.shell_event(&ShellEvent::Stopping(cause));
        }
    }

    /// The core has halted: it closes its connections now.
    pub(super) fn halted(&mut self, fatal: Fatal) {
        if self.state.stage == Stage::Running {
            self.state.stage = Stage::Stopping { until: self.state.now.mono + STOP_WITHIN };
        }
        self.state.fatal.get_or_insert(fatal);
    }

    /// The core has no connections any more.
    pub(super) fn stopped(&mut self) {
        let until = match self.state.stage {
            Stage::Running => self.state.now.mono + STOP_WITHIN,
            Stage::Stopping { until } | Stage::Stopped { until } => until,
            Stage::Interrupted => return,
        };
        self.state.stage = Stage::Stopped { until };
    }

    fn take_requests(&mut self) {
        self.state.requests_left = false;
        for taken in 0.. {
            if taken == REQUESTS_PER_WAKE {
                self.state.requests_left = true;
                return;
            }
            let Ok(Asked { request, answer }) = self.requests.try_recv() else { return };
            let id = self.next_request();
            self.state.asked.insert(id, answer);
            self.state.counters.requests += 1;
            if matches!(request, Request::Stop) {
                self.begin_to_stop(StopCause::Order);
            }
            self.core.handle(self.state.now, Input::Request { id, request });
            self.drain();
        }
    }

    fn next_request(&mut self) -> RequestId {
        self.state.next_request += 1;
        RequestId(self.state.next_request)
    }

    fn accept_some(&mut self) {
        for _ in 0..ACCEPTS_PER_TURN {
            match self.listener.accept(self.state.now.mono) {
                Accepted::Nobody => return,
                Accepted::Recovered { failures } => {
                    return self.sink.shell_event(&ShellEvent::AcceptResumed { failures });
                }
                Accepted::Lost => {}
                Accepted::Stream(stream, from) => self.accepted(stream, from),
                Accepted::Paused { cause, retry_in, failures } => {
                    self.state.counters.accept_failures += 1;
                    if failures == 1 {
                        self.sink.shell_event(&ShellEvent::AcceptPaused { cause, retry_in });
                    }
                    return;
                }
            }
        }
    }

    /// After the inputs, so that what has arrived in time counts as such.
    fn tick(&mut self) {
        let Some(deadline) = self.core.deadline() else { return };
        if deadline <= self.state.now.mono {
            let late = self.state.now.mono.since(deadline);
            let lag = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
            let counters = &mut self.state.counters;
            counters.ticks += 1;
            counters.lag.note(late);
            counters.lag_last_ns = lag;
            counters.lag_max_ns = counters.lag_max_ns.max(lag);
            self.core.handle(self.state.now, Input::Tick);
            self.drain();
        }
    }

    /// How long to wait for events.
    fn timeout(&self) -> Duration {
        let state = &self.state;
        let now = state.turned;
        if !state.to_read.is_empty() || !state.to_flush.is_empty() || state.requests_left {
            return Duration::ZERO;
        }
        let stage = match state.stage {
            Stage::Stopping { until } | Stage::Stopped { until } => Some(until),
            Stage::Running | Stage::Interrupted => None,
        };
        [self.core.deadline(), self.listener.wants_turn(now), state.lingering.next_expiry(), stage]
            .into_iter()
            .flatten()
            .map(|at| at.since(now))
            .fold(TURN_AT_LEAST_EVERY, Duration::min)
    }

    fn publish(&mut self) {
        let state = &mut self.state;
        state.turned = clock::mono();
        let busy = u64::try_from(state.turned.since(state.now.mono).as_nanos()).unwrap_or(u64::MAX);
        let counters = &mut state.counters;
        counters.turns += 1;
        counters.busy_ns += busy;
        counters.turn_max_ns = counters.turn_max_ns.max(busy);
        counters.open = state.connections.open() as u64;
        counters.lingering = state.lingering.len() as u64;
        let (summary, counters, turned) = (state.summary, state.counters, state.turned);
        self.shared.publish(Snapshot { summary, counters, turned });
        self.sink.turned(turned);
    }

    fn exit(&mut self) -> Option<Exit> {
        let over = |until| self.state.turned >= until;
        let exit = match self.state.stage {
            Stage::Running => return None,
            Stage::Interrupted => Exit::Interrupted,
            Stage::Stopped { until } if self.state.lingering.len() == 0 || over(until) => Exit::Stopped,
            Stage::Stopping { until } if over(until) => Exit::StopTimedOut,
            Stage::Stopped { .. } | Stage::Stopping { .. } => return None,
        };
        if let Some(fatal) = self.state.fatal.take() {
            return Some(Exit::Fatal(fatal));
        }
        Some(self.state.standing.application_failed.take().map_or(exit, Exit::Application))
    }
}
