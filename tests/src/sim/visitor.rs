//! Short-lived peers: each comes with a new key from a new address, talks for a while, and goes. Now and then one
//! says what no honest peer does.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use timed_core::wire::frame::append_encoded;
use timed_core::wire::message::{BlocksEnd, GetBlocks, Kind, Lane, Message, Ping, Pong, Served, Vote};
use timed_core::wire::peers::{GetPeers, PeerAddress};
use timed_core::{DialOrdinal, Height, NodeId, Round, VoteKind};

use crate::scripted::Actor;

use super::clock::SimTime;
use super::contact::Contact;
use super::host::HostId;
use super::ledger::Ledger;
use super::puppet::forged;
use super::world::World;

/// How often a visitor looks at what has arrived.
const LOOKS_EVERY: Duration = Duration::from_millis(100);

/// Machines from which strangers come.
const STRANGERS: usize = 8;

/// How a visitor goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// Its kernel closes the connection.
    Close,
    /// Its machine is gone without a word.
    Silence,
}

/// One visit.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    /// Whom it visits.
    pub to: HostId,
    /// How long it stays, if it is let in and not turned out.
    pub lasts: Duration,
    /// The time between two things that it says.
    pub every: Duration,
    /// One in so many of these is invalid.
    pub one_invalid_in: u64,
    /// How it ends.
    pub leaves: Leaving,
}

/// A visitor under way.
struct Visitor {
    host: HostId,
    visit: Visit,
    actor: Actor,
    contact: Contact,
    speaks_at: SimTime,
    until: SimTime,
    said: u64,
}

impl World {
    /// A stranger at this address, where nobody was before, makes a visit.
    pub fn visit(&mut self, ip: IpAddr, visit: Visit) -> HostId {
        let host = self.add_stranger(ip);
        self.visit_from(host, visit);
        host
    }

    /// A stranger makes a visit, perhaps not its first.
    pub fn visit_from(&mut self, host: HostId, visit: Visit) {
        self.net.power_on(host);
        let visitor = self.host(host);
        let (id, key) = (visitor.node_id, (visitor.provider)(&visitor.key));
        let mut actor = Actor::new(key, &visitor.config, None, self.wall());
        self.cx.played.insert(id);
        let Some(contact) = Contact::dial(self, host, visit.to, &mut actor) else { return };
        let (speaks_at, until) = (self.now(), self.now() + visit.lasts);
        let visitor = Visitor { host, visit, actor, contact, speaks_at, until, said: 0 };
        look(self, Rc::new(RefCell::new(visitor)));
    }

    /// One of a few machines from which strangers come.
    fn stranger(&mut self) -> HostId {
        let number = self.random_below(STRANGERS);
        while self.strangers.len() <= number {
            let ip = IpAddr::from([10, 66, 0, u8::try_from(self.strangers.len() + 1).unwrap_or(u8::MAX)]);
            let host = self.add_stranger(ip);
            self.strangers.push(host);
        }
        self.strangers[number]
    }

    /// A peer with a key of its own says something every now and then, a third of it invalid.
    pub(super) fn liar(&mut self, to: HostId, lasts: Duration) {
        let from = self.stranger();
        let leaves = if self.random_below(2) == 0 { Leaving::Close } else { Leaving::Silence };
        let every = self.random(Duration::from_secs(1));
        self.note(to, &format!("is visited by a liar at {from}"));
        self.visit_from(from, Visit { to, lasts, every, one_invalid_in: 3, leaves });
    }

    /// Strangers connect and send noise, the beginning of a handshake with noise behind it, or nothing.
    pub(super) fn garbage(&mut self, to: HostId) {
        let Some(addr) = self.host(to).config.advertised else { return };
        for _ in 0..1 + self.random_below(10) {
            let from = self.stranger();
            self.note(to, &format!("gets garbage from {from}"));
            self.net.power_on(from);
            let actor = self.host(from);
            let key = (actor.provider)(&actor.key);
            let (_, opening) = Actor::new(key, &actor.config, None, self.wall()).dial();
            let genuine = self.random_below(opening.len() + 1);
            let mut bytes = opening[..genuine].to_vec();
            bytes.resize(genuine + self.random_below(3_000), 0);
            self.cx.rng.fill(&mut bytes[genuine..]);
            let tcp = self.raw_dial(from, addr.socket());
            self.after(Duration::from_millis(500), move |world| {
                world.raw_write(tcp, &bytes);
            });
            let stays = self.random(Duration::from_secs(10));
            let goes_silently = self.random_below(4) == 0;
            self.after(Duration::from_millis(600) + stays, move |world| {
                if goes_silently {
                    world.cut_power(from);
                } else {
                    world.raw_close(tcp);
                }
            });
        }
    }
}

