//! From height to height: a final block is handed out, becomes the tip, and the next height begins at its slot.
//! Blocks that consensus decides and blocks that were fetched pass the same door (rules C-6, C-13, Y-4).

use std::sync::Arc;

use bytes::Bytes;

use crate::chain::Chain;
use crate::chain::certificates;
use crate::chain::committing::{Done, Final};
use crate::chain::consensus::{Act, Consensus, Verdict, Voice};
use crate::chain::effects::{Binding, Effect, Effects, Recipients};
use crate::chain::producing::{self, Part, Situation};
use crate::chain::registries::InForce;
use crate::chain::speech::{Change, Surroundings};
use crate::chain::sync::Fetched;
use crate::chain::validity::Context;
use crate::chain::voting_record::{ValidBlock, VotingRecord};
use crate::command::{Command, CommitPace};
use crate::crypto::Provider;
use crate::event::{CommittedVia, Event, Offence, Statement, Step, SyncState};
use crate::ids::{Height, LoadId, NodeId, TxId};
use crate::input::{RegistryChange, StoredBlock};
use crate::journal::RecordKey;
use crate::limits::MAX_FINAL_BLOCK;
use crate::time::{Now, Wall};
use crate::wire::block::{Certificate, FinalBlock};
use crate::wire::message::{self, Message, Role};

/// The load with which a start asks for the newest blocks. Those of serving are numbered from 1.
pub(super) const RECALL: LoadId = LoadId(0);

impl Chain {
    /// Goes on as far as everything that is known allows. Called at the end of every input.
    pub(super) fn advance(&mut self, now: Now, crypto: &mut dyn Provider, effects: &mut Effects) {
        if self.part == Part::Leaving {
            return;
        }
        loop {
            let moved = self.finish_commits(now, effects);
            self.follow_registry(now, effects);
            self.enter_height(now, crypto, effects);
            if !self.apply_fetched(now, crypto, effects) && !moved {
                break;
            }
        }
        self.tell_sync(effects);
        self.keep_question(effects);
        self.consider_speaking(now, effects);
        self.begin_height(now, crypto, effects);
        self.look_at_gate(effects);
        self.pay_what_is_owed(now, crypto, effects);
    }

    /// A block is final: hands it to disk and application. The one door, whoever decided it. False if its height
    /// was handed out before.
    pub(super) fn commit(
        &mut self,
        now: Now,
        block: FinalBlock,
        bytes: Bytes,
        via: CommittedVia,
        effects: &mut Effects,
    ) -> bool {
        let hash = block.certificate.block;
        let height = block.block.header.height;
        if !self.commits.begin(Final::of(&block, via)) {
            return false;
        }
        self.keep_question(effects);
        self.speech.certified(height);
        self.sync.applied(now.mono, height, effects);
        let pace = match via {
            CommittedVia::Sync if self.sync.heard() > height => CommitPace::CatchUp,
            _ => CommitPace::Live,
        };
        effects.push(Effect::Commit { hash, block: Arc::new(block), bytes, pace });
        true
    }

    /// Every block up to this height is durable.
    pub(crate) fn stored(
        &mut self,
        now: Now,
        height: Height,
        crypto: &mut dyn Provider,
        effects: &mut Effects,
    ) {
        self.commits.stored(height);
        self.advance(now, crypto, effects);
    }

    /// The application has taken a block in.
    pub(crate) fn taken_in(
        &mut self,
        now: Now,
        height: Height,
        changes: &[RegistryChange],
        included: &[TxId],
        crypto: &mut dyn Provider,
        effects: &mut Effects,
    ) {
        if self.commits.awaits(height) {
            let included = self.mempool.about_to_be_included(now.mono, included, effects);
            self.commits.taken_in(height, included);
        } else if height > self.commits.height() {
            return;
        }
        match self.registries.take_in(height, changes, crypto) {
            Ok(None) => {}
            Ok(Some(_)) => {
                let record = Bytes::from(self.registries.encode());
                effects.push(Effect::Persist(RecordKey::Registry, record, Binding::Nothing));
            }
            // The same at every node, so the chain goes on with the registry that it has.
            Err(bad) => tracing::warn!(%height, %bad, "the block's changes of the registry do not count"),
        }
        self.count_links();
        self.advance(now, crypto, effects);
    }

    /// At a start: what the two newest blocks change in the registry may not have been recorded before the crash,
    /// so the application is handed them once more (rule C-7).
    pub(super) fn recall(&mut self, effects: &mut Effects) {
        let to = self.commits.height();
        let from = self.registries.taken_in().next();
        if from <= to {
            let max_bytes = 2 * MAX_FINAL_BLOCK;
            effects.push(Effect::Command(Command::Load { load: RECALL, from, to, max_bytes }));
        }
    }

