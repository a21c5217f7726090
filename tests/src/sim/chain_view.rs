//! What a test sees of the chain, and what it does to it from outside.

use std::time::Duration;

use bytes::Bytes;
use timed_core::crypto::Provider;
use timed_core::{
    BlockHash, FinalBlock, Height, Producing, RecordKey, Registry, RegistryChange, Reply, Request, Round,
    StoredBlock, Wall,
};

use crate::chain_auditor::{ChainAuditor, Origin, leader};
use crate::chain_generator::{ChainGenerator, voting_record_of};

use super::disk::Snapshot;
use super::host::{Host, HostId, Role};
use super::ledger::Ledger;
use super::world::World;

impl World {
    /// Opens the ledger of a world with a chain.
    pub(super) fn begin_chain(&mut self) {
        let Some(host) = self.hosts.first() else { return };
        if host.config.chain.is_some() {
            let auditor = ChainAuditor::new(self.origin(), (host.provider)(&host.key));
            self.cx.ledger = Some(Ledger::new(auditor));
        }
    }

    /// Where the chain begins.
    ///
    /// # Panics
    /// If the world has no chain.
    #[must_use]
    pub fn origin(&self) -> Origin {
        let config = &self.hosts[0].config;
        let chain = config.chain.as_ref().expect("a world with a chain");
        Origin {
            genesis: config.genesis,
            genesis_time: chain.genesis_time,
            interval: chain.interval,
            registry: config.registry.clone(),
        }
    }

    /// Makes blocks of this world's chain with the keys of its hosts.
    #[must_use]
    pub fn generator(&self) -> ChainGenerator {
        let keys: Vec<Box<dyn Provider>> = self.hosts.iter().map(|host| (host.provider)(&host.key)).collect();
        ChainGenerator::new(self.origin(), keys)
    }

    /// Puts blocks on the disks of hosts that are down, as if they had been there when these were decided.
    pub fn give_chain(&mut self, hosts: &[HostId], blocks: &[StoredBlock]) {
        for stored in blocks {
            let block = FinalBlock::decode(&stored.bytes).expect("an encoded final block");
            let changes = self.hosts[0].application.changes.get(&stored.height).cloned().unwrap_or_default();
            if let Err(what) = self.ledger_mut().decided(&block, &changes) {
                self.fail(&what);
            }
        }
        let last = blocks.last().and_then(|last| FinalBlock::decode(&last.bytes).ok());
        for host in hosts {
            let host = &mut self.hosts[host.0];
            assert!(!host.is_up(), "{} runs", host.id);
            host.disk.append(blocks.iter().cloned());
            if let Some(last) = &last {
                host.disk.keep(RecordKey::Voting, voting_record_of(last, host.node_id));
            }
        }
    }

    /// Has the block of a height change the registry, two heights later.
    pub fn change_registry(&mut self, height: Height, changes: &[RegistryChange]) {
        for host in &mut self.hosts {
            host.application.changes.insert(height, changes.to_vec());
        }
    }

    /// Replaces a host's data directory by an older one. Its process must be down.
    pub fn restore(&mut self, host: HostId, snapshot: Snapshot) {
        assert!(!self.hosts[host.0].is_up(), "{host} runs");
        self.note(host, "gets another data directory");
        self.hosts[host.0].disk.restore(snapshot);
        let key = self.hosts[host.0].node_id;
        if let Some(ledger) = &mut self.cx.ledger {
            ledger.forget_unsent(key);
        }
    }

    /// As [`World::restore`], where nobody may have heard what the key has said since.
    pub(super) fn restore_unheard(&mut self, host: HostId, snapshot: Snapshot) {
        self.restore(host, snapshot);
        let key = self.hosts[host.0].node_id;
        if let Some(ledger) = &mut self.cx.ledger {
            ledger.forget(key);
        }
    }

    /// Its key may contradict itself from now on, in what it says of blocks.
    pub fn distrust(&mut self, host: HostId) {
        let key = self.hosts[host.0].node_id;
        if let Some(ledger) = &mut self.cx.ledger {
            ledger.distrust(key);
        }
    }

    fn ledger(&self) -> &Ledger {
        self.cx.ledger.as_ref().expect("a world with a chain")
    }

    fn ledger_mut(&mut self) -> &mut Ledger {
        self.cx.ledger.as_mut().expect("a world with a chain")
    }

    /// Height of the newest block that is final anywhere.
    #[must_use]
    pub fn chain_height(&self) -> Height {
        self.ledger().height()
    }

