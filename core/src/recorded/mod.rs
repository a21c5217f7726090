//! How a recorded state holds what has no form of its own there: fixed numbers of bytes, buffers whose room
//! decides something, and words of the program.

pub(crate) mod buffer;
pub(crate) mod frames;
pub(crate) mod octets;
pub(crate) mod some_bytes;

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// A word of the program: a name in an answer.
pub(crate) type Word = &'static str;

/// Reads a word. It stays in memory for the rest of the replay's process: a recording has few, and never more than
/// the file is long.
pub(crate) fn word<'de, D: Deserializer<'de>>(from: D) -> Result<Word, D::Error> {
    String::deserialize(from).map(|word| &*word.leak())
}

/// Reads a word and when it is due.
pub(crate) fn next<'de, D: Deserializer<'de>>(from: D) -> Result<Option<(Word, Duration)>, D::Error> {
    let next = Option::<(String, Duration)>::deserialize(from)?;
    Ok(next.map(|(word, within)| (&*word.leak(), within)))
}