    pub(super) fn recalled(&mut self, blocks: Vec<StoredBlock>, effects: &mut Effects) {
        if blocks.is_empty() {
            // Nothing is to be had: what is recorded has to do.
            self.registries.resume_at(self.commits.height());
            self.count_links();
        }
        for StoredBlock { height: _, bytes } in blocks {
            if let Ok(block) = FinalBlock::decode(&bytes) {
                let hash = block.certificate.block;
                let pace = CommitPace::CatchUp;
                effects.push(Effect::Commit { hash, block: Arc::new(block), bytes, pace });
            }
        }
    }

    /// Blocks that are durable and with the application: the tip moves.
    fn finish_commits(&mut self, now: Now, effects: &mut Effects) -> bool {
        let mut moved = false;
        while let Some(Done { block, included }) = self.commits.next_done() {
            moved = true;
            let height = block.parent.height;
            self.payload_limit.decided(block.round());
            self.mempool.included(now.mono, &included, effects);
            self.sync.durable(height);
            self.event(
                Event::BlockCommitted {
                    height,
                    hash: block.parent.hash,
                    round: block.round(),
                    slot: block.parent.slot.unwrap_or_default(),
                    proposer: block.proposer,
                    payload_bytes: block.payload_bytes,
                    via: block.via,
                },
                effects,
            );
            self.past = self.consensus.take().filter(|consensus| consensus.height() == height);
            self.proven = None;
            self.timeouts.clear();
            self.owed = None;
            self.resend.rest();
            self.tell_tip(&block, effects);
            self.registries.forget_below(height);
            self.count_links();
        }
        moved
    }

    /// Tells the new tip to live peers that may not know it: not to whoever has precommitted it (rule Y-1).
    fn tell_tip(&mut self, block: &Final, effects: &mut Effects) {
        let height = block.parent.height;
        if height < self.sync.heard() {
            return;
        }
        let certificate = self.past.as_ref().and_then(Consensus::commit);
        let certificate = certificate.as_ref().unwrap_or(&block.certificate);
        let registry = self.registries.at(height).map(|in_force| &in_force.registry);
        for (peer, linked) in &mut self.linked {
            let seat = registry.and_then(|registry| registry.index_of(peer));
            let knows = linked.tip >= height || seat.is_some_and(|seat| certificate.signers.contains(seat));
            linked.tip = linked.tip.max(height);
            if !knows {
                let tip = message::Tip { height, block: block.parent.hash };
                effects.push(Effect::Send(*peer, Message::Tip(tip)));
            }
        }
    }

    /// The registry in force at the next height may be another than the one that everybody here follows.
    fn follow_registry(&mut self, now: Now, effects: &mut Effects) {
        let in_force = self.registries.at(self.commits.height().next());
        let other = in_force.filter(|in_force| in_force.hash != self.followed);
        if let Some(InForce { registry, hash }) = other.cloned() {
            self.followed = hash;
            self.sync.registered(now.mono, &registry, effects);
            self.serving.registered(&registry);
            let (role, part) = match self.seat(&registry) {
                Some(_) => (Role::Masternode, Part::Masternode),
                None => (Role::Observer, Part::Observer),
            };
            self.part = part;
            self.mempool.act_as(role);
            for peer in self.linked.keys() {
                let role = registry.get(peer).map_or(Role::Observer, |_| Role::Masternode);
                self.mempool.peer_up(now.mono, *peer, role, effects);
            }
            effects.push(Effect::Registry(registry));
        }
    }

    /// Sets up the consensus of the height after the tip, with what came for it too early.
    fn enter_height(&mut self, now: Now, crypto: &mut dyn Provider, effects: &mut Effects) {
        let height = self.commits.height().next();
        if !self.commits.is_settled() || self.consensus.is_some() {
            return;
        }
        let kept = self.next.take().filter(|next| next.height() == height);
        let Some(mut consensus) = kept.or_else(|| self.fresh_consensus(height)) else { return };
        self.candidates.enter(height);
        self.pacing = Default::default();
        self.resume(now, &mut consensus);
        let restored = consensus.valid().map(|(_, block)| block);
        self.consensus = Some(consensus);
        if let Some(block) = restored {
            self.judged(now, block, Verdict::Valid, crypto, effects);
        }
        for (from, proposal) in std::mem::take(&mut self.early) {
            self.proposal_came(now, from, proposal, crypto, effects);
        }
    }

