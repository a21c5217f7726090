//! Canonical addresses: one value for one place, whatever text it came from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// An address with its port, IPv4-mapped IPv6 folded to IPv4, scope and flow dropped.
///
/// Ordered numerically: IPv4 before IPv6, then the octets, then the port (rule D-1 of `core/PROTOCOL.md`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub struct CanonicalAddr {
    ip: IpAddr,
    port: u16,
}

/// Why a text or a socket address is no canonical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddrError {
    /// Not of the form `ip:port`.
    #[error("expected IP:PORT, for example 203.0.113.7:24100")]
    Syntax,
    /// `0.0.0.0` or `::`.
    #[error("the unspecified address cannot be dialed")]
    Unspecified,
    /// Multicast or broadcast.
    #[error("a multicast or broadcast address cannot be dialed")]
    NotUnicast,
    /// Port 0.
    #[error("port 0 cannot be dialed")]
    NoPort,
}

impl CanonicalAddr {
    /// Canonicalises an address that can be dialed.
    ///
    /// # Errors
    /// If the address is unspecified, not unicast, or its port is 0.
    pub fn new(addr: SocketAddr) -> Result<Self, AddrError> {
        let ip = addr.ip().to_canonical();
        if ip.is_unspecified() {
            return Err(AddrError::Unspecified);
        }
        if ip.is_multicast() || matches!(ip, IpAddr::V4(v4) if v4.is_broadcast()) {
            return Err(AddrError::NotUnicast);
        }
        if addr.port() == 0 {
            return Err(AddrError::NoPort);
        }
        Ok(Self { ip, port: addr.port() })
    }

    /// The IP address, never IPv4-mapped.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The port, never 0.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The form that sockets take.
    #[must_use]
    pub const fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }

    /// From where it can be reached.
    #[must_use]
    pub const fn class(&self) -> AddrClass {
        match self.ip {
            IpAddr::V4(ip) => class_v4(ip),
            IpAddr::V6(ip) => class_v6(ip),
        }
    }
}

/// From where an address can be reached, by the special-purpose registries of RFC 6890.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddrClass {
    /// From everywhere.
    Global,
    /// From the machine itself: 127.0.0.0/8, ::1.
    Loopback,
    /// From a site: 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7.
    Private,
    /// From one link: 169.254.0.0/16, fe80::/10.
    LinkLocal,
    /// From behind a carrier's NAT: 100.64.0.0/10.
    Shared,
    /// Kept for examples: 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, 2001:db8::/32, 3fff::/20.
    Documentation,
    /// Kept for laboratories: 198.18.0.0/15, 2001:2::/48.
    Benchmarking,
    /// From nowhere, or by translation and tunnels only: everything else.
    Reserved,
}

/// Which addresses of other nodes a node believes, dials on hearsay and tells (rule P-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum AddrScope {
    /// Those that can be reached from everywhere.
    Global,
    /// Those of private networks, laboratories and this machine, too.
    Private,
}

impl AddrScope {
    /// What suits a node that advertises this address: private ones are believed by those who have one.
    #[must_use]
    pub const fn suiting(advertised: Option<CanonicalAddr>) -> Self {
        match advertised {
            Some(addr) if !matches!(addr.class(), AddrClass::Global) => Self::Private,
            _ => Self::Global,
        }
    }

    /// Whether such an address is worth a place. An IPv6 address of one link is not: it says nothing without
    /// the interface.
    #[must_use]
    pub const fn admits(self, addr: &CanonicalAddr) -> bool {
        match (addr.class(), self) {
            (AddrClass::Global, _) => true,
            (AddrClass::Reserved, _) | (_, Self::Global) => false,
            (AddrClass::LinkLocal, Self::Private) => addr.ip.is_ipv4(),
            (_, Self::Private) => true,
        }
    }
}

const fn class_v4(ip: Ipv4Addr) -> AddrClass {
    match ip.octets() {
        [127, ..] => AddrClass::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => AddrClass::Private,
        [169, 254, ..] => AddrClass::LinkLocal,
        [100, 64..=127, ..] => AddrClass::Shared,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => AddrClass::Documentation,
        [198, 18..=19, ..] => AddrClass::Benchmarking,
        [0 | 224..=255, ..] | [192, 0, 0, _] | [192, 88, 99, _] => AddrClass::Reserved,
        _ => AddrClass::Global,
    }
}

