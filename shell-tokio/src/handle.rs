//! What the embedding program holds: it asks, orders and waits. Nothing here makes the node wait.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use timed_core::{
    Ban, BanNote, BanTarget, BlockHash, CanonicalAddr, ConsensusInfo, Drain, Evidence, FinalBlock, Height,
    MasternodeInfo, Matrix, Mono, NodeId, PeerInfo, PeerRef, QuorumLoss, Reconfiguration, Reply, Request,
    Status, Summary, TxId, TxState, Why,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;

use crate::clock::Clock;
use crate::driver::Exit;
use crate::events::{Events, Ring};
use crate::request::{Connecting, RequestError, TransactionState, refused};
use crate::store::{Store, StoreError};

/// A handle of a running node: cheap to clone, usable from any task and thread. When the last one is dropped the node
/// stops as after [`Handle::shutdown`].
///
/// Every method that waits may be dropped while it does: an order that was taken is carried out, an answer that
/// nobody waits for is thrown away.
#[derive(Clone)]
pub struct Handle(Arc<Held>);

struct Held {
    requests: mpsc::Sender<Asked>,
    orders: watch::Sender<Ordered>,
    board: Arc<Board>,
    ring: Arc<Ring>,
    exit: watch::Receiver<Option<Exit>>,
    store: Weak<dyn Store>,
    id: NodeId,
    local: Option<SocketAddr>,
}

/// A request, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) answer: oneshot::Sender<Reply>,
}

/// What the driver is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ordered {
    Run,
    Stop,
    Abort,
}

/// Totals of the shell since its start, and the connections at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Turns of the driver.
    pub turns: u64,
    /// Ticks given because the deadline had passed.
    pub ticks: u64,
    /// The most by which one of them came after its deadline.
    pub lag_max: Duration,
    /// Chunks of bytes read from connections.
    pub chunks_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Chunks of bytes handed to connections.
    pub chunks_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Connections dialed.
    pub dialed: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections that the core did not take.
    pub refused: u64,
    /// Times that accepting failed for want of descriptors or memory.
    pub accept_failures: u64,
    /// Requests taken from handles.
    pub requests: u64,
    /// Records and blocks made durable.
    pub records: u64,
    /// Blocks that the application has taken in.
    pub blocks: u64,
    /// Ranges of blocks read for peers.
    pub loads: u64,
    /// Connections closed before the peer had taken everything, because too many lingered.
    pub linger_cut: u64,
    /// Connections open or being dialed at present.
    pub open: usize,
}

/// What the driver shows to handles.
pub(crate) struct Board {
    clock: Arc<dyn Clock>,
    shown: Mutex<Shown>,
}

#[derive(Clone, Copy, Default)]
struct Shown {
    summary: Summary,
    counters: Counters,
    turned: Mono,
}

impl Board {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let turned = clock.now().mono;
        Self { clock, shown: Mutex::new(Shown { turned, ..Shown::default() }) }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn show(&self, summary: Summary) {
        self.shown().summary = summary;
    }

    pub(crate) fn publish(&self, counters: Counters, turned: Mono) {
        let mut shown = self.shown();
        shown.counters = counters;
        shown.turned = turned;
    }
}

/// What a handle is made of.
pub(crate) struct Doors {
    pub(crate) requests: mpsc::Sender<Asked>,
    pub(crate) orders: watch::Sender<Ordered>,
    pub(crate) board: Arc<Board>,
    pub(crate) ring: Arc<Ring>,
    pub(crate) exit: watch::Receiver<Option<Exit>>,
    pub(crate) store: Weak<dyn Store>,
}

impl Handle {
    pub(crate) fn new(doors: Doors, id: NodeId, local: Option<SocketAddr>) -> Self {
        let Doors { requests, orders, board, ring, exit, store } = doors;
        Self(Arc::new(Held { requests, orders, board, ring, exit, store, id, local }))
    }

