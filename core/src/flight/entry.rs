//! What a recording is made of: each call on the node, and what came of it that no input says.

use std::fmt;
use std::net::SocketAddr;

use bincode::config::{Configuration, standard};
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::flight::digest::Sum;
use crate::ids::{ConnId, NodeId, SessionHash, Signature};
use crate::input::Input;
use crate::time::Now;

/// Bytes as they are, without a copy.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a>(pub(super) &'a [u8]);

/// One piece of a recording, in the order in which things happened: what came of a call follows it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Entry<'a> {
    /// The clocks of all calls from here on.
    Now(Now),
    /// `accept` was called.
    Accept(SocketAddr),
    /// `handle` was called with `Data`. Records that were opened in it are in clear.
    Data(ConnId, #[serde(borrow)] Raw<'a>),
    /// `handle` was called with any other input.
    #[serde(borrow)]
    Input(Input<'a>),
    /// `transmit` was called with this budget.
    Transmit(ConnId, u32),
    /// All commands were taken: how many since the last time, and the digest of these and of all that was sent.
    Drained(u32, u64),
    /// A number was drawn.
    Drawn(u64),
    /// The hash of a transaction or a chunk; only in a redacted recording, whose content has another.
    Hashed([u8; 32]),
    /// This node signed.
    Signed(Signature),
    /// A signature was judged: it is its claimed signer's.
    Genuine,
    /// A signature was judged: it is not.
    Forged,
    /// Keys were prepared, or one was refused.
    Trusted(Option<NodeId>),
    /// A handshake message of this length was written.
    Wrote(Option<u16>),
    /// A handshake message with this payload was read.
    #[serde(borrow)]
    Read(Option<Raw<'a>>),
    /// A handshake was done.
    Finished(Option<SessionHash>),
    /// A record was opened that is in clear where it arrived.
    OpenedThere,
    /// A record was opened that arrived in pieces.
    #[serde(borrow)]
    Opened(Raw<'a>),
    /// A record did not open.
    OpenFailed,
    /// What was read next of a lane's plaintext: a frame of this kind with this body, or no whole one; only in a
    /// redacted recording, whose plaintext is blank.
    #[serde(borrow)]
    Frame(Option<(u16, Raw<'a>)>),
    /// What was read next was no frame; only in a redacted recording.
    FrameFault(u16),
    /// What was decoded as a block; only in a redacted recording.
    #[serde(borrow)]
    Block(Raw<'a>),
}

impl Entry<'_> {
    /// Whether it is a call on the node.
    pub(super) const fn is_call(&self) -> bool {
        matches!(self, Self::Accept(_) | Self::Data(..) | Self::Input(_) | Self::Transmit(..))
    }
}

impl fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Borrowed;

        impl<'de> Visitor<'de> for Borrowed {
            type Value = Raw<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Raw<'de>, E> {
                Ok(Raw(bytes))
            }
        }

        from.deserialize_bytes(Borrowed)
    }
}

const FORM: Configuration = standard();

/// Who takes what is encoded. One type for all, so that everything is compiled once.
pub(super) enum Sink<'a> {
    Bytes(&'a mut Vec<u8>),
    Sum(&'a mut Sum),
    Nobody,
}

impl Writer for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        match self {
            Self::Bytes(out) => out.extend_from_slice(bytes),
            Self::Sum(sum) => sum.bytes(bytes),
            Self::Nobody => {}
        }
        Ok(())
    }
}

/// Encodes a value piece by piece.
pub(super) fn feed<T: Serialize + ?Sized>(value: &T, sink: Sink<'_>) -> Result<(), EncodeError> {
    bincode::serde::encode_into_writer(value, sink, FORM)
}

/// Appends a value. Nothing is appended of one that cannot be encoded.
pub(super) fn append<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let encoded = feed(value, Sink::Bytes(out));
    if encoded.is_err() {
        out.truncate(start);
    }
    encoded
}

/// Reads an entry from the beginning of `bytes`, and how long it is.
pub(super) fn read(bytes: &[u8]) -> Result<(Entry<'_>, usize), DecodeError> {
    bincode::serde::borrow_decode_from_slice(bytes, FORM)
}

/// Reads a value that is all of `bytes`.
pub(super) fn whole<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (value, length) = bincode::serde::decode_from_slice(bytes, FORM)?;
    if length == bytes.len() { Ok(value) } else { Err(DecodeError::Other("bytes follow the state")) }
}
