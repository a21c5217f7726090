//! A checksum that is quick and depends on nothing: for cryptography that protects nothing, and for what two runs of a
//! seed must share.

use std::fmt::{self, Write as _};

/// A running 64-bit checksum, eight bytes a step. Not a hash to trust, but every bit of the input counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sum(u64);

impl Sum {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) const fn word(self, word: u64) -> Self {
        Self((self.0.rotate_left(23) ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (self.0 >> 29))
    }

    /// Takes the length too, so that two fields never run into each other.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let mut sum = self.word(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks();
        for word in words {
            sum = sum.word(u64::from_le_bytes(*word));
        }
        if rest.is_empty() {
            return sum;
        }
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        sum.word(u64::from_le_bytes(word))
    }

    /// Takes what something is when it is written out.
    pub(crate) fn spell(&mut self, what: &impl fmt::Display) {
        // Counting cannot fail.
        let _ = write!(Speller(self), "{what}");
    }

    pub(crate) const fn finish(self) -> u64 {
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// As many bytes as are wanted.
    pub(crate) fn spread<const N: usize>(self) -> [u8; N] {
        let mut bytes = [0; N];
        for (number, chunk) in (1..).zip(bytes.chunks_mut(8)) {
            let word = self.word(number).finish().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        bytes
    }
}

struct Speller<'a>(&'a mut Sum);

impl fmt::Write for Speller<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        *self.0 = self.0.bytes(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_its_place_and_the_bounds_of_fields_count() {
        let text: Vec<u8> = (0..37).collect();
        let sum = Sum::new(1).bytes(&text).finish();
        for place in 0..text.len() {
            for bit in 0..8 {
                let mut other = text.clone();
                other[place] ^= 1 << bit;
                assert_ne!(Sum::new(1).bytes(&other).finish(), sum, "{place}.{bit}");
            }
            let (head, tail) = text.split_at(place);
            assert_ne!(Sum::new(1).bytes(head).bytes(tail).finish(), sum, "{place}");
        }
        assert_ne!(Sum::new(1).bytes(&[0]).finish(), Sum::new(1).bytes(&[0, 0]).finish());
        assert_ne!(Sum::new(2).bytes(&text).finish(), sum);
    }
}
