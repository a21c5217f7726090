//! Production cryptography: ed25519 identities and `Noise_NN_25519_ChaChaPoly_BLAKE2s` channels.
//!
//! Nothing here draws randomness: the ephemeral key is what the core's generator gave, so the same inputs give
//! the same bytes (contract C7).

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::error::Unspecified;
use blake2::{Blake2s256, Digest};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};
use zeroize::{Zeroize, Zeroizing};

use crate::crypto::{
    Authenticity, CryptoError, HANDSHAKE_INIT, HANDSHAKE_REPLY_OVERHEAD, Handshake, Provider, REKEY_EVERY,
    Session, TAG, WeakKey,
};
use crate::ids::{NodeId, SessionHash, Signature};

const PATTERN: &str = "Noise_NN_25519_ChaChaPoly_BLAKE2s";
/// Length of an X25519 key and of a ChaCha20-Poly1305 key.
const KEY: usize = 32;

type SecretKey = Zeroizing<[u8; KEY]>;

/// The provider of a real node.
pub struct NoiseProvider {
    signing: SigningKey,
    id: NodeId,
    /// Decompressed keys of the registry: verifying with them spares some 6 µs a signature.
    trusted: BTreeMap<NodeId, VerifyingKey>,
}

impl NoiseProvider {
    /// A provider that signs with the ed25519 key of this 32-byte seed.
    #[must_use]
    #[allow(clippy::needless_pass_by_value)] // Taken so that the caller's copy is wiped.
    pub fn new(secret: SecretKey) -> Self {
        let signing = SigningKey::from_bytes(&secret);
        let id = NodeId(signing.verifying_key().to_bytes());
        Self { signing, id, trusted: BTreeMap::new() }
    }
}

impl fmt::Debug for NoiseProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoiseProvider").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Provider for NoiseProvider {
    fn node_id(&self) -> NodeId {
        self.id
    }

    fn sign(&mut self, message: &[u8]) -> Signature {
        Signature(self.signing.sign(message).to_bytes())
    }

    fn verify(&mut self, signer: &NodeId, message: &[u8], signature: &Signature) -> Authenticity {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        let verdict = match self.trusted.get(signer) {
            Some(key) => key.verify_strict(message, &signature),
            None => {
                VerifyingKey::from_bytes(&signer.0).and_then(|key| key.verify_strict(message, &signature))
            }
        };
        if verdict.is_ok() { Authenticity::Genuine } else { Authenticity::Forged }
    }

    fn trust(&mut self, keys: &[NodeId]) -> Result<(), WeakKey> {
        let mut trusted = BTreeMap::new();
        for id in keys {
            match VerifyingKey::from_bytes(&id.0) {
                Ok(key) if !key.is_weak() => trusted.insert(*id, key),
                _ => return Err(WeakKey(*id)),
            };
        }
        self.trusted = trusted;
        Ok(())
    }

    fn initiate(&mut self, prologue: &[u8], ephemeral: SecretKey) -> Box<dyn Handshake> {
        Box::new(NoiseHandshake::new(Side::Dialer, prologue, ephemeral))
    }

    fn respond(&mut self, prologue: &[u8], ephemeral: SecretKey) -> Box<dyn Handshake> {
        Box::new(NoiseHandshake::new(Side::Acceptor, prologue, ephemeral))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Dialer,
    Acceptor,
}

struct NoiseHandshake {
    side: Side,
    /// Gone after the first error: a failed handshake is not tried again on the same connection.
    state: Option<Box<HandshakeState>>,
}

impl fmt::Debug for NoiseHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoiseHandshake").field("side", &self.side).finish_non_exhaustive()
    }
}

impl NoiseHandshake {
    fn new(side: Side, prologue: &[u8], ephemeral: SecretKey) -> Self {
        let build = || {
            let builder = Builder::with_resolver(PATTERN.parse()?, Box::new(Resolver { ephemeral }));
            let builder = builder.prologue(prologue)?;
            match side {
                Side::Dialer => builder.build_initiator(),
                Side::Acceptor => builder.build_responder(),
            }
        };
        Self { side, state: build().ok().map(Box::new) }
    }

    /// Runs one step; an error ends the handshake.
    fn step<T>(
        &mut self,
        step: impl FnOnce(&mut HandshakeState) -> Result<T, CryptoError>,
    ) -> Result<T, CryptoError> {
        let result = self.state.as_mut().ok_or(CryptoError).and_then(|state| step(state));
        if result.is_err() {
            self.state = None;
        }
        result
    }
}

