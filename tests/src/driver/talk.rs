//! The peers' part: conversations that go well, and what is said out of turn.

use timed_core::wire::frame::append_encoded;
use timed_core::wire::message::{
    Answer, Ballot, Boot, DialerRank, Goodbye, Hello, Intent, Kind, Lane, Message, Ping, Pong, ProvenBoot,
};
use timed_core::{
    BootEpoch, BootNonce, CloseReason, ConnId, DialOrdinal, DialedBecause, Direction, SessionHash, Signature,
    Wall,
};

use super::{Choices, Driver};
use crate::samples;
use crate::scripted::{Dialing, Line, OPENING, REPLY};

/// How far a conversation is, seen from the actor.
#[derive(Debug, Default)]
pub(super) enum Talk {
    /// Nothing was said.
    #[default]
    Silent,
    /// The actor dialed and waits for the reply.
    Dialed(Dialing),
    /// A channel, and the node's `Hello`, if it dialed.
    Open(Box<Line>, Option<Box<Hello>>),
    /// It cannot go on.
    Lost,
}

impl Driver {
    /// The actor does what a good peer would do next.
    pub(super) fn converse(&mut self, conn: ConnId, choices: &mut Choices<'_>) {
        self.flush(conn);
        let Some(entry) = self.conns.iter_mut().find(|entry| entry.id == conn) else { return };
        let actor = &mut self.cast[entry.player];
        let inbox = std::mem::take(&mut entry.inbox);
        let mut bytes = Vec::new();
        entry.talk = match std::mem::take(&mut entry.talk) {
            Talk::Silent if entry.dialer == Direction::Inbound => {
                let (dialing, opening) = actor.dial();
                bytes = opening;
                Talk::Dialed(dialing)
            }
            Talk::Silent => {
                match inbox.split_at_checked(OPENING).and_then(|(first, _)| actor.answer(first)) {
                    Some((line, reply)) => {
                        bytes = reply;
                        Talk::Open(Box::new(line), None)
                    }
                    None => Talk::Silent,
                }
            }
            Talk::Dialed(dialing) => match inbox.split_at_checked(REPLY) {
                Some((reply, _)) => match dialing.reply(reply) {
                    Some(mut line) => {
                        let (ordinal, intent) = terms(choices);
                        let mut hello = actor.hello(&line, ordinal, intent, register(intent, choices));
                        if choices.byte() >= 240 {
                            hello.signature = Signature::default();
                        }
                        bytes = line.say(&Message::Hello(Box::new(hello)));
                        Talk::Open(Box::new(line), None)
                    }
                    None => Talk::Lost,
                },
                None => Talk::Dialed(dialing),
            },
            Talk::Open(mut line, mut hello) => match line.hear(&inbox) {
                Ok(messages) => {
                    for message in messages {
                        match message {
                            Message::Hello(arrived) => {
                                let answer = answer(arrived.intent, choices);
                                let ack = actor.ack(&line, &arrived, answer);
                                bytes.extend(line.say(&Message::HelloAck(Box::new(ack))));
                                hello = Some(arrived);
                            }
                            Message::Ping(Ping { token }) => {
                                bytes.extend(line.say(&Message::Pong(Pong { token })));
                            }
                            _ => {}
                        }
                    }
                    Talk::Open(line, hello)
                }
                Err(fault) => panic!("the node sends what cannot be read: {fault}"),
            },
            Talk::Lost => Talk::Lost,
        };
        if bytes.is_empty() {
            return;
        }
        let cut = choices.below(256).min(bytes.len());
        let rest = bytes.split_off(cut);
        if !bytes.is_empty() {
            self.data(conn, bytes);
        }
        self.data(conn, rest);
    }

