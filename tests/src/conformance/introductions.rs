//! Handshakes, dialed by the suite and by the node: every signature is looked at on the way.

use std::time::Duration;

use timed_core::crypto::{Authenticity, Provider};
use timed_core::wire::message::{Answer, Hello, HelloAck, Intent, Message};
use timed_core::wire::signing;
use timed_core::{CloseReason, DialedBecause};

use super::arm::{Miss, Verdict, Wire, broken};
use super::channel::Channel;
use super::exam::{Exam, Voice};
use crate::scripted::{Line, OPENING, REPLY};

impl Exam<'_> {
    // The handshake, dialed by the suite.

    /// A channel, before anything is said on it.
    ///
    /// # Errors
    /// If the node does not take the opening.
    pub fn open(&mut self, voice: &mut Voice) -> Result<Channel, Miss> {
        let (dialing, opening) = voice.actor.dial();
        let wire = self.dial(voice)?;
        self.write(wire, &opening);
        let reply = self.bytes(wire, REPLY)?;
        let line = dialing.reply(&reply).ok_or_else(|| broken("the reply to the opening is no good one"))?;
        Ok(Channel::new(wire, line))
    }

    /// A signed `Hello` with the voice's ordinal.
    pub fn hello(&mut self, voice: &mut Voice, line: &Line, intent: Intent) -> Hello {
        voice.actor.hello(line, voice.ordinal, intent, None)
    }

    /// Says a `Hello` and hears the signed answer.
    ///
    /// # Errors
    /// If none comes, or it is not the node's for this `Hello`.
    pub fn introduce(
        &mut self,
        voice: &mut Voice,
        channel: &mut Channel,
        hello: &Hello,
    ) -> Result<Answer, Miss> {
        self.say(channel, &Message::Hello(Box::new(hello.clone())));
        let limit = self.patience(self.timings().handshake_timeout);
        let ack = self.hear(channel, limit, "HelloAck", |message| match message {
            Message::HelloAck(ack) => Some(ack.clone()),
            _ => None,
        })?;
        let signed = signing::hello_ack(&channel.hash(), hello, &ack);
        if ack.from.node != self.ground().subject && ack.answer == Answer::Accepted {
            return Err(broken(format!("{} answers, not {}", ack.from.node, self.ground().subject)));
        }
        if voice.key.verify(&ack.from.node, &signed, &ack.signature) != Authenticity::Genuine {
            return Err(broken("the signature of HelloAck is not over the bytes of rule W-8"));
        }
        let answer = ack.answer;
        channel.ack = Some(ack);
        Ok(answer)
    }

    /// A handshake for this intent, and its answer.
    ///
    /// # Errors
    /// If it is not answered.
    pub fn call(&mut self, voice: &mut Voice, intent: Intent) -> Result<(Channel, Answer), Miss> {
        let mut channel = self.open(voice)?;
        let hello = self.hello(voice, &channel.line, intent);
        let answer = self.introduce(voice, &mut channel, &hello)?;
        Ok((channel, answer))
    }

    /// A live link that the suite dialed.
    ///
    /// # Errors
    /// If the node refuses it.
    pub fn live(&mut self, voice: &mut Voice) -> Result<Channel, Miss> {
        let own = self.ground().addr;
        let because = match voice.addr {
            Some(addr) if addr > own => DialedBecause::Fallback,
            _ => DialedBecause::Canonical,
        };
        match self.call(voice, Intent::Session(because))? {
            (channel, Answer::Accepted) => Ok(channel),
            (_, answer) => Err(broken(format!("a session is answered {answer:?}, not accepted"))),
        }
    }

    /// The node refuses a session with this reason.
    ///
    /// # Errors
    /// If it answers otherwise or does not close.
    pub fn refused(&mut self, voice: &mut Voice, reason: CloseReason) -> Verdict {
        let mut channel = self.open(voice)?;
        let hello = self.hello(voice, &channel.line, Intent::Session(DialedBecause::Canonical));
        self.refuses(voice, &mut channel, &hello, reason)
    }

    /// The node refuses this `Hello` with this reason, and closes.
    ///
    /// # Errors
    /// If it answers otherwise or does not close.
    pub fn refuses(
        &mut self,
        voice: &mut Voice,
        channel: &mut Channel,
        hello: &Hello,
        reason: CloseReason,
    ) -> Verdict {
        match self.introduce(voice, channel, hello)? {
            Answer::Refused(given) if given == reason => {
                let limit = self.soon();
                self.end(channel.wire, limit).map(|_| ())
            }
            answer => Err(broken(format!("answered {answer:?} instead of refused: {reason}"))),
        }
    }

    // The handshake, dialed by the node.

    /// Listens where a played masternode is registered.
    ///
    /// # Errors
    /// If this machine has no such address.
    pub fn listen(&mut self, voice: &Voice) -> Verdict {
        let addr = voice.addr.ok_or(Miss::Lacks("an address to listen at"))?;
        self.arm.listen(addr.socket())
    }

    /// The node's next connection to a listening voice, with its `Hello`.
    ///
    /// # Errors
    /// If none comes in time, or it is no good one.
    pub fn taken(&mut self, voice: &mut Voice, limit: Duration) -> Result<(Channel, Box<Hello>), Miss> {
        self.start();
        let at = voice.addr.ok_or(Miss::Lacks("an address to listen at"))?.socket();
        let wire = self.until(limit, "a dial of the node's", |exam| Ok(exam.arm.take(at)))?;
        self.taken_on(voice, wire)
    }

    /// A connection of the node's that has come in, if there is one.
    pub fn came(&mut self, voice: &Voice) -> Option<Wire> {
        self.arm.take(voice.addr?.socket())
    }

    /// The `Hello` on a connection of the node's.
    ///
    /// # Errors
    /// If it is no good one.
    pub fn taken_on(&mut self, voice: &mut Voice, wire: Wire) -> Result<(Channel, Box<Hello>), Miss> {
        let opening = self.bytes(wire, OPENING)?;
        let (line, reply) =
            voice.actor.answer(&opening).ok_or_else(|| broken("the node's opening is no good one"))?;
        self.write(wire, &reply);
        let mut channel = Channel::new(wire, line);
        let limit = self.soon();
        let hello = self.hear(&mut channel, limit, "Hello", |message| match message {
            Message::Hello(hello) => Some(hello.clone()),
            _ => None,
        })?;
        let signed = signing::hello(&channel.hash(), &hello);
        if voice.key.verify(&hello.from.node, &signed, &hello.signature) != Authenticity::Genuine {
            return Err(broken("the signature of Hello is not over the bytes of rule W-8"));
        }
        Ok((channel, hello))
    }

    /// Answers a `Hello` of the node's.
    pub fn answer(&mut self, voice: &mut Voice, channel: &mut Channel, hello: &Hello, answer: Answer) {
        let ack: HelloAck = voice.actor.ack(&channel.line, hello, answer);
        self.say(channel, &Message::HelloAck(Box::new(ack)));
    }

    /// A live link that the node dialed to a voice that listens.
    ///
    /// # Errors
    /// If none comes in time.
    pub fn dialed(&mut self, voice: &mut Voice) -> Result<Channel, Miss> {
        let limit = self.patience(self.timings().backoff_masternode);
        let (mut channel, hello) = loop {
            let (channel, hello) = self.taken(voice, limit)?;
            if matches!(hello.intent, Intent::Session(_)) {
                break (channel, hello);
            }
            self.close(channel.wire);
        };
        self.answer(voice, &mut channel, &hello, Answer::Accepted);
        Ok(channel)
    }
}
