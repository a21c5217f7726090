//! A registered masternode that a script plays, with its genuine key: it says what an honest one never would.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use timed_core::crypto::Provider;
use timed_core::limits::CHUNK;
use timed_core::wire::block::Outline;
use timed_core::wire::message::{Chunk, GetPayload, Lane, Message, Pong, Proposal, Vote};
use timed_core::wire::signing;
use timed_core::{
    BlockHash, CertificateHash, DialOrdinal, GenesisHash, Header, Height, NodeId, Round, Signature, VoteKind,
    Wall,
};

use crate::chain_auditor::leader;
use crate::scripted::Actor;

use super::contact::Contact;
use super::host::{HostId, Role};
use super::world::World;

/// How often it looks at what has arrived.
const LOOKS_EVERY: Duration = Duration::from_millis(1);
/// How long it waits before it dials again.
const REDIALS_AFTER: Duration = Duration::from_secs(1);

/// A block as a puppet proposes it.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its header.
    pub header: Header,
    /// Its parent's certificate.
    pub certificate: Option<Box<timed_core::Certificate>>,
    /// Its payload.
    pub payload: Bytes,
}

/// What a script does with a message, and once a look without one.
pub trait Script: FnMut(&mut World, &mut Puppet, Option<(HostId, &Message)>) + 'static {}

impl<F: FnMut(&mut World, &mut Puppet, Option<(HostId, &Message)>) + 'static> Script for F {}

/// The played masternode. It dials every other one: give it the lowest address.
#[derive(Debug)]
pub struct Puppet {
    host: HostId,
    actor: Actor,
    key: Box<dyn Provider>,
    genesis: GenesisHash,
    lines: BTreeMap<HostId, Contact>,
    ordinal: u64,
    /// Payloads that it hands out when asked.
    payloads: BTreeMap<BlockHash, Bytes>,
}

impl World {
    /// Has a script play a masternode from now on; its machine runs no node.
    pub fn play(&mut self, host: HostId, script: impl Script) {
        self.play_every(LOOKS_EVERY, host, script);
    }

    /// The same, for a script that takes a look this often.
    pub fn play_every(&mut self, pace: Duration, host: HostId, script: impl Script) {
        assert!(!self.host(host).is_up(), "{host} runs");
        self.host_mut(host).role = Role::Stranger;
        self.cx.played.insert(self.host(host).node_id);
        self.distrust(host);
        let puppet = Rc::new(RefCell::new(Puppet::new(self, host)));
        look(self, pace, puppet, Rc::new(RefCell::new(script)));
    }
}

fn look(world: &mut World, pace: Duration, puppet: Rc<RefCell<Puppet>>, script: Rc<RefCell<impl Script>>) {
    {
        let (mut puppet, mut script) = (puppet.borrow_mut(), script.borrow_mut());
        for (from, message) in puppet.hear(world) {
            script(world, &mut puppet, Some((from, &message)));
        }
        script(world, &mut puppet, None);
        puppet.flush(world);
    }
    world.after(pace, move |world| look(world, pace, puppet, script));
}

impl Puppet {
    fn new(world: &World, host: HostId) -> Self {
        let played = world.host(host);
        let make = || (played.provider)(&played.key);
        let actor = Actor::new(make(), &played.config, played.config.advertised, world.wall());
        Self {
            host,
            actor,
            key: make(),
            genesis: played.config.genesis,
            lines: BTreeMap::new(),
            ordinal: 0,
            payloads: BTreeMap::new(),
        }
    }

