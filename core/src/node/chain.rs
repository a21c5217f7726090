//! Between the node and its chain: what happens is handed down, what the chain wants done is carried out through
//! one door, in order.

use std::collections::VecDeque;

use crate::chain::Chain;
use crate::chain::effects::{Effect, Effects, Recipients};
use crate::command::Command;
use crate::crypto::Provider;
use crate::event::{Fatal, Reply};
use crate::gate::Passage;
use crate::ids::{BlockHash, ConnId, Height, NodeId, RequestId};
use crate::input::{Input, Request};
use crate::link::Link;
use crate::node::{Node, Parked, Run, TimerKey};
use crate::time::Now;
use crate::wire::message::{Introduction, Message};

/// What the chain wants done and the node has not done yet.
#[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Outbox {
    waiting: VecDeque<Effect>,
    door: Door,
}

/// Whether effects are being carried out. Doing so may end a link, of which the chain is told, so that it wants
/// more done: that comes after what waits already, or an old record could follow a newer one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
enum Door {
    #[default]
    Idle,
    Busy,
}

impl Node {
    /// The one door to the chain: calls it, if this network makes blocks and this node works, and carries out
    /// what it wants done.
    pub(super) fn with_chain<R>(
        &mut self,
        now: Now,
        call: impl FnOnce(&mut Chain, &mut dyn Provider, &mut Effects) -> R,
    ) -> Option<R> {
        if self.run != Run::Working {
            return None;
        }
        let mut effects = Effects::new();
        let result = call(self.chain.as_mut()?, self.crypto.as_mut(), &mut effects);
        if !effects.is_empty() {
            self.touch(now);
        }
        self.outbox.waiting.extend(effects);
        if self.outbox.door == Door::Idle {
            self.outbox.door = Door::Busy;
            while let Some(effect) = self.outbox.waiting.pop_front() {
                self.carry_out(now, effect);
            }
            self.outbox.door = Door::Idle;
        }
        if let Some(chain) = &self.chain {
            let tip = chain.tip();
            self.identity.height = tip.height;
            self.identity.tip = tip.hash;
        }
        self.follow_rates();
        self.arm_chain(now);
        Some(result)
    }

    /// Everything that the chain waits for has one deadline. Asked again after each input, because the wall clock
    /// may have been set.
    pub(super) fn arm_chain(&mut self, now: Now) {
        if let Some(chain) = self.chain.as_mut().filter(|_| self.run == Run::Working) {
            let at = chain.deadline(now);
            self.timers.set(TimerKey::Chain, at);
        }
    }

    /// The chain's timer.
    pub(super) fn chain_due(&mut self, now: Now) {
        self.with_chain(now, |chain, crypto, effects| chain.tick(now, crypto, effects));
    }

    fn carry_out(&mut self, now: Now, effect: Effect) {
        if self.run != Run::Working {
            return;
        }
        match effect {
            Effect::Send(to, message) => {
                let live = self.pool.get(&to).and_then(|peer| peer.live);
                self.send_to(now, live.map(|live| live.conn).as_slice(), &message);
            }
            Effect::Broadcast(recipients, message) => {
                let to = self.recipients(now, recipients);
                self.send_to(now, &to, &message);
            }
            Effect::Persist(key, record, binding) => {
                let ticket = self.gate.issue();
                self.commands.push_back(Command::Persist { ticket, key, record });
                // The chain bounds what it has under way.
                let parked = Parked::Binding(Box::new(binding));
                if let Passage::Open(parked) = self.gate.pass(ticket, parked, usize::MAX) {
                    self.unpark(now, parked);
                }
            }
            Effect::Commit { hash, block, bytes, pace } => {
                let ticket = self.gate.issue();
                let height = block.block.header.height;
                self.commands.push_back(Command::Commit { ticket, hash, block, bytes, pace });
                let _ = self.gate.pass(ticket, Parked::Commit(height), usize::MAX);
            }
            Effect::Registry(registry) => {
                if self.registry_changed(now, registry).is_err() {
                    self.halt(now, Fatal::Internal("a registry with an unusable key came into force"));
                }
            }
            Effect::Command(command) => self.commands.push_back(command),
            Effect::Event(event) => self.event(event),
            Effect::Offence(peer, offence) => self.offended(now, peer, offence),
        }
    }

    fn send_to(&mut self, now: Now, conns: &[ConnId], message: &Message) {
        if conns.is_empty() {
            return;
        }
        self.entitle(conns, message);
        let frame = self.frames.encode(message);
        let lane = message.kind().lane();
        for conn in conns {
            self.deliver(now, *conn, lane, &frame);
        }
    }

