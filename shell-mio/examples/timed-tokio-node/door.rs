//! The node as the daemon's API reaches it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use timed_core::{BlockHash, Height, Request, StoredBlock, Summary, TxId};
use timed_mio::{Answer, Blocks, Busy, Driven, Inclusion, LoopCounters, StoreError};
use timed_tokio::{Handle, RedbStore, Store as _};
use tokio::runtime::Handle as Runtime;
use tokio::sync::Semaphore;

/// Requests under way at once.
const REQUESTS: usize = 256;

/// Asks and orders, from any thread.
pub(crate) struct Door {
    handle: Handle,
    runtime: Runtime,
    room: Arc<Semaphore>,
}

impl Door {
    pub(crate) fn new(handle: Handle, runtime: Runtime) -> Self {
        Self { handle, runtime, room: Arc::new(Semaphore::new(REQUESTS)) }
    }
}

impl Driven for Door {
    fn ask(&self, request: Request, answer: Answer) -> Result<(), Busy> {
        let place = Arc::clone(&self.room).try_acquire_owned().map_err(|_| Busy::QueueFull)?;
        let handle = self.handle.clone();
        self.runtime.spawn(async move {
            // Dropped without a word where the node has ended.
            if let Ok(reply) = handle.ask(request).await {
                answer.give(reply);
            }
            drop(place);
        });
        Ok(())
    }

    fn summary(&self) -> Summary {
        self.handle.summary()
    }

    fn counters(&self) -> LoopCounters {
        let counters = self.handle.counters();
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        LoopCounters {
            turns: counters.turns,
            ticks: counters.ticks,
            reads: counters.chunks_in,
            writes: counters.chunks_out,
            bytes_in: counters.bytes_in,
            bytes_out: counters.bytes_out,
            dialed: counters.dialed,
            accepted: counters.accepted,
            refused: counters.refused,
            accept_failures: counters.accept_failures,
            requests: counters.requests,
            records: counters.records,
            blocks: counters.blocks,
            loads: counters.loads,
            linger_cut: counters.linger_cut,
            open: counters.open as u64,
            lag_max_ns: nanos(counters.lag_max),
            ..LoopCounters::default()
        }
    }

    fn last_tick_age(&self) -> Duration {
        self.handle.last_turn_age()
    }

    fn stop(&self) {
        let handle = self.handle.clone();
        self.runtime.spawn(async move { handle.shutdown().await });
    }
}

/// The blocks, as long as the node runs.
pub(crate) struct Shelf(Weak<RedbStore>);

impl Shelf {
    pub(crate) fn new(store: &Arc<RedbStore>) -> Self {
        Self(Arc::downgrade(store))
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&RedbStore) -> Result<T, timed_tokio::store::StoreError>,
    ) -> Result<T, StoreError> {
        let store = self.0.upgrade().ok_or_else(|| StoreError::Other("the node has stopped".to_owned()))?;
        read(&store).map_err(|error| StoreError::Other(error.to_string()))
    }
}

impl Blocks for Shelf {
    fn latest(&self) -> Result<Option<StoredBlock>, StoreError> {
        self.read(|store| match store.newest()? {
            Height(0) => Ok(None),
            newest => Ok(store.blocks(newest, newest, 0)?.pop()),
        })
    }

    fn block(&self, height: Height) -> Result<Option<StoredBlock>, StoreError> {
        self.read(|store| Ok(store.blocks(height, height, 0)?.pop()))
    }

    fn height_of(&self, hash: BlockHash) -> Result<Option<Height>, StoreError> {
        self.read(|store| store.height_of(&hash))
    }

    fn find_transaction(&self, id: TxId) -> Result<Option<Inclusion>, StoreError> {
        let found = self.read(|store| store.find(&id))?;
        Ok(found.map(|place| Inclusion { height: place.height, index: place.index }))
    }
}