    /// The node's public key.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.0.id
    }

    /// Where it listens, with the port that port 0 became.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.0.local
    }

    /// The core's newest summary, at once and without asking it: for health checks. All zero before the first, which
    /// comes with the first turn; at most 250 ms old after a change.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.0.board.shown().summary
    }

    /// What the shell has done since its start, as of its last turn.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.0.board.shown().counters
    }

    /// How long ago the core last had the chance to act. It has it once a second at least, so that more than a few
    /// seconds mean that the runtime is blocked or the machine is overloaded.
    #[must_use]
    pub fn last_turn_age(&self) -> Duration {
        let turned = self.0.board.shown().turned;
        self.0.board.clock.now().mono.since(turned)
    }

    /// Another reader of what happens from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.0.ring.subscribe()
    }

    /// Asks the core anything. Waits for room if 256 requests wait already; the core answers most within one turn, and
    /// within a disk's time what must be durable first.
    ///
    /// # Errors
    /// [`RequestError::Ended`], and the core's refusals.
    pub async fn request(&self, request: Request) -> Result<Reply, RequestError> {
        refused(self.ask(request).await?)
    }

    /// The same with the core's own answer, whatever it is.
    ///
    /// # Errors
    /// [`RequestError::Ended`].
    pub async fn ask(&self, request: Request) -> Result<Reply, RequestError> {
        let (answer, reply) = oneshot::channel();
        self.0.requests.send(Asked { request, answer }).await.map_err(|_| RequestError::Ended)?;
        reply.await.map_err(|_| RequestError::Ended)
    }

    /// This node in short.
    ///
    /// # Errors
    /// As [`Handle::request`].
    pub async fn status(&self) -> Result<Status, RequestError> {
        match self.request(Request::Status).await? {
            Reply::Status(status) => Ok(*status),
            _ => Err(RequestError::OfAnotherKind),
        }
    }

    /// All live sessions, by node id.
    ///
    /// # Errors
    /// As [`Handle::request`].
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, RequestError> {
        match self.request(Request::Peers).await? {
            Reply::Peers(peers) => Ok(peers),
            _ => Err(RequestError::OfAnotherKind),
        }
    }

    /// The whole network's links, as this node knows them from signed heartbeats (rule M-5).
    ///
    /// # Errors
    /// As [`Handle::request`].
    pub async fn matrix(&self) -> Result<Matrix, RequestError> {
        match self.request(Request::Matrix).await? {
            Reply::Matrix(matrix) => Ok(*matrix),
            _ => Err(RequestError::OfAnotherKind),
        }
    }

    /// The registry, and what is known of each masternode.
    ///
    /// # Errors
    /// As [`Handle::request`].
    pub async fn masternodes(&self) -> Result<Vec<MasternodeInfo>, RequestError> {
        match self.request(Request::Masternodes).await? {
            Reply::Masternodes(all) => Ok(all),
            _ => Err(RequestError::OfAnotherKind),
        }
    }

    /// Why this node is, or is not, connected to a peer.
    ///
    /// # Errors
    /// As [`Handle::request`], and if no such peer is known.
    pub async fn why(&self, peer: PeerRef) -> Result<Why, RequestError> {
        match self.request(Request::Why(peer)).await? {
            Reply::Why(why) => Ok(*why),
            _ => Err(RequestError::OfAnotherKind),
        }
    }

    /// Dials a peer now, whose key must be this one if it is given; lifts a hold set by [`Handle::disconnect`].
    ///
    /// # Errors
    /// As [`Handle::request`].
    pub async fn connect(&self, addr: CanonicalAddr, id: Option<NodeId>) -> Result<Connecting, RequestError> {
        self.connecting(Request::Connect { addr, id }).await
    }

    /// The same for a peer whose address the core knows.
    ///
    /// # Errors
    /// As [`Handle::request`], and if no such peer is known.
    pub async fn connect_known(&self, peer: PeerRef) -> Result<Connecting, RequestError> {
        self.connecting(Request::ConnectKnown(peer)).await
    }

    /// Seeks a peer no more for the sake of an earlier [`Handle::connect`]; a link stays while it stands.
    ///
    /// # Errors
    /// As [`Handle::request`], and if no such peer is known or no earlier order seeks it.
    pub async fn forget(&self, peer: PeerRef) -> Result<(), RequestError> {
        match self.request(Request::Forget(peer)).await? {
            Reply::Forgotten => Ok(()),
            _ => Err(RequestError::OfAnotherKind),
        }
    }

    /// Changes what may be changed while the node runs.
    ///
    /// # Errors
    /// As [`Handle::request`], and if the core refuses it.
    pub async fn reconfigure(&self, to: Reconfiguration) -> Result<(), RequestError> {
        match self.request(Request::Reconfigure(Box::new(to))).await? {
            Reply::Reconfigured => Ok(()),
            _ => Err(RequestError::OfAnotherKind),
        }
    }

    async fn connecting(&self, request: Request) -> Result<Connecting, RequestError> {
        match self.request(request).await? {
            Reply::Dialing { .. } => Ok(Connecting::Dialing),
            Reply::AlreadyConnected(id) => Ok(Connecting::AlreadyConnected(id)),
            _ => Err(RequestError::OfAnotherKind),
        }
    }

    /// Closes the link to a peer and stays apart for ten minutes, or until [`Handle::connect`]. Answers with the key
    /// behind the address, if it is known.
    ///
    /// # Errors
    /// As [`Handle::request`], and if no such peer is known.
    pub async fn disconnect(&self, peer: PeerRef) -> Result<Option<NodeId>, RequestError> {
        match self.request(Request::Disconnect(peer)).await? {
            Reply::Disconnected(id) => Ok(id),
            _ => Err(RequestError::OfAnotherKind),
        }
    }

    /// Every ban in force, oldest first.
    ///
    /// # Errors
    /// As [`Handle::request`].
    pub async fn bans(&self) -> Result<Vec<Ban>, RequestError> {
        match self.request(Request::Bans).await? {
            Reply::Bans(bans) => Ok(bans),
            _ => Err(RequestError::OfAnotherKind),
        }
    }

    /// Bans a key or addresses, at once and durably (rule A-4), until the ban is lifted if no time is given.
    ///
    /// # Errors
    /// As [`Handle::request`].
    pub async fn ban(
        &self,
        target: BanTarget,
        lasts: Option<Duration>,
        note: Option<BanNote>,
    ) -> Result<Ban, RequestError> {
        match self.request(Request::Ban { target, lasts, note }).await? {
            Reply::Banned { ban, masternodes: _ } => Ok(*ban),
            _ => Err(RequestError::OfAnotherKind),
        }
    }

    /// Lifts a ban, whoever set it.
    ///
    /// # Errors
    /// As [`Handle::request`], and if there is none on exactly this target.
    pub async fn unban(&self, target: BanTarget) -> Result<Ban, RequestError> {
        match self.request(Request::Unban(target)).await? {
            Reply::Unbanned(ban) => Ok(*ban),
            _ => Err(RequestError::OfAnotherKind),
        }
    }

    /// Sends opaque bytes, 64 KiB at most, to one live peer or to all: best effort. Answers for how many it was queued.
    /// They arrive as [`Event::Datagram`](timed_core::Event::Datagram).
    ///
    /// # Errors
    /// As [`Handle::request`].
    pub async fn send(&self, to: Option<NodeId>, payload: Bytes) -> Result<usize, RequestError> {
        match self.request(Request::Send { to, payload }).await? {
            Reply::Sent(count) => Ok(count),
            _ => Err(RequestError::OfAnotherKind),
        }
    }

    /// Submits a transaction of 1 byte to 64 KiB. Answers with its id when it is durable here: from then on it waits
    /// to be in a block, across restarts too.
    ///
    /// # Errors
    /// As [`Handle::request`], and if it is too large or too many wait.
    pub async fn submit(&self, transaction: Bytes) -> Result<TxId, RequestError> {
        match self.request(Request::Submit(transaction)).await? {
            Reply::Submitted(id) => Ok(id),
            _ => Err(RequestError::OfAnotherKind),
        }
    }

    /// Where a transaction is. That it is committed is known from the store's index, see [`Store::find`].
    ///
    /// # Errors
    /// As [`Handle::request`], and if the store cannot be read.
    pub async fn transaction(&self, id: TxId) -> Result<TransactionState, RequestError> {
        let Reply::Transaction(state) = self.request(Request::Transaction(id)).await? else {
            return Err(RequestError::OfAnotherKind);
        };
        // The core first: what leaves it is in the store already.
        let place = self.read(move |store| store.find(&id)).await?;
        Ok(match (place, state) {
            (Some(place), _) => TransactionState::Committed(place),
            (None, TxState::Pending) => TransactionState::Pending,
            (None, TxState::NotPending) => TransactionState::Unknown,
        })
    }

    /// The block of a height; `None` if it is not stored here.
    ///
    /// # Errors
    /// [`RequestError::Ended`], or if the store cannot be read.
    pub async fn block(&self, height: Height) -> Result<Option<FinalBlock>, RequestError> {
        Ok(self.blocks(height, height, 0).await?.pop())
    }

    /// The height of the block with a hash; `None` if it is not stored here, see [`Store::height_of`].
    ///
    /// # Errors
    /// [`RequestError::Ended`], or if the store cannot be read.
    pub async fn height_of(&self, hash: BlockHash) -> Result<Option<Height>, RequestError> {
        self.read(move |store| store.height_of(&hash)).await
    }

    /// Blocks of consecutive heights: no more than `max_bytes` together when encoded, but the first one in any case,
    /// if it is stored here.
    ///
    /// # Errors
    /// [`RequestError::Ended`], or if the store cannot be read.
    pub async fn blocks(
        &self,
        from: Height,
        to: Height,
        max_bytes: usize,
    ) -> Result<Vec<FinalBlock>, RequestError> {
        self.read(move |store| {
            let stored = store.blocks(from, to, max_bytes)?;
            let decode = |bytes: &Bytes| {
                FinalBlock::decode(bytes).map_err(|_| "a stored block is not as it was written".into())
            };
            stored.iter().map(|block| decode(&block.bytes)).collect()
        })
        .await
    }

    /// Reads on a thread that may wait for the disk.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, RequestError> {
        let store = self.0.store.upgrade().ok_or(RequestError::Ended)?;
        match spawn_blocking(move || read(&*store)).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(RequestError::Store(error)),
            Err(_) => Err(RequestError::Store("it panicked".into())),
        }
    }

    /// Proofs of equivocation that this node holds, newest first.
    ///
    /// # Errors
    /// As [`Handle::request`].
    pub async fn evidence(&self) -> Result<Vec<Evidence>, RequestError> {
        match self.request(Request::Evidence).await? {
            Reply::Evidence(evidence) => Ok(evidence),
            _ => Err(RequestError::OfAnotherKind),
        }
    }

    /// The height under way; none if this network makes no blocks.
    ///
    /// # Errors
    /// As [`Handle::request`].
    pub async fn consensus(&self) -> Result<Option<ConsensusInfo>, RequestError> {
        match self.request(Request::Consensus).await? {
            Reply::Consensus(info) => Ok(info.map(|info| *info)),
            _ => Err(RequestError::OfAnotherKind),
        }
    }

    /// Announces to every peer that this node is about to be away, for so long at most: whole seconds, a second to a day
    /// (rule L-5). It takes no more transactions from then on, and takes part in everything else until it is stopped. One
    /// such order a second is taken.
    ///
    /// # Errors
    /// As [`Handle::request`], and if those who are left could not decide blocks, unless that is accepted.
    pub async fn drain(&self, lasts: Duration, loss: QuorumLoss) -> Result<Drain, RequestError> {
        match self.request(Request::Drain { lasts, loss }).await? {
            Reply::Drain(drain) => Ok(drain),
            _ => Err(RequestError::OfAnotherKind),
        }
    }

    /// Takes the announcement back.
    ///
    /// # Errors
    /// As [`Handle::request`].
    pub async fn undrain(&self) -> Result<Drain, RequestError> {
        match self.request(Request::Undrain).await? {
            Reply::Drain(drain) => Ok(drain),
            _ => Err(RequestError::OfAnotherKind),
        }
    }

    /// Has the node say goodbye to everyone, and waits until its last bytes are sent and its store is written: 8 s
    /// for the peers and 1 s for the store at most. Dropped, the node stops all the same; called again, it waits again.
    ///
    /// It returns by then whatever the application and the store do. A call of theirs that has not returned goes on,
    /// and a runtime that is dropped, as `#[tokio::main]` does at its end, waits for it without a bound.
    /// [`Runtime::shutdown_timeout`](tokio::runtime::Runtime::shutdown_timeout) sets one:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # async fn serve() -> timed_tokio::Exit { timed_tokio::Exit::Stopped }
    /// # fn main() -> std::io::Result<()> {
    /// let runtime = tokio::runtime::Runtime::new()?;
    /// let exit = runtime.block_on(serve()); // spawns the node, and ends with shutdown().await
    /// runtime.shutdown_timeout(Duration::from_secs(2));
    /// # let _ = exit;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn shutdown(&self) -> Exit {
        self.order(Ordered::Stop);
        self.ended().await
    }

    /// Ends the node at once, as a crash would: peers are not told. Nothing that was promised is lost.
    pub async fn abort(&self) -> Exit {
        self.order(Ordered::Abort);
        self.ended().await
    }

    /// Waits until the node has ended, for whatever reason.
    pub async fn ended(&self) -> Exit {
        let mut exit = self.0.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.clone().unwrap_or(Exit::Lost),
            Err(_) => Exit::Lost,
        }
    }

    fn order(&self, order: Ordered) {
        self.0.orders.send_if_modified(|given| {
            let more = order > *given;
            if more {
                *given = order;
            }
            more
        });
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("id", &self.0.id)
            .field("local_addr", &self.0.local)
            .finish_non_exhaustive()
    }
}
