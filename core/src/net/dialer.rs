//! The one gate of every dial: what to do about a peer now, as a function of its situation (rules D-3 to D-8).
//!
//! Every source of dials – start, timer, knock, operator, a lost link – only changes the situation and asks
//! again. The same decision answers `timed why`.

use crate::event::DialedBecause;
use crate::net::bans::{self, Grounds, Hold, Verdict};
use crate::time::Mono;

/// Whether a live session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// One does.
    Live,
    /// None does.
    None,
}

/// Whether a dial or knock of ours is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flight {
    /// One is.
    Under,
    /// None is.
    Idle,
}

/// Whether this node seeks a link of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum Wanted {
    /// It does.
    Yes,
    /// It takes one that the peer makes.
    No,
}

/// What is known of where to dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum Place {
    /// An address.
    Known,
    /// None: only the peer can dial.
    Unknown,
    /// It is our own.
    Own,
}

/// Whether this node has room for the link (rule S-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// It does.
    Free,
    /// It would have to turn the link down.
    Full,
}

/// Our side of the direction rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// We dial.
    Dialer,
    /// The peer dials.
    Passive,
    /// Neither can be dialed.
    Nobody,
}

/// Somebody asks for a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum Order {
    /// Nobody.
    None,
    /// The operator.
    Operator,
    /// The peer, by a knock.
    Knock,
    /// An observer that has fewer links than it would have, once: a candidate from the address book (rule S-5).
    Book,
}

/// Where the passive side stands in its cycle: wait, knock, fall back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum Passive {
    /// Knock at this time, unless a session stands by then.
    KnockAt(Mono),
    /// Dial in earnest at this time, unless a session stands by then.
    FallbackAt(Mono),
}

/// Everything that a decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// Is there a live session?
    pub session: Session,
    /// Is a dial under way?
    pub flight: Flight,
    /// Do we seek a link?
    pub wanted: Wanted,
    /// Do we know where to dial?
    pub place: Place,
    /// Is there room for it here?
    pub slot: Slot,
    /// Who dials by the rule?
    pub side: Side,
    /// Does somebody ask for a dial?
    pub order: Order,
    /// What speaks against a link?
    pub grounds: Grounds,
    /// The operator keeps the peer apart until then.
    pub held: Option<Mono>,
    /// A link of ours lost to another one that is to be live by then.
    pub settling: Option<Mono>,
    /// No dial before.
    pub backoff: Option<Mono>,
    /// The passive side's cycle.
    pub passive: Passive,
}

/// What to do about a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum Decision {
    /// Nothing: a session stands.
    Connected,
    /// Nothing: a dial is under way.
    InFlight,
    /// Nothing: it is ourselves.
    OwnAddress,
    /// Nothing until its end: a ban is in force. The operator lifts it before asking for a dial.
    Banned(Hold),
    /// Nothing until then: the operator said so.
    Held(Mono),
    /// Nothing: we do not seek this link.
    Unwanted,
    /// Nothing: only the peer can dial.
    NotDialable,
    /// Nothing: this node has no room for the link.
    NoSlot,
    /// Nothing until then: the surviving link is about to be live.
    Settling(Mono),
    /// Nothing until then: the two nodes are incompatible.
    Incompatible(Mono),
    /// Nothing until then: the last attempt failed.
    BackOff(Mono),
    /// Nothing until then: the peer is to dial.
    AwaitDialer(Mono),
    /// Nothing until then: the peer answered our knock and is to dial.
    AwaitKnocked(Mono),
    /// Knock now.
    Knock,
    /// Dial now.
    Dial(DialedBecause),
}

impl Decision {
    /// When to ask again, if nothing changes before.
    #[must_use]
    pub const fn until(self) -> Option<Mono> {
        match self {
            Self::Banned(hold) => hold.until,
            Self::Held(at)
            | Self::Settling(at)
            | Self::Incompatible(at)
            | Self::BackOff(at)
            | Self::AwaitDialer(at)
            | Self::AwaitKnocked(at) => Some(at),
            _ => None,
        }
    }
}