    /// The consensus of a height of which nothing was heard, if the registry in force there is known.
    pub(super) fn fresh_consensus(&self, height: Height) -> Option<Consensus> {
        let registry = &self.registries.at(height)?.registry;
        Some(Consensus::new(height, Arc::new(registry.clone()), self.seat(registry), Voice::Speaks))
    }

    /// Puts back what an earlier life has said of this height.
    fn resume(&mut self, now: Now, consensus: &mut Consensus) {
        let height = consensus.height();
        let Some(record) = self.record.as_ref().filter(|record| record.said.height == height) else { return };
        let valid = self.valid_block.take().filter(|valid| valid.polka.height == height);
        let sound = valid.filter(|valid| valid.block.header.hash(&self.genesis) == valid.polka.block);
        if consensus.resume(record.said.clone(), sound.as_ref().map(|valid| &valid.polka))
            && let Some(ValidBlock { block, polka }) = sound
        {
            self.candidates.restore(now.mono, self.node, polka.block, block);
        }
    }

    /// The slot that the next height waits for, if it waits for nothing else.
    pub(super) fn waits_for(&self, now: Now) -> Option<Wall> {
        let waits = self.consensus.as_ref().is_some_and(|consensus| consensus.step() == Step::Waiting);
        let ready = self.commits.is_settled() && (self.speech.is_answered() || !self.speaks_one_day());
        self.context().filter(|_| waits && ready).map(|context| context.slot(now.wall))
    }

    /// Whether this node is registered and acts.
    pub(super) fn speaks_one_day(&self) -> bool {
        self.registry().is_some_and(|registry| self.seat(registry).is_some())
    }

    /// The height begins when its slot has come.
    fn begin_height(&mut self, now: Now, crypto: &mut dyn Provider, effects: &mut Effects) {
        if self.waits_for(now).is_none_or(|slot| slot > now.wall) {
            return;
        }
        let abstains = self.speech.silent_until_above(self.commits.height()).is_some();
        let Some(consensus) = &mut self.consensus else { return };
        // Whoever has signed at a later height than its store has reached may have signed at this one, too.
        let later = self.record.as_ref().is_some_and(|record| record.said.height > consensus.height());
        let silent = abstains || later;
        if silent {
            consensus.silence();
        }
        let acts = consensus.start();
        self.resend.begin(now.mono, self.settings.interval);
        self.perform(now, acts, crypto, effects);
        self.hear_candidates(now, crypto, effects);
    }

    /// Whether this key may speak, as soon as that can be known, and again when more is known (rule C-13).
    fn consider_speaking(&mut self, now: Now, effects: &mut Effects) {
        let Some(registry) = self.registry() else { return };
        let (size, quorum) = (registry.size(), registry.quorum());
        if self.seat(registry).is_none() {
            return;
        }
        let surroundings = match self.sync.state() {
            SyncState::Syncing { .. } => Surroundings::Syncing,
            _ if self.linked_masternodes + 1 < quorum => Surroundings::Sparse,
            _ => Surroundings::Complete,
        };
        let tip = self.commits.height();
        let heard_before = self.speech.is_hearing();
        let change = self.speech.ask(now.mono, surroundings, tip, size - quorum);
        if self.speech.is_hearing()
            && !heard_before
            && let Some(held) = self.held()
        {
            // Each shows what it has of ours.
            Self::broadcast(Message::Held(Box::new(held)), effects);
        }
        if change == Change::Record {
            if let Some(consensus) = &mut self.consensus {
                consensus.silence();
            }
            self.write_record(Vec::new(), None, effects);
        }
    }

    /// Before the store gets its first block it has a record, be it one that says nothing: blocks without any are
    /// those of a key that may have spoken (rule C-13). Whoever is no masternode may become one.
    pub(super) fn found_record(&mut self, effects: &mut Effects) {
        if self.record.is_some() || self.commits.tip().is_none() {
            self.write_record(Vec::new(), None, effects);
        }
    }

    /// What has turned up while it is not known whether this key may speak is durable before a block that follows.
    fn keep_question(&mut self, effects: &mut Effects) {
        if self.speech.keep() == Change::Record && self.record.is_some() {
            self.write_record(Vec::new(), None, effects);
        }
    }

    /// What was said so far, as it must be kept.
    pub(super) fn voting_record(&self) -> VotingRecord {
        let (silent_until_above, question) = self.speech.recorded(self.commits.height());
        let said = match (&self.consensus, &self.record) {
            // No height is answered for while it is not known whether this key may speak.
            (_, Some(record)) if question.is_some() => record.said.clone(),
            (_, None) if question.is_some() => VotingRecord::of(Height(1)).said,
            (Some(consensus), None) => consensus.record(),
            // A record of a height that is still ahead must not be lost on the way there.
            (Some(consensus), Some(record)) if consensus.height() >= record.said.height => consensus.record(),
            (_, Some(record)) => record.said.clone(),
            (None, None) => VotingRecord::of(self.commits.height().next()).said,
        };
        VotingRecord { said, silent_until_above, question }
    }

