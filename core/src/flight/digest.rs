//! A running digest of what a node said: eight bytes of state a stream, fed field by field, so that it costs next to
//! nothing. It tells two runs apart; it is no protection against anybody.

use std::hash::{Hash, Hasher};

use crate::command::{Command, Transmit};
use crate::event::CloseReason;
use crate::ids::ConnId;
use crate::journal::RecordKey;

/// The digest so far, from the beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest {
    /// Of the commands, in their order.
    said: Sum,
    /// Of what was accepted and sent. A replay takes the commands later than the recorded run did, so the two are
    /// apart.
    sent: Sum,
    /// How many commands were taken since the last look.
    commands: u32,
    fed: bool,
}

/// Of pieces, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sum(u64);

impl Digest {
    /// Of nothing.
    pub(super) const NONE: Self = Self { said: Sum(0), sent: Sum(0), commands: 0, fed: false };

    /// How many commands there were since the last look, and a sum of everything so far; `None` if nothing was fed
    /// since.
    pub(super) fn look(&mut self) -> Option<(u32, u32)> {
        let sum = self.said.0 ^ self.sent.0.rotate_left(32);
        let folded = u32::try_from((sum ^ sum >> 32) & u64::from(u32::MAX)).unwrap_or(0);
        let commands = std::mem::take(&mut self.commands);
        std::mem::take(&mut self.fed).then_some((commands, folded))
    }

    pub(super) fn accepted(&mut self, accepted: Result<ConnId, CloseReason>) {
        self.fed = true;
        match accepted {
            Ok(conn) => conn.hash(&mut self.sent),
            Err(reason) => self.sent.word(u64::MAX ^ u64::from(reason.code())),
        }
    }

    /// What is about to be sealed.
    pub(super) fn plain(&mut self, bytes: &[u8]) {
        self.fed = true;
        self.sent.write(bytes);
    }

    pub(super) fn transmitted(&mut self, length: usize, left: Transmit) {
        self.fed = true;
        self.sent.word((length as u64) << 1 | u64::from(left == Transmit::More));
    }

    pub(super) fn command(&mut self, command: &Command) {
        self.fed = true;
        self.commands = self.commands.wrapping_add(1);
        let sum = &mut self.said;
        match command {
            Command::Dial { conn, addr } => (1_u8, conn, addr).hash(sum),
            Command::Send { conn } => (2_u8, conn).hash(sum),
            Command::Close { conn, reason } => (3_u8, conn, reason).hash(sum),
            Command::Reading { conn, reading } => (4_u8, conn, reading).hash(sum),
            // It holds the book's secret, which no recording has.
            Command::Persist { ticket, key: RecordKey::AddressBook, record } => {
                (5_u8, ticket, record.len()).hash(sum);
            }
            Command::Persist { ticket, key, record } => (6_u8, ticket, key, record).hash(sum),
            Command::Produce { height, round, slot, by, max_bytes, transactions } => {
                (7_u8, height, round, slot, by, max_bytes, transactions).hash(sum);
            }
            Command::Validate { block, height, payload, by } => (8_u8, block, height, payload, by).hash(sum),
            // The same block twice, once encoded.
            Command::Commit { ticket, hash, block: _, bytes, pace } => {
                (9_u8, ticket, hash, bytes, pace).hash(sum);
            }
            Command::Load { load, from, to, max_bytes } => (10_u8, load, from, to, max_bytes).hash(sum),
            Command::Resolve { seed } => (11_u8, seed).hash(sum),
            Command::Event(event) => (12_u8, event).hash(sum),
        }
    }
}

/// Odd, with as many ones as zeros.
const FACTOR: u128 = 0x9e37_79b9_7f4a_7c15;
const OTHER: u64 = 0xbf58_476d_1ce4_e5b9;

/// A product in which every bit of both depends on every bit of `word`.
#[allow(clippy::cast_possible_truncation)] // Both halves are taken.
const fn folded(word: u64) -> u64 {
    let wide = word as u128 * FACTOR;
    wide as u64 ^ (wide >> 64) as u64
}

impl Sum {
    const fn word(&mut self, word: u64) {
        self.0 = folded(self.0.rotate_left(23) ^ word ^ OTHER);
    }
}

impl Hasher for Sum {
    fn finish(&self) -> u64 {
        self.0
    }

    /// Takes the length too, so that two fields never run into each other. Two sums side by side: one waits for its
    /// product while the other's is made.
    fn write(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let (pairs, rest) = bytes.as_chunks::<16>();
        let mut beside = self.0 ^ OTHER;
        for pair in pairs {
            let [low, high] = halves(pair);
            self.0 = folded(self.0.rotate_left(23) ^ low);
            beside = folded(beside.rotate_left(29) ^ high);
        }
        let mut last = [0; 16];
        last.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
        let [low, high] = halves(&last);
        self.word(beside ^ low);
        if rest.len() > 8 {
            self.word(high);
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.word(u64::from(number));
    }

    fn write_u16(&mut self, number: u16) {
        self.word(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.word(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.word(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.word(number as u64);
    }
}

fn halves(bytes: &[u8; 16]) -> [u64; 2] {
    let wide = u128::from_le_bytes(*bytes);
    #[allow(clippy::cast_possible_truncation)] // Both halves are taken.
    [wide as u64, (wide >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn sum(pieces: &[&[u8]]) -> u64 {
        let mut sum = Sum(0);
        pieces.iter().for_each(|piece| sum.write(piece));
        sum.0
    }

    #[test]
    fn any_byte_and_any_cut_makes_another_sum() {
        for length in 0..70 {
            let bytes = vec![0; length];
            let mut sums = BTreeSet::from([sum(&[&bytes])]);
            for place in 0..length {
                for bit in 0..8 {
                    let mut flipped = bytes.clone();
                    flipped[place] ^= 1 << bit;
                    assert!(sums.insert(sum(&[&flipped])), "bit {bit} of byte {place} of {length}");
                }
            }
            for cut in 0..=length {
                assert!(sums.insert(sum(&[&bytes[..cut], &bytes[cut..]])), "{length} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_look_counts_from_the_last_one_and_sums_from_the_first() {
        let conn = ConnId::from_parts(1, 2);
        let mut digest = Digest::NONE;
        assert_eq!(digest.look(), None);
        digest.command(&Command::Send { conn });
        let first = digest.look().unwrap();
        digest.command(&Command::Send { conn });
        let second = digest.look().unwrap();
        assert_eq!((first.0, second.0, digest.look()), (1, 1, None));
        assert_ne!(first.1, second.1);
        digest.transmitted(0, Transmit::Drained);
        assert!(digest.look().is_some_and(|(commands, _)| commands == 0));
    }
}
