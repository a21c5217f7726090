//! Who gets a place among the live links, and who gives one up (rules S-3 and S-4): pure functions of how many
//! there are of each kind.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::event::{SlotClass, SlotCount, SlotCounts};
use crate::ids::NodeId;
use crate::limits::Limits;
use crate::net::unauthenticated::prefix;
use crate::time::Mono;

/// Which of the two ends wants a link. Which of them dials is another matter (rule D-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeker {
    /// This node.
    Us,
    /// The other one.
    Them,
}

/// Whether this node looks for observers of its own accord (rule S-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// It does, as observers do: some places are kept for those that it finds.
    Sought,
    /// It takes those that come.
    Taken,
}

/// How a node's places are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Places {
    /// Live links at most.
    pub all: usize,
    /// Of these, kept for registered masternodes.
    pub masternodes: usize,
    /// Kept for reserved peers that are not registered.
    pub reserved: usize,
    /// Of what is left, kept for observers that this node seeks itself.
    pub own: usize,
}

impl Places {
    /// Shares out the places: each of `masternodes` others in the registry and each of `reserved` further peers
    /// has one, as far as there are any.
    #[must_use]
    pub fn new(limits: &Limits, masternodes: usize, reserved: usize, company: Company) -> Self {
        let all = limits.max_peers;
        let reserved = reserved.min(all.saturating_sub(masternodes));
        let masternodes = limits.masternode_slots.max(masternodes).min(all - reserved);
        let rest = all - reserved - masternodes;
        let own = match company {
            Company::Sought => limits.outbound.min(rest / 2),
            Company::Taken => 0,
        };
        Self { all, masternodes, reserved, own }
    }

    /// How many of them are used and free.
    #[must_use]
    pub fn counts(&self, taken: &Taken) -> SlotCounts {
        let left = self.all.saturating_sub(taken.all());
        let count =
            |used: usize, places: usize| SlotCount { used, free: places.saturating_sub(used).min(left) };
        SlotCounts {
            masternode: count(taken.masternodes, self.masternodes),
            reserved: count(taken.reserved, self.reserved),
            observer: count(taken.observers(), self.for_observers(taken)),
        }
    }

    /// Whether what is left after one more reserved peer covers the masternodes that are linked, and those that may
    /// still come.
    fn has_room_for_reserved(&self, taken: &Taken) -> bool {
        taken.reserved + taken.masternodes.max(self.masternodes) < self.all
    }

    /// Places that observers may take at present.
    fn for_observers(&self, taken: &Taken) -> usize {
        let kept = taken.masternodes.max(self.masternodes) + taken.reserved.max(self.reserved);
        self.all.saturating_sub(kept)
    }
}

/// Live links, by who holds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Registered masternodes.
    pub masternodes: usize,
    /// Reserved peers that are not registered.
    pub reserved: usize,
    /// Observers that this node seeks.
    pub sought: usize,
    /// Observers that seek this node.
    pub guests: usize,
}

impl Taken {
    /// One more.
    pub const fn count(&mut self, class: SlotClass, seeker: Seeker) {
        match (class, seeker) {
            (SlotClass::Masternode, _) => self.masternodes += 1,
            (SlotClass::Reserved, _) => self.reserved += 1,
            (SlotClass::Observer, Seeker::Us) => self.sought += 1,
            (SlotClass::Observer, Seeker::Them) => self.guests += 1,
        }
    }

    const fn observers(&self) -> usize {
        self.sought + self.guests
    }

    pub(crate) const fn all(&self) -> usize {
        self.masternodes + self.reserved + self.observers()
    }
}

/// Whether a peer without a live link may have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum Verdict {
    /// A place is free.
    Free,
    /// An observer gives its place up.
    Displaces,
    /// There is none.
    Full,
}

/// Judges whether a peer gets a place. A masternode is refused only where no observer is left to give way; so is a
/// reserved peer, which takes none that is kept for masternodes either; an observer displaces nobody, and takes
/// nothing that is kept for others.
#[must_use]
pub fn judge(class: SlotClass, seeker: Seeker, taken: &Taken, places: &Places) -> Verdict {
    let free = match (class, seeker) {
        (SlotClass::Reserved, _) if !places.has_room_for_reserved(taken) => false,
        (SlotClass::Masternode | SlotClass::Reserved, _) => {
            return match (taken.all() < places.all, taken.observers()) {
                (true, _) => Verdict::Free,
                (false, 0) => Verdict::Full,
                (false, _) => Verdict::Displaces,
            };
        }
        (SlotClass::Observer, Seeker::Us) => taken.observers() < places.for_observers(taken),
        (SlotClass::Observer, Seeker::Them) => {
            taken.guests + taken.sought.max(places.own) < places.for_observers(taken)
        }
    };
    if free { Verdict::Free } else { Verdict::Full }
}

