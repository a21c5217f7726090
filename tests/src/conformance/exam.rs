//! What the cases are written in: dial, introduce oneself, say, hear, wait.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use timed_core::crypto::noise::NoiseProvider;
use timed_core::wire::message::{Message, Ping, Pong};
use timed_core::{BootEpoch, BootNonce, CanonicalAddr, CloseReason, DialOrdinal, NodeId, Rng, Timings, Wall};
use zeroize::Zeroizing;

use super::arm::{Arm, Ground, Miss, Process, Stream, Verdict, Wire, broken};
use super::channel::{Channel, Pings};
use crate::scripted::Actor;

/// Between two looks at what has arrived.
const LOOK: Duration = Duration::from_millis(2);

/// A peer that the suite plays.
#[derive(Debug)]
pub struct Voice {
    /// What it says of itself, and its signed words.
    pub actor: Actor,
    /// Its key, for whatever else is to be signed.
    pub key: NoiseProvider,
    /// Where it dials from.
    pub from: Option<IpAddr>,
    /// Where it listens, if it is registered.
    pub addr: Option<CanonicalAddr>,
    /// The ordinal of its next session.
    pub ordinal: DialOrdinal,
}

impl Voice {
    /// Its key's public half.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.actor.id()
    }

    /// Its next session has the next ordinal.
    pub const fn next_ordinal(&mut self) {
        self.ordinal.0 += 1;
    }
}

/// One case at work.
#[derive(Debug)]
pub struct Exam<'a> {
    pub(super) arm: &'a mut (dyn Arm + 'a),
    rng: Rng,
    guests: u8,
    running: Running,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    NotYet,
    Yes,
}

impl std::fmt::Debug for dyn Arm + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Arm")
    }
}

