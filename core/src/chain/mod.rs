//! Blocks: who proposes, the votes that decide, what is kept until then, and catching up (rules C-1 to C-16,
//! Y-1 to Y-5, X-1 to X-4 of `core/PROTOCOL.md`).
//!
//! One [`Chain`] belongs to each node of a network that makes blocks. It does no I/O: its owner hands in what
//! happens and carries out the [`Effects`], in order. Its parts know nothing of each other:
//!
//! | where | what |
//! |---|---|
//! | `round`, `votes`, `consensus`, `timeouts`, `proposer` | the consensus of one height, as plain data |
//! | `slots`, `validity`, `certificates`, `registries`, `assembly` | what a block must be |
//! | `voting_record`, `speech`, `question`, `durable`, `evidence_log` | what is kept, and who keeps silent |
//! | `candidates`, `committing`, `pacing`, `payload_limit`, `producing` | the engine's own state, as values |
//! | `mempool`, `sync` | transactions that wait; catching up |
//! | `heights`, `saying`, `hearing`, `resend` | the engine: what [`Chain`] does with all of these |

pub(crate) mod assembly;
pub(crate) mod candidates;
pub(crate) mod certificates;
pub(crate) mod committing;
pub(crate) mod consensus;
pub(crate) mod durable;
pub(crate) mod effects;
pub(crate) mod evidence_log;
mod hearing;
mod heights;
mod holdings;
pub(crate) mod mempool;
pub(crate) mod pacing;
pub(crate) mod payload_limit;
pub(crate) mod producing;
pub(crate) mod proposer;
pub(crate) mod question;
pub(crate) mod registries;
mod resend;
pub(crate) mod round;
mod saying;
mod setup;
pub(crate) mod slots;
pub(crate) mod speech;
pub(crate) mod sync;
pub(crate) mod timeouts;
pub(crate) mod validity;
pub(crate) mod votes;
pub(crate) mod voting_record;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::chain::candidates::Candidates;
use crate::chain::committing::Commits;
use crate::chain::consensus::Consensus;
use crate::chain::effects::{Effect, Effects};
use crate::chain::evidence_log::EvidenceLog;
pub(crate) use crate::chain::hearing::fetch_patience;
use crate::chain::heights::RECALL;
use crate::chain::mempool::{Brought, Mempool};
use crate::chain::pacing::Pacing;
use crate::chain::payload_limit::PayloadLimit;
use crate::chain::producing::Part;
use crate::chain::registries::Registries;
pub(crate) use crate::chain::resend::HELD_A_SLOT;
use crate::chain::resend::Resend;
use crate::chain::saying::Owed;
pub(crate) use crate::chain::setup::{Conduct, Setup};
use crate::chain::slots::Grid;
use crate::chain::speech::Speech;
use crate::chain::sync::Sync;
use crate::chain::sync::serving::Serving;
use crate::chain::timeouts::{Timeout, Timer};
use crate::chain::validity::Context;
use crate::chain::voting_record::{ValidBlock, VotingRecord};
use crate::config::ChainConfig;
use crate::crypto::Provider;
use crate::event::{
    ConsensusInfo, Counters, Event, Evidence, MempoolInfo, NotProducing, Producing, SyncState, TxState,
};
use crate::ids::{BlockHash, CertificateHash, GenesisHash, Height, LoadId, NodeId, RequestId, TxId};
use crate::input::StoredBlock;
use crate::registry::{MasternodeIndex, Registry, RegistryHash};
use crate::time::{Mono, Now, Wall};
use crate::wire::message::{Boot, Message, Proposal, Role};

/// The newest block that is durable here and with the application; all zero for the genesis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Tip {
    /// Its height.
    pub(crate) height: Height,
    /// Its hash.
    pub(crate) hash: BlockHash,
    /// Start of its slot.
    pub(crate) slot: Wall,
}

/// What a snapshot of a node shows of its chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overview {
    /// The tip.
    pub(crate) tip: Tip,
    /// Whether this node proposes.
    pub(crate) producing: Producing,
    /// How far it has caught up.
    pub(crate) sync: SyncState,
    /// What waits to be in a block.
    pub(crate) mempool: MempoolInfo,
}

impl Default for Overview {
    /// Of a network that makes no blocks.
    fn default() -> Self {
        Self {
            tip: Tip::default(),
            producing: Producing::No(NotProducing::NoChain),
            sync: SyncState::Synced,
            mempool: MempoolInfo::default(),
        }
    }
}

