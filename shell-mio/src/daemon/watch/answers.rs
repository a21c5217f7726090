//! What the node answers, asked again and again.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::super::client::{Api, Mark, Method, NoAnswer, marks};
use super::super::live::Rate;

/// Between two looks, and between two that facts ask for.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const LOOKS_APART: Duration = Duration::from_millis(300);
/// Blocks remembered.
const BLOCKS: u64 = 8;

/// What the node has answered last.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) status: Value,
    pub(super) peers: Vec<Value>,
    /// In the order of their addresses.
    pub(super) masternodes: Vec<Value>,
    /// In the same order.
    pub(super) marks: Vec<Vec<Mark>>,
    /// The newest, the oldest first.
    pub(super) blocks: Vec<Value>,
    /// Bytes it receives and sends.
    pub(super) received: Rate,
    pub(super) sent: Rate,
    /// Since when it does not answer.
    pub(super) lost: Option<Lost>,
}

/// A node that does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) since: SystemTime,
    pub(super) why: String,
}

/// Asks for as long as the program runs.
pub(super) struct Answers {
    newest: Arc<Mutex<Answered>>,
    wake: SyncSender<()>,
}

impl Answers {
    /// Begins to ask; until the next answer, the first one holds.
    pub(super) fn follow(api: Api, first: Answered) -> Self {
        let newest = Arc::new(Mutex::new(first));
        let (wake, woken) = sync_channel(1);
        let told = Arc::clone(&newest);
        thread::spawn(move || keep_asking(&api, &told, &woken));
        Self { newest, wake }
    }

    /// Asks before it is due: what was answered is known to be old.
    pub(super) fn ask_soon(&self) {
        // Full means that it will be asked anyway.
        let _ = self.wake.try_send(());
    }

    /// The newest answers.
    pub(super) fn now(&self) -> Answered {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn keep_asking(api: &Api, told: &Mutex<Answered>, woken: &Receiver<()>) {
    loop {
        thread::sleep(LOOKS_APART);
        if woken.recv_timeout(LOOK_EVERY - LOOKS_APART) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        let answer = ask(api);
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(new) => {
                let (received, sent) = (told.received, told.sent);
                *told = Answered { received, sent, ..new };
                told.note_traffic();
            }
            Err(none) => {
                let lost = Lost { since: SystemTime::now(), why: none.to_string() };
                told.lost.get_or_insert(lost);
            }
        }
    }
}

impl Answered {
    fn note_traffic(&mut self) {
        let now = Instant::now();
        let bytes = |name: &str| self.status["traffic"][name].as_u64().unwrap_or(0);
        let (received, sent) = (bytes("received_bytes"), bytes("sent_bytes"));
        self.received.note(received, now);
        self.sent.note(sent, now);
    }
}

/// Asks for everything once.
pub(super) fn ask(api: &Api) -> Result<Answered, NoAnswer> {
    let get = |path: &str| Ok::<_, NoAnswer>(api.call(Method::Get, path, "")?.json);
    let list = |path: &str| Ok::<_, NoAnswer>(get(path)?.as_array().cloned().unwrap_or_default());
    // First one question alone: a node that is gone is asked no more.
    let status = get("/status")?;
    let height = status["height"].as_u64().unwrap_or(0);
    let from = height.saturating_sub(BLOCKS - 1).max(1);
    let blocks = if height == 0 { Vec::new() } else { list(&format!("/blocks?from={from}&limit={BLOCKS}"))? };
    let mut masternodes = list("/masternodes")?;
    masternodes.sort_by_key(|node| {
        let address = node["address"].as_str().and_then(|address| address.parse::<SocketAddr>().ok());
        (address, node["node_id"].as_str().map(str::to_owned))
    });
    let mut answered = Answered {
        peers: list("/peers")?,
        marks: marks(&get("/matrix")?),
        status,
        masternodes,
        blocks,
        received: Rate::default(),
        sent: Rate::default(),
        lost: None,
    };
    answered.note_traffic();
    Ok(answered)
}
