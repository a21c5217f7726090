//! What a knock is answered (rule D-3).

use std::net::IpAddr;

use crate::addr::CanonicalAddr;
use crate::event::{CloseReason, KnockAnswer};
use crate::wire::message::{Ballot, Boot};

/// The link that we hold as live with the knocker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Held {
    /// Its ballot.
    pub ballot: Ballot,
    /// The boot that the peer proved on it.
    pub boot: Boot,
}

/// The answer, and what becomes of the link that we hold as live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
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

/// Where a knocker would be dialed, and what is known of that place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Place {
    /// The address.
    pub addr: CanonicalAddr,
    /// Where the knock came from.
    pub source: IpAddr,
    /// The knocker's address in the registry, if it is there.
    pub registered: Option<CanonicalAddr>,
    /// Where this node itself reached the knocker last.
    pub reached: Option<CanonicalAddr>,
}

impl Place {
    /// Whether more than the knocker's word says that it is there. A knock must not aim our dials at a third
    /// party: anybody can advertise any address.
    #[must_use]
    pub fn is_vouched(&self) -> bool {
        self.addr.ip() == self.source.to_canonical()
            || self.registered == Some(self.addr)
            || self.reached == Some(self.addr)
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

    #[test]
    fn a_place_is_vouched_by_the_source_the_registry_or_an_earlier_meeting() {
        let addr = |text: &str| -> CanonicalAddr { text.parse().unwrap() };
        let (there, elsewhere) = (addr("10.0.0.1:24100"), addr("10.0.0.2:24100"));
        let alone = Place { addr: there, source: elsewhere.ip(), registered: None, reached: None };
        assert!(!alone.is_vouched());
        assert!(Place { source: "::ffff:10.0.0.1".parse().unwrap(), ..alone }.is_vouched());
        assert!(Place { registered: Some(there), ..alone }.is_vouched());
        assert!(Place { reached: Some(there), ..alone }.is_vouched());
        let other = Some(elsewhere);
        assert!(!Place { registered: other, reached: other, ..alone }.is_vouched());
    }
}