impl<'a> Exam<'a> {
    /// A case on a node that runs when the suite first dials it, or when [`Exam::start`] is called.
    /// `draws` decides the keys of strangers.
    pub fn new(arm: &'a mut (dyn Arm + 'a), draws: [u8; 32]) -> Self {
        Self { arm, rng: Rng::new(draws), guests: 0, running: Running::NotYet }
    }

    /// What is known before the case begins.
    #[must_use]
    pub fn ground(&self) -> &Ground {
        self.arm.ground()
    }

    /// The times that the node keeps.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.ground().config.timings.clone()
    }

    /// A promised time with what the arm needs beyond it.
    #[must_use]
    pub fn patience(&self, promised: Duration) -> Duration {
        promised * self.ground().slack + Duration::from_millis(200)
    }

    /// Long enough for an answer that needs no wait.
    #[must_use]
    pub fn soon(&self) -> Duration {
        self.patience(Duration::from_secs(1))
    }

    /// Time since the arm was set up.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.arm.now()
    }

    /// The true wall time.
    #[must_use]
    pub fn wall(&self) -> Wall {
        self.arm.wall()
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        self.arm.pass(time);
    }

    /// Starts the node, where the arm has it in hand and it does not run yet.
    pub fn start(&mut self) {
        if self.running == Running::NotYet {
            self.running = Running::Yes;
            if let Some(process) = self.arm.process() {
                process.start();
            }
        }
    }

    /// The node's process and operator.
    ///
    /// # Errors
    /// If the arm does not have it in hand.
    pub fn process(&mut self) -> Result<&mut dyn Process, Miss> {
        self.arm.process().ok_or(Miss::Lacks("the process of the node in hand"))
    }

    /// Ends the node without a word and starts it again.
    ///
    /// # Errors
    /// As [`Exam::process`].
    pub fn restart(&mut self) -> Verdict {
        let process = self.process()?;
        process.kill();
        process.start();
        Ok(())
    }

    // Who the suite plays.

    /// Bytes that no other case has.
    pub fn draw(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.rng.fill(&mut bytes);
        bytes
    }

    /// A node with a fresh key that is not registered and has no address.
    pub fn guest(&mut self) -> Voice {
        let from = self.ground().guests_from.map(|first| nth(first, self.guests));
        self.guests += 1;
        let seed = self.draw();
        self.voice(seed, None, from)
    }

    /// A registered masternode that dials the node: its address is the lower one.
    ///
    /// # Errors
    /// If the suite plays none.
    pub fn caller(&mut self) -> Result<Voice, Miss> {
        let own = self.ground().addr;
        let found = self.ground().players.iter().find(|player| player.addr < own).cloned();
        let player =
            found.ok_or(Miss::Lacks("the key of a masternode at a lower address than the node's"))?;
        Ok(self.voice(player.key, Some(player.addr), Some(player.addr.ip())))
    }

    /// The registered masternodes that the node dials, one at least.
    ///
    /// # Errors
    /// If the suite plays none.
    pub fn called(&mut self) -> Result<Vec<Voice>, Miss> {
        let own = self.ground().addr;
        let players = self.ground().players.clone();
        let voices: Vec<Voice> = players
            .into_iter()
            .filter(|player| player.addr > own)
            .map(|player| self.voice(player.key, Some(player.addr), Some(player.addr.ip())))
            .collect();
        if voices.is_empty() {
            return Err(Miss::Lacks("the key of a masternode at a higher address than the node's"));
        }
        Ok(voices)
    }

    /// Every masternode that the suite plays.
    pub fn masternodes(&mut self) -> Vec<Voice> {
        let players = self.ground().players.clone();
        let voice =
            |player: super::arm::Player| self.voice(player.key, Some(player.addr), Some(player.addr.ip()));
        players.into_iter().map(voice).collect()
    }

    fn voice(&mut self, seed: [u8; 32], addr: Option<CanonicalAddr>, from: Option<IpAddr>) -> Voice {
        let provider = Box::new(NoiseProvider::new(Zeroizing::new(seed)));
        let actor = Actor::new(provider, &self.ground().config, addr, self.arm.wall());
        let key = NoiseProvider::new(Zeroizing::new(seed));
        let mut voice = Voice { actor, key, from, addr, ordinal: DialOrdinal(1) };
        // Two processes of the suite must not be two nodes with one key and one boot.
        voice.actor.from.boot.nonce = BootNonce(self.rng.next_u64());
        self.arm.plays(voice.id());
        voice
    }

    /// The same peer after a restart: a later boot, and nothing else known.
    pub fn reborn(&mut self, voice: &mut Voice) {
        let epoch = voice.actor.from.boot.epoch.0.max(self.wall().0) + 1;
        voice.actor.from.boot.epoch = BootEpoch(epoch);
        voice.actor.from.boot.nonce = BootNonce(self.rng.next_u64());
    }

    // Connections.

    /// Connects as this peer.
    ///
    /// # Errors
    /// If nobody listens where the node should.
    pub fn dial(&mut self, voice: &Voice) -> Result<Wire, Miss> {
        self.start();
        let wire = self.arm.dial(voice.from);
        let limit = self.soon();
        self.until(limit, "a connection to the node", |exam| {
            let ended = exam.arm.read(wire, &mut Vec::new()) == Stream::Ended;
            match exam.arm.local(wire) {
                None if ended => Err(broken("nobody listens at the node's address")),
                local => Ok(local.map(|_| wire)),
            }
        })
    }

    /// Writes bytes.
    pub fn write(&mut self, wire: Wire, bytes: &[u8]) {
        self.arm.write(wire, bytes);
    }

    /// Closes the suite's end.
    pub fn close(&mut self, wire: Wire) {
        self.arm.close(wire);
    }

    /// The suite's own end.
    pub fn local(&mut self, wire: Wire) -> Option<SocketAddr> {
        self.arm.local(wire)
    }

    /// Appends what has arrived.
    pub fn read(&mut self, wire: Wire, out: &mut Vec<u8>) -> Stream {
        self.arm.read(wire, out)
    }

    /// Waits until something is there.
    ///
    /// # Errors
    /// If it is not there in time.
    pub fn until<T>(
        &mut self,
        limit: Duration,
        what: &str,
        mut look: impl FnMut(&mut Self) -> Result<Option<T>, Miss>,
    ) -> Result<T, Miss> {
        let end = self.now() + limit;
        loop {
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            if self.now() >= end {
                return Err(broken(format!("{what}: not within {limit:?}")));
            }
            self.pass(LOOK);
        }
    }

    /// So many bytes as they come, neither more nor fewer.
    ///
    /// # Errors
    /// If others come or the connection ends before.
    pub fn bytes(&mut self, wire: Wire, count: usize) -> Result<Vec<u8>, Miss> {
        let mut read = Vec::new();
        let limit = self.soon();
        self.until(limit, &format!("{count} bytes"), |exam| {
            let stream = exam.read(wire, &mut read);
            match read.len() {
                length if length >= count => Ok(Some(())),
                length if stream == Stream::Ended => {
                    Err(broken(format!("closed after {length} bytes, before {count} had come")))
                }
                _ => Ok(None),
            }
        })?;
        if read.len() > count {
            return Err(broken(format!("{} bytes came instead of {count}", read.len())));
        }
        Ok(read)
    }

    /// Everything until the node closes.
    ///
    /// # Errors
    /// If it does not in time.
    pub fn end(&mut self, wire: Wire, limit: Duration) -> Result<Vec<u8>, Miss> {
        let mut read = Vec::new();
        self.until(limit, "the end of the connection", |exam| {
            Ok((exam.read(wire, &mut read) == Stream::Ended).then_some(()))
        })?;
        Ok(read)
    }

    /// The node closes without having sent another byte.
    ///
    /// # Errors
    /// If it sends some, or does not close in time.
    pub fn silent_end(&mut self, wire: Wire, limit: Duration) -> Verdict {
        match self.end(wire, limit)?.len() {
            0 => Ok(()),
            count => Err(broken(format!("{count} bytes before the close, where none belong"))),
        }
    }

    // What is said on a channel.

    /// Says something.
    pub fn say(&mut self, channel: &mut Channel, message: &Message) {
        let bytes = channel.line.say(message);
        self.arm.write(channel.wire, &bytes);
    }

    /// Takes in what has arrived.
    ///
    /// # Errors
    /// If it is not well-formed.
    pub fn pump(&mut self, channel: &mut Channel) -> Verdict {
        let mut bytes = Vec::new();
        if self.arm.read(channel.wire, &mut bytes) == Stream::Ended {
            channel.ended = true;
        }
        let heard = channel
            .line
            .hear_frames(&bytes)
            .map_err(|reason| broken(format!("the node sends what is not well-formed: {reason}")))?;
        for heard in heard {
            match &heard.message {
                Some(Message::Ping(ping)) if channel.pings == Pings::Answered => {
                    self.say(channel, &Message::Pong(Pong { token: ping.token }));
                }
                Some(Message::Goodbye(goodbye)) => channel.goodbye = Some(goodbye.reason),
                _ => {}
            }
            channel.heard.push_back(heard);
        }
        Ok(())
    }

    /// The first message that a case is looking for; those before it are dropped.
    ///
    /// # Errors
    /// If it does not come in time, or the link ends before.
    pub fn hear<T>(
        &mut self,
        channel: &mut Channel,
        limit: Duration,
        what: &str,
        mut pick: impl FnMut(&Message) -> Option<T>,
    ) -> Result<T, Miss> {
        self.until(limit, what, |exam| {
            exam.pump(channel)?;
            while let Some(heard) = channel.heard.pop_front() {
                if let Some(found) = heard.message.as_ref().and_then(&mut pick) {
                    return Ok(Some(found));
                }
            }
            if channel.ended {
                let reason = channel.goodbye.map_or_else(String::new, |reason| format!(" with {reason}"));
                return Err(broken(format!("the node closes{reason} instead of {what}")));
            }
            Ok(None)
        })
    }

    /// For so long nothing comes that a case is looking for, and the link stays.
    ///
    /// # Errors
    /// If it does come, or the link ends.
    pub fn never(
        &mut self,
        channel: &mut Channel,
        time: Duration,
        what: &str,
        mut is: impl FnMut(&Message) -> bool,
    ) -> Verdict {
        let end = self.now() + time;
        while self.now() < end {
            self.pump(channel)?;
            while let Some(heard) = channel.heard.pop_front() {
                if heard.message.as_ref().is_some_and(&mut is) {
                    return Err(broken(format!("{what}, which must not be")));
                }
            }
            if channel.ended {
                return Err(broken(format!(
                    "the link ended ({:?}) while waiting for {what}",
                    channel.goodbye
                )));
            }
            self.pass(LOOK);
        }
        Ok(())
    }

    /// The link answers a ping: it is live and in order.
    ///
    /// # Errors
    /// If it does not.
    pub fn lives(&mut self, channel: &mut Channel) -> Verdict {
        let token = self.rng.next_u64();
        self.say(channel, &Message::Ping(Ping { token }));
        let limit = self.soon();
        self.hear(channel, limit, "pong", |message| match message {
            Message::Pong(pong) if pong.token == token => Some(()),
            _ => None,
        })
    }

    /// The node ends the link and says why.
    ///
    /// # Errors
    /// If it does not in time, or gives another reason.
    pub fn ends(&mut self, channel: &mut Channel, limit: Duration, reason: CloseReason) -> Verdict {
        self.until(limit, &format!("the end of the link ({reason})"), |exam| {
            exam.pump(channel)?;
            Ok(channel.ended.then_some(()))
        })?;
        match channel.goodbye {
            Some(given) if given == reason => Ok(()),
            given => Err(broken(format!("the link ended with {given:?} instead of {reason}"))),
        }
    }
}

/// The address so many after another.
fn nth(first: IpAddr, more: u8) -> IpAddr {
    match first {
        IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) + u32::from(more)).into()),
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) + u128::from(more)).into()),
    }
}
