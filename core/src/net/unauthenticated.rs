//! Which inbound connection gives way when too many have not proven an identity (rule S-1): never the newest,
//! always the oldest of the source prefix that holds most.

use std::cmp::Reverse;
use std::net::IpAddr;

use crate::ids::ConnId;

/// Whether a source address belongs to a registered masternode or a reserved peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum Origin {
    /// It does: some places are kept for these.
    Registered,
    /// It does not.
    Stranger,
}

/// One inbound connection without a proven identity. Listed oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Waiting {
    /// The connection.
    pub conn: ConnId,
    /// Its source.
    pub ip: IpAddr,
    /// Whether the source is registered.
    pub origin: Origin,
}

/// The group by which sources are counted: a /24 of IPv4, a /48 of IPv6.
#[must_use]
pub fn prefix(ip: IpAddr) -> [u8; 7] {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            [4, a, b, c, 0, 0, 0]
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, ..] = ip.octets();
            [6, a, b, c, d, e, f]
        }
    }
}

/// Who gives way for a newcomer of `origin`, if the places are taken: `places` in all, `kept` of them for
/// registered sources. `waiting` is ordered oldest first.
#[must_use]
pub fn victim(waiting: &[Waiting], origin: Origin, places: usize, kept: usize) -> Option<ConnId> {
    let strangers = waiting.iter().filter(|w| w.origin == Origin::Stranger).count();
    let full = match origin {
        Origin::Stranger => strangers >= places.saturating_sub(kept) || waiting.len() >= places,
        Origin::Registered => waiting.len() >= places,
    };
    if !full {
        return None;
    }
    // A stranger never pushes out a registered source; a registered one pushes strangers out first.
    let pool = if strangers > 0 { Origin::Stranger } else { Origin::Registered };
    let candidates = waiting.iter().enumerate().filter(|(_, w)| w.origin == pool);
    let mut by_prefix: Vec<([u8; 7], usize)> = candidates.map(|(age, w)| (prefix(w.ip), age)).collect();
    by_prefix.sort_unstable();
    let crowds = by_prefix.chunk_by(|a, b| a.0 == b.0);
    // The largest; of several, the one with the oldest connection.
    let (_, Reverse(oldest)) =
        crowds.filter_map(|crowd| Some((crowd.len(), Reverse(crowd.first()?.1)))).max()?;
    waiting.get(oldest).map(|w| w.conn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ConnSlab;

    fn crowd(sources: &[(&str, Origin)]) -> Vec<Waiting> {
        let mut slab = ConnSlab::new();
        sources
            .iter()
            .map(|(ip, origin)| Waiting {
                conn: slab.insert_with(|_| ()),
                ip: ip.parse().unwrap(),
                origin: *origin,
            })
            .collect()
    }

    #[test]
    fn hs_04_the_oldest_of_the_largest_prefix_gives_way() {
        use Origin::{Registered, Stranger};
        let waiting = crowd(&[
            ("10.0.0.1", Stranger),
            ("10.9.9.1", Stranger),
            ("10.9.9.2", Stranger),
            ("10.5.0.1", Registered),
        ]);
        assert_eq!(victim(&waiting, Stranger, 8, 2), None);
        assert_eq!(victim(&waiting, Stranger, 5, 2), Some(waiting[1].conn));
        assert_eq!(victim(&waiting, Registered, 5, 2), None);
        assert_eq!(victim(&waiting, Registered, 4, 2), Some(waiting[1].conn));
    }

    #[test]
    fn registered_sources_compete_among_themselves_only_when_alone() {
        use Origin::Registered;
        let waiting = crowd(&[("10.0.0.1", Registered), ("10.0.1.1", Registered)]);
        assert_eq!(victim(&waiting, Registered, 2, 2), Some(waiting[0].conn));
    }

    #[test]
    fn prefixes_fold_mapped_addresses() {
        let ip = |text: &str| text.parse().unwrap();
        assert_eq!(prefix(ip("::ffff:10.0.0.1")), prefix(ip("10.0.0.200")));
        assert_ne!(prefix(ip("2001:db8::1")), prefix(ip("2001:db8:1::1")));
    }
}
