//! Who dials: one pure function, used by the dialer, the acceptor and the ballot (rules D-1 and D-2).

use crate::addr::CanonicalAddr;
use crate::ids::NodeId;

/// One end of a pair, as both ends know it: for a masternode the registry's address, for others the one
/// they advertise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct End {
    /// The node.
    pub id: NodeId,
    /// Where it can be dialed, if at all.
    pub addr: Option<CanonicalAddr>,
}

/// Which of two ends dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialer {
    /// The first.
    First,
    /// The second.
    Second,
    /// Neither can be dialed: no link is expected.
    Nobody,
}

/// The end that dials: the numerically lower address (IPv4 before IPv6), then the lower port, then the lower
/// key. An end without an address dials and is never dialed.
#[must_use]
pub fn dialer_of(first: &End, second: &End) -> Dialer {
    match (first.addr, second.addr) {
        (None, None) => Dialer::Nobody,
        (None, Some(_)) => Dialer::First,
        (Some(_), None) => Dialer::Second,
        (Some(a), Some(b)) if (a, first.id) < (b, second.id) => Dialer::First,
        (Some(_), Some(_)) => Dialer::Second,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{IpAddr, SocketAddr};

    fn end(id: u8, addr: &str) -> End {
        End { id: NodeId([id; 32]), addr: addr.parse().ok() }
    }

    #[test]
    fn dir_01_order_is_numeric_never_text() {
        let low = end(9, "50.28.104.50:24100");
        let high = end(1, "165.84.215.117:24100");
        assert_eq!(dialer_of(&low, &high), Dialer::First);
        assert_eq!(dialer_of(&high, &low), Dialer::Second);
        assert_eq!(dialer_of(&end(9, "9.0.0.1:1"), &end(1, "10.0.0.1:1")), Dialer::First);
        assert_eq!(dialer_of(&end(9, "10.0.0.1:1"), &end(1, "[2001:db8::1]:1")), Dialer::First);
        assert_eq!(dialer_of(&end(9, "10.0.0.1:1"), &end(1, "10.0.0.1:2")), Dialer::First);
        assert_eq!(dialer_of(&end(1, "10.0.0.1:1"), &end(2, "10.0.0.1:1")), Dialer::First);
    }

    #[test]
    fn dir_04_an_unknown_address_is_an_explicit_state() {
        let (unknown, known) = (end(9, ""), end(1, "10.0.0.1:1"));
        assert_eq!(dialer_of(&unknown, &known), Dialer::First);
        assert_eq!(dialer_of(&known, &unknown), Dialer::Second);
        assert_eq!(dialer_of(&unknown, &end(3, "")), Dialer::Nobody);
        assert_eq!(end(1, "0.0.0.0:24100").addr, None);
    }

    #[test]
    fn dir_07b_mapped_addresses_rank_like_their_ipv4_selves() {
        let mapped = end(1, "[::ffff:10.0.0.1]:1");
        assert_eq!(mapped, end(1, "10.0.0.1:1"));
        assert_eq!(dialer_of(&mapped, &end(2, "[2001:db8::1]:1")), Dialer::First);
    }

    fn any_end() -> impl Strategy<Value = End> {
        let addr = (any::<IpAddr>(), 1u16..4)
            .prop_map(|(ip, port)| CanonicalAddr::new(SocketAddr::new(ip, port)).ok());
        (0u8..8, addr).prop_map(|(id, addr)| End { id: NodeId([id; 32]), addr })
    }

    proptest! {
        #[test]
        fn exactly_one_end_dials(a in any_end(), b in any_end()) {
            prop_assume!(a.id != b.id);
            let (ab, ba) = (dialer_of(&a, &b), dialer_of(&b, &a));
            match ab {
                Dialer::First => prop_assert_eq!(ba, Dialer::Second),
                Dialer::Second => prop_assert_eq!(ba, Dialer::First),
                Dialer::Nobody => prop_assert!(a.addr.is_none() && b.addr.is_none()),
            }
        }
    }
}
