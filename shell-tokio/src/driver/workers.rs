//! Tasks that work for the driver beside it: the application's answers, blocks read for peers, names. Nothing waits
//! for them, and a slow one delays nothing but its own answers.

use std::sync::Arc;

use bytes::Bytes;
use timed_core::{
    BlockHash, CanonicalAddr, Height, LoadId, Mono, PayloadVerdict, Round, SeedId, StoredBlock, Ticket,
};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::application::{Application, ApplicationError, Commitment, Offer, Wanted};
use crate::clock::Clock;
use crate::limits::RESOLVE_WITHIN;
use crate::network::Network;
use crate::store::{Store, StoreError};

/// What was done for the driver.
#[derive(Debug)]
pub(super) enum Answer {
    /// A record or a block is durable, and so is every earlier one.
    Durable(Ticket),
    /// The application has taken in the block of this height.
    Committed(Height, Commitment),
    /// What waits to be written is lost, and everything later.
    StoreFailed(Arc<str>),
    Produced {
        height: Height,
        round: Round,
        offer: Offer,
    },
    Validated {
        block: BlockHash,
        verdict: PayloadVerdict,
    },
    /// The application cannot go on.
    ApplicationFailed(Arc<str>),
    /// It cannot take a block in: what was to be written then is lost, as with a store that failed.
    CommitFailed(Arc<str>),
    Loaded {
        load: LoadId,
        blocks: Result<Vec<StoredBlock>, StoreError>,
    },
    Resolved {
        seed: SeedId,
        addrs: Vec<CanonicalAddr>,
    },
}

/// Something that the application is asked.
#[derive(Debug)]
pub(super) enum Question {
    /// A payload for a round.
    Produce { round: Round, by: Mono, wanted: Wanted },
    /// A verdict on a block's payload.
    Validate { block: BlockHash, height: Height, payload: Bytes },
}

/// Asks the application one question after another, until nobody asks any more.
pub(super) async fn application<A: Application>(
    application: Arc<A>,
    clock: Arc<dyn Clock>,
    mut questions: mpsc::Receiver<Question>,
    driver: mpsc::Sender<Answer>,
) {
    while let Some(question) = questions.recv().await {
        let (application, clock) = (Arc::clone(&application), Arc::clone(&clock));
        let asked = spawn_blocking(move || ask(&*application, &*clock, question));
        let answer = match asked.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Answer::ApplicationFailed(error.to_string().into()),
            Err(_) => Answer::ApplicationFailed("it panicked".into()),
        };
        if driver.send(answer).await.is_err() {
            return;
        }
    }
}

fn ask(
    application: &impl Application,
    clock: &dyn Clock,
    question: Question,
) -> Result<Answer, ApplicationError> {
    match question {
        Question::Produce { round, by, wanted } => {
            // Nobody waits for it any more: the next question is due.
            let late = clock.now().mono > by;
            let offer = if late { Offer::default() } else { application.produce(&wanted)? };
            Ok(Answer::Produced { height: wanted.height, round, offer })
        }
        Question::Validate { block, height, payload } => {
            Ok(Answer::Validated { block, verdict: application.validate(height, &payload)? })
        }
    }
}

/// A range of blocks for a peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) load: LoadId,
    pub(super) from: Height,
    pub(super) to: Height,
    pub(super) max_bytes: usize,
}

/// Reads one range after another.
pub(super) async fn loader<S: Store>(
    store: Arc<S>,
    mut loads: mpsc::Receiver<Load>,
    driver: mpsc::Sender<Answer>,
) {
    while let Some(Load { load, from, to, max_bytes }) = loads.recv().await {
        let store = Arc::clone(&store);
        let read = spawn_blocking(move || store.blocks(from, to, max_bytes));
        let blocks = read.await.unwrap_or_else(|_| Err("the store panicked".into()));
        if driver.send(Answer::Loaded { load, blocks }).await.is_err() {
            return;
        }
    }
}

/// Asks about one name.
pub(super) async fn resolve<N: Network>(
    network: Arc<N>,
    seed: SeedId,
    name: String,
    driver: mpsc::Sender<Answer>,
) {
    let found = timeout(RESOLVE_WITHIN, network.resolve(&name)).await;
    let addrs = found.map_or_else(|_| Vec::new(), Result::unwrap_or_default);
    let addrs = addrs.into_iter().filter_map(|addr| CanonicalAddr::new(addr).ok()).collect();
    let _ = driver.send(Answer::Resolved { seed, addrs }).await;
}
