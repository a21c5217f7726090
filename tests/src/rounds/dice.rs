//! Draws from a seed.

use timed_core::{Rng, Round};

/// A stream of draws.
#[derive(Debug)]
pub struct Dice(Rng);

impl Dice {
    /// The stream of a seed, or another one of the same seed.
    pub fn new(seed: u64, stream: u8) -> Self {
        let mut key = [stream; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self(Rng::new(key))
    }

    /// A number below `bound`; 0 if there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.0.below(bound as u64)).expect("it is below a usize")
    }

    /// As [`Dice::below`], for small numbers.
    pub fn small(&mut self, bound: u8) -> u8 {
        u8::try_from(self.0.below(u64::from(bound))).expect("it is below a u8")
    }

    /// A round below `bound`.
    pub fn round(&mut self, bound: u32) -> Round {
        Round(u32::try_from(self.0.below(u64::from(bound))).expect("it is below a u32"))
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
