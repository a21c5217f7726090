//! Canonical addresses: one value for one place, whatever text it came from.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// An address with its port, IPv4-mapped IPv6 folded to IPv4, scope and flow dropped.
///
/// Ordered numerically: IPv4 before IPv6, then the octets, then the port (rule D-1 of `core/PROTOCOL.md`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
}