impl Handshake for NoiseHandshake {
    fn write(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), CryptoError> {
        let side = self.side;
        self.step(|state| {
            // The dialer's payload would travel in clear.
            if side == Side::Dialer && !payload.is_empty() {
                return Err(CryptoError);
            }
            let start = out.len();
            out.resize(start + HANDSHAKE_REPLY_OVERHEAD + payload.len(), 0);
            let place = out.get_mut(start..).unwrap_or_default();
            let written = state.write_message(payload, place);
            out.truncate(start + written.as_ref().map_or(0, |length| *length));
            written.map(|_| ()).map_err(|_| CryptoError)
        })
    }

    fn read(&mut self, message: &[u8], payload: &mut Vec<u8>) -> Result<(), CryptoError> {
        let side = self.side;
        self.step(|state| {
            if side == Side::Acceptor && message.len() != HANDSHAKE_INIT {
                return Err(CryptoError);
            }
            let start = payload.len();
            payload.resize(start + message.len(), 0);
            let place = payload.get_mut(start..).unwrap_or_default();
            let read = state.read_message(message, place);
            payload.truncate(start + read.as_ref().map_or(0, |length| *length));
            read.map(|_| ()).map_err(|_| CryptoError)
        })
    }

    fn finish(self: Box<Self>) -> Result<(SessionHash, Box<dyn Session>), CryptoError> {
        let mut state = self.state.filter(|state| state.is_handshake_finished()).ok_or(CryptoError)?;
        let hash = state.get_handshake_hash().try_into().map_err(|_| CryptoError)?;
        let (dialer, acceptor) = state.dangerously_get_raw_split();
        let (dialer, acceptor) = (Zeroizing::new(dialer), Zeroizing::new(acceptor));
        let (sending, receiving) = match self.side {
            Side::Dialer => (dialer, acceptor),
            Side::Acceptor => (acceptor, dialer),
        };
        let session = NoiseSession { sending: Half::new(sending), receiving: Half::new(receiving) };
        Ok((SessionHash(hash), Box::new(session)))
    }
}

/// Two raw keys and two counters: what an idle link costs.
struct NoiseSession {
    sending: Half,
    receiving: Half,
}

impl fmt::Debug for NoiseSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoiseSession")
            .field("sealed", &self.sending.counter)
            .field("opened", &self.receiving.counter)
            .finish_non_exhaustive()
    }
}

/// One direction of a session.
struct Half {
    key: SecretKey,
    /// Records so far, which is the next nonce; `u64::MAX` is the nonce of rekeying and never a record's.
    counter: u64,
}

impl Half {
    const fn new(key: SecretKey) -> Self {
        Self { key, counter: 0 }
    }

    /// The nonce of the next record.
    fn nonce(&self) -> Result<u64, Unspecified> {
        if self.counter == u64::MAX { Err(Unspecified) } else { Ok(self.counter) }
    }

    /// Counts a record, and replaces the key when it has served its time.
    fn advance(&mut self) -> Result<(), Unspecified> {
        self.counter += 1;
        if self.counter.is_multiple_of(REKEY_EVERY) {
            let mut next = Zeroizing::new([0; KEY]);
            seal_in_place(&self.key, u64::MAX, &[], next.as_mut_slice())?;
            self.key = next;
        }
        Ok(())
    }

    /// Makes every further use fail.
    fn poison(&mut self) {
        self.key.zeroize();
        self.counter = u64::MAX;
    }
}

impl Session for NoiseSession {
    fn seal(&mut self, buffer: &mut Vec<u8>, start: usize) {
        let half = &mut self.sending;
        let sealed = half.nonce().and_then(|nonce| {
            let tag = seal_in_place(&half.key, nonce, &[], buffer.get_mut(start..).unwrap_or_default())?;
            half.advance()?;
            Ok(tag)
        });
        match sealed {
            Ok(tag) => buffer.extend_from_slice(&tag),
            // Not reachable with the sizes of a record. What cannot be sealed must not leave in clear.
            Err(Unspecified) => {
                half.poison();
                buffer.iter_mut().skip(start).for_each(|byte| *byte = 0);
                buffer.extend_from_slice(&[0; TAG]);
            }
        }
    }

    fn open(&mut self, record: &mut [u8]) -> Result<usize, CryptoError> {
        let half = &mut self.receiving;
        let opened = half.nonce().and_then(|nonce| {
            let length = open_in_place(&half.key, nonce, &[], record)?;
            half.advance()?;
            Ok(length)
        });
        opened.map_err(|Unspecified| {
            half.poison();
            CryptoError
        })
    }
}

/// A key object of aws-lc lives for one message only: it is ten times the size of the key.
fn cipher_key(key: &[u8; KEY]) -> Result<LessSafeKey, Unspecified> {
    UnboundKey::new(&CHACHA20_POLY1305, key).map(LessSafeKey::new)
}

