//! What the nodes say of themselves, asked over their APIs by one small thread a node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::client::{Api, Mark, Method, marks, url_of};
use super::super::live::Rate;
use super::layout::Member;

/// Between two questions to a node while its links are forming, and afterwards.
const FORMING: Duration = Duration::from_millis(100);
const STANDING: Duration = Duration::from_secs(2);
/// Nodes may be at different heights for so long before that is a fault: they are not asked at one moment.
const LEVEL_WITHIN: Duration = Duration::from_secs(5);
/// A node that does not answer within this time is silent.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What a node last said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) active: u64,
    pub(super) height: u64,
    pub(super) expected: u64,
    pub(super) up: u64,
    pub(super) inbound: u64,
    pub(super) outbound: u64,
    pub(super) duplicates: u64,
    /// Bytes since its start, where it counts them.
    pub(super) sent_bytes: Option<u64>,
    pub(super) chain: ChainState,
}

/// Where a node's chain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChainState {
    /// It proposes blocks.
    Producing,
    /// It fetches blocks.
    Syncing,
    /// It does neither.
    Idle,
}

impl Said {
    fn read(info: &Value) -> Option<Self> {
        let links = &info["links"];
        Some(Self {
            active: info["active_masternodes"].as_u64()?,
            height: info["height"].as_u64()?,
            expected: links["expected"].as_u64()?,
            up: links["up"].as_u64()?,
            inbound: links["inbound"].as_u64()?,
            outbound: links["outbound"].as_u64()?,
            duplicates: links["duplicates"].as_u64()?,
            sent_bytes: info["traffic"]["sent_bytes"].as_u64(),
            chain: match (info["producing"].as_bool()?, info["sync_state"].as_str()?) {
                (_, "syncing" | "stalled") => ChainState::Syncing,
                (true, _) => ChainState::Producing,
                (false, _) => ChainState::Idle,
            },
        })
    }

    /// Whether every link of this node stands, in a network of so many.
    pub(super) const fn complete(&self, network: usize) -> bool {
        self.expected + 1 == network as u64 && self.up == self.expected && self.duplicates == 0
    }
}

/// What is known of one node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    /// Its newest word; `None` while it is silent.
    pub(super) said: Option<Said>,
    /// When it first answered.
    pub(super) first: Option<Instant>,
    /// What it sends, in bytes.
    pub(super) sent: Rate,
}

/// Every node's links, in the nodes' order; nothing while no node tells.
pub(super) type Marks = Vec<Vec<Mark>>;

/// Asks every node for as long as the process lives.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    known: Arc<Mutex<Vec<Known>>>,
    marks: Arc<Mutex<Marks>>,
}

