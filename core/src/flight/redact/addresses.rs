//! Addresses that stand for others: as many first bits in common, in the same order, and of the same class, so that
//! every decision that looks at addresses is the one that was made.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::addr::CanonicalAddr;
use crate::flight::redact::mask::Mask;
use crate::rng::Rng;

/// How often other bits are drawn if one of the addresses came out as itself or another's.
const DRAWS: usize = 64;

/// Notes every address, and leaves it as it is.
#[derive(Debug, Default)]
pub(super) struct Collected(RefCell<BTreeSet<IpAddr>>);

impl Mask for Collected {
    fn ip(&self, ip: IpAddr) -> IpAddr {
        ip
    }

    fn note(&self, ip: IpAddr) {
        self.0.borrow_mut().insert(ip.to_canonical());
    }
}

/// What stands for which address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Substitutes(BTreeMap<IpAddr, IpAddr>);

impl Mask for Substitutes {
    fn ip(&self, ip: IpAddr) -> IpAddr {
        let mapped = matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        match (self.0.get(&ip.to_canonical()), ip) {
            (Some(IpAddr::V4(ip)), _) if mapped => ip.to_ipv6_mapped().into(),
            (Some(ip), _) => *ip,
            (None, IpAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
            (None, IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    fn note(&self, _: IpAddr) {}
}

impl Substitutes {
    /// Of all addresses that were collected.
    pub(super) fn of(collected: Collected, rng: &mut Rng) -> Self {
        let all = collected.0.into_inner();
        let mut best = Self::default();
        for _ in 0..DRAWS {
            best = Self::draw(&all, rng);
            let fits = |(old, new): (&IpAddr, &IpAddr)| {
                is_kept(*old) || (!all.contains(new) && class(*old) == class(*new))
            };
            if best.0.iter().all(fits) {
                break;
            }
        }
        best
    }

    fn draw(all: &BTreeSet<IpAddr>, rng: &mut Rng) -> Self {
        let split = |wanted_v4: bool| -> Vec<(IpAddr, u128)> {
            let bits = |ip: &IpAddr| match ip {
                IpAddr::V4(ip) => u128::from(u32::from(*ip)) << 96,
                IpAddr::V6(ip) => u128::from(*ip),
            };
            all.iter()
                .filter(|ip| ip.is_ipv4() == wanted_v4 && !is_kept(**ip))
                .map(|ip| (*ip, bits(ip)))
                .collect()
        };
        let mut substitutes = BTreeMap::new();
        for (v4, width) in [(true, 32), (false, 128)] {
            let known = split(v4);
            let mut drawn = Vec::with_capacity(known.len());
            branch(&known, 0, width, 0, rng, &mut drawn);
            for ((old, _), bits) in known.iter().zip(drawn) {
                let new = if v4 {
                    IpAddr::V4(Ipv4Addr::from(u32::try_from(bits >> 96).unwrap_or(0)))
                } else {
                    IpAddr::V6(Ipv6Addr::from(bits))
                };
                substitutes.insert(*old, new);
            }
        }
        substitutes.extend(all.iter().filter(|ip| is_kept(**ip)).map(|ip| (*ip, *ip)));
        Self(substitutes)
    }
}

/// Addresses that are nobody's.
fn is_kept(ip: IpAddr) -> bool {
    ip.is_unspecified() || ip.is_multicast()
}

fn class(ip: IpAddr) -> Option<crate::addr::AddrClass> {
    CanonicalAddr::new((ip, 1).into()).ok().map(|addr| addr.class())
}

/// First bits that are kept, for they make the class of an address.
fn kept(ip: IpAddr) -> u32 {
    match ip {
        IpAddr::V4(ip) => match ip.octets() {
            [172, 16..=31, ..] => 12,
            [100, 64..=127, ..] => 10,
            [198, 18..=19, ..] => 15,
            [192, 168, ..] | [169, 254, ..] => 16,
            [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 0, 0, _] | [192, 88, 99, _] => 24,
            // Those with smaller blocks of another class in them.
            [100 | 169 | 172 | 192 | 198 | 203, ..] => 16,
            _ => 8,
        },
        IpAddr::V6(ip) => match ip.segments() {
            [0, ..] => 128,
            [0x2001 | 0x2002 | 0x3fff, ..] => 48,
            _ => 16,
        },
    }
}

/// Draws the bits from `depth` on for addresses that have all bits before in common: where both values occur they
/// stay, so the order stays; where one does, it may be either.
fn branch(
    known: &[(IpAddr, u128)],
    depth: u32,
    width: u32,
    prefix: u128,
    rng: &mut Rng,
    out: &mut Vec<u128>,
) {
    let Some((first, _)) = known.first() else { return };
    if depth == width {
        out.extend(known.iter().map(|_| prefix));
        return;
    }
    let place = 1u128 << (127 - depth);
    let zeros = known.partition_point(|(_, bits)| bits & place == 0);
    let (low, high) = known.split_at_checked(zeros).unwrap_or((known, &[]));
    let fixed = depth < kept(*first) || (!low.is_empty() && !high.is_empty());
    let flip = if !fixed && rng.below(2) == 1 { place } else { 0 };
    branch(low, depth + 1, width, prefix | flip, rng, out);
    branch(high, depth + 1, width, prefix | (place ^ flip), rng, out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::Rng;

    fn substitutes(all: &[IpAddr], seed: u8) -> Substitutes {
        let collected = Collected::default();
        all.iter().for_each(|ip| collected.note(*ip));
        Substitutes::of(collected, &mut Rng::new([seed; 32]))
    }

    fn common(a: IpAddr, b: IpAddr) -> u32 {
        match (a, b) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (u32::from(a) ^ u32::from(b)).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a) ^ u128::from(b)).leading_zeros(),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn order_prefixes_and_classes_stay(all in prop::collection::btree_set(any::<IpAddr>(), 1..40), seed: u8) {
            let all: Vec<IpAddr> =
                all.into_iter().map(|ip| ip.to_canonical()).filter(|ip| !is_kept(*ip)).collect();
            let map = substitutes(&all, seed);
            for a in &all {
                for b in &all {
                    prop_assert_eq!(a.cmp(b), map.ip(*a).cmp(&map.ip(*b)));
                    prop_assert_eq!(common(*a, *b), common(map.ip(*a), map.ip(*b)));
                }
            }
        }
    }

    #[test]
    fn neighbours_on_one_machine_are_moved_away_together() {
        let all: Vec<IpAddr> = (1..=4).map(|last| Ipv4Addr::new(127, 0, 0, last).into()).collect();
        let map = substitutes(&all, 1);
        for ip in &all {
            assert!(!all.contains(&map.ip(*ip)), "{ip} is {}", map.ip(*ip));
            assert!(matches!(map.ip(*ip), IpAddr::V4(ip) if ip.is_loopback()));
        }
    }
}
