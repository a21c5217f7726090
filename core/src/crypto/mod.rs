//! Cryptography as a provider given at construction: Noise and ed25519 in production, a null provider in
//! the tests. The machines above see bytes, keys' names and verdicts, never a secret.

use std::fmt;

use zeroize::Zeroizing;

use crate::ids::{NodeId, SessionHash, Signature};

pub mod noise;
mod witnessed;

pub(crate) use witnessed::{replayed_handshake, replayed_provider, replayed_session, witnessed};

/// Length of the dialer's first handshake message: an ephemeral key.
pub const HANDSHAKE_INIT: usize = 32;
/// Length that the acceptor's handshake message adds to its payload: an ephemeral key and a tag.
pub const HANDSHAKE_REPLY_OVERHEAD: usize = 48;
/// Length of the tag at the end of a sealed record.
pub const TAG: usize = 16;
/// Records of one direction after which its key is replaced (Noise `REKEY`).
pub const REKEY_EVERY: u64 = 1 << 14;

/// A public key that must not be trusted: not on the curve, or of small order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key {0} is invalid or weak")]
pub struct WeakKey(pub NodeId);

/// A handshake message or a record that is not what it should be. Says nothing more on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cryptographic check failed")]
pub struct CryptoError;

/// Whether a signature is its claimed signer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Authenticity {
    /// It is.
    Genuine,
    /// It is not, or the key is unusable.
    Forged,
}

/// Signs, verifies and opens channels for one node.
pub trait Provider: fmt::Debug + Send {
    /// The key that this provider signs with.
    fn node_id(&self) -> NodeId;

    /// Signs domain-separated bytes.
    fn sign(&mut self, message: &[u8]) -> Signature;

    /// Checks a signature, strictly: every node must come to the same verdict.
    fn verify(&mut self, signer: &NodeId, message: &[u8], signature: &Signature) -> Authenticity;

    /// Prepares keys that will be verified often. At most 128 are kept; a new call replaces them.
    ///
    /// # Errors
    /// Names the first key that is invalid or weak.
    fn trust(&mut self, keys: &[NodeId]) -> Result<(), WeakKey>;

    /// Begins the dialer's side of a handshake. `ephemeral` comes from the core's generator.
    fn initiate(&mut self, prologue: &[u8], ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake>;

    /// Begins the acceptor's side of a handshake.
    fn respond(&mut self, prologue: &[u8], ephemeral: Zeroizing<[u8; 32]>) -> Box<dyn Handshake>;
}

/// A handshake of two messages: the dialer writes, the acceptor reads and writes, the dialer reads.
pub trait Handshake: fmt::Debug + Send {
    /// Appends this side's message with `payload` to `out`: [`HANDSHAKE_INIT`] bytes from the dialer (whose
    /// payload is empty), [`HANDSHAKE_REPLY_OVERHEAD`] plus the payload from the acceptor.
    ///
    /// # Errors
    /// If it is not this side's turn, or the peer's key was unusable.
    fn write(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), CryptoError>;

    /// Reads the other side's message and appends its payload to `payload`.
    ///
    /// # Errors
    /// If the message is malformed or does not authenticate.
    fn read(&mut self, message: &[u8], payload: &mut Vec<u8>) -> Result<(), CryptoError>;

    /// Ends the handshake after both messages.
    ///
    /// # Errors
    /// If a message is missing.
    fn finish(self: Box<Self>) -> Result<(SessionHash, Box<dyn Session>), CryptoError>;
}

/// An established channel. Holds raw keys only (zeroized when dropped); counts records for both directions
/// and replaces each direction's key every [`REKEY_EVERY`] records.
pub trait Session: fmt::Debug + Send {
    /// Seals `buffer[start..]` in place and appends the tag.
    fn seal(&mut self, buffer: &mut Vec<u8>, start: usize);

    /// Opens a sealed record in place: the plaintext is the first `returned` bytes of `record`.
    ///
    /// # Errors
    /// If it does not authenticate; the channel is unusable from then on.
    fn open(&mut self, record: &mut [u8]) -> Result<usize, CryptoError>;
}
