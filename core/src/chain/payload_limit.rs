//! How large a payload a leader asks for, so that what it proposes arrives within its round.

use crate::ids::Round;

/// However slow the links are, a payload may have so many bytes.
const LEAST_PAYLOAD: usize = 16 * 1024;
/// Halvings that are remembered from one height to the next: more change nothing.
const MOST_HALVINGS: u32 = 6;

/// How large a payload a leader asks for. A missing leader costs one round. If two have failed, what was proposed
/// may be more than the links bear in a round, while each round adds another payload to what is still on its way:
/// from then on it is half as much each round, which is sooner than the time-outs grow. The next height begins
/// with what was enough, and each that needs no second round allows twice as much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct PayloadLimit {
    halvings: u32,
}

impl PayloadLimit {
    /// A block is final that was decided in this round.
    pub(crate) fn decided(&mut self, round: Round) {
        self.halvings = match round.0 {
            0 => self.halvings.saturating_sub(1),
            later => self.halvings.saturating_add(later - 1).min(MOST_HALVINGS),
        };
    }

    /// How many bytes a payload may have in this round, where `most` are allowed.
    pub(crate) fn bytes(self, most: usize, round: Round) -> usize {
        let halvings = self.halvings.saturating_add(round.0.saturating_sub(1));
        most.checked_shr(halvings).unwrap_or(0).max(LEAST_PAYLOAD).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prod_05_a_payload_shrinks_when_rounds_fail() {
        let fresh = PayloadLimit::default();
        let limits = [0, 1, 2, 3, 7, 8, 63, 64, u32::MAX].map(|round| fresh.bytes(1 << 20, Round(round)));
        assert_eq!(limits, [20, 20, 19, 18, 14, 14, 14, 14, 14].map(|bits| 1 << bits));
        for most in [0, 1, LEAST_PAYLOAD - 1, LEAST_PAYLOAD] {
            assert_eq!([0, 1, 2, u32::MAX].map(|round| fresh.bytes(most, Round(round))), [most; 4]);
        }
    }

    #[test]
    fn prod_05_a_payload_grows_again_when_no_round_fails() {
        let mut limit = PayloadLimit::default();
        let mut after = |round| {
            limit.decided(Round(round));
            limit.bytes(1 << 20, Round(0))
        };
        let limits = [4, 1, 0, 0, 0, 0, u32::MAX, 0].map(&mut after);
        assert_eq!(limits, [17, 17, 18, 19, 20, 20, 14, 15].map(|bits| 1 << bits));
    }
}
