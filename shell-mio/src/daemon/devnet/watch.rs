//! What the nodes say of themselves, asked over their APIs by one small thread a node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::client::{Api, Method, url_of};
use super::layout::Member;

/// Between two questions to a node while its links are forming, and afterwards.
const FORMING: Duration = Duration::from_millis(100);
const STANDING: Duration = Duration::from_secs(2);
/// A node that does not answer within this time is silent.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

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
}

/// Asks every node for as long as the process lives.
#[derive(Debug)]
pub(super) struct Watch {
    known: Arc<Mutex<Vec<Known>>>,
}

impl Watch {
    /// Begins to ask.
    pub(super) fn begin(members: &[Member]) -> Self {
        let network = members.len();
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
                    }
                    let standing = said.is_some_and(|said| said.complete(network));
                    thread::sleep(if standing { STANDING } else { FORMING });
                }
            });
        }
        Self { known }
    }

    /// What is known now, node by node.
    pub(super) fn known(&self) -> Vec<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One node's sessions: peer by node id, link by its name.
type Sessions = BTreeMap<String, String>;

/// What is wrong with the links and heights among these nodes, exactly; nothing if the network is healthy.
pub(super) fn faults(members: &[Member]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut sessions: Vec<(&Member, Sessions)> = Vec::new();
    let mut heights = Vec::new();
    let answers: Vec<_> = thread::scope(|scope| {
        let asked: Vec<_> = members.iter().map(|member| scope.spawn(move || ask(member))).collect();
        asked
            .into_iter()
            .map(|answer| answer.join().unwrap_or_else(|_| Err("it could not be asked".to_owned())))
            .collect()
    });
    for (member, answer) in members.iter().zip(answers) {
        match answer {
            Ok((said, held)) => {
                if said.duplicates > 0 {
                    faults.push(format!("node {} holds {} duplicate links", member.number, said.duplicates));
                }
                heights.push(said.height);
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
    if let (Some(low), Some(high)) = (heights.iter().min(), heights.iter().max())
        && high - low > 1
    {
        faults.push(format!("heights differ: {low} to {high}"));
    }
    faults
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
