//! A peer that says what a script tells it, well or badly: with any provider, without sockets and clocks.

use timed_core::crypto::{HANDSHAKE_INIT, Handshake, Provider, Session};
use timed_core::wire::frame::{FrameKind, FrameReader, append_frame};
use timed_core::wire::message::{
    Answer, Ballot, Boot, Heartbeat, Hello, HelloAck, Intent, Introduction, Lane, Message, ProvenBoot, Role,
};
use timed_core::wire::preamble::{NetworkId, Opening, PREAMBLE, Preamble, VersionRange, read_opening};
use timed_core::wire::record::{self, RecordReader};
use timed_core::wire::{codec, signing};
use timed_core::{
    BlockHash, BootEpoch, BootNonce, CanonicalAddr, CloseReason, Config, DialOrdinal, Height, NodeId,
    RegistryTag, SessionHash, Signature, Wall,
};
use zeroize::Zeroizing;

/// Length of the acceptor's first words: preamble, key and tag, and the preamble repeated.
pub const REPLY: usize = PREAMBLE + 48 + PREAMBLE;
/// Length of the dialer's first words: preamble and key.
pub const OPENING: usize = PREAMBLE + HANDSHAKE_INIT;

/// A node's identity, as a script plays it.
#[derive(Debug)]
pub struct Actor {
    provider: Box<dyn Provider>,
    /// What it says of itself; a script may lie.
    pub from: Introduction,
    /// Whom its hellos name as the node that must answer.
    pub to: Option<NodeId>,
    registry: RegistryTag,
    draws: u8,
}

impl Actor {
    /// An actor of the network that `config` describes, started at `wall`.
    #[must_use]
    pub fn new(
        provider: Box<dyn Provider>,
        config: &Config,
        advertised: Option<CanonicalAddr>,
        wall: Wall,
    ) -> Self {
        let node = provider.node_id();
        let from = Introduction {
            node,
            advertised,
            boot: Boot { epoch: BootEpoch(wall.0), nonce: BootNonce(7) },
            proof: Signature::default(),
            seen: None,
            observed: None,
            versions: VersionRange::OURS,
            chosen: VersionRange::OURS.max,
            features: 0,
            network: NetworkId::of(&config.network),
            genesis: config.genesis,
            height: Height(0),
            tip: BlockHash::default(),
            role: if config.registry.get(&node).is_some() { Role::Masternode } else { Role::Observer },
            agent: "script".to_owned(),
        };
        Self { provider, from, to: None, registry: config.registry.hash().tag(), draws: 0 }
    }

    /// Its key.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.from.node
    }

    const fn preamble(&self) -> Preamble {
        Preamble { network: self.from.network, versions: self.from.versions }
    }

    fn ephemeral(&mut self) -> Zeroizing<[u8; 32]> {
        self.draws = self.draws.wrapping_add(1);
        Zeroizing::new([self.draws; 32])
    }

    /// Dials: the opening words, and what waits for the reply.
    ///
    /// # Panics
    /// If the provider does not write the first message.
    pub fn dial(&mut self) -> (Dialing, Vec<u8>) {
        let preamble = self.preamble().encode();
        let ephemeral = self.ephemeral();
        let mut handshake = self.provider.initiate(&preamble, ephemeral);
        let mut out = preamble.to_vec();
        handshake.write(&[], &mut out).expect("the dialer writes first");
        (Dialing(handshake), out)
    }

    /// Answers the [`OPENING`] of a dialer; `None` if it is none.
    pub fn answer(&mut self, opening: &[u8]) -> Option<(Line, Vec<u8>)> {
        let (prologue, message) = opening.split_first_chunk::<PREAMBLE>()?;
        let Opening::Preamble(_) = read_opening(prologue) else { return None };
        let ephemeral = self.ephemeral();
        let mut handshake = self.provider.respond(prologue, ephemeral);
        handshake.read(message, &mut Vec::new()).ok()?;
        let preamble = self.preamble().encode();
        let mut out = preamble.to_vec();
        handshake.write(&preamble, &mut out).ok()?;
        let (hash, session) = handshake.finish().ok()?;
        Some((Line::new(hash, session), out))
    }

    /// A signed `Hello` for a channel that it dialed.
    pub fn hello(
        &mut self,
        line: &Line,
        ordinal: DialOrdinal,
        intent: Intent,
        register: Option<Ballot>,
    ) -> Hello {
        self.prove();
        let mut hello = Hello {
            from: self.from.clone(),
            to: self.to,
            ordinal,
            intent,
            register,
            signature: Signature::default(),
        };
        hello.signature = self.provider.sign(&signing::hello(&line.hash, &hello));
        hello
    }

    /// A signed answer to `hello`.
    pub fn ack(&mut self, line: &Line, hello: &Hello, answer: Answer) -> HelloAck {
        self.prove();
        let mut ack = HelloAck {
            from: self.from.clone(),
            highest: hello.ordinal,
            answer,
            signature: Signature::default(),
        };
        ack.signature = self.provider.sign(&signing::hello_ack(&line.hash, hello, &ack));
        ack
    }

    /// Its own word for the start that it claims.
    fn prove(&mut self) {
        self.from.proof = self.proven(self.from.boot).proof;
    }

    /// A start of its key, with the proof of it.
    pub fn proven(&mut self, boot: Boot) -> ProvenBoot {
        let bytes = signing::boot(&self.from.genesis, &self.from.node, boot);
        ProvenBoot { boot, proof: self.provider.sign(&bytes) }
    }

    /// Signs a heartbeat, whoever it names as its signer.
    pub fn sign(&mut self, mut beat: Heartbeat) -> Heartbeat {
        beat.signature = self.provider.sign(&signing::heartbeat(&beat));
        beat
    }

    /// A genuine heartbeat without links.
    pub fn heartbeat(&mut self, sequence: u64, wall: Wall) -> Heartbeat {
        self.sign(Heartbeat {
            network: self.from.network,
            signer: self.from.node,
            epoch: self.from.boot.epoch,
            sequence,
            wall,
            height: Height(0),
            tip: BlockHash::default(),
            registry: self.registry,
            links: vec![],
            duplicates: 0,
            witnessed: vec![],
            signature: Signature::default(),
        })
    }
}

