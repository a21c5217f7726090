//! The one task that owns the core. Everything else is a task of its own that hands things to it across a bounded
//! channel, and waits for nothing of it but room.
//!
//! | file | mechanism |
//! |---|---|
//! | `mod` | the turn: wait, look at what has come, tick, then commands and bytes out |
//! | `commands` | the core's commands carried out, its bytes moved |
//! | `stages` | how it comes to its end |
//! | `link` | what the driver and the tasks of a connection have in common |
//! | `connection` | the two tasks of a connection |
//! | `connections` | all of them, by [`ConnId`] |
//! | `listener` | accepting |
//! | `scribe` | the store's task: order, groups, failures |
//! | `workers` | the tasks of the application, of blocks for peers, of names |

mod commands;
mod connection;
mod connections;
mod link;
mod listener;
mod scribe;
mod stages;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use timed_core::{ConnId, Core, Input, Now, REQUESTS_PER_WAKE, Request, RequestId, SeedId, TransportCause};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep, sleep};

use self::connections::Connections;
use self::listener::Incoming;
use self::scribe::Desk;
use self::stages::Stage;
use self::workers::{Answer, Load, Question};
use crate::application::Application;
use crate::clock::Clock;
use crate::events::{Notice, Ring, ShellEvent};
use crate::handle::{Asked, Board, Counters, Ordered};
use crate::limits::{
    ACCEPTED, ANSWERS, ARRIVALS, LOADS, PER_TURN, QUESTIONS, TURN_AT_LEAST_EVERY, UNANSWERED,
};
use crate::network::{Halves, Network};
use crate::store::Store;

pub(crate) use self::scribe::{Remembered, commit};
pub use self::stages::Exit;

/// What the tasks of connections tell the driver.
pub(crate) enum Arrival<N: Network> {
    /// Bytes arrived.
    Data { conn: ConnId, bytes: Box<[u8]> },
    /// Nothing more will.
    Lost { conn: ConnId, cause: TransportCause },
    /// What waited is with the kernel.
    Room { conn: ConnId },
    /// A dial succeeded.
    Dialed { conn: ConnId, halves: Halves<N>, local: SocketAddr },
}

/// Everything that one run holds.
pub(crate) struct Driver<N: Network, C> {
    core: C,
    network: Arc<N>,
    clock: Arc<dyn Clock>,
    ring: Arc<Ring>,
    board: Arc<Board>,
    requests: mpsc::Receiver<Asked>,
    orders: watch::Receiver<Ordered>,
    names: Vec<String>,

    connections: Connections,
    arrivals: mpsc::Receiver<Arrival<N>>,
    arrive: mpsc::Sender<Arrival<N>>,
    incoming: Option<mpsc::Receiver<Incoming<N>>>,
    answers: mpsc::Receiver<Answer>,
    answer: mpsc::Sender<Answer>,
    alive: Option<connection::Alive>,
    all_gone: mpsc::Receiver<std::convert::Infallible>,
    desk: Desk,
    questions: mpsc::Sender<Question>,
    loads: mpsc::Sender<Load>,
    /// The store's task: when it has ended, everything that was handed to it is written.
    scribe: JoinHandle<()>,
    helpers: Vec<JoinHandle<()>>,

    now: Now,
    to_flush: Vec<ConnId>,
    asked: BTreeMap<RequestId, oneshot::Sender<timed_core::Reply>>,
    next_request: u64,
    resolving: BTreeSet<SeedId>,
    told: Told,
    stage: Stage,
    failure: Option<Exit>,
    doors: Doors,
    counters: Counters,
    out: Vec<u8>,
}

/// Doors that may be shut from outside.
#[derive(Debug)]
struct Doors {
    requests: bool,
    orders: bool,
}

/// Why the driver woke up, with what it was given.
enum Woken<N: Network> {
    ByArrivals,
    ByAnswer(Answer),
    ByRequest(Option<Asked>),
    ByIncoming(Incoming<N>),
    /// Whether anybody holds a handle.
    ByOrder(bool),
    /// No connection's task runs any more.
    AllGone,
    InTime,
}

/// What is told once.
#[derive(Debug, Default)]
struct Told {
    application_behind: bool,
    load_failed: bool,
}

/// What a driver begins with.
pub(crate) struct Parts<N: Network, S, A> {
    pub(crate) network: N,
    pub(crate) listener: Option<N::Listener>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Arc<S>,
    pub(crate) application: Arc<A>,
    pub(crate) remembered: Remembered,
    pub(crate) names: Vec<String>,
    pub(crate) ring: Arc<Ring>,
    pub(crate) board: Arc<Board>,
    pub(crate) requests: mpsc::Receiver<Asked>,
    pub(crate) orders: watch::Receiver<Ordered>,
}

