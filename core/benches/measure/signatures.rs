//! A provider of cryptography that counts signatures: how many a protocol makes and verifies.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use timed_core::crypto::noise::NoiseProvider;
use timed_core::crypto::{Authenticity, Handshake, Provider, WeakKey};
use timed_core::{NodeId, Signature};
use zeroize::Zeroizing;

static MADE: AtomicU64 = AtomicU64::new(0);
static VERIFIED: AtomicU64 = AtomicU64::new(0);

/// Signatures made, and verified, by the whole process so far.
pub(crate) fn counted() -> (u64, u64) {
    (MADE.load(Relaxed), VERIFIED.load(Relaxed))
}

/// The production provider behind two counters.
#[derive(Debug)]
pub(crate) struct Counting(NoiseProvider);

impl Counting {
    pub(crate) const fn new(provider: NoiseProvider) -> Self {
        Self(provider)
    }
}

impl Provider for Counting {
    fn node_id(&self) -> NodeId {
        self.0.node_id()
    }

    fn sign(&mut self, message: &[u8]) -> Signature {
        MADE.fetch_add(1, Relaxed);
        self.0.sign(message)
    }

    fn verify(&mut self, signer: &NodeId, message: &[u8], signature: &Signature) -> Authenticity {
        VERIFIED.fetch_add(1, Relaxed);
        self.0.verify(signer, message, signature)
    }

    fn trust(&mut self, keys: &[NodeId]) -> Result<(), WeakKey> {
        self.0.trust(keys)
    }

    fn initiate(&mut self, prologue: &[u8], ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        self.0.initiate(prologue, ephemeral)
    }

    fn respond(&mut self, prologue: &[u8], ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake> {
        self.0.respond(prologue, ephemeral)
    }
}
