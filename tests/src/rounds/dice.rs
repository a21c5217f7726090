//! Draws from a seed, or from bytes that somebody has chosen.

use timed_core::{Rng, Round};

/// A stream of draws.
#[derive(Debug)]
pub struct Dice {
    /// Decide first, the next one last.
    chosen: Vec<u8>,
    /// Decides when they are used up.
    rng: Rng,
}

impl Dice {
    /// The stream of a seed, or another one of the same seed.
    pub fn new(seed: u64, stream: u8) -> Self {
        let mut key = [stream; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self { chosen: Vec::new(), rng: Rng::new(key) }
    }

    /// The stream of these bytes, which then goes on as any.
    pub fn of(bytes: &[u8]) -> Self {
        Self { chosen: bytes.iter().rev().copied().collect(), rng: Rng::new([0; 32]) }
    }

    fn draw(&mut self, bound: u64) -> u64 {
        let Some(low) = self.chosen.pop() else { return self.rng.below(bound) };
        let high = if bound > 256 { self.chosen.pop().unwrap_or(0) } else { 0 };
        (u64::from(low) | u64::from(high) << 8).checked_rem(bound).unwrap_or(0)
    }

    /// A number below `bound`; 0 if there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.draw(bound as u64)).expect("it is below a usize")
    }

    /// As [`Dice::below`], for small numbers.
    pub fn small(&mut self, bound: u8) -> u8 {
        u8::try_from(self.draw(u64::from(bound))).expect("it is below a u8")
    }

    /// A round below `bound`.
    pub fn round(&mut self, bound: u32) -> Round {
        Round(u32::try_from(self.draw(u64::from(bound))).expect("it is below a u32"))
    }

    /// True `chances` times in `of`.
    pub fn falls(&mut self, chances: usize, of: usize) -> bool {
        self.below(of) < chances
    }

    /// One of the items, if there are any.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }
}
