//! Fixed numbers of bytes in a recorded state, whatever their length. They are no content: a redacted state has them
//! as they are.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name by which they are known when a state is redacted.
pub(crate) const NAME: &str = "Octets";

struct Shown<'a>(&'a [u8]);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self.0)
    }
}

struct Octets<const N: usize>([u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Octets<N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_bytes(Expected).map(Self)
    }
}

struct Expected<const N: usize>;

impl<'de, const N: usize> Visitor<'de> for Expected<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<[u8; N], E> {
        bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<[u8; N], D::Error> {
        Octets::deserialize(from).map(|Octets(bytes)| bytes)
    }
}

pub(crate) fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_newtype_struct(NAME, &Shown(bytes))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(from: D) -> Result<[u8; N], D::Error> {
    from.deserialize_newtype_struct(NAME, Expected)
}
