//! The cryptography that nobody can do without, called directly: what the costs of the core are judged by.

use std::hint::black_box;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

/// Bytes that a signature of the handshake covers, about.
const SIGNED: usize = 256;
/// Length prefix of a record, as on the wire.
pub(crate) const PREFIX: usize = 2;
/// What sealing adds.
pub(crate) const TAG: usize = 16;

/// An identity, and a message signed with it.
pub(crate) struct Identity {
    key: SigningKey,
    public: VerifyingKey,
    message: Vec<u8>,
    signature: Signature,
}

impl Identity {
    /// Of a number, with a message as long as a signature of the handshake covers.
    pub(crate) fn new(seed: u8) -> Self {
        Self::signing(seed, SIGNED)
    }

    /// Of a number, with a message of `length` bytes.
    pub(crate) fn signing(seed: u8, length: usize) -> Self {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let message = vec![seed; length];
        Self { public: key.verifying_key(), signature: key.sign(&message), key, message }
    }

    /// Signs once.
    pub(crate) fn sign(&self) {
        black_box(self.key.sign(black_box(&self.message)));
    }

    /// Verifies once, strictly, with the key already expanded.
    pub(crate) fn verify(&self) {
        self.public.verify_strict(black_box(&self.message), &self.signature).expect("it is genuine");
    }
}

/// One side of a key agreement: a new key, its public half, and the secret shared with another.
pub(crate) fn agree_once(seed: &[u8; 32], peer: &[u8; 32]) -> [u8; 32] {
    let key = PrivateKey::from_private_key(&X25519, seed).expect("any 32 bytes are a key");
    black_box(key.compute_public_key().expect("a key has a public half"));
    agree(&key, UnparsedPublicKey::new(&X25519, peer), (), |secret| secret.try_into().map_err(|_| ()))
        .expect("a good key")
}

/// The public half of a key.
pub(crate) fn public(seed: &[u8; 32]) -> [u8; 32] {
    let key = PrivateKey::from_private_key(&X25519, seed).expect("any 32 bytes are a key");
    key.compute_public_key().expect("a key has a public half").as_ref().try_into().expect("32 bytes")
}

/// One direction of a channel with its key object kept: the cheapest way to seal and open.
pub(crate) struct Channel {
    key: LessSafeKey,
    sealed: u64,
    opened: u64,
}

impl Channel {
    /// A channel of a fixed key.
    pub(crate) fn new() -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).expect("32 bytes are a key");
        Self { key: LessSafeKey::new(key), sealed: 0, opened: 0 }
    }

    /// Appends one record to `out`: length prefix, `plaintext` sealed, tag.
    pub(crate) fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) {
        let length = u16::try_from(plaintext.len() + TAG).expect("a record is below 64 KiB");
        out.extend_from_slice(&length.to_le_bytes());
        let start = out.len();
        out.extend_from_slice(plaintext);
        let nonce = nonce(self.sealed);
        self.sealed += 1;
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::empty(), &mut out[start..])
            .expect("the size is a record's");
        out.extend_from_slice(tag.as_ref());
    }

    /// Opens the sealed part of one record in place.
    pub(crate) fn open<'r>(&mut self, record: &'r mut [u8]) -> &'r [u8] {
        let nonce = nonce(self.opened);
        self.opened += 1;
        self.key.open_in_place(nonce, Aad::empty(), record).expect("it was sealed in this order")
    }

    /// Opens every record of `bytes` in place; returns how many. All of them must be complete.
    pub(crate) fn open_all(&mut self, mut bytes: &mut [u8]) -> usize {
        let mut records = 0;
        while let Some((prefix, rest)) = bytes.split_first_chunk_mut::<PREFIX>() {
            let (record, rest) = rest.split_at_mut(usize::from(u16::from_le_bytes(*prefix)));
            black_box(self.open(record));
            bytes = rest;
            records += 1;
        }
        records
    }
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}
