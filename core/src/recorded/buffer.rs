//! A buffer with its room: what a queue counts is the memory held, so a replay needs buffers as large.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Room for more than that is no state of a node, but damage.
const LARGEST: usize = 64 << 20;

/// A buffer as it is written.
#[derive(Serialize, Deserialize)]
struct Held {
    room: usize,
    bytes: Bytes,
}

pub(crate) fn serialize<S: Serializer>(buffer: &Vec<u8>, to: S) -> Result<S::Ok, S::Error> {
    let bytes = Bytes::copy_from_slice(buffer);
    Held { room: buffer.capacity(), bytes }.serialize(to)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let Held { room, bytes } = Held::deserialize(from)?;
    let mut buffer = Vec::with_capacity(room.clamp(bytes.len(), LARGEST.max(bytes.len())));
    buffer.extend_from_slice(&bytes);
    Ok(buffer)
}