    /// Its key.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.actor.id()
    }

    /// What it says of itself in its next introductions.
    pub const fn introduction(&mut self) -> &mut timed_core::wire::message::Introduction {
        &mut self.actor.from
    }

    /// Whether it has a live link to every running node.
    #[must_use]
    pub fn is_linked(&self, world: &World) -> bool {
        others(world, self.host)
            .iter()
            .all(|host| !world.host(*host).is_running() || self.lines.get(host).is_some_and(Contact::is_live))
    }

    /// Says something to one node, if the link stands.
    pub fn say(&mut self, to: HostId, message: &Message) {
        if let Some(contact) = self.lines.get_mut(&to) {
            contact.say(message);
        }
    }

    /// Sends these bytes of a lane to one node, frames or not, if the link stands.
    pub fn send(&mut self, to: HostId, lane: Lane, bytes: &[u8]) {
        if let Some(contact) = self.lines.get_mut(&to) {
            contact.send(lane, bytes);
        }
    }

    /// Its identity, which signs what a script makes.
    pub const fn actor(&mut self) -> &mut Actor {
        &mut self.actor
    }

    /// Says something to everybody.
    pub fn say_to_all(&mut self, message: &Message) {
        let all: Vec<HostId> = self.lines.keys().copied().collect();
        for to in all {
            self.say(to, message);
        }
    }

    /// A signed vote.
    pub fn vote(
        &mut self,
        kind: VoteKind,
        height: Height,
        round: Round,
        block: Option<BlockHash>,
    ) -> Message {
        let bytes = signing::vote(&self.genesis, kind, height, round, block.as_ref());
        let signature = self.key.sign(&bytes);
        Message::Vote(Box::new(Vote { kind, height, round, block, voter: self.id(), signature }))
    }

    /// A valid child of the chain's newest block in the slot that is in force, to be spoilt at will.
    #[must_use]
    pub fn draft(&self, world: &World, payload: Bytes) -> Draft {
        let parent = world.final_block(world.chain_height());
        let height = world.chain_height().next();
        let certificate = parent.as_ref().map(|parent| Box::new(parent.certificate.clone()));
        let slot = slot_after(world, parent.as_ref().map(|parent| parent.block.header.slot));
        let header = Header {
            height,
            round: Round(0),
            slot,
            parent: parent.map_or_else(BlockHash::default, |parent| parent.certificate.block),
            certificate: certificate.as_ref().map_or_else(CertificateHash::default, |parent| parent.hash()),
            payload: Outline::of(&payload).root(),
            registry: world.registry_at(height).hash(),
            proposer: self.id(),
        };
        Draft { header, certificate, payload }
    }

    /// The signed proposal of a draft, whose payload is handed out to whoever asks from now on.
    pub fn propose(
        &mut self,
        draft: &Draft,
        round: Round,
        valid_round: Option<Round>,
    ) -> (BlockHash, Message) {
        let block = draft.header.hash(&self.genesis);
        self.payloads.insert(block, draft.payload.clone());
        let bytes = signing::proposal(&self.genesis, draft.header.height, round, valid_round, &block);
        let proposal = Proposal {
            header: draft.header.clone(),
            round,
            valid_round,
            certificate: draft.certificate.clone(),
            outline: Outline::of(&draft.payload),
            signature: self.key.sign(&bytes),
        };
        (block, Message::Proposal(Box::new(proposal)))
    }

    /// Whether it leads a round.
    #[must_use]
    pub fn leads(&self, world: &World, height: Height, round: Round) -> bool {
        leader(world.registry_at(height), height, u64::from(round.0)) == self.id()
    }

    /// The chunks that somebody asks for.
    #[must_use]
    pub fn chunks(&self, asked: &GetPayload) -> Vec<Message> {
        let payload = self.payloads.get(&asked.block).cloned().unwrap_or_default();
        let chunk = |(index, bytes): (u16, &[u8])| {
            let wanted = asked.missing.checked_shr(u32::from(index)).is_some_and(|bits| bits & 1 == 1);
            let bytes = Bytes::copy_from_slice(bytes);
            let chunk = Chunk { height: asked.height, block: asked.block, index, bytes };
            wanted.then(|| Message::Chunk(Box::new(chunk)))
        };
        (0..).zip(payload.chunks(CHUNK)).filter_map(chunk).collect()
    }

    /// Everything that was said to it since the last look; keeps its links up on the way.
    fn hear(&mut self, world: &mut World) -> Vec<(HostId, Message)> {
        let mut heard = Vec::new();
        for host in others(world, self.host) {
            self.keep_up(world, host);
            let Some(contact) = self.lines.get_mut(&host) else { continue };
            for message in contact.hear(world, &mut self.actor, DialOrdinal(self.ordinal)) {
                if let Message::Ping(ping) = &message {
                    self.say(host, &Message::Pong(Pong { token: ping.token }));
                }
                heard.push((host, message));
            }
        }
        heard
    }

    fn keep_up(&mut self, world: &mut World, host: HostId) {
        let due = match self.lines.get(&host).map(Contact::lost) {
            None => true,
            Some(lost) => lost.is_some_and(|since| world.now().since(since) >= REDIALS_AFTER),
        };
        if due && world.host(host).is_up() {
            self.ordinal += 1;
            if let Some(contact) = Contact::dial(world, self.host, host, &mut self.actor) {
                self.lines.insert(host, contact);
            }
        }
    }

    fn flush(&mut self, world: &mut World) {
        for contact in self.lines.values_mut() {
            contact.flush(world);
        }
    }
}

fn others(world: &World, me: HostId) -> Vec<HostId> {
    world.ids().into_iter().filter(|host| *host != me && world.host(*host).role == Role::Node).collect()
}

/// The first slot start after a parent's that is not over.
fn slot_after(world: &World, parent: Option<Wall>) -> Wall {
    let origin = world.origin();
    let interval = u64::try_from(origin.interval.as_millis()).unwrap_or(1);
    let passed = world.wall().0.saturating_sub(origin.genesis_time.0) / interval;
    let now = Wall(origin.genesis_time.0 + passed * interval);
    match parent {
        Some(parent) if parent >= now => parent + origin.interval,
        _ => now,
    }
}

/// A signature that nobody made.
#[must_use]
pub const fn forged() -> Signature {
    Signature([0x66; 64])
}