    /// Blocks that were fetched, in the order of their heights (rule Y-4). True if one was applied or refused.
    fn apply_fetched(&mut self, now: Now, crypto: &mut dyn Provider, effects: &mut Effects) -> bool {
        let next = self.commits.parent().height.next();
        if self.registries.at(next).is_none() {
            return false;
        }
        let Some(Fetched { height, block, bytes, from }) = self.sync.next_block(now.mono, effects) else {
            return false;
        };
        let Some(in_force) = self.registries.at(next) else { return false };
        let (registry, registry_hash) = (&in_force.registry, in_force.hash);
        let context = Context { grid: self.grid, parent: self.commits.parent(), registry, registry_hash };
        if let Err(bad) = certificates::verify_final(&block, &context, &self.genesis, crypto) {
            tracing::debug!(%from, %height, %bad, "a fetched block does not verify");
            self.counts.invalid += 1;
            if bad.contradicts_itself() {
                effects.push(Effect::Offence(from, Offence::InvalidBlock));
            }
            self.sync.rejected(now.mono, from, height, effects);
            return true;
        }
        self.own_in(&block.certificate);
        self.commit(now, block, bytes, CommittedVia::Sync, effects)
    }

    /// A verified certificate shows which of our own signatures there are.
    pub(super) fn own_in(&mut self, certificate: &Certificate) {
        let Some(in_force) = self.registries.at(certificate.height) else { return };
        // Whoever only observes may be told to act one day.
        if let Some(vote) = certificates::vote_of(certificate, &in_force.registry, &self.node) {
            self.speech.own_shown(self.record.as_ref(), &Statement::Vote(vote));
        }
    }

    /// Counts the live links to registered masternodes: whenever a link or the registry in force changes. The
    /// gate asks for the number at each message, which is too often to count.
    pub(super) fn count_links(&mut self) {
        let others = self.linked.keys().filter(|peer| **peer != self.node);
        self.linked_masternodes = others.filter(|peer| self.is_registered(peer)).count();
    }

    /// All that the gate looks at.
    pub(super) fn situation(&self) -> Situation {
        let (registered, quorum) =
            self.registry().map_or((0, 0), |registry| (registry.size(), registry.quorum()));
        Situation {
            part: self.part,
            sync: self.sync.state(),
            abstains_until: self.speech.silent_until_above(self.commits.height()),
            clock_offset_ms: self.clock_offset_ms,
            tolerance: self.grid.tolerance(),
            linked: self.linked_masternodes,
            registered,
            quorum,
            min_peers: self.settings.min_peers,
        }
    }

    /// Rule C-14: a change is told.
    pub(super) fn look_at_gate(&mut self, effects: &mut Effects) {
        let producing = producing::producing(&self.situation());
        if std::mem::replace(&mut self.producing, producing) != producing {
            self.event(Event::Producing(producing), effects);
        }
    }

    /// A change of how far this node has caught up is told.
    fn tell_sync(&mut self, effects: &mut Effects) {
        let state = self.sync.state();
        if std::mem::replace(&mut self.sync_told, state) != state {
            self.event(Event::Sync(state), effects);
        }
    }

    /// Proposals, votes and payloads go to every live masternode.
    pub(super) fn broadcast(message: Message, effects: &mut Effects) {
        effects.push(Effect::Broadcast(Recipients::Masternodes, message));
    }

    /// A new item goes on to masternodes to which its author has no link (rule C-15).
    pub(super) fn forward(&self, author: &NodeId, from: NodeId, message: Message, effects: &mut Effects) {
        if let Some(author) = self.registry().and_then(|registry| registry.index_of(author)) {
            effects.push(Effect::Broadcast(Recipients::Forward { author, from }, message));
        }
    }

    /// What the consensus of another height than the one under way wants done: it is not begun, or over.
    pub(super) fn note(&mut self, now: Now, acts: Vec<Act>, effects: &mut Effects) {
        for act in acts {
            match act {
                Act::Equivocation(evidence) => self.note_evidence(*evidence, effects),
                Act::Foreign(statement) => self.speech.unrecorded(statement.height()),
                Act::Certified(certificate) => {
                    self.speech.certified(certificate.height);
                    self.sync.certified(now.mono, certificate.height, effects);
                }
                _ => {}
            }
        }
    }
}
