//! A provider that notes every kind of message that comes out of its channels, and who sent it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use timed_core::crypto::{Authenticity, CryptoError, Handshake, Provider, Session, WeakKey};
use timed_core::wire::frame::{FrameKind, FrameReader};
use timed_core::wire::message::{Kind, Lane};
use timed_core::wire::record;
use timed_core::{NodeId, SessionHash, Signature};
use zeroize::Zeroizing;

/// Who sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// The end that dialed.
    Dialer,
    /// The end that accepted.
    Acceptor,
}

/// What all providers that share it have heard.
#[derive(Clone, Debug, Default)]
pub struct Overheard(Arc<Mutex<BTreeSet<(Kind, By)>>>);

impl Overheard {
    /// Kinds that nobody has heard from that end, of all that either end can say.
    #[must_use]
    pub fn missing(&self) -> Vec<(Kind, By)> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Only a dialer says the one, only an acceptor the other.
        let never = [(Kind::Hello, By::Acceptor), (Kind::HelloAck, By::Dialer)];
        let all = Kind::ALL.iter().flat_map(|kind| [(*kind, By::Dialer), (*kind, By::Acceptor)]);
        all.filter(|said| !never.contains(said) && !heard.contains(said)).collect()
    }

    fn note(&self, kind: Kind, by: By) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((kind, by));
    }
}

/// A provider whose channels are overheard.
#[derive(Debug)]
pub struct Overhearing {
    inner: Box<dyn Provider>,
    heard: Overheard,
}

impl Overhearing {
    /// `inner`, overheard.
    #[must_use]
    pub fn new(inner: Box<dyn Provider>, heard: Overheard) -> Self {
        Self { inner, heard }
    }

    fn handshake(&self, inner: Box<dyn Handshake>, by: By) -> Box<dyn Handshake> {
        Box::new(OverheardHandshake { inner, by, heard: self.heard.clone() })
    }
}

impl Provider for Overhearing {
    fn node_id(&self) -> NodeId {
        self.inner.node_id()
    }

    fn sign(&mut self, message: &[u8]) -> Signature {
        self.inner.sign(message)
    }

    fn verify(&mut self, signer: &NodeId, message: &[u8], signature: &Signature) -> Authenticity {
        self.inner.verify(signer, message, signature)
    }

    fn trust(&mut self, keys: &[NodeId]) -> Result<(), WeakKey> {
        self.inner.trust(keys)
    }

    fn initiate(&mut self, prologue: &[u8], ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        let inner = self.inner.initiate(prologue, ephemeral);
        self.handshake(inner, By::Acceptor)
    }

    fn respond(&mut self, prologue: &[u8], ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        let inner = self.inner.respond(prologue, ephemeral);
        self.handshake(inner, By::Dialer)
    }
}

#[derive(Debug)]
struct OverheardHandshake {
    inner: Box<dyn Handshake>,
    by: By,
    heard: Overheard,
}

impl Handshake for OverheardHandshake {
    fn write(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), CryptoError> {
        self.inner.write(payload, out)
    }

    fn read(&mut self, message: &[u8], payload: &mut Vec<u8>) -> Result<(), CryptoError> {
        self.inner.read(message, payload)
    }

    fn finish(self: Box<Self>) -> Result<(SessionHash, Box<dyn Session>), CryptoError> {
        let (hash, inner) = self.inner.finish()?;
        let session = OverheardSession { inner, by: self.by, heard: self.heard, readers: Default::default() };
        Ok((hash, Box::new(session)))
    }
}

#[derive(Debug)]
struct OverheardSession {
    inner: Box<dyn Session>,
    /// Who sends what this end opens.
    by: By,
    heard: Overheard,
    readers: [FrameReader; 4],
}

impl Session for OverheardSession {
    fn seal(&mut self, buffer: &mut Vec<u8>, start: usize) {
        self.inner.seal(buffer, start);
    }

    fn open(&mut self, record: &mut [u8]) -> Result<usize, CryptoError> {
        let length = self.inner.open(record)?;
        let plain = record.get(..length).unwrap_or_default();
        if let Some(lane) = plain.first().copied().and_then(Lane::from_byte) {
            let mut frames = record::frames(plain);
            while let Ok(Some((kind, _))) = self.readers[lane as usize].next(lane, &mut frames) {
                if let FrameKind::Known(kind) = kind {
                    self.heard.note(kind, self.by);
                }
            }
        }
        Ok(length)
    }
}
