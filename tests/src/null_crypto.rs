//! Cryptography that protects nothing: deterministic, cheap, of the same sizes as the real one.
//!
//! For simulating and fuzzing the whole stack. What the stack must notice is still noticed: a forged
//! signature, a corrupted, replayed or reordered record, the wrong channel.

use timed_core::crypto::{
    Authenticity, CryptoError, HANDSHAKE_INIT, HANDSHAKE_REPLY_OVERHEAD, Handshake, Provider, Session, TAG,
    WeakKey,
};
use timed_core::{NodeId, SessionHash, Signature};
use zeroize::Zeroizing;

use crate::checksum::Sum;

/// A provider for the node `id`; there is no secret.
#[derive(Clone, Debug)]
pub struct NullProvider {
    id: NodeId,
}

impl NullProvider {
    /// A provider that signs as `id`.
    #[must_use]
    pub const fn new(id: NodeId) -> Self {
        Self { id }
    }
}

const WEAK: NodeId = NodeId([0; 32]);

impl Provider for NullProvider {
    fn node_id(&self) -> NodeId {
        self.id
    }

    fn sign(&mut self, message: &[u8]) -> Signature {
        signature(&self.id, message)
    }

    fn verify(&mut self, signer: &NodeId, message: &[u8], given: &Signature) -> Authenticity {
        if *signer != WEAK && *given == signature(signer, message) {
            Authenticity::Genuine
        } else {
            Authenticity::Forged
        }
    }

    fn trust(&mut self, keys: &[NodeId]) -> Result<(), WeakKey> {
        if keys.contains(&WEAK) { Err(WeakKey(WEAK)) } else { Ok(()) }
    }

    fn initiate(&mut self, prologue: &[u8], ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        Box::new(NullHandshake::new(Stage::WriteFirst, prologue, *ephemeral))
    }

    fn respond(&mut self, prologue: &[u8], ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        Box::new(NullHandshake::new(Stage::ReadFirst, prologue, *ephemeral))
    }
}

/// A signature is a checksum over its signer and the message.
fn signature(signer: &NodeId, message: &[u8]) -> Signature {
    let sum = Sum::new(1).bytes(&signer.0).bytes(message);
    let mut bytes = [0; 64];
    for (number, chunk) in (0..).zip(bytes.chunks_exact_mut(8)) {
        chunk.copy_from_slice(&sum.word(number).finish().to_le_bytes());
    }
    Signature(bytes)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    WriteFirst,
    ReadFirst,
    WriteReply,
    ReadReply,
    DialerDone,
    AcceptorDone,
    Failed,
}

#[derive(Clone, Debug)]
struct NullHandshake {
    stage: Stage,
    ephemeral: [u8; 32],
    transcript: Sum,
}

impl NullHandshake {
    fn new(stage: Stage, prologue: &[u8], ephemeral: [u8; 32]) -> Self {
        Self { stage, ephemeral, transcript: Sum::new(2).bytes(prologue) }
    }

    /// Goes on to `next` if this is the time for it; an error on the way leaves the handshake failed.
    fn leave(&mut self, expected: &[Stage]) -> Result<Stage, CryptoError> {
        let stage = std::mem::replace(&mut self.stage, Stage::Failed);
        if expected.contains(&stage) { Ok(stage) } else { Err(CryptoError) }
    }
}

impl Handshake for NullHandshake {
    fn write(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), CryptoError> {
        let stage = self.leave(&[Stage::WriteFirst, Stage::WriteReply])?;
        self.transcript = self.transcript.bytes(&self.ephemeral).bytes(payload);
        if stage == Stage::WriteFirst {
            if !payload.is_empty() {
                return Err(CryptoError);
            }
            out.extend_from_slice(&self.ephemeral);
            self.stage = Stage::ReadReply;
        } else {
            out.extend_from_slice(&self.ephemeral);
            out.extend_from_slice(payload);
            out.extend_from_slice(&self.transcript.spread::<TAG>());
            self.stage = Stage::AcceptorDone;
        }
        Ok(())
    }

    fn read(&mut self, message: &[u8], payload: &mut Vec<u8>) -> Result<(), CryptoError> {
        let stage = self.leave(&[Stage::ReadFirst, Stage::ReadReply])?;
        let (theirs, rest) = message.split_at_checked(HANDSHAKE_INIT).ok_or(CryptoError)?;
        if stage == Stage::ReadFirst {
            if !rest.is_empty() {
                return Err(CryptoError);
            }
            self.transcript = self.transcript.bytes(theirs).bytes(&[]);
            self.stage = Stage::WriteReply;
        } else {
            let length = message.len().checked_sub(HANDSHAKE_REPLY_OVERHEAD).ok_or(CryptoError)?;
            let (content, tag) = rest.split_at_checked(length).ok_or(CryptoError)?;
            self.transcript = self.transcript.bytes(theirs).bytes(content);
            if tag != self.transcript.spread::<TAG>() {
                return Err(CryptoError);
            }
            payload.extend_from_slice(content);
            self.stage = Stage::DialerDone;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(SessionHash, Box<dyn Session>), CryptoError> {
        let key = self.transcript.word(3).finish();
        let (sending, receiving) = match self.stage {
            Stage::DialerDone => (key, !key),
            Stage::AcceptorDone => (!key, key),
            _ => return Err(CryptoError),
        };
        let mut hash = [0; 32];
        for (number, chunk) in (4..).zip(hash.chunks_exact_mut(8)) {
            chunk.copy_from_slice(&self.transcript.word(number).finish().to_le_bytes());
        }
        let session = NullSession { sending: Half::new(sending), receiving: Half::new(receiving) };
        Ok((SessionHash(hash), Box::new(session)))
    }
}

#[derive(Clone, Debug)]
struct NullSession {
    sending: Half,
    receiving: Half,
}

#[derive(Clone, Debug)]
struct Half {
    key: u64,
    counter: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Sound,
    Broken,
}

impl Half {
    const fn new(key: u64) -> Self {
        Self { key, counter: 0, state: State::Sound }
    }

    fn next_tag(&mut self, text: &[u8]) -> [u8; TAG] {
        let tag = Sum::new(self.key).word(self.counter).bytes(text).spread::<TAG>();
        self.counter += 1;
        tag
    }
}

impl Session for NullSession {
    fn seal(&mut self, buffer: &mut Vec<u8>, start: usize) {
        let tag = self.sending.next_tag(buffer.get(start..).unwrap_or_default());
        buffer.extend_from_slice(&tag);
    }

    fn open(&mut self, record: &mut [u8]) -> Result<usize, CryptoError> {
        let half = &mut self.receiving;
        let parts = record.len().checked_sub(TAG).and_then(|length| record.split_at_checked(length));
        match parts {
            Some((text, tag)) if half.state == State::Sound && tag == half.next_tag(text) => Ok(text.len()),
            _ => {
                half.state = State::Broken;
                Err(CryptoError)
            }
        }
    }
}