    /// The actor says anything, in its turn or not.
    pub(super) fn say(&mut self, conn: ConnId, choices: &mut Choices<'_>) {
        let wall = self.now.wall;
        let Some(entry) = self.conns.iter_mut().find(|entry| entry.id == conn) else { return };
        let signer = if choices.below(3) == 0 { choices.below(self.cast.len()) } else { entry.player };
        let Talk::Open(line, _) = &mut entry.talk else { return };
        let actor = &mut self.cast[signer];
        let bytes = match choices.below(12) {
            0 => line.say(&Message::Ping(Ping { token: u64::from(choices.byte()) })),
            1 => line.say(&Message::Pong(Pong { token: self.now.mono.0 })),
            2 | 3 => {
                let sequence = u64::from(choices.byte());
                line.say(&Message::Heartbeat(Box::new(actor.heartbeat(sequence, wall))))
            }
            4 => {
                let mut beat = samples::heartbeat(actor.id());
                beat.network = actor.from.network;
                beat.links.truncate(choices.below(4));
                beat.witnessed.truncate(choices.below(3));
                beat.wall = if choices.below(2) == 0 { wall } else { Wall(u64::MAX) };
                beat.epoch = BootEpoch(u64::from(choices.byte()) << 40);
                let beat = actor.sign(beat);
                line.say(&Message::Heartbeat(Box::new(beat)))
            }
            5 => {
                let reason = CloseReason::from_code(u16::from(choices.byte()));
                let highest = DialOrdinal(u64::from(choices.byte()));
                line.say(&Message::Goodbye(Goodbye { reason, highest }))
            }
            6 => line.say(&Message::Datagram(vec![1; choices.below(200) * 300].into())),
            7 => {
                let (ordinal, intent) = terms(choices);
                let hello = actor.hello(line, ordinal, intent, None);
                line.say(&Message::Hello(Box::new(hello)))
            }
            8 => {
                // Many small ones at once.
                let mut frames = Vec::new();
                for _ in 0..choices.below(256) {
                    append_encoded(Kind::Ping, &[1; 8], &mut frames);
                }
                line.seal(Lane::Control, &frames)
            }
            9 => {
                let kind = Kind::ALL[choices.below(Kind::ALL.len())];
                let mut frames = Vec::new();
                let length = choices.below(64);
                append_encoded(kind, choices.take(length), &mut frames);
                line.seal(Lane::ALL[choices.below(4)], &frames)
            }
            10 => {
                let length = choices.below(64);
                line.seal(Lane::ALL[choices.below(4)], choices.take(length))
            }
            _ => {
                // An unknown kind, cut short.
                let mut frames = vec![choices.byte(), 3, 0, 0, 0xe7, 3];
                frames.extend_from_slice(&[5; 300]);
                line.seal(Lane::ALL[choices.below(4)], &frames)
            }
        };
        self.data(conn, bytes);
    }

    /// An actor's process starts anew, or lies about its start.
    pub(super) fn reborn(&mut self, choices: &mut Choices<'_>) {
        let player = choices.below(self.cast.len());
        let boot = &mut self.cast[player].from.boot;
        match choices.below(5) {
            0 | 1 => boot.epoch = BootEpoch(boot.epoch.0.saturating_add(1)),
            2 => boot.nonce = BootNonce(boot.nonce.0 + 1),
            3 => boot.epoch = BootEpoch(boot.epoch.0.saturating_sub(u64::from(choices.byte()))),
            _ => boot.epoch = BootEpoch(u64::MAX),
        }
        let ours = Boot {
            epoch: BootEpoch(self.now.wall.0.saturating_add(u64::from(choices.byte()))),
            nonce: BootNonce(1),
        };
        let seen = (choices.below(8) == 0).then(|| {
            // Only the node's own key can prove a start of it: the actor that shares it.
            let twin = self.cast.last_mut().map(|twin| twin.proven(ours));
            let made_up = ProvenBoot { boot: ours, proof: Signature::default() };
            if choices.below(2) == 0 { twin.unwrap_or(made_up) } else { made_up }
        });
        self.cast[player].from.seen = seen;
    }
}

fn terms(choices: &mut Choices<'_>) -> (DialOrdinal, Intent) {
    let ordinal = match choices.byte() {
        255 => DialOrdinal(u64::MAX),
        few => DialOrdinal(u64::from(few)),
    };
    let intent = match choices.below(6) {
        0 => Intent::Knock,
        1 => Intent::Session(DialedBecause::Fallback),
        2 => Intent::Session(DialedBecause::Manual),
        3 => Intent::Probe,
        _ => Intent::Session(DialedBecause::Canonical),
    };
    (ordinal, intent)
}

fn answer(intent: Intent, choices: &mut Choices<'_>) -> Answer {
    match (choices.byte(), intent) {
        (200..=209, _) => Answer::HaveSession,
        (210..=219, _) => Answer::Accepted,
        (220..=255, _) => Answer::Refused(CloseReason::from_code(u16::from(choices.byte()))),
        (190..=199, _) | (_, Intent::Probe) => Answer::Here,
        (_, Intent::Knock) => Answer::WillDial,
        (_, Intent::Session(_)) => Answer::Accepted,
    }
}

/// The register that a knocker claims: none, or one above everything.
fn register(intent: Intent, choices: &mut Choices<'_>) -> Option<Ballot> {
    (intent == Intent::Knock && choices.below(3) == 0).then_some(Ballot {
        epochs: (BootEpoch(u64::MAX), BootEpoch(u64::MAX)),
        ordinal: DialOrdinal(9),
        dialer: DialerRank::Canonical,
        session: SessionHash([9; 32]),
    })
}
