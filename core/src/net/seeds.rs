//! Bootstrap peers that are known by name: when the name service is asked again, and which addresses are sought
//! for nothing but a name (rule P-8).

use std::collections::BTreeSet;
use std::time::Duration;

use crate::addr::CanonicalAddr;
use crate::config::{NewSeed, Seed};
use crate::ids::{NodeId, SeedId};
use crate::limits::{Holding, MAX_SEEDS, SEED_ADDRESSES, SEED_BYTES, holding};
use crate::rng::Rng;
use crate::time::Mono;

/// Between two questions about one name at least; doubles with each that has brought no link.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// The names that were configured.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Seeds {
    names: Vec<Name>,
    /// Addresses that are sought because a name gives, or gave, them.
    lent: BTreeSet<CanonicalAddr>,
    longest: Duration,
}

#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
struct Name {
    number: SeedId,
    /// The key that must answer, if it was configured.
    id: Option<NodeId>,
    addrs: Vec<CanonicalAddr>,
    /// Questions since a link last stood.
    asked: u32,
    not_before: Mono,
}

/// A name whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Ask.
    Ask(SeedId),
    /// Nothing before then.
    At(Mono),
}

impl Seeds {
    /// All of them are asked about at once. `longest` is the longest wait between two questions.
    pub(crate) fn new(names: &[Seed], longest: Duration, now: Mono) -> Self {
        let name = |(number, seed): (u32, &Seed)| Name::new(SeedId(number), seed.id, now);
        Self { names: (0..).zip(names).map(name).collect(), lent: BTreeSet::new(), longest }
    }

    /// From now on these names are configured. What is new is asked about at once; what stays keeps its addresses.
    pub(crate) fn reconfigure(&mut self, names: &[NewSeed], now: Mono) {
        let before = std::mem::take(&mut self.names);
        let name = |new: &NewSeed| {
            let same = before.iter().find(|old| Some(old.number) == new.before && old.id == new.seed.id);
            let fresh = || Name::new(new.number, new.seed.id, now);
            same.map_or_else(fresh, |old| Name { number: new.number, ..old.clone() })
        };
        self.names = names.iter().map(name).collect();
    }

    pub(crate) fn holding(&self) -> Holding {
        holding("addresses of names", self.lent.len(), MAX_SEEDS * SEED_ADDRESSES)
    }

    /// Whether there is any.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// What to do about each name that has no link. `linked` tells of a key or an address whether a link to it is
    /// live. A name with a link needs no question, and its next one comes soon after the link is lost.
    pub(crate) fn turns(&mut self, now: Mono, linked: &Linked, rng: &mut Rng) -> Vec<Turn> {
        let mut turns = Vec::new();
        for name in &mut self.names {
            let by_id = name.id.is_some_and(|id| linked.ids.contains(&id));
            if by_id || name.addrs.iter().any(|addr| linked.addrs.contains(addr)) {
                name.asked = 0;
                continue;
            }
            if name.not_before <= now {
                let wait = ASK_AGAIN.saturating_mul(1u32.checked_shl(name.asked).unwrap_or(u32::MAX));
                let wait = wait.min(self.longest).max(ASK_AGAIN);
                name.asked = name.asked.saturating_add(1);
                name.not_before = now + rng.between((wait / 2).max(ASK_AGAIN), wait);
                turns.push(Turn::Ask(name.number));
            }
            turns.push(Turn::At(name.not_before));
        }
        turns
    }

    /// The key and the addresses that a name stands for, and when it is asked about next if no link comes before.
    pub(crate) fn stands_for(&self, seed: SeedId) -> Option<(Option<NodeId>, &[CanonicalAddr], Mono)> {
        let name = self.names.iter().find(|name| name.number == seed)?;
        Some((name.id, &name.addrs, name.not_before))
    }

    /// What a name stands for now; answers the key that must be found there, if one is known, and the addresses
    /// that count. Nothing, from whom there is no such name or that stands for nothing: a failed question takes
    /// nothing away.
    pub(crate) fn resolved(
        &mut self,
        seed: SeedId,
        addrs: &[CanonicalAddr],
    ) -> Option<(Option<NodeId>, Vec<CanonicalAddr>)> {
        let name = self.names.iter_mut().find(|name| name.number == seed)?;
        let distinct: BTreeSet<CanonicalAddr> = addrs.iter().copied().take(SEED_ADDRESSES).collect();
        if distinct.is_empty() {
            return None;
        }
        name.addrs = distinct.into_iter().collect();
        let mut addrs = name.addrs.clone();
        if name.id.is_some() {
            // One node has one address to dial: with each question without success the next.
            let len = addrs.len();
            addrs.rotate_left(usize::try_from(name.asked.saturating_sub(1)).unwrap_or(0) % len.max(1));
            addrs.truncate(1);
        }
        Some((name.id, addrs))
    }

    /// An address is sought from now on for the name, whoever else seeks it.
    pub(crate) fn lend(&mut self, addr: CanonicalAddr) {
        self.lent.insert(addr);
    }

    /// Addresses that no name gives any more and to which no link is live: names seek them no more.
    pub(crate) fn outdated(&mut self, linked: &Linked) -> Vec<CanonicalAddr> {
        let named = |addr: &CanonicalAddr| self.names.iter().any(|name| name.addrs.contains(addr));
        let gone: Vec<CanonicalAddr> =
            self.lent.iter().filter(|addr| !named(addr) && !linked.addrs.contains(addr)).copied().collect();
        for addr in &gone {
            self.lent.remove(addr);
        }
        gone
    }
}

