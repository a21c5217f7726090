//! Ballots: totally ordered, the same at both ends, and both ends' registers come to name the same survivor.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use timed_core::net::ballot::{Admission, Party, Register, ballot};
use timed_core::wire::message::{Ballot, DialerRank};
use timed_core::{BootEpoch, DialOrdinal, Mono, NodeId, SessionHash};

/// The facts of one link, from a few values each, so that ties are frequent.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Facts {
    low_epoch: u8,
    high_epoch: u8,
    ordinal: Number,
    canonical: bool,
    session: u8,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Number {
    Small(u8),
    Any(u64),
}

impl Number {
    fn value(self) -> u64 {
        match self {
            Self::Small(small) => u64::from(small % 4),
            Self::Any(any) => any,
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Case {
    ids: (u8, u8),
    links: Vec<Facts>,
    /// In which order the other end sees them.
    order: Vec<u8>,
    now: u64,
    released: u64,
}

fn party(id: u8, epoch: u8) -> Party {
    Party { id: NodeId([id; 32]), epoch: BootEpoch(u64::from(epoch % 3)) }
}

/// The link's ballot as the end `a` builds it, and as the end `b` does.
fn both(ids: (u8, u8), facts: &Facts) -> (Ballot, Ballot) {
    let (a, b) = (party(ids.0, facts.low_epoch), party(ids.1, facts.high_epoch));
    let rank = if facts.canonical { DialerRank::Canonical } else { DialerRank::Other };
    let session = SessionHash([facts.session % 5; 32]);
    let make = |x, y| ballot(x, y, DialOrdinal(facts.ordinal.value()), rank, session);
    (make(a, b), make(b, a))
}

/// Any links of one pair, seen in any two orders.
///
/// # Panics
/// If the ends build different ballots, the order is not total, or the survivors differ.
pub fn body(input: &[u8]) {
    let Ok(case) = Case::arbitrary_take_rest(Unstructured::new(input)) else { return };
    if case.ids.0 == case.ids.1 {
        return;
    }
    let mut ballots = Vec::new();
    for facts in case.links.iter().take(12) {
        let (here, there) = both(case.ids, facts);
        assert_eq!(here, there, "the ends differ");
        ballots.push(here);
    }
    for a in &ballots {
        for b in &ballots {
            assert_eq!(a.cmp(b), b.cmp(a).reverse());
            assert_eq!(a == b, a.cmp(b).is_eq());
            for c in &ballots {
                assert!(!(a <= b && b <= c) || a <= c, "not transitive");
            }
        }
    }

    let now = Mono(case.now);
    let mut shuffled = ballots.clone();
    for (number, place) in case.order.iter().enumerate() {
        let length = shuffled.len();
        if length > 0 {
            shuffled.swap(number % length, usize::from(*place) % length);
        }
    }
    let (mut ours, mut theirs) = (Register::default(), Register::default());
    let (here, there) = (run(&mut ours, now, &ballots), run(&mut theirs, now, &shuffled));
    assert_eq!(here, there, "the ends name different survivors");
    assert_eq!(here, ballots.iter().max().copied());

    // Nothing of what was seen comes back, until the register is forgotten: after twice the time-out.
    let released = now + Duration::from_nanos(case.released);
    let timeout = Duration::from_secs(5);
    ours.release(released, timeout);
    let forgotten = released + timeout * 2;
    for ballot in &ballots {
        if released < forgotten {
            assert_eq!(ours.judge(released, ballot), Admission::Refuse);
        }
        assert_eq!(ours.judge(forgotten, ballot), Admission::Admit);
    }
}

/// The link that stands after these have become ready in this order.
fn run(register: &mut Register, now: Mono, links: &[Ballot]) -> Option<Ballot> {
    let mut live = None;
    for link in links {
        if register.judge(now, link) == Admission::Admit {
            assert!(live.is_none_or(|live| live < *link), "a lower one replaces a higher one");
            register.raise(*link);
            live = Some(*link);
        }
        assert_eq!(register.judge(now, link), Admission::Refuse, "the same link twice");
        assert_eq!(register.get(now), live);
    }
    live
}

/// No link, one, many alike.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![1, 2],
        (0..120).collect(),
        [1, 2].into_iter().chain([7; 150]).collect(),
        (0..250).rev().collect(),
    ]
}

#[cfg(test)]
mod tests {
    #[test]
    fn ballot_holds_on_seeds_and_noise() {
        crate::smoke::run("ballot", &super::seeds(), 5_000, super::body);
    }
}