const fn class_v6(ip: Ipv6Addr) -> AddrClass {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => AddrClass::Loopback,
        [0xfc00..=0xfdff, ..] => AddrClass::Private,
        [0xfe80..=0xfebf, ..] => AddrClass::LinkLocal,
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => AddrClass::Documentation,
        [0x2001, 2, 0, ..] => AddrClass::Benchmarking,
        // Teredo and other special uses below 2001:200::, and 6to4.
        [0x2001, 0..=0x01ff, ..] | [0x2002, ..] => AddrClass::Reserved,
        [0x2000..=0x3fff, ..] => AddrClass::Global,
        _ => AddrClass::Reserved,
    }
}

impl fmt::Display for CanonicalAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket().fmt(f)
    }
}

impl fmt::Debug for CanonicalAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket().fmt(f)
    }
}

impl FromStr for CanonicalAddr {
    type Err = AddrError;
    fn from_str(text: &str) -> Result<Self, AddrError> {
        Self::new(text.parse().map_err(|_| AddrError::Syntax)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> CanonicalAddr {
        text.parse().unwrap()
    }

    #[test]
    fn mapped_is_folded_and_order_is_numeric() {
        assert_eq!(addr("[::ffff:10.0.0.1]:7"), addr("10.0.0.1:7"));
        let mut all =
            ["165.84.215.117:1", "[2001:db8::1]:1", "50.28.104.50:1", "10.0.0.1:2", "9.0.0.1:9"].map(addr);
        all.sort();
        assert_eq!(
            all.map(|a| a.to_string()),
            ["9.0.0.1:9", "10.0.0.1:2", "50.28.104.50:1", "165.84.215.117:1", "[2001:db8::1]:1"]
        );
    }

    #[test]
    fn what_cannot_be_dialed_is_no_address() {
        for (text, error) in [
            ("0.0.0.0:1", AddrError::Unspecified),
            ("[::]:1", AddrError::Unspecified),
            ("[::ffff:0.0.0.0]:1", AddrError::Unspecified),
            ("224.0.0.1:1", AddrError::NotUnicast),
            ("255.255.255.255:1", AddrError::NotUnicast),
            ("10.0.0.1:0", AddrError::NoPort),
            ("10.0.0.1", AddrError::Syntax),
        ] {
            assert_eq!(text.parse::<CanonicalAddr>(), Err(error), "{text}");
        }
    }

    #[test]
    fn each_address_has_its_class() {
        use AddrClass::{
            Benchmarking, Documentation, Global, LinkLocal, Loopback, Private, Reserved, Shared,
        };
        for (class, texts) in [
            (Global, &["1.1.1.1:1", "172.32.0.1:1", "100.128.0.1:1", "[2a00::1]:1", "[2001:200::1]:1"][..]),
            (Loopback, &["127.0.0.1:1", "127.255.0.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"]),
            (Private, &["10.9.8.7:1", "172.31.0.1:1", "192.168.1.1:1", "[fd00::1]:1"]),
            (LinkLocal, &["169.254.1.1:1", "[fe80::1]:1"]),
            (Shared, &["100.64.0.1:1", "100.127.255.255:1"]),
            (Documentation, &["192.0.2.1:1", "203.0.113.1:1", "[2001:db8::1]:1", "[3fff:fff::1]:1"]),
            (Benchmarking, &["198.19.0.1:1", "[2001:2::1]:1"]),
            (Reserved, &["0.1.2.3:1", "240.0.0.1:1", "192.0.0.8:1", "[64:ff9b::1]:1", "[2002::1]:1"]),
            (Reserved, &["[100::1]:1", "[fec0::1]:1", "[2001::1]:1", "[::2]:1"]),
        ] {
            for text in texts {
                assert_eq!(addr(text).class(), class, "{text}");
            }
        }
    }

    #[test]
    fn private_addresses_are_for_those_who_have_one() {
        let suiting = |text: &str| AddrScope::suiting(text.parse().ok());
        assert_eq!(suiting(""), AddrScope::Global);
        assert_eq!(suiting("9.9.9.9:1"), AddrScope::Global);
        assert_eq!(suiting("127.0.0.1:1"), AddrScope::Private);
        for text in
            ["127.0.0.1:1", "10.0.0.1:1", "169.254.0.1:1", "100.64.0.1:1", "203.0.113.1:1", "[fd00::1]:1"]
        {
            assert!(
                AddrScope::Private.admits(&addr(text)) && !AddrScope::Global.admits(&addr(text)),
                "{text}"
            );
        }
        for text in ["9.9.9.9:1", "[2a00::1]:1"] {
            assert!(
                AddrScope::Private.admits(&addr(text)) && AddrScope::Global.admits(&addr(text)),
                "{text}"
            );
        }
        for text in ["[fe80::1]:1", "240.0.0.1:1", "[2002::1]:1"] {
            assert!(!AddrScope::Private.admits(&addr(text)), "{text}");
        }
    }
}
