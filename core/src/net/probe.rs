//! Probes: whether an advertised address leads to the node that advertises it (rule P-6). When to ask, and how
//! often to answer.

use std::net::IpAddr;
use std::time::Duration;

use crate::addr::CanonicalAddr;
use crate::event::Direction;
use crate::time::Mono;

/// A link lasts so long before its peer's address is probed.
pub const SETTLES: Duration = Duration::from_secs(10);
/// A peer is probed at most once in this time; doubles with each failure.
pub const EVERY: Duration = Duration::from_secs(600);
/// An address that was reached is not probed again within this time. Also the longest wait after failures.
pub const FRESH: Duration = Duration::from_secs(12 * 3600);
/// Probes under way at most.
pub const UNDER_WAY: usize = 4;
/// Probes made, and probes answered, a minute at most, whoever they concern.
pub const A_MINUTE: u32 = 30;

/// What is remembered of the probes of one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Probes {
    asked: Option<Mono>,
    failures: u32,
}

impl Probes {
    /// A probe is made.
    pub const fn begun(&mut self, now: Mono) {
        self.asked = Some(now);
    }

    /// It did not lead to the peer.
    pub const fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// It did.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }

    fn not_before(&self) -> Option<Mono> {
        let doubled =
            EVERY.saturating_mul(1u32.checked_shl(self.failures.saturating_sub(1)).unwrap_or(u32::MAX));
        Some(self.asked? + doubled.min(FRESH))
    }
}

/// What is known of a peer with a live link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// Where the peer says that it can be dialed.
    pub advertised: Option<CanonicalAddr>,
    /// Where its link comes from.
    pub source: IpAddr,
    /// Who dialed it.
    pub direction: Direction,
    /// Since when it is live.
    pub since: Mono,
    /// Where this node itself reached the peer last, and when.
    pub reached: Option<(CanonicalAddr, Mono)>,
    /// Earlier probes.
    pub probes: Probes,
}

/// When the advertised address is to be probed, if at all.
///
/// Only an address whose IP is the source of the live link: nobody has a third party dialed by advertising its
/// address. A peer behind a NAT that advertises the NAT's address comes from there too.
#[must_use]
pub fn next_probe(s: &Situation) -> Option<Mono> {
    let addr = s.advertised.filter(|addr| addr.ip() == s.source.to_canonical())?;
    if s.direction == Direction::Outbound {
        return None;
    }
    let settled = s.since + SETTLES;
    let stale = s.reached.filter(|(reached, _)| *reached == addr).map(|(_, at)| at + FRESH);
    [stale, s.probes.not_before()].into_iter().flatten().chain([settled]).max()
}

/// A rate: so many at once, then one in each part of a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Allowance {
    /// When all of it is there again.
    full: Mono,
}

impl Allowance {
    /// How long until one more is there.
    pub const PART: Duration = Duration::from_millis(60_000 / A_MINUTE as u64);

    /// Takes one, if there is one.
    pub fn take(&mut self, now: Mono) -> bool {
        let full = self.full.max(now) + Self::PART;
        let within = full.since(now) <= Self::PART * A_MINUTE;
        if within {
            self.full = full;
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Mono = Mono(1_000_000_000_000);

    fn situation() -> Situation {
        Situation {
            advertised: "203.0.113.7:24100".parse().ok(),
            source: "203.0.113.7".parse().unwrap(),
            direction: Direction::Inbound,
            since: START,
            reached: None,
            probes: Probes::default(),
        }
    }

    #[test]
    fn p_6_only_the_source_of_a_link_that_came_in_is_probed() {
        let s = situation();
        assert_eq!(next_probe(&s), Some(START + SETTLES));
        assert_eq!(next_probe(&Situation { source: "203.0.113.8".parse().unwrap(), ..s }), None);
        assert_eq!(next_probe(&Situation { advertised: None, ..s }), None);
        assert_eq!(next_probe(&Situation { direction: Direction::Outbound, ..s }), None);
    }

    #[test]
    fn dir_03b_a_peer_is_probed_at_most_once_in_ten_minutes_and_less_when_in_vain() {
        let mut s = situation();
        let mut asked = START + SETTLES;
        let mut last = Duration::ZERO;
        for _ in 0..40 {
            s.probes.begun(asked);
            s.probes.failed();
            // A new link changes nothing about that.
            s.since = asked;
            let next = next_probe(&s).unwrap();
            let wait = next.since(asked);
            assert!(wait >= EVERY && wait >= last && wait <= FRESH, "{wait:?}");
            (asked, last) = (next, wait);
        }
        assert_eq!(last, FRESH);
    }

    #[test]
    fn an_address_that_was_reached_is_left_alone_for_long_unless_it_changes() {
        let mut s = situation();
        s.reached = s.advertised.map(|addr| (addr, START));
        s.probes.begun(START);
        s.probes.succeeded();
        assert_eq!(next_probe(&s), Some(START + FRESH));
        s.advertised = "203.0.113.7:24101".parse().ok();
        assert_eq!(next_probe(&s), Some(START + EVERY));
    }

    #[test]
    fn an_allowance_is_used_up_and_comes_back() {
        let mut allowance = Allowance::default();
        let taken = |allowance: &mut Allowance, now| (0..1_000).filter(|_| allowance.take(now)).count();
        assert_eq!(taken(&mut allowance, START), A_MINUTE as usize);
        assert_eq!(taken(&mut allowance, START + Duration::from_secs(2)), 1);
        assert_eq!(taken(&mut allowance, START + Duration::from_secs(3600)), A_MINUTE as usize);
    }
}