/// A dial that waits for the acceptor's [`REPLY`].
#[derive(Debug)]
pub struct Dialing(Box<dyn Handshake>);

impl Dialing {
    /// Reads the reply; `None` if it is no good one.
    #[must_use]
    pub fn reply(mut self, reply: &[u8]) -> Option<Line> {
        let (_, message) = reply.split_first_chunk::<PREAMBLE>()?;
        self.0.read(message, &mut Vec::new()).ok()?;
        let (hash, session) = self.0.finish().ok()?;
        Some(Line::new(hash, session))
    }
}

/// An established channel, seen from the script's end.
#[derive(Debug)]
pub struct Line {
    /// The channel's name.
    pub hash: SessionHash,
    session: Box<dyn Session>,
    records: RecordReader,
    frames: [FrameReader; 4],
}

impl Line {
    fn new(hash: SessionHash, session: Box<dyn Session>) -> Self {
        Self { hash, session, records: RecordReader::new(), frames: Default::default() }
    }

    /// The record that carries `message`.
    pub fn say(&mut self, message: &Message) -> Vec<u8> {
        let mut frame = Vec::new();
        append_frame(message, &mut frame);
        self.seal(message.kind().lane(), &frame)
    }

    /// A record of these bytes; what does not fit in it goes into further ones.
    pub fn seal(&mut self, lane: Lane, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = bytes;
        loop {
            let start = record::begin(&mut out, lane);
            let (part, after) = rest.split_at(rest.len().min(record::room(&out, start)));
            out.extend_from_slice(part);
            record::finish(&mut out, start, self.session.as_mut());
            rest = after;
            if rest.is_empty() {
                return out;
            }
        }
    }

    /// A record of this text, whatever it is: its first byte is the lane.
    pub fn seal_raw(&mut self, text: &[u8]) -> Vec<u8> {
        let mut out = vec![0; 2];
        out.extend_from_slice(text);
        self.session.seal(&mut out, 2);
        let length = u16::try_from(out.len() - 2).unwrap_or(u16::MAX);
        out[..2].copy_from_slice(&length.to_le_bytes());
        out
    }

    /// Reads what the other end sent, in any pieces. Frames of unknown kinds are left out.
    ///
    /// # Errors
    /// If it is no stream of well-formed records, frames and messages.
    pub fn hear(&mut self, bytes: &[u8]) -> Result<Vec<Message>, CloseReason> {
        Ok(self.hear_frames(bytes)?.into_iter().filter_map(|heard| heard.message).collect())
    }

    /// As [`Line::hear`], every frame as it came.
    ///
    /// # Errors
    /// As there.
    pub fn hear_frames(&mut self, bytes: &[u8]) -> Result<Vec<Heard>, CloseReason> {
        let mut all = Vec::new();
        let (mut input, mut scratch) = (bytes, Vec::new());
        while let Some(lane) = self.records.next(&mut input, &mut scratch, self.session.as_mut())? {
            let mut plain = record::frames(&scratch);
            let reader = &mut self.frames[lane as usize];
            while let Some((kind, body)) = reader.next(lane, &mut plain)? {
                let message = match kind {
                    FrameKind::Known(kind) => {
                        Some(codec::decode_body(kind, body).map_err(|_| CloseReason::BadMessage)?)
                    }
                    FrameKind::Unknown(_) => None,
                };
                all.push(Heard { lane, body: body.to_vec(), message });
            }
        }
        Ok(all)
    }
}

/// A frame that the other end sent.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Its lane.
    pub lane: Lane,
    /// Its body as it came.
    pub body: Vec<u8>,
    /// What it says; `None` if its kind is unknown.
    pub message: Option<Message>,
}