/// Whether a link has brought anything but signs of life of late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// Nothing.
    Idle,
    /// Something that this node had not seen before, or had asked for.
    Useful,
}

/// An observer with a live link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupant {
    /// The observer.
    pub id: NodeId,
    /// Its link's health, 0 to 100.
    pub health: u8,
    /// What it brings.
    pub brings: Use,
    /// Where it comes from.
    pub ip: IpAddr,
    /// When its link became live.
    pub since: Mono,
}

/// Two healths within one such band are alike: what comes next in the order decides.
const HEALTH_BAND: u8 = 20;

/// Which observer gives way (rule S-4): the one with the poorest health; among those the one that brings nothing;
/// then one of the source prefix that holds most places; then the youngest.
#[must_use]
pub fn displaced(observers: &[Occupant]) -> Option<NodeId> {
    let mut crowds: BTreeMap<[u8; 7], usize> = BTreeMap::new();
    for observer in observers {
        *crowds.entry(prefix(observer.ip)).or_default() += 1;
    }
    let merit = |observer: &&Occupant| {
        let crowd = crowds.get(&prefix(observer.ip)).copied().unwrap_or(0);
        let band = observer.health.min(99) / HEALTH_BAND;
        (band, observer.brings, Reverse(crowd), Reverse(observer.since), observer.id)
    };
    observers.iter().min_by_key(merit).map(|observer| observer.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use SlotClass::{Masternode, Observer, Reserved};
    use proptest::prelude::*;

    fn limits(max_peers: usize, masternode_slots: usize) -> Limits {
        Limits { max_peers, masternode_slots, outbound: 8, ..Limits::for_registry(4) }
    }

    const fn taken(masternodes: usize, reserved: usize, sought: usize, guests: usize) -> Taken {
        Taken { masternodes, reserved, sought, guests }
    }

    #[test]
    fn s_3_places_are_kept_for_the_registry_and_for_reserved_peers() {
        let places = |max, kept, masternodes, reserved| {
            let places = Places::new(&limits(max, kept), masternodes, reserved, Company::Taken);
            (places.masternodes, places.reserved)
        };
        assert_eq!(places(50, 20, 13, 0), (20, 0));
        assert_eq!(places(50, 20, 13, 3), (20, 3));
        assert_eq!(places(50, 20, 40, 3), (40, 3));
        // Too few for all: the registry comes first.
        assert_eq!(places(10, 10, 8, 3), (8, 2));
        assert_eq!(places(10, 10, 12, 3), (10, 0));
    }

    #[test]
    fn s_3_observers_share_what_is_left() {
        let places = Places::new(&limits(50, 20), 13, 2, Company::Taken);
        let guest = |taken| judge(Observer, Seeker::Them, &taken, &places);
        assert_eq!(guest(taken(0, 0, 0, 27)), Verdict::Free);
        assert_eq!(guest(taken(0, 0, 0, 28)), Verdict::Full);
        assert_eq!(guest(taken(13, 2, 8, 20)), Verdict::Full);
        // More masternodes than are known have proven themselves: they take from the observers' share.
        assert_eq!(guest(taken(25, 2, 0, 22)), Verdict::Free);
        assert_eq!(guest(taken(25, 2, 0, 23)), Verdict::Full);
    }

    #[test]
    fn s_3_guests_leave_room_for_those_whom_an_observer_seeks() {
        let places = Places::new(&limits(50, 20), 13, 0, Company::Sought);
        assert_eq!(places.own, 8);
        let room = |seeker, taken| judge(Observer, seeker, &taken, &places) == Verdict::Free;
        assert!(room(Seeker::Them, taken(0, 0, 0, 21)) && !room(Seeker::Them, taken(0, 0, 0, 22)));
        assert!(!room(Seeker::Them, taken(0, 0, 5, 22)) && room(Seeker::Us, taken(0, 0, 7, 22)));
        assert!(!room(Seeker::Us, taken(0, 0, 8, 22)));
        // A small node keeps half.
        assert_eq!(Places::new(&limits(26, 20), 13, 0, Company::Sought).own, 3);
    }

    #[test]
    fn s_4_masternodes_and_reserved_peers_displace_observers_and_nobody_else() {
        let places = Places::new(&limits(6, 4), 4, 1, Company::Taken);
        for class in [Masternode, Reserved] {
            for seeker in [Seeker::Us, Seeker::Them] {
                let verdict = |taken| judge(class, seeker, &taken, &places);
                assert_eq!(verdict(taken(4, 1, 0, 0)), Verdict::Free);
                assert_eq!(verdict(taken(4, 1, 0, 1)), Verdict::Displaces);
                assert_eq!(verdict(taken(4, 1, 1, 0)), Verdict::Displaces);
                assert_eq!(verdict(taken(5, 1, 0, 0)), Verdict::Full);
            }
        }
    }

    /// Thirty reserved peers come before a registry of 128 that leaves 21 places.
    #[test]
    fn pex_02b_reserved_peers_take_no_place_of_a_masternode() {
        let places = Places::new(&Limits::for_registry(128), 127, 30, Company::Taken);
        assert_eq!((places.masternodes, places.reserved), (127, 21));
        let verdict = |class, taken| judge(class, Seeker::Them, &taken, &places);
        assert_eq!(verdict(Reserved, taken(0, 20, 0, 0)), Verdict::Free);
        assert_eq!(verdict(Reserved, taken(0, 21, 0, 0)), Verdict::Full);
        assert_eq!(verdict(Masternode, taken(126, 21, 0, 0)), Verdict::Free);
        // Observers where masternodes may come give way to these alone.
        assert_eq!(verdict(Reserved, taken(0, 21, 0, 127)), Verdict::Full);
        assert_eq!(verdict(Masternode, taken(0, 21, 0, 127)), Verdict::Displaces);
    }

    /// A name has one place, and several nodes may answer where it leads: what is left after masternodes is theirs.
    #[test]
    fn s_3_more_reserved_peers_than_places_share_with_observers() {
        let places = Places::new(&limits(50, 20), 13, 1, Company::Taken);
        let verdict = |taken| judge(Reserved, Seeker::Us, &taken, &places);
        assert_eq!(verdict(taken(0, 1, 0, 0)), Verdict::Free);
        assert_eq!(verdict(taken(20, 29, 0, 1)), Verdict::Displaces);
        assert_eq!(verdict(taken(0, 29, 0, 21)), Verdict::Displaces);
        assert_eq!(verdict(taken(0, 30, 0, 0)), Verdict::Full);
    }

    #[test]
    fn counts_tell_what_each_class_may_still_take() {
        let places = Places::new(&limits(50, 20), 13, 2, Company::Taken);
        let counts = places.counts(&taken(13, 1, 0, 30));
        assert_eq!(counts.masternode, SlotCount { used: 13, free: 6 });
        assert_eq!(counts.reserved, SlotCount { used: 1, free: 1 });
        assert_eq!(counts.observer, SlotCount { used: 30, free: 0 });
    }

    fn occupant(id: u8, health: u8, brings: Use, ip: &str, since: u64) -> Occupant {
        Occupant { id: NodeId([id; 32]), health, brings, ip: ip.parse().unwrap(), since: Mono(since) }
    }

    #[test]
    fn s_4_health_use_crowd_and_age_decide_in_this_order() {
        use Use::{Idle, Useful};
        let mut crowd = vec![
            occupant(1, 100, Useful, "10.0.0.1", 1),
            occupant(2, 100, Useful, "10.9.9.1", 2),
            occupant(3, 100, Useful, "10.9.9.2", 3),
            occupant(4, 100, Useful, "10.5.0.1", 9),
        ];
        let gives_way = |crowd: &[Occupant]| displaced(crowd).unwrap().0[0];
        assert_eq!(gives_way(&crowd), 3, "the youngest of the largest prefix");
        crowd.push(occupant(5, 100, Idle, "10.6.0.1", 0));
        assert_eq!(gives_way(&crowd), 5, "who brings nothing goes before a crowd");
        crowd.push(occupant(6, 95, Idle, "10.6.1.1", 0));
        assert_eq!(gives_way(&crowd), 5, "alike in health but for a little; the same age, the lower key");
        crowd.push(occupant(7, 30, Useful, "10.7.0.1", 0));
        assert_eq!(gives_way(&crowd), 7, "the poorest health comes first");
        assert_eq!(displaced(&[]), None);
    }

    /// What may befall a table of links.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Comes(SlotClass, Seeker),
        Goes(usize),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let class = prop_oneof![Just(Masternode), Just(Reserved), Just(Observer), Just(Observer)];
        let seeker = prop_oneof![Just(Seeker::Us), Just(Seeker::Them)];
        prop_oneof![
            3 => (class, seeker).prop_map(|(class, seeker)| Step::Comes(class, seeker)),
            1 => any::<usize>().prop_map(Step::Goes),
        ]
    }

    proptest! {
        /// Whoever comes and goes, in any order: the bound holds, a masternode is never refused while an observer
        /// has a place, nor is a reserved peer that takes no masternode's, and nobody but an observer ever loses one.
        #[test]
        fn s_4_the_bound_holds_and_only_observers_give_way(
            (max, slots, known, reserved) in (0usize..12, 0usize..12, 0usize..12, 0usize..4),
            steps in proptest::collection::vec(any_step(), 0..80),
        ) {
            let places = Places::new(&limits(max, slots), known, reserved, Company::Sought);
            let mut table: Vec<(SlotClass, Seeker)> = Vec::new();
            for step in steps {
                let (class, seeker) = match step {
                    Step::Goes(which) if !table.is_empty() => {
                        table.swap_remove(which % table.len());
                        continue;
                    }
                    Step::Goes(_) => continue,
                    Step::Comes(class, seeker) => (class, seeker),
                };
                let mut taken = Taken::default();
                table.iter().for_each(|(class, seeker)| taken.count(*class, *seeker));
                let observer = table.iter().position(|(class, _)| *class == Observer);
                match (judge(class, seeker, &taken, &places), observer) {
                    (Verdict::Free, _) => {}
                    (Verdict::Displaces, Some(victim)) => {
                        prop_assert_ne!(class, Observer);
                        table.swap_remove(victim);
                    }
                    (Verdict::Displaces, None) => prop_assert!(false, "displaces nobody"),
                    (Verdict::Full, victim) => {
                        let kept = taken.reserved + taken.masternodes.max(places.masternodes);
                        let refused = match class {
                            Masternode => victim.is_none(),
                            Reserved => victim.is_none() || kept >= places.all,
                            Observer => true,
                        };
                        prop_assert!(refused);
                        continue;
                    }
                }
                table.push((class, seeker));
                prop_assert!(table.len() <= max);
            }
        }

        /// As many masternodes as are registered have their places, and of the reserved peers as many as these
        /// leave, whatever others do before and between.
        #[test]
        fn pex_02b_whoever_is_registered_finds_a_place(
            (max, registered) in (1usize..40).prop_flat_map(|max| (Just(max), 0..=max)),
            (slots, reserved) in (0usize..40, 0usize..20),
            arrivals in proptest::collection::vec(prop_oneof![Just(Reserved), Just(Observer)], 0..120),
            early in 0usize..40,
        ) {
            let places = Places::new(&limits(max, slots), registered, reserved, Company::Taken);
            let mut taken = Taken::default();
            let mut come = |class| {
                let verdict = judge(class, Seeker::Them, &taken, &places);
                match verdict {
                    Verdict::Full => return verdict,
                    Verdict::Displaces => taken.guests -= 1,
                    Verdict::Free => {}
                }
                taken.count(class, Seeker::Them);
                verdict
            };
            let early = early.min(registered);
            for class in std::iter::repeat_n(Masternode, early).chain(arrivals) {
                let verdict = come(class);
                prop_assert!(class != Masternode || verdict != Verdict::Full);
            }
            for _ in early..registered {
                prop_assert_ne!(come(Masternode), Verdict::Full);
            }
            while come(Reserved) != Verdict::Full {}
            prop_assert_eq!(taken.masternodes, registered);
            prop_assert!(taken.reserved >= places.reserved);
            prop_assert!(taken.all() <= max);
        }
    }
}