impl Name {
    const fn new(number: SeedId, id: Option<NodeId>, now: Mono) -> Self {
        Self { number, id, addrs: Vec::new(), asked: 0, not_before: now }
    }
}

/// To whom links are live, and where these nodes are.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Linked {
    pub(crate) ids: BTreeSet<NodeId>,
    pub(crate) addrs: BTreeSet<CanonicalAddr>,
}

/// A name with its addresses, and each of them once more among those that are lent.
const _: () = assert!(size_of::<Name>() + SEED_ADDRESSES * 3 * size_of::<CanonicalAddr>() <= SEED_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    const START: Mono = Mono(1_000_000_000_000);
    const LONGEST: Duration = Duration::from_secs(600);

    fn addr(text: &str) -> CanonicalAddr {
        text.parse().unwrap()
    }

    fn seeds(ids: &[Option<NodeId>]) -> Seeds {
        let names: Vec<Seed> = ids.iter().map(|id| Seed { id: *id, ..Seed::default() }).collect();
        Seeds::new(&names, LONGEST, START)
    }

    /// When the first name is asked about within an hour, while nothing links.
    fn asked(seeds: &mut Seeds, linked: &Linked) -> Vec<Mono> {
        let (mut now, mut times) = (START, Vec::new());
        let mut rng = Rng::new([4; 32]);
        while now.since(START) < Duration::from_secs(3600) {
            let mut next = None;
            for turn in seeds.turns(now, linked, &mut rng) {
                match turn {
                    Turn::Ask(_) => times.push(now),
                    Turn::At(at) => next = Some(at),
                }
            }
            let Some(at) = next else { break };
            now = at;
        }
        times
    }

    #[test]
    fn p_8_a_name_without_a_link_is_asked_about_again_and_again_ever_more_rarely() {
        let times = asked(&mut seeds(&[None]), &Linked::default());
        assert_eq!(times.first(), Some(&START));
        assert!((8..20).contains(&times.len()), "{}", times.len());
        for pair in times.windows(2) {
            let wait = pair[1].since(pair[0]);
            assert!(wait >= ASK_AGAIN && wait <= LONGEST, "{wait:?}");
        }
    }

    #[test]
    fn p_8_a_name_with_a_link_is_left_alone_and_soon_asked_about_after_it_is_lost() {
        let mut seeds = seeds(&[None, Some(NodeId([7; 32]))]);
        let linked = Linked { ids: [NodeId([7; 32])].into(), addrs: [addr("10.0.0.1:1")].into() };
        seeds.resolved(SeedId(0), &[addr("10.0.0.1:1"), addr("10.0.0.2:1")]);
        assert!(asked(&mut seeds, &linked).is_empty());
        let turns = seeds.turns(START + LONGEST, &Linked::default(), &mut Rng::new([1; 32]));
        let asks = turns.iter().filter(|turn| matches!(turn, Turn::Ask(_)));
        assert_eq!(asks.count(), 2);
    }

    #[test]
    fn p_8_addresses_are_bounded_and_a_failed_question_takes_none_away() {
        let mut seeds = seeds(&[None]);
        let many: Vec<CanonicalAddr> = (1..200).map(|port| addr(&format!("10.0.0.1:{port}"))).collect();
        let (_, taken) = seeds.resolved(SeedId(0), &many).unwrap();
        assert_eq!(taken.len(), SEED_ADDRESSES);
        for taken in taken {
            seeds.lend(taken);
        }
        assert_eq!(seeds.resolved(SeedId(0), &[]), None);
        assert_eq!(seeds.resolved(SeedId(1), &many), None, "there is no such name");
        assert!(seeds.outdated(&Linked::default()).is_empty());
    }

    #[test]
    fn p_8_what_a_name_gives_no_more_is_forgotten_unless_linked() {
        let mut seeds = seeds(&[None]);
        let [a, c, d] = ["10.0.0.1:1", "10.0.0.3:1", "10.0.0.4:1"].map(addr);
        seeds.resolved(SeedId(0), &[a, c]);
        for addr in [a, c] {
            seeds.lend(addr);
        }
        seeds.resolved(SeedId(0), &[d]);
        let linked = Linked { addrs: [c].into(), ..Linked::default() };
        assert_eq!(seeds.outdated(&linked), [a]);
        assert_eq!(seeds.outdated(&Linked::default()), [c], "once its link has ended");
    }

    #[test]
    fn p_8_a_key_behind_a_name_is_tried_at_one_address_after_the_other() {
        let mut seeds = seeds(&[Some(NodeId([7; 32]))]);
        let both = [addr("10.0.0.1:1"), addr("10.0.0.2:1")];
        let mut rng = Rng::new([1; 32]);
        let mut now = START;
        let mut tried = Vec::new();
        for _ in 0..4 {
            seeds.turns(now, &Linked::default(), &mut rng);
            tried.extend(seeds.resolved(SeedId(0), &both).unwrap().1);
            now = now + LONGEST;
        }
        assert_eq!(tried, [both[0], both[1], both[0], both[1]]);
    }
}
