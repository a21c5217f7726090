//! The primitives that snow works with: aws-lc's X25519 and ChaCha20-Poly1305, BLAKE2s, and no randomness.

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::error::Unspecified;
use blake2::{Blake2s256, Digest};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};

use super::session::{open_in_place, seal_in_place};
use super::{KEY, SecretKey};
use crate::crypto::TAG;

/// Gives snow our primitives.
pub(super) struct Resolver {
    /// The private key of this side, from the core's generator.
    pub(super) ephemeral: SecretKey,
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

/// Holds aws-lc's key object for the handshake: making it from raw bytes computes the public half each time.
#[derive(Default)]
struct X25519Dh {
    key: Option<PrivateKey>,
    private: SecretKey,
    public: [u8; KEY],
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
        let key =
            PrivateKey::from_private_key(&X25519, self.private.as_slice()).map_err(|_| snow::Error::Dh)?;
        let public = key.compute_public_key().map_err(|_| snow::Error::Dh)?;
        self.public = public.as_ref().try_into().map_err(|_| snow::Error::Dh)?;
        self.key = Some(key);
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
        agree(self.key.as_ref().ok_or(snow::Error::Dh)?, peer, snow::Error::Dh, |shared| {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ephemeral_is_given_once() {
        let resolver = Resolver { ephemeral: SecretKey::new([7; 32]) };
        let mut random = resolver.resolve_rng().unwrap();
        let mut key = [0; 32];
        random.try_fill_bytes(&mut key).unwrap();
        assert_eq!(key, [7; 32]);
        assert!(random.try_fill_bytes(&mut key).is_err());
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        text.as_bytes().chunks(2).map(digits).collect()
    }

    /// RFC 7748, section 6.1.
    #[test]
    fn x25519_agrees_with_its_specification() {
        let pair = |private: &str, public: &str| {
            let mut dh = X25519Dh::default();
            let private = hex(private).try_into().unwrap();
            dh.generate(&mut Given(Some(SecretKey::new(private)))).unwrap();
            assert_eq!(dh.pubkey(), hex(public));
            dh
        };
        let alice = pair(
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
        );
        let bob = pair(
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        );
        let mut shared = [0; 32];
        alice.dh(bob.pubkey(), &mut shared).unwrap();
        assert_eq!(shared[..], hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"));
        bob.dh(alice.pubkey(), &mut shared).unwrap();
        assert_eq!(shared[..], hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"));
    }

    /// From the vectors of cacophony, another implementation of Noise: its first payload is not empty, so
    /// this goes past the provider.
    #[test]
    fn a_handshake_agrees_with_another_implementation() {
        let prologue = hex("4a6f686e2047616c74");
        let build = |ephemeral: &str| {
            let ephemeral = SecretKey::new(hex(ephemeral).try_into().unwrap());
            let params = crate::crypto::noise::PATTERN.parse().unwrap();
            snow::Builder::with_resolver(params, Box::new(Resolver { ephemeral }))
                .prologue(&prologue)
                .unwrap()
        };
        let mut dialer = build("893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a")
            .build_initiator()
            .unwrap();
        let mut acceptor = build("bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b")
            .build_responder()
            .unwrap();
        let (mut message, mut payload) = ([0; 200], [0; 200]);
        let length = dialer.write_message(b"Ludwig von Mises", &mut message).unwrap();
        assert_eq!(
            message[..length],
            hex("ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944\
                 4c756477696720766f6e204d69736573")
        );
        acceptor.read_message(&message[..length], &mut payload).unwrap();
        let length = acceptor.write_message(b"Murray Rothbard", &mut message).unwrap();
        assert_eq!(
            message[..length],
            hex("95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843\
                 ff34a6759d06e7733c83aeb5556c15bc762b664b3ba0556b1e7eaea4168bb6")
        );
        dialer.read_message(&message[..length], &mut payload).unwrap();
        let hash = hex("a621e3943a29c1d984b43727697fbec096107d0b569031ac7e0f1131de19f4f4");
        assert_eq!((dialer.get_handshake_hash(), acceptor.get_handshake_hash()), (&hash[..], &hash[..]));

        // The third message is the dialer's first record.
        let split = dialer.dangerously_get_raw_split();
        let mut text = b"F. A. Hayek".to_vec();
        let tag = seal_in_place(&split.0, 0, &[], &mut text).unwrap();
        assert_eq!([&text[..], &tag].concat(), hex("79285da88da3535f52b07b70006c85706de7ddb1fd3dddac995b7e"));
        let mut text = b"Carl Menger".to_vec();
        let tag = seal_in_place(&split.1, 0, &[], &mut text).unwrap();
        assert_eq!([&text[..], &tag].concat(), hex("ffdad3a7f0db4c39077f223659c5c1d107666405566ecdf4ab53bf"));
    }

    /// BLAKE2s-256 of "abc": RFC 7693, appendix B.
    #[test]
    fn blake2s_agrees_with_its_specification() {
        let mut hash = Blake2sHash::default();
        let mut out = [0; 32];
        hash.input(b"to be dropped");
        hash.reset();
        hash.input(b"ab");
        hash.input(b"c");
        hash.result(&mut out);
        assert_eq!(out[..], hex("508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"));
    }

    #[test]
    fn the_handshake_cipher_opens_what_it_seals_and_nothing_else() {
        let mut cipher = ChaChaPoly::default();
        cipher.set(&[9; 32]);
        let mut sealed = [0; 20];
        assert_eq!(cipher.encrypt(5, b"with", b"text", &mut sealed), 20);
        let mut text = [0; 4];
        assert_eq!(cipher.decrypt(5, b"with", &sealed, &mut text), Ok(4));
        assert_eq!(&text, b"text");
        assert!(cipher.decrypt(6, b"with", &sealed, &mut text).is_err());
        assert!(cipher.decrypt(5, b"without", &sealed, &mut text).is_err());
        assert_eq!(cipher.encrypt(5, b"", b"text", &mut [0; 19]), 0, "no room for the tag");
    }
}
