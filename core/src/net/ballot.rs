//! Which of two links of a pair survives (rules B-1 to B-5): a totally ordered value made of facts that both
//! ends signed, and one register a peer that holds the highest ever live.

use std::time::Duration;

use crate::ids::{BootEpoch, DialOrdinal, NodeId, SessionHash};
use crate::time::Mono;
use crate::wire::message::{Ballot, DialerRank};

/// An ordinal further ahead of the known one than this is refused (rule B-4).
pub const MAX_ORDINAL_LEAD: u64 = 1 << 20;

/// The facts of one end that enter a ballot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// The node.
    pub id: NodeId,
    /// Its boot epoch as it signed it in this handshake.
    pub epoch: BootEpoch,
}

/// Builds the ballot of a link; the same at both ends, whichever is `a`.
#[must_use]
pub fn ballot(a: Party, b: Party, ordinal: DialOrdinal, dialer: DialerRank, session: SessionHash) -> Ballot {
    let (low, high) = if a.id < b.id { (a, b) } else { (b, a) };
    Ballot { epochs: (low.epoch, high.epoch), ordinal, dialer, session }
}

/// Whether a link that becomes live may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It stands, and replaces what was there.
    Admit,
    /// It is the one that closes.
    Refuse,
}

/// The highest ballot ever live with one peer; forgotten once no link of the pair has been live for twice the
/// handshake time-out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Register {
    highest: Option<Ballot>,
    /// Set while no link is live.
    expires: Option<Mono>,
}

impl Register {
    /// The register's content at `now`.
    #[must_use]
    pub fn get(&self, now: Mono) -> Option<Ballot> {
        if self.expires.is_some_and(|at| now >= at) { None } else { self.highest }
    }

    /// Judges a link about to become live (rule B-2): admitted if and only if its ballot is above the register.
    #[must_use]
    pub fn judge(&self, now: Mono, candidate: &Ballot) -> Admission {
        match self.get(now) {
            Some(highest) if *candidate <= highest => Admission::Refuse,
            _ => Admission::Admit,
        }
    }

    /// A link became live.
    pub fn raise(&mut self, ballot: Ballot) {
        self.highest = Some(ballot);
        self.expires = None;
    }

    /// The pair's last live link ended.
    pub fn release(&mut self, now: Mono, handshake_timeout: Duration) {
        self.expires = Some(now + handshake_timeout * 2);
    }
}

/// Whether a dial ordinal is plausible (rule B-4).
#[must_use]
pub const fn ordinal_plausible(known: DialOrdinal, told: DialOrdinal) -> bool {
    told.0 <= known.0.saturating_add(MAX_ORDINAL_LEAD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(epochs: (u64, u64), ordinal: u64, dialer: DialerRank, session: u8) -> Ballot {
        Ballot {
            epochs: (BootEpoch(epochs.0), BootEpoch(epochs.1)),
            ordinal: DialOrdinal(ordinal),
            dialer,
            session: SessionHash([session; 32]),
        }
    }

    #[test]
    fn compared_in_order_of_their_facts() {
        use DialerRank::{Canonical, Other};
        let rising = [
            at((1, 1), 9, Canonical, 9),
            at((1, 2), 1, Other, 1),
            at((2, 2), 1, Other, 1),
            at((2, 2), 1, Canonical, 1),
            at((2, 2), 1, Canonical, 2),
            at((2, 2), 2, Other, 1),
        ];
        assert!(rising.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn same_at_both_ends() {
        let a = Party { id: NodeId([1; 32]), epoch: BootEpoch(10) };
        let b = Party { id: NodeId([2; 32]), epoch: BootEpoch(20) };
        let make = |x, y| ballot(x, y, DialOrdinal(3), DialerRank::Other, SessionHash([7; 32]));
        assert_eq!(make(a, b), make(b, a));
    }

    #[test]
    fn dup_03_a_lower_ballot_never_replaces_what_was_live() {
        let now = Mono(0);
        let mut register = Register::default();
        let (low, high) = (at((1, 1), 1, DialerRank::Other, 1), at((1, 1), 2, DialerRank::Other, 1));
        assert_eq!(register.judge(now, &low), Admission::Admit);
        register.raise(high);
        assert_eq!(register.judge(now, &low), Admission::Refuse);
        assert_eq!(register.judge(now, &high), Admission::Refuse);
        register.release(now, Duration::from_secs(5));
        assert_eq!(register.judge(now + Duration::from_secs(9), &low), Admission::Refuse);
        assert_eq!(register.judge(now + Duration::from_secs(10), &low), Admission::Admit);
    }

    #[test]
    fn ordinals_far_ahead_are_implausible() {
        assert!(ordinal_plausible(DialOrdinal(5), DialOrdinal(5 + MAX_ORDINAL_LEAD)));
        assert!(!ordinal_plausible(DialOrdinal(5), DialOrdinal(6 + MAX_ORDINAL_LEAD)));
        assert!(ordinal_plausible(DialOrdinal(u64::MAX - 1), DialOrdinal(u64::MAX)));
    }
}
