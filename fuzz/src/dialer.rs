//! The gate of every dial: a total function that never dials a live peer, twice, oneself, or whom the operator
//! keeps apart.

use arbitrary::{Arbitrary, Unstructured};
use timed_core::net::bans::{Grounds, Hold};
use timed_core::net::dialer::{
    Decision, Flight, Order, Passive, Place, Session, Side, Situation, Slot, Wanted, next_dial,
};
use timed_core::{BanTarget, DialedBecause, Mono, NodeId};

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Time {
    Before(u8),
    Now,
    After(u8),
    Any(u64),
}

impl Time {
    fn at(self, now: Mono) -> Mono {
        Mono(match self {
            Self::Before(by) => now.0.saturating_sub(u64::from(by) + 1),
            Self::Now => now.0,
            Self::After(by) => now.0.saturating_add(u64::from(by) + 1),
            Self::Any(any) => any,
        })
    }
}

#[derive(Arbitrary, Debug)]
struct Case {
    now: u64,
    choices: [u8; 8],
    held: Option<Time>,
    settling: Option<Time>,
    backoff: Option<Time>,
    passive: Time,
    /// The operator's bans on the key and on the address, and our own: until when, or without end.
    bans: [Option<Option<Time>>; 3],
    incompatible: Option<Time>,
}

fn pick<T: Copy>(choice: u8, from: &[T]) -> T {
    from[usize::from(choice) % from.len()]
}

impl Case {
    fn situation(&self) -> Situation {
        let now = Mono(self.now);
        let at = |time: Option<Time>| time.map(|time| time.at(now));
        let passive = self.passive.at(now);
        let [key, net, score] = self.bans.map(|until| {
            let hold =
                |until: Option<Time>| Hold { target: BanTarget::Key(NodeId([7; 32])), until: at(until) };
            until.map(hold)
        });
        let [session, flight, wanted, place, side, order, cycle, slot] = self.choices;
        Situation {
            session: pick(session, &[Session::None, Session::None, Session::Live]),
            flight: pick(flight, &[Flight::Idle, Flight::Idle, Flight::Under]),
            wanted: pick(wanted, &[Wanted::Yes, Wanted::No]),
            place: pick(place, &[Place::Known, Place::Known, Place::Unknown, Place::Own]),
            slot: pick(slot, &[Slot::Free, Slot::Free, Slot::Full]),
            side: pick(side, &[Side::Dialer, Side::Passive, Side::Nobody]),
            order: pick(order, &[Order::None, Order::Operator, Order::Knock, Order::Book]),
            grounds: Grounds { key, net, incompatible: at(self.incompatible), score },
            held: at(self.held),
            settling: at(self.settling),
            backoff: at(self.backoff),
            passive: pick(cycle, &[Passive::KnockAt(passive), Passive::FallbackAt(passive)]),
        }
    }
}

/// Any situation at any time.
///
/// # Panics
/// If the gate lets through what it must not, or waits for nothing.
pub fn body(input: &[u8]) {
    let Ok(case) = Case::arbitrary_take_rest(Unstructured::new(input)) else { return };
    let (now, s) = (Mono(case.now), case.situation());
    let decision = next_dial(now, &s);
    assert_eq!(decision, next_dial(now, &s));
    let ahead = |at: Option<Mono>| at.is_some_and(|at| at > now);
    let by_operator = s.order == Order::Operator;
    let asked = matches!(s.order, Order::Knock | Order::Book);
    let Grounds { key, net, incompatible, score } = s.grounds;
    let bans = [key, net, score].into_iter().flatten();
    let banned = bans.filter(|hold| hold.until.is_none_or(|until| until > now)).count() > 0;

    if matches!(decision, Decision::Knock | Decision::Dial(_)) {
        assert_eq!((s.session, s.flight, s.place), (Session::None, Flight::Idle, Place::Known), "{s:?}");
        assert!(by_operator || !(ahead(s.held) || ahead(s.settling) || ahead(s.backoff)), "{s:?}");
        assert!(!banned && (by_operator || !ahead(incompatible)), "{s:?}");
        assert!(by_operator || s.wanted == Wanted::Yes || asked, "{s:?}");
        assert!(by_operator || (s.side != Side::Nobody && s.slot == Slot::Free), "{s:?}");
    }
    match decision {
        Decision::Dial(DialedBecause::Manual) => assert!(by_operator),
        Decision::Dial(DialedBecause::Canonical) => assert_eq!(s.side, Side::Dialer),
        Decision::Dial(DialedBecause::Fallback) => {
            let due = matches!(s.passive, Passive::FallbackAt(at) if at <= now);
            assert!(s.side == Side::Passive && (asked || due), "{s:?}");
        }
        Decision::Knock => {
            let due = matches!(s.passive, Passive::KnockAt(at) if at <= now);
            assert!(s.side == Side::Passive && s.order == Order::None && due, "{s:?}");
        }
        Decision::Connected => assert_eq!(s.session, Session::Live),
        Decision::InFlight => assert_eq!(s.flight, Flight::Under),
        Decision::OwnAddress => assert_eq!(s.place, Place::Own),
        _ => {}
    }
    // What the operator wants is done unless it stands, is under way, or cannot be.
    let free = s.place == Place::Known && s.session == Session::None && s.flight == Flight::Idle;
    if by_operator && free && !banned {
        assert_eq!(decision, Decision::Dial(DialedBecause::Manual));
    }
    // Whoever waits waits for a time ahead, and goes on when it comes.
    if let Some(at) = decision.until() {
        assert!(at > now, "{decision:?} waits for the past");
        assert_ne!(next_dial(at, &s), decision, "{s:?} never goes on");
    }
    // Time alone brings a sought peer that can be dialed to a dial or a knock.
    let for_ever = [key, net, score].into_iter().flatten().any(|hold| hold.until.is_none());
    if s.wanted == Wanted::Yes && free && s.side != Side::Nobody && s.slot == Slot::Free && !for_ever {
        let last = next_dial(Mono(u64::MAX), &s);
        assert!(matches!(last, Decision::Knock | Decision::Dial(_)), "{s:?} is never dialed: {last:?}");
    }
}

/// Each side in its first moments.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    (0..12u8)
        .map(|number| {
            let mut seed = vec![0, 0, 0, 1, 0, 0, 0, 0];
            seed.extend([0, 0, number % 2, 0, number % 3, number / 4, number % 2, number / 9]);
            seed.extend([number; 40]);
            seed
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn dialer_holds_on_seeds_and_noise() {
        crate::smoke::run("dialer", &super::seeds(), 20_000, super::body);
    }
}