fn look(world: &mut World, visitor: Rc<RefCell<Visitor>>) {
    if visitor.borrow_mut().stays(world) {
        world.after(LOOKS_EVERY, move |world| look(world, visitor));
    }
}

impl Visitor {
    /// Takes one look; whether another is to follow.
    fn stays(&mut self, world: &mut World) -> bool {
        for message in self.contact.hear(world, &mut self.actor, DialOrdinal(1)) {
            if let Message::Ping(ping) = message {
                self.contact.say(&Message::Pong(Pong { token: ping.token }));
            }
        }
        if self.contact.lost().is_some() || world.now() >= self.until {
            match self.visit.leaves {
                Leaving::Close => world.raw_close(self.contact.tcp),
                Leaving::Silence => world.cut_power(self.host),
            }
            return false;
        }
        if self.contact.is_live() && world.now() >= self.speaks_at {
            self.speaks_at = world.now() + world.random(self.visit.every * 2);
            self.said += 1;
            if world.random_below(usize::try_from(self.visit.one_invalid_in).unwrap_or(usize::MAX)) == 0 {
                self.misbehave(world);
            } else {
                let message = self.something(world);
                self.contact.say(&message);
            }
        }
        self.contact.flush(world);
        true
    }

    /// What an honest peer may say.
    fn something(&self, world: &mut World) -> Message {
        let tip = height(world);
        match world.random_below(6) {
            0 | 1 => Message::Ping(Ping { token: self.said }),
            2 => Message::GetPeers(GetPeers { most: 64 }),
            3 => Message::Datagram(Bytes::from(vec![3; 100])),
            4 => {
                let from = Height(tip.0.saturating_sub(2).max(1));
                Message::GetBlocks(GetBlocks { id: self.said, from, to: from, max_bytes: 10_000 })
            }
            _ => {
                let mut bytes = vec![0; 20 + world.random_below(200)];
                bytes[..8].copy_from_slice(&self.said.to_le_bytes());
                bytes[8..16].copy_from_slice(&(self.host.0 as u64).to_le_bytes());
                Message::Transaction(Bytes::from(bytes))
            }
        }
    }

    /// Says what no honest peer does.
    fn misbehave(&mut self, world: &mut World) {
        let slandered = HostId(world.random_below(world.host(HostId(0)).config.registry.size()));
        let slandered = world.host(slandered).node_id;
        let message = match world.random_below(7) {
            0 => return self.contact.send(Lane::Control, &frame(Kind::Ping, &[1, 2, 3], None)),
            1 => return self.contact.send(Lane::Relay, &frame(Kind::Datagram, &[1; 90], Some(999))),
            2 => return self.contact.send(Lane::Control, &[0xff; 64]),
            3 => {
                let mut beat = self.actor.heartbeat(self.said, world.wall());
                (beat.signer, beat.signature) = (slandered, forged());
                beat.epoch.0 += 1_000;
                Message::Heartbeat(Box::new(beat))
            }
            4 => {
                let (kind, height) = (VoteKind::Prevote, height(world).next());
                let (round, voter) = (Round(0), slandered);
                Message::Vote(Box::new(Vote { kind, height, round, block: None, voter, signature: forged() }))
            }
            5 => Message::Peers(lies(self.said)),
            _ => Message::BlocksEnd(BlocksEnd { id: 1_000_000 + self.said, served: Served::All }),
        };
        self.contact.say(&message);
    }
}

/// Height of the chain, if the world has one.
fn height(world: &World) -> Height {
    world.cx.ledger.as_ref().map_or(Height(0), Ledger::height)
}

/// An encoded frame, perhaps of another kind than it is made for.
fn frame(kind: Kind, body: &[u8], number: Option<u16>) -> Vec<u8> {
    let mut frame = Vec::new();
    append_encoded(kind, body, &mut frame);
    if let Some(number) = number {
        frame[4..6].copy_from_slice(&number.to_le_bytes());
    }
    frame
}

/// Addresses where nobody is.
fn lies(from: u64) -> Vec<PeerAddress> {
    let lie = |number: u8| {
        let mut key = [0xee; 32];
        key[0] = number;
        key[1..9].copy_from_slice(&from.to_le_bytes());
        let addr = format!("200.{number}.{}.9:24100", from % 250).parse().expect("an address");
        PeerAddress { node: NodeId(key), addr, age: 60 }
    };
    (0..20).map(lie).collect()
}