impl<N: Network, C: Core + Send + 'static> Driver<N, C> {
    /// Starts the tasks that work for it.
    pub(crate) fn start<S: Store, A: Application>(core: C, parts: Parts<N, S, A>) -> Self {
        let Parts { network, listener, clock, store, application, remembered, names, .. } = parts;
        let network = Arc::new(network);
        let (arrive, arrivals) = mpsc::channel(ARRIVALS);
        let (answer, answers) = mpsc::channel(ANSWERS);
        let (questions, asked) = mpsc::channel(QUESTIONS);
        let (loads, loading) = mpsc::channel(LOADS);
        let (alive, all_gone) = mpsc::channel(1);
        let (desk, jobs) = Desk::new();
        let writing =
            scribe::scribe(Arc::clone(&store), Arc::clone(&application), remembered, jobs, answer.clone());
        let mut helpers = vec![
            tokio::spawn(workers::loader(store, loading, answer.clone())),
            tokio::spawn(workers::application(application, Arc::clone(&clock), asked, answer.clone())),
        ];
        let incoming = listener.map(|listener| {
            let (driver, incoming) = mpsc::channel(ACCEPTED);
            helpers.push(tokio::spawn(listener::listen(Arc::clone(&network), listener, driver)));
            incoming
        });
        Self {
            core,
            now: clock.now(),
            network,
            clock,
            ring: parts.ring,
            board: parts.board,
            requests: parts.requests,
            orders: parts.orders,
            names,
            connections: Connections::default(),
            arrivals,
            arrive,
            incoming,
            answers,
            answer,
            alive: Some(alive),
            all_gone,
            desk,
            questions,
            loads,
            scribe: tokio::spawn(writing),
            helpers,
            to_flush: Vec::new(),
            asked: BTreeMap::new(),
            next_request: 0,
            resolving: BTreeSet::new(),
            told: Told::default(),
            stage: Stage::Running,
            failure: None,
            doors: Doors { requests: true, orders: true },
            counters: Counters::default(),
            out: Vec::new(),
        }
    }

    /// Turns until there is a reason to end; then everything that was handed to the store is written.
    pub(crate) async fn run(mut self) -> Exit {
        let mut arrived = Vec::with_capacity(PER_TURN);
        let mut alarm = Box::pin(sleep(Duration::ZERO));
        let mut woken = Woken::InTime;
        let exit = loop {
            self.turn(woken, &mut arrived);
            if let Some(exit) = self.exit() {
                break exit;
            }
            woken = self.wait(&mut arrived, alarm.as_mut()).await;
        };
        self.close(exit).await
    }

    /// Waits until something has come, or it is time.
    async fn wait(&mut self, arrived: &mut Vec<Arrival<N>>, mut alarm: Pin<&mut Sleep>) -> Woken<N> {
        let due = self.due();
        // An alarm that is set too early costs a turn, one that is set anew each time costs more.
        if alarm.is_elapsed() || due < alarm.deadline() {
            alarm.as_mut().reset(due);
        }
        let may_ask = self.doors.requests && self.asked.len() < UNANSWERED;
        tokio::select! {
            biased;
            _ = self.arrivals.recv_many(arrived, PER_TURN) => Woken::ByArrivals,
            Some(answer) = self.answers.recv() => Woken::ByAnswer(answer),
            asked = self.requests.recv(), if may_ask => Woken::ByRequest(asked),
            Some(incoming) = next(&mut self.incoming) => Woken::ByIncoming(incoming),
            changed = self.orders.changed(), if self.doors.orders => Woken::ByOrder(changed.is_ok()),
            _ = self.all_gone.recv(), if self.alive.is_none() => Woken::AllGone,
            () = alarm => Woken::InTime,
        }
    }

    /// When to wake up at the latest.
    fn due(&self) -> Instant {
        let now = self.clock.now().mono;
        let at = [self.core.deadline(), self.stage.until()].into_iter().flatten();
        let wait = at.map(|at| at.since(now)).fold(TURN_AT_LEAST_EVERY, Duration::min);
        Instant::now() + wait
    }

    fn turn(&mut self, woken: Woken<N>, arrived: &mut Vec<Arrival<N>>) {
        self.now = self.clock.now();
        match woken {
            Woken::ByArrivals | Woken::InTime => {}
            Woken::ByAnswer(answer) => self.answered(answer),
            Woken::ByRequest(asked) => self.requested(asked),
            Woken::ByIncoming(incoming) => self.came_in(incoming),
            Woken::ByOrder(held) => self.ordered(held),
            Woken::AllGone => self.all_gone(),
        }
        // What has come beside it, each within its share.
        for _ in 0..ANSWERS {
            let Ok(answer) = self.answers.try_recv() else { break };
            self.answered(answer);
        }
        for _ in 0..REQUESTS_PER_WAKE {
            if self.asked.len() >= UNANSWERED {
                break;
            }
            let Ok(asked) = self.requests.try_recv() else { break };
            self.requested(Some(asked));
        }
        if arrived.is_empty() {
            while arrived.len() < PER_TURN
                && let Ok(arrival) = self.arrivals.try_recv()
            {
                arrived.push(arrival);
            }
        }
        for arrival in arrived.drain(..) {
            self.arrived(arrival);
            self.drain();
        }
        for _ in 0..ACCEPTED {
            let Some(Ok(incoming)) = self.incoming.as_mut().map(mpsc::Receiver::try_recv) else { break };
            self.came_in(incoming);
        }
        self.tick();
        self.settle();
        self.publish();
    }

    /// After the inputs, so that what has arrived in time counts as such.
    fn tick(&mut self) {
        let Some(deadline) = self.core.deadline() else { return };
        if deadline <= self.now.mono {
            self.counters.ticks += 1;
            self.counters.lag_max = self.counters.lag_max.max(self.now.mono.since(deadline));
            self.core.handle(self.now, Input::Tick);
            self.drain();
        }
    }

    /// Takes a request; none will follow if there is none.
    fn requested(&mut self, asked: Option<Asked>) {
        let Some(Asked { request, answer }) = asked else {
            self.doors.requests = false;
            return;
        };
        let id = self.next_request();
        self.asked.insert(id, answer);
        self.counters.requests += 1;
        if matches!(request, Request::Stop) {
            self.begin_to_stop();
        }
        self.core.handle(self.now, Input::Request { id, request });
        self.drain();
    }

    fn next_request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    fn tell(&self, event: ShellEvent) {
        self.ring.publish(Notice::Shell(event));
    }

    fn publish(&mut self) {
        self.counters.turns += 1;
        self.counters.open = self.connections.open();
        self.board.publish(self.counters, self.now.mono);
    }
}

/// The next thing that comes in; never, where nothing does.
async fn next<T>(from: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match from {
        Some(from) => from.recv().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