/// What is known of a live peer.
#[derive(Clone, Copy, Debug, serde::Deserialize, serde::Serialize)]
struct Linked {
    /// The newest block that it is known to have, or to have been told of.
    tip: Height,
    /// When it was last sent what it lacked.
    answered: Option<Mono>,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Counts {
    /// Votes that were verified.
    pub(crate) votes: u64,
    /// Items about blocks that were not what they must be.
    pub(crate) invalid: u64,
    /// Messages of masternodes that came from others.
    pub(crate) strangers: u64,
    /// Signatures that were verified in vain: they, or one of the same certificate, are nobody's.
    pub(crate) forged: u64,
    /// Transactions that came because they were asked for.
    pub(crate) answers: u64,
    /// Transactions that were new here, and blocks that were asked for.
    pub(crate) news: u64,
}

/// The chain of one node.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Chain {
    genesis: GenesisHash,
    node: NodeId,
    conduct: Conduct,
    settings: ChainConfig,
    grid: Grid,
    part: Part,
    linked: BTreeMap<NodeId, Linked>,
    /// How many of these are registered masternodes.
    linked_masternodes: usize,
    registries: Registries,
    /// The registry that the rest of this node follows.
    followed: RegistryHash,
    commits: Commits,
    /// Of the height after the tip; decided while its block is on its way to the disk.
    consensus: Option<Consensus>,
    /// Of the height after that: what came too early.
    next: Option<Consensus>,
    /// Proposals of that height, and who brought them.
    early: Vec<(NodeId, Box<Proposal>)>,
    /// Of the tip's height: late votes.
    past: Option<Consensus>,
    candidates: Candidates,
    /// The last certificate of the tip that was verified.
    proven: Option<CertificateHash>,
    timeouts: BTreeMap<Timeout, (Timer, Mono)>,
    pacing: Pacing,
    resend: Resend,
    owed: Option<Owed>,
    record: Option<VotingRecord>,
    /// From an earlier life, until its height is reached.
    valid_block: Option<ValidBlock>,
    speech: Speech,
    producing: Producing,
    payload_limit: PayloadLimit,
    clock_offset_ms: i64,
    evidence: EvidenceLog,
    mempool: Mempool,
    sync: Sync,
    sync_told: SyncState,
    serving: Serving,
    counts: Counts,
}

impl Chain {
    /// The newest block that is durable and with the application.
    pub(crate) fn tip(&self) -> Tip {
        self.commits.tip().map_or_else(Tip::default, |tip| Tip {
            height: tip.parent.height,
            hash: tip.parent.hash,
            slot: tip.parent.slot.unwrap_or_default(),
        })
    }

    /// What a snapshot shows.
    pub(crate) fn overview(&self) -> Overview {
        Overview {
            tip: self.tip(),
            producing: self.producing,
            sync: self.sync.state(),
            mempool: self.mempool.info(),
        }
    }

    /// What has come so far.
    pub(crate) const fn counts(&self) -> Counts {
        self.counts
    }

    /// Adds what catching up and serving have come to.
    pub(crate) fn tally(&self, counters: &mut Counters) {
        let (fetched, served) = (self.sync.counts(), self.serving.counts());
        counters.votes = self.counts.votes;
        counters.block_items_invalid = self.counts.invalid;
        counters.block_requests = fetched.requests;
        counters.block_races = fetched.races;
        counters.block_answers_unasked = fetched.unsolicited;
        counters.block_requests_failed =
            fetched.timeouts + fetched.overtaken + fetched.busy + fetched.nothing + fetched.malformed;
        counters.blocks_fetched = fetched.blocks;
        counters.blocks_surplus = fetched.surplus;
        counters.blocks_rejected = fetched.rejected;
        counters.block_requests_served = served.requests;
        counters.block_requests_refused = served.busy + served.nothing + served.ignored;
        counters.blocks_served = served.blocks;
        counters.block_bytes_served = served.bytes;
    }

    /// How far this node has caught up.
    pub(crate) fn sync_state(&self) -> SyncState {
        self.sync.state()
    }

    /// Whether a key is registered at the height under way.
    pub(crate) fn is_registered(&self, id: &NodeId) -> bool {
        self.registry().is_some_and(|registry| registry.get(id).is_some())
    }

    /// The node says goodbye: from now on nothing is asked of this.
    pub(crate) fn leave(&mut self) {
        self.part = Part::Leaving;
        self.producing = producing::producing(&self.situation());
    }

    /// The first call: what can be done without a link.
    pub(crate) fn begin(&mut self, now: Now, crypto: &mut dyn Provider, effects: &mut Effects) {
        self.found_record(effects);
        self.recall(effects);
        self.advance(now, crypto, effects);
    }

