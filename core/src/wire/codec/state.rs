//! States of the machine and what a recording holds: for this version alone, so that any form will do that is the same
//! for the same value.

use bincode::config::{Configuration, standard};
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const FORM: Configuration = standard();

/// Why a value cannot be written.
pub(crate) type NotWritten = EncodeError;
/// Why bytes are no such value.
pub(crate) type NotRead = DecodeError;

/// Who takes what is encoded. One type for all, so that everything is compiled once.
pub(crate) enum Sink<'a> {
    /// It is appended.
    Bytes(&'a mut Vec<u8>),
    /// It was only to be gone through.
    Nobody,
}

impl Writer for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        match self {
            Self::Bytes(out) => out.extend_from_slice(bytes),
            Self::Nobody => {}
        }
        Ok(())
    }
}

/// Encodes a value piece by piece.
pub(crate) fn feed<T: Serialize + ?Sized>(value: &T, sink: Sink<'_>) -> Result<(), NotWritten> {
    bincode::serde::encode_into_writer(value, sink, FORM)
}

/// Appends a value. Nothing is appended of one that cannot be encoded.
pub(crate) fn append<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), NotWritten> {
    let start = out.len();
    let encoded = feed(value, Sink::Bytes(out));
    if encoded.is_err() {
        out.truncate(start);
    }
    encoded
}

/// Reads a value from the beginning of `bytes`, and how long it is.
pub(crate) fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, usize), NotRead> {
    bincode::serde::borrow_decode_from_slice(bytes, FORM)
}

/// Reads a value that is all of `bytes`.
pub(crate) fn whole<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, NotRead> {
    let (value, length) = bincode::serde::decode_from_slice(bytes, FORM)?;
    if length == bytes.len() { Ok(value) } else { Err(DecodeError::Other("bytes follow the value")) }
}
