//! A replicated map: four processes agree on every put, in the same order, and each answers gets from its own copy.
//!
//! `cargo run -p timed-tokio --example key_value`
//!
//! ```text
//! curl -X PUT 127.0.0.1:8500/color -d blue     # answered when the put is final
//! curl 127.0.0.3:8500/color                    # blue
//! kill -9 PID                                  # any of those printed: it is started again, and has everything
//! ```
//!
//! With a directory as argument the map outlives the program: `… --example key_value -- /tmp/map`.

mod shared;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::{self, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Router, serve};
use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use shared::{Failure, config, genesis, identity, ip};
use timed_tokio::application::{ApplicationError, Commitment, FifoPayload, Offer, Wanted};
use timed_tokio::core::{FinalBlock, Height, PayloadVerdict};
use timed_tokio::{Application, Handle, Node, RedbStore, RequestError, TransactionState};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

const NODES: u8 = 4;
const PORT: u16 = 24_500;
const HTTP_PORT: u16 = 8500;
const BLOCK_INTERVAL: Duration = Duration::from_millis(500);
/// A put that is not final within this time may become so later.
const FINAL_WITHIN: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [node, number, directory] if node == "--node" => run(number.parse()?, Path::new(directory)).await,
        [directory] => watch_over(Path::new(directory)).await,
        _ => {
            let directory = std::env::temp_dir().join(format!("timed-key-value-{}", std::process::id()));
            watch_over(&directory).await?;
            Ok(std::fs::remove_dir_all(directory)?)
        }
    }
}

/// Starts a process for each node, and starts again those that end, until Ctrl-C.
async fn watch_over(directory: &Path) -> Result<(), Failure> {
    let mut nodes = BTreeMap::new();
    for number in 1..=NODES {
        nodes.insert(number, start(number, directory)?);
    }
    println!(
        "curl -X PUT 127.0.0.1:{HTTP_PORT}/color -d blue; curl 127.0.0.3:{HTTP_PORT}/color; Ctrl-C ends it"
    );
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            () = sleep(Duration::from_millis(200)) => {}
        }
        for (number, node) in &mut nodes {
            if let Some(status) = node.try_wait()? {
                println!("node {number} has ended ({status}) and is started again");
                *node = start(*number, directory)?;
            }
        }
    }
    for node in nodes.values_mut() {
        // A terminal has told them already; a second time does not hurt.
        if let Some(pid) = i32::try_from(node.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::INT)?;
        }
    }
    for node in nodes.values_mut() {
        node.wait()?;
    }
    Ok(())
}

fn start(number: u8, directory: &Path) -> Result<Child, Failure> {
    let own: PathBuf = directory.join(format!("node{number}"));
    let node =
        Command::new(std::env::current_exe()?).arg("--node").arg(number.to_string()).arg(&own).spawn()?;
    println!("node {number}: http://{}:{HTTP_PORT} pid {}", ip(number)?, node.id());
    Ok(node)
}

/// One node, until Ctrl-C.
async fn run(number: u8, directory: &Path) -> Result<(), Failure> {
    // However the program ends that has started this one, nothing is left running.
    set_parent_process_death_signal(Some(Signal::INT))?;
    let genesis = genesis(NODES, PORT, BLOCK_INTERVAL)?;
    let store = Arc::new(RedbStore::open(directory)?);
    let map = Arc::new(Map { carried: FifoPayload::new(store.clone()), content: RwLock::default() });
    let config = config(&genesis, number)?;
    let (handle, _) = Node::spawn(config, identity(number), store, Arc::clone(&map)).await?;
    let served = Served { map, handle: handle.clone() };
    let routes = Router::new().route("/{key}", get(get_one).put(put_one)).with_state(served);
    let listener = TcpListener::bind((ip(number)?, HTTP_PORT)).await?;
    tokio::select! {
        served = serve(listener, routes) => served?,
        _ = tokio::signal::ctrl_c() => {}
        exit = handle.ended() => return Err(format!("node {number} has ended: {exit:?}").into()),
    }
    println!("node {number}: {:?}", handle.shutdown().await);
    Ok(())
}

/// The map. It keeps nothing itself: [`Application::height`] is 0, so that it is handed the whole chain at a start.
struct Map {
    /// How transactions are put into a payload, each once.
    carried: FifoPayload,
    content: RwLock<BTreeMap<String, String>>,
}

/// A put as a transaction: a number that makes it unlike every other one, the key, a zero byte, and the value.
fn encode(number: u128, key: &str, value: &str) -> Bytes {
    [&number.to_le_bytes()[..], key.as_bytes(), &[0], value.as_bytes()].concat().into()
}

fn decode(transaction: &[u8]) -> Option<(&str, &str)> {
    let (_, put) = transaction.split_first_chunk::<16>()?;
    std::str::from_utf8(put).ok()?.split_once('\0')
}

impl Application for Map {
    fn produce(&self, wanted: &Wanted) -> Result<Offer, ApplicationError> {
        self.carried.produce(wanted)
    }

    fn validate(&self, height: Height, payload: &Bytes) -> Result<PayloadVerdict, ApplicationError> {
        self.carried.validate(height, payload)
    }

    /// The same blocks in the same order: the same map at every node. What is no put changes nothing.
    fn commit(&self, block: &FinalBlock) -> Result<Commitment, ApplicationError> {
        let mut content = self.content.write().unwrap_or_else(PoisonError::into_inner);
        for transaction in FifoPayload::transactions(&block.block.payload).unwrap_or_default() {
            if let Some((key, value)) = decode(&transaction) {
                content.insert(key.to_owned(), value.to_owned());
            }
        }
        self.carried.commit(block)
    }
}

#[derive(Clone)]
struct Served {
    map: Arc<Map>,
    handle: Handle,
}

async fn get_one(
    State(served): State<Served>,
    extract::Path(key): extract::Path<String>,
) -> Result<String, StatusCode> {
    let content = served.map.content.read().unwrap_or_else(PoisonError::into_inner);
    content.get(&key).map(|value| format!("{value}\n")).ok_or(StatusCode::NOT_FOUND)
}

async fn put_one(
    State(served): State<Served>,
    extract::Path(key): extract::Path<String>,
    value: String,
) -> Result<(StatusCode, String), (StatusCode, String)> {
    let refused = |error: RequestError| (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"));
    let mut number = [0; 16];
    getrandom::fill(&mut number).map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let transaction = encode(u128::from_le_bytes(number), &key, &value);
    let id = served.handle.submit(transaction).await.map_err(refused)?;
    let committed = async {
        loop {
            if let TransactionState::Committed(place) = served.handle.transaction(id).await? {
                return Ok(place.height);
            }
            sleep(BLOCK_INTERVAL / 10).await;
        }
    };
    match timeout(FINAL_WITHIN, committed).await {
        Ok(Ok(height)) => Ok((StatusCode::OK, format!("final in block {height}\n"))),
        Ok(Err(error)) => Err(refused(error)),
        Err(_) => Ok((StatusCode::ACCEPTED, format!("durable at this node, not final yet: {id}\n"))),
    }
}