    /// A link is live, or has replaced the one that was: the peer's tip, and a boot of our own key that it has
    /// seen and that is not this process.
    pub(crate) fn link_up(
        &mut self,
        now: Now,
        peer: NodeId,
        tip: (Height, BlockHash),
        other: Option<Boot>,
        crypto: &mut dyn Provider,
        effects: &mut Effects,
    ) {
        if self.linked.insert(peer, Linked { tip: tip.0, answered: None }).is_some() {
            self.serving.peer_down(now.mono, peer, effects);
        }
        self.count_links();
        let registered = self.is_registered(&peer);
        if let Some(other) = other.filter(|_| registered) {
            self.speech.boot_seen(peer, other.epoch);
        }
        self.sync.peer_up(now.mono, peer, tip.0, effects);
        let role = if registered { Role::Masternode } else { Role::Observer };
        self.mempool.peer_up(now.mono, peer, role, effects);
        if registered {
            self.tell_held(peer, effects);
        }
        self.advance(now, crypto, effects);
    }

    /// A live link ended, and no other of the peer stands.
    pub(crate) fn link_down(
        &mut self,
        now: Now,
        peer: NodeId,
        crypto: &mut dyn Provider,
        effects: &mut Effects,
    ) {
        self.linked.remove(&peer);
        self.count_links();
        self.sync.peer_down(now.mono, peer, effects);
        self.serving.peer_down(now.mono, peer, effects);
        self.mempool.peer_down(now.mono, peer, effects);
        self.advance(now, crypto, effects);
    }

    /// A live peer tells its tip.
    pub(crate) fn tip_told(
        &mut self,
        now: Now,
        peer: NodeId,
        tip: (Height, BlockHash),
        crypto: &mut dyn Provider,
        effects: &mut Effects,
    ) {
        self.peer_has(now, peer, tip.0, effects);
        self.advance(now, crypto, effects);
    }

    /// What a live peer says or shows to have: never less than before.
    fn peer_has(&mut self, now: Now, peer: NodeId, height: Height, effects: &mut Effects) {
        if let Some(linked) = self.linked.get_mut(&peer) {
            linked.tip = linked.tip.max(height);
            self.sync.tip(now.mono, peer, height, effects);
        }
    }

    /// By how much the others' clocks are ahead of ours, in milliseconds.
    pub(crate) fn clock_read(&mut self, offset_ms: i64, effects: &mut Effects) {
        self.clock_offset_ms = offset_ms;
        self.look_at_gate(effects);
    }

    /// A message about blocks or transactions came on a live link.
    pub(crate) fn received(
        &mut self,
        now: Now,
        from: NodeId,
        message: Message,
        crypto: &mut dyn Provider,
        effects: &mut Effects,
    ) {
        match message {
            // Only masternodes send these. From anybody else nothing of it is worth a look: not a signature.
            Message::Proposal(_)
            | Message::Vote(_)
            | Message::Polka(_)
            | Message::Commit(_)
            | Message::Held(_)
            | Message::GetPayload(_)
            | Message::Chunk(_)
                if !self.is_registered(&from) =>
            {
                self.counts.strangers += 1;
            }
            Message::Proposal(proposal) => self.proposal_came(now, from, proposal, crypto, effects),
            Message::Vote(vote) => self.vote_came(now, from, &vote, crypto, effects),
            Message::Polka(certificate) | Message::Commit(certificate) => {
                self.certificate_came(now, from, &certificate, crypto, effects);
            }
            Message::Held(held) => self.held_came(now, from, &held, effects),
            Message::Tip(tip) => self.peer_has(now, from, tip.height, effects),
            Message::GetPayload(wanted) => self.payload_wanted(from, wanted, effects),
            Message::Chunk(chunk) => self.chunk_came(now, from, &chunk, effects),
            Message::GetBlocks(get) => {
                let tip = self.commits.height();
                self.serving.get_blocks(now.mono, from, get, tip, effects);
            }
            Message::BlockPart(part) => {
                let unasked = self.sync.counts().unsolicited;
                self.sync.part(now.mono, from, *part, effects);
                self.counts.news += u64::from(self.sync.counts().unsolicited == unasked);
            }
            Message::BlocksEnd(end) => self.sync.end(now.mono, from, end, effects),
            Message::Transaction(bytes) => {
                let seat = self.registry().and_then(|registry| registry.index_of(&from));
                let brought = self.mempool.received(now.mono, from, seat, &bytes, effects);
                self.counts.answers += u64::from(brought == Brought::Asked);
                self.counts.news += u64::from(brought != Brought::Unasked);
            }
            Message::TransactionOffer(ids) => {
                let seat = self.registry().and_then(|registry| registry.index_of(&from));
                self.mempool.offered(now.mono, from, seat, &ids, effects);
            }
            Message::TransactionWant(ids) => self.mempool.wanted(now.mono, from, &ids, effects),
            _ => {}
        }
        self.advance(now, crypto, effects);
    }

