//! Fixed numbers of bytes in a recorded state, whatever their length: each as it is, with nothing around them.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserializer, Serializer};

/// Writes the bytes one by one.
pub(crate) fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], to: S) -> Result<S::Ok, S::Error> {
    let mut tuple = to.serialize_tuple(N)?;
    bytes.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
    tuple.end()
}

/// Reads as many bytes as there have to be.
pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(from: D) -> Result<[u8; N], D::Error> {
    struct Octets<const N: usize>;

    impl<'de, const N: usize> Visitor<'de> for Octets<N> {
        type Value = [u8; N];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{N} bytes")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<[u8; N], A::Error> {
            let mut bytes = [0; N];
            for (place, byte) in bytes.iter_mut().enumerate() {
                *byte = from.next_element()?.ok_or_else(|| Error::invalid_length(place, &self))?;
            }
            Ok(bytes)
        }
    }

    from.deserialize_tuple(N, Octets)
}
