//! Names of things: typed, printable, never a bare integer or string.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::witness;

/// Writes bytes as lower-case hex.
fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} lower-case hex digits")]
pub struct BadHex {
    expected: usize,
}

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], BadHex> {
    let error = BadHex { expected: 2 * N };
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Err(error);
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(pair).map_err(|_| error)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| error)?;
    }
    Ok(out)
}

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub struct $name(#[serde(with = "crate::recorded::octets")] pub [u8; $len]);

        impl Default for $name {
            fn default() -> Self {
                Self([0; $len])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex(&self.0, f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex(self.0.get(..4).unwrap_or(&self.0), f)
            }
        }
        impl FromStr for $name {
            type Err = BadHex;
            fn from_str(text: &str) -> Result<Self, BadHex> {
                parse_hex(text).map(Self)
            }
        }
    };
}

byte_id!(
    /// A node: its ed25519 public key. The identity of a peer everywhere; addresses are only attributes of it.
    NodeId, 32
);
byte_id!(
    /// SHA-256 of the genesis file's canonical content: the identity of the network.
    GenesisHash, 32
);
byte_id!(
    /// SHA-256 of a block header; all zero stands for the genesis itself.
    BlockHash, 32
);
byte_id!(
    /// SHA-256 over a payload's length and the hashes of its chunks (rule C-3).
    PayloadRoot, 32
);
byte_id!(
    /// SHA-256 of one chunk of a payload (rule C-3).
    ChunkHash, 32
);
byte_id!(
    /// SHA-256 of a certificate; all zero where there is none.
    CertificateHash, 32
);
byte_id!(
    /// SHA-256 of a transaction's bytes.
    TxId, 32
);
byte_id!(
    /// The Noise handshake hash: unique to one channel and known to exactly its two ends.
    SessionHash, 32
);
byte_id!(
    /// An ed25519 signature.
    Signature, 64
);
byte_id!(
    /// The first eight bytes of a [`SessionHash`], by which heartbeats name a link.
    LinkTag, 8
);

byte_id!(
    /// The first eight bytes of a [`RegistryHash`](crate::RegistryHash), by which heartbeats name a registry.
    RegistryTag, 8
);

impl SessionHash {
    /// The short form used in heartbeats, `/peers` and logs.
    #[must_use]
    pub fn tag(&self) -> LinkTag {
        let mut tag = [0; 8];
        for (to, from) in tag.iter_mut().zip(self.0) {
            *to = from;
        }
        LinkTag(tag)
    }
}

impl TxId {
    /// The id of a transaction (rule X-1).
    #[must_use]
    pub fn of(transaction: &[u8]) -> Self {
        Self(witness::hashed(Sha256::digest(transaction).into()))
    }
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        number_id!($(#[$doc])* $name, u64);
    };
    ($(#[$doc:meta])* $name:ident, $number:ty) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        pub struct $name(pub $number);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id!(
    /// Height of a block; the genesis has height 0.
    Height
);
number_id!(
    /// One attempt to decide a height, counted from 0.
    Round, u32
);
number_id!(
    /// A load command in flight.
    LoadId
);
number_id!(
    /// The place of a name in the shell's list of bootstrap peers.
    SeedId, u32
);
number_id!(
    /// Counts the starts of one key's process: max(persisted + 1, wall milliseconds).
    BootEpoch
);
number_id!(
    /// Drawn at random at each start: tells two processes that hold the same key apart.
    BootNonce
);
number_id!(
    /// Orders the dials of one pair of nodes, whichever end made them.
    DialOrdinal
);
number_id!(
    /// A persist command in flight.
    Ticket
);
number_id!(
    /// A question from the operator or the application, chosen by the shell.
    RequestId
);

impl Height {
    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Round {
    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// One connection, from dial or accept to `Closed`. Allocated by the core only; an index is used again
/// only under a new generation, so a stale id never names another connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub struct ConnId {
    index: u32,
    generation: u32,
}

impl ConnId {
    /// Puts an id together again that was taken apart, for a recording or a poll token. An id that the core
    /// has not given out is answered like any stale one.
    #[must_use]
    pub const fn from_parts(index: u32, generation: u32) -> Self {
        Self { index, generation }
    }

    /// Dense index, below the highest number of connections open at once. Useful as an array index or a
    /// poll token together with [`ConnId::generation`].
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// Distinguishes the users of one index.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// A slab whose keys are [`ConnId`]s. Which index is used next is part of a recorded state.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct ConnSlab<T> {
    slots: Vec<Option<(u32, T)>>,
    /// Indices to be used again, the last first.
    free: Vec<u32>,
    next_generation: u32,
}

impl<T> ConnSlab<T> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), next_generation: 1 }
    }

    pub(crate) fn insert_with(&mut self, make: impl FnOnce(ConnId) -> T) -> ConnId {
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let id = ConnId { index, generation };
        let value = make(id);
        if let Some(slot) = self.slots.get_mut(index as usize) {
            *slot = Some((generation, value));
        }
        id
    }

    fn slot(&self, index: u32) -> Option<&(u32, T)> {
        self.slots.get(index as usize)?.as_ref()
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&T> {
        self.slot(id.index).filter(|slot| slot.0 == id.generation).map(|slot| &slot.1)
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.index as usize)?.as_mut();
        slot.filter(|slot| slot.0 == id.generation).map(|slot| &mut slot.1)
    }

    pub(crate) fn remove(&mut self, id: ConnId) -> Option<T> {
        self.get(id)?;
        let removed = self.slots.get_mut(id.index as usize)?.take()?;
        self.free.push(id.index);
        Some(removed.1)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().flatten().map(|(_, slot)| slot)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnId, &T)> {
        (0..).zip(&self.slots).filter_map(|(index, slot)| {
            let (generation, value) = slot.as_ref()?;
            Some((ConnId { index, generation: *generation }, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_index_is_another_connection() {
        let mut slab = ConnSlab::new();
        let first = slab.insert_with(|_| 'a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert_with(|_| 'b');
        assert_eq!(first.index(), second.index());
        assert_eq!((slab.get(first), slab.get(second)), (None, Some(&'b')));
        assert_eq!((slab.remove(first), slab.len()), (None, 1));
    }

    #[test]
    fn ids_round_trip_as_text() {
        let id = NodeId([0xab; 32]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("ab".parse::<NodeId>().is_err() && "zz".repeat(32).parse::<NodeId>().is_err());
        assert!("+1".repeat(32).parse::<NodeId>().is_err());
    }
}