/// Four zero bytes ‖ the counter, little-endian, as Noise has it.
fn cipher_nonce(counter: u64) -> Nonce {
    let [a, b, c, d, e, f, g, h] = counter.to_le_bytes();
    Nonce::assume_unique_for_key([0, 0, 0, 0, a, b, c, d, e, f, g, h])
}

fn seal_in_place(
    key: &[u8; KEY],
    counter: u64,
    associated: &[u8],
    text: &mut [u8],
) -> Result<[u8; TAG], Unspecified> {
    let tag =
        cipher_key(key)?.seal_in_place_separate_tag(cipher_nonce(counter), Aad::from(associated), text)?;
    tag.as_ref().try_into().map_err(|_| Unspecified)
}

fn open_in_place(
    key: &[u8; KEY],
    counter: u64,
    associated: &[u8],
    text: &mut [u8],
) -> Result<usize, Unspecified> {
    let opened = cipher_key(key)?.open_in_place(cipher_nonce(counter), Aad::from(associated), text)?;
    Ok(opened.len())
}

/// Gives snow our primitives.
struct Resolver {
    ephemeral: SecretKey,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Given(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            DHChoice::Curve25519 => Some(Box::new(X25519Dh::default())),
            DHChoice::Curve448 => None,
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        match choice {
            HashChoice::Blake2s => Some(Box::new(Blake2sHash::default())),
            _ => None,
        }
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        match choice {
            CipherChoice::ChaChaPoly => Some(Box::new(ChaChaPoly::default())),
            _ => None,
        }
    }
}

/// "Randomness" that is the one ephemeral key it was given, once.
struct Given(Option<SecretKey>);

impl Random for Given {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        let given = self.0.take().ok_or(snow::Error::Rng)?;
        if dest.len() != given.len() {
            return Err(snow::Error::Rng);
        }
        dest.copy_from_slice(given.as_slice());
        Ok(())
    }
}

#[derive(Default)]
struct X25519Dh {
    private: SecretKey,
    public: [u8; KEY],
}

impl X25519Dh {
    fn key(&self) -> Result<PrivateKey, snow::Error> {
        PrivateKey::from_private_key(&X25519, self.private.as_slice()).map_err(|_| snow::Error::Dh)
    }
}

impl Dh for X25519Dh {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        KEY
    }

    fn priv_len(&self) -> usize {
        KEY
    }

    /// For static keys, of which NN has none.
    fn set(&mut self, _: &[u8]) {}

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        rng.try_fill_bytes(self.private.as_mut_slice())?;
        let public = self.key()?.compute_public_key().map_err(|_| snow::Error::Dh)?;
        self.public = public.as_ref().try_into().map_err(|_| snow::Error::Dh)?;
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        self.private.as_slice()
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let (public, out) = pubkey.get(..KEY).zip(out.get_mut(..KEY)).ok_or(snow::Error::Dh)?;
        let peer = UnparsedPublicKey::new(&X25519, public);
        agree(&self.key()?, peer, snow::Error::Dh, |shared| {
            // Keys of small order give zero with every private key: nothing would be agreed on.
            if shared.len() != KEY || shared.iter().all(|byte| *byte == 0) {
                return Err(snow::Error::Dh);
            }
            out.copy_from_slice(shared);
            Ok(())
        })
    }
}

#[derive(Default)]
struct Blake2sHash(Blake2s256);

impl Hash for Blake2sHash {
    fn name(&self) -> &'static str {
        "BLAKE2s"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Blake2s256::default();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let hash = self.0.finalize_reset();
        for (to, from) in out.iter_mut().zip(hash) {
            *to = from;
        }
    }
}

/// The cipher of the handshake itself; records are sealed by [`NoiseSession`].
#[derive(Default)]
struct ChaChaPoly(SecretKey);

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; KEY]) {
        self.0.copy_from_slice(key);
    }

    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let Some((text, rest)) = out.split_at_mut_checked(plaintext.len()) else { return 0 };
        let Some(tag_place) = rest.get_mut(..TAG) else { return 0 };
        text.copy_from_slice(plaintext);
        match seal_in_place(&self.0, nonce, authtext, text) {
            Ok(tag) => {
                tag_place.copy_from_slice(&tag);
                plaintext.len() + TAG
            }
            Err(Unspecified) => {
                text.fill(0);
                0
            }
        }
    }

    fn decrypt(
        &self,
        nonce: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, snow::Error> {
        let mut text = ciphertext.to_vec();
        let length = open_in_place(&self.0, nonce, authtext, &mut text).map_err(|_| snow::Error::Decrypt)?;
        let (from, to) = text.get(..length).zip(out.get_mut(..length)).ok_or(snow::Error::Decrypt)?;
        to.copy_from_slice(from);
        Ok(length)
    }
}
