//! A node from its parts to its tasks.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use timed_core::{ConfigError, Core, FinalBlock, Height, NodeId, Now, Record, RecordKey};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use crate::application::Application;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Identity};
use crate::driver::{Driver, Parts, Remembered, commit};
use crate::events::{Events, Ring};
use crate::handle::{Board, Doors, Handle, Ordered};
use crate::limits::{REQUESTS, WRITE_GROUP_BYTES};
use crate::network::Network;
use crate::store::{Store, StoreError};
use crate::tcp::canonical;

/// A node of the network, as a few tasks of the current runtime.
#[derive(Debug)]
pub struct Node;

/// Why a node could not be started. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The configuration contradicts itself, the key or the store's records.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address cannot be had.
    #[error("cannot listen on {addr}: {error}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The operating system's words.
        error: io::Error,
    },
    /// The store cannot be read.
    #[error("the store cannot be read: {0}")]
    Store(StoreError),
    /// The application did not take in a stored block.
    #[error("the application cannot go on {0}")]
    Application(Arc<str>),
    /// The system gives no entropy.
    #[error("the system gives no entropy: {0}")]
    Entropy(getrandom::Error),
}

impl Node {
    /// Starts a node on TCP. Call it within a tokio runtime with its timer and I/O enabled, of either flavour.
    ///
    /// It reads the store's records, has the application take in the stored blocks that it lacks, binds the listener,
    /// and dials its first peers. Dropped before it is done, it leaves nothing that runs.
    ///
    /// # Errors
    /// See [`SpawnError`].
    pub async fn spawn(
        config: Config,
        identity: Identity,
        store: impl Store,
        application: impl Application,
    ) -> Result<(Handle, Events), SpawnError> {
        let tcp = config.tcp;
        Self::spawn_on(tcp, SystemClock::new(), config, identity, store, application).await
    }

    /// The same on another network, by another clock: for simulations. [`Config::tcp`] is not looked at.
    ///
    /// # Errors
    /// See [`SpawnError`].
    pub async fn spawn_on<N: Network>(
        network: N,
        clock: impl Clock,
        config: Config,
        identity: Identity,
        store: impl Store,
        application: impl Application,
    ) -> Result<(Handle, Events), SpawnError> {
        let Config { core, listen, tcp: _, names } = config;
        let surroundings = Surroundings { network, clock: Arc::new(clock), listen, names };
        let provider = identity.into_provider();
        let id = provider.node_id();
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).map_err(SpawnError::Entropy)?;
        let make = |records, now| timed_core::Node::new(core, provider, *seed, records, now);
        Self::spawn_core(surroundings, id, store, application, make).await
    }

    /// The same with anything in the core's place that has its door, such as a recorder around one. `make` gets the
    /// store's records and the first reading of the clocks, once the address is bound.
    ///
    /// # Errors
    /// See [`SpawnError`].
    pub async fn spawn_core<N: Network, C: Core + Send + 'static, S: Store, A: Application>(
        surroundings: Surroundings<N>,
        id: NodeId,
        store: S,
        application: A,
        make: impl FnOnce(Vec<Record>, Now) -> Result<C, ConfigError>,
    ) -> Result<(Handle, Events), SpawnError> {
        let Surroundings { network, clock, listen, names } = surroundings;
        let (store, application) = (Arc::new(store), Arc::new(application));
        let (records, remembered) = {
            let (store, application) = (Arc::clone(&store), Arc::clone(&application));
            match spawn_blocking(move || recall(&*store, &*application)).await {
                Ok(recalled) => recalled?,
                Err(_) => return Err(SpawnError::Store("it panicked".into())),
            }
        };
        let bound = match listen {
            Some(addr) => {
                let failed = |error| SpawnError::Listen { addr, error };
                Some(network.listen(canonical(addr)).await.map_err(failed)?)
            }
            None => None,
        };
        let (listener, local) = bound.unzip();
        let core = make(records, clock.now())?;

        let ring = Arc::new(Ring::default());
        let events = ring.subscribe();
        let board = Arc::new(Board::new(Arc::clone(&clock)));
        let (asking, requests) = mpsc::channel(REQUESTS);
        let (ordering, orders) = watch::channel(Ordered::Run);
        let (ending, exit) = watch::channel(None);
        let shared: Arc<dyn Store> = store.clone();
        let doors = Doors {
            requests: asking,
            orders: ordering,
            board: Arc::clone(&board),
            ring: Arc::clone(&ring),
            exit,
            // A handle that outlives the node holds no file open.
            store: Arc::downgrade(&shared),
        };
        drop(shared);
        let end = End(Arc::clone(&ring));
        let parts = Parts {
            network,
            listener,
            clock,
            store,
            application,
            remembered,
            names,
            ring,
            board,
            requests,
            orders,
        };
        let driver = Driver::start(core, parts);
        tokio::spawn(async move {
            // However this task ends, readers are told.
            let _end = end;
            let exit = driver.run().await;
            ending.send_replace(Some(exit));
        });
        Ok((Handle::new(doors, id, local), events))
    }
}

/// What is around a node that is not TCP and the system's clocks.
pub struct Surroundings<N> {
    /// Where connections come from.
    pub network: N,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// As [`Config::listen`].
    pub listen: Option<SocketAddr>,
    /// As [`Config::names`].
    pub names: Vec<String>,
}

struct End(Arc<Ring>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Reads the records, and hands the application the stored blocks that it lacks, the two newest in any case.
fn recall<S: Store, A: Application>(
    store: &S,
    application: &A,
) -> Result<(Vec<Record>, Remembered), SpawnError> {
    let records = store.records().map_err(SpawnError::Store)?;
    let tip = records.iter().find(|record| record.key == RecordKey::Tip);
    let newest = match tip.map(|tip| FinalBlock::decode(&tip.bytes)) {
        None => 0,
        Some(Ok(tip)) => tip.block.header.height.0,
        Some(Err(_)) => return Err(SpawnError::Config(ConfigError::DamagedRecord(RecordKey::Tip.name()))),
    };
    let mut remembered = VecDeque::new();
    let mut next = application.height().0.saturating_add(1).min(newest.saturating_sub(1)).max(1);
    while next <= newest {
        let blocks =
            store.blocks(Height(next), Height(newest), WRITE_GROUP_BYTES).map_err(SpawnError::Store)?;
        if blocks.is_empty() {
            return Err(SpawnError::Store(format!("the block of height {next} is missing").into()));
        }
        for stored in blocks {
            let damaged = || SpawnError::Store(format!("the block of height {next} is damaged").into());
            let block = FinalBlock::decode(&stored.bytes).map_err(|_| damaged())?;
            let commitment = commit(application, &block).map_err(SpawnError::Application)?;
            remembered.push_back((stored.height, commitment));
            if remembered.len() > 2 {
                remembered.pop_front();
            }
            next += 1;
        }
    }
    Ok((records, remembered))
}
