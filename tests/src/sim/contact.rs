//! A played node's connection to a real one: from the dial to the live link, with the keys of a scripted
//! [`Actor`].

use timed_core::DialOrdinal;
use timed_core::DialedBecause;
use timed_core::wire::message::{Answer, Intent, Lane, Message};

use crate::scripted::{Actor, Dialing, Line, REPLY};

use super::clock::SimTime;
use super::host::HostId;
use super::wire::TcpId;
use super::world::World;

/// The connection.
#[derive(Debug)]
pub(super) struct Contact {
    pub(super) tcp: TcpId,
    stage: Stage,
    out: Vec<u8>,
    inward: Vec<u8>,
}

#[derive(Debug)]
enum Stage {
    Opened(Option<Dialing>),
    Introduced(Line),
    Live(Line),
    Lost(SimTime),
}

impl Contact {
    /// Dials a real host, if it has an address.
    pub(super) fn dial(world: &mut World, from: HostId, to: HostId, actor: &mut Actor) -> Option<Self> {
        let addr = world.host(to).config.advertised?;
        let (dialing, out) = actor.dial();
        let tcp = world.raw_dial(from, addr.socket());
        Some(Self { tcp, stage: Stage::Opened(Some(dialing)), out, inward: Vec::new() })
    }

    pub(super) const fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live(_))
    }

    /// Since when it is over.
    pub(super) const fn lost(&self) -> Option<SimTime> {
        match self.stage {
            Stage::Lost(since) => Some(since),
            _ => None,
        }
    }

    /// Says something, if the link stands.
    pub(super) fn say(&mut self, message: &Message) {
        if let Stage::Live(line) = &mut self.stage {
            self.out.extend(line.say(message));
        }
    }

    /// Sends these bytes of a lane, frames or not, if the link stands.
    pub(super) fn send(&mut self, lane: Lane, bytes: &[u8]) {
        if let Stage::Live(line) = &mut self.stage {
            self.out.extend(line.seal(lane, bytes));
        }
    }

    /// Hands what was said to the kernel, as far as that takes it.
    pub(super) fn flush(&mut self, world: &mut World) {
        if self.lost().is_none() && world.raw_connected(self.tcp) {
            let written = world.raw_write(self.tcp, &self.out);
            self.out.drain(..written);
        }
    }

    /// What was said to it since the last look; goes on with the introduction on the way.
    pub(super) fn hear(
        &mut self,
        world: &mut World,
        actor: &mut Actor,
        ordinal: DialOrdinal,
    ) -> Vec<Message> {
        let heard = self.read(world, actor, ordinal);
        if heard.is_none() {
            self.stage = Stage::Lost(world.now());
        }
        heard.unwrap_or_default()
    }

    /// `None` once the link is lost.
    fn read(&mut self, world: &mut World, actor: &mut Actor, ordinal: DialOrdinal) -> Option<Vec<Message>> {
        if self.lost().is_some() {
            return Some(Vec::new());
        }
        self.inward.extend(world.raw_read(self.tcp)?);
        if let Stage::Opened(dialing) = &mut self.stage {
            if self.inward.len() < REPLY {
                return Some(Vec::new());
            }
            let rest = self.inward.split_off(REPLY);
            let mut line = dialing.take()?.reply(&self.inward)?;
            self.inward = rest;
            let hello = actor.hello(&line, ordinal, Intent::Session(DialedBecause::Canonical), None);
            self.out.extend(line.say(&Message::Hello(Box::new(hello))));
            self.stage = Stage::Introduced(line);
        }
        let (Stage::Introduced(line) | Stage::Live(line)) = &mut self.stage else { return None };
        let mut messages = line.hear(&std::mem::take(&mut self.inward)).ok()?;
        if let Stage::Introduced(_) = self.stage
            && !messages.is_empty()
        {
            match messages.remove(0) {
                Message::HelloAck(ack) if ack.answer == Answer::Accepted => {}
                _ => return None,
            }
            self.stage = match std::mem::replace(&mut self.stage, Stage::Lost(world.now())) {
                Stage::Introduced(line) => Stage::Live(line),
                other => other,
            };
        }
        Some(messages)
    }
}
