//! Bans as values: whom, why, until when (rule A-4).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::event::Offence;
use crate::ids::NodeId;
use crate::time::Wall;

/// A block of addresses: a prefix of IPv4 or IPv6, its host bits zero, mapped IPv6 folded to IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub struct IpNet {
    ip: IpAddr,
    bits: u8,
}

/// Whom a ban concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub enum BanTarget {
    /// One node, wherever it is.
    Key(NodeId),
    /// Whoever comes from, or is to be dialed at, one of these addresses.
    Net(IpNet),
}

/// Why a text is no ban target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BanTargetError {
    /// Neither a key nor an address.
    #[error("expected a node id (64 hex digits), an IP address, or a prefix such as 203.0.113.0/24")]
    Syntax,
    /// A prefix longer than the address.
    #[error("a prefix of this address has at most {0} bits")]
    Bits(u8),
    /// A prefix that would ban all, or nearly all.
    #[error("a ban of fewer than {0} bits would cut off too much")]
    TooWide(u8),
}

/// Shortest prefixes that can be banned.
const LEAST_BITS: (u8, u8) = (8, 16);

impl IpNet {
    /// The block of the first `bits` bits of `ip`.
    ///
    /// # Errors
    /// If there are more bits than the address has, or fewer than 8 (IPv6: 16).
    pub fn new(ip: IpAddr, bits: u8) -> Result<Self, BanTargetError> {
        let mapped = matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        let bits = if mapped { bits.saturating_sub(96) } else { bits };
        match ip.to_canonical() {
            IpAddr::V4(_) if bits > 32 => Err(BanTargetError::Bits(32)),
            IpAddr::V6(_) if bits > 128 => Err(BanTargetError::Bits(128)),
            IpAddr::V4(_) if bits < LEAST_BITS.0 => Err(BanTargetError::TooWide(LEAST_BITS.0)),
            IpAddr::V6(_) if bits < LEAST_BITS.1 => Err(BanTargetError::TooWide(LEAST_BITS.1)),
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                Ok(Self { ip: IpAddr::V4((u32::from(v4) & mask).into()), bits })
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                Ok(Self { ip: IpAddr::V6((u128::from(v6) & mask).into()), bits })
            }
        }
    }

    /// One address.
    #[must_use]
    pub fn host(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        Self { ip, bits: if ip.is_ipv4() { 32 } else { 128 } }
    }

    /// Whether an address belongs to it.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.ip.is_ipv4() && Self::new(ip, self.bits).is_ok_and(|net| net.ip == self.ip)
    }

    /// The lowest address.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// Bits of the prefix.
    #[must_use]
    pub const fn bits(&self) -> u8 {
        self.bits
    }
}

impl fmt::Display for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::host(self.ip) { self.ip.fmt(f) } else { write!(f, "{}/{}", self.ip, self.bits) }
    }
}

impl fmt::Display for BanTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => id.fmt(f),
            Self::Net(net) => net.fmt(f),
        }
    }
}

impl FromStr for BanTarget {
    type Err = BanTargetError;

    fn from_str(text: &str) -> Result<Self, BanTargetError> {
        if let Ok(id) = text.parse::<NodeId>() {
            return Ok(Self::Key(id));
        }
        let net = match text.split_once('/') {
            Some((ip, bits)) => {
                let (Ok(ip), Ok(bits)) = (ip.parse(), bits.parse()) else {
                    return Err(BanTargetError::Syntax);
                };
                IpNet::new(ip, bits)?
            }
            None => IpNet::host(text.parse().map_err(|_| BanTargetError::Syntax)?),
        };
        Ok(Self::Net(net))
    }
}

/// What an operator writes beside a ban: at most 120 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct BanNote(String);

impl BanNote {
    /// Bytes at most.
    pub const MAX: usize = 120;

    /// Takes a text, if it is short enough and one line.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let good = text.len() <= Self::MAX && !text.chars().any(char::is_control);
        good.then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who decided on a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub enum BanCause {
    /// The operator.
    Operator,
    /// This node, for a score that reached the bound; the offence that did it. Never a registered masternode.
    Score(Offence),
}

impl BanCause {
    /// Every one of them.
    pub const ALL: [Self; 1 + Offence::ALL.len()] = [
        Self::Operator,
        Self::Score(Offence::Malformed),
        Self::Score(Offence::BadSignature),
        Self::Score(Offence::InvalidBlock),
        Self::Score(Offence::Unasked),
        Self::Score(Offence::Flood),
    ];

    /// Its place in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Operator => 0,
            Self::Score(offence) => 1 + offence.index(),
        }
    }

    /// The stable name in logs and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Score(offence) => offence.as_str(),
        }
    }
}

/// A ban in force.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct Ban {
    /// Whom it concerns.
    pub target: BanTarget,
    /// Who decided, and why.
    pub cause: BanCause,
    /// From when.
    pub since: Wall,
    /// Until when; `None` until it is lifted, which only an operator's can be.
    pub until: Option<Wall>,
    /// The operator's own words.
    pub note: Option<BanNote>,
}

/// Why a ban ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub enum BanEnd {
    /// Its time was over.
    Expired,
    /// The operator lifted it.
    Lifted,
    /// Another one was set on the same target.
    Replaced,
    /// It was this node's own, and this node suspects itself of misjudging that rule (rule A-5), or the peer is a
    /// registered masternode by now (rule A-6).
    Withdrawn,
    /// It was this node's own, and its place was needed for another one.
    Crowded,
}

impl BanEnd {
    /// The stable name in logs and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Lifted => "lifted",
            Self::Replaced => "replaced",
            Self::Withdrawn => "withdrawn",
            Self::Crowded => "crowded",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Result<BanTarget, BanTargetError> {
        text.parse()
    }

    fn covers(net: &str, ip: &str) -> bool {
        let Ok(BanTarget::Net(net)) = target(net) else { panic!("{net} is no block of addresses") };
        net.contains(ip.parse().unwrap())
    }

    #[test]
    fn a_block_covers_its_addresses_in_every_form_and_no_others() {
        assert!(covers("10.1.0.0/16", "10.1.255.7") && covers("10.1.0.0/16", "::ffff:10.1.2.3"));
        assert!(!covers("10.1.0.0/16", "10.2.0.0") && !covers("10.1.0.0/16", "2001:db8::1"));
        assert!(covers("2001:db8::/32", "2001:db8:5::1") && !covers("2001:db8::/32", "2001:db9::1"));
        assert!(covers("::ffff:10.0.0.1", "10.0.0.1") && !covers("10.0.0.1", "10.0.0.2"));
    }

    #[test]
    fn each_cause_has_its_place() {
        for (place, cause) in BanCause::ALL.into_iter().enumerate() {
            assert_eq!(cause.index(), place, "{cause:?}");
        }
    }

    #[test]
    fn texts_are_canonical_and_mistakes_are_named() {
        let shown = |text: &str| target(text).unwrap().to_string();
        assert_eq!(shown("10.1.2.3/16"), "10.1.0.0/16");
        assert_eq!(shown("::ffff:10.1.2.3"), "10.1.2.3");
        assert_eq!(shown(&"ab".repeat(32)), "ab".repeat(32));
        assert_eq!(target("10.0.0.0/33"), Err(BanTargetError::Bits(32)));
        assert_eq!(target("0.0.0.0/0"), Err(BanTargetError::TooWide(8)));
        assert_eq!(target("2001:db8::/8"), Err(BanTargetError::TooWide(16)));
        assert_eq!(target("example.org"), Err(BanTargetError::Syntax));
    }
}
