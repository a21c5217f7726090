//! What a knock is answered (rule D-3).

use crate::event::{CloseReason, KnockAnswer};
use crate::wire::message::{Ballot, Boot};

/// The link that we hold as live with the knocker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its ballot.
    pub ballot: Ballot,
    /// The boot that the peer proved on it.
    pub boot: Boot,
}

/// The answer, and what becomes of the link that we hold as live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What to answer.
    pub answer: KnockAnswer,
    /// Drop the held link for this reason.
    pub drop: Option<CloseReason>,
}

/// Judges a verified knock. The held link is dropped if and only if it is of an older boot of the knocker, or
/// its ballot is at or below the knocker's register: the knocker had it, and lost it.
#[must_use]
pub fn judge(held: Option<Held>, knocker: Boot, register: Option<Ballot>) -> Verdict {
    let will_dial = |drop| Verdict { answer: KnockAnswer::WillDial, drop };
    match held {
        None => will_dial(None),
        Some(held) if held.boot.epoch < knocker.epoch => will_dial(Some(CloseReason::Ghost)),
        Some(held) if register.is_some_and(|register| held.ballot <= register) => {
            will_dial(Some(CloseReason::KnockLost))
        }
        Some(_) => Verdict { answer: KnockAnswer::HaveSession, drop: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{BootEpoch, BootNonce, DialOrdinal, SessionHash};
    use crate::wire::message::DialerRank;

    fn ballot(ordinal: u64) -> Ballot {
        Ballot {
            epochs: (BootEpoch(1), BootEpoch(1)),
            ordinal: DialOrdinal(ordinal),
            dialer: DialerRank::Canonical,
            session: SessionHash([0; 32]),
        }
    }

    fn boot(epoch: u64) -> Boot {
        Boot { epoch: BootEpoch(epoch), nonce: BootNonce(1) }
    }

    #[test]
    fn a_link_falls_only_if_the_knocker_cannot_have_it() {
        let held = Some(Held { ballot: ballot(2), boot: boot(10) });
        let answer = |register, epoch| judge(held, boot(epoch), register);
        assert_eq!(answer(None, 10), Verdict { answer: KnockAnswer::HaveSession, drop: None });
        assert_eq!(answer(Some(ballot(1)), 10), Verdict { answer: KnockAnswer::HaveSession, drop: None });
        for register in [ballot(2), ballot(3)] {
            assert_eq!(answer(Some(register), 10).drop, Some(CloseReason::KnockLost));
        }
        assert_eq!(answer(None, 11).drop, Some(CloseReason::Ghost));
        assert_eq!(judge(None, boot(10), None).answer, KnockAnswer::WillDial);
    }
}
