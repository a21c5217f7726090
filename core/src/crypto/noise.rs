//! Production cryptography: ed25519 identities and `Noise_NN_25519_ChaChaPoly_BLAKE2s` channels.
//!
//! Nothing here draws randomness: the ephemeral key is what the core's generator gave, so the same inputs give
//! the same bytes (contract C7).

use std::collections::BTreeMap;
use std::fmt;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

use crate::crypto::{
    Authenticity, CryptoError, HANDSHAKE_INIT, HANDSHAKE_REPLY_OVERHEAD, Handshake, Provider, Session,
    WeakKey,
};
use crate::ids::{NodeId, SessionHash, Signature};

mod resolver;
mod session;

use resolver::Resolver;
use session::NoiseSession;

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
        let session = NoiseSession::new(sending, receiving);
        Ok((SessionHash(hash), Box::new(session)))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use sha2::Digest;

    use super::*;

    fn provider(seed: u8) -> NoiseProvider {
        NoiseProvider::new(Zeroizing::new([seed; 32]))
    }

    /// The dialer's and the acceptor's end of a channel, the same at every call.
    pub(crate) fn channel() -> (Box<dyn Session>, Box<dyn Session>) {
        let mut dialer = provider(1).initiate(b"prologue", Zeroizing::new([3; 32]));
        let mut acceptor = provider(2).respond(b"prologue", Zeroizing::new([4; 32]));
        let (mut init, mut reply, mut payload) = (Vec::new(), Vec::new(), Vec::new());
        dialer.write(&[], &mut init).unwrap();
        acceptor.read(&init, &mut payload).unwrap();
        acceptor.write(b"payload", &mut reply).unwrap();
        dialer.read(&reply, &mut payload).unwrap();
        (dialer.finish().unwrap().1, acceptor.finish().unwrap().1)
    }

    #[test]
    fn keys_of_small_order_agree_on_nothing() {
        let hex = |text: &str| text.parse::<NodeId>().unwrap().0;
        let small_order = [
            [0; 32],
            hex("0100000000000000000000000000000000000000000000000000000000000000"),
            hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
            hex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
            hex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
            hex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
            hex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        ];
        for public in small_order {
            let mut acceptor = provider(2).respond(b"", Zeroizing::new([4; 32]));
            acceptor.read(&public, &mut Vec::new()).unwrap();
            assert_eq!(acceptor.write(b"", &mut Vec::new()), Err(CryptoError), "{public:?}");
            assert!(acceptor.finish().is_err());
        }
    }

    #[test]
    fn weak_and_invalid_identities_are_refused() {
        let mut provider = provider(1);
        let good = provider.node_id();
        let mut identity = [0; 32];
        identity[0] = 1;
        let off_curve = [2; 32];
        for bad in [[0; 32], identity, off_curve].map(NodeId) {
            assert_eq!(provider.trust(&[good, bad]), Err(WeakKey(bad)));
            assert!(provider.trusted.is_empty(), "a refused list replaces nothing");
        }
        provider.trust(&[good]).unwrap();
        provider.trust(&[]).unwrap();
        assert!(provider.trusted.is_empty(), "a new list replaces the old one");
    }

    /// Under a key of small order a plain verification accepts any message.
    #[test]
    fn verification_refuses_a_key_of_small_order() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut forged = [0; 64];
        forged[0] = 1;
        let key = VerifyingKey::from_bytes(&identity).unwrap();
        let signature = ed25519_dalek::Signature::from_bytes(&forged);
        assert!(ed25519_dalek::Verifier::verify(&key, b"anything", &signature).is_ok());
        let verdict = provider(1).verify(&NodeId(identity), b"anything", &Signature(forged));
        assert_eq!(verdict, Authenticity::Forged);
    }

    /// The owner of a key can make a signature whose nonce point is of small order: plain verification accepts
    /// it, other implementations do not, and nodes must not disagree.
    #[test]
    fn verification_refuses_a_nonce_of_small_order() {
        let mut crafter = provider(1);
        let (id, message) = (crafter.id, b"message");
        let mut crafted = [0; 64];
        crafted[0] = 1;
        let secret = crafter.signing.to_scalar();
        let one = secret * secret.invert();
        let hash = sha2::Sha512::new().chain_update(&crafted[..32]).chain_update(id.0).chain_update(message);
        let mut challenge = one - one;
        for byte in hash.finalize().iter().rev() {
            for bit in (0..8).rev() {
                challenge += challenge;
                if byte >> bit & 1 == 1 {
                    challenge += one;
                }
            }
        }
        crafted[32..].copy_from_slice((challenge * secret).as_bytes());
        let signature = ed25519_dalek::Signature::from_bytes(&crafted);
        assert!(ed25519_dalek::Verifier::verify(&crafter.signing, message, &signature).is_ok());
        assert_eq!(crafter.verify(&id, message, &Signature(crafted)), Authenticity::Forged);
        crafter.trust(&[id]).unwrap();
        assert_eq!(crafter.verify(&id, message, &Signature(crafted)), Authenticity::Forged);
    }

    #[test]
    fn secrets_are_not_printed() {
        let seed = format!("{:?}", [1u8; 32]);
        let text = format!(
            "{:?} {:?} {:?}",
            provider(1),
            provider(1).initiate(b"", Zeroizing::new([1; 32])),
            channel().0
        );
        assert!(!text.contains(&seed[1..8]) && !text.contains("01010101"), "{text}");
    }
}