    /// The registry in force at a height, as far as final blocks tell.
    #[must_use]
    pub fn registry_at(&self, height: Height) -> &Registry {
        self.ledger().registry_at(height)
    }

    /// Hash of the final block of a height.
    #[must_use]
    pub fn final_hash(&self, height: Height) -> Option<BlockHash> {
        self.ledger().hash(height)
    }

    /// A final block, from any disk that has it.
    #[must_use]
    pub fn final_block(&self, height: Height) -> Option<FinalBlock> {
        let bytes = self.hosts.iter().find_map(|host| host.disk.block(height))?;
        FinalBlock::decode(bytes).ok()
    }

    /// How many of the final blocks above a height were not decided in the first round.
    pub(super) fn late_blocks(&self, above: Height) -> u64 {
        let heights = (above.0 + 1..=self.chain_height().0).map(Height);
        let late = |height: &Height| self.final_block(*height).is_some_and(|b| b.certificate.round.0 > 0);
        heights.filter(late).map(|_| 1).sum()
    }

    /// Height of a host's newest durable block.
    #[must_use]
    pub fn height(&self, host: HostId) -> Height {
        self.hosts[host.0].disk.height()
    }

    /// Whether every running masternode has a block of this height.
    #[must_use]
    pub fn masternodes_reach(&self, height: Height) -> bool {
        let registry = self.registry_at(self.chain_height());
        self.hosts
            .iter()
            .filter(|host| host.is_running() && registry.get(&host.node_id).is_some())
            .all(|host| host.disk.height() >= height)
    }

    /// Whether every running node has a block of this height.
    #[must_use]
    pub fn all_reach(&self, height: Height) -> bool {
        self.hosts
            .iter()
            .filter(|host| host.role == Role::Node && host.is_running())
            .all(|host| host.disk.height() >= height)
    }

    /// Who proposes in a round.
    ///
    /// # Panics
    /// If no host has that key.
    #[must_use]
    pub fn leader(&self, height: Height, round: Round) -> HostId {
        let key = leader(self.ledger().registry_at(height), height, u64::from(round.0));
        self.host_of(&key).expect("a leader among the hosts")
    }

    /// Whether a host's process proposes blocks, by its newest word.
    #[must_use]
    pub fn producing(&self, host: HostId) -> Option<Producing> {
        self.hosts[host.0].seen.summary.map(|summary| summary.producing)
    }

    /// Submits a transaction and waits for the answer.
    pub fn submit(&mut self, host: HostId, transaction: &Bytes) -> Reply {
        let id = self.post(host, Request::Submit(transaction.clone()));
        let answered = |world: &Self| world.hosts[host.0].replies.contains_key(&id);
        self.expect("the transaction is taken or refused", Duration::from_secs(2), answered);
        self.answer(host, id).expect("the answer that was waited for")
    }

    /// True wall time now.
    #[must_use]
    pub fn wall(&self) -> Wall {
        Wall(super::clock::WALL_AT_START + self.now().0 / 1_000_000)
    }

    /// Waits until every running masternode has so many more blocks than the chain has now.
    pub fn expect_blocks(&mut self, what: &str, blocks: u64, limit: Duration) -> Duration {
        let height = Height(self.chain_height().0 + blocks);
        self.expect(&format!("{what}: height {height}"), limit, |world| world.masternodes_reach(height))
    }

    /// A time of up to this, from the world's seed.
    pub fn random(&mut self, most: Duration) -> Duration {
        self.cx.rng.between(Duration::ZERO, most)
    }

    /// A number below this, from the world's seed.
    pub fn random_below(&mut self, bound: usize) -> usize {
        usize::try_from(self.cx.rng.below(bound as u64)).unwrap_or(0)
    }

    /// Slots of the final blocks from a height on.
    #[must_use]
    pub fn slots_from(&self, height: Height) -> Vec<Wall> {
        (height.0..=self.chain_height().0)
            .filter_map(|height| self.final_block(Height(height)))
            .map(|block| block.block.header.slot)
            .collect()
    }
}

impl Host {
    /// One line about its chain, for the report of a failure.
    pub(super) fn chain_state(&self) -> String {
        let producing = self.seen.summary.map(|summary| match summary.producing {
            Producing::Yes => "produces".to_owned(),
            Producing::No(why) => why.to_string(),
        });
        format!("height {}, {}", self.disk.height(), producing.unwrap_or_else(|| "unheard".to_owned()))
    }
}