    fn recipients(&self, now: Now, recipients: Recipients) -> Vec<ConnId> {
        let Some(chain) = &self.chain else { return Vec::new() };
        let live = self.pool.live();
        match recipients {
            Recipients::Masternodes => {
                live.filter(|(peer, _)| chain.is_registered(&peer.id)).map(|(_, conn)| conn).collect()
            }
            Recipients::Forward { author, from } => {
                let audience = self.masternode.audience(now.mono, author, from);
                if audience.is_reached(self.masternode.registered()) {
                    return Vec::new();
                }
                live.filter(|(peer, _)| audience.includes(&peer.id, peer.masternode))
                    .filter(|(peer, _)| chain.is_registered(&peer.id))
                    .map(|(_, conn)| conn)
                    .collect()
            }
        }
    }

    /// The application answers.
    pub(super) fn chain_input(&mut self, now: Now, input: Input<'_>) {
        self.with_chain(now, |chain, crypto, effects| match input {
            Input::Produced { height, round, payload, stale } => {
                chain.produced(now, (height, round), payload, &stale, crypto, effects);
            }
            Input::Validated { block, verdict } => chain.validated(now, block, verdict, crypto, effects),
            Input::Committed { height, registry_changes, included } => {
                chain.taken_in(now, height, &registry_changes, &included, crypto, effects);
            }
            Input::Loaded { load, blocks } => chain.loaded(now, load, blocks, crypto, effects),
            _ => {}
        });
    }

    /// A message about blocks came on a live link. Answers whether there is a chain that it concerns.
    pub(super) fn chain_message(&mut self, now: Now, from: NodeId, message: Message) -> Option<()> {
        self.with_chain(now, |chain, crypto, effects| chain.received(now, from, message, crypto, effects))
    }

    /// A link is live, or has replaced the one that was.
    pub(super) fn chain_link_up(&mut self, now: Now, them: &Introduction) {
        let other = them.seen.map(|seen| seen.boot).filter(|seen| seen.nonce != self.identity.boot.nonce);
        self.with_chain(now, |chain, crypto, effects| {
            chain.link_up(now, them.node, (them.height, them.tip), other, crypto, effects);
        });
    }

    /// A live peer tells its tip, in a heartbeat of its own.
    pub(super) fn chain_tip(&mut self, now: Now, peer: NodeId, tip: (Height, BlockHash)) {
        self.with_chain(now, |chain, crypto, effects| chain.tip_told(now, peer, tip, crypto, effects));
    }

    /// A heartbeat has told more about the others' clocks.
    pub(super) fn chain_clock(&mut self, now: Now) {
        let offset_ms = self.masternode.clock_offset_ms(now.mono);
        self.with_chain(now, |chain, _, effects| chain.clock_read(offset_ms, effects));
    }

    /// What a message about blocks tells of its sender's height.
    pub(super) fn heard_height(&mut self, conn: ConnId, message: &Message) {
        if let (Message::Tip(tip), Some(peering)) =
            (message, self.links.get_mut(conn).and_then(Link::peering_mut))
        {
            peering.height = tip.height;
        }
    }

    /// The lane on which blocks are served to a peer has been drained, so far.
    pub(super) fn chain_drained(&mut self, now: Now, conn: ConnId, peer: NodeId) {
        let live = self.pool.get(&peer).and_then(|peer| peer.live);
        let current = live.is_some_and(|live| live.conn == conn);
        let Some(link) = self.links.get(conn).filter(|_| current) else { return };
        let waiting = link.out.bulk_held();
        self.with_chain(now, |chain, _, effects| chain.drained(now, peer, waiting, effects));
    }

    /// A live link ended, and nothing has replaced it.
    pub(super) fn chain_link_down(&mut self, now: Now, peer: NodeId) {
        self.with_chain(now, |chain, crypto, effects| chain.link_down(now, peer, crypto, effects));
    }

    /// What concerns blocks; `None` if the answer comes later.
    pub(super) fn answer_about_blocks(&mut self, now: Now, id: RequestId, request: Request) -> Option<Reply> {
        let refused = Some(Reply::Refused(match self.run {
            Run::Working => "this network makes no blocks",
            _ => "the node is stopping",
        }));
        if self.chain.is_none() && matches!(request, Request::Consensus) {
            return Some(Reply::Consensus(None));
        }
        self.with_chain(now, |chain, _, effects| match request {
            Request::Submit(bytes) => {
                chain.submit(id, &bytes, effects);
                None
            }
            Request::Transaction(tx) => Some(Reply::Transaction(chain.transaction(&tx))),
            Request::Evidence => Some(Reply::Evidence(chain.evidence())),
            Request::Consensus => Some(Reply::Consensus(Some(Box::new(chain.info(now))))),
            _ => None,
        })
        .unwrap_or(refused)
    }
}
