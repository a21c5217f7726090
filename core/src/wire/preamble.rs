//! The cleartext before the handshake: who speaks which versions on which network (rule H-1), and the
//! cleartext reject (rule H-5).

use sha2::{Digest, Sha256};

use crate::event::CloseReason;

/// Bytes of a preamble, and of a reject.
pub const PREAMBLE: usize = 16;

const MAGIC: [u8; 4] = *b"TMD\x01";
const MAGIC_REJECT: [u8; 4] = *b"TMD\x00";

/// The protocol version that this crate speaks.
pub const VERSION: Version = Version(1);

/// A version of the wire protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub struct Version(pub u16);

/// A range of versions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub struct VersionRange {
    /// The lowest.
    pub min: Version,
    /// The highest.
    pub max: Version,
}

impl VersionRange {
    /// What this crate speaks.
    pub const OURS: Self = Self { min: VERSION, max: VERSION };

    /// The highest version in both ranges.
    #[must_use]
    pub fn common(self, other: Self) -> Option<Version> {
        let top = self.max.min(other.max);
        (top >= self.min.max(other.min)).then_some(top)
    }
}

/// The first four bytes of the SHA-256 of `timed-network-v1` and the network's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub struct NetworkId(pub [u8; 4]);

impl NetworkId {
    /// The id of a name.
    #[must_use]
    pub fn of(name: &crate::config::NetworkName) -> Self {
        let digest = Sha256::new().chain_update(b"timed-network-v1").chain_update(name.as_str()).finalize();
        let mut id = [0; 4];
        for (to, from) in id.iter_mut().zip(digest) {
            *to = from;
        }
        Self(id)
    }
}

/// What each side sends first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Preamble {
    /// The network.
    pub network: NetworkId,
    /// The versions spoken.
    pub versions: VersionRange,
}

/// What sixteen bytes from the other side are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A preamble.
    Preamble(Preamble),
    /// A cleartext reject: a hint only, since anyone on the path can forge it.
    Reject(CloseReason),
    /// Neither.
    Alien,
}

impl Preamble {
    /// The bytes: magic ‖ network ‖ min ‖ max ‖ four zero bytes, little-endian.
    #[must_use]
    pub fn encode(&self) -> [u8; PREAMBLE] {
        let [m0, m1, m2, m3] = MAGIC;
        let [n0, n1, n2, n3] = self.network.0;
        let [a, b] = self.versions.min.0.to_le_bytes();
        let [c, d] = self.versions.max.0.to_le_bytes();
        [m0, m1, m2, m3, n0, n1, n2, n3, a, b, c, d, 0, 0, 0, 0]
    }

    /// What this node holds against the other side's preamble, if anything.
    #[must_use]
    pub fn objection(&self, theirs: &Self) -> Option<CloseReason> {
        if self.network != theirs.network {
            Some(CloseReason::WrongNetwork)
        } else if self.versions.common(theirs.versions).is_none() {
            Some(CloseReason::VersionUnsupported)
        } else {
            None
        }
    }

    /// A cleartext reject: reject magic ‖ network ‖ min ‖ max ‖ reason ‖ two zero bytes.
    #[must_use]
    pub fn encode_reject(&self, reason: CloseReason) -> [u8; PREAMBLE] {
        let mut bytes = self.encode();
        let [r0, r1, r2, r3] = MAGIC_REJECT;
        let [c0, c1] = reason.code().to_le_bytes();
        for (at, byte) in [(0, r0), (1, r1), (2, r2), (3, r3), (12, c0), (13, c1)] {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        bytes
    }
}

/// Reads sixteen bytes. Trailing bytes that must be zero and are not make them alien.
#[must_use]
pub fn read_opening(bytes: &[u8; PREAMBLE]) -> Opening {
    let [m0, m1, m2, m3, n0, n1, n2, n3, a, b, c, d, r0, r1, z0, z1] = *bytes;
    let versions =
        VersionRange { min: Version(u16::from_le_bytes([a, b])), max: Version(u16::from_le_bytes([c, d])) };
    let reason = u16::from_le_bytes([r0, r1]);
    if versions.min > versions.max || [z0, z1] != [0, 0] {
        return Opening::Alien;
    }
    match ([m0, m1, m2, m3], reason) {
        (MAGIC, 0) => Opening::Preamble(Preamble { network: NetworkId([n0, n1, n2, n3]), versions }),
        (MAGIC_REJECT, code) => Opening::Reject(CloseReason::from_code(code)),
        _ => Opening::Alien,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Preamble = Preamble { network: NetworkId([1, 2, 3, 4]), versions: VersionRange::OURS };

    #[test]
    fn preambles_and_rejects_round_trip() {
        assert_eq!(read_opening(&OURS.encode()), Opening::Preamble(OURS));
        let reject = OURS.encode_reject(CloseReason::WrongNetwork);
        assert_eq!(read_opening(&reject), Opening::Reject(CloseReason::WrongNetwork));
        assert_eq!(read_opening(b"GET / HTTP/1.1\r\n"), Opening::Alien);
        let mut padded = OURS.encode();
        padded[15] = 1;
        assert_eq!(read_opening(&padded), Opening::Alien);
    }

    #[test]
    fn hs_02a_versions_are_ranges() {
        let range = |min, max| VersionRange { min: Version(min), max: Version(max) };
        assert_eq!(range(1, 3).common(range(2, 5)), Some(Version(3)));
        assert_eq!(range(1, 1).common(range(1, 2)), Some(Version(1)));
        assert_eq!(range(1, 1).common(range(2, 2)), None);
        let theirs = Preamble { versions: range(2, 9), ..OURS };
        assert_eq!(OURS.objection(&theirs), Some(CloseReason::VersionUnsupported));
    }
}