/// Decides.
#[must_use]
pub fn next_dial(now: Mono, situation: &Situation) -> Decision {
    let ahead = |at: Option<Mono>| at.filter(|at| *at > now);
    let s = situation;
    if s.session == Session::Live {
        return Decision::Connected;
    }
    if s.flight == Flight::Under {
        return Decision::InFlight;
    }
    if s.place == Place::Own {
        return Decision::OwnAddress;
    }
    // The operator may try whoever was incompatible again, but no ban is broken by an order to dial.
    let grounds = match s.order {
        Order::Operator => Grounds { incompatible: None, ..s.grounds },
        Order::None | Order::Knock | Order::Book => s.grounds,
    };
    let verdict = bans::verdict(now, &grounds);
    if let Verdict::Banned(hold) = verdict {
        return Decision::Banned(hold);
    }
    if s.order == Order::Operator && s.place == Place::Known {
        return Decision::Dial(DialedBecause::Manual);
    }
    if let Some(at) = ahead(s.held) {
        return Decision::Held(at);
    }
    if s.wanted == Wanted::No && s.order == Order::None {
        return Decision::Unwanted;
    }
    if s.place == Place::Unknown || s.side == Side::Nobody {
        return Decision::NotDialable;
    }
    if s.slot == Slot::Full {
        return Decision::NoSlot;
    }
    if let Some(at) = ahead(s.settling) {
        return Decision::Settling(at);
    }
    if let Verdict::Incompatible(at) = verdict {
        return Decision::Incompatible(at);
    }
    if let Some(at) = ahead(s.backoff) {
        return Decision::BackOff(at);
    }
    match (s.side, s.order, s.passive) {
        (Side::Dialer, _, _) => Decision::Dial(DialedBecause::Canonical),
        // A candidate knows nothing of us: there is nothing to wait for.
        (_, Order::Knock | Order::Book, _) => Decision::Dial(DialedBecause::Fallback),
        (_, _, Passive::KnockAt(at)) if at > now => Decision::AwaitDialer(at),
        (_, _, Passive::KnockAt(_)) => Decision::Knock,
        (_, _, Passive::FallbackAt(at)) if at > now => Decision::AwaitKnocked(at),
        (_, _, Passive::FallbackAt(_)) => Decision::Dial(DialedBecause::Fallback),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Mono = Mono(100);
    const LATER: Mono = Mono(200);

    fn dialer() -> Situation {
        Situation {
            session: Session::None,
            flight: Flight::Idle,
            wanted: Wanted::Yes,
            place: Place::Known,
            slot: Slot::Free,
            side: Side::Dialer,
            order: Order::None,
            grounds: Grounds::default(),
            held: None,
            settling: None,
            backoff: None,
            passive: Passive::KnockAt(LATER),
        }
    }

    fn ban(until: Option<Mono>) -> Hold {
        Hold { target: crate::ban::BanTarget::Key(crate::ids::NodeId([9; 32])), until }
    }

    fn passive(passive: Passive) -> Situation {
        Situation { side: Side::Passive, passive, ..dialer() }
    }

    #[test]
    fn dir_06a_no_source_dials_a_live_peer_oneself_or_twice() {
        for order in [Order::None, Order::Operator, Order::Knock, Order::Book] {
            let s = Situation { order, ..dialer() };
            assert_eq!(next_dial(NOW, &Situation { session: Session::Live, ..s }), Decision::Connected);
            assert_eq!(next_dial(NOW, &Situation { flight: Flight::Under, ..s }), Decision::InFlight);
            assert_eq!(next_dial(NOW, &Situation { place: Place::Own, ..s }), Decision::OwnAddress);
        }
    }

    #[test]
    fn the_dialer_dials_and_the_passive_side_waits_knocks_and_falls_back() {
        assert_eq!(next_dial(NOW, &dialer()), Decision::Dial(DialedBecause::Canonical));
        assert_eq!(next_dial(NOW, &passive(Passive::KnockAt(LATER))), Decision::AwaitDialer(LATER));
        assert_eq!(next_dial(NOW, &passive(Passive::KnockAt(NOW))), Decision::Knock);
        assert_eq!(next_dial(NOW, &passive(Passive::FallbackAt(LATER))), Decision::AwaitKnocked(LATER));
        assert_eq!(
            next_dial(NOW, &passive(Passive::FallbackAt(NOW))),
            Decision::Dial(DialedBecause::Fallback)
        );
    }

    #[test]
    fn rec_01a_back_off_binds_every_source_but_the_operator() {
        for order in [Order::None, Order::Knock, Order::Book] {
            let s = Situation { backoff: Some(LATER), order, ..dialer() };
            assert_eq!(next_dial(NOW, &s), Decision::BackOff(LATER));
        }
        let s = Situation { backoff: Some(LATER), held: Some(LATER), order: Order::Operator, ..dialer() };
        assert_eq!(next_dial(NOW, &s), Decision::Dial(DialedBecause::Manual));
    }

    #[test]
    fn a_4_a_ban_binds_every_source_the_operator_s_order_to_dial_included() {
        for order in [Order::None, Order::Operator, Order::Knock] {
            for until in [None, Some(LATER)] {
                for grounds in [
                    Grounds { key: Some(ban(until)), ..Grounds::default() },
                    Grounds { net: Some(ban(until)), incompatible: Some(LATER), ..Grounds::default() },
                    Grounds { score: Some(ban(until)), ..Grounds::default() },
                ] {
                    let s = Situation { grounds, order, backoff: Some(LATER), ..dialer() };
                    assert_eq!(next_dial(NOW, &s), Decision::Banned(ban(until)));
                    assert_eq!(next_dial(NOW, &s).until(), until);
                }
            }
        }
        let over = Grounds { key: Some(ban(Some(NOW))), ..Grounds::default() };
        let s = Situation { grounds: over, ..dialer() };
        assert_eq!(next_dial(NOW, &s), Decision::Dial(DialedBecause::Canonical));
    }

    #[test]
    fn h_5_the_incompatible_are_named_as_such_and_tried_when_the_operator_says_so() {
        let grounds = Grounds { incompatible: Some(LATER), ..Grounds::default() };
        let s = Situation { grounds, backoff: Some(LATER), ..dialer() };
        assert_eq!(next_dial(NOW, &s), Decision::Incompatible(LATER));
        let ordered = Situation { order: Order::Operator, ..s };
        assert_eq!(next_dial(NOW, &ordered), Decision::Dial(DialedBecause::Manual));
    }

    #[test]
    fn a_hold_and_a_survivor_to_come_keep_everyone_quiet() {
        let held = Situation { held: Some(LATER), order: Order::Knock, ..dialer() };
        assert_eq!(next_dial(NOW, &held), Decision::Held(LATER));
        let settling = Situation { settling: Some(LATER), ..dialer() };
        assert_eq!(next_dial(NOW, &settling), Decision::Settling(LATER));
        assert_eq!(next_dial(LATER, &settling), Decision::Dial(DialedBecause::Canonical));
    }

    #[test]
    fn s_3_nobody_is_dialed_for_whom_there_is_no_room() {
        for order in [Order::None, Order::Knock] {
            let s = Situation { slot: Slot::Full, order, ..dialer() };
            assert_eq!(next_dial(NOW, &s), Decision::NoSlot);
            let s = Situation { slot: Slot::Full, order, ..passive(Passive::KnockAt(NOW)) };
            assert_eq!(next_dial(NOW, &s), Decision::NoSlot);
        }
    }

    #[test]
    fn who_is_not_wanted_is_dialed_only_on_demand() {
        let s = Situation { wanted: Wanted::No, ..passive(Passive::KnockAt(NOW)) };
        assert_eq!(next_dial(NOW, &s), Decision::Unwanted);
        let knocked = Situation { order: Order::Knock, ..s };
        assert_eq!(next_dial(NOW, &knocked), Decision::Dial(DialedBecause::Fallback));
        let awaited = Situation { passive: Passive::KnockAt(LATER), ..s };
        let candidate = Situation { order: Order::Book, ..awaited };
        assert_eq!(next_dial(NOW, &candidate), Decision::Dial(DialedBecause::Fallback));
        let unknown = Situation { place: Place::Unknown, ..knocked };
        assert_eq!(next_dial(NOW, &unknown), Decision::NotDialable);
    }
}
