//! What a test asks of the chain of a network of real daemons.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::Network;
use crate::operator::http_bytes;

/// Whether the long versions of tests are wanted.
pub fn soaking() -> bool {
    std::env::var_os("TIMED_SOAK").is_some()
}

/// As long as this usually, as long as that where the long versions are wanted.
pub fn usually_or_soaking<T>(usually: T, soaking_for: T) -> T {
    if soaking() { soaking_for } else { usually }
}

impl Network {
    /// The time between two blocks.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// All masternodes of a network with blocks, with every link and the first block everywhere.
    pub fn with_a_chain(hosts: &[u8], interval: Duration) -> Self {
        let mut network = Self::with_blocks(hosts, interval);
        network.start_all();
        network.eventually("every link stands", 10 * super::SECOND, || network.is_meshed(hosts));
        network.await_height(hosts, 1, 3);
        network
    }

    /// The newest height at a node; 0 for one that does not answer or has no block.
    pub fn height(&self, host: u8) -> u64 {
        self.get(host, "/blocks/latest").1["height"].as_u64().unwrap_or(0)
    }

    /// The newest heights at these nodes: the lowest, the highest.
    pub fn heights(&self, hosts: &[u8]) -> (u64, u64) {
        let heights: Vec<u64> = hosts.iter().map(|host| self.height(*host)).collect();
        (heights.iter().copied().min().unwrap_or(0), heights.iter().copied().max().unwrap_or(0))
    }

    /// Waits until all of these have a height, which is promised within so many slots.
    pub fn await_height(&self, hosts: &[u8], height: u64, slots: u32) {
        let what = format!("height {height} at {hosts:?}");
        // An answer takes a while even where a slot does not.
        let promised = (self.interval * slots).max(super::SECOND / 2);
        self.eventually(&what, promised, || self.heights(hosts).0 >= height);
    }

    pub fn block(&self, host: u8, height: u64) -> Value {
        let (status, block) = self.get(host, &format!("/blocks/{height}"));
        assert_eq!(status, 200, "block {height} at node {host}: {block}");
        block
    }

    /// The whole chain of a node, in which each block is the child of the one before.
    pub fn chain(&self, host: u8) -> Vec<Value> {
        let mut chain: Vec<Value> = Vec::new();
        loop {
            let from = chain.len() + 1;
            let (status, blocks) = self.get(host, &format!("/blocks?from={from}&limit=100"));
            let blocks = blocks.as_array().filter(|_| status == 200).cloned();
            let blocks = blocks.unwrap_or_else(|| panic!("no blocks from {from} at node {host}"));
            if blocks.is_empty() {
                break;
            }
            chain.extend(blocks);
        }
        let quorum = self.hosts.len() * 2 / 3 + 1;
        for (index, block) in chain.iter().enumerate() {
            assert_eq!(block["height"], index + 1, "node {host}");
            let signers = block["commit_certificate"]["signers"].as_array().unwrap();
            let distinct: BTreeSet<_> = signers.iter().map(Value::to_string).collect();
            assert!(distinct.len() >= quorum && distinct.len() == signers.len(), "{block}");
        }
        for pair in chain.windows(2) {
            assert_eq!(pair[1]["parent"], pair[0]["hash"], "node {host}");
            assert!(slot(&pair[0]) < slot(&pair[1]), "{} then {}", pair[0], pair[1]);
        }
        chain
    }

    /// Asserts that these nodes have one chain, as far as the shortest goes; returns it.
    pub fn assert_one_chain(&self, hosts: &[u8]) -> Vec<Value> {
        let mut chains: Vec<(u8, Vec<Value>)> = hosts.iter().map(|host| (*host, self.chain(*host))).collect();
        chains.sort_by_key(|(_, chain)| chain.len());
        let (shortest, chain) = chains.remove(0);
        for (host, other) in chains {
            for (a, b) in chain.iter().zip(&other) {
                assert_eq!(a["hash"], b["hash"], "nodes {shortest} and {host} at height {}", a["height"]);
            }
        }
        chain
    }

    /// Submits a transaction with the node's token: status and answer.
    pub fn submit(&self, host: u8, transaction: &[u8]) -> (u16, Value) {
        let token = std::fs::read_to_string(self.path(host).join(".cookie")).unwrap();
        http_bytes("POST", &self.url(host, "/tx"), Some(&token), transaction)
    }

    /// Submits a transaction that must be taken; returns its id.
    pub fn taken(&self, host: u8, transaction: &[u8]) -> String {
        let (status, answer) = self.submit(host, transaction);
        assert_eq!(status, 202, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    /// Whether a transaction is in a block at each of these.
    pub fn is_committed(&self, hosts: &[u8], id: &str) -> bool {
        hosts.iter().all(|host| self.get(*host, &format!("/tx/{id}")).1["state"] == "committed")
    }

    /// Why a node does not produce; nothing if it does.
    pub fn why_not(&self, host: u8) -> Option<String> {
        self.info(host)["not_producing_reason"].as_str().map(str::to_owned)
    }

    /// Waits until all of these propose blocks.
    pub fn await_producing(&self, hosts: &[u8], within: Duration) {
        let all = || hosts.iter().all(|host| self.info(*host)["producing"] == true);
        self.eventually("all propose blocks", within, all);
    }

    /// Asserts that no node of these has seen anybody contradict itself.
    pub fn assert_no_evidence(&self, hosts: &[u8]) {
        for host in hosts {
            let evidence = self.get(*host, "/evidence").1;
            assert_eq!(evidence.as_array().map(Vec::len), Some(0), "node {host}: {evidence}");
        }
    }

    /// Lets slots pass.
    pub fn let_slots_pass(&self, slots: u32) {
        std::thread::sleep(self.interval * slots);
    }
}

/// When a block's slot started.
pub fn slot(block: &Value) -> SystemTime {
    humantime::parse_rfc3339(block["time"].as_str().unwrap()).unwrap()
}