impl Watch {
    /// Begins to ask.
    pub(super) fn begin(members: &[Member], interval: Duration) -> Self {
        let network = members.len();
        let standing = STANDING.min(interval).max(FORMING);
        let known = Arc::new(Mutex::new(vec![Known::default(); network]));
        for (index, member) in members.iter().enumerate() {
            let (known, url) = (Arc::clone(&known), url_of(member.api));
            thread::spawn(move || {
                let api = Api::within(url, None, ANSWER_WITHIN);
                loop {
                    let answer = api.call(Method::Get, "/consensus_info", "").ok();
                    let said = answer.and_then(|answer| Said::read(&answer.json));
                    if let Some(known) = known.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index) {
                        known.said = said;
                        known.first = known.first.or(said.map(|_| Instant::now()));
                        if let Some(bytes) = said.and_then(|said| said.sent_bytes) {
                            known.sent.note(bytes, Instant::now());
                        }
                    }
                    let complete = said.is_some_and(|said| said.complete(network));
                    thread::sleep(if complete { standing } else { FORMING });
                }
            });
        }
        Self { known, marks: Arc::default() }
    }

    /// Begins to ask for the whole network's links, too: whichever node answers first in their order.
    pub(super) fn ask_for_links(&self, members: &[Member]) {
        let told = Arc::clone(&self.marks);
        let apis: Vec<Api> =
            members.iter().map(|member| Api::within(url_of(member.api), None, ANSWER_WITHIN)).collect();
        thread::spawn(move || {
            loop {
                let answer = apis.iter().find_map(|api| api.call(Method::Get, "/matrix", "").ok());
                *told.lock().unwrap_or_else(PoisonError::into_inner) =
                    answer.map(|answer| marks(&answer.json)).unwrap_or_default();
                thread::sleep(STANDING / 2);
            }
        });
    }

    /// The whole network's links, as the node tells that was asked for them.
    pub(super) fn marks(&self) -> Marks {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is known now, node by node.
    pub(super) fn known(&self) -> Vec<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One node's sessions: peer by node id, link by its name.
type Sessions = BTreeMap<String, String>;

/// Asks all nodes at once.
fn all<T: Send>(
    members: &[Member],
    ask: impl Fn(&Member) -> Result<T, String> + Copy + Send,
) -> Vec<Result<T, String>> {
    thread::scope(|scope| {
        let asked: Vec<_> = members.iter().map(|member| scope.spawn(move || ask(member))).collect();
        asked
            .into_iter()
            .map(|answer| answer.join().unwrap_or_else(|_| Err("it could not be asked".to_owned())))
            .collect()
    })
}

/// What is wrong with the links among these nodes, exactly; nothing if each pair has one.
pub(super) fn link_faults(members: &[Member]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut sessions: Vec<(&Member, Sessions)> = Vec::new();
    for (member, answer) in members.iter().zip(all(members, ask)) {
        match answer {
            Ok((said, held)) => {
                if said.duplicates > 0 {
                    faults.push(format!("node {} holds {} duplicate links", member.number, said.duplicates));
                }
                sessions.push((member, held));
            }
            Err(error) => faults.push(format!("node {} does not answer: {error}", member.number)),
        }
    }
    for (index, (a, of_a)) in sessions.iter().enumerate() {
        for (b, of_b) in sessions.iter().skip(index + 1) {
            let pair = format!("nodes {} and {}", a.number, b.number);
            match (of_a.get(&b.id.to_string()), of_b.get(&a.id.to_string())) {
                (Some(at_a), Some(at_b)) if at_a == at_b => {}
                (Some(_), Some(_)) => faults.push(format!("{pair} hold different links of each other")),
                (None, None) => faults.push(format!("{pair} have no link")),
                _ => faults.push(format!("only one of {pair} holds their link")),
            }
        }
    }
    faults
}

/// The chains of these nodes: the height that all have, or what is wrong with them.
pub(super) fn common_height(members: &[Member]) -> Result<u64, Vec<String>> {
    let until = Instant::now() + LEVEL_WITHIN;
    let (low, high) = loop {
        let heights: Result<Vec<u64>, String> = all(members, newest_height).into_iter().collect();
        let heights = heights.map_err(|error| vec![format!("a node's height is not known: {error}")])?;
        let (low, high) = (heights.iter().min(), heights.iter().max());
        let (low, high) = (low.copied().unwrap_or(0), high.copied().unwrap_or(0));
        if high - low <= 1 || Instant::now() >= until {
            break (low, high);
        }
        thread::sleep(FORMING);
    };
    let mut faults = Vec::new();
    if high - low > 1 {
        faults.push(format!("heights differ: {low} to {high}"));
    }
    if low > 0 {
        let hashes = all(members, move |member| hash_at(member, low));
        let known: BTreeMap<&String, usize> = hashes
            .iter()
            .zip(members)
            .filter_map(|(hash, m)| Some((hash.as_ref().ok()?, m.number)))
            .collect();
        if known.len() > 1 {
            let nodes: Vec<String> = known.values().map(ToString::to_string).collect();
            faults.push(format!("nodes {} have different blocks at height {low}", nodes.join(", ")));
        }
    }
    if faults.is_empty() { Ok(low) } else { Err(faults) }
}

fn newest_height(member: &Member) -> Result<u64, String> {
    let api = Api::within(url_of(member.api), None, ANSWER_WITHIN);
    let newest = api.exchange(Method::Get, "/blocks/latest", "").map_err(|none| none.to_string())?;
    match newest.status {
        404 => Ok(0),
        _ => newest.json["height"].as_u64().ok_or_else(|| "its answer is not understood".to_owned()),
    }
}

fn hash_at(member: &Member, height: u64) -> Result<String, String> {
    let api = Api::within(url_of(member.api), None, ANSWER_WITHIN);
    let block = api.call(Method::Get, &format!("/blocks/{height}"), "").map_err(|none| none.to_string())?;
    block.json["hash"].as_str().map(str::to_owned).ok_or_else(|| "its answer is not understood".to_owned())
}

fn ask(member: &Member) -> Result<(Said, Sessions), String> {
    let api = Api::within(url_of(member.api), None, ANSWER_WITHIN);
    let get = |path| api.call(Method::Get, path, "").map_err(|none| none.to_string());
    let said = Said::read(&get("/consensus_info")?.json).ok_or("its answer is not understood")?;
    let peers = get("/peers")?.json;
    let peers = peers.as_array().ok_or("its answer is not understood")?;
    let mut sessions = Sessions::new();
    for peer in peers {
        let (Some(id), Some(session)) = (peer["node_id"].as_str(), peer["session"].as_str()) else {
            return Err("its answer is not understood".to_owned());
        };
        if sessions.insert(id.to_owned(), session.to_owned()).is_some() {
            return Err(format!("it lists {id} twice"));
        }
    }
    Ok((said, sessions))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn complete_means_all_links_and_none_twice() {
        let info = |expected, up, duplicates| {
            json!({
                "active_masternodes": 4, "connected_peers": 3, "height": 0,
                "producing": false, "sync_state": "synced",
                "links": { "expected": expected, "up": up, "inbound": 1, "outbound": 2, "duplicates": duplicates },
            })
        };
        let complete =
            |expected, up, duplicates| Said::read(&info(expected, up, duplicates)).unwrap().complete(4);
        assert!(complete(3, 3, 0));
        assert!(!complete(3, 2, 0) && !complete(0, 0, 0) && !complete(3, 3, 1));
        assert_eq!(Said::read(&json!({})), None);
    }
}
