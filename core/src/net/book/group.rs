//! What is likely to be in one hand: the unit by which tellers and addresses are held apart.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::addr::CanonicalAddr;

/// A /16 of IPv4, or a /32 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group([u8; Self::BYTES]);

impl Group {
    /// Bytes of its durable form.
    pub(crate) const BYTES: usize = 5;

    /// The group of an IP address.
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, ..] = ip.octets();
                Self([4, a, b, 0, 0])
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.octets();
                Self([6, a, b, c, d])
            }
        }
    }

    /// The lowest address of the group in the order of addresses; `None` for the one that begins with the
    /// unspecified address, where nobody is.
    pub(crate) fn first(self) -> Option<CanonicalAddr> {
        CanonicalAddr::new(SocketAddr::new(self.lowest(), 1)).ok()
    }

    fn lowest(self) -> IpAddr {
        match self.0 {
            [4, a, b, ..] => IpAddr::V4(Ipv4Addr::new(a, b, 0, 0)),
            [_, a, b, c, d] => {
                let high = u128::from(u32::from_be_bytes([a, b, c, d])) << 96;
                IpAddr::V6(Ipv6Addr::from_bits(high))
            }
        }
    }

    /// The durable form.
    pub(crate) const fn bytes(self) -> [u8; Self::BYTES] {
        self.0
    }

    /// Reads the durable form.
    pub(crate) const fn from_bytes(bytes: [u8; Self::BYTES]) -> Option<Self> {
        match bytes {
            [4, _, _, 0, 0] | [6, ..] => Some(Self(bytes)),
            _ => None,
        }
    }
}

/// In a recorded state it is the lowest address of the group, so that it is redacted with the addresses.
impl serde::Serialize for Group {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.lowest().serialize(to)
    }
}

impl<'de> serde::Deserialize<'de> for Group {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        IpAddr::deserialize(from).map(Self::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(text: &str) -> Group {
        Group::of(text.parse().unwrap())
    }

    #[test]
    fn neighbours_are_of_one_group() {
        assert_eq!(group("9.8.7.6"), group("9.8.255.1"));
        assert_ne!(group("9.8.7.6"), group("9.9.7.6"));
        assert_eq!(group("::ffff:9.8.7.6"), group("9.8.0.0"));
        assert_eq!(group("2a00:1:2:3::1"), group("2a00:1:ffff::1"));
        assert_ne!(group("2a00:1::1"), group("2a00:2::1"));
    }

    #[test]
    fn the_first_address_of_a_group_is_of_it_and_below_all_others() {
        for text in ["9.8.0.0:1", "9.8.7.6:24100", "[2a00:1::]:1", "[2a00:1:2:3::1]:7"] {
            let addr: CanonicalAddr = text.parse().unwrap();
            let first = Group::of(addr.ip()).first().unwrap();
            assert_eq!(Group::of(first.ip()), Group::of(addr.ip()), "{text}");
            assert!(first <= addr, "{text}");
        }
        assert_eq!(group("0.0.1.1").first(), None);
    }

    #[test]
    fn groups_round_trip() {
        for group in [group("9.8.7.6"), group("2a00:1::1")] {
            assert_eq!(Group::from_bytes(group.bytes()), Some(group));
        }
        assert_eq!(Group::from_bytes([4, 1, 1, 1, 0]), None);
        assert_eq!(Group::from_bytes([5, 1, 1, 0, 0]), None);
    }
}
