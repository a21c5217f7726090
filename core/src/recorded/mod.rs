//! How a recorded state holds what has no form of its own there: fixed numbers of bytes, buffers whose room
//! decides something, and words of the program.

pub(crate) mod buffer;
pub(crate) mod frames;
pub(crate) mod octets;
pub(crate) mod some_bytes;

use serde::{Deserialize, Deserializer};

/// A word of the program: a name in an answer.
pub(crate) type Word = &'static str;

/// Reads a word. It stays in memory for the rest of the replay's process: a recording has few, and never more than
/// the file is long.
pub(crate) fn word<'de, D: Deserializer<'de>>(from: D) -> Result<Word, D::Error> {
    String::deserialize(from).map(|word| &*word.leak())
}

/// Reads words, as [`word`] does.
pub(crate) fn words<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Word>, D::Error> {
    Vec::<String>::deserialize(from).map(|words| words.into_iter().map(|word| &*word.leak()).collect())
}