    /// The store answers a load.
    pub(crate) fn loaded(
        &mut self,
        now: Now,
        load: LoadId,
        blocks: Vec<StoredBlock>,
        crypto: &mut dyn Provider,
        effects: &mut Effects,
    ) {
        if load == RECALL {
            self.recalled(blocks, effects);
        } else {
            self.serving.loaded(now.mono, load, blocks, effects);
        }
        self.advance(now, crypto, effects);
    }

    /// Whether it is of use to say how much waits for a peer on the bulk lane.
    pub(crate) fn is_serving(&self, peer: &NodeId) -> bool {
        self.serving.is_serving(peer)
    }

    /// So many bytes still wait on a peer's bulk lane.
    pub(crate) fn drained(&mut self, now: Now, peer: NodeId, waiting: usize, effects: &mut Effects) {
        self.serving.drained(now.mono, peer, waiting, effects);
    }

    /// A transaction from the operator or the application. The answer comes as an event.
    pub(crate) fn submit(&mut self, id: RequestId, bytes: &Bytes, effects: &mut Effects) {
        self.mempool.submit(id, bytes, effects);
    }

    /// What concerns blocks and is answered at once.
    pub(crate) fn transaction(&self, id: &TxId) -> TxState {
        self.mempool.state(id)
    }

    /// Proofs of equivocation, newest first.
    pub(crate) fn evidence(&self) -> Vec<Evidence> {
        self.evidence.proofs().iter().rev().cloned().collect()
    }

    /// The height under way.
    pub(crate) fn info(&mut self, now: Now) -> ConsensusInfo {
        let next = self.deadline(now).map(|at| at.since(now.mono));
        let Some(consensus) = &self.consensus else {
            let height = self.commits.parent().height.next();
            return ConsensusInfo { height, next, ..ConsensusInfo::default() };
        };
        let round = consensus.round();
        let leader = consensus.registry().at(consensus.leader(round)).map(|entry| entry.id);
        ConsensusInfo {
            height: consensus.height(),
            round,
            step: consensus.step(),
            leader: leader.unwrap_or_default(),
            proposal: consensus.proposed(round),
            locked: consensus.locked(),
            votes: consensus.held(),
            quorum: consensus.registry().quorum(),
            next,
        }
    }

    /// When something is to be done without an input. Depends on the wall clock, which may be set: ask again
    /// after each input.
    pub(crate) fn deadline(&mut self, now: Now) -> Option<Mono> {
        let begins = self.waits_for(now).map(|slot| self.pacing.wake(now, slot));
        let timeout = self.timeouts.values().map(|(_, at)| *at).min();
        let parts = [
            begins,
            timeout,
            self.resend.deadline(),
            self.candidates.fetch_due(fetch_patience(self.settings.interval)),
            self.speech.deadline().filter(|_| self.speaks_one_day()),
            self.sync.deadline(),
            self.serving.deadline(),
            self.mempool.deadline(),
        ];
        parts.into_iter().flatten().min()
    }

    /// The deadline has passed. Harmless at any time.
    pub(crate) fn tick(&mut self, now: Now, crypto: &mut dyn Provider, effects: &mut Effects) {
        let due = self.timeouts.values().filter(|(_, at)| *at <= now.mono);
        for timer in due.map(|(timer, _)| *timer).collect::<Vec<_>>() {
            self.timeouts.remove(&timer.timeout);
            let acts = self.consensus.as_mut().map(|consensus| consensus.timeout(timer));
            let acts = acts.unwrap_or_default();
            if !acts.is_empty() {
                self.resend.hasten(now.mono);
            }
            self.perform(now, acts, crypto, effects);
        }
        self.fetch_payloads(now, effects);
        self.sync.tick(now.mono, effects);
        self.serving.tick(now.mono, effects);
        self.mempool.tick(now.mono, effects);
        self.advance(now, crypto, effects);
        self.resend_due(now, effects);
    }

    /// The registry in force at the height after the newest final block, if it is known.
    fn registry(&self) -> Option<&Registry> {
        let height = self.commits.height().next();
        self.registries.at(height).map(|in_force| &in_force.registry)
    }

    /// What everybody knows of the height after the tip.
    fn context(&self) -> Option<Context<'_>> {
        let parent = self.commits.tip().map(|tip| tip.parent).unwrap_or_default();
        let in_force = self.registries.at(parent.height.next())?;
        let (registry, registry_hash) = (&in_force.registry, in_force.hash);
        Some(Context { grid: self.grid, parent, registry, registry_hash })
    }

    /// This node's seat in a registry, if it acts.
    fn seat(&self, registry: &Registry) -> Option<MasternodeIndex> {
        registry.index_of(&self.node).filter(|_| self.conduct == Conduct::Acts)
    }

    fn event(&self, event: Event, effects: &mut Effects) {
        effects.push(Effect::Event(event));
    }
}
