//! An established channel: raw keys, counters and ChaCha20-Poly1305 in place.

use std::fmt;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use zeroize::{Zeroize, Zeroizing};

use super::{KEY, SecretKey};
use crate::crypto::{CryptoError, REKEY_EVERY, Session, TAG};

/// Two raw keys and two counters: what an idle link costs.
pub(super) struct NoiseSession {
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

impl NoiseSession {
    /// A session at its start, from the keys that a handshake gave.
    pub(super) const fn new(sending: SecretKey, receiving: SecretKey) -> Self {
        Self { sending: Half::new(sending), receiving: Half::new(receiving) }
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

pub(super) fn seal_in_place(
    key: &[u8; KEY],
    counter: u64,
    associated: &[u8],
    text: &mut [u8],
) -> Result<[u8; TAG], Unspecified> {
    let tag =
        cipher_key(key)?.seal_in_place_separate_tag(cipher_nonce(counter), Aad::from(associated), text)?;
    tag.as_ref().try_into().map_err(|_| Unspecified)
}

pub(super) fn open_in_place(
    key: &[u8; KEY],
    counter: u64,
    associated: &[u8],
    text: &mut [u8],
) -> Result<usize, Unspecified> {
    let opened = cipher_key(key)?.open_in_place(cipher_nonce(counter), Aad::from(associated), text)?;
    Ok(opened.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half(byte: u8) -> Half {
        Half::new(Zeroizing::new([byte; 32]))
    }

    fn session() -> NoiseSession {
        NoiseSession { sending: half(1), receiving: half(2) }
    }

    #[test]
    fn a_record_is_chacha20_poly1305_under_the_counter() {
        let mut session = session();
        let (mut first, mut second) = (b"text".to_vec(), b"text".to_vec());
        session.seal(&mut first, 0);
        session.seal(&mut second, 0);
        assert_ne!(first, second);
        for (counter, record) in [(0, first), (1, second)] {
            let mut text = b"text".to_vec();
            let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[1; 32]).unwrap());
            let nonce = Nonce::assume_unique_for_key([0, 0, 0, 0, counter, 0, 0, 0, 0, 0, 0, 0]);
            key.seal_in_place_append_tag(nonce, Aad::empty(), &mut text).unwrap();
            assert_eq!(record, text);
        }
    }

    /// `REKEY(k)` is the first 32 bytes of `ENCRYPT(k, 2^64-1, zerolen, zeros)`; the counter goes on.
    #[test]
    fn the_key_is_replaced_as_noise_defines_it() {
        let mut half = half(9);
        for _ in 1..REKEY_EVERY {
            half.advance().unwrap();
        }
        assert_eq!(*half.key, [9; 32]);
        half.advance().unwrap();
        assert_eq!(half.counter, REKEY_EVERY);

        let mut expected = vec![0; 32];
        let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[9; 32]).unwrap());
        let nonce =
            Nonce::assume_unique_for_key([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        key.seal_in_place_append_tag(nonce, Aad::empty(), &mut expected).unwrap();
        assert_eq!(half.key.as_slice(), &expected[..32]);
    }

    #[test]
    fn what_cannot_be_sealed_does_not_leave_in_clear() {
        let mut session = session();
        session.sending.counter = u64::MAX;
        let mut buffer = b"clear secret".to_vec();
        session.seal(&mut buffer, 6);
        assert_eq!(buffer, [b"clear ".as_slice(), &[0; 6], &[0; TAG]].concat());
        session.receiving.counter = u64::MAX;
        assert_eq!(session.open(&mut [0; 40]), Err(CryptoError));
    }

    #[test]
    fn a_session_is_two_keys_and_two_counters() {
        assert_eq!(size_of::<NoiseSession>(), 80);
    }
}
