//! The core's only source of randomness: one seeded stream, the same on every machine (contract C7).

use std::fmt;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};
use zeroize::Zeroizing;

/// A ChaCha20 stream from the seed given to [`Node::new`](crate::Node::new).
#[derive(Clone)]
pub struct Rng(ChaCha20Rng);

impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rng")
    }
}

/// Nothing: whoever has the stream knows what will be drawn.
impl serde::Serialize for Rng {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_unit()
    }
}

/// The stream of a replay: whatever it gives, the recorded draw is taken.
impl<'de> serde::Deserialize<'de> for Rng {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        <()>::deserialize(from).map(|()| Self::new([0; 32]))
    }
}

impl Rng {
    /// Starts the stream.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        Self(ChaCha20Rng::from_seed(*seed))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        crate::witness::drawn(self.0.next_u64())
    }

    /// Fills a buffer, for keys: no recorder hears of these.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }

    /// A number below `bound` (0 for a bound of 0), with a bias below 2⁻³² for bounds below 2³².
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// A duration from `low` to `high`, uniform to the nanosecond.
    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = u64::try_from(high.saturating_sub(low).as_nanos()).unwrap_or(u64::MAX);
        low + Duration::from_nanos(self.below(span.saturating_add(1)))
    }

    /// `around`, up to `percent` shorter or longer.
    pub fn jitter(&mut self, around: Duration, percent: u32) -> Duration {
        let swing = around * percent / 100;
        self.between(around.saturating_sub(swing), around + swing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_is_fixed_for_ever() {
        let mut rng = Rng::new([7; 32]);
        assert_eq!([rng.next_u64(), rng.next_u64()], Rng::new([7; 32]).two());
    }

    impl Rng {
        fn two(mut self) -> [u64; 2] {
            [self.next_u64(), self.next_u64()]
        }
    }

    #[test]
    fn jitter_stays_in_its_bounds() {
        let mut rng = Rng::new([1; 32]);
        for _ in 0..1000 {
            let drawn = rng.jitter(Duration::from_secs(5), 25);
            assert!((Duration::from_millis(3750)..=Duration::from_millis(6250)).contains(&drawn));
            assert!(rng.below(3) < 3);
        }
        assert_eq!(rng.below(0), 0);
    }
}
